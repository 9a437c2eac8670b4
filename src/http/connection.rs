//! One connection from its first byte to its last.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::wire::{Pace, Phase, Wire};
use super::{Limits, Respond, reply};

/// How long a client that we said goodbye to may go on sending before its words are cut off.
const LINGER: Duration = Duration::from_secs(2);
/// How much of that is read and thrown away.
const LINGER_BYTES: usize = 8 << 20;

/// Two words of the shutdown: no new requests, and no more waiting.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending {
    pub(super) drain: CancellationToken,
    pub(super) cut: CancellationToken,
}

/// Answers the requests of one connection until either side ends it.
pub(super) async fn converse<S: Respond>(
    socket: TcpStream,
    peer: IpAddr,
    service: Arc<S>,
    limits: &Limits,
    ending: &Ending,
) {
    let pace = Arc::new(Pace::default());
    let wire = TokioIo::new(Wire::new(socket, Arc::clone(&pace), limits));
    let service = service_fn(|request: Request<_>| {
        pace.set(Phase::Busy);
        let (service, pace) = (Arc::clone(&service), Arc::clone(&pace));
        Box::pin(async move {
            let response = service.respond(request, peer).await;
            pace.set(Phase::Idle);
            Ok::<_, Infallible>(response)
        })
    });
    let mut conn = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .max_buf_size(limits.head_bytes)
        .max_header_size(limits.head_bytes)
        .serve_connection(wire, service);
    let ended = tokio::select! {
        ended = &mut conn => ended,
        () = ending.drain.cancelled() => {
            // hyper would go on waiting for a first request.
            if pace.now() == Phase::Fresh {
                return;
            }
            std::pin::Pin::new(&mut conn).graceful_shutdown();
            tokio::select! {
                ended = &mut conn => ended,
                () = ending.cut.cancelled() => return,
            }
        }
    };
    let socket = conn.into_parts().io.into_inner().into_socket();
    let last_word = ended.err().and_then(|error| complaint(&error, pace.now()));
    if last_word.is_none() && ending.drain.is_cancelled() {
        // Its last request was read and answered: closing it harms nobody, and nobody has to wait for its client.
        return;
    }
    tokio::select! {
        () = part(socket, last_word) => {}
        () = ending.cut.cancelled() => {}
    }
}

/// What a client should hear that sent no request that could be answered; nothing where it sent none at all.
fn complaint(error: &hyper::Error, phase: Phase) -> Option<Vec<u8>> {
    let timed_out = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|source| source.kind() == std::io::ErrorKind::TimedOut);
    if error.is_parse_too_large() {
        Some(reply::raw(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request header too large"))
    } else if error.is_parse() || (error.is_incomplete_message() && phase == Phase::Head) {
        Some(reply::raw(StatusCode::BAD_REQUEST, "Not an HTTP request"))
    } else if timed_out && phase == Phase::Head {
        Some(reply::raw(StatusCode::REQUEST_TIMEOUT, "The request took too long to arrive"))
    } else {
        None
    }
}

/// Ends a connection so that our last words arrive: a socket that is closed with unread bytes in it is reset,
/// and the client's system may then throw away what it has not read yet.
pub(super) async fn part(mut socket: TcpStream, last_word: Option<Vec<u8>>) {
    let lingering = async {
        if let Some(word) = last_word {
            socket.write_all(&word).await?;
        }
        socket.shutdown().await?;
        let mut left = LINGER_BYTES;
        let mut scrap = vec![0; 4096];
        while left > 0 {
            match socket.read(&mut scrap).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // However it ends, the socket is closed by what comes next.
    drop(tokio::time::timeout(LINGER, lingering).await);
}
