//! What each answer looks like: names and types, to the letter.

use serde_json::{Value, json};

use super::shop;
use crate::harness::{Config, Gateway, only_error, upstream};

#[tokio::test(flavor = "multi_thread")]
async fn services_lists_every_service_in_the_shape_that_scripts_read() {
    let (_alpha, gateway) = shop(1).await;
    let services = gateway.call("services", &[]).await;
    let services = services.as_array().unwrap();
    assert_eq!(services.len(), 26);
    assert_eq!(
        services[0],
        json!({
            "service": 1001, "name": "Instagram Followers", "type": "Default", "category": "Instagram Followers",
            "rate": "1.08", "min": "50", "max": "10000", "refill": true, "cancel": true, "dripfeed": true,
            "desc": "Instagram Followers. Refilled for 30 days.",
        })
    );
    assert_eq!(
        services[5],
        json!({
            "service": 1006, "name": "Instagram Starter Package", "type": "Package", "category": "Packages",
            "rate": "5.988", "min": "1", "max": "1", "refill": false, "cancel": false, "dripfeed": false,
        }),
        "there is no `desc` where the upstream has none"
    );
    assert_eq!(services[25]["name"], "YouTube Likes \u{2013} 30 Days \u{267b}");
    assert_eq!((&services[25]["rate"], &services[22]["max"]), (&json!("1.3481"), &json!("1000000000")));
    let names = ["service", "name", "type", "category", "rate", "min", "max", "refill", "cancel", "dripfeed"];
    for service in services {
        let members = service.as_object().unwrap();
        assert_eq!(members.len(), names.len() + usize::from(members.contains_key("desc")), "{service}");
        assert!(service["service"].as_u64().is_some_and(|id| id < 1 << 31), "{service}");
        assert!(["name", "type", "category", "rate", "min", "max"].iter().all(|name| service[*name].is_string()));
        assert!(["refill", "cancel", "dripfeed"].iter().all(|name| service[*name].is_boolean()));
        assert!(is_plain(&service["rate"]) && is_plain(&service["min"]) && is_plain(&service["max"]), "{service}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_by_hand_shows_what_its_operator_wrote() {
    let alpha = upstream(1).await;
    let lines = "name = \"Fans\"\ncategory = \"Best\"\ndesc = \"Fast\"\nmin = 60\nmax = 70\nrate = \"1.20\"\nroutes = [\"alpha:1\"]";
    let config = Config::new("").provider("alpha", &alpha, "").service(7, lines);
    let gateway = Gateway::start(&config).await;
    assert_eq!(
        gateway.call("services", &[]).await,
        json!([{
            "service": 7, "name": "Fans", "type": "Default", "category": "Best", "rate": "1.2", "min": "60",
            "max": "70", "refill": true, "cancel": true, "dripfeed": true, "desc": "Fast",
        }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_a_number_and_its_status_is_strings() {
    let alpha = upstream(20).await;
    let config = Config::new("").server("first_order_id = 23501").provider("alpha", &alpha, "").text(super::IMPORT);
    let gateway = Gateway::start(&config).await;
    assert_eq!(gateway.add(1003, "https://example.com/p/1", 100).await, json!({"order": 23501}));
    let early = gateway.status(23501).await;
    assert_eq!((&early["charge"], &early["remains"]), (&json!("0.0252"), &json!("100")));
    assert_shape(&early);
    let ended = gateway.until_status(23501, "Completed").await;
    assert_shape(&ended);
    let start_count = ended["start_count"].clone();
    assert_ne!(start_count, "0", "the upstream counted");
    assert_eq!(
        ended,
        json!({"charge": "0.0252", "start_count": start_count, "status": "Completed", "remains": "0", "currency": "USD"})
    );
    let many = gateway.call("status", &[("orders", "23501")]).await;
    assert_eq!(many, json!({"23501": ended}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_yet_is_zero_and_never_null() {
    let alpha = upstream(1).await;
    let config = Config::new("[dispatch]\nwait = \"0s\"").provider("alpha", &alpha, "").text(super::IMPORT);
    let gateway = Gateway::start(&config).await;
    alpha.set_faults("unavailable".parse().unwrap());
    let order = gateway.order(1001, "https://example.com/p/1", 50).await;
    let expected = json!({
        "charge": "0.054", "start_count": "0", "status": "Pending", "remains": "50", "currency": "USD",
    });
    assert_eq!(gateway.status(order).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_is_a_plain_decimal_string() {
    let (_alpha, gateway) = shop(1).await;
    assert_eq!(gateway.call("balance", &[]).await, json!({"balance": "1000", "currency": "USD"}));
    gateway.order(1023, "https://example.com/v", 100).await;
    assert_eq!(gateway.call("balance", &[]).await, json!({"balance": "999.99976", "currency": "USD"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_id_still_fits_into_32_bits_and_there_is_none_after_it() {
    let alpha = upstream(1).await;
    let config =
        Config::new("").server("first_order_id = 2147483647").provider("alpha", &alpha, "").text(super::IMPORT);
    let gateway = Gateway::start(&config).await;
    assert_eq!(gateway.add(1001, "https://example.com/p/1", 50).await, json!({"order": 2_147_483_647}));
    assert_eq!(gateway.status(2_147_483_647).await["remains"], "50");
    let balance = gateway.balance().await;
    only_error(&gateway.add(1001, "https://example.com/p/2", 50).await);
    assert_eq!((gateway.balance().await, alpha.order_count()), (balance, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_costs_nothing_is_given_for_nothing() {
    let alpha = upstream(20).await;
    assert!(alpha.set_rate(3, 0.into()));
    let given = "routes = [\"alpha:3\"]\nrate = \"0\"";
    let gateway = Gateway::start(&Config::new("").provider("alpha", &alpha, "").service(9, given)).await;
    let services = gateway.call("services", &[]).await;
    assert_eq!(services[0]["rate"], "0");
    let order = gateway.order(9, "https://example.com/p/1", 100).await;
    assert_eq!(gateway.until_status(order, "Completed").await["charge"], "0");
    assert_eq!(gateway.balance().await, "1000");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_one_text_and_nothing_else() {
    let (_alpha, gateway) = shop(1).await;
    for (action, parameters, error) in [
        ("status", vec![("order", "99")], "Incorrect order ID"),
        ("status", vec![], "Missing required parameter: order"),
        ("add", vec![("service", "9")], "Incorrect service ID"),
        ("add", vec![("service", "1001")], "Link is required"),
        ("nonsense", vec![], "Incorrect request"),
    ] {
        assert_eq!(only_error(&gateway.call(action, &parameters).await), error);
    }
}

/// The five members of a status, each a string that a script can read.
fn assert_shape(status: &Value) {
    let members = status.as_object().unwrap();
    assert_eq!(members.len(), 5, "{status}");
    assert!(["charge", "start_count", "remains"].iter().all(|name| is_plain(&status[*name])), "{status}");
    let known = ["Pending", "In progress", "Processing", "Completed", "Partial", "Canceled"];
    assert!(status["status"].as_str().is_some_and(|word| known.contains(&word)), "{status}");
    assert_eq!(status["currency"], "USD");
}

/// Digits, with at most one point among them.
fn is_plain(number: &Value) -> bool {
    number.as_str().is_some_and(|text| {
        text.starts_with(|c: char| c.is_ascii_digit())
            && text.ends_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            && text.matches('.').count() <= 1
    })
}
