//! A socket that does not wait for ever, and that leaves every word to a client to us.
//!
//! hyper has one timer for an idle connection and for a slow request alike, none for a client that stops
//! reading, and answers what it can't parse with an empty body. Here each kind of waiting has its own limit,
//! and hyper's own bare answers are held back: [`super::connection`] says it in JSON.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::Limits;

/// Where a connection stands, as its socket and its service see it together.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU8);

/// What is being waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first byte of the first request.
    Fresh,
    /// The rest of a request's head.
    Head,
    /// Ourselves: the request is being answered.
    Busy,
    /// The next request.
    Idle,
}

impl Pace {
    pub(super) fn now(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Fresh,
            1 => Phase::Head,
            2 => Phase::Busy,
            _ => Phase::Idle,
        }
    }

    pub(super) fn set(&self, phase: Phase) {
        let number = match phase {
            Phase::Fresh => 0,
            Phase::Head => 1,
            Phase::Busy => 2,
            Phase::Idle => 3,
        };
        self.0.store(number, Ordering::Release);
    }
}

/// See the module's words.
#[derive(Debug)]
pub(super) struct Wire {
    socket: TcpStream,
    pace: Arc<Pace>,
    head: Duration,
    idle: Duration,
    write: Duration,
    timed: Option<Phase>,
    reading: Deadline,
    writing: Deadline,
    stalled: bool,
}

impl Wire {
    pub(super) fn new(socket: TcpStream, pace: Arc<Pace>, limits: &Limits) -> Self {
        Self {
            socket,
            pace,
            head: limits.head,
            idle: limits.idle,
            write: limits.write,
            timed: None,
            reading: Deadline::new(limits.head),
            writing: Deadline::new(limits.write),
            stalled: false,
        }
    }

    /// The socket, with no limits any more.
    pub(super) fn into_socket(self) -> TcpStream {
        self.socket
    }

    fn poll_read_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let phase = self.pace.now();
        if self.timed != Some(phase) {
            self.timed = Some(phase);
            match phase {
                Phase::Fresh | Phase::Head => self.reading.set(self.head),
                Phase::Idle => self.reading.set(self.idle),
                Phase::Busy => {}
            }
        }
        if phase == Phase::Busy {
            return Poll::Pending;
        }
        self.reading.poll(cx).map(|()| io::ErrorKind::TimedOut.into())
    }

    /// Gives a client that does not read `write` from its last byte on.
    fn watch_write(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = false;
            return written;
        }
        if !self.stalled {
            self.stalled = true;
            self.writing.set(self.write);
        }
        self.writing.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.socket).poll_read(cx, buf) {
            if buf.filled().len() > before && matches!(self.pace.now(), Phase::Fresh | Phase::Idle) {
                self.pace.set(Phase::Head);
                if self.timed != Some(Phase::Fresh) {
                    let head = self.head;
                    self.reading.set(head);
                }
                self.timed = Some(Phase::Head);
            }
            return Poll::Ready(read);
        }
        self.poll_read_deadline(cx).map(Err)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let ours = match bare_answer(buf) {
            Some(0) => return Poll::Ready(Ok(buf.len())),
            Some(at) => buf.get(..at).unwrap_or(buf),
            None => buf,
        };
        let written = Pin::new(&mut self.socket).poll_write(cx, ours);
        self.watch_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A bare answer can only stand last: nothing follows it on a connection.
        if bufs.last().is_some_and(|last| bare_answer(last).is_some()) {
            let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
            return self.poll_write(cx, first);
        }
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Left to [`super::connection`], which may have a last word to say.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Where in `buf` an answer of hyper's own begins: a head with nothing after it that says so. Each of ours
/// has a body, and no body of ours ends with an empty line.
fn bare_answer(buf: &[u8]) -> Option<usize> {
    const EMPTY: &[u8] = b"\r\ncontent-length: 0\r\n";
    if !buf.ends_with(b"\r\n\r\n") || !contains(buf, EMPTY) {
        return None;
    }
    buf.windows(9).rposition(|window| window.starts_with(b"HTTP/1.") && window.ends_with(b" "))
}

fn contains(buf: &[u8], part: &[u8]) -> bool {
    buf.windows(part.len()).any(|window| window == part)
}

/// A timer that costs nothing to push back: it is only set again when it rings too early.
#[derive(Debug)]
struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    fn new(after: Duration) -> Self {
        let at = Instant::now() + after;
        Self { at, timer: Box::pin(tokio::time::sleep_until(at)) }
    }

    fn set(&mut self, after: Duration) {
        self.at = Instant::now() + after;
        if self.timer.deadline() > self.at {
            self.timer.as_mut().reset(self.at);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.timer.deadline() >= self.at {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_with_no_body_is_held_back() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        assert_eq!(bare_answer(bare), Some(0));
        let ours = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(bare_answer(ours), None);
        let both = [&ours[..], &bare[..]].concat();
        assert_eq!(bare_answer(&both), Some(ours.len()));
        assert_eq!(bare_answer(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 20\r\n\r\n"), None);
        assert_eq!(bare_answer(b"HTTP/1.1 100 Continue\r\n\r\n"), None);
        assert_eq!(bare_answer(b""), None);
    }
}
