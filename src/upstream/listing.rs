//! An upstream's list of our orders, and what it says of IDs that may be ours. See `docs/protocol.md`, "Listing orders".

use serde_json::{Map, Value};

use super::answers::{AnswerError, read_item, report};
use super::decode::{field, scalar_text};
use super::many::{ItemError, by_id};
use super::numbers::count;
use crate::domain::ids::UpstreamOrderId;
use crate::domain::search::{Item, Listed};
use crate::domain::time::Timestamp;

/// The longest ID that is taken.
const MAX_ID: usize = 64;
/// How many orders of a list are read: more than any panel was asked for.
const MAX_ITEMS: usize = 1000;
/// How deep a list may be wrapped.
const MAX_DEPTH: usize = 3;
/// What a list is wrapped in.
const WRAPPERS: [&str; 5] = ["data", "orders", "result", "list", "items"];
/// By which names an order says its ID.
const NAMES: [&str; 3] = ["order", "order_id", "id"];

/// What an upstream said of IDs that may be ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookUp {
    /// One for each ID that was asked for, in that order.
    pub items: Vec<(UpstreamOrderId, Item)>,
    /// False: the answer shows that this upstream cannot be asked for many at once.
    pub batches: bool,
}

/// The orders of a list, as far as they say which they are.
pub(crate) fn read_listing(answer: &Value) -> Result<Vec<Listed>, AnswerError> {
    let items = items(answer, MAX_DEPTH).ok_or_else(|| AnswerError::unreadable(answer))?;
    let listed: Vec<Listed> = items
        .iter()
        .take(MAX_ITEMS)
        .filter_map(|item| {
            let object = item.as_object()?;
            let id = NAMES.iter().find_map(|name| field(object, name).and_then(scalar_text))?;
            is_id(id).then(|| describe(UpstreamOrderId::new(id), object))
        })
        .collect();
    if listed.is_empty() && !items.is_empty() { Err(AnswerError::unreadable(answer)) } else { Ok(listed) }
}

/// A list of orders; for tables of answers.
///
/// # Errors
/// [`AnswerError`] where the body is an error, or no list.
pub fn decode_listing(body: &[u8]) -> Result<Vec<Listed>, AnswerError> {
    super::answers::read_reply(&super::answers::ok_reply(body), &[])
        .and_then(|answer| read_listing(&answer))
        .map_err(AnswerError::cut)
}

fn items(answer: &Value, depth: usize) -> Option<&[Value]> {
    match answer {
        Value::Array(items) => Some(items),
        Value::Object(object) => {
            let inner = depth.checked_sub(1)?;
            WRAPPERS.iter().find_map(|name| field(object, name).and_then(|value| items(value, inner)))
        }
        _ => None,
    }
}

pub(crate) fn read_look_up(
    answer: Result<Value, AnswerError>,
    asked: &[UpstreamOrderId],
) -> Result<LookUp, AnswerError> {
    let left_out = || LookUp { items: asked.iter().map(|id| (id.clone(), Item::LeftOut)).collect(), batches: false };
    let answer = match answer {
        Ok(answer) => answer,
        Err(AnswerError::UnknownOrder(_) | AnswerError::Refused(_)) => return Ok(left_out()),
        Err(error) => return Err(error),
    };
    let texts: Vec<&str> = asked.iter().map(UpstreamOrderId::as_str).collect();
    let Some(by_id) = by_id(&answer, &texts, &["order", "order_id"]) else { return Ok(left_out()) };
    let items = asked.iter().map(|id| {
        let item = by_id.get(id.as_str()).map_or(Item::LeftOut, |item| match read_item(item) {
            Ok(_) => {
                item.as_object().map_or(Item::LeftOut, |object| Item::Known(Box::new(describe(id.clone(), object))))
            }
            Err(ItemError::UnknownOrder(_)) => Item::Unknown,
            Err(ItemError::Missing | ItemError::Refused(_)) => Item::LeftOut,
        });
        (id.clone(), item)
    });
    Ok(LookUp { items: items.collect(), batches: true })
}

fn describe(id: UpstreamOrderId, object: &Map<String, Value>) -> Listed {
    let text = |names: &[&str]| names.iter().find_map(|name| field(object, name).and_then(scalar_text));
    Listed {
        id,
        service: text(&["service_id", "service"]).map(str::to_owned),
        link: text(&["link", "url"]).map(str::to_owned),
        quantity: field(object, "quantity").and_then(count),
        created_at: text(&["created_at", "created", "date"]).and_then(moment),
        report: report(object),
    }
}

fn is_id(text: &str) -> bool {
    text.len() <= MAX_ID && text.chars().all(|c| !c.is_whitespace() && !c.is_control())
}

/// Seconds or milliseconds since 1970, or RFC 3339. A time without its offset from UTC is none: panels are anywhere.
fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(number) = text.parse::<i64>() {
        return match number {
            1_000_000_000..=9_999_999_999 => number.checked_mul(1000).map(Timestamp::from_millis),
            1_000_000_000_000..=9_999_999_999_999 => Some(Timestamp::from_millis(number)),
            _ => None,
        };
    }
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(body: &str) -> Option<String> {
        let listed = decode_listing(body.as_bytes()).ok()?;
        Some(listed.iter().map(|listed| listed.id.as_str()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_list_is_read_however_it_is_wrapped() {
        for (body, wanted) in [
            (r#"[{"order":1},{"order":"2"}]"#, Some("1 2")),
            (r#"[{"id":1},{"order_id":"A7"},{"service":1}]"#, Some("1 A7")),
            (r#"{"data":[{"id":3}]}"#, Some("3")),
            (r#"{"status":"success","orders":[{"id":3}]}"#, Some("3")),
            (r#"{"result":{"list":[{"ID":3}]}}"#, Some("3")),
            ("[]", Some("")),
            (r#"{"data":[]}"#, Some("")),
            (r#"{"error":"Incorrect request"}"#, None),
            (r#"{"balance":"5"}"#, None),
            (r#"[{"service":1}]"#, None),
            (r#"{"orders":"1,2"}"#, None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(ids(body).as_deref(), wanted, "{body}");
        }
    }

    #[test]
    fn an_order_says_of_itself_what_it_says() {
        let body = r#"[{"order":"7","service":5,"link":" https://x.test/1 ","quantity":"100","charge":0.9,
            "status":"Pending","remains":"100","created_at":1700000000}]"#;
        let listed = decode_listing(body.as_bytes()).unwrap().remove(0);
        assert_eq!((listed.service.as_deref(), listed.link.as_deref()), (Some("5"), Some("https://x.test/1")));
        assert_eq!((listed.quantity, listed.created_at), (Some(100), Some(Timestamp::from_millis(1_700_000_000_000))));
        assert_eq!(listed.report.unwrap().charge.map(|charge| charge.to_string()).as_deref(), Some("0.9"));
        let bare = decode_listing(br#"[{"order":7,"service":"Likes","service_id":"12"}]"#).unwrap().remove(0);
        assert_eq!((bare.service.as_deref(), bare.link, bare.report), (Some("12"), None, None));
    }

    #[test]
    fn only_a_time_that_is_one_everywhere_counts() {
        for (text, millis) in [
            ("1700000000", Some(1_700_000_000_000)),
            ("1700000000123", Some(1_700_000_000_123)),
            ("2023-11-14T22:13:20Z", Some(1_700_000_000_000)),
            ("2023-11-15T01:13:20+03:00", Some(1_700_000_000_000)),
            ("2023-11-14 22:13:20", None),
            ("20231114", None),
            ("today", None),
        ] {
            assert_eq!(moment(text).map(Timestamp::millis), millis, "{text}");
        }
    }

    #[test]
    fn what_is_said_of_ids_is_told_from_silence() {
        let asked: Vec<_> = ["1", "2", "3", "4"].map(UpstreamOrderId::new).into();
        let kinds = |body: &str| {
            let answer = super::super::answers::read_reply(&super::super::answers::ok_reply(body.as_bytes()), &[]);
            let found = read_look_up(answer, &asked).unwrap();
            let kind = |item: &Item| match item {
                Item::Unknown => "no",
                Item::LeftOut => "-",
                Item::Known(_) => "yes",
            };
            (found.items.iter().map(|(_, item)| kind(item)).collect::<Vec<_>>().join(" "), found.batches)
        };
        let body =
            r#"{"1":{"status":"Pending","charge":"1"},"2":{"error":"Incorrect order ID"},"3":"Incorrect order ID"}"#;
        assert_eq!(kinds(body), ("yes no no -".to_owned(), true));
        assert_eq!(kinds(r#"{"error":"Incorrect request"}"#), ("- - - -".to_owned(), false));
        assert_eq!(kinds(r#"[{"status":"Pending"},{"status":"Pending"}]"#), ("- - - -".to_owned(), false));
    }
}
