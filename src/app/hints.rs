//! What is seen of uncertain orders elsewhere and proves nothing: recorded in their histories, once each.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use rust_decimal::Decimal;

use super::terms::ProviderSetup;
use super::trouble::warn_of;
use super::{App, locked};
use crate::domain::ids::{OrderId, ProviderId, Route, UpstreamOrderId};
use crate::domain::order::{AttemptChange, Event, Hint, Order, State, Step};
use crate::domain::outcome::{Outcome, RejectKind};
use crate::domain::params::OrderParams;
use crate::domain::time::Timestamp;
use crate::store::StoreResult;
use crate::store::records::OrderFilter;

/// How long some upstreams give the same order the same ID. See `docs/protocol.md`, "De-duplication".
const DEDUPLICATION: Duration = Duration::from_secs(120);
/// How many uncertain orders on one link are told of a duplicate.
const TOLD: usize = 100;
/// How far a balance may be off, in percent of the order's cost.
const ABOUT_PERCENT: Decimal = Decimal::TWO;

/// What was seen of late, and may become a hint.
#[derive(Default)]
pub(super) struct HintMemory {
    lost: Mutex<Vec<LostLately>>,
    spendings: Mutex<BTreeMap<ProviderId, Spending>>,
}

struct LostLately {
    order: OrderId,
    route: Route,
    params: OrderParams,
    at: Timestamp,
}

/// What was spent at a provider since its balance was last read.
#[derive(Debug, Default)]
struct Spending {
    balance: Option<Decimal>,
    /// The orders that were sent since; of many only the first two.
    sent: Vec<OrderId>,
}

impl HintMemory {
    /// Remembers an order that has just become uncertain.
    pub(super) fn see(&self, step: &Step) {
        let (State::Uncertain { route }, Some(AttemptChange::Finished { .. })) = (&step.order.state, &step.attempt)
        else {
            return;
        };
        let now = step.order.updated_at;
        let mut lost = locked(&self.lost);
        lost.retain(|lost| now.since(lost.at) <= DEDUPLICATION);
        lost.push(LostLately {
            order: step.order.id,
            route: route.clone(),
            params: step.order.params.clone(),
            at: now,
        });
    }

    /// Remembers that an order is about to be sent.
    pub(super) fn sent(&self, provider: &ProviderId, order: OrderId) {
        let mut spendings = locked(&self.spendings);
        let spending = spendings.entry(provider.clone()).or_default();
        if spending.sent.len() < 2 {
            spending.sent.push(order);
        }
    }

    /// Lately lost orders for the same thing by the same route.
    fn same(&self, order: &Order, route: &Route, now: Timestamp) -> Vec<OrderId> {
        let lost = locked(&self.lost);
        let same = lost.iter().filter(|lost| {
            lost.order != order.id
                && lost.route == *route
                && lost.params == order.params
                && now.since(lost.at) <= DEDUPLICATION
        });
        same.map(|lost| lost.order).collect()
    }

    /// The balance before, and the one order that was sent since it was read.
    fn watched(&self, provider: &ProviderId) -> Option<(Decimal, OrderId)> {
        let spendings = locked(&self.spendings);
        let spending = spendings.get(provider)?;
        match spending.sent.as_slice() {
            [order] => Some((spending.balance?, *order)),
            _ => None,
        }
    }

    fn begin_with(&self, provider: &ProviderId, balance: Decimal) {
        let mut spendings = locked(&self.spendings);
        let spending = spendings.entry(provider.clone()).or_default();
        // Of several that were sent, one may still be on its way: the next reading begins anew.
        let quiet = spending.sent.len() < 2;
        *spending = Spending { balance: quiet.then_some(balance), sent: Vec::new() };
    }
}

impl App {
    /// Records what was seen of an order, where it is uncertain and was not told of that kind before.
    pub(super) async fn hint(&self, order: OrderId, hint: Hint) -> StoreResult<()> {
        let Some(story) = self.store.order_story(order).await? else { return Ok(()) };
        let opening = hint.opening();
        if story.history.iter().all(|line| !line.text.starts_with(&opening)) {
            self.step(story.order, Event::Hinted(hint)).await?;
        }
        Ok(())
    }

    /// Looks at what the outcome of one order says of others.
    pub(super) async fn hint_by_outcome(&self, order: &Order, route: &Route, outcome: &Outcome) {
        let written = match outcome {
            Outcome::Rejected(rejection) if rejection.kind == RejectKind::DuplicateLink => {
                self.hint_duplicate(order, route).await
            }
            Outcome::Accepted(id) => self.hint_same(order, route, id).await,
            _ => Ok(()),
        };
        if let Err(error) = written {
            warn_of!(error, order.id = %order.id, "what order {} says of uncertain ones was not written", order.id);
        }
    }

    async fn hint_duplicate(&self, order: &Order, route: &Route) -> StoreResult<()> {
        let filter = OrderFilter {
            state: Some("uncertain".to_owned()),
            provider: Some(route.provider.clone()),
            link: Some(order.params.link.clone()),
            limit: TOLD,
            ..OrderFilter::default()
        };
        let (provider, link) = (&route.provider, &order.params.link);
        for (_, lost) in self.store.list_orders(filter).await? {
            if lost.id != order.id && lost.params.link == *link {
                let seen = format!(
                    "{provider} refused order {} since an order is active on the same link there: this one may be",
                    order.id
                );
                self.hint(lost.id, Hint { about: "duplicate link", seen }).await?;
            }
        }
        Ok(())
    }

    async fn hint_same(&self, order: &Order, route: &Route, id: &UpstreamOrderId) -> StoreResult<()> {
        for lost in self.search.hints.same(order, route, self.clock.now()) {
            let seen = format!(
                "order {}, for the same, was answered with {id} soon after: where {} gives repeated orders one ID, it \
                 is this one's too",
                order.id, route.provider
            );
            self.hint(lost, Hint { about: "same order", seen }).await?;
        }
        Ok(())
    }

    /// Looks whether a balance has moved by what the only order costs that was sent since it was last read.
    pub(super) async fn hint_by_balance(&self, setup: &ProviderSetup, now: Decimal) {
        let provider = &setup.id;
        // What others sent meanwhile is not known here.
        let Some((before, order)) = self.search.hints.watched(provider).filter(|_| !self.has_company()) else {
            self.search.hints.begin_with(provider, now);
            return;
        };
        let order = match self.store.order(order).await {
            Ok(Some(order)) => order,
            _ => return,
        };
        match &order.state {
            State::Sending { .. } => return,
            // Panels debit late: the next reading is compared with the same one.
            State::Uncertain { .. } if before == now => return,
            State::Uncertain { route } => {
                let cost = self.listed_cost(provider, &route.service, &order);
                if cost.is_some_and(|cost| is_about(before, now, cost)) {
                    let (before, now) = (before.normalize(), now.normalize());
                    let seen = format!(
                        "the balance at {provider} went from {before} to {now} {}, about what this order costs there, \
                         and no other was sent there meanwhile",
                        setup.currency
                    );
                    if let Err(error) = self.hint(order.id, Hint { about: "balance", seen }).await {
                        warn_of!(error, order.id = %order.id, "a hint for order {} was not written", order.id);
                    }
                }
            }
            _ => {}
        }
        self.search.hints.begin_with(provider, now);
    }
}

/// Whether a balance fell by about `cost`.
fn is_about(before: Decimal, now: Decimal, cost: Decimal) -> bool {
    let off = before.checked_sub(now).and_then(|moved| moved.checked_sub(cost)).map(|off| off.abs());
    let (off, limit) = (off.and_then(|off| off.checked_mul(Decimal::ONE_HUNDRED)), cost.checked_mul(ABOUT_PERCENT));
    cost > Decimal::ZERO && matches!((off, limit), (Some(off), Some(limit)) if off <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balance_may_be_off_by_two_in_a_hundred() {
        for (before, now, cost, about) in [
            ("10", "9", "1", true),
            ("10", "9.02", "1", true),
            ("10", "9.03", "1", false),
            ("10", "8.98", "1", true),
            ("10", "10", "1", false),
            ("10", "11", "1", false),
            ("10", "10", "0", false),
            ("0.5", "-0.5", "1", true),
        ] {
            let [before, now, cost] = [before, now, cost].map(|text| text.parse().unwrap());
            assert_eq!(is_about(before, now, cost), about, "{before} {now} {cost}");
        }
    }
}
