//! `tollgate serve` and `tollgate demo`.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::{Call, ExitStatus};
use crate::config::ConfigErrors;
use crate::serve;
use crate::telemetry::{self, LogFormat};

#[derive(Debug, Args)]
pub(super) struct ServeOptions {
    /// How the log on stderr is written; TOLLGATE_LOG says how much of it.
    #[arg(long, default_value = "text", value_parser = log_format())]
    log_format: LogFormat,
}

fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    PossibleValuesParser::new(["text", "json"])
        .map(|word| if word == "json" { LogFormat::Json } else { LogFormat::Text })
}

pub(super) async fn serve(call: &Call, options: &ServeOptions) -> anyhow::Result<ExitStatus> {
    telemetry::init_logs(options.log_format)?;
    serve::run(call.settings().map_err(ConfigErrors::with_secrets)?).await?;
    Ok(ExitStatus::Done)
}

pub(super) async fn demo() -> anyhow::Result<ExitStatus> {
    telemetry::init_logs(LogFormat::Text)?;
    serve::demo().await?;
    Ok(ExitStatus::Done)
}
