//! Where we stand with an upstream: asked to wait, key refused, unreachable, or well. Pure: the present is an
//! argument.

use std::time::Duration;

use tokio::time::Instant;

use super::breaker::Breaker;

/// The shortest and the longest time that an upstream can make us wait by `Retry-After`.
const PAUSE_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// After a refused key: probes this many minutes apart, the last figure for ever. Upstreams ban an address
/// after a few calls with a bad key.
const KEY_PROBE_MINUTES: [u64; 4] = [1, 5, 15, 60];

/// Which calls go first. A smaller one is served before a larger one that has waited longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Placing orders.
    Orders,
    /// Cancels and refills.
    CancelsAndRefills,
    /// Statuses that a client has asked for.
    AskedStatus,
    /// Statuses that nobody waits for.
    BackgroundStatus,
    /// The catalogue and the balance.
    Sync,
}

impl Priority {
    /// Whether a call of this class can be lost without harm, so that it may try an upstream that failed.
    const fn is_harmless(self) -> bool {
        matches!(self, Self::AskedStatus | Self::BackgroundStatus | Self::Sync)
    }
}

/// Why no call may be made now, and when it is worth asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The upstream said "too many requests".
    #[error("the upstream asked to be left alone for a while")]
    Paused {
        /// Until then.
        until: Instant,
    },
    /// The upstream does not accept our key.
    #[error("the upstream does not accept our key; check it, then reload")]
    KeyRejected {
        /// The next probe.
        until: Instant,
    },
    /// Calls fail one after another.
    #[error("the upstream does not answer")]
    Unreachable {
        /// The next probe.
        until: Instant,
    },
    /// The operator wants no calls there.
    #[error("its provider is not called")]
    Off {
        /// A guess.
        until: Instant,
    },
    /// The provider allows too little for each gateway to have a share, and others have it.
    #[error("other gateways make the calls there just now")]
    Elsewhere {
        /// A guess.
        until: Instant,
    },
    /// The provider's rate limit, or its calls in flight, leave no room in the time given.
    #[error("the provider's limits leave no room in time")]
    Deadline {
        /// An estimate.
        until: Instant,
    },
}

/// What a call is, to those who decide whether it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Any call of this class.
    Call(Priority),
    /// The `balance` call that tries a refused key.
    KeyProbe,
}

impl Purpose {
    pub(crate) const fn priority(self) -> Priority {
        match self {
            Self::Call(priority) => priority,
            Self::KeyProbe => Priority::Sync,
        }
    }
}

/// What a finished call showed of the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It answered what was asked.
    Answered,
    /// It answered something else, which at least shows that it is there.
    Reached,
    /// No connection, no answer, or a failure of the server itself.
    Failed(String),
    /// It wants to be left alone: this long, or it did not say.
    TooMany(Duration, String),
    /// It does not accept our key.
    KeyRejected(String),
}

/// One word for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthState {
    /// Calls go out.
    On,
    /// Asked to wait. The operator's own pause is another thing, and has the word `paused`.
    Resting,
    /// Only a probe now and then.
    KeyRejected,
    /// Calls fail one after another.
    Unreachable,
}

impl HealthState {
    /// The word as shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Resting => "resting",
            Self::KeyRejected => "key_rejected",
            Self::Unreachable => "unreachable",
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct KeyTrouble {
    probes: usize,
    next: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    paused_until: Option<Instant>,
    key: Option<KeyTrouble>,
    breaker: Breaker,
    pub(crate) failures: u64,
    pub(crate) last_error: Option<String>,
}

impl Standing {
    /// Whether a call may be made now, as far as the upstream goes.
    pub(crate) fn admits(&self, now: Instant, purpose: Purpose) -> Result<(), Unavailable> {
        match (self.key, purpose) {
            (None, Purpose::KeyProbe) => return Err(Unavailable::Deadline { until: now }),
            (Some(key), Purpose::KeyProbe) if key.next > now => {
                return Err(Unavailable::KeyRejected { until: key.next });
            }
            (Some(key), Purpose::Call(_)) => return Err(Unavailable::KeyRejected { until: key.next.max(now) }),
            _ => {}
        }
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Err(Unavailable::Paused { until });
        }
        let harmless = purpose.priority().is_harmless();
        self.breaker.admits(now, harmless).map_err(|wait| Unavailable::Unreachable { until: now + wait })
    }

    /// An admitted call begins; true where it is the breaker's probe.
    pub(crate) fn begin(&mut self, now: Instant, purpose: Purpose) -> bool {
        if let (Purpose::KeyProbe, Some(key)) = (purpose, &mut self.key) {
            key.probes = key.probes.saturating_add(1);
            key.next = now + key_probe_delay(key.probes);
        }
        self.breaker.begin()
    }

    /// The breaker's probe was given up without a call.
    pub(crate) fn abandon(&mut self) {
        self.breaker.abandon();
    }

    /// A call ended. `probe` as [`Standing::begin`] said.
    pub(crate) fn found(&mut self, now: Instant, purpose: Purpose, probe: bool, finding: Finding) {
        if purpose == Purpose::KeyProbe && finding == Finding::Answered {
            self.key = None;
        }
        match finding {
            Finding::Answered | Finding::Reached => self.breaker.succeeded(),
            Finding::Failed(text) => {
                self.failed_with(text);
                self.breaker.failed(now, probe);
            }
            Finding::TooMany(wait, text) => {
                self.failed_with(text);
                self.breaker.succeeded();
                let until = now + wait.clamp(PAUSE_BOUNDS.0, PAUSE_BOUNDS.1);
                self.paused_until = Some(self.paused_until.map_or(until, |earlier| earlier.max(until)));
            }
            Finding::KeyRejected(text) => {
                self.failed_with(text);
                self.breaker.succeeded();
                // Calls that were under way find the same out again, and must not start the schedule anew.
                self.key.get_or_insert(KeyTrouble { probes: 0, next: now + key_probe_delay(0) });
            }
        }
    }

    /// The key was changed, or is to be believed again.
    pub(crate) fn reset_key(&mut self) {
        self.key = None;
    }

    /// A refused key may be good by now: its next probe is due at once.
    pub(crate) fn try_key_again(&mut self, now: Instant) {
        if let Some(key) = &mut self.key {
            key.next = now;
        }
    }

    /// Whether `balance` should be asked to find out whether calls work again.
    pub(crate) fn probe_due(&self, now: Instant) -> Option<Purpose> {
        let purpose = match (self.key.is_some(), self.breaker.is_open()) {
            (true, _) => Purpose::KeyProbe,
            (false, true) => Purpose::Call(Priority::Sync),
            (false, false) => return None,
        };
        self.admits(now, purpose).is_ok().then_some(purpose)
    }

    pub(crate) fn state(&self, now: Instant) -> HealthState {
        if self.key.is_some() {
            HealthState::KeyRejected
        } else if self.breaker.is_open() {
            HealthState::Unreachable
        } else if self.paused_for(now).is_some() {
            HealthState::Resting
        } else {
            HealthState::On
        }
    }

    pub(crate) fn paused_for(&self, now: Instant) -> Option<Duration> {
        self.paused_until.map(|until| until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    pub(crate) const fn consecutive_failures(&self) -> u32 {
        self.breaker.failures()
    }

    fn failed_with(&mut self, text: String) {
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(text);
    }
}

fn key_probe_delay(probes: usize) -> Duration {
    let last = KEY_PROBE_MINUTES.len() - 1;
    Duration::from_secs(60 * KEY_PROBE_MINUTES.get(probes.min(last)).copied().unwrap_or(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: Purpose = Purpose::Call(Priority::Orders);

    fn rejected() -> Finding {
        Finding::KeyRejected("Invalid API key".into())
    }

    #[test]
    fn a_refused_key_stops_everything_but_a_probe_now_and_then() {
        let start = Instant::now();
        let mut standing = Standing::default();
        standing.found(start, ORDER, false, rejected());
        standing.found(start + Duration::from_secs(30), ORDER, false, rejected());
        let mut now = start;
        for minutes in [1, 5, 15, 60, 60, 60] {
            let due = now + Duration::from_secs(60 * minutes);
            assert_eq!(standing.probe_due(due - Duration::from_millis(1)), None);
            assert_eq!(standing.probe_due(due), Some(Purpose::KeyProbe), "after {minutes} minutes");
            assert!(matches!(standing.admits(due, ORDER), Err(Unavailable::KeyRejected { .. })));
            standing.begin(due, Purpose::KeyProbe);
            assert_eq!(standing.probe_due(due), None, "two at once");
            standing.found(due, Purpose::KeyProbe, false, rejected());
            now = due;
        }
        standing.found(now, ORDER, false, Finding::Answered);
        assert_eq!(standing.state(now), HealthState::KeyRejected, "only a probe clears it");
        standing.found(now, Purpose::KeyProbe, false, Finding::Reached);
        assert_eq!(standing.state(now), HealthState::KeyRejected, "and only by what was asked");
        standing.found(now, Purpose::KeyProbe, false, Finding::Answered);
        assert_eq!((standing.state(now), standing.admits(now, ORDER)), (HealthState::On, Ok(())));
    }

    #[test]
    fn a_new_key_is_believed_at_once() {
        let now = Instant::now();
        let mut standing = Standing::default();
        standing.found(now, ORDER, false, rejected());
        standing.reset_key();
        assert_eq!(standing.admits(now, ORDER), Ok(()));
    }

    #[test]
    fn a_refused_key_can_be_tried_before_its_time() {
        let now = Instant::now();
        let mut standing = Standing::default();
        standing.try_key_again(now);
        assert_eq!(standing.probe_due(now), None, "there is nothing to try");
        standing.found(now, ORDER, false, rejected());
        assert_eq!(standing.probe_due(now), None);
        standing.try_key_again(now);
        assert_eq!(standing.probe_due(now), Some(Purpose::KeyProbe));
        assert!(standing.admits(now, ORDER).is_err(), "but by nothing else");
    }

    #[test]
    fn pauses_have_bounds_and_never_shrink() {
        let now = Instant::now();
        for (asked, given) in [(0, 1), (30, 30), (86_400, 300)] {
            let mut standing = Standing::default();
            standing.found(now, ORDER, false, Finding::TooMany(Duration::from_secs(asked), String::new()));
            let until = now + Duration::from_secs(given);
            assert_eq!(standing.admits(now, ORDER), Err(Unavailable::Paused { until }));
            standing.found(now, ORDER, false, Finding::TooMany(Duration::ZERO, String::new()));
            assert!(standing.admits(until - Duration::from_millis(1), ORDER).is_err());
            assert_eq!((standing.admits(until, ORDER), standing.state(until)), (Ok(()), HealthState::On));
        }
    }

    #[test]
    fn the_balance_is_asked_where_calls_fail() {
        let now = Instant::now();
        let mut standing = Standing::default();
        for _ in 0..5 {
            standing.found(now, ORDER, false, Finding::Failed("refused".into()));
        }
        assert_eq!((standing.state(now), standing.failures), (HealthState::Unreachable, 5));
        let later = now + Duration::from_secs(1);
        assert_eq!(standing.probe_due(later), Some(Purpose::Call(Priority::Sync)));
        assert!(matches!(standing.admits(later, ORDER), Err(Unavailable::Unreachable { .. })));
    }
}
