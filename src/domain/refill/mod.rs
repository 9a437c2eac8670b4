//! The life of a refill: `(refill, event, now) -> step`. It is sent once; no money moves on it.
//!
//! ```text
//! Sending --accepted-----> Accepted --reported as over--> Ended (Completed | Rejected | Error | Canceled)
//!    |  \--refused, not taken----------------------------> Ended (Rejected)
//!    \-----ambiguous, or the sender is lost--> Uncertain --a late answer--> as from Sending
//! ```

mod status;
#[cfg(test)]
mod tests;

pub use status::{RefillReport, RefillStatus};

use std::time::Duration;

use super::ids::{ClientId, OrderId, ProviderId, RefillId, UpstreamOrderId, UpstreamRefillId};
use super::order::Note;
use super::time::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);

/// A second refill of an order is refused while one is open; one whose answer was lost counts as open this long,
/// since panels take one a day.
pub const UNCERTAIN_IS_OPEN_FOR: Duration = Duration::from_secs(86_400);

/// What came of asking an upstream for a refill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefillOutcome {
    /// It took it, under this ID.
    Accepted(UpstreamRefillId),
    /// It does not refill this order.
    Refused {
        /// In its words.
        text: String,
        /// Whether a client may read them: known words about refills, and nothing else.
        quotable: bool,
    },
    /// It began none, for a reason that may pass: not sent, too many requests, maintenance, our key.
    NotTaken(String),
    /// Anything else: there may be one. Carries what was seen.
    Ambiguous(String),
}

impl RefillOutcome {
    /// The word for it as a metric's label.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Refused { .. } => "refused",
            Self::NotTaken(_) => "not_taken",
            Self::Ambiguous(_) => "ambiguous",
        }
    }
}

/// Where a refill stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefillState {
    /// It is being sent; this was durable before its first byte left.
    Sending,
    /// The upstream named it.
    Accepted(UpstreamRefillId),
    /// What came of sending it is unknown: never sent again, shown as Pending.
    Uncertain,
    /// Over; [`Refill::status`] says how. It has an ID where the upstream had taken it.
    Ended(Option<UpstreamRefillId>),
}

impl RefillState {
    /// The stored word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Accepted(_) => "accepted",
            Self::Uncertain => "uncertain",
            Self::Ended(_) => "ended",
        }
    }

    /// The upstream's ID, once it is known.
    #[must_use]
    pub const fn upstream_id(&self) -> Option<&UpstreamRefillId> {
        match self {
            Self::Accepted(id) | Self::Ended(Some(id)) => Some(id),
            _ => None,
        }
    }
}

/// One refill, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refill {
    /// Our ID.
    pub id: RefillId,
    /// Counts the steps; a step is written only on the version it was made from.
    pub version: u64,
    /// What is refilled.
    pub order: OrderId,
    /// Whose.
    pub client: ClientId,
    /// Where the order was placed.
    pub provider: ProviderId,
    /// The order's ID there.
    pub upstream_order: UpstreamOrderId,
    /// Where it stands.
    pub state: RefillState,
    /// What the client is shown.
    pub status: RefillStatus,
    /// What the upstream last said, as it said it.
    pub word: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When its upstream was last asked for it.
    pub polled_at: Option<Timestamp>,
    /// When its upstream is asked for it next; `None`: never.
    pub due_at: Option<Timestamp>,
}

/// What is given at the birth of a refill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRefill {
    /// See [`Refill::order`].
    pub order: OrderId,
    /// See [`Refill::client`].
    pub client: ClientId,
    /// See [`Refill::provider`].
    pub provider: ProviderId,
    /// See [`Refill::upstream_order`].
    pub upstream_order: UpstreamOrderId,
}

impl NewRefill {
    /// The refill as it is first stored, under the ID that the store gives it.
    #[must_use]
    pub fn into_refill(self, id: RefillId, now: Timestamp) -> Refill {
        Refill {
            id,
            version: 1,
            order: self.order,
            client: self.client,
            provider: self.provider,
            upstream_order: self.upstream_order,
            state: RefillState::Sending,
            status: RefillStatus::Pending,
            word: None,
            created_at: now,
            updated_at: now,
            polled_at: None,
            due_at: None,
        }
    }
}

/// Something that happened to a refill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefillEvent {
    /// What came of sending it, however late.
    Answered(RefillOutcome),
    /// It was answered with an ID that another refill holds.
    IdTaken {
        /// The ID.
        id: UpstreamRefillId,
        /// The other.
        holder: RefillId,
    },
    /// The process that was sending it is gone.
    SenderLost,
    /// Its upstream reported on it.
    Reported(RefillReport),
    /// Its upstream was asked, and said nothing of it, or these words.
    Unreported(Option<String>),
}

/// Everything that one event changes, to be written in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefillStep {
    /// The refill afterwards, its version raised by one.
    pub refill: Refill,
    /// What the operator is told.
    pub notes: Vec<Note>,
}

/// An event that cannot happen to a refill in its state; nothing is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refill {refill} is {state}: that does not apply to it")]
pub struct IllegalRefill {
    /// Which.
    pub refill: RefillId,
    /// Its state's word.
    pub state: &'static str,
}

impl Refill {
    /// What `event` does to the refill at `now`.
    ///
    /// # Errors
    /// [`IllegalRefill`] where the event does not apply in this state.
    pub fn step(&self, event: RefillEvent, now: Timestamp) -> Result<RefillStep, IllegalRefill> {
        let mut refill = self.clone();
        refill.version = refill.version.saturating_add(1);
        refill.updated_at = now;
        let mut step = RefillStep { refill, notes: Vec::new() };
        match (event, &self.state) {
            (RefillEvent::Answered(outcome), RefillState::Sending | RefillState::Uncertain) => {
                step.answered(outcome, now);
            }
            (RefillEvent::IdTaken { id, holder }, RefillState::Sending | RefillState::Uncertain) => {
                step.uncertain(&format!("it was answered with {id}, which is refill {holder}'s"));
            }
            (RefillEvent::SenderLost, RefillState::Sending) => {
                step.uncertain("the gateway stopped while it was being sent");
            }
            (RefillEvent::Reported(report), RefillState::Accepted(_)) => step.reported(report, now),
            (RefillEvent::Unreported(words), RefillState::Accepted(_)) => step.unreported(words, now),
            _ => return Err(IllegalRefill { refill: self.id, state: self.state.name() }),
        }
        Ok(step)
    }

    /// When its upstream is asked for it again: every minute at first, then every five, then every half hour.
    fn next_poll(&self, now: Timestamp) -> Timestamp {
        let age = now.since(self.created_at);
        let pause = if age < MINUTE.saturating_mul(10) {
            MINUTE
        } else if age < MINUTE.saturating_mul(60) {
            MINUTE.saturating_mul(5)
        } else {
            MINUTE.saturating_mul(30)
        };
        now.plus(pause)
    }
}

impl RefillStep {
    fn note(&mut self, text: String, alert: bool) {
        self.notes.push(Note { text, alert });
    }

    fn end(&mut self, id: Option<UpstreamRefillId>, status: RefillStatus) {
        self.note(format!("ended: {status}"), false);
        self.refill.state = RefillState::Ended(id);
        self.refill.status = status;
        self.refill.due_at = None;
    }

    fn answered(&mut self, outcome: RefillOutcome, now: Timestamp) {
        match outcome {
            RefillOutcome::Accepted(id) => {
                self.note(format!("taken as {id}"), false);
                self.refill.state = RefillState::Accepted(id);
                self.refill.due_at = Some(self.refill.next_poll(now));
            }
            RefillOutcome::Refused { text, .. } | RefillOutcome::NotTaken(text) => {
                self.refill.word = Some(text);
                self.end(None, RefillStatus::Rejected);
            }
            RefillOutcome::Ambiguous(seen) => self.uncertain(&seen),
        }
    }

    fn uncertain(&mut self, seen: &str) {
        if self.refill.state != RefillState::Uncertain {
            let Refill { order, provider, upstream_order, .. } = &self.refill;
            let told = format!(
                "whether {provider} took it is unknown ({seen}): it is not sent again and stays Pending; \
                 ask {provider} about its order {upstream_order} (ours: {order})"
            );
            self.note(told, true);
        }
        self.refill.word = Some(seen.to_owned());
        self.refill.state = RefillState::Uncertain;
    }

    fn reported(&mut self, report: RefillReport, now: Timestamp) {
        let is_new = self.remember(report.word(), now);
        match report {
            RefillReport::Known(status) if status.is_final() => {
                let id = self.refill.state.upstream_id().cloned();
                self.end(id, status);
            }
            RefillReport::Known(status) => self.refill.status = status,
            RefillReport::Unknown(word) if is_new => {
                self.note(format!("its upstream reports a refill status that is not known: {word:?}"), true);
            }
            RefillReport::Unknown(_) => {}
        }
    }

    fn unreported(&mut self, words: Option<String>, now: Timestamp) {
        let Some(words) = words else {
            self.polled(now);
            return;
        };
        if self.remember(&words, now) {
            self.note(format!("its upstream gives no status of it: {words}; it stays as it was, ask there"), true);
        }
    }

    /// Whether the word differs from the one before: what was told of once is not told of again.
    fn remember(&mut self, word: &str, now: Timestamp) -> bool {
        self.polled(now);
        let is_new = self.refill.word.as_deref() != Some(word);
        self.refill.word = Some(word.to_owned());
        is_new
    }

    fn polled(&mut self, now: Timestamp) {
        self.refill.polled_at = Some(now);
        self.refill.due_at = Some(self.refill.next_poll(now));
    }
}
