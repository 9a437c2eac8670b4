//! The ops listener, and what the log and the metrics must never show.

use reqwest::StatusCode;
use serde_json::Value;
use tollgate::sandbox::{self, DEFAULT_KEY, Options};

use crate::harness::gateway::program;
use crate::harness::{Config, Gateway, Program, eventually, upstream};

async fn get(url: &str) -> (StatusCode, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(url).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_once_any_one_catalogue_is_there_and_says_why_before() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap();
    drop(listener);
    let lines = "sync_every = \"1s\"";
    let config = Config::new("")
        .provider_at("alpha", &format!("http://{listen}/api/v2"), lines)
        .provider_at("beta", "http://127.0.0.1:1/api/v2", lines)
        .service(1, "routes = [\"alpha:1\"]");
    let mut gateway = Gateway::prepare(&config);
    gateway.launch_unready().await;
    let (status, body) = get(&format!("{}/readyz", gateway.ops)).await;
    assert_eq!(status, 503);
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(document["ready"], false);
    assert!(document["reasons"][0].as_str().unwrap().contains("catalogue"), "{document}");
    assert_eq!(get(&format!("{}/healthz", gateway.ops)).await.0, 200);

    let _alpha = sandbox::start(Options { listen, ..Options::default() }).await.unwrap();
    eventually("it to be ready", || async { (get(&format!("{}/readyz", gateway.ops)).await.0 == 200).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_listener_serves_its_own_paths_only() {
    let alpha = upstream(20).await;
    let config = Config::new("").provider("alpha", &alpha, "").service(1, "routes = [\"alpha:1\"]");
    let gateway = Gateway::start(&config).await;
    let public = gateway.api.strip_suffix("/api/v2").unwrap().to_owned();
    for path in ["/healthz", "/readyz", "/metrics", "/console"] {
        let (status, body) = get(&format!("{public}{path}")).await;
        assert_eq!(status, 404, "{path}");
        assert!(serde_json::from_str::<Value>(&body).unwrap()["error"].is_string());
    }
    let query = format!("key={}&action=balance", gateway.key);
    for path in ["/api/v2", "/api/v2/", "/api/v1", "/api", "/"] {
        let (status, body) = get(&format!("{public}{path}?{query}")).await;
        assert_eq!((status.as_u16(), body.contains("balance")), (200, true), "{path}");
        let (status, body) = get(&format!("{}{path}?{query}", gateway.ops)).await;
        assert_eq!((status.as_u16(), body.contains("balance")), (404, false), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_where_one_is_set() {
    let alpha = upstream(20).await;
    let config = Config::new("")
        .server("ops_token = \"open-sesame\"")
        .provider("alpha", &alpha, "")
        .service(1, "routes = [\"alpha:1\"]");
    let mut gateway = Gateway::prepare(&config);
    gateway.launch_unready().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |path: &str, token: &str| {
        let request = client.get(format!("{}{path}", gateway.ops));
        request.header("authorization", token).send().await.unwrap().status().as_u16()
    };
    for path in ["/readyz", "/metrics"] {
        assert_eq!(get(&format!("{}{path}", gateway.ops)).await.0, 401, "{path}");
        assert_eq!(ask(path, "Bearer open").await, 401, "{path}");
        eventually("the page", || async { (ask(path, "Bearer open-sesame").await == 200).then_some(()) }).await;
    }
    assert_eq!(get(&format!("{}/healthz", gateway.ops)).await.0, 200, "a probe needs none");
    assert!(!gateway.log().contains("open-sesame"));
}

#[test]
fn an_ops_listener_that_others_can_reach_demands_a_token() {
    let config =
        |lines| Gateway::prepare(&Config::new("").text(lines).provider_at("alpha", "https://alpha.example", ""));
    let file = |gateway: &Gateway, lines: &str| {
        let text = std::fs::read_to_string(gateway.config_file()).unwrap();
        let text = text.replace("ops_listen = \"127.0.0.1:0\"", lines);
        std::fs::write(gateway.config_file(), text).unwrap();
        gateway.cli(&["check"]).status.code()
    };
    assert_eq!(file(&config(""), "ops_listen = \"0.0.0.0:9090\""), Some(2));
    assert_eq!(file(&config(""), "ops_listen = \"0.0.0.0:9090\"\nops_token = \"secret-enough\""), Some(0));
}

/// Calls of every kind, good and bad, by query and by form; gives the order's ID.
async fn busy_session(gateway: &Gateway, alpha: &sandbox::Sandbox) -> u64 {
    // An upstream that repeats our key in its errors, and one whose answers can't be read.
    alpha.set_faults(format!("error@add(bad key {DEFAULT_KEY}):1,garbage@status:2").parse().unwrap());
    gateway.call("services", &[]).await;
    gateway.add(1, "https://example.com/secret-link", 1000).await;
    let order = gateway.order(2, "https://example.com/p/1", 1000).await;
    gateway.until_status(order, "Completed").await;
    for query in ["action=balance", "action=status&orders=1,2,3", "action=nonsense", "action=refill&order=1"] {
        get(&format!("{}?key={}&{query}", gateway.api, gateway.key)).await;
    }
    gateway.post(&[("key", "ffffffffffffffffffffffffffffffff"), ("action", "balance")]).await;
    gateway.cli_json(&["sync"]);
    order
}

fn two_providers(alpha: &sandbox::Sandbox, beta: &sandbox::Sandbox) -> Config {
    Config::new("")
        .provider("alpha", alpha, "")
        .provider("beta", beta, "")
        .service(1, "routes = [\"alpha:1\", \"beta:1\"]")
        .service(2, "routes = [\"alpha:3\", \"beta:3\"]")
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_prometheus_text_and_name_nobody() {
    let (alpha, beta) = (upstream(20).await, upstream(20).await);
    let gateway = Gateway::start(&two_providers(&alpha, &beta).server("first_order_id = 7654321")).await;
    busy_session(&gateway, &alpha).await;
    let names = [
        "tollgate_http_requests_total",
        "tollgate_http_request_seconds",
        "tollgate_api_calls_total",
        "tollgate_orders",
        "tollgate_attempts_total",
        "tollgate_upstream_calls_total",
        "tollgate_upstream_call_seconds",
        "tollgate_status_cache_total",
        "tollgate_store_commits_total",
        "tollgate_sync_total",
    ];
    let text = eventually("every metric", || async {
        let (status, text) = get(&format!("{}/metrics", gateway.ops)).await;
        assert_eq!(status, 200);
        let has_value = |name: &&str| text.lines().any(|line| line.starts_with(*name));
        names.iter().all(|name| has_value(name) && text.contains(&format!("# TYPE {name} "))).then_some(text)
    })
    .await;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let value = line.rsplit(' ').next().unwrap();
        assert!(line.starts_with("tollgate_") && value.parse::<f64>().is_ok(), "{line}");
    }
    assert!(text.contains("tollgate_attempts_total{provider=\"alpha\",outcome=\"accepted\"} 1"), "{text}");
    for secret in [gateway.key.as_str(), DEFAULT_KEY, "tester", "7654321", "7654322", "http://", "example.com"] {
        assert!(!text.contains(secret), "{secret} is shown:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_shows_a_key_however_much_is_logged() {
    for level in ["info", "tollgate=debug,info", "tollgate=trace,debug", "trace"] {
        let (alpha, beta) = (upstream(20).await, upstream(20).await);
        let mut gateway = Gateway::prepare(&two_providers(&alpha, &beta));
        gateway.set_env("TOLLGATE_LOG", level);
        gateway.launch().await;
        gateway.key = gateway.add_client("tester", &["--deposit", "1000"]);
        gateway.knows_key(&gateway.key).await;
        busy_session(&gateway, &alpha).await;
        let key = gateway.key.clone();
        assert!(gateway.stop().await.success());
        let log = gateway.log();
        assert!(log.contains("stopped"), "it was all read");
        for secret in [key.as_str(), DEFAULT_KEY, "ffffffffffffffffffffffffffffffff"] {
            let shown: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
            assert!(shown.is_empty(), "at {level} {secret} is shown: {shown:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_json_where_that_is_asked_for() {
    let alpha = upstream(20).await;
    let config = Config::new("").provider("alpha", &alpha, "").service(1, "routes = [\"alpha:1\"]");
    let gateway = Gateway::prepare(&config);
    let mut command = program();
    command.arg("--config").arg(gateway.config_file()).args(["serve", "--log-format", "json"]);
    let mut server = Program::start(command);
    eventually("the first sync", || async { server.stderr().contains("synced the catalogue").then_some(()) }).await;
    assert!(server.terminate().await.success());
    for line in server.stderr().lines() {
        let document: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(document["message"].is_string() && document["level"].is_string(), "{line}");
    }
    assert_eq!(server.stdout(), "");
}
