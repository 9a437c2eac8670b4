//! The cache in a Redis, of one gateway or of several.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::trust::{Belief, Debt, Heed, Sight, Trust};
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

/// Leaves the mark of an epoch, unless there is a higher one. Where there is no room, a lower one is deleted: by that, what
/// was held under its epoch would be believed. Gives the error then.
const MARK: &str = r"
local held = redis.pcall('GET', KEYS[1])
if held == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return
end
held = tonumber(held)
if not held or held <= tonumber(ARGV[1]) then
  local set = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  if set.err then
    redis.call('DEL', KEYS[1])
    return set.err
  end
end";

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
        let deadline = self.link.deadline();
        self.tell_owed(deadline).await?;
        let found = self.ask(&self.question(ids, epoch), deadline).await?;
        let found = self.read(ids, found);
        // The answer may have waited for longer than it is worth.
        let is_believed = self.trust().belief(Instant::now()) == Belief::In(epoch);
        if is_believed { Ok(found) } else { Err(Unavailable) }
    }

    /// The same where the store's word on the epoch is not fresh: by the mark that others leave of it.
    pub(super) async fn last_known(&self, ids: &[OrderId]) -> Result<Vec<Option<Cached>>, Unavailable> {
        let deadline = self.link.deadline();
        // An epoch follows the other in seconds: twice is enough.
        for _ in 0..2 {
            if self.trust().heeds_nothing() {
                break;
            }
            self.tell_owed(deadline).await?;
            let epoch = self.trust().epoch();
            let mut question = self.question(ids, epoch);
            question.arg(self.mark_key());
            let mut values: Vec<Option<Vec<u8>>> = self.ask(&question, deadline).await?;
            let mark = values.pop().flatten().and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok());
            let found = self.read(ids, values);
            match self.trust().heed_mark(mark, epoch, Instant::now()) {
                Heed::Believe => return Ok(found),
                Heed::AskAgain => {}
                Heed::Nothing => break,
            }
        }
        Err(Unavailable)
    }

    fn question(&self, ids: &[OrderId], epoch: i64) -> redis::Cmd {
        let mut command = redis::cmd("MGET");
        for id in ids {
            command.arg(self.key(epoch, *id));
        }
        command
    }

    fn read(&self, ids: &[OrderId], values: Vec<Option<Vec<u8>>>) -> Vec<Option<Cached>> {
        let trust = self.trust();
        let believed = |(value, id): (Option<Vec<u8>>, &OrderId)| {
            value.filter(|_| !trust.owes(*id)).and_then(|bytes| entry::decode(&bytes))
        };
        values.into_iter().zip(ids).map(believed).collect()
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
        let began = Instant::now();
        let epoch = {
            let mut trust = self.trust();
            trust.telling(versions(), began);
            trust.epoch()
        };
        let encoded = entries.iter().map(|(id, cached)| (*id, entry::encode(cached))).collect::<Vec<_>>();
        if self.set(epoch, &encoded, self.link.deadline()).await.is_err() {
            // However long Redis was waited for.
            self.trust().missed(versions(), began);
        }
    }

    /// See [`super::Cache::attended`].
    pub(super) fn attended(&self, epoch: i64, asked_at: Instant) {
        self.trust().attended(epoch, asked_at, Instant::now());
    }

    /// See [`super::Cache::doubt`].
    pub(super) fn doubt(&self) {
        self.trust().doubt();
    }

    /// See [`super::Cache::is_everybodys`].
    pub(super) fn is_everybodys(&self, everybodys: bool) {
        self.trust().set_apart(!everybodys);
    }

    /// See [`super::Cache::settle`].
    pub(super) async fn settle(&self) -> Option<Debt> {
        let deadline = self.link.deadline();
        let answers = if self.trust().is_unsure() {
            self.ask::<()>(&redis::cmd("PING"), deadline).await.is_ok()
        } else {
            let told = self.tell_owed(deadline).await.is_ok();
            if told {
                self.leave_mark(deadline).await;
            }
            told
        };
        self.trust().debt(answers, Instant::now())
    }

    async fn leave_mark(&self, deadline: Instant) {
        if self.trust().is_apart() {
            let mut command = redis::cmd("DEL");
            command.arg(self.mark_key());
            drop(self.ask::<()>(&command, deadline).await);
            return;
        }
        let Some(epoch) = self.trust().mark(Instant::now()) else { return };
        let mut command = redis::cmd("EVAL");
        command.arg(MARK).arg(1).arg(self.mark_key()).arg(epoch).arg(kept_for());
        // Without one nobody believes too much.
        if let Ok(full) = self.ask(&command, deadline).await {
            self.tell_full(full);
        }
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
        command.arg(kept_for());
        for (_, value) in values {
            command.arg(value);
        }
        let full = self.ask(&command, deadline).await?;
        self.tell_full(full);
        Ok(())
    }

    /// What a script gave that could not set something.
    fn tell_full(&self, full: Option<String>) {
        if full.is_some() && self.link.tells_refusal() {
            tell_refused("it has no room (maxmemory)");
        }
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

    fn mark_key(&self) -> String {
        format!("tollgate:{}:epoch", self.store_id)
    }

    fn trust(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In milliseconds.
fn kept_for() -> u64 {
    u64::try_from(KEPT_FOR.as_millis()).unwrap_or(u64::MAX)
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
