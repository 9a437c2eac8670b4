//! The Redis that counts for all gateways: what is asked of it, and a connection that is never opened anew unnoticed.
//!
//! A Redis that was restarted may have forgotten everything, or remember what was long ago. Either breaks the
//! connection, so whoever asks on one that has broken is told so ([`Trouble::Lost`]), and only [`Link::prepare`] leads
//! back. A Redis that was emptied has lost the mark of the era too.

use std::sync::Mutex;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, ScriptInvocation};
use tokio::time::Instant;

use super::council::Trouble;
use super::{locked, scripts};
use crate::redis_link;

/// How long a connection may take to open, where `cache.timeout` is shorter: nobody but the round waits for it.
const CONNECT: Duration = Duration::from_millis(250);

/// For an answer at most: a gateway that waits longer for Redis would lose its place in the store.
const LONGEST: Duration = Duration::from_millis(400);

/// Requests that may wait to be written.
const PIPELINE: usize = 4096;

/// Permits that have ended and go along with one request: a script takes no more than some thousands of values at once.
pub(super) const MOST_ENDED: usize = 1000;

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
    /// [`MOST_ENDED`] at most.
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
    /// What it said when it last refused something.
    refusal: Mutex<String>,
}

impl Link {
    pub(super) fn new(client: redis::Client, store_id: &str, gateway: u64, timeout: Duration) -> Self {
        let prefix = format!("tollgate:{store_id}:limits:v1");
        let timeout = timeout.min(LONGEST);
        Self { client, timeout, prefix, gateway, connection: Mutex::default(), refusal: Mutex::default() }
    }

    /// Whether it does what it is asked to. Opens a connection where there is none.
    pub(super) async fn probe(&self) -> Result<(), Trouble> {
        self.connect().await?;
        let mut call = scripts::PROBE.prepare_invoke();
        for name in ["value", "set"] {
            call.key(format!("{}:probe:{:016x}:{name}", self.prefix, self.gateway));
        }
        let done = self.invoke::<u8>(&call).await;
        if done == Err(Trouble::Refused) {
            // What it refuses may be this connection.
            self.hang_up();
        }
        done.map(drop)
    }

    /// Sees to the era, if it is known.
    pub(super) async fn beat(&self, era: u64) -> Result<(), Trouble> {
        let mut call = scripts::BEAT.prepare_invoke();
        call.key(self.mark()).arg(era);
        if self.invoke(&call).await? { Ok(()) } else { Err(Trouble::Lost) }
    }

    /// Enters what is under way into an era, which begins with it or must be known.
    pub(super) async fn prepare(&self, era: u64, begins: bool, permits: &Permits) -> Result<(), Trouble> {
        self.connect().await?;
        let mut call = scripts::ENTER.prepare_invoke();
        call.key(self.mark()).arg(era).arg(u8::from(begins));
        for (provider, permits) in permits {
            call.key(self.permits(era, provider)).arg(permits.len());
            for (permit, lasts) in permits {
                call.arg(self.permit(*permit)).arg(micros_of(*lasts));
            }
        }
        if self.invoke(&call).await? { Ok(()) } else { Err(Trouble::Lost) }
    }

    pub(super) async fn take(&self, take: &Take<'_>) -> Result<Took, Trouble> {
        let mut call = scripts::TAKE.prepare_invoke();
        call.key(self.mark())
            .key(format!("{}:{}:rate:{}", self.prefix, take.era, take.provider))
            .key(self.permits(take.era, take.provider))
            .arg(take.era)
            .arg(self.permit(take.permit))
            .arg(micros_up(take.period))
            .arg(take.burst)
            .arg(take.max_in_flight)
            .arg(micros_of(take.lasts))
            .arg(u8::from(take.starts_empty));
        for permit in take.ended {
            call.arg(self.permit(*permit));
        }
        took(self.invoke(&call).await?)
    }

    pub(super) async fn release(&self, era: u64, provider: &str, permits: &[u64]) -> Result<(), Trouble> {
        let mut command = redis::cmd("ZREM");
        command.arg(self.permits(era, provider));
        for permit in permits {
            command.arg(self.permit(*permit));
        }
        self.run(async |mut connection| command.query_async::<()>(&mut connection).await).await
    }

    /// One call of a client whose calls are this far apart at its pace, of which so many may be made at once. This gateway
    /// has counted by Redis for so long.
    pub(super) async fn admit(
        &self,
        era: u64,
        client: i64,
        period: Duration,
        burst: u32,
        counted_for: Duration,
    ) -> Result<Took, Trouble> {
        let mut call = scripts::ADMIT.prepare_invoke();
        call.key(self.mark())
            .key(format!("{}:{era}:client:{client}", self.prefix))
            .arg(era)
            .arg(micros_up(period))
            .arg(burst)
            .arg(micros_of(counted_for));
        took(self.invoke(&call).await?)
    }

    /// What it said when it last refused something; no secret is in it.
    pub(super) fn refusal(&self) -> String {
        locked(&self.refusal).clone()
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
        let mut held = locked(&self.connection);
        let number = getrandom::u64().map_err(|_| Trouble::Lost)?;
        *held = Some((number, connection));
        Ok(())
    }

    fn present(&self) -> Option<(u64, MultiplexedConnection)> {
        locked(&self.connection).clone()
    }

    /// What was asked on it and not answered may yet be carried out, and nobody waits for it.
    pub(super) fn hang_up(&self) {
        locked(&self.connection).take();
    }

    async fn invoke<T: redis::FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, Trouble> {
        self.run(async |mut connection| call.invoke_async(&mut connection).await).await
    }

    async fn run<T>(
        &self,
        ask: impl AsyncFnOnce(MultiplexedConnection) -> redis::RedisResult<T>,
    ) -> Result<T, Trouble> {
        let (number, connection) = self.present().ok_or(Trouble::Lost)?;
        let asked = Instant::now();
        match tokio::time::timeout(self.timeout, ask(connection)).await {
            // Who was stopped in between finds the answer here, whatever that is worth by now.
            Ok(Ok(_)) if asked.elapsed() > self.timeout => Err(Trouble::Silent),
            Ok(Ok(answer)) => Ok(answer),
            Err(_) => Err(Trouble::Silent),
            Ok(Err(error)) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => {
                *locked(&self.refusal) = redis_link::refused_words(&error);
                Err(Trouble::Refused)
            }
            Ok(Err(_)) => {
                locked(&self.connection).take_if(|(held, _)| *held == number);
                Err(Trouble::Lost)
            }
        }
    }

    fn mark(&self) -> String {
        format!("{}:era", self.prefix)
    }

    fn permits(&self, era: u64, provider: &str) -> String {
        format!("{}:{era}:permits:{provider}", self.prefix)
    }

    fn permit(&self, number: u64) -> String {
        format!("{:x}-{number:x}", self.gateway)
    }
}

fn took((kind, wait): (u8, u64)) -> Result<Took, Trouble> {
    match kind {
        0 => Ok(Took::Granted),
        1 => Ok(Took::Wait(Duration::from_micros(wait))),
        2 => Ok(Took::Full),
        _ => Err(Trouble::Lost),
    }
}

/// Rounded up, so that the rate is never exceeded.
fn micros_up(period: Duration) -> u64 {
    u64::try_from(period.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX).max(1)
}

fn micros_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
