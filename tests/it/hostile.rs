//! Hostile clients of every kind, while a well-behaved one goes on with its work.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::harness::{Caller, Config, Gateway, upstream};

/// What a well-behaved client waits for at most. The gateway answers within a second; this machine has two cores for
/// it, its attackers, and whatever else is being built and tested beside it.
const PATIENCE: Duration = Duration::from_secs(3);
/// What the process may have taken up at its peak, in KiB.
const MOST_MEMORY: u64 = 200 * 1024;

async fn shop() -> (tollgate::sandbox::Sandbox, Gateway) {
    let alpha = upstream(1).await;
    let config = Config::new("[dispatch]\nwait = \"500ms\"")
        .provider("alpha", &alpha, "")
        .service(1, "routes = [\"alpha:1\"]")
        .text("[[import]]\nprovider = \"alpha\"\nid_offset = 1000\n");
    let gateway = Gateway::start(&config).await;
    (alpha, gateway)
}

/// An address of its own under 127.0.0.0/8, which is no trusted proxy.
const fn stranger(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 9, host)
}

async fn connect(gateway: &Gateway, from: Ipv4Addr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::V4(from), 0)).unwrap();
    let address = gateway.api.strip_prefix("http://").unwrap().split('/').next().unwrap();
    socket.connect(address.parse().unwrap()).await.ok()
}

/// Sends `bytes` on a connection of its own and reads to its end; gives what came.
async fn say(gateway: &Gateway, from: Ipv4Addr, bytes: &[u8]) -> String {
    let Some(mut socket) = connect(gateway, from).await else { return String::new() };
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let reading = socket.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(60), reading).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses in what a connection gave.
fn statuses(answer: &str) -> Vec<u16> {
    let heads = answer.split("HTTP/1.").skip(1);
    heads.filter_map(|head| head.split(' ').nth(1)?.parse().ok()).collect()
}

fn post(headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST /api/v2 HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

/// A well-behaved client that works until it is told to stop; gives how long each of its calls took.
struct Worker {
    stop: Arc<AtomicBool>,
    task: JoinSet<Vec<Duration>>,
}

impl Worker {
    fn start(caller: Caller) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut took = Vec::new();
            let mut timed = async |action: &str, parameters: &[(&str, &str)], wants: &str| {
                let began = Instant::now();
                let answer = caller.call(action, parameters).await.unwrap();
                took.push(began.elapsed());
                assert!(answer.get(wants).is_some(), "{action}: {answer}");
                answer
            };
            let mut number = 0;
            while !told.load(Ordering::SeqCst) {
                number += 1;
                let link = format!("https://example.com/good/{number}");
                let form = [("service", "1"), ("link", &link), ("quantity", "50")];
                let order = timed("add", &form, "order").await["order"].to_string();
                timed("status", &[("order", &order)], "status").await;
                timed("balance", &[], "balance").await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            took
        });
        Self { stop, task }
    }

    /// Every call must have been answered in time.
    async fn was_served(self, what: &str) {
        self.was_served_within(what, PATIENCE).await;
    }

    async fn was_served_within(mut self, what: &str, patience: Duration) {
        self.stop.store(true, Ordering::SeqCst);
        let mut took = self.task.join_next().await.unwrap().unwrap();
        took.sort_unstable();
        let slowest = *took.last().unwrap();
        let typical = took[took.len() / 2];
        println!("{what}: {} calls, median {typical:?}, slowest {slowest:?}", took.len());
        assert!(slowest < patience, "{what}: a call took {slowest:?}");
    }
}

/// The gateway is as well as before: little memory, no panic, nothing answered by a 5xx.
fn is_unharmed(gateway: &Gateway) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("peak memory: {} MiB", peak / 1024);
    assert!(peak < MOST_MEMORY, "its peak is {peak} KiB");
    let log = gateway.log();
    assert!(!log.contains("panic"), "{log}");
}

/// How long the gateway's threads have run.
fn processor_time(gateway: &Gateway) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", gateway.pid())).unwrap();
    // After the name, which may hold anything: user and system time, in hundredths of a second.
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
}

fn no_server_error(answers: &[String]) -> usize {
    let mut all = answers.iter().flat_map(|answer| statuses(answer));
    assert!(all.all(|status| status < 500), "{answers:?}");
    answers.iter().filter(|answer| !answer.is_empty()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_keep_nobody_out() {
    let (_alpha, gateway) = shop().await;
    let worker = Worker::start(gateway.caller());
    let mut held = Vec::new();
    for number in 0..500 {
        let mut socket = connect(&gateway, stranger(1)).await.unwrap();
        let begun: &[u8] = match number % 3 {
            0 => b"",
            1 => b"POST /api/v2 HTTP/1.1\r\nhost: x\r\ncontent-le",
            _ => b"POST /api/v2 HTTP/1.1\r\nhost: x\r\ncontent-length: 70000\r\n\r\nkey=",
        };
        socket.write_all(begun).await.unwrap();
        held.push(socket);
    }
    // They are let go by themselves: first those whose head is late, after 10 s.
    let mut answers = Vec::new();
    for mut socket in held {
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        answers.push(String::from_utf8_lossy(&answer).into_owned());
    }
    assert!(no_server_error(&answers) > 300, "who began a request is told");
    assert!(answers.iter().flat_map(|answer| statuses(answer)).all(|status| status == 408));
    worker.was_served("500 half-open connections").await;
    is_unharmed(&gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_and_broken_requests_are_refused_cheaply() {
    let (_alpha, gateway) = shop().await;
    let gateway = Arc::new(gateway);
    let worker = Worker::start(gateway.caller());
    let huge = "x".repeat(10 << 20);
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
    let chunked = "POST /api/v2 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let json = "content-type: application/json\r\nconnection: close\r\n";
    // Just under the limit of 1 MiB, and made to take up as much as possible once it is read.
    let many = |part: &str| part.repeat((1 << 20) / part.len() - 2);
    let requests: Vec<(&str, Vec<u8>)> = vec![
        ("10 MB", post("", &huge)),
        ("10 MB in chunks", format!("{chunked}{}0\r\n\r\n", chunk.repeat(10)).into_bytes()),
        ("a giant header", format!("GET /api/v2 HTTP/1.1\r\nx: {huge}\r\n\r\n").into_bytes()),
        ("many headers", format!("GET /api/v2 HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100_000)).into_bytes()),
        ("a giant query", format!("GET /api/v2?{huge} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes()),
        ("a broken chunk", format!("{chunked}zz\r\nkey=1\r\n0\r\n\r\n").into_bytes()),
        ("an endless chunk", format!("{chunked}ffffffffffffffff\r\nkey=1").into_bytes()),
        ("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec()),
        ("deep JSON", post(json, &"[".repeat((1 << 20) - 1))),
        ("a deep object", post(json, &many("{\"a\":"))),
        ("many numbers", post(json, &format!("{{\"orders\":[{}1]}}", many("1,")))),
        ("many members", post(json, &format!("{{{}\"a\":1}}", many("\"a\":1,")))),
        (
            "many fields",
            post("content-type: application/x-www-form-urlencoded\r\nconnection: close\r\n", &many("a=b&")),
        ),
        ("many names", post("connection: close\r\n", &(0..90_000).map(|n| format!("{n}=&")).collect::<String>())),
        (
            "broken multipart",
            post("content-type: multipart/form-data; boundary=b\r\nconnection: close\r\n", &many("--b\r\n")),
        ),
    ];
    let mut calls = JoinSet::new();
    for round in 0..4 {
        for (what, request) in &requests {
            let (gateway, what, request) = (Arc::clone(&gateway), *what, request.clone());
            calls.spawn(async move { (what, say(&gateway, stranger(10 + round), &request).await) });
        }
    }
    while let Some(answer) = calls.join_next().await {
        let (what, answer) = answer.unwrap();
        assert!(answer.is_empty() || answer.contains("\"error\""), "{what}: {answer}");
        no_server_error(&[answer]);
    }
    worker.was_served("huge and broken requests").await;
    is_unharmed(&gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_and_slow_readers_hold_nothing_up() {
    let (_alpha, gateway) = shop().await;
    let gateway = Arc::new(gateway);
    let worker = Worker::start(gateway.caller());
    let list = format!("GET /api/v2?action=services&key={} HTTP/1.1\r\nhost: x\r\n\r\n", gateway.key).into_bytes();

    // Readers that take a few bytes and then no more, of many answers.
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut socket = connect(&gateway, stranger(20)).await.unwrap();
        let _ = tokio::time::timeout(Duration::from_millis(50), socket.write_all(&list.repeat(2000))).await;
        let mut few = [0; 100];
        let _ = socket.read(&mut few).await;
        slow.push(socket);
    }
    // And pipelines that are read, each whole and in order.
    let mut pipelines = JoinSet::new();
    for number in 0..10 {
        let gateway = Arc::clone(&gateway);
        let call = format!("GET /api/v2?action=balance&key={} HTTP/1.1\r\nhost: x\r\n\r\n", gateway.key);
        let last = "GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let request = [call.repeat(500).as_bytes(), last.as_bytes()].concat();
        pipelines.spawn(async move { say(&gateway, stranger(30 + number), &request).await });
    }
    while let Some(answer) = pipelines.join_next().await {
        let found = statuses(&answer.unwrap());
        assert_eq!((found.len(), found.last()), (501, Some(&404)));
        assert!(found[..500].iter().all(|status| *status == 200));
    }
    worker.was_served("pipelines and slow readers").await;
    is_unharmed(&gateway);
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_that_never_end_do_not_fill_the_memory() {
    let (_alpha, gateway) = shop().await;
    let worker = Worker::start(gateway.caller());
    let body = "x".repeat(1_000_000);
    let begun = format!("POST /api/v2 HTTP/1.1\r\nhost: x\r\ncontent-length: 1040000\r\n\r\n{body}");
    let mut held = JoinSet::new();
    for number in 0..400 {
        let mut socket = connect(&gateway, stranger(if number < 200 { 50 } else { 51 })).await.unwrap();
        let begun = begun.clone();
        held.spawn(async move {
            // What is not read at once may never be.
            let _ = tokio::time::timeout(Duration::from_secs(5), socket.write_all(begun.as_bytes())).await;
            socket
        });
    }
    let held = held.join_all().await;
    worker.was_served("400 large bodies that do not end").await;
    is_unharmed(&gateway);
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_are_slowed_down_and_right_ones_beside_them_are_not() {
    let (_alpha, gateway) = shop().await;
    let gateway = Arc::new(gateway);
    let worker = Worker::start(gateway.caller());
    // All from one address, as a proxy of ours tells it.
    let asked = Arc::clone(&gateway);
    let call = move |key: &str| {
        let request = format!(
            "GET /api/v2?action=balance&key={key} HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 192.0.2.7\r\n\
             connection: close\r\n\r\n"
        );
        let gateway = Arc::clone(&asked);
        async move {
            let began = Instant::now();
            let answer = say(&gateway, Ipv4Addr::LOCALHOST, request.as_bytes()).await;
            (began.elapsed(), answer)
        }
    };
    // A thousand a second for three seconds, and meanwhile right keys from the same address.
    let (began, delay) = (Instant::now(), Duration::from_secs(1));
    // Sixty wrong ones, and one more each second, are answered at once: whatever this machine takes for it.
    let most_at_once = move || 61 + began.elapsed().as_secs();
    let is_over = Arc::new(AtomicBool::new(false));
    let mut right = JoinSet::new();
    let (told, again) = (Arc::clone(&is_over), call.clone());
    let key = gateway.key.clone();
    right.spawn(async move {
        let (mut at_once, mut slowest) = (0, Duration::ZERO);
        while !told.load(Ordering::SeqCst) || at_once <= most_at_once() {
            let (took, answer) = again(&key).await;
            assert!(answer.contains("\"balance\""), "{answer}");
            at_once += u64::from(took < delay);
            slowest = slowest.max(took);
            let most = most_at_once();
            assert!(
                most < 240,
                "right keys are slowed like wrong ones: {at_once} were answered at once, and not {most}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (at_once, slowest)
    });
    let mut wrong = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    for number in 0..3000_u32 {
        if number % 10 == 0 {
            tick.tick().await;
        }
        let call = call(&format!("{number:032x}"));
        wrong.spawn(call);
    }
    let (mut at_once, mut late) = (0, 0);
    while let Some(call) = wrong.join_next().await {
        let (took, answer) = call.unwrap();
        assert_eq!(statuses(&answer), [200]);
        assert!(answer.contains("Invalid API key"), "{answer}");
        if took < delay { at_once += 1 } else { late += 1 }
    }
    let most = most_at_once();
    println!("{at_once} wrong keys were answered at once, {late} late");
    assert!(at_once <= most, "{at_once} wrong keys were answered at once, and not {most}");
    is_over.store(true, Ordering::SeqCst);
    let (at_once, slowest) = right.join_next().await.unwrap().unwrap();
    println!("{at_once} right keys were answered at once, the slowest after {slowest:?}");
    // A machine that has no time for the gateway lets everybody wait.
    worker.was_served_within("a thousand wrong keys a second", PATIENCE + slowest * 2).await;
    // How much time the gateway takes is the same there.
    let used = processor_time(&gateway);
    println!("the gateway ran for {used:?}");
    assert!(used < Duration::from_secs(10), "the gateway ran for {used:?}");
    is_unharmed(&gateway);
}
