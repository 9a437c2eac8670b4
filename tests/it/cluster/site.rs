//! Three gateways on one PostgreSQL and one Redis, behind nginx, each on a loopback address of its own.

use std::cell::Cell;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;
use tollgate::sandbox::{Options, Sandbox};

use super::limits::{Allowed, Change};
use super::load::Shopper;
use crate::harness::gateway::DEPOSIT;
use crate::harness::nginx::Nginx;
use crate::harness::{Cluster, Config, Gateway, Path, Redis, eventually, free_port, upstream_with};

pub const PROVIDERS: [&str; 2] = ["alpha", "beta"];
/// What each of them allows: after a while without calls, orders wait for the rate of the first, and at the second for
/// calls to end.
pub const ALLOWED: [Allowed; 2] =
    [Allowed { rate: 5, burst: 8, in_flight: 4 }, Allowed { rate: 40, burst: 20, in_flight: 6 }];
/// How long the second takes to place an order: far less than a gateway's place in the store lasts, so that none is under
/// way any more when others take up the share of one that is gone.
const SLOW: Duration = Duration::from_millis(500);
/// Far longer than any call takes that is answered at all, however busy the machine.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// The gateways go first: each verifies the store when it is dropped.
pub struct Site {
    pub gateways: Vec<Gateway>,
    pub database: Cluster,
    pub redis: Redis,
    /// The second gateway's.
    pub way_to_redis: Path,
    pub upstreams: [Sandbox; 2],
    pub nginx: Nginx,
    journals: TempDir,
}

impl Site {
    pub async fn start(seed: u64) -> Self {
        let database = Cluster::start();
        let url = database.new_database().await;
        let redis = Redis::start().await;
        let journals = tempfile::tempdir().unwrap();
        let faults = [
            "close-after:0.05,close-before:0.05,hang-after:0.02,half-body:0.02,error(Not enough funds on balance):0.03",
            &format!("close-after:0.05,server-error:0.05,slow({})", SLOW.as_millis()),
        ];
        let panel = |number: usize| Options {
            speed: 10,
            seed,
            faults: faults[number].parse().unwrap(),
            journal: Some(journals.path().join(PROVIDERS[number])),
            ..Options::default()
        };
        let upstreams = [upstream_with(panel(0)).await, upstream_with(panel(1)).await];
        let way_to_redis = Path::to(&redis.url()).await;
        let ways = [redis.url(), way_to_redis.url(&redis.url()), redis.url()];
        let mut gateways = Vec::new();
        for (number, redis) in (1..).zip(ways) {
            gateways.push(Gateway::prepare_on(&configuration(number, &redis, &upstreams), Some(url.clone())));
        }
        for gateway in &mut gateways {
            gateway.launch().await;
        }
        let nginx = Nginx::start(&gateways.iter().collect::<Vec<_>>()).await;
        Self { database, redis, way_to_redis, gateways, upstreams, nginx, journals }
    }

    /// Where the providers wrote down what they took.
    pub fn journals(&self) -> &std::path::Path {
        self.journals.path()
    }

    /// The gateway that is there to the end.
    pub fn any(&self) -> &Gateway {
        &self.gateways[0]
    }

    /// Waits until these gateways let calls out by Redis; gives a moment at which all of them did, or were about to.
    pub async fn until_by_redis(&self, gateways: &[usize]) -> Instant {
        eventually("gateways to go by Redis", || async {
            let asked_at = Instant::now();
            (self.held_by("redis", gateways).await == gateways.len()).then_some(asked_at)
        })
        .await
    }

    /// The same by shares, which none of them had at `since`. They begin with no burst.
    pub async fn until_by_share(&self, gateways: &[usize], since: Instant) -> Change {
        let none_before = Cell::new(since);
        eventually("gateways to go by their shares", || async {
            let asked_at = Instant::now();
            let held = self.held_by("share", gateways).await;
            if held == 0 {
                none_before.set(asked_at);
            }
            (held == gateways.len()).then_some(())
        })
        .await;
        (none_before.get(), Instant::now())
    }

    /// How many of these let calls out by this.
    async fn held_by(&self, basis: &str, gateways: &[usize]) -> usize {
        let line = format!("tollgate_limits_by{{basis=\"{basis}\"}} 1");
        let mut held = 0;
        for gateway in gateways.iter().map(|&number| &self.gateways[number]) {
            let answer = gateway.http().get(format!("{}/metrics", gateway.ops)).send().await.unwrap();
            held += usize::from(answer.text().await.unwrap().contains(&line));
        }
        held
    }

    /// Ends what is still under way for clients that gave it up: all gateways stop, which waits for that, and one of them
    /// goes on alone.
    pub async fn come_to_rest(&mut self) {
        for gateway in &mut self.gateways {
            assert!(gateway.stop().await.success());
        }
        self.gateways[0].launch().await;
    }

    /// Makes a client.
    pub fn open_shop(&self, number: u32) -> Shopper {
        let name = format!("shop-{number}");
        let key = self.any().add_client(&name, &["--deposit", DEPOSIT]);
        // A stopped gateway would keep all of them waiting.
        let patience = Duration::from_secs(2);
        let http = reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true).timeout(patience);
        let http = http.build().unwrap();
        Shopper { http, api: self.nginx.url(), name, key }
    }
}

fn configuration(number: usize, redis: &str, upstreams: &[Sandbox; 2]) -> Config {
    // The same at each start, so that nginx finds it again.
    let address = format!("127.0.1.{number}:{}", free_port());
    let tables = format!(
        "[cache]\nurl = \"{}\"\nstatus_ttl = \"500ms\"\ntimeout = \"400ms\"\n[dispatch]\nwait = \"300ms\"",
        redis
    );
    let mut config = Config::new(&tables).listen(&address).server("trusted_proxies = [\"127.0.0.1\"]");
    for ((provider, upstream), Allowed { rate, burst, in_flight }) in PROVIDERS.iter().zip(upstreams).zip(ALLOWED) {
        let limits = format!("requests_per_second = {rate}\nburst = {burst}\nmax_in_flight = {in_flight}");
        let patience = format!("add_timeout = \"{0}s\"\ntimeout = \"{0}s\"", PATIENCE.as_secs());
        config = config.provider(provider, upstream, &format!("connect_timeout = \"1s\"\n{patience}\n{limits}"));
    }
    config.service(1, "routes = [\"alpha:1\", \"beta:1\"]").service(2, "routes = [\"beta:1\"]")
}
