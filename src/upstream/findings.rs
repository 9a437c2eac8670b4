//! What a finished call shows of the upstream, beside what was asked.

use std::time::Duration;

use super::answers::{AnswerError, DEFAULT_PAUSE};
use super::standing::Finding;
use super::wire::{Reply, TransportError};
use crate::domain::outcome::{Outcome, RejectKind};

/// How long a reply asks us to wait, where it does.
fn asked_pause(result: &Result<Reply, TransportError>) -> Option<Duration> {
    let reply = result.as_ref().ok()?;
    match reply.status {
        429 => Some(reply.retry_after.unwrap_or(DEFAULT_PAUSE)),
        status if status >= 400 => reply.retry_after,
        _ => None,
    }
}

/// Whether the upstream's server failed, whatever it says.
fn server_failed(result: &Result<Reply, TransportError>) -> bool {
    result.as_ref().map_or(true, |reply| reply.status >= 500)
}

/// What an `add` showed of the upstream.
pub(super) fn add_finding(result: &Result<Reply, TransportError>, outcome: &Outcome, account_blocked: bool) -> Finding {
    let (text, kind) = match outcome {
        Outcome::Accepted(_) => return Finding::Answered,
        Outcome::Rejected(rejection) => (rejection.text.clone(), Some(rejection.kind)),
        Outcome::NotSent(text) | Outcome::Ambiguous(text) => (text.clone(), None),
    };
    let understood = kind.is_some_and(|kind| kind != RejectKind::Maintenance);
    if account_blocked || kind == Some(RejectKind::Key) {
        Finding::KeyRejected(text)
    } else if let Some(pause) = asked_pause(result) {
        Finding::TooMany(pause, text)
    } else if kind == Some(RejectKind::RateLimit) {
        Finding::TooMany(DEFAULT_PAUSE, text)
    } else if server_failed(result) && !understood {
        Finding::Failed(text)
    } else {
        Finding::Reached
    }
}

/// What a reading call showed of the upstream.
pub(super) fn read_finding(result: &Result<Reply, TransportError>, error: Option<&AnswerError>) -> Finding {
    let text = error.map(ToString::to_string).unwrap_or_default();
    match error {
        None => return Finding::Answered,
        Some(AnswerError::KeyRejected(text)) => return Finding::KeyRejected(text.clone()),
        Some(AnswerError::RateLimited(wait)) => return Finding::TooMany(*wait, text),
        _ => {}
    }
    if let Some(pause) = asked_pause(result) {
        return Finding::TooMany(pause, text);
    }
    let understood = matches!(error, Some(AnswerError::UnknownOrder(_) | AnswerError::Refused(_)));
    if server_failed(result) && !understood { Finding::Failed(text) } else { Finding::Reached }
}
