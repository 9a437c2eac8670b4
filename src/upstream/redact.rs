//! Keeps a provider's key out of everything that is shown: some panels echo what they were sent.

use secrecy::{ExposeSecret, SecretString};

/// What stands in a text where the key stood.
const MARK: &str = "[key]";

/// A key, and the forms in which an upstream could echo it.
pub(crate) struct Key {
    secret: SecretString,
    forms: Vec<SecretString>,
}

impl Key {
    pub(crate) fn new(secret: SecretString) -> Self {
        let plain = secret.expose_secret();
        let quoted = serde_json::Value::String(plain.to_owned()).to_string();
        let quoted = quoted.trim_matches('"').to_owned();
        let encoded: String = form_urlencoded::byte_serialize(plain.as_bytes()).collect();
        let slashed = quoted.replace('/', "\\/");
        let mut forms = vec![plain.to_owned(), quoted, slashed, encoded];
        forms.retain(|form| !form.is_empty());
        forms.dedup();
        let forms = forms.into_iter().map(SecretString::from).collect();
        Self { secret, forms }
    }

    /// The key itself, for a request.
    pub(crate) fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    /// `text` with the key in any case and encoding replaced by `[key]`.
    pub(crate) fn redacted(&self, text: &str) -> String {
        self.forms.iter().fold(text.to_owned(), |text, form| replaced(&text, form.expose_secret()))
    }
}

fn replaced(text: &str, needle: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let here = rest.get(..needle.len()).is_some_and(|head| head.eq_ignore_ascii_case(needle));
        let length = if here { needle.len() } else { letter.len_utf8() };
        if here {
            shown.push_str(MARK);
        } else {
            shown.push(letter);
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_any_case_and_encoding() {
        let key = Key::new("Ab/9 c".to_owned().into());
        for text in ["x Ab/9 c y", "x ab/9 C y", "x Ab\\/9 c y", "x Ab%2f9+c y"] {
            assert_eq!(key.redacted(text), "x [key] y", "{text}");
        }
        assert_eq!(key.redacted("nothing of it: ğAb"), "nothing of it: ğAb");
        assert_eq!(Key::new(String::new().into()).redacted("text"), "text");
    }
}
