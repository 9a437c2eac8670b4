//! A JSON body, read name by name: what is not known, and what is not as it must be, is refused by its name.

use serde_json::{Map, Value};

use super::AccountError;

/// The members of a body that nobody has asked for yet.
pub(super) struct Input(Map<String, Value>);

impl Input {
    /// Reads a body; an empty one is an object with nothing in it.
    pub(super) fn read(body: &[u8]) -> Result<Self, AccountError> {
        if body.trim_ascii().is_empty() {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(AccountError::Invalid("the body is no JSON object".to_owned())),
            Err(error) => Err(AccountError::Invalid(format!("the body is no JSON: {error}"))),
        }
    }

    /// A text, through `parse`. Absent and `null` are the same.
    pub(super) fn text<T>(
        &mut self,
        name: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, AccountError> {
        Ok(self.term(name, parse)?.flatten())
    }

    /// A text that must be there.
    pub(super) fn required<T>(&mut self, name: &str, parse: fn(&str) -> Result<T, String>) -> Result<T, AccountError> {
        self.text(name, parse)?.ok_or_else(|| AccountError::Invalid(format!("{name}: it is missing")))
    }

    /// A text that may be taken away: `Some(None)` for `null`.
    pub(super) fn term<T>(
        &mut self,
        name: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Result<Option<Option<T>>, AccountError> {
        self.member(name, |value| match value {
            Value::String(text) => parse(&text),
            Value::Number(number) => Err(format!("found the number {number}: write it in quotes")),
            other => Err(format!("expected text in quotes, found {other}")),
        })
    }

    /// A whole number that may be taken away.
    pub(super) fn number<T>(
        &mut self,
        name: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Result<Option<Option<T>>, AccountError> {
        self.member(name, |value| match value {
            Value::Number(number) => parse(&number.to_string()),
            other => Err(format!("expected a whole number, found {other}")),
        })
    }

    /// A list of texts; `null` is an empty one.
    pub(super) fn list(
        &mut self,
        name: &str,
        parse: fn(&str) -> Result<String, String>,
    ) -> Result<Option<Vec<String>>, AccountError> {
        let read = |value| match value {
            Value::String(text) => parse(&text),
            other => Err(format!("expected text in quotes, found {other}")),
        };
        let found = self.member(name, |value| match value {
            Value::Array(values) => values.into_iter().map(read).collect(),
            other => Err(format!("expected a list, found {other}")),
        })?;
        Ok(found.map(Option::unwrap_or_default))
    }

    /// `true` or `false`; absent is `false`.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, AccountError> {
        let found = self.member(name, |value| match value {
            Value::Bool(flag) => Ok(flag),
            other => Err(format!("expected true or false, found {other}")),
        })?;
        Ok(found.flatten().unwrap_or(false))
    }

    /// Refuses what nobody has asked for.
    pub(super) fn end(self) -> Result<(), AccountError> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(AccountError::Invalid(format!("{name:?} is not known here"))),
        }
    }

    fn member<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Result<Option<Option<T>>, AccountError> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => read(value)
                .map(|value| Some(Some(value)))
                .map_err(|why| AccountError::Invalid(format!("{name}: {why}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::values;
    use super::*;

    fn amount(body: &str) -> Result<Option<String>, String> {
        let read = || {
            let mut input = Input::read(body.as_bytes())?;
            let amount = input.text("amount", values::amount)?;
            input.end()?;
            Ok(amount.map(|amount| amount.to_string()))
        };
        read().map_err(|error: AccountError| error.to_string())
    }

    #[test]
    fn money_is_text_and_never_a_number() {
        assert_eq!(amount(r#"{"amount": "12.50"}"#), Ok(Some("12.5".into())));
        for body in [r#"{"amount": 12.5}"#, r#"{"amount": 12}"#, r#"{"amount": 1e2}"#] {
            assert!(amount(body).unwrap_err().contains("write it in quotes"), "{body}");
        }
        for body in [r#"{"amount": "-1"}"#, r#"{"amount": "1e2"}"#, r#"{"amount": true}"#, r#"{"amount": ["1"]}"#] {
            assert!(amount(body).unwrap_err().starts_with("amount: "), "{body}");
        }
    }

    #[test]
    fn absent_and_null_are_told_apart_where_it_matters() {
        let mut input = Input::read(br#"{"markup": null, "rps": 3}"#).unwrap();
        assert_eq!(input.term("markup", values::percent).unwrap(), Some(None));
        assert_eq!(input.term("daily_limit", values::amount).unwrap(), None);
        assert_eq!(input.number("rps", values::rps).unwrap(), Some(Some(3)));
        assert!(input.end().is_ok());
        assert_eq!(amount("{}"), Ok(None));
        assert_eq!(amount(" "), Ok(None));
    }

    #[test]
    fn what_is_no_object_or_not_known_is_refused() {
        for body in
            ["[]", "1", "{", "\u{feff}", r#"{"amount": "1"} x"#, r#"{"Amount": "1"}"#, r#"{"amount": "1", "x": 1}"#]
        {
            assert!(amount(body).is_err(), "{body}");
        }
        assert!(amount(r#"{"amuont": "1"}"#).unwrap_err().contains("amuont"));
    }
}
