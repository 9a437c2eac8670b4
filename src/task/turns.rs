//! Tasks that take turns: each poll waits until somebody lets that task go on. A simulation draws the order from its
//! seed, so that one seed is one order of things.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// The tasks that wait for their turn, and whose turn it is.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Somebody came to wait for a turn.
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    born: u64,
    waiting: BTreeMap<u64, Waker>,
    granted: Option<u64>,
    running: Option<u64>,
    panicked: bool,
    alive: Vec<AbortHandle>,
}

impl Turns {
    /// The future, which goes on only when it is its turn.
    pub(super) fn in_turns<F: Future>(&self, future: F) -> InTurns<F> {
        let mut state = self.lock();
        state.born += 1;
        InTurns { turns: self.clone(), number: state.born, future: Box::pin(future) }
    }

    pub(super) fn remember(&self, task: AbortHandle) {
        self.lock().alive.push(task);
    }

    /// The numbers of the tasks that could go on, oldest first.
    pub fn waiting(&self) -> Vec<u64> {
        self.lock().waiting.keys().copied().collect()
    }

    /// Lets one task go on to its next wait, and those whom that woke come to wait for their turns.
    pub async fn grant(&self, task: u64) {
        {
            let mut state = self.lock();
            let Some(waker) = state.waiting.remove(&task) else { return };
            state.granted = Some(task);
            waker.wake();
        }
        while self.lock().granted.is_some() {
            tokio::task::yield_now().await;
        }
        self.gather().await;
    }

    /// Lets everybody who was woken come to wait for a turn.
    pub async fn gather(&self) {
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
    }

    /// Resolves when somebody waits for a turn.
    pub async fn somebody(&self) {
        while self.lock().waiting.is_empty() {
            self.0.arrived.notified().await;
        }
    }

    /// The task that runs at this moment.
    pub fn running(&self) -> Option<u64> {
        self.lock().running
    }

    /// The number of the task that was started last.
    pub fn newest(&self) -> u64 {
        self.lock().born
    }

    /// Whether a task has panicked.
    pub fn panicked(&self) -> bool {
        self.lock().panicked
    }

    /// Ends every task where it stands, as a killed process ends.
    pub async fn kill(&self) {
        let alive = std::mem::take(&mut self.lock().alive);
        for task in &alive {
            task.abort();
        }
        while alive.iter().any(|task| !task.is_finished()) {
            tokio::task::yield_now().await;
        }
        self.lock().waiting.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Turns::in_turns`].
pub(super) struct InTurns<F> {
    turns: Turns,
    number: u64,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for InTurns<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let number = self.number;
        {
            let mut state = self.turns.lock();
            if state.granted != Some(number) {
                state.waiting.insert(number, context.waker().clone());
                self.turns.0.arrived.notify_one();
                return Poll::Pending;
            }
            state.running = Some(number);
        }
        let _turn = Turn(self.turns.clone());
        self.future.as_mut().poll(context)
    }
}

/// Ends the turn, also by a panic.
struct Turn(Turns);

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running = None;
        state.granted = None;
        state.panicked |= std::thread::panicking();
    }
}
