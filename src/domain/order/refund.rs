//! What should have been refunded by now. Refunds are targets: they only grow, up to the charge.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::Order;
use crate::domain::money::Money;
use crate::domain::status::StatusReport;

/// What a Partial owes in all: `charge x remains / units`; for a package `charge x (1 - upstream charge now /
/// at first)`. `None` where the figures for it are missing or say that nothing is owed.
pub(super) fn partial_target(order: &Order, report: &StatusReport) -> Option<Money> {
    let target = if order.is_flat() { flat_target(order, report)? } else { unit_target(order, report.remains?)? };
    target.is_positive().then_some(target)
}

fn unit_target(order: &Order, remains: u64) -> Option<Money> {
    let units = order.params.units;
    order.charge.share(Decimal::from(remains.min(units)), Decimal::from(units)).ok()
}

fn flat_target(order: &Order, report: &StatusReport) -> Option<Money> {
    let first = order.progress.first_charge.filter(|first| *first > Decimal::ZERO)?;
    let kept = report.charge?.max(Decimal::ZERO).min(first);
    order.charge.share(first.checked_sub(kept)?, first).ok()
}

/// What a canceled order owes.
pub(super) enum CanceledTarget {
    /// Everything: nothing was delivered.
    All,
    /// What a drip-feed's remaining runs cost.
    Part(Money),
    /// All of its runs were done, which contradicts the word.
    Unclear,
}

/// A canceled order owes its whole charge; a drip-feed of which some runs were done, the runs that were not.
pub(super) fn canceled_target(order: &Order, report: &StatusReport) -> CanceledTarget {
    let units = order.params.units;
    let Some(drip) = order.params.drip_feed else { return CanceledTarget::All };
    let by_remains = report.remains.filter(|remains| *remains > 0 && *remains < units);
    let left = match report.runs {
        Some(0) => None,
        Some(done) if done < drip.runs => {
            units.checked_div(drip.runs).and_then(|run| run.checked_mul(drip.runs.saturating_sub(done)))
        }
        // Some panels' `runs` is the number ordered: then only `remains` can tell.
        Some(_) if by_remains.is_none() => return CanceledTarget::Unclear,
        Some(_) | None => by_remains,
    };
    left.and_then(|left| unit_target(order, left)).map_or(CanceledTarget::All, CanceledTarget::Part)
}

/// The units that a refund stands for, rounded up.
pub(super) fn remains_of_refund(order: &Order) -> u64 {
    if !order.charge.is_positive() {
        return order.progress.remains.unwrap_or(1);
    }
    Decimal::from(order.params.units)
        .checked_mul(order.refunded.to_decimal())
        .and_then(|product| product.checked_div(order.charge.to_decimal()))
        .and_then(|units| units.ceil().to_u64())
        .unwrap_or(order.params.units)
}
