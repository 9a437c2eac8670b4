//! The ops listener.

use super::*;

struct Pages(Result<(), Vec<String>>);

impl Ops for Pages {
    fn readiness(&self) -> Result<(), Vec<String>> {
        self.0.clone()
    }

    fn metrics(&self) -> String {
        "# TYPE x counter\nx 1\n".to_owned()
    }

    async fn account(&self, call: AccountCall, body: Bytes) -> Result<AccountAnswer, AccountError> {
        match call {
            AccountCall::Create => Err(AccountError::Invalid(String::from_utf8(body.to_vec()).unwrap())),
            call => Ok(AccountAnswer { created: matches!(call, AccountCall::Deposit(_)), document: "done".into() }),
        }
    }

    async fn view(&self, query: ViewQuery) -> Result<Option<View>, String> {
        match query {
            ViewQuery::Providers => Ok(Some(View::Providers(vec![]))),
            ViewQuery::Overview => Err("the <disk> is full".to_owned()),
            _ => Ok(None),
        }
    }
}

async fn open(readiness: Result<(), Vec<String>>, token: Option<&str>) -> SocketAddr {
    let service = OpsPages::new(Arc::new(Pages(readiness)), token);
    listen(service, Limits::default(), Arc::default(), &Tasks::new()).await.0
}

async fn get(address: SocketAddr, method: &str, path: &str, headers: &str) -> Got {
    let mut client = Client(TcpStream::connect(address).await.unwrap());
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).await;
    client.get_to(method).await.unwrap()
}

#[tokio::test]
async fn the_pages() {
    let address = open(Ok(()), None).await;
    let healthy = get(address, "GET", "/healthz", "").await;
    assert_eq!((healthy.status(), healthy.json()), (200, serde_json::json!({ "status": "ok" })));
    let ready = get(address, "GET", "/readyz", "").await;
    assert_eq!((ready.status(), ready.json()["ready"].clone()), (200, true.into()));
    let metrics = get(address, "GET", "/metrics", "").await;
    assert_eq!((metrics.status(), metrics.body.as_slice()), (200, &b"# TYPE x counter\nx 1\n"[..]));
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert_eq!(get(address, "HEAD", "/healthz", "").await.status(), 200);
    get(address, "GET", "/api/v2", "").await.is_error(404);
    get(address, "POST", "/healthz", "").await.is_error(405);
}

#[tokio::test]
async fn what_is_not_ready_says_why() {
    let address = open(Err(vec!["no catalogue yet".to_owned()]), None).await;
    let got = get(address, "GET", "/readyz", "").await;
    assert_eq!(got.status(), 503);
    assert_eq!(got.json(), serde_json::json!({ "ready": false, "reasons": ["no catalogue yet"] }));
    assert_eq!(get(address, "GET", "/healthz", "").await.status(), 200);
}

#[tokio::test]
async fn a_token_is_asked_for() {
    let address = open(Ok(()), Some("s3cret")).await;
    assert_eq!(get(address, "GET", "/healthz", "").await.status(), 200);
    for path in ["/readyz", "/metrics", "/other"] {
        for headers in [
            "",
            "Authorization: Bearer\r\n",
            "Authorization: Bearer wrong\r\n",
            "Authorization: Basic s3cret\r\n",
            "Authorization: Bearer s3cret2\r\n",
        ] {
            let got = get(address, "GET", path, headers).await;
            got.is_error(401);
            assert_eq!(got.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert_eq!(get(address, "GET", "/readyz", "Authorization: Bearer s3cret\r\n").await.status(), 200);
    assert_eq!(get(address, "GET", "/metrics", "authorization: bearer s3cret\r\n").await.status(), 200);
}

#[tokio::test]
async fn accounts_are_for_those_with_the_token_only() {
    let open_to_all = open(Ok(()), None).await;
    let refused = get(open_to_all, "GET", "/accounts", "Authorization: Bearer x\r\n").await;
    refused.is_error(403);
    assert!(refused.json()["error"].as_str().unwrap().contains("server.ops_token"));
    let address = open(Ok(()), Some("s3cret")).await;
    for headers in ["", "Authorization: Bearer other\r\n", "Authorization: Basic YW55Ym9keTpzM2NyZXQ=\r\n"] {
        get(address, "GET", "/accounts", headers).await.is_error(401);
        get(address, "POST", "/accounts/shop/deposits", headers).await.is_error(401);
    }
    let token = "Authorization: Bearer s3cret\r\n";
    let listed = get(address, "GET", "/accounts", token).await;
    assert_eq!((listed.status(), listed.json()), (200, "done".into()));
    assert_eq!(
        get(address, "POST", "/accounts/shop/deposits", &format!("{token}Content-Length: 0\r\n")).await.status(),
        201
    );
    get(address, "GET", "/accounts/shop/other", token).await.is_error(404);
    get(address, "DELETE", "/accounts/shop", token).await.is_error(405);
    get(address, "GET", "/accountsx", token).await.is_error(404);
}

#[tokio::test]
async fn a_body_for_an_account_is_64_kib_at_most() {
    let address = open(Ok(()), Some("s3cret")).await;
    for (length, status) in [(64 << 10, 400), ((64 << 10) + 1, 413)] {
        let mut client = Client(TcpStream::connect(address).await.unwrap());
        let body = "x".repeat(length);
        let head = "POST /accounts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3cret\r\n";
        client.send(format!("{head}Content-Length: {length}\r\n\r\n{body}")).await;
        client.get_to("POST").await.unwrap().is_error(status);
    }
}

#[tokio::test]
async fn the_console_is_html_that_can_load_and_run_nothing_else() {
    let address = open(Ok(()), None).await;
    let page = get(address, "GET", "/console/providers", "").await;
    assert_eq!((page.status(), page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(
        (page.header("cache-control"), page.header("x-content-type-options")),
        (Some("no-store"), Some("nosniff"))
    );
    let policy = page.header("content-security-policy").unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let body = String::from_utf8(page.body).unwrap();
    let style = body.split('"').find(|part| part.ends_with(".css")).unwrap();
    assert_eq!(get(address, "GET", style, "").await.header("content-type"), Some("text/css; charset=utf-8"));
    for (path, status) in [("/console/orders/1", 404), ("/console/x", 404), ("/console", 503)] {
        let page = get(address, "GET", path, "").await;
        assert_eq!((page.status(), page.header("content-type")), (status, Some("text/html; charset=utf-8")), "{path}");
        assert!(!String::from_utf8(page.body).unwrap().contains("<disk>"));
    }
    get(address, "POST", "/console", "").await.is_error(405);
}

#[tokio::test]
async fn the_consoles_token_is_a_password() {
    let address = open(Ok(()), Some("s3cret")).await;
    let refused = get(address, "GET", "/console/providers", "").await;
    refused.is_error(401);
    assert!(refused.header("www-authenticate").unwrap().starts_with("Basic realm="));
    for (headers, status) in [
        ("Authorization: Basic YW55Ym9keTpzM2NyZXQ=\r\n", 200),
        ("Authorization: Bearer s3cret\r\n", 200),
        ("Authorization: Basic YW55Ym9keTp3cm9uZw==\r\n", 401),
        ("Authorization: Basic s3cret\r\n", 401),
    ] {
        assert_eq!(get(address, "GET", "/console/providers", headers).await.status(), status, "{headers}");
    }
}
