//! The `tollgate` program.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tollgate::cli::{self, Cli, ExitStatus};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell where this can't be printed.
            let _ = error.print();
            return if error.use_stderr() { ExitStatus::BadUsage.into() } else { ExitStatus::Done.into() };
        }
    };
    run(cli).unwrap_or_else(|error| cli::report(&error)).into()
}

fn run(cli: Cli) -> anyhow::Result<ExitStatus> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the system gives no threads to run on")?;
    runtime.block_on(cli::run(cli))
}
