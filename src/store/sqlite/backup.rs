//! Copies of a store: a backup while others write to it, and a backup that takes a store's place.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use tempfile::NamedTempFile;

use super::{OpenMode, SqliteStore, open, verify};
use crate::domain::ids::MAX_PUBLIC_ID;
use crate::store::records::VerifyReport;
use crate::store::{StoreError, StoreResult};

/// How many pages are copied before others have their turn at the disk: 1 MiB.
const PAGES: i32 = 256;
/// How long they have it.
const PAUSE: Duration = Duration::from_millis(1);
/// How many order IDs are left out after a restore: those that were given out since the backup was made must
/// never stand for another order.
const SKIPPED_IDS: u32 = 1_000_000;

impl SqliteStore {
    /// Copies the store at `path` into the new file `target`, as it is at one moment, while others go on writing.
    /// Blocks while it works. Gives what a verification of the copy saw.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where there is a file already, [`StoreError::Missing`] without a store,
    /// [`StoreError::NoCopy`] where the target can't be written; nothing is left behind then.
    pub fn backup(path: &Path, target: &Path) -> StoreResult<VerifyReport> {
        if target.exists() {
            return Err(StoreError::Exists { what: "file", name: target.display().to_string() });
        }
        open::check_version(path, OpenMode::Tool)?;
        let source = open::reader(path)?;
        copy_to(&source, target).map_err(|error| match error {
            StoreError::CannotWrite(problem) => StoreError::NoCopy { path: target.display().to_string(), problem },
            error => error,
        })
    }

    /// After a restore: forgets what stood for the time that is gone, so that nothing of it is taken up again.
    /// What a shared cache holds of the store is no longer its, requests of the command line are dropped, and IDs
    /// that may have been given out are left out.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn begin_anew(&self) -> StoreResult<()> {
        self.write(|conn| {
            let id = open::random_word()?;
            // Near the end of the numbers, half of what is left.
            conn.execute(
                "UPDATE store SET id = ?1, access_version = access_version + 1, \
                 restored_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) + 1, \
                 next_order_id = next_order_id + min(?2, (?3 + 1 - next_order_id) / 2), \
                 next_refill_id = next_refill_id + min(?2, (?3 + 1 - next_refill_id) / 2)",
                (id, SKIPPED_IDS, MAX_PUBLIC_ID),
            )?;
            conn.execute("DELETE FROM gateway_requests", [])?;
            Ok(())
        })
        .await
    }
}

/// A backup that is to take a store's place. No gateway can start on that store while this is there.
#[derive(Debug)]
pub struct Restore {
    store: PathBuf,
    copy: NamedTempFile,
    /// What does not hold in the backup; it must not be used unless this is empty.
    pub failures: Vec<String>,
    lock: File,
}

impl Restore {
    /// Copies `backup` to a place beside `store` and verifies it. Blocks while it works.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where a gateway runs, [`StoreError::NotFound`] without a backup,
    /// [`StoreError::WrongVersion`] for one of another version.
    pub fn begin(store: &Path, backup: &Path) -> StoreResult<Self> {
        if !backup.is_file() {
            return Err(StoreError::NotFound { what: "file", name: backup.display().to_string() });
        }
        let lock = open::lock(store)?;
        open::check_version(backup, OpenMode::Tool).map_err(|error| match error {
            StoreError::WrongVersion { path, found, wanted, .. } => {
                StoreError::WrongVersion { path, found, wanted, advice: "restore it with the version that made it" }
            }
            error => error,
        })?;
        let copy = new_file(store)?;
        copy_into(&open::reader(backup)?, copy.path())?;
        let failures = check(copy.path())?.failures;
        Ok(Self { store: store.to_owned(), copy, failures, lock })
    }

    /// The copy, to be made ready.
    ///
    /// # Errors
    /// What the engine says.
    pub fn open(&self) -> StoreResult<SqliteStore> {
        SqliteStore::open(self.copy.path(), OpenMode::Tool)
    }

    /// Puts the copy into the store's place, once nobody has it open any more. The store that was there is kept
    /// beside it, under its name and `.replaced-` with `mark`; gives that path.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where the copy does not hold by now, [`StoreError::Overloaded`] where another verb is
    /// at work on the old store, and what the disk says. The old store is in its place then.
    pub fn finish(self, mark: &str) -> StoreResult<Option<PathBuf>> {
        let Self { store, copy, lock, .. } = self;
        if let Some(failure) = check(copy.path())?.failures.into_iter().next() {
            return Err(StoreError::Corrupt(format!("after it was made ready: {failure}")));
        }
        let folder = folder_of(&store);
        let owner = fs::metadata(&store).or_else(|_| fs::metadata(folder)).map_err(|e| cannot_write(folder, &e))?;
        // Whoever runs this, root perhaps, the gateway's user must be able to open both.
        for file in [copy.as_file(), &lock] {
            fchown(file, Some(owner.uid()), Some(owner.gid())).map_err(|error| cannot_write(&store, &error))?;
        }
        if owner.is_file() {
            fs::set_permissions(copy.path(), owner.permissions()).map_err(|error| cannot_write(copy.path(), &error))?;
        }
        let exists = store.exists();
        let _held = if exists { hold(&store)? } else { None };
        let replaced = if exists { Some(set_aside(&store, mark)?) } else { None };
        let persisted = copy.persist(&store).map_err(|error| cannot_write(&store, &error.error))?;
        keep(&persisted, &store)?;
        Ok(replaced)
    }
}

/// Keeps every verb of the command line out of a store that is about to be replaced: what one of them left beside
/// it under its name would be taken for the new one's. `None` for one that is too damaged to be held.
fn hold(store: &Path) -> StoreResult<Option<Connection>> {
    let held = (|| {
        let conn = open::reader(store)?;
        conn.pragma_update(None, "query_only", false)?;
        // Without a WAL the file alone is all of it.
        conn.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
        conn.execute_batch("BEGIN EXCLUSIVE")?;
        Ok(conn)
    })();
    match held {
        Ok(conn) => Ok(Some(conn)),
        Err(error @ StoreError::Overloaded) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Gives the store a second name, so that there is never a moment without one under the first: a gateway that
/// started then would make an empty one.
fn set_aside(store: &Path, mark: &str) -> StoreResult<PathBuf> {
    let aside = open::beside(store, &format!(".replaced-{mark}"));
    fs::hard_link(store, &aside).map_err(|error| cannot_write(&aside, &error))?;
    // There only where it could not be held.
    for suffix in ["-wal", "-shm", "-journal"] {
        let part = open::beside(store, suffix);
        if part.exists() {
            fs::rename(&part, open::beside(&aside, suffix)).map_err(|error| cannot_write(&part, &error))?;
        }
    }
    Ok(aside)
}

/// An empty file beside `target` that is gone again unless it is kept, for its owner only: a store tells who
/// orders what.
fn new_file(target: &Path) -> StoreResult<NamedTempFile> {
    let folder = folder_of(target);
    tempfile::Builder::new().prefix(".tollgate-").tempfile_in(folder).map_err(|error| cannot_write(folder, &error))
}

fn copy_to(source: &Connection, target: &Path) -> StoreResult<VerifyReport> {
    let copy = new_file(target)?;
    copy_into(source, copy.path())?;
    let report = check(copy.path())?;
    let persisted = copy.persist_noclobber(target).map_err(|error| cannot_write(target, &error.error))?;
    keep(&persisted, target)?;
    Ok(report)
}

fn copy_into(source: &Connection, target: &Path) -> StoreResult<()> {
    let mut copy =
        Connection::open_with_flags(target, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // One snapshot for all of it: without, each write of another process would make the copy begin anew.
    source.execute_batch("BEGIN; SELECT one FROM store;")?;
    let copied = copy_pages(source, &mut copy);
    source.execute_batch("ROLLBACK")?;
    copied?;
    // A file of its own: with a WAL, it would have to be moved together with that.
    copy.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
    Ok(())
}

fn copy_pages(source: &Connection, copy: &mut Connection) -> StoreResult<()> {
    let backup = Backup::new(source, copy)?;
    while backup.step(PAGES)? != StepResult::Done {
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Verifies a store that nobody else has open.
fn check(path: &Path) -> StoreResult<VerifyReport> {
    verify::verify(&open::reader(path)?)
}

/// Makes a new file and its name durable.
fn keep(file: &File, path: &Path) -> StoreResult<()> {
    let folder = folder_of(path);
    file.sync_all().and_then(|()| File::open(folder)?.sync_all()).map_err(|error| cannot_write(path, &error))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::CannotWrite(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use crate::store::Store;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000_000_000);

    fn new_store(path: &Path, first_order_id: u32) -> SqliteStore {
        SqliteStore::open(path, OpenMode::Gateway { first_order_id }).unwrap()
    }

    fn next_id(path: &Path) -> u32 {
        let conn = open::reader(path).unwrap();
        conn.query_row("SELECT next_order_id FROM store", [], |row| row.get(0)).unwrap()
    }

    #[tokio::test]
    async fn a_store_that_begins_anew_is_another_one_with_later_ids() {
        let folder = tempfile::tempdir().unwrap();
        for (first, next) in [(1, 1_000_001), (MAX_PUBLIC_ID - 9, MAX_PUBLIC_ID - 4), (MAX_PUBLIC_ID, MAX_PUBLIC_ID)] {
            let path = folder.path().join(format!("{first}.db"));
            let store = new_store(&path, first);
            let id = store.id().to_owned();
            store.post_request("{}".into(), NOW).await.unwrap();
            store.begin_anew().await.unwrap();
            assert!(store.claim_requests().await.unwrap().is_empty());
            drop(store);
            assert_eq!(next_id(&path), next);
            assert_ne!(SqliteStore::open(&path, OpenMode::Tool).unwrap().id(), id);
        }
    }

    #[test]
    fn a_copy_that_can_t_be_written_is_told_of_by_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("store.db"), folder.path().join("nowhere/copy.db"));
        drop(new_store(&path, 1));
        let error = SqliteStore::backup(&path, &copy).unwrap_err();
        assert!(matches!(error, StoreError::NoCopy { .. }), "{error}");
        assert!(error.to_string().contains("nowhere/copy.db can't be written"), "{error}");
    }

    #[tokio::test]
    async fn a_damaged_store_is_replaced_with_nothing_of_it_left_beside() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("store.db"), folder.path().join("copy.db"));
        drop(new_store(&path, 1));
        assert_eq!(SqliteStore::backup(&path, &copy).unwrap().failures, Vec::<String>::new());
        fs::write(&path, "no database any more").unwrap();
        fs::write(folder.path().join("store.db-wal"), "nor this").unwrap();
        let restore = Restore::begin(&path, &copy).unwrap();
        assert!(restore.failures.is_empty());
        assert!(matches!(Restore::begin(&path, &copy), Err(StoreError::InUse(_))), "one at a time, and no gateway");
        let aside = restore.finish("now").unwrap().unwrap();
        assert_eq!(fs::read(&aside).unwrap(), b"no database any more");
        assert!(!folder.path().join("store.db-wal").exists(), "it would be taken for the new one's");
        assert!(new_store(&path, 1).verify().await.unwrap().failures.is_empty());
    }

    #[test]
    fn a_store_that_another_verb_works_on_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("store.db"), folder.path().join("copy.db"));
        drop(new_store(&path, 1));
        SqliteStore::backup(&path, &copy).unwrap();
        let verb = open::reader(&path).unwrap();
        verb.execute_batch("BEGIN; SELECT one FROM store;").unwrap();
        let restore = Restore::begin(&path, &copy).unwrap();
        assert!(matches!(restore.finish("now"), Err(StoreError::Overloaded)));
        assert!(!folder.path().join("store.db.replaced-now").exists());
    }
}
