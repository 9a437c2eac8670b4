//! A rendered status as it is held.

use std::ops::Deref;

use smallvec::SmallVec;

/// Fits any status but one of astronomic figures. Held in its entry, so that an answer of a hundred statuses does
/// not wait for memory twice as often.
const USUAL: usize = 112;

/// The JSON object of one status answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Body(SmallVec<[u8; USUAL]>);

impl From<&[u8]> for Body {
    fn from(bytes: &[u8]) -> Self {
        Self(SmallVec::from_slice(bytes))
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

/// The derived one would copy byte by byte.
impl Clone for Body {
    fn clone(&self) -> Self {
        self.0.as_slice().into()
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
