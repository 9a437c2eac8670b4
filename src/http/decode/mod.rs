//! From what a script sent to the parameters of its call: forms, multipart, JSON, query strings.
//!
//! Pure code that takes any bytes without a panic. Scripts of all ages call this API, so what can be
//! understood is taken, and what cannot is answered with words that name the mistake.

mod form;
mod json;
mod multipart;

#[cfg(test)]
mod tests;

use hyper::body::Bytes;

use crate::app::call::Params;

/// Parameters in one request, over all its parts.
const MAX_PARAMETERS: usize = 1000;

/// Parameters that are lists of lines; every other list is one of IDs, separated by commas.
const LINE_LISTS: [&str; 5] = ["comments", "usernames", "hashtags", "groups", "keywords"];

/// Names that scripts written for other panels use, and ours.
const ALIASES: [(&str, &str); 3] = [("api_key", "key"), ("order_id", "order"), ("url", "link")];

/// What is wrong with a request. The text is for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Text in another encoding.
    #[error("Incorrect request: the parameters are not UTF-8")]
    NotUtf8,
    /// No JSON at all.
    #[error("Incorrect request: broken JSON at line {line}, column {column}")]
    BrokenJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// JSON, but no object.
    #[error("Incorrect request: the JSON is not an object")]
    NotAnObject,
    /// An object or a list where a text, a number or a list of such belongs.
    #[error("Incorrect request: a JSON parameter holds an object or a list of lists")]
    Nested,
    /// Parts with no boundary, or cut off.
    #[error("Incorrect request: broken multipart/form-data")]
    BrokenMultipart,
    /// A flood.
    #[error("Incorrect request: more than {MAX_PARAMETERS} parameters")]
    TooMany,
}

/// The parameters of a request: of its query string (without the `?`) and its body, which wins where both have
/// a name. A body whose type is neither JSON nor multipart is taken for a form, as PHP does.
///
/// # Errors
/// [`DecodeError`], to be answered as the API's own error.
pub fn decode(query: &str, content_type: Option<&str>, body: &Bytes) -> Result<Params, DecodeError> {
    let mut fields = Fields::default();
    form::read(query.as_bytes(), &mut fields)?;
    fields.begin_body();
    let full_type = content_type.unwrap_or_default();
    let essence = full_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "multipart/form-data" => multipart::read(full_type, body, &mut fields)?,
        "application/json" | "text/json" => json::read(body, &mut fields)?,
        other if other.ends_with("+json") => json::read(body, &mut fields)?,
        _ => form::read(body, &mut fields)?,
    }
    Ok(fields.into_params())
}

/// Parameters as they are found.
#[derive(Debug, Default)]
struct Fields {
    list: Vec<Field>,
    seen: usize,
    in_body: bool,
}

#[derive(Debug)]
struct Field {
    name: String,
    text: String,
    /// From `name[]`: the next such value goes to its end.
    open: bool,
    in_body: bool,
}

impl Fields {
    /// What comes now takes the place of what came before.
    fn begin_body(&mut self) {
        self.in_body = true;
    }

    /// Adds `name=text`; `name[]` and `name[0]` make a list of `name`.
    fn add(&mut self, name: String, text: String) -> Result<(), DecodeError> {
        self.seen = self.seen.saturating_add(1);
        if self.seen > MAX_PARAMETERS {
            return Err(DecodeError::TooMany);
        }
        let (name, open) = match name.split_once('[') {
            Some((base, rest)) if !base.is_empty() && rest.ends_with(']') => (base.to_owned(), true),
            _ => (name, false),
        };
        let in_body = self.in_body;
        match self.list.iter_mut().find(|field| field.name == name) {
            Some(field) if open && field.open && field.in_body == in_body => {
                field.text.push_str(separator(&name));
                field.text.push_str(&text);
            }
            Some(field) => *field = Field { name, text, open, in_body },
            None => self.list.push(Field { name, text, open, in_body }),
        }
        Ok(())
    }

    fn into_params(self) -> Params {
        let named = |name: &str| self.list.iter().any(|field| field.name == name);
        let aliases: Vec<_> = ALIASES.into_iter().filter(|(alias, right)| named(alias) && !named(right)).collect();
        let mut params = Params::default();
        for Field { name, text, .. } in self.list {
            match aliases.iter().find(|(alias, _)| *alias == name) {
                Some((_, right)) => params.set((*right).to_owned(), text),
                None => params.set(name, text),
            }
        }
        params
    }
}

/// What stands between the items of a list.
fn separator(name: &str) -> &'static str {
    if LINE_LISTS.contains(&name) { "\n" } else { "," }
}

/// Text from bytes.
fn utf8(bytes: Vec<u8>) -> Result<String, DecodeError> {
    String::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8)
}
