//! The secrets of a configuration, and the store's address, which is one.

use anyhow::Context;
use secrecy::SecretString;

use crate::config::{ConfigErrors, Secrets, Settings};
use crate::store::postgres::PostgresStore;

/// The store's address, where it is one of PostgreSQL.
pub(super) fn postgres_url(settings: &Settings) -> anyhow::Result<SecretString> {
    let url = settings.read_store_url()?.context("store.url is no PostgreSQL address")?;
    let url = PostgresStore::resolve(&url, settings.folder());
    Ok(PostgresStore::problem(&url).map_or(Ok(url), |problem| Err(settings.bad_store_url(&problem)))?)
}

/// Reads every secret that the file names, and looks whether the store's address can be used.
///
/// # Errors
/// [`ConfigErrors`] with everything that is wrong with them, each at its place in the file.
pub fn read_secrets(settings: &Settings) -> Result<Secrets, ConfigErrors> {
    with_store_url(settings, settings.read_secrets())
}

/// The same without those that only the gateway's unit has.
///
/// # Errors
/// As [`read_secrets`].
pub fn read_secrets_at_hand(settings: &Settings) -> Result<Secrets, ConfigErrors> {
    with_store_url(settings, settings.read_secrets_at_hand())
}

fn with_store_url(settings: &Settings, secrets: Result<Secrets, ConfigErrors>) -> Result<Secrets, ConfigErrors> {
    let url = settings.read_store_url().ok().flatten();
    let problem = url.and_then(|url| PostgresStore::problem(&PostgresStore::resolve(&url, settings.folder())));
    let bad_url = problem.map(|problem| settings.bad_store_url(&problem));
    match (secrets, bad_url) {
        (secrets, None) => secrets,
        (Ok(_), Some(errors)) => Err(errors),
        (Err(others), Some(errors)) => Err(others.and(errors)),
    }
}
