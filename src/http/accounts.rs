//! Accounts over HTTP, for a billing site: paths under `/accounts` on the ops listener, JSON in and out, and only
//! with the operators' token.

use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};

use super::token::OpsToken;
use super::{Ops, reply};
use crate::app::accounts::{AccountCall, AccountError, Reason, SimpleCall};

/// The largest body: an account's terms are far below it.
const MAX_BODY: usize = 64 << 10;
/// For a body to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// Ledger entries where no `limit` is given.
const DEFAULT_LIMIT: usize = 100;

/// Answers a request to a path under `/accounts`.
pub(super) async fn respond<O: Ops>(ops: &O, token: &OpsToken, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if !token.is_set() {
        return reply::last_error(
            StatusCode::FORBIDDEN,
            "accounts are not served without a token: set server.ops_token in the configuration, and restart",
        );
    }
    if !token.admits_program(request.headers()) {
        let mut response =
            reply::last_error(StatusCode::UNAUTHORIZED, "Authorization: Bearer with server.ops_token is needed");
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    let (head, body) = request.into_parts();
    let call = match route(&head.method, head.uri.path(), head.uri.query().unwrap_or_default()) {
        Ok(call) => call,
        Err(refusal) => return refusal.response(),
    };
    let body = match tokio::time::timeout(BODY_WITHIN, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return reply::last_error(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large: 64 KiB at most");
        }
        Ok(Err(_)) => return reply::last_error(StatusCode::BAD_REQUEST, "The request body is cut off or broken"),
        Err(_) => return reply::last_error(StatusCode::REQUEST_TIMEOUT, "The request took too long to arrive"),
    };
    match ops.account(call, body).await {
        Ok(answer) => {
            let status = if answer.created { StatusCode::CREATED } else { StatusCode::OK };
            reply::json(status, answer.document.to_string())
        }
        Err(error) => refuse(&error),
    }
}

/// Why a request is no call.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    UnknownPath,
    WrongMethod(&'static str),
    BadLimit,
}

impl Refusal {
    fn response(&self) -> Response<Full<Bytes>> {
        match self {
            Self::UnknownPath => reply::error(StatusCode::NOT_FOUND, "Not found"),
            Self::WrongMethod(allowed) => reply::wrong_method(allowed),
            Self::BadLimit => reply::error(StatusCode::BAD_REQUEST, "limit: expected a whole number above 0"),
        }
    }
}

/// Which call a request is.
fn route(method: &Method, path: &str, query: &str) -> Result<AccountCall, Refusal> {
    let mut parts = path.split('/').skip(2).map(unescape);
    let (client, what, id, rest) = (parts.next(), parts.next(), parts.next(), parts.next());
    let Some(client) = client.filter(|client| !client.is_empty()) else {
        return match (method, what) {
            (&Method::GET, None) => Ok(AccountCall::Simple(SimpleCall::List)),
            (&Method::POST, None) => Ok(AccountCall::Create),
            (_, None) => Err(Refusal::WrongMethod("GET, POST")),
            (_, Some(_)) => Err(Refusal::UnknownPath),
        };
    };
    let simple = |call| Ok(AccountCall::Simple(call));
    match (method, what.as_deref(), id, rest) {
        (_, _, _, Some(_)) => Err(Refusal::UnknownPath),
        (&Method::GET, None, ..) => simple(SimpleCall::Show(client)),
        (&Method::PATCH, None, ..) => Ok(AccountCall::Change(client)),
        (_, None, ..) => Err(Refusal::WrongMethod("GET, PATCH")),
        (&Method::DELETE, Some("keys"), Some(id), _) => match id.parse() {
            Ok(key) => simple(SimpleCall::RevokeKey { client, key }),
            Err(_) => Err(Refusal::UnknownPath),
        },
        (_, Some("keys"), Some(_), _) => Err(Refusal::WrongMethod("DELETE")),
        (_, _, Some(_), _) => Err(Refusal::UnknownPath),
        (&Method::GET, Some("ledger"), ..) => simple(SimpleCall::Ledger { client, limit: read_limit(query)? }),
        (_, Some("ledger"), ..) => Err(Refusal::WrongMethod("GET")),
        (&Method::GET, Some("keys"), ..) => simple(SimpleCall::Keys(client)),
        (&Method::POST, Some("keys"), ..) => Ok(AccountCall::AddKey(client)),
        (_, Some("keys"), ..) => Err(Refusal::WrongMethod("GET, POST")),
        (&Method::POST, Some("deposits"), ..) => Ok(AccountCall::Deposit(client)),
        (&Method::POST, Some("withdrawals"), ..) => Ok(AccountCall::Withdraw(client)),
        (&Method::POST, Some("disable"), ..) => simple(SimpleCall::Switch { client, disabled: true }),
        (&Method::POST, Some("enable"), ..) => simple(SimpleCall::Switch { client, disabled: false }),
        (_, Some("deposits" | "withdrawals" | "disable" | "enable"), ..) => Err(Refusal::WrongMethod("POST")),
        (_, Some(_), ..) => Err(Refusal::UnknownPath),
    }
}

/// A part of a path with its `%XX` read; a plus is itself there.
fn unescape(part: &str) -> String {
    let escaped = part.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(escaped.as_bytes()).next().map(|(text, _)| text.into_owned()).unwrap_or_default()
}

fn read_limit(query: &str) -> Result<usize, Refusal> {
    match form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "limit") {
        None => Ok(DEFAULT_LIMIT),
        Some((_, text)) => text.parse().ok().filter(|limit| *limit > 0).ok_or(Refusal::BadLimit),
    }
}

/// Says why nothing was done, by the status that is meant for it.
fn refuse(error: &AccountError) -> Response<Full<Bytes>> {
    let status = match error.reason() {
        Reason::Invalid => StatusCode::BAD_REQUEST,
        Reason::NotFound => StatusCode::NOT_FOUND,
        Reason::Conflict => StatusCode::CONFLICT,
        Reason::NotEnoughFunds => StatusCode::UNPROCESSABLE_ENTITY,
        Reason::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Reason::Broken => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if status.is_server_error() {
        tracing::error!(%error, "a call on an account failed");
    }
    reply::error(status, &error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(method: &str, target: &str) -> Result<AccountCall, Refusal> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        route(&method.parse().unwrap(), path, query)
    }

    #[test]
    fn every_call_has_its_path() {
        let shop = || "shop".to_owned();
        for (method, target, call) in [
            ("POST", "/accounts", AccountCall::Create),
            ("GET", "/accounts", AccountCall::Simple(SimpleCall::List)),
            ("GET", "/accounts/", AccountCall::Simple(SimpleCall::List)),
            ("GET", "/accounts/shop", AccountCall::Simple(SimpleCall::Show(shop()))),
            ("PATCH", "/accounts/shop", AccountCall::Change(shop())),
            ("POST", "/accounts/shop/deposits", AccountCall::Deposit(shop())),
            ("POST", "/accounts/shop/withdrawals", AccountCall::Withdraw(shop())),
            ("GET", "/accounts/shop/ledger", AccountCall::Simple(SimpleCall::Ledger { client: shop(), limit: 100 })),
            (
                "GET",
                "/accounts/shop/ledger?limit=3",
                AccountCall::Simple(SimpleCall::Ledger { client: shop(), limit: 3 }),
            ),
            ("POST", "/accounts/shop/keys", AccountCall::AddKey(shop())),
            ("GET", "/accounts/shop/keys", AccountCall::Simple(SimpleCall::Keys(shop()))),
            ("DELETE", "/accounts/shop/keys/7", AccountCall::Simple(SimpleCall::RevokeKey { client: shop(), key: 7 })),
            (
                "POST",
                "/accounts/shop/disable",
                AccountCall::Simple(SimpleCall::Switch { client: shop(), disabled: true }),
            ),
            (
                "POST",
                "/accounts/shop/enable",
                AccountCall::Simple(SimpleCall::Switch { client: shop(), disabled: false }),
            ),
            ("GET", "/accounts/a%2Fb%20+%3d&c", AccountCall::Simple(SimpleCall::Show("a/b +=&c".to_owned()))),
        ] {
            assert_eq!(routed(method, target), Ok(call), "{method} {target}");
        }
    }

    #[test]
    fn other_paths_and_methods_are_none() {
        for target in [
            "/accounts//ledger",
            "/accounts/shop/",
            "/accounts/shop/orders",
            "/accounts/shop/ledger/1",
            "/accounts/shop/keys/7/x",
        ] {
            assert_eq!(routed("GET", target), Err(Refusal::UnknownPath), "{target}");
        }
        assert_eq!(routed("DELETE", "/accounts/shop/keys/x"), Err(Refusal::UnknownPath));
        for (method, target) in [
            ("DELETE", "/accounts"),
            ("DELETE", "/accounts/shop"),
            ("PUT", "/accounts/shop"),
            ("GET", "/accounts/shop/deposits"),
            ("POST", "/accounts/shop/ledger"),
            ("GET", "/accounts/shop/disable"),
            ("GET", "/accounts/shop/keys/7"),
        ] {
            assert!(matches!(routed(method, target), Err(Refusal::WrongMethod(_))), "{method} {target}");
        }
        for limit in ["0", "-1", "", "x"] {
            assert_eq!(routed("GET", &format!("/accounts/shop/ledger?limit={limit}")), Err(Refusal::BadLimit));
        }
    }
}
