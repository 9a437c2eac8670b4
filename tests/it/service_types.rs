//! Every service type of docs/protocol.md through the gateway: what is charged, and what the upstream is sent.

use std::collections::BTreeMap;

use serde_json::json;
use tollgate::sandbox::{Options, Sandbox, default_services};

use crate::harness::{Config, Gateway, Traces, only_error, upstream_with};

const LINK: &str = "https://example.com/p/1?a=1&b=2";
const IMPORT: &str = "[[import]]\nprovider = \"alpha\"\nid_offset = 1000";

/// A gateway before the default list, with a service 27 of a type that nobody knows.
async fn shop() -> (Sandbox, Gateway) {
    let mut services = default_services();
    let mut unknown = services[0].clone();
    (unknown.id, unknown.type_text) = (27, "High Quality".to_owned());
    services.push(unknown);
    let alpha = upstream_with(Options { services, ..Options::default() }).await;
    let gateway = Gateway::start(&Config::new("").provider("alpha", &alpha, "").text(IMPORT)).await;
    (alpha, gateway)
}

/// Orders upstream service `theirs`; the upstream must be sent `sent` beside the service and nothing else.
async fn check(shop: &(Sandbox, Gateway), theirs: u64, given: &[(&str, &str)], sent: &[(&str, &str)], charge: &str) {
    let (alpha, gateway) = shop;
    let service = (1000 + theirs).to_string();
    let mut form = vec![("service", service.as_str()), ("nonsense", "1"), ("posts", "7"), ("request_id", "")];
    form.extend(given);
    let answer = gateway.call("add", &form).await;
    let order = answer["order"].as_u64().unwrap_or_else(|| panic!("service {theirs}: {answer}"));
    let placed = alpha.orders().pop().unwrap();
    let mut expected: BTreeMap<String, String> =
        sent.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    expected.insert("service".to_owned(), theirs.to_string());
    assert_eq!(placed.params, expected, "service {theirs}");
    assert_eq!(gateway.status(order).await["charge"], charge, "service {theirs}");
    let ledger = gateway.cli_json(&["client", "ledger", "tester", "--limit", "1"]);
    assert_eq!(ledger[0]["amount"], format!("-{charge}"), "service {theirs}");
    assert_eq!(ledger[0]["order"], order);
}

/// The same where what is given is what is sent.
async fn check_same(shop: &(Sandbox, Gateway), theirs: u64, given: &[(&str, &str)], charge: &str) {
    check(shop, theirs, given, given, charge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn types_with_a_quantity_are_charged_by_it() {
    let shop = shop().await;
    let link = ("link", LINK);
    for (theirs, quantity, charge) in [
        (1, "1234", "1.33272"),
        (2, "150", "0.45"),
        (4, "7777", "0.6859314"),
        (5, "100", "0.0015"),
        (23, "123457", "0.2962968"),
        (26, "11", "0.0148291"),
    ] {
        check_same(&shop, theirs, &[link, ("quantity", quantity)], charge).await;
    }
    for (theirs, quantity, more, charge) in [
        (7, "11", vec![("keywords", "red\nblue shoes")], "0.0396"),
        (10, "21", vec![("usernames", "ann\nbob")], "0.03024"),
        (11, "20", vec![("usernames", "ann\nbob"), ("hashtags", "#one\n#two")], "0.0336"),
        (13, "33", vec![("hashtag", "#one")], "0.04356"),
        (14, "20", vec![("username", "ann")], "0.0312"),
        (15, "20", vec![("media", "https://example.com/m/2")], "0.0324"),
        (16, "5", vec![("username", "ann")], "0.0105"),
        (18, "10", vec![("answer_number", "2")], "0.0072"),
        (19, "50", vec![("groups", "g1\ng2\ng3")], "0.126"),
        (21, "100", vec![("country", "US"), ("device", "5"), ("type_of_traffic", "3")], "0.054"),
        (
            21,
            "100",
            vec![("country", "DE"), ("device", "1"), ("type_of_traffic", "1"), ("google_keyword", "red shoes")],
            "0.054",
        ),
        (
            21,
            "100",
            vec![("country", "DE"), ("device", "2"), ("type_of_traffic", "2"), ("referring_url", "https://r.example/")],
            "0.054",
        ),
    ] {
        let given: Vec<_> = [link, ("quantity", quantity)].into_iter().chain(more).collect();
        check_same(&shop, theirs, &given, charge).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drip_feed_is_charged_for_all_its_runs() {
    let shop = shop().await;
    let drip = [("link", LINK), ("quantity", "100"), ("runs", "5"), ("interval", "30")];
    check_same(&shop, 1, &drip, "0.54").await;
    let traffic = [("country", "US"), ("device", "1"), ("type_of_traffic", "3")];
    let given: Vec<_> = drip.into_iter().chain(traffic).collect();
    check_same(&shop, 21, &given, "0.27").await;
    // An empty `runs` is none.
    let plain = [("link", LINK), ("quantity", "100")];
    let empty: Vec<_> = plain.into_iter().chain([("runs", ""), ("interval", " ")]).collect();
    check(&shop, 1, &empty, &plain, "0.108").await;
    assert_eq!(shop.0.orders()[0].quantity, 100, "the quantity is of one run");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_charged_by_their_lines_and_packages_by_their_rate() {
    let shop = shop().await;
    let link = ("link", LINK);
    let lines = [link, ("comments", "nice\ngood, very good\n\u{1f44d}")];
    check(&shop, 8, &[link, ("comments", "nice\r\n\r\n good, very good \r\n\u{1f44d}\r\n")], &lines, "0.0288").await;
    check_same(&shop, 12, &[link, ("usernames", "a\nb\nc\nd\ne")], "0.0096").await;
    check_same(&shop, 17, &[link, ("username", "ann"), ("comments", "yes\nno")], "0.0228").await;
    check_same(&shop, 6, &[link], "5.988").await;
    check_same(&shop, 9, &[link, ("comments", "a\nb\nc")], "2.388").await;
    // A quantity beside a list or a package decides nothing, and is not sent.
    check(&shop, 8, &[lines[0], lines[1], ("quantity", "900")], &lines, "0.0288").await;
    check(&shop, 6, &[link, ("quantity", "900")], &[link], "5.988").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_listed_but_not_sold_and_unknown_types_are_neither() {
    let (alpha, gateway) = shop().await;
    let services = gateway.call("services", &[]).await;
    let types: Vec<&str> = services.as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    assert_eq!(types.len(), 26);
    assert_eq!(types.iter().filter(|kind| **kind == "Subscriptions").count(), 1);
    assert!(!services.as_array().unwrap().iter().any(|entry| entry["service"] == 1027));
    let before = Traces::of(&gateway, &alpha);
    let subscription =
        [("service", "1020"), ("username", "ann"), ("min", "10"), ("max", "20"), ("delay", "0"), ("posts", "5")];
    let refused = gateway.call("add", &subscription).await;
    assert_eq!(refused, json!({"error": "Subscriptions can not be ordered through this API"}));
    let unknown = gateway.add(1027, LINK, 100).await;
    assert_eq!(only_error(&unknown), "Incorrect service ID");
    assert_eq!(Traces::of(&gateway, &alpha), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_and_wrong_fields_are_named_and_leave_no_trace() {
    let (alpha, gateway) = shop().await;
    let before = Traces::of(&gateway, &alpha);
    let (link, ten) = (("link", LINK), ("quantity", "20"));
    let traffic = [link, ("quantity", "100"), ("country", "US")];
    let with = |more: &[(&'static str, &'static str)]| traffic.into_iter().chain(more.iter().copied()).collect();
    for (theirs, given, error) in [
        (6, vec![], "Link is required"),
        (7, vec![link, ten], "Missing required parameter: keywords"),
        (8, vec![link], "Missing required parameter: comments"),
        (8, vec![link, ("comments", "\r\n \n")], "Missing required parameter: comments"),
        (9, vec![link], "Missing required parameter: comments"),
        (10, vec![link, ten], "Missing required parameter: usernames"),
        (11, vec![link, ten, ("usernames", "a")], "Missing required parameter: hashtags"),
        (12, vec![link, ten], "Missing required parameter: usernames"),
        (12, vec![link, ("usernames", "a\nb\nc\nd")], "Quantity less than minimal 5"),
        (13, vec![link, ten], "Missing required parameter: hashtag"),
        (13, vec![link, ten, ("hashtag", "a\nb")], "Incorrect parameter: hashtag"),
        (14, vec![link, ten], "Missing required parameter: username"),
        (15, vec![link, ten], "Missing required parameter: media"),
        (16, vec![link, ten, ("username", " ")], "Missing required parameter: username"),
        (17, vec![link, ("comments", "a")], "Missing required parameter: username"),
        (17, vec![link, ("username", "a")], "Missing required parameter: comments"),
        (18, vec![link, ten], "Missing required parameter: answer_number"),
        (18, vec![link, ("answer_number", "1")], "Quantity is required"),
        (19, vec![link, ("quantity", "50")], "Missing required parameter: groups"),
        (21, vec![link, ("quantity", "100")], "Missing required parameter: country"),
        (21, traffic.to_vec(), "Missing required parameter: device"),
        (21, with(&[("device", "6"), ("type_of_traffic", "3")]), "Incorrect parameter: device"),
        (21, with(&[("device", "1"), ("type_of_traffic", "4")]), "Incorrect parameter: type_of_traffic"),
        (21, with(&[("device", "1"), ("type_of_traffic", "1")]), "Missing required parameter: google_keyword"),
        (21, with(&[("device", "1"), ("type_of_traffic", "2")]), "Missing required parameter: referring_url"),
        (1, vec![link, ("quantity", "100"), ("runs", "2")], "Runs and interval must be given together"),
        (1, vec![link, ("quantity", "100"), ("interval", "5")], "Runs and interval must be given together"),
        (1, vec![link, ("quantity", "100"), ("runs", "0"), ("interval", "5")], "Incorrect parameter: runs"),
        (1, vec![link, ("quantity", "100"), ("runs", "2"), ("interval", "-1")], "Incorrect parameter: interval"),
        (
            2,
            vec![link, ("quantity", "100"), ("runs", "2"), ("interval", "5")],
            "This service does not support drip-feed",
        ),
    ] {
        let service = (1000 + theirs).to_string();
        let form: Vec<_> = given.into_iter().chain([("service", service.as_str())]).collect();
        assert_eq!(only_error(&gateway.call("add", &form).await), error, "{form:?}");
    }
    assert_eq!(Traces::of(&gateway, &alpha), before);
}
