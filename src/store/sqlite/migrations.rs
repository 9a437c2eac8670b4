//! Brings a store's schema to what this program writes: forward only, each migration in one transaction.

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::store::{StoreError, StoreResult};

/// Marks a SQLite file as ours ("toll").
pub(super) const APPLICATION_ID: i64 = 0x746f_6c6c;

const MIGRATIONS: &[(&str, &str)] = &[
    ("initial", include_str!("migrations/0001_initial.sql")),
    ("lost attempts", include_str!("migrations/0002_lost_attempts.sql")),
    ("timeline", include_str!("migrations/0003_timeline.sql")),
    ("cancels", include_str!("migrations/0004_cancels.sql")),
    ("daily spending", include_str!("migrations/0005_daily_spending.sql")),
];

/// The schema that this program writes.
pub(super) fn wanted_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// The schema's version as the file states it; 0 for an empty one.
pub(super) fn version(conn: &Connection) -> StoreResult<i64> {
    Ok(conn.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// Runs what is missing and checks that what ran before is what this program knows.
pub(super) fn migrate(conn: &Connection) -> StoreResult<()> {
    let stored_version = version(conn)?;
    for (number, (name, sql)) in (1_i64..).zip(MIGRATIONS) {
        let checksum = Sha256::digest(sql.as_bytes());
        if number > stored_version {
            run(conn, number, name, sql, checksum.as_slice())?;
            continue;
        }
        let stored: Vec<u8> =
            conn.query_row("SELECT checksum FROM migrations WHERE version = ?1", [number], |row| row.get(0))?;
        if stored != checksum.as_slice() {
            return Err(StoreError::Engine(format!(
                "migration {number} ({name}) was another one when it ran here: use the program that made this store"
            )));
        }
    }
    Ok(())
}

fn run(conn: &Connection, number: i64, name: &str, sql: &str, checksum: &[u8]) -> StoreResult<()> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let done = (|| {
        conn.execute_batch(
            "CREATE TABLE IF NOT EXISTS migrations \
             (version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum BLOB NOT NULL) STRICT",
        )?;
        conn.execute_batch(sql)?;
        conn.execute("INSERT INTO migrations (version, name, checksum) VALUES (?1, ?2, ?3)", (number, name, checksum))?;
        conn.pragma_update(None, "user_version", number)?;
        conn.pragma_update(None, "application_id", APPLICATION_ID)?;
        conn.execute_batch("COMMIT")
    })();
    if done.is_err() && !conn.is_autocommit() {
        conn.execute_batch("ROLLBACK")?;
    }
    Ok(done?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{OrderId, ProviderId, UpstreamOrderId};
    use crate::domain::order::{Event, Resolution};
    use crate::domain::time::Timestamp;
    use crate::store::Store;
    use crate::store::records::Applied;
    use crate::store::sqlite::{OpenMode, SqliteStore};

    #[test]
    fn what_was_lost_in_a_store_of_the_first_version_is_known_to_the_next() {
        let conn = Connection::open_in_memory().unwrap();
        let (name, sql) = MIGRATIONS[0];
        run(&conn, 1, name, sql, Sha256::digest(sql.as_bytes()).as_slice()).unwrap();
        let order = |id: u32, state: &str, upstream: Option<&str>| {
            let provider = (state != "queued").then_some("alpha");
            conn.execute(
                "INSERT INTO orders (id, version, token, client, service, kind, params, charge, refunded, created_at, \
                 queued_at, updated_at, state, provider, upstream_service, upstream_order, status, attempts, tried, \
                 round, cancel, due_at) \
                 VALUES (?1, 1, randomblob(16), 1, 1, 'Default', '{}', 0, 0, 1, 1, 1, ?2, ?3, ?3, \
                 ?4, 'Pending', 1, '[]', 0, 'none', 1)",
                (id, state, provider, upstream),
            )
            .unwrap();
        };
        conn.pragma_update(None, "foreign_keys", false).unwrap();
        let attempt = |order: u32, outcome: &str, detail: &str| {
            conn.execute(
                "INSERT INTO attempts (order_id, number, provider, upstream_service, started_at, started_version, \
                 finished_at, finished_version, outcome, detail) VALUES (?1, 1, 'alpha', '1', 5, 1, 6, 2, ?2, ?3)",
                (order, outcome, detail),
            )
            .unwrap();
        };
        order(1, "uncertain", None);
        attempt(1, "ambiguous", "timeout");
        order(2, "placed", Some("77"));
        attempt(2, "accepted", "77");
        order(3, "placed", Some("79"));
        attempt(3, "accepted", "78");
        order(4, "queued", None);
        attempt(4, "rejected", "no");
        migrate(&conn).unwrap();
        let mut found = conn.prepare("SELECT order_id, attempt, started_at, ended_at FROM lost_attempts").unwrap();
        let rows = found.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
        let rows: Vec<(u32, u32, u32, u32)> = rows.map(Result::unwrap).collect();
        assert_eq!(rows, [(1, 1, 5, 6), (3, 1, 5, 6)], "unknown, and one that was told another ID than it has");
        assert_eq!(version(&conn).unwrap(), wanted_version());
    }

    /// Its first attempt was said not to have been sent; then the panel said that the link is taken.
    #[tokio::test]
    async fn what_a_duplicate_link_made_uncertain_in_a_store_of_the_first_version_is_searched_for_by_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let conn = Connection::open(&path).unwrap();
        let (name, sql) = MIGRATIONS[0];
        run(&conn, 1, name, sql, Sha256::digest(sql.as_bytes()).as_slice()).unwrap();
        conn.execute_batch(
            r#"INSERT INTO store VALUES (1, 'x', 1, 24, 1);
            INSERT INTO clients VALUES (1, 'ann', NULL, NULL, 0, NULL, '[]', '[]', 0, 0);
            INSERT INTO orders (id, version, token, client, service, kind, params, charge, refunded, created_at,
                queued_at, updated_at, state, provider, upstream_service, status, attempts, tried, round, cancel)
            VALUES (23, 7, randomblob(16), 1, 1, 'Default',
                '{"link":"https://x.test/1","quantity":1000,"drip_feed":null,"fields":[],"units":1000}', 0, 0, 1, 1, 40,
                'uncertain', 'alpha', '101', 'Pending', 3,
                '[{"provider":"alpha","service":"101","round":0,"may_pass":true,"end":"not_sent"},
                  {"provider":"beta","service":"7","round":0,"may_pass":true,"end":"refused"}]', 1, 'none');
            INSERT INTO ledger VALUES (1, 1, 1, 'charge', 0, 0, 0, 23, NULL, NULL);
            INSERT INTO history VALUES (23, 1, 0, 1, 'accepted, charged 0', 0);
            INSERT INTO attempts VALUES
                (23, 1, 'alpha', '101', 10, 2, 15, 3, 'not_sent', 'no connection'),
                (23, 2, 'beta', '7', 20, 4, 25, 5, 'rejected', 'maintenance: later'),
                (23, 3, 'alpha', '101', 30, 6, 40, 7, 'rejected', 'duplicate-link: active order');"#,
        )
        .unwrap();
        drop(conn);
        let store = SqliteStore::open(&path, OpenMode::Gateway { first_order_id: 1 }).unwrap();
        let (alpha, far) = (ProviderId::new("alpha"), Timestamp::from_millis(1_000_000));
        let doubts = store.attempts_in_doubt(&alpha, Timestamp::default()).await.unwrap();
        let doubts: Vec<_> = doubts.iter().map(|lost| (lost.order.id.get(), lost.attempt.0, lost.started_at)).collect();
        assert_eq!(doubts, [(23, 1, Timestamp::from_millis(10))], "the one there before the refusal");
        assert!(store.due_searches(&alpha, far, 9, 9).await.unwrap().is_empty());
        let order = store.order(OrderId::new(23).unwrap()).await.unwrap().unwrap();
        let placed = Event::Resolved(Resolution::Placed(UpstreamOrderId::new("77")));
        let step = order.step(placed, far).unwrap();
        assert_eq!(step.attempt, None, "it is known to have been refused");
        assert_eq!(store.apply(step).await.unwrap(), Applied::Done);
        assert_eq!(store.verify().await.unwrap().failures, Vec::<String>::new());
    }
}
