//! Clients that others wrote, unmodified: each runs the same session in a process of its own.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;
use tollgate::sandbox::Sandbox;

use crate::harness::{Config, Gateway, upstream};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/clients");

async fn shop() -> (Sandbox, Gateway) {
    let alpha = upstream(1).await;
    let import = "[[import]]\nprovider = \"alpha\"\nid_offset = 1000";
    let gateway = Gateway::start(&Config::new("").provider("alpha", &alpha, "").text(import)).await;
    (alpha, gateway)
}

/// Runs a script of the folder; gives the document that it prints.
async fn run(program: &str, script: &str, arguments: &[&str]) -> Value {
    let output = Command::new(program)
        .arg(format!("{FOLDER}/{script}"))
        .args(arguments)
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap_or_else(|error| {
            panic!("cannot run {program} ({error}): run the tests by scripts/test, which installs it")
        });
    let (printed, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}: {complaints}{printed}");
    serde_json::from_str(&printed)
        .unwrap_or_else(|error| panic!("{script} printed no JSON ({error}): {printed}{complaints}"))
}

/// What every client must have seen, and what its upstream must have been sent.
fn assert_session(seen: &Value, alpha: &Sandbox, at: &str) {
    let services = seen["services"].as_array().unwrap();
    assert_eq!((services.len(), &services[0]["service"], &services[0]["rate"]), (26, &json!(1001), &json!("1.08")));
    assert_eq!(seen["balance"], json!({"balance": "1000", "currency": "USD"}));
    let ids = ["plain", "drip", "comments"].map(|name| seen[name]["order"].as_u64().unwrap());
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!((&seen["status"]["charge"], &seen["status"]["remains"]), (&json!("0.108"), &json!("100")));
    let charge = |id: &str| seen["statuses"][id]["charge"].clone();
    assert_eq!(["1", "2", "3"].map(charge), [json!("0.108"), json!("0.162"), json!("0.0192")]);
    assert_eq!(seen["statuses"]["999"], json!({"error": "Incorrect order ID"}));
    assert_eq!(
        seen["errors"],
        json!({
            "quantity": "Quantity less than minimal 50", "order": "Incorrect order ID", "key": "Invalid API key",
        })
    );
    assert_eq!(seen["left"], json!({"balance": "999.7108", "currency": "USD"}), "{at}");
    let orders = alpha.orders();
    assert_eq!(orders.len(), 3);
    assert_eq!(orders[0].link, "https://example.com/p/1?a=1&b=2");
    assert_eq!((orders[1].quantity, orders[1].params["runs"].as_str()), (50, "3"));
    assert_eq!(orders[2].params["comments"], "good & nice\nвау");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works_unmodified() {
    let python = std::env::var("TOLLGATE_TEST_PYTHON").unwrap_or_else(|_| {
        panic!("TOLLGATE_TEST_PYTHON names no Python with smmpy: run the tests by scripts/test, which installs it")
    });
    let (alpha, gateway) = shop().await;
    let seen = run(&python, "session.py", &[&gateway.api, &gateway.key]).await;
    assert_session(&seen, &alpha, "smmpy");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_php_class_works_with_a_form() {
    for path in ["/api/v2", "/api/v2/", "/"] {
        let (alpha, gateway) = shop().await;
        let seen = run("php", "sample.php", &[&gateway.at(path), &gateway.key, "form"]).await;
        assert_session(&seen, &alpha, path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_php_class_works_with_an_array() {
    let (alpha, gateway) = shop().await;
    let seen = run("php", "sample.php", &[&gateway.api, &gateway.key, "array"]).await;
    assert_session(&seen, &alpha, "array");
}
