//! Reads `[[service]]` and `[[import]]`.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::provider::ProviderNames;
use super::reader::{Field, Section};
use super::sections::markup;
use super::values::{self, boolean, decimal, glob, integer, text};
use crate::domain::catalogue::{ImportDefinition, ImportFilter, ServiceDefinition};
use crate::domain::ids::{MAX_PUBLIC_ID, Route, ServiceId, UpstreamServiceId};
use crate::domain::money::Rate;
use crate::domain::service_type::ServiceType;

/// No panel takes an order of more.
const LARGEST_QUANTITY: i64 = 1_000_000_000_000;

/// The longest service ID of an upstream.
const LONGEST_UPSTREAM_ID: usize = 64;

/// One `[[service]]`; nothing where what it must have is missing. `first_lines` holds the IDs so far.
pub(super) fn service(
    section: &mut Section<'_>,
    providers: &ProviderNames,
    first_lines: &mut BTreeMap<ServiceId, usize>,
) -> Option<ServiceDefinition> {
    let id = service_id(section, first_lines);
    let name = section.get("name", text).map(str::to_owned);
    let category = section.get("category", text).map(str::to_owned);
    let desc = section.get("desc", values::any_text).map(str::to_owned);
    let kind = section.get("type", service_type);
    let min = section.get("min", integer(1..=LARGEST_QUANTITY));
    let max = section.get("max", integer(1..=LARGEST_QUANTITY));
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        section.mistake_at("min", format!("expected at most `max` ({max}), found {min}"));
    }
    let routes = section.required("routes", |field| routes(field, providers));
    let markup = markup(section);
    let fixed_rate = section.get("rate", fixed_rate);
    for key in ["markup_percent", "markup_fixed"] {
        if section.has("rate") && section.has(key) {
            section.mistake_at(key, format!("expected either `rate` or a markup, found `rate` and `{key}`"));
        }
    }
    let enabled = section.get("enabled", boolean).unwrap_or(true);
    Some(ServiceDefinition {
        id: id?,
        name,
        category,
        desc,
        kind,
        min,
        max,
        routes: routes?,
        markup,
        fixed_rate,
        enabled,
    })
}

fn service_id(section: &mut Section<'_>, first_lines: &mut BTreeMap<ServiceId, usize>) -> Option<ServiceId> {
    let id = section.required("id", integer(1..=MAX_PUBLIC_ID.into()))?;
    let id = ServiceId::new(id).ok()?;
    let line = section.report.place(section.offset_of("id")).line;
    if let Some(first) = first_lines.get(&id) {
        section.mistake_at("id", format!("expected an id of its own, found {id} again (first at line {first})"));
        return None;
    }
    first_lines.insert(id, line);
    Some(id)
}

fn service_type(field: Field<'_>) -> Option<ServiceType> {
    let given = text(field)?;
    let names = || ServiceType::ALL.iter().map(|kind| kind.name());
    ServiceType::parse(given).or_else(|| {
        let what = format!("a service type ({})", names().collect::<Vec<_>>().join(", "));
        values::expected_one_of(field, &what, given, names())
    })
}

/// A price that can be listed: with more decimals it would be another one.
fn fixed_rate(field: Field<'_>) -> Option<Rate> {
    let rate = decimal(Decimal::ZERO)(field)?;
    if rate.normalize().scale() > Rate::MAX_DECIMALS {
        return field.expected(&format!("a rate of at most {} decimals", Rate::MAX_DECIMALS));
    }
    Some(Rate::new(rate))
}

fn routes(field: Field<'_>, providers: &ProviderNames) -> Option<Vec<Route>> {
    const WANTED: &str = "an array of one route or more, such as [\"alpha:101\"]";
    let items: Vec<_> = field.items(WANTED)?.collect();
    if items.is_empty() {
        return field.expected_but(WANTED, "an empty one");
    }
    let mut routes: Vec<Route> = Vec::new();
    for item in items {
        let Some(route) = route(item, providers) else { continue };
        if routes.contains(&route) {
            let _: Option<()> = item.expected("each route once");
        } else {
            routes.push(route);
        }
    }
    Some(routes)
}

fn route(field: Field<'_>, providers: &ProviderNames) -> Option<Route> {
    const WANTED: &str = "a route PROVIDER:SERVICE, such as \"alpha:101\"";
    let Some((provider, service)) = field.value.as_str().and_then(|text| text.split_once(':')) else {
        return field.expected(WANTED);
    };
    let is_id = (1..=LONGEST_UPSTREAM_ID).contains(&service.len());
    if provider.is_empty() || !is_id || service.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return field.expected(WANTED);
    }
    Some(Route { provider: providers.find(provider, field)?, service: UpstreamServiceId::new(service) })
}

/// One `[[import]]`; nothing where what it must have is missing.
pub(super) fn import(section: &mut Section<'_>, providers: &ProviderNames) -> Option<ImportDefinition> {
    let provider = section.required("provider", |field| providers.find(text(field)?, field));
    let most = i64::from(MAX_PUBLIC_ID).saturating_sub(1);
    let id_offset = section.required("id_offset", integer(0..=most));
    let filter = ImportFilter {
        name: section.get("name", glob(false)),
        category: section.get("category", glob(false)),
        kind: section.get("type", glob(true)),
        exclude_name: section.get("exclude_name", glob(false)),
        exclude_category: section.get("exclude_category", glob(false)),
    };
    let markup = markup(section);
    Some(ImportDefinition { provider: provider?, id_offset: id_offset?, filter, markup })
}
