//! Calls on accounts as they come in over HTTP: the operation from the path, its input from a JSON body.

use serde::Serialize;
use serde_json::Value;

use super::input::Input;
use super::{AccountError, Payment, values};
use crate::app::App;
use crate::domain::client::EntryKind;
use crate::store::records::ClientChange;

/// What a billing site may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountCall {
    /// Make a client.
    Create,
    /// Change a client's terms.
    Change(String),
    /// Put money on a client's account.
    Deposit(String),
    /// Take money off it.
    Withdraw(String),
    /// Make a key.
    AddKey(String),
    /// What needs no more input.
    Simple(SimpleCall),
}

/// A call that takes no body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimpleCall {
    /// All clients.
    List,
    /// One client.
    Show(String),
    /// Switch a client off, or on again.
    Switch {
        /// The client.
        client: String,
        /// Whether off.
        disabled: bool,
    },
    /// The last entries of a client's ledger.
    Ledger {
        /// The client.
        client: String,
        /// So many.
        limit: usize,
    },
    /// A client's keys.
    Keys(String),
    /// Take a key away.
    RevokeKey {
        /// The client.
        client: String,
        /// The key's number.
        key: i64,
    },
}

/// What a call came to. It may hold a new key, so it can't be printed for debugging.
pub struct AccountAnswer {
    /// Whether something new is there by it.
    pub created: bool,
    /// The command line's document of the same.
    pub document: Value,
}

impl AccountAnswer {
    fn of(document: &impl Serialize) -> Self {
        // Documents are texts, numbers and lists: there is nothing in them that JSON has no form for.
        Self { created: false, document: serde_json::to_value(document).unwrap_or_default() }
    }

    const fn created_if(mut self, created: bool) -> Self {
        self.created = created;
        self
    }
}

impl App {
    /// Carries out a call of the operator's billing site. `body` is JSON; nothing where a call takes none.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn account(&self, call: AccountCall, body: &[u8]) -> Result<AccountAnswer, AccountError> {
        let input = Input::read(body)?;
        match call {
            AccountCall::Create => self.make(input).await,
            AccountCall::Change(name) => self.change(&name, read_terms(input)?).await,
            AccountCall::Deposit(name) => self.pay(&name, EntryKind::Deposit, input).await,
            AccountCall::Withdraw(name) => self.pay(&name, EntryKind::Withdrawal, input).await,
            AccountCall::AddKey(name) => self.add_key(&name, input).await,
            AccountCall::Simple(call) => {
                input.end()?;
                self.simple(call).await
            }
        }
    }

    async fn simple(&self, call: SimpleCall) -> Result<AccountAnswer, AccountError> {
        let store = &*self.store;
        match call {
            SimpleCall::List => Ok(AccountAnswer::of(&super::list(store).await?)),
            SimpleCall::Show(name) => Ok(AccountAnswer::of(&super::show(store, &name).await?)),
            SimpleCall::Switch { client, disabled } => {
                self.change(&client, ClientChange { disabled: Some(disabled), ..ClientChange::default() }).await
            }
            SimpleCall::Ledger { client, limit } => Ok(AccountAnswer::of(&super::ledger(store, &client, limit).await?)),
            SimpleCall::Keys(name) => Ok(AccountAnswer::of(&super::keys(store, &name).await?)),
            SimpleCall::RevokeKey { client, key } => {
                Ok(AccountAnswer::of(&super::revoke_key(store, &client, key).await?))
            }
        }
    }

    async fn make(&self, mut input: Input) -> Result<AccountAnswer, AccountError> {
        let name = input.required("client", values::name)?;
        let deposit = input.text("deposit", values::amount)?;
        let made = super::create(&*self.store, name, deposit, read_terms(input)?, self.clock.now()).await?;
        Ok(AccountAnswer::of(&made).created_if(true))
    }

    async fn change(&self, name: &str, change: ClientChange) -> Result<AccountAnswer, AccountError> {
        Ok(AccountAnswer::of(&super::change(&*self.store, name, change).await?))
    }

    async fn add_key(&self, name: &str, mut input: Input) -> Result<AccountAnswer, AccountError> {
        let label = input.text("label", values::name)?;
        let read_only = input.flag("read_only")?;
        input.end()?;
        let made = super::add_key(&*self.store, name, label, read_only, self.clock.now()).await?;
        Ok(AccountAnswer::of(&made).created_if(true))
    }

    async fn pay(&self, name: &str, kind: EntryKind, mut input: Input) -> Result<AccountAnswer, AccountError> {
        let payment = Payment {
            kind,
            amount: input.required("amount", values::amount)?,
            reference: input.text("ref", values::line)?,
            note: input.text("note", values::line)?,
        };
        input.end()?;
        let moved = super::pay(&*self.store, name, payment, self.clock.now()).await?;
        Ok(AccountAnswer::of(&moved).created_if(moved.changed))
    }
}

/// A client's terms; `null` takes one away.
fn read_terms(mut input: Input) -> Result<ClientChange, AccountError> {
    let change = ClientChange {
        markup: input.term("markup", values::percent)?,
        rps: input.number("rps", values::rps)?,
        credit: input.term("credit", values::credit)?.map(Option::unwrap_or_default),
        daily_limit: input.term("daily_limit", values::amount)?,
        allow_ips: input.list("allow_ips", values::address_range)?,
        allow_services: input.list("allow_services", values::service_glob)?,
        disabled: None,
    };
    input.end()?;
    Ok(change)
}
