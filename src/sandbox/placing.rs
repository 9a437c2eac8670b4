//! What `add` checks before it takes an order. See `docs/protocol.md`, "`add` fields and charge by service type".

use rust_decimal::Decimal;

use super::action::Params;
use super::order::Placing;
use super::service::SandboxService;
use crate::domain::money::Money;
use crate::domain::service_type::{Billing, Field, ServiceType};

/// How many units a package is said to deliver.
const PACKAGE_UNITS: u64 = 100;

/// Reads and checks an `add`, and prices it.
///
/// # Errors
/// The text that the panel answers.
pub(super) fn read_placing(service: &SandboxService, params: &Params) -> Result<Placing, String> {
    let kind = service.kind();
    let subscription = kind == ServiceType::Subscriptions;
    let link = if subscription { String::new() } else { link_of(params)? };
    require_fields(kind, params)?;
    let (quantity, units, runs) = match kind.billing() {
        Billing::Quantity => {
            let quantity = whole(params, "quantity")?.ok_or("Quantity is required")?;
            check_bounds(service, quantity)?;
            let runs = drip_feed(service, params)?;
            let units = quantity.checked_mul(runs.unwrap_or(1)).ok_or("Incorrect quantity")?;
            (quantity, units, runs)
        }
        Billing::Lines(list) => {
            let lines = line_count(params, list);
            check_bounds(service, lines)?;
            (lines, lines, None)
        }
        Billing::Flat => (1, PACKAGE_UNITS, None),
        Billing::PerPost => (0, 0, None),
    };
    let charge = charge(service, kind, units).ok_or("Incorrect quantity")?;
    let params = params.of_order();
    Ok(Placing { service: service.id, link, quantity, units, runs, subscription, charge, params })
}

fn link_of(params: &Params) -> Result<String, String> {
    let link = params.get("link").ok_or("Link is required")?;
    if link.contains(char::is_whitespace) {
        return Err("Bad link".to_owned());
    }
    Ok(link.to_owned())
}

fn require_fields(kind: ServiceType, params: &Params) -> Result<(), String> {
    for field in kind.required_fields() {
        if params.get(field.name()).is_none() {
            return Err(match field {
                Field::Comments => "Comments field is required".to_owned(),
                _ => "You must fill in the required fields.".to_owned(),
            });
        }
    }
    let also: &[&str] = match (kind, params.get("type_of_traffic")) {
        (ServiceType::Subscriptions, _) => &["min", "max", "delay"],
        (ServiceType::WebTraffic, Some("1")) => &["google_keyword"],
        (ServiceType::WebTraffic, Some("2")) => &["referring_url"],
        _ => &[],
    };
    if also.iter().any(|name| params.get(name).is_none()) {
        return Err("You must fill in the required fields.".to_owned());
    }
    if kind == ServiceType::Subscriptions && whole(params, "min")? > whole(params, "max")? {
        return Err("Minimum number can not be much than maximum number.".to_owned());
    }
    Ok(())
}

/// A whole number, if it is there.
fn whole(params: &Params, name: &str) -> Result<Option<u64>, String> {
    let Some(text) = params.get(name) else { return Ok(None) };
    match text.parse() {
        Ok(number) if !text.starts_with('+') => Ok(Some(number)),
        _ => Err(format!("Incorrect {name}")),
    }
}

fn check_bounds(service: &SandboxService, quantity: u64) -> Result<(), String> {
    if quantity < service.min {
        return Err(format!("Quantity less than minimal {}", service.min));
    }
    if quantity > service.max {
        return Err(format!("Quantity more than maximum {}", service.max));
    }
    Ok(())
}

/// The runs of a drip-feed order; nothing for an ordinary one.
fn drip_feed(service: &SandboxService, params: &Params) -> Result<Option<u64>, String> {
    let runs = whole(params, "runs")?.filter(|runs| *runs > 0);
    let interval = whole(params, "interval")?;
    match (runs, interval) {
        (None, None | Some(0)) => Ok(None),
        (Some(_), None) => Err("Interval time is required".to_owned()),
        (None, Some(_)) => Err("Runs is required".to_owned()),
        (Some(_), Some(_)) if !service.dripfeed => Err("This services does not support Dripfeed feature!".to_owned()),
        (Some(runs), Some(_)) => Ok(Some(runs)),
    }
}

fn line_count(params: &Params, list: Field) -> u64 {
    let lines = params.get(list.name()).unwrap_or_default().lines().filter(|line| !line.trim().is_empty()).count();
    u64::try_from(lines).unwrap_or(u64::MAX)
}

/// The price, rounded down at 10^-8, for rates finer than that.
fn charge(service: &SandboxService, kind: ServiceType, units: u64) -> Option<Money> {
    let exact = match kind.billing() {
        Billing::Flat => service.rate,
        Billing::PerPost => Decimal::ZERO,
        Billing::Quantity | Billing::Lines(_) => {
            service.rate.checked_mul(Decimal::from(units))?.checked_div(Decimal::ONE_THOUSAND)?
        }
    };
    Money::rounded_down(exact).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::service::default_services;

    fn place(service: u64, form: &str) -> Result<(u64, u64, String), String> {
        let services = default_services();
        let service = services.iter().find(|known| known.id == service).unwrap();
        let placing = read_placing(service, &Params::read(form.as_bytes(), ""))?;
        Ok((placing.quantity, placing.units, placing.charge.to_string()))
    }

    #[test]
    fn each_type_is_priced_by_what_it_counts() {
        for (service, form, expected) in [
            (1, "link=l&quantity=100", (100, 100, "0.09")),
            (1, "link=l&quantity=100&runs=3&interval=10", (100, 300, "0.27")),
            (6, "link=l", (1, 100, "4.99")),
            (7, "link=l&quantity=10&keywords=a", (10, 10, "0.03")),
            (8, "link=l&comments=a%0D%0A%0D%0Ab%0Ac", (3, 3, "0.024")),
            (9, "link=l&comments=a%0Ab", (1, 100, "1.99")),
            (11, "link=l&quantity=20&usernames=a&hashtags=b", (20, 20, "0.028")),
            (12, "link=l&usernames=a%0Ab%0Ac%0Ad%0Ae", (5, 5, "0.008")),
            (17, "link=l&username=u&comments=a", (1, 1, "0.0095")),
            (18, "link=l&quantity=10&answer_number=2", (10, 10, "0.006")),
            (20, "username=u&min=10&max=20&delay=0", (0, 0, "0")),
            (21, "link=l&quantity=100&country=US&device=1&type_of_traffic=3", (100, 100, "0.045")),
        ] {
            let (quantity, units, charge) = expected;
            assert_eq!(place(service, form), Ok((quantity, units, charge.to_owned())), "{service} {form}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_refused_in_words() {
        for (service, form, error) in [
            (1, "quantity=100", "Link is required"),
            (1, "link=a+b&quantity=100", "Bad link"),
            (1, "link=l", "Quantity is required"),
            (1, "link=l&quantity=many", "Incorrect quantity"),
            (1, "link=l&quantity=-5", "Incorrect quantity"),
            (1, "link=l&quantity=49", "Quantity less than minimal 50"),
            (1, "link=l&quantity=10001", "Quantity more than maximum 10000"),
            (1, "link=l&quantity=100&runs=2", "Interval time is required"),
            (1, "link=l&quantity=100&interval=2", "Runs is required"),
            (2, "link=l&quantity=100&runs=2&interval=5", "This services does not support Dripfeed feature!"),
            (8, "link=l", "Comments field is required"),
            (10, "link=l&quantity=20", "You must fill in the required fields."),
            (20, "username=u", "You must fill in the required fields."),
            (20, "username=u&min=9&max=8&delay=0", "Minimum number can not be much than maximum number."),
            (21, "link=l&quantity=100&country=US&device=1&type_of_traffic=1", "You must fill in the required fields."),
        ] {
            assert_eq!(place(service, form), Err(error.to_owned()), "{service} {form}");
        }
    }
}
