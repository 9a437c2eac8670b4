//! The one way out to an upstream: every call, of every kind, passes here, so that the provider's limits hold
//! over all of them.
//!
//! There is no task behind it. Those who wait stand in one queue by priority; the first of them asks the rate
//! limiter and sleeps until it has room, the others sleep until they are first. Whoever leaves wakes the next.
//!
//! With several gateways the queue is this one's, and its first goes by what holds over all (`limits`): it asks Redis, one
//! at a time and with no lock held, or goes by this gateway's share of the rate.

mod pace;
#[cfg(test)]
mod shared_tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::standing::{Finding, Priority, Purpose, Standing, Unavailable};
use crate::limits::{Answer, Changes, Lease, Provider, ProviderLimits, Room};
use pace::{Limiter, Pace, SharePace, TokioClock};

pub use pace::Limits;

/// When to ask again where only another call's end can make room.
const UNKNOWN_WAIT: Duration = Duration::from_secs(1);

/// When to try again where this gateway's share of the calls under way is taken by calls that are not in this queue.
const LEASE_WAIT: Duration = Duration::from_millis(20);

/// See the module.
pub(crate) struct Gate {
    clock: TokioClock,
    /// What holds over all gateways; `None`: there is only this one.
    shared: Option<Arc<Provider>>,
    state: Mutex<State>,
}

struct State {
    pace: Pace,
    share_pace: Option<SharePace>,
    /// Somebody asks Redis at this moment.
    asking: bool,
    /// Redis has said that it has no room before.
    not_before: Option<Instant>,
    standing: Standing,
    /// Closed while the operator wants no calls at all.
    open: bool,
    /// Counts the keys that were in use: what a call found out about an earlier one says nothing of the present one.
    key_number: u64,
    in_flight: u32,
    arrivals: u64,
    queue: BTreeMap<(Priority, u64), Arc<Notify>>,
}

impl State {
    fn wake_first(&self) {
        if let Some(first) = self.queue.values().next() {
            first.notify_one();
        }
    }
}

/// What the one who waits does next.
enum Step {
    Enter(Permit),
    Leave(Unavailable),
    Wait(Option<Instant>),
    /// Redis is to be asked, with what marks that somebody does.
    Ask(Asking),
}

impl Gate {
    pub(crate) fn new(limits: Limits, shared: Option<Arc<Provider>>) -> Arc<Self> {
        let clock = TokioClock { origin: Instant::now() };
        let state = State {
            pace: Pace::new(limits, &clock),
            share_pace: None,
            asking: false,
            not_before: None,
            standing: Standing::default(),
            open: true,
            key_number: 0,
            in_flight: 0,
            arrivals: 0,
            queue: BTreeMap::new(),
        };
        Arc::new(Self { clock, shared, state: Mutex::new(state) })
    }

    /// These limits from now on. Calls under way stay counted, and who waits keeps the place.
    pub(crate) fn set_limits(&self, limits: Limits) {
        let mut state = self.lock();
        // Over all gateways others may hold though these were this gate's from its beginning: those of the one before it.
        if let Some(shared) = &self.shared {
            shared.set_limits(limits.over_all());
        }
        if state.pace.limits != limits {
            state.pace = Pace::new(limits, &self.clock);
            (state.share_pace, state.not_before) = (None, None);
            state.wake_first();
        }
    }

    /// No call that begins from now on lasts longer; of no matter without other gateways.
    pub(crate) fn set_call_lasts(&self, call_lasts: Duration) {
        if let Some(shared) = &self.shared {
            shared.set_call_lasts(call_lasts);
        }
    }

    /// Lets calls in, or nobody any more: who waits is sent away.
    pub(crate) fn set_open(&self, open: bool) {
        let mut state = self.lock();
        state.open = open;
        state.wake_first();
    }

    pub(crate) fn max_in_flight(&self) -> u32 {
        self.lock().pace.max_in_flight()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().open
    }

    /// The key with this number is in use from now on: a new one is believed, one that was refused is tried anew.
    pub(crate) fn use_key(&self, number: u64) {
        let mut state = self.lock();
        if state.key_number == number {
            state.standing.try_key_again(Instant::now());
        } else {
            state.key_number = number;
            state.standing.reset_key();
        }
    }

    /// How many gateways make calls there; at least 1.
    pub(crate) fn gateways(&self) -> u32 {
        self.shared.as_ref().map_or(1, |shared| shared.gateways())
    }

    /// Whether other gateways have all that this provider allows, for now.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.room() == Room::Elsewhere)
    }

    /// Waits for room, at most `patience`; at once where it is clear that there will be none in time.
    pub(crate) async fn enter(self: &Arc<Self>, purpose: Purpose, patience: Duration) -> Result<Permit, Unavailable> {
        let now = Instant::now();
        // A time that is too far off to be counted is a day.
        let deadline = now.checked_add(patience).unwrap_or(now + Duration::from_secs(86_400));
        let ticket = Ticket::new(self, purpose);
        let mut changes = self.shared.as_ref().map(|shared| shared.changes());
        let mut lease = None;
        loop {
            match self.step(&ticket, deadline, lease.take()) {
                Step::Enter(permit) => return Ok(permit),
                Step::Leave(reason) => return Err(reason),
                Step::Ask(asking) => lease = asking.ask().await,
                Step::Wait(until) => {
                    let until = until.map_or(deadline, |until| until.min(deadline));
                    tokio::select! {
                        biased;
                        () = ticket.woken.notified() => {}
                        () = changed(&mut changes) => {}
                        () = sleep_until(until) => {}
                    }
                }
            }
        }
    }

    /// What to do next; `lease` is what Redis has just granted.
    fn step(self: &Arc<Self>, ticket: &Ticket, deadline: Instant, lease: Option<Lease>) -> Step {
        let mut state = self.lock();
        let now = Instant::now();
        if !state.open {
            return Step::Leave(Unavailable::Off { until: now + UNKNOWN_WAIT });
        }
        let over = |until: Instant| now >= deadline || until > deadline;
        match state.standing.admits(now, ticket.purpose) {
            Err(Unavailable::Paused { until }) if !over(until) => return Step::Wait(Some(until)),
            Err(reason) => return Step::Leave(reason),
            Ok(()) => {}
        }
        let first = state.queue.keys().next() == Some(&ticket.place);
        let turn = if lease.is_some() {
            Turn::Now(lease)
        } else if first && state.in_flight < state.pace.max_in_flight() {
            self.turn(&mut state, now)
        } else {
            Turn::Unknown
        };
        match turn {
            Turn::Now(lease) => {
                state.in_flight += 1;
                let probe = state.standing.begin(now, ticket.purpose);
                Step::Enter(Permit { gate: Arc::clone(self), purpose: ticket.purpose, probe, settled: false, lease })
            }
            Turn::Elsewhere => Step::Leave(Unavailable::Elsewhere { until: now + UNKNOWN_WAIT }),
            Turn::At(until) if over(until) => Step::Leave(Unavailable::Deadline { until }),
            Turn::At(until) => Step::Wait(Some(until)),
            Turn::Unknown if now < deadline => Step::Wait(None),
            Turn::Unknown => {
                let ahead = state.queue.range(..ticket.place).count();
                let turns = u32::try_from(ahead).unwrap_or(u32::MAX).saturating_add(1);
                let until = now + UNKNOWN_WAIT.max(state.pace.period.saturating_mul(turns.min(1000)));
                Step::Leave(Unavailable::Deadline { until })
            }
            Turn::Ask => {
                state.asking = true;
                Step::Ask(Asking(Arc::clone(self)))
            }
        }
    }

    /// When the first in the queue may go, as far as the rate goes, and with several gateways the calls under way.
    fn turn(&self, state: &mut State, now: Instant) -> Turn {
        let check = |limiter: &Limiter| match limiter.check() {
            Ok(()) => None,
            Err(not_until) => Some(now + not_until.wait_time_from(self.clock.now()).max(Duration::from_nanos(1))),
        };
        let Some(shared) = &self.shared else {
            return check(&state.pace.limiter).map_or(Turn::Now(None), Turn::At);
        };
        match shared.room() {
            Room::None => Turn::Unknown,
            Room::Elsewhere => Turn::Elsewhere,
            Room::Ask if state.asking => Turn::Unknown,
            Room::Ask => state.not_before.filter(|until| now < *until).map_or(Turn::Ask, Turn::At),
            Room::Share { share, stint } => {
                if state.in_flight >= share.max_in_flight {
                    return Turn::Unknown;
                }
                let until = check(&self.share_pace(state, share, stint).limiter);
                match until {
                    Some(until) => Turn::At(until),
                    // Calls of a client on another host, which this one has taken the place of, may be under way.
                    None => {
                        shared.begin_by_share(stint).map_or(Turn::At(now + LEASE_WAIT), |lease| Turn::Now(Some(lease)))
                    }
                }
            }
        }
    }

    /// The pace of this share, which starts empty where it is another one than before.
    fn share_pace<'a>(&self, state: &'a mut State, share: ProviderLimits, stint: u64) -> &'a SharePace {
        let pace = state.share_pace.take().filter(|pace| pace.is_of(share, stint));
        state.share_pace.insert(pace.unwrap_or_else(|| SharePace::new(share, stint, &self.clock)))
    }

    /// Looks at where we stand, or changes it.
    pub(crate) fn with_standing<T>(&self, look: impl FnOnce(&mut Standing) -> T) -> T {
        look(&mut self.lock().standing)
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.lock().in_flight
    }

    /// A panic elsewhere leaves the state whole: every change to it is one step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the first in the queue may go.
enum Turn {
    Now(Option<Lease>),
    At(Instant),
    /// Something else has to happen first.
    Unknown,
    /// Not here.
    Elsewhere,
    /// Redis knows.
    Ask,
}

/// Marks that somebody asks Redis; whoever stops wakes the first in the queue.
struct Asking(Arc<Gate>);

impl Asking {
    /// What Redis grants.
    async fn ask(self) -> Option<Lease> {
        match self.0.shared.as_ref()?.ask().await {
            Answer::Granted(lease) => Some(lease),
            Answer::NotBefore(until) => {
                self.0.lock().not_before = Some(until);
                None
            }
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.asking = false;
        state.wake_first();
    }
}

/// Resolves when calls are let out by something else; never without other gateways.
async fn changed(changes: &mut Option<Changes>) {
    match changes {
        Some(changes) => changes.changed().await,
        None => std::future::pending().await,
    }
}

/// A place in the queue; leaving it, for whatever reason, wakes the next.
struct Ticket {
    gate: Arc<Gate>,
    purpose: Purpose,
    place: (Priority, u64),
    woken: Arc<Notify>,
}

impl Ticket {
    fn new(gate: &Arc<Gate>, purpose: Purpose) -> Self {
        let woken = Arc::new(Notify::new());
        let mut state = gate.lock();
        let place = (purpose.priority(), state.arrivals);
        state.arrivals += 1;
        state.queue.insert(place, Arc::clone(&woken));
        Self { gate: Arc::clone(gate), purpose, place, woken }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.queue.remove(&self.place);
        state.wake_first();
    }
}

/// The right to make one call now. Held for the whole call; given back when dropped.
#[must_use]
pub struct Permit {
    gate: Arc<Gate>,
    purpose: Purpose,
    probe: bool,
    settled: bool,
    /// The place among the calls under way of all gateways.
    lease: Option<Lease>,
}

impl Permit {
    /// Whether the call may still leave; with several gateways not, once this one has lost its place among them.
    pub(crate) fn holds(&self) -> bool {
        self.lease.as_ref().is_none_or(Lease::holds)
    }

    /// The call, made with the key of this number, ended; what it showed counts before the next call is let out.
    pub(crate) fn settle(mut self, finding: Finding, key_number: u64) {
        {
            let mut state = self.gate.lock();
            // An earlier key was refused, or not: all that shows of the present one is that somebody is there.
            let earlier = state.key_number != key_number;
            let about_key = matches!(finding, Finding::KeyRejected(_)) || self.purpose == Purpose::KeyProbe;
            let finding = if earlier && about_key { Finding::Reached } else { finding };
            state.standing.found(Instant::now(), self.purpose, self.probe, finding);
        }
        self.settled = true;
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permit").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        drop(self.lease.take());
        let mut state = self.gate.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        if self.probe && !self.settled {
            state.standing.abandon();
        }
        state.wake_first();
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
