//! One case for each arrow of the life of an order.

use std::time::Duration;

use rust_decimal::Decimal;

use super::*;
use crate::domain::ids::{ProviderId, UpstreamServiceId};
use crate::domain::outcome::{Outcome, RejectKind, Rejection};
use crate::domain::params::DripFeed;
use crate::domain::status::{Reported, StatusReport};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_000_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);

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

fn reported(word: &str, remains: Option<u64>) -> Event {
    Event::Reported(report(word, remains, Some("0.9")), rules())
}

fn placed() -> Order {
    after([sent("alpha"), answer(1, accepted("77"))])
}

fn assert_closed(order: &Order, status: Status, refunded: &str) {
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
fn reports_end_an_order_with_the_refund_it_owes() {
    for (word, remains, status, refunded, shown) in [
        ("Completed", Some(0), Status::Completed, "0", 0),
        ("Partial", Some(250), Status::Partial, "0.3", 250),
        ("Partial", Some(1), Status::Partial, "0.0012", 1),
        ("Partial", Some(5000), Status::Canceled, "1.2", 1000),
        ("Cancelled", Some(0), Status::Canceled, "1.2", 1000),
        ("Refunded", None, Status::Canceled, "1.2", 1000),
    ] {
        let order = placed().step(reported(word, remains), NOW).unwrap().order;
        assert_closed(&order, status, refunded);
        assert_eq!(order.shown_remains(), shown, "{word}");
        assert_eq!(order.cost.unwrap().to_string(), "0.972");
    }
}

#[test]
fn a_report_that_ends_nothing_keeps_it_open() {
    for (word, remains, status, alerted) in [
        ("In progress", Some(400), Status::InProgress, false),
        ("Processing", Some(1000), Status::Processing, false),
        ("Fail", None, Status::Pending, true),
        ("Quux", None, Status::Pending, true),
        ("Partial", Some(0), Status::Pending, true),
        ("Partial", None, Status::Pending, true),
    ] {
        let step = placed().step(reported(word, remains), NOW).unwrap();
        assert!(matches!(step.order.state, State::Placed(_)), "{word}");
        assert_eq!(step.order.status, status, "{word}");
        assert_eq!(step.notes.iter().any(|note| note.alert), alerted, "{word}");
        let again = step.order.step(reported(word, remains), NOW.plus(Duration::from_secs(60))).unwrap();
        assert_eq!(again.notes, [], "said once: {word}");
    }
}

#[test]
fn a_partial_without_figures_is_completed_after_a_day() {
    let waiting = placed().step(reported("Partial", Some(0)), NOW).unwrap().order;
    let ended = waiting.step(reported("Partial", Some(0)), NOW.plus(DAY)).unwrap().order;
    assert_closed(&ended, Status::Completed, "0");
}

#[test]
fn a_partial_that_may_be_a_pause_refunds_after_a_day_without_change() {
    let pausing = ReportRules { partial_is_final: false, ..rules() };
    let event = |remains| Event::Reported(report("Partial", Some(remains), None), pausing);
    let waiting = placed().step(event(500), NOW).unwrap().order;
    assert_eq!(waiting.refunded, Money::ZERO);
    let moved = waiting.step(event(400), NOW.plus(DAY)).unwrap().order;
    assert_eq!(moved.refunded, Money::ZERO, "it moved within the day");
    assert_closed(&moved.step(event(400), NOW.plus(DAY * 2)).unwrap().order, Status::Partial, "0.48");
}

#[test]
fn after_the_end_only_the_refund_grows() {
    let completed = placed().step(reported("Completed", Some(0)), NOW).unwrap().order;
    let partial = completed.step(reported("Partial", Some(500)), NOW).unwrap();
    assert_eq!(partial.refund.unwrap().to_string(), "0.6");
    assert!(partial.notes.iter().any(|note| note.alert));
    let partial = partial.order;
    assert_closed(&partial, Status::Partial, "0.6");
    for word in ["Completed", "In progress"] {
        let step = partial.step(reported(word, Some(0)), NOW).unwrap();
        assert_eq!(step.refund, None);
        assert_closed(&step.order, Status::Partial, "0.6");
    }
    let less = partial.step(reported("Partial", Some(100)), NOW).unwrap();
    assert_eq!(less.refund, None);
    let canceled = partial.step(reported("Canceled", Some(0)), NOW).unwrap();
    assert_eq!(canceled.refund.unwrap().to_string(), "0.6");
    let twice = canceled.order.step(reported("Canceled", Some(0)), NOW).unwrap();
    assert_eq!(twice.refund, None);
    assert_closed(&twice.order, Status::Canceled, "1.2");
}

#[test]
fn a_late_report_with_a_higher_charge_is_another_orders() {
    let completed = placed().step(reported("Completed", Some(0)), NOW).unwrap().order;
    let foreign = Event::Reported(report("Canceled", Some(0), Some("3.5")), rules());
    let step = completed.step(foreign, NOW).unwrap();
    assert_eq!(step.refund, None);
    assert_closed(&step.order, Status::Completed, "0");
    let again = Event::Reported(report("Canceled", Some(0), Some("3.5")), rules());
    assert_eq!(step.order.step(again, NOW).unwrap().notes, [], "said once");
}

#[test]
fn figures_that_move_under_the_same_word_are_told_of_once() {
    let first = placed().step(reported("Quux", Some(500)), NOW).unwrap();
    assert_eq!(first.notes.len(), 1);
    assert_eq!(first.order.step(reported("Quux", Some(400)), NOW).unwrap().notes, []);
}

#[test]
fn a_closed_order_is_watched_for_a_while() {
    let closed = placed().step(reported("Completed", Some(0)), NOW).unwrap().order;
    assert_eq!(closed.due_at, Some(NOW.plus(Duration::from_secs(3600))));
    let much_later = NOW.plus(DAY * 30);
    assert_eq!(closed.step(reported("Completed", Some(0)), much_later).unwrap().order.due_at, None);
}

#[test]
fn packages_refund_by_the_upstreams_charge() {
    let mut order = placed();
    order.kind = ServiceType::Package;
    order.params.units = 1;
    order.params.quantity = None;
    let charged = |word, charge| Event::Reported(report(word, None, charge), rules());
    let started = order.step(charged("In progress", Some("0.8")), NOW).unwrap().order;
    let partial = started.step(charged("Partial", Some("0.2")), NOW).unwrap().order;
    assert_closed(&partial, Status::Partial, "0.9");
    assert_eq!(partial.shown_remains(), 1);
    let silent = order.step(charged("Partial", None), NOW).unwrap();
    assert_eq!((silent.refund, silent.order.binding().is_some()), (None, true));
}

#[test]
fn a_drip_feed_canceled_half_way_is_a_partial() {
    let mut order = placed();
    order.params.quantity = Some(100);
    order.params.drip_feed = Some(DripFeed { runs: 10, interval: 30 });
    let canceled = |runs, remains| Event::Reported(StatusReport { runs, ..report("Canceled", remains, None) }, rules());
    assert_closed(&order.step(canceled(Some(4), None), NOW).unwrap().order, Status::Partial, "0.72");
    assert_closed(&order.step(canceled(None, Some(300)), NOW).unwrap().order, Status::Partial, "0.36");
    assert_closed(&order.step(canceled(Some(0), None), NOW).unwrap().order, Status::Canceled, "1.2");
    assert_closed(&order.step(canceled(Some(10), Some(300)), NOW).unwrap().order, Status::Partial, "0.36");
    let unclear = order.step(canceled(Some(10), None), NOW).unwrap();
    assert_eq!((unclear.refund, unclear.notes[0].alert), (None, true));
    assert!(matches!(unclear.order.state, State::Placed(_)));
}

#[test]
fn no_news_is_no_end_but_is_told_of() {
    let ask = |order: &Order, words: Option<&str>, now| {
        order.step(Event::Unreported(words.map(str::to_owned), rules()), now).unwrap()
    };
    let alerts = |step: &Step| step.notes.iter().filter(|note| note.alert).count();
    let silent = ask(&placed(), None, NOW);
    assert_eq!(alerts(&silent), 0);
    assert_eq!(silent.order.due_at, Some(NOW.plus(Duration::from_secs(60))));
    assert_eq!(silent.order.progress.polled_at, Some(NOW));
    let later = ask(&silent.order, None, NOW.plus(DAY));
    assert_eq!(alerts(&later), 1);
    assert_eq!(alerts(&ask(&later.order, None, NOW.plus(DAY * 2))), 0, "said once");
    let spoken = later.order.step(reported("In progress", Some(5)), NOW.plus(DAY)).unwrap().order;
    assert_eq!(spoken.progress.silence, None);
    let unknown = ask(&placed(), Some("Incorrect order ID"), NOW);
    assert_eq!(alerts(&unknown), 1);
    assert_eq!(alerts(&ask(&unknown.order, Some("Incorrect order ID"), NOW)), 0, "said once");
    assert_eq!((unknown.refund, unknown.order.status), (None, Status::Pending));
    let closed = placed().step(reported("Completed", Some(0)), NOW).unwrap().order;
    assert_eq!(ask(&closed, Some("Incorrect order ID"), NOW.plus(DAY * 30)).order.due_at, None, "the watch ends");
}

#[test]
fn silence_in_between_neither_repeats_an_alert_nor_restarts_a_wait() {
    let silent = |order: &Order, now| order.step(Event::Unreported(None, rules()), now).unwrap().order;
    let failed = placed().step(reported("Fail", None), NOW).unwrap();
    assert_eq!(failed.notes.len(), 1);
    assert_eq!(silent(&failed.order, NOW).step(reported("Fail", None), NOW).unwrap().notes, [], "said once");
    let waiting = placed().step(reported("Partial", Some(0)), NOW).unwrap().order;
    let waiting = silent(&waiting, NOW.plus(DAY / 2));
    let ended = waiting.step(reported("Partial", Some(0)), NOW.plus(DAY)).unwrap().order;
    assert_closed(&ended, Status::Completed, "0");
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

#[test]
fn polls_get_rarer_with_age() {
    let order = placed();
    for (age_minutes, pause_minutes) in [(0, 1), (59, 1), (60, 5), (23 * 60, 5), (24 * 60, 30), (9999, 30)] {
        let now = NOW.plus(Duration::from_secs(age_minutes * 60));
        assert_eq!(next_poll(&order, DAY, now), Some(now.plus(Duration::from_secs(pause_minutes * 60))));
    }
    assert_eq!(next_poll(&new_order(), DAY, NOW), None);
}
