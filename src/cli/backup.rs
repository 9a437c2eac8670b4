//! `tollgate backup` and `tollgate restore`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use super::output::{printable, talk};
use super::services::lists;
use super::{Call, ExitStatus, now};
use crate::app::restore::distrust;
use crate::app::snapshot::Snapshot;
use crate::config::Settings;
use crate::config::settings::StoreUrl;
use crate::domain::time::Timestamp;
use crate::serve;
use crate::store::Store;
use crate::store::sqlite::{Restore, SqliteStore};

/// How many failures of a backup are named.
const NAMED: usize = 20;
/// Of a store that is no file.
const PG_DUMP: &str = "the store is a PostgreSQL database: copy it with pg_dump, and put the copy back with pg_restore into \
     an empty database while no gateway runs";

#[derive(Debug, Args)]
pub(super) struct BackupOptions {
    /// The copy, a new file.
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct RestoreOptions {
    /// A file that `tollgate backup` made.
    file: PathBuf,
}

#[derive(Serialize)]
struct BackupDocument {
    file: PathBuf,
    bytes: u64,
    /// What does not hold in the copy, and so in the store.
    failures: Vec<String>,
}

pub(super) fn backup(call: &Call, options: BackupOptions) -> anyhow::Result<ExitStatus> {
    let settings = call.settings()?;
    let StoreUrl::Sqlite(path) = &settings.store else { bail!(PG_DUMP) };
    let failures = SqliteStore::backup(path, &options.file)?.failures;
    let bytes = std::fs::metadata(&options.file)?.len();
    let document = BackupDocument { file: options.file, bytes, failures };
    call.output.print(&document, || format!("{}: {bytes} bytes", document.file.display()))?;
    if document.failures.is_empty() {
        return Ok(ExitStatus::Done);
    }
    talk("tollgate: the store was copied as it is, but something in it does not hold; run `tollgate verify`:");
    tell(&document.failures);
    Ok(ExitStatus::Failed)
}

#[derive(Serialize)]
struct RestoredDocument {
    file: PathBuf,
    /// The store that was there before, under its new name.
    replaced: Option<PathBuf>,
    /// How many orders are uncertain since they may have been sent after the backup was made.
    uncertain: usize,
}

pub(super) async fn restore(call: &Call, options: RestoreOptions) -> anyhow::Result<ExitStatus> {
    let settings = call.settings()?;
    let StoreUrl::Sqlite(path) = &settings.store else { bail!(PG_DUMP) };
    if is_same(path, &options.file) {
        bail!("{} is the store itself", options.file.display());
    }
    let restore = Restore::begin(path, &options.file)?;
    if !restore.failures.is_empty() {
        tell(&restore.failures);
        bail!("{} is no healthy store: nothing was changed", options.file.display());
    }
    let at = now();
    let uncertain = make_ready(&settings, restore.open()?, at).await.context("nothing was changed")?;
    let replaced = restore.finish(&mark(at))?;
    let document = RestoredDocument { file: options.file, replaced, uncertain };
    call.output.print(&document, || describe(&document))?;
    Ok(ExitStatus::Done)
}

/// Takes from the copy what it can't know; it is closed when this returns.
async fn make_ready(settings: &Settings, store: SqliteStore, at: Timestamp) -> anyhow::Result<usize> {
    let snapshot = Snapshot::new(Arc::new(serve::terms(settings)), lists(store.catalogues().await?));
    let uncertain = distrust(&store, &snapshot.catalogue, at).await?;
    store.begin_anew().await?;
    store.set_paused(None, true, at).await?;
    Ok(uncertain)
}

fn describe(document: &RestoredDocument) -> String {
    let mut lines = vec![format!("restored from {}", document.file.display())];
    if let Some(replaced) = &document.replaced {
        lines.push(format!("the store that was there is {} now", replaced.display()));
    }
    lines.push(format!(
        "{} orders are uncertain, since they may have been sent after the backup was made: see `tollgate orders list \
         --state uncertain`",
        document.uncertain
    ));
    lines.push("no order leaves until you say `tollgate resume`".to_owned());
    lines.join("\n")
}

/// Part of a file's name: the second in UTC.
fn mark(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.millis()).unwrap_or(jiff::Timestamp::MAX);
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn tell(failures: &[String]) {
    for failure in failures.iter().take(NAMED) {
        talk(&printable(failure));
    }
    if failures.len() > NAMED {
        talk(&format!("{} failures in all", failures.len()));
    }
}
