//! The listener: lets connections in, within limits, until it is told to stop.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::connection::{Ending, converse, part};
use super::seats::Seats;
use super::{Respond, TrustedProxies, reply};
use crate::task::Tasks;
use crate::telemetry;

/// What a listener puts up with.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once.
    pub connections: u32,
    /// Connections at once from one address; trusted proxies have no such limit.
    pub per_address: u32,
    /// The same for this machine's own programs.
    pub per_loopback: u32,
    /// A request's head, in bytes; at least 8192.
    pub head_bytes: usize,
    /// For a request's head to arrive.
    pub head: Duration,
    /// For the next request on a connection. Longer than the 60 s for which nginx keeps one, so that it is
    /// nginx that ends it: a request that meets our closing would be lost.
    pub idle: Duration,
    /// For a client to read the next part of its answer.
    pub write: Duration,
    /// For started requests, once the listener was told to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            per_address: 256,
            per_loopback: 1024,
            head_bytes: 64 << 10,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(20),
        }
    }
}

/// Connections that are told why they are turned away, at once; beyond that they are closed without a word.
const TURNED_AWAY: usize = 64;
/// How long nothing is accepted after the system had no room for another connection.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Answers what comes in on `listener` until `stop` resolves, and then what had been started, for
/// [`Limits::drain`] at most. Gives how many connections were cut off.
pub async fn serve<S: Respond>(
    listener: TcpListener,
    service: S,
    limits: Limits,
    proxies: Arc<TrustedProxies>,
    tasks: &Tasks,
    stop: impl Future<Output = ()>,
) -> usize {
    let door = Door {
        service: Arc::new(service),
        seats: Seats::new(&limits, proxies),
        turned_away: Arc::new(Semaphore::new(TURNED_AWAY)),
        ending: Ending::default(),
        limits: Arc::new(limits),
        tasks,
    };
    let mut stop = std::pin::pin!(stop);
    let mut quiet_until = Instant::now();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((socket, peer)) => door.let_in(socket, peer.ip()),
            Err(error) if of_one_connection(&error) => {}
            Err(error) => {
                if Instant::now() >= quiet_until {
                    quiet_until = Instant::now() + Duration::from_secs(10);
                    tracing::warn!(%error, "cannot accept connections; is the limit of open files (LimitNOFILE) too low?");
                }
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
    drop(listener);
    door.drain().await
}

/// Errors that say nothing of the listener itself.
fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

struct Door<'a, S> {
    service: Arc<S>,
    seats: Seats,
    turned_away: Arc<Semaphore>,
    ending: Ending,
    limits: Arc<Limits>,
    tasks: &'a Tasks,
}

impl<S: Respond> Door<'_, S> {
    fn let_in(&self, socket: TcpStream, peer: IpAddr) {
        let Some(seat) = self.seats.take(peer) else {
            return self.turn_away(socket);
        };
        // Without it an answer may wait 40 ms for an acknowledgement; refused only by a dead socket.
        let _ = socket.set_nodelay(true);
        let (service, limits, ending) = (Arc::clone(&self.service), Arc::clone(&self.limits), self.ending.clone());
        drop(self.tasks.spawn(async move {
            converse(socket, peer, service, &limits, &ending).await;
            drop(seat);
        }));
    }

    fn turn_away(&self, socket: TcpStream) {
        telemetry::count_request("turned_away");
        let Ok(permit) = Arc::clone(&self.turned_away).try_acquire_owned() else { return };
        let cut = self.ending.drain.clone();
        drop(self.tasks.spawn(async move {
            let word = reply::raw(StatusCode::TOO_MANY_REQUESTS, "Too many connections");
            tokio::select! {
                () = part(socket, Some(word)) => {}
                () = cut.cancelled() => {}
            }
            drop(permit);
        }));
    }

    async fn drain(&self) -> usize {
        self.ending.drain.cancel();
        let emptied = tokio::time::timeout(self.limits.drain, self.seats.emptied(&self.limits)).await;
        let left = if emptied.is_ok() { 0 } else { self.seats.count(&self.limits) };
        self.ending.cut.cancel();
        left
    }
}
