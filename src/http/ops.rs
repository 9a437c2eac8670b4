//! The ops listener: is it alive, can it work, what has it done; and the operators' own pages and calls.

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::token::OpsToken;
use super::{Ops, Respond, accounts, console, reply};

const METRICS_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// `/healthz`, `/readyz`, `/metrics`, `/console` and `/accounts`.
#[derive(Debug)]
pub struct OpsPages<O> {
    ops: Arc<O>,
    token: OpsToken,
}

impl<O: Ops> OpsPages<O> {
    /// With a token, all but `/healthz` is for those who send `Authorization: Bearer TOKEN`.
    #[must_use]
    pub fn new(ops: Arc<O>, token: Option<&str>) -> Self {
        Self { ops, token: OpsToken::new(token) }
    }

    fn page(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        if path != "/healthz" && !self.token.admits_program(headers) {
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
}

impl<O: Ops> Respond for OpsPages<O> {
    async fn respond(&self, request: Request<Incoming>, _: IpAddr) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        match path.split('/').nth(1) {
            Some("accounts") => accounts::respond(&*self.ops, &self.token, request).await,
            Some("console") => console::respond(&*self.ops, &self.token, &request).await,
            _ => self.page(request.method(), path, request.headers()),
        }
    }
}
