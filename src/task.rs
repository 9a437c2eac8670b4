//! Background work: every task is known to the shutdown, and the clock is one that a test can set.

mod clock;
#[cfg(test)]
pub(crate) mod free_port;
#[cfg(test)]
pub(crate) mod path;
mod steady;
#[cfg(test)]
pub(crate) mod turns;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use clock::{Clock, ClockStep};
pub use steady::Moment;

/// Work that ended in a panic; the lines of the log before say where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it ended in a panic")]
pub struct Panicked;

/// What `work` gives, unless it panics: without a task of its own, so that it ends where its caller does.
///
/// # Errors
/// [`Panicked`]
pub async fn caught<F: Future>(work: F) -> Result<F::Output, Panicked> {
    let mut work = pin!(work);
    // Nothing is used again of what a panic may have left half done: `work` is not polled after it.
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

/// Every task of the process, and the word that ends them.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    #[cfg(test)]
    turns: Option<turns::Turns>,
}

impl Tasks {
    /// None yet; each that comes takes turns.
    #[cfg(test)]
    pub(crate) fn taking_turns(turns: turns::Turns) -> Self {
        Self { turns: Some(turns), ..Self::default() }
    }

    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that [`Tasks::finish`] waits for. Something with a side effect goes into one, so that
    /// nobody who stops waiting for it can cut it in half.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let future = self.tracker.track_future(future);
        #[cfg(test)]
        if let Some(turns) = &self.turns {
            let task = start(turns.in_turns(future));
            turns.remember(task.abort_handle());
            return task;
        }
        start(future)
    }

    /// Runs `work` again and again until the stop: after `period`, or at once when it is nudged. The nudge
    /// carries nothing: `work` finds out by itself what there is to do. A panic ends one round, not the task.
    pub fn every<W, F>(&self, period: Duration, nudge: Arc<Notify>, work: W)
    where
        W: Fn() -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.every_until(self.stop.clone(), period, nudge, work);
    }

    /// The same until `stop`, which is a [`Tasks::stop_token`].
    pub fn every_until<W, F>(&self, stop: CancellationToken, period: Duration, nudge: Arc<Notify>, work: W)
    where
        W: Fn() -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = self.clone();
        drop(self.spawn(async move {
            while !stop.is_cancelled() {
                if tasks.spawn(work()).await.is_err() {
                    tracing::error!(
                        "a background task ended in a panic and goes on; the lines above say where. Report it"
                    );
                }
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = nudge.notified() => {}
                    () = tokio::time::sleep(period) => {}
                }
            }
        }));
    }

    /// What `future` gives, or nothing once the stop is said: for waits and calls that can be left without harm.
    pub async fn unless_stopping<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            () = self.stopping() => None,
            output = future => Some(output),
        }
    }

    /// What ends some tasks before the others; all end at the stop.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// Resolves when the stop is said.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the stop was said.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Says the stop: periodic tasks end, started work goes on to its own end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits for what is still under way, `within` at most; gives how many tasks were left then.
    pub async fn finish(&self, within: Duration) -> usize {
        self.stop();
        self.tracker.close();
        match tokio::time::timeout(within, self.tracker.wait()).await {
            Ok(()) => 0,
            Err(_) => self.tracker.len(),
        }
    }
}

fn start<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "the one place that starts tasks")]
    tokio::spawn(future)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_panic_ends_one_round_only() {
        let (tasks, rounds) = (Tasks::new(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&rounds);
        tasks.every(Duration::from_secs(1), Arc::default(), move || {
            let round = counted.fetch_add(1, Ordering::SeqCst);
            async move { assert!(round > 0, "the first round fails") }
        });
        while rounds.load(Ordering::SeqCst) < 3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(tasks.finish(Duration::from_secs(1)).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_leaves_what_may_be_left() {
        let tasks = Tasks::new();
        assert_eq!(tasks.unless_stopping(std::future::ready(7)).await, Some(7));
        let waiting = tasks.unless_stopping(std::future::pending::<()>());
        tasks.stop();
        assert_eq!(waiting.await, None);
    }
}
