//! Tests through the real binary, the real network and simulated upstreams.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by ending")]

mod architecture;
mod catalogue;
mod check;
mod cli;
mod demo;
mod harness;
mod ops;
mod redis;
mod sandbox;
mod spine;
mod store_file;
