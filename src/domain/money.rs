//! Exact amounts: [`Money`] in a ledger, [`Rate`] per 1000, [`Percent`] for markups and margins.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use rust_decimal::RoundingStrategy;
use rust_decimal::prelude::ToPrimitive;

/// How many decimals an amount has in the store.
pub const MONEY_SCALE: u32 = 8;

/// Why text or a computation gave no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// The text is not a plain decimal number.
    #[error("not a plain decimal number (expected for example 12.50)")]
    NotDecimal,
    /// More than eight decimals.
    #[error("more than {MONEY_SCALE} decimals")]
    TooPrecise,
    /// Outside what a ledger can hold (about 92 billion).
    #[error("too large")]
    TooLarge,
}

/// Parses plain decimal text: an optional minus, digits, an optional point and digits. No exponent, no
/// separators, no blanks (`Decimal::from_str` takes "1_000", which no client means).
///
/// # Errors
/// [`AmountError::NotDecimal`] for other text, [`AmountError::TooLarge`] beyond 28 digits.
pub fn parse_decimal(text: &str) -> Result<Decimal, AmountError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(fraction) {
        return Err(AmountError::NotDecimal);
    }
    Decimal::from_str_exact(text).map_err(|_| AmountError::TooLarge)
}

/// An exact, signed amount in the panel's currency, in units of 10^-8.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From the store's unit, 10^-8.
    #[must_use]
    pub const fn from_units(units: i64) -> Self {
        Self(units)
    }

    /// In the store's unit, 10^-8.
    #[must_use]
    pub const fn units(self) -> i64 {
        self.0
    }

    /// As a decimal, for computing with rates and percentages.
    #[must_use]
    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.0, MONEY_SCALE)
    }

    /// The amount that `value` is exactly.
    ///
    /// # Errors
    /// [`AmountError::TooPrecise`] where `value` has more than eight decimals, [`AmountError::TooLarge`]
    /// where it does not fit.
    pub fn exact(value: Decimal) -> Result<Self, AmountError> {
        if value.normalize().scale() > MONEY_SCALE {
            return Err(AmountError::TooPrecise);
        }
        Self::rounded_down(value)
    }

    /// `value` rounded towards zero at 10^-8.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`] where it does not fit.
    pub fn rounded_down(value: Decimal) -> Result<Self, AmountError> {
        value
            .round_dp_with_strategy(MONEY_SCALE, RoundingStrategy::ToZero)
            .checked_mul(Decimal::from(100_000_000_u32))
            .and_then(|units| units.to_i64())
            .map(Self)
            .ok_or(AmountError::TooLarge)
    }

    /// The sum, or nothing on overflow.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or nothing on overflow.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The amount with its sign turned; saturates at the one value that has no opposite.
    #[must_use]
    pub const fn negated(self) -> Self {
        Self(self.0.saturating_neg())
    }

    /// Above zero.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// `self x part / whole`, rounded down at 10^-8: a refund for what was not delivered.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`] on overflow or where `whole` is 0.
    pub fn share(self, part: Decimal, whole: Decimal) -> Result<Self, AmountError> {
        self.to_decimal()
            .checked_mul(part)
            .and_then(|product| product.checked_div(whole))
            .ok_or(AmountError::TooLarge)
            .and_then(Self::rounded_down)
    }
}

impl FromStr for Money {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::exact(parse_decimal(text)?)
    }
}

/// Plain decimal text without needless zeros: `100.84292`, `0`, `-0.5`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_decimal().normalize().fmt(f)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Money({self})")
    }
}

/// A percentage: 20 means 20 %.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(Decimal);

impl Percent {
    /// From its number: `Percent::new(20)` is 20 %.
    #[must_use]
    pub const fn new(value: Decimal) -> Self {
        Self(value)
    }

    /// The number before the percent sign.
    #[must_use]
    pub const fn value(self) -> Decimal {
        self.0
    }
}

impl FromStr for Percent {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        parse_decimal(text).map(Self)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.normalize().fmt(f)
    }
}

/// A price in the panel's currency: per 1000 units, or of one package.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(Decimal);

impl Rate {
    /// The most decimals a listed rate may have; with them `rate x n / 1000` is exact at 10^-8.
    pub const MAX_DECIMALS: u32 = 5;

    /// From a decimal, unrounded: what an upstream asks.
    #[must_use]
    pub const fn new(value: Decimal) -> Self {
        Self(value)
    }

    /// The number itself.
    #[must_use]
    pub const fn value(self) -> Decimal {
        self.0
    }

    /// Rounded up to `decimals` (at most [`Rate::MAX_DECIMALS`]), as a listed rate is.
    #[must_use]
    pub fn rounded_up(self, decimals: u32) -> Self {
        let decimals = decimals.min(Self::MAX_DECIMALS);
        Self(self.0.round_dp_with_strategy(decimals, RoundingStrategy::AwayFromZero))
    }

    /// The price of `n` units at this rate per 1000.
    ///
    /// # Errors
    /// [`AmountError`] where the product does not fit a ledger exactly.
    pub fn for_units(self, n: u64) -> Result<Money, AmountError> {
        self.0
            .checked_mul(Decimal::from(n))
            .and_then(|product| product.checked_div(Decimal::ONE_THOUSAND))
            .ok_or(AmountError::TooLarge)
            .and_then(Money::exact)
    }

    /// The price of one package at this rate.
    ///
    /// # Errors
    /// [`AmountError`] where it does not fit a ledger exactly.
    pub fn flat(self) -> Result<Money, AmountError> {
        Money::exact(self.0)
    }
}

impl FromStr for Rate {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        parse_decimal(text).map(Self)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.normalize().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_shows_plain_decimals() {
        for (text, shown) in [
            ("100.84292", "100.84292"),
            ("0", "0"),
            ("0.00", "0"),
            ("-0.50", "-0.5"),
            ("0.00000001", "0.00000001"),
            ("1000000", "1000000"),
        ] {
            assert_eq!(text.parse::<Money>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn only_plain_decimals_are_amounts() {
        for text in ["", "1e3", "1_000", "1,5", "+1", " 1", "1.", ".5", "0x1", "--1", "NaN", "-"] {
            assert_eq!(text.parse::<Money>(), Err(AmountError::NotDecimal), "{text:?}");
        }
        assert_eq!("0.000000001".parse::<Money>(), Err(AmountError::TooPrecise));
        assert_eq!("92233720369".parse::<Money>(), Err(AmountError::TooLarge));
        assert_eq!("1".repeat(40).parse::<Money>(), Err(AmountError::TooLarge));
    }

    #[test]
    fn a_listed_rate_is_rounded_up_and_charges_exactly() {
        let rate = "0.90001".parse::<Rate>().unwrap().rounded_up(4);
        assert_eq!(rate.to_string(), "0.9001");
        assert_eq!(rate.for_units(1).unwrap().to_string(), "0.0009001");
        assert_eq!(rate.for_units(1_000_000_000).unwrap().to_string(), "900100");
        assert_eq!(rate.flat().unwrap().to_string(), "0.9001");
        let finest: Rate = "0.00001".parse().unwrap();
        assert_eq!(finest.for_units(1).unwrap().units(), 1);
    }

    #[test]
    fn a_share_is_rounded_down() {
        let charge = Money::from_units(10);
        let third = charge.share(Decimal::ONE, Decimal::from(3)).unwrap();
        assert_eq!(third.units(), 3);
        assert!(charge.share(Decimal::ONE, Decimal::ZERO).is_err());
    }
}
