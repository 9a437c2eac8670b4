//! `providers.toml` after checking: every value parsed, in range, and consistent with the others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use rust_decimal::Decimal;

use super::secret::SecretRef;
use crate::domain::catalogue::{ImportDefinition, ServiceDefinition};
use crate::domain::ids::ProviderId;
use crate::domain::money::Percent;
use crate::domain::outcome::RejectKind;
use crate::domain::pricing::Markup;

/// The whole file.
#[derive(Debug, Clone)]
pub struct Settings {
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
}

/// `[cache]`
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// `cache.url`
    pub url: CacheUrl,
    /// An order that is asked for is polled again once its last poll is older than this.
    pub status_ttl: Duration,
}

/// `cache.url`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheUrl {
    /// `memory://`
    Memory,
    /// `redis://…`, or `rediss://…`: the whole URL. It may hold a password, so it is never printed.
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
    /// Markup of this provider's services, where neither client, service nor import sets it.
    pub markup: Markup,
    /// Error texts of this provider that the table does not know: lower-case text that an answer contains,
    /// and what it means. Written `rejects = [{ text = "…", kind = "service" }]`.
    pub rejects: Vec<(String, RejectKind)>,
}
