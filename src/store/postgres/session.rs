//! One connection of the pool while it is used. Given back only when it is known to be between two transactions: a caller
//! that goes away in the middle, or a server that does not answer, costs the connection and nothing else.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::errors;
use super::values::Value;
use crate::store::{StoreError, StoreResult};

/// How long the server may take to answer a statement; its own limit, `statement_timeout`, comes first.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection in use.
pub(super) struct Session {
    object: Option<Object>,
    /// An answer is outstanding, so that nobody else can use it.
    waiting: AtomicBool,
    /// A transaction is open.
    open: AtomicBool,
    /// Statements may take as long as they need.
    patient: AtomicBool,
    /// A statement changed something.
    wrote: AtomicBool,
}

impl Session {
    pub(super) fn new(object: Object) -> Self {
        Self {
            object: Some(object),
            waiting: AtomicBool::new(false),
            open: AtomicBool::new(false),
            patient: AtomicBool::new(false),
            wrote: AtomicBool::new(false),
        }
    }

    fn object(&self) -> StoreResult<&Object> {
        self.object.as_ref().ok_or_else(|| StoreError::Engine("a connection was used after it was given back".into()))
    }

    /// Waits for the server's answer.
    async fn answer<T>(&self, call: impl Future<Output = Result<T, tokio_postgres::Error>>) -> StoreResult<T> {
        self.hear(self.open.load(Ordering::Relaxed), call).await
    }

    /// The same; `nothing_stays`: where the connection is lost now, nothing can have been committed.
    async fn hear<T>(
        &self,
        nothing_stays: bool,
        call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> StoreResult<T> {
        self.waiting.store(true, Ordering::Relaxed);
        let answer = if self.patient.load(Ordering::Relaxed) {
            Ok(call.await)
        } else {
            tokio::time::timeout(ANSWER_TIMEOUT, call).await
        };
        let Ok(answer) = answer else {
            return Err(errors::connection_lost("no answer in time", nothing_stays));
        };
        self.waiting.store(false, Ordering::Relaxed);
        answer.map_err(|error| errors::of_statement(&error, nothing_stays))
    }

    // === Transactions ===

    /// Begins one that writes.
    pub(super) async fn begin(&self) -> StoreResult<()> {
        self.open.store(true, Ordering::Relaxed);
        self.answer(self.object()?.batch_execute("BEGIN")).await
    }

    /// Begins one that reads one snapshot, for as long as it takes.
    pub(super) async fn begin_snapshot(&self) -> StoreResult<()> {
        self.open.store(true, Ordering::Relaxed);
        self.patient.store(true, Ordering::Relaxed);
        // Nobody waits for what it holds: it may think about what it has read.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; \
                     SET LOCAL idle_in_transaction_session_timeout = '30s'";
        self.answer(self.object()?.batch_execute(begin)).await
    }

    /// Ends it. An error of [`StoreError::InDoubt`] may mean that it is written all the same.
    pub(super) async fn commit(&self) -> StoreResult<()> {
        self.open.store(false, Ordering::Relaxed);
        let done = self.answer(self.object()?.batch_execute("COMMIT")).await;
        metrics::counter!(crate::telemetry::STORE_COMMITS).increment(1);
        done
    }

    /// Undoes it; where that fails the connection is closed, which undoes it too.
    pub(super) async fn roll_back(&self) {
        if let Ok(object) = self.object()
            && !self.waiting.load(Ordering::Relaxed)
            && self.answer(object.batch_execute("ROLLBACK")).await.is_ok()
        {
            self.open.store(false, Ordering::Relaxed);
        }
    }

    /// Ends a snapshot, where there is one.
    pub(super) async fn end_read(&self) {
        if self.open.load(Ordering::Relaxed) {
            self.roll_back().await;
        }
    }

    /// A statement that gives rows changed something too.
    pub(super) fn mark_written(&self) {
        self.wrote.store(true, Ordering::Relaxed);
    }

    /// Whether a statement of this transaction changed something.
    pub(super) fn has_written(&self) -> bool {
        self.wrote.load(Ordering::Relaxed)
    }

    // === Statements ===

    /// Every row of a statement.
    pub(super) async fn rows(&self, sql: &str, params: Vec<Value>) -> StoreResult<Vec<Row>> {
        let object = self.object()?;
        let statement = self.hear(true, object.prepare_cached(sql)).await?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        self.answer(object.query(&statement, &params)).await
    }

    /// Every row of a statement, each through `read`.
    pub(super) async fn collect<T>(
        &self,
        sql: &str,
        params: Vec<Value>,
        read: impl Fn(&Row) -> StoreResult<T>,
    ) -> StoreResult<Vec<T>> {
        self.rows(sql, params).await?.iter().map(read).collect()
    }

    /// The first row of a statement, where it has one.
    pub(super) async fn first<T>(
        &self,
        sql: &str,
        params: Vec<Value>,
        read: impl Fn(&Row) -> StoreResult<T>,
    ) -> StoreResult<Option<T>> {
        self.rows(sql, params).await?.first().map(read).transpose()
    }

    /// Whether a statement has a row.
    pub(super) async fn exists(&self, sql: &str, params: Vec<Value>) -> StoreResult<bool> {
        Ok(!self.rows(sql, params).await?.is_empty())
    }

    /// Runs a statement; gives how many rows it touched.
    pub(super) async fn execute(&self, sql: &str, params: Vec<Value>) -> StoreResult<u64> {
        let object = self.object()?;
        let statement = self.hear(true, object.prepare_cached(sql)).await?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let touched = self.answer(object.execute(&statement, &params)).await?;
        if touched > 0 {
            self.wrote.store(true, Ordering::Relaxed);
        }
        Ok(touched)
    }

    /// Runs statements without parameters.
    pub(super) async fn batch(&self, sql: &str) -> StoreResult<()> {
        self.answer(self.object()?.batch_execute(sql)).await
    }

    /// Lets statements take as long as they need.
    pub(super) async fn be_patient(&self) -> StoreResult<()> {
        self.patient.store(true, Ordering::Relaxed);
        self.batch("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0").await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && (self.waiting.load(Ordering::Relaxed) || self.open.load(Ordering::Relaxed))
        {
            // Out of the pool and closed.
            drop(Object::take(object));
        }
    }
}
