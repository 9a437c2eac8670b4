//! A Redis with TLS, passwords and users: the right ones are used, the wrong ones are told of in words that hold no
//! secret, and no request fails for them.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::sandbox::Sandbox;

use crate::harness::certificate::Certificate;
use crate::harness::{Config, Gateway, eventually, upstream};

/// With every character that means something in a URL.
const PASSWORD: &str = "p@ss:w/0r?d#%";
const ENCODED: &str = "p%40ss%3Aw%2F0r%3Fd%23%25";
const USER: &str = "toll@gate";
const ENCODED_USER: &str = "toll%40gate";

/// A redis-server with a port for TLS, a password, and a user with a password and no more rights than it needs.
struct SecureRedis {
    port: u16,
    tls_port: u16,
    certificate: Certificate,
    child: Child,
    _folder: TempDir,
}

impl SecureRedis {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let certificate = Certificate::make(folder.path());
        let [port, tls_port] = free_ports();
        let lines = format!(
            "bind 127.0.0.1\nport {port}\ntls-port {tls_port}\ntls-auth-clients no\nsave \"\"\ndir {}\n\
             tls-ca-cert-file {}\ntls-cert-file {}\ntls-key-file {}\n\
             requirepass \"{PASSWORD}\"\nuser {USER} on \">{PASSWORD}\" ~tollgate:* +@all -@admin -@dangerous\n",
            folder.path().display(),
            certificate.authority.display(),
            certificate.chain.display(),
            certificate.key.display(),
        );
        let file = folder.path().join("redis.conf");
        std::fs::write(&file, lines).unwrap();
        let child = Command::new("redis-server")
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server must be in PATH (scripts/test installs it): {error}"));
        for port in [port, tls_port] {
            eventually("redis-server to listen", || async { TcpStream::connect(("127.0.0.1", port)).ok() }).await;
        }
        Self { port, tls_port, certificate, child, _folder: folder }
    }

    /// With TLS; `user` is what stands before the host.
    fn url(&self, user: &str) -> String {
        format!("rediss://{user}127.0.0.1:{}/3", self.tls_port)
    }

    async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(format!("redis://:{ENCODED}@127.0.0.1:{}/3", self.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.unwrap()
    }

    async fn holds(&self) -> usize {
        self.command::<Vec<String>>(&["KEYS", "tollgate:*:status:*"]).await.len()
    }
}

/// Two at once, so that they differ.
fn free_ports() -> [u16; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|port| port.local_addr().unwrap().port())
}

impl Drop for SecureRedis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gateway whose Redis is at this URL, by a variable, and that may trust its certificate.
fn gateway(redis: &SecureRedis, alpha: &Sandbox, url: &str, trusts: bool) -> Gateway {
    let config = Config::new("[cache]\nurl = \"env:TEST_REDIS\"\nstatus_ttl = \"100ms\"\ntimeout = \"1s\"")
        .provider("alpha", alpha, "")
        .service(1, "routes = [\"alpha:1\"]");
    let mut gateway = Gateway::prepare(&config);
    gateway.set_env("TEST_REDIS", url);
    if trusts {
        gateway.set_env("SSL_CERT_FILE", redis.certificate.authority.to_str().unwrap());
    }
    gateway
}

/// Starts it and follows one order to its end; gives the order.
async fn serves(gateway: &mut Gateway) -> u64 {
    gateway.launch().await;
    gateway.key = gateway.add_client("tester", &["--deposit", "100"]);
    gateway.knows_key(&gateway.key).await;
    let order = gateway.order(1, "https://example.com/p/1", 1000).await;
    gateway.until_status(order, "Completed").await;
    order
}

/// What `check --online` says of Redis, and its exit status.
fn checked(gateway: &Gateway) -> (Option<i32>, Value) {
    let output = gateway.cli(&["check", "--online", "--json"]);
    let shown = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    no_secret_in(&shown);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {shown}"));
    (output.status.code(), document["cache"].clone())
}

fn no_secret_in(text: &str) {
    for secret in [PASSWORD, ENCODED, "wrong-pass"] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// The warning about Redis, once there is one.
async fn warning(gateway: &Gateway) -> String {
    let line = eventually("a warning about Redis", || async {
        let log = gateway.log();
        log.lines().find(|line| line.contains("WARN") && line.contains("cache.url")).map(str::to_owned)
    })
    .await;
    no_secret_in(&gateway.log());
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_go_through_tls_by_password_and_by_user() {
    let (redis, alpha) = (SecureRedis::start().await, upstream(10).await);
    for user in [format!(":{ENCODED}@"), format!("{ENCODED_USER}:{ENCODED}@")] {
        let mut gateway = gateway(&redis, &alpha, &redis.url(&user), true);
        let expected = json!({"address": redis.url(""), "error": null});
        assert_eq!(checked(&gateway), (Some(0), expected));
        let order = serves(&mut gateway).await;
        eventually("a status in Redis", || async {
            gateway.status(order).await;
            (redis.holds().await > 0).then_some(())
        })
        .await;
        let log = gateway.log();
        assert!(!log.contains("cache.url"), "{log}");
        no_secret_in(&log);
        let _: String = redis.command(&["FLUSHALL"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_the_right_one_is_taken_later() {
    let (redis, alpha) = (SecureRedis::start().await, upstream(10).await);
    let url = redis.url(&format!("{ENCODED_USER}:wrong-pass@"));
    let mut gateway = gateway(&redis, &alpha, &url, true);
    let (status, document) = checked(&gateway);
    assert_eq!((status, &document["address"]), (Some(1), &json!(redis.url(""))));
    assert!(document["error"].as_str().unwrap().contains("refuses the user name or password"), "{document}");
    let order = serves(&mut gateway).await;
    let warning = warning(&gateway).await;
    assert!(warning.contains("refuses the user name or password"), "{warning}");
    let _: String = redis.command(&["ACL", "SETUSER", USER, ">wrong-pass"]).await;
    eventually("a status in Redis", || async {
        gateway.status(order).await;
        (redis.holds().await > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted_is_told() {
    let (redis, alpha) = (SecureRedis::start().await, upstream(10).await);
    let mut gateway = gateway(&redis, &alpha, &redis.url(&format!(":{ENCODED}@")), false);
    let (status, document) = checked(&gateway);
    assert_eq!(status, Some(1));
    assert!(document["error"].as_str().unwrap().contains("SSL_CERT_FILE"), "{document}");
    serves(&mut gateway).await;
    let warning = warning(&gateway).await;
    assert!(warning.contains("certificate") && warning.contains("SSL_CERT_FILE"), "{warning}");
    assert_eq!(redis.holds().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_miss_a_redis_has_its_word() {
    let (redis, alpha) = (SecureRedis::start().await, upstream(1).await);
    let _: String = redis.command(&["ACL", "SETUSER", "reader", "on", ">reading", "~tollgate:*", "+@read"]).await;
    let nothing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (url, expected) in [
        (format!("rediss://:{ENCODED}@127.0.0.1:{}", redis.port), "is that its port for TLS"),
        (format!("redis://:{ENCODED}@127.0.0.1:{}", redis.tls_port), "the connection failed"),
        (format!("redis://127.0.0.1:{}", redis.port), "it asks for a password"),
        (format!("redis://:{ENCODED}@127.0.0.1:{}/999", redis.port), "DB index is out of range"),
        (format!("redis://reader:reading@127.0.0.1:{}", redis.port), "lacks a right"),
        (format!("redis://:{ENCODED}@127.0.0.1:{nothing}"), "connection refused"),
    ] {
        let (status, document) = checked(&gateway(&redis, &alpha, &url, true));
        let error = document["error"].as_str().unwrap_or_default();
        assert!(status == Some(1) && error.contains(expected), "{url}: {document}");
    }
    let bad = gateway(&redis, &alpha, &format!("rediss://:{PASSWORD}@127.0.0.1"), true);
    let output = bad.cli(&["check"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("env:TEST_REDIS") && said.contains("write % as %25"), "{said}");
    no_secret_in(&said);
}
