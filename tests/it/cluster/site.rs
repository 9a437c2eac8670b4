//! Three gateways on one PostgreSQL and one Redis, behind nginx, each on a loopback address of its own.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tollgate::sandbox::{Options, Sandbox};

use super::load::Shopper;
use crate::harness::gateway::DEPOSIT;
use crate::harness::nginx::Nginx;
use crate::harness::{Cluster, Config, Gateway, Redis, free_port, upstream_with};

pub const GATEWAYS: usize = 3;
pub const PROVIDERS: [&str; 2] = ["alpha", "beta"];
/// Calls a second that each provider allows, and how many at once after a quiet time.
pub const RATE: u32 = 60;
pub const BURST: u32 = 10;
pub const IN_FLIGHT: u32 = 12;

/// The gateways go first: each verifies the store when it is dropped.
pub struct Site {
    pub gateways: Vec<Gateway>,
    pub database: Cluster,
    pub redis: Redis,
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
            "close-after:0.05,server-error:0.05,slow(200):0.1",
        ];
        let panel = |number: usize| Options {
            speed: 20,
            seed,
            faults: faults[number].parse().unwrap(),
            journal: Some(journals.path().join(PROVIDERS[number])),
            ..Options::default()
        };
        let upstreams = [upstream_with(panel(0)).await, upstream_with(panel(1)).await];
        let mut gateways = Vec::new();
        for number in 1..=GATEWAYS {
            gateways.push(Gateway::prepare_on(&configuration(number, &redis, &upstreams), Some(url.clone())));
        }
        for gateway in &mut gateways {
            gateway.launch().await;
        }
        let nginx = Nginx::start(&gateways.iter().collect::<Vec<_>>()).await;
        Self { database, redis, gateways, upstreams, nginx, journals }
    }

    /// Where the providers wrote down what they took.
    pub fn journals(&self) -> &Path {
        self.journals.path()
    }

    /// The gateway that is there to the end.
    pub fn any(&self) -> &Gateway {
        &self.gateways[0]
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

fn configuration(number: usize, redis: &Redis, upstreams: &[Sandbox; 2]) -> Config {
    // The same at each start, so that nginx finds it again.
    let address = format!("127.0.1.{number}:{}", free_port());
    let tables = format!("[cache]\nurl = \"{}\"\nstatus_ttl = \"500ms\"\n[dispatch]\nwait = \"300ms\"", redis.url());
    let lines = format!(
        "connect_timeout = \"1s\"\nadd_timeout = \"1s\"\nrequests_per_second = {RATE}\nburst = {BURST}\n\
         max_in_flight = {IN_FLIGHT}"
    );
    let [alpha, beta] = upstreams;
    Config::new(&tables)
        .listen(&address)
        .server("trusted_proxies = [\"127.0.0.1\"]")
        .provider(PROVIDERS[0], alpha, &lines)
        .provider(PROVIDERS[1], beta, &lines)
        .service(1, "routes = [\"alpha:1\", \"beta:1\"]")
}
