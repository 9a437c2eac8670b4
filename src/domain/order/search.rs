//! What a search upstream does to an order whose ID was lost. What proves an ID is `domain::search`.

use super::dispatch::{finish, place};
use super::{Binding, Found, Hint, Illegal, State, Step};
use crate::domain::ids::UpstreamOrderId;
use crate::domain::outcome::OutcomeName;
use crate::domain::time::Timestamp;

/// Binds an uncertain order to the ID that was found to be its own.
pub(super) fn found(step: &mut Step, id: UpstreamOrderId, by: &Found, now: Timestamp) -> Result<(), Illegal> {
    let State::Uncertain { route } = step.order.state.clone() else {
        return Err(step.order.illegal("Found"));
    };
    let provider = &route.provider;
    step.note(match by {
        Found::Listing => format!(
            "settled by the list of orders at {provider}: {id} is the only one there with its service, link and \
             quantity in its time"
        ),
        Found::Scan { below, above } => format!(
            "settled by a scan: of the IDs between {below} and {above}, our neighbouring orders at {provider}, only \
             {id} fits"
        ),
    });
    finish(step, step.order.attempts, OutcomeName::Accepted, id.as_str());
    place(step, Binding { route, id }, now);
    Ok(())
}

/// Records what was seen.
pub(super) fn hinted(step: &mut Step, hint: &Hint) -> Result<(), Illegal> {
    if !matches!(step.order.state, State::Uncertain { .. }) {
        return Err(step.order.illegal("Hinted"));
    }
    step.alert(format!("{}{}", hint.opening(), hint.seen));
    Ok(())
}
