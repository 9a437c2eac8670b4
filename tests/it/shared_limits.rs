//! Limits over several gateways as an operator sees them: by what they are held, whatever Redis does, and that they are.

use std::time::Duration;

use tollgate::sandbox::{Action, Sandbox};

use crate::harness::{Cluster, Config, Gateway, Redis, accepted, eventually, upstream};

const RATE: u32 = 20;
const BURST: u32 = 4;

fn config(redis: &Redis, alpha: &Sandbox) -> Config {
    let limits = format!("requests_per_second = {RATE}\nburst = {BURST}\nconnect_timeout = \"1s\"");
    Config::new(&format!("[cache]\nurl = \"{}\"\ntimeout = \"500ms\"\n[dispatch]\nwait = \"0s\"", redis.url()))
        .provider("alpha", alpha, &limits)
        .service(1, "routes = [\"alpha:1\"]")
}

/// Waits until its metrics, and the console, say that limits are held by this.
async fn until_held_by(gateway: &Gateway, basis: &str, words: &str) {
    let read = async |path: &str| {
        let answer = gateway.http().get(format!("{}{path}", gateway.ops)).send().await.unwrap();
        answer.text().await.unwrap()
    };
    eventually(&format!("limits to be held by {basis}"), || async {
        let metrics = read("/metrics").await;
        let held: Vec<&str> = metrics.lines().filter(|line| line.starts_with("tollgate_limits_by{")).collect();
        assert_eq!(held.len(), 3, "{metrics}");
        let line = format!("tollgate_limits_by{{basis=\"{basis}\"}} 1");
        (held.contains(&line.as_str()) && held.iter().filter(|line| line.ends_with(" 1")).count() == 1).then_some(())
    })
    .await;
    if !words.is_empty() {
        eventually("the console to say so", || async { read("/console").await.contains(words).then_some(()) }).await;
    }
}

/// Orders at both, which take a second by the rate; all of them are bought.
async fn orders_go_on(gateways: &[Gateway; 2], alpha: &Sandbox, during: &str) {
    for number in 0..RATE / 2 {
        for (place, gateway) in gateways.iter().enumerate() {
            gateway.order(1, &format!("https://example.com/{during}/{place}/{number}"), 50).await;
        }
    }
    eventually(during, || async {
        let link = |place: usize, number| format!("https://example.com/{during}/{place}/{number}");
        (0..RATE / 2).all(|number| (0..2).all(|place| accepted(alpha, &link(place, number)) == 1)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_what_limits_are_held_is_shown_and_they_hold() {
    let (mut database, redis, alpha) = (Cluster::start(), Redis::start().await, upstream(20).await);
    let url = database.new_database().await;
    let config = config(&redis, &alpha);
    let mut gateways = [(); 2].map(|()| Gateway::prepare_on(&config, Some(url.clone())));
    for gateway in &mut gateways {
        gateway.launch().await;
    }
    let key = gateways[0].add_client("tester", &["--deposit", "1000"]);
    for gateway in &mut gateways {
        gateway.key.clone_from(&key);
        gateway.knows_key(&key).await;
        gateway.has_all_catalogues().await;
        until_held_by(gateway, "redis", "2 gateways serve this store; limits over all of them are held by Redis.")
            .await;
    }
    orders_go_on(&gateways, &alpha, "well").await;
    redis.fill().await;
    for gateway in &gateways {
        until_held_by(gateway, "share", "by the share that each of them has.").await;
        assert!(gateway.log().contains("it is full"), "{}", gateway.log());
    }
    orders_go_on(&gateways, &alpha, "full").await;
    redis.empty().await;
    for gateway in &gateways {
        until_held_by(gateway, "redis", "").await;
    }
    let _: String = redis.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    orders_go_on(&gateways, &alpha, "replica").await;
    for gateway in &gateways {
        until_held_by(gateway, "share", "").await;
    }
    let _: String = redis.command(&["REPLICAOF", "NO", "ONE"]).await;
    for gateway in &gateways {
        until_held_by(gateway, "redis", "").await;
    }
    orders_go_on(&gateways, &alpha, "again").await;
    database.kill();
    for gateway in &gateways {
        until_held_by(gateway, "nothing", "").await;
    }
    database.restart();
    for gateway in &gateways {
        until_held_by(gateway, "redis", "").await;
    }
    let times: Vec<_> = alpha.calls().iter().map(|call| call.at).collect();
    assert!(alpha.call_count(Action::Add) >= u64::from(RATE) * 4);
    // What was sent in time may arrive closer together on a busy machine.
    let late = Duration::from_millis(400);
    for (first, begin) in times.iter().enumerate() {
        for (count, end) in (1_u32..).zip(&times[first..]) {
            let window = end.duration_since(*begin) + late;
            let allowed = f64::from(RATE).mul_add(window.as_secs_f64(), f64::from(BURST));
            assert!(f64::from(count) <= allowed, "{count} calls in {window:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_gateway_on_a_file_has_no_limits_to_share() {
    let alpha = upstream(1).await;
    let config = Config::new("").provider("alpha", &alpha, "").service(1, "routes = [\"alpha:1\"]");
    let gateway = Gateway::start(&config).await;
    for path in ["/metrics", "/console"] {
        let answer = gateway.http().get(format!("{}{path}", gateway.ops)).send().await.unwrap().text().await.unwrap();
        assert!(!answer.contains("limits_by{") && !answer.contains("limits over all"), "{answer}");
    }
}
