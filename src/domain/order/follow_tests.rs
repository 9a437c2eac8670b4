//! What becomes of a placed order by its upstream's reports.

use std::time::Duration;

use super::tests::{DAY, NOW, assert_closed, new_order, placed, report, reported, rules};
use super::*;
use crate::domain::params::DripFeed;
use crate::domain::status::StatusReport;

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
fn polls_get_rarer_with_age() {
    let order = placed();
    for (age_minutes, pause_minutes) in [(0, 1), (59, 1), (60, 5), (23 * 60, 5), (24 * 60, 30), (9999, 30)] {
        let now = NOW.plus(Duration::from_secs(age_minutes * 60));
        assert_eq!(next_poll(&order, DAY, now), Some(now.plus(Duration::from_secs(pause_minutes * 60))));
    }
    assert_eq!(next_poll(&new_order(), DAY, NOW), None);
}
