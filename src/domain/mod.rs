//! What tollgate knows, as pure code: money, prices, the catalogue, and the life of an order.
//!
//! Nothing here reads a clock, touches a disk or a socket, or awaits anything: the present is an argument,
//! and a decision is a value that somebody else carries out.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod catalogue;
pub mod client;
pub mod currency;
pub mod ids;
pub mod money;
pub mod order;
pub mod outcome;
pub mod params;
#[cfg(test)]
mod price_laws;
pub mod pricing;
pub mod refill;
pub mod search;
pub mod service_type;
pub mod status;
pub mod time;
