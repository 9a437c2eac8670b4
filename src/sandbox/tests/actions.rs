//! A well-behaved panel, action by action.

use serde_json::json;

use super::*;

#[tokio::test]
async fn services_are_listed_in_the_canonical_shape() {
    let caller = Caller::usual().await;
    let services = caller.call("services", &[]).await;
    assert_eq!(services.as_array().unwrap().len(), default_services().len());
    assert_eq!(
        services[0],
        json!({
            "service": 1, "name": "Instagram Followers", "type": "Default", "category": "Instagram Followers",
            "rate": "0.9000", "min": "50", "max": "10000", "refill": true, "cancel": true, "dripfeed": true,
            "desc": "Instagram Followers. Refilled for 30 days.",
        })
    );
}

#[tokio::test]
async fn a_wrong_key_and_an_unknown_action_are_refused() {
    let caller = Caller::usual().await;
    let url = caller.sandbox.url();
    for form in ["action=balance", "action=balance&key=wrong", "key=&action=add"] {
        let answer = caller.client.post(&url).body(form).send().await.unwrap().text().await.unwrap();
        assert_eq!(answer, r#"{"error":"Invalid API key"}"#, "{form}");
    }
    assert_eq!(caller.call("dance", &[]).await, json!({ "error": "Incorrect request" }));
    assert_eq!(caller.sandbox.calls().len(), 3, "an unknown action is no call");
}

#[tokio::test]
async fn parameters_may_come_in_the_query() {
    let caller = Caller::usual().await;
    let url = format!("{}?key={DEFAULT_KEY}&action=balance", caller.sandbox.url());
    let answer = caller.client.get(&url).send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, r#"{"balance":"10000","currency":"USD"}"#);
    let answer = caller.client.post(&url).body("action=dance").send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, r#"{"error":"Incorrect request"}"#, "the body wins");
}

#[tokio::test]
async fn an_order_is_charged_and_shown() {
    let caller = Caller::usual().await;
    let id = caller.order("https://example.com/a?b=c&d").await;
    assert_eq!(caller.call("balance", &[]).await, json!({ "balance": "9999.91", "currency": "USD" }));
    assert_eq!(
        caller.status(&id).await,
        json!({ "charge": "0.09", "start_count": "0", "status": "Pending", "remains": "100", "currency": "USD" })
    );
    let orders = caller.sandbox.orders();
    let order = &orders[0];
    assert_eq!((order.id.as_str(), order.service, order.quantity, orders.len()), (id.as_str(), 1, 100, 1));
    assert_eq!(order.link, "https://example.com/a?b=c&d");
    assert_eq!(order.params.keys().collect::<Vec<_>>(), ["link", "quantity", "service"]);
    assert_ne!(caller.order("other").await, id);
}

#[tokio::test]
async fn a_refused_order_leaves_no_trace() {
    let caller = Caller::usual().await;
    caller.sandbox.set_balance("0.08".parse().unwrap());
    for (service, quantity, error) in [
        ("1", "100", "Not enough funds on balance"),
        ("1", "1", "Quantity less than minimal 50"),
        ("999", "100", "Incorrect service ID"),
        ("one", "100", "Incorrect service ID"),
    ] {
        let answer = caller.call("add", &[("service", service), ("link", "l"), ("quantity", quantity)]).await;
        assert_eq!(answer, json!({ "error": error }));
    }
    assert_eq!((caller.sandbox.order_count(), caller.sandbox.balance().to_string()), (0, "0.08".into()));
    assert!(caller.sandbox.set_rate(1, "0.8".parse().unwrap()));
    caller.order("l").await;
    assert_eq!(caller.sandbox.balance().to_string(), "0");
}

#[tokio::test]
async fn many_statuses_are_keyed_by_the_id_asked_for() {
    let caller = Caller::usual().await;
    let (first, second) = (caller.order("a").await, caller.order("b").await);
    let answer = caller.call("status", &[("orders", &format!("{first}, 7,{second}"))]).await;
    assert_eq!(answer.as_object().unwrap().len(), 3);
    assert_eq!(answer[&first]["status"], "Pending");
    assert_eq!(answer[&second]["remains"], "100");
    assert_eq!(answer["7"], json!({ "error": "Incorrect order ID" }));
    assert_eq!(caller.status("7").await, json!({ "error": "Incorrect order ID" }));
    let many = vec![first.as_str(); 101].join(",");
    assert_eq!(caller.call("status", &[("orders", &many)]).await, json!({ "error": "Maximum 100 orders" }));
    let counts = caller.sandbox.calls().into_iter().filter(|call| call.action == Action::Status);
    assert_eq!(counts.map(|call| call.ids).collect::<Vec<_>>(), [3, 1, 101]);
}

#[tokio::test]
async fn orders_advance_by_themselves() {
    let caller = Caller::fast(20).await;
    let id = caller.order("https://example.com/usual").await;
    let seen = caller.statuses_until(&id, "Completed").await;
    // A busy machine may be too late for the first.
    assert!(seen.strip_prefix(&["Pending".to_owned()]).unwrap_or(&seen) == ["In progress", "Completed"], "{seen:?}");
    let done = caller.status(&id).await;
    assert_eq!((&done["remains"], &done["charge"]), (&json!("0"), &json!("0.09")));
    assert_ne!(done["start_count"], "0");
}

#[tokio::test]
async fn what_is_not_delivered_goes_back_to_the_account() {
    let caller = Caller::fast(200).await;
    for (link, ending, charge, balance) in [
        ("https://x/partial", "Partial", "0.054", "9999.946"),
        ("https://x/cancel", "Canceled", "0", "9999.946"),
        ("https://x/fail", "Fail", "0.09", "9999.856"),
    ] {
        let id = caller.order(link).await;
        caller.statuses_until(&id, ending).await;
        assert_eq!(caller.status(&id).await["charge"], charge, "{link}");
        assert_eq!(caller.call("balance", &[]).await["balance"], balance, "{link}");
    }
}

#[tokio::test]
async fn drip_feed_says_how_many_runs_are_done() {
    let caller = Caller::usual().await;
    let params = [("service", "1"), ("link", "l"), ("quantity", "100"), ("runs", "3"), ("interval", "5")];
    let id = caller.call("add", &params).await["order"].to_string();
    let status = caller.status(&id).await;
    assert_eq!((&status["charge"], &status["remains"], &status["runs"]), (&json!("0.27"), &json!("300"), &json!("0")));
    assert!(caller.sandbox.set_order(&id, OrderChange::status("Completed")));
    assert_eq!(caller.status(&id).await["runs"], "3");
}

#[tokio::test]
async fn a_subscription_is_charged_nothing() {
    let caller = Caller::usual().await;
    let params = [("service", "20"), ("username", "u"), ("min", "10"), ("max", "20"), ("delay", "0"), ("posts", "5")];
    let id = caller.call("add", &params).await["order"].to_string();
    let expected = json!({ "status": "Active", "posts": "5", "expiry": "", "orders": [] });
    assert_eq!(caller.status(&id).await, expected);
    assert_eq!(caller.sandbox.balance().to_string(), "10000");
}

#[tokio::test]
async fn a_cancel_takes_effect_a_little_later() {
    let caller = Caller::fast(2).await;
    let id = caller.order("a").await;
    let other = caller.call("add", &[("service", "4"), ("link", "b"), ("quantity", "10")]).await["order"].to_string();
    let answer = caller.call("cancel", &[("orders", &format!("{id},7,{other}"))]).await;
    let expected = json!([
        { "order": id.parse::<u64>().unwrap(), "cancel": 1 },
        { "order": 7, "cancel": { "error": "Incorrect order ID" } },
        { "order": other.parse::<u64>().unwrap(), "cancel": { "error": "Order cannot be cancelled" } },
    ]);
    assert_eq!(answer, expected);
    assert_eq!(caller.statuses_until(&id, "Canceled").await.last().unwrap(), "Canceled");
    assert_eq!(caller.status(&id).await["remains"], "100");
    let answer = caller.call("cancel", &[("orders", &id)]).await;
    assert_eq!(answer[0]["cancel"], json!({ "error": "Order can no longer be canceled" }));
    assert_eq!(caller.sandbox.balance().to_string(), "9999.999265");
}

#[tokio::test]
async fn a_refill_is_taken_once_at_a_time_for_what_was_delivered() {
    let caller = Caller::fast(10).await;
    let id = caller.order("a").await;
    assert_eq!(caller.call("refill", &[("order", &id)]).await, json!({ "error": "The order is not completed" }));
    assert!(caller.sandbox.set_order(&id, OrderChange::status("Completed")));
    assert_eq!(caller.call("refill", &[("order", &id)]).await, json!({ "refill": "1" }));
    let answer = caller.call("refill", &[("orders", &format!("{id},7"))]).await;
    assert_eq!(answer[0]["refill"], json!({ "error": "The refill task is not completed for this order" }));
    assert_eq!(answer[1], json!({ "order": 7, "refill": { "error": "Incorrect order ID" } }));
    let wait = async { while caller.call("refill_status", &[("refill", "1")]).await["status"] != "Completed" {} };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
    let again = caller.call("refill", &[("orders", &id)]).await;
    assert_eq!(again, json!([{ "order": id.parse::<u64>().unwrap(), "refill": 2 }]));
    let answer = caller.call("refill_status", &[("refills", "1,9")]).await;
    let expected = json!([
        { "refill": 1, "status": "Completed" },
        { "refill": 9, "status": { "error": "Refill not found" } },
    ]);
    assert_eq!(answer, expected);
    let other = caller.call("add", &[("service", "4"), ("link", "b"), ("quantity", "10")]).await["order"].to_string();
    let refused = caller.call("refill", &[("order", &other)]).await;
    assert_eq!(refused, json!({ "error": "Refill is disabled for this service" }));
}

#[tokio::test]
async fn a_link_can_be_locked_while_its_order_is_active() {
    let caller = Caller::new(Options { duplicate_lock: true, ..Options::default() }).await;
    let id = caller.order("same").await;
    let params = [("service", "1"), ("link", "same"), ("quantity", "200")];
    let refused = "You have active order with this link. Please wait until order being completed.";
    assert_eq!(caller.call("add", &params).await, json!({ "error": refused }));
    caller.order("other").await;
    assert!(caller.sandbox.set_order(&id, OrderChange::status("Completed")));
    assert!(caller.call("add", &params).await["order"].is_u64());
}

#[tokio::test]
async fn a_repeated_order_can_get_the_first_ones_id() {
    let caller = Caller::new(Options { dedupe: true, ..Options::default() }).await;
    let id = caller.order("same").await;
    assert_eq!(caller.order("same").await, id);
    assert_eq!((caller.sandbox.order_count(), caller.sandbox.balance().to_string()), (1, "9999.91".into()));
    let more = caller.call("add", &[("service", "1"), ("link", "same"), ("quantity", "200")]).await;
    assert_ne!(more["order"].to_string(), id);
}

#[tokio::test]
async fn orders_are_listed_where_that_is_switched_on() {
    let caller = Caller::usual().await;
    let ids = [caller.order("a").await, caller.order("b").await];
    assert!(caller.call("orders", &[]).await["error"].is_string(), "few panels have it");
    caller.sandbox.set_lists_orders(true);
    let listed = caller.call("orders", &[("limit", "100")]).await;
    let shown: Vec<_> = listed.as_array().unwrap().iter().map(|order| order["order"].to_string()).collect();
    assert_eq!(shown, [ids[1].as_str(), ids[0].as_str()], "newest first");
    let newest = &caller.call("orders", &[("limit", "1")]).await[0];
    assert_eq!((&newest["service"], &newest["link"], &newest["quantity"]), (&1.into(), &"b".into(), &100.into()));
    assert_eq!((&newest["charge"], &newest["status"]), (&"0.09".into(), &"Pending".into()));
    assert!(newest["created_at"].as_str().unwrap().ends_with('Z'), "{newest}");
}
