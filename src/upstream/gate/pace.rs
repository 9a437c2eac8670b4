//! How fast a provider may be called: its limits, and the rate limiter that keeps them.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use tokio::time::Instant;

use crate::limits::ProviderLimits;

/// The slowest rate that is kept exactly: one call in a hundred seconds; `providers.toml` allows no slower one.
const SLOWEST_PERIOD: Duration = Duration::from_secs(100);

/// A provider's limits, as `providers.toml` sets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Over all kinds of calls; at least 0.01.
    pub requests_per_second: Decimal,
    /// How many calls may go at once after a quiet time; at least 1.
    pub burst: u32,
    /// How many calls may be under way at once; at least 1.
    pub max_in_flight: u32,
}

impl Limits {
    /// In the words of what holds over all gateways.
    pub(crate) fn over_all(self) -> ProviderLimits {
        ProviderLimits {
            period: period(self.requests_per_second),
            burst: self.burst.max(1),
            max_in_flight: self.max_in_flight.max(1),
        }
    }
}

/// Tokio's clock for the rate limiter, so that a test can stop it.
#[derive(Debug, Clone)]
pub(super) struct TokioClock {
    pub(super) origin: Instant,
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

pub(super) type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>;

/// How fast calls go out, by one set of limits.
pub(super) struct Pace {
    pub(super) limits: Limits,
    pub(super) limiter: Limiter,
    pub(super) period: Duration,
}

/// How fast they do by this gateway's share.
pub(super) struct SharePace {
    share: ProviderLimits,
    stint: u64,
    pub(super) limiter: Limiter,
}

impl Pace {
    /// The rate limiter starts empty: neither a restart nor a change of the limits gives a second burst.
    pub(super) fn new(limits: Limits, clock: &TokioClock) -> Self {
        let period = period(limits.requests_per_second);
        Self { limits, limiter: empty_limiter(period, limits.burst, clock), period }
    }

    pub(super) fn max_in_flight(&self) -> u32 {
        self.limits.max_in_flight.max(1)
    }
}

impl SharePace {
    /// It starts empty too.
    pub(super) fn new(share: ProviderLimits, stint: u64, clock: &TokioClock) -> Self {
        Self { share, stint, limiter: empty_limiter(share.period, share.burst, clock) }
    }

    /// Whether it is this share's, and goes on.
    pub(super) fn is_of(&self, share: ProviderLimits, stint: u64) -> bool {
        (self.stint, self.share.period, self.share.burst) == (stint, share.period, share.burst)
    }
}

fn empty_limiter(period: Duration, burst: u32, clock: &TokioClock) -> Limiter {
    let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(period).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
    let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
    // Cannot fail: a burst always fits into itself, and the limiter is new.
    let _ = limiter.check_n(burst);
    limiter
}

/// The time between two calls, rounded up to a nanosecond so that the rate is never exceeded.
fn period(requests_per_second: Decimal) -> Duration {
    Decimal::from(1_000_000_000_u64)
        .checked_div(requests_per_second)
        .and_then(|nanos| nanos.ceil().to_u64())
        .map_or(SLOWEST_PERIOD, |nanos| Duration::from_nanos(nanos.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_calls_is_rounded_up() {
        for (rate, nanos) in
            [("10", 100_000_000), ("3", 333_333_334), ("0.01", 100_000_000_000), ("0", 100_000_000_000)]
        {
            assert_eq!(period(rate.parse().unwrap()), Duration::from_nanos(nanos), "{rate}");
        }
    }
}
