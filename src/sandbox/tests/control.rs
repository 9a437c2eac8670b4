//! Steering a running panel, and what it leaves behind.

use serde_json::json;

use super::*;

impl Caller {
    async fn control(&self, what: &str, body: &str) -> (u16, Value) {
        let url = format!("http://{}/sandbox/{what}", self.sandbox.addr);
        let answer = self.client.post(url).body(body.to_owned()).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    async fn inspect(&self, what: &str) -> Value {
        let url = format!("http://{}/sandbox/{what}", self.sandbox.addr);
        serde_json::from_str(&self.client.get(url).send().await.unwrap().text().await.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn a_forced_status_shows_at_once_and_moves_the_money() {
    let caller = Caller::usual().await;
    let id = caller.order("a").await;
    let change = format!("id={id}&status=Partial&remains=50&start_count=null");
    assert_eq!(caller.control("order", &change).await.0, 200);
    let expected =
        json!({ "charge": "0.045", "start_count": null, "status": "Partial", "remains": "50", "currency": "USD" });
    assert_eq!(caller.status(&id).await, expected);
    assert_eq!(caller.sandbox.balance().to_string(), "9999.955");
    assert_eq!(caller.control("order", &format!("id={id}&status=In+progress")).await.0, 200);
    assert_eq!(caller.sandbox.balance().to_string(), "9999.91", "what flips back is paid again");
    assert_eq!(caller.control("order", &format!("id={id}&charge=0.05")).await.0, 200);
    assert_eq!(caller.status(&id).await["charge"], "0.05");
    assert_eq!(caller.sandbox.balance().to_string(), "9999.95");
    assert_eq!(caller.control("order", "id=7&status=Partial").await, (404, json!({ "error": "no order 7" })));
}

#[tokio::test]
async fn services_rates_account_and_faults_can_be_changed() {
    let caller = Caller::usual().await;
    let list = r#"[{"service":5,"name":"Only","type":"Package","rate":"2","min":"1","max":"1"}]"#;
    assert_eq!(caller.control("services", list).await, (200, json!({ "services": 1 })));
    assert_eq!(caller.control("services", "{}").await.0, 400);
    assert_eq!(caller.control("rate", "service=5&rate=3.5").await.0, 200);
    assert_eq!(caller.control("rate", "service=6&rate=3.5").await.0, 404);
    assert_eq!(caller.control("rate", "service=5&rate=-1").await.0, 400);
    assert_eq!(caller.call("services", &[]).await[0]["rate"], "3.5");
    assert_eq!(caller.control("account", "balance=4&currency=EUR&duplicate_lock=true").await.0, 200);
    assert_eq!(caller.control("account", "balance=9&dedupe=perhaps").await.0, 400);
    assert!(caller.call("add", &[("service", "5"), ("link", "l")]).await["order"].is_u64());
    assert_eq!(caller.call("balance", &[]).await, json!({ "balance": "0.5", "currency": "EUR" }));
    let again = caller.call("add", &[("service", "5"), ("link", "l")]).await;
    assert!(again["error"].as_str().unwrap().starts_with("You have active order"), "{again}");
    assert_eq!(caller.control("faults", "error@balance(Closed)").await.0, 200);
    assert_eq!(caller.call("balance", &[]).await, json!({ "error": "Closed" }));
    let (status, answer) = caller.control("faults", "explode").await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().starts_with("unknown fault `explode`"), "{answer}");
    assert_eq!(caller.control("faults", "").await.0, 200);
    assert_eq!(caller.call("balance", &[]).await["balance"], "0.5");
    assert_eq!(caller.control("dance", "").await.0, 404);
}

#[tokio::test]
async fn a_refill_s_status_can_be_forced() {
    let caller = Caller::usual().await;
    let id = caller.order("https://x/").await;
    assert_eq!(caller.control("refill", "id=1&status=Rejected").await.0, 404);
    assert!(caller.sandbox.set_order(&id, OrderChange::status("Completed")));
    caller.call("refill", &[("order", &id)]).await;
    assert_eq!(caller.control("refill", "id=1").await.0, 400);
    assert_eq!(caller.control("refill", "id=1&status=Rejected").await.0, 200);
    assert_eq!(caller.call("refill_status", &[("refill", "1")]).await, json!({ "status": "Rejected" }));
}

#[tokio::test]
async fn orders_and_calls_can_be_inspected() {
    let caller = Caller::usual().await;
    let id = caller.order("https://x/").await;
    let orders = caller.inspect("orders").await;
    let order = &orders[0];
    assert_eq!((&order["order"], &order["service"], &order["charge"]), (&json!(id), &json!(1), &json!("0.09")));
    assert_eq!((&order["status"], &order["now"]["remains"]), (&json!("Pending"), &json!("100")));
    assert_eq!(order["params"], json!({ "service": "1", "link": "https://x/", "quantity": "100" }));
    let calls = caller.inspect("calls").await;
    assert_eq!((&calls["add"], &calls["balance"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn the_journal_has_the_order_whose_answer_was_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = Some(path.clone());
    let caller = Caller::new(Options { journal, ..Options::default() }).await;
    caller.sandbox.script_next(Action::Add, Fault::CloseAfter, 1);
    let mut answer = Vec::new();
    caller.send_add().await.read_to_end(&mut answer).await.unwrap_err();
    let text = std::fs::read_to_string(&path).unwrap();
    let line: Value = serde_json::from_str(text.strip_suffix('\n').unwrap()).unwrap();
    assert!(line["at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
    assert_eq!(line["order"], caller.sandbox.orders()[0].id);
    assert_eq!((&line["service"], &line["quantity"], &line["charge"]), (&json!(1), &json!(100), &json!("0.09")));
    assert_eq!(line["params"], json!({ "service": "1", "link": "l", "quantity": "100" }));
    assert!(!text.contains(DEFAULT_KEY));
    caller.call("add", &[("service", "1"), ("link", "l"), ("quantity", "1")]).await;
    caller.order("m").await;
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2, "accepted orders only");
}

#[tokio::test]
async fn a_journal_or_an_address_that_cannot_be_used_is_named() {
    let journal = Some(PathBuf::from("/nowhere/journal"));
    let error = start(Options { journal, ..Options::default() }).await.err().unwrap();
    assert!(error.to_string().starts_with("cannot open the journal /nowhere/journal"), "{error}");
    let taken = Caller::usual().await;
    let listen = taken.sandbox.addr;
    let error = start(Options { listen, ..Options::default() }).await.err().unwrap();
    assert!(error.to_string().starts_with(&format!("cannot listen on {listen}")), "{error}");
}

#[tokio::test]
async fn a_panel_that_is_stopped_is_gone_and_its_port_is_free() {
    let caller = Caller::usual().await;
    caller.faults("hang");
    let mut hanging = caller.send_add().await;
    caller.adds_came(1).await;
    let listen = caller.sandbox.addr;
    caller.sandbox.shutdown().await;
    let mut answer = Vec::new();
    assert!(matches!(hanging.read_to_end(&mut answer).await, Ok(0) | Err(_)), "{answer:?}");
    assert!(TcpStream::connect(listen).await.is_err());
    drop(start(Options { listen, ..Options::default() }).await.unwrap());
}
