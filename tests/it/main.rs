//! Tests through the real binary, the real network and simulated upstreams.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by ending")]

mod accounts;
mod accounts_api;
mod api;
mod architecture;
mod backup;
mod bad_input;
mod catalogue;
mod check;
mod check_online;
mod cli;
mod clients;
mod console;
mod dedup;
mod demo;
mod dispatch;
mod dispatch_wait;
mod follow;
mod follow_calls;
mod harness;
mod kill;
mod margin;
mod money;
mod ops;
mod pause;
mod redis;
mod reload;
mod report;
mod request_id;
mod resolve;
mod restart;
mod sandbox;
mod service_types;
mod spine;
mod store_file;
