//! What holds over all gateways of one store: a provider's rate and its calls under way, and the clients' pace.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `council` | by what this gateway lets calls out now: by Redis, by its share, or not at all |
//! | `footing` | what came of that, for those who let calls out |
//! | `known` | how many gateways there are, and were a moment ago |
//! | `word` | what it tells the others of that, through the store |
//! | `link` | the Redis, and the connection to it |
//! | `scripts` | what it does in one step: one script takes the rate and a permit at once |
//! | `provider` | one provider's rate and the calls under way there |
//! | `share` | the part of a provider's limits that is one gateway's |
//! | `clients` | the clients' pace |
//!
//! This room promises that no more calls are let out, and no more of a client's let in, by all gateways together than one
//! alone would, also while they change from Redis to their shares and back, and that a client never waits for Redis
//! longer than its time-out.

mod clients;
mod council;
mod footing;
mod known;
mod link;
mod provider;
mod scripts;
mod share;
mod word;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::domain::ids::ProviderId;
use crate::task::Tasks;
use crate::telemetry::LIMITS_BY;
use clients::Clients;
use council::{Council, Plan, Trouble};
use footing::{Basis, Footing};
use link::Link;
use word::Word;

#[cfg(test)]
pub(crate) use crate::redis_link::test_server;
pub use council::{OneRedis, PLACE_LASTS};
pub use provider::{Answer, Changes, Lease, Provider, Room};
pub use share::ProviderLimits;

/// How often a word is left when all is well.
const EVERY: Duration = Duration::from_millis(500);

/// How often it is while gateways change from one basis to another.
const EVERY_BETWEEN: Duration = Duration::from_millis(50);

/// The Redis that counts, and how it is used.
pub struct SharedRedis {
    /// Not connected yet.
    pub client: redis::Client,
    /// For an answer.
    pub timeout: Duration,
}

/// What the store says of the other gateways that have a place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Others {
    /// How many of them came earlier.
    pub rank: u32,
    /// The last word that each of them left, in the order in which they came.
    pub words: Vec<i64>,
}

/// See the module. A clone is the same.
#[derive(Clone)]
pub struct SharedLimits(Arc<Inner>);

struct Inner {
    council: Mutex<Council>,
    footing: watch::Sender<Footing>,
    link: Option<Link>,
    providers: Mutex<BTreeMap<ProviderId, Weak<Provider>>>,
    clients: Clients,
    permits: AtomicU64,
    /// A round is due at once.
    nudge: Notify,
    /// Calls have ended that Redis was not told of.
    ended: Arc<Notify>,
}

/// The connection's own words would show the URL.
impl std::fmt::Debug for SharedLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedLimits").field("footing", &*self.0.footing.borrow()).finish_non_exhaustive()
    }
}

impl SharedLimits {
    /// The limits of the gateways that share the store with this ID. Without a Redis each always goes by its share.
    /// Nothing is let out until [`SharedLimits::attended`] has told of the others.
    ///
    /// # Errors
    /// Where the machine gives no random bytes.
    pub fn new(store_id: &str, redis: Option<SharedRedis>) -> Result<Self, getrandom::Error> {
        let gateway = getrandom::u64()?;
        let council = Council::new(redis.is_some());
        let (footing, _) = watch::channel(council.footing(Instant::now()));
        let link = redis.map(|redis| Link::new(redis.client, store_id, gateway, redis.timeout));
        Ok(Self(Arc::new(Inner {
            council: Mutex::new(council),
            footing,
            link,
            providers: Mutex::default(),
            clients: Clients::default(),
            permits: AtomicU64::new(1),
            nudge: Notify::new(),
            ended: Arc::default(),
        })))
    }

    /// Starts what tells Redis of calls as soon as they have ended, until the tasks are to end.
    pub fn start(&self, tasks: &Tasks) {
        let inner = Arc::clone(&self.0);
        tasks.every(EVERY, Arc::clone(&self.0.ended), move || {
            let inner = Arc::clone(&inner);
            async move { inner.tell_ended().await }
        });
    }

    /// Tells Redis of the last calls, after the tasks have ended, so that the others need not wait for them.
    pub async fn finish(&self) {
        self.0.tell_ended().await;
    }

    /// A provider over all gateways; the same for the same one. One that is new here starts with these limits, and no call
    /// there lasts longer than `call_lasts`; one that is in use is left as it is, since who asks may yet be refused.
    #[must_use]
    pub fn provider(&self, id: &ProviderId, limits: ProviderLimits, call_lasts: Duration) -> Arc<Provider> {
        let mut providers = locked(&self.0.providers);
        if let Some(provider) = providers.get(id).and_then(Weak::upgrade) {
            return provider;
        }
        let provider = Arc::new(Provider::new(Arc::clone(&self.0), id, limits, call_lasts));
        providers.insert(id.clone(), Arc::downgrade(&provider));
        provider
    }

    /// Whether a client that may make `rps` calls in a second may make one now. Takes no longer than Redis's time-out.
    pub async fn admits(&self, client: crate::domain::ids::ClientId, rps: u32) -> bool {
        self.0.admits(client, rps).await
    }

    /// Resolves when the next round is due: [`SharedLimits::word`], which the store is told, and
    /// [`SharedLimits::attended`] with its answer.
    pub async fn due(&self) {
        let between = locked(&self.0.council).is_between(Instant::now());
        tokio::select! {
            biased;
            () = self.0.nudge.notified() => {}
            () = tokio::time::sleep(if between { EVERY_BETWEEN } else { EVERY }) => {}
        }
    }

    /// What the store is to be told now, after a look at Redis; takes no longer than a second. Tells Redis of calls that have
    /// ended too: a gateway that is told to stop has calls under way for longer than what is started for that.
    pub async fn word(&self) -> i64 {
        let inner = &self.0;
        let now = Instant::now();
        let era = getrandom::u64().unwrap_or_default() % word::ERAS;
        let plan = inner.with_council(|council| council.plan(now, era));
        let (done, _) = tokio::join!(inner.carry_out(plan), tokio::time::timeout(EVERY, inner.tell_ended()));
        inner.with_council(|council| council.carried_out(Instant::now(), plan, done));
        let footing = locked(&inner.council).footing(Instant::now());
        let over = inner.providers().iter().any(|provider| provider.is_over(footing.gateways, footing.rank));
        locked(&inner.council).word(over).encode()
    }

    /// The store was asked at `asked` to take down `word` for this gateway, has done so, and says this of the others. The
    /// gateway's place must last at least [`PLACE_LASTS`] from the moment at which the store did.
    pub fn attended(&self, asked: Instant, word: i64, others: Others) {
        let (word, words) = (Word::decode(word), others.words.into_iter().map(Word::decode).collect());
        self.0.with_council(|council| council.attended(Instant::now(), asked, word, others.rank, words));
    }

    /// Whether what one gateway has told its Redis is found there by all others.
    #[must_use]
    pub fn one_redis(&self) -> OneRedis {
        locked(&self.0.council).one_redis()
    }

    /// By what calls are let out now, in one word: `redis`, `share` or `nothing`.
    #[must_use]
    pub fn basis(&self) -> &'static str {
        self.0.present().basis.name()
    }
}

impl Inner {
    /// What holds now.
    fn present(&self) -> Footing {
        let footing = *self.footing.borrow();
        if Instant::now() < footing.until { footing } else { Footing { basis: Basis::Nothing, ..footing } }
    }

    /// Looks at the council, or changes it, and tells those who wait where that changes what holds.
    fn with_council<T>(&self, change: impl FnOnce(&mut Council) -> T) -> T {
        let mut council = locked(&self.council);
        let result = change(&mut council);
        let now = Instant::now();
        let mut next = council.footing(now);
        self.footing.send_if_modified(|footing| {
            if footing.goes_on_as(&next) {
                next.begun = footing.begun;
            }
            let had_lapsed = now >= footing.until;
            let changed = had_lapsed || *footing != Footing { until: footing.until, ..next };
            tell(footing.basis, next.basis);
            *footing = next;
            changed
        });
        drop(council);
        self.show();
        result
    }

    fn show(&self) {
        let present = self.present().basis.name();
        for name in Basis::NAMES {
            metrics::gauge!(LIMITS_BY, "basis" => name).set(f64::from(u8::from(name == present)));
        }
    }

    async fn carry_out(&self, plan: Plan) -> Result<(), Trouble> {
        let Some(link) = &self.link else { return Ok(()) };
        match plan {
            Plan::Nothing => Ok(()),
            Plan::Probe => link.probe().await,
            Plan::Beat { era } => {
                let done = link.beat(era).await;
                self.heed(done)
            }
            Plan::Prepare { era, begins } => {
                let providers = self.providers();
                let entered: Vec<_> = providers.iter().map(|provider| provider.enter_all()).collect();
                let done = link.prepare(era, begins, &entered).await;
                for (provider, (_, permits)) in providers.iter().zip(entered) {
                    provider.tell_gone(permits.into_iter().map(|(permit, _)| permit));
                }
                done
            }
        }
    }

    /// Passes on what Redis did, and gives up a connection that it was silent on for too long.
    fn heed<T>(&self, done: Result<T, Trouble>) -> Result<T, Trouble> {
        let left = match &done {
            Ok(_) => {
                locked(&self.council).answered();
                false
            }
            Err(trouble) => self.with_council(|council| council.failed(Instant::now(), *trouble)),
        };
        if left {
            if let Some(link) = &self.link {
                if done.as_ref().is_err_and(|trouble| *trouble == Trouble::Refused) {
                    tracing::warn!("the Redis (cache.url) that limits are held by refuses to: {}", link.refusal());
                }
                link.hang_up();
            }
            self.nudge.notify_one();
        }
        done
    }

    async fn tell_ended(&self) {
        for provider in self.providers() {
            provider.tell_ended().await;
        }
    }

    fn providers(&self) -> Vec<Arc<Provider>> {
        let mut providers = locked(&self.providers);
        providers.retain(|_, provider| provider.strong_count() > 0);
        providers.values().filter_map(Weak::upgrade).collect()
    }

    fn next_permit(&self) -> u64 {
        self.permits.fetch_add(1, Ordering::Relaxed)
    }
}

fn tell(before: Basis, now: Basis) {
    match (before, now) {
        (Basis::Redis { .. }, Basis::Nothing | Basis::Share { .. }) => tracing::warn!(
            "limits are not held by the Redis (cache.url) any more: a gateway does not see it, or it refuses, or it was emptied, \
             or this one has lost its place in the store. Each goes by its share, if at all, until it is seen by all"
        ),
        (Basis::Nothing | Basis::Share { .. }, Basis::Redis { .. }) => {
            tracing::info!("limits are held over all gateways by the Redis (cache.url)");
        }
        _ => {}
    }
}

/// A lock whose holder can't leave half-done work behind.
fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
