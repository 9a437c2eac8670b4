//! `tollgate report`: sums that were worked out by hand, and that agree with the clients' ledgers.

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tollgate::sandbox::{Action, Fault};

use crate::harness::{Config, Gateway, eventually, upstream};

fn sums(group: Value, orders: u32, money: [&str; 5], margin_percent: Value, (unknown, possible): (u32, &str)) -> Value {
    let [charged, refunded, revenue, cost, margin] = money;
    json!({"group": group, "orders": orders, "charged": charged, "refunded": refunded, "revenue": revenue,
           "cost": cost, "unknown_cost": unknown, "possible_cost": possible, "margin": margin, "margin_percent": margin_percent})
}

#[tokio::test(flavor = "multi_thread")]
async fn it_adds_up_as_by_hand_and_as_the_ledgers_do() {
    let (alpha, beta) = (upstream(20).await, upstream(20).await);
    beta.set_currency("EUR");
    // Service 1 costs 0.9 at each and is sold at 1.08; through beta, in euro, it costs 0.972 and is sold at 1.1664.
    let config = Config::new("[exchange_rates]\nEUR = \"1.08\"")
        .provider("alpha", &alpha, "")
        .provider("beta", &beta, "currency = \"EUR\"")
        .service(1, "routes = [\"alpha:1\"]")
        .service(2, "routes = [\"beta:1\"]");
    let gateway = Gateway::start(&config).await;
    let shop = gateway.add_client("shop", &["--deposit", "100", "--markup", "100"]);
    gateway.knows_key(&shop).await;
    let nothing = gateway.cli_json(&["report"]);
    assert_eq!(nothing["total"], sums(Value::Null, 0, ["0"; 5], Value::Null, (0, "0")));

    let first = gateway.order(1, "https://example.com/p/1", 1000).await;
    let partial = gateway.order(1, "https://example.com/p/partial", 1000).await;
    let canceled = gateway.order_of(&shop, 2, "https://example.com/p/cancel", 1000).await;
    let second = gateway.order_of(&shop, 2, "https://example.com/p/2", 500).await;
    for (order, state) in [(first, "Completed"), (partial, "Partial"), (canceled, "Canceled"), (second, "Completed")] {
        eventually("its end and its cost", || async {
            gateway.polls_are_due();
            let story = gateway.story(order);
            (story["order"]["status"] == state && !story["order"]["cost"].is_null()).then_some(())
        })
        .await;
    }
    alpha.script_next(Action::Add, Fault::CloseAfter, 1);
    let lost = gateway.order(1, "https://example.com/lost", 100).await;
    gateway.until_state(lost, "uncertain").await;

    let by = |by: &str| gateway.cli_json(&["report", "--by", by]);
    // Charged 1.08 + 1.08 + 0.108, back 0.432; the upstream took 0.9 and, of the Partial, 0.9 x 600 / 1000.
    let at_alpha = ["2.268", "0.432", "1.836", "1.44", "0.396"];
    // At 100 %: 1.944 and half of it; the canceled one cost nothing in the end.
    let at_beta = ["2.916", "1.944", "0.972", "0.486", "0.486"];
    let total = sums(Value::Null, 5, ["5.184", "2.376", "2.808", "1.926", "0.882"], json!("45.79"), (1, "0.108"));
    let document = by("provider");
    assert_eq!(
        document["rows"],
        json!([
            sums(json!("alpha"), 3, at_alpha, json!("27.5"), (1, "0.108")),
            sums(json!("beta"), 2, at_beta, json!("100"), (0, "0")),
        ])
    );
    assert_eq!(
        (&document["by"], &document["currency"], &document["from"]),
        (&json!("provider"), &json!("USD"), &Value::Null)
    );
    for (group, names) in [("service", ["1", "2"]), ("client", ["shop", "tester"])] {
        let document = by(group);
        assert_eq!(document["total"], total, "{group}");
        assert_eq!([&document["rows"][0]["group"], &document["rows"][1]["group"]], names, "{group}");
    }
    // Once it is refunded, the upstream may still have taken its money.
    gateway.cli_json(&["orders", "resolve", &lost.to_string(), "--refund"]);
    let refunded = by("provider")["total"].clone();
    assert_eq!((&refunded["unknown_cost"], &refunded["possible_cost"]), (&json!(1), &json!("0.108")), "{refunded}");
    assert_eq!(
        (&refunded["refunded"], &refunded["revenue"], &refunded["margin"]),
        (&json!("2.484"), &json!("2.7"), &json!("0.774"))
    );
    let total = refunded;
    let days = by("day");
    assert_eq!(days["total"], total);
    assert!(days["rows"].as_array().unwrap().len() <= 2, "{days}");

    for row in by("client")["rows"].as_array().unwrap() {
        let ledger = gateway.cli_json(&["client", "ledger", row["group"].as_str().unwrap()]);
        let sum = |kind: &str| -> Decimal {
            let of_kind = ledger.as_array().unwrap().iter().filter(|entry| entry["kind"] == kind);
            of_kind.map(|entry| entry["amount"].as_str().unwrap().parse::<Decimal>().unwrap()).sum()
        };
        let said = |name: &str| row[name].as_str().unwrap().parse::<Decimal>().unwrap();
        assert_eq!((said("charged"), said("refunded")), (-sum("charge"), sum("refund")), "{row}");
        assert_eq!(said("revenue"), -sum("charge") - sum("refund"));
    }

    let at = gateway.story(canceled)["order"]["created_at"].as_str().unwrap().to_owned();
    let count = |options: &[&str]| gateway.cli_json(&[&["report"], options].concat())["total"]["orders"].clone();
    assert_eq!([count(&["--to", &at]), count(&["--from", &at])], [2, 3]);
    assert_eq!(count(&["--from", "2020-01-01", "--to", "2020-02-01"]), 0);
    let shown = String::from_utf8(gateway.cli(&["report", "--by", "provider"]).stdout).unwrap();
    assert!(shown.contains("alpha") && shown.contains("total") && shown.contains("40.18"), "{shown}");
}
