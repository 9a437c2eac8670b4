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
