//! Clients: their terms, and their accounts as the operator sees them.

use super::access;
use super::movements::{Entry, Terms, post};
use super::rows::{Columns, read_decimal, write_json};
use super::session::Session;
use super::values::params;
use crate::domain::client::{Client, EntryKind};
use crate::domain::ids::ClientId;
use crate::domain::money::{Money, Percent};
use crate::domain::time::Timestamp;
use crate::store::records::{Account, ClientChange, NewClient};
use crate::store::{StoreError, StoreResult};

/// Every column of a client's terms.
macro_rules! client_columns {
    () => {
        "clients.id, name, markup, rps, credit, daily_limit, allow_ips, allow_services, disabled"
    };
}
pub(super) use client_columns;

/// A client's terms from [`client_columns`].
pub(super) fn read_client(columns: &mut Columns<'_>) -> StoreResult<Client> {
    let id = ClientId(columns.take()?);
    let name: String = columns.take()?;
    let corrupt = |what: &str| StoreError::Corrupt(format!("client {name:?}: its {what} can't be read"));
    let markup: Option<String> = columns.take()?;
    let markup = markup.map(|text| read_decimal(&text).map(Percent::new)).transpose()?;
    let (rps, credit, daily_limit) = (columns.maybe_small()?, columns.money()?, columns.maybe_money()?);
    let allow_ips = serde_json::from_str(columns.take()?).map_err(|_| corrupt("address ranges"))?;
    let allow_services = serde_json::from_str(columns.take()?).map_err(|_| corrupt("services"))?;
    let disabled = columns.take()?;
    Ok(Client { id, name, markup, rps, credit, daily_limit, allow_ips, allow_services, disabled })
}

/// The row of the client `name`.
pub(super) async fn id_of(db: &Session, name: &str) -> StoreResult<ClientId> {
    let id = db.first("SELECT id FROM clients WHERE name = $1", params![name], |row| Ok(row.try_get(0)?)).await?;
    id.map(ClientId).ok_or_else(|| StoreError::NotFound { what: "client", name: name.to_owned() })
}

/// See [`crate::store::Store::create_client`].
pub(super) async fn create(db: &Session, new: &NewClient, now: Timestamp) -> StoreResult<()> {
    let NewClient { terms, key, deposit } = new;
    let sql = "INSERT INTO clients (name, markup, rps, credit, daily_limit, allow_ips, allow_services, disabled, balance) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0) ON CONFLICT (name) DO NOTHING RETURNING id";
    let params = params![
        &terms.name,
        terms.markup.map(|markup| markup.to_string()),
        terms.rps,
        terms.credit.units(),
        terms.daily_limit.map(Money::units),
        write_json(&terms.allow_ips)?,
        write_json(&terms.allow_services)?,
        terms.disabled,
    ];
    let id = db.first(sql, params, |row| Ok(row.try_get(0)?)).await?;
    let client = id.map(ClientId).ok_or_else(|| StoreError::Exists { what: "client", name: terms.name.clone() })?;
    access::insert_key(db, client, key, now).await?;
    if *deposit != Money::ZERO {
        let present = Terms { balance: Money::ZERO, credit: terms.credit };
        post(db, &present, Entry::new(client, now, EntryKind::Deposit, *deposit)).await?;
    }
    access::bump(db).await
}

/// See [`crate::store::Store::change_client`].
pub(super) async fn change(db: &Session, name: &str, change: &ClientChange) -> StoreResult<()> {
    let sql = concat!("SELECT ", client_columns!(), " FROM clients WHERE name = $1 FOR NO KEY UPDATE");
    let terms = db.first(sql, params![name], |row| read_client(&mut Columns::of(row))).await?;
    let terms = terms.ok_or_else(|| StoreError::NotFound { what: "client", name: name.to_owned() })?;
    let change = change.clone();
    db.execute(
        "UPDATE clients SET markup = $2, rps = $3, credit = $4, daily_limit = $5, allow_ips = $6, \
         allow_services = $7, disabled = $8 WHERE id = $1",
        params![
            terms.id.0,
            change.markup.unwrap_or(terms.markup).map(|markup| markup.to_string()),
            change.rps.unwrap_or(terms.rps),
            change.credit.unwrap_or(terms.credit).units(),
            change.daily_limit.unwrap_or(terms.daily_limit).map(Money::units),
            write_json(&change.allow_ips.unwrap_or(terms.allow_ips))?,
            write_json(&change.allow_services.unwrap_or(terms.allow_services))?,
            change.disabled.unwrap_or(terms.disabled),
        ],
    )
    .await?;
    access::bump(db).await
}

/// A client with its balance.
pub(super) async fn account(db: &Session, name: &str) -> StoreResult<Account> {
    let sql = concat!("SELECT ", client_columns!(), ", balance FROM clients WHERE name = $1");
    let found = db.first(sql, params![name], |row| {
        let mut columns = Columns::of(row);
        Ok((read_client(&mut columns)?, columns.money()?))
    });
    let (client, balance) =
        found.await?.ok_or_else(|| StoreError::NotFound { what: "client", name: name.to_owned() })?;
    complete(db, client, balance).await
}

/// All clients, by name.
pub(super) async fn accounts(db: &Session) -> StoreResult<Vec<Account>> {
    let sql = concat!("SELECT ", client_columns!(), ", balance FROM clients ORDER BY name COLLATE \"C\"");
    let found = db.collect(sql, params![], |row| {
        let mut columns = Columns::of(row);
        Ok((read_client(&mut columns)?, columns.money()?))
    });
    let mut accounts = Vec::new();
    for (client, balance) in found.await? {
        accounts.push(complete(db, client, balance).await?);
    }
    Ok(accounts)
}

/// Adds the sums over the ledger and the keys.
async fn complete(db: &Session, client: Client, balance: Money) -> StoreResult<Account> {
    let sql = "SELECT kind, abs(sum(amount))::bigint FROM ledger WHERE client = $1 GROUP BY kind";
    let sums = db.collect(sql, params![client.id.0], |row| {
        let mut columns = Columns::of(row);
        Ok((columns.take::<String>()?, columns.money()?))
    });
    let sums = sums.await?;
    let sum = |kind: EntryKind| {
        sums.iter().find(|(word, _)| word == kind.as_str()).map_or(Money::ZERO, |(_, amount)| *amount)
    };
    Ok(Account {
        balance,
        deposits: sum(EntryKind::Deposit),
        withdrawals: sum(EntryKind::Withdrawal),
        charges: sum(EntryKind::Charge),
        refunds: sum(EntryKind::Refund),
        keys: access::keys_of(db, client.id).await?,
        client,
    })
}

/// The balance of a client.
pub(super) async fn balance(db: &Session, client: ClientId) -> StoreResult<Money> {
    let sql = "SELECT balance FROM clients WHERE id = $1";
    let found = db.first(sql, params![client.0], |row| Columns::of(row).money()).await?;
    found.ok_or_else(|| StoreError::NotFound { what: "client", name: client.to_string() })
}
