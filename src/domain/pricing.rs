//! From an upstream's rate to ours: exchange, markup, rounding, margin.

use rust_decimal::Decimal;

use super::money::{Money, Percent, Rate};

/// A price that is too large to compute with, or a cost that is not above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the price is outside what can be computed")]
pub struct PriceError;

/// A markup as one level sets it; percent and fixed part are each taken from the nearest level that has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Markup {
    /// On top of the cost.
    pub percent: Option<Percent>,
    /// Per 1000, in the panel's currency, added after the percentage.
    pub fixed: Option<Decimal>,
}

impl Markup {
    /// This markup, with what it leaves open taken from `outer`.
    #[must_use]
    pub fn or(self, outer: Self) -> Self {
        Self { percent: self.percent.or(outer.percent), fixed: self.fixed.or(outer.fixed) }
    }
}

/// An upstream's rate in the panel's currency: `rate x exchange`.
///
/// # Errors
/// [`PriceError`] on overflow.
pub fn cost(upstream_rate: Decimal, exchange: Decimal) -> Result<Rate, PriceError> {
    upstream_rate.checked_mul(exchange).map(Rate::new).ok_or(PriceError)
}

/// Our listed rate: `cost x (1 + percent / 100) + fixed`, rounded up to `decimals`.
///
/// # Errors
/// [`PriceError`] on overflow.
pub fn listed_rate(cost: Rate, markup: Markup, decimals: u32) -> Result<Rate, PriceError> {
    let percent = markup.percent.unwrap_or_default().value();
    let factor = Decimal::ONE_HUNDRED.checked_add(percent).ok_or(PriceError)?;
    cost.value()
        .checked_mul(factor)
        .and_then(|value| value.checked_div(Decimal::ONE_HUNDRED))
        .and_then(|value| value.checked_add(markup.fixed.unwrap_or_default()))
        .map(|value| Rate::new(value).rounded_up(decimals))
        .ok_or(PriceError)
}

/// The margin of a sale: `(charge - cost) x 100 / cost`. A cost of zero has no margin; anything sold above
/// it is profit, so `None` then means "no limit applies".
///
/// # Errors
/// [`PriceError`] on overflow.
pub fn margin(charge: Decimal, cost: Decimal) -> Result<Option<Percent>, PriceError> {
    if cost.is_zero() {
        return Ok(None);
    }
    charge
        .checked_sub(cost)
        .and_then(|profit| profit.checked_mul(Decimal::ONE_HUNDRED))
        .and_then(|profit| profit.checked_div(cost))
        .map(|percent| Some(Percent::new(percent)))
        .ok_or(PriceError)
}

/// Whether `charge` for something that costs `cost` keeps at least `minimum`. Compared by multiplication,
/// so that no division rounds the answer.
///
/// # Errors
/// [`PriceError`] on overflow.
pub fn keeps_margin(charge: Money, cost: Decimal, minimum: Percent) -> Result<bool, PriceError> {
    let factor = Decimal::ONE_HUNDRED.checked_add(minimum.value()).ok_or(PriceError)?;
    let needed = cost.checked_mul(factor).ok_or(PriceError)?;
    let offered = charge.to_decimal().checked_mul(Decimal::ONE_HUNDRED).ok_or(PriceError)?;
    Ok(offered >= needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dec(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    fn markup(percent: &str, fixed: &str) -> Markup {
        Markup { percent: Some(percent.parse().unwrap()), fixed: Some(dec(fixed)) }
    }

    #[test]
    fn our_rate_is_cost_plus_markup_rounded_up() {
        let cost = cost(dec("0.9"), dec("1.08")).unwrap();
        assert_eq!(cost.to_string(), "0.972");
        assert_eq!(listed_rate(cost, markup("35", "0"), 4).unwrap().to_string(), "1.3122");
        assert_eq!(listed_rate(cost, markup("35", "0"), 2).unwrap().to_string(), "1.32");
        assert_eq!(listed_rate(cost, markup("0", "0.5"), 4).unwrap().to_string(), "1.472");
    }

    #[test]
    fn the_nearest_level_wins_for_each_part() {
        let service = Markup { percent: None, fixed: Some(dec("0.1")) };
        let merged = service.or(markup("20", "0"));
        assert_eq!(merged, markup("20", "0.1"));
    }

    #[test]
    fn the_margin_guard_is_exact_at_its_edge() {
        let minimum = "5".parse().unwrap();
        assert!(keeps_margin("1.05".parse().unwrap(), dec("1"), minimum).unwrap());
        assert!(!keeps_margin("1.04999999".parse().unwrap(), dec("1"), minimum).unwrap());
        assert!(keeps_margin(Money::ZERO, dec("0"), minimum).unwrap());
    }
}
