//! What is shown of accounts: the same documents on the command line and over HTTP.

use serde::Serialize;

use crate::app::documents::time;
use crate::store::records::{Account, KeyRecord, LedgerRecord};

/// A client as `client show` prints it.
#[derive(Debug, Serialize)]
pub struct ClientDocument {
    /// Its name.
    pub client: String,
    /// What it may spend, without its credit.
    pub balance: String,
    /// How far below zero the balance may go.
    pub credit: String,
    /// Sum over its ledger.
    pub deposits: String,
    /// Sum over its ledger, at or above zero.
    pub withdrawals: String,
    /// Sum over its ledger, at or above zero.
    pub charges: String,
    /// Sum over its ledger.
    pub refunds: String,
    /// Its own markup in percent.
    pub markup: Option<String>,
    /// Requests per second.
    pub rps: Option<u32>,
    /// Charges less refunds in a UTC day.
    pub daily_limit: Option<String>,
    /// Address ranges that it may come from; empty: any.
    pub allow_ips: Vec<String>,
    /// Patterns over service IDs that it may buy; empty: any.
    pub allow_services: Vec<String>,
    /// Whether it may make no calls.
    pub disabled: bool,
    /// Its keys, without themselves.
    pub keys: Vec<KeyDocument>,
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

/// A key as it is listed: never itself.
#[derive(Debug, Serialize)]
pub struct KeyDocument {
    /// Its number.
    pub id: i64,
    /// The operator's name for it.
    pub label: Option<String>,
    /// Whether it may not spend.
    pub read_only: bool,
    /// When it was made.
    pub created_at: String,
}

impl From<KeyRecord> for KeyDocument {
    fn from(key: KeyRecord) -> Self {
        Self {
            id: key.id,
            label: (!key.label.is_empty()).then_some(key.label),
            read_only: key.read_only,
            created_at: time(key.created_at),
        }
    }
}

/// A ledger entry as `client ledger` and `orders show` print it.
#[derive(Debug, Serialize)]
pub struct EntryDocument {
    /// When.
    pub at: String,
    /// `deposit`, `withdrawal`, `charge`, `refund` or `correction`.
    pub kind: &'static str,
    /// Signed.
    pub amount: String,
    /// The client's balance after it.
    pub balance: String,
    /// The order it belongs to.
    pub order: Option<u32>,
    /// The operator's name for the payment.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// The operator's note.
    pub note: Option<String>,
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

/// A client that was made. Holds its key, so it can't be printed for debugging.
#[derive(Serialize)]
pub struct NewClientDocument {
    /// Its name.
    pub client: String,
    /// Its API key, shown only this once.
    pub key: String,
    /// Its balance.
    pub balance: String,
}

/// A key that was made. Holds it, so it can't be printed for debugging.
#[derive(Serialize)]
pub struct NewKeyDocument {
    /// Whose.
    pub client: String,
    /// Its number.
    pub id: i64,
    /// The key, shown only this once.
    pub key: String,
}

/// A key that was taken away.
#[derive(Debug, Serialize)]
pub struct RevokedDocument {
    /// Whose.
    pub client: String,
    /// Its number.
    pub id: i64,
}

/// What came of a deposit or a withdrawal.
#[derive(Debug, Serialize)]
pub struct MovedDocument {
    /// The client.
    pub client: String,
    /// Its balance after it.
    pub balance: String,
    /// False where the reference was used before: nothing was written.
    pub changed: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;
    use crate::domain::client::{Client, EntryKind};
    use crate::domain::ids::{ClientId, OrderId};
    use crate::domain::money::Money;
    use crate::domain::time::Timestamp;

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
