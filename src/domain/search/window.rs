//! Where among an upstream's IDs, and when, the order that an attempt may have left was placed.

use std::time::Duration;

use super::{Lost, Obstacle};
use crate::domain::ids::UpstreamOrderId;
use crate::domain::time::Timestamp;

/// How long after an attempt was given up its upstream may still place the order.
pub(super) const LATE: Duration = Duration::from_secs(600);

/// How far the upstream's clock may be from ours.
pub(super) const SKEW: Duration = Duration::from_secs(300);

/// An order of ours whose ID is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Its ID there.
    pub id: UpstreamOrderId,
    /// When it was about to be sent.
    pub started_at: Timestamp,
    /// When its ID was written.
    pub finished_at: Timestamp,
}

/// Our orders around an attempt, at the same provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// Answered before it began.
    pub before: Vec<Neighbour>,
    /// Sent after it ended.
    pub after: Vec<Neighbour>,
}

/// See the module's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its ID is above this one.
    pub below: Option<u64>,
    /// Its ID is under this one.
    pub above: Option<u64>,
    /// The IDs above `below` are not older than this.
    from: Timestamp,
    /// The IDs under `above` are not younger than this; `None` while nothing stands above.
    until: Option<Timestamp>,
}

impl Window {
    /// The window of an attempt between its neighbours.
    ///
    /// # Errors
    /// [`Obstacle::NotNumbers`] and [`Obstacle::NotInSequence`] where IDs there say nothing of the order of placing,
    /// [`Obstacle::ClockSetBack`] where its times say nothing.
    pub fn between(lost: &Lost, neighbours: &Neighbours) -> Result<Self, Obstacle> {
        if is_torn(lost) {
            return Err(Obstacle::ClockSetBack);
        }
        let before = numbered(&neighbours.before)?;
        let after = numbered(&neighbours.after)?;
        let all: Vec<_> = before.iter().chain(&after).copied().collect();
        let contradicts = |first: &Numbered, second: &Numbered| {
            first.finished_at < second.started_at && first.number >= second.number
        };
        if all.iter().any(|first| all.iter().any(|second| contradicts(first, second))) {
            return Err(Obstacle::NotInSequence);
        }
        let ended_at = lost.ended_at.unwrap_or(lost.started_at);
        let below = before.into_iter().filter(|one| one.finished_at <= lost.started_at).max_by_key(|one| one.number);
        let above = after.into_iter().filter(|one| one.started_at >= ended_at).min_by_key(|one| one.number);
        if let (Some(below), Some(above)) = (&below, &above)
            && below.number >= above.number
        {
            return Err(Obstacle::NotInSequence);
        }
        Ok(Self {
            below: below.map(|one| one.number),
            above: above.map(|one| one.number),
            from: below.map_or_else(|| lost.started_at.minus(SKEW), |one| one.started_at),
            until: above.map(|one| one.finished_at),
        })
    }

    /// The window of an attempt where IDs say nothing: its time only.
    #[must_use]
    pub fn in_time(lost: &Lost) -> Self {
        Self { below: None, above: None, from: lost.started_at.minus(SKEW), until: None }
    }

    /// Whether an ID can be in it, as far as its number says.
    #[must_use]
    pub fn takes(&self, id: &UpstreamOrderId) -> bool {
        match number(id) {
            Some(number) => {
                self.below.is_none_or(|below| number > below) && self.above.is_none_or(|above| number < above)
            }
            None => self.below.is_none() && self.above.is_none(),
        }
    }

    /// Attempts that ended before this can't have left an order in it.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.from.minus(LATE)
    }

    /// Whether another attempt may have left an order in it.
    pub(super) fn may_hold(&self, other: &Lost) -> bool {
        let begins_in_time = self.until.is_none_or(|until| other.started_at <= until);
        let ends_in_time = other.ended_at.is_none_or(|ended| ended >= self.since());
        is_torn(other) || begins_in_time && ends_in_time
    }
}

/// Whether the clock was set back while an attempt was under way, so that its times say nothing.
fn is_torn(attempt: &Lost) -> bool {
    attempt.ended_at.is_some_and(|ended| ended < attempt.started_at)
}

#[derive(Debug, Clone, Copy)]
struct Numbered {
    number: u64,
    started_at: Timestamp,
    finished_at: Timestamp,
}

fn numbered(neighbours: &[Neighbour]) -> Result<Vec<Numbered>, Obstacle> {
    let numbered = neighbours.iter().map(|one| {
        let number = number(&one.id).ok_or(Obstacle::NotNumbers)?;
        Ok(Numbered { number, started_at: one.started_at, finished_at: one.finished_at })
    });
    numbered.collect()
}

/// An ID that is written as a number is.
pub(super) fn number(id: &UpstreamOrderId) -> Option<u64> {
    let text = id.as_str();
    let plain = (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok()).flatten()
}
