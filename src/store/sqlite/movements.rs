//! The ledger: every movement of a client's money is one entry, written with the balance after it.

use rusqlite::{Connection, Row, params};

use super::clients::id_of;
use super::rows::{Columns, collect, first, order_id};
use crate::domain::client::EntryKind;
use crate::domain::ids::{ClientId, OrderId};
use crate::domain::money::Money;
use crate::domain::time::Timestamp;
use crate::store::records::{LedgerRecord, Moved, Movement};
use crate::store::{StoreError, StoreResult};

/// What decides about a client's money, as it is at this moment.
pub(super) struct Terms {
    pub(super) balance: Money,
    pub(super) credit: Money,
    pub(super) daily_limit: Option<Money>,
    pub(super) disabled: bool,
    spent: Option<Spent>,
}

/// Charges less refunds of one UTC day, each counted when it was made.
struct Spent {
    /// Its first moment.
    day: Timestamp,
    amount: Money,
}

impl Terms {
    /// Of a client that has charges and refunds of no day.
    pub(super) const fn unspent(balance: Money, credit: Money, disabled: bool) -> Self {
        Self { balance, credit, daily_limit: None, disabled, spent: None }
    }

    /// Charges less refunds in the UTC day of `at`. Known for the day of the last of them, whichever that is: the clock may
    /// have been set back.
    pub(super) fn spent(&self, conn: &Connection, client: ClientId, at: Timestamp) -> StoreResult<Money> {
        let day = at.start_of_day();
        match &self.spent {
            Some(spent) if spent.day == day => Ok(spent.amount),
            _ => add_up(conn, client, day),
        }
    }
}

fn add_up(conn: &Connection, client: ClientId, day: Timestamp) -> StoreResult<Money> {
    let units = conn
        .prepare_cached(
            "SELECT -coalesce(sum(amount), 0) FROM ledger \
             WHERE client = ?1 AND kind IN ('charge', 'refund') AND at >= ?2 AND at < ?2 + 86400000",
        )?
        .query_one(params![client.0, day.millis()], |row| row.get(0))?;
    Ok(Money::from_units(units))
}

/// A client's [`Terms`]; `None` where there is no such client.
pub(super) fn terms(conn: &Connection, client: ClientId) -> StoreResult<Option<Terms>> {
    let mut statement = conn
        .prepare_cached("SELECT balance, credit, daily_limit, disabled, spent_day, spent FROM clients WHERE id = ?1")?;
    first(&mut statement, [client.0], |row| {
        let mut columns = Columns::of(row);
        let (balance, credit, daily_limit) = (columns.money()?, columns.money()?, columns.maybe_money()?);
        let disabled = columns.take()?;
        let (day, amount) = (columns.maybe_time()?, columns.money()?);
        Ok(Terms { balance, credit, daily_limit, disabled, spent: day.map(|day| Spent { day, amount }) })
    })
}

/// An entry to be written.
pub(super) struct Entry {
    pub(super) client: ClientId,
    pub(super) at: Timestamp,
    pub(super) kind: EntryKind,
    /// Signed.
    pub(super) amount: Money,
    pub(super) order: Option<OrderId>,
    pub(super) reference: Option<String>,
    pub(super) note: Option<String>,
}

impl Entry {
    /// An entry of no order, without reference or note.
    pub(super) const fn new(client: ClientId, at: Timestamp, kind: EntryKind, amount: Money) -> Self {
        Self { client, at, kind, amount, order: None, reference: None, note: None }
    }
}

/// Writes an entry and the balance after it, which it gives. `terms` are the client's in this transaction.
pub(super) fn post(conn: &Connection, terms: &Terms, entry: Entry) -> StoreResult<Money> {
    let no_room = || {
        StoreError::Engine(format!(
            "the balance of client {} has no room for {}; nothing was written",
            entry.client, entry.amount
        ))
    };
    let balance = terms.balance.checked_add(entry.amount).ok_or_else(no_room)?;
    if matches!(entry.kind, EntryKind::Charge | EntryKind::Refund) {
        let spent = terms.spent(conn, entry.client, entry.at)?.checked_sub(entry.amount).ok_or_else(no_room)?;
        let day = entry.at.start_of_day();
        conn.prepare_cached("UPDATE clients SET balance = ?2, spent_day = ?3, spent = ?4 WHERE id = ?1")?
            .execute(params![entry.client.0, balance.units(), day.millis(), spent.units()])?;
    } else {
        conn.prepare_cached("UPDATE clients SET balance = ?2 WHERE id = ?1")?
            .execute(params![entry.client.0, balance.units()])?;
    }
    conn.prepare_cached(
        "INSERT INTO ledger (client, at, kind, amount, balance, credit, order_id, reference, note) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        entry.client.0,
        entry.at.millis(),
        entry.kind.as_str(),
        entry.amount.units(),
        balance.units(),
        terms.credit.units(),
        entry.order.map(OrderId::get),
        entry.reference,
        entry.note,
    ])?;
    Ok(balance)
}

/// See [`crate::store::Store::move_money`].
pub(super) fn move_money(conn: &Connection, name: &str, movement: Movement, now: Timestamp) -> StoreResult<Moved> {
    let client = id_of(conn, name)?;
    let terms = terms(conn, client)?.ok_or_else(|| StoreError::Corrupt(format!("client {name:?} is half there")))?;
    let Movement { kind, amount, reference, note } = movement;
    if let Some(reference) = &reference {
        let mut statement = conn.prepare_cached("SELECT amount FROM ledger WHERE client = ?1 AND reference = ?2")?;
        let earlier = first(&mut statement, params![client.0, reference], |row| Columns::of(row).money())?;
        if let Some(earlier) = earlier {
            return Ok(Moved::Repeat { balance: terms.balance, earlier });
        }
    }
    let after = terms.balance.checked_add(amount);
    if kind == EntryKind::Withdrawal && after.is_none_or(|after| after < Money::ZERO) {
        return Ok(Moved::NotEnoughFunds(terms.balance));
    }
    post(conn, &terms, Entry { reference, note, ..Entry::new(client, now, kind, amount) }).map(Moved::Done)
}

/// The last `limit` entries of a client, oldest first.
pub(super) fn ledger(conn: &Connection, name: &str, limit: usize) -> StoreResult<Vec<LedgerRecord>> {
    let client = id_of(conn, name)?;
    let mut statement = conn.prepare_cached(
        "SELECT at, kind, amount, balance, order_id, reference, note FROM ledger INDEXED BY ledger_by_client \
         WHERE client = ?1 ORDER BY id DESC LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut entries = collect(&mut statement, params![client.0, limit], read_entry)?;
    entries.reverse();
    Ok(entries)
}

/// An entry from a row of `at, kind, amount, balance, order_id, reference, note`.
pub(super) fn read_entry(row: &Row<'_>) -> StoreResult<LedgerRecord> {
    let mut columns = Columns::of(row);
    let at = columns.time()?;
    let kind: String = columns.take()?;
    let kind = EntryKind::from_word(&kind)
        .ok_or_else(|| StoreError::Corrupt(format!("a ledger entry of the kind {kind:?}")))?;
    Ok(LedgerRecord {
        at,
        kind,
        amount: columns.money()?,
        balance: columns.money()?,
        order: columns.take::<Option<i64>>()?.map(order_id).transpose()?,
        reference: columns.take()?,
        note: columns.take()?,
    })
}
