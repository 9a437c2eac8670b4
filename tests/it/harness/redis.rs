//! A Redis of a test's own, and what it holds.

#[path = "../../../src/redis_link/test_server.rs"]
mod server;

use super::free_port;
pub use server::Redis;

impl Redis {
    /// Forgets all that it holds.
    pub async fn flush(&self) {
        let _: String = self.command(&["FLUSHALL"]).await;
    }

    /// Every key that holds a plain value, with that.
    pub async fn entries(&self) -> Vec<(String, Vec<u8>)> {
        let keys: Vec<String> = self.command(&["KEYS", "*"]).await;
        let mut entries = Vec::new();
        for key in keys {
            let kind: String = self.command(&["TYPE", &key]).await;
            if kind == "string" {
                let value: Option<Vec<u8>> = self.command(&["GET", &key]).await;
                entries.extend(value.map(|value| (key, value)));
            }
        }
        entries
    }

    /// Puts a value in the place of another.
    pub async fn set(&self, key: &str, value: &[u8]) {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let () = redis::cmd("SET").arg(key).arg(value).query_async(&mut connection).await.unwrap();
    }

    /// Takes nothing more in, and drops nothing for it.
    pub async fn fill(&self) {
        let _: String = self.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1"]).await;
    }

    /// Has room again.
    pub async fn empty(&self) {
        let _: String = self.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    }
}
