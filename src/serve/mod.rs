//! Puts the parts together and runs the gateway: configuration, store, cache, upstreams, tasks, sockets; then
//! waits for a signal, and drains.
//!
//! The only room besides the command line that knows what is behind a trait.

mod demo;
mod parts;
mod reload;
mod secrets;

pub use demo::demo;
pub use parts::{account_marks, build_app, gateway_running, join, open_postgres, open_store, terms, warnings};
pub use secrets::{read_secrets, read_secrets_at_hand};

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error};
use bytes::Bytes;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::accounts::{AccountAnswer, AccountCall, AccountError};
use crate::app::call::{Answer, Params};
use crate::app::console::{View, ViewQuery};
use crate::app::running::{Running, forget_moved, hosts, refusals, refusals_in_company, unfinished};
use crate::app::{App, Company};
use crate::config::{ConfigErrors, Settings};
use crate::http::{self, Api, Limits, Ops, OpsPages, PublicApi, TrustedProxies};
use crate::store::Store;
use crate::store::sqlite::OpenMode;
use crate::task::Tasks;
use crate::telemetry::Metrics;
use reload::Reloader;

/// Added to the longest `add_timeout` when the gateway waits for the last answers before it ends.
const DRAIN_MARGIN: Duration = Duration::from_secs(5);

/// The gateway until SIGTERM or SIGINT.
///
/// # Errors
/// What kept it from starting, or that it could not end what it had begun.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    for warning in settings.warnings.iter().chain(&warnings(&settings)) {
        tracing::warn!("{}: {warning}", settings.file.display());
    }
    // From now on neither of them ends the process by itself.
    let (stop, hangups) = (told_to_stop()?, told_to_reload()?);
    let gateway = Gateway::build(settings).await?;
    tracing::info!(
        "serving the API on http://{} and health and metrics on http://{}",
        gateway.public.local_addr()?,
        gateway.ops.local_addr()?
    );
    // Not being under systemd is no failure.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    gateway.run(stop, hangups).await
}

/// Everything that a running gateway is made of: bound, migrated, recovered, but serving nothing yet.
struct Gateway {
    app: Arc<App>,
    tasks: Tasks,
    metrics: Metrics,
    public: TcpListener,
    ops: TcpListener,
    ops_token: Option<secrecy::SecretString>,
    proxies: Arc<TrustedProxies>,
    reloader: Reloader,
}

impl Gateway {
    async fn build(settings: Settings) -> anyhow::Result<Self> {
        let secrets = read_secrets(&settings)?;
        let metrics = Metrics::install()?;
        let mode = OpenMode::Gateway { first_order_id: settings.server.first_order_id };
        let store = open_store(&settings, mode).await?;
        let public = bind(settings.server.listen, "server.listen").await?;
        let ops = bind(settings.server.ops_listen, "server.ops_listen").await?;
        let limits = parts::shared_limits(&settings, &secrets, &*store)?;
        let company = join(&settings, &secrets, &*store, limits).await?;
        if let Err(refused) = refuse_orphans(&settings, &*store, &company).await {
            store.leave().await.context("the store could not be told that this gateway does not start")?;
            return Err(refused);
        }
        let tasks = Tasks::new();
        let app = build_app(&settings, &secrets, store, company, tasks.clone()).await?;
        let lost = app.recover().await.context("the orders of the last run could not be taken up")?;
        if lost > 0 {
            tracing::warn!(
                "{lost} orders were being sent when the last run ended; they are uncertain now: \
                            see `tollgate orders list --state uncertain`"
            );
        }
        app.record_running().await.context("what is served could not be written down")?;
        let proxies = Arc::new(TrustedProxies::new(settings.server.trusted_proxies.clone()));
        Ok(Self {
            tasks,
            metrics,
            public,
            ops,
            ops_token: secrets.ops_token.clone(),
            reloader: Reloader::new(Arc::clone(&app), Arc::clone(&proxies), settings, secrets),
            app,
            proxies,
        })
    }

    async fn run(mut self, stop: impl Future<Output = ()>, mut hangups: Signal) -> anyhow::Result<()> {
        self.app.start();
        let metrics = self.metrics.clone();
        self.tasks.every(Duration::from_secs(5), Arc::default(), move || {
            metrics.run_upkeep();
            std::future::ready(())
        });
        let ending = CancellationToken::new();
        let public =
            PublicApi::new(Arc::new(Public(Arc::clone(&self.app))), Arc::clone(&self.proxies), self.tasks.clone());
        let token = self.ops_token.as_ref().map(ExposeSecret::expose_secret);
        let pages = OpsPages::new(Arc::new(Operations { app: Arc::clone(&self.app), metrics: self.metrics }), token);
        let listening = async {
            let serve_public = http::serve(
                self.public,
                public,
                Limits::default(),
                Arc::clone(&self.proxies),
                &self.tasks,
                ending.cancelled(),
            );
            let serve_ops =
                http::serve(self.ops, pages, Limits::default(), Arc::default(), &self.tasks, ending.cancelled());
            tokio::join!(serve_public, serve_ops)
        };
        let stopping = async {
            stop.await;
            tracing::info!("stopping: no new calls, waiting for answers that are under way");
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
            self.tasks.stop();
            ending.cancel();
        };
        let serving = async {
            let reloading = self.reloader.follow(&mut hangups, &ending);
            tokio::join!(listening, stopping, reloading);
            self.tasks.finish(self.reloader.longest_add().saturating_add(DRAIN_MARGIN)).await
        };
        let left = tokio::select! {
            left = serving => left,
            () = self.app.keep_attending() => 0,
        };
        if let Some(limits) = self.app.limits() {
            limits.finish().await;
        }
        // Otherwise the place ends by itself: then the others know that something may have been left undone.
        if left == 0
            && let Err(error) = self.app.leave().await
        {
            tracing::warn!(%error, "the store was not told that this gateway ends: others learn it within seconds");
        }
        anyhow::ensure!(
            left == 0,
            "{left} tasks were still under way at the end; orders that they were sending are uncertain"
        );
        tracing::info!("stopped");
        Ok(())
    }
}

/// Orders at a provider that the configuration no longer names, or names at another host, would never be followed to
/// their end. What is known of the list of one that moved is forgotten: it was another panel's.
async fn refuse_orphans(settings: &Settings, store: &dyn Store, company: &Company) -> anyhow::Result<()> {
    let terms = terms(settings);
    let last = Running::last(store).await.context("the store could not be read")?.providers;
    let unfinished = unfinished(store).await.context("the store could not be read")?;
    let mut mistakes = refusals(&last, &hosts(&terms), &unfinished);
    mistakes.extend(refusals_in_company(&last, &hosts(&terms), company.gateways()));
    if !mistakes.is_empty() {
        return Err(ConfigErrors::missing(&settings.file, mistakes).into());
    }
    let now = company.clock().now();
    forget_moved(store, &last, &terms, now).await.context("the list of a provider that moved could not be forgotten")
}

async fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::AddrInUse => ": is another program using that port?",
            ErrorKind::AddrNotAvailable => ": it must be an address of this machine",
            ErrorKind::PermissionDenied => ": ports below 1024 need CAP_NET_BIND_SERVICE",
            _ => "",
        };
        Error::new(error).context(format!("cannot listen on {address} ({what}){hint}"))
    })
}

/// Resolves at the first SIGTERM or SIGINT; both are watched for from now on.
///
/// # Errors
/// Where the system does not let them be watched for.
pub fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Every SIGHUP, which would otherwise end the process.
fn told_to_reload() -> anyhow::Result<Signal> {
    signal(SignalKind::hangup()).context("cannot watch for SIGHUP")
}

struct Public(Arc<App>);

impl Api for Public {
    fn only_reads(&self, params: &Params) -> bool {
        App::only_reads(params)
    }

    fn reads_within(&self) -> Option<Duration> {
        self.0.reads_within()
    }

    async fn answer(&self, params: Params, ip: IpAddr) -> Answer {
        self.0.answer(&params, ip).await
    }
}

struct Operations {
    app: Arc<App>,
    metrics: Metrics,
}

impl Ops for Operations {
    fn readiness(&self) -> Result<(), Vec<String>> {
        self.app.readiness()
    }

    fn metrics(&self) -> String {
        self.metrics.render()
    }

    async fn account(&self, call: AccountCall, body: Bytes) -> Result<AccountAnswer, AccountError> {
        self.app.account(call, &body).await
    }

    async fn view(&self, query: ViewQuery) -> Result<Option<View>, String> {
        self.app.view(query).await.map_err(|error| error.to_string())
    }
}
