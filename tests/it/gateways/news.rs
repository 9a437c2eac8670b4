//! How soon what was changed by way of one gateway, or of none, holds at every other.

use serde_json::Value;
use tokio::task::JoinSet;
use tollgate::sandbox::{Action, Fault, Options, OrderChange, SandboxService, default_services, start};

use super::*;
use crate::harness::gateway::OPS_TOKEN;
use crate::harness::{Path, Redis, Way};

async fn says(gateway: &Gateway, key: &str, error: &str) -> bool {
    gateway.post(&[("key", key), ("action", "balance")]).await["error"] == error
}

async fn sells(gateway: &Gateway, rates: &[(u64, &str)]) -> bool {
    let rates: Vec<(u64, String)> = rates.iter().map(|(id, rate)| (*id, (*rate).to_owned())).collect();
    gateway.rates().await == rates
}

async fn operate(gateway: &Gateway, method: &str, path: &str, body: Value) -> Value {
    let request = gateway.http().request(method.parse().unwrap(), format!("{}{path}", gateway.ops));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let response = request.bearer_auth(OPS_TOKEN).body(body).send().await.unwrap();
    assert!(response.status().is_success(), "{path}: {}", response.status());
    response.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_of_a_client() {
    let alpha = upstream(1).await;
    let config = config_with(&alpha, 20, "").server(&format!("ops_token = \"{OPS_TOKEN}\""));
    let [first, second, third] = several(&config).await;
    let all = [&first, &second, &third];
    let invalid = "Invalid API key";

    let terms = |gateway: &Gateway, option: &str, value: &str| {
        gateway.cli_json(&["client", "set", "tester", option, value]);
    };
    let lets_in = async |gateway: &Gateway| gateway.call("balance", &[]).await["balance"].is_string();
    let mut news = News::default();
    while news.go_on() {
        let made = first.cli_json(&["key", "add", "tester"]);
        let (id, key) = (made["id"].to_string(), made["key"].as_str().unwrap().to_owned());
        news.soon("key add", &all, async |gateway| !says(gateway, &key, invalid).await).await;
        first.cli_json(&["key", "revoke", "tester", &id]);
        news.soon("key revoke", &all, async |gateway| says(gateway, &key, invalid).await).await;
        let made = operate(&second, "POST", "/accounts/tester/keys", json!({"label": "web"})).await;
        let (id, key) = (made["id"].to_string(), made["key"].as_str().unwrap().to_owned());
        news.soon("a key added over HTTP", &all, async |gateway| !says(gateway, &key, invalid).await).await;
        operate(&third, "DELETE", &format!("/accounts/tester/keys/{id}"), Value::Null).await;
        news.soon("a key revoked over HTTP", &all, async |gateway| says(gateway, &key, invalid).await).await;

        terms(&first, "--markup", "100");
        news.soon("markup", &all, async |gateway| sells(gateway, &[(1, "1.8")]).await).await;
        operate(&second, "PATCH", "/accounts/tester", json!({"markup": null})).await;
        news.soon("markup over HTTP", &all, async |gateway| sells(gateway, &[(1, "1.08")]).await).await;
        terms(&first, "--allow-service", "2");
        news.soon("services", &all, async |gateway| sells(gateway, &[]).await).await;
        terms(&first, "--allow-service", "none");
        news.soon("any service", &all, async |gateway| sells(gateway, &[(1, "1.08")]).await).await;
        terms(&first, "--allow-ip", "192.0.2.0/24");
        news.soon("addresses", &all, async |gateway| !lets_in(gateway).await).await;
        terms(&first, "--allow-ip", "none");
        news.soon("any address", &all, lets_in).await;
        first.cli_json(&["client", "disable", "tester"]);
        news.soon("disable", &all, async |gateway| says(gateway, &first.key, "Your account is disabled").await).await;
        operate(&third, "POST", "/accounts/tester/enable", json!({})).await;
        news.soon("enable over HTTP", &all, lets_in).await;
    }

    // Money is read where it is: at once.
    second.cli_json(&["client", "deposit", "tester", "5"]);
    operate(&third, "POST", "/accounts/tester/deposits", json!({"amount": "7"})).await;
    for gateway in all {
        assert_eq!(gateway.balance().await, "1012");
    }
    second.cli_json(&["client", "withdraw", "tester", "1012"]);
    assert!(third.add(1, LINK, 100).await["error"].is_string(), "there is nothing left");
    terms(&second, "--credit", "1");
    third.order(1, LINK, 100).await;
    terms(&second, "--daily-limit", "0.1");
    assert!(first.add(1, LINK, 100).await["error"].is_string());

    let mut news = News::default();
    while news.go_on() {
        terms(&first, "--rps", "1");
        news.soon("rps", &all, async |gateway| says(gateway, &first.key, "Too many requests").await).await;
        terms(&first, "--rps", "none");
        news.soon("any pace", &all, async |gateway| {
            lets_in(gateway).await && lets_in(gateway).await && lets_in(gateway).await
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_holds_back_or_configures() {
    let alpha = upstream(1).await;
    let [first, second, third] = several(&config_with(&alpha, 20, "")).await;
    let all = [&first, &second, &third];
    let mut news = News::default();
    while news.go_on() {
        for (pause, words, resume) in [
            (&["pause"][..], "paused by the operator: no order leaves until", &["resume"][..]),
            (&["pause", "alpha"], "paused by the operator: no order leaves for alpha", &["resume", "alpha"]),
        ] {
            let (called, resumed) = (alpha.call_count(Action::Add), "resumed by the operator");
            let before = first.log().matches(resumed).count();
            let said = first.log().matches(words).count();
            first.cli_json(pause);
            news.soon(&pause.join(" "), &all, async |gateway| gateway.log().matches(words).count() > said).await;
            let waits = second.order(1, &format!("https://example.com/{before}"), 100).await;
            assert_eq!(third.story(waits)["order"]["state"], "queued");
            assert_eq!(alpha.call_count(Action::Add), called);
            second.cli_json(resume);
            news.soon(&resume.join(" "), &all, async |gateway| gateway.log().matches(resumed).count() > before).await;
            first.until_state(waits, "placed").await;
        }
    }

    // Each has a file of its own, and each reads it once.
    let mut news = News::default();
    let mut reloads = 0;
    while news.go_on() {
        for (markup, rate) in [(100, "1.8"), (20, "1.08")] {
            let config = config_with(&alpha, markup, "");
            second.reconfigure(&config);
            third.reconfigure(&config);
            first.reload(&config).await;
            news.soon("reload", &all, async |gateway| sells(gateway, &[(1, rate)]).await).await;
            reloads += 1;
            for gateway in all {
                until_reloaded(gateway, reloads).await;
            }
        }
    }
}

async fn until_reloaded(gateway: &Gateway, times: usize) {
    eventually("a gateway to reload", || async {
        let reloads = gateway.log().matches(": reloaded ").count();
        assert!(reloads <= times, "{}", gateway.log());
        (reloads == times).then_some(())
    })
    .await;
}

fn change(alpha: &Sandbox, id: u64, change: impl Fn(&mut SandboxService)) {
    let mut services = default_services();
    change(services.iter_mut().find(|service| service.id == id).unwrap());
    alpha.set_services(services);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_learnt_of_a_provider() {
    let alpha = upstream(1).await;
    let [first, second, third] = several(&config_with(&alpha, 20, "")).await;
    let all = [&first, &second, &third];
    assert_eq!(alpha.call_count(Action::Services), 1, "the others took over what the first had fetched");
    let mut news = News::default();
    while news.go_on() {
        let asked = alpha.call_count(Action::Services);
        for (rate, sold) in [("1.80", "2.16"), ("0.90", "1.08")] {
            assert!(alpha.set_rate(1, rate.parse().unwrap()));
            second.cli_json(&["sync"]);
            news.soon("a catalogue", &all, async |gateway| sells(gateway, &[(1, sold)]).await).await;
        }
        assert_eq!(alpha.call_count(Action::Services), asked + 2, "one gateway carried each out");

        change(&alpha, 1, |service| {
            service.name = "TikTok Shares".to_owned();
            service.category = Some("TikTok".to_owned());
        });
        third.cli_json(&["sync", "alpha"]);
        news.soon("off sale", &all, async |gateway| sells(gateway, &[]).await).await;
        first.cli_json(&["sync", "alpha", "--confirm", "1"]);
        news.soon("confirmed", &all, async |gateway| sells(gateway, &[(1, "1.08")]).await).await;
    }

    first.cli_json(&["client", "withdraw", "tester", "1000"]);
    assert!(!refuses(&first).await);
    let mut news = News::default();
    while news.go_on() {
        alpha.set_currency("INR");
        assert_eq!(second.cli(&["sync", "alpha"]).status.code(), Some(1));
        news.soon("frozen", &all, refuses).await;
        alpha.set_currency("USD");
        third.cli_json(&["sync", "alpha"]);
        news.soon("thawed", &all, async |gateway| !refuses(gateway).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_word_that_an_account_is_the_right_one() {
    let alpha = upstream(1).await;
    let address = alpha.url().strip_prefix("http://").unwrap().split('/').next().unwrap().parse().unwrap();
    let (first, second) = pair(&config_with(&alpha, 20, "")).await;
    let mut orders = Vec::new();
    for number in 0..12 {
        orders.push(first.order(1, &format!("{LINK}/{number}"), 100).await);
    }
    for order in &orders {
        second.until_status(*order, "In progress").await;
    }
    first.cli_json(&["client", "withdraw", "tester", "998.704"]);
    alpha.shutdown().await;
    let other = async || start(Options { listen: address, ..Options::default() }).await.ok();
    let _other = eventually("another account there", other).await;
    eventually("one of them to be told", || async {
        first.polls_are_due();
        (first.log() + &second.log()).contains("alpha is frozen").then_some(())
    })
    .await;
    soon("frozen", &[&first, &second], refuses).await;
    second.cli_json(&["sync", "alpha", "--unfreeze"]);
    soon("unfrozen", &[&first, &second], async |gateway| !refuses(gateway).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_an_order() {
    let (redis, alpha) = (Redis::start().await, upstream(1).await);
    let [first, second, third] = several(&config_on(&redis.url(), &alpha, "")).await;
    let all = [&first, &second, &third];
    let is = async |gateway: &Gateway, order: u64, status: &str| gateway.status(order).await["status"] == status;

    let mut news = News::default();
    let mut times = 0;
    while news.go_on() {
        times += 1;
        let link = |what: &str| format!("https://example.com/{what}/{times}");
        let polled = first.order(1, &link("polled"), 100).await;
        for gateway in all {
            gateway.until_status(polled, "In progress").await;
        }
        let there = alpha.orders().into_iter().find(|order| order.link == link("polled")).unwrap();
        assert!(alpha.set_order(&there.id, OrderChange::status("Completed")));
        let seen_by = async || {
            for (place, gateway) in all.iter().enumerate() {
                if is(gateway, polled, "Completed").await {
                    return Some(place);
                }
            }
            None
        };
        eventually("one to see it", || seen_by()).await;
        news.soon("a poll", &all, async |gateway| is(gateway, polled, "Completed").await).await;

        first.cli_json(&["pause"]);
        for gateway in all {
            until_paused(gateway, times).await;
        }
        let canceled = first.order(1, &link("canceled"), 100).await;
        for gateway in all {
            assert!(is(gateway, canceled, "Pending").await);
        }
        assert_eq!(second.call("cancel", &[("orders", &canceled.to_string())]).await[0]["cancel"], 1);
        news.soon("a cancel", &all, async |gateway| is(gateway, canceled, "Canceled").await).await;
        third.cli_json(&["resume"]);

        alpha.script_next(Action::Add, Fault::CloseAfter, 1);
        let lost = second.order(1, &link("lost"), 100).await;
        first.until_state(lost, "uncertain").await;
        for gateway in all {
            assert!(is(gateway, lost, "Pending").await);
        }
        third.cli_json(&["orders", "resolve", &lost.to_string(), "--refund"]);
        news.soon("orders resolve", &all, async |gateway| is(gateway, lost, "Canceled").await).await;
    }
}

async fn until_paused(gateway: &Gateway, times: usize) {
    eventually("a pause", || async {
        (gateway.log().matches("paused by the operator").count() >= times).then_some(())
    })
    .await;
}

/// Between the writing of a change and the telling of Redis a gateway may be killed.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_gateway_told_nobody() {
    let (redis, alpha) = (Redis::start().await, upstream(1).await);
    let path = Path::to(&redis.url()).await;
    let url = Cluster::shared().new_database().await;
    let with = |redis: &str| Gateway::prepare_on(&config_on(redis, &alpha, "timeout = \"5s\""), Some(url.clone()));
    let mut gateways = [with(&path.url(&redis.url())), with(&redis.url()), with(&redis.url())];
    company(&mut gateways).await;
    let [mut first, second, third] = gateways;
    second.cli_json(&["pause"]);
    for gateway in [&first, &second, &third] {
        until_said(gateway, "paused by the operator").await;
    }
    let order = first.order(1, LINK, 100).await;
    for gateway in [&first, &second, &third] {
        assert_eq!(gateway.status(order).await["status"], "Pending");
    }
    eventually("it is in Redis", || async {
        let ending = format!(":{order}");
        redis.entries().await.iter().any(|(key, _)| key.ends_with(&ending)).then_some(())
    })
    .await;
    path.be(Way::Frozen);
    let (key, api, http) = (first.key.clone(), first.api.clone(), first.http().clone());
    let mut canceling = JoinSet::new();
    canceling.spawn(async move {
        let order = order.to_string();
        let form = [("key", key.as_str()), ("action", "cancel"), ("orders", order.as_str())];
        drop(http.post(api).form(&form).send().await);
    });
    eventually("it is written", || async { (second.story(order)["order"]["state"] == "closed").then_some(()) }).await;
    first.kill();
    let all = [&second, &third];
    soon("a killed gateway's last change", &all, async |gateway| gateway.status(order).await["status"] == "Canceled")
        .await;
    canceling.join_all().await;
}
