//! SIGHUP, and what came of it.

use super::gateway::signal;
use super::{Config, Gateway, eventually};

/// How often the log says that a configuration was taken, and that one was not.
fn outcomes(gateway: &Gateway) -> (usize, usize) {
    let log = gateway.log();
    (log.matches(": reloaded ").count(), log.matches(" was not reloaded").count())
}

impl Gateway {
    /// Has it read another configuration; gives whether it took it.
    pub async fn try_reload(&self, config: &Config) -> bool {
        self.reconfigure(config);
        let (taken, refused) = outcomes(self);
        signal(self.pid(), "HUP");
        eventually("a word on the reload", || async {
            let now = outcomes(self);
            (now != (taken, refused)).then_some(now.0 > taken)
        })
        .await
    }

    /// The same where it must be taken.
    pub async fn reload(&self, config: &Config) {
        assert!(self.try_reload(config).await, "the reload was refused");
    }

    /// The same where it must not; gives what was logged since.
    pub async fn refuses_reload(&self, config: &Config) -> String {
        let before = self.log().len();
        assert!(!self.try_reload(config).await, "the reload was taken");
        self.log().split_off(before)
    }

    /// A provider's state as `tollgate providers` shows it.
    pub fn provider_state(&self, provider: &str) -> String {
        let documents = self.cli_json(&["providers"]);
        let document = documents.as_array().unwrap().iter().find(|document| document["provider"] == provider);
        document.unwrap()["state"].as_str().unwrap().to_owned()
    }

    /// The rates of all services by their IDs, as clients see them.
    pub async fn rates(&self) -> Vec<(u64, String)> {
        let services = self.call("services", &[]).await;
        let rate = |service: &serde_json::Value| {
            (service["service"].as_u64().unwrap(), service["rate"].as_str().unwrap().to_owned())
        };
        services.as_array().unwrap().iter().map(rate).collect()
    }
}
