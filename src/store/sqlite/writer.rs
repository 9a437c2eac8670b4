//! Writing: many waiting jobs share one transaction and so one wait for the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::standing::Standing;
use crate::store::{StoreError, StoreResult};

/// How many jobs share a transaction at most.
const MAX_BATCH: usize = 256;

/// A piece of work on a connection, with somebody waiting for its result.
pub(super) trait Job: Send {
    /// Does the work and keeps its result; tells whether what it wrote may stay.
    fn run(&mut self, conn: &Connection) -> StoreResult<()>;
    /// Gives the result to whoever waits, or the failure of the transaction that it was part of.
    fn reply(self: Box<Self>, transaction: StoreResult<()>);
}

struct Waiting<F, T> {
    work: Option<F>,
    result: Option<StoreResult<T>>,
    reply: oneshot::Sender<StoreResult<T>>,
}

/// Makes a job of a closure; its result comes out of the receiver.
pub(super) fn job<F, T>(work: F) -> (Box<dyn Job>, oneshot::Receiver<StoreResult<T>>)
where
    F: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    T: Send + 'static,
{
    let (reply, result) = oneshot::channel();
    (Box::new(Waiting { work: Some(work), result: None, reply }), result)
}

impl<F, T> Job for Waiting<F, T>
where
    F: FnOnce(&Connection) -> StoreResult<T> + Send,
    T: Send,
{
    fn run(&mut self, conn: &Connection) -> StoreResult<()> {
        let Some(work) = self.work.take() else { return Ok(()) };
        // A bug in one job must not end the thread that serves all of them.
        let result = catch_unwind(AssertUnwindSafe(|| work(conn))).unwrap_or_else(|_| {
            Err(StoreError::Engine("a job of the store panicked; nothing of it was written".into()))
        });
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        self.result = Some(result);
        outcome
    }

    fn reply(self: Box<Self>, transaction: StoreResult<()>) {
        let result = match (transaction, self.result) {
            (Ok(()), Some(result)) => result,
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(StoreError::Engine("a job of the store was not run".into())),
        };
        // Whoever asked may have gone; what was committed stays.
        let _ = self.reply.send(result);
    }
}

/// The writer thread: ends when every sender is gone and all jobs are done.
pub(super) fn run_writer(conn: &Connection, jobs: &Receiver<Box<dyn Job>>) {
    let mut standing = Standing::new();
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first];
        batch.extend(jobs.try_iter().take(MAX_BATCH - 1));
        let changes = conn.total_changes();
        let outcome = write_batch(conn, batch);
        // A commit of nothing writes nothing, and so proves nothing.
        standing.heard(&outcome, conn.total_changes() != changes);
    }
}

/// Runs jobs in one transaction and replies once it is durable, or failed as a whole; gives which.
pub(super) fn write_batch(conn: &Connection, mut batch: Vec<Box<dyn Job>>) -> StoreResult<()> {
    let outcome = transact(conn, &mut batch);
    if outcome.is_err() && !conn.is_autocommit() {
        // Where even this fails, the next BEGIN says so to the jobs that come then.
        let _ = conn.execute_batch("ROLLBACK");
    }
    for job in batch {
        job.reply(outcome.clone());
    }
    outcome
}

fn transact(conn: &Connection, batch: &mut [Box<dyn Job>]) -> StoreResult<()> {
    run(conn, "BEGIN IMMEDIATE")?;
    for job in batch {
        run(conn, "SAVEPOINT job")?;
        match job.run(conn) {
            Ok(()) => {}
            // With a full or broken disk the neighbours' pages are no safer: all of them are refused.
            Err(error @ StoreError::CannotWrite(_)) => return Err(error),
            // SQLite rolls everything back by itself on some failures, the neighbours' work included.
            Err(error) if conn.is_autocommit() => return Err(error),
            Err(_) => run(conn, "ROLLBACK TO job")?,
        }
        run(conn, "RELEASE job")?;
    }
    run(conn, "COMMIT")?;
    metrics::counter!(crate::telemetry::STORE_COMMITS).increment(1);
    Ok(())
}

fn run(conn: &Connection, sql: &str) -> StoreResult<()> {
    conn.prepare_cached(sql)?.execute([])?;
    Ok(())
}
