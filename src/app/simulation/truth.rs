//! One order and its attempts as they really went.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::faults::Told;
use super::panel::Held;
use crate::domain::ids::Route;
use crate::domain::order::Order;
use crate::domain::service_type::ServiceType;

/// A status as a panel said it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    pub(super) word: &'static str,
    pub(super) remains: u64,
    pub(super) charge: Decimal,
}

impl Report {
    pub(super) fn of(held: &Held) -> Self {
        Self { word: held.word, remains: held.remains, charge: held.charge }
    }
}

/// One attempt as it really went.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) route: Route,
    /// Its request was given to the wire.
    pub(super) sent: bool,
    pub(super) told: Option<Told>,
    /// Its sender was killed before it could write what it was told.
    pub(super) killed: bool,
    /// Its sender lives and was given up.
    pub(super) given_up: bool,
}

/// One order as it really went.
#[derive(Debug, Clone)]
pub(super) struct Truth {
    pub(super) order: Order,
    pub(super) attempts: BTreeMap<u32, Attempt>,
    /// Up to this attempt the operator said that nothing was placed.
    pub(super) not_placed: u32,
    pub(super) refund_allowed: bool,
    /// What the operator said that it is.
    pub(super) named: Option<String>,
    /// What its client could be shown: the net charge and the status.
    pub(super) views: Vec<(String, &'static str)>,
}

/// What a report gives back of an order, in 10^-8; `first`: what its upstream charged at first.
pub(super) fn owed(order: &Order, report: &Report, first: Decimal) -> i64 {
    let charge = i128::from(order.charge.units());
    let share = |part: i128, whole: i128| if whole == 0 { 0 } else { charge * part / whole };
    let owed = match report.word {
        "Canceled" | "Refunded" => charge,
        "Partial" if order.kind == ServiceType::Package => {
            let micros = |amount: Decimal| (amount * Decimal::from(1_000_000)).to_i128().unwrap();
            share(micros(first) - micros(report.charge), micros(first))
        }
        "Partial" => share(i128::from(report.remains.min(order.params.units)), i128::from(order.params.units)),
        _ => 0,
    };
    i64::try_from(owed).unwrap()
}

impl Truth {
    /// Whether an attempt certainly created nothing, or the operator said so.
    pub(super) fn is_over(&self, number: u32, attempt: &Attempt) -> bool {
        let definite = !attempt.sent || attempt.told.as_ref().is_some_and(Told::is_definite);
        number <= self.not_placed || definite && !attempt.killed
    }
}
