//! Deliberate mistakes, made at the seams: what the core writes, asks and hears is changed in the way that a core with
//! that mistake would do it. Each must be caught by some seed; the list stays, and grows with the core.

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
