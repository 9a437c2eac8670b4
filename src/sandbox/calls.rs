//! Which calls came in, when, and until when they were under way: what tests of limits and batches look at.

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
    /// When its answer was about to leave, or its connection to be broken on purpose; nothing before that, and where the
    /// caller went away first.
    pub answered_at: Option<Instant>,
}

#[derive(Default)]
pub(super) struct CallLog {
    calls: VecDeque<Call>,
    /// How many were remembered once.
    forgotten: usize,
    counts: [u64; Action::ALL.len()],
}

impl CallLog {
    /// Gives the call's number.
    pub(super) fn note(&mut self, action: Action, ids: usize) -> usize {
        if self.calls.len() >= REMEMBERED {
            self.calls.pop_front();
            self.forgotten = self.forgotten.saturating_add(1);
        }
        self.calls.push_back(Call { at: Instant::now(), action, ids, answered_at: None });
        if let Some(count) = self.counts.get_mut(action as usize) {
            *count = count.saturating_add(1);
        }
        self.forgotten.saturating_add(self.calls.len()).saturating_sub(1)
    }

    /// The call with this number is under way no more.
    pub(super) fn note_answer(&mut self, number: usize) {
        let call = number.checked_sub(self.forgotten).and_then(|place| self.calls.get_mut(place));
        if let Some(call) = call {
            call.answered_at = Some(Instant::now());
        }
    }

    pub(super) fn all(&self) -> Vec<Call> {
        self.calls.iter().copied().collect()
    }

    pub(super) fn count(&self, action: Action) -> u64 {
        self.counts.get(action as usize).copied().unwrap_or(0)
    }
}
