//! Whether an answer is an error, and what that error means. See `docs/protocol.md`, "Outcomes".

use serde_json::{Map, Value};

use super::decode::{field, scalar_text};
use super::error_texts::{Meaning, known, known_code};
use super::wire::Reply;
use crate::domain::outcome::RejectKind;

/// Error texts of one provider that the table does not know: lower-case text that an answer contains, and
/// what it means.
pub type Rejects = [(String, RejectKind)];

/// An error as an answer words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Every text it gives; may be empty.
    texts: Vec<String>,
    /// A number in `status`.
    code: Option<u16>,
}

impl Refusal {
    /// The error in a JSON answer: a non-empty `error` or `errors`, or a `status` that says so beside a message.
    /// A `status` alone is neither an error nor a success.
    pub(crate) fn of(answer: &Map<String, Value>) -> Option<Self> {
        let status = field(answer, "status");
        let code = status.and_then(scalar_text).and_then(|text| text.parse().ok());
        let message = || ["msg", "message"].iter().find_map(|name| field(answer, name).filter(|v| is_set(v)));
        if let Some(error) = ["error", "errors"].iter().find_map(|name| field(answer, name).filter(|v| is_set(v))) {
            let mut texts = texts_in(error);
            if texts.is_empty() {
                texts = message().map(texts_in).unwrap_or_default();
            }
            return Some(Self { texts, code });
        }
        let failed = status.is_some_and(says_failed) || field(answer, "success") == Some(&Value::Bool(false));
        message().filter(|_| failed).map(|message| Self { texts: texts_in(message), code })
    }

    /// Its words, for people.
    pub(crate) fn text(&self) -> String {
        match (self.texts.as_slice(), self.code) {
            ([], Some(code)) => format!("an error without words, status {code}"),
            ([], None) => "an error without words".to_owned(),
            (texts, _) => texts.join("; "),
        }
    }

    /// What it means, where the table, the provider's own list or its code knows. Of several texts all must
    /// be known, since an unknown one may say that something was done.
    pub(crate) fn meaning(&self, rejects: &Rejects) -> Option<Meaning> {
        let by_text: Option<Vec<Meaning>> = self.texts.iter().map(|text| meaning_of(text, rejects)).collect();
        match by_text.as_deref() {
            None | Some([]) => self.code.and_then(known_code),
            Some(meanings) => {
                meanings.iter().find(|meaning| !matches!(meaning, Meaning::Rejected(_))).or(meanings.first()).copied()
            }
        }
    }
}

/// What one error text means: the table first, then the provider's own list.
pub(crate) fn meaning_of(text: &str, rejects: &Rejects) -> Option<Meaning> {
    known(text).or_else(|| {
        let text = text.to_lowercase();
        let listed = rejects.iter().find(|(part, _)| !part.trim().is_empty() && text.contains(part.trim()));
        listed.map(|(_, kind)| Meaning::Rejected(*kind))
    })
}

/// Whether a firewall answered, so that the request never reached the panel.
pub(crate) fn is_challenge(reply: &Reply, html: Option<&str>) -> bool {
    reply.cf_mitigated.is_some()
        || (matches!(reply.status, 403 | 503) && html.is_some_and(|page| page.contains("Just a moment")))
}

/// Why a reply with this status cannot have come from the panel's own code: a wrong path or a dead panel, a
/// moved one, or an edge that says it could not reach it.
pub(crate) fn unreached(status: u16) -> Option<&'static str> {
    match status {
        307 | 308 => Some("a redirect: the URL in the configuration is not the final one"),
        404 => Some("nothing at that URL"),
        521 | 523 | 525 | 526 | 530 => Some("its edge cannot reach it"),
        _ => None,
    }
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_str() != "0",
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn says_failed(status: &Value) -> bool {
    match status {
        Value::Bool(done) => !done,
        Value::String(word) => {
            ["error", "fail", "failed", "false"].iter().any(|failed| word.trim().eq_ignore_ascii_case(failed))
        }
        _ => false,
    }
}

/// Every text in an error: itself, a message inside it, or a list or map of texts as form validators give.
fn texts_in(error: &Value) -> Vec<String> {
    match error {
        Value::String(text) => vec![text.trim().to_owned()],
        Value::Array(items) => items.iter().flat_map(texts_in).collect(),
        Value::Object(fields) => {
            let message = ["message", "msg", "text", "error"].iter().find_map(|name| field(fields, name));
            match message {
                Some(message) if is_set(message) => texts_in(message),
                _ => fields.values().flat_map(texts_in).collect(),
            }
        }
        _ => Vec::new(),
    }
}
