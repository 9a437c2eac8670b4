//! Readers of values on the command line; each error says what was expected. Those of a client's terms are
//! [`crate::app::accounts::values`].

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

pub(super) use crate::app::accounts::values::{address_range, amount, credit, line, name, percent, rps, service_glob};
use crate::domain::time::Timestamp;

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

/// A point in time: RFC 3339, or a day for its first moment in UTC.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let moment = text.parse::<jiff::Timestamp>().ok();
    let day = || text.parse::<Date>().ok().filter(|_| text.len() == "2026-01-31".len());
    let moment = moment.or_else(|| Some(day()?.to_zoned(TimeZone::UTC).ok()?.timestamp()));
    moment
        .map(|moment| Timestamp::from_millis(moment.as_millisecond()))
        .ok_or_else(|| "expected a time such as 2026-01-31T18:00:00Z, or a day such as 2026-01-31".to_owned())
}

/// An age such as `7d` or `12h`.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "expected a time such as 7d, 12h or 30m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_none_takes_a_term_away() {
        assert_eq!(term(rps)("none"), Ok(Term::Gone));
        assert_eq!(term(rps)("7"), Ok(Term::Set(7)));
        for text in ["0", "-1", "None", "1.5", "4294967296"] {
            assert!(term(rps)(text).is_err(), "{text:?}");
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
