//! `add`: checks, prices, charges and stores an order, then waits a moment for the upstream's word.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::App;
use super::auth::Caller;
use super::call::Params;
use super::error::{ApiError, MAX_REQUEST_ID};
use super::freeze::Freezes;
use super::routes::{Sale, sellable};
use super::snapshot::Snapshot;
use super::trouble::warn_of;
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::{ClientId, OrderId, OrderToken, ServiceId};
use crate::domain::order::{CLAIM, NewOrder, Order, State};
use crate::domain::params::OrderParams;
use crate::domain::time::Timestamp;
use crate::store::StoreError;
use crate::store::records::{Earlier, Placed, Placement, RequestKey};

/// How long a `request_id` is remembered.
pub(super) const REQUEST_MEMORY: Duration = Duration::from_secs(86_400);
/// Between two looks at an order that another gateway may have in hand.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// Between two looks whether a commit took place whose acknowledgement was lost.
const TOKEN_RETRY: Duration = Duration::from_millis(200);

/// Which gateway a new order is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// This one, which holds it until its claim ends.
    This,
    /// Whichever claims it first: this one can't send it just now.
    Others,
}

impl App {
    /// Places an order. The answer is an ID only once the order, its charge and its ledger entry are durable.
    pub(super) async fn add(self: &Arc<Self>, caller: &Caller, params: &Params) -> Result<OrderId, ApiError> {
        if caller.read_only {
            return Err(ApiError::ReadOnly);
        }
        let snapshot = self.snapshot.load_full();
        let wait = snapshot.terms.wait;
        let now = self.clock.now();
        let request = request_key(params, now)?;
        let order = match quote(&snapshot, &self.freezes.load(), caller, params, now) {
            Ok(order) => order,
            Err(refusal) => return self.earlier_answer(caller.client.id, request, wait).await?.ok_or(refusal),
        };
        let token = order.token;
        let sender = if self.is_sent_elsewhere(order.service) { Sender::Others } else { Sender::This };
        let claimed_until = if sender == Sender::This { now.plus(CLAIM) } else { now };
        let placement = Placement { order, request, now, claimed_until };
        match self.store.place(placement).await {
            Ok(placed) => self.answer_placed(placed, sender, wait).await,
            Err(error @ StoreError::InDoubt(_)) => match self.find_by_token(token).await {
                Some(order) => self.answer_placed(Placed::New(Box::new(order)), sender, wait).await,
                None => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// A commit whose acknowledgement was lost may have taken place all the same; the token says, as soon as anybody
    /// can. Until then there is nothing true to be answered.
    async fn find_by_token(&self, token: OrderToken) -> Option<Order> {
        let mut told = false;
        loop {
            match self.store.order_by_token(token).await {
                Ok(found) => return found,
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        warn_of!(error, "whether an order was placed can't be looked up yet; trying on");
                    }
                    tokio::time::sleep(TOKEN_RETRY).await;
                }
            }
        }
    }

    async fn answer_placed(
        self: &Arc<Self>,
        placed: Placed,
        sender: Sender,
        wait: Duration,
    ) -> Result<OrderId, ApiError> {
        match placed {
            Placed::New(order) if sender == Sender::Others => self.word_on(order.id, wait).await,
            Placed::New(order) => self.send_and_wait(*order, wait).await,
            Placed::Repeat(id) => self.word_on(id, wait).await,
            Placed::RequestConflict => Err(ApiError::RequestIdConflict),
            Placed::NotEnoughFunds => Err(ApiError::NotEnoughFunds),
            Placed::DailyLimit => Err(ApiError::DailyLimit),
            Placed::ClientDisabled => Err(ApiError::Disabled),
            Placed::NoMoreIds => {
                tracing::error!("every order ID up to 2^31 - 1 is used: no more orders can be taken by this store");
                Err(ApiError::Internal)
            }
        }
    }

    /// What a request was answered that could not be placed now: a repeat gets the first one's answer, though
    /// its service may have gone off sale since.
    async fn earlier_answer(
        &self,
        client: ClientId,
        request: Option<RequestKey>,
        wait: Duration,
    ) -> Result<Option<OrderId>, ApiError> {
        let Some(request) = request else { return Ok(None) };
        match self.store.earlier_request(client, request).await? {
            Some(Earlier::Repeat(id)) => self.word_on(id, wait).await.map(Some),
            Some(Earlier::Conflict) => Err(ApiError::RequestIdConflict),
            None => Ok(None),
        }
    }

    async fn send_and_wait(self: &Arc<Self>, order: Order, wait: Duration) -> Result<OrderId, ApiError> {
        let id = order.id;
        let waiting = self.waiters.join(id);
        let news = waiting.news();
        drop(self.tasks.spawn(Arc::clone(self).forward(order)));
        if self.hears(news, Instant::now() + wait).await { self.word_on(id, Duration::ZERO).await } else { Ok(id) }
    }

    /// Whether the news comes in time. A gateway that stops keeps nobody waiting.
    async fn hears(&self, news: impl Future<Output = ()>, deadline: Instant) -> bool {
        tokio::select! {
            biased;
            () = news => true,
            () = tokio::time::sleep_until(deadline) => false,
            () = self.tasks.stopping() => false,
        }
    }

    /// What a client is told of an order that is durable: its ID, or why it was refused, as far as that is known
    /// `within` the time. Where the store can't be read it is the ID, which is true in any case.
    async fn word_on(&self, id: OrderId, within: Duration) -> Result<OrderId, ApiError> {
        let deadline = Instant::now() + within;
        let waiting = self.waiters.join(id);
        loop {
            let news = waiting.news();
            let Ok(order) = self.reread(id).await else { return Ok(id) };
            match (order.state, order.refusal) {
                (State::Closed { binding: None, .. }, Some(refusal)) => return Err(ApiError::Refused(refusal)),
                (State::Queued | State::Sending { .. }, _) => {
                    // Another gateway's news is not heard, it is looked for.
                    let look = Instant::now() + LOOK_EVERY;
                    let until = if self.has_company() { deadline.min(look) } else { deadline };
                    if !self.hears(news, until).await && (self.tasks.is_stopping() || Instant::now() >= deadline) {
                        return Ok(id);
                    }
                }
                _ => return Ok(id),
            }
        }
    }
}

/// Checks an order and prices it, by the present snapshot only.
fn quote(
    snapshot: &Snapshot,
    freezes: &Freezes,
    caller: &Caller,
    params: &Params,
    now: Timestamp,
) -> Result<NewOrder, ApiError> {
    let client = &caller.client;
    let catalogue = &snapshot.catalogue;
    let id: ServiceId = params.get("service").and_then(|text| text.parse().ok()).ok_or(ApiError::ServiceUnknown)?;
    let service = catalogue.service(id).filter(|_| caller.may_buy(id)).ok_or(ApiError::ServiceUnknown)?;
    let checked = OrderParams::read(service.limits(), |name| params.get(name))?;
    if !catalogue.is_sold(service, client.markup) {
        return Err(ApiError::ServiceUnavailable);
    }
    let rate = catalogue.rate(service, client.markup).map_err(|_| ApiError::ServiceUnavailable)?;
    // A charge too large to be computed is more than any balance holds.
    let charge = Catalogue::charge(rate, service.kind, &checked).map_err(|_| ApiError::NotEnoughFunds)?;
    let sale = Sale { kind: service.kind, params: &checked, charge };
    if !sellable(snapshot, freezes, catalogue.routes(id).unwrap_or_default(), &sale, now) {
        return Err(ApiError::ServiceUnavailable);
    }
    let token = OrderToken(random_bytes()?);
    Ok(NewOrder { token, client: client.id, service: id, kind: service.kind, params: checked, charge })
}

fn random_bytes() -> Result<[u8; 16], ApiError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the machine gives no random bytes: no order can be taken");
        ApiError::Internal
    })?;
    Ok(bytes)
}

/// The client's name for this call, with a digest of everything else that it says.
fn request_key(params: &Params, now: Timestamp) -> Result<Option<RequestKey>, ApiError> {
    let Some(id) = params.get("request_id").map(str::trim).filter(|id| !id.is_empty()) else { return Ok(None) };
    if id.chars().count() > MAX_REQUEST_ID {
        return Err(ApiError::RequestIdBad);
    }
    let mut rest: Vec<(&str, &str)> =
        params.iter().filter(|(name, _)| !matches!(*name, "key" | "action" | "request_id")).collect();
    rest.sort_unstable();
    let mut digest = Sha256::new();
    for (name, text) in rest {
        for part in [name, text.trim()] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
    }
    Ok(Some(RequestKey { id: id.to_owned(), fingerprint: digest.finalize().into(), since: now.minus(REQUEST_MEMORY) }))
}
