//! What came of an `add`, from what came back. See `docs/protocol.md`, "Outcomes" and "HTTP statuses".
//!
//! The body is asked first and the HTTP status second, since panels send their errors with any status. What
//! neither settles is ambiguous: an order wrongly held costs a question, one wrongly sent again costs money.

use serde_json::{Map, Value};

use super::decode::{Decoded, cut, decode, field, scalar_text};
use super::error_texts::{Meaning, is_about_input};
use super::refusal::{Refusal, Rejects, is_challenge, meaning_of, unreached};
use super::wire::{Reply, TransportError};
use crate::domain::ids::UpstreamOrderId;
use crate::domain::outcome::{Outcome, RejectKind, Rejection};

/// The longest text that an outcome carries, in characters.
pub const MAX_TEXT: usize = 300;

/// The longest ID that is taken, in characters.
const MAX_ID: usize = 64;

/// Another order is active on that link there.
const DUPLICATE: Meaning = Meaning::Rejected(RejectKind::DuplicateLink);

/// What one provider's answers mean beside what holds for all.
#[derive(Clone, Copy)]
pub(crate) struct Dialect<'p> {
    /// Its own error texts, in lower case.
    pub(crate) rejects: &'p Rejects,
    /// The operator's word about its 503.
    pub(crate) treat_503_as_not_placed: bool,
}

impl Dialect<'_> {
    /// Whether the status alone says that nothing was created, by the operator's word; not where an ID stands in
    /// the body.
    fn vouches_for(self, reply: &Reply) -> bool {
        self.treat_503_as_not_placed && reply.status == 503 && !holds_an_id(&reply.body)
    }
}

/// An outcome with its texts uncut, and whether it says that our account there is blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) outcome: Outcome,
    pub(crate) account_blocked: bool,
}

/// Classifies the answer to an `add`. `rejects` holds the provider's own error texts in lower case. Texts are
/// cut to [`MAX_TEXT`] characters; the API key is not looked for in them (see `Upstream::add`).
#[must_use]
pub fn classify_add(result: &Result<Reply, TransportError>, rejects: &Rejects) -> Outcome {
    with_texts(judge_add(result, Dialect { rejects, treat_503_as_not_placed: false }).outcome, |text| {
        cut(text, MAX_TEXT)
    })
}

/// `outcome` with its text passed through `change`.
pub(crate) fn with_texts(outcome: Outcome, change: impl Fn(&str) -> String) -> Outcome {
    match outcome {
        Outcome::Accepted(id) => Outcome::Accepted(id),
        Outcome::Rejected(rejection) => Outcome::Rejected(Rejection { text: change(&rejection.text), ..rejection }),
        Outcome::NotSent(text) => Outcome::NotSent(change(&text)),
        Outcome::Ambiguous(text) => Outcome::Ambiguous(change(&text)),
    }
}

pub(crate) fn judge_add(result: &Result<Reply, TransportError>, dialect: Dialect<'_>) -> Judgement {
    let reply = match result {
        Ok(reply) => reply,
        Err(TransportError::NotSent(text)) => return Outcome::NotSent(text.clone()).into(),
        Err(TransportError::Unknown(text)) => return Outcome::Ambiguous(text.clone()).into(),
    };
    let vouched = dialect.vouches_for(reply);
    match decode(&reply.body) {
        Decoded::Json(Value::Object(answer)) => judge_object(reply, &answer, true, dialect),
        Decoded::Salvaged { value: Value::Object(answer), alone } => judge_object(reply, &answer, alone, dialect),
        Decoded::Text(text) => match meaning_of(&text, listed_for(reply.status, dialect.rejects)) {
            Some(meaning) => by_meaning(reply, meaning, text),
            None => by_status(reply, None, &text, vouched).into(),
        },
        Decoded::Html(page) => match listed_in_page(&page, listed_for(reply.status, dialect.rejects)) {
            Some(kind) => rejected(kind, page).into(),
            None => by_status(reply, Some(&page), &page, vouched).into(),
        },
        Decoded::Json(list) | Decoded::Salvaged { value: list, .. } => {
            by_status(reply, None, &list.to_string(), vouched).into()
        }
        Decoded::Empty => by_status(reply, None, "an empty body", vouched).into(),
    }
}

/// `alone`: nothing around the object could hold another answer.
fn judge_object(reply: &Reply, answer: &Map<String, Value>, alone: bool, dialect: Dialect<'_>) -> Judgement {
    let refusal = Refusal::of(answer);
    let vouched = alone && dialect.vouches_for(reply);
    match (named_order(answer), refusal) {
        // It may name the order that is in the way.
        (Named::Order(id), Some(refusal)) if refusal.meaning(dialect.rejects) == Some(DUPLICATE) => {
            unclear(reply, &format!("order {id} beside a duplicate: {}", refusal.text())).into()
        }
        (Named::Order(id), _) | (Named::Elsewhere(id), None) => Outcome::Accepted(id).into(),
        (Named::Elsewhere(_), Some(refusal)) => {
            unclear(reply, &format!("an order's ID beside an error: {}", refusal.text())).into()
        }
        (Named::Unusable, _) => {
            unclear(reply, &format!("an order ID that cannot be one: {}", Value::Object(answer.clone()))).into()
        }
        (Named::Nothing, Some(refusal)) => match refusal.meaning(dialect.rejects) {
            Some(_) if !alone || holds_an_id(&reply.body) => {
                unclear(reply, &format!("an error among other answers: {}", refusal.text())).into()
            }
            Some(meaning) => by_meaning(reply, meaning, refusal.text()),
            None => by_status_and_text(reply, &refusal.text(), vouched).into(),
        },
        // The panel's own code answered: whatever the status says of the way there does not hold.
        (Named::Nothing, None)
            if reply.status != 429 && !vouched && !(alone && says_not_found(answer) && !holds_an_id(&reply.body)) =>
        {
            unclear(reply, &Value::Object(answer.clone()).to_string()).into()
        }
        (Named::Nothing, None) => by_status(reply, None, &Value::Object(answer.clone()).to_string(), vouched).into(),
    }
}

/// Which order an answer names.
enum Named {
    /// In `order`: it beats an error beside it.
    Order(UpstreamOrderId),
    /// In `order_id`, or inside `data`: where an error stands beside it, it may be another order's.
    Elsewhere(UpstreamOrderId),
    /// There is something, but no ID that could be asked for.
    Unusable,
    Nothing,
}

fn named_order(answer: &Map<String, Value>) -> Named {
    let data = field(answer, "data").and_then(Value::as_object);
    let places = [
        (true, field(answer, "order")),
        (false, field(answer, "order_id")),
        (false, data.and_then(|data| field(data, "order"))),
        (false, data.and_then(|data| field(data, "order_id"))),
    ];
    let Some((direct, value)) = places
        .into_iter()
        .find_map(|(direct, value)| value.filter(|value| !is_nothing(value)).map(|value| (direct, value)))
    else {
        return Named::Nothing;
    };
    match (direct, id_text(value).map(UpstreamOrderId::new)) {
        (true, Some(id)) => Named::Order(id),
        (false, Some(id)) => Named::Elsewhere(id),
        (_, None) => Named::Unusable,
    }
}

/// What scripts write where they have no order.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => matches!(number.as_str(), "0" | "-0" | "0.0"),
        Value::String(text) => matches!(text.trim(), "" | "0"),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// A value as the text of an ID, where it names something.
pub(crate) fn named_id(value: &Value) -> Option<&str> {
    let value = Some(value).filter(|value| !is_nothing(value))?;
    id_text(value)
}

/// An ID that can be stored and asked for: 1 to 64 visible ASCII characters, no comma (it parts IDs in a
/// request), not a negative or broken number, not a word that stands for something else.
fn id_text(value: &Value) -> Option<&str> {
    const WORDS: &[&str] =
        &["null", "undefined", "none", "nan", "true", "false", "error", "fail", "failed", "success", "ok"];
    let text = scalar_text(value)?;
    let fits =
        text.len() <= MAX_ID && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b',' | b'<' | b'>' | b'"'));
    let number = !value.is_number() || text.bytes().all(|b| b.is_ascii_digit());
    let word = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    (fits && number && !word && !text.starts_with('-')).then_some(text)
}

fn by_meaning(reply: &Reply, meaning: Meaning, text: String) -> Judgement {
    match meaning {
        Meaning::Rejected(kind) => rejected(kind, text).into(),
        Meaning::AccountBlocked => Judgement { outcome: unclear(reply, &text), account_blocked: true },
        Meaning::Ambiguous | Meaning::UnknownOrder => unclear(reply, &text).into(),
    }
}

/// Whether an object without an error says no more than that there is nothing at that URL.
fn says_not_found(answer: &Map<String, Value>) -> bool {
    let message = ["message", "msg"].iter().find_map(|name| field(answer, name)).and_then(Value::as_str);
    message.is_none_or(is_not_found)
}

fn is_not_found(text: &str) -> bool {
    let plain = text.trim().trim_end_matches(['.', '!']).to_ascii_lowercase();
    matches!(plain.as_str(), "" | "not found" | "404 not found" | "page not found" | "404")
}

/// An error in the API's own form whose words nobody knows: it came from the panel's code, so that a 404 says
/// nothing about the path, unless those are its only words.
fn by_status_and_text(reply: &Reply, text: &str, vouched: bool) -> Outcome {
    if reply.status == 404 && !is_not_found(text) {
        return unclear(reply, &format!("an error that nobody knows: {text}"));
    }
    by_status(reply, None, text, vouched)
}

/// `vouched`: see [`Dialect::vouches_for`].
fn by_status(reply: &Reply, html: Option<&str>, seen: &str, vouched: bool) -> Outcome {
    if reply.status == 429 {
        return rejected(RejectKind::RateLimit, format!("HTTP 429: {seen}"));
    }
    if is_challenge(reply, html) {
        return rejected(RejectKind::Maintenance, format!("HTTP {}: a firewall's challenge", reply.status));
    }
    if let Some(why) = unreached(reply.status) {
        let to = reply.location.as_deref().map(|to| format!(" to {to}")).unwrap_or_default();
        return rejected(RejectKind::Maintenance, format!("HTTP {}{to}: {why}", reply.status));
    }
    if vouched {
        return rejected(
            RejectKind::Maintenance,
            format!("HTTP 503, which this panel answers without placing anything: {seen}"),
        );
    }
    unclear(reply, seen)
}

/// Whether an order's ID stands anywhere in the body, be it in a field that nobody documents or under a name
/// that the object has twice.
fn holds_an_id(body: &[u8]) -> bool {
    let text: String = String::from_utf8_lossy(body).split_whitespace().collect::<String>().to_ascii_lowercase();
    ["\"order\":", "\"order_id\":"].iter().any(|name| {
        text.split(name).skip(1).any(|rest| match rest.strip_prefix('"') {
            Some(quoted) => quoted.starts_with(|c: char| c.is_ascii_alphanumeric() && c != '0'),
            None => rest.starts_with(|c: char| c.is_ascii_digit() && c != '0'),
        })
    })
}

/// The provider's own texts, for what is not in the API's form: none where an edge says that the answer was
/// lost, since these are not the panel's words.
fn listed_for(status: u16, rejects: &Rejects) -> &Rejects {
    if status >= 500 && status != 503 { &[] } else { rejects }
}

/// A page is no answer of the API, but what the operator listed for this provider may be a page's words.
fn listed_in_page(page: &str, rejects: &Rejects) -> Option<RejectKind> {
    let page = page.to_lowercase();
    rejects.iter().find(|(part, _)| !part.trim().is_empty() && page.contains(part.trim())).map(|(_, kind)| *kind)
}

fn rejected(kind: RejectKind, text: String) -> Outcome {
    let quotable = kind == RejectKind::Input && is_about_input(&text);
    Outcome::Rejected(Rejection { kind, text, quotable })
}

fn unclear(reply: &Reply, seen: &str) -> Outcome {
    Outcome::Ambiguous(format!("HTTP {}: {seen}", reply.status))
}

impl From<Outcome> for Judgement {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, account_blocked: false }
    }
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
