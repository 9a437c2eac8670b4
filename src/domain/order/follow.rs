//! What an upstream's reports do to a placed order, and to a closed one that is still watched.

use std::time::Duration;

use super::refund::{self, CanceledTarget};
use super::{Illegal, Order, Progress, ReportRules, Silence, State, Step, next_poll};
use crate::domain::money::Money;
use crate::domain::status::{Reported, Status, StatusReport};
use crate::domain::time::Timestamp;

/// How long a report that may be passing must stand unchanged before it is taken for the end.
const SETTLED_AFTER: Duration = Duration::from_secs(86_400);

/// Stands for a status word where a late report can't be about this order.
const ANOTHER_ORDERS: &str = "another order's";

/// Whether a report's word differs from the one before: what was told of once is not told of again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    Word,
    None,
}

pub(super) fn reported(
    step: &mut Step,
    report: &StatusReport,
    rules: ReportRules,
    now: Timestamp,
) -> Result<(), Illegal> {
    if step.order.binding().is_none() {
        return Err(step.order.illegal("Reported"));
    }
    let closed = matches!(step.order.state, State::Closed { .. });
    if closed && costs_more_than_remembered(&step.order, report) {
        if step.order.progress.word.as_deref() != Some(ANOTHER_ORDERS) {
            step.order.progress.word = Some(ANOTHER_ORDERS.to_owned());
            step.alert(
                "a late report with a higher upstream charge was ignored: that ID may be another order's by now",
            );
        }
    } else {
        let news = remember(step, report, rules, now);
        judge(step, report, rules, news, now);
    }
    step.order.progress.polled_at = Some(now);
    step.order.due_at = next_poll(&step.order, rules.watch_closed, now);
    Ok(())
}

/// No news is no end: an unknown ID may be another account's, a maintenance, or a panel that forgets. The operator
/// is told when an upstream first says that it does not know an order, or is silent about it for a day.
pub(super) fn unreported(
    step: &mut Step,
    words: Option<&str>,
    rules: ReportRules,
    now: Timestamp,
) -> Result<(), Illegal> {
    if step.order.binding().is_none() {
        return Err(step.order.illegal("Unreported"));
    }
    let mut silence = step.order.progress.silence.unwrap_or(Silence { since: now, told: false });
    let worth_telling = words.is_some() || now.since(silence.since) >= SETTLED_AFTER;
    if worth_telling && !silence.told && matches!(step.order.state, State::Placed(_)) {
        let words = words.unwrap_or("no news for a day");
        step.alert(format!("its upstream gives no status: {words}; it stays as it was, ask there"));
        silence.told = true;
    }
    step.order.progress.silence = Some(silence);
    step.order.progress.polled_at = Some(now);
    step.order.due_at = next_poll(&step.order, rules.watch_closed, now);
    Ok(())
}

fn costs_more_than_remembered(order: &Order, report: &StatusReport) -> bool {
    matches!((report.charge, order.progress.upstream_charge), (Some(now), Some(then)) if now > then)
}

/// Takes over what the upstream said, and when that last differed.
fn remember(step: &mut Step, report: &StatusReport, rules: ReportRules, now: Timestamp) -> News {
    let before = step.order.progress.clone();
    let progress = &mut step.order.progress;
    progress.silence = None;
    progress.word = Some(report.status.word().to_owned());
    progress.start_count = report.start_count.or(before.start_count);
    progress.remains = report.remains.or(before.remains);
    progress.upstream_charge = report.charge.or(before.upstream_charge);
    progress.first_charge = before.first_charge.or(report.charge);
    let changed = *progress != Progress { silence: None, ..before.clone() };
    if changed || before.changed_at.is_none() {
        progress.changed_at = Some(now);
    }
    if let Some(charge) = report.charge {
        let cost = charge.checked_mul(rules.exchange_rate).and_then(|cost| Money::rounded_down(cost).ok());
        step.order.cost = cost.or(step.order.cost);
    }
    if before.word == step.order.progress.word { News::None } else { News::Word }
}

fn judge(step: &mut Step, report: &StatusReport, rules: ReportRules, news: News, now: Timestamp) {
    match &report.status {
        Reported::Known(Status::Completed) => end(step, Status::Completed, Money::ZERO, news, now),
        Reported::Known(Status::Partial) => partial(step, report, rules, news, now),
        Reported::Known(Status::Canceled) => canceled(step, report, news, now),
        Reported::Known(status) => go_on(step, *status, news),
        Reported::Failed(word) => {
            keep(step, news, &format!("the upstream reports {word:?}: ask there; no money moves on it"))
        }
        Reported::Unknown(word) => {
            keep(step, news, &format!("the upstream reports a status that is not known: {word:?}"))
        }
    }
}

/// The state stays as it is, and the operator is told.
fn keep(step: &mut Step, news: News, what: &str) {
    if news == News::Word {
        step.alert(what);
    }
}

fn go_on(step: &mut Step, status: Status, news: News) {
    if matches!(step.order.state, State::Closed { .. }) {
        contrary(step, status, news);
        return;
    }
    set_status(step, status);
}

fn contrary(step: &mut Step, status: Status, news: News) {
    let shown = step.order.status;
    keep(step, news, &format!("the upstream turned from {shown} back to {status}: noted, not shown"));
}

fn set_status(step: &mut Step, status: Status) {
    if step.order.status != status {
        step.note(format!("status: {status}"));
        step.order.status = status;
    }
}

fn partial(step: &mut Step, report: &StatusReport, rules: ReportRules, news: News, now: Timestamp) {
    match refund::partial_target(&step.order, report) {
        Some(target) if rules.partial_is_final || is_settled(step, now) => {
            end(step, Status::Partial, target, news, now)
        }
        Some(_) => {
            keep(step, news, "the upstream reports Partial, which may be a pause there: waiting a day for a change")
        }
        None => {
            hold(step, news, "the upstream reports Partial without figures for a refund: waiting a day for them", now)
        }
    }
}

fn canceled(step: &mut Step, report: &StatusReport, news: News, now: Timestamp) {
    match refund::canceled_target(&step.order, report) {
        CanceledTarget::All => end(step, Status::Canceled, step.order.charge, news, now),
        CanceledTarget::Part(target) => end(step, Status::Partial, target, news, now),
        CanceledTarget::Unclear => {
            hold(step, news, "the upstream reports Canceled with all runs done: waiting a day for a change", now);
        }
    }
}

/// Waits a day for figures that tell what is owed, then closes the order with nothing owed.
fn hold(step: &mut Step, news: News, what: &str, now: Timestamp) {
    if !is_settled(step, now) {
        keep(step, news, what);
        return;
    }
    if matches!(step.order.state, State::Placed(_)) {
        step.alert("closed as Completed: for a day its upstream gave no figures for a refund");
    }
    end(step, Status::Completed, Money::ZERO, news, now);
}

fn is_settled(step: &Step, now: Timestamp) -> bool {
    step.order.progress.changed_at.is_some_and(|changed| now.since(changed) >= SETTLED_AFTER)
}

/// Closes the order, or moves a closed one further: from Completed to Partial to Canceled, never back.
fn end(step: &mut Step, status: Status, target: Money, news: News, now: Timestamp) {
    step.refund_up_to(target);
    let order = &step.order;
    let all_back = order.charge.is_positive() && order.refunded == order.charge;
    let status = if all_back { Status::Canceled } else { status };
    if let State::Placed(binding) = order.state.clone() {
        step.order.state = State::Closed { binding: Some(binding), at: now };
        set_status(step, status);
    } else if rank(status) > rank(order.status) {
        step.alert(format!("the upstream turned from {} to {status} after the end", order.status));
        set_status(step, status);
    } else if rank(status) < rank(order.status) {
        contrary(step, status, news);
    }
}

const fn rank(status: Status) -> u8 {
    match status {
        Status::Pending | Status::InProgress | Status::Processing => 0,
        Status::Completed => 1,
        Status::Partial => 2,
        Status::Canceled => 3,
    }
}
