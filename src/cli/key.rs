//! `tollgate key`: several keys for a client, so that one can be changed with no gap.

use clap::Subcommand;

use super::output::{or_dash, table, talk};
use super::{Call, ExitStatus, now, values};
use crate::app::accounts;
use crate::app::accounts::documents::KeyDocument;

#[derive(Debug, Subcommand)]
pub(super) enum KeyVerb {
    /// Make another key for a client and print it; it is shown only then.
    Add {
        /// The client.
        name: String,
        /// It may ask, but not order.
        #[arg(long)]
        read_only: bool,
        /// Your own name for it.
        #[arg(long, value_name = "TEXT", value_parser = values::name)]
        label: Option<String>,
    },
    /// A client's keys, without themselves.
    List {
        /// The client.
        name: String,
    },
    /// Take a key away from a client; it stops within two seconds.
    Revoke {
        /// The client.
        name: String,
        /// The key's number, as `key list` shows it.
        id: i64,
    },
}

pub(super) async fn run(call: &Call, verb: KeyVerb) -> anyhow::Result<ExitStatus> {
    match verb {
        KeyVerb::Add { name, read_only, label } => add(call, &name, read_only, label).await?,
        KeyVerb::List { name } => list(call, &name).await?,
        KeyVerb::Revoke { name, id } => revoke(call, &name, id).await?,
    }
    Ok(ExitStatus::Done)
}

pub(super) fn key_table(keys: &[KeyDocument]) -> String {
    let rows = keys.iter().map(|key| {
        let rights = if key.read_only { "read only" } else { "all" };
        [key.id.to_string(), or_dash(key.label.as_ref()), rights.to_owned(), key.created_at.clone()]
    });
    table(["KEY", "LABEL", "RIGHTS", "CREATED"], rows)
}

async fn add(call: &Call, name: &str, read_only: bool, label: Option<String>) -> anyhow::Result<()> {
    let document = accounts::add_key(&*call.store().await?, name, label, read_only, now()).await?;
    if !call.output.is_json() {
        talk(&format!("client {name} has a new key {}; it is shown only now:", document.id));
    }
    Ok(call.output.print(&document, || document.key.clone())?)
}

async fn list(call: &Call, name: &str) -> anyhow::Result<()> {
    let documents = accounts::keys(&*call.store().await?, name).await?;
    Ok(call.output.print(&documents, || key_table(&documents))?)
}

async fn revoke(call: &Call, name: &str, id: i64) -> anyhow::Result<()> {
    let document = accounts::revoke_key(&*call.store().await?, name, id).await?;
    Ok(call.output.print(&document, || format!("key {id} of client {name} is revoked"))?)
}
