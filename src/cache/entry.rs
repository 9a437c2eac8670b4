//! An entry as bytes in Redis.
//!
//! One byte that says so, then version, owner and time of the last poll, eight bytes each, then the body. The
//! version is big-endian and comes first, so that scripts in Redis compare versions as text.

use bytes::BufMut;

use super::{Body, Cached};
use crate::domain::ids::ClientId;
use crate::domain::time::Timestamp;

/// Begins an entry of this form; another form would begin with another.
const FORM: u8 = b'1';
/// Stands for an order that was never polled.
const NEVER: i64 = i64::MIN;

pub(super) fn encode(cached: &Cached) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(cached.body.len().saturating_add(25));
    bytes.put_u8(FORM);
    bytes.put_u64(cached.version);
    bytes.put_i64(cached.owner.0);
    bytes.put_i64(cached.polled_at.map_or(NEVER, Timestamp::millis));
    bytes.extend_from_slice(&cached.body);
    bytes
}

/// Holds the place of an entry of that version, and is none.
pub(super) fn version_only(version: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(9);
    bytes.put_u8(FORM);
    bytes.put_u64(version);
    bytes
}

/// Nothing for an entry that this program did not write.
pub(super) fn decode(bytes: &[u8]) -> Option<Cached> {
    let (form, rest) = bytes.split_first()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (owner, rest) = rest.split_first_chunk()?;
    let (polled_at, body) = rest.split_first_chunk()?;
    let polled_at = i64::from_be_bytes(*polled_at);
    if *form != FORM {
        return None;
    }
    Some(Cached {
        version: u64::from_be_bytes(*version),
        owner: ClientId(i64::from_be_bytes(*owner)),
        polled_at: (polled_at != NEVER).then(|| Timestamp::from_millis(polled_at)),
        body: Body::from(body),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(owner: i64, version: u64, polled in prop::option::of(0..i64::MAX), body: Vec<u8>) {
            let cached = Cached {
                owner: ClientId(owner),
                version,
                polled_at: polled.map(Timestamp::from_millis),
                body: Body::from(&body[..]),
            };
            prop_assert_eq!(decode(&encode(&cached)), Some(cached));
        }

        #[test]
        fn anything_else_is_nothing(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let read = decode(&bytes);
            prop_assert_eq!(read.is_some(), bytes.len() >= 25 && bytes.first() == Some(&b'1'));
        }

        #[test]
        fn a_version_alone_begins_as_its_entry_does_and_is_none(version: u64) {
            let cached = Cached { owner: ClientId(1), version, polled_at: None, body: Body::from("{}") };
            prop_assert!(encode(&cached).starts_with(&version_only(version)));
            prop_assert_eq!(decode(&version_only(version)), None);
        }

        #[test]
        fn versions_sort_as_text(one: u64, other: u64) {
            prop_assert_eq!(one.cmp(&other), one.to_be_bytes().cmp(&other.to_be_bytes()));
        }
    }
}
