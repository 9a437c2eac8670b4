//! The part of a provider's limits that is one gateway's while Redis does not count for all.

use std::time::Duration;

/// A provider's limits over all gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderLimits {
    /// Between two calls.
    pub period: Duration,
    /// Calls at once after a quiet time; at least 1.
    pub burst: u32,
    /// Calls under way at once; at least 1.
    pub max_in_flight: u32,
}

impl ProviderLimits {
    /// What one of so many gateways may do, `rank` of which came earlier. All of them together do no more than these
    /// limits; where not each can have a whole call, the later ones get none.
    pub(super) fn share(self, gateways: u32, rank: u32) -> Option<Self> {
        let sharing = gateways.min(self.burst).min(self.max_in_flight).max(1);
        (rank < sharing).then(|| Self {
            period: self.period.saturating_mul(sharing),
            burst: (self.burst / sharing).max(1),
            max_in_flight: (self.max_in_flight / sharing).max(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Also where gateways know of different others, as long as each knows of all those that let calls out.
        #[test]
        fn shares_never_make_up_more_than_the_whole(
            burst in 1_u32..40,
            max_in_flight in 1_u32..40,
            known in prop::collection::vec(prop::collection::vec(any::<bool>(), 12), 1..12),
        ) {
            let limits = ProviderLimits { period: Duration::from_millis(1), burst, max_in_flight };
            let count = known.len();
            let (mut bursts, mut in_flight, mut rate) = (0, 0, Vec::new());
            for (me, extra) in known.iter().enumerate() {
                // The gateways that act are `0..count`; each knows of them and of some that have gone, before and after.
                let gone_before = extra.iter().take(6).filter(|gone| **gone).count();
                let gone_after = extra.iter().skip(6).filter(|gone| **gone).count();
                let (gateways, rank) = (count + gone_before + gone_after, me + gone_before);
                let share = limits.share(u32::try_from(gateways).unwrap(), u32::try_from(rank).unwrap());
                if let Some(share) = share {
                    bursts += share.burst;
                    in_flight += share.max_in_flight;
                    rate.push(share.period.as_millis());
                }
            }
            prop_assert!(bursts <= burst && in_flight <= max_in_flight);
            let slowest_whole: u128 = rate.iter().product::<u128>().max(1);
            prop_assert!(rate.iter().map(|period| slowest_whole / period).sum::<u128>() <= slowest_whole);
        }
    }

    #[test]
    fn the_first_get_what_not_all_can_have() {
        let limits = ProviderLimits { period: Duration::from_millis(100), burst: 20, max_in_flight: 2 };
        let half = ProviderLimits { period: Duration::from_millis(200), burst: 10, max_in_flight: 1 };
        assert_eq!([0, 1, 2].map(|rank| limits.share(3, rank)), [Some(half), Some(half), None]);
        assert_eq!(limits.share(1, 0), Some(limits));
    }
}
