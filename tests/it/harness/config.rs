//! Text of a `providers.toml` for tests.

use std::fmt::Write as _;

use tollgate::sandbox::{DEFAULT_KEY, Sandbox};

/// Text of a `providers.toml` for tests: fast polls, no rate that slows a test down.
#[derive(Debug, Clone)]
pub struct Config {
    listen: String,
    server: String,
    tables: String,
    body: String,
}

impl Config {
    /// With these lines for tables other than `[server]`, for example `[dispatch]\nwait = "1s"`.
    pub fn new(tables: &str) -> Self {
        let defaults = if tables.contains("[cache]") { "" } else { "[cache]\nstatus_ttl = \"100ms\"\n" };
        Self {
            listen: "127.0.0.1:0".to_owned(),
            server: String::new(),
            tables: format!("{defaults}{tables}\n"),
            body: String::new(),
        }
    }

    /// At this address, and not at a free port.
    pub fn listen(mut self, address: &str) -> Self {
        address.clone_into(&mut self.listen);
        self
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

    /// Whether it says where the store is.
    pub fn names_store(&self) -> bool {
        self.tables.contains("[store]") || self.body.contains("[store]")
    }

    /// The file's text, with the store in this database where one is given.
    pub fn render(&self, database: Option<&str>) -> String {
        let store = database.map(|url| format!("[store]\nurl = \"{url}\"\n")).unwrap_or_default();
        format!(
            "[server]\nlisten = \"{}\"\nops_listen = \"127.0.0.1:0\"\n{}\n{store}{}\n{}",
            self.listen, self.server, self.tables, self.body
        )
    }
}
