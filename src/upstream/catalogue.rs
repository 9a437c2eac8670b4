//! The `services` answer. See `docs/protocol.md`, "Catalogue".

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::answers::{AnswerError, ok_reply, read_reply};
use super::decode::{field, scalar_text};
use super::numbers::{count, decimal, flag};
use crate::domain::catalogue::UpstreamService;
use crate::domain::ids::UpstreamServiceId;
use crate::domain::service_type::{Billing, ServiceType};

/// The longest service ID that is taken, in bytes.
const MAX_ID: usize = 64;

/// What an upstream sells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceList {
    /// In the upstream's order, each ID once.
    pub services: Vec<UpstreamService>,
    /// Rows that could not be read, or repeat an ID.
    pub skipped: usize,
}

/// A services answer.
///
/// # Errors
/// [`AnswerError`] where the body is an error, or no list of services.
pub fn decode_services(body: &[u8]) -> Result<ServiceList, AnswerError> {
    read_reply(&ok_reply(body), &[]).and_then(read_services).map_err(AnswerError::cut)
}

pub(crate) fn read_services(answer: Value) -> Result<ServiceList, AnswerError> {
    let rows = rows(answer)?;
    let mut list = ServiceList::default();
    let mut seen = HashSet::new();
    for row in rows {
        match row.as_object().and_then(service).filter(|service| seen.insert(service.id.clone())) {
            Some(service) => list.services.push(service),
            None => list.skipped = list.skipped.saturating_add(1),
        }
    }
    Ok(list)
}

/// The rows of a bare list, of one that is wrapped, or of a map from numbers to rows (PHP makes one of a list
/// with gaps).
fn rows(answer: Value) -> Result<Vec<Value>, AnswerError> {
    let mut object = match answer {
        Value::Array(rows) => return Ok(rows),
        Value::Object(object) => object,
        other => return Err(AnswerError::unreadable(&other)),
    };
    for name in ["data", "services", "result"] {
        match object.remove(name) {
            Some(Value::String(text)) if text.trim().eq_ignore_ascii_case("empty data") => return Ok(Vec::new()),
            Some(Value::String(text)) => {
                if let Ok(inner @ (Value::Array(_) | Value::Object(_))) = serde_json::from_str(&text) {
                    return rows(inner);
                }
            }
            Some(inner @ (Value::Array(_) | Value::Object(_))) => return rows(inner),
            _ => {}
        }
    }
    let is_row = |value: &Value| value.as_object().is_some_and(|row| field(row, "service").is_some());
    if !object.is_empty() && object.values().all(is_row) {
        return Ok(object.into_iter().map(|(_, row)| row).collect());
    }
    Err(AnswerError::unreadable(&Value::Object(object)))
}

fn service(row: &Map<String, Value>) -> Option<UpstreamService> {
    let text = |name| field(row, name).and_then(scalar_text).map(str::to_owned);
    let id =
        text("service").filter(|id| id.len() <= MAX_ID && id.bytes().all(|b| b.is_ascii_graphic() && b != b','))?;
    let type_text = text("type").unwrap_or_default();
    let rate = field(row, "rate").and_then(decimal).filter(|rate| !rate.is_sign_negative())?;
    let bound = |name| match field(row, name) {
        // A package has no quantity, so some panels give it no bounds.
        None | Some(Value::Null) => is_flat(&type_text).then_some(1),
        Some(Value::String(text)) if text.trim().is_empty() => is_flat(&type_text).then_some(1),
        Some(value) => count(value),
    };
    let (min, max) = (bound("min")?, bound("max")?);
    (min <= max).then_some(())?;
    Some(UpstreamService {
        id: UpstreamServiceId::new(id),
        name: text("name")?,
        type_text,
        category: text("category").unwrap_or_default(),
        rate,
        min,
        max,
        refill: flag(field(row, "refill")),
        cancel: flag(field(row, "cancel")),
        dripfeed: flag(field(row, "dripfeed")),
        desc: text("desc").or_else(|| text("description")),
    })
}

fn is_flat(type_text: &str) -> bool {
    ServiceType::parse(type_text).is_some_and(|kind| kind.billing() == Billing::Flat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    fn list(body: &str) -> ServiceList {
        decode_services(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_documented_row_is_read_whole() {
        let body = r#"[{"service":1,"name":"Followers","type":"Default","category":"First Category","rate":"0.90",
            "min":"50","max":"10000","refill":true,"cancel":true}]"#;
        let wanted = UpstreamService {
            id: UpstreamServiceId::new("1"),
            name: "Followers".into(),
            type_text: "Default".into(),
            category: "First Category".into(),
            rate: Decimal::new(90, 2),
            min: 50,
            max: 10_000,
            refill: true,
            cancel: true,
            dripfeed: false,
            desc: None,
        };
        assert_eq!(list(body), ServiceList { services: vec![wanted], skipped: 0 });
    }

    #[test]
    fn rows_are_read_as_panels_really_send_them() {
        let body = r#"[{"service":"A-5","name":" Likes &amp; more <b>x</b> ","type":"custom_comments","category":null,
            "rate":0.0000123,"min":1.0,"max":1e9,"refill":0,"cancel":"1","dripfeed":1,"description":"text","extra":{}}]"#;
        let read = list(body);
        let service = read.services.first().unwrap();
        assert_eq!(service.id.as_str(), "A-5");
        assert_eq!(service.name, "Likes &amp; more <b>x</b>");
        assert_eq!((service.category.as_str(), service.rate.to_string()), ("", "0.0000123".into()));
        assert_eq!((service.min, service.max), (1, 1_000_000_000));
        assert_eq!((service.refill, service.cancel, service.dripfeed), (false, true, true));
        assert_eq!(service.desc.as_deref(), Some("text"));
    }

    #[test]
    fn a_list_is_found_in_its_wrappers() {
        let row = r#"{"service":7,"name":"a","type":"Default","rate":"1","min":1,"max":2}"#;
        let quoted = serde_json::to_string(&format!("[{row}]")).unwrap();
        for body in [
            format!("[{row}]"),
            format!("{{\"data\":[{row}]}}"),
            format!("{{\"status\":\"success\",\"services\":[{row}]}}"),
            format!("{{\"result\":{{\"services\":[{row}]}}}}"),
            format!("{{\"0\":{row}}}"),
            format!("{{\"data\":{quoted}}}"),
            quoted,
            format!("<br><b>Warning</b>: x\n[{row}]"),
        ] {
            assert_eq!(list(&body).services.len(), 1, "{body}");
        }
        for body in ["[]", r#"{"status":"success","data":"Empty Data"}"#] {
            assert_eq!(list(body), ServiceList::default(), "{body}");
        }
    }

    #[test]
    fn bad_rows_are_skipped_and_counted() {
        let rows = [
            r#"{"service":1,"name":"a","type":"Default","rate":"1","min":1,"max":2}"#,
            r#"{"service":1,"name":"again","type":"Default","rate":"1","min":1,"max":2}"#,
            r#"{"service":2,"name":"a","type":"Default","rate":"-1","min":1,"max":2}"#,
            r#"{"service":3,"name":"a","type":"Default","rate":"1e-3","min":1,"max":2}"#,
            r#"{"service":4,"name":"a","type":"Default","rate":"1","min":3,"max":2}"#,
            r#"{"service":5,"name":"a","type":"Default","rate":"1","max":2}"#,
            r#"{"service":"","name":"a","type":"Default","rate":"1","min":1,"max":2}"#,
            r#"{"name":"a","rate":"1","min":1,"max":2}"#,
            "null",
            "5",
            r#"{"service":6,"name":"flat","type":"Package","rate":"1"}"#,
            r#"{"service":7,"name":"no type","rate":"1","min":1,"max":2}"#,
        ];
        let read = list(&format!("[{}]", rows.join(",")));
        let ids: Vec<_> = read.services.iter().map(|service| service.id.as_str()).collect();
        assert_eq!(ids, ["1", "6", "7"]);
        assert_eq!(read.skipped, 9);
        assert_eq!(read.services.last().unwrap().type_text, "");
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        for body in ["{}", "{\"balance\":\"1\"}", "nothing", "", "[{\"service\":1},{\"serv", "<html></html>"] {
            assert!(matches!(decode_services(body.as_bytes()), Err(AnswerError::Unreadable(_))), "{body}");
        }
        assert!(matches!(decode_services(b"{\"error\":\"Invalid API key\"}"), Err(AnswerError::KeyRejected(_))));
    }

    proptest! {
        #[test]
        fn no_body_upsets_it(body in "[\\[\\]{}\",:0-9a-z.-]{0,80}") {
            let _ = decode_services(body.as_bytes());
        }
    }
}
