//! One answer about many things: which part of it is about which.

use std::collections::HashMap;

use serde_json::Value;

use super::answers::AnswerError;
use super::decode::{field, scalar_text};

/// Why one thing of an answer about many has no report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemError {
    /// No order with that ID on our account there.
    UnknownOrder(String),
    /// Not in the answer, or without content: no news.
    Missing,
    /// Another error, in the upstream's words.
    Refused(String),
}

/// An answer about many things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Many<Id, Report> {
    /// One for each ID that was asked for, in that order.
    pub reports: Vec<(Id, Result<Report, ItemError>)>,
    /// False: the answer shows that this upstream cannot be asked for many at once; ask singly.
    pub batches: bool,
}

/// Takes an answer apart by the IDs that were asked for, each given as `text` has it; an item may say under one of
/// `names` which it is for, and `read` reads it.
///
/// # Errors
/// [`AnswerError`] where the answer as a whole is an error that has nothing to do with asking for many.
pub(crate) fn read_many<Id: Clone, Report>(
    answer: Result<Value, AnswerError>,
    asked: &[Id],
    text: impl Fn(&Id) -> &str,
    names: &[&str],
    read: impl Fn(&Value) -> Result<Report, ItemError>,
) -> Result<Many<Id, Report>, AnswerError> {
    let missing = || Err(ItemError::Missing);
    let unsupported = || Many { reports: asked.iter().map(|id| (id.clone(), missing())).collect(), batches: false };
    let answer = match answer {
        Ok(answer) => answer,
        Err(AnswerError::UnknownOrder(_) | AnswerError::Refused(_)) => return Ok(unsupported()),
        Err(error) => return Err(error),
    };
    let texts: Vec<&str> = asked.iter().map(&text).collect();
    let Some(items) = by_id(&answer, &texts, names) else { return Ok(unsupported()) };
    let report = |id: &Id| items.get(text(id)).map_or_else(missing, |item| read(item));
    Ok(Many { reports: asked.iter().map(|id| (id.clone(), report(id))).collect(), batches: true })
}

/// The items of the answer by the ID each is for, which it says under one of `names`; `None` where they cannot be
/// told apart.
pub(crate) fn by_id<'v>(answer: &'v Value, asked: &[&str], names: &[&str]) -> Option<HashMap<&'v str, &'v Value>> {
    match answer {
        Value::Array(items) if items.is_empty() => Some(HashMap::new()),
        Value::Array(items) => {
            let named: HashMap<_, _> = items
                .iter()
                .filter_map(|item| own_id(item, names).or_else(|| own_id(item, &["id"])).map(|id| (id, item)))
                .collect();
            (!named.is_empty()).then_some(named)
        }
        Value::Object(map) => {
            let wrapped = ["data", "orders", "refills", "result"].iter().find_map(|name| field(map, name));
            let is_asked = |key: &str| asked.contains(&key.trim());
            if !map.keys().any(|key| is_asked(key)) {
                match wrapped {
                    Some(inner @ (Value::Object(_) | Value::Array(_))) => return by_id(inner, asked, names),
                    _ if field(map, "status").is_some() => return None,
                    _ => {}
                }
            }
            // PHP numbers the items of some maps from 0; then an item's own ID counts, and a key that
            // contradicts it does not.
            let named = map.iter().filter_map(|(key, item)| match own_id(item, names) {
                Some(own) if own != key.trim() => (!is_asked(key)).then_some((own, item)),
                _ => Some((key.trim(), item)),
            });
            Some(named.collect())
        }
        _ => None,
    }
}

fn own_id<'v>(item: &'v Value, names: &[&str]) -> Option<&'v str> {
    let object = item.as_object()?;
    names.iter().find_map(|name| field(object, name).and_then(scalar_text))
}
