//! `application/x-www-form-urlencoded`, in a body or in a query string.

use super::{DecodeError, Fields, utf8};

/// Reads `name=text&name=text`. A name with no `=` has an empty text; a `%` that begins no code stays one.
pub(super) fn read(bytes: &[u8], fields: &mut Fields) -> Result<(), DecodeError> {
    for pair in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = unescape(halves.next().unwrap_or_default())?;
        let text = unescape(halves.next().unwrap_or_default())?;
        fields.add(name, text)?;
    }
    Ok(())
}

/// Own code and not `form_urlencoded`, which hides bytes that are no UTF-8 behind U+FFFD: a link would be
/// ordered that nobody wrote.
fn unescape(bytes: &[u8]) -> Result<String, DecodeError> {
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'+', _) => text.push(b' '),
            (b'%', [high, low, tail @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    text.push(high << 4 | low);
                    rest = tail;
                }
                _ => text.push(b'%'),
            },
            (other, _) => text.push(*other),
        }
    }
    utf8(text)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
