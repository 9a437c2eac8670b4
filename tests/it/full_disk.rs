//! The store's disk is full, or fails: orders are refused and none is sent, what is known is still answered, and
//! everything goes on by itself when there is room again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tollgate::sandbox::{Action, Fault, Sandbox};

use crate::harness::gateway::{CLIENT, DEPOSIT};
use crate::harness::{Caller, Config, Disk, Gateway, accepted, eventually, only_error, upstream};

/// How often the disk is filled under load.
const ROUNDS: usize = 8;
const CLIENTS: usize = 8;
/// What a client is told.
const REFUSED: &str = "Temporarily unavailable, please try again later";
/// The store's own words in the log.
const FULL: &str = "the store can't write";
const AGAIN: &str = "the store writes again";

async fn gateway_on(alpha: &Sandbox, disk: impl FnOnce(&mut Gateway) -> Disk) -> (Gateway, Disk) {
    let config = Config::new("[store]\nurl = \"sqlite://disk/tollgate.db\"\n[dispatch]\nwait = \"300ms\"")
        .provider("alpha", alpha, "")
        .service(1, "routes = [\"alpha:1\"]");
    let mut gateway = Gateway::prepare(&config);
    let disk = disk(&mut gateway);
    gateway.launch().await;
    gateway.key = gateway.add_client(CLIENT, &["--deposit", DEPOSIT]);
    gateway.knows_key(&gateway.key).await;
    (gateway, disk)
}

/// How many lines of the log hold this.
fn told(gateway: &Gateway, words: &str) -> usize {
    gateway.log().lines().filter(|line| line.contains(words)).count()
}

/// Waits until the gateway has met the full disk: what its files have room for inside it can still use.
async fn until_refused(gateway: &Gateway) {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    eventually("an order to be refused", || async {
        let link = format!("https://example.com/last/{}", LAST.fetch_add(1, Ordering::Relaxed));
        gateway.add(1, &link, 50).await.get("error").is_some().then_some(())
    })
    .await;
}

/// Waits until no order is on its way but this one.
async fn until_alone(gateway: &Gateway, order: u64) {
    eventually("all other orders to be with the upstream or wait", || async {
        let sending = gateway.cli_json(&["orders", "list", "--state", "sending"]);
        sending.as_array()?.iter().all(|sending| sending["order"].as_u64() == Some(order)).then_some(())
    })
    .await;
}

async fn writable(gateway: &Gateway) -> String {
    let metrics = gateway.http().get(format!("{}/metrics", gateway.ops)).send().await.unwrap().text().await.unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix("tollgate_store_writable "));
    line.unwrap_or("no such metric").to_owned()
}

/// Every link that the upstream was ordered, and was ordered once.
fn bought_once(alpha: &Sandbox) {
    for order in alpha.orders() {
        assert_eq!(accepted(alpha, &order.link), 1, "{} was bought twice", order.link);
    }
}

/// All that reads goes on.
async fn reads_go_on(gateway: &Gateway, order: u64, other: u64) {
    assert!(gateway.status(order).await["status"].is_string());
    let both = gateway.call("status", &[("orders", &format!("{order},{other},999999"))]).await;
    assert!(both[order.to_string()]["charge"].is_string() && both[other.to_string()]["charge"].is_string(), "{both}");
    assert_eq!(both["999999"]["error"], "Incorrect order ID");
    assert_eq!(gateway.call("services", &[]).await.as_array().map(Vec::len), Some(1));
    assert!(gateway.call("balance", &[]).await["balance"].is_string());
    let ready = gateway.http().get(format!("{}/readyz", gateway.ops)).send().await.unwrap();
    assert_eq!(ready.status(), 200, "what is known is still answered");
    assert_eq!(gateway.story(order)["order"]["order"].as_u64(), Some(order));
}

/// All that would write is refused, and nothing of it is done.
async fn writes_are_refused(gateway: &Gateway, alpha: &Sandbox, order: u64) {
    let (orders, balance, adds) = (gateway.orders(), gateway.balance().await, alpha.call_count(Action::Add));
    let form = |number: usize| {
        let link = format!("https://example.com/refused/{number}");
        let fields = [("key", gateway.key.clone()), ("action", "add".into()), ("service", "1".into())];
        fields.into_iter().chain([("link", link), ("quantity", "50".into())]).collect::<Vec<_>>()
    };
    for answer in gateway.post_at_once((0..100).map(form)).await {
        assert_eq!(only_error(&answer), REFUSED);
    }
    let canceled = gateway.call("cancel", &[("orders", &order.to_string())]).await;
    assert_eq!(canceled[0]["cancel"]["error"], REFUSED);
    assert_eq!(gateway.orders(), orders);
    assert_eq!(gateway.balance().await, balance);
    assert_eq!(alpha.call_count(Action::Add), adds, "something was sent");
}

async fn whole_story(disk: impl FnOnce(&mut Gateway) -> Disk) {
    let alpha = upstream(1).await;
    let (gateway, disk) = gateway_on(&alpha, disk).await;
    let first = gateway.order(1, "https://example.com/first", 50).await;
    gateway.until_state(first, "placed").await;
    // The upstream is still at it when the disk is full.
    alpha.script_next(Action::Add, Fault::Slow(Duration::from_secs(5)), 1);
    let under_way = gateway.order(1, "https://example.com/under-way", 50).await;
    eventually("the order to be with the upstream", || async {
        (accepted(&alpha, "https://example.com/under-way") == 1).then_some(())
    })
    .await;
    disk.fill(&gateway);
    until_refused(&gateway).await;
    until_alone(&gateway, under_way).await;

    reads_go_on(&gateway, first, under_way).await;
    writes_are_refused(&gateway, &alpha, first).await;
    let kept = format!("order {under_way}: the upstream's answer to attempt 1 can't be written yet; trying on");
    eventually("the upstream's answer to be kept", || async { (told(&gateway, &kept) > 0).then_some(()) }).await;
    assert_eq!(gateway.story(under_way)["order"]["state"], "sending");
    assert_eq!(writable(&gateway).await, "0");
    gateway.verify();
    reads_go_on(&gateway, first, under_way).await;
    assert_eq!((told(&gateway, FULL), told(&gateway, &kept)), (1, 1), "told once");

    disk.free(&gateway);
    let placed = gateway.until_state(under_way, "placed").await;
    let bought = alpha.orders().into_iter().find(|order| order.link.ends_with("under-way")).unwrap();
    assert_eq!(placed["order"]["upstream_order"], Value::from(bought.id));
    let next = gateway.order(1, "https://example.com/next", 50).await;
    gateway.until_state(next, "placed").await;
    for order in [first, under_way, next] {
        gateway.until_status(order, "Completed").await;
    }
    assert_eq!(writable(&gateway).await, "1");
    assert_eq!((told(&gateway, FULL), told(&gateway, AGAIN)), (1, 1), "{}", gateway.log());
    let noise = gateway.log().lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count();
    assert!(noise <= 12, "a flood:\n{}", gateway.log());
    bought_once(&alpha);
    gateway.verify();
    intact(&gateway);
}

/// The file itself is whole.
fn intact(gateway: &Gateway) {
    let store = rusqlite::Connection::open(gateway.folder().join("disk/tollgate.db")).unwrap();
    let word: String = store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(word, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_orders_and_loses_nothing() {
    whole_story(Disk::mounted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_refuses_orders_and_loses_nothing() {
    whole_story(Disk::limited).await;
}

type Answers = Arc<Mutex<Vec<(String, Value)>>>;

fn locked(answers: &Answers) -> MutexGuard<'_, Vec<(String, Value)>> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Orders under links of its own, one after the other.
async fn order_on(client: usize, caller: Caller, answers: Answers, stopped: watch::Receiver<bool>) {
    for number in 0.. {
        if *stopped.borrow() {
            return;
        }
        let link = format!("https://example.com/{client}/{number}");
        let answer = caller.add(1, &link, 50).await.unwrap();
        locked(&answers).push((link, answer));
    }
}

/// Waits for so many more answers of a kind.
async fn more(answers: &Answers, what: &str, kind: impl Fn(&Value) -> bool) {
    let count = || locked(answers).iter().filter(|(_, answer)| kind(answer)).count();
    let enough = count() + 20;
    eventually(what, || {
        let there = count() >= enough;
        async move { there.then_some(()) }
    })
    .await;
}

/// Fills and empties the disk under load, so that some transactions fail in their middle, and some at their end.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_again_and_again_under_load_loses_nothing() {
    let alpha = upstream(20).await;
    let (gateway, disk) = gateway_on(&alpha, Disk::mounted).await;
    let answers = Answers::default();
    let (stop, stopped) = watch::channel(false);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(order_on(client, gateway.caller(), Arc::clone(&answers), stopped.clone()));
    }
    for _ in 0..ROUNDS {
        more(&answers, "orders", |answer| answer["order"].is_u64()).await;
        disk.fill(&gateway);
        more(&answers, "refusals", |answer| answer["error"] == REFUSED).await;
        // Also where what is in the log of writes has no room in the store itself.
        let known = locked(&answers).iter().rev().find_map(|(_, answer)| answer["order"].as_u64()).unwrap();
        reads_go_on(&gateway, known, known).await;
        disk.free(&gateway);
    }
    more(&answers, "orders", |answer| answer["order"].is_u64()).await;
    stop.send_replace(true);
    clients.join_all().await;
    let answers = std::mem::take(&mut *locked(&answers));
    eventually("every order to be placed", || async {
        let waits = |order: &Value| !matches!(order["state"].as_str(), Some("placed" | "closed"));
        (!gateway.orders().iter().any(waits)).then_some(())
    })
    .await;
    let orders = gateway.orders();
    let of = |link: &str| orders.iter().find(|order| order["link"] == link);
    for (link, answer) in &answers {
        match answer["order"].as_u64() {
            Some(id) => {
                assert_eq!(of(link).unwrap()["order"].as_u64(), Some(id));
                assert_eq!(accepted(&alpha, link), 1);
            }
            None => {
                assert_eq!((answer["error"].as_str(), of(link)), (Some(REFUSED), None), "{link}");
                assert_eq!(accepted(&alpha, link), 0, "{link} was refused, and sent");
            }
        }
    }
    let taken = answers.iter().filter(|(_, answer)| answer["order"].is_u64()).count();
    println!("{} orders taken, {} refused over {ROUNDS} fillings", taken, answers.len() - taken);
    bought_once(&alpha);
    gateway.verify();
    intact(&gateway);
}

/// Verbs of the command line say what is wrong, and change nothing; a gateway that is killed meanwhile comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_on_a_full_disk_comes_back() {
    let alpha = upstream(1).await;
    let (mut gateway, disk) = gateway_on(&alpha, Disk::mounted).await;
    let order = gateway.order(1, "https://example.com/first", 50).await;
    gateway.until_state(order, "placed").await;
    alpha.script_next(Action::Add, Fault::Slow(Duration::from_secs(4)), 1);
    let under_way = gateway.order(1, "https://example.com/under-way", 50).await;
    gateway.until_state(under_way, "sending").await;
    disk.fill(&gateway);
    until_refused(&gateway).await;
    let kept = format!("order {under_way}: the upstream's answer to attempt 1 can't be written yet");
    eventually("an answer that can't be written", || async { (told(&gateway, &kept) > 0).then_some(()) }).await;
    let deposited = gateway.cli(&["client", "deposit", CLIENT, "5"]);
    if matches!(disk, Disk::Mounted(_)) {
        let said = String::from_utf8_lossy(&deposited.stderr).into_owned();
        assert!(deposited.status.code() == Some(1) && said.contains("nothing was written"), "{said}");
        assert_eq!(gateway.cli_json(&["client", "show", CLIENT])["deposits"], DEPOSIT);
    }
    gateway.kill();
    if let Disk::Mounted(_) = &disk {
        disk.free(&gateway);
    }
    gateway.launch().await;
    assert!(gateway.status(order).await["status"].is_string());
    // What the upstream said to it died with the process: nobody knows, and it is not sent again.
    gateway.until_state(under_way, "uncertain").await;
    let next = gateway.order(1, "https://example.com/next", 50).await;
    gateway.until_state(next, "placed").await;
    bought_once(&alpha);
    gateway.verify();
    intact(&gateway);
}
