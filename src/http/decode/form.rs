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
    while let Some(plain) = rest.iter().position(|byte| matches!(byte, b'+' | b'%')) {
        let (before, escaped) = rest.split_at(plain);
        text.extend_from_slice(before);
        rest = match escaped {
            [b'%', high, low, tail @ ..] if let Some(byte) = code(*high, *low) => {
                text.push(byte);
                tail
            }
            [b'%', tail @ ..] => {
                text.push(b'%');
                tail
            }
            [_, tail @ ..] => {
                text.push(b' ');
                tail
            }
            [] => break,
        };
    }
    text.extend_from_slice(rest);
    utf8(text)
}

fn code(high: u8, low: u8) -> Option<u8> {
    Some(digit(high)? << 4 | digit(low)?)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
