//! What has to hold soon does so also at a gateway whose statements wait.

use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_revoked_while_all_that_reads_orders_waits() {
    let alpha = upstream(1).await;
    let (gateway, _other) = pair(&config_with(&alpha, 20, "")).await;
    let made = gateway.cli_json(&["key", "add", "tester"]);
    let (id, key) = (made["id"].to_string(), made["key"].as_str().unwrap().to_owned());
    gateway.knows_key(&key).await;

    let (holder, connection) = tokio_postgres::connect(gateway.database().unwrap(), NoTls).await.unwrap();
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { drop(connection.await) });
    holder.batch_execute("BEGIN; LOCK TABLE orders").await.unwrap();
    for number in 1..=60 {
        let (http, api, key) = (gateway.http().clone(), gateway.api.clone(), gateway.key.clone());
        waiting.spawn(async move {
            let order = number.to_string();
            let form = [("key", key.as_str()), ("action", "status"), ("order", order.as_str())];
            while http.post(&api).form(&form).send().await.is_ok() {}
        });
    }
    let count = "SELECT count(*) FROM pg_locks WHERE relation = 'orders'::regclass AND NOT granted";
    eventually("its connections to wait", || async {
        let waiting: i64 = holder.query_one(count, &[]).await.unwrap().get(0);
        (waiting >= 14).then_some(())
    })
    .await;

    gateway.cli_json(&["key", "revoke", "tester", &id]);
    soon("key revoke", &[&gateway], async |gateway| {
        gateway.post(&[("key", &key), ("action", "services")]).await["error"] == "Invalid API key"
    })
    .await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    waiting.shutdown().await;
}
