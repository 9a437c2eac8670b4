//! What may be believed of what a Redis holds.
//!
//! Every key carries an *epoch*; who goes to the next one sees nothing of what was held before. A gateway that is alone
//! on its store counts by itself. Several read the epoch in the store again and again, and the one that could not tell
//! Redis of a change raises it there: the others, who may have reached Redis all the while, then see the change in the
//! store.
//!
//! Two rules make that safe. What was read in the store is put under the epoch that was in force *before* it was read,
//! so that an epoch holds nothing from before it was raised. And who learns that the epoch was raised tells Redis again
//! what it told it under the old one since that was last known to be in force.
//!
//! # Without the store
//!
//! A gateway that the store does not answer is not told of the next epoch, and there always is one: the others raise it
//! when its place has ended. So whoever is told of the epoch leaves it in Redis, the *mark*, when Redis has been told again
//! of all that it owes there; a mark is never replaced by a lower one. Who has no word of the store that is fresh asks for
//! the mark together with the statuses. It is
//!
//! - the epoch that it knows: the others go by that too, so Redis holds what they last told it;
//! - a higher one: it goes there as if the store had said so, telling Redis again what it told it lately, and asks again;
//! - a lower one or none: Redis was emptied, or holds an old copy. Nothing is believed. The others write the mark again
//!   within half a second, and what they put from then on was read in the store.
//!
//! A mark makes nobody believe what an old copy of Redis holds: a Redis that takes one up breaks its connections, and who has
//! lost one believes nothing until the *store* has given it another epoch, whatever mark there is. And a mark adds no belief
//! to that of the store's own word: it is not looked at while that is fresh.
//!
//! What is left is a gateway that reaches Redis and not the store, while no other gateway reaches both: nobody's word can
//! get to it. Where the store is away from all, nothing changes, and going on is right. Where the others have lost Redis, or
//! died with something untold, it shows what Redis holds for as long as that is kept: ten minutes, see [`super::KEPT_FOR`].
//! From inside these can't be told apart.
//!
//! # Gateways that use another Redis, or none
//!
//! What they change is told to nobody here. While there is one, nothing is believed and there is no mark; afterwards the
//! epoch is raised, by them as they leave and by all that stay.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::ids::OrderId;

/// How long a gateway among several believes its epoch after it asked the store for it. With the time until an epoch is
/// raised, this bounds for how long a client of one gateway may be shown what another has changed.
const EPOCH_HOLDS: Duration = Duration::from_secs(2);
/// An epoch so young holds hardly anything. While one follows the other, nothing is put that nobody would ever read.
const YOUNG: Duration = Duration::from_secs(1);
/// How long one may try to tell Redis of a change before the epoch has to be raised: longer than a failed Redis rests.
const MAX_OWED_FOR: Duration = Duration::from_millis(600);
/// Changes that Redis was not told of, and those told lately, at most; beyond it, only another epoch helps.
const MAX_NOTED: usize = 100_000;

/// The epoch in force when something began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight(pub(super) i64);

/// What Redis can't be told any more: the epoch in the store has to be raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debt {
    /// Changes up to this number.
    changes: u64,
    is_unsure: bool,
}

/// A change that Redis was not told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owed {
    pub(super) id: OrderId,
    /// The order's version after it.
    pub(super) version: u64,
    /// Counts the changes: only what was told after this one settles it, and nothing under way since before.
    number: u64,
    since: Instant,
}

/// What to do about a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Belief {
    /// Nothing that is held is to be believed.
    None,
    /// Too little is held to ask.
    Young,
    /// Ask under this epoch.
    In(i64),
}

/// What to do with statuses that came with a mark.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heed {
    /// They are as good as they can be known.
    Believe,
    /// Another epoch is in force.
    AskAgain,
    /// They are not to be believed.
    Nothing,
}

/// See the module's words.
#[derive(Debug)]
pub(super) struct Trust {
    epoch: i64,
    /// Since when, where another was in force before.
    since: Option<Instant>,
    /// Nothing for a gateway that is alone.
    shared: Option<SharedEpoch>,
    /// Redis may have forgotten what it was told.
    is_unsure: bool,
    changes: u64,
    owed: HashMap<OrderId, Owed>,
}

#[derive(Debug, Default)]
struct SharedEpoch {
    believed_to: Option<Instant>,
    /// Some gateway does not tell this Redis of what it changes.
    is_apart: bool,
    /// What was told under this epoch since it was last known to be in force.
    recent: VecDeque<(Instant, OrderId, u64)>,
}

impl Trust {
    /// Of a gateway that is alone, from any epoch that was never used.
    pub(super) fn alone(epoch: i64) -> Self {
        Self { epoch, since: None, shared: None, is_unsure: false, changes: 0, owed: HashMap::new() }
    }

    /// Of one among several; nothing is believed before [`Trust::attended`].
    pub(super) fn among_several() -> Self {
        Self { shared: Some(SharedEpoch::default()), ..Self::alone(i64::MIN) }
    }

    pub(super) const fn epoch(&self) -> i64 {
        self.epoch
    }

    pub(super) fn belief(&self, now: Instant) -> Belief {
        let is_current = self.shared.as_ref().is_none_or(|shared| shared.believed_to.is_some_and(|until| now < until));
        if !is_current || self.heeds_nothing() {
            Belief::None
        } else if self.since.is_some_and(|since| now < since + YOUNG) {
            Belief::Young
        } else {
            Belief::In(self.epoch)
        }
    }

    pub(super) fn owes(&self, id: OrderId) -> bool {
        self.owed.contains_key(&id)
    }

    /// The store said so to a question that was asked at `asked_at`.
    pub(super) fn attended(&mut self, epoch: i64, asked_at: Instant, now: Instant) {
        let Some(shared) = &mut self.shared else { return };
        if epoch < self.epoch {
            // An answer that was overtaken.
            return;
        }
        shared.believed_to = shared.believed_to.max(Some(asked_at + EPOCH_HOLDS));
        if epoch == self.epoch {
            while shared.recent.front().is_some_and(|(at, ..)| *at < asked_at) {
                shared.recent.pop_front();
            }
            return;
        }
        self.go_to(epoch, now);
    }

    fn go_to(&mut self, epoch: i64, now: Instant) {
        let again = self.shared.as_mut().map(|shared| std::mem::take(&mut shared.recent)).unwrap_or_default();
        self.since = (self.epoch != i64::MIN).then_some(now);
        self.epoch = epoch;
        self.missed(again.into_iter().map(|(_, id, version)| (id, version)), now);
    }

    /// Whether some gateway does not tell this Redis of what it changes.
    pub(super) fn set_apart(&mut self, is_apart: bool) {
        let Some(shared) = &mut self.shared else { return };
        // What is held may be from before they were.
        self.is_unsure |= shared.is_apart && !is_apart;
        shared.is_apart = is_apart;
    }

    pub(super) fn is_apart(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.is_apart)
    }

    /// Whether nothing that Redis holds is believed, whoever says what.
    pub(super) fn heeds_nothing(&self) -> bool {
        self.is_unsure || self.is_apart()
    }

    /// The epoch to leave in Redis as its mark: nothing where the store has not named it lately, or something is owed.
    pub(super) fn mark(&self, now: Instant) -> Option<i64> {
        let until = self.shared.as_ref()?.believed_to?;
        (now < until && !self.heeds_nothing() && self.owed.is_empty()).then_some(self.epoch)
    }

    /// This is Redis's mark, to a question that was asked under `epoch`. See the module's words.
    pub(super) fn heed_mark(&mut self, mark: Option<i64>, epoch: i64, now: Instant) -> Heed {
        if self.heeds_nothing() {
            return Heed::Nothing;
        }
        match mark {
            Some(mark) if mark > self.epoch && self.shared.is_some() => {
                self.go_to(mark, now);
                Heed::AskAgain
            }
            Some(mark) if mark == self.epoch && mark == epoch => Heed::Believe,
            _ => Heed::Nothing,
        }
    }

    /// Nothing is believed until the store says the epoch again.
    pub(super) fn doubt(&mut self) {
        if let Some(shared) = &mut self.shared {
            shared.believed_to = None;
        }
    }

    /// Redis is being told of these, which were written before `now`.
    pub(super) fn telling(&mut self, orders: impl Iterator<Item = (OrderId, u64)>, now: Instant) {
        let Some(shared) = &mut self.shared else { return };
        shared.recent.extend(orders.map(|(id, version)| (now, id, version)));
        if shared.recent.len() > MAX_NOTED {
            shared.recent = VecDeque::new();
            self.is_unsure = true;
        }
    }

    /// Redis was not told of these.
    pub(super) fn missed(&mut self, orders: impl Iterator<Item = (OrderId, u64)>, now: Instant) {
        self.changes = self.changes.wrapping_add(1);
        for (id, version) in orders {
            let since = self.owed.get(&id).map_or(now, |owed| owed.since);
            self.owed.insert(id, Owed { id, version, number: self.changes, since });
        }
        if self.owed.len() > MAX_NOTED {
            self.owed = HashMap::new();
            self.is_unsure = true;
            self.go_on_alone(now);
        }
    }

    /// The connection was lost: what answers next may be a Redis that was restarted from an old copy of itself.
    pub(super) fn lost(&mut self, now: Instant) {
        self.is_unsure = true;
        self.go_on_alone(now);
    }

    /// A gateway that is alone asks nobody for the next epoch.
    fn go_on_alone(&mut self, now: Instant) {
        if self.shared.is_none() {
            self.epoch = self.epoch.wrapping_add(1);
            self.since = Some(now);
            self.is_unsure = false;
            self.owed = HashMap::new();
        }
    }

    /// Some of what is owed.
    pub(super) fn some_owed(&self, limit: usize) -> Vec<Owed> {
        self.owed.values().copied().take(limit).collect()
    }

    /// Redis was told of these under `epoch`.
    pub(super) fn told(&mut self, told: &[Owed], epoch: i64) {
        for owed in told {
            if epoch == self.epoch && self.owed.get(&owed.id).is_some_and(|now| now.number == owed.number) {
                self.owed.remove(&owed.id);
            }
        }
    }

    pub(super) const fn is_unsure(&self) -> bool {
        self.is_unsure
    }

    /// Whether others may be shown what is old, should this gateway say nothing more.
    pub(super) fn owes_anything(&self) -> bool {
        let Some(shared) = &self.shared else { return false };
        // Who was in doubt may have told another Redis than the others read.
        let told_nobody = shared.is_apart || shared.believed_to.is_none();
        told_nobody || !shared.recent.is_empty() || self.is_unsure || !self.owed.is_empty()
    }

    /// What only another epoch settles; `answers` is whether Redis does.
    pub(super) fn debt(&self, answers: bool, now: Instant) -> Option<Debt> {
        self.shared.as_ref()?;
        // While it does not answer, nobody knows whether it is the last time that it comes back.
        let is_unsure = self.is_unsure && answers;
        let is_late = self.owed.values().any(|owed| now >= owed.since + MAX_OWED_FOR);
        (is_unsure || is_late).then_some(Debt { changes: self.changes, is_unsure })
    }

    /// The epoch was raised by a request of `asked_at`: all that was written before is seen under it.
    pub(super) fn repaid(&mut self, debt: Debt, epoch: i64, asked_at: Instant, now: Instant) {
        self.owed.retain(|_, owed| owed.number > debt.changes);
        self.is_unsure &= !debt.is_unsure;
        if let Some(shared) = &mut self.shared {
            shared.recent.retain(|(at, ..)| *at >= asked_at);
        }
        self.attended(epoch, asked_at, now);
    }
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
