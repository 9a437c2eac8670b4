//! A connection to a Redis, which may be slow, gone or restarted at any time: what asks it waits for no longer than it
//! means to, and one that does not answer is left alone, with a call now and then to see whether it is back.
//!
//! TLS (`rediss://`) trusts the certificate authorities of the system, or those in the file that SSL_CERT_FILE names.

mod breaker;
#[cfg(test)]
pub(crate) mod test_server;

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError};
use tokio::time::Instant;

use breaker::Breaker;

#[cfg(test)]
use crate::task::free_port::free_port;

/// A connection whose other end acknowledges nothing for so long is given up; time-outs alone would keep it.
const DEAD_AFTER: Duration = Duration::from_secs(5);
/// How long a connection may take, TLS and password included. It is made aside: no call waits for it beyond its own
/// deadline.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// The URL, which is a secret and so is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no address of a Redis: expected redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]")]
pub struct BadAddress;

/// Why a command brought nothing. `why` is a word for the operator in which no secret is; it is there where the
/// operator was not told lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It did not answer a moment ago, and was not asked.
    Resting,
    /// It is there, and says no: it is full, still loading, or the user lacks a right.
    Refused {
        /// See [`Trouble`].
        why: Option<String>,
    },
    /// Nothing came in time. The connection stands.
    Silent {
        /// See [`Trouble`].
        why: Option<String>,
    },
    /// There is no connection, or it was lost: what answers next may have forgotten what the last one was told.
    Lost {
        /// See [`Trouble`].
        why: Option<String>,
    },
}

impl Trouble {
    /// The word for the operator, where there is one.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Resting => None,
            Self::Refused { why } | Self::Silent { why } | Self::Lost { why } => why.as_deref(),
        }
    }
}

/// What opens connections to the Redis at `url`, with none opened yet.
///
/// # Errors
/// [`BadAddress`]
pub fn client(url: &str) -> Result<redis::Client, BadAddress> {
    let tcp = TcpSettings::default().set_user_timeout(DEAD_AFTER);
    let info = url.into_connection_info().map_err(|_| BadAddress)?.set_tcp_settings(tcp);
    redis::Client::open(info).map_err(|_| BadAddress)
}

/// See the module's words.
pub struct RedisLink {
    client: redis::Client,
    config: ConnectionManagerConfig,
    connection: ArcSwap<ConnectionManager>,
    timeout: Duration,
    breaker: Breaker,
}

/// The connection's own words would show the URL.
impl std::fmt::Debug for RedisLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisLink").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl RedisLink {
    /// To the Redis at `url`, which need not be there yet; a call waits for `timeout` at most. Must be called within the
    /// runtime.
    ///
    /// # Errors
    /// [`BadAddress`]
    pub fn new(url: &str, timeout: Duration) -> Result<Self, BadAddress> {
        let client = client(url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(timeout.max(CONNECT_WITHIN)))
            // Each call has a limit of its own, which holds for the wait for a connection too.
            .set_response_timeout(None)
            .set_number_of_retries(0)
            .set_pipeline_buffer_size(1024);
        let connection = ConnectionManager::new_lazy_with_config(client.clone(), config.clone());
        let connection = ArcSwap::from_pointee(connection.map_err(|_| BadAddress)?);
        Ok(Self { client, config, connection, timeout, breaker: Breaker::default() })
    }

    /// When a call that begins now is waited for no longer.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// The answer to a command, by the `deadline`.
    ///
    /// # Errors
    /// [`Trouble`]
    pub async fn ask<T: FromRedisValue>(&self, command: &redis::Cmd, deadline: Instant) -> Result<T, Trouble> {
        if !self.breaker.admits() {
            return Err(Trouble::Resting);
        }
        let mut connection = ConnectionManager::clone(&self.connection.load());
        match within(deadline, command.query_async(&mut connection)).await {
            None => Err(Trouble::Silent { why: self.failed(format!("no answer within {:?}", self.timeout)) }),
            Some(Ok(answer)) => {
                self.breaker.succeeded();
                Ok(answer)
            }
            Some(Err(error)) if error.is_io_error() => Err(Trouble::Lost { why: self.failed(lost_words(&error)) }),
            Some(Err(error)) if refuses_connection(&error) => {
                self.begin_again();
                Err(Trouble::Lost { why: self.failed(refused_words(&error)) })
            }
            Some(Err(error)) => {
                let tell = self.breaker.refused();
                Err(Trouble::Refused { why: tell.then(|| refused_words(&error)) })
            }
        }
    }

    /// An answer says that there is no room, or the like. Gives whether an operator should be told.
    #[must_use]
    pub fn tells_refusal(&self) -> bool {
        self.breaker.refused()
    }

    fn failed(&self, why: String) -> Option<String> {
        self.breaker.failed().then_some(why)
    }

    /// The manager makes a new connection by itself only after a failure of the network: once it was refused for a wrong
    /// password, it would say so for ever.
    fn begin_again(&self) {
        if let Ok(connection) = ConnectionManager::new_lazy_with_config(self.client.clone(), self.config.clone()) {
            self.connection.store(connection.into());
        }
    }
}

/// Nothing where the deadline was first.
async fn within<F: Future>(deadline: Instant, answer: F) -> Option<F::Output> {
    tokio::time::timeout_at(deadline, answer).await.ok()
}

/// Whether that is about the connection as such (password, database) and not about the command: the server's answer to a
/// command is kept in the error as its source.
fn refuses_connection(error: &RedisError) -> bool {
    error.source().is_none()
}

/// The network's own words and those of TLS, which know of no URL and no password.
fn lost_words(error: &RedisError) -> String {
    let words = error.to_string();
    if error.is_connection_refusal() {
        "connection refused".to_owned()
    } else if error.is_timeout() {
        "no connection within its time: is it there, and is that its port for TLS, or for none, as the URL says?"
            .to_owned()
    } else if words.contains("certificate not valid for name") {
        format!("{words}: write the URL with a name or address that its certificate has")
    } else if words.contains("certificate") {
        format!("{words}: have its certificate authority among the system's or in the file that SSL_CERT_FILE names")
    } else if words.contains("corrupt message") {
        format!("{words}: is that its port for TLS?")
    } else {
        format!("the connection failed: {words}")
    }
}

/// For the operator, of an error that Redis answered with: only what is known to hold no secret is told of what it said.
#[must_use]
pub fn refused_words(error: &RedisError) -> String {
    match error.code() {
        _ if error.kind() == ErrorKind::AuthenticationFailed => {
            "it refuses the user name or password in its URL".to_owned()
        }
        Some("NOAUTH") => "it asks for a password, and its URL has none".to_owned(),
        Some("OOM") => "it is full (maxmemory)".to_owned(),
        Some("READONLY") => "it only reads: it is a replica".to_owned(),
        Some("LOADING") => "it is still loading".to_owned(),
        Some("BUSY") => "it is busy with a script".to_owned(),
        Some("NOPERM") => format!("its user lacks a right: {}", error.detail().unwrap_or("NOPERM")),
        _ if refuses_connection(error) => {
            format!("it refuses the connection: {}", error.detail().unwrap_or("no reason"))
        }
        Some(code) => format!("{:?}, {code}", error.kind()),
        None => format!("{:?}", error.kind()),
    }
}
