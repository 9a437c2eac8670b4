//! Laws of money and prices, over every amount and not only those that somebody thought of.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::money::{AmountError, Money, Percent, Rate, parse_decimal};
use super::pricing::{Markup, cost, keeps_margin, listed_rate, margin};

/// Any number that a decimal can be, with its extremes.
fn any_decimal() -> impl Strategy<Value = Decimal> {
    let any = (any::<i128>(), 0..=28_u32)
        .prop_map(|(number, scale)| Decimal::from_i128_with_scale(number % (1_i128 << 96), scale));
    let special =
        vec![Decimal::MAX, Decimal::MIN, Decimal::ZERO, Decimal::ONE, Decimal::new(1, 28), Decimal::new(-1, 28)];
    prop_oneof![4 => any, 1 => proptest::sample::select(special)]
}

/// An upstream's rate per 1000: up to a million, with up to eight decimals.
fn rate() -> impl Strategy<Value = Decimal> {
    (0..100_000_000_000_000_i64, 0..=8_u32).prop_map(|(number, scale)| Decimal::new(number, 8).round_dp(scale))
}

fn exchange() -> impl Strategy<Value = Decimal> {
    (1..1_000_000_000_i64).prop_map(|number| Decimal::new(number, 6))
}

/// From all given away to tenfold.
fn percent() -> impl Strategy<Value = Percent> {
    (-1_000_000..10_000_000_i64).prop_map(|number| Percent::new(Decimal::new(number, 4)))
}

fn markup() -> impl Strategy<Value = Markup> {
    let fixed = (0..10_000_000_i64).prop_map(|number| Decimal::new(number, 5));
    (proptest::option::of(percent()), proptest::option::of(fixed))
        .prop_map(|(percent, fixed)| Markup { percent, fixed })
}

/// What a rate would be if it were not rounded.
fn unrounded(cost: Rate, markup: Markup) -> Decimal {
    let percent = markup.percent.unwrap_or_default().value();
    cost.value() * (Decimal::ONE_HUNDRED + percent) / Decimal::ONE_HUNDRED + markup.fixed.unwrap_or_default()
}

/// `part` of `whole`, rounded down, by whole numbers only.
fn floor_share(amount: i64, part: u64, whole: u64) -> i64 {
    i64::try_from(i128::from(amount) * i128::from(part) / i128::from(whole)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn money_is_read_as_it_is_written(units: i64) {
        let money = Money::from_units(units);
        let text = money.to_string();
        prop_assert_eq!(text.parse(), Ok(money));
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.')), "{}", text);
        prop_assert!(!text.contains('.') || !text.ends_with(['0', '.']), "{}", text);
        prop_assert_eq!(Money::exact(money.to_decimal()), Ok(money));
    }

    #[test]
    fn an_amount_is_what_its_digits_say(negative: bool, whole in 0..90_000_000_000_i64, fraction in "[0-9]{1,12}") {
        let text = format!("{}{whole}.{fraction}", if negative { "-" } else { "" });
        let (kept, beyond) = fraction.split_at(fraction.len().min(8));
        let expected = if beyond.bytes().all(|digit| digit == b'0') {
            let units = whole * 100_000_000 + format!("{kept:0<8}").parse::<i64>().unwrap();
            Ok(Money::from_units(if negative { -units } else { units }))
        } else {
            Err(AmountError::TooPrecise)
        };
        prop_assert_eq!(text.parse::<Money>(), expected, "{}", text);
    }

    #[test]
    fn any_other_text_is_no_amount(text in "\\PC{0,12}") {
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let parts: Vec<&str> = digits.split('.').collect();
        let plain = parts.len() <= 2 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        prop_assert_eq!(parse_decimal(&text).is_ok(), plain, "{:?}", text);
    }

    #[test]
    fn sums_lose_nothing(amounts in proptest::collection::vec(any::<i64>().prop_map(|n| n / 1_000_000), 0..60)) {
        let mut balance = Money::ZERO;
        for units in &amounts {
            balance = balance.checked_add(Money::from_units(*units)).unwrap();
        }
        prop_assert_eq!(i128::from(balance.units()), amounts.iter().map(|units| i128::from(*units)).sum::<i128>());
        for units in amounts.iter().rev() {
            balance = balance.checked_sub(Money::from_units(*units)).unwrap();
        }
        prop_assert_eq!(balance, Money::ZERO);
    }

    #[test]
    fn a_sum_that_does_not_fit_is_none(one: i64, other: i64) {
        let (a, b) = (Money::from_units(one), Money::from_units(other));
        prop_assert_eq!(a.checked_add(b).map(Money::units), one.checked_add(other));
        prop_assert_eq!(a.checked_sub(b).map(Money::units), one.checked_sub(other));
    }

    #[test]
    fn a_listed_rate_is_rounded_up_by_less_than_a_step(rate in rate(), exchange in exchange(), markup in markup(), decimals in 0..=5_u32) {
        let cost = cost(rate, exchange).unwrap();
        let listed = listed_rate(cost, markup, decimals).unwrap();
        let exact = unrounded(cost, markup);
        prop_assert!(listed.value() >= exact && listed.value() - exact < Decimal::new(1, decimals), "{} from {}", listed, exact);
        prop_assert!(listed.value().normalize().scale() <= decimals);
        prop_assert_eq!(listed.rounded_up(decimals), listed, "once is enough");
        prop_assert!(listed.value() >= Decimal::ZERO, "nobody is paid for ordering");
    }

    #[test]
    fn what_costs_more_is_listed_for_no_less(a in rate(), b in rate(), markup in markup(), more in percent(), decimals in 0..=5_u32) {
        let (low, high) = (a.min(b), a.max(b));
        let listed = |cost: Decimal, markup: Markup| listed_rate(Rate::new(cost), markup, decimals).unwrap().value();
        prop_assert!(listed(low, markup) <= listed(high, markup));
        let own = markup.percent.unwrap_or_default();
        let (less, more) = (own.value().min(more.value()), own.value().max(more.value()));
        let at = |percent| Markup { percent: Some(Percent::new(percent)), ..markup };
        prop_assert!(listed(low, at(less)) <= listed(low, at(more)));
    }

    #[test]
    fn a_charge_is_exact(steps in 0..1_000_000_000_i64, decimals in 0..=5_u32, n in 0..1_000_000_u64) {
        // In steps of 10^-5 the charge of n units is that many units of 10^-8.
        let rate = Rate::new(Decimal::new(steps, 5)).rounded_up(decimals);
        let steps = (rate.value() * Decimal::from(100_000)).normalize();
        prop_assert_eq!(steps.scale(), 0);
        let expected = steps * Decimal::from(n);
        prop_assert_eq!(Decimal::from(rate.for_units(n).unwrap().units()), expected);
        prop_assert_eq!(rate.flat().unwrap().to_decimal(), rate.value());
    }

    #[test]
    fn charges_add_up(steps in 0..1_000_000_000_i64, n in 0..1_000_000_u64, m in 0..1_000_000_u64) {
        let rate = Rate::new(Decimal::new(steps, 5));
        let apart = rate.for_units(n).unwrap().checked_add(rate.for_units(m).unwrap());
        prop_assert_eq!(apart, Some(rate.for_units(n + m).unwrap()), "two orders cost what one of both does");
    }

    #[test]
    fn the_margin_guard_knows_one_direction(
        charge in 0..1_000_000_000_000_i64, more in 0..1_000_000_000_000_i64,
        cost in rate(), less in rate(), minimum in percent(), lower in percent(),
    ) {
        let keeps = |charge: i64, cost: Decimal, minimum: Percent| keeps_margin(Money::from_units(charge), cost, minimum).unwrap();
        if keeps(charge, cost, minimum) {
            prop_assert!(keeps(charge + more, cost, minimum), "a higher charge");
            prop_assert!(keeps(charge, cost.min(less), minimum), "a lower cost");
            prop_assert!(keeps(charge, cost, minimum.min(lower)), "a lower minimum");
        }
    }

    #[test]
    fn the_margin_guard_means_the_margin_that_is_shown(charge in 1..1_000_000_000_000_i64, cost in 1..1_000_000_000_000_i64, minimum in percent()) {
        let (charge, cost) = (Money::from_units(charge), Decimal::new(cost, 8));
        let shown = margin(charge.to_decimal(), cost).unwrap().unwrap();
        // A division may round in its 28th digit.
        let apart = (shown.value() - minimum.value()).abs() > Decimal::new(1, 12);
        prop_assert!(!apart || keeps_margin(charge, cost, minimum).unwrap() == (shown >= minimum));
    }

    #[test]
    fn what_is_sold_with_enough_markup_keeps_its_margin(
        rate in rate(), exchange in exchange(), minimum in 0..2_000_000_i64, extra in 0..2_000_000_i64, decimals in 0..=5_u32, n in 1..1_000_000_u64,
    ) {
        let minimum = Percent::new(Decimal::new(minimum, 4));
        let percent = Percent::new(minimum.value() + Decimal::new(extra, 4));
        let cost = cost(rate, exchange).unwrap();
        let listed = listed_rate(cost, Markup { percent: Some(percent), fixed: None }, decimals).unwrap();
        if let Ok(charge) = listed.for_units(n) {
            let cost_of_order = cost.value() * Decimal::from(n) / Decimal::ONE_THOUSAND;
            prop_assert!(keeps_margin(charge, cost_of_order, minimum).unwrap());
        }
    }

    #[test]
    fn a_share_is_rounded_down_and_shares_never_exceed_the_whole(units in 0..1_000_000_000_000_000_i64, a in 0..=1_000_000_000_u64, b in 1..=1_000_000_000_u64) {
        let (money, part, whole) = (Money::from_units(units), a.min(b), a.max(b));
        let share = |part: u64| money.share(Decimal::from(part), Decimal::from(whole)).unwrap();
        prop_assert_eq!(share(part).units(), floor_share(units, part, whole));
        prop_assert_eq!((share(0), share(whole)), (Money::ZERO, money));
        let both = share(part).units() + share(whole - part).units();
        prop_assert!((units - 1..=units).contains(&both), "{} and the rest are {} of {}", share(part), both, units);
        prop_assert!(share(part.saturating_sub(1)) <= share(part), "less for less");
    }

    #[test]
    fn no_share_exceeds_its_whole(units in 0..=i64::MAX, a: u64, b in 1..=u64::MAX) {
        let (money, part, whole) = (Money::from_units(units), a.min(b), a.max(b));
        if let Ok(share) = money.share(Decimal::from(part), Decimal::from(whole)) {
            prop_assert!((Money::ZERO..=money).contains(&share), "{} of {}", share, money);
        }
    }

    #[test]
    fn what_can_not_be_computed_is_an_error(a in any_decimal(), b in any_decimal(), c in any_decimal(), units: i64, n: u64, decimals: u32) {
        // None of these may panic, and what they give holds what it says.
        let markup = Markup { percent: Some(Percent::new(b)), fixed: Some(c) };
        let money = Money::from_units(units);
        let _ = (cost(a, b), listed_rate(Rate::new(a), markup, decimals), margin(a, b));
        let _ = (keeps_margin(money, a, Percent::new(b)), money.share(a, b), Rate::new(a).rounded_up(decimals));
        let _ = (money.negated(), Rate::new(a).to_string(), money.to_string());
        if let Ok(down) = Money::rounded_down(a) {
            prop_assert!(down.to_decimal().abs() <= a.abs() && (a - down.to_decimal()).abs() < Decimal::new(1, 8));
        }
        if let Ok(exact) = Money::exact(a) {
            prop_assert_eq!(exact.to_decimal(), a);
        }
        if let Ok(charge) = Rate::new(a).for_units(n) {
            prop_assert!(charge.is_positive() == (a > Decimal::ZERO && n > 0), "{} for {} at {}", charge, n, a);
        }
    }
}
