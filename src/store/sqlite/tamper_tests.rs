//! That a verification sees what somebody did to the file behind the store's back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::{OpenMode, SqliteStore};
use crate::domain::client::EntryKind;
use crate::domain::order::{Event, Resolution};
use crate::domain::outcome::Outcome;
use crate::domain::refill::NewRefill;
use crate::store::conformance::{
    AnyStore, NOW, accepted, answer, client, forwarded, movement, new_order, order, placed, reported, sent, step,
    with_request,
};
use crate::store::{Store, StoreError};

/// Orders 1 to 7: queued, being sent, placed, uncertain, Partial, Canceled, placed by its second attempt.
async fn build(path: &Path) {
    let store: AnyStore = Arc::new(SqliteStore::open(path, OpenMode::Gateway { first_order_id: 1 }).unwrap());
    let ann = client(&store, "ann", "100").await.client.id;
    let ben = client(&store, "ben", "100").await.client.id;
    placed(&store, with_request(new_order(ann, "1.20"), "r", 1, NOW)).await;
    let sending = order(&store, ann, "1.20").await;
    step(&store, &sending, sent("alpha"), NOW).await;
    forwarded(&store, ben, "alpha", "77").await;
    let doubtful = order(&store, ann, "1.20").await;
    let doubtful = step(&store, &doubtful, sent("alpha"), NOW).await;
    step(&store, &doubtful, answer(1, Outcome::Ambiguous("timeout".into())), NOW).await;
    let partial = forwarded(&store, ben, "alpha", "78").await;
    step(&store, &partial, reported("Partial", Some(250)), NOW).await;
    let canceled = order(&store, ann, "1.20").await;
    step(&store, &canceled, Event::CancelRequested, NOW).await;
    let mut settled = order(&store, ben, "1.20").await;
    for event in [
        sent("alpha"),
        answer(1, Outcome::Ambiguous("timeout".into())),
        Event::Resolved(Resolution::NotPlaced),
        sent("beta"),
        answer(2, accepted("79")),
    ] {
        settled = step(&store, &settled, event, NOW).await;
    }
    let binding = settled.binding().unwrap();
    let refill = NewRefill {
        order: settled.id,
        client: ben,
        provider: binding.route.provider.clone(),
        upstream_order: binding.id.clone(),
    };
    store.open_refill(refill, NOW).await.unwrap();
    store.move_money("ann", movement(EntryKind::Withdrawal, "-1", Some("w")), NOW).await.unwrap();
}

/// Changes the file with nothing in the way that protects it.
fn tamper(path: &Path, sql: &str) {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF").unwrap();
    conn.execute_batch(sql).unwrap();
}

async fn failures(path: &Path) -> Vec<String> {
    SqliteStore::open(path, OpenMode::Tool).unwrap().verify().await.unwrap().failures
}

const UNLOCK: &str = "DROP TRIGGER ledger_keeps_entries; DROP TRIGGER ledger_loses_nothing; ";

/// What is done, and words that the failure must have.
const TAMPERINGS: &[(&str, &str)] = &[
    ("UPDATE clients SET balance = balance + 1 WHERE name = 'ann'", "client ann: its balance is"),
    ("DELETE FROM ledger WHERE kind = 'deposit' AND client = 1", "client ann: its balance is"),
    ("UPDATE clients SET spent = spent + 1 WHERE name = 'ben'", "client ben: it has spent"),
    ("UPDATE ledger SET amount = amount + 5 WHERE kind = 'withdrawal'", "client ann: ledger entry"),
    ("UPDATE ledger SET balance = balance + 5 WHERE kind = 'withdrawal'", "client ann: ledger entry"),
    ("UPDATE ledger SET balance = -1 WHERE order_id = 1", "client ann: the charge of order 1 left a balance of -1"),
    ("DELETE FROM ledger WHERE order_id = 3", "order 3: it has 0 charges"),
    ("UPDATE ledger SET order_id = 1 WHERE order_id = 2", "order 1: it has 2 charges"),
    ("UPDATE ledger SET amount = -5 WHERE order_id = 3", "order 3: its charge is 120000000, the ledger took 5"),
    ("UPDATE ledger SET client = 2 WHERE order_id = 1", "it is of order 1, which is another client's"),
    ("DELETE FROM ledger WHERE kind = 'refund' AND order_id = 5", "order 5: 30000000 of it is refunded"),
    ("UPDATE orders SET refunded = 120000001 WHERE id = 5", "order 5: 120000001 of a charge of 120000000"),
    ("UPDATE orders SET refunded = -1 WHERE id = 5", "order 5: -1 of a charge of 120000000"),
    ("UPDATE orders SET refunded = 119999999 WHERE id = 6", "order 6: it is Canceled, but"),
    ("UPDATE orders SET refunded = 1 WHERE id = 3", "order 3: it is Pending, but 1 of it is refunded"),
    ("UPDATE orders SET status = 'Completed' WHERE id = 1", "order 1: it is queued and shown as Completed"),
    ("UPDATE orders SET upstream_order = NULL WHERE id = 3", "order 3: it is placed without an upstream's ID"),
    (
        "DROP INDEX orders_by_upstream; UPDATE orders SET upstream_order = '78' WHERE id = 3",
        "orders 3, 5: all hold 78 at alpha",
    ),
    ("DROP INDEX orders_by_upstream", "the schema's index orders_by_upstream is missing"),
    ("DROP TRIGGER ledger_keeps_entries", "the schema's trigger ledger_keeps_entries is missing"),
    ("CREATE TABLE mine (a)", "the schema has a table mine that is not ours"),
    ("UPDATE orders SET due_at = NULL WHERE id = 1", "order 1: it is queued and nothing will ever look at it"),
    ("UPDATE orders SET due_at = NULL WHERE id = 3", "order 3: it is placed and nothing will ever look at it"),
    ("UPDATE store SET next_order_id = 7", "order 7: its ID is not below the next one, 7"),
    ("UPDATE orders SET id = 2147483648 WHERE id = 7", "order ID 2147483648"),
    ("DELETE FROM history WHERE order_id = 3", "order 3: its history does not begin"),
    ("UPDATE orders SET version = 1 WHERE id = 4", "order 4: its history goes on after its version 1"),
    ("UPDATE client_requests SET client = 2", "client request r of client ben: its order 1 is another client's"),
    ("DELETE FROM attempts WHERE order_id = 3", "order 3: it counts 1 attempts, 0 are stored"),
    (
        "UPDATE attempts SET number = 9 WHERE order_id = 3",
        "order 3: it counts 1 attempts, 1 are stored, up to number 9",
    ),
    ("DELETE FROM attempts WHERE order_id = 2", "order 2: it is sending without an attempt"),
    ("DELETE FROM attempts WHERE order_id = 4", "order 4: it is uncertain without an attempt"),
    (
        "UPDATE attempts SET outcome = 'rejected', finished_at = 1, finished_version = 3 WHERE order_id = 2",
        "order 2: it is being sent, but its last attempt has ended",
    ),
    (
        "UPDATE attempts SET outcome = NULL, finished_at = NULL, finished_version = NULL WHERE order_id = 3",
        "order 3: attempt 1 has no end, but the order is placed",
    ),
    (
        "DELETE FROM history WHERE order_id = 7 AND text LIKE 'settled%'",
        "order 7: it was sent again (attempt 2) after attempt 1 had ended as ambiguous",
    ),
    (
        "UPDATE attempts SET outcome = 'accepted' WHERE order_id = 7 AND number = 1;
         DELETE FROM history WHERE order_id = 7 AND text LIKE 'settled%'",
        "order 7: it was sent again (attempt 2) after attempt 1 had ended as accepted",
    ),
    ("UPDATE orders SET params = '{}' WHERE id = 1", "order 1: its parameters can't be read"),
    ("UPDATE orders SET tried = 'x' WHERE id = 1", "order 1: its tried routes can't be read"),
    ("UPDATE orders SET state = 'lost' WHERE id = 1", "order 1: its state can't be read"),
    ("UPDATE orders SET closed_at = 5 WHERE id = 3", "CHECK constraint failed in orders"),
    ("UPDATE orders SET cancel = 'maybe' WHERE id = 1", "order 1: its wish to be canceled can't be read"),
    ("UPDATE refills SET client = 1", "refill 1: its order 7 is not there or is another client's"),
    ("UPDATE refills SET order_id = 99", "refill 1: its order 99 is not there or is another client's"),
    ("UPDATE refills SET provider = 'alpha'", "refill 1: its order 7 is 79 at beta, not 79 at alpha"),
    ("UPDATE refills SET status = 'Completed'", "refill 1: it is sending and shown as Completed"),
    ("UPDATE refills SET state = 'lost'", "refill 1: its state can't be read"),
    (
        "UPDATE refills SET state = 'accepted', upstream_refill = '5'",
        "refill 1: it is accepted and nothing will ever look at it",
    ),
    ("UPDATE store SET next_refill_id = 1", "refill 1: its ID is not below the next one, 1"),
    (
        "DROP INDEX refills_by_upstream; UPDATE refills SET state = 'accepted', upstream_refill = '5', due_at = 1;
         INSERT INTO refills SELECT 2, version, order_id, client, provider, upstream_order, state, upstream_refill,
                                    status, word, created_at, updated_at, polled_at, due_at FROM refills",
        "refills 1, 2: all hold 5 at beta",
    ),
    ("DELETE FROM clients WHERE name = 'ben'", "a row of orders refers to a row of clients that is not there"),
];

async fn tampered(original: &Path, sql: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    std::fs::copy(original, &path).unwrap();
    tamper(&path, sql);
    failures(&path).await
}

#[tokio::test]
async fn a_verification_sees_every_tampering() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("original.db");
    build(&path).await;
    assert_eq!(failures(&path).await, Vec::<String>::new());
    for (sql, words) in TAMPERINGS {
        let locked = sql.contains(" ledger ");
        let sql = if locked { format!("{UNLOCK}{sql}") } else { (*sql).to_owned() };
        let failures = tampered(&path, &sql).await;
        assert!(failures.iter().any(|failure| failure.contains(words)), "{sql}\n{words}\n{failures:#?}");
    }
}

#[tokio::test]
async fn many_failures_of_one_kind_are_shortened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    build(&path).await;
    let many = "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 349)
                INSERT INTO clients (id, name, markup, rps, credit, daily_limit, allow_ips, allow_services, disabled, balance)
                SELECT i, 'c' || i, NULL, NULL, 0, NULL, '[]', '[]', 0, 1 FROM n";
    tamper(&path, many);
    let failures = failures(&path).await;
    assert_eq!(failures.len(), 101);
    assert_eq!(failures[100], "150 more like the last one");
}

/// Writes over the page that holds an index.
fn damage(path: &Path) {
    let conn = Connection::open(path).unwrap();
    let page: u64 = conn
        .query_one("SELECT rootpage FROM sqlite_schema WHERE name = 'orders_by_time'", [], |row| row.get::<_, u32>(0))
        .unwrap()
        .into();
    let size: u32 = conn.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    drop(conn);
    let mut bytes = std::fs::read(path).unwrap();
    let from = usize::try_from((page - 1) * u64::from(size)).unwrap();
    bytes[from..from + 200].fill(0x5a);
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("t.db");
    build(&path).await;
    damage(&path);
    let failures = failures(&path).await;
    assert!(failures.iter().any(|failure| failure.contains("damaged")), "{failures:#?}");
}

#[tokio::test]
async fn the_ledger_is_append_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    build(&path).await;
    let conn = Connection::open(&path).unwrap();
    for sql in ["UPDATE ledger SET amount = 1", "UPDATE ledger SET note = 'x' WHERE id = 1", "DELETE FROM ledger"] {
        let error = StoreError::from(conn.execute(sql, []).unwrap_err());
        assert!(error.to_string().contains("append-only"), "{error}");
    }
}
