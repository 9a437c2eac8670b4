//! From a body to JSON, however it is wrapped. See `docs/protocol.md`, "Decoding".

use serde_json::{Map, Value};

/// How many places in a body are tried as the start of a JSON value before it is taken for plain text. Each may
/// cost a reading of all that follows, so in a long body there are fewer.
const MAX_ATTEMPTS: usize = 1000;

/// See [`MAX_ATTEMPTS`].
const MAX_ATTEMPTS_IF_LONG: usize = 16;

/// The size in bytes from which a body is long.
const LONG: usize = 1 << 20;

/// What a body turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// Nothing but blanks.
    Empty,
    /// An object or array, and nothing else.
    Json(Value),
    /// An object or array with other text around it.
    Salvaged {
        /// The last one in the body.
        value: Value,
        /// Whether the text around it holds no other JSON and names no order: only then can a refusal in
        /// `value` be taken for the whole answer.
        alone: bool,
    },
    /// An HTML document: nothing in it is taken for an answer of the API.
    Html(String),
    /// Any other text.
    Text(String),
}

/// Reads `body` in the documented order: strict JSON, the last whole value among other text, a form with an
/// `error`, plain text. Never fails; bytes that are not UTF-8 are replaced.
#[must_use]
pub fn decode(body: &[u8]) -> Decoded {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}' || c == '\0');
    if text.is_empty() {
        return Decoded::Empty;
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value) => return whole(value, text),
        Err(_) if is_html(text) => return Decoded::Html(text.to_owned()),
        Err(_) => {}
    }
    salvage(text).or_else(|| error_form(text).map(Decoded::Json)).unwrap_or_else(|| Decoded::Text(text.to_owned()))
}

/// A body that is one JSON value. Some panels encode twice, so a string is looked into once.
fn whole(value: Value, text: &str) -> Decoded {
    match value {
        Value::Object(_) | Value::Array(_) => Decoded::Json(value),
        Value::String(inner) => match serde_json::from_str::<Value>(&inner) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) => Decoded::Json(value),
            _ if inner.trim().is_empty() => Decoded::Empty,
            _ => Decoded::Text(inner.trim().to_owned()),
        },
        _ => Decoded::Text(text.to_owned()),
    }
}

fn is_html(text: &str) -> bool {
    let head: String = text.chars().take(20).collect::<String>().to_ascii_lowercase();
    ["<!doctype", "<html", "<head", "<?xml"].iter().any(|tag| head.starts_with(tag))
}

/// The last whole object or array in `text`. Gives up where a value is cut off: what stands inside a
/// truncated answer is not the answer.
fn salvage(text: &str) -> Option<Decoded> {
    let mut last: Option<(usize, usize, Value)> = None;
    let max_attempts = if text.len() > LONG { MAX_ATTEMPTS_IF_LONG } else { MAX_ATTEMPTS };
    let mut attempts = 0;
    let mut from = 0;
    while let Some(start) = text.get(from..)?.find(['{', '[']).map(|offset| from + offset) {
        attempts += 1;
        if attempts > max_attempts {
            return None;
        }
        let mut values = serde_json::Deserializer::from_str(text.get(start..)?).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                from = start + values.byte_offset();
                if is_answer(&value, text.get(from..)?) {
                    last = Some((start, from, value));
                }
            }
            Some(Err(error)) if error.is_eof() => return None,
            _ => from = start + 1,
        }
    }
    let (start, end, value) = last?;
    let around = [text.get(..start)?, text.get(end..)?];
    let alone = !around.iter().any(|part| names_an_order(part));
    Some(Decoded::Salvaged { value, alone })
}

/// Warnings hold brackets too (`Array[0]`), so a list counts only with objects in it, or empty at the very end.
fn is_answer(value: &Value, rest: &str) -> bool {
    match value {
        Value::Array(items) => items.first().map_or(rest.trim().is_empty(), Value::is_object),
        _ => value.is_object(),
    }
}

fn names_an_order(text: &str) -> bool {
    let packed: String = text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
    packed.contains("{\"") || packed.contains("\"order")
}

/// `error=Invalid+API+key`, as an object.
fn error_form(text: &str) -> Option<Value> {
    if text.contains(['<', '\n']) || !text.contains('=') {
        return None;
    }
    let pairs: Map<String, Value> = form_urlencoded::parse(text.as_bytes())
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    pairs.keys().any(|name| name.eq_ignore_ascii_case("error")).then_some(Value::Object(pairs))
}

/// The value of `name` in `object`: as spelt, else in any case.
#[must_use]
pub(crate) fn field<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    object.get(name).or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// A string or a number as its text, trimmed; `None` for anything else and for empty text.
#[must_use]
pub(crate) fn scalar_text(value: &Value) -> Option<&str> {
    let text = match value {
        Value::String(text) => text.trim(),
        Value::Number(number) => number.as_str(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// `text` on one line and at most `max` characters long.
#[must_use]
pub(crate) fn cut(text: &str, max: usize) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.retain(|c| !c.is_control());
    match line.char_indices().nth(max) {
        Some((end, _)) => line.get(..end).unwrap_or_default().to_owned(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn strict_json_is_taken_as_it_is() {
        for (body, value) in [
            (&b"{\"order\":1}"[..], json!({"order": 1})),
            (b"\xef\xbb\xbf  {\"order\":1}\r\n", json!({"order": 1})),
            (b"\xef\xbb\xbf\xef\xbb\xbf[]", json!([])),
            (b"\"{\\\"order\\\":1}\"", json!({"order": 1})),
            (b"{\"order\":1}\0", json!({"order": 1})),
        ] {
            assert_eq!(decode(body), Decoded::Json(value), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn the_last_whole_value_among_other_text_is_found() {
        let alone = |value| Decoded::Salvaged { value, alone: true };
        for (body, wanted) in [
            (
                "<br />\n<b>Warning</b>:  header() in /a.php on line <b>3</b><br />\n{\"order\":5}",
                alone(json!({"order": 5})),
            ),
            ("Notice: Undefined index [x] in {main}\n{\"error\":\"Bad link\"}", alone(json!({"error": "Bad link"}))),
            ("{\"order\":5}<br />\n<b>Warning</b>: Array[0]", alone(json!({"order": 5}))),
            ("Warning: x\n[]", alone(json!([]))),
            ("Warning\n[{\"service\":1}]", alone(json!([{"service": 1}]))),
            (
                "{\"order\":7}{\"error\":\"Bad link\"}",
                Decoded::Salvaged { value: json!({"error": "Bad link"}), alone: false },
            ),
        ] {
            assert_eq!(decode(body.as_bytes()), wanted, "{body}");
        }
    }

    #[test]
    fn a_truncated_answer_is_no_answer() {
        for body in [
            "{\"data\":{\"error\":\"Bad link\"},\"order\":5",
            "[{\"service\":1},{\"service\":2},{\"serv",
            "{\"1\":{\"status\":\"Completed\"},\"2\":{\"sta",
            "{\"order\":5",
        ] {
            assert_eq!(decode(body.as_bytes()), Decoded::Text(body.to_owned()));
        }
    }

    #[test]
    fn forms_text_html_and_nothing() {
        assert_eq!(decode(b"error=Invalid+API+key"), Decoded::Json(json!({"error": "Invalid API key"})));
        assert_eq!(
            decode(b"status=fail&Error=Bad%20link"),
            Decoded::Json(json!({"status": "fail", "Error": "Bad link"}))
        );
        assert_eq!(decode(b"order=5"), Decoded::Text("order=5".into()));
        assert_eq!(decode(b"Invalid API key"), Decoded::Text("Invalid API key".into()));
        assert_eq!(decode(b"\"Invalid API key\""), Decoded::Text("Invalid API key".into()));
        assert_eq!(decode(b"12345"), Decoded::Text("12345".into()));
        assert_eq!(decode(b" \r\n"), Decoded::Empty);
        assert_eq!(decode(b""), Decoded::Empty);
        let page = "<!DOCTYPE html><script>var list = {\"order\":1}</script>";
        assert_eq!(decode(page.as_bytes()), Decoded::Html(page.into()));
    }

    #[test]
    fn a_hostile_body_is_given_up_in_good_time() {
        for unit in ["[", "{\"a\":", "[1,", "{", "[\"", "[]"] {
            let body = unit.repeat(500_000 / unit.len());
            assert!(!matches!(decode(body.as_bytes()), Decoded::Empty), "{unit}");
        }
    }

    #[test]
    fn texts_are_cut_at_characters() {
        assert_eq!(cut("a\n b\tc", 10), "a b c");
        assert_eq!(cut("ğğğğ", 2), "ğğ");
    }

    proptest! {
        #[test]
        fn no_bytes_upset_the_decoder(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&body);
        }

        #[test]
        fn json_after_a_warning_is_read_as_if_alone(order in 1_u32.., noise in "[a-zA-Z <>/:.()\n]{0,60}") {
            let json = format!("{{\"order\":{order}}}");
            let Decoded::Json(value) = decode(json.as_bytes()) else { panic!("{json}") };
            let body = format!("Warning {noise}{json}");
            prop_assert_eq!(decode(body.as_bytes()), Decoded::Salvaged { value, alone: true });
        }
    }
}
