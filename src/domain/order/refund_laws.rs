//! Laws of refunds: what was not delivered is given back, to the last unit that money has, and never more.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::refund::{CanceledTarget, canceled_target, partial_target, remains_of_refund};
use super::tests::{NOW, new_order, report, route, rules};
use super::*;

fn order(charge: i64, units: u64) -> Order {
    let mut order = new_order();
    order.charge = Money::from_units(charge);
    order.params.units = units;
    order.params.quantity = Some(units);
    order
}

/// An order that an upstream has.
fn placed(order: Order) -> Order {
    let sent = order.step(Event::SendStarted(route("alpha")), NOW).unwrap().order;
    let outcome = crate::domain::outcome::Outcome::Accepted(UpstreamOrderId::new("7"));
    sent.step(Event::Answered { attempt: AttemptNumber(1), outcome }, NOW).unwrap().order
}

fn reported(order: &Order, word: &str, remains: u64) -> Order {
    order.step(Event::Reported(report(word, Some(remains), None), rules()), NOW).unwrap().order
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn more_remains_are_more_money_and_never_more_than_all(
        charge in 0..10_000_000_000_000_i64, units in 1..10_000_000_u64, a in 0..20_000_000_u64, b in 0..20_000_000_u64,
    ) {
        let order = order(charge, units);
        let target = |remains| partial_target(&order, &report("Partial", Some(remains), None)).unwrap_or_default();
        let (less, more) = (target(a.min(b)), target(a.max(b)));
        prop_assert!(Money::ZERO <= less && less <= more && more <= order.charge);
        prop_assert_eq!(target(units), order.charge, "nothing was delivered");
        prop_assert_eq!(target(0), Money::ZERO, "all was");
    }

    #[test]
    fn a_partial_shows_the_remains_that_it_was_refunded_for(units in 2..1_000_000_u64, each in 1..1_000_000_i64, odd in 0..1000_i64, part in 0..1_000_000_u64) {
        // Whatever a unit costs, as long as money can tell it from nothing.
        let order = placed(order(each * i64::try_from(units).unwrap() + odd, units));
        let remains = 1 + part % (units - 1);
        let ended = reported(&order, "Partial", remains);
        prop_assert_eq!(ended.net_charge().checked_add(ended.refunded), Some(ended.charge));
        prop_assert_eq!((ended.status, ended.shown_remains()), (Status::Partial, remains));
        prop_assert_eq!(remains_of_refund(&ended), remains);
    }

    #[test]
    fn later_reports_only_add_to_a_refund(units in 1..100_000_u64, charge in 1..1_000_000_000_i64, reports in proptest::collection::vec((0..3_usize, 0..200_000_u64), 1..12)) {
        let mut order = placed(order(charge, units));
        let mut most = Money::ZERO;
        for (word, remains) in reports {
            let word = ["Completed", "Partial", "Canceled"][word];
            let owed = match word {
                "Canceled" => order.charge,
                "Partial" => partial_target(&order, &report(word, Some(remains), None)).unwrap_or_default(),
                _ => Money::ZERO,
            };
            most = most.max(owed);
            let before = order.refunded;
            order = reported(&order, word, remains);
            prop_assert!(before <= order.refunded && order.refunded <= order.charge);
            prop_assert_eq!(order.refunded, most, "the most that was ever owed, whatever came after");
        }
    }

    #[test]
    fn a_package_is_refunded_by_what_its_upstream_kept(charge in 0..10_000_000_000_i64, first in 1..1_000_000_i64, a in 0..2_000_000_i64, b in 0..2_000_000_i64) {
        let mut order = order(charge, 1);
        order.kind = ServiceType::Package;
        order.progress.first_charge = Some(Decimal::new(first, 5));
        let target = |kept: i64| {
            let kept = Decimal::new(kept, 5).to_string();
            partial_target(&order, &report("Partial", None, Some(&kept))).unwrap_or_default()
        };
        let (less, more) = (target(a.max(b)), target(a.min(b)));
        prop_assert!(Money::ZERO <= less && less <= more && more <= order.charge);
        prop_assert_eq!((target(0), target(first)), (order.charge, Money::ZERO));
    }

    #[test]
    fn a_canceled_order_owes_all_or_a_part(charge in 0..10_000_000_000_i64, units in 1..1_000_000_u64, remains: u64) {
        let order = order(charge, units);
        match canceled_target(&order, &report("Canceled", Some(remains), None)) {
            CanceledTarget::All => {}
            CanceledTarget::Part(_) | CanceledTarget::Unclear => prop_assert!(false, "only a drip-feed has parts"),
        }
    }
}
