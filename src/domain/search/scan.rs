//! A lost order among the IDs between its neighbours, by what `status` says of each.

use std::collections::HashSet;
use std::ops::Range;

use rust_decimal::{Decimal, RoundingStrategy};

use super::{Listed, Lost, Obstacle, Window, rival};
use crate::domain::currency::other_currency;
use crate::domain::ids::UpstreamOrderId;
use crate::domain::status::{Reported, Status};

/// How many IDs are asked for at most.
pub const MAX_GAP: u64 = 300;

/// What an upstream said of an ID that it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// It is none of our account's.
    Unknown,
    /// Nothing that can be read.
    LeftOut,
    /// This.
    Known(Box<Listed>),
}

/// How well an order fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// Its charge is what the lost one costs, and nothing speaks against it.
    Proved,
    /// Nothing speaks against it.
    Possible,
    /// Something does.
    No,
}

impl Window {
    /// The IDs to ask for.
    ///
    /// # Errors
    /// [`Obstacle::NoneBefore`], [`Obstacle::NoneAfter`], [`Obstacle::TooWide`].
    pub fn gap(&self) -> Result<Range<u64>, Obstacle> {
        let below = self.below.ok_or(Obstacle::NoneBefore)?;
        let above = self.above.ok_or(Obstacle::NoneAfter)?;
        let first = below.saturating_add(1);
        match above.saturating_sub(first) {
            count if count > MAX_GAP => Err(Obstacle::TooWide(count)),
            _ => Ok(first..above),
        }
    }
}

/// The ID of the lost order, where it is proved: the only one in its gap that none of ours holds and that fits,
/// where no other attempt could have left an order there. `items`: what was said of each ID of the gap. `held`:
/// IDs that orders of ours hold, or were named. `others`: every attempt that may have left an order there.
///
/// # Errors
/// The [`Obstacle`].
pub fn find_in_gap(
    lost: &Lost,
    window: &Window,
    others: &[Lost],
    items: &[(UpstreamOrderId, Item)],
    held: &HashSet<UpstreamOrderId>,
    currency: &str,
) -> Result<UpstreamOrderId, Obstacle> {
    if let Some(obstacle) = rival(lost, window, others.iter().cloned()) {
        return Err(obstacle);
    }
    let cost = lost.cost.filter(|cost| *cost > Decimal::ZERO).ok_or(Obstacle::CostUnknown)?;
    let gap = window.gap()?;
    let expected = usize::try_from(gap.end.saturating_sub(gap.start)).unwrap_or(usize::MAX);
    let answered = items.iter().filter(|(id, item)| window.takes(id) && *item != Item::LeftOut).count();
    if answered < expected {
        return Err(Obstacle::LeftOut(expected.saturating_sub(answered)));
    }
    let (mut proved, mut possible) = (Vec::new(), Vec::new());
    for (id, item) in items {
        let Item::Known(listed) = item else { continue };
        if held.contains(id) || !window.takes(id) {
            continue;
        }
        match fit(lost, cost, listed, currency) {
            Fit::Proved => proved.push(id.clone()),
            Fit::Possible => possible.push(id.clone()),
            Fit::No => {}
        }
    }
    match (proved.as_slice(), possible.as_slice()) {
        ([id], []) => Ok(id.clone()),
        ([], []) => Err(Obstacle::NoneFits),
        ([], _) => Err(Obstacle::Unproven(possible)),
        _ => {
            proved.append(&mut possible);
            Err(Obstacle::Several(proved))
        }
    }
}

fn fit(lost: &Lost, cost: Decimal, listed: &Listed, currency: &str) -> Fit {
    if !listed.agrees_with(lost) {
        return Fit::No;
    }
    let Some(report) = &listed.report else { return Fit::Possible };
    let foreign = other_currency(report.currency.as_deref(), currency).is_some();
    let too_many = !lost.is_package && report.remains.is_some_and(|remains| remains > lost.units);
    if foreign || too_many {
        return Fit::No;
    }
    let charge = report.charge.filter(|charge| *charge > Decimal::ZERO);
    let by_charge = match charge {
        None => Fit::Possible,
        Some(charge) if is_rounded(cost, charge) => Fit::Proved,
        // What was not delivered may have been given back there.
        Some(charge) if charge < cost && gives_back(&report.status) => Fit::Possible,
        Some(_) => Fit::No,
    };
    match (&report.status, by_charge) {
        (Reported::Known(_), fit) => fit,
        (_, Fit::No) => Fit::No,
        _ => Fit::Possible,
    }
}

const fn gives_back(status: &Reported) -> bool {
    matches!(status, Reported::Known(Status::Partial | Status::Canceled))
}

/// Whether `charge` is `cost` as a panel may round it: to its last digit, and by one in a hundred at most.
fn is_rounded(cost: Decimal, charge: Decimal) -> bool {
    let scale = charge.scale();
    let rounded = [RoundingStrategy::ToZero, RoundingStrategy::AwayFromZero]
        .into_iter()
        .any(|how| cost.round_dp_with_strategy(scale, how) == charge);
    let off_by = if charge > cost { charge.checked_sub(cost) } else { cost.checked_sub(charge) };
    let hundredfold = off_by.and_then(|off| off.checked_mul(Decimal::ONE_HUNDRED));
    rounded && hundredfold.is_some_and(|off| off <= cost)
}
