//! The simulated panel as its callers see it: over real connections.

mod actions;
mod control;
mod wire;

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// A panel with a client of it.
struct Caller {
    sandbox: Sandbox,
    client: reqwest::Client,
}

impl Caller {
    async fn new(options: Options) -> Self {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { sandbox: start(options).await.unwrap(), client }
    }

    async fn usual() -> Self {
        Self::new(Options::default()).await
    }

    async fn fast(speed: u32) -> Self {
        Self::new(Options { speed, ..Options::default() }).await
    }

    fn faults(&self, spec: &str) {
        self.sandbox.set_faults(spec.parse().unwrap());
    }

    async fn post(&self, action: &str, params: &[(&str, &str)]) -> reqwest::Response {
        let form = [("key", DEFAULT_KEY), ("action", action)].iter().chain(params).copied().collect::<Vec<_>>();
        self.client.post(self.sandbox.url()).form(&form).send().await.unwrap()
    }

    /// An answer with status 200 as JSON.
    async fn call(&self, action: &str, params: &[(&str, &str)]) -> Value {
        let answer = self.post(action, params).await;
        assert_eq!(answer.status(), 200);
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// The ID of a new order of 100 followers.
    async fn order(&self, link: &str) -> String {
        let answer = self.call("add", &[("service", "1"), ("link", link), ("quantity", "100")]).await;
        answer["order"].as_u64().unwrap_or_else(|| panic!("no order: {answer}")).to_string()
    }

    async fn status(&self, id: &str) -> Value {
        self.call("status", &[("order", id)]).await
    }

    /// The statuses of an order until `last`, each once.
    async fn statuses_until(&self, id: &str, last: &str) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        let watch = async {
            while seen.last().is_none_or(|word| word != last) {
                let word = self.status(id).await["status"].as_str().unwrap().to_owned();
                if seen.last() != Some(&word) {
                    seen.push(word);
                }
            }
        };
        let watched = tokio::time::timeout(Duration::from_secs(30), watch).await;
        assert!(watched.is_ok(), "not {last} in time: {seen:?}");
        seen
    }

    /// Sends one `add` and leaves its connection open.
    async fn send_add(&self) -> TcpStream {
        let form = format!("key={DEFAULT_KEY}&action=add&service=1&link=l&quantity=100");
        let request = format!(
            "POST /api/v2 HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        let mut stream = TcpStream::connect(self.sandbox.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Waits until `count` calls of `add` came in.
    async fn adds_came(&self, count: u64) {
        let wait = async {
            while self.sandbox.call_count(Action::Add) < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
    }
}
