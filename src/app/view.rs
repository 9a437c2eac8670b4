//! What a client is shown of its order: plain decimal strings, one of six statuses, nothing of an upstream.

use serde::Serialize;

use crate::cache::Body;
use crate::domain::order::Order;

#[derive(Serialize)]
struct StatusView<'a> {
    charge: String,
    start_count: String,
    status: &'static str,
    remains: String,
    currency: &'a str,
}

/// The `status` answer for one order.
#[must_use]
pub fn render_status(order: &Order, currency: &str) -> Body {
    let view = StatusView {
        charge: order.net_charge().to_string(),
        start_count: order.progress.start_count.unwrap_or(0).to_string(),
        status: order.status.as_str(),
        remains: order.shown_remains().to_string(),
        currency,
    };
    // Serializing strings into memory has no way to fail.
    serde_json::to_vec(&view).unwrap_or_default()[..].into()
}
