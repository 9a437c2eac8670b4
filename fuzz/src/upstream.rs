//! Any reply of an upstream, to every kind of call, through the client itself: no panic, an order is taken for placed
//! only where the answer names it, and for refused only where the answer says so in words or by a status that are
//! known; and the API key shows in nothing that comes out.
#![no_main]

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rust_decimal::Decimal;
use serde_json::Value;
use tollgate::domain::ids::{ProviderId, UpstreamOrderId, UpstreamRefillId};
use tollgate::domain::outcome::{Outcome, RejectKind};
use tollgate::domain::refill::RefillOutcome;
use tollgate::upstream::decode::{Decoded, decode};
use tollgate::upstream::error_texts::{Meaning, known, known_code};
use tollgate::upstream::{
    CallKind, Form, Limits, Permit, Priority, Reply, TransportError, Upstream, UpstreamOptions, Wire,
};

const KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
/// An error text of the provider's own, as `rejects` in `providers.toml` lists them.
const LISTED: &str = "gone fishing";
/// Longest text that may come out, in characters, and the mark of a cut.
const MAX_SHOWN: usize = 302;
const STATUSES: [u16; 24] = [
    200, 201, 204, 301, 302, 307, 308, 400, 401, 403, 404, 405, 409, 413, 422, 429, 500, 502, 503, 504, 520, 521, 524,
    530,
];

struct Fixed(Result<Reply, TransportError>);

#[async_trait]
impl Wire for Fixed {
    async fn send(&self, _: Form, _: CallKind) -> Result<Reply, TransportError> {
        self.0.clone()
    }
}

fuzz_target!(|data: &[u8]| {
    let [status, extras, body @ ..] = data else { return };
    let reply = Reply {
        status: STATUSES.get(usize::from(*status)).copied().unwrap_or(200),
        retry_after: (extras & 1 != 0).then_some(Duration::from_secs(3)),
        cf_mitigated: (extras & 2 != 0).then(|| "challenge".to_owned()),
        location: (extras & 4 != 0).then(|| "https://elsewhere.example/".to_owned()),
        content_type: (extras & 8 != 0).then(|| "text/html".to_owned()),
        body: Bytes::copy_from_slice(body),
    };
    // A clock that stands, so that no call waits for its turn.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        check_add(&reply).await;
        check_readings(&reply).await;
        check_unknown_words(&reply).await;
    });
});

fn upstream(reply: &Reply) -> Upstream {
    Upstream::new(UpstreamOptions {
        provider: ProviderId::new("alpha"),
        wire: Arc::new(Fixed(Ok(reply.clone()))),
        key: KEY.to_owned().into(),
        limits: Limits { requests_per_second: Decimal::from(1000), burst: 10, max_in_flight: 1 },
        rejects: vec![(LISTED.to_owned(), RejectKind::Service)],
        treat_503_as_not_placed: false,
    })
}

async fn permit(upstream: &Upstream) -> Permit {
    upstream.permit(Priority::Orders, Duration::from_secs(60)).await.unwrap()
}

async fn add(reply: &Reply) -> Outcome {
    let upstream = upstream(reply);
    let params: [(Cow<'static, str>, String); 1] = [("service".into(), "1".to_owned())];
    let outcome = upstream.add(permit(&upstream).await, &params).await;
    check_shown(&format!("{outcome:?} {:?}", upstream.health()));
    outcome
}

async fn check_add(reply: &Reply) {
    let outcome = add(reply).await;
    // What stands before and after an answer and means nothing changes nothing.
    let padded = Reply { body: [b"\xef\xbb\xbf \r\n", &reply.body[..], b"\r\n\0"].concat().into(), ..reply.clone() };
    assert_eq!(add(&padded).await.name(), outcome.name(), "{reply:?}");
    match outcome {
        Outcome::Accepted(id) => {
            let id = id.as_str();
            assert!((1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id:?}");
            assert!(id != "0" && !id.starts_with('-') && !id.contains(','), "{id:?}");
            assert!(values(&reply.body).iter().any(|value| names_order(value, id)), "{id} stands nowhere: {reply:?}");
        }
        Outcome::Rejected(rejection) => {
            assert!(rejection.text.chars().count() <= MAX_SHOWN);
            assert!(by_status(reply) || says_no(reply), "{rejection:?}: {reply:?}");
            // Words that a client may read are known from the first to the last.
            let quoted = known(&rejection.text) == Some(Meaning::Rejected(RejectKind::Input));
            assert!(!rejection.quotable || quoted, "{rejection:?}");
        }
        Outcome::NotSent(_) => panic!("there was a reply"),
        Outcome::Ambiguous(text) => assert!(text.chars().count() <= MAX_SHOWN),
    }
}

/// The other calls. Their answers are matched by ID, so that nothing but the IDs that were asked for comes out.
async fn check_readings(reply: &Reply) {
    let orders = ["1", "23501", "abc"].map(UpstreamOrderId::new);
    let refills = ["1", "77"].map(UpstreamRefillId::new);
    let one = upstream(reply);
    let status = one.status(permit(&one).await, &orders[0]).await;
    let one = upstream(reply);
    let statuses = one.statuses(permit(&one).await, &orders).await;
    if let Ok(statuses) = &statuses {
        assert!(statuses.reports.iter().map(|(id, _)| id).eq(&orders));
        let reports = statuses.reports.iter().filter_map(|(_, report)| report.as_ref().ok());
        assert!(reports.flat_map(|report| &report.charge).all(|charge| !charge.is_sign_negative()));
    }
    let one = upstream(reply);
    let cancels = one.cancel(permit(&one).await, &orders).await;
    assert!(cancels.as_ref().map_or(true, |cancels| cancels.answers.iter().map(|(id, _)| id).eq(&orders)));
    let one = upstream(reply);
    let refill = one.refill(permit(&one).await, &orders[0]).await;
    if let RefillOutcome::Accepted(id) = &refill {
        let found = values(&reply.body);
        assert!(found.iter().any(|value| is_id(value, id.as_str())), "{id} stands nowhere: {reply:?}");
    }
    let one = upstream(reply);
    let refill_status = one.refill_status(permit(&one).await, &refills[0]).await;
    let one = upstream(reply);
    let refill_statuses = one.refill_statuses(permit(&one).await, &refills).await;
    assert!(refill_statuses.as_ref().map_or(true, |all| all.reports.iter().map(|(id, _)| id).eq(&refills)));
    let one = upstream(reply);
    let balance = one.balance(permit(&one).await).await;
    let one = upstream(reply);
    let services = one.services(permit(&one).await).await;
    if let Ok(list) = &services {
        let mut ids: Vec<_> = list.services.iter().map(|service| &service.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), list.services.len(), "an ID twice");
        assert!(list.services.iter().all(|service| !service.rate.is_sign_negative()), "a rate below nothing");
    }
    check_shown(&format!("{status:?} {statuses:?} {cancels:?} {refill:?}"));
    check_shown(&format!("{refill_status:?} {refill_statuses:?} {balance:?}"));
}

/// Words that no table knows, in each form that an error comes in: never a refusal.
async fn check_unknown_words(reply: &Reply) {
    let text = String::from_utf8_lossy(&reply.body);
    let words: String = text.chars().filter(|letter| !letter.is_control()).take(80).collect();
    let listed = words.to_lowercase().contains(LISTED);
    if words.trim().is_empty()
        || known(&words).is_some()
        || listed
        || by_status(reply)
        || words.contains("Just a moment")
    {
        return;
    }
    let said = Value::from(words);
    for shape in [
        format!("{{\"error\":{said}}}"),
        format!("{{\"errors\":[{said}]}}"),
        format!("{{\"status\":\"fail\",\"message\":{said}}}"),
        format!("{{\"error\":{{\"message\":{said}}}}}"),
    ] {
        let reply = Reply { body: shape.into(), ..reply.clone() };
        let outcome = add(&reply).await;
        assert!(matches!(outcome, Outcome::Ambiguous(_)), "{outcome:?} by words that nobody knows: {reply:?}");
    }
}

fn check_shown(text: &str) {
    assert!(!text.to_ascii_lowercase().contains(KEY), "the key: {text}");
}

/// Whether the HTTP status or an edge's header says that the panel was not reached, or asked too often.
fn by_status(reply: &Reply) -> bool {
    let challenge = matches!(reply.status, 403 | 503) && String::from_utf8_lossy(&reply.body).contains("Just a moment");
    matches!(reply.status, 429 | 307 | 308 | 404 | 521 | 523 | 525 | 526 | 530)
        || reply.cf_mitigated.is_some()
        || challenge
}

/// Whether the body holds a text or a code that is known to mean a refusal, or one that the provider lists.
fn says_no(reply: &Reply) -> bool {
    let no = |meaning| matches!(meaning, Some(Meaning::Rejected(_)));
    let text = String::from_utf8_lossy(&reply.body);
    let texts = values(&reply.body);
    let refuses = |value: &Value| match value {
        Value::String(text) => no(known(text)) || text.parse().is_ok_and(|code| no(known_code(code))),
        Value::Number(number) => number.as_str().parse().is_ok_and(|code| no(known_code(code))),
        _ => false,
    };
    no(known(text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}' || c == '\0')))
        || text.to_lowercase().contains(LISTED)
        || texts
            .iter()
            .any(|value| refuses(value) || value.as_str().is_some_and(|text| text.to_lowercase().contains(LISTED)))
}

fn names_order(value: &Value, id: &str) -> bool {
    let Value::Object(fields) = value else { return false };
    let named = |name: &String| matches!(name.to_ascii_lowercase().as_str(), "order" | "order_id");
    fields.iter().any(|(name, value)| named(name) && is_id(value, id))
}

fn is_id(value: &Value, id: &str) -> bool {
    match value {
        Value::String(text) => text.trim() == id,
        Value::Number(number) => number.as_str() == id,
        _ => false,
    }
}

/// Every value in a body's JSON, itself included.
fn values(body: &[u8]) -> Vec<Value> {
    let mut open = match decode(body) {
        Decoded::Json(value) | Decoded::Salvaged { value, .. } => vec![value],
        Decoded::Text(text) | Decoded::Html(text) => vec![Value::from(text)],
        Decoded::Empty => Vec::new(),
    };
    let mut found = Vec::new();
    while let Some(value) = open.pop() {
        match &value {
            Value::Array(items) => open.extend(items.iter().cloned()),
            Value::Object(fields) => open.extend(fields.values().cloned()),
            _ => {}
        }
        found.push(value);
    }
    found
}
