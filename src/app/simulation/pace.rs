//! A provider's limits, as they show on the wire.

use std::time::Duration;

use super::terms::Limit;

/// A provider's limits, watched from the wire.
#[derive(Debug, Default, Clone)]
pub(super) struct Pace {
    period: Duration,
    burst: u32,
    max_in_flight: u32,
    /// When the bucket is empty again, as in GCRA.
    full_until: Duration,
    in_flight: u32,
    /// When the limits changed last: calls of that moment may have been let in by the ones before.
    changed: Option<Duration>,
    /// From when to when it wants no calls.
    quiet: Option<(Duration, Duration)>,
}

impl Pace {
    pub(super) fn limit(&mut self, now: Duration, limits: &[Limit]) {
        let most = |of: fn(&Limit) -> u32| limits.iter().map(of).max().unwrap();
        let period = Duration::from_secs(1) / most(|limit| limit.0);
        if let Some(calls) = self.full_until.saturating_sub(now).as_nanos().checked_div(self.period.as_nanos()) {
            // What is owed is calls, whatever time the new pace gives one; a part of one is let go.
            let calls = u32::try_from(calls).unwrap();
            self.full_until = self.full_until.min(now + period * calls);
        }
        self.period = period;
        self.burst = most(|limit| limit.1);
        // Who was let in by an earlier limit may still be on the way to the wire.
        self.max_in_flight = self.max_in_flight.max(most(|limit| limit.2));
        self.full_until = self.full_until.min(now + self.period * self.burst);
        self.changed = Some(now);
    }

    pub(super) fn begin(&mut self, now: Duration) -> Result<(), String> {
        self.in_flight += 1;
        if self.in_flight > self.max_in_flight {
            return Err(format!("{} calls at once, {} are allowed", self.in_flight, self.max_in_flight));
        }
        if self.quiet.is_some_and(|(since, until)| since < now && now < until) {
            return Err("a call to one that asked to be left alone".to_owned());
        }
        if self.changed == Some(now) {
            return Ok(());
        }
        self.full_until = self.full_until.max(now) + self.period;
        if self.full_until - now > self.period * self.burst + Duration::from_millis(1) {
            return Err("calls come faster than the limit".to_owned());
        }
        Ok(())
    }

    pub(super) const fn end(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub(super) fn rest(&mut self, now: Duration, seconds: Option<u64>) {
        let until = now + Duration::from_secs(seconds.unwrap_or(10).clamp(1, 300));
        let before = self.quiet.filter(|(_, earlier)| *earlier > now);
        self.quiet = Some(before.map_or((now, until), |(since, earlier)| (since, earlier.max(until))));
    }

    /// Another process knows nothing of the calls of the one before.
    pub(super) const fn forget(&mut self) {
        (self.in_flight, self.max_in_flight, self.quiet) = (0, 0, None);
    }

    pub(super) const fn is_calling(&self) -> bool {
        self.in_flight > 0
    }
}
