//! A bare group commit: what this disk and SQLite allow for the rows of a placed order.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

const SCHEMA: &str = include_str!("../../src/store/sqlite/migrations/0001_initial.sql");
const PARAMS: &str =
    r#"{"link":"https://instagram.example/p/CxyzabcDEFG","quantity":1000,"drip_feed":null,"fields":[],"units":1000}"#;

/// Whoever waits for the commit of one order.
type Waiting = SyncSender<()>;

/// Orders per second that `writers` threads get durable, each one order at a time.
pub fn orders_per_second(folder: &Path, seconds: u64, writers: usize) -> anyhow::Result<u128> {
    let conn = open(&folder.join("peer.db"))?;
    let (queue, orders) = sync_channel::<Waiting>(4096);
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    for _ in 0..writers {
        let queue = queue.clone();
        std::thread::spawn(move || write_until(&queue, until));
    }
    drop(queue);
    let written = commit_all(&conn, &orders)?;
    Ok(u128::from(written) * 1000 / began.elapsed().as_millis().max(1))
}

fn write_until(queue: &SyncSender<Waiting>, until: Instant) {
    let (done, committed) = sync_channel(1);
    while Instant::now() < until && queue.send(done.clone()).is_ok() && committed.recv().is_ok() {}
}

/// As the gateway's store is set.
fn open(path: &Path) -> anyhow::Result<Connection> {
    let conn = Connection::open(path)?;
    conn.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -32768;")?;
    conn.execute_batch(SCHEMA)?;
    conn.execute_batch(
        "INSERT INTO store (one, id, access_version, next_order_id, next_refill_id) VALUES (1, 'peer', 1, 1, 1);
         INSERT INTO clients (name, credit, allow_ips, allow_services, disabled, balance)
         VALUES ('peer', 0, '[]', '[]', 0, 100000000000000);",
    )?;
    Ok(conn)
}

fn commit_all(conn: &Connection, orders: &Receiver<Waiting>) -> anyhow::Result<u32> {
    let mut written = 0;
    while let Ok(first) = orders.recv() {
        let mut batch = vec![first];
        batch.extend(orders.try_iter().take(255));
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for _ in &batch {
            written += 1;
            place(conn, written)?;
        }
        conn.prepare_cached("COMMIT")?.execute([])?;
        for waiting in batch {
            let _ = waiting.send(());
        }
    }
    Ok(written)
}

/// The rows of one order: itself, its charge in the ledger, the balance, and the first line of its history.
fn place(conn: &Connection, id: u32) -> rusqlite::Result<()> {
    let (now, charge) = (1_800_000_000_000_i64 + i64::from(id), 120_000_000_i64);
    let balance = 100_000_000_000_000 - charge * i64::from(id);
    let mut token = [0_u8; 16];
    getrandom::fill(&mut token).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    conn.prepare_cached("UPDATE store SET next_order_id = next_order_id + 1")?.execute([])?;
    conn.prepare_cached(
        "INSERT INTO orders (id, version, token, client, service, kind, params, charge, refunded, created_at, queued_at,
         updated_at, state, status, attempts, tried, round, cancel, due_at)
         VALUES (?1, 1, ?2, 1, 1, 'Default', ?3, ?4, 0, ?5, ?5, ?5, 'queued', 'Pending', 0, '[]', 0, 'none', ?5)",
    )?
    .execute(params![id, token, PARAMS, charge, now])?;
    conn.prepare_cached("UPDATE clients SET balance = ?1 WHERE id = 1")?.execute([balance])?;
    conn.prepare_cached(
        "INSERT INTO ledger (client, at, kind, amount, balance, credit, order_id) VALUES (1, ?1, 'charge', ?2, ?3, 0, ?4)",
    )?
    .execute(params![now, -charge, balance, id])?;
    conn.prepare_cached("INSERT INTO history (order_id, version, line, at, text, alert) VALUES (?1, 1, 0, ?2, ?3, 0)")?
        .execute(params![id, now, "accepted, charged 1.2"])?;
    Ok(())
}
