use std::io::Write as _;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;

/// What a scripted server does with one request.
#[derive(Clone)]
enum Does {
    /// Writes these bytes and keeps the connection.
    Writes(Vec<u8>),
    /// Writes these bytes and closes.
    WritesAndCloses(Vec<u8>),
    /// Says nothing, and keeps the connection.
    Hangs,
}

/// A server on a free port that handles one request after the other as its script says, and keeps what it saw.
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Server {
    async fn start(script: impl IntoIterator<Item = Does>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v2?secret=in-query", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.into_iter().collect::<Vec<_>>().into_iter()));
        let mut task = JoinSet::new();
        let seen_by_server = Arc::clone(&seen);
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(converse(stream, Arc::clone(&script), Arc::clone(&seen_by_server)));
            }
        });
        Self { url, seen, _task: task }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn converse(mut stream: TcpStream, script: Arc<Mutex<std::vec::IntoIter<Does>>>, seen: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = read_request(&mut stream).await {
        seen.lock().unwrap().push(request);
        let next = script.lock().unwrap().next();
        match next {
            Some(Does::Writes(bytes)) => stream.write_all(&bytes).await.unwrap(),
            Some(Does::WritesAndCloses(bytes)) => {
                stream.write_all(&bytes).await.unwrap();
                return;
            }
            Some(Does::Hangs) | None => std::future::pending().await,
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:").map(|length| length.trim().parse::<usize>())
            });
            if body.len() >= length.unwrap().unwrap() {
                return Some(text);
            }
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn ok() -> Does {
    Does::Writes(answer("200 OK", "", b"{\"order\":1}"))
}

fn wire(url: &str, timeout: Duration) -> HttpWire {
    HttpWire::new(&HttpWireOptions {
        url: url.to_owned(),
        connect_timeout: Duration::from_secs(5),
        timeout,
        add_timeout: timeout,
        max_in_flight: 4,
    })
    .unwrap()
}

async fn send(wire: &HttpWire, kind: CallKind) -> Result<Reply, TransportError> {
    let form = vec![("key".into(), "the-key".to_owned()), ("link".into(), "https://a/?x=1&y=ü".to_owned())];
    wire.send(form, kind).await
}

const PATIENCE: Duration = Duration::from_secs(20);

fn assert_unknown(result: &Result<Reply, TransportError>) {
    let Err(TransportError::Unknown(text)) = result else { panic!("{result:?}") };
    assert!(!text.contains("in-query") && !text.contains("the-key") && !text.contains("127.0.0.1"), "{text}");
}

#[tokio::test]
async fn a_form_is_posted_and_the_answer_read() {
    let server = Server::start([ok()]).await;
    let reply = send(&wire(&server.url, PATIENCE), CallKind::Add).await.unwrap();
    assert_eq!((reply.status, &reply.body[..]), (200, &b"{\"order\":1}"[..]));
    let request = server.seen().concat();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /api/v2?secret=in-query http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-www-form-urlencoded"), "{head}");
    assert!(head.contains("accept-encoding: gzip"), "{head}");
    assert_eq!(body, "key=the-key&link=https%3A%2F%2Fa%2F%3Fx%3D1%26y%3D%C3%BC");
}

#[tokio::test]
async fn a_refused_connection_has_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/?secret=in-query", listener.local_addr().unwrap());
    drop(listener);
    let Err(TransportError::NotSent(text)) = send(&wire(&url, PATIENCE), CallKind::Add).await else { panic!() };
    assert!(!text.contains("in-query") && !text.contains("127.0.0.1"), "{text}");
}

#[tokio::test]
async fn a_tls_handshake_that_fails_has_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 64];
        let _ = stream.read(&mut hello).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    assert!(matches!(send(&wire(&url, PATIENCE), CallKind::Add).await, Err(TransportError::NotSent(_))));
}

#[tokio::test]
async fn a_request_that_was_read_and_not_answered_is_unknown_and_goes_out_once() {
    let server = Server::start([Does::WritesAndCloses(Vec::new()), ok(), ok()]).await;
    assert_unknown(&send(&wire(&server.url, PATIENCE), CallKind::Add).await);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn the_same_on_a_connection_that_was_used_before() {
    let server = Server::start([ok(), Does::WritesAndCloses(Vec::new()), ok(), ok()]).await;
    let wire = wire(&server.url, PATIENCE);
    assert!(send(&wire, CallKind::Add).await.is_ok());
    assert_unknown(&send(&wire, CallKind::Add).await);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let server = Server::start([Does::Writes(answer(status, "location: /elsewhere\r\n", b"")), ok()]).await;
        let reply = send(&wire(&server.url, PATIENCE), CallKind::Add).await.unwrap();
        assert_eq!((reply.status.to_string().as_str(), reply.location.as_deref()), (&status[..3], Some("/elsewhere")));
        assert_eq!(server.seen().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn half_an_answer_is_unknown() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"order\":".to_vec();
    for bytes in [half, b"HTTP/1.1 200 OK\r\ncont".to_vec(), b"not http at all\r\n\r\n".to_vec()] {
        let server = Server::start([Does::WritesAndCloses(bytes), ok()]).await;
        assert_unknown(&send(&wire(&server.url, PATIENCE), CallKind::Add).await);
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn silence_is_unknown_after_the_time_allowed() {
    let server = Server::start([Does::Hangs]).await;
    let result = send(&wire(&server.url, Duration::from_millis(200)), CallKind::Add).await;
    assert_unknown(&result);
    assert!(result.unwrap_err().to_string().contains("timed out"));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_body_that_stalls_is_unknown_after_the_time_allowed() {
    let stalls = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"order\":1}".to_vec();
    let server = Server::start([Does::Writes(stalls), Does::Hangs]).await;
    assert_unknown(&send(&wire(&server.url, Duration::from_millis(200)), CallKind::Add).await);
}

#[tokio::test]
async fn only_a_catalogue_may_be_long() {
    let long = answer("200 OK", "", &vec![b' '; MAX_ANSWER + 1]);
    for (kind, read) in [(CallKind::Add, false), (CallKind::Status, false), (CallKind::Services, true)] {
        let server = Server::start([Does::Writes(long.clone())]).await;
        assert_eq!(send(&wire(&server.url, PATIENCE), kind).await.is_ok(), read, "{kind:?}");
    }
}

#[tokio::test]
async fn packed_answers_are_unpacked_and_counted_as_unpacked() {
    let pack = |body: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(body).unwrap();
        answer("200 OK", "content-encoding: gzip\r\n", &packer.finish().unwrap())
    };
    let server =
        Server::start([Does::Writes(pack(b"{\"order\":1}")), Does::Writes(pack(&vec![0; MAX_ANSWER + 1]))]).await;
    let wire = wire(&server.url, PATIENCE);
    assert_eq!(&send(&wire, CallKind::Add).await.unwrap().body[..], b"{\"order\":1}");
    assert_unknown(&send(&wire, CallKind::Add).await);
}

#[tokio::test]
async fn what_the_headers_say_is_kept() {
    let headers = "cf-mitigated: challenge\r\nretry-after: 7\r\ncontent-type: text/html\r\n";
    let server = Server::start([Does::Writes(answer("403 Forbidden", headers, b"x"))]).await;
    let reply = send(&wire(&server.url, PATIENCE), CallKind::Status).await.unwrap();
    assert_eq!((reply.cf_mitigated.as_deref(), reply.content_type.as_deref()), (Some("challenge"), Some("text/html")));
    assert_eq!(reply.retry_after, Some(Duration::from_secs(7)));
}

#[test]
fn waits_are_read_as_seconds_or_dates() {
    let date = ("date", "Tue, 24 Nov 2026 05:00:00 GMT");
    for (status, headers, seconds) in [
        (503, vec![("retry-after", "120")], Some(120)),
        (429, vec![date, ("retry-after", "Tue, 24 Nov 2026 05:01:30 GMT")], Some(90)),
        (429, vec![date, ("retry-after", "Tue, 24 Nov 2026 04:00:00 GMT")], None),
        (429, vec![("retry-after", "Tue, 24 Nov 2026 05:01:30 GMT")], None),
        (429, vec![("retry-after", "soon")], None),
        (429, vec![("x-ratelimit-reset", "15")], Some(15)),
        (429, vec![date, ("x-ratelimit-reset", "1795496410")], Some(10)),
        (429, vec![("retry-after", "3"), ("x-ratelimit-reset", "15")], Some(3)),
        (200, vec![("x-ratelimit-reset", "15")], None),
        (200, vec![], None),
    ] {
        let headers_read: HeaderMap = headers
            .iter()
            .map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        assert_eq!(retry_after(status, &headers_read), seconds.map(Duration::from_secs), "{status} {headers:?}");
    }
}

#[test]
fn a_url_that_is_none_is_refused_without_showing_it() {
    let options = HttpWireOptions {
        url: "no url, but a secret".to_owned(),
        connect_timeout: PATIENCE,
        timeout: PATIENCE,
        add_timeout: PATIENCE,
        max_in_flight: 1,
    };
    assert!(!HttpWire::new(&options).err().unwrap().to_string().contains("secret"));
}

#[tokio::test]
async fn an_answer_that_came_while_the_process_stood_still_is_read() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (asked, comes) = tokio::sync::oneshot::channel();
    let limit = Duration::from_secs(1);
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = [0; 4096];
        assert!(std::io::Read::read(&mut stream, &mut seen).unwrap() > 0);
        asked.send(()).unwrap();
        // By then the other thread stands still.
        std::thread::sleep(limit / 2);
        stream.write_all(&answer("200 OK", "", b"{\"order\":1}")).unwrap();
        stream
    });
    let wire = wire(&url, limit);
    let stands_still = async {
        comes.await.unwrap();
        // Nobody else is looked at meanwhile.
        std::thread::sleep(limit + STOOD_STILL);
    };
    let ((), reply) = tokio::join!(stands_still, send(&wire, CallKind::Add));
    assert_eq!(reply.unwrap().body, "{\"order\":1}");
    drop(server.join().unwrap());
}
