//! SIGHUP: the configuration is read again. A good one is in force at once; a bad one is reported, and the old one
//! stays.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;

use super::parts::{self, terms};
use super::secrets::read_secrets;
use crate::app::running::Changes;
use crate::app::{App, ReloadError, Upstreams};
use crate::config::{self, ConfigErrors, Secrets, Settings};
use crate::http::TrustedProxies;

/// How many providers are named in the log; the rest is counted.
const NAMED: usize = 20;

/// What is read again, and what of it is in force.
pub(super) struct Reloader {
    app: Arc<App>,
    proxies: Arc<TrustedProxies>,
    /// What the gateway was started with: some of it holds until its end.
    started: (Settings, Secrets),
    present: (Settings, Secrets),
    longest_add: Duration,
}

impl Reloader {
    pub(super) fn new(app: Arc<App>, proxies: Arc<TrustedProxies>, settings: Settings, secrets: Secrets) -> Self {
        let longest_add = longest_add(&settings);
        let started = (settings.clone(), secrets.clone());
        Self { app, proxies, started, present: (settings, secrets), longest_add }
    }

    /// The longest `add_timeout` that any call under way may have.
    pub(super) const fn longest_add(&self) -> Duration {
        self.longest_add
    }

    /// Reloads at each signal until `ending`.
    pub(super) async fn follow(&mut self, hangups: &mut Signal, ending: &CancellationToken) {
        let mut attendance = self.app.attendance();
        let mut known = attendance.borrow().versions.configuration;
        loop {
            let by_others = tokio::select! {
                () = ending.cancelled() => return,
                signal = hangups.recv() => if signal.is_none() { return } else { false },
                told = attendance.wait_for(|now| now.versions.configuration > known) => match told {
                    Ok(_) => true,
                    Err(_) => return,
                },
            };
            known = known.max(attendance.borrow().versions.configuration);
            // Not being under systemd is no failure.
            if let Ok(now) = sd_notify::NotifyState::monotonic_usec_now() {
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Reloading, now]);
            }
            known = known.max(self.reload(by_others).await);
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        }
    }

    /// Gives the number of the change that the other gateways were told of; 0 for none.
    async fn reload(&mut self, by_others: bool) -> i64 {
        let file = self.present.0.file.clone();
        let why = if by_others { "another gateway has read its configuration again" } else { "SIGHUP" };
        tracing::info!("{why}: reading {} again", file.display());
        match self.try_reload().await {
            Ok(summary) => {
                tracing::info!("reloaded {}: {summary}", file.display());
                if by_others {
                    return 0;
                }
                match self.app.tell_of_configuration().await {
                    Ok(number) => return number,
                    Err(error) => tracing::warn!(
                        %error, "other gateways were not told to read their configurations again: reload them"
                    ),
                }
            }
            Err(error) => {
                match error.downcast_ref::<ConfigErrors>() {
                    Some(errors) => errors.mistakes().iter().for_each(|mistake| tracing::error!("{mistake}")),
                    None => tracing::error!("{error:#}"),
                }
                metrics::counter!(crate::telemetry::ALERTS).increment(1);
                tracing::error!("{} was not reloaded: the configuration before stays in force", file.display());
            }
        }
        0
    }

    /// Gives what changed, in one line.
    async fn try_reload(&mut self) -> anyhow::Result<String> {
        let settings = config::load(&self.present.0.file).map_err(ConfigErrors::with_secrets)?;
        let secrets = read_secrets(&settings)?;
        let refused = refusals(&self.present.0, &settings);
        if !refused.is_empty() {
            return Err(ConfigErrors::missing(&settings.file, refused).into());
        }
        let before = self.app.upstreams();
        let upstreams = parts::next_upstreams(
            &before,
            (&self.present.0, &self.present.1),
            (&settings, &secrets),
            self.app.limits(),
        )?;
        let serving = parts::digest(&settings, &secrets, self.app.store().id());
        let changes = self.app.reload(terms(&settings), upstreams, serving).await.map_err(|error| match error {
            ReloadError::Refused(reasons) => ConfigErrors::missing(&settings.file, reasons).into(),
            ReloadError::Store(error) => anyhow::Error::from(error),
        })?;
        self.proxies.set(settings.server.trusted_proxies.clone());
        self.longest_add = self.longest_add.max(longest_add(&settings));
        let later = later((&self.started.0, &self.started.1), (&settings, &secrets));
        for warning in settings.warnings.iter().chain(&parts::warnings(&settings)).chain(&later) {
            tracing::warn!("{}: {warning}", settings.file.display());
        }
        let summary = summary(&changes, &changed(&before, &self.app.upstreams(), &self.present.0, &settings));
        self.present = (settings, secrets);
        Ok(summary)
    }
}

fn longest_add(settings: &Settings) -> Duration {
    settings.providers.iter().map(|provider| provider.add_timeout).max().unwrap_or_default()
}

/// What can't be changed under a running gateway, and must not look as if it could.
fn refusals(present: &Settings, next: &Settings) -> Vec<String> {
    let mut refused = Vec::new();
    if present.store != next.store {
        refused.push(
            "expected store.url to stay the same while the gateway runs, found another one: stop the gateway to change it"
                .to_owned(),
        );
    }
    let (old, new) = (&present.pricing.currency, &next.pricing.currency);
    if old != new {
        refused.push(format!(
            "expected pricing.currency to stay {old:?} while the gateway runs, found {new:?}: every balance is kept in it"
        ));
    }
    refused
}

/// What is another than at the start, and is so only after the next one.
fn later(started: (&Settings, &Secrets), next: (&Settings, &Secrets)) -> Vec<String> {
    let same_secret = |old: &Option<SecretString>, new: &Option<SecretString>| {
        old.as_ref().map(ExposeSecret::expose_secret) == new.as_ref().map(ExposeSecret::expose_secret)
    };
    let (old, new) = (&started.0.server, &next.0.server);
    let changed = [
        ("server.listen", old.listen != new.listen),
        ("server.ops_listen", old.ops_listen != new.ops_listen),
        ("server.ops_token", !same_secret(&started.1.ops_token, &next.1.ops_token)),
        ("cache.url", !same_secret(&started.1.cache_url, &next.1.cache_url)),
        ("cache.timeout", started.0.cache.timeout != next.0.cache.timeout),
    ];
    let names = changed.into_iter().filter_map(|(name, changed)| changed.then_some(name));
    names.map(|name| format!("{name} was changed: that takes effect at the next start of the gateway")).collect()
}

/// Providers that stay and are called in another way, or that have another mode.
fn changed(before: &Upstreams, now: &Upstreams, present: &Settings, next: &Settings) -> Vec<String> {
    let described = next.providers.iter().filter_map(|provider| {
        let id = &provider.id;
        let old = present.providers.iter().find(|old| old.id == *id)?;
        if old.mode != provider.mode {
            return Some(format!("{id} (now {})", parts::mode(provider.mode)));
        }
        (!Arc::ptr_eq(before.get(id)?, now.get(id)?)).then(|| id.to_string())
    });
    described.collect()
}

fn summary(changes: &Changes, changed: &[String]) -> String {
    let moved: Vec<String> = changes.moved.iter().map(|(id, _, host)| format!("{id} to {host}")).collect();
    let mut parts = Vec::new();
    for (what, providers) in [
        ("new", &changes.providers_gained),
        ("gone", &changes.providers_lost),
        ("moved", &moved),
        ("changed", &changed.to_vec()),
    ] {
        if !providers.is_empty() {
            let named = providers.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            parts.push(format!("{} {what}: {named}", providers.len()));
        }
    }
    let providers = if parts.is_empty() { "as before".to_owned() } else { parts.join("; ") };
    let (gained, lost) = (changes.gained.len(), changes.lost.len());
    let (repriced, rerouted) = (changes.repriced.len(), changes.rerouted.len());
    format!("providers {providers}; services {gained} gained, {lost} lost, {repriced} repriced, {rerouted} rerouted")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::StoreUrl;

    fn settings(lines: &str) -> (Settings, Secrets) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("providers.toml");
        std::fs::write(&file, lines).unwrap();
        let settings = config::load(&file).unwrap();
        let secrets = settings.read_secrets().unwrap();
        (settings, secrets)
    }

    #[test]
    fn neither_the_store_nor_the_currency_changes_under_a_running_gateway() {
        let (present, _) = settings("");
        assert!(refusals(&present, &present).is_empty());
        let mut next = present.clone();
        next.pricing.currency = "EUR".into();
        next.store = StoreUrl::Sqlite("other.db".into());
        let refused = refusals(&present, &next);
        assert!(refused.len() == 2 && refused[0].contains("store.url") && refused[1].contains("pricing.currency"));
    }

    #[test]
    fn what_waits_for_the_next_start_is_told() {
        let (old, old_secrets) = settings("");
        let (new, new_secrets) = settings(
            "[server]\nlisten = \"127.0.0.1:1\"\nops_listen = \"127.0.0.1:2\"\nops_token = \"open-sesame-1\"\n\
             [cache]\nurl = \"redis://127.0.0.1:3\"\ntimeout = \"1s\"\n",
        );
        let told = later((&old, &old_secrets), (&new, &new_secrets));
        let names: Vec<&str> = told.iter().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(names, ["server.listen", "server.ops_listen", "server.ops_token", "cache.url", "cache.timeout"]);
        assert!(!told.concat().contains("sesame"));
        assert!(later((&new, &new_secrets), (&new, &new_secrets)).is_empty());
    }

    #[test]
    fn a_summary_names_providers_and_counts_services() {
        assert_eq!(
            summary(&Changes::default(), &[]),
            "providers as before; services 0 gained, 0 lost, 0 repriced, 0 rerouted"
        );
        let changes = Changes {
            providers_gained: vec!["gamma".into()],
            moved: vec![("beta".into(), "b.test".into(), "x.test".into())],
            ..Changes::default()
        };
        assert_eq!(
            summary(&changes, &["alpha (now drain)".into()]),
            "providers 1 new: gamma; 1 moved: beta to x.test; 1 changed: alpha (now drain); \
             services 0 gained, 0 lost, 0 repriced, 0 rerouted"
        );
    }
}
