//! What a task of this process has in hand: others leave it alone meanwhile.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Mutex;

use super::locked;

/// Things that are taken until this is dropped, also by a panic.
pub(super) struct Taken<'a, T: Eq + Hash> {
    set: &'a Mutex<HashSet<T>>,
    things: Vec<T>,
}

impl<'a, T: Copy + Eq + Hash> Taken<'a, T> {
    /// Takes those that nobody has; nothing where somebody has them all.
    pub(super) fn take(set: &'a Mutex<HashSet<T>>, things: impl IntoIterator<Item = T>) -> Option<Self> {
        let mut held = locked(set);
        let things: Vec<T> = things.into_iter().filter(|thing| held.insert(*thing)).collect();
        drop(held);
        (!things.is_empty()).then_some(Self { set, things })
    }
}

impl<T: Eq + Hash> Taken<'_, T> {
    /// Whether this is one of those that were taken.
    pub(super) fn holds(&self, thing: &T) -> bool {
        self.things.contains(thing)
    }
}

impl<T: Eq + Hash> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        let mut held = locked(self.set);
        for thing in &self.things {
            held.remove(thing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_in_one_hand_only_and_stays_there() {
        let orders: Mutex<HashSet<u32>> = Mutex::default();
        let order = 7;
        let first = Taken::take(&orders, [order]).unwrap();
        for _ in 0..2 {
            assert!(Taken::take(&orders, [order]).is_none(), "to ask for it must not take it from the first");
        }
        drop(first);
        assert!(Taken::take(&orders, [order]).is_some());
    }
}
