//! The engine's own promises, and the conformance suite on a real server.

mod breakdown;
pub(crate) mod cluster;
mod gateways;
mod in_the_way;

use std::sync::Arc;

use super::*;
use crate::domain::ids::ProviderId;
use crate::domain::order::Order;
use crate::domain::outcome::Outcome;
use crate::store::conformance::{
    AnyStore, NOW, after, answer, client, conformance, forwarded, new_order, order, placement, reported, sent, step,
};
use crate::store::records::{Applied, Placed, PollClaim};
use crate::task::free_port::free_port;
use cluster::Cluster;

const GATEWAY: OpenMode = OpenMode::Gateway { first_order_id: 1 };

async fn open() -> (AnyStore, ()) {
    let url = Cluster::shared().new_database().await;
    (Arc::new(PostgresStore::open(&url.into(), GATEWAY).await.unwrap()), ())
}

conformance!(open);

#[tokio::test]
async fn what_cannot_be_used_is_said_without_the_password() {
    for url in ["postgres://u:not-shown@127.0.0.1/d?sslmode=perhaps", "postgres://u:not-shown@[/d"] {
        let error = PostgresStore::open(&url.to_owned().into(), OpenMode::Tool).await.err().unwrap().to_string();
        assert!(error.contains("store.url") && !error.contains("not-shown"), "{error}");
    }
    let url = Cluster::shared().new_database().await;
    Cluster::shared()
        .connect(url.rsplit('/').next().unwrap())
        .await
        .batch_execute("CREATE TABLE mine (a int)")
        .await
        .unwrap();
    let error = PostgresStore::open(&url.into(), GATEWAY).await.err().unwrap();
    assert!(error.to_string().contains("another program"), "{error}");
}

#[tokio::test]
async fn the_ledger_is_append_only_and_a_dropped_guard_is_found() {
    let url = Cluster::shared().new_database().await;
    let store: AnyStore = Arc::new(PostgresStore::open(&url.clone().into(), GATEWAY).await.unwrap());
    client(&store, "anna", "10").await;
    let raw = Cluster::shared().connect(url.rsplit('/').next().unwrap()).await;
    for change in ["UPDATE ledger SET amount = 1", "DELETE FROM ledger", "TRUNCATE ledger"] {
        assert!(raw.batch_execute(change).await.is_err(), "{change}");
    }
    raw.batch_execute("ALTER TABLE ledger DISABLE TRIGGER ledger_keeps_entries; UPDATE ledger SET amount = amount + 1")
        .await
        .unwrap();
    let failures = store.verify().await.unwrap().failures;
    assert!(failures.iter().any(|failure| failure.contains("ledger_keeps_entries")), "{failures:?}");
    assert!(failures.iter().any(|failure| failure.contains("its balance is")), "{failures:?}");
    raw.batch_execute("UPDATE clients SET spent_day = 0, spent = 1").await.unwrap();
    let failures = store.verify().await.unwrap().failures;
    assert!(failures.iter().any(|failure| failure.contains("client anna: it has spent 1")), "{failures:?}");
}

#[tokio::test]
async fn a_poll_that_is_not_where_polls_are_looked_for_is_found() {
    let url = Cluster::shared().new_database().await;
    let store: AnyStore = Arc::new(PostgresStore::open(&url.clone().into(), GATEWAY).await.unwrap());
    let anna = client(&store, "anna", "10").await.client.id;
    let (one, two) = (forwarded(&store, anna, "alpha", "1").await, forwarded(&store, anna, "alpha", "2").await);
    assert_eq!(store.verify().await.unwrap().failures, Vec::<String>::new());
    let raw = Cluster::shared().connect(url.rsplit('/').next().unwrap()).await;
    let (one, two) = (one.id, two.id);
    let change =
        format!("DELETE FROM polls WHERE order_id = {one}; UPDATE polls SET asked_at = 1 WHERE order_id = {two}");
    raw.batch_execute(&change).await.unwrap();
    let failures = store.verify().await.unwrap().failures;
    let found = |order, words: &str| {
        let order = format!("order {order}: ");
        assert!(failures.iter().any(|failure| failure.contains(&order) && failure.contains(words)), "{failures:?}");
    };
    found(one, "when it is polled next");
    found(two, "a poll of it is due");
    assert_eq!(failures.len(), 2, "{failures:?}");
}

#[tokio::test]
async fn a_claim_of_polls_leaves_alone_what_others_hold() {
    let url = Cluster::shared().new_database().await;
    let store: AnyStore = Arc::new(PostgresStore::open(&url.clone().into(), GATEWAY).await.unwrap());
    let anna = client(&store, "anna", "10").await.client.id;
    let (held, free) = (forwarded(&store, anna, "alpha", "1").await, forwarded(&store, anna, "alpha", "2").await);
    let raw = Cluster::shared().connect(url.rsplit('/').next().unwrap()).await;
    let lock = format!("BEGIN; UPDATE orders SET due_at = due_at + 1 WHERE id = {}", held.id);
    raw.batch_execute(&lock).await.unwrap();
    let claim = PollClaim { now: after(900), until: after(999), limit: 9, along_before: after(900) };
    let claimed = async || {
        let claimed = store.claim_polls(&ProviderId::new("alpha"), claim).await.unwrap();
        claimed.into_iter().map(|order| order.id).collect::<Vec<_>>()
    };
    assert_eq!(claimed().await, [free.id]);
    raw.batch_execute("COMMIT").await.unwrap();
    assert_eq!(claimed().await, [held.id]);
}

/// Who hastens polls locks them from the first on: no step may then wait for one before those that it holds.
#[tokio::test]
async fn a_step_whose_order_has_changed_waits_for_nobody() {
    let url = Cluster::shared().new_database().await;
    let raw = Cluster::shared().connect(url.rsplit('/').next().unwrap()).await;
    let store: AnyStore = Arc::new(PostgresStore::open(&url.into(), GATEWAY).await.unwrap());
    let anna = client(&store, "anna", "10").await.client.id;
    let changed = forwarded(&store, anna, "alpha", "1").await;
    let others = [forwarded(&store, anna, "alpha", "2").await, forwarded(&store, anna, "alpha", "3").await];
    let report = |order: &Order| order.step(reported("In progress", None), after(60)).unwrap();
    let steps = vec![report(&changed), report(&others[0]), report(&others[1])];
    step(&store, &changed, reported("In progress", Some(7)), after(50)).await;
    raw.batch_execute(&format!("BEGIN; SELECT FROM orders WHERE id = {} FOR UPDATE", changed.id)).await.unwrap();
    assert_eq!(store.apply_all(steps).await.unwrap(), [Applied::Stale, Applied::Done, Applied::Done]);
}

#[tokio::test]
async fn what_postgresql_cannot_hold_is_kept_without_it() {
    let (store, ()) = open().await;
    let anna = client(&store, "anna", "10").await;
    let order = order(&store, anna.client.id, "1.20").await;
    let order = step(&store, &order, sent("alpha"), NOW).await;
    let detail = Outcome::Ambiguous("a\0b".into());
    let step = order.step(answer(1, detail), NOW).unwrap();
    assert_eq!(store.apply(step).await.unwrap(), Applied::Done);
    assert_eq!(store.order_story(order.id).await.unwrap().unwrap().attempts.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_leaves_nothing_half_done() {
    let mut cluster = Cluster::start();
    let url = cluster.new_database().await;
    let store: AnyStore = Arc::new(PostgresStore::open(&url.into(), GATEWAY).await.unwrap());
    // Enough for all that is placed until the server has ended.
    let anna = client(&store, "anna", "100000").await;
    for end in [Cluster::kill, Cluster::stop] {
        end(&mut cluster);
        while store.place(placement(new_order(anna.client.id, "0.12"))).await.is_ok() {}
        let lost = placement(new_order(anna.client.id, "0.12"));
        assert!(store.place(lost.clone()).await.is_err());
        cluster.restart();
        let placed = loop {
            match store.place(lost.clone()).await {
                Ok(Placed::New(order)) => break order,
                Ok(other) => panic!("{other:?}"),
                Err(_) => tokio::task::yield_now().await,
            }
        };
        assert_eq!(store.order_by_token(lost.order.token).await.unwrap().map(|order| order.id), Some(placed.id));
    }
    assert_eq!(store.verify().await.unwrap().failures, Vec::<String>::new());
}

#[tokio::test]
async fn a_server_must_prove_what_sslmode_says() {
    let cluster = Cluster::start_with_tls();
    drop(cluster.connect("postgres").await);
    let root = cluster.root().display().to_string();
    let plain = Cluster::shared();
    drop(plain.connect("postgres").await);
    for (host, server, words, reached) in [
        ("localhost", &cluster, format!("sslmode=verify-full&sslrootcert={root}"), true),
        ("127.0.0.1", &cluster, format!("sslmode=verify-full&sslrootcert={root}"), false),
        ("127.0.0.1", &cluster, format!("sslmode=verify-ca&sslrootcert={root}"), true),
        ("127.0.0.1", &cluster, format!("sslmode=require&sslrootcert={root}"), true),
        ("localhost", &cluster, "sslmode=verify-full".to_owned(), false),
        ("127.0.0.1", &cluster, "sslmode=verify-ca".to_owned(), false),
        ("127.0.0.1", &cluster, "sslmode=require".to_owned(), true),
        ("127.0.0.1", &cluster, String::new(), true),
        ("127.0.0.1", plain, "sslmode=require".to_owned(), false),
        ("127.0.0.1", plain, "sslmode=prefer".to_owned(), true),
    ] {
        let url = format!("{}?{words}", server.url("postgres").replace("127.0.0.1", host));
        match PostgresStore::open(&url.clone().into(), OpenMode::Tool).await.err().unwrap() {
            StoreError::Missing(_) => assert!(reached, "{url}"),
            error => assert!(
                !reached && matches!(error, StoreError::CannotOpen { .. } | StoreError::Engine(_)),
                "{url}: {error}"
            ),
        }
    }
}

#[tokio::test]
async fn an_order_that_was_given_up_does_not_come_any_more() {
    let url = Cluster::shared().new_database().await;
    let store: AnyStore = Arc::new(PostgresStore::open(&url.into(), GATEWAY).await.unwrap());
    let anna = client(&store, "anna", "10").await;
    let late = placement(new_order(anna.client.id, "1.20"));
    assert_eq!(store.order_by_token(late.order.token).await.unwrap(), None);
    assert!(store.place(late.clone()).await.is_err());
    assert_eq!(store.order_by_token(late.order.token).await.unwrap(), None);
    assert_eq!(store.balance(anna.client.id).await.unwrap(), anna.balance);
}

#[tokio::test]
async fn an_order_whose_asker_has_gone_is_placed_all_the_same() {
    let url = Cluster::shared().new_database().await;
    let store = Arc::new(PostgresStore::open(&url.into(), GATEWAY).await.unwrap());
    let any: AnyStore = store.clone();
    let anna = client(&any, "anna", "10").await.client.id;
    let left = placement(new_order(anna, "1.20"));
    drop(store.placings.enter(left.clone()));
    order(&any, anna, "1.20").await;
    assert!(any.order_by_token(left.order.token).await.unwrap().is_some());
    assert_eq!(any.balance(anna).await.unwrap().to_string(), "7.6");
}

#[tokio::test]
async fn an_order_that_waited_for_longer_than_its_client_is_not_begun() {
    let url = Cluster::shared().new_database().await;
    let store = Arc::new(PostgresStore::open(&url.into(), GATEWAY).await.unwrap());
    let any: AnyStore = store.clone();
    let anna = client(&any, "anna", "10").await.client.id;
    let late = store.placings.enter(placement(new_order(anna, "1.20")));
    tokio::time::pause();
    tokio::time::advance(crate::store::PATIENCE).await;
    tokio::time::resume();
    order(&any, anna, "1.20").await;
    assert!(matches!(late.await, Ok(placing::Word::Done(Err(StoreError::Overloaded)))));
    assert_eq!(any.balance(anna).await.unwrap().to_string(), "8.8");
}

#[tokio::test]
async fn ids_end_and_start_where_they_are_to() {
    let url = Cluster::shared().new_database().await;
    let mode = OpenMode::Gateway { first_order_id: 2_147_483_647 };
    let store: AnyStore = Arc::new(PostgresStore::open(&url.into(), mode).await.unwrap());
    let anna = client(&store, "anna", "10").await;
    assert_eq!(order(&store, anna.client.id, "1.20").await.id.get(), 2_147_483_647);
    let refused = store.place(placement(new_order(anna.client.id, "1.20"))).await.unwrap();
    assert!(matches!(refused, Placed::NoMoreIds), "{refused:?}");
    assert_eq!(store.verify().await.unwrap().failures, Vec::<String>::new());
}

#[tokio::test]
async fn however_many_requests_are_old_no_statement_forgets_too_many() {
    let url = Cluster::shared().new_database().await;
    let store: AnyStore = Arc::new(PostgresStore::open(&url.clone().into(), GATEWAY).await.unwrap());
    let anna = client(&store, "anna", "10").await.client.id;
    let order = order(&store, anna, "1").await.id;
    let raw = Cluster::shared().connect(url.rsplit('/').next().unwrap()).await;
    let (old, new) = (NOW.millis(), after(10).millis());
    raw.batch_execute(&format!(
        "INSERT INTO client_requests SELECT {}, number, decode(repeat('00', 32), 'hex'), {order}, \
         CASE WHEN number = 0 THEN {new} ELSE {old} END FROM generate_series(0, 20000) AS number; \
         CREATE FUNCTION refuse_many() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN IF (SELECT count(*) FROM gone) > 10000 THEN RAISE EXCEPTION ''too many''; END IF; RETURN NULL; END'; \
         CREATE TRIGGER many AFTER DELETE ON client_requests REFERENCING OLD TABLE AS gone \
         FOR EACH STATEMENT EXECUTE FUNCTION refuse_many()",
        anna.0
    ))
    .await
    .unwrap();
    store.prune(after(10)).await.unwrap();
    let left = raw.query("SELECT request_id FROM client_requests", &[]).await.unwrap();
    assert_eq!(left.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), ["0"]);
}
