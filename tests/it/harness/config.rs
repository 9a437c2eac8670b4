//! Text of a `providers.toml` for tests.

use std::fmt::Write as _;

use tollgate::sandbox::{DEFAULT_KEY, Sandbox};

/// Text of a `providers.toml` for tests: fast polls, no rate that slows a test down.
#[derive(Debug, Clone)]
pub struct Config {
    server: String,
    tables: String,
    body: String,
}

impl Config {
    /// With these lines for tables other than `[server]`, for example `[dispatch]\nwait = "1s"`.
    pub fn new(tables: &str) -> Self {
        let defaults = if tables.contains("[cache]") { "" } else { "[cache]\nstatus_ttl = \"100ms\"\n" };
        Self { server: String::new(), tables: format!("{defaults}{tables}\n"), body: String::new() }
    }

    /// With further lines in `[server]`.
    pub fn server(mut self, lines: &str) -> Self {
        writeln!(self.server, "{lines}").unwrap();
        self
    }

    /// With a provider of that name, at the sandbox; `lines` may set more of its keys.
    pub fn provider(self, name: &str, upstream: &Sandbox, lines: &str) -> Self {
        self.provider_at(name, &upstream.url(), lines)
    }

    /// The same at any URL.
    pub fn provider_at(mut self, name: &str, url: &str, lines: &str) -> Self {
        let mut given = String::new();
        for (key, value) in [("requests_per_second", "2000"), ("burst", "500"), ("max_in_flight", "64")] {
            if !lines.contains(key) {
                writeln!(given, "{key} = {value}").unwrap();
            }
        }
        writeln!(
            self.body,
            "[[provider]]\nid = \"{name}\"\nurl = \"{url}\"\nkey = \"{DEFAULT_KEY}\"\n{given}{lines}\n"
        )
        .unwrap();
        self
    }

    /// With a service of ours; `lines` sets its routes and more.
    pub fn service(mut self, id: u32, lines: &str) -> Self {
        writeln!(self.body, "[[service]]\nid = {id}\n{lines}\n").unwrap();
        self
    }

    /// With any further text at the end.
    pub fn text(mut self, text: &str) -> Self {
        writeln!(self.body, "{text}").unwrap();
        self
    }

    pub fn render(&self) -> String {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nops_listen = \"127.0.0.1:0\"\n{}\n{}\n{}",
            self.server, self.tables, self.body
        )
    }
}
