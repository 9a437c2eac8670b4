//! What a client is told when its call can't be done, and only that.

use serde_json::{Value, json};

use super::trouble::warn_of;
use crate::domain::params::InputError;
use crate::store::StoreError;

/// Each text goes to the client as it is: it never names an upstream or anything inside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// No key.
    #[error("API key is required")]
    KeyMissing,
    /// A key that lets nobody in.
    #[error("Invalid API key")]
    KeyUnknown,
    /// The client is switched off.
    #[error("Your account is disabled")]
    Disabled,
    /// The key may not be used from that address.
    #[error("This address is not allowed to use this API key")]
    AddressNotAllowed,
    /// A key that may only read.
    #[error("This API key is read-only")]
    ReadOnly,
    /// Over the client's own rate.
    #[error("Too many requests")]
    TooManyRequests,
    /// No action, or none that is known.
    #[error("Incorrect request")]
    ActionUnknown,
    /// No such service for this client.
    #[error("Incorrect service ID")]
    ServiceUnknown,
    /// On no route just now.
    #[error("This service is temporarily unavailable")]
    ServiceUnavailable,
    /// The order's parameters.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Balance and credit do not cover it.
    #[error("Not enough funds on balance")]
    NotEnoughFunds,
    /// Over the client's daily limit.
    #[error("Daily limit exceeded")]
    DailyLimit,
    /// No such order of this client.
    #[error("Incorrect order ID")]
    OrderUnknown,
    /// It has ended, or its upstream does not cancel it.
    #[error("Order can not be canceled")]
    NotCancelable,
    /// No such refill of this client.
    #[error("Refill not found")]
    RefillUnknown,
    /// Its service can't be refilled.
    #[error("Refill is disabled for this service")]
    RefillDisabled,
    /// It was not placed, or nothing of it was delivered.
    #[error("The order is not completed")]
    OrderNotCompleted,
    /// A refill of that order is under way.
    #[error("The refill task is not completed for this order")]
    RefillOpen,
    /// Its upstream refused it in words that are not for the client.
    #[error("Refill is not available for this order")]
    RefillRefused,
    /// No order named at all.
    #[error("Missing required parameter: {0}")]
    ParameterMissing(&'static str),
    /// More IDs than one call takes.
    #[error("Maximum {MAX_IDS} IDs per request")]
    TooManyIds,
    /// `request_id` over its length.
    #[error("Incorrect request_id: at most {MAX_REQUEST_ID} characters")]
    RequestIdBad,
    /// `request_id` used before for something else.
    #[error("This request_id was used with other parameters")]
    RequestIdConflict,
    /// Refused for good, in words that were chosen for the client.
    #[error("{0}")]
    Refused(String),
    /// Our own trouble: nothing was done, or nobody can tell yet.
    #[error("Temporarily unavailable, please try again later")]
    Internal,
}

impl ApiError {
    /// `{"error": "…"}`, for one of many.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "error": self.to_string() })
    }
}

/// The most IDs that one call takes.
pub const MAX_IDS: usize = 100;
/// The longest `request_id`, in characters.
pub const MAX_REQUEST_ID: usize = 64;

/// A client learns nothing of our trouble; the log does.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        warn_of!(error, "a client's call failed");
        Self::Internal
    }
}
