//! Providers that come, go, and are called in another way.

use std::time::Duration;

use tollgate::sandbox::{Action, DEFAULT_KEY, Options, OrderChange, Sandbox};

use crate::harness::{Config, Gateway, accepted, eventually, upstream, upstream_with};

fn alpha_only(alpha: &Sandbox, lines: &str) -> Config {
    Config::new("").provider("alpha", alpha, lines).service(1, "routes = [\"alpha:1\"]")
}

/// How many lists the upstream was asked for.
fn lists(upstream: &Sandbox) -> u64 {
    upstream.call_count(Action::Services)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_provider_is_synced_sold_and_followed_and_one_that_goes_is_left_alone() {
    let (alpha, beta) = (upstream(20).await, upstream(20).await);
    let gateway = Gateway::start(&alpha_only(&alpha, "sync_every = \"1s\"")).await;
    let both = alpha_only(&alpha, "sync_every = \"1s\"")
        .provider("beta", &beta, "sync_every = \"1s\"")
        .service(2, "routes = [\"beta:1\"]");
    gateway.reload(&both).await;
    let order = eventually("the new provider's list", || async {
        gateway.add(2, "https://example.com/p/1", 1000).await["order"].as_u64()
    })
    .await;
    gateway.until_status(order, "Completed").await;
    assert_eq!(accepted(&beta, "https://example.com/p/1"), 1);
    assert!(gateway.log().contains("1 new: beta"));

    gateway.reload(&alpha_only(&alpha, "sync_every = \"1s\"")).await;
    let (seen, beta_seen) = (lists(&alpha), lists(&beta));
    eventually("some more lists", || async { (lists(&alpha) > seen + 2).then_some(()) }).await;
    assert_eq!(lists(&beta), beta_seen, "nobody asks it any more");
    assert!(gateway.add(2, "https://example.com/p/2", 1000).await["error"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_provider_is_followed_and_gets_nothing_new_and_one_that_is_off_is_not_called() {
    let (alpha, beta) = (upstream(1).await, upstream(20).await);
    let config = |mode: &str| {
        alpha_only(&alpha, &format!("mode = \"{mode}\"\nsync_every = \"1s\"")).provider(
            "beta",
            &beta,
            "sync_every = \"1s\"",
        )
    };
    let gateway = Gateway::start(&config("on")).await;
    let order = gateway.order(1, "https://example.com/p/1", 1000).await;
    let story = gateway.until_state(order, "placed").await;
    let id = story["order"]["upstream_order"].as_str().unwrap();

    gateway.reload(&config("drain")).await;
    assert!(gateway.log().contains("alpha (now drain)"));
    assert_eq!(gateway.rates().await, [], "nothing of it is listed");
    assert!(gateway.add(1, "https://example.com/p/2", 1000).await["error"].is_string());
    let progress = OrderChange { status: Some("In progress".into()), ..OrderChange::default() };
    assert!(alpha.set_order(id, progress));
    gateway.until_status(order, "In progress").await;

    gateway.reload(&config("off")).await;
    eventually("the word for it", || async { (gateway.provider_state("alpha") == "off").then_some(()) }).await;
    let calls = || alpha.calls().len();
    let (seen, beta_seen) = (calls(), lists(&beta));
    eventually("some more lists of the other", || async {
        gateway.polls_are_due();
        gateway.status(order).await;
        (lists(&beta) > beta_seen + 2).then_some(())
    })
    .await;
    assert_eq!(calls(), seen, "not a single call");
    assert_eq!(gateway.status(order).await["status"], "In progress", "what was known is still answered");

    gateway.reload(&config("on")).await;
    assert!(alpha.set_order(id, OrderChange { status: Some("Completed".into()), ..OrderChange::default() }));
    gateway.until_status(order, "Completed").await;
    let next = eventually("a list that is young enough", || async {
        gateway.add(1, "https://example.com/p/3", 1000).await["order"].as_u64()
    })
    .await;
    gateway.until_state(next, "placed").await;
    assert_eq!(alpha.order_count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_is_used_and_believed_at_once() {
    let key = "0123456789abcdef0123456789abcdef";
    let alpha = upstream_with(Options { key: key.to_owned(), ..Options::default() }).await;
    let with_key = |key: &str| {
        let url = alpha.url();
        Config::new("")
            .text(&format!(
                "[[provider]]\nid = \"alpha\"\nurl = \"{url}\"\nkey = \"{key}\"\nrequests_per_second = 100\n"
            ))
            .service(1, "routes = [\"alpha:1\"]")
    };
    let mut gateway = Gateway::prepare(&with_key(DEFAULT_KEY));
    gateway.launch_unready().await;
    eventually("the refusal", || async { (gateway.provider_state("alpha") == "key_rejected").then_some(()) }).await;
    gateway.key = gateway.add_client("tester", &["--deposit", "1000"]);
    gateway.knows_key(&gateway.key).await;

    // The same key again is tried once more, and no more than that.
    let (tried, balances) = (alpha.calls().len(), alpha.call_count(Action::Balance));
    gateway.reload(&with_key(DEFAULT_KEY)).await;
    eventually("one more try", || async { (alpha.calls().len() == tried + 1).then_some(()) }).await;
    assert_eq!(alpha.call_count(Action::Balance), balances + 1);

    gateway.reload(&with_key(key)).await;
    let order =
        eventually("a list", || async { gateway.add(1, "https://example.com/p/1", 1000).await["order"].as_u64() })
            .await;
    gateway.until_state(order, "placed").await;
    eventually("the word for it", || async { (gateway.provider_state("alpha") == "on").then_some(()) }).await;
    let log = gateway.log();
    assert!(!log.contains(key) && !log.contains(DEFAULT_KEY), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_limits_give_no_second_burst_and_hold_over_the_reload() {
    let alpha = upstream(1).await;
    let limits = |rate: u32, burst: u32| {
        alpha_only(&alpha, &format!("requests_per_second = {rate}\nburst = {burst}\nsync_every = \"1h\""))
    };
    let gateway = Gateway::start(&limits(40, 40)).await;
    let orders = async |from: u32, to: u32| {
        let forms = (from..to).map(|n| {
            vec![
                ("key", gateway.key.clone()),
                ("action", "add".to_owned()),
                ("service", "1".to_owned()),
                ("quantity", "100".to_owned()),
                ("link", format!("https://example.com/{n}")),
            ]
        });
        gateway.post_at_once(forms).await
    };
    let slower = limits(10, 3);
    let (before, ()) = tokio::join!(orders(0, 60), gateway.reload(&slower));
    assert_eq!(before.len(), 60);
    let reloaded_at = tokio::time::Instant::now();
    eventually("all orders", || async { (alpha.order_count() == 60).then_some(()) }).await;
    let times: Vec<_> = alpha.calls().iter().map(|call| call.at).filter(|at| *at > reloaded_at).collect();
    // One more than the limit lets out, since calls may take unlike times on their way.
    for (first, from) in times.iter().enumerate() {
        for (last, to) in times.iter().enumerate().skip(first) {
            let (calls, within) = (last - first + 1, *to - *from);
            let most = 3 + usize::try_from(within.as_millis() / 100).unwrap() + 1;
            assert!(calls <= most, "{calls} calls within {within:?}");
        }
    }
    let early = times.iter().filter(|at| **at - reloaded_at < Duration::from_millis(50)).count();
    assert!(early <= 2, "{early} calls at once after the reload");
}
