//! Who does not reach the store goes by what is known without it, and loses nothing that it found out.

use tollgate::sandbox::OrderChange;

use super::*;
use crate::harness::{Path, Redis, Way, database};

#[tokio::test(flavor = "multi_thread")]
async fn one_without_the_store_shows_what_the_others_know_and_nothing_older() {
    let (redis, alpha) = (Redis::start().await, upstream(1).await);
    let url = Cluster::shared().new_database().await;
    let path = Path::to(&url).await;
    let config = config_on(&redis.url(), &alpha, "");
    let mut gateways = [path.url(&url), url].map(|url| Gateway::prepare_on(&config, Some(url)));
    company(&mut gateways).await;
    let [cut_off, other] = gateways;
    let order = other.order(1, LINK, 100).await;
    for gateway in [&cut_off, &other] {
        gateway.until_status(order, "In progress").await;
    }
    // First nothing comes back, then nothing goes out.
    for (way, status) in [(Way::Frozen, "Completed"), (Way::Cut, "Partial")] {
        path.be(way);
        until_said(&other, "this is the only gateway").await;
        let mut change = OrderChange::status(status);
        change.remains = (status == "Partial").then(|| "40".to_owned());
        assert!(alpha.set_order(&alpha.orders()[0].id, change));
        other.until_late_status(order, status).await;
        soon(&format!("what is polled, where the way to the store is {way:?}"), &[&cut_off], async |gateway| {
            gateway.status(order).await["status"] == status
        })
        .await;
    }
    let refused = "Temporarily unavailable, please try again later";
    assert_eq!(cut_off.add(1, LINK, 100).await["error"], refused);

    // An emptied Redis is believed again when it holds what was read after that.
    redis.flush().await;
    soon("an emptied Redis", &[&cut_off], async |gateway| {
        let answer = gateway.status(order).await;
        assert!(answer["status"] == "Partial" || answer["error"] == refused, "{answer}");
        other.status(order).await;
        answer["status"] == "Partial"
    })
    .await;
    path.be(Way::Open);
    until_may_order(&cut_off).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_store_is_waited_for_by_what_it_was_told_and_by_nothing_else() {
    let alpha = upstream(1).await;
    let url = Cluster::shared().new_database().await;
    let path = Path::to(&url).await;
    let mut gateway = Gateway::prepare_on(&config_with(&alpha, 20, ""), Some(path.url(&url)));
    gateway.launch().await;
    gateway.key = gateway.add_client("tester", &["--deposit", "1000"]);
    gateway.knows_key(&gateway.key).await;
    gateway.order(1, LINK, 100).await;
    path.be(Way::Frozen);
    let placing = gateway.add(1, "https://example.com/doubt", 100);
    let reading = async {
        let read = gateway.call("balance", &[]).await;
        assert_eq!(read["error"], "Temporarily unavailable, please try again later", "{read}");
        path.be(Way::Open);
    };
    let both = async { tokio::join!(placing, reading) };
    let (placed, ()) =
        tokio::time::timeout(Duration::from_secs(60), both).await.expect("a read is not waited for so long");
    let is_placed = placed["order"].is_u64();
    assert!(is_placed || placed["error"].is_string(), "{placed}");
    until_may_order(&gateway).await;
    assert!(accepted(&alpha, "https://example.com/doubt") <= usize::from(is_placed), "{placed}");
}

async fn until_may_order(gateway: &Gateway) {
    eventually("it to take orders again", || async {
        gateway.add(1, "https://example.com/again", 100).await["order"].as_u64()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_that_could_not_be_written_stays_until_it_is_and_undoes_nothing_newer() {
    let alpha = upstream(1).await;
    let (first, second) = pair(&config_with(&alpha, 20, "")).await;
    let url = first.database().unwrap();
    refuse_freezes(url, "INSERT");
    alpha.set_currency("INR");
    assert_eq!(first.cli(&["sync", "alpha"]).status.code(), Some(1));
    let (gateway, other) = if first.log().contains("alpha is frozen") { (&first, &second) } else { (&second, &first) };
    until_said(gateway, "whether alpha is frozen was not written down").await;
    assert!(!other.log().contains("alpha is frozen"));
    first.cli_json(&["client", "withdraw", "tester", "1000"]);
    assert!(refuses(gateway).await && !refuses(other).await);
    // It reads all freezes again, as it does where another list has changed.
    database::execute(url, "UPDATE store SET catalogues_version = catalogues_version + 1");
    until_tried_again(gateway).await;
    assert!(refuses(gateway).await, "it has read what the store has");
    database::execute(url, "DROP FUNCTION refuse CASCADE");
    soon("a freeze that can be written", &[other, gateway], refuses).await;

    refuse_freezes(url, "DELETE");
    alpha.set_currency("USD");
    first.cli_json(&["sync", "alpha"]);
    let thawed = if first.log().contains("no longer frozen") { &first } else { &second };
    until_tried_again(thawed).await;
    assert!(!refuses(thawed).await);
    // As another gateway that froze it anew; that it is over could not be written yet, and is not about this one.
    database::execute(
        url,
        "UPDATE freezes SET currency = NULL, since = clock_ms(); \
         UPDATE store SET catalogues_version = catalogues_version + 1",
    );
    soon("a newer freeze", &[&first, &second], refuses).await;
    let version = || database::query(url, "SELECT catalogues_version::text FROM store");
    let before = version();
    database::execute(url, "DROP FUNCTION refuse CASCADE");
    eventually("the old word to be written", || async { (version() != before).then_some(()) }).await;
    assert_eq!(database::query(url, "SELECT count(*)::text FROM freezes"), [Some("1".to_owned())]);
    assert!(refuses(&first).await && refuses(&second).await);
}

/// Has no freeze written any more, or none taken away.
fn refuse_freezes(url: &str, writing: &str) {
    let function =
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;";
    let trigger = format!("CREATE TRIGGER refuse BEFORE {writing} ON freezes FOR EACH ROW EXECUTE FUNCTION refuse();");
    database::execute(url, &format!("{function} {trigger}"));
}

async fn until_tried_again(gateway: &Gateway) {
    let tries = || gateway.log().matches("whether alpha is frozen was not written down").count();
    let before = tries();
    eventually("it to be tried again", || async { (tries() >= before + 3).then_some(()) }).await;
}
