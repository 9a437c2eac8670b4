//! The wire as HTTP/1.1. See `docs/protocol.md`, "HTTP statuses" and "Clients".
//!
//! A request goes out once: no redirect is followed, nothing is sent again, and an `add` never uses a
//! connection that the other side may just be closing.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Client, redirect};
use tokio::time::{Instant, timeout, timeout_at};

use super::wire::{CallKind, Form, Reply, TransportError, Wire};

/// How long a connection may have been idle and still carry an `add` or a `refill`: one that the other side closes
/// at that moment would leave it in doubt.
const ADD_IDLE: Duration = Duration::from_secs(3);

/// The same for calls that may be made again.
const READ_IDLE: Duration = Duration::from_secs(20);

/// Who looks at a time-out so much later than it was has stood still,
const STOOD_STILL: Duration = Duration::from_millis(500);
/// and then reads for so long what came meanwhile.
const READ_WHAT_WAITS: Duration = Duration::from_secs(1);

/// How much of an answer is read.
const MAX_ANSWER: usize = 1 << 20;

/// How much of a `services` answer is read.
const MAX_SERVICES: usize = 64 << 20;

/// What [`HttpWire`] needs to know of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpWireOptions {
    /// The API's whole URL.
    pub url: String,
    /// For a connection, TLS included.
    pub connect_timeout: Duration,
    /// For a whole call that changes nothing.
    pub timeout: Duration,
    /// For a whole `add` or `refill`.
    pub add_timeout: Duration,
    /// How many connections are worth keeping.
    pub max_in_flight: u32,
}

/// A provider's HTTP side could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up HTTP calls: {0}; check the URL and the system's CA certificates")]
pub struct WireSetupError(String);

/// One upstream over HTTP.
pub struct HttpWire {
    url: reqwest::Url,
    timeout: Duration,
    add_timeout: Duration,
    add: Client,
    read: Client,
}

impl HttpWire {
    /// Prepares connections; opens none.
    ///
    /// # Errors
    /// [`WireSetupError`] for a URL that is none, or where TLS cannot be set up.
    pub fn new(options: &HttpWireOptions) -> Result<Self, WireSetupError> {
        let url = options.url.parse().map_err(|_| WireSetupError("the URL cannot be read".to_owned()))?;
        Ok(Self {
            url,
            timeout: options.timeout,
            add_timeout: options.add_timeout,
            add: client(options, ADD_IDLE)?,
            read: client(options, READ_IDLE)?,
        })
    }
}

fn client(options: &HttpWireOptions, idle: Duration) -> Result<Client, WireSetupError> {
    Client::builder()
        .http1_only()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .pool_idle_timeout(idle)
        .pool_max_idle_per_host(usize::try_from(options.max_in_flight).unwrap_or(usize::MAX))
        .build()
        .map_err(|error| WireSetupError(described(error)))
}

#[async_trait]
impl Wire for HttpWire {
    async fn send(&self, form: Form, kind: CallKind) -> Result<Reply, TransportError> {
        let (client, timeout) = match kind {
            CallKind::Add | CallKind::Refill => (&self.add, self.add_timeout),
            _ => (&self.read, self.timeout),
        };
        let request = client.post(self.url.clone()).form(&form);
        let max = if kind == CallKind::Services { MAX_SERVICES } else { MAX_ANSWER };
        let call = async { read(request.send().await.map_err(failure)?, max).await };
        let over = || TransportError::Unknown(format!("timed out: no whole answer within {timeout:?}"));
        within(timeout, call).await.unwrap_or_else(|| Err(over()))
    }

    fn url(&self) -> &str {
        self.url.as_str()
    }
}

/// What a call gives within its time. A process that was stopped finds that over when it goes on, even where the answer
/// came in time: that waits to be read, and gets a moment.
async fn within<F: Future>(limit: Duration, call: F) -> Option<F::Output> {
    let mut call = pin!(call);
    let end = Instant::now() + limit;
    if let Ok(output) = timeout_at(end, &mut call).await {
        return Some(output);
    }
    if end.elapsed() < STOOD_STILL {
        return None;
    }
    timeout(READ_WHAT_WAITS, call).await.ok()
}

/// Only a failure to connect, or to form the request, is certain to have sent nothing.
fn failure(error: reqwest::Error) -> TransportError {
    let nothing_sent = error.is_connect() || error.is_builder();
    let text = described(error);
    if nothing_sent { TransportError::NotSent(text) } else { TransportError::Unknown(text) }
}

async fn read(mut response: reqwest::Response, max: usize) -> Result<Reply, TransportError> {
    let status = response.status().as_u16();
    let mut body = BytesMut::new();
    loop {
        let chunk = response.chunk().await.map_err(|error| {
            TransportError::Unknown(format!("HTTP {status}, then the answer broke off: {}", described(error)))
        })?;
        match chunk {
            None => break,
            Some(chunk) if body.len().saturating_add(chunk.len()) > max => {
                return Err(TransportError::Unknown(format!("HTTP {status}, an answer over {max} bytes")));
            }
            Some(chunk) => body.extend_from_slice(&chunk),
        }
    }
    let headers = response.headers();
    Ok(Reply {
        status,
        retry_after: retry_after(status, headers),
        cf_mitigated: text(headers, "cf-mitigated"),
        location: text(headers, LOCATION.as_str()),
        content_type: text(headers, CONTENT_TYPE.as_str()),
        body: body.freeze(),
    })
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(|text| text.trim().to_owned())
}

/// `Retry-After` as seconds or as a date; with a 429 also `X-RateLimit-Reset`, as seconds or as a point in time.
/// Dates count from the answer's own `Date`, since the two clocks may differ.
fn retry_after(status: u16, headers: &HeaderMap) -> Option<Duration> {
    let date = |name: &str| DateTimeParser::new().parse_timestamp(text(headers, name)?).ok().map(|at| at.as_second());
    let after = |at: i64| {
        date(DATE.as_str()).and_then(|now| u64::try_from(at.saturating_sub(now)).ok()).map(Duration::from_secs)
    };
    let seconds = |name: &str| text(headers, name)?.parse::<u64>().ok();
    let asked =
        seconds(RETRY_AFTER.as_str()).map(Duration::from_secs).or_else(|| date(RETRY_AFTER.as_str()).and_then(after));
    asked.or_else(|| {
        let reset = seconds("x-ratelimit-reset").filter(|_| status == 429)?;
        // No wait lasts thirty years: such a figure is a point in time.
        if reset > 1_000_000_000 { after(i64::try_from(reset).ok()?) } else { Some(Duration::from_secs(reset)) }
    })
}

/// An error and its causes, without the URL.
fn described(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = if error.is_timeout() { "timed out: ".to_owned() } else { String::new() };
    text.push_str(&error.to_string());
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
