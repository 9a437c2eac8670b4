//! The calls by which lost orders are searched for.

use super::{AnswerError, Permit, Upstream, request};
use crate::domain::ids::UpstreamOrderId;
use crate::domain::search::Listed;
use crate::upstream::listing::{LookUp, read_listing, read_look_up};
use crate::upstream::wire::CallKind;

impl Upstream {
    /// Its list of our latest orders, `limit` at most. An action that few panels know.
    ///
    /// # Errors
    /// [`AnswerError`]; its texts do not hold the key.
    pub async fn list_orders(&self, permit: Permit, limit: usize) -> Result<Vec<Listed>, AnswerError> {
        let params = [("limit".into(), limit.to_string())];
        let mut listed = self.read(permit, CallKind::Orders, &params, |answer| read_listing(&answer?)).await?;
        listed.retain(|listed| self.key.redacted(listed.id.as_str()) == listed.id.as_str());
        Ok(listed)
    }

    /// What it says of IDs that may be none of ours; those beyond [`request::MAX_BATCH`] are not asked for and come
    /// back as left out.
    ///
    /// # Errors
    /// [`AnswerError`]; its texts do not hold the key.
    pub async fn look_up(&self, permit: Permit, ids: &[UpstreamOrderId]) -> Result<LookUp, AnswerError> {
        self.read(permit, CallKind::Status, &[request::orders(ids)], |answer| read_look_up(answer, ids)).await
    }
}
