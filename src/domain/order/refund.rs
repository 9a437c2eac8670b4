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

/// What a canceled drip-feed owes where some of its runs were done: the runs that were not. `None` where none
/// was, or where it is not known.
pub(super) fn canceled_drip_target(order: &Order, report: &StatusReport) -> Option<Money> {
    let drip = order.params.drip_feed?;
    let per_run = order.params.units.checked_div(drip.runs)?;
    let left = match (report.runs, report.remains) {
        (Some(done), _) if done > 0 => drip.runs.saturating_sub(done).checked_mul(per_run)?,
        (None, Some(remains)) if remains > 0 && remains < order.params.units => remains,
        _ => return None,
    };
    unit_target(order, left)
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
