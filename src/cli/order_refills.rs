//! An order's refills as `tollgate orders show` prints them.

use super::output::{or_dash, table};
use crate::app::documents::RefillDocument;

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
