//! Identifiers, each its own type so that none is taken for another.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The largest ID that is ever shown to a client: reseller scripts keep IDs in signed 32-bit columns.
pub const MAX_PUBLIC_ID: u32 = 2_147_483_647;

/// Text that is no ID of ours: not a whole number from 1 to 2^31 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a whole number from 1 to {MAX_PUBLIC_ID}")]
pub struct BadId;

macro_rules! public_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);

        impl $name {
            /// From a number.
            ///
            /// # Errors
            /// [`BadId`] outside 1 to 2^31 - 1.
            pub fn new(id: i64) -> Result<Self, BadId> {
                u32::try_from(id).ok().filter(|id| (1..=MAX_PUBLIC_ID).contains(id)).map(Self).ok_or(BadId)
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> u32 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        /// Digits only, blanks around them trimmed.
        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let text = text.trim();
                if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(BadId);
                }
                text.parse().map_err(|_| BadId).and_then(Self::new)
            }
        }
    };
}

public_id! {
    /// An order of ours, as its client knows it.
    OrderId
}
public_id! {
    /// A refill of ours, as its client knows it.
    RefillId
}
public_id! {
    /// A service of ours, as clients order it.
    ServiceId
}

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

row_id! {
    /// A client's row in the store.
    ClientId
}

/// Which try at placing its order an attempt is: 1, 2, 3 … With the order's ID it names the attempt for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptNumber(pub u32);

impl AttemptNumber {
    /// The next try.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for AttemptNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// From its text.
            #[must_use]
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

text_id! {
    /// A provider's `id` in `providers.toml`.
    ProviderId
}
text_id! {
    /// A service's ID at an upstream. Numbers almost everywhere, but theirs to choose.
    UpstreamServiceId
}
text_id! {
    /// An order's ID at an upstream: text, since some panels use letters.
    UpstreamOrderId
}
text_id! {
    /// A refill's ID at an upstream: text, since some panels use the order's own ID.
    UpstreamRefillId
}

/// Where an order can be placed: one service at one provider. Written `alpha:101` in `providers.toml`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// Whose service.
    pub provider: ProviderId,
    /// Its ID there.
    pub service: UpstreamServiceId,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider, self.service)
    }
}

/// Random bytes that an order carries from before it is stored, so that a commit whose acknowledgement was
/// lost can be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrderToken(pub [u8; 16]);

/// SHA-256 of an API key: what is stored and looked up in place of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_whole_numbers_within_31_bits() {
        assert_eq!(" 42 ".parse::<OrderId>().unwrap().get(), 42);
        assert_eq!("2147483647".parse::<OrderId>().unwrap().get(), MAX_PUBLIC_ID);
        for text in ["", "0", "-1", "1.0", "1e3", "2147483648", "9223372036854775808", "١", "+1", "1 2"] {
            assert_eq!(text.parse::<OrderId>(), Err(BadId), "{text:?}");
        }
    }
}
