//! Logs and metrics.
pub const ALERTS: &str = "tollgate_alerts_total";
pub const ATTEMPTS: &str = "tollgate_attempts_total";
pub const API_CALLS: &str = "tollgate_api_calls_total";
pub const SYNCS: &str = "tollgate_sync_total";
pub const ORDERS: &str = "tollgate_orders";
