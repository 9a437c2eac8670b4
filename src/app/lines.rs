//! Orders that wait for a provider behind as many as it takes in good time: they wait as numbers. Only those before them
//! have a task each, which stands in the queue of the provider's gate; so a slow provider's backlog costs next to no memory.
//! An order that is forgotten here is no loss: it is queued in the store, and due again when its claim ends.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Mutex;

use super::locked;
use crate::domain::ids::{OrderId, ProviderId};

/// One line for each provider that ever had one.
#[derive(Default)]
pub(super) struct Lines(Mutex<HashMap<ProviderId, Line>>);

#[derive(Default)]
struct Line {
    /// Orders that stand in the gate's queue.
    standing: usize,
    /// How many may, as whoever was turned away last was told.
    most: usize,
    behind: VecDeque<OrderId>,
    known: HashSet<OrderId>,
}

/// A place among those that stand in a provider's queue, until this is dropped.
pub(super) struct Place<'a> {
    lines: &'a Lines,
    provider: ProviderId,
}

impl Lines {
    /// A place in the provider's queue; none where `most` stand there.
    pub(super) fn stand(&self, provider: &ProviderId, most: usize) -> Option<Place<'_>> {
        let mut lines = locked(&self.0);
        let line = lines.entry(provider.clone()).or_default();
        if line.standing >= most {
            line.most = most;
            return None;
        }
        line.standing = line.standing.saturating_add(1);
        Some(Place { lines: self, provider: provider.clone() })
    }

    /// Puts an order that got no place behind the others.
    pub(super) fn wait(&self, provider: &ProviderId, order: OrderId) {
        let mut lines = locked(&self.0);
        let line = lines.entry(provider.clone()).or_default();
        if line.known.insert(order) {
            line.behind.push_back(order);
        }
    }

    /// Those for whom there is room by now, longest waiting first.
    pub(super) fn next(&self) -> Vec<OrderId> {
        let mut lines = locked(&self.0);
        let mut next = Vec::new();
        for line in lines.values_mut() {
            let room = line.most.saturating_sub(line.standing).min(line.behind.len());
            for order in line.behind.drain(..room) {
                line.known.remove(&order);
                next.push(order);
            }
            if line.behind.is_empty() {
                (line.behind, line.known) = Default::default();
            }
        }
        next
    }

    /// Whether half of those that may stand in the provider's queue are gone, and others wait for that.
    pub(super) fn are_short(&self, provider: &ProviderId) -> bool {
        let lines = locked(&self.0);
        lines.get(provider).is_some_and(|line| !line.behind.is_empty() && line.standing <= line.most / 2)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(line) = locked(&self.lines.0).get_mut(&self.provider) {
            line.standing = line.standing.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(id: i64) -> OrderId {
        OrderId::new(id).unwrap()
    }

    #[test]
    fn who_finds_no_place_waits_until_one_is_free() {
        let (lines, alpha, beta) = (Lines::default(), ProviderId::new("alpha"), ProviderId::new("beta"));
        let first = lines.stand(&alpha, 2).unwrap();
        let second = lines.stand(&alpha, 2).unwrap();
        assert!(lines.stand(&alpha, 2).is_none() && lines.stand(&beta, 2).is_some());
        for id in [3, 4, 3, 5] {
            lines.wait(&alpha, order(id));
        }
        assert!(!lines.are_short(&alpha) && lines.next().is_empty());
        drop(first);
        assert!(lines.are_short(&alpha));
        assert_eq!(lines.next(), [order(3)], "each waits once, and in its turn");
        drop(second);
        assert_eq!(lines.next(), [order(4), order(5)]);
        lines.wait(&alpha, order(3));
        assert_eq!(lines.next(), [order(3)], "who is let in may come again");
    }
}
