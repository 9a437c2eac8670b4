//! The Redis that counts for all gateways: its scripts and keys, and a connection that is never opened anew unnoticed.
//!
//! A Redis that was restarted may have forgotten everything, or remember what was long ago. Either breaks the
//! connection, so whoever asks on one that has broken is told so ([`Trouble::Lost`]), and only [`Link::prepare`] leads
//! back. A Redis that was emptied has lost the mark of the era too.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Script};

use super::council::Trouble;

/// The rate (GCRA, in microseconds of Redis's clock) and the calls under way, both asked for and taken at once.
///
/// KEYS: the era's mark, the provider's rate, its permits. ARGV: the permit, the time between two calls, the burst, the
/// most calls under way, how long a permit lasts, whether the rate starts empty, and permits that have ended.
/// Gives 0 and 0: taken; 1 and the microseconds to wait; 2 and 0: too many under way; 3 and 0: the era is not known.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if redis.call('EXISTS', KEYS[1]) == 0 then return {3, 0} end
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local period, burst, limit, lasts = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if #ARGV > 6 then redis.call('ZREM', KEYS[3], unpack(ARGV, 7)) end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
local full = now + burst * period
local due = tonumber(redis.call('GET', KEYS[2]))
-- Nobody can owe more than a whole burst, unless the clock was set back.
if not due or ARGV[6] == '1' or due > full then
  due = full
  redis.call('SET', KEYS[2], string.format('%.0f', due), 'PX', 86400000)
end
if redis.call('ZCARD', KEYS[3]) >= limit then return {2, 0} end
local wait = due + period - full
if wait > 0 then return {1, wait} end
if due < now then due = now end
redis.call('SET', KEYS[2], string.format('%.0f', due + period), 'PX', 86400000)
redis.call('ZADD', KEYS[3], now + lasts, ARGV[1])
redis.call('PEXPIRE', KEYS[3], 86400000)
return {0, 0}",
    )
});

/// A few calls of one client. KEYS: the era's mark, the client's pace. ARGV: the time between two calls, the burst, how
/// many are wanted. Gives how many there are, and where those are fewer in how many microseconds there are as many as are
/// wanted: a client that calls too often costs no more questions than another. -1 and 0: the era is not known. An absent
/// pace is that of a client who has not called for long.
static BATCH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if redis.call('EXISTS', KEYS[1]) == 0 then return {-1, 0} end
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local period, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = now + burst * period
local due = tonumber(redis.call('GET', KEYS[2])) or now
if due < now then due = now end
if due > full then due = full end
local given = math.min(math.floor((full - due) / period), wanted)
if given > 0 then
  due = due + given * period
  redis.call('SET', KEYS[2], string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000) + 1000)
end
return {given, given < wanted and due + wanted * period - full or 0}",
    )
});

/// How long Redis keeps what nobody refreshes; the mark of the era is refreshed twice a second.
const KEPT_FOR_MILLIS: u64 = 86_400_000;

/// How long a connection may take to open, where `cache.timeout` is shorter: nobody but the round waits for it.
const CONNECT: Duration = Duration::from_millis(250);

/// For an answer at most: a gateway that waits longer for Redis would lose its place in the store.
const LONGEST: Duration = Duration::from_millis(400);

/// Requests that may wait to be written.
const PIPELINE: usize = 4096;

/// What Redis said to a request for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Took {
    Granted,
    /// The rate has room in this time, no sooner.
    Wait(Duration),
    /// Too many are under way.
    Full,
}

/// One request for one call.
pub(super) struct Take<'a> {
    pub(super) era: u64,
    pub(super) provider: &'a str,
    pub(super) permit: u64,
    pub(super) period: Duration,
    pub(super) burst: u32,
    pub(super) max_in_flight: u32,
    pub(super) lasts: Duration,
    pub(super) starts_empty: bool,
    pub(super) ended: &'a [u64],
}

/// A provider's permits, each with how long it lasts yet.
pub(super) type Permits = Vec<(String, Vec<(u64, Duration)>)>;

/// See the module.
pub(super) struct Link {
    client: redis::Client,
    timeout: Duration,
    prefix: String,
    /// Of this process: permits of two gateways are never the same.
    gateway: u64,
    /// With a number of its own.
    connection: Mutex<Option<(u64, MultiplexedConnection)>>,
}

impl Link {
    pub(super) fn new(client: redis::Client, store_id: &str, gateway: u64, timeout: Duration) -> Self {
        let prefix = format!("tollgate:{store_id}:limits:v1");
        let timeout = timeout.min(LONGEST);
        Self { client, timeout, prefix, gateway, connection: Mutex::default() }
    }

    /// Whether it does what it is asked to. Opens a connection where there is none.
    pub(super) async fn probe(&self) -> Result<(), Trouble> {
        self.connect().await?;
        let mut pipe = redis::pipe();
        self.say_here(&mut pipe);
        self.run(async |mut connection| pipe.query_async::<()>(&mut connection).await).await
    }

    /// The same, and whether it knows the era.
    pub(super) async fn beat(&self, era: u64) -> Result<(), Trouble> {
        let mut pipe = redis::pipe();
        self.say_here(&mut pipe);
        pipe.pexpire(self.mark(era), i64::try_from(KEPT_FOR_MILLIS).unwrap_or(i64::MAX));
        let (known,) = self.run(async |mut connection| pipe.query_async::<(bool,)>(&mut connection).await).await?;
        if known { Ok(()) } else { Err(Trouble::Lost) }
    }

    /// Enters what is under way into an era, which begins with it or must be known.
    pub(super) async fn prepare(&self, era: u64, begins: bool, permits: &Permits) -> Result<(), Trouble> {
        self.connect().await?;
        let mut pipe = redis::pipe();
        if begins {
            pipe.cmd("SET").arg(self.mark(era)).arg(1).arg("PX").arg(KEPT_FOR_MILLIS).ignore();
        }
        pipe.exists(self.mark(era)).cmd("TIME");
        let ((known, (seconds, micros)),) = self
            .run(async |mut connection| {
                let answer: (bool, (u64, u64)) = pipe.query_async(&mut connection).await?;
                Ok((answer,))
            })
            .await?;
        if !known {
            return Err(Trouble::Lost);
        }
        let now = Duration::new(seconds, 0) + Duration::from_micros(micros);
        let mut pipe = redis::pipe();
        for (provider, permits) in permits {
            let key = self.permits(era, provider);
            for (permit, lasts) in permits {
                pipe.zadd(&key, self.permit(*permit), micros_of(now + *lasts)).ignore();
            }
            pipe.cmd("PEXPIRE").arg(&key).arg(KEPT_FOR_MILLIS).ignore();
        }
        self.run(async |mut connection| pipe.query_async::<()>(&mut connection).await).await?;
        Ok(())
    }

    pub(super) async fn take(&self, take: &Take<'_>) -> Result<Took, Trouble> {
        let mut call = TAKE.prepare_invoke();
        call.key(self.mark(take.era))
            .key(format!("{}:{}:rate:{}", self.prefix, take.era, take.provider))
            .key(self.permits(take.era, take.provider))
            .arg(self.permit(take.permit))
            .arg(micros_up(take.period))
            .arg(take.burst)
            .arg(take.max_in_flight)
            .arg(micros_of(take.lasts))
            .arg(u8::from(take.starts_empty));
        for permit in take.ended {
            call.arg(self.permit(*permit));
        }
        let (kind, wait) =
            self.run(async |mut connection| call.invoke_async::<(u8, u64)>(&mut connection).await).await?;
        match kind {
            0 => Ok(Took::Granted),
            1 => Ok(Took::Wait(Duration::from_micros(wait))),
            2 => Ok(Took::Full),
            _ => Err(Trouble::Lost),
        }
    }

    pub(super) async fn release(&self, era: u64, provider: &str, permits: &[u64]) -> Result<(), Trouble> {
        let mut command = redis::cmd("ZREM");
        command.arg(self.permits(era, provider));
        for permit in permits {
            command.arg(self.permit(*permit));
        }
        self.run(async |mut connection| command.query_async::<()>(&mut connection).await).await
    }

    /// Up to `wanted` calls of a client that may make `rps` in a second, and how long not to ask for more.
    pub(super) async fn batch(&self, era: u64, client: i64, rps: u32, wanted: u32) -> Result<(u32, Duration), Trouble> {
        let period = micros_up(Duration::from_secs(1) / rps.max(1));
        let mut call = BATCH.prepare_invoke();
        call.key(self.mark(era)).key(format!("{}:{era}:client:{client}", self.prefix)).arg(period).arg(rps).arg(wanted);
        let (given, wait) =
            self.run(async |mut connection| call.invoke_async::<(i64, u64)>(&mut connection).await).await?;
        let given = u32::try_from(given).map_err(|_| Trouble::Lost)?;
        Ok((given, Duration::from_micros(wait)))
    }

    /// A write, so that a Redis that takes none is found out.
    fn say_here(&self, pipe: &mut redis::Pipeline) {
        pipe.cmd("SET")
            .arg(format!("{}:here:{:016x}", self.prefix, self.gateway))
            .arg(1)
            .arg("PX")
            .arg(60_000)
            .ignore();
    }

    async fn connect(&self) -> Result<(), Trouble> {
        if self.present().is_some() {
            return Ok(());
        }
        let within = self.timeout.max(CONNECT);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(within))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE);
        let opening = self.client.get_multiplexed_async_connection_with_config(&config);
        let connection =
            tokio::time::timeout(within, opening).await.map_err(|_| Trouble::Lost)?.map_err(|_| Trouble::Lost)?;
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let number = getrandom::u64().map_err(|_| Trouble::Lost)?;
        *held = Some((number, connection));
        Ok(())
    }

    fn present(&self) -> Option<(u64, MultiplexedConnection)> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was asked on it and not answered may yet be carried out, and nobody waits for it.
    pub(super) fn hang_up(&self) {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    async fn run<T>(
        &self,
        ask: impl AsyncFnOnce(MultiplexedConnection) -> redis::RedisResult<T>,
    ) -> Result<T, Trouble> {
        let (number, connection) = self.present().ok_or(Trouble::Lost)?;
        match tokio::time::timeout(self.timeout, ask(connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Err(_) => Err(Trouble::Silent),
            // It is there, and says no: it is full, loading, or only reads.
            Ok(Err(error)) if error.code().is_some() => Err(Trouble::Silent),
            Ok(Err(_)) => {
                let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
                held.take_if(|(held, _)| *held == number);
                Err(Trouble::Lost)
            }
        }
    }

    fn mark(&self, era: u64) -> String {
        format!("{}:{era}", self.prefix)
    }

    fn permits(&self, era: u64, provider: &str) -> String {
        format!("{}:{era}:permits:{provider}", self.prefix)
    }

    fn permit(&self, number: u64) -> String {
        format!("{:x}-{number:x}", self.gateway)
    }
}

/// Rounded up, so that the rate is never exceeded.
fn micros_up(period: Duration) -> u64 {
    u64::try_from(period.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX).max(1)
}

fn micros_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
