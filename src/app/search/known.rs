//! What is known here: of the orders around a lost one, of others that are in doubt, of IDs that are held.

use std::collections::HashSet;

use super::Round;
use crate::domain::ids::UpstreamOrderId;
use crate::domain::search::{Lost, Neighbours, Window};
use crate::domain::time::Timestamp;
use crate::store::StoreResult;
use crate::store::records::LostAttempt;

impl Round<'_> {
    /// Those after it first: with none, a scan can't be made, and others' orders may be all that there is to look through.
    /// A list may do without.
    pub(super) async fn neighbours(&self, lost: &LostAttempt) -> StoreResult<Neighbours> {
        let (store, provider) = (&self.app.store, &self.setup.id);
        let (never_before, never_after) = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
        let mut found = store.neighbours(provider, never_before, lost.ended_at.unwrap_or(lost.started_at)).await?;
        if self.setup.search.by_listing || !found.after.is_empty() {
            found.before = store.neighbours(provider, lost.started_at, never_after).await?.before;
        }
        Ok(found)
    }

    pub(super) async fn others(&self, window: &Window) -> StoreResult<Vec<Lost>> {
        let found = self.app.store.attempts_in_doubt(&self.setup.id, window.since()).await?;
        Ok(found.iter().map(described).collect())
    }

    pub(super) async fn held(&self, ids: Vec<UpstreamOrderId>) -> StoreResult<HashSet<UpstreamOrderId>> {
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        Ok(self.app.store.held_upstream_orders(&self.setup.id, ids).await?.into_iter().collect())
    }
}

pub(super) fn described(lost: &LostAttempt) -> Lost {
    let params = &lost.order.params;
    Lost {
        order: lost.order.id,
        service: lost.service.clone(),
        link: params.link.clone(),
        quantity: params.quantity,
        units: params.units,
        is_package: lost.order.is_flat(),
        is_drip_feed: params.drip_feed.is_some(),
        started_at: lost.started_at,
        ended_at: lost.ended_at,
        cost: lost.search.cost,
    }
}
