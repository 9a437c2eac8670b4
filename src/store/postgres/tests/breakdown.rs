//! A server that breaks down while it commits. A wire before the real one says so in its name: what is committed by then,
//! nobody can tell.

use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::domain::money::Money;
use crate::domain::order::Event;
use crate::store::records::ClientChange;

/// What befalls the next call that holds `words`.
struct Trouble {
    words: Vec<u8>,
    severity: &'static str,
    code: &'static str,
    /// Whether the server gets the call, and carries it out, before its answer is lost.
    is_heard: bool,
}

/// A wire to the server, by which one call may be in trouble.
struct Line {
    address: String,
    next: Arc<Mutex<Option<Trouble>>>,
}

impl Line {
    /// To the server of this address, `HOST:PORT`.
    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = Self { address: listener.local_addr().unwrap().to_string(), next: Arc::default() };
        let next = Arc::clone(&line.next);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&next)));
            }
        });
        line
    }

    fn breaks(&self, words: &[u8], (severity, code): (&'static str, &'static str), is_heard: bool) {
        *self.next() = Some(Trouble { words: words.to_owned(), severity, code, is_heard });
    }

    fn next(&self) -> std::sync::MutexGuard<'_, Option<Trouble>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries what both say, until one of them ends or the trouble comes.
async fn carry(mut client: TcpStream, mut server: TcpStream, next: Arc<Mutex<Option<Trouble>>>) {
    let (mut asked, mut answered) = ([0; 1 << 16], [0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Some(said) = read.ok().filter(|read| *read > 0).map(|read| &asked[..read]) else { return };
                let trouble = next.lock().unwrap().take_if(|trouble| holds(said, &trouble.words));
                let Some(trouble) = trouble else {
                    if server.write_all(said).await.is_err() { return }
                    continue;
                };
                if trouble.is_heard {
                    server.write_all(said).await.unwrap();
                    until_ready(&mut server).await;
                }
                client.write_all(&error(&trouble)).await.unwrap();
                return;
            }
            read = server.read(&mut answered) => {
                let Some(said) = read.ok().filter(|read| *read > 0).map(|read| &answered[..read]) else { return };
                if client.write_all(said).await.is_err() { return }
            }
        }
    }
}

fn holds(said: &[u8], words: &[u8]) -> bool {
    said.windows(words.len()).any(|window| window == words)
}

/// Reads up to the message that ends an answer: the server is between two transactions then, or within one.
async fn until_ready(server: &mut TcpStream) {
    loop {
        let kind = server.read_u8().await.unwrap();
        let length = usize::try_from(server.read_u32().await.unwrap()).unwrap();
        let mut body = vec![0; length - 4];
        server.read_exact(&mut body).await.unwrap();
        if kind == b'Z' {
            return;
        }
    }
}

/// An `ErrorResponse`.
fn error(trouble: &Trouble) -> Vec<u8> {
    let fields = format!("S{0}\0V{0}\0C{1}\0Mit broke down\0\0", trouble.severity, trouble.code);
    let length = u32::try_from(fields.len() + 4).unwrap();
    [&b"E"[..], &length.to_be_bytes(), fields.as_bytes()].concat()
}

/// A store on the other end of a line.
async fn by_line() -> (Line, AnyStore) {
    let url = Cluster::shared().new_database().await;
    let server = url.split('@').next_back().unwrap().split('/').next().unwrap().to_owned();
    let line = Line::to(server.clone()).await;
    let store = PostgresStore::open(&url.replace(&server, &line.address).into(), GATEWAY).await.unwrap();
    (line, Arc::new(store))
}

#[tokio::test]
async fn what_a_server_was_told_before_it_broke_down_is_in_doubt_and_looked_up() {
    let (line, store) = by_line().await;
    let anna = client(&store, "anna", "10").await;
    for (number, severity, code) in [(1, "FATAL", "53200"), (2, "PANIC", "53100"), (3, "FATAL", "XX000")] {
        for is_heard in [true, false] {
            let mut asked = placement(new_order(anna.client.id, "0.12"));
            asked.order.token.0 = [number + 10 * u8::from(is_heard); 16];
            line.breaks(&asked.order.token.0, (severity, code), is_heard);
            let error = store.place(asked.clone()).await.unwrap_err();
            assert!(matches!(error, StoreError::InDoubt(_)), "{severity} {code}: {error}");
            assert!(line.next().is_none(), "the trouble came");
            let found = store.order_by_token(asked.order.token).await.unwrap();
            assert_eq!(found.is_some(), is_heard, "{severity} {code}");
        }
    }
    assert_eq!(store.balance(anna.client.id).await.unwrap(), "9.64".parse::<Money>().unwrap());

    for is_heard in [true, false] {
        let credit = if is_heard { "3" } else { "4" }.parse().unwrap();
        line.breaks(b"COMMIT", ("FATAL", "53200"), is_heard);
        let change = ClientChange { credit: Some(credit), ..ClientChange::default() };
        let error = store.change_client("anna", change).await.unwrap_err();
        assert!(matches!(error, StoreError::InDoubt(_)), "{error}");
        assert_eq!(store.account("anna").await.unwrap().client.credit == credit, is_heard);
    }
    // What breaks before a commit leaves nothing.
    line.breaks(b"BEGIN", ("FATAL", "53200"), false);
    let error = store.change_client("anna", ClientChange::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::CannotWrite(_)), "{error}");
    assert_eq!(store.verify().await.unwrap().failures, Vec::<String>::new());
}

const BREAKDOWN: (&str, &str) = ("FATAL", "53200");

#[tokio::test]
async fn a_lost_acknowledgement_of_a_step_is_settled_by_the_orders_version() {
    let (line, store) = by_line().await;
    let anna = client(&store, "anna", "10").await.client.id;
    for is_heard in [false, true] {
        let before = order(&store, anna, "1.20").await;
        let started = before.step(sent("beyond"), NOW).unwrap();
        line.breaks(b"beyond", BREAKDOWN, is_heard);
        let applied = store.apply(started.clone()).await;
        assert!(line.next().is_none(), "the trouble came");
        if is_heard {
            assert_eq!(applied.unwrap(), Applied::Done);
        } else {
            assert!(matches!(applied, Err(StoreError::InDoubt(_))), "{applied:?}");
        }
        let wanted = if is_heard { started.order } else { before };
        assert_eq!(store.order(wanted.id).await.unwrap(), Some(wanted));
    }
    assert_eq!(store.verify().await.unwrap().failures, Vec::<String>::new());
}

#[tokio::test]
async fn a_lost_acknowledgement_of_many_steps_is_settled_by_the_orders_versions() {
    let (line, store) = by_line().await;
    let anna = client(&store, "anna", "10").await.client.id;
    for is_heard in [false, true] {
        let (kept, changed) = (order(&store, anna, "1").await, order(&store, anna, "2").await);
        let steps = [&kept, &changed].map(|order| order.step(Event::CancelRequested, NOW).unwrap());
        step(&store, &changed, sent("alpha"), after(1)).await;
        let balance = store.balance(anna).await.unwrap();
        line.breaks(b"COMMIT", BREAKDOWN, is_heard);
        let applied = store.apply_all(steps.to_vec()).await;
        assert!(line.next().is_none(), "the trouble came");
        if is_heard {
            assert_eq!(applied.unwrap(), [Applied::Done, Applied::Stale]);
        } else {
            assert!(matches!(applied, Err(StoreError::InDoubt(_))), "{applied:?}");
        }
        let refunded = if is_heard { Money::from_units(100_000_000) } else { Money::ZERO };
        assert_eq!(store.balance(anna).await.unwrap(), balance.checked_add(refunded).unwrap());
    }
    assert_eq!(store.verify().await.unwrap().failures, Vec::<String>::new());
}
