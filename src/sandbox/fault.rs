//! What can go wrong with a call.

use std::time::Duration;

use super::action::Action;
use super::faults::FaultsError;

/// One way to misbehave. "Accepts" means: the order exists, is charged, and is in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `close-before`: the connection is reset; nothing was accepted.
    CloseBefore,
    /// `close-after`: accepts, then resets the connection without an answer.
    CloseAfter,
    /// `hang-before`: never answers; nothing was accepted.
    HangBefore,
    /// `hang-after` (or `hang`): accepts, and never answers.
    HangAfter,
    /// `bad-gateway`: accepts, and answers 502 with a page of HTML.
    BadGateway,
    /// `server-error`: accepts, and answers 500.
    ServerError,
    /// `empty`: accepts, and answers 200 with no body.
    Empty,
    /// `garbage`: accepts, and answers 200 with a page of HTML.
    Garbage,
    /// `php-warning`: the right JSON after a warning of PHP.
    PhpWarning,
    /// `bom`: the right JSON after a byte order mark.
    Bom,
    /// `half-body`: accepts, announces the whole answer, sends half of it and closes.
    HalfBody,
    /// `rate-limited`: 429 with `Retry-After: 2`; nothing was accepted.
    RateLimited,
    /// `slow(MILLISECONDS)`: the right answer, late.
    Slow(Duration),
    /// `string-ids`: the order's ID as a string.
    StringIds,
    /// `alphanumeric-ids`: the order's ID with letters in it.
    AlphanumericIds,
    /// `error(TEXT)`: `{"error": TEXT}` with 200; nothing was accepted.
    Error(String),
    /// `error-after(TEXT)`: accepts, and yet answers `{"error": TEXT}`.
    ErrorAfter(String),
    /// `error-status(CODE,TEXT)`: `{"error": TEXT}` with another HTTP status; nothing was accepted.
    ErrorStatus(u16, String),
    /// `unavailable`: 503; nothing was accepted.
    Unavailable,
    /// `challenge`: 403 with a page that wants a browser; nothing was accepted.
    Challenge,
    /// `redirect` or `redirect(CODE)`: a redirect, 301 unless told; nothing was accepted.
    Redirect(u16),
    /// `status-list`: many statuses as a list that does not say whose they are.
    StatusList,
    /// `no-batch`: no many statuses at all, one error instead.
    NoBatch,
    /// `missing-ids`: every other order, from the first, is left out of many statuses.
    MissingIds,
    /// `flip`: a status goes back: Completed shows as Partial, Canceled as In progress, and so on.
    Flip,
    /// `duplicate-id`: accepts, and answers the ID of the order before.
    DuplicateId,
    /// `services-empty`: no services.
    ServicesEmpty,
    /// `services-short`: the first half of the services.
    ServicesShort,
    /// `wrong-currency`: the balance in another currency.
    WrongCurrency,
}

/// The faults that take no argument, by name.
static PLAIN: &[(&str, Fault)] = &[
    ("close-before", Fault::CloseBefore),
    ("close-after", Fault::CloseAfter),
    ("hang", Fault::HangAfter),
    ("hang-before", Fault::HangBefore),
    ("hang-after", Fault::HangAfter),
    ("bad-gateway", Fault::BadGateway),
    ("server-error", Fault::ServerError),
    ("empty", Fault::Empty),
    ("garbage", Fault::Garbage),
    ("php-warning", Fault::PhpWarning),
    ("bom", Fault::Bom),
    ("half-body", Fault::HalfBody),
    ("rate-limited", Fault::RateLimited),
    ("string-ids", Fault::StringIds),
    ("alphanumeric-ids", Fault::AlphanumericIds),
    ("unavailable", Fault::Unavailable),
    ("challenge", Fault::Challenge),
    ("status-list", Fault::StatusList),
    ("no-batch", Fault::NoBatch),
    ("missing-ids", Fault::MissingIds),
    ("flip", Fault::Flip),
    ("duplicate-id", Fault::DuplicateId),
    ("services-empty", Fault::ServicesEmpty),
    ("services-short", Fault::ServicesShort),
    ("wrong-currency", Fault::WrongCurrency),
];

/// The faults that take an argument, and which.
static WITH_ARGUMENT: &[(&str, &str)] = &[
    ("slow", "(MILLISECONDS)"),
    ("error", "(TEXT)"),
    ("error-after", "(TEXT)"),
    ("error-status", "(CODE,TEXT), with a code from 200 to 599"),
    ("redirect", "or (CODE), with a code from 300 to 399"),
];

impl Fault {
    /// The one action that this fault makes sense for, if there is only one.
    pub(super) const fn only_for(&self) -> Option<Action> {
        match self {
            Self::StringIds | Self::AlphanumericIds | Self::DuplicateId => Some(Action::Add),
            Self::StatusList | Self::NoBatch | Self::MissingIds | Self::Flip => Some(Action::Status),
            Self::ServicesEmpty | Self::ServicesShort => Some(Action::Services),
            Self::WrongCurrency => Some(Action::Balance),
            _ => None,
        }
    }

    /// Reads a fault by its name in a SPEC, with what stands in parentheses after it.
    pub(super) fn read(name: &str, argument: Option<&str>) -> Result<Self, FaultsError> {
        if let Some((_, fault)) = PLAIN.iter().find(|(known, _)| *known == name) {
            return argument.map_or_else(
                || Ok(fault.clone()),
                |_| Err(FaultsError::Argument { fault: name.to_owned(), expected: "no argument" }),
            );
        }
        let Some((_, expected)) = WITH_ARGUMENT.iter().find(|(known, _)| *known == name) else {
            return Err(FaultsError::Unknown { name: name.to_owned() });
        };
        Self::read_argument(name, argument).ok_or_else(|| FaultsError::Argument { fault: name.to_owned(), expected })
    }

    fn read_argument(name: &str, argument: Option<&str>) -> Option<Self> {
        let code_in = |text: &str, from, to| text.trim().parse().ok().filter(|code| (from..=to).contains(code));
        match (name, argument) {
            ("slow", Some(text)) => Some(Self::Slow(Duration::from_millis(text.trim().parse().ok()?))),
            ("error", Some(text)) => Some(Self::Error(text.to_owned())),
            ("error-after", Some(text)) => Some(Self::ErrorAfter(text.to_owned())),
            ("error-status", Some(text)) => {
                let (code, text) = text.split_once(',')?;
                Some(Self::ErrorStatus(code_in(code, 200, 599)?, text.trim().to_owned()))
            }
            ("redirect", None) => Some(Self::Redirect(301)),
            ("redirect", Some(text)) => Some(Self::Redirect(code_in(text, 300, 399)?)),
            _ => None,
        }
    }
}

/// The names of all faults, for a message.
pub(super) fn known_names() -> String {
    let plain = PLAIN.iter().map(|(name, _)| *name);
    plain.chain(WITH_ARGUMENT.iter().map(|(name, _)| *name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_documented() {
        let page = include_str!("../../docs/sandbox.md");
        for name in PLAIN.iter().map(|(name, _)| name).chain(WITH_ARGUMENT.iter().map(|(name, _)| name)) {
            assert!(page.contains(&format!("`{name}")), "docs/sandbox.md says nothing of {name}");
        }
    }
}
