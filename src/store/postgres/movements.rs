//! The ledger: every movement of a client's money is one entry, written with the balance after it.

use tokio_postgres::Row;

use super::clients::id_of;
use super::rows::{Columns, limit_of, order_id};
use super::session::Session;
use super::values::params;
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
}

/// A client's [`Terms`], its row locked until the transaction ends; `None` where there is no such client.
pub(super) async fn terms(db: &Session, client: ClientId) -> StoreResult<Option<Terms>> {
    let sql = "SELECT balance, credit FROM clients WHERE id = $1 FOR NO KEY UPDATE";
    db.first(sql, params![client.0], |row| {
        let mut columns = Columns::of(row);
        Ok(Terms { balance: columns.money()?, credit: columns.money()? })
    })
    .await
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

/// Writes an entry that is no charge or refund, and the balance after it, which it gives. `terms` are the client's in this transaction.
pub(super) async fn post(db: &Session, terms: &Terms, entry: Entry) -> StoreResult<Money> {
    let balance = terms.balance.checked_add(entry.amount).ok_or_else(|| {
        StoreError::Engine(format!(
            "the balance of client {} has no room for {}; nothing was written",
            entry.client, entry.amount
        ))
    })?;
    db.execute("UPDATE clients SET balance = $2 WHERE id = $1", params![entry.client.0, balance.units()]).await?;
    db.execute(
        "INSERT INTO ledger (client, at, kind, amount, balance, credit, order_id, reference, note) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        params![
            entry.client.0,
            entry.at.millis(),
            entry.kind.as_str(),
            entry.amount.units(),
            balance.units(),
            terms.credit.units(),
            entry.order.map(OrderId::get),
            entry.reference,
            entry.note,
        ],
    )
    .await?;
    Ok(balance)
}

/// See [`crate::store::Store::move_money`].
pub(super) async fn move_money(db: &Session, name: &str, movement: &Movement, now: Timestamp) -> StoreResult<Moved> {
    let client = id_of(db, name).await?;
    let terms =
        terms(db, client).await?.ok_or_else(|| StoreError::Corrupt(format!("client {name:?} is half there")))?;
    let Movement { kind, amount, reference, note } = movement.clone();
    if let Some(reference) = &reference {
        let sql = "SELECT amount FROM ledger WHERE client = $1 AND reference = $2";
        let earlier = db.first(sql, params![client.0, reference], |row| Columns::of(row).money()).await?;
        if let Some(earlier) = earlier {
            return Ok(Moved::Repeat { balance: terms.balance, earlier });
        }
    }
    let after = terms.balance.checked_add(amount);
    if kind == EntryKind::Withdrawal && after.is_none_or(|after| after < Money::ZERO) {
        return Ok(Moved::NotEnoughFunds(terms.balance));
    }
    post(db, &terms, Entry { reference, note, ..Entry::new(client, now, kind, amount) }).await.map(Moved::Done)
}

/// The last `limit` entries of a client, oldest first.
pub(super) async fn ledger(db: &Session, name: &str, limit: usize) -> StoreResult<Vec<LedgerRecord>> {
    let client = id_of(db, name).await?;
    let sql = "SELECT at, kind, amount, balance, order_id, reference, note FROM ledger \
               WHERE client = $1 ORDER BY id DESC LIMIT $2";
    let mut entries = db.collect(sql, params![client.0, limit_of(limit)], read_entry).await?;
    entries.reverse();
    Ok(entries)
}

/// An entry from a row of `at, kind, amount, balance, order_id, reference, note`.
pub(super) fn read_entry(row: &Row) -> StoreResult<LedgerRecord> {
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
