//! Numbers as panels write them: JSON numbers or text, exact, never a float. See `docs/protocol.md`, "Decoding".

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::Value;

use super::decode::scalar_text;
use crate::domain::money::parse_decimal;

/// A decimal from a number or from its text; a JSON number may have an exponent. `None` for anything that is
/// not exactly a decimal.
pub(crate) fn decimal(value: &Value) -> Option<Decimal> {
    let text = scalar_text(value)?;
    parse_decimal(text).ok().or_else(|| value.is_number().then(|| scientific(text)).flatten())
}

/// `1e-3` and `2.5E+2`, exactly.
fn scientific(text: &str) -> Option<Decimal> {
    let (mantissa, exponent) = text.split_once(['e', 'E'])?;
    let mantissa = parse_decimal(mantissa).ok()?.normalize();
    let exponent: i64 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
    if mantissa.is_zero() {
        return Some(mantissa);
    }
    let scale = i64::from(mantissa.scale()).checked_sub(exponent)?;
    if let Ok(scale) = u32::try_from(scale) {
        return Decimal::try_from_i128_with_scale(mantissa.mantissa(), scale).ok();
    }
    let zeros = u32::try_from(scale.checked_neg()?).ok()?;
    let digits = mantissa.mantissa().checked_mul(10_i128.checked_pow(zeros)?)?;
    Decimal::try_from_i128_with_scale(digits, 0).ok()
}

/// A count from a number or from text: `+5` is 5, `100.0` is 100, what is negative is 0. `None` for a fraction
/// and for anything else.
pub(crate) fn count(value: &Value) -> Option<u64> {
    let number = match value {
        Value::String(text) => {
            let text = text.trim();
            parse_decimal(text.strip_prefix('+').unwrap_or(text)).ok()?
        }
        _ => decimal(value)?,
    };
    if number.is_sign_negative() {
        return Some(0);
    }
    number.is_integer().then(|| number.to_u64()).flatten()
}

/// A flag: a boolean, 0 or 1, or these as text. Anything else is false.
pub(crate) fn flag(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(set)) => *set,
        Some(value) => scalar_text(value).is_some_and(|text| text == "1" || text.eq_ignore_ascii_case("true")),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn decimals_are_exact() {
        for (json, wanted) in [
            ("\"0.90\"", Some("0.90")),
            ("0.9", Some("0.9")),
            ("0.1234567", Some("0.1234567")),
            ("1e-3", Some("0.001")),
            ("2.5E+2", Some("250")),
            ("12e0", Some("12")),
            ("0e999", Some("0")),
            ("-3", Some("-3")),
            ("\" 5 \"", Some("5")),
            ("\"1e-3\"", None),
            ("1e-40", None),
            ("1e40", None),
            ("1e99999999999999999999", None),
            ("\"1,000\"", None),
            ("\"1_000\"", None),
            ("\"\"", None),
            ("null", None),
            ("{\"value\":1}", None),
            ("true", None),
        ] {
            assert_eq!(decimal(&value(json)).map(|d| d.to_string()).as_deref(), wanted, "{json}");
        }
    }

    #[test]
    fn counts_are_lenient() {
        for (json, wanted) in [
            ("\"3572\"", Some(3572)),
            ("3572", Some(3572)),
            ("\"+7\"", Some(7)),
            ("\"100.0\"", Some(100)),
            ("100.0", Some(100)),
            ("1e3", Some(1000)),
            ("-5", Some(0)),
            ("\"-5\"", Some(0)),
            ("\"\"", None),
            ("null", None),
            ("1.5", None),
            ("\"n/a\"", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(count(&value(json)), wanted, "{json}");
        }
    }

    #[test]
    fn flags_come_as_booleans_numbers_and_text() {
        for json in ["true", "1", "\"1\"", "\"true\""] {
            assert!(flag(Some(&value(json))), "{json}");
        }
        for json in ["false", "0", "\"0\"", "\"\"", "null", "2", "\"no\"", "[]"] {
            assert!(!flag(Some(&value(json))), "{json}");
        }
        assert!(!flag(None));
    }
}
