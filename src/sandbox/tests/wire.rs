//! Every fault as a caller meets it.

use serde_json::json;

use super::*;

/// What comes back on a connection until it ends.
async fn rest_of(mut stream: TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).await.map(drop);
    (bytes, ended)
}

#[tokio::test]
async fn a_connection_is_reset_before_or_after_the_order_is_accepted() {
    let caller = Caller::usual().await;
    for (spec, accepted) in [("close-before", 0), ("close-after", 1)] {
        caller.faults(spec);
        let (bytes, ended) = rest_of(caller.send_add().await).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset, "{spec}");
        assert!(bytes.is_empty(), "{spec}");
        assert_eq!(caller.sandbox.order_count(), accepted, "{spec}");
    }
}

#[tokio::test]
async fn a_hanging_call_is_never_answered() {
    let caller = Caller::usual().await;
    for (calls, spec, accepted) in [(1, "hang-before", 0), (2, "hang-after", 1), (3, "hang", 2)] {
        caller.faults(spec);
        let stream = caller.send_add().await;
        caller.adds_came(calls).await;
        let silent = tokio::time::timeout(Duration::from_millis(100), rest_of(stream)).await;
        assert!(silent.is_err(), "{spec}: {silent:?}");
        assert_eq!(caller.sandbox.order_count(), accepted, "{spec}");
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_on_a_hanging_call_leaves_nothing_behind() {
    let caller = Caller::usual().await;
    caller.faults("hang");
    let idle = caller.sandbox.tasks.len();
    let stream = caller.send_add().await;
    caller.adds_came(1).await;
    assert!(caller.sandbox.tasks.len() > idle);
    drop(stream);
    let wait = async {
        while caller.sandbox.tasks.len() > idle {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
}

#[tokio::test]
async fn a_call_is_under_way_from_its_last_byte_until_its_answer() {
    let caller = Caller::usual().await;
    caller.sandbox.script_next(Action::Balance, Fault::Slow(Duration::from_millis(200)), 1);
    let slow = caller.call("balance", &[]);
    let other = async {
        let came = async {
            while caller.sandbox.calls().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), came).await.unwrap();
        caller.sandbox.script_next(Action::Add, Fault::HangAfter, 1);
        caller.send_add().await
    };
    let (_, hangs) = tokio::join!(slow, other);
    caller.adds_came(1).await;
    let [slow, hanging] = caller.sandbox.calls()[..] else { panic!("two calls came") };
    let took = slow.answered_at.unwrap().duration_since(slow.at);
    assert!(took >= Duration::from_millis(200), "{took:?}");
    drop(hangs);
    assert_eq!(caller.call("balance", &[]).await["currency"], "USD");
    assert_eq!(hanging.answered_at, None);
    let answered: Vec<bool> = caller.sandbox.calls().iter().map(|call| call.answered_at.is_some()).collect();
    assert_eq!(answered, [true, false, true], "who went away was not answered");
}

#[tokio::test]
async fn half_a_body_is_sent_and_no_more() {
    let caller = Caller::usual().await;
    caller.faults("half-body");
    let (bytes, ended) = rest_of(caller.send_add().await).await;
    assert!(ended.is_ok());
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("Content-Length: 16"), "{head}");
    assert_eq!(body, r#"{"order""#);
    assert_eq!(caller.sandbox.order_count(), 1);
}

#[tokio::test]
async fn answers_that_are_none_have_their_status_and_say_whether_an_order_exists() {
    let caller = Caller::usual().await;
    for (spec, status, contains, accepts) in [
        ("bad-gateway", 502, "502 Bad Gateway", true),
        ("server-error", 500, "Server Error", true),
        ("error-after(Wrong)", 200, r#"{"error":"Wrong"}"#, true),
        ("empty", 200, "", true),
        ("garbage", 200, "<html>", true),
        ("error(Not enough, really)", 200, r#"{"error":"Not enough, really"}"#, false),
        ("error-status(422,Bad link)", 422, r#"{"error":"Bad link"}"#, false),
        ("rate-limited", 429, r#"{"error":"Too many requests"}"#, false),
        ("unavailable", 503, "503 Service Unavailable", false),
        ("challenge", 403, "Just a moment", false),
        ("redirect", 301, "", false),
        ("redirect(308)", 308, "", false),
    ] {
        caller.faults(spec);
        let before = caller.sandbox.order_count();
        let answer = caller.post("add", &[("service", "1"), ("link", "l"), ("quantity", "100")]).await;
        assert_eq!(answer.status().as_u16(), status, "{spec}");
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (retry, challenge, location) = (header("retry-after"), header("cf-mitigated"), header("location"));
        assert_eq!(retry.as_deref(), (spec == "rate-limited").then_some("2"), "{spec}");
        assert_eq!(challenge.as_deref(), (spec == "challenge").then_some("challenge"), "{spec}");
        assert_eq!(location.as_deref(), spec.starts_with("redirect").then_some("/api/v2/moved"), "{spec}");
        let body = answer.text().await.unwrap();
        assert!(body.contains(contains) && (spec != "empty" || body.is_empty()), "{spec}: {body}");
        assert!(!body.contains("\"order\""), "{spec}: {body}");
        assert_eq!(caller.sandbox.order_count(), before + usize::from(accepts), "{spec}");
    }
}

#[tokio::test]
async fn the_right_answer_may_stand_behind_rubbish() {
    let caller = Caller::usual().await;
    for (spec, prefix) in [("php-warning", "<br />\n<b>Warning</b>"), ("bom", "\u{feff}")] {
        caller.faults(spec);
        let answer = caller.post("add", &[("service", "1"), ("link", "l"), ("quantity", "100")]).await;
        let text = String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap();
        assert!(text.starts_with(prefix), "{spec}: {text:?}");
        let id = &caller.sandbox.orders().last().unwrap().id.clone();
        assert!(text.ends_with(&format!(r#"{{"order":{id}}}"#)), "{spec}: {text:?}");
    }
}

#[tokio::test]
async fn a_slow_answer_comes_late_but_the_order_is_there_at_once() {
    let caller = Caller::usual().await;
    caller.faults("slow(300)");
    let begun = tokio::time::Instant::now();
    let id = caller.order("l").await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(caller.sandbox.orders()[0].id, id);
}

#[tokio::test]
async fn ids_may_be_text_or_come_twice() {
    let caller = Caller::usual().await;
    let params = [("service", "1"), ("link", "l"), ("quantity", "100")];
    caller.faults("string-ids");
    let text = caller.call("add", &params).await["order"].as_str().unwrap().to_owned();
    assert_eq!(caller.status(&text).await["status"], "Pending");
    caller.faults("duplicate-id");
    let twice = caller.call("add", &params).await["order"].to_string();
    assert_eq!((twice, caller.sandbox.order_count()), (text, 2));
    caller.faults("alphanumeric-ids");
    let id = caller.call("add", &params).await["order"].as_str().unwrap().to_owned();
    assert!(id.starts_with("SB") && id == caller.sandbox.orders()[2].id, "{id}");
    let status = caller.call("status", &[("orders", &id)]).await;
    assert_eq!(status[&id]["status"], "Pending");
    let number = id.trim_start_matches("SB").trim_end_matches('X');
    assert_eq!(caller.status(number).await, json!({ "error": "Incorrect order ID" }));
}

#[tokio::test]
async fn many_statuses_may_come_as_a_list_short_or_not_at_all() {
    let caller = Caller::usual().await;
    let ids = [caller.order("a").await, caller.order("b").await, caller.order("c").await];
    let orders = ids.join(",");
    caller.faults("status-list");
    let list = caller.call("status", &[("orders", &orders)]).await;
    assert_eq!(list.as_array().unwrap().len(), 3);
    assert!(list[0].get("order").is_none() && list[0]["status"] == "Pending", "{list}");
    caller.faults("missing-ids");
    let short = caller.call("status", &[("orders", &orders)]).await;
    assert_eq!(short.as_object().unwrap().keys().collect::<Vec<_>>(), [&ids[1]]);
    caller.faults("no-batch");
    assert_eq!(caller.call("status", &[("orders", &orders)]).await, json!({ "error": "Incorrect request" }));
    assert_eq!(caller.status(&ids[0]).await["status"], "Pending");
}

#[tokio::test]
async fn a_status_may_go_back_and_come_again() {
    let caller = Caller::usual().await;
    let id = caller.order("a").await;
    for (status, shown, remains) in
        [("Completed", "Partial", "40"), ("Canceled", "In progress", "100"), ("Partial", "Completed", "0")]
    {
        assert!(caller.sandbox.set_order(&id, OrderChange::status(status)));
        caller.sandbox.script_next(Action::Status, Fault::Flip, 1);
        let flipped = caller.status(&id).await;
        assert_eq!((&flipped["status"], &flipped["remains"]), (&json!(shown), &json!(remains)));
        assert_eq!(caller.status(&id).await["status"], status);
    }
}

#[tokio::test]
async fn services_and_balance_may_be_wrong() {
    let caller = Caller::usual().await;
    let whole = caller.call("services", &[]).await.as_array().unwrap().len();
    caller.faults("services-empty");
    assert_eq!(caller.call("services", &[]).await, json!([]));
    caller.faults("services-short,wrong-currency");
    assert_eq!(caller.call("services", &[]).await.as_array().unwrap().len(), whole / 2);
    assert_eq!(caller.call("balance", &[]).await, json!({ "balance": "10000", "currency": "INR" }));
}

#[tokio::test]
async fn scripted_faults_come_in_turn_and_then_none() {
    let caller = Caller::usual().await;
    caller.sandbox.script_next(Action::Balance, Fault::Error("one".into()), 2);
    caller.sandbox.script_next(Action::Balance, Fault::Error("two".into()), 1);
    caller.order("l").await;
    for error in ["one", "one", "two"] {
        assert_eq!(caller.call("balance", &[]).await, json!({ "error": error }));
    }
    assert_eq!(caller.call("balance", &[]).await["currency"], "USD");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    async fn refused(seed: u64) -> Vec<bool> {
        let faults = "error@balance(no):0.5".parse().unwrap();
        let caller = Caller::new(Options { seed, faults, ..Options::default() }).await;
        let mut refused = Vec::new();
        for _ in 0..40 {
            refused.push(caller.call("balance", &[]).await.get("error").is_some());
        }
        refused
    }
    let first = refused(3).await;
    assert_eq!(first, refused(3).await);
    assert_ne!(first, refused(4).await);
    assert!(first.contains(&true) && first.contains(&false));
}
