//! Numbers that a seed decides: SplitMix64.

use std::time::Duration;

#[derive(Debug, Clone)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ 0x9E37_79B9_7F4A_7C15)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `n` - 1.
    pub(super) const fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(super) const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        &things[usize::try_from(self.below(things.len() as u64)).unwrap()]
    }

    /// Picks by weight; those of weight 0 never.
    pub(super) fn weighted<T: Copy>(&mut self, things: &[(u64, T)]) -> T {
        let total = things.iter().map(|(weight, _)| weight).sum();
        let mut at = self.below(total);
        for (weight, thing) in things {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *thing,
            }
        }
        unreachable!("the weights add up")
    }

    pub(super) const fn millis(&mut self, below: u64) -> Duration {
        Duration::from_millis(self.below(below))
    }
}
