//! Keeps requests away from a Redis that does not answer.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a failed Redis is left alone before one request tries it again.
const REST: Duration = Duration::from_millis(500);
/// How often an operator is told.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Open after a failure; every [`REST`] it lets one call through, until one succeeds.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    closed_to: Option<Instant>,
    quiet_to: Option<Instant>,
}

impl Breaker {
    /// Whether a call may be made now.
    pub(super) fn admits(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match state.closed_to {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                // This call is the probe: no other until it is known what became of it.
                state.closed_to = Some(now + REST);
                true
            }
        }
    }

    pub(super) fn succeeded(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).closed_to = None;
    }

    /// It answers, but not as it was asked to: calls go on. Gives whether an operator should be told.
    pub(super) fn refused(&self) -> bool {
        self.succeeded();
        self.tells(Instant::now())
    }

    /// Gives whether an operator should be told.
    pub(super) fn failed(&self) -> bool {
        let now = Instant::now();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).closed_to = Some(now + REST);
        self.tells(now)
    }

    fn tells(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tell = state.quiet_to.is_none_or(|until| now >= until);
        if tell {
            state.quiet_to = Some(now + WARN_EVERY);
        }
        tell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_call_at_a_time_tries_again() {
        let breaker = Breaker::default();
        assert!(breaker.admits());
        assert!(breaker.failed(), "the first failure is told");
        assert!(!breaker.admits());
        tokio::time::advance(REST).await;
        assert!(breaker.admits());
        assert!(!breaker.admits(), "only one");
        assert!(!breaker.failed(), "the next is not");
        tokio::time::advance(REST).await;
        assert!(breaker.admits());
        breaker.succeeded();
        assert!(breaker.admits() && breaker.admits());
        tokio::time::advance(WARN_EVERY).await;
        assert!(breaker.refused() && !breaker.refused(), "told once");
        assert!(breaker.admits() && breaker.admits(), "what answers is asked");
        tokio::time::advance(WARN_EVERY).await;
        assert!(breaker.failed());
    }
}
