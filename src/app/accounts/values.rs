//! Readers of what an operator writes about a client; each error says what was expected.

use std::net::IpAddr;

use globset::Glob;
use ipnet::IpNet;
use rust_decimal::Decimal;

use crate::domain::money::{Money, Percent};

/// The longest name of a client or key, in characters.
const MAX_NAME: usize = 64;
/// The longest reference or note, in characters.
const MAX_LINE: usize = 200;
/// No percentage that anybody means is above it.
const MAX_PERCENT: i64 = 1_000_000_000;

/// The name of a client or the label of a key.
///
/// # Errors
/// What was expected.
pub fn name(text: &str) -> Result<String, String> {
    short_line(text, MAX_NAME)
}

/// A reference or a note.
///
/// # Errors
/// What was expected.
pub fn line(text: &str) -> Result<String, String> {
    short_line(text, MAX_LINE)
}

fn short_line(text: &str, most: usize) -> Result<String, String> {
    if (1..=most).contains(&text.chars().count()) && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(format!("expected 1 to {most} characters on one line, without control characters"))
}

/// An amount above zero.
///
/// # Errors
/// What was expected.
pub fn amount(text: &str) -> Result<Money, String> {
    match text.parse::<Money>() {
        Ok(amount) if amount.is_positive() => Ok(amount),
        Ok(_) => Err("expected an amount above 0".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// How far below zero a balance may go; 0 for not at all.
///
/// # Errors
/// What was expected.
pub fn credit(text: &str) -> Result<Money, String> {
    match text.parse::<Money>() {
        Ok(amount) if amount >= Money::ZERO => Ok(amount),
        Ok(_) => Err("expected an amount of at least 0".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A markup; below zero is a discount.
///
/// # Errors
/// What was expected.
pub fn percent(text: &str) -> Result<Percent, String> {
    let percent: Percent = text.parse().map_err(|error| format!("{error}"))?;
    if (Decimal::from(-100)..=Decimal::from(MAX_PERCENT)).contains(&percent.value()) {
        return Ok(percent);
    }
    Err(format!("expected a percentage from -100 to {MAX_PERCENT}"))
}

/// Requests per second.
///
/// # Errors
/// What was expected.
pub fn rps(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "expected a whole number above 0".to_owned())
}

/// A range of addresses, or one address.
///
/// # Errors
/// What was expected.
pub fn address_range(text: &str) -> Result<String, String> {
    if text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("expected a network or an address, such as 192.0.2.0/24 or 192.0.2.7".to_owned())
}

/// A pattern over service IDs.
///
/// # Errors
/// What was expected.
pub fn service_glob(text: &str) -> Result<String, String> {
    let expected = "expected a pattern over service IDs, such as 12 or 10*";
    match Glob::new(text) {
        _ if text.is_empty() => Err(expected.to_owned()),
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{expected}: {}", error.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_plain_and_positive() {
        assert_eq!(amount("12.50").unwrap().to_string(), "12.5");
        for text in ["0", "-1", "1e3", "", "1,5", "0.000000001"] {
            assert!(amount(text).is_err(), "{text:?}");
        }
        assert_eq!(credit("0").unwrap(), Money::ZERO);
        assert!(credit("-0.01").is_err());
    }

    #[test]
    fn percentages_may_be_a_discount_but_not_below_free() {
        assert_eq!(percent("-12.5").unwrap().to_string(), "-12.5");
        assert!(percent("-100.1").is_err());
        assert!(percent("20%").is_err());
    }

    #[test]
    fn names_are_short_and_on_one_line() {
        let longest = "ä".repeat(64);
        assert_eq!(name(&longest), Ok(longest.clone()));
        for text in ["", "a\nb", "a\u{1b}[2J", &format!("{longest}a")] {
            assert!(name(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn ranges_and_globs_are_checked() {
        for text in ["192.0.2.0/24", "192.0.2.7", "2001:db8::/32", "::1"] {
            assert_eq!(address_range(text).as_deref(), Ok(text));
        }
        for text in ["", "192.0.2.0/33", "example.org", "192.0.2"] {
            assert!(address_range(text).is_err(), "{text:?}");
        }
        assert_eq!(service_glob("10*").as_deref(), Ok("10*"));
        for text in ["", "[1", "{1"] {
            assert!(service_glob(text).is_err(), "{text:?}");
        }
    }
}
