//! The public API: shapes, encodings, paths and HTTP as existing scripts rely on them.

mod encodings;
mod leaks;
mod shapes;
mod status;
mod transport;

use tollgate::sandbox::Sandbox;

use crate::harness::{Config, Gateway, upstream};

/// A gateway that sells the whole list of one upstream: our ID is theirs and 1000.
async fn shop(speed: u32) -> (Sandbox, Gateway) {
    let alpha = upstream(speed).await;
    let gateway = Gateway::start(&Config::new("").provider("alpha", &alpha, "").text(IMPORT)).await;
    (alpha, gateway)
}

const IMPORT: &str = "[[import]]\nprovider = \"alpha\"\nid_offset = 1000";
