//! What is refused: each mistake in its own words, and nothing charged, stored or sent because of it.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tollgate::sandbox::Sandbox;

use crate::harness::{Config, Gateway, Traces, eventually, only_error, post_raw, upstream};

const LINK: &str = "https://example.com/p/1";

/// One service of type Default, from 50 to 10000, at 1.08.
async fn shop() -> (Sandbox, Gateway) {
    let alpha = upstream(1).await;
    let config = Config::new("").provider("alpha", &alpha, "").service(1, "routes = [\"alpha:1\"]");
    let gateway = Gateway::start(&config).await;
    (alpha, gateway)
}

async fn error_of(gateway: &Gateway, form: &[(&str, &str)]) -> String {
    only_error(&gateway.post(form).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_or_an_action_that_is_wrong_or_missing_is_named() {
    let (alpha, gateway) = shop().await;
    let order = gateway.order(1, LINK, 50).await.to_string();
    let before = Traces::of(&gateway, &alpha);
    let key = gateway.key.as_str();
    let (upper, longer) = (key.to_uppercase(), format!("{key}0"));
    let wrong = "0123456789abcdef0123456789abcdef";
    let add = [("service", "1"), ("link", LINK), ("quantity", "50")];
    for action in ["add", "status", "services", "balance", "nonsense", ""] {
        for (given, error) in [
            (vec![], "API key is required"),
            (vec![("key", "")], "API key is required"),
            (vec![("key", "  ")], "API key is required"),
            (vec![("key", wrong)], "Invalid API key"),
            (vec![("key", &upper)], "Invalid API key"),
            (vec![("key", &longer)], "Invalid API key"),
            (vec![("key", "' OR 1=1 --")], "Invalid API key"),
        ] {
            let form: Vec<_> = given.into_iter().chain([("action", action), ("order", &order)]).chain(add).collect();
            assert_eq!(error_of(&gateway, &form).await, error, "{form:?}");
        }
    }
    for action in ["", " ", "Add", "order", "refund", "add\0", "добавить"] {
        let form: Vec<_> = [("key", key), ("action", action)].into_iter().chain(add).collect();
        assert_eq!(error_of(&gateway, &form).await, "Incorrect request", "{action:?}");
    }
    assert_eq!(error_of(&gateway, &[("key", key)]).await, "Incorrect request");
    assert_eq!(error_of(&gateway, &[]).await, "API key is required");
    assert_eq!(Traces::of(&gateway, &alpha), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_order_is_refused_in_the_words_for_its_mistake() {
    let (alpha, gateway) = shop().await;
    let before = Traces::of(&gateway, &alpha);
    let long = format!("https://example.com/{}", "a".repeat(2048));
    let (service, link, hundred) = (("service", "1"), ("link", LINK), ("quantity", "100"));
    let mut cases = vec![
        (vec![link, hundred], "Incorrect service ID"),
        (vec![service, hundred], "Link is required"),
        (vec![service, hundred, ("link", " \t ")], "Link is required"),
        (vec![service, hundred, ("link", "https://example.com/\n/p")], "Incorrect link"),
        (vec![service, hundred, ("link", "https://example.com/\u{7f}")], "Incorrect link"),
        (vec![service, hundred, ("link", "https://example.com/\0")], "Incorrect link"),
        (vec![service, hundred, ("link", &long)], "Incorrect link"),
        (vec![service, link], "Quantity is required"),
        (vec![service, link, ("quantity", "")], "Quantity is required"),
        (vec![service, link, ("quantity", "49")], "Quantity less than minimal 50"),
        (vec![service, link, ("quantity", "10001")], "Quantity more than maximum 10000"),
        (vec![service, link, ("quantity", "18446744073709551615")], "Quantity more than maximum 10000"),
        (
            vec![service, link, hundred, ("runs", "18446744073709551615"), ("interval", "1")],
            "Quantity more than maximum 10000",
        ),
    ];
    for quantity in
        ["0", "-1", "1e3", "10.5", "100.0", "0x64", "+100", "1 00", "1,000", "१००", "NaN", "99999999999999999999"]
    {
        cases.push((vec![service, link, ("quantity", quantity)], "Incorrect quantity"));
    }
    for id in ["", "0", "2", "-1", "1.0", "1e0", "0x1", "one", "१", "2147483648", "9223372036854775808", "1;2"] {
        cases.push((vec![("service", id), link, hundred], "Incorrect service ID"));
    }
    for (form, error) in cases {
        assert_eq!(only_error(&gateway.call("add", &form).await), error, "{form:?}");
    }
    assert_eq!(Traces::of(&gateway, &alpha), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_id_that_cannot_be_ours_is_unknown() {
    let (alpha, gateway) = shop().await;
    let order = gateway.order(1, LINK, 50).await;
    let before = Traces::of(&gateway, &alpha);
    for id in [
        "0",
        "2",
        "-1",
        "1.0",
        "1e0",
        "one",
        "१",
        "1 1",
        "1'--",
        "2147483648",
        "4294967297",
        "9223372036854775808",
        "18446744073709551617",
        "99999999999999999999999999999999999999",
    ] {
        assert_eq!(only_error(&gateway.call("status", &[("order", id)]).await), "Incorrect order ID", "{id}");
    }
    for form in [vec![], vec![("order", "")], vec![("order", " "), ("orders", "")]] {
        assert_eq!(only_error(&gateway.call("status", &form).await), "Missing required parameter: order");
    }
    let many = (order..order + 101).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(only_error(&gateway.call("status", &[("orders", &many)]).await), "Maximum 100 IDs per request");
    assert_eq!(Traces::of(&gateway, &alpha), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_is_refused_whole() {
    let (alpha, gateway) = shop().await;
    let before = Traces::of(&gateway, &alpha);
    let key = gateway.key.clone();
    let form = format!("key={key}&action=add&service=1&quantity=50&link=https%3A%2F%2Fexample.com%2F");
    let json = format!("{{\"key\":\"{key}\",\"action\":\"add\",\"service\":1,\"quantity\":50,\"link\":\"{LINK}\"");
    let (form_type, json_type) = ("application/x-www-form-urlencoded", "application/json");
    let multipart_type = "multipart/form-data; boundary=x";
    let part = format!("--x\r\ncontent-disposition: form-data; name=\"key\"\r\n\r\n{key}\r\n");
    let deep = format!("{json},\"x\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    for (content_type, body, error) in [
        (form_type, [form.as_bytes(), b"%FF%FE"].concat(), "not UTF-8"),
        (form_type, [form.as_bytes(), b"\xff\xfe"].concat(), "not UTF-8"),
        (json_type, [json.as_bytes(), b",\"x\":\"\xff\"}"].concat(), "not UTF-8"),
        (json_type, json.clone().into_bytes(), "broken JSON"),
        (json_type, format!("{json}}} trailing").into_bytes(), "broken JSON"),
        (json_type, b"[1, 2]".to_vec(), "not an object"),
        (json_type, b"\"key\"".to_vec(), "not an object"),
        (json_type, format!("{json},\"link\":{{\"a\":1}}}}").into_bytes(), "holds an object"),
        (json_type, deep.into_bytes(), "broken JSON"),
        (multipart_type, part.clone().into_bytes(), "broken multipart"),
        ("multipart/form-data", format!("{part}--x--\r\n").into_bytes(), "broken multipart"),
        (
            form_type,
            [form.as_bytes(), (0..1000).map(|n| format!("&a{n}=1")).collect::<String>().as_bytes()].concat(),
            "more than 1000",
        ),
    ] {
        let answer = post_raw(&gateway.api, &format!("content-type: {content_type}\r\n"), &body).await;
        let text = answer.error();
        assert_eq!(answer.status, 200);
        assert!(text.starts_with("Incorrect request: ") && text.contains(error), "{error}: {text}");
    }
    let large = [form.as_bytes(), "a".repeat(1 << 20).as_bytes()].concat();
    let refused = post_raw(&gateway.api, &format!("content-type: {form_type}\r\n"), &large).await;
    assert_eq!((refused.status, refused.error()), (413, "Request body too large: 1 MiB at most".to_owned()));
    assert_eq!(Traces::of(&gateway, &alpha), before);
    gateway.order(1, LINK, 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_funds_or_over_the_daily_limit_nothing_is_ordered() {
    let (alpha, gateway) = shop().await;
    let empty = gateway.add_client("empty", &[]);
    let limited = gateway.add_client("limited", &["--deposit", "10", "--daily-limit", "0.108"]);
    gateway.knows_key(&empty).await;
    gateway.knows_key(&limited).await;
    let add = |key: &str, quantity: &str| {
        let form = [("key", key), ("action", "add"), ("service", "1"), ("link", LINK), ("quantity", quantity)];
        form.map(|(name, text)| (name, text.to_owned()))
    };
    let ask = async |key: &str, quantity: &str| -> Value {
        let form = add(key, quantity);
        gateway.post(&form.each_ref().map(|(name, text)| (*name, text.as_str()))).await
    };
    let before = Traces::of(&gateway, &alpha);
    assert_eq!(only_error(&ask(&empty, "50").await), "Not enough funds on balance");
    assert_eq!(only_error(&ask(&limited, "101").await), "Daily limit exceeded");
    assert_eq!(Traces::of(&gateway, &alpha), before);
    assert!(ask(&limited, "100").await["order"].is_u64(), "up to the limit exactly");
    let spent = Traces::of(&gateway, &alpha);
    assert_eq!(only_error(&ask(&limited, "50").await), "Daily limit exceeded");
    assert_eq!(Traces::of(&gateway, &alpha), spent);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_no_balance_could_cover_is_refused_for_want_of_funds() {
    let (alpha, gateway) = shop().await;
    let before = Traces::of(&gateway, &alpha);
    let base = [("service", "1"), ("link", LINK), ("quantity", "10000"), ("interval", "1")];
    for runs in ["1000", "1000000000000", "1844674407370955"] {
        let form: Vec<_> = base.into_iter().chain([("runs", runs)]).collect();
        assert_eq!(only_error(&gateway.call("add", &form).await), "Not enough funds on balance", "{runs}");
    }
    assert_eq!(Traces::of(&gateway, &alpha), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_its_own_rate_a_client_is_told_to_slow_down() {
    let (alpha, gateway) = shop().await;
    let before = Traces::of(&gateway, &alpha);
    assert!(gateway.cli(&["client", "set", "tester", "--rps", "1"]).status.success());
    let add = [("service", "1"), ("link", LINK), ("quantity", "49")];
    eventually("a call over the limit", || async {
        let answer = gateway.call("add", &add).await;
        (only_error(&answer) == "Too many requests").then_some(())
    })
    .await;
    assert_eq!(Traces::of(&gateway, &alpha), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_key_reads_and_does_not_order() {
    let (alpha, gateway) = shop().await;
    let order = gateway.order(1, LINK, 50).await.to_string();
    let added = gateway.cli_json(&["key", "add", "tester", "--read-only"]);
    let key = added["key"].as_str().unwrap();
    gateway.knows_key(key).await;
    let before = Traces::of(&gateway, &alpha);
    let add = [("key", key), ("action", "add"), ("service", "1"), ("link", LINK), ("quantity", "50")];
    assert_eq!(error_of(&gateway, &add).await, "This API key is read-only");
    assert_eq!(Traces::of(&gateway, &alpha), before);
    let status = gateway.post(&[("key", key), ("action", "status"), ("order", &order)]).await;
    assert_eq!(status["remains"], "50");
    assert!(gateway.post(&[("key", key), ("action", "services")]).await.is_array());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_and_a_disabled_client_stop_within_two_seconds() {
    let (alpha, gateway) = shop().await;
    let added = gateway.cli_json(&["key", "add", "tester", "--label", "second"]);
    let (key, id) = (added["key"].as_str().unwrap(), added["id"].to_string());
    gateway.knows_key(key).await;
    let before = Traces::of(&gateway, &alpha);
    assert!(gateway.cli(&["key", "revoke", "tester", &id]).status.success());
    until_refused(&gateway, key, "Invalid API key").await;
    assert_eq!(gateway.balance().await, "1000", "the other key goes on");

    assert!(gateway.cli(&["client", "disable", "tester"]).status.success());
    until_refused(&gateway, &gateway.key, "Your account is disabled").await;
    let add = [("key", gateway.key.as_str()), ("action", "add"), ("service", "1"), ("link", LINK), ("quantity", "50")];
    assert_eq!(error_of(&gateway, &add).await, "Your account is disabled");
    assert_eq!(Traces::of(&gateway, &alpha), before);

    assert!(gateway.cli(&["client", "enable", "tester"]).status.success());
    gateway.knows_key(&gateway.key).await;
    gateway.order(1, LINK, 50).await;
}

async fn until_refused(gateway: &Gateway, key: &str, error: &str) {
    let since = Instant::now();
    eventually(&format!("{error:?} to be answered"), || async {
        let answer = gateway.post(&[("key", key), ("action", "balance")]).await;
        (answer["error"] == error).then_some(())
    })
    .await;
    assert!(since.elapsed() < Duration::from_secs(2), "it took {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_buys_only_what_and_from_where_it_may() {
    let alpha = upstream(1).await;
    let config = Config::new("")
        .provider("alpha", &alpha, "")
        .service(1, "routes = [\"alpha:1\"]")
        .service(2, "routes = [\"alpha:2\"]");
    let gateway = Gateway::start(&config).await;
    let picky = gateway.add_client("picky", &["--deposit", "10", "--allow-service", "2"]);
    let far = gateway.add_client("far", &["--deposit", "10", "--allow-ip", "192.0.2.0/24"]);
    gateway.knows_key(&picky).await;
    eventually("the key from afar to be known", || async {
        let answer = gateway.post(&[("key", &far), ("action", "balance")]).await;
        (answer["error"] != "Invalid API key").then_some(())
    })
    .await;
    let before = Traces::of(&gateway, &alpha);
    let order =
        |key, service| [("key", key), ("action", "add"), ("service", service), ("link", LINK), ("quantity", "100")];
    assert_eq!(error_of(&gateway, &order(&picky, "1")).await, "Incorrect service ID");
    assert_eq!(error_of(&gateway, &order(&far, "1")).await, "This address is not allowed to use this API key");
    assert_eq!(Traces::of(&gateway, &alpha), before);
    let listed = gateway.post(&[("key", &picky), ("action", "services")]).await;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["service"]), (1, &Value::from(2)));
    assert!(gateway.post(&order(&picky, "2")).await["order"].is_u64());
}
