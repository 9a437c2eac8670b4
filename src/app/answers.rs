//! From a call to its answer: lets the caller in, finds the action, and puts the result into JSON.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::{Value, json};

use super::App;
use super::auth::Caller;
use super::call::{Answer, Params};
use super::error::ApiError;
use super::snapshot::{Audience, Snapshot};
use crate::domain::catalogue::Service;
use crate::store::PATIENCE;

#[derive(Serialize)]
struct ServiceView<'a> {
    service: u32,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    category: &'a str,
    rate: String,
    min: String,
    max: String,
    refill: bool,
    cancel: bool,
    dripfeed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    desc: Option<&'a str>,
}

/// What a client may ask for.
pub(super) const ACTIONS: [&str; 7] = ["services", "add", "status", "refill", "refill_status", "cancel", "balance"];

impl App {
    /// Whether a call changes nothing, so that it may be given up halfway.
    #[must_use]
    pub fn only_reads(params: &Params) -> bool {
        matches!(asked_action(params), "services" | "status" | "refill_status" | "balance")
    }

    /// How long a client waits for what is only read: a store that is far away may be silent for long, and whoever waits
    /// before this gateway takes it for dead then.
    #[must_use]
    pub fn reads_within(&self) -> Option<Duration> {
        self.store.is_shared().then_some(PATIENCE)
    }

    /// Answers one call of a client that comes from `ip`.
    pub async fn answer(self: &Arc<Self>, params: &Params, ip: IpAddr) -> Answer {
        let action = asked_action(params);
        let result = self.dispatch(action, params, ip).await;
        self.calls.count(action, result.is_ok());
        result.unwrap_or_else(|error| Answer::error(&error.to_string()))
    }

    async fn dispatch(self: &Arc<Self>, action: &str, params: &Params, ip: IpAddr) -> Result<Answer, ApiError> {
        let admitted = self.access.load().admit(params.get("key"), ip);
        if admitted.as_ref().is_err_and(|error| *error == ApiError::KeyUnknown) {
            self.slow_down(ip).await;
        }
        let caller = admitted?;
        match (self.limits(), caller.client.rps) {
            (None, _) if !self.access.load().is_within_pace(&caller.client) => return Err(ApiError::TooManyRequests),
            // Boxed: few clients have a pace of their own.
            (Some(limits), Some(rps @ 1..)) if !Box::pin(limits.admits(caller.client.id, rps)).await => {
                return Err(ApiError::TooManyRequests);
            }
            _ => {}
        }
        match action {
            "status" => self.any_status(&caller, params).await.map(Answer::json),
            // Boxed, so that a status, which comes far more often, does not carry the room for all of these.
            _ => Box::pin(self.dispatch_rarer(action, &caller, params)).await,
        }
    }

    async fn dispatch_rarer(
        self: &Arc<Self>,
        action: &str,
        caller: &Arc<Caller>,
        params: &Params,
    ) -> Result<Answer, ApiError> {
        match action {
            "services" => self.services(caller).await,
            "add" => {
                let order = self.add(caller, params).await?;
                Ok(Answer::json(json!({ "order": order.get() }).to_string()))
            }
            "refill" => self.any_refill(caller, params).await.map(to_answer),
            "refill_status" => self.any_refill_status(caller, params).await.map(to_answer),
            "cancel" => {
                let orders = given(params, "orders").or_else(|| given(params, "order"));
                let orders = orders.ok_or(ApiError::ParameterMissing("orders"))?;
                self.cancel(caller, orders).await.map(to_answer)
            }
            "balance" => self.own_balance(caller).await,
            _ => Err(ApiError::ActionUnknown),
        }
    }

    async fn any_status(&self, caller: &Caller, params: &Params) -> Result<Bytes, ApiError> {
        match (given(params, "order"), given(params, "orders")) {
            (_, Some(orders)) => self.multi_status(caller, orders).await,
            (Some(order), None) => self.status(caller, order).await,
            (None, None) => Err(ApiError::ParameterMissing("order")),
        }
    }

    async fn any_refill(self: &Arc<Self>, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        match (given(params, "order"), given(params, "orders")) {
            (_, Some(orders)) => self.refill_many(caller, orders).await,
            // Text: that is how panels answer for one.
            (Some(order), None) => Ok(json!({ "refill": self.refill(caller, order).await?.to_string() })),
            (None, None) => Err(ApiError::ParameterMissing("order")),
        }
    }

    async fn any_refill_status(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        match (given(params, "refill"), given(params, "refills")) {
            (_, Some(refills)) => self.refill_statuses(caller, refills).await,
            (Some(refill), None) => self.refill_status(caller, refill).await,
            (None, None) => Err(ApiError::ParameterMissing("refill")),
        }
    }

    async fn own_balance(&self, caller: &Caller) -> Result<Answer, ApiError> {
        let balance = self.store.balance(caller.client.id).await?;
        let currency = &self.snapshot.load().terms.currency;
        Ok(Answer::json(json!({ "balance": balance.to_string(), "currency": currency }).to_string()))
    }

    async fn services(&self, caller: &Arc<Caller>) -> Result<Answer, ApiError> {
        let snapshot = self.snapshot.load_full();
        let client = &caller.client;
        let audience = Audience { markup: client.markup, allowed: client.allow_services.clone() };
        if let Some(answer) = snapshot.kept(&audience) {
            return Ok(answer);
        }
        // Many services take a while, which no other call shall wait for.
        let (shown, caller) = (Arc::clone(&snapshot), Arc::clone(caller));
        let rendered = tokio::task::spawn_blocking(move || render_services(&shown, &caller)).await;
        let answer = rendered.map_err(|error| {
            tracing::error!(%error, "the list of services could not be rendered");
            ApiError::Internal
        })?;
        snapshot.keep(audience, answer.clone());
        Ok(answer)
    }
}

/// The whole list, or an empty one: never a part of it, since scripts switch off what they miss.
fn render_services(snapshot: &Snapshot, caller: &Caller) -> Answer {
    let catalogue = &snapshot.catalogue;
    let tier = caller.client.markup;
    let views: Vec<ServiceView<'_>> = catalogue
        .services()
        .iter()
        .filter(|service| {
            caller.may_buy(service.id) && catalogue.is_sold(service, tier) && snapshot.takes_orders(service.id)
        })
        .filter_map(|service| Some(view(service, catalogue.rate(service, tier).ok()?.to_string())))
        .collect();
    // Serializing text, numbers and booleans into memory has no way to fail.
    let plain: Bytes = serde_json::to_vec(&views).unwrap_or_default().into();
    let gzip = compress(&plain);
    Answer { plain, gzip }
}

fn view(service: &Service, rate: String) -> ServiceView<'_> {
    ServiceView {
        service: service.id.get(),
        name: &service.name,
        kind: service.kind.name(),
        category: &service.category,
        rate,
        min: service.min.to_string(),
        max: service.max.to_string(),
        refill: service.refill,
        cancel: service.cancel,
        dripfeed: service.dripfeed,
        desc: service.desc.as_deref(),
    }
}

fn compress(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

fn asked_action(params: &Params) -> &str {
    params.get("action").map(str::trim).unwrap_or_default()
}

/// A parameter without blanks around it; nothing where it is absent or empty.
fn given<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.get(name).map(str::trim).filter(|text| !text.is_empty())
}

fn to_answer(document: Value) -> Answer {
    Answer::json(document.to_string())
}
