//! `tollgate key`: several keys for a client, so that one can be changed with no gap.

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;

use super::output::{or_dash, table, talk, time};
use super::{Call, ExitStatus, now, values};
use crate::app::auth;
use crate::store::records::{KeyRecord, NewKey};

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

/// A new random key of 32 hexadecimal characters, and what is stored of it.
pub(super) fn new_key(label: String, read_only: bool) -> anyhow::Result<(String, NewKey)> {
    let text = auth::new_key().context("the system gives no random bytes: no key was made")?;
    let key = NewKey { hash: auth::hash_key(&text), label, read_only };
    Ok((text, key))
}

/// A key as it is listed.
#[derive(Debug, Serialize)]
pub(super) struct KeyDocument {
    id: i64,
    label: Option<String>,
    read_only: bool,
    created_at: String,
}

impl From<KeyRecord> for KeyDocument {
    fn from(key: KeyRecord) -> Self {
        Self {
            id: key.id,
            label: (!key.label.is_empty()).then_some(key.label),
            read_only: key.read_only,
            created_at: time(key.created_at),
        }
    }
}

pub(super) fn key_table(keys: &[KeyDocument]) -> String {
    let rows = keys.iter().map(|key| {
        let rights = if key.read_only { "read only" } else { "all" };
        [key.id.to_string(), or_dash(key.label.as_ref()), rights.to_owned(), key.created_at.clone()]
    });
    table(["KEY", "LABEL", "RIGHTS", "CREATED"], rows)
}

#[derive(Serialize)]
struct AddedDocument<'a> {
    client: &'a str,
    id: i64,
    key: &'a str,
}

async fn add(call: &Call, name: &str, read_only: bool, label: Option<String>) -> anyhow::Result<()> {
    let store = call.store()?;
    let (text, new_key) = new_key(label.unwrap_or_default(), read_only)?;
    let record = store.add_key(name, new_key, now()).await?;
    if !call.output.is_json() {
        talk(&format!("client {name} has a new key {}; it is shown only now:", record.id));
    }
    Ok(call.output.print(&AddedDocument { client: name, id: record.id, key: &text }, || text.clone())?)
}

async fn list(call: &Call, name: &str) -> anyhow::Result<()> {
    let keys = call.store()?.account(name).await?.keys;
    let documents: Vec<KeyDocument> = keys.into_iter().map(KeyDocument::from).collect();
    Ok(call.output.print(&documents, || key_table(&documents))?)
}

#[derive(Serialize)]
struct RevokedDocument<'a> {
    client: &'a str,
    id: i64,
}

async fn revoke(call: &Call, name: &str, id: i64) -> anyhow::Result<()> {
    call.store()?.revoke_key(name, id).await?;
    let document = RevokedDocument { client: name, id };
    Ok(call.output.print(&document, || format!("key {id} of client {name} is revoked"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_random_and_only_its_hash_is_kept() {
        let (text, key) = new_key("spare".into(), true).unwrap();
        assert_eq!(text.len(), 32);
        assert!(text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{text}");
        assert_eq!(key.hash, auth::hash_key(&text));
        assert_eq!((key.label.as_str(), key.read_only), ("spare", true));
        assert_ne!(new_key(String::new(), false).unwrap().0, text);
    }
}
