//! Which calls came in, and when: what tests of rate limits and batches look at.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::action::Action;

/// How many calls are remembered; older ones are only counted.
const REMEMBERED: usize = 1_000_000;

/// One call that came in, whatever became of it.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// When its last byte had come.
    pub at: Instant,
    /// What it asked for.
    pub action: Action,
    /// How many order or refill IDs it carried.
    pub ids: usize,
}

#[derive(Default)]
pub(super) struct CallLog {
    calls: VecDeque<Call>,
    counts: [u64; Action::ALL.len()],
}

impl CallLog {
    pub(super) fn note(&mut self, action: Action, ids: usize) {
        if self.calls.len() >= REMEMBERED {
            self.calls.pop_front();
        }
        self.calls.push_back(Call { at: Instant::now(), action, ids });
        if let Some(count) = self.counts.get_mut(action as usize) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn all(&self) -> Vec<Call> {
        self.calls.iter().copied().collect()
    }

    pub(super) fn count(&self, action: Action) -> u64 {
        self.counts.get(action as usize).copied().unwrap_or(0)
    }
}
