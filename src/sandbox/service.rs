//! The services that the panel sells, in the format of the `services` answer.

use std::path::{Path, PathBuf};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::domain::money::parse_decimal;
use crate::domain::service_type::ServiceType;

/// One service as the panel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxService {
    /// Its ID.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its type, as it is written in the list. An unknown one is sold as Default.
    pub type_text: String,
    /// Its category; nothing shows as null.
    pub category: Option<String>,
    /// Its rate: per 1000, or of one package.
    pub rate: Decimal,
    /// The smallest quantity (of one run) that it takes.
    pub min: u64,
    /// The largest quantity (of one run) that it takes.
    pub max: u64,
    /// Whether it can be refilled.
    pub refill: bool,
    /// Whether it can be canceled.
    pub cancel: bool,
    /// Whether it can be ordered as drip-feed.
    pub dripfeed: bool,
    /// Its description, where it has one.
    pub desc: Option<String>,
}

impl SandboxService {
    /// What decides its parameters and price.
    #[must_use]
    pub fn kind(&self) -> ServiceType {
        ServiceType::parse(&self.type_text).unwrap_or(ServiceType::Default)
    }

    /// Its entry in the `services` answer. See `docs/protocol.md`, "Canonical shapes".
    pub(super) fn to_json(&self) -> Value {
        let mut entry = json!({
            "service": self.id,
            "name": self.name,
            "type": self.type_text,
            "category": self.category,
            "rate": self.rate.to_string(),
            "min": self.min.to_string(),
            "max": self.max.to_string(),
            "refill": self.refill,
            "cancel": self.cancel,
            "dripfeed": self.dripfeed,
        });
        if let Some(desc) = &self.desc {
            entry["desc"] = Value::from(desc.as_str());
        }
        entry
    }

    /// Reads an entry as panels write it: numbers may be text, and flags missing, numbers or text.
    fn from_json(entry: &Value) -> Result<Self, EntryError> {
        let id = whole(entry, "service")?;
        let name = text(entry, "name").ok_or(EntryError { field: "name", expected: "text" })?;
        let rate =
            text(entry, "rate").and_then(|rate| parse_decimal(&rate).ok()).filter(|rate| !rate.is_sign_negative());
        Ok(Self {
            id,
            name,
            type_text: text(entry, "type").unwrap_or_else(|| ServiceType::Default.name().to_owned()),
            category: text(entry, "category"),
            rate: rate.ok_or(EntryError { field: "rate", expected: "a plain decimal of 0 or more" })?,
            min: whole(entry, "min")?,
            max: whole(entry, "max")?,
            refill: flag(entry, "refill"),
            cancel: flag(entry, "cancel"),
            dripfeed: flag(entry, "dripfeed"),
            desc: text(entry, "desc").or_else(|| text(entry, "description")),
        })
    }
}

struct EntryError {
    field: &'static str,
    expected: &'static str,
}

/// A field's text, or the digits of its number.
fn text(entry: &Value, field: &str) -> Option<String> {
    match entry.get(field)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn whole(entry: &Value, field: &'static str) -> Result<u64, EntryError> {
    let number = text(entry, field).and_then(|text| text.trim().parse().ok());
    number.ok_or(EntryError { field, expected: "a whole number" })
}

fn flag(entry: &Value, field: &str) -> bool {
    match entry.get(field) {
        Some(Value::Bool(set)) => *set,
        Some(Value::Null) | None => false,
        Some(_) => text(entry, field).is_some_and(|text| text == "1" || text == "true"),
    }
}

/// Why a list of services could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// The file can't be read.
    #[error("cannot read services from {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not JSON, or not an array.
    #[error("services are not a JSON array, as the `services` action answers it: {detail}")]
    NotAnArray {
        /// What it is.
        detail: String,
    },
    /// An entry lacks something.
    #[error("entry {position} of the services has no usable `{field}`; expected {expected}")]
    Entry {
        /// From 1.
        position: usize,
        /// Which field.
        field: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// An ID twice.
    #[error("service {id} is listed twice; leave one of the entries out")]
    Twice {
        /// The ID.
        id: u64,
    },
}

/// Reads services from JSON text in the format of the `services` answer.
///
/// # Errors
/// [`ServicesError`] for text that is not such a list.
pub fn parse_services(json: &[u8]) -> Result<Vec<SandboxService>, ServicesError> {
    let entries: Vec<Value> =
        serde_json::from_slice(json).map_err(|error| ServicesError::NotAnArray { detail: error.to_string() })?;
    let mut seen = std::collections::HashSet::new();
    let read = |(index, entry): (usize, &Value)| {
        let service = SandboxService::from_json(entry).map_err(|error| ServicesError::Entry {
            position: index + 1,
            field: error.field,
            expected: error.expected,
        })?;
        if seen.insert(service.id) { Ok(service) } else { Err(ServicesError::Twice { id: service.id }) }
    };
    entries.iter().enumerate().map(read).collect()
}

/// Reads a file that holds a panel's `services` answer.
///
/// # Errors
/// [`ServicesError`] where the file can't be read or holds something else.
pub fn read_services(path: &Path) -> Result<Vec<SandboxService>, ServicesError> {
    let json = std::fs::read(path).map_err(|source| ServicesError::File { path: path.to_owned(), source })?;
    parse_services(&json)
}

/// The services of a panel that was told none: some of every type, in several categories.
///
/// IDs, names and rates stay the same from run to run, so that a configuration can name them.
#[must_use]
pub fn default_services() -> Vec<SandboxService> {
    const R: u8 = 1;
    const C: u8 = 2;
    const D: u8 = 4;
    /// ID, name, type, category, rate in 1/10000, min, max, flags.
    type Row = (u64, &'static str, ServiceType, &'static str, i64, u64, u64, u8);
    let rows: &[Row] = &[
        (1, "Instagram Followers", ServiceType::Default, "Instagram Followers", 9_000, 50, 10_000, R | C | D),
        (2, "Instagram Followers [Real]", ServiceType::Default, "Instagram Followers", 25_000, 100, 50_000, R | C),
        (3, "Instagram Likes", ServiceType::Default, "Instagram Likes", 2_100, 10, 100_000, C | D),
        (4, "Instagram Likes [No Refill]", ServiceType::Default, "Instagram Likes", 735, 10, 20_000, 0),
        (5, "Instagram Views", ServiceType::Default, "Instagram Views", 125, 100, 10_000_000, D),
        (6, "Instagram Starter Package", ServiceType::Package, "Packages", 49_900, 1, 1, 0),
        (7, "Website SEO", ServiceType::Seo, "Website", 30_000, 10, 5_000, C),
        (8, "Instagram Custom Comments", ServiceType::CustomComments, "Instagram Comments", 80_000, 1, 1_000, C),
        (9, "Comments Package", ServiceType::CustomCommentsPackage, "Packages", 19_900, 1, 1, 0),
        (10, "Mentions", ServiceType::Mentions, "Instagram Mentions", 12_000, 20, 5_000, C),
        (11, "Mentions + Hashtags", ServiceType::MentionsWithHashtags, "Instagram Mentions", 14_000, 20, 5_000, 0),
        (12, "Mentions Custom List", ServiceType::MentionsCustomList, "Instagram Mentions", 16_000, 5, 2_000, C),
        (13, "Mentions by Hashtag", ServiceType::MentionsHashtag, "Instagram Mentions", 11_000, 20, 5_000, 0),
        (14, "Mentions of Followers", ServiceType::MentionsUserFollowers, "Instagram Mentions", 13_000, 20, 5_000, 0),
        (15, "Mentions of Likers", ServiceType::MentionsMediaLikers, "Instagram Mentions", 13_500, 20, 5_000, 0),
        (16, "Comment Likes", ServiceType::CommentLikes, "Instagram Comments", 17_500, 5, 10_000, C),
        (17, "Comment Replies", ServiceType::CommentReplies, "Instagram Comments", 95_000, 1, 500, 0),
        (18, "Poll Votes", ServiceType::Poll, "Telegram", 6_000, 10, 10_000, 0),
        (19, "Group Invites", ServiceType::InvitesFromGroups, "Telegram", 21_000, 50, 5_000, C),
        (20, "Auto Likes", ServiceType::Subscriptions, "Subscriptions", 3_300, 10, 10_000, C),
        (21, "Website Visits", ServiceType::WebTraffic, "Website", 4_500, 100, 1_000_000, C | D),
        (22, "TikTok Followers", ServiceType::Default, "TikTok", 31_000, 10, 100_000, R | C),
        (23, "TikTok Views", ServiceType::Default, "TikTok", 20, 100, 1_000_000_000, D),
        (24, "Telegram Members", ServiceType::Default, "Telegram", 8_800, 100, 200_000, R | C),
        (25, "YouTube Watch Hours", ServiceType::Default, "YouTube", 155_000, 100, 4_000, R),
        (26, "YouTube Likes \u{2013} 30 Days \u{267b}", ServiceType::Default, "YouTube", 11_234, 10, 50_000, R | D),
    ];
    rows.iter()
        .map(|(id, name, kind, category, rate, min, max, flags)| SandboxService {
            id: *id,
            name: (*name).to_owned(),
            type_text: kind.name().to_owned(),
            category: Some((*category).to_owned()),
            rate: Decimal::new(*rate, 4),
            min: *min,
            max: *max,
            refill: flags & R != 0,
            cancel: flags & C != 0,
            dripfeed: flags & D != 0,
            desc: (flags & R != 0).then(|| format!("{name}. Refilled for 30 days.")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_list_has_every_type_and_reads_back() {
        let services = default_services();
        for kind in ServiceType::ALL {
            assert!(services.iter().any(|service| service.type_text == kind.name()), "no {kind}");
        }
        let json = Value::Array(services.iter().map(SandboxService::to_json).collect()).to_string();
        assert_eq!(parse_services(json.as_bytes()).unwrap(), services);
    }

    #[test]
    fn a_list_is_read_as_panels_write_it() {
        let json =
            br#"[{"service":"7","name":"A","rate":0.10,"min":1,"max":"900","refill":1,"cancel":"0","category":null,
            "description":"d"}]"#;
        let services = parse_services(json).unwrap();
        let only = &services[0];
        assert_eq!((only.id, only.min, only.max, only.rate.to_string().as_str()), (7, 1, 900, "0.10"));
        assert_eq!((only.refill, only.cancel, only.dripfeed), (true, false, false));
        assert_eq!(
            (only.kind(), only.category.as_deref(), only.desc.as_deref()),
            (ServiceType::Default, None, Some("d"))
        );
    }

    #[test]
    fn a_wrong_list_says_which_entry_and_what_to_put_there() {
        let good = r#"{"service":1,"name":"A","rate":"1","min":1,"max":2}"#;
        for (json, message) in [
            ("{}".to_owned(), "services are not a JSON array"),
            (format!("[{good},{{}}]"), "entry 2 of the services has no usable `service`; expected a whole number"),
            (good.replace(r#""1""#, "1e3").replace('{', "[{") + "]", "entry 1 of the services has no usable `rate`"),
            (format!("[{good},{good}]"), "service 1 is listed twice"),
        ] {
            let error = parse_services(json.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        let error = read_services(Path::new("/nowhere/list.json")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read services from /nowhere/list.json"), "{error}");
    }
}
