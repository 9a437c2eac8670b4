//! `tollgate sandbox`: one simulated upstream.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::output::fields;
use super::{Call, ExitStatus};
use crate::sandbox::{self, DEFAULT_KEY, Faults, Options, default_services, read_services};
use crate::serve;
use crate::telemetry::{self, LogFormat};

#[derive(Debug, Args)]
#[command(after_long_help = include_str!("../../docs/sandbox.md"))]
pub(super) struct SandboxOptions {
    /// Where it listens; port 0 for any free one.
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// The API key that it takes.
    #[arg(long, default_value = DEFAULT_KEY)]
    key: String,
    /// What it sells: a panel's `services` answer.
    #[arg(long, value_name = "FILE")]
    services: Option<PathBuf>,
    /// How it misbehaves, such as `close-after@add:0.3`; the list of faults is in the long help.
    #[arg(long, value_name = "SPEC")]
    faults: Option<Faults>,
    /// How many times faster orders advance; at 0 they stand still.
    #[arg(long, value_name = "N", default_value = "1")]
    speed: u32,
    /// Where accepted orders are written down.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

#[derive(Serialize)]
struct SandboxDocument {
    url: String,
    key: String,
}

pub(super) async fn sandbox(call: &Call, options: SandboxOptions) -> anyhow::Result<ExitStatus> {
    telemetry::init_logs(LogFormat::Text)?;
    let services = match &options.services {
        Some(file) => read_services(file)?,
        None => default_services(),
    };
    let SandboxOptions { listen, key, faults, speed, journal, .. } = options;
    let faults = faults.unwrap_or_default();
    let stopped = serve::told_to_stop()?;
    let panel =
        sandbox::start(Options { listen, key: key.clone(), services, faults, speed, journal, ..Options::default() })
            .await?;
    let document = SandboxDocument { url: panel.url(), key };
    call.output.print(&document, || fields([("url", document.url.clone()), ("key", document.key.clone())]))?;
    stopped.await;
    panel.shutdown().await;
    Ok(ExitStatus::Done)
}
