//! The listeners over raw sockets: what is on the wire, byte for byte where it matters.

mod answers;
mod drain;
mod hostile;
mod ops;

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use super::*;
use crate::task::Tasks;

/// Answers with what it was asked. `action=slow` and `slow_read` wait for [`Echo::go`], `action=panic` panics, `action=big`
/// gives `n` bytes and has a compressed form.
struct Echo {
    within: Option<Duration>,
    go: Semaphore,
    begun: Notify,
    done: Notify,
}

impl Api for Echo {
    fn only_reads(&self, params: &Params) -> bool {
        params.get("action") != Some("slow") && params.get("write").is_none()
    }

    fn reads_within(&self) -> Option<Duration> {
        self.within
    }

    async fn answer(&self, params: Params, ip: IpAddr) -> Answer {
        match params.get("action") {
            Some("panic") => panic!("as asked"),
            Some("slow" | "slow_read") => {
                self.begun.notify_one();
                self.go.acquire().await.unwrap().forget();
                self.done.notify_one();
            }
            Some("big") => {
                let plain = format!("\"{}\"", "x".repeat(params.get("n").unwrap().parse().unwrap()));
                let mut gzip = Vec::new();
                let mut encoder = flate2::read::GzEncoder::new(plain.as_bytes(), flate2::Compression::fast());
                encoder.read_to_end(&mut gzip).unwrap();
                return Answer { plain: plain.into(), gzip: Some(gzip.into()) };
            }
            _ => {}
        }
        let params: serde_json::Map<_, _> =
            params.iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect();
        Answer::json(serde_json::json!({ "params": params, "ip": ip.to_string() }).to_string())
    }
}

/// A running listener.
struct Server {
    address: SocketAddr,
    api: Arc<Echo>,
    tasks: Tasks,
    stop: Arc<Notify>,
    serving: JoinHandle<usize>,
}

async fn start(limits: Limits, trusted: &[&str]) -> Server {
    start_with(limits, trusted, Duration::from_secs(30), None).await
}

async fn start_with(limits: Limits, trusted: &[&str], body_within: Duration, within: Option<Duration>) -> Server {
    let proxies = Arc::new(TrustedProxies::new(trusted.iter().map(|network| network.parse().unwrap()).collect()));
    let api = Arc::new(Echo { within, go: Semaphore::new(0), begun: Notify::new(), done: Notify::new() });
    let tasks = Tasks::new();
    let service = PublicApi::new(Arc::clone(&api), Arc::clone(&proxies), tasks.clone()).with_body_timeout(body_within);
    let (address, stop, serving) = listen(service, limits, proxies, &tasks).await;
    Server { address, api, tasks, stop, serving }
}

async fn listen<S: Respond>(
    service: S,
    limits: Limits,
    proxies: Arc<TrustedProxies>,
    tasks: &Tasks,
) -> (SocketAddr, Arc<Notify>, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Arc::new(Notify::new());
    let (stopped, inner) = (Arc::clone(&stop), tasks.clone());
    let serving =
        tasks.spawn(async move { serve(listener, service, limits, proxies, &inner, stopped.notified()).await });
    (address, stop, serving)
}

/// What came back.
#[derive(Debug)]
struct Got {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Got {
    fn status(&self) -> u16 {
        self.line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn param(&self, name: &str) -> String {
        self.json()["params"][name].as_str().unwrap_or_else(|| panic!("no {name}: {self:?}")).to_owned()
    }

    /// Every response: JSON with its length, and nothing that an old client can't read.
    fn is_plain_json(&self) {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        assert_eq!(self.header("content-length"), Some(self.body.len().to_string().as_str()), "{self:?}");
        assert_eq!(self.header("transfer-encoding"), None);
        assert_eq!(self.header("location"), None);
    }

    fn is_error(&self, status: u16) {
        assert_eq!(self.status(), status, "{self:?}");
        self.is_plain_json();
        let json = self.json();
        assert!(json["error"].as_str().is_some_and(|text| !text.is_empty()), "{json}");
        assert_eq!(json.as_object().unwrap().len(), 1, "no other key: {json}");
    }
}

/// A connection of a client.
struct Client(TcpStream);

impl Client {
    async fn connect(server: &Server) -> Self {
        Self(TcpStream::connect(server.address).await.unwrap())
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// One response; `None` where the connection ended before its first byte.
    async fn get(&mut self) -> Option<Got> {
        self.get_to("POST").await
    }

    async fn get_to(&mut self, method: &str) -> Option<Got> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match within(self.0.read(&mut byte)).await {
                Ok(1) => head.push(byte[0]),
                _ if head.is_empty() => return None,
                other => panic!("{other:?} in a head: {:?}", String::from_utf8_lossy(&head)),
            }
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
        let mut body = vec![0; if method == "HEAD" { 0 } else { length }];
        within(self.0.read_exact(&mut body)).await.unwrap();
        Some(Got { line, headers, body })
    }

    /// Waits until the server has ended the connection.
    async fn ended(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = within(self.0.read_to_end(&mut rest)).await;
        assert_eq!(String::from_utf8_lossy(&rest), "", "nothing more is said");
    }
}

/// One request on a connection of its own.
async fn ask(server: &Server, request: impl AsRef<[u8]>) -> Got {
    let mut client = Client::connect(server).await;
    client.send(request).await;
    client.get().await.unwrap()
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A wait that fails the test instead of hanging it.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing happened for 20 s")
}

fn gunzip(bytes: &[u8]) -> Bytes {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain.into()
}
