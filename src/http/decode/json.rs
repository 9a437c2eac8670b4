//! `application/json`: one object, flat but for lists.

use serde_json::Value;

use super::{DecodeError, Fields, separator};

/// Reads an object as PHP would have sent it in a form: numbers as they are written, `true` as 1, `null` and
/// empty lists not at all. Nothing where the body is empty.
pub(super) fn read(bytes: &[u8], fields: &mut Fields) -> Result<(), DecodeError> {
    let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8)?;
    if text.trim().is_empty() {
        return Ok(());
    }
    // Its depth is limited by serde_json.
    let value = serde_json::from_str(text)
        .map_err(|error| DecodeError::BrokenJson { line: error.line(), column: error.column() })?;
    let Value::Object(members) = value else { return Err(DecodeError::NotAnObject) };
    for (name, value) in members {
        let text = match value {
            Value::Array(items) => {
                let items = items.into_iter().filter_map(|item| scalar(item).transpose());
                let items = items.collect::<Result<Vec<_>, _>>()?;
                if items.is_empty() { None } else { Some(items.join(separator(&name))) }
            }
            value => scalar(value)?,
        };
        if let Some(text) = text {
            fields.add(name, text)?;
        }
    }
    Ok(())
}

fn scalar(value: Value) -> Result<Option<String>, DecodeError> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(true) => Ok(Some("1".to_owned())),
        Value::Bool(false) => Ok(Some("0".to_owned())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::String(text) => Ok(Some(text)),
        Value::Array(_) | Value::Object(_) => Err(DecodeError::Nested),
    }
}
