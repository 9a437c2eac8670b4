//! One provider in trouble: it is left alone as far as the trouble goes, found well again, and no other one suffers.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tollgate::sandbox::{self, Action, Options, OrderChange, Sandbox};

use crate::harness::{Config, Gateway, accepted, eventually, upstream};

/// Service 1 goes to alpha and else to beta, service 2 to alpha alone, service 3 to beta alone.
fn config(tables: &str, alpha: &Sandbox, beta: &Sandbox, alpha_lines: &str) -> Config {
    Config::new(tables)
        .provider("alpha", alpha, alpha_lines)
        .provider("beta", beta, "")
        .service(1, "routes = [\"alpha:1\", \"beta:1\"]")
        .service(2, "routes = [\"alpha:1\"]")
        .service(3, "routes = [\"beta:1\"]")
}

async fn start(config: &Config) -> Gateway {
    let gateway = Gateway::start(config).await;
    gateway.has_all_catalogues().await;
    gateway
}

fn link(name: impl std::fmt::Display) -> String {
    format!("https://example.com/{name}.")
}

async fn until_provider(gateway: &Gateway, state: &str) {
    eventually(&format!("alpha to be {state}"), || async { (gateway.provider_state("alpha") == state).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_gone_is_probed_by_its_balance_and_never_by_an_order() {
    let (alpha, beta) = (upstream(1).await, upstream(1).await);
    let listen = alpha.addr;
    let gateway = start(&config("[dispatch]\nwait = \"1s\"", &alpha, &beta, "")).await;
    alpha.shutdown().await;
    for number in 0..6 {
        let order = gateway.order(1, &link(number), 100).await;
        assert_eq!(gateway.until_state(order, "placed").await["order"]["provider"], "beta");
    }
    until_provider(&gateway, "unreachable").await;
    let held = gateway.order(2, &link("held"), 100).await;

    let alpha = eventually("alpha to listen again", || async {
        sandbox::start(Options { listen, ..Options::default() }).await.ok()
    })
    .await;
    gateway.until_state(held, "placed").await;
    let calls = alpha.calls();
    assert_eq!(calls[0].action, Action::Balance, "a harmless call finds out");
    assert_eq!((accepted(&alpha, &link("held")), alpha.order_count()), (1, 1));
    until_provider(&gateway, "on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_tried_once_at_a_reload_and_by_nothing_else() {
    let (alpha, beta) = (upstream(1).await, upstream(1).await);
    let config = config("[dispatch]\nwait = \"1s\"", &alpha, &beta, "");
    let gateway = start(&config).await;
    let old = gateway.order(2, &link("old"), 100).await;
    alpha.set_faults("error@any(Invalid API key)".parse().unwrap());
    let first = gateway.order(1, &link("first"), 100).await;
    assert_eq!(gateway.until_state(first, "placed").await["order"]["provider"], "beta");
    until_provider(&gateway, "key_rejected").await;
    let quiet = alpha.calls().len();
    // Neither orders, nor questions, nor polls that are due, nor a sync.
    for number in 0..5 {
        gateway.order(1, &link(number), 100).await;
        gateway.polls_are_due();
        gateway.status(old).await;
    }
    assert_eq!(gateway.cli(&["sync", "alpha"]).status.code(), Some(1));
    assert_eq!(alpha.calls().len(), quiet);

    gateway.reload(&config).await;
    eventually("the probe of the reload", || async { (alpha.calls().len() > quiet).then_some(()) }).await;
    assert_eq!(gateway.provider_state("alpha"), "key_rejected");
    alpha.set_faults("".parse().unwrap());
    gateway.reload(&config).await;
    until_provider(&gateway, "on").await;
    let probes: Vec<Action> = alpha.calls()[quiet..].iter().map(|call| call.action).take(2).collect();
    assert_eq!(probes, [Action::Balance, Action::Balance]);
    let next = gateway.order(2, &link("next"), 100).await;
    gateway.until_state(next, "placed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_account_holds_its_own_orders_and_no_others() {
    let (alpha, beta) = (upstream(1).await, upstream(1).await);
    let gateway = start(&config("[dispatch]\nwait = \"300ms\"", &alpha, &beta, "")).await;
    alpha.set_balance("0".parse().unwrap());
    let held = gateway.order(2, &link("held"), 100).await;
    gateway.until_told(held, "held: alpha:1: refused it").await;
    let other = gateway.order(1, &link("other"), 100).await;
    assert_eq!(gateway.until_state(other, "placed").await["order"]["provider"], "beta");
    let order = gateway.story(held)["order"].clone();
    assert_eq!((order["state"].as_str(), order["refunded"].as_str()), (Some("queued"), Some("0")));
    alpha.set_balance("100".parse().unwrap());
    gateway.until_state(held, "placed").await;
    assert_eq!((accepted(&alpha, &link("held")), beta.order_count()), (1, 1));
}

/// How long each `add` took until its order was placed, the slowest.
async fn slowest_at_beta(gateway: &Gateway, name: &str) -> Duration {
    let mut slowest = Duration::ZERO;
    for number in 0..20 {
        let begin = Instant::now();
        let order = gateway.order(3, &link(format!("{name}/{number}")), 100).await;
        slowest = slowest.max(begin.elapsed());
        assert_eq!(gateway.story(order)["order"]["state"], "placed", "the answer came with the upstream's word");
    }
    slowest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_hangs_delays_its_own_orders_only() {
    let (alpha, beta) = (upstream(1).await, upstream(1).await);
    let gateway = start(&config("[dispatch]\nwait = \"20s\"", &alpha, &beta, "max_in_flight = 4")).await;
    let usual = slowest_at_beta(&gateway, "usual").await;
    alpha.set_faults("hang-before".parse().unwrap());
    let mut waiting = JoinSet::new();
    for number in 0..40 {
        let caller = gateway.caller();
        waiting.spawn(async move { caller.add(2, &link(format!("slow/{number}")), 100).await });
    }
    eventually("all of alpha's calls to hang", || async { (alpha.call_count(Action::Add) == 4).then_some(()) }).await;
    let beside = slowest_at_beta(&gateway, "beside").await;
    println!("placed at the other provider, slowest of 20: {usual:?} usually, {beside:?} while one hangs");
    assert_eq!(alpha.call_count(Action::Add), 4, "alpha hangs all the while");
    assert_eq!(beta.order_count(), 40);
    let states = gateway.cli_json(&["orders", "list", "--service", "2"]);
    let count = |state: &str| states.as_array().unwrap().iter().filter(|order| order["state"] == state).count();
    assert_eq!((count("sending"), count("queued")), (4, 36));
    waiting.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_without_news_and_orders_that_can_not_be_written_starve_none() {
    let (alpha, beta) = (upstream(1).await, upstream(1).await);
    let gateway = start(&config("[cache]\nstatus_ttl = \"1h\"\n[dispatch]\nwait = \"20s\"", &alpha, &beta, "")).await;
    // More than fit into one call without any news, and after them, in the next, one that the store refuses.
    let mut orders = Vec::new();
    for number in 0..130 {
        orders.push(gateway.order(2, &link(number), 100).await);
    }
    let (unchanged, rest) = orders.split_at(110);
    let ids: Vec<String> = alpha.orders().into_iter().map(|order| order.id).collect();
    for (number, id) in ids.iter().enumerate() {
        let word = if number < unchanged.len() { ["Pending", "Quux", "Fail"][number % 3] } else { "Processing" };
        assert!(alpha.set_order(id, OrderChange::status(word)));
    }
    let poisoned = rest[0];
    gateway.edit_store(&format!(
        "CREATE TRIGGER poison BEFORE UPDATE ON orders WHEN OLD.id = {poisoned} AND NEW.version <> OLD.version \
         BEGIN SELECT RAISE(ABORT, 'poisoned'); END"
    ));
    for round in ["Processing", "In progress"] {
        for id in &ids[unchanged.len()..] {
            assert!(alpha.set_order(id, OrderChange::status(round)));
        }
        eventually("the news of all that have any", || async {
            gateway.polls_are_due();
            let shown = gateway.orders();
            (shown.iter().filter(|order| order["status"] == round).count() == rest.len() - 1).then_some(())
        })
        .await;
    }
    assert_eq!(gateway.story(poisoned)["order"]["status"], "Pending");
    gateway.edit_store("DROP TRIGGER poison");
    gateway.until_late_status(poisoned, "In progress").await;
}
