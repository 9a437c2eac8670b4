//! Requests as bytes, for what no HTTP library would send.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer, taken apart at its blank line.
#[derive(Debug)]
pub struct RawAnswer {
    /// The HTTP status.
    pub status: u16,
    /// All before the blank line, in lower case.
    pub head: String,
    /// All after it.
    pub body: Vec<u8>,
}

impl RawAnswer {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no HTTP answer: {head:?}"));
        Self { status, head, body: bytes.get(end + 4..).unwrap_or_default().to_vec() }
    }

    /// A header's text, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The body, which must be JSON from its first byte to its last.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The `error` of the body, which must be all that is in it.
    pub fn error(&self) -> String {
        only_error(&self.json())
    }
}

/// The text of an answer that must be `{"error": "…"}` and nothing more.
pub fn only_error(answer: &serde_json::Value) -> String {
    let members = answer.as_object().unwrap_or_else(|| panic!("no error: {answer}"));
    assert_eq!(members.len(), 1, "{answer}");
    let text = members.get("error").and_then(serde_json::Value::as_str);
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| panic!("no error: {answer}")).to_owned()
}

/// Sends these bytes to `url`'s host, and reads until it closes the connection.
pub async fn raw(url: &str, request: &[u8]) -> RawAnswer {
    let host = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut socket = TcpStream::connect(host).await.unwrap();
    // It may answer, and close, before it has read all.
    let _ = socket.write_all(request).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    RawAnswer::read(&answer)
}

/// A POST on a connection of its own, with these header lines (each with its end) beside the usual ones.
pub async fn post_raw(url: &str, headers: &str, body: &[u8]) -> RawAnswer {
    let length = body.len();
    let head =
        format!("POST /api/v2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
    raw(url, &[head.as_bytes(), body].concat()).await
}
