//! Clients: their terms, and their accounts as the operator sees them.

use rusqlite::{Connection, OptionalExtension, params};

use super::access;
use super::movements::{Entry, Terms, post};
use super::rows::{Columns, collect, first, read_decimal, write_json};
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
pub(super) fn read_client(columns: &mut Columns<'_, '_>) -> StoreResult<Client> {
    let id = ClientId(columns.take()?);
    let name: String = columns.take()?;
    let corrupt = |what: &str| StoreError::Corrupt(format!("client {name:?}: its {what} can't be read"));
    let markup: Option<String> = columns.take()?;
    let markup = markup.map(|text| read_decimal(&text).map(Percent::new)).transpose()?;
    let (rps, credit, daily_limit) = (columns.take()?, columns.money()?, columns.maybe_money()?);
    let allow_ips = serde_json::from_str(&columns.take::<String>()?).map_err(|_| corrupt("address ranges"))?;
    let allow_services = serde_json::from_str(&columns.take::<String>()?).map_err(|_| corrupt("services"))?;
    let disabled = columns.take()?;
    Ok(Client { id, name, markup, rps, credit, daily_limit, allow_ips, allow_services, disabled })
}

/// The row of the client `name`.
pub(super) fn id_of(conn: &Connection, name: &str) -> StoreResult<ClientId> {
    let id = conn
        .prepare_cached("SELECT id FROM clients WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    id.map(ClientId).ok_or_else(|| StoreError::NotFound { what: "client", name: name.to_owned() })
}

/// See [`crate::store::Store::create_client`].
pub(super) fn create(conn: &Connection, new: NewClient, now: Timestamp) -> StoreResult<()> {
    let NewClient { terms, key, deposit } = new;
    if conn.prepare_cached("SELECT 1 FROM clients WHERE name = ?1")?.exists([&terms.name])? {
        return Err(StoreError::Exists { what: "client", name: terms.name });
    }
    conn.prepare_cached(
        "INSERT INTO clients (name, markup, rps, credit, daily_limit, allow_ips, allow_services, disabled, balance) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)",
    )?
    .execute(params![
        terms.name,
        terms.markup.map(|markup| markup.to_string()),
        terms.rps,
        terms.credit.units(),
        terms.daily_limit.map(Money::units),
        write_json(&terms.allow_ips)?,
        write_json(&terms.allow_services)?,
        terms.disabled,
    ])?;
    let client = ClientId(conn.last_insert_rowid());
    access::insert_key(conn, client, &key, now)?;
    if deposit != Money::ZERO {
        let present = Terms::unspent(Money::ZERO, terms.credit, terms.disabled);
        post(conn, &present, Entry::new(client, now, EntryKind::Deposit, deposit))?;
    }
    access::bump(conn)
}

/// See [`crate::store::Store::change_client`].
pub(super) fn change(conn: &Connection, name: &str, change: ClientChange) -> StoreResult<()> {
    let client = id_of(conn, name)?;
    let mut statement =
        conn.prepare_cached(concat!("SELECT ", client_columns!(), " FROM clients WHERE clients.id = ?1"))?;
    let terms = first(&mut statement, [client.0], |row| read_client(&mut Columns::of(row)))?
        .ok_or_else(|| StoreError::NotFound { what: "client", name: name.to_owned() })?;
    conn.prepare_cached(
        "UPDATE clients SET markup = ?2, rps = ?3, credit = ?4, daily_limit = ?5, allow_ips = ?6, \
         allow_services = ?7, disabled = ?8 WHERE id = ?1",
    )?
    .execute(params![
        client.0,
        change.markup.unwrap_or(terms.markup).map(|markup| markup.to_string()),
        change.rps.unwrap_or(terms.rps),
        change.credit.unwrap_or(terms.credit).units(),
        change.daily_limit.unwrap_or(terms.daily_limit).map(Money::units),
        write_json(&change.allow_ips.unwrap_or(terms.allow_ips))?,
        write_json(&change.allow_services.unwrap_or(terms.allow_services))?,
        change.disabled.unwrap_or(terms.disabled),
    ])?;
    access::bump(conn)
}

/// A client with its balance.
pub(super) fn account(conn: &Connection, name: &str) -> StoreResult<Account> {
    let mut statement =
        conn.prepare_cached(concat!("SELECT ", client_columns!(), ", balance FROM clients WHERE name = ?1"))?;
    let found = first(&mut statement, [name], |row| {
        let mut columns = Columns::of(row);
        Ok((read_client(&mut columns)?, columns.money()?))
    })?;
    let (client, balance) = found.ok_or_else(|| StoreError::NotFound { what: "client", name: name.to_owned() })?;
    complete(conn, client, balance)
}

/// All clients, by name.
pub(super) fn accounts(conn: &Connection) -> StoreResult<Vec<Account>> {
    let mut statement =
        conn.prepare_cached(concat!("SELECT ", client_columns!(), ", balance FROM clients ORDER BY name"))?;
    let found = collect(&mut statement, [], |row| {
        let mut columns = Columns::of(row);
        Ok((read_client(&mut columns)?, columns.money()?))
    })?;
    found.into_iter().map(|(client, balance)| complete(conn, client, balance)).collect()
}

/// Adds the sums over the ledger and the keys.
fn complete(conn: &Connection, client: Client, balance: Money) -> StoreResult<Account> {
    let mut statement =
        conn.prepare_cached("SELECT kind, abs(sum(amount)) FROM ledger WHERE client = ?1 GROUP BY kind")?;
    let sums: Vec<(String, Money)> = collect(&mut statement, [client.id.0], |row| {
        let mut columns = Columns::of(row);
        Ok((columns.take()?, columns.money()?))
    })?;
    let sum = |kind: EntryKind| {
        sums.iter().find(|(word, _)| word == kind.as_str()).map_or(Money::ZERO, |(_, amount)| *amount)
    };
    Ok(Account {
        balance,
        deposits: sum(EntryKind::Deposit),
        withdrawals: sum(EntryKind::Withdrawal),
        charges: sum(EntryKind::Charge),
        refunds: sum(EntryKind::Refund),
        keys: access::keys_of(conn, client.id)?,
        client,
    })
}

/// The balance of a client.
pub(super) fn balance(conn: &Connection, client: ClientId) -> StoreResult<Money> {
    let units = conn
        .prepare_cached("SELECT balance FROM clients WHERE id = ?1")?
        .query_row([client.0], |row| row.get(0))
        .optional()?;
    units.map(Money::from_units).ok_or_else(|| StoreError::NotFound { what: "client", name: client.to_string() })
}
