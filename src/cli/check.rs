//! `tollgate check`: the configuration, every mistake at once; and, where it has none, what the providers say to it,
//! and what it would change.

use clap::Args;
use serde::Serialize;

use super::check_diff::{self, DiffDocument};
use super::check_online::{self, CacheDocument, OnlineDocument};

use super::output::talk;
use super::{Call, ExitStatus};
use crate::config::{ConfigErrors, Mistake, Settings};
use crate::serve::{read_secrets_at_hand, warnings};

#[derive(Debug, Args)]
pub(super) struct CheckOptions {
    /// Also ask each provider for its balance and services, and Redis whether it does what it is for.
    #[arg(long)]
    online: bool,
    /// Also compare with what is served: services, prices, and open orders that are touched.
    #[arg(long)]
    diff: bool,
}

#[derive(Debug, Default, Serialize)]
struct CheckDocument {
    ok: bool,
    mistakes: Vec<MistakeDocument>,
    warnings: Vec<String>,
    /// `null` where it was not asked for; so for `diff`.
    online: Option<Vec<OnlineDocument>>,
    /// `null` where it was not asked for, or is in memory.
    cache: Option<CacheDocument>,
    diff: Option<DiffDocument>,
}

#[derive(Debug, Serialize)]
struct MistakeDocument {
    file: String,
    line: Option<usize>,
    column: Option<usize>,
    message: String,
}

impl From<&Mistake> for MistakeDocument {
    fn from(mistake: &Mistake) -> Self {
        Self {
            file: mistake.file.display().to_string(),
            line: mistake.place.map(|place| place.line),
            column: mistake.place.map(|place| place.column),
            message: mistake.message.clone(),
        }
    }
}

/// Secrets are read too: one that is missing shall show here, not at the next start. Those that only the gateway's unit has
/// can't be.
pub(super) async fn check(call: &Call, options: &CheckOptions) -> anyhow::Result<ExitStatus> {
    let (settings, errors) = match call.settings() {
        Ok(settings) => {
            let errors = read_secrets_at_hand(&settings).err();
            (Some(settings), errors)
        }
        Err(errors) => (None, Some(errors.with_secrets())),
    };
    let mut document = document(settings.as_ref(), errors.as_ref());
    if !call.output.is_json() {
        for warning in &document.warnings {
            talk(&format!("warning: {warning}"));
        }
        if let Some(errors) = errors {
            return Err(errors.into());
        }
    }
    if let Some(settings) = settings.as_ref().filter(|_| document.ok) {
        look_further(settings, options, &mut document).await?;
    }
    call.output.print(&document, || settings.as_ref().map(|s| describe(s, &document)).unwrap_or_default())?;
    let failed = document.online.iter().flatten().any(OnlineDocument::has_failed)
        || document.cache.as_ref().is_some_and(CacheDocument::has_failed);
    let dead_routes = document.online.iter().flatten().any(OnlineDocument::has_dead_routes);
    let refused = document.diff.as_ref().is_some_and(DiffDocument::is_refused);
    Ok(match document.ok {
        false => ExitStatus::BadUsage,
        true if dead_routes => ExitStatus::BadUsage,
        true if failed || refused => ExitStatus::Failed,
        true => ExitStatus::Done,
    })
}

/// `ok` goes on telling of the file alone.
async fn look_further(settings: &Settings, options: &CheckOptions, document: &mut CheckDocument) -> anyhow::Result<()> {
    if options.diff {
        document.diff = Some(check_diff::diff(settings).await?);
    }
    if options.online {
        document.cache = check_online::cache(settings).await?;
        document.online = Some(check_online::online(settings).await?);
    }
    Ok(())
}

fn describe(settings: &Settings, document: &CheckDocument) -> String {
    let diff = document.diff.as_ref().map(check_diff::describe);
    let online = document.online.as_deref().map(check_online::describe);
    let cache = document.cache.as_ref().map(CacheDocument::describe);
    [Some(summary(settings)), diff, cache, online].into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn document(settings: Option<&Settings>, errors: Option<&ConfigErrors>) -> CheckDocument {
    let mistakes = errors.map(ConfigErrors::mistakes).unwrap_or_default();
    CheckDocument {
        ok: mistakes.is_empty(),
        mistakes: mistakes.iter().map(MistakeDocument::from).collect(),
        warnings: settings.map(all_warnings).unwrap_or_default(),
        online: None,
        cache: None,
        diff: None,
    }
}

fn all_warnings(settings: &Settings) -> Vec<String> {
    let out_of_reach = settings.out_of_reach().into_iter().map(|secret| {
        format!("{secret} was not looked at: without $CREDENTIALS_DIRECTORY only the gateway, started by systemd, can read it")
    });
    [settings.warnings.clone(), warnings(settings), out_of_reach.collect()].concat()
}

fn summary(settings: &Settings) -> String {
    let (providers, services, imports) = (settings.providers.len(), settings.services.len(), settings.imports.len());
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    format!(
        "{} has no mistakes: {}, {} by hand, {}",
        settings.file.display(),
        plural(providers, "provider"),
        plural(services, "service"),
        plural(imports, "import"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::super::tests::settings;
    use super::*;
    use crate::config;

    #[test]
    fn a_good_file_is_summed_up() {
        let settings = settings();
        assert!(summary(&settings).ends_with("has no mistakes: 2 providers, 1 service by hand, 0 imports"));
        assert_eq!(to_value(document(Some(&settings), None)).unwrap()["ok"], json!(true));
    }

    #[test]
    fn every_mistake_has_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("providers.toml");
        std::fs::write(&file, "[server]\nlisten = 5\nlitsen = 6\n").unwrap();
        let errors = config::load(&file).unwrap_err();
        let document = to_value(document(None, Some(&errors))).unwrap();
        assert_eq!(document["ok"], json!(false));
        let places: Vec<_> = document["mistakes"].as_array().unwrap().iter().map(|mistake| &mistake["line"]).collect();
        assert_eq!(places, [&json!(2), &json!(3)], "{document}");
        assert_eq!(document["mistakes"][0]["column"], json!(10));
        assert_eq!(document["mistakes"][0]["file"], json!(file.display().to_string()));
    }
}
