//! `tollgate client`: a client's account.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::client_terms::TermOptions;
use super::key;
use super::output::{fields, or_dash, table, talk};
use super::{BadUsage, Call, ExitStatus, now, values};
use crate::app::accounts::documents::{ClientDocument, EntryDocument, MovedDocument, NewClientDocument};
use crate::app::accounts::{self, AccountError, Payment};
use crate::domain::client::EntryKind;
use crate::domain::money::Money;
use crate::store::records::ClientChange;

#[derive(Debug, Subcommand)]
pub(super) enum ClientVerb {
    /// Make a client and print its API key, which is shown only then.
    Add {
        /// Its name, unique.
        #[arg(value_parser = values::name)]
        name: String,
        /// Money that it has paid already.
        #[arg(long, value_name = "AMOUNT", value_parser = values::amount)]
        deposit: Option<Money>,
        #[command(flatten)]
        terms: TermOptions,
    },
    /// All clients.
    List,
    /// One client's account, terms and keys.
    Show {
        /// The client.
        name: String,
    },
    /// Change a client's terms; the word `none` takes one away.
    Set {
        /// The client.
        name: String,
        #[command(flatten)]
        terms: TermOptions,
    },
    /// Put money on a client's account.
    Deposit(MoveOptions),
    /// Take money off a client's account, as far as its balance goes.
    Withdraw(MoveOptions),
    /// Let a client make no more calls; its orders go on.
    Disable {
        /// The client.
        name: String,
    },
    /// Let a client make calls again.
    Enable {
        /// The client.
        name: String,
    },
    /// A client's ledger, oldest entry first.
    Ledger {
        /// The client.
        name: String,
        /// The last N entries only.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
    },
}

#[derive(Debug, Args)]
pub(super) struct MoveOptions {
    /// The client.
    name: String,
    /// How much.
    #[arg(value_parser = values::amount)]
    amount: Money,
    /// Your own name for this payment: a repeated one changes nothing, and fails with another amount.
    #[arg(long = "ref", value_name = "TEXT", value_parser = values::line)]
    reference: Option<String>,
    /// For the ledger.
    #[arg(long, value_name = "TEXT", value_parser = values::line)]
    note: Option<String>,
}

pub(super) async fn run(call: &Call, verb: ClientVerb) -> anyhow::Result<ExitStatus> {
    match verb {
        ClientVerb::Add { name, deposit, terms } => add(call, name, deposit, terms).await?,
        ClientVerb::List => list(call).await?,
        ClientVerb::Show { name } => show(call, &name).await?,
        ClientVerb::Set { name, terms } => {
            if terms.is_empty() {
                return Err(BadUsage("client set: name at least one term to change, such as --markup 15").into());
            }
            change(call, &name, terms.into_change(), "has its new terms").await?;
        }
        ClientVerb::Deposit(options) => pay(call, EntryKind::Deposit, options).await?,
        ClientVerb::Withdraw(options) => pay(call, EntryKind::Withdrawal, options).await?,
        ClientVerb::Disable { name } => change(call, &name, switch(true), "is disabled").await?,
        ClientVerb::Enable { name } => change(call, &name, switch(false), "is enabled").await?,
        ClientVerb::Ledger { name, limit } => ledger(call, &name, limit).await?,
    }
    Ok(ExitStatus::Done)
}

fn switch(disabled: bool) -> ClientChange {
    ClientChange { disabled: Some(disabled), ..ClientChange::default() }
}

// === Tables ===

pub(super) fn entry_table(entries: &[EntryDocument]) -> String {
    let rows = entries.iter().map(|entry| {
        [
            entry.at.clone(),
            entry.kind.to_owned(),
            entry.amount.clone(),
            entry.balance.clone(),
            or_dash(entry.order),
            or_dash(entry.reference.as_ref()),
            or_dash(entry.note.as_ref()),
        ]
    });
    table(["AT", "KIND", "AMOUNT", "BALANCE", "ORDER", "REF", "NOTE"], rows)
}

// === Verbs ===

async fn add(call: &Call, name: String, deposit: Option<Money>, terms: TermOptions) -> anyhow::Result<()> {
    let document = accounts::create(&*call.store().await?, name, deposit, terms.into_change(), now()).await?;
    if !call.output.is_json() {
        let NewClientDocument { client, balance, .. } = &document;
        talk(&format!("client {client} has a balance of {balance}; its API key, shown only now, is"));
    }
    Ok(call.output.print(&document, || document.key.clone())?)
}

async fn list(call: &Call) -> anyhow::Result<()> {
    let documents = accounts::list(&*call.store().await?).await?;
    Ok(call.output.print(&documents, || {
        let rows = documents.iter().map(|document| {
            [
                document.client.clone(),
                document.balance.clone(),
                document.credit.clone(),
                or_dash(document.markup.as_ref()),
                or_dash(document.rps),
                document.keys.len().to_string(),
                if document.disabled { "disabled" } else { "enabled" }.to_owned(),
            ]
        });
        table(["CLIENT", "BALANCE", "CREDIT", "MARKUP %", "RPS", "KEYS", "STATE"], rows)
    })?)
}

async fn show(call: &Call, name: &str) -> anyhow::Result<()> {
    let document = accounts::show(&*call.store().await?, name).await?;
    Ok(call.output.print(&document, || describe(&document))?)
}

fn describe(document: &ClientDocument) -> String {
    let any = |list: &[String]| if list.is_empty() { "any".to_owned() } else { list.join(", ") };
    let account = fields([
        ("client", document.client.clone()),
        ("state", if document.disabled { "disabled" } else { "enabled" }.to_owned()),
        ("balance", document.balance.clone()),
        ("credit", document.credit.clone()),
        ("deposits", document.deposits.clone()),
        ("withdrawals", document.withdrawals.clone()),
        ("charges", document.charges.clone()),
        ("refunds", document.refunds.clone()),
        ("markup %", or_dash(document.markup.as_ref())),
        ("requests per second", or_dash(document.rps)),
        ("daily limit", or_dash(document.daily_limit.as_ref())),
        ("addresses", any(&document.allow_ips)),
        ("services", any(&document.allow_services)),
    ]);
    format!("{account}\n\n{}", key::key_table(&document.keys))
}

async fn change(call: &Call, name: &str, change: ClientChange, done: &str) -> anyhow::Result<()> {
    let document = accounts::change(&*call.store().await?, name, change).await?;
    if !call.output.is_json() {
        talk(&format!("client {} {done}; a running gateway knows within two seconds", document.client));
    }
    Ok(call.output.print(&document, || describe(&document))?)
}

async fn pay(call: &Call, kind: EntryKind, options: MoveOptions) -> anyhow::Result<()> {
    let MoveOptions { name, amount, reference, note } = options;
    let payment = Payment { kind, amount, reference, note };
    let document = match accounts::pay(&*call.store().await?, &name, payment, now()).await {
        Ok(document) => document,
        Err(error) => {
            if let AccountError::ReferenceConflict { balance, .. } = &error {
                let moved = MovedDocument { client: name, balance: balance.to_string(), changed: false };
                call.output.print(&ConflictDocument { moved, error: error.to_string() }, String::new)?;
            }
            return Err(error.into());
        }
    };
    if !document.changed {
        talk(&format!("this reference was used before for client {name}: nothing was changed"));
    }
    Ok(call.output.print(&document, || has_balance(&document))?)
}

/// A payment that was not written since its reference stands for another one.
#[derive(Serialize)]
struct ConflictDocument {
    #[serde(flatten)]
    moved: MovedDocument,
    error: String,
}

fn has_balance(document: &MovedDocument) -> String {
    format!("client {} has a balance of {}", document.client, document.balance)
}

async fn ledger(call: &Call, name: &str, limit: Option<u32>) -> anyhow::Result<()> {
    let limit = limit.map_or(Ok(usize::MAX), usize::try_from)?;
    let documents = accounts::ledger(&*call.store().await?, name, limit).await?;
    Ok(call.output.print(&documents, || entry_table(&documents))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::accounts::documents::KeyDocument;

    #[test]
    fn a_client_is_described_with_its_keys() {
        let none = String::new;
        let key = KeyDocument { id: 4, label: None, read_only: true, created_at: "1970-01-01T00:00:00Z".into() };
        let text = describe(&ClientDocument {
            client: "shop".into(),
            balance: none(),
            credit: none(),
            deposits: none(),
            withdrawals: none(),
            charges: none(),
            refunds: none(),
            markup: None,
            rps: None,
            daily_limit: None,
            allow_ips: vec![],
            allow_services: vec![],
            disabled: false,
            keys: vec![key],
        });
        assert!(text.starts_with("client               shop\n"), "{text}");
        assert!(text.contains("\nservices             any\n"), "{text}");
        assert!(text.ends_with("\n4    -      read only  1970-01-01T00:00:00Z"), "{text}");
    }
}
