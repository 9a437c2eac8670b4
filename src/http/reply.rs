//! Responses, each with its length and as JSON.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, VARY,
};
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::app::call::Answer;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON document.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, JSON);
    response
}

/// `{"error": "…"}`
pub(super) fn error(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    json(status, json!({ "error": text }).to_string())
}

/// The same as the last word on its connection: what comes after it can't be told from what was refused.
pub(super) fn last_error(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = error(status, text);
    set(&mut response, CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Says which methods there are.
pub(super) fn wrong_method(allowed: &'static str) -> Response<Full<Bytes>> {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, &format!("Method not allowed: use {allowed}"));
    set(&mut response, ALLOW, HeaderValue::from_static(allowed));
    response
}

/// An error as bytes, for where there was no request to answer.
pub(super) fn raw(status: StatusCode, text: &str) -> Vec<u8> {
    let body = json!({ "error": text }).to_string();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An answer, compressed where there is a compressed form and the request takes it.
pub(super) fn answer(answer: Answer, request: &HeaderMap) -> Response<Full<Bytes>> {
    let Some(gzip) = answer.gzip else {
        return json(StatusCode::OK, answer.plain);
    };
    let compressed = takes_gzip(request);
    let mut response = json(StatusCode::OK, if compressed { gzip } else { answer.plain });
    set(&mut response, VARY, HeaderValue::from_static("accept-encoding"));
    if compressed {
        set(&mut response, CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn set(response: &mut Response<Full<Bytes>>, name: HeaderName, value: HeaderValue) {
    response.headers_mut().insert(name, value);
}

/// Whether `Accept-Encoding` allows gzip: by its name, or by `*` where it is not named; not with `q=0`.
fn takes_gzip(request: &HeaderMap) -> bool {
    let mut any = false;
    for value in request.get_all(ACCEPT_ENCODING) {
        for coding in value.to_str().unwrap_or_default().split(',') {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let allowed = !parts.any(refuses);
            if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
                return allowed;
            }
            any |= name == "*" && allowed;
        }
    }
    any
}

/// Whether a parameter is a weight of zero.
fn refuses(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, weight)| {
        let weight = weight.trim();
        name.trim().eq_ignore_ascii_case("q") && weight.starts_with('0') && weight.trim_matches(['0', '.']).is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_only_for_those_who_take_it() {
        for (header, takes) in [
            (None, false),
            (Some(""), false),
            (Some("identity"), false),
            (Some("gzip"), true),
            (Some("GZIP"), true),
            (Some("x-gzip"), true),
            (Some("deflate, gzip;q=0.5, br"), true),
            (Some("gzip;q=0"), false),
            (Some("gzip; q=0.000"), false),
            (Some("gzip;q=0.001"), true),
            (Some("gzip;q=1.0"), true),
            (Some("*"), true),
            (Some("*;q=0"), false),
            (Some("gzip;q=0, *"), false),
            (Some("*, gzip;q=0"), false),
            (Some("br, notgzip"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(ACCEPT_ENCODING, header.parse().unwrap());
            }
            assert_eq!(takes_gzip(&headers), takes, "{header:?}");
        }
    }
}
