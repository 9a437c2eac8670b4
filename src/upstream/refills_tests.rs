use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::domain::refill::RefillStatus;

fn refill(status: u16, body: &str) -> String {
    let reply = Reply { status, body: Bytes::copy_from_slice(body.as_bytes()), ..Reply::default() };
    match classify_refill(&Ok(reply), &[]) {
        RefillOutcome::Accepted(id) => format!("accepted {id}"),
        RefillOutcome::Refused { text, quotable: true } => format!("quoted {text}"),
        RefillOutcome::Refused { text, quotable: false } => format!("refused {text}"),
        RefillOutcome::NotTaken(_) => "not taken".to_owned(),
        RefillOutcome::Ambiguous(_) => "ambiguous".to_owned(),
    }
}

#[test]
fn a_refill_s_answer_is_found_however_it_is_wrapped() {
    for (status, body, wanted) in [
        (200, r#"{"refill":"1"}"#, "accepted 1"),
        (200, r#"{"refill":1}"#, "accepted 1"),
        (201, r#"{"status":"success","refill":"AB12"}"#, "accepted AB12"),
        (200, r#"[{"order":7,"refill":9}]"#, "accepted 9"),
        (200, r#"{"data":{"refill":9}}"#, "accepted 9"),
        (200, r#"{"refill":{"id":9}}"#, "accepted 9"),
        (200, "Warning: x in y\n{\"refill\":\"9\"}", "accepted 9"),
        (200, r#"{"refill":{"error":"Refill not allowed"}}"#, "quoted Refill not allowed"),
        (200, r#"{"error":"Refill is disabled for this service"}"#, "quoted Refill is disabled for this service"),
        (422, r#"{"error":"The order is not completed."}"#, "quoted The order is not completed."),
        (200, r#"{"refill":{"error":"Ask at https://alpha.test"}}"#, "refused Ask at https://alpha.test"),
        (200, r#"{"error":"Incorrect order ID"}"#, "refused Incorrect order ID"),
        (200, r#"{"error":"Incorrect request"}"#, "refused Incorrect request"),
        (200, r#"{"status":"error","msg":"Nope"}"#, "refused Nope"),
        (200, r#"{"refill":0,"error":"Nope"}"#, "refused Nope"),
        (429, r#"{"error":"Too many requests"}"#, "not taken"),
        (429, "", "not taken"),
        (404, "<html>not here</html>", "not taken"),
        (308, "", "not taken"),
        (200, r#"{"error":"Maintenance"}"#, "not taken"),
        (503, r#"{"error":"Maintenance"}"#, "not taken"),
        (401, r#"{"error":"Invalid API key"}"#, "not taken"),
        (200, r#"{"error":"There was an error processing your request"}"#, "ambiguous"),
        (500, r#"{"error":"Whoops"}"#, "ambiguous"),
        (503, "<html>busy</html>", "ambiguous"),
        (502, "", "ambiguous"),
        (200, "", "ambiguous"),
        (200, "<html>Sign in</html>", "ambiguous"),
        (200, r#"{"status":"Success","message":"Noted"}"#, "ambiguous"),
        (200, r#"{"refill":null}"#, "ambiguous"),
        (200, r#"{"refill":true}"#, "ambiguous"),
        (200, r#"{"refill":"Success"}"#, "ambiguous"),
        (200, "[]", "ambiguous"),
    ] {
        assert_eq!(refill(status, body), wanted, "{status} {body}");
    }
    assert_eq!(classify_refill(&Err(TransportError::NotSent("x".into())), &[]).name(), "not_taken");
    assert_eq!(classify_refill(&Err(TransportError::Unknown("x".into())), &[]).name(), "ambiguous");
}

fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

#[test]
fn one_refill_s_status_is_read() {
    let known = |status| Ok(RefillReport::Known(status));
    for (body, wanted) in [
        (r#"{"status":"Completed"}"#, known(RefillStatus::Completed)),
        (r#"[{"refill":1,"status":"Rejected"}]"#, known(RefillStatus::Rejected)),
        (r#"{"data":{"status":"Refilling"}}"#, known(RefillStatus::InProgress)),
        (r#"{"status":"Fail"}"#, known(RefillStatus::Error)),
        (r#"{"status":"Quux"}"#, Ok(RefillReport::Unknown("Quux".into()))),
        (r#"{"status":{"error":"Refill not found"}}"#, Err(AnswerError::Refused("Refill not found".into()))),
    ] {
        assert_eq!(read_refill_status(&json(body)), wanted, "{body}");
    }
    for body in ["{}", "[]", r#"{"status":null}"#, r#"{"status":"success"}"#] {
        assert!(matches!(read_refill_status(&json(body)), Err(AnswerError::Unreadable(_))), "{body}");
    }
}

#[test]
fn many_refills_are_matched_by_id() {
    let ids = ["1", "2", "3"].map(UpstreamRefillId::new);
    let statuses = |body: &str| {
        let answer = read_refill_statuses(Ok(json(body)), &ids).unwrap();
        let shown = answer.reports.iter().map(|(_, report)| match report {
            Ok(report) => report.word().to_owned(),
            Err(ItemError::Missing) => "-".to_owned(),
            Err(ItemError::UnknownOrder(text) | ItemError::Refused(text)) => format!("error {text}"),
        });
        (shown.collect::<Vec<_>>().join(","), answer.batches)
    };
    for (body, wanted, batches) in [
        (
            r#"[{"refill":3,"status":{"error":"Refill not found"}},{"refill":"1","status":"Complete"}]"#,
            "Completed,-,error Refill not found",
            true,
        ),
        (r#"{"1":{"status":"Pending"},"2":"Rejected"}"#, "Pending,Rejected,-", true),
        (r#"{"refills":[{"refill":2,"status":"Pending"}]}"#, "-,Pending,-", true),
        ("[]", "-,-,-", true),
        (r#"[{"status":"Pending"}]"#, "-,-,-", false),
        (r#"{"status":"Pending"}"#, "-,-,-", false),
    ] {
        assert_eq!(statuses(body), (wanted.to_owned(), batches), "{body}");
    }
    let refused = read_refill_statuses(Err(AnswerError::Refused("Incorrect request".into())), &ids).unwrap();
    assert!(!refused.batches);
    assert!(read_refill_statuses(Err(AnswerError::Maintenance(String::new())), &ids).is_err());
}

proptest! {
    #[test]
    fn no_answer_upsets_the_decoder(
        status in 100_u16..600,
        body in "[\\[\\]{}\":,a-z0-9 ]{0,40}|\\{\"(refill|status|error|data|cancel)\":(\\{\"(id|error|status)\":[0-9\"]{0,4}\\}|[0-9\"a]{0,5})\\}",
    ) {
        refill(status, &body);
        if let Ok(value) = serde_json::from_str(&body) {
            let _ = read_refill_status(&value);
            let _ = read_refill_statuses(Ok(value), &[UpstreamRefillId::new("1")]);
        }
    }
}
