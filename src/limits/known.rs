//! How many gateways there are, and were a moment ago.

use tokio::time::Instant;

use super::council::PLACE_LASTS;
use super::word::Word;

/// A gateway that is missed has most likely ended its last call: its place in the store had to end first. Not so where the
/// store's clock was set forward, which ends all places at once, or where the store lost what it had been told last. So
/// whoever was there is reckoned with for as long as a place lasts.
#[derive(Debug, Default)]
pub(super) struct Known {
    gateways: u32,
    rank: u32,
    /// Until when, what was known before one was missed: how many, this one's rank, the words of the others.
    before: Vec<(Instant, u32, u32, Vec<Word>)>,
}

impl Known {
    /// From now on there are so many; `before` is what the others said until now.
    pub(super) fn learn(&mut self, now: Instant, gateways: u32, rank: u32, before: Vec<Word>) {
        self.before.retain(|(until, ..)| now < *until);
        if gateways < self.gateways || rank < self.rank {
            self.before.push((now + PLACE_LASTS, self.gateways, self.rank, before));
        }
        (self.gateways, self.rank) = (gateways, rank);
    }

    /// How many gateways may let calls out, and how many of them came earlier than this one. For each the most that it was:
    /// of gateways whose numbers are all too high, none has more than its share.
    pub(super) fn at_most(&self, now: Instant) -> (u32, u32) {
        let before = self.before.iter().filter(|(until, ..)| now < *until);
        before.fold((self.gateways, self.rank), |(most, last), (_, gateways, rank, _)| {
            (most.max(*gateways), last.max(*rank))
        })
    }

    /// What gateways said that may be there no more.
    pub(super) fn missed(&self, now: Instant) -> impl Iterator<Item = &Word> {
        self.before.iter().filter(move |(until, ..)| now < *until).flat_map(|(.., words)| words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_missed_is_reckoned_with_for_a_while() {
        let start = Instant::now();
        let mut known = Known::default();
        known.learn(start, 3, 1, vec![]);
        assert_eq!(known.at_most(start), (3, 1));
        known.learn(start, 2, 0, vec![Word::decode(1), Word::decode(2)]);
        assert_eq!((known.at_most(start), known.missed(start).count()), ((3, 1), 2));
        known.learn(start, 4, 0, vec![]);
        assert_eq!(known.at_most(start), (4, 1));
        let later = start + PLACE_LASTS;
        assert_eq!((known.at_most(later), known.missed(later).count()), ((4, 0), 0));
    }
}
