//! Tests through the real binary, the real network and simulated upstreams.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by ending")]

mod api;
mod architecture;
mod bad_input;
mod clients;
mod harness;
mod money;
mod request_id;
mod service_types;
mod spine;
