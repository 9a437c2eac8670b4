//! Brings a store's schema to what this program writes: forward only, each migration in one transaction, one gateway at a
//! time.

use sha2::{Digest, Sha256};

use super::session::Session;
use super::values::params;
use crate::store::{StoreError, StoreResult};

const MIGRATIONS: &[(&str, &str)] = &[("initial", include_str!("migrations/0001_initial.sql"))];

/// Held while migrations run ("tollmigr").
const LOCK: i64 = 0x746f_6c6c_6d69_6772;

/// The parts of the schema in force, by kind and name: a disabled trigger, a constraint that is not validated and an index
/// that is not valid protect nothing.
pub(super) const PARTS: &str = "
    SELECT 'table' AS kind, relname::text AS name FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
    UNION ALL SELECT 'index', indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = current_schema()::regnamespace AND indisvalid
    UNION ALL SELECT 'constraint', conrelid::regclass::text || '.' || conname FROM pg_constraint
    WHERE connamespace = current_schema()::regnamespace AND convalidated
    UNION ALL SELECT 'trigger', tgrelid::regclass::text || '.' || tgname FROM pg_trigger
    JOIN pg_class ON pg_class.oid = tgrelid
    WHERE relnamespace = current_schema()::regnamespace AND NOT tgisinternal AND tgenabled IN ('O', 'A')
    UNION ALL SELECT 'function', proname::text FROM pg_proc WHERE pronamespace = current_schema()::regnamespace";

/// The schema that this program writes.
pub(super) fn wanted_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// The schema's version; `None` where there is nothing yet.
pub(super) async fn version(db: &Session) -> StoreResult<Option<i64>> {
    if db.exists("SELECT 1 WHERE to_regclass('tollgate_migrations') IS NOT NULL", params![]).await? {
        let newest = "SELECT max(version) FROM tollgate_migrations";
        return Ok(db.first(newest, params![], |row| Ok(row.try_get::<_, Option<i64>>(0)?)).await?.flatten());
    }
    let others =
        "SELECT 1 FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') LIMIT 1";
    if db.exists(others, params![]).await? {
        return Err(StoreError::Engine(
            "it holds tables of another program: set store.url to a database of its own".into(),
        ));
    }
    Ok(None)
}

/// Runs what is missing and checks that what ran before is what this program knows. In a transaction of `db`.
pub(super) async fn migrate(db: &Session) -> StoreResult<()> {
    db.be_patient().await?;
    db.rows("SELECT pg_advisory_xact_lock($1)", params![LOCK]).await?;
    let stored_version = version(db).await?.unwrap_or(0);
    for (number, (name, sql)) in (1_i64..).zip(MIGRATIONS) {
        let checksum = Sha256::digest(sql.as_bytes());
        if number > stored_version {
            run(db, number, name, sql, checksum.as_slice()).await?;
            continue;
        }
        let stored = db
            .first("SELECT checksum FROM tollgate_migrations WHERE version = $1", params![number], |row| {
                Ok(row.try_get::<_, Vec<u8>>(0)?)
            })
            .await?;
        if stored.as_deref() != Some(checksum.as_slice()) {
            return Err(StoreError::Engine(format!(
                "migration {number} ({name}) was another one when it ran here: use the program that made this store"
            )));
        }
    }
    Ok(())
}

async fn run(db: &Session, number: i64, name: &str, sql: &str, checksum: &[u8]) -> StoreResult<()> {
    db.batch(
        "CREATE TABLE IF NOT EXISTS tollgate_migrations \
         (version bigint PRIMARY KEY, name text NOT NULL, checksum bytea NOT NULL); \
         CREATE TABLE IF NOT EXISTS schema_parts (kind text NOT NULL, name text NOT NULL, PRIMARY KEY (kind, name))",
    )
    .await?;
    db.batch(sql).await?;
    db.batch("DELETE FROM schema_parts").await?;
    db.execute(&format!("INSERT INTO schema_parts {PARTS}"), params![]).await?;
    let insert = "INSERT INTO tollgate_migrations (version, name, checksum) VALUES ($1, $2, $3)";
    db.execute(insert, params![number, name, checksum]).await?;
    Ok(())
}
