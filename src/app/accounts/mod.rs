//! Clients' accounts as the operator works on them: from the command line, or from a billing site over HTTP.
//!
//! Both check what they are given with [`values`], call the functions here, and show the [`documents`] that
//! come out, so that neither can do what the other would refuse.

mod calls;
pub mod documents;
mod input;
pub mod values;

pub use calls::{AccountAnswer, AccountCall, SimpleCall};

use super::auth;
use crate::domain::client::{Client, EntryKind};
use crate::domain::ids::ClientId;
use crate::domain::money::Money;
use crate::domain::time::Timestamp;
use crate::store::records::{ClientChange, Moved, Movement, NewClient, NewKey};
use crate::store::{Store, StoreError};
use documents::{
    ClientDocument, EntryDocument, KeyDocument, MovedDocument, NewClientDocument, NewKeyDocument, RevokedDocument,
};

/// Why something was not done to an account; nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// What was sent makes no sense, and why.
    #[error("{0}")]
    Invalid(String),
    /// A withdrawal of more than there is.
    #[error("client {client} has a balance of {balance}: {amount} can't be withdrawn from it")]
    NotEnoughFunds {
        /// Whose account.
        client: String,
        /// What is on it.
        balance: Money,
        /// What was to be taken off it.
        amount: Money,
    },
    /// The reference stands for another payment.
    #[error(
        "this reference was used before for client {client}, for {earlier}: nothing was changed; \
         give another payment another reference"
    )]
    ReferenceConflict {
        /// Whose account.
        client: String,
        /// What is on it.
        balance: Money,
        /// The earlier payment's amount, below zero for a withdrawal.
        earlier: Money,
    },
    /// No key could be made.
    #[error("the system gives no random bytes ({0}): no key was made")]
    NoRandom(#[from] getrandom::Error),
    /// What the store says.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What kind of trouble an [`AccountError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// What was sent makes no sense.
    Invalid,
    /// There is no such client or key.
    NotFound,
    /// It is there already, as something else.
    Conflict,
    /// The account does not hold so much.
    NotEnoughFunds,
    /// Just now; the same may work later.
    Busy,
    /// Our own trouble.
    Broken,
}

impl AccountError {
    /// What kind of trouble it is.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_) => Reason::Invalid,
            Self::NotEnoughFunds { .. } => Reason::NotEnoughFunds,
            Self::ReferenceConflict { .. } | Self::Store(StoreError::Exists { .. }) => Reason::Conflict,
            Self::Store(StoreError::NotFound { .. }) => Reason::NotFound,
            Self::Store(StoreError::Overloaded | StoreError::CannotWrite(_)) => Reason::Busy,
            Self::NoRandom(_) | Self::Store(_) => Reason::Broken,
        }
    }
}

/// A new client's terms: what `change` does not name is as for any client.
fn terms(name: String, change: ClientChange) -> Client {
    Client {
        id: ClientId(0),
        name,
        markup: change.markup.flatten(),
        rps: change.rps.flatten(),
        credit: change.credit.unwrap_or_default(),
        daily_limit: change.daily_limit.flatten(),
        allow_ips: change.allow_ips.unwrap_or_default(),
        allow_services: change.allow_services.unwrap_or_default(),
        disabled: change.disabled.unwrap_or(false),
    }
}

/// A new random key of 32 hexadecimal characters, and what is stored of it.
fn new_key(label: String, read_only: bool) -> Result<(String, NewKey), AccountError> {
    let text = auth::new_key()?;
    let key = NewKey { hash: auth::hash_key(&text), label, read_only };
    Ok((text, key))
}

/// Makes a client with a key of its own and, where given, a first deposit.
///
/// # Errors
/// [`StoreError::Exists`] where the name is taken.
pub async fn create(
    store: &dyn Store,
    name: String,
    deposit: Option<Money>,
    change: ClientChange,
    now: Timestamp,
) -> Result<NewClientDocument, AccountError> {
    let (text, key) = new_key(String::new(), false)?;
    let client = NewClient { terms: terms(name, change), key, deposit: deposit.unwrap_or_default() };
    let account = store.create_client(client, now).await?;
    Ok(NewClientDocument { client: account.client.name, key: text, balance: account.balance.to_string() })
}

/// All clients, by name.
///
/// # Errors
/// What the store says.
pub async fn list(store: &dyn Store) -> Result<Vec<ClientDocument>, AccountError> {
    Ok(store.accounts().await?.into_iter().map(ClientDocument::from).collect())
}

/// One client.
///
/// # Errors
/// [`StoreError::NotFound`] where there is none of that name.
pub async fn show(store: &dyn Store, name: &str) -> Result<ClientDocument, AccountError> {
    Ok(store.account(name).await?.into())
}

/// Changes a client's terms.
///
/// # Errors
/// [`StoreError::NotFound`] where there is none of that name.
pub async fn change(store: &dyn Store, name: &str, change: ClientChange) -> Result<ClientDocument, AccountError> {
    Ok(store.change_client(name, change).await?.into())
}

/// A payment to a client's account, or from it.
#[derive(Debug, Clone)]
pub struct Payment {
    /// Deposit or withdrawal.
    pub kind: EntryKind,
    /// How much, above zero.
    pub amount: Money,
    /// The operator's own name for it; unique with the client.
    pub reference: Option<String>,
    /// For the ledger.
    pub note: Option<String>,
}

/// Puts a payment into a client's ledger. One whose reference was used before changes nothing, and is no error
/// where it says the same.
///
/// # Errors
/// [`AccountError::NotEnoughFunds`] for a withdrawal of more than there is,
/// [`AccountError::ReferenceConflict`] where the reference stands for another payment.
pub async fn pay(
    store: &dyn Store,
    name: &str,
    payment: Payment,
    now: Timestamp,
) -> Result<MovedDocument, AccountError> {
    let Payment { kind, amount, reference, note } = payment;
    let signed = if kind == EntryKind::Withdrawal { amount.negated() } else { amount };
    let movement = Movement { kind, amount: signed, reference, note };
    let client = name.to_owned();
    match store.move_money(name, movement, now).await? {
        Moved::Done(balance) => Ok(MovedDocument { client, balance: balance.to_string(), changed: true }),
        Moved::Repeat { balance, earlier } if earlier == signed => {
            Ok(MovedDocument { client, balance: balance.to_string(), changed: false })
        }
        Moved::Repeat { balance, earlier } => Err(AccountError::ReferenceConflict { client, balance, earlier }),
        Moved::NotEnoughFunds(balance) => Err(AccountError::NotEnoughFunds { client, balance, amount }),
    }
}

/// The last `limit` entries of a client's ledger, oldest first.
///
/// # Errors
/// [`StoreError::NotFound`] where there is no such client.
pub async fn ledger(store: &dyn Store, name: &str, limit: usize) -> Result<Vec<EntryDocument>, AccountError> {
    Ok(store.ledger(name, limit).await?.into_iter().map(EntryDocument::from).collect())
}

/// Makes another key for a client.
///
/// # Errors
/// [`StoreError::NotFound`] where there is no such client.
pub async fn add_key(
    store: &dyn Store,
    name: &str,
    label: Option<String>,
    read_only: bool,
    now: Timestamp,
) -> Result<NewKeyDocument, AccountError> {
    let (text, key) = new_key(label.unwrap_or_default(), read_only)?;
    let record = store.add_key(name, key, now).await?;
    Ok(NewKeyDocument { client: name.to_owned(), id: record.id, key: text })
}

/// A client's keys that are not revoked.
///
/// # Errors
/// [`StoreError::NotFound`] where there is no such client.
pub async fn keys(store: &dyn Store, name: &str) -> Result<Vec<KeyDocument>, AccountError> {
    Ok(show(store, name).await?.keys)
}

/// Takes a key away from a client.
///
/// # Errors
/// [`StoreError::NotFound`] where the client has no such key.
pub async fn revoke_key(store: &dyn Store, name: &str, id: i64) -> Result<RevokedDocument, AccountError> {
    store.revoke_key(name, id).await?;
    Ok(RevokedDocument { client: name.to_owned(), id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_random_and_only_its_hash_is_kept() {
        let (text, key) = new_key("spare".into(), true).unwrap();
        assert_eq!(text.len(), 32);
        assert!(text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{text}");
        assert_eq!(key.hash, auth::hash_key(&text));
        assert_eq!((key.label.as_str(), key.read_only), ("spare", true));
        assert_ne!(new_key(String::new(), false).unwrap().0, text);
    }
}
