//! The cache of several gateways: a Redis, which may be slow, gone or restarted at any time.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::IntoConnectionInfo;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use tokio::time::Instant;

use super::breaker::Breaker;
use super::{CacheError, Cached, KEPT_FOR, entry};
use crate::domain::ids::OrderId;

/// Sets each key unless it holds a newer version. What is there and no entry of ours, of whatever type, is replaced.
const PUT: &str = r"
for i, key in ipairs(KEYS) do
  local old, new = redis.pcall('GETRANGE', key, 0, 8), ARGV[i + 1]:sub(1, 9)
  if type(old) ~= 'string' or #old < 9 or old:sub(1, 1) ~= new:sub(1, 1) or old <= new then
    redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1])
  end
end";

/// Changes that Redis could not be told of, at most; beyond it, nothing is believed until all it holds is gone.
const MAX_OWED: usize = 100_000;
/// Entries deleted in one call.
const DELETE_BATCH: usize = 1000;

/// A connection whose other end acknowledges nothing for so long is given up; time-outs alone would keep it.
const DEAD_AFTER: Duration = Duration::from_secs(5);

/// How a Redis is used.
#[derive(Debug, Clone)]
pub struct SharedOptions {
    /// For a connection and for an answer: no request waits longer for its status.
    pub timeout: Duration,
}

impl Default for SharedOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_millis(50) }
    }
}

/// A Redis that answered nothing of use; the operator was told.
#[derive(Debug)]
pub(super) struct Unavailable;

/// See the module's words.
pub struct Shared {
    connection: ConnectionManager,
    prefix: String,
    timeout: Duration,
    breaker: Breaker,
    owed: Mutex<Owed>,
}

/// Changes that Redis was not told of: what it holds of these orders is not believed until it is deleted.
#[derive(Debug, Default)]
struct Owed {
    /// With the number of the change: only a deletion after it settles it, not one under way since before.
    orders: HashMap<OrderId, u64>,
    changes: u64,
    distrust_to: Option<Instant>,
}

/// The connection's own words would show the URL.
impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(url: &str, store_id: &str, options: SharedOptions) -> Result<Self, CacheError> {
        let tcp = TcpSettings::default().set_user_timeout(DEAD_AFTER);
        let info = url.into_connection_info().map_err(|_| CacheError::BadUrl)?.set_tcp_settings(tcp);
        let client = redis::Client::open(info).map_err(|_| CacheError::BadUrl)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(options.timeout))
            // Each call has a limit of its own, which holds for the wait for a connection too.
            .set_response_timeout(None)
            .set_number_of_retries(0)
            .set_pipeline_buffer_size(1024);
        let connection = ConnectionManager::new_lazy_with_config(client, config).map_err(|_| CacheError::BadUrl)?;
        Ok(Self {
            connection,
            prefix: format!("tollgate:{store_id}:status:"),
            timeout: options.timeout,
            breaker: Breaker::default(),
            owed: Mutex::default(),
        })
    }

    pub(super) async fn get_many(&self, ids: &[OrderId]) -> Result<Vec<Option<Cached>>, Unavailable> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        // One for all of it: a Redis that answers slowly is waited for no longer than one that does not.
        let deadline = self.deadline();
        self.settle_owed(deadline).await?;
        let mut command = redis::cmd("MGET");
        for id in ids {
            command.arg(self.key(*id));
        }
        let values: Vec<Option<Vec<u8>>> = self.ask(&command, deadline).await?;
        let owed = self.owed();
        let believed = |(value, id): (Option<Vec<u8>>, &OrderId)| {
            value.filter(|_| !owed.orders.contains_key(id)).and_then(|bytes| entry::decode(&bytes))
        };
        Ok(values.into_iter().zip(ids).map(believed).collect())
    }

    pub(super) async fn put(&self, entries: &[(OrderId, Cached)]) -> Result<(), Unavailable> {
        if entries.is_empty() {
            return Ok(());
        }
        let deadline = self.deadline();
        self.settle_owed(deadline).await?;
        let mut command = redis::cmd("EVAL");
        command.arg(PUT).arg(entries.len());
        for (id, _) in entries {
            command.arg(self.key(*id));
        }
        command.arg(millis(KEPT_FOR));
        for (_, cached) in entries {
            command.arg(entry::encode(cached));
        }
        self.ask(&command, deadline).await
    }

    pub(super) async fn changed(&self, entries: &[(OrderId, Cached)]) {
        if self.put(entries).await.is_err() {
            self.owed().add(entries.iter().map(|(id, _)| *id));
        }
    }

    /// Deletes what Redis holds of orders whose change it was not told of.
    async fn settle_owed(&self, deadline: Instant) -> Result<(), Unavailable> {
        loop {
            let batch = {
                let owed = self.owed();
                if owed.distrusts() {
                    return Err(Unavailable);
                }
                owed.orders.iter().map(|(id, number)| (*id, *number)).take(DELETE_BATCH).collect::<Vec<_>>()
            };
            if batch.is_empty() {
                return Ok(());
            }
            let mut command = redis::cmd("DEL");
            for (id, _) in &batch {
                command.arg(self.key(*id));
            }
            let () = self.ask(&command, deadline).await?;
            let mut owed = self.owed();
            for (id, number) in batch {
                if owed.orders.get(&id) == Some(&number) {
                    owed.orders.remove(&id);
                }
            }
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd, deadline: Instant) -> Result<T, Unavailable> {
        if !self.breaker.admits() {
            return Err(Unavailable);
        }
        let mut connection = self.connection.clone();
        let error = match within(deadline, self.timeout, command.query_async(&mut connection)).await {
            Ok(answer) => {
                self.breaker.succeeded();
                return Ok(answer);
            }
            Err(error) => error,
        };
        match error {
            Failure::Refused(error) if self.breaker.refused() => tracing::warn!(
                %error,
                "the cache (cache.url) does not do what it is asked to; what it lacks comes from the store"
            ),
            Failure::NoAnswer(error) if self.breaker.failed() => tracing::warn!(
                %error,
                "the cache (cache.url) does not answer; statuses come from the store until it does"
            ),
            _ => {}
        }
        Err(Unavailable)
    }

    fn key(&self, id: OrderId) -> String {
        format!("{}{id}", self.prefix)
    }

    fn owed(&self) -> std::sync::MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owed {
    fn add(&mut self, ids: impl Iterator<Item = OrderId>) {
        self.changes = self.changes.wrapping_add(1);
        self.orders.extend(ids.map(|id| (id, self.changes)));
        if self.orders.len() > MAX_OWED {
            self.orders = HashMap::new();
            self.distrust_to = Some(Instant::now() + KEPT_FOR);
        }
    }

    fn distrusts(&self) -> bool {
        self.distrust_to.is_some_and(|until| Instant::now() < until)
    }
}

/// Why a command brought nothing, in words for the operator.
enum Failure {
    /// Redis is there, and says no: it is full, or still loading.
    Refused(String),
    /// Nothing came, or nothing that is an answer.
    NoAnswer(String),
}

/// The answer by the `deadline`, which is set by `timeout`, or a word on why not. Redis errors may show the URL and with it a password, so
/// only their kind is told.
async fn within<T>(
    deadline: Instant,
    timeout: Duration,
    answer: impl Future<Output = redis::RedisResult<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout_at(deadline, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) if error.is_timeout() => Err(Failure::NoAnswer(format!("no answer within {timeout:?}"))),
        Ok(Err(error)) if error.is_connection_refusal() => Err(Failure::NoAnswer("connection refused".to_owned())),
        Ok(Err(error)) => Err(match error.code() {
            Some(code) => Failure::Refused(format!("{:?}, {code}", error.kind())),
            None => Failure::NoAnswer(format!("{:?}", error.kind())),
        }),
        Err(_) => Err(Failure::NoAnswer(format!("no answer within {timeout:?}"))),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
