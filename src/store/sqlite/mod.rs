//! The embedded store: one SQLite file, one writer thread that commits many requests at once, a few readers.
//!
//! A gateway holds `<file>.lock` for its life. Verbs of the command line do not take it and write in short
//! transactions of their own, so nothing here remembers a balance or an order between two transactions.

mod access;
mod backup;
mod calls;
mod catalogues;
mod claiming;
mod claims;
mod clients;
mod doubts;
mod errors;
mod migrations;
mod movements;
mod open;
mod operation;
mod order_reads;
mod orders;
mod readers;
mod refills;
mod report;
mod requests;
mod rows;
mod searches;
mod verify;
mod writer;

#[cfg(test)]
mod tamper_tests;
#[cfg(test)]
mod tests;

pub use backup::Restore;
pub use open::OpenMode;

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::{StoreError, StoreResult};
use writer::{Job, job};

/// How many jobs may wait; more are refused, so that a slow disk shows as errors and not as memory.
const QUEUE: usize = 4096;
/// How many threads read.
const READERS: usize = 3;

/// A store in one SQLite file, or in memory.
pub struct SqliteStore {
    id: String,
    runner: Runner,
}

/// Where jobs are run.
enum Runner {
    /// On threads of their own, so that no caller waits for a disk.
    Threads(Threads),
    /// At once, one after the other: for simulations, whose order of things must not depend on threads.
    Inline(Mutex<Connection>),
}

/// What a job is handed over to, and what must end in order.
struct Threads {
    writer: Option<SyncSender<Box<dyn Job>>>,
    reader: Option<SyncSender<Box<dyn Job>>>,
    writer_thread: Option<JoinHandle<()>>,
    reader_threads: Vec<JoinHandle<()>>,
    /// Held for the gateway's life; given back after the threads have ended.
    _lock: Option<File>,
}

impl SqliteStore {
    /// Opens the store at `path`. Blocks while it works.
    ///
    /// # Errors
    /// [`StoreError::InUse`] for a second gateway, [`StoreError::Missing`] and [`StoreError::WrongVersion`] as
    /// [`OpenMode`] says, and what the engine says.
    pub fn open(path: &Path, mode: OpenMode) -> StoreResult<Self> {
        let at_opening = |error: StoreError| error.at_opening(&path.display().to_string());
        let lock = match mode {
            OpenMode::Gateway { .. } => Some(open::lock(path).map_err(at_opening)?),
            OpenMode::Tool => None,
        };
        let conn = open::writer(path, mode).map_err(at_opening)?;
        let id = read_id(&conn)?;
        let readers = (0..READERS).map(|_| open::reader(path)).collect::<StoreResult<Vec<_>>>()?;
        Ok(Self { id, runner: Runner::Threads(Threads::start(conn, readers, lock)?) })
    }

    /// An empty store in memory that runs every job at once on the caller's thread.
    ///
    /// # Errors
    /// What the engine says.
    pub fn in_memory(first_order_id: u32) -> StoreResult<Self> {
        let conn = open::in_memory(first_order_id)?;
        Ok(Self { id: read_id(&conn)?, runner: Runner::Inline(Mutex::new(conn)) })
    }

    /// Changes a store in memory behind its back.
    #[cfg(test)]
    pub(crate) fn tamper(&self, sql: &str) {
        if let Runner::Inline(conn) = &self.runner {
            conn.lock().unwrap_or_else(PoisonError::into_inner).execute_batch(sql).unwrap();
        }
    }

    /// Does this at each commit of a store in memory, while whoever wrote waits.
    #[cfg(test)]
    pub(crate) fn at_commits(&self, mut work: impl FnMut() + Send + 'static) {
        if let Runner::Inline(conn) = &self.runner {
            let goes_on = move || {
                work();
                false
            };
            conn.lock().unwrap_or_else(PoisonError::into_inner).commit_hook(Some(goes_on)).unwrap();
        }
    }

    /// Whether a gateway holds the store at `path`.
    #[must_use]
    pub fn gateway_running(path: &Path) -> bool {
        open::is_locked(path)
    }

    /// Runs `work` in a write transaction; what it gives comes back once that is durable.
    async fn write<T, F>(&self, work: F) -> StoreResult<T>
    where
        F: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
        T: Send + 'static,
    {
        let (job, result) = job(work);
        match &self.runner {
            Runner::Threads(threads) => hand_over(threads.writer.as_ref(), job)?,
            Runner::Inline(conn) => {
                // The job was told.
                let _ = writer::write_batch(&conn.lock().unwrap_or_else(PoisonError::into_inner), vec![job]);
            }
        }
        result.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Runs `work` on one snapshot of the store.
    async fn read<T, F>(&self, work: F) -> StoreResult<T>
    where
        F: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
        T: Send + 'static,
    {
        let (job, result) = job(work);
        match &self.runner {
            Runner::Threads(threads) => hand_over(threads.reader.as_ref(), job)?,
            Runner::Inline(conn) => readers::read_one(&conn.lock().unwrap_or_else(PoisonError::into_inner), job),
        }
        result.await.unwrap_or_else(|_| Err(closed()))
    }
}

fn read_id(conn: &Connection) -> StoreResult<String> {
    Ok(conn.query_row("SELECT id FROM store", [], |row| row.get(0))?)
}

fn closed() -> StoreError {
    StoreError::Engine("it is closed".into())
}

fn hand_over(queue: Option<&SyncSender<Box<dyn Job>>>, job: Box<dyn Job>) -> StoreResult<()> {
    queue.ok_or_else(closed)?.try_send(job).map_err(|error| match error {
        TrySendError::Full(_) => StoreError::Overloaded,
        TrySendError::Disconnected(_) => closed(),
    })
}

impl Threads {
    fn start(writer: Connection, readers: Vec<Connection>, lock: Option<File>) -> StoreResult<Self> {
        let (write_queue, write_jobs) = sync_channel(QUEUE);
        let (read_queue, read_jobs) = sync_channel(QUEUE);
        let read_jobs: Arc<Mutex<Receiver<Box<dyn Job>>>> = Arc::new(Mutex::new(read_jobs));
        let mut threads = Self {
            writer: Some(write_queue),
            reader: Some(read_queue),
            writer_thread: None,
            reader_threads: Vec::new(),
            _lock: lock,
        };
        threads.writer_thread = Some(spawn("store-writer", move || writer::run_writer(&writer, &write_jobs))?);
        for conn in readers {
            let jobs = Arc::clone(&read_jobs);
            threads.reader_threads.push(spawn("store-reader", move || readers::run_reader(&conn, &jobs))?);
        }
        Ok(threads)
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> StoreResult<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| StoreError::Engine(format!("no thread for it: {error}")))
}

/// Finishes what was handed over. The readers' connections close first: the last one to close a file clears
/// its WAL, which only the writer's can.
impl Drop for Threads {
    fn drop(&mut self) {
        self.reader = None;
        for thread in self.reader_threads.drain(..) {
            // It can't have panicked: its jobs are caught.
            let _ = thread.join();
        }
        self.writer = None;
        if let Some(thread) = self.writer_thread.take() {
            let _ = thread.join();
        }
    }
}
