//! Whether calls to an upstream are worth making at all: a circuit breaker as a plain state machine.

use std::time::Duration;

use tokio::time::Instant;

/// This many failures in a row open it.
const FAILURES: u32 = 5;

/// The first pause; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Probes are at most this far apart.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Opens after failures in a row; then lets one call through at a time until one succeeds.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    until: Instant,
    pause: Duration,
    probing: bool,
}

impl Breaker {
    /// Failures since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether it is open, a probe under way or not.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether a call may go now; `harmless` where losing its answer costs nothing. An `add` is let through
    /// only when no harmless call has come for another 30 seconds, since one that vanishes leaves an order in doubt.
    ///
    /// # Errors
    /// How long it is until the next call may try.
    pub fn admits(&self, now: Instant, harmless: bool) -> Result<(), Duration> {
        let Some(open) = self.open else { return Ok(()) };
        let opens_at = if harmless { open.until } else { open.until + MAX_PAUSE };
        if open.probing {
            return Err(open.pause);
        }
        match opens_at.saturating_duration_since(now) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// A call that [`Breaker::admits`] let through begins. True where it is the probe of an open breaker.
    pub fn begin(&mut self) -> bool {
        match &mut self.open {
            Some(open) => {
                open.probing = true;
                true
            }
            None => false,
        }
    }

    /// The probe ended without a word about the upstream: another may go at once.
    pub fn abandon(&mut self) {
        if let Some(open) = &mut self.open {
            open.probing = false;
        }
    }

    /// A call was answered.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A call failed: no connection, no answer, or a failure of the server itself. `probe` where it was the
    /// one that [`Breaker::begin`] said so of; calls from before it opened change nothing then.
    pub fn failed(&mut self, now: Instant, probe: bool) {
        self.failures = self.failures.saturating_add(1);
        match &mut self.open {
            Some(open) if probe => {
                let pause = open.pause.saturating_mul(2).min(MAX_PAUSE);
                *open = Open { until: now + pause, pause, probing: false };
            }
            Some(_) => {}
            None if self.failures >= FAILURES => {
                self.open = Some(Open { until: now + FIRST_PAUSE, pause: FIRST_PAUSE, probing: false });
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert!(!breaker.is_open());
            breaker.failed(now, false);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..20 {
            for _ in 1..FAILURES {
                breaker.failed(now, false);
            }
            breaker.succeeded();
        }
        assert_eq!(breaker.admits(now, false), Ok(()));
        assert_eq!(opened(now).admits(now, true), Err(FIRST_PAUSE));
    }

    #[test]
    fn one_probe_at_a_time_ever_further_apart_up_to_thirty_seconds() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for pause in [1, 2, 4, 8, 16, 30, 30, 30] {
            assert!(breaker.admits(now + seconds(pause) - Duration::from_millis(1), true).is_err());
            now += seconds(pause);
            assert_eq!(breaker.admits(now, true), Ok(()), "after {pause} s");
            assert!(breaker.begin());
            assert!(breaker.admits(now, true).is_err(), "a second probe");
            breaker.failed(now, true);
        }
    }

    #[test]
    fn a_success_closes_it_and_an_abandoned_probe_makes_room() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + seconds(1);
        assert!(breaker.begin());
        breaker.abandon();
        assert_eq!(breaker.admits(later, true), Ok(()));
        breaker.begin();
        breaker.succeeded();
        assert!(!breaker.is_open());
        assert_eq!((breaker.admits(later, false), breaker.failures()), (Ok(()), 0));
    }

    #[test]
    fn an_add_is_the_probe_only_where_nothing_harmless_comes() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.admits(now + seconds(2), false), Err(seconds(29)));
        assert_eq!(breaker.admits(now + seconds(31), false), Ok(()));
    }

    #[test]
    fn late_failures_of_earlier_calls_do_not_put_the_probe_off() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.failed(now + seconds(1), false);
        assert_eq!(breaker.admits(now + seconds(1), true), Ok(()));
    }
}
