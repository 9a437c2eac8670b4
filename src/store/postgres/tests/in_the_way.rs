//! Others are in the way: somebody holds a row, or waits for one that this store holds.

use tokio_postgres::Client;

use super::*;
use crate::store::postgres::TRY_FOR;

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
