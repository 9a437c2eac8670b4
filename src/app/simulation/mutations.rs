//! Deliberate mistakes, made at the seams: what the core writes, asks and hears is changed in the way that a core with
//! that mistake would do it. Each must be caught by some seed; the list stays, and grows with the core.

use crate::domain::ids::ProviderId;
use crate::domain::money::Money;
use crate::domain::order::{AttemptChange, Order, State, Step};
use crate::domain::status::Status;
use crate::domain::time::Timestamp;

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutation {
    /// An attempt without an answer goes back to the queue.
    ResendAfterTimeout,
    /// What was being sent when the process died goes back to the queue.
    ResendAfterRestart,
    /// A request that timed out counts as never sent.
    TimeoutIsNotSent,
    /// A 5xx counts as a maintenance.
    LostAnswerIsMaintenance,
    /// An empty answer counts as a refusal.
    EmptyAnswerIsRefusal,
    /// An error text that nobody knows leads to the next route.
    UnknownTextIsRefusal,
    /// A duplicate link after an earlier attempt there counts as a refusal.
    DuplicateAfterAttemptIsRefusal,
    /// The attempt is sent without having been written.
    SkipJournal,
    /// A step is written whatever happened to its order meanwhile.
    IgnoreVersion,
    /// An order that may exist is refunded.
    RefundUncertain,
    /// An order that may exist is refunded when its client cancels it.
    RefundUncertainOnCancel,
    /// A cancel refunds a placed order at once.
    RefundPlacedOnCancel,
    /// A refund is paid twice.
    RefundTwice,
    /// A refund is rounded up.
    RefundRoundedUp,
    /// A part that was not delivered gives everything back.
    PartialRefundsAll,
    /// An upstream that does not know an order any more is taken for a cancel.
    UnknownOrderIsCanceled,
    /// A word that nobody knows is taken for a cancel.
    FailIsCanceled,
    /// An order that nobody took ends without its refund.
    RefusalKeepsTheMoney,
    /// An order is not charged.
    ChargeNotDeducted,
    /// An ID is answered before the order is stored.
    AnswerBeforeDurable,
    /// The order behind a commit whose answer was lost is not looked for.
    LostCommitIsForgotten,
    /// A repeated request is a new order.
    RequestIdIgnored,
    /// An upstream's ID is bound although another order holds it.
    BindTwice,
    /// An ID that comes late is not written.
    DropLateAnswer,
    /// An ID that comes in time is taken for nothing.
    AcceptedIsUncertain,
    /// Queued orders are not taken up.
    ForgetQueued,
    /// Placed orders are not followed.
    ForgetPlaced,
    /// A client's wish to cancel is not remembered.
    DropCancelWish,
    /// Whoever asks is shown any order.
    ShowOthersOrders,
    /// The minimum margin is not looked at.
    IgnoreMargin,
    /// The rate limit is not kept.
    IgnoreRateLimit,
    /// The limit of calls at once is not kept.
    IgnoreInFlight,
    /// A drained provider gets orders.
    SendToDrained,
    /// "Too many requests" is no reason to wait.
    IgnoreRetryAfter,
    /// An order is bound at a provider that did not name it.
    BindElsewhere,
    /// A panel that changes its mind gets its refund back.
    TakeRefundBack,
    /// The key is logged.
    LogTheKey,
}

impl Mutation {
    pub(super) const ALL: &[Self] = &[
        Self::ResendAfterTimeout,
        Self::ResendAfterRestart,
        Self::TimeoutIsNotSent,
        Self::LostAnswerIsMaintenance,
        Self::EmptyAnswerIsRefusal,
        Self::UnknownTextIsRefusal,
        Self::DuplicateAfterAttemptIsRefusal,
        Self::SkipJournal,
        Self::IgnoreVersion,
        Self::RefundUncertain,
        Self::RefundUncertainOnCancel,
        Self::RefundPlacedOnCancel,
        Self::RefundTwice,
        Self::RefundRoundedUp,
        Self::PartialRefundsAll,
        Self::UnknownOrderIsCanceled,
        Self::FailIsCanceled,
        Self::RefusalKeepsTheMoney,
        Self::ChargeNotDeducted,
        Self::AnswerBeforeDurable,
        Self::LostCommitIsForgotten,
        Self::RequestIdIgnored,
        Self::BindTwice,
        Self::DropLateAnswer,
        Self::AcceptedIsUncertain,
        Self::ForgetQueued,
        Self::ForgetPlaced,
        Self::DropCancelWish,
        Self::ShowOthersOrders,
        Self::IgnoreMargin,
        Self::IgnoreRateLimit,
        Self::IgnoreInFlight,
        Self::SendToDrained,
        Self::IgnoreRetryAfter,
        Self::BindElsewhere,
        Self::TakeRefundBack,
        Self::LogTheKey,
    ];
}

/// The step as a core with the mistake would make it; nothing where it would write none.
pub(super) fn mutated(mutation: Option<Mutation>, before: &Order, mut step: Step, now: Timestamp) -> Option<Step> {
    let Some(mutation) = mutation else { return Some(step) };
    let says = |text: &str| step.notes.iter().any(|note| note.text.contains(text));
    let uncertain = matches!(before.state, State::Sending { .. }) && says("is uncertain");
    let stopped = says("the gateway stopped");
    let canceled = says("its client asked");
    let requeue = match mutation {
        Mutation::ResendAfterTimeout => uncertain && !stopped,
        Mutation::ResendAfterRestart => uncertain && stopped,
        _ => false,
    };
    let refund = match mutation {
        Mutation::RefundUncertain => uncertain,
        Mutation::DuplicateAfterAttemptIsRefusal => uncertain && says("after an earlier attempt"),
        Mutation::RefundUncertainOnCancel => canceled && matches!(before.state, State::Uncertain { .. }),
        _ => false,
    };
    let end = match mutation {
        Mutation::RefundPlacedOnCancel => canceled && matches!(before.state, State::Placed(_)),
        Mutation::PartialRefundsAll => step.refund.is_some() && step.order.binding().is_some(),
        Mutation::UnknownOrderIsCanceled => step.order.progress.silence.is_some(),
        Mutation::FailIsCanceled => step.order.progress.word.as_deref() == Some("Fail"),
        _ => false,
    };
    let late = matches!(before.state, State::Uncertain { .. }) && matches!(step.order.state, State::Placed(_));
    let named = matches!(before.state, State::Sending { .. }) && matches!(step.order.state, State::Placed(_));
    match mutation {
        Mutation::SkipJournal if matches!(step.attempt, Some(AttemptChange::Started { .. })) => return None,
        Mutation::DropLateAnswer if late => return None,
        Mutation::DropCancelWish if canceled => step.order.cancel = before.cancel,
        Mutation::AcceptedIsUncertain if named => {
            let State::Sending { route } = before.state.clone() else { return Some(step) };
            step.order.state = State::Uncertain { route };
            step.order.due_at = None;
        }
        Mutation::BindElsewhere if named => {
            let State::Placed(binding) = &mut step.order.state else { return Some(step) };
            binding.route.provider = ProviderId::new("beta");
        }
        Mutation::RefundRoundedUp if step.refund.is_some() && step.order.refunded < step.order.charge => {
            let unit = Money::from_units(1);
            step.refund = step.refund.and_then(|refund| refund.checked_add(unit));
            step.order.refunded = step.order.refunded.checked_add(unit).unwrap();
        }
        Mutation::RefusalKeepsTheMoney if step.refund.is_some() && step.order.binding().is_none() => {
            step.refund = None;
            step.order.refunded = before.refunded;
        }
        _ if requeue => {
            step.order.state = State::Queued;
            step.order.due_at = Some(now);
        }
        _ if refund || end => give_all_back(before, &mut step, end, now),
        _ => {}
    }
    Some(step)
}

fn give_all_back(before: &Order, step: &mut Step, placed: bool, at: Timestamp) {
    let order = &mut step.order;
    order.refunded = order.charge;
    step.refund = order.charge.checked_sub(before.refunded).filter(|refund| refund.is_positive());
    order.status = Status::Canceled;
    let binding = before.binding().cloned().filter(|_| placed);
    if !matches!(before.state, State::Closed { .. }) {
        order.state = State::Closed { binding, at };
        order.due_at = None;
    }
}
