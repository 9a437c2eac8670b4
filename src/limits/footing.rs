//! What a gateway stands on: by what it lets calls out, and which part of the limits is its own.

use tokio::time::Instant;

/// By what calls are let out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    Nothing,
    Share {
        /// Whether no gateway has more calls under way than its share.
        settled: bool,
        /// When all others began to learn of it.
        since: Instant,
    },
    Redis {
        era: u64,
    },
}

impl Basis {
    /// Every [`Basis::name`].
    pub(super) const NAMES: [&str; 3] = ["redis", "share", "nothing"];

    /// In one word.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Redis { .. } => "redis",
            Self::Share { .. } => "share",
            Self::Nothing => "nothing",
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footing {
    pub(super) basis: Basis,
    /// How many gateways may let calls out; at least 1.
    pub(super) gateways: u32,
    /// How many of them came earlier.
    pub(super) rank: u32,
    /// Since when this gateway goes by this basis, and by this share of it.
    pub(super) begun: Instant,
    /// Another number for each time on one basis.
    pub(super) stint: u64,
    /// Since when this gateway has its place in the store without a break.
    pub(super) here_since: Option<Instant>,
    /// The basis is nothing from then on.
    pub(super) until: Instant,
}

impl Footing {
    /// Whether what was counted by the one is counted on by the other.
    pub(super) fn goes_on_as(&self, next: &Self) -> bool {
        let same_stint = self.stint == next.stint;
        match (self.basis, next.basis) {
            (Basis::Redis { .. }, Basis::Redis { .. }) | (Basis::Nothing, Basis::Nothing) => same_stint,
            (Basis::Share { .. }, Basis::Share { .. }) => {
                same_stint && (self.gateways, self.rank) == (next.gateways, next.rank)
            }
            _ => false,
        }
    }
}
