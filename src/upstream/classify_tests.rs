use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::domain::outcome::RejectKind::{
    Balance, DuplicateLink, Input, Key, Maintenance, Protocol, RateLimit, Service,
};

/// What an outcome comes to, short enough for a table.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Is {
    Accepted(&'static str),
    Rejected(RejectKind),
    Ambiguous,
}

use Is::{Accepted, Ambiguous, Rejected};

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, body: Bytes::copy_from_slice(body.as_bytes()), ..Reply::default() }
}

fn check(reply: Reply, rejects: &Rejects, wanted: &Is) {
    let shown = format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body));
    let outcome = classify_add(&Ok(reply), rejects);
    match (&outcome, wanted) {
        (Outcome::Accepted(id), Accepted(wanted)) => assert_eq!(id.as_str(), *wanted, "{shown}"),
        (Outcome::Rejected(rejection), Rejected(kind)) => assert_eq!(rejection.kind, *kind, "{shown}"),
        (Outcome::Ambiguous(_), Ambiguous) => {}
        _ => panic!("{shown}: {outcome:?}, not {wanted:?}"),
    }
}

/// Every error text of the documentation, as it is spelt there. Each is tried with HTTP 200, 400, 422 and 500,
/// in other case, with a full stop, in a form, as plain text, and after a PHP warning.
const TEXTS: &[(&str, Is)] = &[
    ("Invalid API key", Rejected(Key)),
    ("Incorrect API key", Rejected(Key)),
    ("API key invalid", Rejected(Key)),
    ("API key hatali", Rejected(Key)),
    ("API key hatalı", Rejected(Key)),
    ("Incorrect request or API key", Rejected(Key)),
    ("API is Disable for this user or User Not Found! Contact the Support", Rejected(Key)),
    ("Your account has been suspended.", Ambiguous),
    ("Your account is not active", Ambiguous),
    ("Your account is inactive", Ambiguous),
    ("neworder.error.account_banned", Ambiguous),
    ("Account suspended", Ambiguous),
    ("API key is required", Rejected(Protocol)),
    ("Missing API key", Rejected(Protocol)),
    ("Missing data", Rejected(Protocol)),
    ("Eksik veri", Rejected(Protocol)),
    ("Incorrect request", Rejected(Protocol)),
    ("This action is Invalid", Rejected(Protocol)),
    ("Incorrect action", Rejected(Protocol)),
    ("Incorrect parameters", Rejected(Protocol)),
    ("Missing required parameter: link", Rejected(Protocol)),
    ("The Request Not Found", Rejected(Protocol)),
    ("The selected action is invalid.", Rejected(Protocol)),
    ("Method Not Allowed", Rejected(Protocol)),
    ("Incorrect service ID", Rejected(Service)),
    ("error.incorrect_service_id", Rejected(Service)),
    ("neworder.error.incorrect_service_id", Rejected(Service)),
    ("Invalid Service Id", Rejected(Service)),
    ("Service ID does not exists", Rejected(Service)),
    ("Service not found or inactive", Rejected(Service)),
    ("Servis pasif ya da bulunamadi", Rejected(Service)),
    ("neworder.error.service_not_found", Rejected(Service)),
    ("neworder.error.service_inactive", Rejected(Service)),
    ("error.invalid_service", Rejected(Service)),
    ("incorrect service type", Rejected(Service)),
    ("Disabled service ID", Rejected(Service)),
    ("Service temporarily disabled", Rejected(Service)),
    ("Not enough funds on balance", Rejected(Balance)),
    ("neworder.error.not_enough_funds", Rejected(Balance)),
    ("neworder.error.insufficient_balance", Rejected(Balance)),
    ("Insufficient balance", Rejected(Balance)),
    ("Your balance is insufficient.", Rejected(Balance)),
    ("Bakiyeniz yetersiz", Rejected(Balance)),
    ("Balance is not enough", Rejected(Balance)),
    ("Quantity less than minimal 100", Rejected(Input)),
    ("Quantity more than maximum 10000", Rejected(Input)),
    ("Quantity less than maximum 10000", Rejected(Input)),
    ("neworder.error.min_quantity", Rejected(Input)),
    ("neworder.error.max_quantity", Rejected(Input)),
    ("Minimum quantity is 50", Rejected(Input)),
    ("Maximum quantity is 5,000", Rejected(Input)),
    ("Quantity must be between 10 and 500", Rejected(Input)),
    ("Quantity out of bounds", Rejected(Input)),
    ("Quantity must to be greater than or equal to minimum amount 10", Rejected(Input)),
    ("Enter a value above the minimum number.", Rejected(Input)),
    ("Maximum number exceed.", Rejected(Input)),
    ("Maximum number exceeded.", Rejected(Input)),
    ("Incorrect quantity", Rejected(Input)),
    ("neworder.error.invalid_quantity", Rejected(Input)),
    ("neworder.error.not_enough_quantity", Rejected(Input)),
    ("Bad link", Rejected(Input)),
    ("Incorrect link", Rejected(Input)),
    ("Invalid link", Rejected(Input)),
    ("neworder.error.link", Rejected(Input)),
    ("neworder.error.invalid_link", Rejected(Input)),
    ("neworder.error.link_not_found", Rejected(Input)),
    ("Link is required", Rejected(Input)),
    ("Instagram profile is hidden.", Rejected(Input)),
    ("private account", Rejected(Input)),
    ("Comments field is required", Rejected(Input)),
    ("neworder.error.comment", Rejected(Input)),
    ("Invalid comments", Rejected(Input)),
    ("You must fill in the required fields.", Rejected(Input)),
    ("Quantity is required", Rejected(Input)),
    ("Runs is required", Rejected(Input)),
    ("Interval time is required", Rejected(Input)),
    ("This services does not support Dripfeed feature!", Rejected(Input)),
    ("Minimum number can not be much than maximum number.", Rejected(Input)),
    ("You have active order with this link. Please wait until order being completed.", Rejected(DuplicateLink)),
    ("neworder.error.link_duplicate", Rejected(DuplicateLink)),
    ("You cannot start a new order with the same link that is active processing order.", Rejected(DuplicateLink)),
    ("Active order with this link exists", Rejected(DuplicateLink)),
    ("error.duplicate_order", Rejected(DuplicateLink)),
    ("Duplicate order", Rejected(DuplicateLink)),
    ("neworder.error.too_many_orders", Rejected(DuplicateLink)),
    ("Too many requests", Rejected(RateLimit)),
    ("Too many requests. Limit 50/minute.", Rejected(RateLimit)),
    ("Rate limit exceeded. Max 60 requests per minute.", Rejected(RateLimit)),
    ("processing another transaction", Rejected(RateLimit)),
    ("There was an error processing your request. Please try again later", Ambiguous),
    ("There was an error while creating your order", Ambiguous),
    ("Siparisiniz verilirken hata olustu", Ambiguous),
    ("Failed to place order", Rejected(Protocol)),
    ("Invalid payment", Rejected(Protocol)),
    ("Internal server error", Ambiguous),
    ("Server Error", Ambiguous),
    ("Maintenance", Rejected(Maintenance)),
    ("System under maintenance", Rejected(Maintenance)),
    ("Payload too large (max 500KB)", Rejected(Protocol)),
    ("Incorrect order ID", Ambiguous),
    ("A text that nobody has ever documented", Ambiguous),
];

#[test]
fn every_documented_text_is_judged_in_every_wrapping() {
    for (text, wanted) in TEXTS {
        let quoted = serde_json::to_string(text).unwrap();
        for body in [
            format!("{{\"error\":{quoted}}}"),
            format!("\u{feff}\r\n{{ \"error\" : {quoted} }}\n"),
            format!("{{\"Error\":{quoted}}}"),
            format!("{{\"error\":{}}}", serde_json::to_string(&format!(" {} ", text.to_uppercase())).unwrap()),
            format!("{{\"error\":{}}}", serde_json::to_string(text.trim_end_matches('.')).unwrap()),
            format!("{{\"errors\":[{quoted}]}}"),
            format!("{{\"errors\":{{\"field\":[{quoted}]}}}}"),
            format!("{{\"error\":{{\"code\":7,\"message\":{quoted}}}}}"),
            format!("{{\"error\":true,\"message\":{quoted}}}"),
            format!("{{\"status\":\"error\",\"msg\":{quoted}}}"),
            format!("{{\"status\":\"fail\",\"message\":{quoted}}}"),
            format!("{{\"status\":false,\"message\":{quoted}}}"),
            format!("{{\"order\":null,\"error\":{quoted}}}"),
            format!("{{\"order\":0,\"error\":{quoted}}}"),
            format!("<br />\n<b>Warning</b>: foo() in [x] on line <b>3</b><br />\n{{\"error\":{quoted}}}"),
            form_urlencoded::Serializer::new(String::new()).append_pair("error", text).finish(),
            (*text).to_owned(),
            quoted.clone(),
        ] {
            for status in [200, 201, 400, 401, 403, 405, 413, 422, 500] {
                check(reply(status, &body), &[], wanted);
            }
        }
    }
}

#[test]
fn answers_are_judged_by_their_body_first() {
    let long = "x".repeat(65);
    let cases: Vec<(u16, String, Is)> = [
        (200, "{\"order\":23501}", Accepted("23501")),
        (201, "{\"order\":23501}", Accepted("23501")),
        (200, "{\"order\":\"123\"}", Accepted("123")),
        (200, "{\"order\":\" 123 \"}", Accepted("123")),
        (200, "{\"order\":99999999999999999999}", Accepted("99999999999999999999")),
        (200, "{\"order\":\"ABC12XY\"}", Accepted("ABC12XY")),
        (200, "{\"order\":\"00012\"}", Accepted("00012")),
        (200, "{\"status\":\"success\",\"order\":1}", Accepted("1")),
        (200, "{\"status\":100,\"order\":\"1\"}", Accepted("1")),
        (200, "{\"order\":9,\"charge\":0.5,\"currency\":\"USD\"}", Accepted("9")),
        (200, "{\"Order\":9}", Accepted("9")),
        (200, "{\"order_id\":9}", Accepted("9")),
        (200, "{\"order\":null,\"order_id\":9}", Accepted("9")),
        (200, "{\"order\":8,\"order_id\":9}", Accepted("8")),
        (200, "{\"data\":{\"order\":9}}", Accepted("9")),
        (200, "{\"data\":{\"order_id\":\"9\"}}", Accepted("9")),
        (200, "{\"order\":5,\"error\":\"Bad link\"}", Accepted("5")),
        (200, "{\"order\":5,\"error\":\"\"}", Accepted("5")),
        (200, "{\"order\":5,\"error\":null}", Accepted("5")),
        (200, "Warning: x\n{\"order\":5}", Accepted("5")),
        (200, "{\"order\":5}\n<b>Notice</b>: y [0]", Accepted("5")),
        (200, "\"{\\\"order\\\":5}\"", Accepted("5")),
        (500, "{\"order\":5}", Accepted("5")),
        (200, "", Ambiguous),
        (200, " \r\n", Ambiguous),
        (200, "{}", Ambiguous),
        (200, "[]", Ambiguous),
        (200, "null", Ambiguous),
        (200, "true", Ambiguous),
        (200, "12345", Ambiguous),
        (200, "order=5", Ambiguous),
        (200, "[{\"order\":5}]", Ambiguous),
        (200, "{\"order\":null}", Ambiguous),
        (200, "{\"order\":0}", Ambiguous),
        (200, "{\"order\":false}", Ambiguous),
        (200, "{\"order\":\"\"}", Ambiguous),
        (200, "{\"order\":\"0\"}", Ambiguous),
        (200, "{\"order\":[]}", Ambiguous),
        (200, "{\"order\":{}}", Ambiguous),
        (200, "{\"order\":true}", Ambiguous),
        (200, "{\"order\":-3}", Ambiguous),
        (200, "{\"order\":\"-3\"}", Ambiguous),
        (200, "{\"order\":1.5}", Ambiguous),
        (200, "{\"order\":1e3}", Ambiguous),
        (200, "{\"order\":\"null\"}", Ambiguous),
        (200, "{\"order\":\"success\"}", Ambiguous),
        (200, "{\"order\":\"1,2\"}", Ambiguous),
        (200, "{\"order\":\"has been placed\"}", Ambiguous),
        (200, "{\"order\":{\"id\":5}}", Ambiguous),
        (200, "{\"order\":{\"id\":5},\"error\":\"Bad link\"}", Ambiguous),
        (200, "{\"order_id\":5,\"error\":\"You have active order with this link\"}", Ambiguous),
        (200, "{\"data\":{\"order\":5},\"error\":\"Bad link\"}", Ambiguous),
        (200, "{\"order\":5}{\"error\":\"Bad link\"}", Ambiguous),
        (200, "{\"error\":\"Bad link\"}{\"error\":\"Bad link\"}", Ambiguous),
        (200, "{\"data\":{\"error\":\"Bad link\"},\"order\":5", Ambiguous),
        (200, "{\"order\":5,\"error\":\"Bad link\",\"order\":null}", Ambiguous),
        (200, "{\"error\":\"Bad link\",\"result\":{\"order\":\"5\"}}", Ambiguous),
        (200, "{\"error\":\"Bad link\",\"result\":{\"Order\" : \"ABC12\"}}", Ambiguous),
        (200, "{\"error\":\"Bad link\",\"result\":{\"order\":\"0\"}}", Rejected(Input)),
        (200, "{\"error\":\"Bad link\",\"result\":{\"order\":null}}", Rejected(Input)),
        (200, "{\"error\":\"\"}", Ambiguous),
        (200, "{\"error\":null}", Ambiguous),
        (200, "{\"error\":false}", Ambiguous),
        (200, "{\"error\":true}", Ambiguous),
        (200, "{\"error\":[]}", Ambiguous),
        (200, "{\"errors\":[\"Bad link\",\"something new\"]}", Ambiguous),
        (200, "{\"errors\":[\"Bad link\",\"Incorrect quantity\"]}", Rejected(Input)),
        (200, "{\"errors\":[\"Bad link\",\"Server Error\"]}", Ambiguous),
        (200, "{\"status\":\"error\"}", Ambiguous),
        (200, "{\"status\":\"success\"}", Ambiguous),
        (200, "{\"status\":\"success\",\"message\":\"Bad link\"}", Ambiguous),
        (200, "{\"success\":false,\"message\":\"Bad link\"}", Rejected(Input)),
        (200, "{\"status\":\"102\",\"error\":\"une clef pas connue\"}", Rejected(Key)),
        (200, "{\"status\":102,\"error\":\"\",\"message\":\"x\"}", Ambiguous),
        (200, "{\"status\":\"103\",\"error\":\"x\"}", Ambiguous),
        (200, "{\"status\":\"105\",\"error\":\"x\"}", Rejected(Service)),
        (200, "{\"status\":\"107\",\"error\":\"x\"}", Rejected(Input)),
        (200, "{\"status\":\"108\",\"error\":\"x\"}", Rejected(Input)),
        (200, "{\"status\":\"113\",\"error\":\"x\"}", Ambiguous),
        (200, "{\"status\":\"113\",\"error\":\"Your balance is insufficient.\"}", Rejected(Balance)),
        (200, "{\"status\":\"114\",\"error\":\"Instagram profile is hidden.\"}", Rejected(Input)),
        (200, "{\"status\":\"114\",\"error\":\"There was an error while creating your order\"}", Ambiguous),
    ]
    .into_iter()
    .map(|(status, body, is)| (status, body.to_owned(), is))
    .chain([
        (200, format!("{{\"order\":\"{long}\"}}"), Ambiguous),
        (200, format!("{{\"order\":\"{long}\",\"error\":\"Bad link\"}}"), Ambiguous),
    ])
    .collect();
    for (status, body, wanted) in cases {
        check(reply(status, &body), &[], &wanted);
    }
}

#[test]
fn what_the_body_leaves_open_the_http_status_settles() {
    let page = "<html><title>x</title></html>";
    let challenge = "<!DOCTYPE html><html><title>Just a moment...</title></html>";
    let unknown = "{\"error\":\"something new\"}";
    for (status, body, wanted) in [
        (200, page, Ambiguous),
        (200, challenge, Ambiguous),
        (204, "", Ambiguous),
        (301, page, Ambiguous),
        (302, "", Ambiguous),
        (303, page, Ambiguous),
        (307, page, Rejected(Maintenance)),
        (308, "", Rejected(Maintenance)),
        (400, page, Ambiguous),
        (401, "", Ambiguous),
        (403, page, Ambiguous),
        (403, challenge, Rejected(Maintenance)),
        (404, page, Rejected(Maintenance)),
        (404, "", Rejected(Maintenance)),
        (404, "{\"message\":\"Not Found\"}", Rejected(Maintenance)),
        (404, "{\"error\":\"Not found\"}", Rejected(Maintenance)),
        (404, unknown, Ambiguous),
        (404, "{\"error\":\"Incorrect service ID\"}", Rejected(Service)),
        (405, page, Ambiguous),
        (422, unknown, Ambiguous),
        (429, "", Rejected(RateLimit)),
        (429, page, Rejected(RateLimit)),
        (429, unknown, Rejected(RateLimit)),
        (429, "{\"error\":\"Not enough funds on balance\"}", Rejected(Balance)),
        (500, page, Ambiguous),
        (500, "", Ambiguous),
        (500, unknown, Ambiguous),
        (502, page, Ambiguous),
        (503, page, Ambiguous),
        (503, "", Ambiguous),
        (503, challenge, Rejected(Maintenance)),
        (504, page, Ambiguous),
        (520, page, Ambiguous),
        (521, page, Rejected(Maintenance)),
        (522, page, Ambiguous),
        (523, page, Rejected(Maintenance)),
        (524, page, Ambiguous),
        (525, page, Rejected(Maintenance)),
        (526, page, Rejected(Maintenance)),
        (530, page, Rejected(Maintenance)),
        (599, "", Ambiguous),
        (0, "", Ambiguous),
    ] {
        check(reply(status, body), &[], &wanted);
    }
    let mitigated = Reply { cf_mitigated: Some("challenge".into()), ..reply(200, page) };
    check(mitigated, &[], &Rejected(Maintenance));
}

#[test]
fn a_request_that_never_left_is_not_sent_and_any_other_failure_is_ambiguous() {
    let not_sent = classify_add(&Err(TransportError::NotSent("refused".into())), &[]);
    assert_eq!(not_sent, Outcome::NotSent("refused".into()));
    let unknown = classify_add(&Err(TransportError::Unknown("timed out".into())), &[]);
    assert_eq!(unknown, Outcome::Ambiguous("timed out".into()));
}

#[test]
fn a_provider_s_own_texts_are_known_where_the_table_knows_none() {
    let rejects = [
        ("geçici olarak kapalı".to_owned(), Service),
        ("wallet".to_owned(), Balance),
        ("there was an error".to_owned(), Input),
        ("be right back".to_owned(), Maintenance),
        (String::new(), Key),
    ];
    for (body, wanted) in [
        ("{\"error\":\"Servis Geçici Olarak Kapalı (5)\"}", Rejected(Service)),
        ("{\"error\":\"Your WALLET is empty\"}", Rejected(Balance)),
        ("Your wallet is empty", Rejected(Balance)),
        ("<html>We will be right back</html>", Rejected(Maintenance)),
        ("{\"error\":\"There was an error while creating your order\"}", Ambiguous),
        ("{\"error\":\"Bad link\"}", Rejected(Input)),
        ("{\"error\":\"something new\"}", Ambiguous),
        ("{\"order\":5,\"error\":\"wallet\"}", Accepted("5")),
        ("{\"note\":\"wallet\"}", Ambiguous),
    ] {
        check(reply(200, body), &rejects, &wanted);
    }
}

#[test]
fn an_edge_s_page_is_not_the_provider_s_text() {
    let rejects = [("bad gateway".to_owned(), Maintenance)];
    for (status, wanted) in
        [(200, Rejected(Maintenance)), (503, Rejected(Maintenance)), (502, Ambiguous), (504, Ambiguous)]
    {
        check(reply(status, "<html>Bad Gateway</html>"), &rejects, &wanted);
        check(reply(status, "Bad Gateway"), &rejects, &wanted);
    }
    check(reply(502, "{\"error\":\"Bad Gateway\"}"), &rejects, &Rejected(Maintenance));
}

#[test]
fn a_blocked_account_is_ambiguous_and_said_so() {
    for (body, blocked) in [("{\"error\":\"Account suspended\"}", true), ("{\"error\":\"Invalid API key\"}", false)] {
        assert_eq!(judge_add(&Ok(reply(200, body)), &[]).account_blocked, blocked);
    }
}

#[test]
fn texts_are_one_line_of_at_most_three_hundred_characters() {
    let body = format!("<html>\n{}", "ğ ".repeat(1000));
    let Outcome::Ambiguous(text) = classify_add(&Ok(reply(200, &body)), &[]) else { panic!() };
    assert!(text.chars().count() == MAX_TEXT && !text.contains('\n'), "{text}");
    let rejected = classify_add(&Ok(reply(400, "{\"error\":\"Bad link.\"}")), &[]);
    assert_eq!(rejected, Outcome::Rejected(Rejection { kind: Input, text: "Bad link.".into(), quotable: true }));
}

proptest! {
    #[test]
    fn no_answer_upsets_it(status in 0_u16..700, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let reply = Reply { status, body: body.into(), ..Reply::default() };
        let _ = classify_add(&Ok(reply), &[]);
    }

    #[test]
    fn a_rejection_never_hides_an_order(order in 1_u32.., text in 0..TEXTS.len(), first: bool, status in 200_u16..600) {
        let order = format!("\"order\":{order}");
        let error = format!("\"error\":{}", serde_json::to_string(TEXTS[text].0).unwrap());
        let (a, b) = if first { (order, error) } else { (error, order) };
        for body in [format!("{{{a},{b}}}"), format!("{{{a}}}{{{b}}}"), format!("{{{a}}} x {{{b}}}"), format!("x{{{a},\"y\":{{{b}}}"), format!("{{{a},\"y\":{{{b}}}}}"), format!("{{{a},{b},\"order\":null}}")] {
            let outcome = classify_add(&Ok(reply(status, &body)), &[]);
            let known_by_status = matches!(status, 307 | 308 | 404 | 429 | 521 | 523 | 525 | 526 | 530);
            prop_assert!(known_by_status || !matches!(outcome, Outcome::Rejected(_)), "{status} {body}: {outcome:?}");
        }
    }
}
