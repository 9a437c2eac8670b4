//! By what this gateway lets calls out: by Redis, by its share, or not at all. Pure: the present is an argument.
//!
//! Redis counts for all gateways or for none: where one of them does not see it, all go by their shares. Each tells the
//! others what it goes by in a word beside its place in the store, and relies on two rules. A view of the others is
//! believed for as long as a place lasts, counted from when it was asked for; so whatever all others must know of this
//! gateway they know, or let no call out, after that time. And a view counts for a stance only if it was asked for after
//! the store had acknowledged the word that told of it; so of two gateways that change at once, one sees the other.

use std::time::Duration;

use tokio::time::Instant;

use super::footing::{Basis, Footing};
use super::known::Known;
use super::word::{Says, Word};

/// How long a gateway's place in the store lasts, and with it what it was told of the others.
pub const PLACE_LASTS: Duration = Duration::from_secs(2);

/// How long a Redis may be silent before its gateways go by their shares.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the others may take to follow into a new era.
const GRACE: Duration = Duration::from_secs(2);

/// How long Redis is taken for away after it has refused something, or an attempt to go by it has failed.
const HOLD_OFF: Duration = Duration::from_secs(3);

/// What is to be done at Redis before the next word is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    Nothing,
    /// Find out whether it does what it is asked to.
    Probe,
    /// The same, and whether it still knows this era.
    Beat {
        era: u64,
    },
    /// Enter what is under way into this era, which begins with it or must be there.
    Prepare {
        era: u64,
        begins: bool,
    },
}

/// Whether all gateways use one and the same Redis, as far as this one was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OneRedis {
    /// All that there are found the mark of one era in theirs.
    Yes,
    /// One has just come, and may be about to.
    NotYet,
    /// One of them does not see it, or sees another, or has none.
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stance {
    New,
    Share {
        /// When the store's word on it came.
        known: Option<Instant>,
        settled: bool,
    },
    Redis {
        era: u64,
        begun: Instant,
        /// When the store's word on it came.
        known: Option<Instant>,
        /// Whether all others were seen in it.
        joined: bool,
        /// Whether Redis does not know it any more, before they were.
        ended: bool,
    },
}

#[derive(Debug)]
struct View {
    asked: Instant,
    rank: u32,
    /// In the order in which they came.
    others: Vec<Word>,
}

#[derive(Debug)]
pub(super) struct Council {
    has_redis: bool,
    stance: Stance,
    /// Since when the others can know that this gateway is there.
    here_since: Option<Instant>,
    view: Option<View>,
    known: Known,
    sees_redis: bool,
    silent_since: Option<Instant>,
    away_until: Option<Instant>,
    stint: u64,
}

impl Council {
    pub(super) fn new(has_redis: bool) -> Self {
        Self {
            has_redis,
            stance: Stance::New,
            here_since: None,
            view: None,
            known: Known::default(),
            sees_redis: false,
            silent_since: None,
            away_until: None,
            stint: 0,
        }
    }

    pub(super) fn gateways(&self) -> u32 {
        let others = self.view.as_ref().map_or(0, |view| view.others.len());
        u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// The era that is gone by, or that all are on their way into.
    pub(super) const fn era(&self) -> Option<u64> {
        match self.stance {
            Stance::Redis { era, .. } => Some(era),
            _ => None,
        }
    }

    /// What holds now. Until when it does is the caller's to look at: a gateway that has lost its place, while all others
    /// may have too, still knows what it went by.
    pub(super) fn footing(&self, now: Instant) -> Footing {
        let until = self.view.as_ref().map_or(now, |view| view.asked + PLACE_LASTS);
        let (gateways, rank) = self.known.at_most();
        let (basis, gateways, here_since) = (self.basis(now), gateways.max(1), self.here_since);
        Footing { basis, gateways, rank, begun: now, stint: self.stint, here_since, until }
    }

    fn basis(&self, now: Instant) -> Basis {
        match self.stance {
            Stance::Redis { era, known: Some(known), joined: true, .. }
                if self.view_since(known).is_some_and(|view| view.others.iter().all(|other| in_era(*other, era))) =>
            {
                Basis::Redis { era }
            }
            Stance::Share { known: Some(known), settled } => {
                let by_redis = |other: &Word| matches!(other.says, Says::Redis { .. });
                let all_left = self.view_since(known).is_some_and(|view| !view.others.iter().any(by_redis))
                    && !self.known.missed().any(by_redis);
                let all_know_of_this = all_left || now >= known + PLACE_LASTS;
                let all_know_me = self.here_since.is_some_and(|since| {
                    let is_alone = self.view_since(since).is_some_and(|view| view.others.is_empty());
                    now >= since + PLACE_LASTS || (is_alone && self.known.missed().next().is_none())
                });
                if all_know_of_this && all_know_me { Basis::Share { settled, since: known } } else { Basis::Nothing }
            }
            _ => Basis::Nothing,
        }
    }

    /// See [`OneRedis`]. Only who has found an era's mark in its Redis says that it is in that era.
    pub(super) fn one_redis(&self) -> OneRedis {
        let Some(view) = &self.view else { return OneRedis::NotYet };
        let is_new = |other: &Word| other.says == Says::New;
        let sees_mine = |other: &Word| self.era().is_some_and(|era| other.says == Says::Redis { era });
        if view.others.iter().all(sees_mine) {
            OneRedis::Yes
        } else if self.stance == Stance::New || view.others.iter().all(|other| is_new(other) || sees_mine(other)) {
            OneRedis::NotYet
        } else {
            OneRedis::No
        }
    }

    /// The view of the others, if it was asked for at `known` or later.
    fn view_since(&self, known: Instant) -> Option<&View> {
        self.view.as_ref().filter(|view| view.asked >= known)
    }

    /// Whether the next word should not wait.
    pub(super) fn is_between(&self, now: Instant) -> bool {
        match self.stance {
            Stance::New => true,
            Stance::Share { settled, known } => !settled && known.is_none_or(|known| now < known + GRACE),
            Stance::Redis { joined, .. } => !joined,
        }
    }

    /// What to do now; where that is to prepare an era, nothing is let out from here on.
    pub(super) fn plan(&mut self, now: Instant, new_era: u64) -> Plan {
        if !self.has_redis {
            if self.view.is_some() && self.stance == Stance::New {
                self.go_by_share(false);
            }
            return Plan::Nothing;
        }
        let Some(prepare) = self.next_era(new_era) else {
            return match self.stance {
                Stance::Redis { era, .. } => Plan::Beat { era },
                Stance::New | Stance::Share { .. } => Plan::Probe,
            };
        };
        if let Plan::Prepare { era, .. } = prepare {
            let begun = match self.stance {
                Stance::Redis { begun, .. } => begun,
                _ => now,
            };
            self.stint += 1;
            self.stance = Stance::Redis { era, begun, known: None, joined: false, ended: false };
        }
        prepare
    }

    /// The era to go into, if it is time to.
    fn next_era(&self, new_era: u64) -> Option<Plan> {
        let view = self.view.as_ref()?;
        let ahead = view.others.iter().take(usize::try_from(view.rank).unwrap_or(usize::MAX));
        let settled = |others: &[Word]| others.iter().any(|other| other.says != Says::New);
        let leader = view.others.iter().find(|other| other.says != Says::New);
        let leader_ahead = ahead.clone().find(|other| other.says != Says::New);
        let follow = |leader: Option<&Word>| match leader?.says {
            Says::Redis { era } => Some(Plan::Prepare { era, begins: false }),
            _ => None,
        };
        match self.stance {
            Stance::New if settled(&view.others) => follow(leader),
            Stance::New => (view.rank == 0).then_some(Plan::Prepare { era: new_era, begins: true }),
            Stance::Share { known, .. } => {
                let all_see =
                    |view: &View| view.others.iter().all(|other| other.says != Says::Share { sees_redis: false });
                let is_time = self.sees_redis && self.view_since(known?).is_some_and(all_see);
                match leader_ahead {
                    _ if !is_time => None,
                    None => Some(Plan::Prepare { era: new_era, begins: true }),
                    leader => follow(leader),
                }
            }
            Stance::Redis { era, joined: false, ended, .. } => match leader_ahead {
                None => ended.then_some(Plan::Prepare { era: new_era, begins: true }),
                leader => follow(leader).filter(|plan| *plan != Plan::Prepare { era, begins: false }),
            },
            Stance::Redis { .. } => None,
        }
    }

    /// What came of a plan.
    pub(super) fn carried_out(&mut self, now: Instant, plan: Plan, done: Result<(), Trouble>) {
        match (plan, done) {
            (Plan::Nothing, _) => {}
            (Plan::Probe, done) => {
                // While it holds off it says so, or the others would begin an era that it does not follow into.
                self.sees_redis = done.is_ok() && self.away_until.is_none_or(|until| now >= until);
                // Gateways that go by their shares see no Redis to wait for: it is for this one to tell.
                let others_share = |view: &View| view.others.iter().any(|o| matches!(o.says, Says::Share { .. }));
                let comes_to_shares = self.view.as_ref().is_some_and(others_share);
                let waits = self.here_since.is_none_or(|since| now < since + PATIENCE);
                if self.stance == Stance::New && (comes_to_shares || (done.is_err() && !waits)) {
                    self.go_by_share(done.is_ok());
                }
            }
            (Plan::Beat { .. } | Plan::Prepare { .. }, Ok(())) => self.answered(),
            (Plan::Beat { .. }, Err(trouble)) => {
                self.failed(now, trouble);
                if let (Stance::Redis { ended, joined: false, .. }, Trouble::Lost) = (&mut self.stance, trouble) {
                    *ended = true;
                }
            }
            (Plan::Prepare { .. }, Err(_)) if self.here_since.is_some_and(|since| now < since + PATIENCE) => {
                // One who comes must not take all others off Redis for a connection that is slow to open.
                self.stint += 1;
                self.stance = Stance::New;
            }
            (Plan::Prepare { .. }, Err(_)) => {
                self.away_until = Some(now + HOLD_OFF);
                self.go_by_share(false);
            }
        }
    }

    pub(super) const fn answered(&mut self) {
        self.silent_since = None;
    }

    /// Redis failed while it was gone by; gives whether it is not any more.
    pub(super) fn failed(&mut self, now: Instant, trouble: Trouble) -> bool {
        let Stance::Redis { joined, .. } = self.stance else { return false };
        if !joined && trouble == Trouble::Lost {
            // Another one has begun an era meanwhile, and says so; the first of all begins one more.
            return false;
        }
        let since = *self.silent_since.get_or_insert(now);
        let leaves = trouble != Trouble::Silent || now >= since + PATIENCE;
        if trouble == Trouble::Refused {
            self.away_until = Some(now + HOLD_OFF);
        }
        if leaves {
            self.go_by_share(false);
        }
        leaves
    }

    fn go_by_share(&mut self, sees_redis: bool) {
        self.stint += 1;
        self.sees_redis = sees_redis;
        self.silent_since = None;
        self.stance = Stance::Share { known: None, settled: false };
    }

    pub(super) fn word(&self, over: bool) -> Word {
        let says = match self.stance {
            Stance::New => Says::New,
            Stance::Share { .. } => Says::Share { sees_redis: self.sees_redis },
            Stance::Redis { era, .. } => Says::Redis { era },
        };
        Word { says, over, gateways: self.gateways() }
    }

    /// The store has taken down `word`, which it was asked to at `asked`, and told of the others.
    pub(super) fn attended(&mut self, now: Instant, asked: Instant, word: Word, rank: u32, others: Vec<Word>) {
        let gateways = u32::try_from(others.len()).unwrap_or(u32::MAX).saturating_add(1);
        let last = self.view.replace(View { asked, rank, others });
        self.known.learn(now, asked, gateways, rank, last.as_ref().map_or_else(Vec::new, |last| last.others.clone()));
        if last.is_none_or(|last| now >= last.asked + PLACE_LASTS) {
            // The others may have forgotten this gateway.
            self.here_since = Some(now);
            if self.stance != Stance::New {
                self.stint += 1;
                self.stance = Stance::New;
            }
            return;
        }
        match (&mut self.stance, word.says) {
            (Stance::Share { known: known @ None, .. }, Says::Share { .. }) => *known = Some(now),
            (Stance::Redis { known: known @ None, era, .. }, Says::Redis { era: told }) if *era == told => {
                *known = Some(now);
            }
            _ => {}
        }
        self.look_round(now);
    }

    /// What the others go by, for what this one does.
    fn look_round(&mut self, now: Instant) {
        let gateways = self.gateways();
        match self.stance {
            Stance::Share { known: Some(known), settled: false } => {
                let within = |other: &Word| match other.says {
                    Says::Redis { .. } => false,
                    Says::New => !other.over,
                    Says::Share { .. } => !other.over && other.gateways >= gateways,
                };
                let settled = self.view_since(known).is_some_and(|view| view.others.iter().all(within));
                self.stance = Stance::Share { known: Some(known), settled };
            }
            Stance::Redis { era, begun, known: Some(known), joined, .. } => {
                let Some(view) = self.view_since(known) else { return };
                let all_in = view.others.iter().all(|other| in_era(*other, era));
                let blind = view.others.iter().any(|other| other.says == Says::Share { sees_redis: false });
                if all_in {
                    let joined = joined || self.known.missed().all(|missed| in_era(*missed, era));
                    self.stance = Stance::Redis { era, begun, known: Some(known), joined, ended: false };
                } else if blind || joined {
                    self.go_by_share(true);
                } else if now >= begun + GRACE {
                    self.away_until = Some(now + HOLD_OFF);
                    self.go_by_share(false);
                }
            }
            _ => {}
        }
    }
}

/// What is wrong with Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It does not answer in time.
    Silent,
    /// It is there, and says no: it is full, only reads, is loading or busy, or the user lacks a right.
    Refused,
    /// The connection is gone, or what it held: it may have forgotten anything.
    Lost,
}

/// Whether this gateway counts by Redis in that era, or lets no call out.
fn in_era(other: Word, era: u64) -> bool {
    matches!(other.says, Says::New) || other.says == Says::Redis { era }
}

#[cfg(test)]
#[path = "council_tests.rs"]
mod tests;
