//! Orders that wait for a provider behind as many as it takes in good time: they wait as numbers. Only those before them
//! have a task each, which stands in the queue of the provider's gate; so a slow provider's backlog costs next to no memory.
//! An order that is forgotten here is no loss: it is queued in the store, and due again when its claim ends.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::locked;
use crate::domain::ids::{OrderId, ProviderId};

/// One line for each provider that ever had one.
pub(super) struct Lines {
    by_provider: Mutex<BTreeMap<ProviderId, Line>>,
    /// Told when half of those that may stand in a provider's queue are gone, and others wait for that.
    short: Arc<Notify>,
}

/// Who asks for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comer {
    /// Behind those that wait in the line.
    New,
    /// One that was let in from it.
    OfLine,
}

#[derive(Default)]
struct Line {
    /// Orders that stand in the gate's queue.
    standing: usize,
    /// How many may, as the most patient of those that were turned away was told.
    most: usize,
    behind: VecDeque<OrderId>,
    known: HashSet<OrderId>,
}

/// A place among those that stand in a provider's queue, until this is dropped.
pub(super) struct Place<'a> {
    lines: &'a Lines,
    provider: ProviderId,
}

impl Line {
    fn is_short(&self) -> bool {
        !self.behind.is_empty() && self.standing <= self.most / 2
    }
}

impl Lines {
    /// `short` is told when [`Lines::next`] should be asked.
    pub(super) fn new(short: Arc<Notify>) -> Self {
        Self { by_provider: Mutex::default(), short }
    }

    /// A place in the provider's queue; none where `most` stand there, or where others wait for it already.
    pub(super) fn stand(&self, provider: &ProviderId, most: usize, comer: Comer) -> Option<Place<'_>> {
        let mut lines = locked(&self.by_provider);
        let line = lines.entry(provider.clone()).or_default();
        if line.standing >= most || comer == Comer::New && !line.behind.is_empty() {
            line.most = line.most.max(most);
            return None;
        }
        line.standing = line.standing.saturating_add(1);
        Some(Place { lines: self, provider: provider.clone() })
    }

    /// Puts an order that got no place behind the others.
    pub(super) fn wait(&self, provider: &ProviderId, order: OrderId) {
        let mut lines = locked(&self.by_provider);
        let line = lines.entry(provider.clone()).or_default();
        if line.known.insert(order) {
            line.behind.push_back(order);
        }
    }

    /// Those for whom there is room by now, longest waiting first.
    pub(super) fn next(&self) -> Vec<OrderId> {
        let mut lines = locked(&self.by_provider);
        let mut next = Vec::new();
        for line in lines.values_mut() {
            let room = line.most.saturating_sub(line.standing).min(line.behind.len());
            for order in line.behind.drain(..room) {
                line.known.remove(&order);
                next.push(order);
            }
            if line.behind.is_empty() {
                (line.behind, line.known, line.most) = Default::default();
            }
        }
        next
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(line) = locked(&self.lines.by_provider).get_mut(&self.provider) {
            line.standing = line.standing.saturating_sub(1);
            if line.is_short() {
                self.lines.short.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn order(id: i64) -> OrderId {
        OrderId::new(id).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_place_waits_until_one_is_free() {
        let short = Arc::<Notify>::default();
        let (lines, alpha, beta) = (Lines::new(Arc::clone(&short)), ProviderId::new("alpha"), ProviderId::new("beta"));
        let are_short = async || timeout(Duration::ZERO, short.notified()).await.is_ok();
        let first = lines.stand(&alpha, 2, Comer::New).unwrap();
        let second = lines.stand(&alpha, 2, Comer::New).unwrap();
        let stands = |provider, comer| lines.stand(provider, 2, comer).is_some();
        assert!(!stands(&alpha, Comer::New) && !stands(&alpha, Comer::OfLine) && stands(&beta, Comer::New));
        for id in [3, 4, 3, 5] {
            lines.wait(&alpha, order(id));
        }
        assert!(!are_short().await && lines.next().is_empty());
        drop(first);
        assert!(are_short().await);
        assert!(!stands(&alpha, Comer::New), "nobody overtakes those that wait");
        assert_eq!(lines.next(), [order(3)], "each waits once, and in its turn");
        assert!(stands(&alpha, Comer::OfLine));
        drop(second);
        assert_eq!(lines.next(), [order(4), order(5)]);
        assert!(stands(&alpha, Comer::New), "nobody waits any more");
        let held = [(); 2].map(|()| lines.stand(&alpha, 2, Comer::New).unwrap());
        assert!(!stands(&alpha, Comer::New));
        lines.wait(&alpha, order(3));
        drop(held);
        assert_eq!(lines.next(), [order(3)], "who was let in may come again");
    }
}
