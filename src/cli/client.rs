//! `tollgate client`: a client's account.

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::client_terms::TermOptions;
use super::key::{self, KeyDocument};
use super::output::{fields, or_dash, table, talk, time};
use super::{BadUsage, Call, ExitStatus, now, values};
use crate::domain::client::EntryKind;
use crate::domain::money::Money;
use crate::store::records::{Account, ClientChange, LedgerRecord, Moved, Movement, NewClient};

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
    /// Your own name for this payment: a repeated one changes nothing.
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
        ClientVerb::Deposit(options) => move_money(call, EntryKind::Deposit, options).await?,
        ClientVerb::Withdraw(options) => move_money(call, EntryKind::Withdrawal, options).await?,
        ClientVerb::Disable { name } => change(call, &name, switch(true), "is disabled").await?,
        ClientVerb::Enable { name } => change(call, &name, switch(false), "is enabled").await?,
        ClientVerb::Ledger { name, limit } => ledger(call, &name, limit).await?,
    }
    Ok(ExitStatus::Done)
}

fn switch(disabled: bool) -> ClientChange {
    ClientChange { disabled: Some(disabled), ..ClientChange::default() }
}

// === Documents ===

/// A client as `client show` prints it.
#[derive(Debug, Serialize)]
struct ClientDocument {
    client: String,
    balance: String,
    credit: String,
    deposits: String,
    withdrawals: String,
    charges: String,
    refunds: String,
    markup: Option<String>,
    rps: Option<u32>,
    daily_limit: Option<String>,
    allow_ips: Vec<String>,
    allow_services: Vec<String>,
    disabled: bool,
    keys: Vec<KeyDocument>,
}

impl From<Account> for ClientDocument {
    fn from(account: Account) -> Self {
        let client = account.client;
        Self {
            client: client.name,
            balance: account.balance.to_string(),
            credit: client.credit.to_string(),
            deposits: account.deposits.to_string(),
            withdrawals: account.withdrawals.to_string(),
            charges: account.charges.to_string(),
            refunds: account.refunds.to_string(),
            markup: client.markup.map(|markup| markup.to_string()),
            rps: client.rps,
            daily_limit: client.daily_limit.map(|limit| limit.to_string()),
            allow_ips: client.allow_ips,
            allow_services: client.allow_services,
            disabled: client.disabled,
            keys: account.keys.into_iter().map(KeyDocument::from).collect(),
        }
    }
}

/// A ledger entry as `client ledger` and `orders show` print it.
#[derive(Debug, Serialize)]
pub(super) struct EntryDocument {
    at: String,
    kind: &'static str,
    amount: String,
    balance: String,
    order: Option<u32>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    note: Option<String>,
}

impl From<LedgerRecord> for EntryDocument {
    fn from(entry: LedgerRecord) -> Self {
        Self {
            at: time(entry.at),
            kind: entry.kind.as_str(),
            amount: entry.amount.to_string(),
            balance: entry.balance.to_string(),
            order: entry.order.map(|order| order.get()),
            reference: entry.reference,
            note: entry.note,
        }
    }
}

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

#[derive(Serialize)]
struct AddedDocument<'a> {
    client: &'a str,
    key: &'a str,
    balance: String,
}

async fn add(call: &Call, name: String, deposit: Option<Money>, terms: TermOptions) -> anyhow::Result<()> {
    let store = call.store()?;
    let (text, new_key) = key::new_key(String::new(), false)?;
    let client = NewClient { terms: terms.into_client(name), key: new_key, deposit: deposit.unwrap_or_default() };
    let account = store.create_client(client, now()).await?;
    let name = &account.client.name;
    let document = AddedDocument { client: name, key: &text, balance: account.balance.to_string() };
    if !call.output.is_json() {
        talk(&format!("client {name} has a balance of {}; its API key, shown only now, is", account.balance));
    }
    Ok(call.output.print(&document, || text.clone())?)
}

async fn list(call: &Call) -> anyhow::Result<()> {
    let accounts = call.store()?.accounts().await?;
    let documents: Vec<ClientDocument> = accounts.into_iter().map(ClientDocument::from).collect();
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
    let document = ClientDocument::from(call.store()?.account(name).await?);
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
    let document = ClientDocument::from(call.store()?.change_client(name, change).await?);
    if !call.output.is_json() {
        talk(&format!("client {} {done}; a running gateway knows within two seconds", document.client));
    }
    Ok(call.output.print(&document, || describe(&document))?)
}

#[derive(Serialize)]
struct MovedDocument<'a> {
    client: &'a str,
    balance: String,
    /// False where the reference was used before.
    changed: bool,
}

async fn move_money(call: &Call, kind: EntryKind, options: MoveOptions) -> anyhow::Result<()> {
    let MoveOptions { name, amount, reference, note } = options;
    let signed = if kind == EntryKind::Withdrawal { amount.negated() } else { amount };
    let movement = Movement { kind, amount: signed, reference, note };
    let (balance, changed) = match call.store()?.move_money(&name, movement, now()).await? {
        Moved::Done(balance) => (balance, true),
        Moved::Repeat(balance) => {
            talk(&format!("this reference was used before for client {name}: nothing was changed"));
            (balance, false)
        }
        Moved::NotEnoughFunds(balance) => {
            bail!("client {name} has a balance of {balance}: {amount} can't be withdrawn from it")
        }
    };
    let document = MovedDocument { client: &name, balance: balance.to_string(), changed };
    Ok(call.output.print(&document, || format!("client {name} has a balance of {balance}"))?)
}

async fn ledger(call: &Call, name: &str, limit: Option<u32>) -> anyhow::Result<()> {
    let entries = call.store()?.ledger(name, limit.map_or(Ok(usize::MAX), usize::try_from)?).await?;
    let documents: Vec<EntryDocument> = entries.into_iter().map(EntryDocument::from).collect();
    Ok(call.output.print(&documents, || entry_table(&documents))?)
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;
    use crate::domain::client::Client;
    use crate::domain::ids::{ClientId, OrderId};
    use crate::domain::time::Timestamp;
    use crate::store::records::KeyRecord;

    fn account() -> Account {
        let money = |text: &str| text.parse::<Money>().unwrap();
        Account {
            client: Client {
                id: ClientId(1),
                name: "shop".into(),
                markup: Some("12.50".parse().unwrap()),
                rps: None,
                credit: Money::ZERO,
                daily_limit: None,
                allow_ips: vec!["192.0.2.0/24".into()],
                allow_services: vec![],
                disabled: false,
            },
            balance: money("8.8"),
            deposits: money("10"),
            withdrawals: Money::ZERO,
            charges: money("1.5"),
            refunds: money("0.3"),
            keys: vec![KeyRecord {
                id: 4,
                label: String::new(),
                read_only: true,
                created_at: Timestamp::from_millis(0),
            }],
        }
    }

    #[test]
    fn a_client_is_shown_under_the_names_that_scripts_rely_on() {
        assert_eq!(
            to_value(ClientDocument::from(account())).unwrap(),
            json!({
                "client": "shop", "balance": "8.8", "credit": "0", "deposits": "10", "withdrawals": "0",
                "charges": "1.5", "refunds": "0.3", "markup": "12.5", "rps": null, "daily_limit": null,
                "allow_ips": ["192.0.2.0/24"], "allow_services": [], "disabled": false,
                "keys": [{"id": 4, "label": null, "read_only": true, "created_at": "1970-01-01T00:00:00Z"}],
            })
        );
    }

    #[test]
    fn a_client_is_described_with_its_keys() {
        let text = describe(&ClientDocument::from(account()));
        assert!(text.starts_with("client               shop\n"), "{text}");
        assert!(text.contains("\nservices             any\n"), "{text}");
        assert!(text.ends_with("\n4    -      read only  1970-01-01T00:00:00Z"), "{text}");
    }

    #[test]
    fn a_ledger_entry_is_signed_and_names_its_order() {
        let entry = LedgerRecord {
            at: Timestamp::from_millis(1_500),
            kind: EntryKind::Charge,
            amount: "-1.50".parse().unwrap(),
            balance: "8.50".parse().unwrap(),
            order: Some(OrderId::new(7).unwrap()),
            reference: None,
            note: None,
        };
        assert_eq!(
            to_value(EntryDocument::from(entry)).unwrap(),
            json!({"at": "1970-01-01T00:00:01.5Z", "kind": "charge", "amount": "-1.5", "balance": "8.5", "order": 7,
                   "ref": null, "note": null})
        );
    }
}
