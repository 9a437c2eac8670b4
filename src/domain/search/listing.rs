//! A lost order in an upstream's list of our orders.

use std::collections::HashSet;
use std::time::Duration;

use super::window::{LATE, SKEW, number};
use super::{Listed, Lost, Obstacle, Window, rival};
use crate::domain::ids::UpstreamOrderId;

/// How many orders are asked for.
pub const MAX_LISTED: usize = 100;
/// A list of fewer orders is all of them: no panel's page is so short.
const WHOLE_BELOW: usize = 10;

/// The ID of the lost order, where it is proved: the only one of `list` that none of ours holds and that has its
/// service, link and quantity, placed in its time; and no other attempt for the same could have left it. `held`: IDs
/// that orders of ours hold, or were named. `others`: every attempt that may have left an order there, of which
/// nothing later than the list is missing. `lease`: how long an attempt is under way at most.
///
/// # Errors
/// The [`Obstacle`].
pub fn find_in_listing(
    lost: &Lost,
    window: &Window,
    others: &[Lost],
    list: &[Listed],
    held: &HashSet<UpstreamOrderId>,
    lease: Duration,
) -> Result<UpstreamOrderId, Obstacle> {
    if !reaches_back(lost, window, list) {
        return Err(Obstacle::ListTooShort);
    }
    let fits = |listed: &&Listed| {
        !held.contains(&listed.id) && is_described(lost, listed) && is_in(lost, window, listed, lease)
    };
    let fitting: Vec<&Listed> = list.iter().filter(fits).collect();
    let ids = || fitting.iter().map(|listed| listed.id.clone()).collect::<Vec<_>>();
    let [one] = fitting.as_slice() else {
        return Err(if fitting.is_empty() { Obstacle::NoneFits } else { Obstacle::Several(ids()) });
    };
    let same = others.iter().filter(|other| one.may_be(other)).cloned();
    if let Some(obstacle) = rival(lost, window, same) {
        return Err(obstacle);
    }
    // Without a time, only a number above those that were known before says that it is no older one.
    if one.created_at.is_none() && window.below.is_none() {
        return Err(Obstacle::Unproven(ids()));
    }
    Ok(one.id.clone())
}

fn is_described(lost: &Lost, listed: &Listed) -> bool {
    listed.service.is_some() && listed.link.is_some() && listed.agrees_with(lost)
}

fn is_in(lost: &Lost, window: &Window, listed: &Listed, lease: Duration) -> bool {
    // A gateway that ended meanwhile gave it up at its next start only, however late that was.
    let ended_at = lost.ended_at.unwrap_or(lost.started_at).min(lost.started_at.plus(lease).plus(LATE));
    let in_time = listed.created_at.is_none_or(|at| at >= lost.started_at.minus(SKEW) && at <= ended_at.plus(SKEW));
    in_time && window.takes(&listed.id)
}

/// Whether the list shows an order from before, so that all from then on must be in it.
fn reaches_back(lost: &Lost, window: &Window, list: &[Listed]) -> bool {
    let older = |listed: &Listed| match (listed.created_at, number(&listed.id), window.below) {
        (Some(at), ..) => at < lost.started_at.minus(SKEW),
        (None, Some(number), Some(below)) => number <= below,
        _ => false,
    };
    list.len() < WHOLE_BELOW || list.iter().any(older)
}
