#[path = "classify_tests/texts.rs"]
mod texts;

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
    check_by(reply, Dialect { rejects, treat_503_as_not_placed: false }, wanted);
}

fn check_by(reply: Reply, dialect: Dialect<'_>, wanted: &Is) {
    let shown = format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body));
    let outcome = judge_add(&Ok(reply), dialect).outcome;
    match (&outcome, wanted) {
        (Outcome::Accepted(id), Accepted(wanted)) => assert_eq!(id.as_str(), *wanted, "{shown}"),
        (Outcome::Rejected(rejection), Rejected(kind)) => assert_eq!(rejection.kind, *kind, "{shown}"),
        (Outcome::Ambiguous(_), Ambiguous) => {}
        _ => panic!("{shown}: {outcome:?}, not {wanted:?}"),
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
    let vouching = Dialect { rejects: &[], treat_503_as_not_placed: true };
    for (status, body, wanted) in [
        (503, page, Rejected(Maintenance)),
        (503, "", Rejected(Maintenance)),
        (503, "Service Unavailable", Rejected(Maintenance)),
        (503, "[]", Rejected(Maintenance)),
        (503, unknown, Rejected(Maintenance)),
        (503, "{\"message\":\"Service Unavailable\"}", Rejected(Maintenance)),
        (503, "Warning: x\n{\"message\":\"Service Unavailable\"}", Rejected(Maintenance)),
        (503, challenge, Rejected(Maintenance)),
        // What the body says comes first.
        (503, "{\"error\":\"Bad link\"}", Rejected(Input)),
        (503, "{\"error\":\"Server Error\"}", Ambiguous),
        (503, "{\"order\":5}", Accepted("5")),
        (503, "{\"order\":{\"id\":5}}", Ambiguous),
        (503, "{\"error\":\"something new\",\"result\":{\"order\":5}}", Ambiguous),
        (503, "{\"order\":5}{\"message\":\"Service Unavailable\"}", Ambiguous),
        (503, "<html><script>var made = {\"order\":5}</script></html>", Ambiguous),
        // And nothing else is vouched for.
        (500, page, Ambiguous),
        (502, page, Ambiguous),
        (504, "", Ambiguous),
        (200, page, Ambiguous),
    ] {
        check_by(reply(status, body), vouching, &wanted);
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
        assert_eq!(
            judge_add(&Ok(reply(200, body)), Dialect { rejects: &[], treat_503_as_not_placed: false }).account_blocked,
            blocked
        );
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
    fn a_rejection_never_hides_an_order(order in 1_u32.., text in 0..texts::TEXTS.len(), first: bool, status in 200_u16..600) {
        let order = format!("\"order\":{order}");
        let error = format!("\"error\":{}", serde_json::to_string(texts::TEXTS[text].0).unwrap());
        let (a, b) = if first { (order, error) } else { (error, order) };
        for body in [format!("{{{a},{b}}}"), format!("{{{a}}}{{{b}}}"), format!("{{{a}}} x {{{b}}}"), format!("x{{{a},\"y\":{{{b}}}"), format!("{{{a},\"y\":{{{b}}}}}"), format!("{{{a},{b},\"order\":null}}")] {
            let outcome = classify_add(&Ok(reply(status, &body)), &[]);
            let known_by_status = matches!(status, 307 | 308 | 404 | 429 | 521 | 523 | 525 | 526 | 530);
            prop_assert!(known_by_status || !matches!(outcome, Outcome::Rejected(_)), "{status} {body}: {outcome:?}");
        }
    }
}
