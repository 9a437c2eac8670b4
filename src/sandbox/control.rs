//! The calls under `/sandbox/`, by which a running panel is told what to do next. They ask for no key.

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::action::{Action, Params};
use super::faults::Faults;
use super::journal::entry;
use super::order::OrderChange;
use super::panel::{Panel, error};
use super::service::parse_services;
use super::wire::{self, Answer, Shared};
use crate::domain::money::parse_decimal;

/// What a control call gives: a document, or a status with the reason.
type Done = Result<Value, (StatusCode, String)>;

/// Answers the control call `what`.
pub(super) fn respond(method: &Method, what: &str, body: &Bytes, shared: &Shared) -> Answer {
    let mut panel = shared.panel();
    let done = match (method.as_str(), what) {
        ("GET", "orders") => Ok(list_orders(&mut panel)),
        ("GET", "calls") => Ok(count_calls(&panel)),
        ("POST", "faults") => set_faults(&mut panel, body),
        ("POST", "order") => set_order(&mut panel, &Params::read(body, "")),
        ("POST", "refill") => set_refill(&mut panel, &Params::read(body, "")),
        ("POST", "services") => set_services(&mut panel, body),
        ("POST", "rate") => set_rate(&mut panel, &Params::read(body, "")),
        ("POST", "account") => set_account(&mut panel, &Params::read(body, "")),
        _ => Err((
            StatusCode::NOT_FOUND,
            format!(
                "no control call {method} {what}; see `GET orders`, `GET calls`, and POST to faults, order, refill, services, rate, account"
            ),
        )),
    };
    match done {
        Ok(document) => wire::json(StatusCode::OK, &document),
        Err((status, reason)) => wire::json(status, &error(&reason)),
    }
}

fn bad(reason: impl ToString) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, reason.to_string())
}

fn done() -> Value {
    json!({ "done": true })
}

/// An order's line in the journal with its `status` answer beside it.
fn list_orders(panel: &mut Panel) -> Value {
    let orders = panel.accepted().map(|(order, standing)| {
        let mut shown = entry(order);
        if let (Value::Object(shown), Value::Object(standing)) = (&mut shown, standing) {
            // `charge` stays what was taken at first.
            shown.insert("status".to_owned(), standing.get("status").cloned().unwrap_or_default());
            shown.insert("now".to_owned(), Value::Object(standing));
        }
        shown
    });
    Value::Array(orders.collect())
}

fn count_calls(panel: &Panel) -> Value {
    let counts = Action::ALL.map(|action| (action.as_str().to_owned(), Value::from(panel.calls.count(action))));
    Value::Object(counts.into_iter().collect::<Map<_, _>>())
}

fn set_faults(panel: &mut Panel, body: &Bytes) -> Done {
    let spec = std::str::from_utf8(body).map_err(bad)?;
    panel.trouble.faults = spec.trim().parse::<Faults>().map_err(bad)?;
    Ok(done())
}

fn set_order(panel: &mut Panel, params: &Params) -> Done {
    let id = params.get("id").ok_or_else(|| bad("give the order's `id`"))?;
    let text = |name: &str| params.get(name).map(str::to_owned);
    let change = OrderChange {
        status: text("status"),
        remains: text("remains"),
        charge: text("charge"),
        start_count: text("start_count"),
        runs: text("runs"),
    };
    if panel.set_order(id, change) { Ok(done()) } else { Err((StatusCode::NOT_FOUND, format!("no order {id}"))) }
}

fn set_refill(panel: &mut Panel, params: &Params) -> Done {
    let id = params.get("id").ok_or_else(|| bad("give the refill's `id`"))?;
    let word = params.get("status").ok_or_else(|| bad("give the `status` word"))?;
    if panel.set_refill(id, word) { Ok(done()) } else { Err((StatusCode::NOT_FOUND, format!("no refill {id}"))) }
}

fn set_services(panel: &mut Panel, body: &Bytes) -> Done {
    panel.services = parse_services(body).map_err(bad)?;
    Ok(json!({ "services": panel.services.len() }))
}

fn set_rate(panel: &mut Panel, params: &Params) -> Done {
    let service = params.get("service").and_then(|id| id.parse().ok());
    let service = service.ok_or_else(|| bad("give the `service` by its number"))?;
    let rate = params.get("rate").and_then(|rate| parse_decimal(rate).ok()).filter(|rate| !rate.is_sign_negative());
    let rate = rate.ok_or_else(|| bad("give the `rate` as a plain decimal of 0 or more"))?;
    if panel.set_rate(service, rate) {
        Ok(done())
    } else {
        Err((StatusCode::NOT_FOUND, format!("no service {service}")))
    }
}

/// Changes what is given of the account: all of it, or nothing where a part is wrong.
fn set_account(panel: &mut Panel, params: &Params) -> Done {
    let balance =
        params.get("balance").map(str::parse).transpose().map_err(|error| bad(format!("balance: {error}")))?;
    let switch = |name: &str| match params.get(name) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(bad(format!("`{name}` is true or false"))),
    };
    let (duplicate_lock, dedupe) = (switch("duplicate_lock")?, switch("dedupe")?);
    let lists_orders = switch("lists_orders")?;
    panel.balance = balance.unwrap_or(panel.balance);
    panel.duplicate_lock = duplicate_lock.unwrap_or(panel.duplicate_lock);
    panel.dedupe = dedupe.unwrap_or(panel.dedupe);
    panel.lists_orders = lists_orders.unwrap_or(panel.lists_orders);
    if let Some(currency) = params.get("currency") {
        currency.clone_into(&mut panel.currency);
    }
    Ok(done())
}
