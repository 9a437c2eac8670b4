//! A Redis of a test's own, on a free port: it can be killed, restarted and frozen.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::eventually;
use super::gateway::signal;
use super::postgres::free_port;

/// A redis-server that keeps nothing on disk and ends with the test.
pub struct Redis {
    port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Redis {
    /// A free port, with nothing on it yet.
    pub fn prepare() -> Self {
        Self { port: free_port(), folder: TempDir::new().unwrap(), child: None }
    }

    /// One that runs.
    pub async fn start() -> Self {
        let mut redis = Self::prepare();
        redis.launch().await;
        redis
    }

    /// Starts it (again) and waits until it takes connections.
    pub async fn launch(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server must be in PATH (scripts/test installs it): {error}"));
        self.child = Some(child);
        let address = ("127.0.0.1", self.port);
        eventually("redis-server to listen", || async { TcpStream::connect(address).ok() }).await;
    }

    /// `cache.url`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// SIGKILL, at once; what it held is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGSTOP: connections stay open and nothing answers.
    pub fn freeze(&self) {
        signal(self.child.as_ref().unwrap().id(), "STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        signal(self.child.as_ref().unwrap().id(), "CONT");
    }

    /// Forgets all that it holds.
    pub async fn flush(&self) {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();
    }

    /// Takes nothing more in, and drops nothing for it.
    pub async fn fill(&self) {
        self.configure("maxmemory-policy", "noeviction").await;
        self.configure("maxmemory", "1").await;
    }

    /// Has room again.
    pub async fn empty(&self) {
        self.configure("maxmemory", "0").await;
    }

    async fn configure(&self, name: &str, value: &str) {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let command = ["SET", name, value];
        let () = redis::cmd("CONFIG").arg(&command).query_async(&mut connection).await.unwrap();
    }

    /// Every key that it holds with its value.
    pub async fn entries(&self) -> Vec<(String, Vec<u8>)> {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
        let mut entries = Vec::new();
        for key in keys {
            let value: Option<Vec<u8>> = redis::cmd("GET").arg(&key).query_async(&mut connection).await.unwrap();
            entries.extend(value.map(|value| (key, value)));
        }
        entries
    }

    /// Puts a value in the place of another.
    pub async fn set(&self, key: &str, value: &[u8]) {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let () = redis::cmd("SET").arg(key).arg(value).query_async(&mut connection).await.unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
