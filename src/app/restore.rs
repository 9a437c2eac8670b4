//! What a store that was restored from a backup must not be believed: whatever was on its way when the backup was
//! made has gone on since.

use crate::domain::catalogue::Catalogue;
use crate::domain::ids::{OrderId, Route};
use crate::domain::order::{Event, Order, State};
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;
use crate::store::records::{Applied, OrderFilter};
use crate::store::{Store, StoreError};

/// What such an order's history says.
const SEEN: &str = "the store was restored from a backup: it may have been sent since that was made";

/// Why a restored store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Nobody could say where an order may have been sent.
    #[error(
        "order {0} is queued and its service has no route in the configuration: it can't be told where it may have \
         been sent; put its service back, then restore again"
    )]
    NoRoute(OrderId),
    /// What the store says.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes every order uncertain that was queued or being sent: it may have been placed since, and must not be placed
/// again. Gives how many.
///
/// # Errors
/// See [`RestoreError`]; the store must not be used then.
pub async fn distrust(store: &dyn Store, catalogue: &Catalogue, now: Timestamp) -> Result<usize, RestoreError> {
    let mut count = 0_usize;
    for state in ["queued", "sending"] {
        let filter = OrderFilter { state: Some(state.to_owned()), limit: usize::MAX, ..OrderFilter::default() };
        for (_, order) in store.list_orders(filter).await? {
            let order = if order.state == State::Queued {
                let route = likely_route(&order, catalogue).ok_or(RestoreError::NoRoute(order.id))?;
                apply(store, &order, Event::SendStarted(route), now).await?
            } else {
                order
            };
            let outcome = Outcome::Ambiguous(SEEN.to_owned());
            apply(store, &order, Event::Answered { attempt: order.attempts, outcome }, now).await?;
            count = count.saturating_add(1);
        }
    }
    Ok(count)
}

/// By which route an order would have been sent next: the first that it was not tried by.
fn likely_route(order: &Order, catalogue: &Catalogue) -> Option<Route> {
    let routes = catalogue.routes(order.service).unwrap_or_default();
    let tried = |route: &Route| order.tried.iter().any(|tried| tried.route == *route);
    let mut known = routes.iter().map(|route| &route.route);
    let untried = known.clone().find(|route| !tried(route));
    untried.or_else(|| known.next()).or_else(|| order.tried.last().map(|tried| &tried.route)).cloned()
}

async fn apply(store: &dyn Store, order: &Order, event: Event, now: Timestamp) -> Result<Order, RestoreError> {
    let impossible = |what: String| StoreError::Corrupt(format!("order {}: {what}", order.id));
    let step = order.step(event, now).map_err(|illegal| impossible(illegal.to_string()))?;
    match store.apply(step.clone()).await? {
        Applied::Done => Ok(step.order),
        other => Err(impossible(format!("{other:?}")).into()),
    }
}
