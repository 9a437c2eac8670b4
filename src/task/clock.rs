//! What time it is, and whether somebody has moved the machine's clock.
//!
//! Deadlines are kept as times of the day, so a wall clock that is set would make them all due, or none. Times are
//! therefore read against the steady clock: where the two part by over a minute at once, the present goes on as if
//! nothing had happened until the deadlines have been moved as well, and [`Clock::follow`] is called.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::Moment;
use crate::domain::time::{Timestamp, millis_of};

/// The wall clock may be put right by so much at once, in milliseconds, without anybody being told.
const TOLERATED: i64 = 60_000;

/// Two clocks that were read within so many milliseconds were read at once.
const AT_ONCE: i64 = 1000;

/// Where the present comes from: the machine, or a test's hand.
#[derive(Debug, Clone)]
pub struct Clock {
    source: Source,
    /// How far the present is ahead of the steady clock, in milliseconds.
    ahead: Arc<AtomicI64>,
}

#[derive(Debug, Clone)]
enum Source {
    /// With a moment that the steady clock is counted from.
    System(Moment),
    /// The same, with how far another machine's clock is ahead of it.
    Told(Moment, Arc<AtomicI64>),
    /// Milliseconds of the wall clock, and of the steady one.
    Set(Arc<[AtomicI64; 2]>),
}

/// By how much a wall clock was set, in milliseconds; negative where it was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockStep(pub i64);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::of(Source::System(Moment::now()))
    }

    /// Another machine's clock, which showed `at` at this moment of the steady clock. See [`Clock::hear`].
    #[must_use]
    pub fn told(at: Timestamp, when: Moment) -> Self {
        Self::of(Source::Told(when, Arc::new(AtomicI64::new(at.millis()))))
    }

    /// What the other machine's clock showed at this moment, for a clock that goes by it.
    pub fn hear(&self, at: Timestamp, when: Moment) {
        if let Source::Told(since, ahead) = &self.source {
            ahead.store(at.millis().saturating_sub(when.millis_from(*since)), Ordering::SeqCst);
        }
    }

    /// A clock that stands at `at` until it is set.
    #[must_use]
    pub fn set_to(at: Timestamp) -> Self {
        Self::of(Source::Set(Arc::new([AtomicI64::new(at.millis()), AtomicI64::new(0)])))
    }

    fn of(source: Source) -> Self {
        let clock = Self { source, ahead: Arc::default() };
        clock.anchor();
        clock
    }

    /// Lets time pass on a hand-set clock until `at`; the machine's goes its own way.
    pub fn set(&self, at: Timestamp) {
        if let Source::Set(clocks) = &self.source {
            let passed = at.millis().saturating_sub(self.now().millis());
            for clock in clocks.iter() {
                clock.fetch_add(passed, Ordering::SeqCst);
            }
        }
    }

    /// Sets the wall clock of a hand-set clock, with no time passing.
    pub fn step_wall(&self, by: ClockStep) {
        if let Source::Set(clocks) = &self.source {
            clocks[0].fetch_add(by.0, Ordering::SeqCst);
        }
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let (wall, expected) = self.look();
        Timestamp::from_millis(if is_tolerated(wall, expected) { wall } else { expected })
    }

    /// This moment of the steady clock.
    #[must_use]
    pub fn moment(&self) -> Moment {
        match &self.source {
            Source::Set(_) => Moment::of_millis(self.steady()),
            Source::System(_) | Source::Told(..) => Moment::now(),
        }
    }

    /// Whether the wall clock was set since the last look, and by how much. To be asked about once a second; what is
    /// told is told again until [`Clock::follow`].
    #[must_use]
    pub fn stepped(&self) -> Option<ClockStep> {
        let (wall, expected) = self.look();
        if is_tolerated(wall, expected) {
            // Clocks that drift apart slowly are never far apart between two looks.
            self.anchor();
            return None;
        }
        Some(ClockStep(wall.saturating_sub(expected)))
    }

    /// From now on the present is that much later, or earlier.
    pub fn follow(&self, step: ClockStep) {
        self.ahead.fetch_add(step.0, Ordering::SeqCst);
    }

    fn anchor(&self) {
        let (wall, steady) = self.both();
        self.ahead.store(wall.saturating_sub(steady), Ordering::SeqCst);
    }

    /// The wall clock, and what it should show.
    fn look(&self) -> (i64, i64) {
        let (wall, steady) = self.both();
        (wall, steady.saturating_add(self.ahead.load(Ordering::SeqCst)))
    }

    /// Both clocks at one moment: a process may be stopped between two looks, which is no step of either.
    fn both(&self) -> (i64, i64) {
        let mut before = self.steady();
        loop {
            let (wall, after) = (self.wall(), self.steady());
            if after.saturating_sub(before) <= AT_ONCE {
                return (wall, after);
            }
            before = after;
        }
    }

    fn steady(&self) -> i64 {
        match &self.source {
            Source::Set(clocks) => clocks[1].load(Ordering::SeqCst),
            Source::System(since) | Source::Told(since, _) => Moment::now().millis_from(*since),
        }
    }

    fn wall(&self) -> i64 {
        match &self.source {
            Source::Set(clocks) => clocks[0].load(Ordering::SeqCst),
            Source::Told(_, ahead) => self.steady().saturating_add(ahead.load(Ordering::SeqCst)),
            Source::System(_) => {
                #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
                let now = std::time::SystemTime::now();
                let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                millis_of(since)
            }
        }
    }
}

fn is_tolerated(wall: i64, expected: i64) -> bool {
    wall.abs_diff(expected) <= TOLERATED.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn seconds(from: Timestamp, seconds: i64) -> Timestamp {
        Timestamp::from_millis(from.millis() + seconds * 1000)
    }

    #[test]
    fn the_machines_clock_is_the_wall_clock() {
        let clock = Clock::system();
        assert!(clock.now() > NOW.minus(std::time::Duration::from_secs(5 * 365 * 86_400)));
        assert_eq!(clock.stepped(), None);
    }

    #[test]
    fn small_corrections_are_followed_silently() {
        let clock = Clock::set_to(NOW);
        for step in [59, -59, 60, 60, 60] {
            clock.step_wall(ClockStep(step * 1000));
            assert_eq!(clock.stepped(), None);
        }
        assert_eq!(clock.now(), seconds(NOW, 180));
    }

    #[test]
    fn a_step_does_not_move_the_present_until_it_is_followed() {
        for step in [86_400, 61, -61, -86_400] {
            let clock = Clock::set_to(NOW);
            clock.step_wall(ClockStep(step * 1000));
            assert_eq!(clock.now(), NOW);
            clock.set(seconds(NOW, 5));
            assert_eq!(clock.now(), seconds(NOW, 5), "time goes on");
            assert_eq!(clock.stepped(), Some(ClockStep(step * 1000)));
            assert_eq!(clock.stepped(), Some(ClockStep(step * 1000)), "until it is followed");
            clock.follow(ClockStep(step * 1000));
            assert_eq!((clock.now(), clock.stepped()), (seconds(NOW, 5 + step), None));
        }
    }

    #[test]
    fn another_machines_clock_is_followed_by_what_is_told_of_it() {
        let here = Moment::now();
        let clock = Clock::told(NOW, here);
        assert!(clock.now() >= NOW && clock.now() < seconds(NOW, 60), "time goes on");
        clock.hear(seconds(NOW, 40), here);
        assert!(clock.now() >= seconds(NOW, 40));
        assert_eq!(clock.stepped(), None, "a small difference is a correction");
        clock.hear(seconds(NOW, 7200), here);
        assert!(clock.now() < seconds(NOW, 100), "a large one is a step");
        assert!(clock.stepped().is_some_and(|step| step.0 > 7_000_000));
    }

    #[test]
    fn copies_are_one_clock() {
        let clock = Clock::set_to(NOW);
        let copy = clock.clone();
        clock.step_wall(ClockStep(3_600_000));
        copy.follow(copy.stepped().unwrap());
        assert_eq!((clock.stepped(), clock.now()), (None, seconds(NOW, 3600)));
    }
}
