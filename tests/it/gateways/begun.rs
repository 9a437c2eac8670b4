//! The start of an attempt is written before the attempt is made: whoever wrote it, and nobody else, says what became of it;
//! and who was kept from it for long does not make it.

use tokio_postgres::Client;

use super::*;
use crate::harness::{Path, Way};

/// Starts of attempts wait in the database for as long as this holds them.
struct HeldStarts(Client);

impl HeldStarts {
    async fn of(gateway: &Gateway) -> Self {
        let name = gateway.database().unwrap().rsplit('/').next().unwrap();
        let client = Cluster::shared().connect(name).await;
        client.batch_execute("BEGIN; LOCK TABLE attempts IN EXCLUSIVE MODE").await.unwrap();
        Self(client)
    }

    /// Whether one waits.
    async fn has_one(&self) -> bool {
        let sql = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'attempts'::regclass \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
        self.0.query_one(sql, &[]).await.unwrap().get(0)
    }

    async fn until_one_waits(&self) {
        eventually("the start of an attempt", || async { self.has_one().await.then_some(()) }).await;
    }

    /// Ends the connections whose starts wait, so that they are never written.
    async fn lose(&self) {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND relation = 'attempts'::regclass \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        self.0.query(sql, &[]).await.unwrap();
        eventually("it to be gone", || async { (!self.has_one().await).then_some(()) }).await;
    }

    /// Lets them be written.
    async fn release(self) -> Client {
        self.0.batch_execute("COMMIT").await.unwrap();
        self.0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stood_still_between_the_start_of_an_attempt_and_its_send_does_not_send() {
    let alpha = upstream(20).await;
    let (first, second) = pair(&config_with(&alpha, 20, "")).await;
    let starts = HeldStarts::of(&first).await;
    let order = first.order(1, LINK, 100).await;
    starts.until_one_waits().await;
    signal(first.pid(), "STOP");
    let database = starts.release().await;
    second.until_state(order, "sending").await;
    until_said(&second, "this is the only gateway").await;
    // Ten seconds after it asked for this, and some more: what it goes by is not the time that it wrote.
    let is_over = "SELECT started_at + 10500 < clock_ms() FROM attempts";
    eventually("the start to be old", || async {
        database.query_one(is_over, &[]).await.unwrap().get::<_, bool>(0).then_some(())
    })
    .await;
    assert_eq!(second.story(order)["order"]["state"], "sending", "its gateway may be alive");
    signal(first.pid(), "CONT");
    second.until_status(order, "Completed").await;
    let story = second.story(order);
    let outcomes: Vec<_> = story["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["not_sent", "accepted"], "{story}");
    assert!(second.history(order).iter().any(|line| line.contains("the gateway stood still")), "{story}");
    assert_eq!((accepted(&alpha, LINK), alpha.call_count(Action::Add)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_gateway_has_begun_is_not_judged_by_one_whose_own_start_was_lost() {
    let alpha = upstream(20).await;
    let url = Cluster::shared().new_database().await;
    let path = Path::to(&url).await;
    let config = config_with(&alpha, 20, "add_timeout = \"60s\"");
    let mut gateways = [path.url(&url), url].map(|url| Gateway::prepare_on(&config, Some(url)));
    company(&mut gateways).await;
    let [mut cut_off, other] = gateways;
    alpha.script_next(Action::Add, Fault::HangAfter, 1);

    // It can't tell whether its start was written, and asks as soon as it can: by then there is one just like it.
    let starts = HeldStarts::of(&other).await;
    let order = cut_off.order(1, LINK, 100).await;
    starts.until_one_waits().await;
    path.be(Way::Cut);
    starts.lose().await;
    drop(starts.release().await);
    until_called(&alpha, 1).await;
    path.be(Way::Open);
    until_said(&cut_off, &format!("order {order} waits: it could not be moved on")).await;
    let is_being_sent = |gateway: &Gateway| {
        let story = gateway.story(order);
        assert_eq!(story["attempts"].as_array().unwrap().len(), 1, "{story}");
        assert_eq!((&story["order"]["state"], &story["attempts"][0]["outcome"]), (&json!("sending"), &json!(null)));
    };
    is_being_sent(&other);

    // Nor by one that starts.
    cut_off.kill();
    cut_off.launch().await;
    is_being_sent(&cut_off);
    assert_eq!((accepted(&alpha, LINK), alpha.call_count(Action::Add)), (1, 1));
}
