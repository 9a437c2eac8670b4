//! The engine's own promises, and the conformance suite on a file and in memory.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::domain::client::EntryKind;
use crate::domain::money::Money;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::conformance::{
    AnyStore, NOW, client, conformance, forwarded, money, movement, new_order, order, placement, shift,
};
use crate::store::records::Placed;

mod on_file {
    use super::*;

    async fn open() -> (AnyStore, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mode = OpenMode::Gateway { first_order_id: 1 };
        (Arc::new(SqliteStore::open(&folder.path().join("t.db"), mode).unwrap()), folder)
    }

    conformance!(open);
}

mod in_memory {
    use super::*;

    async fn open() -> (AnyStore, ()) {
        (Arc::new(SqliteStore::in_memory(1).unwrap()), ())
    }

    conformance!(open);
}

const GATEWAY: OpenMode = OpenMode::Gateway { first_order_id: 1 };

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    (folder, path)
}

fn open(path: &Path) -> AnyStore {
    Arc::new(SqliteStore::open(path, GATEWAY).unwrap())
}

/// A connection of somebody else's.
fn raw(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

// === Opening ===

#[test]
fn a_second_gateway_is_refused() {
    let (_folder, path) = folder();
    assert!(!SqliteStore::gateway_running(&path));
    let first = SqliteStore::open(&path, GATEWAY).unwrap();
    assert!(SqliteStore::gateway_running(&path));
    assert!(matches!(SqliteStore::open(&path, GATEWAY), Err(StoreError::InUse(_))));
    assert!(SqliteStore::open(&path, OpenMode::Tool).is_ok());
    drop(first);
    assert!(!SqliteStore::gateway_running(&path));
    assert!(SqliteStore::open(&path, GATEWAY).is_ok());
}

/// Every file of a folder but the lock, with what is in it.
fn contents(folder: &TempDir) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().extension().is_none_or(|extension| extension != "lock"))
        .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_newer_store_is_refused_untouched() {
    let (folder, path) = folder();
    drop(open(&path));
    raw(&path).pragma_update(None, "user_version", 99).unwrap();
    let before = contents(&folder);
    for mode in [GATEWAY, OpenMode::Tool] {
        match SqliteStore::open(&path, mode) {
            Err(StoreError::WrongVersion { found: 99, wanted, .. }) => assert_eq!(wanted, migrations::wanted_version()),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{mode:?} opened it"),
        }
        let after = contents(&folder);
        assert_eq!(after.iter().find(|(name, _)| name == "t.db"), before.iter().find(|(name, _)| name == "t.db"));
        let written = after.iter().filter(|(name, bytes)| name != "t.db" && name != "t.db-shm" && !bytes.is_empty());
        assert_eq!(written.count(), 0, "something waits to be written into it");
    }
}

#[test]
fn a_tool_makes_and_migrates_nothing() {
    let (folder, path) = folder();
    assert!(matches!(SqliteStore::open(&path, OpenMode::Tool), Err(StoreError::Missing(_))));
    assert!(contents(&folder).is_empty());
    std::fs::write(&path, "").unwrap();
    assert!(matches!(SqliteStore::open(&path, OpenMode::Tool), Err(StoreError::WrongVersion { found: 0, .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    // What a gateway that was killed at its very start leaves is taken up by the next one.
    drop(open(&path));
    assert!(SqliteStore::open(&path, OpenMode::Tool).is_ok());
}

#[test]
fn what_is_no_store_is_left_alone() {
    let (_folder, path) = folder();
    raw(&path).execute_batch("CREATE TABLE mine (a)").unwrap();
    let before = std::fs::read(&path).unwrap();
    for mode in [GATEWAY, OpenMode::Tool] {
        let error = SqliteStore::open(&path, mode).err().unwrap();
        assert!(error.to_string().contains("another program"), "{error}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    std::fs::write(&path, "no database at all, but long enough to look like something".repeat(100)).unwrap();
    let error = SqliteStore::open(&path, GATEWAY).err().unwrap();
    assert!(error.to_string().contains("is not a database: set store.url"), "{error}");
}

#[test]
fn a_migration_that_was_another_is_refused() {
    let (_folder, path) = folder();
    drop(open(&path));
    raw(&path).execute("UPDATE migrations SET checksum = x'00'", []).unwrap();
    let error = SqliteStore::open(&path, GATEWAY).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("use the program that made this store") && !error.contains("verify"), "{error}");
}

#[tokio::test]
async fn a_store_survives_reopening() {
    let (folder, path) = folder();
    let store = open(&path);
    let id = store.id().to_owned();
    let ann = client(&store, "ann", "10").await.client.id;
    let first = order(&store, ann, "1").await;
    drop(store);
    let left: Vec<_> = contents(&folder).into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["t.db"], "the last one to close did not clear the WAL");

    let store = open(&path);
    assert_eq!(store.id(), id);
    assert_eq!(store.order(first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(order(&store, ann, "1").await.id.get(), first.id.get() + 1);
    assert_eq!(store.balance(ann).await.unwrap(), money("8"));
    assert_ne!(SqliteStore::in_memory(1).unwrap().id, id);
}

#[tokio::test]
async fn the_first_order_id_counts_until_there_is_an_order() {
    let (_folder, path) = folder();
    drop(open(&path));
    let with_first = |first_order_id| -> AnyStore {
        Arc::new(SqliteStore::open(&path, OpenMode::Gateway { first_order_id }).unwrap())
    };
    let store = with_first(5000);
    let ann = client(&store, "ann", "10").await.client.id;
    assert_eq!(order(&store, ann, "1").await.id.get(), 5000);
    drop(store);
    assert_eq!(order(&with_first(9000), ann, "1").await.id.get(), 5001);
}

#[tokio::test]
async fn the_last_order_id_is_the_last() {
    let store: AnyStore = Arc::new(SqliteStore::in_memory(2_147_483_647).unwrap());
    let ann = client(&store, "ann", "10").await.client.id;
    assert_eq!(order(&store, ann, "1").await.id.get(), 2_147_483_647);
    assert!(matches!(store.place(placement(new_order(ann, "1"))).await.unwrap(), Placed::NoMoreIds));
    assert_eq!(store.balance(ann).await.unwrap(), money("9"));
}

// === Writing ===

/// A job that leaves a line, and what comes of it.
type Line = (Box<dyn Job>, tokio::sync::oneshot::Receiver<StoreResult<i64>>);

fn line(text: &'static str, then: impl FnOnce(i64) -> StoreResult<i64> + Send + 'static) -> Line {
    job(move |conn| requests::post(conn, text, NOW).and_then(then))
}

fn lines(conn: &Connection) -> Vec<String> {
    requests::open(conn).unwrap().into_iter().map(|request| request.body).collect()
}

#[tokio::test]
async fn a_failing_job_does_not_harm_its_neighbours() {
    let conn = open::in_memory(1).unwrap();
    let (one, one_result) = line("one", Ok);
    let (two, two_result) = line("two", |_| Err(StoreError::NotFound { what: "thing", name: "x".into() }));
    let (three, three_result) = line("three", |_| panic!("on purpose"));
    let (four, four_result) = line("four", Ok);
    let _ = writer::write_batch(&conn, vec![one, two, three, four]);
    assert_eq!(lines(&conn), ["one", "four"]);
    assert!(one_result.await.unwrap().is_ok() && four_result.await.unwrap().is_ok());
    assert!(matches!(two_result.await.unwrap(), Err(StoreError::NotFound { what: "thing", .. })));
    assert!(matches!(three_result.await.unwrap(), Err(StoreError::Engine(_))));
    assert!(conn.is_autocommit());
}

#[tokio::test]
async fn a_failing_commit_refuses_the_whole_batch() {
    let mut conn = open::in_memory(1).unwrap();
    conn.commit_hook(Some(|| true)).unwrap();
    let (one, one_result) = line("one", Ok);
    let (two, two_result) = line("two", Ok);
    let _ = writer::write_batch(&conn, vec![one, two]);
    assert!(one_result.await.unwrap().is_err() && two_result.await.unwrap().is_err());
    assert!(lines(&conn).is_empty());

    conn.commit_hook(None::<fn() -> bool>).unwrap();
    let (three, three_result) = line("three", Ok);
    let _ = writer::write_batch(&conn, vec![three]);
    assert!(three_result.await.unwrap().is_ok());
    assert_eq!(lines(&conn), ["three"]);
}

#[tokio::test]
async fn a_job_that_can_not_write_refuses_its_batch() {
    let conn = open::in_memory(1).unwrap();
    let (one, one_result) = line("one", Ok);
    let (two, two_result) = line("two", |_| Err(StoreError::CannotWrite("full".into())));
    let _ = writer::write_batch(&conn, vec![one, two]);
    for result in [one_result, two_result] {
        assert!(matches!(result.await.unwrap(), Err(StoreError::CannotWrite(_))));
    }
    assert!(lines(&conn).is_empty());
}

#[tokio::test]
async fn a_full_disk_refuses_orders_until_there_is_room() {
    let (_folder, path) = folder();
    let engine = Arc::new(SqliteStore::open(&path, GATEWAY).unwrap());
    let store: AnyStore = engine.clone();
    let ann = client(&store, "ann", "100000").await.client.id;
    let limit_pages = async |sql: &'static str| {
        engine.write(move |conn| Ok(conn.query_one(sql, [], |row| row.get::<_, i64>(0))?)).await.unwrap()
    };
    // As many as there are: the next page does not fit.
    limit_pages("PRAGMA max_page_count = 1").await;
    let mut stored = 0;
    let full = loop {
        assert!(stored < 1000, "the disk never got full");
        match store.place(placement(new_order(ann, "1"))).await {
            Ok(Placed::New(_)) => stored += 1,
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, StoreError::CannotWrite(_)), "{full}");
    let spent = Money::from_units(100_000_000 * stored);
    assert_eq!(store.balance(ann).await.unwrap(), money("100000").checked_sub(spent).unwrap());
    assert_eq!(store.verify().await.unwrap().failures, Vec::<String>::new());

    limit_pages("PRAGMA max_page_count = 1000000").await;
    let next = order(&store, ann, "1").await;
    assert_eq!(i64::from(next.id.get()), stored + 1);
}

#[tokio::test]
async fn more_than_can_wait_is_refused() {
    let (_folder, path) = folder();
    let engine = SqliteStore::open(&path, GATEWAY).unwrap();
    let Runner::Threads(threads) = &engine.runner else { panic!("no threads") };
    let queue = threads.writer.as_ref();
    let (started, has_started) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let (slow, slow_result) = job(move |_| {
        started.send(()).unwrap();
        may_go_on.recv().unwrap();
        Ok(())
    });
    hand_over(queue, slow).unwrap();
    has_started.recv().unwrap();
    let waiting: Vec<_> = (0..QUEUE)
        .map(|_| {
            let (job, result) = line("one of many", Ok);
            hand_over(queue, job).unwrap();
            result
        })
        .collect();
    assert!(matches!(hand_over(queue, line("too many", Ok).0), Err(StoreError::Overloaded)));
    go_on.send(()).unwrap();
    slow_result.await.unwrap().unwrap();
    for result in waiting {
        result.await.unwrap().unwrap();
    }
    assert_eq!(engine.read(|conn| Ok(lines(conn).len())).await.unwrap(), QUEUE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_and_the_gateway_write_at_once() {
    let (_folder, path) = folder();
    let gateway = open(&path);
    let tool: AnyStore = Arc::new(SqliteStore::open(&path, OpenMode::Tool).unwrap());
    let ann = client(&tool, "ann", "1000").await.client.id;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (gateway, tool) = (Arc::clone(&gateway), Arc::clone(&tool));
        tasks.spawn(async move {
            order(&gateway, ann, "3").await;
        });
        tasks.spawn(async move {
            tool.move_money("ann", movement(EntryKind::Deposit, "1", None), NOW).await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for store in [gateway, tool] {
        assert_eq!(store.balance(ann).await.unwrap(), money("800"));
        assert_eq!(store.verify().await.unwrap().failures, Vec::<String>::new());
    }
}

#[tokio::test]
async fn readers_do_not_write() {
    let (_folder, path) = folder();
    let engine = SqliteStore::open(&path, GATEWAY).unwrap();
    let error = engine.read(|conn| requests::post(conn, "x", NOW)).await.unwrap_err();
    assert!(matches!(error, StoreError::CannotRead(_)), "{error}");
    assert!(engine.claim_requests().await.unwrap().is_empty());
}

// === A clock that was put back while no gateway ran ===

#[tokio::test]
async fn deadlines_go_back_with_a_clock_that_shows_less_than_it_did() {
    const DAY: i64 = 86_400_000;
    let at = |by: i64| Timestamp::from_millis(NOW.millis() + by);
    let store: AnyStore = Arc::new(SqliteStore::in_memory(1).unwrap());
    let ann = client(&store, "ann", "10").await.client.id;
    let held = order(&store, ann, "1").await;
    let open = forwarded(&store, ann, "alpha", "7").await;
    let times = async || {
        let (held, open) = (store.order(held.id).await.unwrap().unwrap(), store.order(open.id).await.unwrap().unwrap());
        (held.queued_at, open.due_at.unwrap())
    };
    let before = times().await;
    for now in [at(DAY), at(-60_000)] {
        store.recover(now).await.unwrap();
        assert_eq!(times().await, before, "it may have stood still so long, or been put right by so little");
    }
    for _ in 0..2 {
        store.recover(at(-DAY)).await.unwrap();
        let moved = Timestamp::from_millis(before.1.millis() - DAY);
        assert_eq!(times().await, (at(-DAY), moved), "once");
    }
    // Then it is set right, under a running gateway.
    shift(&store, DAY, at(0)).await;
    store.recover(at(1000)).await.unwrap();
    assert_eq!(times().await, before);
    assert_eq!(store.verify().await.unwrap().failures, Vec::<String>::new());
}

#[test]
fn a_store_in_no_folder_is_told_of_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let error = SqliteStore::open(&folder.path().join("nowhere/store.db"), GATEWAY).err().unwrap().to_string();
    assert!(error.contains("nowhere/store.db can't be opened: ") && !error.contains("make room"), "{error}");
}
