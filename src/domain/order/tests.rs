//! One case for each arrow of the life of an order, up to its placement.

use std::time::Duration;

use rust_decimal::Decimal;

use super::*;
use crate::domain::ids::{ProviderId, UpstreamServiceId};
use crate::domain::outcome::{Outcome, OutcomeName, RejectKind, Rejection};
use crate::domain::status::{Reported, StatusReport};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_000_000_000_000);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn route(provider: &str) -> Route {
    Route { provider: ProviderId::new(provider), service: UpstreamServiceId::new("101") }
}

fn upstream_id(text: &str) -> UpstreamOrderId {
    UpstreamOrderId::new(text)
}

pub(super) fn new_order() -> Order {
    let params = OrderParams {
        link: "https://x.test/1".into(),
        quantity: Some(1000),
        drip_feed: None,
        fields: vec![],
        units: 1000,
    };
    let new = NewOrder {
        token: OrderToken([7; 16]),
        client: ClientId(1),
        service: ServiceId::new(1).unwrap(),
        kind: ServiceType::Default,
        params,
        charge: "1.20".parse().unwrap(),
    };
    new.into_order(OrderId::new(23_501).unwrap(), NOW, NOW)
}

pub(super) fn rules() -> ReportRules {
    ReportRules { partial_is_final: true, exchange_rate: "1.08".parse().unwrap(), watch_closed: DAY * 30 }
}

pub(super) fn report(word: &str, remains: Option<u64>, charge: Option<&str>) -> StatusReport {
    StatusReport {
        status: Reported::read(word),
        charge: charge.map(|text| text.parse::<Decimal>().unwrap()),
        start_count: Some(5),
        remains,
        runs: None,
        currency: None,
    }
}

/// Takes the steps one after the other; each must be legal.
fn after(events: impl IntoIterator<Item = Event>) -> Order {
    events.into_iter().fold(new_order(), |order, event| order.step(event, NOW).unwrap().order)
}

fn sent(provider: &str) -> Event {
    Event::SendStarted(route(provider))
}

fn answer(attempt: u32, outcome: Outcome) -> Event {
    Event::Answered { attempt: AttemptNumber(attempt), outcome }
}

fn accepted(id: &str) -> Outcome {
    Outcome::Accepted(upstream_id(id))
}

fn rejected(kind: RejectKind, text: &str) -> Outcome {
    Outcome::Rejected(Rejection { kind, text: text.into(), quotable: text == "Bad link" })
}

fn ambiguous() -> Outcome {
    Outcome::Ambiguous("timeout".into())
}

pub(super) fn reported(word: &str, remains: Option<u64>) -> Event {
    Event::Reported(report(word, remains, Some("0.9")), rules())
}

pub(super) fn placed() -> Order {
    after([sent("alpha"), answer(1, accepted("77"))])
}

pub(super) fn assert_closed(order: &Order, status: Status, refunded: &str) {
    assert!(matches!(order.state, State::Closed { .. }), "{:?}", order.state);
    assert_eq!(order.status, status);
    assert_eq!(order.refunded.to_string(), refunded);
}

#[test]
fn an_accepted_attempt_is_placed_and_polled() {
    let order = placed();
    assert_eq!(order.binding().map(|b| b.id.as_str()), Some("77"));
    assert_eq!(order.due_at, Some(NOW.plus(FIRST_POLL_AFTER)));
    assert_eq!(order.version, 3);
}

#[test]
fn the_clients_own_mistake_closes_and_refunds_with_its_text() {
    let order = after([sent("alpha"), answer(1, rejected(RejectKind::Input, "Bad link"))]);
    assert_closed(&order, Status::Canceled, "1.2");
    assert_eq!(order.refusal.as_deref(), Some("Bad link"));
    let order = after([sent("alpha"), answer(1, rejected(RejectKind::Input, "see https://alpha.test/faq"))]);
    assert!(!order.refusal.unwrap().contains("alpha"));
}

#[test]
fn other_rejections_go_to_the_next_route() {
    for outcome in [
        rejected(RejectKind::Balance, "no funds"),
        rejected(RejectKind::Service, "gone"),
        Outcome::NotSent("refused".into()),
    ] {
        let order = after([sent("alpha"), answer(1, outcome)]);
        assert_eq!(order.state, State::Queued);
        assert_eq!(order.due_at, Some(NOW.plus(CLAIM)), "its task goes on with it");
        let free = |name| Candidate { route: route(name), obstacle: None };
        assert_eq!(choose(&order, &[free("alpha"), free("beta")]), Choice::Send(route("beta")));
    }
}

#[test]
fn with_no_route_left_it_waits_or_is_refused() {
    let free = [Candidate { route: route("alpha"), obstacle: None }];
    let passing = after([sent("alpha"), answer(1, rejected(RejectKind::Balance, "no funds"))]);
    let Choice::NoRoute { may_pass, reason } = choose(&passing, &free) else { panic!("a tried route was chosen") };
    assert!(may_pass);
    let held = passing.step(Event::NoRoute { may_pass, reason }, NOW).unwrap().order;
    assert_eq!(held.due_at, Some(NOW.plus(Duration::from_secs(1))));
    assert_eq!(choose(&held, &free), Choice::Send(route("alpha")), "the next round tries it again");

    let gone = after([sent("alpha"), answer(1, rejected(RejectKind::Service, "gone"))]);
    let Choice::NoRoute { may_pass, reason } = choose(&gone, &free) else { panic!("a tried route was chosen") };
    assert!(!may_pass);
    let closed = gone.step(Event::NoRoute { may_pass, reason }, NOW).unwrap().order;
    assert_closed(&closed, Status::Canceled, "1.2");
    assert!(closed.refusal.is_some());
}

#[test]
fn why_an_order_is_held_is_said_as_it_was() {
    let uncertain = || [sent("alpha"), answer(1, ambiguous()), Event::Resolved(Resolution::NotPlaced)];
    let of_before = |mut order: Order| {
        order.tried[0].end = None;
        order
    };
    for (order, said) in [
        (after([sent("alpha"), answer(1, rejected(RejectKind::Balance, "no funds"))]), "alpha:101: refused it"),
        (after([sent("alpha"), answer(1, Outcome::NotSent("x".into()))]), "alpha:101: it could not be sent"),
        (after(uncertain()), "alpha:101: did not get it"),
        (of_before(after([sent("alpha"), answer(1, Outcome::NotSent("x".into()))])), "alpha:101: did not take it"),
    ] {
        let order = Order { round: order.tried[0].round, ..order };
        let free = [Candidate { route: route("alpha"), obstacle: None }];
        assert_eq!(choose(&order, &free), Choice::NoRoute { may_pass: true, reason: said.into() });
    }
}

#[test]
fn the_pause_between_rounds_grows_to_a_minute() {
    let mut order = new_order();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        order = order.step(Event::NoRoute { may_pass: true, reason: "maintenance".into() }, NOW).unwrap().order;
        pauses.push(order.due_at.unwrap().since(NOW).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn an_unknown_outcome_is_uncertain_and_stays_so() {
    let order = after([sent("alpha"), answer(1, ambiguous())]);
    assert_eq!(order.state, State::Uncertain { route: route("alpha") });
    assert_eq!((order.due_at, order.status, order.refunded), (None, Status::Pending, Money::ZERO));
    for event in [sent("alpha"), Event::HoldExpired, Event::NoRoute { may_pass: false, reason: String::new() }] {
        assert!(order.step(event, NOW).is_err());
    }
}

#[test]
fn a_lost_sender_makes_it_uncertain() {
    let step = after([sent("alpha")]).step(Event::SenderLost, NOW).unwrap();
    assert!(matches!(step.order.state, State::Uncertain { .. }));
    assert!(step.notes.iter().any(|note| note.alert));
    assert!(new_order().step(Event::SenderLost, NOW).is_err());
}

#[test]
fn a_duplicate_link_is_a_refusal_first_and_a_warning_after_any_attempt_there() {
    let duplicate = || rejected(RejectKind::DuplicateLink, "You have active order with this link");
    let first = after([sent("alpha"), answer(1, duplicate())]);
    assert_closed(&first, Status::Canceled, "1.2");
    let elsewhere =
        after([sent("alpha"), answer(1, rejected(RejectKind::Balance, "")), sent("beta"), answer(2, duplicate())]);
    assert_closed(&elsewhere, Status::Canceled, "1.2");
    let again = after([sent("alpha"), answer(1, Outcome::NotSent("x".into())), sent("alpha"), answer(2, duplicate())]);
    assert!(matches!(again.state, State::Uncertain { .. }));
}

/// The attempt that was refused was not placed, whatever the order was: which earlier one was, nobody knows.
#[test]
fn an_attempt_that_was_refused_as_a_duplicate_never_gets_the_id() {
    let duplicate = || rejected(RejectKind::DuplicateLink, "You have active order with this link");
    let uncertain =
        || [sent("alpha"), answer(1, Outcome::NotSent("x".into())), sent("alpha"), answer(2, duplicate())].into_iter();
    let named = || Event::Resolved(Resolution::Placed(upstream_id("77")));
    let found = Event::Found { id: upstream_id("77"), by: Found::Listing };
    for event in [named(), found] {
        let step = after(uncertain()).step(event, NOW).unwrap();
        assert_eq!(step.order.binding().map(|binding| binding.id.as_str()), Some("77"));
        assert_eq!(step.attempt, None, "each attempt stays as it was answered");
        assert!(step.notes.iter().any(|note| note.text.contains("an attempt before the last")), "{:?}", step.notes);
    }
    let sent_again = uncertain().chain([Event::Resolved(Resolution::NotPlaced), sent("alpha")]);
    let lost = after(sent_again.chain([answer(3, ambiguous())]));
    let step = lost.step(named(), NOW).unwrap();
    let accepted = OutcomeName::Accepted;
    let expected = AttemptChange::Finished { number: AttemptNumber(3), outcome: accepted, detail: "77".into() };
    assert_eq!(step.attempt, Some(expected), "that one may have been placed");
}

#[test]
fn an_id_of_another_order_is_never_bound() {
    let taken = |deduplicated| Event::IdTaken { attempt: AttemptNumber(1), id: upstream_id("77"), deduplicated };
    assert!(matches!(after([sent("alpha"), taken(false)]).state, State::Uncertain { .. }));
    assert_closed(&after([sent("alpha"), taken(true)]), Status::Canceled, "1.2");
}

#[test]
fn late_answers_bind_what_is_uncertain_or_queued_again() {
    let uncertain = || [sent("alpha"), answer(1, ambiguous())];
    let late = || answer(1, accepted("77"));
    let bound = after(uncertain().into_iter().chain([late()]));
    assert_eq!(bound.binding().map(|b| b.id.as_str()), Some("77"));

    let requeued = after(uncertain().into_iter().chain([Event::Resolved(Resolution::NotPlaced)]));
    assert_eq!(requeued.state, State::Queued);
    let free = [Candidate { route: route("alpha"), obstacle: None }];
    assert_eq!(choose(&requeued, &free), Choice::Send(route("alpha")));
    let bound = requeued.step(late(), NOW).unwrap().order;
    assert_eq!(bound.binding().map(|b| &b.route), Some(&route("alpha")));

    let refunded = after(uncertain().into_iter().chain([Event::Resolved(Resolution::Refund)]));
    assert_closed(&refunded, Status::Canceled, "1.2");
    let step = refunded.step(late(), NOW).unwrap();
    assert_eq!(step.order.binding(), None);
    assert!(step.notes.iter().any(|note| note.alert && note.text.contains("77")));
    assert!(step.attempt.is_some(), "the answer is written all the same");
}

#[test]
fn only_an_uncertain_order_is_resolved() {
    for resolution in [Resolution::Placed(upstream_id("77")), Resolution::NotPlaced, Resolution::Refund] {
        for order in [new_order(), after([sent("alpha")]), placed()] {
            assert!(order.step(Event::Resolved(resolution.clone()), NOW).is_err());
        }
    }
}

#[test]
fn a_cancel_closes_what_was_not_sent_and_is_remembered_else() {
    assert_closed(&after([Event::CancelRequested]), Status::Canceled, "1.2");
    let wished = after([sent("alpha"), Event::CancelRequested]);
    assert_eq!(wished.cancel, CancelWish::Wished);
    let refused = wished.step(answer(1, rejected(RejectKind::Balance, "")), NOW).unwrap().order;
    assert_closed(&refused, Status::Canceled, "1.2");
    let accepted = wished.step(answer(1, accepted("77")), NOW).unwrap().order;
    assert!(accepted.cancel == CancelWish::Wished && accepted.binding().is_some());
    assert!(refused.step(Event::CancelRequested, NOW).is_err());
}

#[test]
fn a_placed_order_s_cancel_is_its_upstream_s_to_take_or_refuse() {
    let later = NOW.plus(DAY);
    let old = placed().step(reported("In progress", None), later).unwrap().order;
    for order in [new_order(), after([sent("alpha")]), placed()] {
        assert!(order.step(Event::CancelForwarded, NOW).is_err(), "nobody wished it");
        assert!(order.step(Event::CancelRefused("no".into()), NOW).is_err());
    }
    let wished = old.step(Event::CancelRequested, later).unwrap().order;
    let taken = wished.step(Event::CancelForwarded, later).unwrap();
    assert_eq!((taken.order.cancel, taken.refund), (CancelWish::Forwarded, None));
    assert_eq!(taken.order.due_at, Some(later.plus(NEWS_AFTER)), "there is news soon");
    let again = taken.order.step(Event::CancelRequested, later).unwrap().order;
    assert_eq!(again.cancel, CancelWish::Forwarded);
    let ended = again.step(reported("Canceled", None), later).unwrap().order;
    assert_closed(&ended, Status::Canceled, "1.2");
    assert!(ended.step(Event::CancelForwarded, later).is_err());
    let refused = wished.step(Event::CancelRefused("too late".into()), later).unwrap().order;
    assert_eq!((refused.cancel, refused.due_at), (CancelWish::None, Some(later.plus(NEWS_AFTER))));
}

#[test]
fn an_order_that_the_operator_sends_back_is_held_anew() {
    let later = NOW.plus(DAY);
    let uncertain = after([sent("alpha"), answer(1, ambiguous())]);
    let requeued = uncertain.step(Event::Resolved(Resolution::NotPlaced), later).unwrap().order;
    assert_eq!((requeued.queued_at, requeued.due_at), (later, Some(later)));
}

#[test]
fn a_route_that_refused_for_good_is_not_tried_again() {
    let gone = after([sent("alpha"), answer(1, rejected(RejectKind::Service, "gone"))]);
    let busy = Obstacle { may_pass: true, reason: "busy".into() };
    let routes =
        [Candidate { route: route("alpha"), obstacle: None }, Candidate { route: route("beta"), obstacle: Some(busy) }];
    let Choice::NoRoute { may_pass: true, reason } = choose(&gone, &routes) else { panic!("a route was chosen") };
    let next_round = gone.step(Event::NoRoute { may_pass: true, reason }, NOW).unwrap().order;
    assert!(matches!(choose(&next_round, &routes), Choice::NoRoute { may_pass: true, .. }));
}
