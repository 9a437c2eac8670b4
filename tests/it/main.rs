//! Tests through the real binary, the real network and simulated upstreams.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by ending")]

mod api;
mod architecture;
mod bad_input;
mod cancel;
mod catalogue;
mod check;
mod check_online;
mod cli;
mod clients;
mod dedup;
mod demo;
mod dispatch;
mod dispatch_wait;
mod follow;
mod follow_calls;
mod guards;
mod harness;
mod hostile;
mod imports;
mod kill;
mod margin;
mod money;
mod ops;
mod pause;
mod pricing;
mod redis;
mod refill;
mod reload;
mod request_id;
mod resolve;
mod restart;
mod sandbox;
mod service_types;
mod spine;
mod store_file;
