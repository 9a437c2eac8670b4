//! A client's call as it comes in, and the answer as it goes out, whatever carried them.

use bytes::Bytes;
use serde_json::json;

/// The parameters of a call by name, each with one text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Sets a parameter; a later value takes the place of an earlier one, as in PHP.
    pub fn set(&mut self, name: String, text: String) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, value)) => *value = text,
            None => self.0.push((name, text)),
        }
    }

    /// A parameter's text as it was sent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// All of them, in the order of their first appearance.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }
}

/// A JSON document for a client, always with HTTP status 200.
#[derive(Debug, Clone)]
pub struct Answer {
    /// As it is.
    pub plain: Bytes,
    /// The same compressed by gzip, where that was worth making.
    pub gzip: Option<Bytes>,
}

impl Answer {
    /// An answer that is not worth compressing.
    #[must_use]
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self { plain: body.into(), gzip: None }
    }

    /// `{"error": "…"}`, with no other key: some clients look for just that.
    #[must_use]
    pub fn error(text: &str) -> Self {
        Self::json(json!({ "error": text }).to_string())
    }
}
