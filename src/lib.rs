//! **tollgate**: a gateway between resellers and the upstream panels whose services they sell.
//!
//! Rooms, from the outside in (each may use those below it, never those above; a test enforces it):
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`cli`] | the command line, one file per group of verbs |
//! | [`serve`] | puts the parts together and runs the gateway until it is told to stop |
//! | [`http`] | the public API and the ops listener |
//! | [`app`] | the use-cases: add, status, services, balance; forward, poll, sync |
//! | [`store`], [`cache`], [`upstream`], [`config`] | adapters: the ledger's database, rendered statuses, the panels, `providers.toml` |
//! | [`domain`] | pure code: money, prices, the catalogue, the life of an order |
//! | [`sandbox`] | a simulated upstream, for trying a configuration and for tests |
//! | [`redis_link`] | a connection to a Redis that may fail |
//! | [`task`], [`telemetry`] | background tasks; logs and metrics |

pub mod app;
pub mod cache;
pub mod cli;
pub mod config;
pub mod domain;
pub mod http;
pub mod redis_link;
pub mod sandbox;
pub mod serve;
pub mod store;
pub mod task;
pub mod telemetry;
pub mod upstream;
