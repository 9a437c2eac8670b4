//! What an upstream says to a cancel. See `docs/protocol.md`, "Cancels and refills".

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::answers::AnswerError;
use super::decode::{field, scalar_text};
use super::many::by_id;
use super::refusal::Refusal;
use crate::domain::ids::UpstreamOrderId;

/// By which names an item says which order it is about.
const NAMES: [&str; 2] = ["order", "order_id"];

/// What an upstream said to the cancel of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelAnswer {
    /// It noted the request; what becomes of it shows in a later status.
    Taken,
    /// It does not cancel this order, in its words.
    Refused(String),
    /// Nothing that could be read.
    Missing,
}

/// An answer to the cancel of many orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiCancel {
    /// One for each order that was asked for, in that order.
    pub answers: Vec<(UpstreamOrderId, CancelAnswer)>,
    /// False: the answer shows that this upstream cannot be asked for many at once; ask singly.
    pub batches: bool,
}

/// Many orders' cancels, matched by ID only.
///
/// # Errors
/// [`AnswerError`] where the answer as a whole is an error that has nothing to do with these orders.
pub(crate) fn read_cancel(
    answer: Result<Value, AnswerError>,
    asked: &[UpstreamOrderId],
) -> Result<MultiCancel, AnswerError> {
    let all = |said: CancelAnswer| MultiCancel {
        answers: asked.iter().map(|id| (id.clone(), said.clone())).collect(),
        batches: true,
    };
    let unsupported = || MultiCancel { batches: false, ..all(CancelAnswer::Missing) };
    let answer = match answer {
        Ok(answer) => answer,
        // One error for several orders says of none of them that it is refused.
        Err(AnswerError::UnknownOrder(text) | AnswerError::Refused(text)) => {
            return Ok(if asked.len() == 1 { all(CancelAnswer::Refused(text)) } else { unsupported() });
        }
        Err(error) => return Err(error),
    };
    if let Some(object) = answer.as_object() {
        if let Some(taken) = listed(object) {
            let said = |id: &UpstreamOrderId| match taken.contains(&id.as_str()) {
                true => CancelAnswer::Taken,
                false => CancelAnswer::Missing,
            };
            return Ok(MultiCancel { answers: asked.iter().map(|id| (id.clone(), said(id))).collect(), batches: true });
        }
        let names_one = asked.iter().any(|id| object.contains_key(id.as_str()));
        if !names_one && let said @ (CancelAnswer::Taken | CancelAnswer::Refused(_)) = read_object(object) {
            let certain = asked.len() == 1 || said == CancelAnswer::Taken;
            return Ok(if certain { all(said) } else { unsupported() });
        }
    }
    if let (Value::Array(items), [_]) = (&answer, asked)
        && let [item] = items.as_slice()
    {
        return Ok(all(read_item(item)));
    }
    let texts: Vec<&str> = asked.iter().map(UpstreamOrderId::as_str).collect();
    let Some(items) = by_id(&answer, &texts, &NAMES) else { return Ok(unsupported()) };
    Ok(MultiCancel { answers: matched(asked, &items), batches: true })
}

fn matched(asked: &[UpstreamOrderId], items: &HashMap<&str, &Value>) -> Vec<(UpstreamOrderId, CancelAnswer)> {
    let said = |id: &UpstreamOrderId| items.get(id.as_str()).map_or(CancelAnswer::Missing, |item| read_item(item));
    asked.iter().map(|id| (id.clone(), said(id))).collect()
}

/// The IDs in `{"canceled": [1, 2]}`.
fn listed(object: &Map<String, Value>) -> Option<Vec<&str>> {
    let list = ["canceled", "cancelled", "cancel"].iter().find_map(|name| field(object, name)?.as_array())?;
    list.iter().map(scalar_text).collect()
}

fn read_item(item: &Value) -> CancelAnswer {
    match item {
        Value::Object(object) => read_object(object),
        value => read_value(value),
    }
}

fn read_object(object: &Map<String, Value>) -> CancelAnswer {
    if let Some(refusal) = Refusal::of(object) {
        return CancelAnswer::Refused(refusal.text());
    }
    let said = ["cancel", "canceled", "cancelled", "success", "status"].iter().find_map(|name| field(object, name));
    match said {
        Some(Value::Object(inner)) => match Refusal::of(inner) {
            Some(refusal) => CancelAnswer::Refused(refusal.text()),
            None => ["cancel", "success", "status"]
                .iter()
                .find_map(|name| field(inner, name))
                .map_or(CancelAnswer::Missing, read_value),
        },
        Some(value) => read_value(value),
        None => CancelAnswer::Missing,
    }
}

fn read_value(value: &Value) -> CancelAnswer {
    let refused = |text: String| CancelAnswer::Refused(text);
    match value {
        Value::Bool(true) => CancelAnswer::Taken,
        Value::Bool(false) => refused("refused without words".to_owned()),
        value => match scalar_text(value) {
            None => CancelAnswer::Missing,
            Some(text) => match text.to_ascii_lowercase().as_str() {
                "1" | "true" | "ok" | "yes" | "success" | "successful" | "canceled" | "cancelled" | "pending" => {
                    CancelAnswer::Taken
                }
                "0" | "false" | "no" | "fail" | "failed" | "error" => refused("refused without words".to_owned()),
                // Some number the request.
                digits if digits.bytes().all(|b| b.is_ascii_digit()) => CancelAnswer::Taken,
                _ => refused(text.to_owned()),
            },
        },
    }
}

#[cfg(test)]
#[path = "cancels_tests.rs"]
mod tests;
