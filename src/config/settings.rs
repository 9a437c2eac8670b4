//! `providers.toml` after checking: every value parsed, in range, and consistent with the others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use rust_decimal::Decimal;
use secrecy::{ExposeSecret, SecretString};

use super::mistake::{ConfigErrors, Place};
use super::redis_url::{self, REDIS_URL};
use super::secret::SecretRef;
use super::values;
use crate::domain::catalogue::{ImportDefinition, ServiceDefinition};
use crate::domain::ids::ProviderId;
use crate::domain::money::Percent;
use crate::domain::outcome::RejectKind;
use crate::domain::pricing::Markup;

/// The whole file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file itself, as the operator named it. Paths in it are relative to its folder.
    pub file: PathBuf,
    /// What is legal but risky, one sentence each, for the log at start and for `check`.
    pub warnings: Vec<String>,
    /// `[server]`
    pub server: ServerSettings,
    /// `[store]`
    pub store: StoreUrl,
    /// `[cache]`
    pub cache: CacheSettings,
    /// `[pricing]` and `[exchange_rates]`
    pub pricing: PricingSettings,
    /// `[dispatch]`
    pub dispatch: DispatchSettings,
    /// `[[provider]]`, in the file's order.
    pub providers: Vec<ProviderSettings>,
    /// `[[service]]`, in the file's order; routes name providers that exist.
    pub services: Vec<ServiceDefinition>,
    /// `[[import]]`, in the file's order.
    pub imports: Vec<ImportDefinition>,
}

impl Settings {
    /// The file's folder: what paths in it, those of secrets included, are relative to.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    /// Reads every secret that the file names, from where it names it.
    ///
    /// # Errors
    /// [`ConfigErrors`] with each secret that could not be read, at its place in the file.
    pub fn read_secrets(&self) -> Result<Secrets, ConfigErrors> {
        self.read_secrets_but(|_| false)
    }

    /// The same without those that only the gateway's unit has: see [`Settings::out_of_reach`].
    ///
    /// # Errors
    /// As [`Settings::read_secrets`].
    pub fn read_secrets_at_hand(&self) -> Result<Secrets, ConfigErrors> {
        self.read_secrets_but(SecretRef::is_out_of_reach)
    }

    /// The secrets that are credentials of systemd, where this process has none, as the file names them.
    #[must_use]
    pub fn out_of_reach(&self) -> Vec<String> {
        let store = match &self.store {
            StoreUrl::Postgres(secret) => Some(secret),
            StoreUrl::Sqlite(_) => None,
        };
        let cache = match &self.cache.url {
            CacheUrl::Redis(secret) => Some(secret),
            CacheUrl::Memory => None,
        };
        let keys = self.providers.iter().map(|provider| &provider.key);
        let all = self.server.ops_token.iter().chain(store).chain(cache).chain(keys);
        all.filter(|secret| secret.is_out_of_reach()).map(ToString::to_string).collect()
    }

    fn read_secrets_but(&self, left_out: impl Fn(&SecretRef) -> bool) -> Result<Secrets, ConfigErrors> {
        let folder = self.folder();
        let mut mistakes = Vec::new();
        let mut read = |secret: &SecretRef| match secret.read(folder) {
            _ if left_out(secret) => None,
            Ok(value) => Some(value),
            Err(error) => {
                mistakes.push((secret.place(), error.as_mistake()));
                None
            }
        };
        let ops_token = self.server.ops_token.as_ref().and_then(&mut read);
        let mut cache_url = match &self.cache.url {
            CacheUrl::Memory => None,
            CacheUrl::Redis(secret) => read(secret),
        };
        let keys = self.providers.iter().filter_map(|provider| Some((provider.id.clone(), read(&provider.key)?)));
        let provider_keys = keys.collect();
        if let (Some(url), CacheUrl::Redis(secret)) = (&cache_url, &self.cache.url) {
            match url.expose_secret() {
                "memory://" => cache_url = None,
                url => {
                    if let Err(problem) = redis_url::read(url) {
                        mistakes.push((secret.place(), format!("expected {REDIS_URL}, found {problem}, in {secret}")));
                    }
                }
            }
        }
        if !matches!(&self.store, StoreUrl::Postgres(secret) if left_out(secret)) {
            mistakes.extend(self.store_url().err());
        }
        if mistakes.is_empty() {
            return Ok(Secrets { provider_keys, ops_token, cache_url });
        }
        Err(ConfigErrors::at_places(&self.file, mistakes))
    }

    /// Reads the address of a PostgreSQL store; `None` where the store is a file.
    ///
    /// # Errors
    /// [`ConfigErrors`] where it could not be read or is no such address, at its place in the file.
    pub fn read_store_url(&self) -> Result<Option<SecretString>, ConfigErrors> {
        self.store_url().map_err(|mistake| ConfigErrors::at_places(&self.file, vec![mistake]))
    }

    /// The same, or its place with what is wrong there.
    fn store_url(&self) -> Result<Option<SecretString>, (Place, String)> {
        let StoreUrl::Postgres(secret) = &self.store else { return Ok(None) };
        let mistake = match secret.read(self.folder()) {
            Ok(url) if values::is_postgres_url(url.expose_secret()) => return Ok(Some(url)),
            Ok(_) => format!("expected {}, found other text in {secret}", values::POSTGRES_URL),
            Err(error) => error.as_mistake(),
        };
        Err((secret.place(), mistake))
    }

    /// That `store.url` is no address that can be used: what a look at it found, which must show nothing of it.
    #[must_use]
    pub fn bad_store_url(&self, problem: &str) -> ConfigErrors {
        let StoreUrl::Postgres(secret) = &self.store else {
            return ConfigErrors::missing(&self.file, vec![problem.to_owned()]);
        };
        let mistake = format!("expected {}, found one that can't be used in {secret}: {problem}", values::POSTGRES_URL);
        ConfigErrors::at_places(&self.file, vec![(secret.place(), mistake)])
    }
}

/// The secrets that the file names, read. `Debug` does not show them.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Every provider's API key.
    pub provider_keys: BTreeMap<ProviderId, SecretString>,
    /// `server.ops_token`, where it is set.
    pub ops_token: Option<SecretString>,
    /// The Redis URL; `None` where the cache is in memory.
    pub cache_url: Option<SecretString>,
}

impl Secrets {
    /// The Redis URL without user and password, to be shown.
    #[must_use]
    pub fn cache_address(&self) -> Option<String> {
        let mut url = redis_url::read(self.cache_url.as_ref()?.expose_secret()).ok()?;
        url.set_password(None).ok()?;
        url.set_username("").ok()?;
        Some(url.into())
    }
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where the public API listens.
    pub listen: SocketAddr,
    /// Where health, metrics and the console listen.
    pub ops_listen: SocketAddr,
    /// Demanded from whoever asks the ops listener where that is not on loopback.
    pub ops_token: Option<SecretRef>,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The first order's ID in an empty store, 1 to 2^31 - 1.
    pub first_order_id: u32,
}

/// `store.url`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite://PATH`, already relative to the file it stood in.
    Sqlite(PathBuf),
    /// `postgres://…`: the whole URL. It may hold a password, so it is never printed.
    Postgres(SecretRef),
}

impl StoreUrl {
    /// Whether several gateways may be on it at once.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(_) => true,
        }
    }
}

/// `[cache]`
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// `cache.url`
    pub url: CacheUrl,
    /// An order that is asked for is polled again once its last poll is older than this.
    pub status_ttl: Duration,
    /// How long a request waits for a shared cache at most.
    pub timeout: Duration,
}

/// `cache.url`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheUrl {
    /// `memory://`
    Memory,
    /// `redis://…` or `rediss://…`: the whole URL. It may hold a password, so it is never printed. Where it
    /// is read from elsewhere (`env:NAME`, …) it may still say `memory://`: see [`Secrets::cache_url`].
    Redis(SecretRef),
}

/// `[pricing]` and `[exchange_rates]`
#[derive(Debug, Clone)]
pub struct PricingSettings {
    /// What clients are charged in: three letters.
    pub currency: String,
    /// `markup_percent` and `markup_fixed`, where nothing nearer sets them.
    pub markup: Markup,
    /// A listed rate is rounded up to this many decimals, 0 to 5.
    pub rate_decimals: u32,
    /// Under it an order is neither sold nor forwarded.
    pub min_margin: Percent,
    /// One unit of each currency, in `currency`; holds `currency` itself at 1.
    pub exchange_rates: BTreeMap<String, Decimal>,
}

/// `[dispatch]`
#[derive(Debug, Clone, Copy)]
pub struct DispatchSettings {
    /// How long `add` waits for the upstream's word.
    pub wait: Duration,
    /// How long an order that no upstream can take is kept.
    pub hold_for: Duration,
    /// How long a closed order is watched for a late Partial or Canceled.
    pub watch_closed: Duration,
}

impl ProviderSettings {
    /// The host of its URL, with the port where that is not the scheme's own: whose panel this is.
    #[must_use]
    pub fn host(&self) -> String {
        let Ok(url) = self.url.parse::<reqwest::Url>() else { return self.url.clone() };
        let host = url.host_str().unwrap_or_default();
        url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

/// Whether a provider is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderMode {
    /// Fully in use.
    On,
    /// No new orders; old ones are followed.
    Drain,
    /// No calls at all.
    Off,
}

/// How an order whose ID was lost may be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recover {
    /// Not at all: the operator settles it.
    Off,
    /// By asking for the IDs between neighbouring orders; needs an exclusive account.
    Scan,
}

/// What a 503 to an `add` says where its body says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treat503 {
    /// The order may exist.
    Ambiguous,
    /// The operator vouches that this panel created nothing.
    NotPlaced,
}

/// `[[provider]]`
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// `id`
    pub id: ProviderId,
    /// The API's whole URL, `http` or `https`, with a host.
    pub url: String,
    /// The API key there.
    pub key: SecretRef,
    /// What it charges in: three letters; its exchange rate is known.
    pub currency: String,
    /// `mode`
    pub mode: ProviderMode,
    /// Over all kinds of calls; at least 0.01.
    pub requests_per_second: Decimal,
    /// How many calls may go at once after a quiet time; at least 1.
    pub burst: u32,
    /// How many calls may be under way at once; at least 1.
    pub max_in_flight: u32,
    /// For a connection, TLS included.
    pub connect_timeout: Duration,
    /// For a whole call that changes nothing.
    pub timeout: Duration,
    /// For a whole `add`.
    pub add_timeout: Duration,
    /// How often its catalogue is fetched.
    pub sync_every: Duration,
    /// Nothing is sold from an older list.
    pub max_catalogue_age: Duration,
    /// Warn under this balance, in its currency.
    pub low_balance: Decimal,
    /// False where that panel uses Partial for a pause.
    pub partial_is_final: bool,
    /// No orders are placed on that account except by this gateway.
    pub exclusive_account: bool,
    /// `recover`
    pub recover: Recover,
    /// Its API has an action `orders` that lists our orders: a lost one may be looked for there.
    pub lists_orders: bool,
    /// Markup of this provider's services, where neither client, service nor import sets it.
    pub markup: Markup,
    /// Error texts of this provider that the table does not know: lower-case text that an answer contains,
    /// and what it means. Written `rejects = [{ text = "…", kind = "service" }]`.
    pub rejects: Vec<(String, RejectKind)>,
    /// `treat_503_as`
    pub treat_503_as: Treat503,
}
