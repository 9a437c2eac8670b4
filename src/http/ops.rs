//! The ops listener: is it alive, can it work, and what has it done.

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Ops, Respond, reply};

const METRICS_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// `/healthz`, `/readyz` and `/metrics`.
#[derive(Debug)]
pub struct OpsPages<O> {
    ops: Arc<O>,
    token: Option<[u8; 32]>,
}

impl<O: Ops> OpsPages<O> {
    /// With a token, all but `/healthz` is for those who send `Authorization: Bearer TOKEN`.
    #[must_use]
    pub fn new(ops: Arc<O>, token: Option<&str>) -> Self {
        Self { ops, token: token.map(digest) }
    }

    fn page(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        if path != "/healthz" && !self.admits(headers) {
            let mut response =
                reply::error(StatusCode::UNAUTHORIZED, "Authorization: Bearer with server.ops_token is needed");
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
        if !matches!(path, "/healthz" | "/readyz" | "/metrics") {
            return reply::error(StatusCode::NOT_FOUND, "Not found");
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return reply::wrong_method("GET, HEAD");
        }
        match path {
            "/healthz" => reply::json(StatusCode::OK, r#"{"status":"ok"}"#),
            "/readyz" => self.readiness(),
            _ => {
                let mut response = reply::json(StatusCode::OK, self.ops.metrics());
                response.headers_mut().insert(CONTENT_TYPE, METRICS_TYPE);
                response
            }
        }
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        match self.ops.readiness() {
            Ok(()) => reply::json(StatusCode::OK, json!({ "ready": true, "reasons": [] }).to_string()),
            Err(reasons) => {
                reply::json(StatusCode::SERVICE_UNAVAILABLE, json!({ "ready": false, "reasons": reasons }).to_string())
            }
        }
    }

    /// Digests are compared, so that the time it takes tells nothing of the token.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(wanted) = self.token else { return true };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        given
            .and_then(|value| value.split_once(' '))
            .is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && digest(token.trim()) == wanted)
    }
}

impl<O: Ops> Respond for OpsPages<O> {
    async fn respond(&self, request: Request<Incoming>, _: IpAddr) -> Response<Full<Bytes>> {
        self.page(request.method(), request.uri().path(), request.headers())
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
