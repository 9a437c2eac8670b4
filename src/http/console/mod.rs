//! `/console`: the operators' web pages. Read-only, rendered here, with no script in them.

mod pages;

use std::sync::LazyLock;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::token::OpsToken;
use super::{Ops, reply};
use crate::app::console::{OrderQuery, ViewQuery};

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const CSS: HeaderValue = HeaderValue::from_static("text/css; charset=utf-8");
/// Nothing but our own style sheet is loaded, nothing runs, nobody frames it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);
const STYLE: &str = include_str!("style.css");

/// Where the style sheet is: another one has another path, so that browsers may keep it for ever.
static STYLE_PATH: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::digest(STYLE.as_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("/console/{name}.css")
});

/// Answers a request to a path under `/console`.
pub(super) async fn respond<O: Ops>(ops: &O, token: &OpsToken, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !token.admits_browser(request.headers()) {
        let mut response = reply::error(StatusCode::UNAUTHORIZED, "server.ops_token is needed, as the password");
        let challenge = HeaderValue::from_static("Basic realm=\"tollgate\", charset=\"UTF-8\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        return response;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return reply::wrong_method("GET, HEAD");
    }
    let path = request.uri().path();
    if path == *STYLE_PATH {
        return with_headers(StatusCode::OK, STYLE.to_owned(), CSS, "private, max-age=31536000, immutable");
    }
    let Some(query) = read_query(path, request.uri().query().unwrap_or_default()) else {
        return page(StatusCode::NOT_FOUND, pages::trouble("Not found", "There is no such page."));
    };
    match ops.view(query).await {
        Ok(Some(view)) => page(StatusCode::OK, pages::page(&view)),
        Ok(None) => page(StatusCode::NOT_FOUND, pages::trouble("Not found", "There is no such order.")),
        Err(why) => {
            tracing::error!("a page of the console could not be made: {why}");
            page(StatusCode::SERVICE_UNAVAILABLE, pages::trouble("The store could not be read", &why))
        }
    }
}

fn page(status: StatusCode, page: maud::Markup) -> Response<Full<Bytes>> {
    with_headers(status, page.into_string(), HTML, "no-store")
}

fn with_headers(status: StatusCode, body: String, kind: HeaderValue, keep: &'static str) -> Response<Full<Bytes>> {
    let mut response = reply::json(status, body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// What a path asks for.
fn read_query(path: &str, query: &str) -> Option<ViewQuery> {
    let given = |wanted: &str| {
        let found = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted);
        found.map(|(_, text)| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let below = || given("below").and_then(|text| text.parse().ok());
    match path.strip_prefix("/console")?.trim_matches('/') {
        "" => Some(ViewQuery::Overview),
        "orders" => Some(ViewQuery::Orders(OrderQuery {
            state: given("state"),
            client: given("client"),
            provider: given("provider"),
            below: below(),
        })),
        "uncertain" => Some(ViewQuery::Uncertain(below())),
        "providers" => Some(ViewQuery::Providers),
        other => other.strip_prefix("orders/")?.parse().ok().map(ViewQuery::Order),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_its_path() {
        for (path, query, wanted) in [
            ("/console", "", Some(ViewQuery::Overview)),
            ("/console/", "", Some(ViewQuery::Overview)),
            ("/console/orders", "", Some(ViewQuery::Orders(OrderQuery::default()))),
            (
                "/console/orders",
                "state=placed&client=a+%26b&provider=&below=7",
                Some(ViewQuery::Orders(OrderQuery {
                    state: Some("placed".into()),
                    client: Some("a &b".into()),
                    provider: None,
                    below: Some(7),
                })),
            ),
            ("/console/orders/23", "", Some(ViewQuery::Order(23))),
            ("/console/uncertain", "below=x", Some(ViewQuery::Uncertain(None))),
            ("/console/providers", "", Some(ViewQuery::Providers)),
            ("/console/orders/x", "", None),
            ("/console/clients", "", None),
        ] {
            assert_eq!(read_query(path, query), wanted, "{path}?{query}");
        }
    }
}
