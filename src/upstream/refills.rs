//! What came of asking for a refill, and what is said of one later. See `docs/protocol.md`, "Cancels and refills".

use serde_json::{Map, Value};

use super::answers::{AnswerError, read_reply, refused_item};
use super::classify::named_id;
use super::decode::{field, scalar_text};
use super::error_texts::{Meaning, is_about_refill, known};
use super::many::{ItemError, Many, read_many};
use super::refusal::{Refusal, Rejects, meaning_of, unreached};
use super::wire::{Reply, TransportError};
use crate::domain::ids::UpstreamRefillId;
use crate::domain::outcome::RejectKind;
use crate::domain::refill::{RefillOutcome, RefillReport};

/// By which names an item says which refill it is about.
const NAMES: [&str; 2] = ["refill", "refill_id"];

// === The refill itself ===

/// What came of it, and the error that the whole answer is, where it is one. Texts are neither cut nor searched
/// for the key.
pub(crate) fn judge_refill(
    result: &Result<Reply, TransportError>,
    rejects: &Rejects,
) -> (RefillOutcome, Option<AnswerError>) {
    let reply = match result {
        Ok(reply) => reply,
        Err(error) => {
            let outcome = match error {
                TransportError::NotSent(text) => RefillOutcome::NotTaken(text.clone()),
                TransportError::Unknown(text) => RefillOutcome::Ambiguous(text.clone()),
            };
            return (outcome, Some(AnswerError::Transport(error.clone())));
        }
    };
    match read_reply(reply, rejects) {
        Ok(answer) => (read_refill(&answer), None),
        Err(error) => (by_error(reply, &error, rejects), Some(error)),
    }
}

/// An answer to one refill as its outcome; for tables of answers.
#[must_use]
pub fn classify_refill(result: &Result<Reply, TransportError>, rejects: &Rejects) -> RefillOutcome {
    judge_refill(result, rejects).0
}

/// A refill costs nothing, so any words of the API that refuse it are a no; what a dying server says is not.
fn by_error(reply: &Reply, error: &AnswerError, rejects: &Rejects) -> RefillOutcome {
    match error {
        AnswerError::Refused(text) | AnswerError::UnknownOrder(text) => refused(text.clone()),
        AnswerError::KeyRejected(_) | AnswerError::RateLimited(_) => RefillOutcome::NotTaken(error.to_string()),
        AnswerError::Maintenance(text) if began_nothing(reply, text, rejects) => RefillOutcome::NotTaken(text.clone()),
        AnswerError::Maintenance(text) | AnswerError::Unreadable(text) => RefillOutcome::Ambiguous(text.clone()),
        AnswerError::Transport(_) => RefillOutcome::Ambiguous(error.to_string()),
    }
}

/// Whether an upstream that is down can't have begun a refill.
fn began_nothing(reply: &Reply, text: &str, rejects: &Rejects) -> bool {
    match meaning_of(text, rejects) {
        Some(Meaning::Rejected(RejectKind::Maintenance)) => true,
        Some(_) => false,
        None => reply.cf_mitigated.is_some() || unreached(reply.status).is_some() || reply.status < 500,
    }
}

fn refused(text: String) -> RefillOutcome {
    let quotable = is_about_refill(&text);
    RefillOutcome::Refused { text, quotable }
}

fn read_refill(answer: &Value) -> RefillOutcome {
    let unclear = || RefillOutcome::Ambiguous(format!("an answer without a refill's ID: {answer}"));
    let Some(object) = single(answer) else { return unclear() };
    let object = match field(object, "refill").or_else(|| field(object, "refill_id")) {
        Some(_) => object,
        None => field(object, "data").and_then(single).unwrap_or(object),
    };
    match field(object, "refill").or_else(|| field(object, "refill_id")) {
        // `{"refill": {"error": …}}`, and an ID as far inside.
        Some(Value::Object(inner)) => match (Refusal::of(inner), ["refill", "refill_id", "id"]) {
            (Some(refusal), _) => by_refusal(&refusal),
            (None, names) => names
                .iter()
                .find_map(|name| field(inner, name))
                .and_then(named_id)
                .map_or_else(unclear, |id| RefillOutcome::Accepted(UpstreamRefillId::new(id))),
        },
        Some(value) => match named_id(value) {
            Some(id) => RefillOutcome::Accepted(UpstreamRefillId::new(id)),
            None => Refusal::of(object).map_or_else(unclear, |refusal| by_refusal(&refusal)),
        },
        None => Refusal::of(object).map_or_else(unclear, |refusal| by_refusal(&refusal)),
    }
}

fn by_refusal(refusal: &Refusal) -> RefillOutcome {
    let text = refusal.text();
    if known(&text) == Some(Meaning::Ambiguous) { RefillOutcome::Ambiguous(text) } else { refused(text) }
}

/// The object that an answer about one thing is, be it in a list of one.
fn single(answer: &Value) -> Option<&Map<String, Value>> {
    match answer {
        Value::Array(items) if items.len() == 1 => items.first().and_then(Value::as_object),
        other => other.as_object(),
    }
}

// === Its status ===

/// Many refills' statuses.
pub type MultiRefillStatus = Many<UpstreamRefillId, RefillReport>;

/// One refill's status.
///
/// # Errors
/// [`AnswerError`] where the answer is an error, or holds no status.
pub(crate) fn read_refill_status(answer: &Value) -> Result<RefillReport, AnswerError> {
    let object = single(answer).ok_or_else(|| AnswerError::unreadable(answer))?;
    let inner = ["data", "refill"].iter().find_map(|name| field(object, name).and_then(Value::as_object));
    let item = inner.filter(|inner| field(inner, "status").is_some()).unwrap_or(object);
    match read_item(item) {
        Ok(report) => Ok(report),
        Err(ItemError::UnknownOrder(text) | ItemError::Refused(text)) => Err(AnswerError::Refused(text)),
        Err(ItemError::Missing) => Err(AnswerError::unreadable(answer)),
    }
}

/// Many refills' statuses, matched by ID only.
///
/// # Errors
/// [`AnswerError`] where the answer as a whole is an error that has nothing to do with asking for many.
pub(crate) fn read_refill_statuses(
    answer: Result<Value, AnswerError>,
    asked: &[UpstreamRefillId],
) -> Result<MultiRefillStatus, AnswerError> {
    read_many(answer, asked, UpstreamRefillId::as_str, &NAMES, |item| match item {
        Value::Object(item) => read_item(item),
        Value::String(word) => Ok(RefillReport::read(word.trim())),
        _ => Err(ItemError::Missing),
    })
}

fn read_item(item: &Map<String, Value>) -> Result<RefillReport, ItemError> {
    match field(item, "status") {
        Some(Value::Object(inner)) => match Refusal::of(inner) {
            Some(refusal) => Err(refused_item(&refusal)),
            None => field(inner, "status").and_then(scalar_text).map(RefillReport::read).ok_or(ItemError::Missing),
        },
        status => match (Refusal::of(item), status.and_then(scalar_text)) {
            (Some(refusal), _) => Err(refused_item(&refusal)),
            // "success" is the envelope of an answer without content.
            (None, Some(word)) if !word.eq_ignore_ascii_case("success") => Ok(RefillReport::read(word)),
            _ => Err(ItemError::Missing),
        },
    }
}

#[cfg(test)]
#[path = "refills_tests.rs"]
mod tests;
