//! The word that a gateway leaves beside its place in the store, for the others to read.

/// What a gateway goes by, as it tells the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// It has just come, and lets no call out.
    New,
    /// It goes by its share, or is about to.
    Share {
        /// Whether Redis does what it is asked to, seen from there.
        sees_redis: bool,
    },
    /// It goes by Redis, in this era, as soon as all do.
    Redis {
        /// Below 2^40.
        era: u64,
    },
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) says: Says,
    /// Whether it has more calls under way at some provider than its share.
    pub(super) over: bool,
    /// How many gateways it knew of.
    pub(super) gateways: u32,
}

/// Eras are below this.
pub(super) const ERAS: u64 = 1 << 40;

/// The most gateways that a word can tell of.
const MAX_GATEWAYS: u32 = (1 << 16) - 1;

impl Word {
    pub(super) fn encode(self) -> i64 {
        let (kind, era) = match self.says {
            Says::New => (0, 0),
            Says::Share { sees_redis: false } => (1, 0),
            Says::Share { sees_redis: true } => (2, 0),
            Says::Redis { era } => (3, era % ERAS),
        };
        let bits = kind | u64::from(self.over) << 2 | u64::from(self.gateways.min(MAX_GATEWAYS)) << 3 | era << 19;
        i64::try_from(bits).unwrap_or_default()
    }

    pub(super) fn decode(word: i64) -> Self {
        let bits = word.cast_unsigned();
        let says = match bits & 3 {
            0 => Says::New,
            1 => Says::Share { sees_redis: false },
            2 => Says::Share { sees_redis: true },
            _ => Says::Redis { era: (bits >> 19) % ERAS },
        };
        let gateways = u32::try_from(bits >> 3 & u64::from(MAX_GATEWAYS)).unwrap_or(MAX_GATEWAYS);
        Self { says, over: bits & 4 != 0, gateways }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_as_it_was_written() {
        for says in [
            Says::New,
            Says::Share { sees_redis: false },
            Says::Share { sees_redis: true },
            Says::Redis { era: 0 },
            Says::Redis { era: ERAS - 1 },
        ] {
            for (over, gateways) in [(false, 0), (true, 1), (false, 300), (true, MAX_GATEWAYS)] {
                let word = Word { says, over, gateways };
                assert_eq!(Word::decode(word.encode()), word);
            }
        }
    }
}
