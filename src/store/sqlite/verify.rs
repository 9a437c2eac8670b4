//! Recomputes what must hold over everything that is stored. See `ARCHITECTURE.md`, "Invariants".
//!
//! Each check is one query whose rows are sentences about what does not hold.

use rusqlite::Connection;

use super::rows::{Columns, collect, columns, read_order};
use super::{open, refills};
use crate::store::records::VerifyReport;
use crate::store::{StoreError, StoreResult};

/// How many failures of one kind are listed; the rest is counted.
const LISTED: usize = 100;

/// Amounts in these sentences are as they are stored.
const CHECKS: &[&str] = &[
    // === Money ===
    "SELECT format('client %s: its balance is %d, but its ledger sums to %d (units of 10^-8)', name, balance, total)
     FROM (SELECT name, balance, (SELECT coalesce(sum(amount), 0) FROM ledger WHERE client = clients.id) AS total
           FROM clients)
     WHERE balance <> total",
    "SELECT format('client %s: ledger entry %d says a balance of %d, the entries up to it sum to %d (units of 10^-8)',
                   name, id, balance, total)
     FROM (SELECT ledger.id, ledger.balance, clients.name,
                  sum(amount) OVER (PARTITION BY client ORDER BY ledger.id) AS total
           FROM ledger JOIN clients ON clients.id = client)
     WHERE balance <> total",
    "SELECT format('client %s: it has spent %d in the day of its last charge or refund, but its ledger sums to %d \
                   (units of 10^-8)', name, spent, total)
     FROM (SELECT name, spent, (SELECT -coalesce(sum(amount), 0) FROM ledger
                                WHERE client = clients.id AND kind IN ('charge', 'refund')
                                AND at >= spent_day AND at < spent_day + 86400000) AS total
           FROM clients WHERE spent_day IS NOT NULL)
     WHERE spent <> total",
    "SELECT format('client %s: the charge of order %d left a balance of %d with a credit of %d (units of 10^-8)',
                   name, order_id, ledger.balance, ledger.credit)
     FROM ledger JOIN clients ON clients.id = client
     WHERE kind = 'charge' AND ledger.balance < -ledger.credit",
    "SELECT format('order %d: it has %d charges in the ledger of its client, which must be one', id, charges)
     FROM (SELECT id, (SELECT count(*) FROM ledger WHERE order_id = orders.id AND kind = 'charge'
                       AND ledger.client = orders.client) AS charges FROM orders)
     WHERE charges <> 1",
    "SELECT format('order %d: its charge is %d, the ledger took %d (units of 10^-8)', orders.id, charge, -amount)
     FROM orders JOIN ledger ON order_id = orders.id
     WHERE ledger.kind = 'charge' AND -amount <> charge",
    "SELECT format('order %d: %d of it is refunded, the ledger gave its client %d (units of 10^-8)', id, refunded, given)
     FROM (SELECT id, refunded, (SELECT coalesce(sum(amount), 0) FROM ledger WHERE order_id = orders.id
                                 AND ledger.kind = 'refund' AND ledger.client = orders.client) AS given FROM orders)
     WHERE refunded <> given",
    "SELECT format('ledger entry %d: it is of order %d, which is another client''s', ledger.id, order_id)
     FROM ledger JOIN orders ON orders.id = order_id
     WHERE ledger.client <> orders.client",
    "SELECT format('order %d: %d of a charge of %d is refunded (units of 10^-8)', id, refunded, charge)
     FROM orders WHERE refunded NOT BETWEEN 0 AND charge",
    "SELECT format('order %d: it is Canceled, but of its charge of %d only %d is refunded (units of 10^-8)',
                   id, charge, refunded)
     FROM orders WHERE status = 'Canceled' AND refunded <> charge",
    "SELECT format('order %d: it is %s, but %d of it is refunded (units of 10^-8)', id, status, refunded)
     FROM orders WHERE status NOT IN ('Canceled', 'Partial') AND refunded <> 0",
    // === States ===
    "SELECT format('order %d: it is %s and shown as %s', id, state, status)
     FROM orders WHERE (state = 'closed') <> (status IN ('Completed', 'Partial', 'Canceled'))",
    "SELECT format('order %d: it is %s without an upstream''s ID', id, state)
     FROM orders WHERE state = 'placed' AND upstream_order IS NULL",
    "SELECT format('orders %s: all hold %s at %s', group_concat(id, ', '), upstream_order, provider)
     FROM orders WHERE upstream_order IS NOT NULL GROUP BY provider, upstream_order HAVING count(*) > 1",
    "SELECT format('order %d: it is %s and nothing will ever look at it (no due time)', id, state)
     FROM orders WHERE state IN ('queued', 'placed') AND due_at IS NULL",
    "SELECT format('order %d: its ID is not below the next one, %d', orders.id, next_order_id)
     FROM orders, store WHERE orders.id >= next_order_id OR orders.id NOT BETWEEN 1 AND 2147483647",
    // Every order starts with a line.
    "SELECT format('order %d: its history does not begin with its acceptance', id)
     FROM orders WHERE NOT EXISTS (SELECT 1 FROM history WHERE order_id = orders.id AND version = 1)",
    "SELECT format('order %d: its history goes on after its version %d', id, version)
     FROM orders WHERE EXISTS (SELECT 1 FROM history WHERE order_id = orders.id AND version > orders.version)",
    "SELECT format('client request %s of client %s: its order %d is another client''s', request_id, name, orders.id)
     FROM client_requests JOIN orders ON orders.id = order_id JOIN clients ON clients.id = client_requests.client
     WHERE orders.client <> client_requests.client",
    // === Refills ===
    "SELECT format('refill %d: its order %d is not there or is another client''s', refills.id, order_id)
     FROM refills LEFT JOIN orders ON orders.id = order_id WHERE orders.client IS NOT refills.client",
    "SELECT format('refill %d: its order %d is %s at %s, not %s at %s', refills.id, orders.id,
                   orders.upstream_order, orders.provider, refills.upstream_order, refills.provider)
     FROM refills JOIN orders ON orders.id = order_id
     WHERE (orders.provider, orders.upstream_order) IS NOT (refills.provider, refills.upstream_order)",
    "SELECT format('refills %s: all hold %s at %s', group_concat(id, ', '), upstream_refill, provider)
     FROM refills WHERE upstream_refill IS NOT NULL GROUP BY provider, upstream_refill HAVING count(*) > 1",
    "SELECT format('refill %d: it is %s and shown as %s', id, state, status)
     FROM refills WHERE (state = 'ended') <> (status IN ('Completed', 'Rejected', 'Error', 'Canceled'))",
    "SELECT format('refill %d: it is %s and nothing will ever look at it (no due time)', id, state)
     FROM refills WHERE state = 'accepted' AND due_at IS NULL",
    "SELECT format('refill %d: its ID is not below the next one, %d', refills.id, next_refill_id)
     FROM refills, store WHERE refills.id >= next_refill_id",
    // === Attempts ===
    "SELECT format('order %d: it counts %d attempts, %d are stored, up to number %d', id, attempts, stored, last)
     FROM (SELECT orders.id, orders.attempts, count(number) AS stored, coalesce(max(number), 0) AS last
           FROM orders LEFT JOIN attempts ON order_id = orders.id GROUP BY orders.id)
     WHERE attempts <> stored OR attempts <> last",
    "SELECT format('order %d: it is %s without an attempt', id, state)
     FROM orders WHERE state IN ('sending', 'uncertain')
     AND NOT EXISTS (SELECT 1 FROM attempts WHERE order_id = orders.id)",
    "SELECT format('order %d: it is being sent, but its last attempt has ended', orders.id)
     FROM orders JOIN attempts ON order_id = orders.id AND number = orders.attempts
     WHERE state = 'sending' AND outcome IS NOT NULL",
    "SELECT format('order %d: attempt %d has no end, but the order is %s', orders.id, number, state)
     FROM attempts JOIN orders ON orders.id = order_id
     WHERE outcome IS NULL AND (state <> 'sending' OR number <> orders.attempts)",
    // Sent again only after a definite no, a request that never left, or the operator's word. An outcome that was
    // written after the next attempt began is a late answer and says nothing of what was known then.
    "SELECT format('order %d: it was sent again (attempt %d) after attempt %d had ended as %s', later.order_id,
                   later.number, earlier.number, earlier.outcome)
     FROM attempts AS later JOIN attempts AS earlier
       ON earlier.order_id = later.order_id AND earlier.number = later.number - 1
     WHERE earlier.outcome IN ('accepted', 'ambiguous') AND earlier.finished_version < later.started_version
     AND NOT EXISTS (SELECT 1 FROM history WHERE history.order_id = later.order_id
                     AND history.version BETWEEN earlier.started_version AND later.started_version
                     AND text LIKE 'settled by the operator%')",
];

/// What is counted, each with its table.
const COUNTS: &[(&str, &str)] = &[
    ("clients", "SELECT count(*) FROM clients"),
    ("ledger entries", "SELECT count(*) FROM ledger"),
    ("orders", "SELECT count(*) FROM orders"),
    ("refills", "SELECT count(*) FROM refills"),
    ("attempts", "SELECT count(*) FROM attempts"),
    ("history lines", "SELECT count(*) FROM history"),
];

/// See [`crate::store::Store::verify`].
pub(super) fn verify(conn: &Connection) -> StoreResult<VerifyReport> {
    let mut report = VerifyReport::default();
    for (what, sql) in COUNTS {
        let count = collect(&mut conn.prepare(sql)?, [], |row| Columns::of(row).count());
        let count = told(count, &mut report.failures)?;
        report.checked.extend(count.into_iter().map(|count| (*what, count)));
    }
    for check in [damage, schema_changes, unreadable_orders, unreadable_refills] {
        let found = told(check(conn), &mut report.failures)?;
        report.failures.extend(found);
    }
    for sql in CHECKS {
        let found = told(sentences(conn, sql), &mut report.failures)?;
        report.failures.extend(found);
    }
    Ok(report)
}

/// A check that stumbles over damage tells of it and does not keep the others from being made.
fn told<T>(found: StoreResult<Vec<T>>, failures: &mut Vec<String>) -> StoreResult<Vec<T>> {
    match found {
        Err(StoreError::Corrupt(what)) => {
            failures.push(format!("a check could not be made: {what}"));
            Ok(Vec::new())
        }
        found => found,
    }
}

fn sentences(conn: &Connection, sql: &str) -> StoreResult<Vec<String>> {
    let found = collect(&mut conn.prepare(sql)?, [], |row| Ok(row.get(0)?))?;
    Ok(shortened(found))
}

fn shortened(mut found: Vec<String>) -> Vec<String> {
    let more = found.len().saturating_sub(LISTED);
    if more > 0 {
        found.truncate(LISTED);
        found.push(format!("{more} more like the last one"));
    }
    found
}

/// What SQLite itself finds: damaged pages, broken indexes and CHECKs, rows that refer to nothing.
fn damage(conn: &Connection) -> StoreResult<Vec<String>> {
    let mut found = Vec::new();
    let mut statement = conn.prepare("PRAGMA integrity_check")?;
    let mut lines = statement.query([])?;
    loop {
        // It may stumble over what it is looking for: what it found before counts.
        let line = match lines.next().and_then(|row| row.map(|row| row.get::<_, String>(0)).transpose()) {
            Ok(None) => break,
            Ok(Some(line)) => line,
            Err(error) => {
                found.push(format!("the file is damaged: {error}"));
                break;
            }
        };
        if line != "ok" {
            found.push(format!("the file is damaged: {line}"));
        }
    }
    found.extend(collect(&mut conn.prepare("PRAGMA foreign_key_check")?, [], |row| {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        Ok(format!("a row of {table} refers to a row of {parent} that is not there"))
    })?);
    Ok(shortened(found))
}

/// Where the schema is not the one that a new store gets: a dropped trigger protects nothing.
fn schema_changes(conn: &Connection) -> StoreResult<Vec<String>> {
    let wanted = schema(&open::in_memory(1)?)?;
    let found = schema(conn)?;
    let missing = wanted.iter().filter(|part| !found.contains(part));
    let strange = found.iter().filter(|part| !wanted.contains(part));
    let missing = missing.map(|(kind, name, _)| format!("the schema's {kind} {name} is missing or was changed"));
    let strange = strange.map(|(kind, name, _)| format!("the schema has a {kind} {name} that is not ours"));
    Ok(missing.chain(strange).collect())
}

fn schema(conn: &Connection) -> StoreResult<Vec<(String, String, Option<String>)>> {
    // ANALYZE, which an operator may run, leaves tables of SQLite's own.
    let sql = "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    collect(&mut conn.prepare(sql)?, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
}

fn unreadable_refills(conn: &Connection) -> StoreResult<Vec<String>> {
    refills::unreadable(conn).map(shortened)
}

fn unreadable_orders(conn: &Connection) -> StoreResult<Vec<String>> {
    let mut statement = conn.prepare(concat!("SELECT ", columns!(), " FROM orders"))?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        match read_order(row) {
            Ok(_) => {}
            Err(StoreError::Corrupt(what)) => found.push(what),
            Err(error) => return Err(error),
        }
    }
    Ok(shortened(found))
}
