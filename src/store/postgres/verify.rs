//! Recomputes what must hold over everything that is stored. See `ARCHITECTURE.md`, "Invariants".
//!
//! Each check is one query whose rows are sentences about what does not hold.

use super::migrations::PARTS;
use super::refills;
use super::rows::{Columns, columns, read_order};
use super::session::Session;
use super::values::params;
use crate::store::records::VerifyReport;
use crate::store::{StoreError, StoreResult};

/// How many failures of one kind are listed; the rest is counted.
const LISTED: usize = 100;

/// Amounts in these sentences are as they are stored.
const CHECKS: &[&str] = &[
    // === Money ===
    "SELECT format('client %s: its balance is %s, but its ledger sums to %s (units of 10^-8)', name, balance, total)
     FROM (SELECT name, balance, (SELECT coalesce(sum(amount), 0) FROM ledger WHERE client = clients.id) AS total
           FROM clients) AS sums
     WHERE balance <> total",
    "SELECT format('client %s: ledger entry %s says a balance of %s, the entries up to it sum to %s (units of 10^-8)',
                   name, id, balance, total)
     FROM (SELECT ledger.id, ledger.balance, clients.name,
                  sum(amount) OVER (PARTITION BY client ORDER BY ledger.id) AS total
           FROM ledger JOIN clients ON clients.id = client) AS sums
     WHERE balance <> total",
    "SELECT format('client %s: it has spent %s in the day of its last charge or refund, but its ledger sums to %s \
                   (units of 10^-8)', name, spent, total)
     FROM (SELECT name, spent, spent_in(id, spent_day) AS total FROM clients WHERE spent_day IS NOT NULL) AS sums
     WHERE spent <> total",
    "SELECT format('client %s: the charge of order %s left a balance of %s with a credit of %s (units of 10^-8)',
                   name, order_id, ledger.balance, ledger.credit)
     FROM ledger JOIN clients ON clients.id = client
     WHERE kind = 'charge' AND ledger.balance < -ledger.credit",
    "SELECT format('order %s: it has %s charges in the ledger of its client, which must be one', id, charges)
     FROM (SELECT id, (SELECT count(*) FROM ledger WHERE order_id = orders.id AND kind = 'charge'
                       AND ledger.client = orders.client) AS charges FROM orders) AS sums
     WHERE charges <> 1",
    "SELECT format('order %s: its charge is %s, the ledger took %s (units of 10^-8)', orders.id, charge, -amount)
     FROM orders JOIN ledger ON order_id = orders.id
     WHERE ledger.kind = 'charge' AND -amount <> charge",
    "SELECT format('order %s: %s of it is refunded, the ledger gave its client %s (units of 10^-8)', id, refunded, given)
     FROM (SELECT id, refunded, (SELECT coalesce(sum(amount), 0) FROM ledger WHERE order_id = orders.id
                                 AND ledger.kind = 'refund' AND ledger.client = orders.client) AS given FROM orders) AS sums
     WHERE refunded <> given",
    "SELECT format('ledger entry %s: it is of order %s, which is another client''s', ledger.id, order_id)
     FROM ledger JOIN orders ON orders.id = order_id
     WHERE ledger.client <> orders.client",
    "SELECT format('order %s: %s of a charge of %s is refunded (units of 10^-8)', id, refunded, charge)
     FROM orders WHERE refunded NOT BETWEEN 0 AND charge",
    "SELECT format('order %s: it is Canceled, but of its charge of %s only %s is refunded (units of 10^-8)',
                   id, charge, refunded)
     FROM orders WHERE status = 'Canceled' AND refunded <> charge",
    "SELECT format('order %s: it is %s, but %s of it is refunded (units of 10^-8)', id, status, refunded)
     FROM orders WHERE status NOT IN ('Canceled', 'Partial') AND refunded <> 0",
    // === States ===
    "SELECT format('order %s: it is %s and shown as %s', id, state, status)
     FROM orders WHERE (state = 'closed') <> (status IN ('Completed', 'Partial', 'Canceled'))",
    "SELECT format('order %s: it is %s without an upstream''s ID', id, state)
     FROM orders WHERE state = 'placed' AND upstream_order IS NULL",
    "SELECT format('orders %s: all hold %s at %s', string_agg(id::text, ', '), upstream_order, provider)
     FROM orders WHERE upstream_order IS NOT NULL GROUP BY provider, upstream_order HAVING count(*) > 1",
    "SELECT format('order %s: it is %s and nothing will ever look at it (no due time)', id, state)
     FROM orders WHERE state IN ('queued', 'placed') AND due_at IS NULL",
    "SELECT format('order %s: when it is polled next is not where polls are looked for', id)
     FROM orders WHERE upstream_order IS NOT NULL AND due_at IS NOT NULL
     AND NOT EXISTS (SELECT FROM polls WHERE polls.provider = orders.provider AND polls.due_at = orders.due_at
                     AND order_id = id)",
    "SELECT format('order %s: a poll of it is due that it does not know of', order_id)
     FROM polls LEFT JOIN orders ON id = order_id
     WHERE (orders.provider, orders.due_at, CASE WHEN state = 'placed' THEN coalesce(orders.polled_at, created_at) END)
         IS DISTINCT FROM (polls.provider, polls.due_at, polls.asked_at) OR upstream_order IS NULL",
    "SELECT format('order %s: its ID is not below the next one, %s', orders.id, last_value)
     FROM orders, order_ids WHERE orders.id > last_value OR orders.id = last_value AND NOT is_called OR orders.id NOT BETWEEN 1 AND 2147483647",
    // Every order starts with a line.
    "SELECT format('order %s: its history does not begin with its acceptance', id)
     FROM orders WHERE NOT EXISTS (SELECT 1 FROM history WHERE order_id = orders.id AND version = 1)",
    "SELECT format('order %s: its history goes on after its version %s', id, version)
     FROM orders WHERE EXISTS (SELECT 1 FROM history WHERE order_id = orders.id AND version > orders.version)",
    "SELECT format('client request %s of client %s: its order %s is another client''s', request_id, name, orders.id)
     FROM client_requests JOIN orders ON orders.id = order_id JOIN clients ON clients.id = client_requests.client
     WHERE orders.client <> client_requests.client",
    // === Refills ===
    "SELECT format('refill %s: its order %s is not there or is another client''s', refills.id, order_id)
     FROM refills LEFT JOIN orders ON orders.id = order_id WHERE orders.client IS DISTINCT FROM refills.client",
    "SELECT format('refill %s: its order %s is %s at %s, not %s at %s', refills.id, orders.id,
                   orders.upstream_order, orders.provider, refills.upstream_order, refills.provider)
     FROM refills JOIN orders ON orders.id = order_id
     WHERE (orders.provider, orders.upstream_order) IS DISTINCT FROM (refills.provider, refills.upstream_order)",
    "SELECT format('refills %s: all hold %s at %s', string_agg(id::text, ', '), upstream_refill, provider)
     FROM refills WHERE upstream_refill IS NOT NULL GROUP BY provider, upstream_refill HAVING count(*) > 1",
    "SELECT format('refill %s: it is %s and shown as %s', id, state, status)
     FROM refills WHERE (state = 'ended') <> (status IN ('Completed', 'Rejected', 'Error', 'Canceled'))",
    "SELECT format('refill %s: it is %s and nothing will ever look at it (no due time)', id, state)
     FROM refills WHERE state = 'accepted' AND due_at IS NULL",
    "SELECT format('refill %s: its ID is not below the next one, %s', refills.id, last_value)
     FROM refills, refill_ids WHERE refills.id > last_value OR refills.id = last_value AND NOT is_called",
    // === Attempts ===
    "SELECT format('order %s: it counts %s attempts, %s are stored, up to number %s', id, attempts, stored, last)
     FROM (SELECT orders.id, orders.attempts, count(number) AS stored, coalesce(max(number), 0) AS last
           FROM orders LEFT JOIN attempts ON order_id = orders.id GROUP BY orders.id) AS sums
     WHERE attempts <> stored OR attempts <> last",
    "SELECT format('order %s: it is %s without an attempt', id, state)
     FROM orders WHERE state IN ('sending', 'uncertain')
     AND NOT EXISTS (SELECT 1 FROM attempts WHERE order_id = orders.id)",
    "SELECT format('order %s: it is being sent, but its last attempt has ended', orders.id)
     FROM orders JOIN attempts ON order_id = orders.id AND number = orders.attempts
     WHERE state = 'sending' AND outcome IS NOT NULL",
    "SELECT format('order %s: attempt %s has no end, but the order is %s', orders.id, number, state)
     FROM attempts JOIN orders ON orders.id = order_id
     WHERE outcome IS NULL AND (state <> 'sending' OR number <> orders.attempts)",
    // Sent again only after a definite no, a request that never left, or the operator's word. An outcome that was
    // written after the next attempt began is a late answer and says nothing of what was known then.
    "SELECT format('order %s: it was sent again (attempt %s) after attempt %s had ended as %s', later.order_id,
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
pub(super) async fn verify(db: &Session) -> StoreResult<VerifyReport> {
    let mut report = VerifyReport::default();
    for (what, sql) in COUNTS {
        let count = db.collect(sql, params![], |row| Columns::of(row).count());
        report.checked.extend(count.await?.into_iter().map(|count| (*what, count)));
    }
    report.failures.extend(shortened(schema_changes(db).await?));
    report.failures.extend(shortened(unreadable_orders(db).await?));
    report.failures.extend(shortened(refills::unreadable(db).await?));
    for sql in CHECKS {
        let found = db.collect(sql, params![], |row| Ok(row.try_get(0)?));
        report.failures.extend(shortened(found.await?));
    }
    Ok(report)
}

fn shortened(mut found: Vec<String>) -> Vec<String> {
    let more = found.len().saturating_sub(LISTED);
    if more > 0 {
        found.truncate(LISTED);
        found.push(format!("{more} more like the last one"));
    }
    found
}

/// Where the schema is not the one that a new store gets: a dropped trigger protects nothing.
async fn schema_changes(db: &Session) -> StoreResult<Vec<String>> {
    let sql = format!(
        "WITH parts AS ({PARTS}) \
         SELECT format('the schema''s %s %s is missing or was switched off', kind, name) FROM schema_parts \
         WHERE (kind, name) NOT IN (SELECT kind, name FROM parts) \
         UNION ALL SELECT format('the schema has a %s %s that is not ours', kind, name) FROM parts \
         WHERE (kind, name) NOT IN (SELECT kind, name FROM schema_parts)"
    );
    db.collect(&sql, params![], |row| Ok(row.try_get(0)?)).await
}

/// How many orders are read at once.
const PAGE: i64 = 10_000;

async fn unreadable_orders(db: &Session) -> StoreResult<Vec<String>> {
    let sql = concat!("SELECT ", columns!(), " FROM orders WHERE id > $1 ORDER BY id LIMIT $2");
    let mut found = Vec::new();
    let mut after = 0_i64;
    loop {
        let rows = db.rows(sql, params![after, PAGE]).await?;
        let Some(last) = rows.last() else { return Ok(found) };
        after = last.try_get(0)?;
        for row in &rows {
            match read_order(row) {
                Ok(_) => {}
                Err(StoreError::Corrupt(what)) => found.push(what),
                Err(error) => return Err(error),
            }
        }
    }
}
