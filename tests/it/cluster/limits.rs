//! Whether a provider was called no more than it allows, by when calls came to it and until when they were under way.

use std::time::Duration;

use tokio::time::Instant;
use tollgate::sandbox::Call;

/// What a provider allows.
#[derive(Debug, Clone, Copy)]
pub struct Allowed {
    /// Calls a second.
    pub rate: u32,
    /// How many at once after a quiet time.
    pub burst: u32,
    /// How many under way at once.
    pub in_flight: u32,
}

/// What calls were let out by ended, and something that began with no burst took its place: no sooner than the one moment,
/// and before the other.
pub type Change = (Instant, Instant);

/// What befell the gateways for a while, as far as limits are concerned.
#[derive(Debug, Clone)]
pub struct Round {
    pub begun: Instant,
    pub changes: Vec<Change>,
    /// When a gateway that had been stopped went on: what it had been let out for comes then, and others have its place.
    pub went_on: Instant,
    pub ended: Instant,
}

/// What came to a provider in a round.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub calls: usize,
    /// How many of them were under way at once, at most.
    pub at_once: u32,
}

impl Round {
    fn told(&self) -> String {
        let after = |at: Instant| at - self.begun;
        let changes: Vec<_> = self.changes.iter().map(|(from, to)| (after(*from), after(*to))).collect();
        format!("Redis was troubled at {changes:?}, the stopped gateway went on at {:?}", after(self.went_on))
    }

    fn of<'c>(&self, calls: &'c [Call]) -> impl Iterator<Item = &'c Call> + use<'c> {
        let (begun, ended) = (self.begun, self.ended);
        calls.iter().filter(move |call| call.at >= begun && call.at < ended)
    }
}

impl Allowed {
    /// Judges what came in a round, by itself.
    pub fn holds(&self, calls: &[Call], round: &Round) -> Result<Seen, String> {
        self.rate_holds(calls, round)?;
        let at_once = self.in_flight_holds(calls, round)?;
        Ok(Seen { calls: round.of(calls).count(), at_once })
    }

    /// In any stretch of time no more calls come than the burst and the rate allow, and those that were on their way when
    /// it began: however slow the way, each of them has its place among the calls under way. A stretch that begins with a
    /// change has no burst.
    fn rate_holds(&self, calls: &[Call], round: &Round) -> Result<(), String> {
        let period = Duration::from_secs(1) / self.rate;
        let mut changes = round.changes.iter().peekable();
        let mut due = round.begun;
        for call in round.of(calls) {
            while let Some((from, _)) = changes.next_if(|(_, to)| *to < call.at) {
                due = due.max(*from + period * self.burst);
            }
            due = due.max(call.at) + period;
            // One more: the clock that counted may be a little faster than this one.
            let ahead = period * (self.burst + self.in_flight + self.let_out_before_a_stop(call.at, round) + 1);
            if due > call.at + ahead {
                let (over, at) = (due - call.at - ahead, call.at - round.begun);
                return Err(format!("{over:?} too early, {at:?} after the beginning, at {self:?}: {}", round.told()));
            }
        }
        Ok(())
    }

    /// At no moment more calls are under way than it allows. One that never got an answer is left out: it is not known when
    /// its caller went away.
    fn in_flight_holds(&self, calls: &[Call], round: &Round) -> Result<u32, String> {
        let mut moments: Vec<(Instant, bool)> = Vec::new();
        for call in round.of(calls) {
            moments.extend(call.answered_at.into_iter().flat_map(|end| [(call.at, true), (end, false)]));
        }
        // Of one moment the ends first.
        moments.sort_unstable();
        let (mut under_way, mut most) = (0_u32, 0);
        for (at, begins) in moments {
            if !begins {
                under_way -= 1;
                continue;
            }
            under_way += 1;
            most = most.max(under_way);
            if under_way > self.in_flight + self.let_out_before_a_stop(at, round) {
                let (at, told) = (at - round.begun, round.told());
                return Err(format!("{under_way} calls under way, {at:?} after the beginning, at {self:?}: {told}"));
            }
        }
        Ok(most)
    }

    /// How many calls may come that a stopped gateway had been let out for.
    fn let_out_before_a_stop(&self, at: Instant, round: &Round) -> u32 {
        if at >= round.went_on { self.in_flight } else { 0 }
    }
}

mod tests {
    use tollgate::sandbox::Action;

    use super::*;

    const ALLOWED: Allowed = Allowed { rate: 10, burst: 8, in_flight: 3 };

    fn millis(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    /// A round of a minute with a change after ten seconds and a stop that ends after fifty.
    fn round() -> Round {
        let begun = Instant::now();
        let at = |second: u64| begun + millis(second * 1000);
        Round { begun, changes: vec![(at(10), at(10))], went_on: at(50), ended: at(60) }
    }

    /// So many calls at one moment of the round, each this long.
    fn calls(round: &Round, times: &[(u64, usize)], lasting: Duration) -> Vec<Call> {
        let call = |at: Instant| Call { at, action: Action::Add, ids: 0, answered_at: Some(at + lasting) };
        times.iter().flat_map(|(at, many)| vec![call(round.begun + millis(*at)); *many]).collect()
    }

    #[test]
    fn what_is_allowed_is_a_burst_and_the_rate_and_what_was_on_its_way() {
        let round = round();
        for (times, holds) in [
            (&[(1000, 12)][..], true),
            (&[(1000, 13)], false),
            (&[(1000, 12), (1900, 9)], true),
            (&[(1000, 12), (1900, 10)], false),
            // What came before the change says nothing of what may come after it: no burst.
            (&[(10_500, 9)], true),
            (&[(10_500, 10)], false),
            (&[(1000, 12), (10_500, 9)], true),
            (&[(1000, 12), (10_500, 10)], false),
            // Once it may be full again, there is a burst.
            (&[(20_000, 12)], true),
            (&[(20_000, 13)], false),
            // What a stopped gateway had been let out for.
            (&[(51_000, 15)], true),
            (&[(51_000, 16)], false),
            (&[(61_000, 100)], true),
        ] {
            assert_eq!(ALLOWED.rate_holds(&calls(&round, times, millis(0)), &round).is_ok(), holds, "{times:?}");
        }
    }

    #[test]
    fn no_more_calls_are_under_way_than_allowed() {
        let round = round();
        for (times, most) in [
            (&[(1000, 3), (1100, 3), (1200, 1)][..], Some(3)),
            (&[(1000, 3), (1099, 1)], None),
            (&[(50_000, 6)], Some(6)),
            (&[(50_000, 7)], None),
        ] {
            let found = ALLOWED.in_flight_holds(&calls(&round, times, millis(100)), &round);
            assert_eq!(found.clone().ok(), most, "{times:?}: {found:?}");
        }
        let unanswered: Vec<Call> =
            calls(&round, &[(1000, 9)], millis(0)).into_iter().map(|call| Call { answered_at: None, ..call }).collect();
        assert_eq!(ALLOWED.in_flight_holds(&unanswered, &round), Ok(0));
    }
}
