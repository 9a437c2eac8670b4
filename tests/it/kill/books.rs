//! The upstreams' journals: what they have really accepted, whoever knows of it.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::text;

/// One accepted order.
#[derive(Debug)]
pub struct Entry {
    pub provider: String,
    pub id: String,
}

/// By link, which each order has for itself.
pub struct Books(HashMap<String, Entry>);

impl Books {
    /// Reads every journal; no link may stand in them twice.
    pub fn read(folder: &Path, providers: &[&str]) -> Self {
        let mut entries = HashMap::new();
        for provider in providers {
            for line in std::fs::read_to_string(folder.join(provider)).unwrap().lines() {
                let line: Value = serde_json::from_str(line).unwrap();
                let id = line["order"].as_str().map_or_else(|| line["order"].to_string(), str::to_owned);
                let (link, entry) = (text(&line, "link").to_owned(), Entry { provider: (*provider).to_owned(), id });
                let shown = format!("{link}: {entry:?}");
                let earlier = entries.insert(link, entry);
                assert!(earlier.is_none(), "bought twice: {shown} and {earlier:?}");
            }
        }
        Self(entries)
    }

    pub fn entry(&self, link: &str) -> Option<&Entry> {
        self.0.get(link)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn at(&self, provider: &str) -> usize {
        self.0.values().filter(|entry| entry.provider == provider).count()
    }

    /// Each accepted order is one of ours, placed there under its ID or uncertain there; and none of ours is
    /// placed that was not accepted.
    pub fn hold(&self, orders: &[Value]) {
        let by_link: HashMap<&str, &Value> = orders.iter().map(|order| (text(order, "link"), order)).collect();
        assert_eq!(by_link.len(), orders.len(), "an order was taken twice");
        for (link, entry) in &self.0 {
            let ours = by_link.get(link.as_str()).unwrap_or_else(|| panic!("{link} is forgotten: {entry:?}"));
            assert_eq!(text(ours, "provider"), entry.provider, "{ours}");
            match text(ours, "state") {
                "placed" | "closed" => assert_eq!(text(ours, "upstream_order"), entry.id, "{ours}"),
                state => assert_eq!(state, "uncertain", "{ours}"),
            }
        }
        for (link, ours) in by_link {
            let id = text(ours, "upstream_order");
            assert!(id.is_empty() || self.entry(link).is_some_and(|entry| entry.id == id), "{ours}");
        }
    }
}
