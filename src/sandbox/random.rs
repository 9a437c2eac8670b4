//! Chance that can be repeated: the same seed gives the same faults.

/// SplitMix64: a counter and a mixing function, which is all that choosing faults needs.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// True in `per_million` of a million calls.
    pub(super) fn chance(&mut self, per_million: u32) -> bool {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.0) % 1_000_000 < u64::from(per_million)
    }
}

/// A number that looks unlike its neighbours' but is always the same for `value`.
pub(super) const fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_a_chance_is_about_what_it_says() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..10_000).map(|_| random.chance(100_000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let hits = draw(7).into_iter().filter(|hit| *hit).count();
        assert!((850..1150).contains(&hits), "{hits} of 10000 at one in ten");
        let mut random = Random::new(1);
        assert!((0..100).all(|_| random.chance(1_000_000)) && !(0..100).any(|_| random.chance(0)));
    }
}
