//! What every test needs: a gateway as a process of its own, upstreams that obey, and waiting for conditions.

pub mod caller;
pub mod certificate;
pub mod config;
pub mod database;
pub mod disk;
#[path = "../../../src/task/free_port.rs"]
mod free_port;
pub mod gateway;
pub mod nginx;
mod operator;
#[path = "../../../src/task/path.rs"]
pub mod path;
#[path = "../../../src/store/postgres/tests/cluster.rs"]
pub mod postgres;
pub mod program;
pub mod raw;
pub mod redis;
mod reload;
pub mod traces;
pub mod wait;

pub use caller::Caller;
pub use config::Config;
pub use disk::Disk;
pub use free_port::free_port;
pub use gateway::Gateway;
pub use path::{Path, Way};
pub use postgres::Cluster;
pub use program::Program;
pub use raw::{RawAnswer, only_error, post_raw, raw};
pub use redis::Redis;
pub use traces::Traces;
pub use wait::eventually;

use tollgate::sandbox::{self, Options, Sandbox};

/// An upstream whose orders pass through their life `speed` times faster than the usual 20 seconds.
pub async fn upstream(speed: u32) -> Sandbox {
    upstream_with(Options { speed, ..Options::default() }).await
}

/// How often the upstream accepted an order with that link.
pub fn accepted(upstream: &Sandbox, link: &str) -> usize {
    upstream.orders().iter().filter(|order| order.link == link).count()
}

/// An upstream with these options.
pub async fn upstream_with(options: Options) -> Sandbox {
    sandbox::start(options).await.unwrap()
}
