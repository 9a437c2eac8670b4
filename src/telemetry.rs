//! Logs and metrics: how they are set up, and every name that a dashboard may rely on.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

// No client, order or key is ever a label: they have no bound, and they are not everybody's to see.

/// Requests to the public listener by `outcome`.
pub const HTTP_REQUESTS: &str = "tollgate_http_requests_total";
/// How long an answer took, from the request's head to its response.
pub const HTTP_REQUEST_SECONDS: &str = "tollgate_http_request_seconds";
/// Calls of the API by `action` and `outcome`.
pub const API_CALLS: &str = "tollgate_api_calls_total";
/// Orders in the store by `state`.
pub const ORDERS: &str = "tollgate_orders";
/// Attempts to place an order by `provider` and `outcome`.
pub const ATTEMPTS: &str = "tollgate_attempts_total";
/// Refills sent to upstreams by `provider` and `outcome`: `accepted`, `refused`, `not_taken`, `ambiguous`.
pub const REFILLS: &str = "tollgate_refills_total";
/// Cancels that upstreams were told of by `provider` and `outcome`: `taken`, `refused`, `unanswered`.
pub const CANCELS: &str = "tollgate_cancels_total";
/// Calls to upstreams by `provider`, `action` and `outcome`.
pub const UPSTREAM_CALLS: &str = "tollgate_upstream_calls_total";
/// How long an upstream took by `provider` and `action`.
pub const UPSTREAM_CALL_SECONDS: &str = "tollgate_upstream_call_seconds";
/// Statuses looked for in the cache by `outcome`: `hit`, `miss`, `error`.
pub const STATUS_CACHE: &str = "tollgate_status_cache_total";
/// What an operator was told.
pub const ALERTS: &str = "tollgate_alerts_total";
/// How often the machine's clock was set by over a minute while the gateway ran.
pub const CLOCK_STEPS: &str = "tollgate_clock_steps_total";
/// Commits of the store, each of one or many transactions.
pub const STORE_COMMITS: &str = "tollgate_store_commits_total";
/// 1 while the store can write, 0 while its disk is full or fails it.
pub const STORE_WRITABLE: &str = "tollgate_store_writable";
/// Gateways that serve this one's store, this one too.
pub const GATEWAYS: &str = "tollgate_gateways";
/// Those of them that serve by another configuration than this one.
pub const GATEWAYS_OTHERWISE: &str = "tollgate_gateways_otherwise";
/// 1 for what limits over all gateways are held by now, 0 for the rest, by `basis`: `redis`; `share`, each gateway by its
/// own; `nothing`, while that changes or this gateway has no place in the store: then it makes no calls. With PostgreSQL.
pub const LIMITS_BY: &str = "tollgate_limits_by";
/// Catalogues fetched by `provider` and `outcome`.
pub const SYNCS: &str = "tollgate_sync_total";

/// Upper bounds of the histograms' buckets, in seconds: a cached status takes microseconds, an `add` minutes.
const SECONDS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is wrong.
    #[error("TOLLGATE_LOG is no filter ({0}): write something like info, or tollgate=debug,warn")]
    Filter(#[from] tracing_subscriber::filter::FromEnvError),
    /// There are logs already.
    #[error("the log is set up already: {0}")]
    Logs(#[from] tracing_subscriber::util::TryInitError),
    /// The metrics' recorder.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] BuildError),
}

/// Sends the log to stderr: what `TOLLGATE_LOG` names, `info` and worse where that is not set.
///
/// # Errors
/// [`TelemetryError`] for a bad filter, or where this was done before.
pub fn init_logs(format: LogFormat) -> Result<(), TelemetryError> {
    use std::io::IsTerminal;
    use tracing_subscriber::util::SubscriberInitExt;

    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var("TOLLGATE_LOG")
        .from_env()?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => log.finish().try_init()?,
        LogFormat::Json => log.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Makes this process record its metrics.
    ///
    /// # Errors
    /// [`TelemetryError::Metrics`] where this was done before.
    pub fn install() -> Result<Self, TelemetryError> {
        let handle = recorder()?.install_recorder()?;
        describe();
        Ok(Self(handle))
    }

    /// Sorts recorded times into their buckets. Until it is called they pile up in memory: call it every few
    /// seconds.
    pub fn run_upkeep(&self) {
        self.0.run_upkeep();
    }

    /// All metrics as Prometheus text.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }
}

/// Counts a request to the public listener.
pub fn count_request(outcome: &'static str) {
    counter!(HTTP_REQUESTS, "outcome" => outcome).increment(1);
}

// What a status passes by keeps its counters in hand: to look one up by its name and labels costs more than to count.
// They belong to the recorder that is installed when they are made.

/// Counts and times the requests to the public listener.
#[derive(Clone)]
pub struct RequestMeter {
    answered: Counter,
    seconds: Histogram,
}

impl Default for RequestMeter {
    fn default() -> Self {
        Self { answered: counter!(HTTP_REQUESTS, "outcome" => "answered"), seconds: histogram!(HTTP_REQUEST_SECONDS) }
    }
}

impl RequestMeter {
    /// One request, what became of it, and how long its answer took.
    pub fn count(&self, outcome: &'static str, took: Duration) {
        match outcome {
            "answered" => self.answered.increment(1),
            other => count_request(other),
        }
        self.seconds.record(took);
    }
}

/// Counts calls of the API.
pub struct CallMeter(Vec<(&'static str, Counter, Counter)>);

impl CallMeter {
    /// For calls with one of these actions, and all others as `other`.
    #[must_use]
    pub fn new(actions: &[&'static str]) -> Self {
        let known = actions.iter().copied().chain(["other"]);
        let of = |action, outcome| counter!(API_CALLS, "action" => action, "outcome" => outcome);
        Self(known.map(|action| (action, of(action, "ok"), of(action, "error"))).collect())
    }

    /// One call, and whether it went well. A caller's invention does not become a label.
    pub fn count(&self, action: &str, ok: bool) {
        let known = self.0.iter().find(|(known, ..)| *known == action).or(self.0.last());
        if let Some((_, went_well, failed)) = known {
            if ok { went_well } else { failed }.increment(1);
        }
    }
}

/// Counts statuses that were looked for in the cache.
pub struct CacheMeter {
    hits: Counter,
    misses: Counter,
    errors: Counter,
}

impl Default for CacheMeter {
    fn default() -> Self {
        let of = |outcome| counter!(STATUS_CACHE, "outcome" => outcome);
        Self { hits: of("hit"), misses: of("miss"), errors: of("error") }
    }
}

impl CacheMeter {
    /// So many were looked for, and so many of them were there.
    pub fn looked(&self, asked: usize, hits: usize) {
        self.hits.increment(count(hits));
        self.misses.increment(count(asked.saturating_sub(hits)));
    }

    /// So many could not be looked for.
    pub fn unanswered(&self, asked: usize) {
        self.errors.increment(count(asked));
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

macro_rules! debug_as_name {
    ($($name:ident),*) => {
        $(impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        })*
    };
}
debug_as_name!(Metrics, RequestMeter, CallMeter, CacheMeter);

fn recorder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
}

fn describe() {
    describe_counter!(HTTP_REQUESTS, "Requests to the public listener");
    describe_histogram!(HTTP_REQUEST_SECONDS, "Seconds from a request's head to its response");
    describe_counter!(API_CALLS, "Calls of the API");
    describe_gauge!(GATEWAYS, "gateways that serve the same store, this one too");
    describe_gauge!(
        GATEWAYS_OTHERWISE,
        "gateways on the same store that serve by another configuration, or other keys of providers"
    );
    describe_gauge!(LIMITS_BY, "What limits over all gateways are held by now");
    describe_gauge!(ORDERS, "Orders in the store");
    describe_counter!(ATTEMPTS, "Attempts to place an order at a provider");
    describe_counter!(REFILLS, "Refills sent to providers");
    describe_counter!(CANCELS, "Cancels that providers were told of");
    describe_counter!(UPSTREAM_CALLS, "Calls to providers");
    describe_histogram!(UPSTREAM_CALL_SECONDS, "Seconds that a provider took to answer");
    describe_counter!(STATUS_CACHE, "Order statuses looked for in the cache");
    describe_counter!(ALERTS, "What an operator was told");
    describe_counter!(CLOCK_STEPS, "Times that the machine's clock was set by over a minute");
    describe_counter!(STORE_COMMITS, "Commits of the store, each of one or many transactions");
    describe_gauge!(STORE_WRITABLE, "Whether the store can write");
    describe_counter!(SYNCS, "Catalogues fetched from providers");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_come_with_help_and_buckets() {
        let recorder = recorder().unwrap().build_recorder();
        let metrics = Metrics(recorder.handle());
        metrics::with_local_recorder(&recorder, || {
            describe();
            RequestMeter::default().count("answered", Duration::from_millis(3));
        });
        metrics.run_upkeep();
        let text = metrics.render();
        for line in [
            "# HELP tollgate_http_requests_total Requests to the public listener",
            "# TYPE tollgate_http_requests_total counter",
            "tollgate_http_requests_total{outcome=\"answered\"} 1",
            "# TYPE tollgate_http_request_seconds histogram",
            "tollgate_http_request_seconds_bucket{le=\"0.0025\"} 0",
            "tollgate_http_request_seconds_bucket{le=\"0.005\"} 1",
            "tollgate_http_request_seconds_count 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
