//! Several gateways' gates on one Redis, a real one that is started on a free port, with the store as a list in memory.

mod chaos;
mod clients;
mod refusals;
mod single;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::domain::ids::ProviderId;
use crate::limits::test_server::{Redis, eventually};
use crate::limits::{Others, PLACE_LASTS, SharedLimits, SharedRedis};
use crate::task::Tasks;

/// How many permits Redis holds, of any era.
pub(super) async fn permits(redis: &Redis) -> u64 {
    let keys: Vec<String> = redis.command(&["KEYS", "*:permits:*"]).await;
    let mut count = 0;
    for key in keys {
        count += redis.command::<u64>(&["ZCARD", &key]).await;
    }
    count
}

/// Where gateways have their places: by the order in which they came, until when, and with which word.
#[derive(Default)]
pub(super) struct Places(Mutex<BTreeMap<u64, (Instant, i64)>>);

impl Places {
    fn attend(&self, number: u64, word: i64) -> Others {
        let mut places = self.0.lock().unwrap();
        let now = Instant::now();
        places.retain(|_, (until, _)| now < *until);
        places.insert(number, (now + PLACE_LASTS, word));
        let rank = u32::try_from(places.range(..number).count()).unwrap();
        let others = places.iter().filter(|(place, _)| **place != number).map(|(_, (_, word))| *word).collect();
        Others { rank, words: others }
    }
}

/// A gateway as far as its limits go.
pub(super) struct Member {
    pub(super) limits: SharedLimits,
    pub(super) gate: Arc<Gate>,
    tasks: Tasks,
    rounds: Mutex<Option<JoinHandle<()>>>,
    places: Arc<Places>,
    number: u64,
}

/// What the gateways of a test have in common.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) store: &'static str,
    pub(super) places: Arc<Places>,
    pub(super) limits: Limits,
    pub(super) call_lasts: Duration,
    pub(super) timeout: Duration,
}

impl Setting {
    /// The time-out is generous, so that a busy machine is not taken for a Redis that is away.
    pub(super) fn new(rate: &str, burst: u32, max_in_flight: u32) -> Self {
        let limits = Limits { requests_per_second: rate.parse().unwrap(), burst, max_in_flight };
        let timeout = Duration::from_millis(500);
        Self { store: "store", places: Arc::default(), limits, call_lasts: Duration::from_secs(60), timeout }
    }

    pub(super) fn join(&self, redis: Option<&Redis>, number: u64) -> Member {
        let shared =
            redis.map(|redis| SharedRedis { client: redis::Client::open(redis.url()).unwrap(), timeout: self.timeout });
        let (limits, tasks) = (SharedLimits::new(self.store, shared).unwrap(), Tasks::new());
        limits.start(&tasks);
        let provider = limits.provider(&ProviderId::new("alpha"), self.limits.over_all(), self.call_lasts);
        let gate = Gate::new(self.limits, Some(provider));
        let (places, rounds) = (Arc::clone(&self.places), Mutex::default());
        let member = Member { limits, gate, tasks, rounds, places, number };
        member.attend_on();
        member
    }

    pub(super) async fn join_all(&self, redis: Option<&Redis>, numbers: std::ops::Range<u64>) -> Vec<Member> {
        let members: Vec<Member> = numbers.map(|number| self.join(redis, number)).collect();
        let basis = if redis.is_some() { "redis" } else { "share" };
        for member in &members {
            member.is_by(basis).await;
        }
        members
    }
}

impl Member {
    pub(super) fn attend_on(&self) {
        let (limits, places, number) = (self.limits.clone(), Arc::clone(&self.places), self.number);
        *self.rounds.lock().unwrap() = Some(self.tasks.spawn(async move {
            loop {
                let word = limits.word().await;
                let asked = Instant::now();
                limits.attended(asked, word, places.attend(number, word));
                limits.due().await;
            }
        }));
    }

    /// The store does not answer it any more.
    pub(super) fn lose_store(&self) {
        self.attend_no_more();
        let limits = self.limits.clone();
        *self.rounds.lock().unwrap() = Some(self.tasks.spawn(async move {
            loop {
                limits.word().await;
                limits.due().await;
            }
        }));
    }

    /// It is cut off from the store, but goes on otherwise.
    pub(super) fn attend_no_more(&self) {
        if let Some(rounds) = self.rounds.lock().unwrap().take() {
            rounds.abort();
        }
    }

    /// Killed: nobody hears of it again.
    pub(super) fn kill(&self) {
        self.attend_no_more();
        self.tasks.stop();
    }

    pub(super) async fn is_by(&self, basis: &str) {
        eventually(basis, async || self.limits.basis() == basis).await;
    }

    pub(super) async fn enter(&self, patience: Duration) -> Result<Permit, Unavailable> {
        self.gate.enter(Purpose::Call(Priority::Orders), patience).await
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How many of these calls, made one after another until there is no room at once, are let out.
pub(super) async fn at_once(member: &Member, most: usize) -> usize {
    let mut count = 0;
    while count < most && member.enter(Duration::from_millis(1)).await.is_ok() {
        count += 1;
    }
    count
}
