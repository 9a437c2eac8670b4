//! From the queue to an upstream: attempts, their outcomes, and what the operator or the client decides.

use std::time::Duration;

use super::{
    AttemptChange, Binding, CancelWish, Event, Illegal, Resolution, State, Step, Tried, TriedEnd, cancel, search,
};
use crate::domain::ids::{AttemptNumber, Route, UpstreamOrderId};
use crate::domain::order::schedule::{CLAIM, FIRST_POLL_AFTER};
use crate::domain::outcome::{Outcome, OutcomeName, RejectKind, Rejection};
use crate::domain::time::Timestamp;

/// What a client reads where no upstream took the order.
const UNAVAILABLE: &str = "This service is temporarily unavailable, the order was not placed";
/// What a client reads where another order is active on its link.
const ACTIVE_ON_LINK: &str = "You have active order with this link. Please wait until order being completed.";
/// What a client reads where an upstream's own words about its input are not fit to be shown.
const REFUSED_INPUT: &str = "The order was refused: check its link and quantity";
/// The longest pause between two rounds over all routes.
const MAX_ROUND_DELAY: Duration = Duration::from_secs(60);

pub(super) fn apply(step: &mut Step, event: Event, now: Timestamp) -> Result<(), Illegal> {
    match event {
        Event::SendStarted(route) => send_started(step, route),
        Event::Answered { attempt, outcome } => answered(step, attempt, outcome, now),
        Event::IdTaken { attempt, id, deduplicated } => id_taken(step, attempt, &id, deduplicated, now),
        Event::NoRoute { may_pass, reason } => no_route(step, may_pass, &reason, now),
        Event::HoldExpired => close_queued(step, "HoldExpired", "no upstream took it in time", now),
        Event::ServiceRemoved => close_queued(step, "ServiceRemoved", "its service was removed", now),
        Event::SenderLost => sender_lost(step),
        Event::CancelRequested => cancel::requested(step, now),
        Event::CancelForwarded => cancel::forwarded(step, now),
        Event::CancelRefused(why) => cancel::refused(step, &why, now),
        Event::Resolved(resolution) => resolved(step, resolution, now),
        Event::Found { id, by } => search::found(step, id, &by, now),
        Event::Hinted(hint) => search::hinted(step, &hint),
        Event::Reported(..) | Event::Unreported(..) => Err(step.order.illegal("a report")),
    }
}

fn send_started(step: &mut Step, route: Route) -> Result<(), Illegal> {
    let order = &mut step.order;
    if order.state != State::Queued {
        return Err(order.illegal("SendStarted"));
    }
    order.attempts = order.attempts.next();
    order.due_at = None;
    order.state = State::Sending { route: route.clone() };
    step.attempt = Some(AttemptChange::Started { number: order.attempts, route });
    Ok(())
}

/// The route of `attempt`, where that attempt still decides about the order.
fn open_route(step: &Step, attempt: AttemptNumber) -> Option<Route> {
    match &step.order.state {
        State::Sending { route } | State::Uncertain { route } if step.order.attempts == attempt => Some(route.clone()),
        _ => None,
    }
}

pub(super) fn finish(step: &mut Step, number: AttemptNumber, outcome: OutcomeName, detail: impl Into<String>) {
    step.attempt = Some(AttemptChange::Finished { number, outcome, detail: detail.into() });
}

fn answered(step: &mut Step, attempt: AttemptNumber, outcome: Outcome, now: Timestamp) -> Result<(), Illegal> {
    if attempt.0 == 0 || attempt > step.order.attempts {
        return Err(step.order.illegal("Answered"));
    }
    let name = outcome.name();
    let Some(route) = open_route(step, attempt) else {
        return answered_late(step, attempt, outcome, now);
    };
    if matches!(step.order.state, State::Uncertain { .. }) && !matches!(outcome, Outcome::Ambiguous(_)) {
        step.note(format!("settled by a late answer to attempt {attempt}"));
    }
    match outcome {
        Outcome::Accepted(id) => {
            finish(step, attempt, name, id.as_str());
            place(step, Binding { route, id }, now);
        }
        Outcome::Rejected(rejection) => {
            finish(step, attempt, name, format!("{}: {}", rejection.kind.as_str(), rejection.text));
            rejected(step, route, rejection, now);
        }
        Outcome::NotSent(why) => {
            finish(step, attempt, name, why.as_str());
            next_route(step, route, (true, TriedEnd::NotSent), now, &format!("not sent: {why}"));
        }
        Outcome::Ambiguous(seen) => {
            finish(step, attempt, name, seen.as_str());
            uncertain(step, route, &seen);
        }
    }
    Ok(())
}

/// An answer to an attempt that no longer decides: always recorded. An ID still binds an order that only the
/// operator's word sent back to the queue, since sending it again would buy it twice.
fn answered_late(step: &mut Step, attempt: AttemptNumber, outcome: Outcome, now: Timestamp) -> Result<(), Illegal> {
    let name = outcome.name();
    let Outcome::Accepted(id) = outcome else {
        step.note(format!("a late answer to attempt {attempt}: {}", name.as_str()));
        finish(step, attempt, name, "late");
        return Ok(());
    };
    finish(step, attempt, name, id.as_str());
    if step.order.binding().is_some_and(|binding| binding.id == id) {
        return Ok(());
    }
    let last_route = step.order.tried.last().map(|tried| tried.route.clone());
    match last_route {
        Some(route) if step.order.state == State::Queued && attempt == step.order.attempts => {
            step.alert(format!("a late answer names upstream order {id}: the order was placed after all"));
            place(step, Binding { route, id }, now);
        }
        _ => step.alert(format!(
            "a late answer to attempt {attempt} names upstream order {id}, but this order is {}: \
             it was bought there without being owed; settle it with that upstream",
            step.order.state.name()
        )),
    }
    Ok(())
}

/// Binds an uncertain order to the ID by which it was found. That is its last attempt's, unless a duplicate link made
/// it uncertain: then an earlier one has it, nobody knows which, and each stays as it was answered.
pub(super) fn found(step: &mut Step, route: Route, id: UpstreamOrderId, now: Timestamp) {
    let last = step.order.tried.last();
    if last.is_some_and(|tried| tried.end == Some(TriedEnd::Duplicate)) {
        step.note("an attempt before the last had placed it");
    } else {
        finish(step, step.order.attempts, OutcomeName::Accepted, id.as_str());
    }
    place(step, Binding { route, id }, now);
}

pub(super) fn place(step: &mut Step, binding: Binding, now: Timestamp) {
    step.note(format!("placed by {} as {}", binding.route, binding.id));
    step.order.state = State::Placed(binding);
    step.order.due_at = Some(now.plus(FIRST_POLL_AFTER));
}

fn uncertain(step: &mut Step, route: Route, seen: &str) {
    step.alert(format!(
        "placement by {route} is uncertain ({seen}): it will not be sent again; settle it with `tollgate orders resolve {}`",
        step.order.id
    ));
    step.order.state = State::Uncertain { route };
    step.order.due_at = None;
}

fn rejected(step: &mut Step, route: Route, rejection: Rejection, now: Timestamp) {
    let told = format!("rejected by {route}: {}", rejection.text);
    match rejection.kind {
        RejectKind::DuplicateLink if step.order.tried_at(&route) => {
            remember_tried(step, route.clone(), true, TriedEnd::Duplicate);
            uncertain(
                step,
                route,
                "a duplicate link after an earlier attempt there: that attempt may have been placed",
            );
        }
        RejectKind::DuplicateLink => refuse(step, ACTIVE_ON_LINK, &told, now),
        RejectKind::Input if rejection.quotable => refuse(step, &rejection.text, &told, now),
        RejectKind::Input => refuse(step, REFUSED_INPUT, &told, now),
        kind => next_route(step, route, (kind.may_pass(), TriedEnd::Refused), now, &told),
    }
}

/// Ends an order that was refused for the client's own input.
fn refuse(step: &mut Step, to_client: &str, why: &str, now: Timestamp) {
    step.order.refusal = Some(to_client.to_owned());
    step.close_refunded(now, why);
}

/// Back to the queue, this route set aside for the present round; or closed where the client wished it. Whoever
/// wrote the outcome goes on with it; should that one die, it is due to anybody a while later.
fn next_route(step: &mut Step, route: Route, (may_pass, end): (bool, TriedEnd), now: Timestamp, why: &str) {
    remember_tried(step, route, may_pass, end);
    if step.order.cancel != CancelWish::None {
        step.close_refunded(now, format!("{why}; canceled by its client"));
        return;
    }
    step.note(why);
    step.order.state = State::Queued;
    step.order.due_at = Some(now.plus(CLAIM));
}

/// The last tried route stands last; each stands once.
fn remember_tried(step: &mut Step, route: Route, may_pass: bool, end: TriedEnd) {
    let order = &mut step.order;
    order.tried.retain(|tried| tried.route != route);
    order.tried.push(Tried { route, round: order.round, may_pass, end: Some(end) });
}

/// See `docs/protocol.md`, "De-duplication": such an ID is an answer about another order.
fn id_taken(
    step: &mut Step,
    attempt: AttemptNumber,
    id: &UpstreamOrderId,
    deduplicated: bool,
    now: Timestamp,
) -> Result<(), Illegal> {
    let Some(route) = open_route(step, attempt) else {
        return Err(step.order.illegal("IdTaken"));
    };
    if deduplicated && !step.order.tried_at(&route) {
        finish(step, attempt, OutcomeName::Rejected, format!("duplicate-link: {id} is another order's"));
        refuse(step, ACTIVE_ON_LINK, &format!("{route} answered with another order's ID {id}: a duplicate there"), now);
    } else {
        finish(step, attempt, OutcomeName::Ambiguous, format!("{id} is another order's"));
        uncertain(step, route, &format!("it answered with {id}, which is another order's"));
    }
    Ok(())
}

fn no_route(step: &mut Step, may_pass: bool, reason: &str, now: Timestamp) -> Result<(), Illegal> {
    if step.order.state != State::Queued {
        return Err(step.order.illegal("NoRoute"));
    }
    if !may_pass {
        refuse(step, UNAVAILABLE, &format!("no route can take it: {reason}"), now);
        return Ok(());
    }
    // One line when the wait begins, not one for every round of it.
    if step.order.round == 0 {
        step.note(format!("held: {reason}"));
    }
    step.order.due_at = Some(now.plus(round_delay(step.order.round)));
    step.order.round = step.order.round.saturating_add(1);
    Ok(())
}

/// 1 s, 2 s, 4 s … up to a minute.
fn round_delay(round: u32) -> Duration {
    let seconds = 1_u64.checked_shl(round.min(16)).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(MAX_ROUND_DELAY)
}

fn close_queued(step: &mut Step, event: &'static str, why: &str, now: Timestamp) -> Result<(), Illegal> {
    if step.order.state != State::Queued {
        return Err(step.order.illegal(event));
    }
    refuse(step, UNAVAILABLE, why, now);
    Ok(())
}

fn sender_lost(step: &mut Step) -> Result<(), Illegal> {
    let State::Sending { route } = step.order.state.clone() else {
        return Err(step.order.illegal("SenderLost"));
    };
    let seen = "the gateway stopped while it was being sent";
    finish(step, step.order.attempts, OutcomeName::Ambiguous, seen);
    uncertain(step, route, seen);
    Ok(())
}

fn resolved(step: &mut Step, resolution: Resolution, now: Timestamp) -> Result<(), Illegal> {
    let State::Uncertain { route } = step.order.state.clone() else {
        return Err(step.order.illegal("Resolved"));
    };
    match resolution {
        Resolution::Placed(id) => {
            step.note("settled by the operator: placed");
            found(step, route, id, now);
        }
        Resolution::NotPlaced => {
            step.note("settled by the operator: not placed");
            next_route(step, route, (true, TriedEnd::NotPlaced), now, "back in the queue");
            if step.order.state == State::Queued {
                step.order.round = step.order.round.saturating_add(1);
                step.order.queued_at = now;
                step.order.due_at = Some(now);
            }
        }
        Resolution::Refund => step.close_refunded(now, "settled by the operator: refunded"),
    }
    Ok(())
}
