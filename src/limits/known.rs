//! How many gateways there are, and were a moment ago.

use tokio::time::Instant;

use super::council::PLACE_LASTS;
use super::word::Word;

/// A gateway that is missed has most likely let its last call out: its place in the store had to end first. Not so where
/// the store's clock was set forward, which ends all places at once. Such a gateway may go on for as long as a place
/// lasts, and come back by then as if it had never been away; so it is reckoned with until the store was asked after that.
#[derive(Debug, Default)]
pub(super) struct Known {
    gateways: u32,
    rank: u32,
    /// What was known before one was missed, and until when: how many, this one's rank, the words of the others.
    before: Vec<(Instant, u32, u32, Vec<Word>)>,
}

impl Known {
    /// There are so many, by what the store was asked at `asked`; `before` is what the others said until now.
    pub(super) fn learn(&mut self, now: Instant, asked: Instant, gateways: u32, rank: u32, before: Vec<Word>) {
        self.before.retain(|(until, ..)| asked < *until);
        if gateways < self.gateways || rank < self.rank {
            self.before.push((now + PLACE_LASTS, self.gateways, self.rank, before));
        }
        (self.gateways, self.rank) = (gateways, rank);
    }

    /// How many gateways may let calls out, and how many of them came earlier than this one. For each the most that it was:
    /// of gateways whose numbers are all too high, none has more than its share.
    pub(super) fn at_most(&self) -> (u32, u32) {
        self.before.iter().fold((self.gateways, self.rank), |(most, last), (_, gateways, rank, _)| {
            (most.max(*gateways), last.max(*rank))
        })
    }

    /// What gateways said that may be there no more.
    pub(super) fn missed(&self) -> impl Iterator<Item = &Word> {
        self.before.iter().flat_map(|(.., words)| words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_missed_is_reckoned_with_for_a_while() {
        let start = Instant::now();
        let mut known = Known::default();
        known.learn(start, start, 3, 1, vec![]);
        assert_eq!(known.at_most(), (3, 1));
        known.learn(start, start, 2, 0, vec![Word::decode(1), Word::decode(2)]);
        assert_eq!((known.at_most(), known.missed().count()), ((3, 1), 2));
        known.learn(start, start, 4, 0, vec![]);
        assert_eq!(known.at_most(), (4, 1));
        let later = start + PLACE_LASTS;
        known.learn(later, later, 4, 0, vec![]);
        assert_eq!((known.at_most(), known.missed().count()), ((4, 0), 0));
    }
}
