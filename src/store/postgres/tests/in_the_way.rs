//! Others are in the way: somebody holds a row, or waits for one that this store holds.

use std::time::Duration;

use tokio_postgres::Client;

use super::*;
use crate::domain::client::EntryKind;
use crate::domain::order::Event;
use crate::store::conformance::movement;
use crate::store::postgres::transactions::{TRIES, TRY_FOR};

/// A store that waits for a row no longer than a moment, and another connection to its database.
async fn beside_another() -> (Arc<PostgresStore>, AnyStore, Client) {
    let url = Cluster::shared().new_database().await;
    let raw = Cluster::shared().connect(url.rsplit('/').next().unwrap()).await;
    let url = format!("{url}?options=-c%20lock_timeout%3D100ms%20-c%20idle_in_transaction_session_timeout%3D500ms");
    let store = Arc::new(PostgresStore::open(&url.into(), GATEWAY).await.unwrap());
    (store.clone(), store, raw)
}

/// Begins a transaction that holds a client's row.
async fn hold(raw: &Client, name: &str) {
    raw.batch_execute(&format!("BEGIN; SELECT FROM clients WHERE name = '{name}' FOR NO KEY UPDATE")).await.unwrap();
}

#[tokio::test]
async fn a_client_whose_row_is_held_keeps_no_other_waiting() {
    let (store, any, raw) = beside_another().await;
    let (anna, ben) = (client(&any, "anna", "10").await.client.id, client(&any, "ben", "10").await.client.id);
    let of_anna = [placement(new_order(anna, "1")), placement(new_order(anna, "2"))];
    let of_ben = [placement(new_order(ben, "3")), placement(new_order(ben, "4"))];
    hold(&raw, "anna").await;
    // All in one transaction.
    let turns = store.placings.turns.acquire_many(2).await.unwrap();
    let ((), ..) = tokio::join!(
        async {
            let (one, other) = tokio::join!(any.place(of_ben[0].clone()), any.place(of_ben[1].clone()));
            assert!(matches!((one, other), (Ok(Placed::New(_)), Ok(Placed::New(_)))), "anna's row is held");
            raw.batch_execute("COMMIT").await.unwrap();
        },
        any.place(of_anna[0].clone()),
        any.place(of_anna[1].clone()),
        async { drop(turns) },
    );
    // Hers were placed, or refused, together.
    let refused = any.order_by_token(of_anna[0].order.token).await.unwrap().is_none();
    assert_eq!(any.order_by_token(of_anna[1].order.token).await.unwrap().is_none(), refused);
    assert_eq!(any.balance(anna).await.unwrap().to_string(), if refused { "10" } else { "7" });
    assert_eq!(any.balance(ben).await.unwrap().to_string(), "3");
}

#[tokio::test]
async fn who_stands_still_in_a_transaction_keeps_nobody_waiting_for_long() {
    let (store, any, raw) = beside_another().await;
    let anna = client(&any, "anna", "10").await.client.id;
    let still = store.writer().await.unwrap();
    still.begin().await.unwrap();
    assert_eq!(still.execute("UPDATE clients SET balance = 0", vec![]).await.unwrap(), 1);
    // The server ends it; until then this waits.
    hold(&raw, "anna").await;
    raw.batch_execute("COMMIT").await.unwrap();
    assert!(still.execute("UPDATE clients SET balance = 0", vec![]).await.is_err());
    drop(still);
    order(&any, anna, "1").await;
    assert_eq!(any.balance(anna).await.unwrap().to_string(), "9");
}

#[tokio::test]
async fn whoever_waits_outlasts_who_stands_still() {
    let url = Cluster::shared().new_database().await;
    let store = PostgresStore::open(&url.into(), GATEWAY).await.unwrap();
    let seconds = "SELECT extract(epoch FROM current_setting('idle_in_transaction_session_timeout')::interval)::bigint";
    let db = store.writer().await.unwrap();
    let stands: i64 = db.first(seconds, vec![], |row| Ok(row.try_get(0)?)).await.unwrap().unwrap();
    assert!(stands > 0 && Duration::from_secs(u64::try_from(stands).unwrap()) < TRY_FOR);
}

/// Has the first changes of clients' rows from now on fail by this code.
async fn be_in_the_way(raw: &Client, times: u32, code: &str) {
    let sql = format!(
        "DROP TRIGGER IF EXISTS in_the_way ON clients; DROP SEQUENCE IF EXISTS tries; CREATE SEQUENCE tries; \
         CREATE OR REPLACE FUNCTION be_in_the_way() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'in the way' USING ERRCODE = '{code}'; END IF; \
         RETURN NEW; END $$; \
         CREATE TRIGGER in_the_way BEFORE UPDATE ON clients FOR EACH ROW EXECUTE FUNCTION be_in_the_way()"
    );
    raw.batch_execute(&sql).await.unwrap();
}

/// Leaves the schema as the store wants it.
async fn step_aside(raw: &Client) {
    let sql = "DROP TRIGGER in_the_way ON clients; DROP FUNCTION be_in_the_way; DROP SEQUENCE tries";
    raw.batch_execute(sql).await.unwrap();
}

/// How often a change was tried since then.
async fn tries(raw: &Client) -> i64 {
    raw.query_one("SELECT last_value FROM tries", &[]).await.unwrap().get(0)
}

/// A serialization failure, a deadlock, a row that was held for too long, a statement that took too long.
const CODES: [&str; 4] = ["40001", "40P01", "55P03", "57014"];

#[tokio::test]
async fn what_others_were_in_the_way_of_is_tried_again() {
    let (_, any, raw) = beside_another().await;
    let anna = client(&any, "anna", "100").await.client.id;
    for code in CODES {
        be_in_the_way(&raw, 2, code).await;
        let placed = order(&any, anna, "1").await;
        assert_eq!(tries(&raw).await, 3, "{code}");
        be_in_the_way(&raw, 2, code).await;
        let canceled = step(&any, &placed, Event::CancelRequested, NOW).await;
        assert_eq!((tries(&raw).await, any.order(placed.id).await.unwrap()), (3, Some(canceled)), "{code}");
        be_in_the_way(&raw, 2, code).await;
        any.move_money("anna", movement(EntryKind::Deposit, "1", None), NOW).await.unwrap();
        assert_eq!(tries(&raw).await, 3, "{code}");
    }
    assert_eq!(any.balance(anna).await.unwrap().to_string(), "104");
    step_aside(&raw).await;
    assert_eq!(any.verify().await.unwrap().failures, Vec::<String>::new());
}

#[tokio::test]
async fn what_others_stay_in_the_way_of_is_refused_and_leaves_nothing() {
    let (_, any, raw) = beside_another().await;
    let anna = client(&any, "anna", "10").await.client.id;
    let placed = order(&any, anna, "1").await;
    for code in CODES {
        be_in_the_way(&raw, 99, code).await;
        let refused = any.place(placement(new_order(anna, "1"))).await;
        assert!(matches!(refused, Err(StoreError::Overloaded)), "{code}: {refused:?}");
        let refused = any.apply(placed.step(Event::CancelRequested, NOW).unwrap()).await;
        assert!(matches!(refused, Err(StoreError::Overloaded)), "{code}: {refused:?}");
        let refused = any.move_money("anna", movement(EntryKind::Deposit, "1", None), NOW).await;
        assert!(matches!(refused, Err(StoreError::Overloaded)), "{code}: {refused:?}");
        assert!(tries(&raw).await <= 3 * i64::from(TRIES), "{code}");
    }
    assert_eq!(any.balance(anna).await.unwrap().to_string(), "9");
    assert_eq!(any.order(placed.id).await.unwrap(), Some(placed));
    step_aside(&raw).await;
    assert_eq!(any.verify().await.unwrap().failures, Vec::<String>::new());
}

#[tokio::test]
async fn a_row_that_stays_held_is_waited_for_no_longer_than_a_while() {
    let (_, any, raw) = beside_another().await;
    let anna = client(&any, "anna", "10").await.client.id;
    hold(&raw, "anna").await;
    let refused = any.place(placement(new_order(anna, "1"))).await;
    assert!(matches!(refused, Err(StoreError::Overloaded)), "{refused:?}");
    raw.batch_execute("COMMIT").await.unwrap();
    order(&any, anna, "1").await;
    assert_eq!(any.balance(anna).await.unwrap().to_string(), "9");
}
