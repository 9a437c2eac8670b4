use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::domain::status::Status;

fn status(body: &str) -> StatusReport {
    decode_status(body.as_bytes()).unwrap()
}

fn ids(texts: &[&str]) -> Vec<UpstreamOrderId> {
    texts.iter().map(|text| UpstreamOrderId::new(*text)).collect()
}

/// Each asked ID with its status word, or with what stands in its place.
fn statuses(body: &str, asked: &[&str]) -> (Vec<String>, bool) {
    let answer = decode_statuses(body.as_bytes(), &ids(asked)).unwrap();
    let shown = answer.reports.iter().map(|(id, report)| match report {
        Ok(StatusReport { status: Reported::Known(status), .. }) => format!("{id} {status}"),
        Ok(report) => format!("{id} {:?}", report.status),
        Err(ItemError::UnknownOrder(_)) => format!("{id} unknown"),
        Err(ItemError::Missing) => format!("{id} missing"),
        Err(ItemError::Refused(text)) => format!("{id} refused {text}"),
    });
    (shown.collect(), answer.batches)
}

#[test]
fn a_documented_status_is_read_whole() {
    let body = r#"{"charge":"0.27819","start_count":"3572","status":"Partial","remains":"157","currency":"USD"}"#;
    let wanted = StatusReport {
        status: Reported::Known(Status::Partial),
        charge: Some(Decimal::new(27_819, 5)),
        start_count: Some(3572),
        remains: Some(157),
        runs: None,
        currency: Some("USD".into()),
    };
    assert_eq!(status(body), wanted);
}

#[test]
fn fields_are_read_as_panels_really_send_them() {
    let odd = status(
        r#"{"charge":0.50,"start_counter":100.0,"status":"inprogress","remains":"-5","currency":"","runs":"3","order":5}"#,
    );
    assert_eq!(odd.status, Reported::Known(Status::InProgress));
    assert_eq!(odd.charge.map(|charge| charge.to_string()).as_deref(), Some("0.50"));
    assert_eq!((odd.start_count, odd.remains, odd.runs, odd.currency), (Some(100), Some(0), Some(3), None));
    let bare = status(r#"{"charge":null,"start_count":"","status":"Pending","remains":"+7"}"#);
    assert_eq!((bare.charge, bare.start_count, bare.remains), (None, None, Some(7)));
    for (body, wanted) in [
        (r#"{"status":"Completed","charge":{"value":1}}"#, Reported::Known(Status::Completed)),
        (r#"{"status":"Fail"}"#, Reported::Failed("Fail".into())),
        (r#"{"status":"Error","charge":"0","message":"x"}"#, Reported::Failed("Error".into())),
        (r#"{"status":3}"#, Reported::Unknown("3".into())),
        (r#"{"status":"Terminé"}"#, Reported::Unknown("Terminé".into())),
        (r#"{"status":"success","data":{"status":"Pending"}}"#, Reported::Known(Status::Pending)),
        (r#"{"status":"Success","remains":"0"}"#, Reported::Known(Status::Completed)),
        (r#"[{"status":"Completed"}]"#, Reported::Known(Status::Completed)),
        (r#"{"status":"In progress","runs":2,"orders":[5,6]}"#, Reported::Known(Status::InProgress)),
    ] {
        assert_eq!(status(body).status, wanted, "{body}");
    }
    assert_eq!(status(r#"{"status":"Completed","charge":{"value":1}}"#).charge, None);
}

#[test]
fn what_is_no_status_is_an_error_that_says_which() {
    for body in ["", "{}", "[]", "null", r#"{"status":"success"}"#, r#"{"status":null}"#, "<html></html>", "ok"] {
        assert!(matches!(decode_status(body.as_bytes()), Err(AnswerError::Unreadable(_))), "{body}");
    }
    for (body, name) in [
        (r#"{"error":"Incorrect order ID"}"#, "unknown_order"),
        (r#"{"error":"Order not found."}"#, "unknown_order"),
        (r#"{"error":"Sipariş bulunamadı."}"#, "unknown_order"),
        (r#"{"error":"Invalid API key"}"#, "key_rejected"),
        ("Invalid API key", "key_rejected"),
        ("error=Invalid+API+key", "key_rejected"),
        (r#"{"error":"Your account has been suspended."}"#, "key_rejected"),
        (r#"{"error":"Too many requests"}"#, "rate_limited"),
        (r#"{"status":"error","msg":"Maintenance"}"#, "maintenance"),
        (r#"{"error":"Server Error"}"#, "maintenance"),
        (r#"{"error":"Order not found. (104)"}"#, "unknown_order"),
        (r#"{"error":"Invalid Order Id"}"#, "unknown_order"),
        (r#"{"error":"Invalid Order Ids"}"#, "unknown_order"),
        (r#"{"error":"error.incorrect_order_id"}"#, "unknown_order"),
        (r#"{"error":"Missing order parameter"}"#, "refused"),
        (r#"{"error":"123 is not a number"}"#, "refused"),
        (r#"{"error":"Refill not found"}"#, "refused"),
        (r#"{"error":"Incorrect refill ID"}"#, "refused"),
        (r#"{"error":"error.incorrect_refill_id"}"#, "refused"),
        (r#"{"error":"something new"}"#, "refused"),
        (r#"{"error":"Incorrect request"}"#, "refused"),
    ] {
        assert_eq!(decode_status(body.as_bytes()).unwrap_err().name(), name, "{body}");
    }
}

#[test]
fn the_http_status_counts_where_the_body_says_nothing() {
    let good = r#"{"status":"Completed"}"#;
    for (code, body, name) in [
        (200, good, None),
        (201, good, None),
        (302, good, Some("unreadable")),
        (400, r#"{"error":"Incorrect order ID"}"#, Some("unknown_order")),
        (401, r#"{"error":"Invalid API key"}"#, Some("key_rejected")),
        (401, "", Some("unreadable")),
        (403, "<html>Just a moment...</html>", Some("maintenance")),
        (404, "<html></html>", Some("maintenance")),
        (422, r#"{"error":"something new"}"#, Some("refused")),
        (429, "", Some("rate_limited")),
        (429, r#"{"error":"something new"}"#, Some("rate_limited")),
        (500, r#"{"error":"something new"}"#, Some("maintenance")),
        (500, r#"{"error":"Incorrect order ID"}"#, Some("unknown_order")),
        (502, "", Some("maintenance")),
        (503, good, Some("maintenance")),
    ] {
        let reply = Reply { status: code, body: Bytes::from(body), ..Reply::default() };
        let answer = read_reply(&reply, &[]).and_then(|answer| read_status(&answer));
        assert_eq!(answer.err().map(|error| error.name()), name, "{code} {body}");
    }
    let wait = Duration::from_secs(33);
    let reply = Reply { status: 429, retry_after: Some(wait), ..Reply::default() };
    assert_eq!(read_reply(&reply, &[]), Err(AnswerError::RateLimited(wait)));
    let rejects = [("token".to_owned(), RejectKind::Key)];
    let reply = Reply { status: 200, body: Bytes::from("{\"error\":\"Bad token\"}"), ..Reply::default() };
    assert_eq!(read_reply(&reply, &rejects), Err(AnswerError::KeyRejected("Bad token".into())));
}

#[test]
fn many_statuses_are_matched_by_id_only() {
    let done = r#"{"status":"Completed"}"#;
    let open = r#"{"status":"Pending"}"#;
    for (body, wanted) in [
        (format!("{{\"1\":{done},\"2\":{open}}}"), ["1 Completed", "2 Pending"]),
        (format!("{{\" 1 \":{done},\"2\":{{\"error\":\"Incorrect order ID\"}}}}"), ["1 Completed", "2 unknown"]),
        (format!("{{\"1\":\"Incorrect order ID\",\"2\":{open}}}"), ["1 unknown", "2 Pending"]),
        ("{\"1\":\"Not yours\",\"2\":{\"error\":\"Busy\"}}".to_owned(), ["1 refused Not yours", "2 refused Busy"]),
        (format!("{{\"2\":{open}}}"), ["1 missing", "2 Pending"]),
        ("{\"1\":null,\"2\":{}}".to_owned(), ["1 missing", "2 missing"]),
        ("[]".to_owned(), ["1 missing", "2 missing"]),
        ("{}".to_owned(), ["1 missing", "2 missing"]),
        (format!("{{\"7\":{done}}}"), ["1 missing", "2 missing"]),
        (format!("{{\"status\":\"success\",\"data\":{{\"1\":{done},\"2\":{open}}}}}"), ["1 Completed", "2 Pending"]),
        (
            "[{\"order\":2,\"status\":\"Pending\"},{\"order\":\"1\",\"status\":\"Completed\"}]".to_owned(),
            ["1 Completed", "2 Pending"],
        ),
        ("[{\"id\":2,\"status\":\"Pending\"}]".to_owned(), ["1 missing", "2 Pending"]),
        ("{\"0\":{\"order\":1,\"status\":\"Completed\"}}".to_owned(), ["1 Completed", "2 missing"]),
        ("{\"1\":{\"order\":2,\"status\":\"Completed\"}}".to_owned(), ["1 missing", "2 missing"]),
        (
            "{\"1\":{\"status\":\"Fail\"},\"2\":{\"status\":\"Error\",\"charge\":\"0\"}}".to_owned(),
            ["1 Failed(\"Fail\")", "2 Failed(\"Error\")"],
        ),
    ] {
        let (reports, batches) = statuses(&body, &["1", "2"]);
        assert_eq!(reports, wanted, "{body}");
        assert!(batches, "{body}");
    }
}

#[test]
fn an_upstream_that_cannot_do_batches_is_recognised() {
    for body in [
        r#"[{"status":"Completed"},{"status":"Pending"}]"#,
        r#"{"error":"Incorrect order ID"}"#,
        r#"{"error":"Missing order parameter"}"#,
        r#"{"error":"something new"}"#,
        r#"{"status":"Completed","charge":"1","remains":"0"}"#,
    ] {
        let wanted = (vec!["1 missing".to_owned(), "2 missing".to_owned()], false);
        assert_eq!(statuses(body, &["1", "2"]), wanted, "{body}");
    }
    for (body, name) in [
        (r#"{"error":"Invalid API key"}"#, "key_rejected"),
        (r#"{"error":"Too many requests"}"#, "rate_limited"),
        (r#"{"error":"Internal server error"}"#, "maintenance"),
        (r#"{"1":{"status":"Completed"},"2":{"sta"#, "unreadable"),
        ("", "unreadable"),
    ] {
        assert_eq!(decode_statuses(body.as_bytes(), &ids(&["1"])).unwrap_err().name(), name, "{body}");
    }
}

#[test]
fn balances_are_exact() {
    for (body, amount, currency) in [
        (r#"{"balance":"100.84292","currency":"USD"}"#, "100.84292", Some("USD")),
        (r#"{"balance":10000}"#, "10000", None),
        (r#"{"balance":0.1234567,"currency":" eur "}"#, "0.1234567", Some("eur")),
        (r#"{"balance":"-3.5","currency":""}"#, "-3.5", None),
        (r#"{"status":"success","data":{"balance":"5","currency":"TRY"}}"#, "5", Some("TRY")),
    ] {
        let balance = decode_balance(body.as_bytes()).unwrap();
        assert_eq!((balance.amount.to_string().as_str(), balance.currency.as_deref()), (amount, currency), "{body}");
    }
    for body in ["{}", r#"{"balance":null}"#, r#"{"balance":"1,000.00"}"#, "[]", "5"] {
        assert!(matches!(decode_balance(body.as_bytes()), Err(AnswerError::Unreadable(_))), "{body}");
    }
}

proptest! {
    #[test]
    fn no_body_upsets_them(body in "[\\[\\]{}\",:0-9a-z.-]{0,80}", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        for body in [body.as_bytes(), &bytes] {
            let _ = decode_status(body);
            let _ = decode_statuses(body, &ids(&["1"]));
            let _ = decode_balance(body);
        }
    }

    #[test]
    fn every_asked_id_comes_back_once_in_its_place(asked in proptest::collection::vec("[1-9][0-9]{0,3}", 0..20), told in proptest::collection::vec("[1-9][0-9]{0,3}", 0..20)) {
        let map: Map<String, Value> = told.iter().map(|id| (id.clone(), serde_json::json!({"status": "Completed"}))).collect();
        let asked: Vec<_> = asked.into_iter().map(UpstreamOrderId::new).collect();
        let answer = decode_statuses(Value::Object(map).to_string().as_bytes(), &asked).unwrap();
        prop_assert!(answer.batches);
        prop_assert_eq!(answer.reports.len(), asked.len());
        for ((id, report), wanted) in answer.reports.iter().zip(&asked) {
            prop_assert_eq!(id, wanted);
            prop_assert_eq!(report.is_ok(), told.iter().any(|told| told == id.as_str()));
        }
    }
}
