//! A whole session with a troublesome upstream, and nothing of that upstream in any answer.

use tollgate::sandbox::{Action, DEFAULT_KEY, Fault, Options, OrderChange, Sandbox};

use crate::harness::{Config, Gateway, RawAnswer, eventually, post_raw, upstream_with};

/// Every answer of a session, head and body.
struct Session {
    gateway: Gateway,
    answers: Vec<String>,
    links: u32,
}

impl Session {
    async fn call(&mut self, call: &str) -> RawAnswer {
        let body = format!("key={}&{call}", self.gateway.key);
        let answer = post_raw(&self.gateway.api, "", body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{call}");
        let head: String = answer.head.lines().filter(|line| !line.starts_with("date:")).collect();
        self.answers.push(format!("{call}: {head}\n{}", String::from_utf8(answer.body.clone()).unwrap()));
        answer
    }

    async fn order(&mut self) -> RawAnswer {
        self.links += 1;
        let call = format!("action=add&service=7&link=https%3A%2F%2Fexample.com%2F{}&quantity=1000", self.links);
        self.call(&call).await
    }

    /// Looks at the order until it says `status`; every look is kept.
    async fn until(&mut self, order: u64, status: &str) {
        let call = format!("action=status&order={order}");
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
        while self.call(&call).await.json()["status"] != status {
            assert!(tokio::time::Instant::now() < deadline, "order {order} is not {status}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

async fn troublesome() -> (Sandbox, Session) {
    let options = Options { speed: 20, balance: "7654.321".parse().unwrap(), ..Options::default() };
    let upstream = upstream_with(options).await;
    let config = Config::new("")
        .provider("zanzibar", &upstream, "rejects = [{ text = \"bad profile\", kind = \"input\" }]")
        .service(7, "rate = \"2\"\nroutes = [\"zanzibar:26\"]");
    let gateway = Gateway::start(&config).await;
    (upstream, Session { gateway, answers: Vec::new(), links: 0 })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_shows_anything_of_an_upstream() {
    let (upstream, mut session) = troublesome().await;
    let port = upstream.addr.port().to_string();
    for call in
        ["action=services", "action=balance", "action=nonsense", "action=status&order=100001", "action=refill&order=1"]
    {
        session.call(call).await;
    }
    let placed = session.order().await.json()["order"].as_u64().unwrap();
    session.until(placed, "Completed").await;
    let told = [
        format!("Bad link at http://127.0.0.1:{port}/ of zanzibar"),
        "Not enough funds on balance".to_owned(),
        "Incorrect service ID".to_owned(),
        "Your balance 7654.321 is too low, zanzibar says".to_owned(),
        "Order 100001 of zanzibar is active".to_owned(),
        "You have active order with this link. Please wait until order being completed.".to_owned(),
        "Quantity less than minimal 150000".to_owned(),
        "Zanzibar: bad profile".to_owned(),
        "Bad link (100001)".to_owned(),
        "Bad profile, says zanz.example".to_owned(),
        "Bad profile: see order 100001".to_owned(),
        "Bad profile, or your balance of 7654.321 is too low".to_owned(),
        format!("Invalid API key {DEFAULT_KEY}"),
        "Invalid API key".to_owned(),
    ];
    for text in told {
        upstream.script_next(Action::Add, Fault::Error(text), 1);
        session.order().await;
    }
    assert!(upstream.call_count(Action::Add) >= 14, "each of these was told to the gateway");
    for call in ["action=services", "action=balance", "action=status&orders=1,2,3,4,5,6,7,100001"] {
        session.call(call).await;
    }
    session.order().await;
    assert_silent(&session, &upstream, &port);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_shows_anything_of_an_upstream_that_loses_answers() {
    let (upstream, mut session) = troublesome().await;
    let port = upstream.addr.port().to_string();
    for fault in [
        Fault::CloseAfter,
        Fault::Garbage,
        Fault::ServerError,
        Fault::HalfBody,
        Fault::DuplicateId,
        Fault::AlphanumericIds,
    ] {
        upstream.script_next(Action::Add, fault, 1);
        let order = session.order().await.json()["order"].as_u64().unwrap();
        session.call(&format!("action=status&order={order}")).await;
    }
    let last = session.order().await.json()["order"].as_u64().unwrap();
    session.until(last, "Completed").await;
    // A status that nobody knows.
    let id = eventually("the last order upstream", || async { upstream.orders().last().map(|order| order.id.clone()) })
        .await;
    assert!(upstream.set_order(&id, OrderChange::status("Error at zanzibar")));
    session.call(&format!("action=status&orders={last},{id}")).await;
    assert_silent(&session, &upstream, &port);
}

fn assert_silent(session: &Session, upstream: &Sandbox, port: &str) {
    assert!(session.answers.len() > 10);
    let mut secrets: Vec<String> = upstream.orders().into_iter().map(|order| order.id).collect();
    assert!(!secrets.is_empty());
    secrets.extend(["zanz", "127.0.0.1", port, DEFAULT_KEY, "7654", "1.1234"].map(str::to_owned));
    for answer in &session.answers {
        // What the client itself wrote may come back to it.
        let (asked, shown) = answer.split_once(": ").unwrap();
        let shown = shown.to_lowercase();
        for secret in &secrets {
            assert!(asked.contains(secret.as_str()) || !shown.contains(secret.as_str()), "{secret} in {answer}");
        }
    }
}
