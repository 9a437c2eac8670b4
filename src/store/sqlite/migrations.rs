//! Brings a store's schema to what this program writes: forward only, each migration in one transaction.

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::store::{StoreError, StoreResult};

/// Marks a SQLite file as ours ("toll").
pub(super) const APPLICATION_ID: i64 = 0x746f_6c6c;

const MIGRATIONS: &[(&str, &str)] = &[
    ("initial", include_str!("migrations/0001_initial.sql")),
    ("lost attempts", include_str!("migrations/0002_lost_attempts.sql")),
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
            return Err(StoreError::Corrupt(format!(
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
}
