//! The cache in a Redis, of one gateway or of several.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::trust::{Belief, Debt, Sight, Trust};
use super::{CacheError, Cached, KEPT_FOR, entry};
use crate::domain::ids::OrderId;
use crate::redis_link::{RedisLink, Trouble};

/// Sets each key unless it holds a newer version. What is there and no entry of ours, of whatever type, is replaced.
/// Where there is no room, what is there is deleted: it may be older. Gives the error then.
const PUT: &str = r"
local full
for i, key in ipairs(KEYS) do
  local old, new = redis.pcall('GETRANGE', key, 0, 8), ARGV[i + 1]:sub(1, 9)
  if type(old) ~= 'string' or #old < 9 or old:sub(1, 1) ~= new:sub(1, 1) or old <= new then
    local set = redis.pcall('SET', key, ARGV[i + 1], 'PX', ARGV[1])
    if set.err then
      redis.call('DEL', key)
      full = set.err
    end
  end
end
return full";

/// Orders that Redis is told of in one call.
const BATCH: usize = 1000;

/// How a Redis is used.
#[derive(Debug, Clone)]
pub struct SharedOptions {
    /// For an answer: no request waits longer for its status.
    pub timeout: Duration,
}

impl Default for SharedOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_millis(50) }
    }
}

/// Nothing of use can be had; the operator was told.
#[derive(Debug)]
pub(super) struct Unavailable;

/// See the module's words.
#[derive(Debug)]
pub struct Shared {
    link: RedisLink,
    store_id: String,
    trust: Mutex<Trust>,
}

impl Shared {
    pub(super) fn new(url: &str, store_id: &str, options: &SharedOptions, trust: Trust) -> Result<Self, CacheError> {
        let link = RedisLink::new(url, options.timeout)?;
        Ok(Self { link, store_id: store_id.to_owned(), trust: Mutex::new(trust) })
    }

    pub(super) fn sight(&self) -> Sight {
        Sight(self.trust().epoch())
    }

    pub(super) async fn get_many(&self, ids: &[OrderId]) -> Result<Vec<Option<Cached>>, Unavailable> {
        let belief = self.trust().belief(Instant::now());
        let epoch = match belief {
            Belief::None => return Err(Unavailable),
            Belief::Young => return Ok(vec![None; ids.len()]),
            Belief::In(_) if ids.is_empty() => return Ok(Vec::new()),
            Belief::In(epoch) => epoch,
        };
        let found = self.look(ids, epoch).await?;
        // The answer may have waited for longer than it is worth.
        let is_believed = self.trust().belief(Instant::now()) == Belief::In(epoch);
        if is_believed { Ok(found) } else { Err(Unavailable) }
    }

    /// The same by an epoch that nobody vouches for any more.
    pub(super) async fn last_known(&self, ids: &[OrderId]) -> Result<Vec<Option<Cached>>, Unavailable> {
        let epoch = {
            let trust = self.trust();
            if trust.is_unsure() {
                return Err(Unavailable);
            }
            trust.epoch()
        };
        self.look(ids, epoch).await
    }

    async fn look(&self, ids: &[OrderId], epoch: i64) -> Result<Vec<Option<Cached>>, Unavailable> {
        // One for all of it: a Redis that answers slowly is waited for no longer than one that does not.
        let deadline = self.link.deadline();
        self.tell_owed(deadline).await?;
        let mut command = redis::cmd("MGET");
        for id in ids {
            command.arg(self.key(epoch, *id));
        }
        let values: Vec<Option<Vec<u8>>> = self.ask(&command, deadline).await?;
        let trust = self.trust();
        let believed = |(value, id): (Option<Vec<u8>>, &OrderId)| {
            value.filter(|_| !trust.owes(*id)).and_then(|bytes| entry::decode(&bytes))
        };
        Ok(values.into_iter().zip(ids).map(believed).collect())
    }

    pub(super) async fn put(&self, sight: Sight, entries: &[(OrderId, Cached)]) -> Result<(), Unavailable> {
        if entries.is_empty() || self.trust().belief(Instant::now()) != Belief::In(sight.0) {
            return Ok(());
        }
        let deadline = self.link.deadline();
        self.tell_owed(deadline).await?;
        let entries = entries.iter().map(|(id, cached)| (*id, entry::encode(cached))).collect::<Vec<_>>();
        self.set(sight.0, &entries, deadline).await
    }

    pub(super) async fn changed(&self, entries: &[(OrderId, Cached)]) {
        if entries.is_empty() {
            return;
        }
        let versions = || entries.iter().map(|(id, cached)| (*id, cached.version));
        let epoch = {
            let mut trust = self.trust();
            trust.telling(versions(), Instant::now());
            trust.epoch()
        };
        let encoded = entries.iter().map(|(id, cached)| (*id, entry::encode(cached))).collect::<Vec<_>>();
        if self.set(epoch, &encoded, self.link.deadline()).await.is_err() {
            self.trust().missed(versions(), Instant::now());
        }
    }

    /// See [`super::Cache::attended`].
    pub(super) fn attended(&self, epoch: i64, asked_at: Instant) {
        self.trust().attended(epoch, asked_at, Instant::now());
    }

    /// See [`super::Cache::settle`].
    pub(super) async fn settle(&self) -> Option<Debt> {
        let deadline = self.link.deadline();
        let answers = if self.trust().is_unsure() {
            self.ask::<()>(&redis::cmd("PING"), deadline).await.is_ok()
        } else {
            self.tell_owed(deadline).await.is_ok()
        };
        self.trust().debt(answers, Instant::now())
    }

    /// See [`super::Cache::owes`].
    pub(super) fn owes(&self) -> bool {
        self.trust().owes_anything()
    }

    /// See [`super::Cache::repaid`].
    pub(super) fn repaid(&self, debt: Debt, epoch: i64, asked_at: Instant) {
        self.trust().repaid(debt, epoch, asked_at, Instant::now());
    }

    /// Tells Redis the version of each order whose change it was not told of: whatever is older has no place then, also
    /// where it comes later.
    async fn tell_owed(&self, deadline: Instant) -> Result<(), Unavailable> {
        loop {
            let (owed, epoch) = {
                let trust = self.trust();
                (trust.some_owed(BATCH), trust.epoch())
            };
            if owed.is_empty() {
                return Ok(());
            }
            let versions = owed.iter().map(|owed| (owed.id, entry::version_only(owed.version))).collect::<Vec<_>>();
            self.set(epoch, &versions, deadline).await?;
            self.trust().told(&owed, epoch);
        }
    }

    async fn set(&self, epoch: i64, values: &[(OrderId, Vec<u8>)], deadline: Instant) -> Result<(), Unavailable> {
        let mut command = redis::cmd("EVAL");
        command.arg(PUT).arg(values.len());
        for (id, _) in values {
            command.arg(self.key(epoch, *id));
        }
        let kept_for = u64::try_from(KEPT_FOR.as_millis()).unwrap_or(u64::MAX);
        command.arg(kept_for);
        for (_, value) in values {
            command.arg(value);
        }
        let full: Option<String> = self.ask(&command, deadline).await?;
        if full.is_some() && self.link.tells_refusal() {
            tell_refused("it has no room (maxmemory)");
        }
        Ok(())
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd, deadline: Instant) -> Result<T, Unavailable> {
        let trouble = match self.link.ask(command, deadline).await {
            Ok(answer) => return Ok(answer),
            Err(trouble) => trouble,
        };
        if let Trouble::Lost { .. } = trouble {
            self.trust().lost(Instant::now());
        }
        match trouble {
            Trouble::Refused { why: Some(why) } => tell_refused(&why),
            Trouble::Silent { why: Some(why) } | Trouble::Lost { why: Some(why) } => tracing::warn!(
                error = %why,
                "the cache (cache.url) does not answer; statuses come from the store until it does"
            ),
            _ => {}
        }
        Err(Unavailable)
    }

    fn key(&self, epoch: i64, id: OrderId) -> String {
        format!("tollgate:{}:{epoch:x}:status:{id}", self.store_id)
    }

    fn trust(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the Redis at `url` does what a cache asks of it, within `timeout`.
///
/// # Errors
/// Why not, for the operator.
pub async fn probe(url: &str, timeout: Duration) -> Result<(), String> {
    let link = RedisLink::new(url, timeout).map_err(|error| error.to_string())?;
    let why = |trouble: Trouble| trouble.why().unwrap_or("no answer").to_owned();
    let random = getrandom::u64().map_err(|error| error.to_string())?;
    let key = format!("tollgate:check:{random:x}");
    let mut put = redis::cmd("EVAL");
    put.arg(PUT).arg(1).arg(&key).arg(1000).arg(entry::version_only(1));
    if let Some(full) = link.ask::<Option<String>>(&put, link.deadline()).await.map_err(why)? {
        return Err(format!("it takes nothing in: {full}"));
    }
    let mut get = redis::cmd("MGET");
    get.arg(&key);
    let held: Vec<Option<Vec<u8>>> = link.ask(&get, link.deadline()).await.map_err(why)?;
    if held != [Some(entry::version_only(1))] {
        return Err("what was put there a moment ago is not there".to_owned());
    }
    Ok(())
}

fn tell_refused(why: &str) {
    tracing::warn!(
        error = %why,
        "the cache (cache.url) does not do what it is asked to; what it lacks comes from the store"
    );
}
