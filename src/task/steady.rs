//! A clock that nobody sets.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::domain::time::millis_of;

/// A moment of the machine's steady clock that goes on while the machine is suspended. `Instant` stands still then: a
/// virtual machine that was suspended for an hour would take what it was told before for fresh, and the hour that has
/// passed for a clock that somebody set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// This moment of the machine's clock.
    #[must_use]
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
        Self(Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default()))
    }

    /// Of a clock that is set by hand, so many milliseconds after its beginning.
    pub(super) fn of_millis(millis: i64) -> Self {
        Self(Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
    }

    /// So much later.
    #[must_use]
    pub const fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }

    /// How long after `earlier` it is; nothing where it is before that.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Milliseconds from `other` to this one; negative where it is before that.
    pub(super) fn millis_from(self, other: Self) -> i64 {
        millis_of(self.since(other)).saturating_sub(millis_of(other.since(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_and_is_counted_both_ways() {
        let before = Moment::now();
        let after = before.plus(Duration::from_millis(1500));
        assert!(Moment::now() >= before);
        assert_eq!((after.since(before), before.since(after)), (Duration::from_millis(1500), Duration::ZERO));
        assert_eq!((after.millis_from(before), before.millis_from(after)), (1500, -1500));
    }
}
