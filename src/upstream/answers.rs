//! What the reading calls answer: an order's status, many statuses, the balance. See `docs/protocol.md`,
//! "Statuses" and "Decoding".

use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::classify::MAX_TEXT;
use super::decode::{Decoded, cut, decode, field, scalar_text};
use super::error_texts::Meaning;
use super::many::{ItemError, Many, read_many};
use super::numbers::{count, decimal};
use super::refusal::{Refusal, Rejects, is_challenge, meaning_of, unreached};
use super::wire::{Reply, TransportError};
use crate::domain::ids::UpstreamOrderId;
use crate::domain::outcome::RejectKind;
use crate::domain::status::{Reported, StatusReport};

/// How long an upstream is left alone that said "too many requests" and not for how long.
pub const DEFAULT_PAUSE: Duration = Duration::from_secs(10);

/// Why a reading call brought nothing, in the upstream's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It does not accept our key, or has blocked our account.
    #[error("the key is not accepted: {0}; check the provider's key, then reload")]
    KeyRejected(String),
    /// Too many requests: nothing is to be asked for this long.
    #[error("too many requests; the next goes out in {} s", .0.as_secs())]
    RateLimited(Duration),
    /// It is down for a while, or not reachable behind its edge.
    #[error("down for the time being: {0}")]
    Maintenance(String),
    /// It knows no order with that ID on our account.
    #[error("no such order there: {0}")]
    UnknownOrder(String),
    /// It refused, in words that mean none of the above.
    #[error("refused: {0}")]
    Refused(String),
    /// An answer that is not the API's.
    #[error("an answer that cannot be read: {0}")]
    Unreadable(String),
    /// No answer at all.
    #[error("{0}")]
    Transport(TransportError),
}

impl AnswerError {
    /// The word for it as a metric's label.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::KeyRejected(_) => "key_rejected",
            Self::RateLimited(_) => "rate_limited",
            Self::Maintenance(_) => "maintenance",
            Self::UnknownOrder(_) => "unknown_order",
            Self::Refused(_) => "refused",
            Self::Unreadable(_) => "unreadable",
            Self::Transport(_) => "transport",
        }
    }

    pub(crate) fn unreadable(value: &Value) -> Self {
        Self::Unreadable(value.to_string())
    }

    /// The same with its text passed through `change`.
    pub(crate) fn with_text(self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::KeyRejected(text) => Self::KeyRejected(change(&text)),
            Self::RateLimited(wait) => Self::RateLimited(wait),
            Self::Maintenance(text) => Self::Maintenance(change(&text)),
            Self::UnknownOrder(text) => Self::UnknownOrder(change(&text)),
            Self::Refused(text) => Self::Refused(change(&text)),
            Self::Unreadable(text) => Self::Unreadable(change(&text)),
            Self::Transport(TransportError::NotSent(text)) => Self::Transport(TransportError::NotSent(change(&text))),
            Self::Transport(TransportError::Unknown(text)) => Self::Transport(TransportError::Unknown(change(&text))),
        }
    }

    /// The same with its text cut for people.
    pub(crate) fn cut(self) -> Self {
        self.with_text(|text| cut(text, MAX_TEXT))
    }

    fn meant(meaning: Option<Meaning>, text: String, pause: Option<Duration>) -> Self {
        match meaning {
            Some(Meaning::Rejected(RejectKind::Key) | Meaning::AccountBlocked) => Self::KeyRejected(text),
            Some(Meaning::Rejected(RejectKind::RateLimit)) => Self::RateLimited(pause.unwrap_or(DEFAULT_PAUSE)),
            Some(Meaning::Rejected(RejectKind::Maintenance) | Meaning::Ambiguous) => Self::Maintenance(text),
            Some(Meaning::UnknownOrder) => Self::UnknownOrder(text),
            _ => Self::Refused(text),
        }
    }
}

/// The JSON of a reply that is not an error as a whole. Texts in errors are not cut, here and in all that is
/// private to this room: who cuts before the key is looked for may leave a part of it.
///
/// # Errors
/// What the reply refuses with: an error in its body first, then its HTTP status. Data is taken from a 2xx
/// reply only.
pub(crate) fn read_reply(reply: &Reply, rejects: &Rejects) -> Result<Value, AnswerError> {
    let meant = |meaning, text: String| Err(AnswerError::meant(meaning, text, reply.retry_after));
    let mut page = None;
    let value = match decode(&reply.body) {
        Decoded::Json(value) | Decoded::Salvaged { value, .. } => {
            // In a map of statuses an order's own `status` word is no error; only a top-level error is.
            match value.as_object().filter(|object| !looks_like_status(object)).and_then(Refusal::of) {
                Some(refusal) if refusal.meaning(rejects).is_some() || !speaks_for_itself(reply.status) => {
                    return meant(refusal.meaning(rejects), refusal.text());
                }
                _ => Some(value),
            }
        }
        Decoded::Text(text) => match meaning_of(&text, rejects) {
            Some(meaning) => return meant(Some(meaning), text),
            None => None,
        },
        Decoded::Html(text) => {
            page = Some(text);
            None
        }
        Decoded::Empty => None,
    };
    if reply.status == 429 {
        return Err(AnswerError::RateLimited(reply.retry_after.unwrap_or(DEFAULT_PAUSE)));
    }
    if is_challenge(reply, page.as_deref()) {
        return Err(AnswerError::Maintenance(format!("HTTP {}: a firewall's challenge", reply.status)));
    }
    match value {
        Some(value) if (200..300).contains(&reply.status) => Ok(value),
        _ if reply.status >= 500 || unreached(reply.status).is_some() => {
            let why = unreached(reply.status).unwrap_or("a failure there");
            Err(AnswerError::Maintenance(format!("HTTP {}: {why}", reply.status)))
        }
        _ => {
            let text = String::from_utf8_lossy(&reply.body);
            Err(AnswerError::Unreadable(format!("HTTP {}: {text}", reply.status)))
        }
    }
}

/// A status that says more than an error text that nobody knows.
fn speaks_for_itself(status: u16) -> bool {
    status == 429 || status >= 500 || unreached(status).is_some()
}

/// A status answer whose word happens to be `Fail` or `Error` is not an error of the call.
fn looks_like_status(object: &Map<String, Value>) -> bool {
    let has = |name| field(object, name).is_some();
    let erred = field(object, "error").is_some_and(|error| !error.is_null());
    has("status") && !erred && ["charge", "remains", "start_count", "start_counter"].iter().any(|name| has(name))
}

/// One order's status.
///
/// # Errors
/// [`AnswerError`] where the body is an error, or holds no status.
pub fn decode_status(body: &[u8]) -> Result<StatusReport, AnswerError> {
    read_reply(&ok_reply(body), &[]).and_then(|answer| read_status(&answer)).map_err(AnswerError::cut)
}

pub(crate) fn read_status(answer: &Value) -> Result<StatusReport, AnswerError> {
    let object = match answer {
        Value::Array(items) if items.len() == 1 => items.first().and_then(Value::as_object),
        other => other.as_object(),
    };
    let object = object.ok_or_else(|| AnswerError::unreadable(answer))?;
    let inner = field(object, "data").and_then(Value::as_object).filter(|inner| field(inner, "status").is_some());
    report(inner.unwrap_or(object)).ok_or_else(|| AnswerError::unreadable(answer))
}

/// What one object says of one order; `None` where it says nothing.
pub(crate) fn report(object: &Map<String, Value>) -> Option<StatusReport> {
    let word = field(object, "status").and_then(scalar_text)?;
    let start = ["start_count", "start_counter"].iter().find_map(|name| field(object, name).and_then(count));
    // "success" is a panel's word for delivered, but also the envelope of an answer without content.
    if word.eq_ignore_ascii_case("success") && !looks_like_status(object) {
        return None;
    }
    let text = |name| field(object, name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    Some(StatusReport {
        status: Reported::read(word),
        charge: field(object, "charge").and_then(decimal).filter(|charge| !charge.is_sign_negative()),
        start_count: start,
        remains: field(object, "remains").and_then(count),
        runs: field(object, "runs").and_then(count),
        currency: text("currency").map(str::to_owned),
    })
}

/// Many orders' statuses.
pub type MultiStatus = Many<UpstreamOrderId, StatusReport>;

/// Many orders' statuses, matched by ID only.
///
/// # Errors
/// [`AnswerError`] where the body as a whole is an error that has nothing to do with asking for many.
pub fn decode_statuses(body: &[u8], asked: &[UpstreamOrderId]) -> Result<MultiStatus, AnswerError> {
    read_statuses(read_reply(&ok_reply(body), &[]), asked).map_err(AnswerError::cut)
}

pub(crate) fn read_statuses(
    answer: Result<Value, AnswerError>,
    asked: &[UpstreamOrderId],
) -> Result<MultiStatus, AnswerError> {
    read_many(answer, asked, UpstreamOrderId::as_str, &["order", "order_id"], read_item)
}

pub(crate) fn read_item(item: &Value) -> Result<StatusReport, ItemError> {
    match item {
        Value::String(text) if !text.trim().is_empty() => {
            Err(item_error(meaning_of(text, &[]), text.trim().to_owned()))
        }
        Value::Object(object) => {
            if !looks_like_status(object)
                && let Some(refusal) = Refusal::of(object)
            {
                return Err(refused_item(&refusal));
            }
            report(object).ok_or(ItemError::Missing)
        }
        _ => Err(ItemError::Missing),
    }
}

/// An item's own error.
pub(crate) fn refused_item(refusal: &Refusal) -> ItemError {
    item_error(refusal.meaning(&[]), refusal.text())
}

fn item_error(meaning: Option<Meaning>, text: String) -> ItemError {
    match meaning {
        Some(Meaning::UnknownOrder) => ItemError::UnknownOrder(text),
        _ => ItemError::Refused(text),
    }
}

/// What is left on our account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// In the account's currency; may be below zero.
    pub amount: Decimal,
    /// As the upstream spells it.
    pub currency: Option<String>,
}

/// A balance answer.
///
/// # Errors
/// [`AnswerError`] where the body is an error, or holds no balance.
pub fn decode_balance(body: &[u8]) -> Result<Balance, AnswerError> {
    read_reply(&ok_reply(body), &[]).and_then(|answer| read_balance(&answer)).map_err(AnswerError::cut)
}

pub(crate) fn read_balance(answer: &Value) -> Result<Balance, AnswerError> {
    let object = answer.as_object().ok_or_else(|| AnswerError::unreadable(answer))?;
    let object = match field(object, "balance") {
        Some(_) => object,
        None => field(object, "data").and_then(Value::as_object).unwrap_or(object),
    };
    let amount = field(object, "balance").and_then(decimal).ok_or_else(|| AnswerError::unreadable(answer))?;
    let currency = field(object, "currency").and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    Ok(Balance { amount, currency: currency.map(str::to_owned) })
}

pub(crate) fn ok_reply(body: &[u8]) -> Reply {
    Reply { status: 200, body: bytes::Bytes::copy_from_slice(body), ..Reply::default() }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
