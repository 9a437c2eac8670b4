//! Opening a store: who may, which schema it must have, and how its connections are set.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::migrations::{self, APPLICATION_ID};
use crate::store::{StoreError, StoreResult};

/// Who opens the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// The gateway: makes and migrates the store and holds it alone for its life.
    Gateway {
        /// The first order's ID, used while the store has no order.
        first_order_id: u32,
    },
    /// A verb of the command line, beside a gateway or without one: finds the store as it must be or fails.
    Tool,
}

/// How long a write waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a lock that is held is tried again: [`is_locked`] of another process holds it for an instant.
const LOCK_TRIES: u32 = 10;

/// The file whose lock the gateway holds.
fn lock_path(path: &Path) -> PathBuf {
    beside(path, ".lock")
}

/// The path with this at its end.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Takes the gateway's lock; it is given back when the file is dropped.
pub(super) fn lock(path: &Path) -> StoreResult<File> {
    let lock_path = lock_path(path);
    let failed = |error: std::io::Error| StoreError::CannotWrite(format!("{}: {error}", lock_path.display()));
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).map_err(failed)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    Err(StoreError::InUse(path.display().to_string()))
}

/// Whether a gateway holds the store.
pub(super) fn is_locked(path: &Path) -> bool {
    // Without a lock file no gateway ever ran; with one that can't be opened, none can run for this user.
    let Ok(file) = OpenOptions::new().write(true).open(lock_path(path)) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Looks at the schema's version through a connection that can't write; `None` where there is nothing yet.
fn look(path: &Path) -> StoreResult<Option<i64>> {
    if !path.exists() {
        return Ok(None);
    }
    let foreign =
        |what| StoreError::Engine(format!("{} is {what}: set store.url to a file of its own", path.display()));
    match read_marks(path) {
        Ok((APPLICATION_ID, version, _)) => Ok(Some(version)),
        Ok((0, 0, 0)) => Ok(Some(0)),
        Ok(_) => Err(foreign("a database of another program")),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => Err(foreign("not a database")),
        Err(error) => Err(error.into()),
    }
}

/// The application's mark, the schema's version, and how many parts the schema has.
fn read_marks(path: &Path) -> rusqlite::Result<(i64, i64, i64)> {
    let conn = if beside(path, "-wal").exists() {
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?
    } else {
        // Nobody has it open. To be read in the usual way a store gets files beside it, which would stay.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        Connection::open_with_flags(immutable_uri(path), flags)?
    };
    conn.busy_timeout(BUSY_TIMEOUT)?;
    let application = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let parts = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok((application, version, parts))
}

/// `file:PATH?immutable=1`, with what means something in a URI escaped.
fn immutable_uri(path: &Path) -> OsString {
    let mut uri = b"file:".to_vec();
    if path.is_absolute() {
        // An authority that is empty, so that a path which begins with two slashes is not taken for one.
        uri.extend_from_slice(b"//");
    }
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'?' | b'#' | b'%' => uri.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            other => uri.push(*other),
        }
    }
    uri.extend_from_slice(b"?immutable=1");
    OsString::from_vec(uri)
}

/// Refuses a store that this program can't use, before anything of it is touched.
pub(super) fn check_version(path: &Path, mode: OpenMode) -> StoreResult<()> {
    let wanted = migrations::wanted_version();
    let wrong =
        |found, advice| Err(StoreError::WrongVersion { path: path.display().to_string(), found, wanted, advice });
    match (look(path)?, mode) {
        (Some(found), _) if found > wanted => wrong(found, "a newer program wrote it; use that one"),
        (Some(found), OpenMode::Tool) if found < wanted => {
            wrong(found, "start this program's `tollgate serve` once, it brings the store up to date")
        }
        (None, OpenMode::Tool) => Err(StoreError::Missing(path.display().to_string())),
        _ => Ok(()),
    }
}

/// The writing connection, on a store whose schema is the wanted one.
pub(super) fn writer(path: &Path, mode: OpenMode) -> StoreResult<Connection> {
    check_version(path, mode)?;
    match mode {
        OpenMode::Tool => connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE),
        OpenMode::Gateway { first_order_id } => {
            let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
            conn.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
            prepare(&conn, first_order_id)?;
            Ok(conn)
        }
    }
}

/// A connection that only reads. Not opened as read-only: SQLite then forgets the CHECKs of the schema, and
/// a verification would not see where they fail.
pub(super) fn reader(path: &Path) -> StoreResult<Connection> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

/// A store in memory, empty.
pub(super) fn in_memory(first_order_id: u32) -> StoreResult<Connection> {
    let conn = Connection::open_in_memory()?;
    configure(&conn)?;
    prepare(&conn, first_order_id)?;
    Ok(conn)
}

fn connect(path: &Path, access: OpenFlags) -> StoreResult<Connection> {
    let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    configure(&conn)?;
    Ok(conn)
}

fn configure(conn: &Connection) -> StoreResult<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(128);
    // FULL: a commit is on the disk when it returns. The size limit keeps a WAL that once grew from staying large.
    conn.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; \
         PRAGMA cache_size = -32768; PRAGMA journal_size_limit = 67108864;",
    )?;
    Ok(())
}

/// Brings the schema up to date and writes what the store is born with.
fn prepare(conn: &Connection, first_order_id: u32) -> StoreResult<()> {
    migrations::migrate(conn)?;
    conn.execute(
        "INSERT INTO store (one, id, access_version, next_order_id, next_refill_id) VALUES (1, ?1, 1, 1, 1) \
         ON CONFLICT DO NOTHING",
        [random_word()?],
    )?;
    // Never lowered: a number that was given out stays given out.
    conn.execute(
        "UPDATE store SET next_order_id = ?1 WHERE next_order_id < ?1 AND NOT EXISTS (SELECT 1 FROM orders)",
        [first_order_id],
    )?;
    Ok(())
}

/// 32 random hexadecimal characters.
pub(super) fn random_word() -> StoreResult<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Engine(format!("no random bytes: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
