use proptest::prelude::*;

use super::*;

fn cancels(body: &str, asked: &[&str]) -> (String, bool) {
    let ids: Vec<UpstreamOrderId> = asked.iter().map(|id| UpstreamOrderId::new(*id)).collect();
    let answer = read_cancel(Ok(serde_json::from_str(body).unwrap()), &ids).unwrap();
    let shown = answer.answers.iter().map(|(_, said)| match said {
        CancelAnswer::Taken => "taken".to_owned(),
        CancelAnswer::Refused(text) => format!("refused {text}"),
        CancelAnswer::Missing => "-".to_owned(),
    });
    (shown.collect::<Vec<_>>().join(","), answer.batches)
}

#[test]
fn each_order_s_answer_is_found() {
    for (body, wanted, batches) in [
        (
            r#"[{"order":9,"cancel":{"error":"Incorrect order ID"}},{"order":"2","cancel":1}]"#,
            "taken,refused Incorrect order ID",
            true,
        ),
        (r#"[{"order":2,"cancel":true},{"order":9,"cancel":"1"}]"#, "taken,taken", true),
        (
            r#"[{"order":2,"cancel":{"status":"success"}},{"order":9,"cancel":0}]"#,
            "taken,refused refused without words",
            true,
        ),
        (r#"[{"order":2,"cancel":false},{"order":9}]"#, "refused refused without words,-", true),
        (r#"[{"order":2,"error":"Too late"},{"order":9,"status":"success"}]"#, "refused Too late,taken", true),
        (r#"{"2":{"cancel":1},"9":{"error":"Too late"}}"#, "taken,refused Too late", true),
        (r#"{"2":1,"9":"Too late"}"#, "taken,refused Too late", true),
        (r#"{"data":[{"order":2,"cancel":1}]}"#, "taken,-", true),
        (r#"{"canceled":[9]}"#, "-,taken", true),
        (r#"{"cancelled":["2","9"]}"#, "taken,taken", true),
        (r#"{"success":true,"message":"Noted"}"#, "taken,taken", true),
        (r#"{"status":"success"}"#, "taken,taken", true),
        (r#"{"success":false}"#, "-,-", false),
        ("[]", "-,-", true),
        ("[1,1]", "-,-", false),
        ("{}", "-,-", true),
    ] {
        assert_eq!(cancels(body, &["2", "9"]), (wanted.to_owned(), batches), "{body}");
    }
}

#[test]
fn an_answer_about_one_order_needs_no_id() {
    for (body, wanted) in [
        (r#"{"cancel":1}"#, "taken"),
        (r#"{"order":2,"cancel":1}"#, "taken"),
        (r#"[{"cancel":1}]"#, "taken"),
        (r#"{"cancel":{"error":"Too late"}}"#, "refused Too late"),
        (r#"{"success":false}"#, "refused refused without words"),
        (r#"{"cancel":517}"#, "taken"),
        (r#"{"cancel":null}"#, "-"),
    ] {
        assert_eq!(cancels(body, &["2"]).0, wanted, "{body}");
    }
}

#[test]
fn an_error_as_a_whole_is_one_order_s_or_nobody_s() {
    let two = [UpstreamOrderId::new("2"), UpstreamOrderId::new("9")];
    let refused = || Err(AnswerError::Refused("Order already completed".into()));
    let one = read_cancel(refused(), &two[..1]).unwrap();
    assert_eq!(one.answers, [(two[0].clone(), CancelAnswer::Refused("Order already completed".into()))]);
    let both = read_cancel(refused(), &two).unwrap();
    assert!(!both.batches && both.answers.iter().all(|(_, said)| *said == CancelAnswer::Missing));
    assert!(read_cancel(Err(AnswerError::Maintenance("down".into())), &two).is_err());
}

proptest! {
    #[test]
    fn no_answer_upsets_the_decoder(
        body in "\\{\"(cancel|canceled|status|1|success)\":(\\[[0-9]\\]|\\{\"(error|status)\":[0-9\"]{1,3}\\}|[0-9]|\"[a-z]{0,5}\"|null)\\}|\\[[0-9]?\\]",
    ) {
        if let Ok(value) = serde_json::from_str(&body) {
            let _ = read_cancel(Ok(value), &[UpstreamOrderId::new("1")]);
        }
    }
}
