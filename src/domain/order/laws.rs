//! Laws that hold over every sequence of events.

use std::time::Duration;

use proptest::prelude::*;

use super::tests::{NOW, new_order, report, route, rules};
use super::*;
use crate::domain::outcome::{Outcome, OutcomeName, RejectKind, Rejection};

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (0..3_u8).prop_map(|n| Outcome::Accepted(UpstreamOrderId::new(n.to_string()))),
        proptest::sample::select(RejectKind::ALL.to_vec()).prop_map(|kind| Outcome::Rejected(Rejection {
            kind,
            text: "no".into(),
            quotable: false
        })),
        Just(Outcome::NotSent("refused".into())),
        Just(Outcome::Ambiguous("timeout".into())),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let words = ["Pending", "In progress", "Completed", "Partial", "Canceled", "Fail", "Quux"];
    prop_oneof![
        4 => proptest::sample::select(vec!["alpha", "beta"]).prop_map(|name| Event::SendStarted(route(name))),
        6 => (0..4_u32, outcome())
            .prop_map(|(attempt, outcome)| Event::Answered { attempt: AttemptNumber(attempt), outcome }),
        1 => (0..4_u32, any::<bool>()).prop_map(|(attempt, deduplicated)| Event::IdTaken {
            attempt: AttemptNumber(attempt),
            id: UpstreamOrderId::new("9"),
            deduplicated,
        }),
        1 => any::<bool>().prop_map(|may_pass| Event::NoRoute { may_pass, reason: "none".into() }),
        1 => Just(Event::HoldExpired),
        1 => Just(Event::ServiceRemoved),
        1 => Just(Event::SenderLost),
        2 => proptest::option::of(Just("Incorrect order ID".to_owned()))
            .prop_map(|words| Event::Unreported(words, rules())),
        1 => Just(Event::CancelRequested),
        1 => Just(Event::CancelForwarded),
        1 => Just(Event::CancelRefused("no".into())),
        1 => prop_oneof![
            Just(Resolution::NotPlaced),
            Just(Resolution::Refund),
            Just(Resolution::Placed(UpstreamOrderId::new("5"))),
        ]
        .prop_map(Event::Resolved),
        1 => prop_oneof![
            Just(Event::Found { id: UpstreamOrderId::new("6"), by: Found::Listing }),
            Just(Event::Hinted(Hint { about: "balance", seen: "it moved".into() })),
        ],
        6 => (
            proptest::sample::select(words.to_vec()),
            proptest::option::of(0..2000_u64),
            proptest::option::of(proptest::sample::select(vec!["0", "0.5", "0.9"])),
            any::<bool>(),
        )
            .prop_map(|(word, remains, charge, partial_is_final)| {
                let rules = ReportRules { partial_is_final, ..rules() };
                Event::Reported(report(word, remains, charge), rules)
            }),
    ]
}

/// Whether the attempts so far allow one more send: none, or the last one ended in a definite no or was
/// declared not placed by the operator.
#[derive(Default)]
struct SendFence {
    open: bool,
}

impl SendFence {
    fn see(&mut self, before: &Order, event: &Event, step: &Step) {
        let definite = match &step.attempt {
            Some(AttemptChange::Started { .. }) => {
                assert!(!self.open, "sent again while an earlier attempt could still have been placed");
                self.open = true;
                return;
            }
            Some(AttemptChange::Finished { number, outcome, .. }) => {
                *number == before.attempts && matches!(outcome, OutcomeName::Rejected | OutcomeName::NotSent)
            }
            None => *event == Event::Resolved(Resolution::NotPlaced),
        };
        if definite {
            self.open = false;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold_over_every_history(events in proptest::collection::vec((event(), 0..40_000_u64), 1..40)) {
        let mut order = new_order();
        let mut now = NOW;
        let mut given_back = Money::ZERO;
        let mut fence = SendFence::default();
        for (event, seconds) in events {
            now = now.plus(Duration::from_secs(seconds));
            let Ok(step) = order.step(event.clone(), now) else { continue };
            fence.see(&order, &event, &step);
            given_back = given_back.checked_add(step.refund.unwrap_or_default()).unwrap();
            let next = &step.order;

            prop_assert_eq!(next.version, order.version + 1);
            prop_assert_eq!(next.refunded, given_back);
            prop_assert!(next.refunded >= order.refunded && next.refunded <= next.charge);
            prop_assert!(step.refund.is_none_or(Money::is_positive));
            let was_closed = matches!(order.state, State::Closed { .. });
            if event == Event::CancelForwarded {
                prop_assert!(matches!(next.state, State::Placed(_)) && step.refund.is_none(), "only a report refunds it");
            }
            if matches!(event, Event::Hinted(_)) {
                prop_assert_eq!(&next.state, &order.state);
                prop_assert!(step.refund.is_none() && step.attempt.is_none(), "a hint moves nothing");
            }
            if matches!(event, Event::Found { .. }) {
                prop_assert!(matches!(order.state, State::Uncertain { .. }), "only what is uncertain is found");
                prop_assert!(matches!(next.state, State::Placed(_)) && step.refund.is_none());
            }
            if was_closed {
                prop_assert!(matches!(next.state, State::Closed { .. }), "an end is never undone");
                prop_assert_eq!(next.binding(), order.binding());
            }
            if matches!(order.state, State::Uncertain { .. }) && step.refund.is_some() {
                let definite = matches!(&step.attempt, Some(AttemptChange::Finished { outcome: OutcomeName::Rejected | OutcomeName::NotSent, .. }));
                prop_assert!(definite || matches!(event, Event::Resolved(_)), "refunded on a guess");
            }
            match next.status {
                Status::Canceled => prop_assert_eq!((next.net_charge(), next.shown_remains()), (Money::ZERO, next.params.units)),
                Status::Partial => prop_assert!(next.shown_remains() > 0 && next.refunded.is_positive()),
                _ => prop_assert_eq!(next.refunded, Money::ZERO),
            }
            let waiting = matches!(next.state, State::Queued | State::Placed(_));
            prop_assert!(!waiting || next.due_at.is_some(), "nobody would look at it again");
            order = step.order;
        }
    }
}
