//! The command line: what an operator types, and what is printed for it. One file for each group of verbs.
//!
//! Data goes to stdout, as tables or as one JSON document; talk goes to stderr. Verbs read and write the store
//! beside a running gateway; what calls upstreams is asked of that gateway, see [`ask`].

mod ask;
mod backup;
mod check;
mod check_diff;
mod check_online;
mod client;
mod client_terms;
mod key;
mod order_refills;
mod orders;
mod output;
mod pause;
mod providers;
mod report;
mod resolve;
mod sandbox;
mod serve;
mod services;
#[cfg(test)]
mod tests;
mod values;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::config::{self, ConfigErrors, Settings};
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::sqlite::OpenMode;
use crate::task::Clock;
use output::Output;

/// A gateway between resellers and the upstream panels whose services they sell.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version)]
pub struct Cli {
    /// The configuration.
    #[arg(long, global = true, env = "TOLLGATE_CONFIG", default_value = "providers.toml", value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON document in place of tables.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the gateway; SIGTERM drains and stops it.
    Serve(serve::ServeOptions),
    /// Check the configuration; names every mistake at once.
    Check(check::CheckOptions),
    /// Try it: two simulated upstreams and a gateway before them, in a temporary folder.
    Demo,
    /// Run one simulated upstream, which can be told to misbehave.
    Sandbox(sandbox::SandboxOptions),
    /// Clients and their accounts.
    #[command(subcommand)]
    Client(client::ClientVerb),
    /// Clients' API keys.
    #[command(subcommand)]
    Key(key::KeyVerb),
    /// What is sold, with costs, rates and margins.
    Services(services::ServicesOptions),
    /// Each provider's balance, state and last sync.
    Providers,
    /// Let no order leave, for one provider or at all; `add` goes on being accepted.
    Pause(pause::PauseOptions),
    /// Let orders leave again.
    Resume(pause::PauseOptions),
    /// Fetch catalogues now and show what changed.
    Sync(providers::SyncOptions),
    /// Orders and their histories.
    #[command(subcommand)]
    Orders(orders::OrdersVerb),
    /// Orders, revenue, cost, refunds and margin.
    Report(report::ReportOptions),
    /// Recompute every balance and invariant in the store.
    Verify,
    /// Copy the store into a new file, also while the gateway runs.
    Backup(backup::BackupOptions),
    /// Put a backup into the store's place, while no gateway runs.
    Restore(backup::RestoreOptions),
}

/// How a verb ended, for whoever started the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It did what it was told.
    Done,
    /// It did not.
    Failed,
    /// It was told something that makes no sense, on the command line or in the configuration.
    BadUsage,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Done => 0,
            ExitStatus::Failed => 1,
            ExitStatus::BadUsage => 2,
        })
    }
}

/// A command line that can be parsed and still makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadUsage(&'static str);

/// Does what the command line says.
///
/// # Errors
/// Why it could not be done; [`report`] tells the operator.
pub async fn run(cli: Cli) -> anyhow::Result<ExitStatus> {
    let call = Call { config: cli.config, output: Output::new(cli.json) };
    match cli.verb {
        Verb::Serve(options) => serve::serve(&call, &options).await,
        Verb::Check(options) => check::check(&call, &options).await,
        Verb::Demo => serve::demo().await,
        Verb::Sandbox(options) => sandbox::sandbox(&call, options).await,
        Verb::Client(verb) => client::run(&call, verb).await,
        Verb::Key(verb) => key::run(&call, verb).await,
        Verb::Services(options) => services::services(&call, options).await,
        Verb::Providers => providers::providers(&call).await,
        Verb::Pause(options) => pause::set_paused(&call, options, true).await,
        Verb::Resume(options) => pause::set_paused(&call, options, false).await,
        Verb::Sync(options) => providers::sync(&call, options).await,
        Verb::Orders(verb) => orders::run(&call, verb).await,
        Verb::Report(options) => report::report(&call, options).await,
        Verb::Verify => verify::verify(&call).await,
        Verb::Backup(options) => backup::backup(&call, options),
        Verb::Restore(options) => backup::restore(&call, options).await,
    }
}

/// Tells the operator on stderr why a verb failed: mistakes in the configuration one a line, anything else as
/// one line with its causes.
pub fn report(error: &anyhow::Error) -> ExitStatus {
    if let Some(mistakes) = error.downcast_ref::<ConfigErrors>() {
        output::talk(&mistakes.to_string());
        return ExitStatus::BadUsage;
    }
    output::talk(&format!("tollgate: {}", output::printable(&one_line(error))));
    if error.is::<BadUsage>() { ExitStatus::BadUsage } else { ExitStatus::Failed }
}

/// The error with its causes, save those that the text before them quotes already.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// What every verb is given.
#[derive(Debug)]
struct Call {
    config: PathBuf,
    output: Output,
}

impl Call {
    fn settings(&self) -> Result<Settings, ConfigErrors> {
        config::load(&self.config)
    }

    /// The store that the configuration names, as it is: only `serve` makes or migrates one.
    async fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        crate::serve::open_store(&self.settings()?, OpenMode::Tool).await
    }
}

fn now() -> Timestamp {
    Clock::system().now()
}
