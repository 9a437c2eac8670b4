//! Any request body, of any type, with any query string: no panic, within the limits, and what was read means the
//! same in each of the four encodings.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tollgate::app::call::Params;
use tollgate::http::decode;

/// As many as the decoder takes.
const MAX_PARAMETERS: usize = 1000;
const BOUNDARY: &str = "----tollgate-fuzz-boundary";
const TYPES: [&str; 8] = [
    "application/x-www-form-urlencoded",
    "application/json",
    "multipart/form-data; boundary=B",
    "multipart/form-data; boundary=\"a b\"; charset=utf-8",
    "multipart/form-data",
    "application/vnd.api+json; charset=utf-8",
    "text/plain",
    "multipart/form-data; boundary=",
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    // The query string ends at the first NUL; without one there is none.
    let (query, body) = match rest.iter().position(|byte| *byte == 0) {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (&[][..], rest),
    };
    let query = String::from_utf8_lossy(query);
    let content_type = TYPES.get(usize::from(*choice));
    let body = Bytes::copy_from_slice(body);
    match decode(&query, content_type.copied(), &body) {
        Ok(params) => {
            check_limits(&params, query.len() + body.len());
            check_encodings(&params);
        }
        // The words are for the client: they quote nothing of what it sent.
        Err(error) => assert!(error.to_string().starts_with("Incorrect request") && error.to_string().len() < 100),
    }
});

fn check_limits(params: &Params, length: usize) {
    let names: Vec<&str> = params.iter().map(|(name, _)| name).collect();
    assert!(names.len() <= MAX_PARAMETERS);
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names.len(), "a name twice: {names:?}");
    // Lists gain a separator for each item; an alias is at most as long again.
    let total: usize = params.iter().map(|(name, text)| name.len() + text.len()).sum();
    assert!(total <= 2 * length + 16, "{total} bytes out of {length}");
}

/// A request in each encoding that says what `params` say is read as just that.
fn check_encodings(params: &Params) {
    let empty = Bytes::new();
    let encoded = form(params);
    assert_same(params, decode(&encoded, None, &empty), "in the query string");
    assert_same(params, decode("", None, &encoded.clone().into()), "as a form");
    assert_same(params, decode("", Some(TYPES[1]), &json(params).into()), "as JSON");
    assert_same(params, decode(&encoded, Some(TYPES[1]), &json(params).into()), "in both");
    if let Some(parts) = multipart(params) {
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        assert_same(params, decode("", Some(&content_type), &parts.into()), "as multipart");
    }
    // The body wins over the query string.
    if let Some((name, _)) = params.iter().next() {
        let other = format!("{}=from-the-query", escaped(name));
        assert_same(params, decode(&other, None, &encoded.into()), "against the query string");
    }
}

fn assert_same(params: &Params, read: Result<Params, tollgate::http::DecodeError>, how: &str) {
    let sorted = |params: &Params| {
        let mut all: Vec<_> = params.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        all.sort();
        all
    };
    let read = read.unwrap_or_else(|error| panic!("{how}: {error}: {params:?}"));
    assert_eq!(sorted(&read), sorted(params), "{how}");
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// An empty name with an empty text is written with its `=`, or it would be no pair at all.
fn form(params: &Params) -> String {
    params.iter().map(|(name, text)| format!("{}={}", escaped(name), escaped(text))).collect::<Vec<_>>().join("&")
}

fn json(params: &Params) -> String {
    let members = params.iter().map(|(name, text)| (name.to_owned(), text.into()));
    serde_json::Value::Object(members.collect()).to_string()
}

/// Nothing where a name can't be written into a part's head, or a text holds the boundary.
fn multipart(params: &Params) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    for (name, text) in params.iter() {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
        if name.is_empty() || !plain || text.contains(BOUNDARY) {
            return None;
        }
        body.extend(format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").bytes());
        body.extend(text.bytes());
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    Some(body)
}
