//! What a provider says is not believed blindly: reused IDs, short lists, foreign accounts, prices that do not hold.

use serde_json::{Value, json};
use tollgate::sandbox::{Action, Options, OrderChange, Sandbox, SandboxService, default_services};

use crate::harness::{Config, Gateway, eventually, upstream, upstream_with};

const LINK: &str = "https://example.com/p";

/// One provider with service 1, and no sync but those that a test asks for.
fn config(alpha: &Sandbox, lines: &str) -> Config {
    Config::new("[dispatch]\nwait = \"5s\"").provider("alpha", alpha, lines).service(1, "routes = [\"alpha:1\"]")
}

/// How often the operator was alerted.
async fn alerts(gateway: &Gateway) -> u64 {
    metric(gateway, "tollgate_alerts_total").await
}

async fn metric(gateway: &Gateway, name: &str) -> u64 {
    let text = gateway.http().get(format!("{}/metrics", gateway.ops)).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse().unwrap())
}

/// Changes one service of the upstream's list.
fn change(alpha: &Sandbox, id: u64, change: impl Fn(&mut SandboxService)) {
    let mut services = default_services();
    change(services.iter_mut().find(|service| service.id == id).unwrap());
    alpha.set_services(services);
}

fn reuse(service: &mut SandboxService) {
    service.name = "TikTok Shares".to_owned();
    service.category = Some("TikTok".to_owned());
}

fn sync(gateway: &Gateway, arguments: &[&str]) -> Value {
    let mut all = vec!["sync", "alpha"];
    all.extend(arguments);
    gateway.cli_json(&all)[0].clone()
}

fn stderr(gateway: &Gateway, arguments: &[&str]) -> String {
    String::from_utf8(gateway.cli(arguments).stderr).unwrap()
}

/// Which of our services are on sale, as clients see it.
async fn sold(gateway: &Gateway) -> Vec<u64> {
    let services = gateway.call("services", &[]).await;
    services.as_array().unwrap().iter().map(|service| service["service"].as_u64().unwrap()).collect()
}

fn provider(gateway: &Gateway) -> Value {
    gateway.cli_json(&["providers"])[0].clone()
}

// === Reused IDs ===

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_was_reused_is_off_sale_until_it_is_confirmed() {
    let alpha = upstream(20).await;
    let mut gateway = Gateway::start(&config(&alpha, "").service(2, "routes = [\"alpha:2\"]")).await;
    assert_eq!(sold(&gateway).await, [1, 2]);
    let before = alerts(&gateway).await;
    change(&alpha, 1, reuse);
    let report = sync(&gateway, &[]);
    assert_eq!(report["doubted"][0]["service"], "1");
    let why = report["doubted"][0]["why"].as_str().unwrap();
    assert!(why.contains("Instagram Followers") && why.contains("TikTok Shares"), "{why}");
    assert_eq!(report["renamed"], json!([]));
    assert_eq!(sold(&gateway).await, [2]);
    assert!(gateway.add(1, LINK, 1000).await["error"].is_string());
    assert_eq!(alerts(&gateway).await, before + 1);
    assert_eq!(sync(&gateway, &[])["doubted"][0]["service"], "1", "it stays");
    assert_eq!(alerts(&gateway).await, before + 1, "and is told of once");
    let said = stderr(&gateway, &["services"]);
    assert!(said.contains("service 1 is not listed") && said.contains("TikTok Shares"), "{said}");
    assert!(said.contains("tollgate sync alpha --confirm 1"), "{said}");

    // It survives a restart, with the upstream down too.
    assert!(gateway.stop().await.success());
    alpha.set_faults("unavailable".parse().unwrap());
    gateway.launch().await;
    assert_eq!(sold(&gateway).await, [2]);
    alpha.set_faults("".parse().unwrap());

    let refused = gateway.cli(&["sync", "alpha", "--confirm", "2"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("service 2 of alpha is not in doubt"));
    assert_eq!(gateway.cli(&["sync", "--confirm", "1"]).status.code(), Some(2), "of which provider?");
    assert_eq!(sold(&gateway).await, [2]);
    eventually("alpha to take calls", || async { gateway.cli(&["sync", "alpha"]).status.success().then_some(()) })
        .await;

    let report = sync(&gateway, &["--confirm", "1"]);
    assert_eq!((&report["confirmed"], &report["doubted"]), (&json!(["1"]), &json!([])));
    assert_eq!(sold(&gateway).await, [1, 2]);
    assert_eq!(gateway.call("services", &[]).await[0]["name"], "TikTok Shares");
    gateway.order(1, LINK, 1000).await;
    assert_eq!(sync(&gateway, &[])["doubted"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_alone_is_followed_and_a_new_type_is_not() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&config(&alpha, "")).await;
    change(&alpha, 1, |service| service.name = "Instagram Followers [Fast]".to_owned());
    let report = sync(&gateway, &[]);
    assert_eq!((&report["renamed"][0]["service"], &report["doubted"]), (&json!("1"), &json!([])));
    assert!(report["renamed"][0]["to"].as_str().unwrap().contains("[Fast]"));
    assert_eq!(gateway.call("services", &[]).await[0]["name"], "Instagram Followers [Fast]");
    assert_eq!(sync(&gateway, &[])["renamed"], json!([]));

    change(&alpha, 1, |service| service.type_text = "Package".to_owned());
    let report = sync(&gateway, &[]);
    assert_eq!(report["doubted"][0]["service"], "1");
    assert!(sold(&gateway).await.is_empty());

    // What the panel puts right by itself needs nobody's word.
    change(&alpha, 1, |_| {});
    assert_eq!(sync(&gateway, &[])["doubted"], json!([]));
    assert_eq!(sold(&gateway).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_was_away_is_remembered() {
    let alpha = upstream(20).await;
    let mut gateway = Gateway::start(&config(&alpha, "")).await;
    alpha.set_services(default_services().into_iter().filter(|service| service.id != 1).collect());
    assert_eq!(sync(&gateway, &[])["lost"], json!(["1"]));
    assert!(gateway.stop().await.success());
    change(&alpha, 1, reuse);
    // With no gateway running the command line does it by itself.
    assert_eq!(sync(&gateway, &[])["doubted"][0]["service"], "1");
    gateway.launch().await;
    assert!(sold(&gateway).await.is_empty());
    assert_eq!(sync(&gateway, &["--confirm", "all"])["confirmed"], json!(["1"]));
    assert_eq!(sold(&gateway).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_route_goes_on_where_the_first_is_in_doubt() {
    let (alpha, beta) = (upstream(20).await, upstream(20).await);
    let config = Config::new("[dispatch]\nwait = \"5s\"")
        .provider("alpha", &alpha, "")
        .provider("beta", &beta, "")
        .service(1, "routes = [\"alpha:1\", \"beta:1\"]");
    let gateway = Gateway::start(&config).await;
    eventually("beta's list", || async {
        let providers = gateway.cli_json(&["providers"]);
        (providers[1]["services"] == 26).then_some(())
    })
    .await;
    change(&alpha, 1, reuse);
    sync(&gateway, &[]);
    assert_eq!(sold(&gateway).await, [1]);
    gateway.order(1, LINK, 1000).await;
    assert_eq!((alpha.order_count(), beta.order_count()), (0, 1));
    let said = stderr(&gateway, &["services"]);
    assert!(said.contains("alpha:1") && !said.contains("is not listed"), "{said}");
}

// === Lists that can't be true ===

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_true_alerts_once_until_a_good_one_came() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&config(&alpha, "")).await;
    let before = alerts(&gateway).await;
    let failed = async || {
        assert_eq!(gateway.cli(&["sync", "alpha"]).status.code(), Some(1));
        alerts(&gateway).await
    };
    alpha.set_faults("services-empty".parse().unwrap());
    assert_eq!(failed().await, before + 1);
    assert_eq!(failed().await, before + 1);
    alpha.set_faults("".parse().unwrap());
    alpha.set_services(default_services()[..12].to_vec());
    assert_eq!(failed().await, before + 1, "the list has not been good since");
    alpha.set_services(default_services()[..13].to_vec());
    assert_eq!(sync(&gateway, &[])["services"], 13, "half of it is believed");
    alpha.set_faults("services-empty".parse().unwrap());
    assert_eq!(failed().await, before + 2);
    assert_eq!(sold(&gateway).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_cannot_be_read_are_warned_of() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&config(&alpha, "")).await;
    let mut services = default_services();
    services.push(services[0].clone());
    services.push(SandboxService { id: 900, min: 5, max: 4, ..services[0].clone() });
    alpha.set_services(services);
    let report = sync(&gateway, &[]);
    assert_eq!((&report["services"], &report["skipped"]), (&json!(26), &json!(2)));
    let warned = || gateway.log().matches("2 rows of the list of alpha can't be read").count();
    assert_eq!(warned(), 1);
    sync(&gateway, &[]);
    assert_eq!(warned(), 1, "once");
}

// === Another account ===

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_in_another_currency_freezes_its_provider() {
    let alpha = upstream(1).await;
    let mut gateway = Gateway::start(&config(&alpha, "")).await;
    let order = gateway.order(1, LINK, 1000).await;
    let before = alerts(&gateway).await;
    alpha.set_faults("wrong-currency".parse().unwrap());
    for _ in 0..2 {
        let output = gateway.cli(&["sync", "alpha"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stdout).contains("frozen"));
    }
    assert_eq!(alerts(&gateway).await, before + 1, "told once");
    let shown = provider(&gateway);
    assert_eq!(shown["state"], "frozen");
    assert!(shown["reason"].as_str().unwrap().contains("INR"), "{shown}");
    assert!(stderr(&gateway, &["providers"]).contains("alpha is frozen"));
    assert!(gateway.add(1, "https://example.com/other", 1000).await["error"].is_string());

    // A cancel is remembered, and not sent to an account that may be somebody else's.
    let ids = order.to_string();
    assert_eq!(gateway.call("cancel", &[("orders", &ids)]).await[0]["cancel"], 1);
    assert_eq!(alpha.call_count(Action::Cancel), 0);

    // It stays frozen over a restart, though nobody has called it yet.
    assert!(gateway.stop().await.success());
    gateway.launch().await;
    assert!(gateway.add(1, "https://example.com/other", 1000).await["error"].is_string());
    // No order changes by what it says.
    let asked = alpha.call_count(Action::Status);
    assert!(alpha.set_order(&alpha.orders()[0].id, OrderChange::status("Canceled")));
    for _ in 0..5 {
        gateway.polls_are_due();
        assert_ne!(gateway.status(order).await["status"], "Canceled");
    }
    assert_eq!((alpha.call_count(Action::Status), alpha.order_count()), (asked, 1));

    alpha.set_faults("".parse().unwrap());
    sync(&gateway, &[]);
    assert_eq!(provider(&gateway)["reason"], Value::Null);
    eventually("the right state", || async { (provider(&gateway)["state"] == "on").then_some(()) }).await;
    gateway.order(1, "https://example.com/other", 1000).await;
    gateway.until_late_status(order, "Canceled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_configuration_ends_the_freeze() {
    let alpha = upstream(20).await;
    let mut gateway = Gateway::start(&config(&alpha, "")).await;
    alpha.set_currency("INR");
    assert_eq!(gateway.cli(&["sync", "alpha"]).status.code(), Some(1));
    assert_eq!(provider(&gateway)["state"], "frozen");
    assert!(gateway.stop().await.success());
    let corrected = Config::new("[exchange_rates]\nINR = \"0.012\"")
        .provider("alpha", &alpha, "currency = \"INR\"")
        .service(1, "routes = [\"alpha:1\"]");
    gateway.reconfigure(&corrected);
    gateway.launch().await;
    assert_eq!(provider(&gateway)["reason"], Value::Null);
    assert_eq!(gateway.call("services", &[]).await[0]["rate"], "0.013");
    gateway.order(1, LINK, 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_place_of_a_code_freezes_nobody() {
    let alpha = upstream_with(Options { currency: "$".to_owned(), ..Options::default() }).await;
    let gateway = Gateway::start(&config(&alpha, "")).await;
    sync(&gateway, &[]);
    assert_eq!(provider(&gateway)["reason"], Value::Null);
    gateway.order(1, LINK, 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_in_another_currency_is_no_cost() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&config(&alpha, "")).await;
    let before = alerts(&gateway).await;
    alpha.set_currency("INR");
    for number in 0..2 {
        let order = gateway.order(1, &format!("{LINK}/{number}"), 1000).await;
        gateway.until_status(order, "Completed").await;
        assert_eq!(gateway.story(order)["order"]["cost"], Value::Null);
    }
    assert_eq!(alerts(&gateway).await, before + 1);
    assert_eq!(gateway.log().matches("reports charges in INR").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_knows_none_of_our_orders_is_another() {
    let alpha = upstream(1).await;
    let address = alpha.url().strip_prefix("http://").unwrap().split('/').next().unwrap().parse().unwrap();
    let gateway = Gateway::start(&config(&alpha, "")).await;
    let mut orders = Vec::new();
    for number in 0..12 {
        orders.push(gateway.order(1, &format!("{LINK}/{number}"), 1000).await);
    }
    for order in &orders {
        gateway.until_status(*order, "In progress").await;
    }
    let before = alerts(&gateway).await;
    alpha.shutdown().await;
    let other = eventually("another account there", || async {
        tollgate::sandbox::start(Options { listen: address, ..Options::default() }).await.ok()
    })
    .await;
    gateway.until_frozen("alpha").await;
    assert_eq!(alerts(&gateway).await, before + 1, "one alert, and not one for each order");
    for order in &orders {
        assert_eq!(gateway.status(*order).await["status"], "In progress");
        assert!(!gateway.history(*order).iter().any(|line| line.starts_with("alert")));
    }
    assert!(gateway.add(1, "https://example.com/other", 1000).await["error"].is_string());
    assert_eq!(other.order_count(), 0);

    // The operator knows better: the panel has lost them, and that is told of each.
    let refused = gateway.cli(&["sync", "--unfreeze"]);
    assert_eq!(refused.status.code(), Some(2));
    sync(&gateway, &["--unfreeze"]);
    assert_eq!(provider(&gateway)["reason"], Value::Null);
    gateway.until_told(orders[0], "alert: its upstream gives no status").await;
    gateway.order(1, "https://example.com/other", 1000).await;
    assert_eq!(gateway.cli(&["sync", "alpha", "--unfreeze"]).status.code(), Some(1), "it is not frozen");
}

// === Money ===

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_really_costs_more_is_off_sale_until_its_rate_moves_or_it_is_confirmed() {
    let alpha = upstream(1).await;
    let mut gateway = Gateway::start(&config(&alpha, "")).await;
    let lose = async |link: &str| {
        let order = gateway.order(1, link, 1000).await;
        let theirs = alpha.orders().last().unwrap().id.clone();
        // Sold for 1.08; with 5 % on top 1.03 is too much.
        let charge = Some("1.03".to_owned());
        assert!(alpha.set_order(&theirs, OrderChange { charge, ..OrderChange::default() }));
        eventually("the route to be off sale", || async {
            gateway.polls_are_due();
            sold(&gateway).await.is_empty().then_some(())
        })
        .await;
        order
    };
    let before = alerts(&gateway).await;
    let order = lose("https://example.com/1").await;
    assert_eq!(alerts(&gateway).await, before + 1);
    assert!(gateway.add(1, "https://example.com/2", 1000).await["error"].is_string());
    let said = stderr(&gateway, &["services"]);
    assert!(said.contains(&format!("order {order} cost 1.03 and was sold for 1.08")), "{said}");
    assert_eq!(sync(&gateway, &[])["doubted"][0]["service"], "1", "the same rate explains nothing");
    assert!(sold(&gateway).await.is_empty());

    assert!(alpha.set_rate(1, "1.03".parse().unwrap()));
    assert_eq!(sync(&gateway, &[])["doubted"], json!([]));
    assert_eq!(gateway.call("services", &[]).await[0]["rate"], "1.236");

    assert!(alpha.set_rate(1, "0.90".parse().unwrap()));
    sync(&gateway, &[]);
    lose("https://example.com/3").await;
    assert_eq!(alerts(&gateway).await, before + 2);
    assert!(gateway.stop().await.success());
    gateway.launch().await;
    assert!(sold(&gateway).await.is_empty(), "a restart changes nothing");
    assert_eq!(sync(&gateway, &["--confirm", "1"])["confirmed"], json!(["1"]));
    assert_eq!(sold(&gateway).await, [1]);
    gateway.polls_are_due();
    gateway.order(1, "https://example.com/4", 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cost_that_the_list_explains_by_now_takes_nothing_off_sale() {
    let alpha = upstream(1).await;
    let gateway = Gateway::start(&config(&alpha, "")).await;
    let order = gateway.order(1, LINK, 1000).await;
    assert!(alpha.set_rate(1, "1.20".parse().unwrap()));
    sync(&gateway, &[]);
    let charge = Some("1.20".to_owned());
    assert!(alpha.set_order(&alpha.orders()[0].id, OrderChange { charge, ..OrderChange::default() }));
    eventually("its cost", || async {
        gateway.polls_are_due();
        (gateway.story(order)["order"]["cost"] == "1.2").then_some(())
    })
    .await;
    assert_eq!(sold(&gateway).await, [1], "what is sold now is priced by what it costs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_balance_is_told_of_when_it_becomes_low() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&config(&alpha, "low_balance = \"25\"")).await;
    let before = alerts(&gateway).await;
    let at = async |balance: &str| {
        alpha.set_balance(balance.parse().unwrap());
        sync(&gateway, &[]);
        sync(&gateway, &[]);
        alerts(&gateway).await - before
    };
    assert_eq!(at("25").await, 0, "the limit itself is enough");
    assert_eq!(at("24.99").await, 1);
    assert_eq!(at("3").await, 1);
    assert_eq!(at("100").await, 1);
    assert_eq!(at("1").await, 2);
    assert_eq!(gateway.log().matches("the balance at alpha is low").count(), 2);
}
