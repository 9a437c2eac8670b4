//! One provider's rate and the calls under way there, over all gateways.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::council::PLACE_LASTS;
use super::footing::{Basis, Footing};
use super::link::{MOST_ENDED, Take, Took};
use super::share::ProviderLimits;
use super::{Inner, locked};
use crate::domain::ids::ProviderId;

/// When to ask again where too many calls are under way: another gateway's end of one is not told here.
const ASK_AGAIN_FULL: Duration = Duration::from_millis(20);

/// When to ask again where Redis gave no answer.
const ASK_AGAIN_FAILED: Duration = Duration::from_millis(100);

/// By what the next call is let out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// By nothing for now; [`Changes::changed`] tells when that changes.
    None,
    /// By nothing as long as each goes by its share: there is not enough for all, and other gateways have it.
    Elsewhere,
    /// By these limits, which are this gateway's part, with a rate that starts empty for each number.
    Share {
        /// The part.
        share: ProviderLimits,
        /// Another one for each time that a share is gone by.
        stint: u64,
    },
    /// By Redis, which has to be asked.
    Ask,
}

/// What Redis said to [`Provider::ask`].
#[derive(Debug)]
pub enum Answer {
    /// One call may leave.
    Granted(Lease),
    /// No sooner than then.
    NotBefore(Instant),
}

/// See the module.
pub struct Provider {
    inner: Arc<Inner>,
    id: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limits: ProviderLimits,
    /// The limits have changed since Redis was last asked: its rate is to start empty.
    starts_empty: bool,
    call_lasts: Duration,
    /// Calls under way, with the moment at which each is over in any case.
    under_way: HashMap<u64, Instant>,
    /// The last stint by a share, and how many calls were under way when it began.
    kept: (u64, usize),
    /// Permits that Redis may hold and that nobody has any more.
    ended: Vec<u64>,
}

/// The right to make one call; ends when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Lease {
    provider: Arc<Provider>,
    permit: u64,
    begun: Instant,
}

impl Lease {
    /// Whether the call may still leave: where this gateway has lost its place in the store meanwhile, the others may have
    /// taken the room that it had, also when it has one again.
    #[must_use]
    pub fn holds(&self) -> bool {
        let footing = *self.provider.inner.footing.borrow();
        Instant::now() < footing.until && footing.here_since.is_some_and(|since| since <= self.begun)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.provider.end(self.permit);
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}

/// Tells of changes to what calls are let out by.
#[derive(Debug)]
pub struct Changes(watch::Receiver<Footing>);

impl Changes {
    /// Resolves after the next change since the last that was told of.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Provider {
    pub(super) fn new(inner: Arc<Inner>, id: &ProviderId, limits: ProviderLimits, call_lasts: Duration) -> Self {
        let state = State {
            limits,
            starts_empty: false,
            call_lasts,
            under_way: HashMap::new(),
            kept: (0, 0),
            ended: Vec::new(),
        };
        Self { inner, id: id.to_string(), state: Mutex::new(state) }
    }

    /// The provider's limits over all gateways from now on; other ones start empty.
    pub fn set_limits(&self, limits: ProviderLimits) {
        let mut state = locked(&self.state);
        state.starts_empty |= state.limits != limits;
        state.limits = limits;
    }

    /// No call that begins from now on lasts longer.
    pub fn set_call_lasts(&self, call_lasts: Duration) {
        locked(&self.state).call_lasts = call_lasts;
    }

    /// What is in force, and how long a call lasts at most.
    #[cfg(test)]
    pub(crate) fn in_force(&self) -> (ProviderLimits, Duration) {
        let state = locked(&self.state);
        (state.limits, state.call_lasts)
    }

    /// Tells of changes from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes(self.inner.footing.subscribe())
    }

    /// How many gateways may let calls out; at least 1.
    #[must_use]
    pub fn gateways(&self) -> u32 {
        self.inner.present().gateways
    }

    /// By what the next call is let out. Costs no round trip.
    #[must_use]
    pub fn room(&self) -> Room {
        let footing = self.inner.present();
        match footing.basis {
            Basis::Nothing => Room::None,
            Basis::Redis { .. } => Room::Ask,
            Basis::Share { .. } => {
                let mut state = locked(&self.state);
                match state.share(footing) {
                    Some(share) => Room::Share { share, stint: footing.stint },
                    None => Room::Elsewhere,
                }
            }
        }
    }

    /// Takes a place among the calls under way by this gateway's share; the rate is for the caller to keep.
    #[must_use]
    pub fn begin_by_share(self: &Arc<Self>, stint: u64) -> Option<Lease> {
        let mut state = locked(&self.state);
        // Asked here, under the lock: what is under way is entered at Redis right after a share has ended.
        let footing = self.inner.present();
        let still = footing.stint == stint && matches!(footing.basis, Basis::Share { .. });
        let share = state.share(footing).filter(|_| still)?;
        let fits = state.under_way.len() < usize::try_from(share.max_in_flight).unwrap_or(usize::MAX);
        fits.then(|| self.begin(&mut state, self.inner.next_permit()))
    }

    /// Asks Redis for one call, rate and place at once. Whoever stops waiting has taken no place.
    pub async fn ask(self: &Arc<Self>) -> Answer {
        let footing = self.inner.present();
        let (Basis::Redis { era }, Some(link)) = (footing.basis, &self.inner.link) else {
            return Answer::NotBefore(Instant::now());
        };
        let permit = self.inner.next_permit();
        let (limits, lasts, starts_empty, ended) = {
            let mut state = locked(&self.state);
            let starts_empty = std::mem::take(&mut state.starts_empty);
            let kept = state.ended.len().saturating_sub(MOST_ENDED);
            (state.limits, state.call_lasts, starts_empty, state.ended.split_off(kept))
        };
        let mut unsure = Unsure { provider: self, permit: Some(permit), starts_empty, ended };
        let take = Take {
            era,
            provider: &self.id,
            permit,
            period: limits.period,
            burst: limits.burst,
            max_in_flight: limits.max_in_flight,
            lasts,
            starts_empty,
            ended: &unsure.ended,
        };
        let done = link.take(&take).await;
        match self.inner.heed(done) {
            Ok(took) => {
                unsure.answered();
                match took {
                    Took::Granted => unsure.begin(footing.stint),
                    Took::Wait(wait) => unsure.refused(wait),
                    Took::Full => unsure.refused(ASK_AGAIN_FULL),
                }
            }
            Err(_) => Answer::NotBefore(Instant::now() + ASK_AGAIN_FAILED),
        }
    }

    fn begin(self: &Arc<Self>, state: &mut State, permit: u64) -> Lease {
        let begun = Instant::now();
        state.under_way.insert(permit, begun + state.call_lasts);
        Lease { provider: Arc::clone(self), permit, begun }
    }

    fn end(&self, permit: u64) {
        let mut state = locked(&self.state);
        state.under_way.remove(&permit);
        state.ended.push(permit);
        drop(state);
        self.inner.ended.notify_one();
    }

    /// What is under way, each with how long it lasts yet, for Redis.
    pub(super) fn enter_all(&self) -> (String, Vec<(u64, Duration)>) {
        let now = Instant::now();
        let state = locked(&self.state);
        let left = state.under_way.iter().map(|(permit, ends)| (*permit, ends.saturating_duration_since(now)));
        (self.id.clone(), left.collect())
    }

    /// Those of these permits, which were entered, that have ended meanwhile.
    pub(super) fn tell_gone(&self, entered: impl Iterator<Item = u64>) {
        let mut state = locked(&self.state);
        let gone: Vec<u64> = entered.filter(|permit| !state.under_way.contains_key(permit)).collect();
        if !gone.is_empty() {
            state.ended.extend(gone);
            self.inner.ended.notify_one();
        }
    }

    /// Tells Redis of permits that nobody has any more. Where it fails or is not waited for, they are told again.
    pub(super) async fn tell_ended(self: &Arc<Self>) {
        let ended = std::mem::take(&mut locked(&self.state).ended);
        // Where Redis does not count, it is told of what is under way when it does again.
        let (Some(era), Some(link)) = (locked(&self.inner.council).era(), &self.inner.link) else { return };
        if ended.is_empty() {
            return;
        }
        let mut unsure = Unsure { provider: self, permit: None, starts_empty: false, ended };
        let told = link.release(era, &self.id, &unsure.ended).await;
        // Not at once: that one failed.
        let ended = std::mem::take(&mut unsure.ended);
        if told.is_err() {
            locked(&self.state).ended.extend(ended);
        }
    }

    /// Whether more calls are under way than this gateway's share.
    pub(super) fn is_over(&self, gateways: u32, rank: u32) -> bool {
        let state = locked(&self.state);
        let share = state.limits.share(gateways, rank).map_or(0, |share| share.max_in_flight);
        state.under_way.len() > usize::try_from(share).unwrap_or(usize::MAX)
    }
}

impl State {
    /// This gateway's part. Until it is known that no other has more calls under way than its own, only what was under
    /// way here when the share began, since that much room is certain.
    fn share(&mut self, footing: Footing) -> Option<ProviderLimits> {
        let Basis::Share { settled, since } = footing.basis else { return None };
        if self.kept.0 != footing.stint {
            self.kept = (footing.stint, self.under_way.len());
        }
        let mut share = self.limits.share(footing.gateways, footing.rank)?;
        if !settled && Instant::now() < since + PLACE_LASTS + self.call_lasts {
            share.max_in_flight = share.max_in_flight.min(u32::try_from(self.kept.1).unwrap_or(u32::MAX));
        }
        Some(share)
    }
}

/// A question to Redis whose answer has not come: what it may have taken, and what it may not have been told.
struct Unsure<'a> {
    provider: &'a Arc<Provider>,
    permit: Option<u64>,
    starts_empty: bool,
    ended: Vec<u64>,
}

impl Unsure<'_> {
    fn answered(&mut self) {
        self.starts_empty = false;
        self.ended.clear();
    }

    /// What was granted is a call's, if what it was asked by still holds.
    fn begin(&mut self, stint: u64) -> Answer {
        let provider = self.provider;
        let mut state = locked(&provider.state);
        let footing = provider.inner.present();
        let still = footing.stint == stint && matches!(footing.basis, Basis::Redis { .. });
        match self.permit.take_if(|_| still) {
            Some(permit) => Answer::Granted(provider.begin(&mut state, permit)),
            None => Answer::NotBefore(Instant::now()),
        }
    }

    fn refused(&mut self, wait: Duration) -> Answer {
        self.permit = None;
        Answer::NotBefore(Instant::now() + wait)
    }
}

impl Drop for Unsure<'_> {
    fn drop(&mut self) {
        if self.permit.is_none() && !self.starts_empty && self.ended.is_empty() {
            return;
        }
        let mut state = locked(&self.provider.state);
        state.starts_empty |= self.starts_empty;
        state.ended.append(&mut self.ended);
        state.ended.extend(self.permit);
        drop(state);
        self.provider.inner.ended.notify_one();
    }
}
