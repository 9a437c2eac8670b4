//! Lists of IDs, as calls for many carry them.

use std::collections::HashSet;

use serde_json::Value;

use super::error::{ApiError, MAX_IDS};
use crate::domain::ids::OrderId;

/// The IDs of a comma-separated list as they were written, each once, blanks around them trimmed.
///
/// # Errors
/// [`ApiError::TooManyIds`] over [`MAX_IDS`] of them.
pub(super) fn split_ids(list: &str) -> Result<Vec<&str>, ApiError> {
    let mut ids: Vec<&str> = Vec::new();
    let mut seen = HashSet::with_capacity_and_hasher(MAX_IDS, foldhash::fast::RandomState::default());
    for id in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        if seen.insert(id) {
            ids.push(id);
        }
        if ids.len() > MAX_IDS {
            return Err(ApiError::TooManyIds);
        }
    }
    Ok(ids)
}

/// The same in one pass where it is what nearly every script sends: orders' numbers, written as we write them, each once,
/// no more than may be, with one comma between two of them and nothing else. Nothing for any other list.
pub(super) fn plain_ids(list: &str) -> Option<(Vec<&str>, Vec<OrderId>)> {
    let mut texts = Vec::with_capacity(MAX_IDS);
    let mut ids = Vec::with_capacity(MAX_IDS);
    let mut seen = Seen([0; Seen::PLACES]);
    let (mut start, mut number) = (0, 0_u32);
    for (at, byte) in list.bytes().chain([b',']).enumerate() {
        match byte {
            b'0' if at == start => return None,
            b'0'..=b'9' => number = number.checked_mul(10)?.checked_add(u32::from(byte & 0xf))?,
            b',' => {
                let id = OrderId::new(number.into()).ok()?;
                if ids.len() == MAX_IDS || !seen.is_new(id) {
                    return None;
                }
                texts.push(list.get(start..at)?);
                ids.push(id);
                (start, number) = (at.saturating_add(1), 0);
            }
            _ => return None,
        }
    }
    Some((texts, ids))
}

/// A few IDs, to be asked whether one of them comes twice: to sort them would cost five times as much.
struct Seen([u32; Self::PLACES]);

impl Seen {
    /// So many that most IDs find their place free.
    const PLACES: usize = 512;

    /// Whether this ID was not shown before. There must be fewer of them than places.
    fn is_new(&mut self, id: OrderId) -> bool {
        // The upper bits of the product with 2^32 divided by the golden ratio spread neighbours apart.
        let mut at = (id.get().wrapping_mul(0x9e37_79b9) >> 23) as usize;
        while let Some(place) = self.0.get_mut(at % Self::PLACES) {
            if *place == 0 {
                *place = id.get();
                return true;
            }
            if *place == id.get() {
                return false;
            }
            at = at.saturating_add(1);
        }
        false
    }
}

/// An ID in a list of answers: a number where it was written as one, else the text.
pub(super) fn as_asked(id: &str) -> Value {
    let number = id.bytes().all(|b| b.is_ascii_digit()).then(|| id.parse::<u64>().ok()).flatten();
    number.map_or_else(|| Value::from(id), Value::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(count: usize) -> String {
        (1..=count).map(|id| id.to_string()).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn an_id_comes_back_as_it_was_asked() {
        for (text, wanted) in
            [("7", "7"), ("99999999999", "99999999999"), ("x1", "\"x1\""), ("-1", "\"-1\""), ("+1", "\"+1\"")]
        {
            assert_eq!(as_asked(text).to_string(), wanted);
        }
    }

    #[test]
    fn ids_are_split_trimmed_and_limited() {
        assert_eq!(split_ids(" 1, 2 ,,x,2").unwrap(), ["1", "2", "x"]);
        assert_eq!(split_ids(&list(100)).unwrap().len(), 100);
        assert_eq!(split_ids(&list(101)), Err(ApiError::TooManyIds));
    }

    #[test]
    fn a_plain_list_is_read_in_one_pass() {
        let (texts, ids) = plain_ids("7,2147483647,12").unwrap();
        assert_eq!(texts, ["7", "2147483647", "12"]);
        assert_eq!(ids.iter().map(|id| id.get()).collect::<Vec<_>>(), [7, 2_147_483_647, 12]);
        assert_eq!(plain_ids(&list(100)).unwrap().1.len(), 100);
        for other in ["", "1,,2", "1, 2", "01,2", "0", "1,1", "1,x", "1,-2", "2147483648", "99999999999", &list(101)] {
            assert_eq!(plain_ids(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn both_ways_of_reading_agree(ids in prop::collection::vec(1_u32..300, 1..100)) {
            let list = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            let split = split_ids(&list).unwrap();
            match plain_ids(&list) {
                Some((texts, _)) => prop_assert_eq!(texts, split),
                None => prop_assert!(split.len() < ids.len()),
            }
        }
    }
}
