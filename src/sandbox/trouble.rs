//! Chooses the faults that a call meets.

use std::collections::{HashMap, VecDeque};

use super::action::Action;
use super::fault::Fault;
use super::faults::Faults;
use super::random::Random;

/// The faults in force, and those scripted for the next calls.
pub(super) struct Trouble {
    pub(super) faults: Faults,
    scripted: HashMap<Action, VecDeque<Fault>>,
    random: Random,
}

impl Trouble {
    pub(super) fn new(faults: Faults, seed: u64) -> Self {
        Self { faults, scripted: HashMap::new(), random: Random::new(seed) }
    }

    /// Scripts `fault` for `count` calls of `action`, after what is scripted already.
    pub(super) fn script(&mut self, action: Action, fault: Fault, count: usize) {
        self.scripted.entry(action).or_default().extend(std::iter::repeat_n(fault, count));
    }

    /// The faults of this call: the scripted one alone, or those of the SPEC.
    pub(super) fn meet(&mut self, action: Action) -> Vec<Fault> {
        match self.scripted.get_mut(&action).and_then(VecDeque::pop_front) {
            Some(fault) => vec![fault],
            None => self.faults.meet(action, &mut self.random),
        }
    }
}
