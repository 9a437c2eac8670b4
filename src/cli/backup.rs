//! `tollgate backup` and `tollgate restore`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

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
/// How often, and how far apart, it is looked whether a gateway keeps its place.
const LOOKS: u32 = 30;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Of a store that is no file.
const PG_DUMP: &str =
    "the store is a PostgreSQL database: copy it with pg_dump --format=custom, as docs/operations.md says";
const PG_RESTORE: &str = "the store is a PostgreSQL database: stop every gateway, put the copy into an empty database with \
     pg_restore, and then run `tollgate restore --after-pg-restore`, as docs/operations.md says";

#[derive(Debug, Args)]
pub(super) struct BackupOptions {
    /// The copy, a new file.
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct RestoreOptions {
    /// A file that `tollgate backup` made.
    #[arg(required_unless_present = "after_pg_restore")]
    file: Option<PathBuf>,
    /// The store is a PostgreSQL database that pg_restore has just filled: make it ready for a gateway.
    #[arg(long, conflicts_with = "file")]
    after_pg_restore: bool,
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
    /// `null` for a database.
    file: Option<PathBuf>,
    /// The store that was there before, under its new name.
    replaced: Option<PathBuf>,
    /// How many orders are uncertain since they may have been sent after the backup was made.
    uncertain: usize,
}

pub(super) async fn restore(call: &Call, options: RestoreOptions) -> anyhow::Result<ExitStatus> {
    let settings = call.settings()?;
    let document = match (&settings.store, options.file) {
        (StoreUrl::Sqlite(path), Some(file)) => restore_file(&settings, path, file).await?,
        (StoreUrl::Sqlite(_), None) => bail!("the store is a file: name the backup that is to take its place"),
        (StoreUrl::Postgres(_), None) => take_up_database(&settings).await?,
        (StoreUrl::Postgres(_), Some(_)) => bail!(PG_RESTORE),
    };
    call.output.print(&document, || describe(&document))?;
    Ok(ExitStatus::Done)
}

async fn restore_file(settings: &Settings, path: &Path, file: PathBuf) -> anyhow::Result<RestoredDocument> {
    if is_same(path, &file) {
        bail!("{} is the store itself", file.display());
    }
    let restore = Restore::begin(path, &file)?;
    if !restore.failures.is_empty() {
        tell(&restore.failures);
        bail!("{} is no healthy store: nothing was changed", file.display());
    }
    let at = now();
    let uncertain = make_ready(settings, restore.open()?, at).await.context("nothing was changed")?;
    let replaced = restore.finish(&mark(at))?;
    Ok(RestoredDocument { file: Some(file), replaced, uncertain })
}

/// Makes a database ready that `pg_restore` has filled. Paused first: should this end half-way, no order leaves.
async fn take_up_database(settings: &Settings) -> anyhow::Result<RestoredDocument> {
    // The place of a gateway that was there when the copy was made comes with it, and nobody keeps it.
    let mut looks = 0_u32;
    while serve::gateway_running(settings).await? {
        looks = looks.saturating_add(1);
        if looks > LOOKS {
            bail!("a gateway serves this store: stop every gateway, and restore again");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let store = serve::open_postgres(settings).await?;
    let failures = store.verify().await?.failures;
    if !failures.is_empty() {
        tell(&failures);
        bail!("the database is no healthy store: nothing was changed");
    }
    let at = now();
    store.set_paused(None, true, at).await?;
    let uncertain = distrust_all(settings, &store, at).await.context("run this again once that is mended")?;
    store.begin_anew().await?;
    Ok(RestoredDocument { file: None, replaced: None, uncertain })
}

/// Takes from the copy what it can't know; it is closed when this returns.
async fn make_ready(settings: &Settings, store: SqliteStore, at: Timestamp) -> anyhow::Result<usize> {
    let uncertain = distrust_all(settings, &store, at).await?;
    store.begin_anew().await?;
    store.set_paused(None, true, at).await?;
    Ok(uncertain)
}

async fn distrust_all(settings: &Settings, store: &dyn Store, at: Timestamp) -> anyhow::Result<usize> {
    let snapshot = Snapshot::new(Arc::new(serve::terms(settings)), lists(store.catalogues().await?));
    Ok(distrust(store, &snapshot.catalogue, at).await?)
}

fn describe(document: &RestoredDocument) -> String {
    let mut lines = vec![match &document.file {
        Some(file) => format!("restored from {}", file.display()),
        None => "the database is ready for a gateway".to_owned(),
    }];
    if let Some(replaced) = &document.replaced {
        lines.push(format!("the store that was there is {} now", replaced.display()));
    }
    lines.push(format!(
        "uncertain orders, since they may have been sent after the backup was made: {}; see `tollgate orders list --state \
         uncertain`",
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
