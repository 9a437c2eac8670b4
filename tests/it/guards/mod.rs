//! What a provider says is not believed blindly: reused IDs, short lists, foreign accounts, prices that do not hold.

mod account;
mod lists;
mod money;

use serde_json::Value;
use tollgate::sandbox::{Sandbox, SandboxService, default_services};

use crate::harness::{Config, Gateway};

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
