//! An order's refills as `tollgate orders show` prints them.

use serde::Serialize;

use super::output::{or_dash, table, time};
use crate::domain::refill::Refill;

#[derive(Debug, Serialize)]
pub(super) struct RefillDocument {
    refill: u32,
    state: &'static str,
    status: &'static str,
    provider: String,
    upstream_refill: Option<String>,
    /// What the upstream last said.
    detail: Option<String>,
    created_at: String,
    updated_at: String,
}

impl From<Refill> for RefillDocument {
    fn from(refill: Refill) -> Self {
        Self {
            refill: refill.id.get(),
            state: refill.state.name(),
            status: refill.status.as_str(),
            provider: refill.provider.to_string(),
            upstream_refill: refill.state.upstream_id().map(ToString::to_string),
            detail: refill.word,
            created_at: time(refill.created_at),
            updated_at: time(refill.updated_at),
        }
    }
}

/// A table of them; nothing where there are none.
pub(super) fn refill_table(refills: &[RefillDocument]) -> Option<String> {
    let rows = refills.iter().map(|refill| {
        [
            refill.refill.to_string(),
            refill.state.to_owned(),
            refill.status.to_owned(),
            or_dash(refill.upstream_refill.as_ref()),
            refill.created_at.clone(),
            or_dash(refill.detail.as_ref()),
        ]
    });
    let header = ["REFILL", "STATE", "STATUS", "UPSTREAM", "CREATED", "DETAIL"];
    (!refills.is_empty()).then(|| table(header, rows))
}
