//! Reading: each job sees one snapshot, and none of them keeps the writer waiting.

use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::writer::Job;
use crate::store::{StoreError, StoreResult};

/// One reader thread: takes jobs off the shared queue until every sender is gone.
pub(super) fn run_reader(conn: &Connection, jobs: &Mutex<Receiver<Box<dyn Job>>>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        read_one(conn, job);
    }
}

/// Runs one job in a transaction of its own, so that all it reads is of one moment.
pub(super) fn read_one(conn: &Connection, mut job: Box<dyn Job>) {
    let outcome = snapshot(conn, job.as_mut());
    if !conn.is_autocommit() {
        // Nothing was written; a failure here shows in the next BEGIN.
        let _ = conn.prepare_cached("ROLLBACK").and_then(|mut rollback| rollback.execute([]));
    }
    job.reply(outcome);
}

fn snapshot(conn: &Connection, job: &mut dyn Job) -> StoreResult<()> {
    conn.prepare_cached("BEGIN")?.execute([])?;
    job.run(conn).map_err(|error| match error {
        StoreError::CannotWrite(what) => StoreError::CannotRead(what),
        error => error,
    })
}
