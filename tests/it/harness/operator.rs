//! What the operator sees of orders, and what is done to the store behind the gateway's back.

use std::time::Duration;

use serde_json::Value;

use super::{Gateway, database, eventually};

impl Gateway {
    /// The lines of an order's history, those marked that somebody has to look at.
    pub fn history(&self, order: u64) -> Vec<String> {
        let story = self.story(order);
        let line = |line: &Value| {
            let mark = if line["alert"] == true { "alert: " } else { "" };
            format!("{mark}{}", line["text"].as_str().unwrap())
        };
        story["history"].as_array().unwrap().iter().map(line).collect()
    }

    /// Asks the upstream for news until a line of the order's history holds this text; gives the line.
    pub async fn until_told(&self, order: u64, text: &str) -> String {
        eventually(&format!("order {order} to be told of {text:?}"), || async {
            self.polls_are_due();
            self.history(order).into_iter().find(|line| line.contains(text))
        })
        .await
    }

    /// Asks the upstream for news of an order that may have ended until its status is this one; gives the answer.
    pub async fn until_late_status(&self, order: u64, status: &str) -> Value {
        eventually(&format!("order {order} to be {status} after its end"), || async {
            self.polls_are_due();
            let answer = self.status(order).await;
            (answer["status"] == status).then_some(answer)
        })
        .await
    }

    /// Asks a provider for news of all its orders until it is frozen.
    pub async fn until_frozen(&self, provider: &str) {
        eventually(&format!("{provider} to be frozen"), || async {
            self.polls_are_due();
            let shown = self.cli_json(&["providers"]);
            let row = shown.as_array()?.iter().find(|row| row["provider"] == provider)?;
            (row["state"] == "frozen").then_some(())
        })
        .await;
    }

    /// Waits until every provider's list of the sandbox's 26 services is there: to be ready takes but one.
    pub async fn has_all_catalogues(&self) {
        eventually("every catalogue", || async {
            let providers = self.cli_json(&["providers"]);
            providers.as_array()?.iter().all(|provider| provider["services"] == 26).then_some(())
        })
        .await;
    }

    /// All orders as `orders list` shows them.
    pub fn orders(&self) -> Vec<Value> {
        self.cli_json(&["orders", "list", "--limit", "1000000"]).as_array().unwrap().clone()
    }

    /// Makes the poll of every placed or watched order due, as if its time had come: it is an hour off for one
    /// that has ended.
    pub fn polls_are_due(&self) {
        // Due from now on and not from ever: those that wait for their turn already go first, so that asking for this
        // again and again starves none.
        self.edit_store(match self.database() {
            // What a gateway has in hand is not waited for, which might wait for others of these.
            Some(_) => {
                "WITH clock AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now),
                 later AS (SELECT id AS of, now FROM orders, clock WHERE state IN ('placed', 'closed') AND due_at > now
                     FOR NO KEY UPDATE OF orders SKIP LOCKED)
                 UPDATE orders SET due_at = now FROM later WHERE id = of"
            }
            None => {
                "UPDATE orders SET due_at = now FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now) AS clock
                 WHERE state IN ('placed', 'closed') AND due_at > now"
            }
        });
    }

    /// Runs a statement in its store, past everything that guards it.
    pub fn edit_store(&self, sql: &str) {
        if let Some(url) = self.database() {
            database::execute(url, sql);
            return;
        }
        let store = rusqlite::Connection::open(self.store_file()).unwrap();
        store.busy_timeout(Duration::from_secs(30)).unwrap();
        store.execute(sql, []).unwrap();
    }
}
