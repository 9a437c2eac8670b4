//! A server that breaks down while it commits. A wire before the real one says so in its name: what is committed by then,
//! nobody can tell.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::domain::ids::UpstreamOrderId;
use crate::domain::money::Money;
use crate::domain::order::Event;
use crate::domain::refill::NewRefill;
use crate::store::records::{ClientChange, OpenedRefill};

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
    /// New connections are turned away.
    is_closed: Arc<AtomicBool>,
    turned_away: Arc<AtomicUsize>,
}

impl Line {
    /// To the server of this address, `HOST:PORT`.
    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let line = Self { address, next: Arc::default(), is_closed: Arc::default(), turned_away: Arc::default() };
        let next = Arc::clone(&line.next);
        let (is_closed, turned_away) = (Arc::clone(&line.is_closed), Arc::clone(&line.turned_away));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if is_closed.load(Ordering::SeqCst) {
                    turned_away.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&next)));
            }
        });
        line
    }

    fn breaks(&self, words: &[u8], (severity, code): (&'static str, &'static str), is_heard: bool) {
        *self.next() = Some(Trouble { words: words.to_owned(), severity, code, is_heard });
    }

    /// The trouble has come, and then nobody gets through for so many tries.
    async fn turns_away(&self, tries: usize) {
        while self.next().is_some() {
            tokio::task::yield_now().await;
        }
        // Who waits between two tries waits no longer than this takes.
        tokio::time::pause();
        while self.turned_away.load(Ordering::SeqCst) < tries {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::resume();
        self.is_closed.store(false, Ordering::SeqCst);
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

/// A store by a line of its own.
async fn store_by_line() -> (AnyStore, Line) {
    let url = Cluster::shared().new_database().await;
    let server = url.split('@').next_back().unwrap().split('/').next().unwrap().to_owned();
    let line = Line::to(server.clone()).await;
    let store = PostgresStore::open(&url.replace(&server, &line.address).into(), GATEWAY).await.unwrap();
    (Arc::new(store), line)
}

#[tokio::test]
async fn what_a_server_was_told_before_it_broke_down_is_in_doubt_and_looked_up() {
    let (store, line) = store_by_line().await;
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

#[tokio::test]
async fn what_became_of_a_step_is_known_when_the_server_is_back_however_long_that_takes() {
    let (store, line) = store_by_line().await;
    let anna = client(&store, "anna", "10").await;
    for (is_heard, tries) in [(true, 50), (false, 100)] {
        let order = order(&store, anna.client.id, "1.20").await;
        let started = order.step(sent("alpha"), NOW).unwrap();
        // Its state is in the call, and not in the words of the statement.
        line.breaks(b"sending", ("FATAL", "57P01"), is_heard);
        line.is_closed.store(true, Ordering::SeqCst);
        let mut applying = store.apply(started.clone());
        tokio::select! {
            early = &mut applying => panic!("it is given up: {early:?}"),
            () = line.turns_away(tries) => {}
        }
        let applied = applying.await;
        match applied {
            Ok(Applied::Done) if is_heard => {}
            Err(StoreError::InDoubt(_)) if !is_heard => {}
            other => panic!("heard: {is_heard}; {other:?}"),
        }
        let found = store.order(order.id).await.unwrap().unwrap();
        assert_eq!(found.state, if is_heard { started.order.state } else { order.state });
    }
    assert_eq!(store.verify().await.unwrap().failures, Vec::<String>::new());
}

#[tokio::test]
async fn a_lost_acknowledgement_of_many_steps_is_settled_by_the_orders_versions() {
    let (store, line) = store_by_line().await;
    let anna = client(&store, "anna", "10").await.client.id;
    for is_heard in [false, true] {
        let (kept, changed) = (order(&store, anna, "1").await, order(&store, anna, "2").await);
        let steps = [&kept, &changed].map(|order| order.step(Event::CancelRequested, NOW).unwrap());
        step(&store, &changed, sent("alpha"), after(1)).await;
        let balance = store.balance(anna).await.unwrap();
        line.breaks(b"COMMIT", ("FATAL", "53200"), is_heard);
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

#[tokio::test]
async fn a_refill_whose_commit_was_not_acknowledged_is_sent_or_can_be_asked_for_again() {
    let (store, line) = store_by_line().await;
    let anna = client(&store, "anna", "10").await;
    let order = forwarded(&store, anna.client.id, "alpha", "77").await;
    let new = NewRefill {
        order: order.id,
        client: order.client,
        provider: ProviderId::new("alpha"),
        upstream_order: UpstreamOrderId::new("77"),
    };
    line.breaks(b"COMMIT", ("FATAL", "53200"), false);
    let error = store.open_refill(new.clone(), NOW).await.unwrap_err();
    assert!(matches!(error, StoreError::InDoubt(_)), "{error}");
    line.breaks(b"COMMIT", ("FATAL", "53200"), true);
    let OpenedRefill::New(refill) = store.open_refill(new.clone(), NOW).await.unwrap() else { panic!("it is open") };
    assert_eq!(store.sending_refills().await.unwrap(), [*refill]);
    // Of another's, nothing is taken for its own.
    line.breaks(b"COMMIT", ("FATAL", "53200"), true);
    assert!(!matches!(store.open_refill(new, NOW).await, Ok(OpenedRefill::New(_))));
}
