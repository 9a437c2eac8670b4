//! An order's parameters: read by service type, checked, counted. See `docs/protocol.md`, "Service types".

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::service_type::{Billing, Field, ServiceType};

/// The longest link or single-line field that is taken.
pub const MAX_TEXT: usize = 2048;
const A_WEEK: Duration = Duration::from_secs(7 * 86_400);

/// What is wrong with an order's parameters; each text goes to the client as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// No link.
    #[error("Link is required")]
    LinkMissing,
    /// A link of control characters or over [`MAX_TEXT`] bytes.
    #[error("Incorrect link")]
    LinkBad,
    /// No quantity for a type that needs one.
    #[error("Quantity is required")]
    QuantityMissing,
    /// Not a whole number above 0.
    #[error("Incorrect quantity")]
    QuantityBad,
    /// Below the service's minimum.
    #[error("Quantity less than minimal {0}")]
    QuantityLow(u64),
    /// Above the service's maximum.
    #[error("Quantity more than maximum {0}")]
    QuantityHigh(u64),
    /// A parameter that this service type needs is absent or empty.
    #[error("Missing required parameter: {0}")]
    FieldMissing(&'static str),
    /// A parameter that is there, but not of the form it must have.
    #[error("Incorrect parameter: {0}")]
    FieldBad(&'static str),
    /// `runs` without `interval`, or the other way round.
    #[error("Runs and interval must be given together")]
    DripFeedHalf,
    /// `runs` for a service that has no drip-feed.
    #[error("This service does not support drip-feed")]
    DripFeedUnsupported,
    /// A subscription: each post would be charged by itself, which is not offered yet.
    #[error("Subscriptions can not be ordered through this API")]
    SubscriptionUnsupported,
}

/// Delivery in several runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DripFeed {
    /// How many; at least 1.
    pub runs: u64,
    /// Minutes between two.
    pub interval: u64,
}

impl DripFeed {
    /// For how long its runs may start, where nothing else is known: twice as long as was ordered, and a week.
    #[must_use]
    pub fn may_run_for(self) -> Duration {
        let planned = Duration::from_secs(self.interval.saturating_mul(60))
            .saturating_mul(u32::try_from(self.runs).unwrap_or(u32::MAX));
        planned.saturating_mul(2).saturating_add(A_WEEK)
    }
}

/// The checked parameters of one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderParams {
    /// What the order is for.
    pub link: String,
    /// `quantity`, where the type takes it: of one run for drip-feed.
    pub quantity: Option<u64>,
    /// `runs` and `interval`.
    pub drip_feed: Option<DripFeed>,
    /// The type's other parameters, lists with one item a line.
    pub fields: Vec<(Field, String)>,
    /// What is charged and refunded by: quantity (times runs), lines, or 1 for a package.
    pub units: u64,
}

/// What an order is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The service's type.
    pub kind: ServiceType,
    /// The smallest quantity, of one run for drip-feed.
    pub min: u64,
    /// The largest.
    pub max: u64,
    /// Whether `runs` and `interval` are taken.
    pub dripfeed: bool,
}

impl OrderParams {
    /// Reads and checks the parameters of an order. `get` gives a parameter's text; empty counts as absent.
    ///
    /// # Errors
    /// The first thing that is wrong, as the client shall read it.
    pub fn read<'a>(limits: Limits, get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, InputError> {
        let kind = limits.kind;
        if kind.billing() == Billing::PerPost {
            return Err(InputError::SubscriptionUnsupported);
        }
        let given = |name: &str| get(name).map(str::trim).filter(|text| !text.is_empty());
        let link = read_link(given("link"))?;
        let fields = read_fields(kind, &given)?;
        let quantity = if kind.takes_quantity() { Some(read_quantity(given("quantity"))?) } else { None };
        let drip_feed = read_drip_feed(limits, given("runs"), given("interval"))?;
        let per_run = match kind.billing() {
            Billing::Lines(list) => count_lines(&fields, list),
            _ => quantity.unwrap_or(1),
        };
        if kind.billing() != Billing::Flat {
            check_bounds(per_run, limits)?;
        }
        let runs = drip_feed.map_or(1, |drip| drip.runs);
        let units = per_run.checked_mul(runs).ok_or(InputError::QuantityHigh(limits.max))?;
        Ok(Self { link, quantity, drip_feed, fields, units })
    }

    /// The parameters as an upstream takes them, without `key`, `action` and `service`.
    #[must_use]
    pub fn to_form(&self) -> Vec<(&'static str, String)> {
        let mut form = vec![("link", self.link.clone())];
        form.extend(self.quantity.map(|quantity| ("quantity", quantity.to_string())));
        if let Some(drip) = self.drip_feed {
            form.push(("runs", drip.runs.to_string()));
            form.push(("interval", drip.interval.to_string()));
        }
        form.extend(self.fields.iter().map(|(field, text)| (field.name(), text.clone())));
        form
    }

    /// The number that an upstream's minimum and maximum apply to; `None` for packages.
    #[must_use]
    pub fn bounded_quantity(&self, kind: ServiceType) -> Option<u64> {
        match kind.billing() {
            Billing::Flat | Billing::PerPost => None,
            Billing::Quantity => self.quantity,
            Billing::Lines(_) => Some(self.units),
        }
    }
}

fn check_bounds(quantity: u64, limits: Limits) -> Result<(), InputError> {
    if quantity < limits.min {
        return Err(InputError::QuantityLow(limits.min));
    }
    if quantity > limits.max {
        return Err(InputError::QuantityHigh(limits.max));
    }
    Ok(())
}

fn single_line(text: &str) -> bool {
    text.len() <= MAX_TEXT && !text.chars().any(char::is_control)
}

fn read_link(link: Option<&str>) -> Result<String, InputError> {
    let link = link.ok_or(InputError::LinkMissing)?;
    if !single_line(link) {
        return Err(InputError::LinkBad);
    }
    Ok(link.to_owned())
}

/// Digits only: "1e3", "1.0" and "+5" are no quantities, and neither is 0.
fn whole(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn read_quantity(text: Option<&str>) -> Result<u64, InputError> {
    let text = text.ok_or(InputError::QuantityMissing)?;
    whole(text).filter(|quantity| *quantity > 0).ok_or(InputError::QuantityBad)
}

fn read_drip_feed(limits: Limits, runs: Option<&str>, interval: Option<&str>) -> Result<Option<DripFeed>, InputError> {
    let (runs, interval) = match (runs, interval) {
        (None, None) => return Ok(None),
        (Some(runs), Some(interval)) => (runs, interval),
        _ => return Err(InputError::DripFeedHalf),
    };
    if !limits.dripfeed || !limits.kind.allows_drip_feed() {
        return Err(InputError::DripFeedUnsupported);
    }
    let runs = whole(runs).filter(|runs| *runs > 0).ok_or(InputError::FieldBad("runs"))?;
    let interval = whole(interval).ok_or(InputError::FieldBad("interval"))?;
    Ok(Some(DripFeed { runs, interval }))
}

fn read_fields<'a>(
    kind: ServiceType,
    given: &impl Fn(&str) -> Option<&'a str>,
) -> Result<Vec<(Field, String)>, InputError> {
    let mut fields = Vec::new();
    for field in kind.required_fields() {
        fields.push((*field, read_field(*field, given(field.name()))?));
    }
    if kind == ServiceType::WebTraffic {
        let needed = match given("type_of_traffic") {
            Some("1") => Some(Field::GoogleKeyword),
            Some("2") => Some(Field::ReferringUrl),
            _ => None,
        };
        if let Some(field) = needed {
            fields.push((field, read_field(field, given(field.name()))?));
        }
    }
    Ok(fields)
}

fn read_field(field: Field, text: Option<&str>) -> Result<String, InputError> {
    let text = text.ok_or(InputError::FieldMissing(field.name()))?;
    let bad = InputError::FieldBad(field.name());
    match field {
        Field::Comments | Field::Usernames | Field::Hashtags | Field::Groups | Field::Keywords => {
            let list = lines(text).collect::<Vec<_>>().join("\n");
            if list.is_empty() || list.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
                return Err(bad);
            }
            Ok(list)
        }
        Field::Device if !matches!(text, "1" | "2" | "3" | "4" | "5") => Err(bad),
        Field::TypeOfTraffic if !matches!(text, "1" | "2" | "3") => Err(bad),
        _ if !single_line(text) => Err(bad),
        _ => Ok(text.to_owned()),
    }
}

/// The items of a list: scripts separate them by `\r\n`, `\n` or a lone `\r`; blank lines are no items.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty())
}

fn count_lines(fields: &[(Field, String)], list: Field) -> u64 {
    let count = fields.iter().find(|(field, _)| *field == list).map_or(0, |(_, text)| lines(text).count());
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(kind: ServiceType) -> Limits {
        Limits { kind, min: 2, max: 1000, dripfeed: true }
    }

    fn read(kind: ServiceType, given: &[(&str, &'static str)]) -> Result<OrderParams, InputError> {
        OrderParams::read(limits(kind), |name| given.iter().find(|(key, _)| *key == name).map(|(_, text)| *text))
    }

    const LINK: (&str, &str) = ("link", "https://example.com/p/1");

    #[test]
    fn every_type_is_counted_by_its_own_number() {
        use ServiceType as T;
        let q = ("quantity", "100");
        let names = ("usernames", "a\r\nb\n\n c \n");
        for (kind, given, units) in [
            (T::Default, vec![LINK, q], 100),
            (T::Default, vec![LINK, q, ("runs", "5"), ("interval", "30")], 500),
            (T::Default, vec![LINK, q, ("runs", ""), ("interval", " ")], 100),
            (T::Package, vec![LINK], 1),
            (T::Seo, vec![LINK, q, ("keywords", "a, b")], 100),
            (T::CustomComments, vec![LINK, ("comments", "good\nnice\n\nwow")], 3),
            (T::CustomCommentsPackage, vec![LINK, ("comments", "good")], 1),
            (T::Mentions, vec![LINK, q, names], 100),
            (T::MentionsWithHashtags, vec![LINK, q, names, ("hashtags", "#x")], 100),
            (T::MentionsCustomList, vec![LINK, names], 3),
            (T::MentionsHashtag, vec![LINK, q, ("hashtag", "x")], 100),
            (T::MentionsUserFollowers, vec![LINK, q, ("username", "x")], 100),
            (T::MentionsMediaLikers, vec![LINK, q, ("media", "https://example.com/m")], 100),
            (T::CommentLikes, vec![LINK, q, ("username", "x")], 100),
            (T::CommentReplies, vec![LINK, ("username", "x"), ("comments", "a\nb")], 2),
            (T::Poll, vec![LINK, q, ("answer_number", "3")], 100),
            (T::InvitesFromGroups, vec![LINK, q, ("groups", "g1\ng2")], 100),
            (
                T::WebTraffic,
                vec![
                    LINK,
                    q,
                    ("country", "US"),
                    ("device", "1"),
                    ("type_of_traffic", "3"),
                    ("runs", "2"),
                    ("interval", "0"),
                ],
                200,
            ),
        ] {
            assert_eq!(read(kind, &given).map(|params| params.units), Ok(units), "{kind} {given:?}");
        }
    }

    #[test]
    fn every_required_parameter_is_missed() {
        for kind in ServiceType::ALL.iter().filter(|kind| kind.billing() != Billing::PerPost) {
            for field in kind.required_fields() {
                let all = [
                    LINK,
                    ("quantity", "10"),
                    ("comments", "a\nb"),
                    ("usernames", "a\nb"),
                    ("hashtags", "x"),
                    ("hashtag", "x"),
                    ("username", "x"),
                    ("media", "x"),
                    ("groups", "x"),
                    ("keywords", "x"),
                    ("answer_number", "1"),
                    ("country", "US"),
                    ("device", "1"),
                    ("type_of_traffic", "3"),
                ];
                assert!(read(*kind, &all).is_ok(), "{kind}");
                let without: Vec<_> = all.into_iter().filter(|(name, _)| *name != field.name()).collect();
                assert_eq!(read(*kind, &without), Err(InputError::FieldMissing(field.name())), "{kind}");
            }
        }
    }

    #[test]
    fn bad_input_is_named() {
        use InputError as E;
        let kind = ServiceType::Default;
        for (given, error) in [
            (vec![("quantity", "10")], E::LinkMissing),
            (vec![("link", "  "), ("quantity", "10")], E::LinkMissing),
            (vec![("link", "a\nb"), ("quantity", "10")], E::LinkBad),
            (vec![LINK], E::QuantityMissing),
            (vec![LINK, ("quantity", "0")], E::QuantityBad),
            (vec![LINK, ("quantity", "-5")], E::QuantityBad),
            (vec![LINK, ("quantity", "1e3")], E::QuantityBad),
            (vec![LINK, ("quantity", "10.5")], E::QuantityBad),
            (vec![LINK, ("quantity", "99999999999999999999")], E::QuantityBad),
            (vec![LINK, ("quantity", "1")], E::QuantityLow(2)),
            (vec![LINK, ("quantity", "1001")], E::QuantityHigh(1000)),
            (vec![LINK, ("quantity", "10"), ("runs", "2")], E::DripFeedHalf),
            (vec![LINK, ("quantity", "10"), ("runs", "0"), ("interval", "1")], E::FieldBad("runs")),
            (vec![LINK, ("quantity", "10"), ("runs", "2"), ("interval", "x")], E::FieldBad("interval")),
            (
                vec![LINK, ("quantity", "10"), ("runs", "18446744073709551615"), ("interval", "1")],
                E::QuantityHigh(1000),
            ),
        ] {
            assert_eq!(read(kind, &given), Err(error), "{given:?}");
        }
        let poll = vec![LINK, ("quantity", "10"), ("answer_number", "1"), ("runs", "2"), ("interval", "1")];
        assert_eq!(read(ServiceType::Poll, &poll), Err(E::DripFeedUnsupported));
        assert_eq!(read(ServiceType::Subscriptions, &[]), Err(E::SubscriptionUnsupported));
        let traffic = [LINK, ("quantity", "10"), ("country", "US"), ("device", "1"), ("type_of_traffic", "1")];
        assert_eq!(read(ServiceType::WebTraffic, &traffic), Err(E::FieldMissing("google_keyword")));
    }

    #[test]
    fn lists_go_out_as_they_were_counted() {
        let params = read(ServiceType::CustomComments, &[LINK, ("comments", " a \r\n\r\nb\r")]).unwrap();
        assert_eq!(params.to_form(), vec![("link", LINK.1.to_owned()), ("comments", "a\nb".to_owned())]);
    }
}
