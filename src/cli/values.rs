//! Readers of values on the command line; each error says what was expected.

use std::net::IpAddr;

use globset::Glob;
use ipnet::IpNet;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::domain::money::{Money, Percent};
use crate::domain::time::Timestamp;

/// The longest name of a client or key, in characters.
const MAX_NAME: usize = 64;
/// The longest reference or note, in characters.
const MAX_LINE: usize = 200;
/// No percentage that anybody means is above it.
const MAX_PERCENT: i64 = 1_000_000_000;

/// A term of a client as the command line gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Term<T> {
    /// It shall be this.
    Set(T),
    /// It shall be gone: the word `none`.
    Gone,
}

impl<T> Term<T> {
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Gone => None,
        }
    }
}

/// What `parse` reads, or the word `none`.
pub(super) fn term<T: 'static>(
    parse: fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<Term<T>, String> + Clone + Send + Sync {
    move |text| if text == "none" { Ok(Term::Gone) } else { parse(text).map(Term::Set) }
}

/// The name of a client or the label of a key.
pub(super) fn name(text: &str) -> Result<String, String> {
    short_line(text, MAX_NAME)
}

/// A reference or a note.
pub(super) fn line(text: &str) -> Result<String, String> {
    short_line(text, MAX_LINE)
}

fn short_line(text: &str, most: usize) -> Result<String, String> {
    if (1..=most).contains(&text.chars().count()) && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(format!("expected 1 to {most} characters on one line, without control characters"))
}

/// An amount above zero.
pub(super) fn amount(text: &str) -> Result<Money, String> {
    match text.parse::<Money>() {
        Ok(amount) if amount.is_positive() => Ok(amount),
        Ok(_) => Err("expected an amount above 0".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// How far below zero a balance may go; 0 for not at all.
pub(super) fn credit(text: &str) -> Result<Money, String> {
    match text.parse::<Money>() {
        Ok(amount) if amount >= Money::ZERO => Ok(amount),
        Ok(_) => Err("expected an amount of at least 0".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A markup; below zero is a discount.
pub(super) fn percent(text: &str) -> Result<Percent, String> {
    let percent: Percent = text.parse().map_err(|error| format!("{error}"))?;
    if (Decimal::from(-100)..=Decimal::from(MAX_PERCENT)).contains(&percent.value()) {
        return Ok(percent);
    }
    Err(format!("expected a percentage from -100 to {MAX_PERCENT}"))
}

/// Requests per second.
pub(super) fn rps(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "expected a whole number above 0".to_owned())
}

/// A range of addresses, or one address.
pub(super) fn address_range(text: &str) -> Result<String, String> {
    if text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("expected a network or an address, such as 192.0.2.0/24 or 192.0.2.7".to_owned())
}

/// A pattern over service IDs.
pub(super) fn service_glob(text: &str) -> Result<String, String> {
    let expected = "expected a pattern over service IDs, such as 12 or 10*";
    match Glob::new(text) {
        _ if text.is_empty() => Err(expected.to_owned()),
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{expected}: {}", error.kind())),
    }
}

/// A point in time: RFC 3339, or a day for its first moment in UTC.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let moment = text.parse::<jiff::Timestamp>().ok();
    let day = || text.parse::<Date>().ok().filter(|_| text.len() == "2026-01-31".len());
    let moment = moment.or_else(|| Some(day()?.to_zoned(TimeZone::UTC).ok()?.timestamp()));
    moment
        .map(|moment| Timestamp::from_millis(moment.as_millisecond()))
        .ok_or_else(|| "expected a time such as 2026-01-31T18:00:00Z, or a day such as 2026-01-31".to_owned())
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
    fn the_word_none_takes_a_term_away() {
        assert_eq!(term(rps)("none"), Ok(Term::Gone));
        assert_eq!(term(rps)("7"), Ok(Term::Set(7)));
        for text in ["0", "-1", "None", "1.5", "4294967296"] {
            assert!(term(rps)(text).is_err(), "{text:?}");
        }
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

    #[test]
    fn times_are_rfc_3339_or_days() {
        assert_eq!(time("1970-01-02"), Ok(Timestamp::from_millis(86_400_000)));
        assert_eq!(time("1970-01-01T00:00:01.5Z"), Ok(Timestamp::from_millis(1500)));
        assert_eq!(time("1970-01-01T01:00:00+01:00"), Ok(Timestamp::from_millis(0)));
        for text in ["", "yesterday", "1970-01-01T00:00:00", "1970-13-01", "01.02.1970"] {
            assert!(time(text).is_err(), "{text:?}");
        }
    }
}
