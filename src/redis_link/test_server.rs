//! A Redis of a test's own, on a free port: it can be killed, started again, frozen and told things past the gateways. All
//! tests that need one include this file.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::free_port;

/// A redis-server that ends with the test. What it is told to save it has again after a restart.
pub struct Redis {
    /// On 127.0.0.1.
    pub port: u16,
    options: Vec<String>,
    folder: TempDir,
    child: Option<Child>,
}

impl Redis {
    /// A free port, with nothing on it yet; a server there is started with these options.
    pub fn prepare(options: &[&str]) -> Self {
        let port = free_port();
        let options = options.iter().map(ToString::to_string).collect();
        Self { port, options, folder: TempDir::new().unwrap(), child: None }
    }

    /// One that runs.
    pub async fn start() -> Self {
        let mut redis = Self::prepare(&[]);
        redis.launch().await;
        redis
    }

    /// Starts it (again) and waits until it takes connections.
    pub async fn launch(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let child = Command::new("redis-server")
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
            ])
            .arg(self.folder.path())
            .args(&self.options)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server must be in PATH (scripts/test installs it): {error}"));
        self.child = Some(child);
        let address = ("127.0.0.1", self.port);
        eventually("redis-server listens", async || TcpStream::connect(address).is_ok()).await;
    }

    /// Its address, with no password and no database.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// SIGKILL, at once; what it was not told to save is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGSTOP: connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Sends a command past the gateways; for a server with no password.
    pub async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.unwrap()
    }
}

/// Looks again and again until something has happened; ends the test where it never does.
pub async fn eventually(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !happened().await {
        assert!(began.elapsed() < Duration::from_secs(60), "not within 60 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
