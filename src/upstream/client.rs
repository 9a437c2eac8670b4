//! One upstream: every call to it, within its limits, with what each call shows of it remembered.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::Instant;

use super::account_mark::account_mark;
use super::answers::{AnswerError, Balance, MultiStatus};
use super::answers::{read_balance, read_reply, read_status, read_statuses};
use super::cancels::{CancelAnswer, MultiCancel, read_cancel};
use super::catalogue::{ServiceList, read_services};
use super::classify::{Dialect, Judgement, judge_add};
use super::findings::{add_finding, read_finding};
use super::gate::{Gate, Limits, Permit};
use super::redact::Key;
use super::refills::{MultiRefillStatus, judge_refill, read_refill_status, read_refill_statuses};
use super::request;
use super::standing::{HealthState, Priority, Purpose, Unavailable};
use super::wire::{CallKind, Form, Reply, TransportError, Wire};
use crate::domain::ids::{ProviderId, UpstreamOrderId, UpstreamRefillId};
use crate::domain::outcome::{Outcome, RejectKind};
use crate::domain::refill::{RefillOutcome, RefillReport};
use crate::domain::status::StatusReport;
use crate::limits::SharedLimits;
use crate::telemetry;

/// How long a probe waits for the rate limiter.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);

/// Why a call was not made though it had a permit.
const LAPSED: &str = "the gateway could not reach its store, before it could send";

/// What an [`Upstream`] is made of.
pub struct UpstreamOptions {
    /// Its `id`, for metrics.
    pub provider: ProviderId,
    /// How it is reached.
    pub wire: Arc<dyn Wire>,
    /// The API key there.
    pub key: SecretString,
    /// How often it may be called.
    pub limits: Limits,
    /// Where there may be other gateways, over all of which the limits hold then.
    pub shared: Option<InCompany>,
    /// Error texts of its own, in lower case, and what they mean.
    pub rejects: Vec<(String, RejectKind)>,
    /// Whether its 503 to an `add` says that nothing was created, where its body does not say otherwise.
    pub treat_503_as_not_placed: bool,
}

/// What an [`Upstream`] needs to share its limits with those of other gateways.
pub struct InCompany {
    /// What holds over all of them.
    pub limits: SharedLimits,
    /// No call lasts longer, from its permit to its end.
    pub call_lasts: Duration,
}

/// One provider's panel. All calls to it go through here. None is sent by a permit from before this gateway lost its place
/// among others; that shows nothing of the upstream.
pub struct Upstream {
    provider: ProviderId,
    wire: Arc<dyn Wire>,
    key: Key,
    rejects: Vec<(String, RejectKind)>,
    treat_503_as_not_placed: bool,
    limits: Limits,
    /// Where there may be other gateways.
    call_lasts: Option<Duration>,
    gate: Arc<Gate>,
    /// The gate's number of the key.
    key_number: u64,
}

/// How things are with an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// In one word.
    pub state: HealthState,
    /// Calls under way.
    pub in_flight: u32,
    /// Failed calls since the start: no answer, a failure there, too many requests, a refused key.
    pub failures: u64,
    /// Calls without an answer since the last one with.
    pub consecutive_failures: u32,
    /// The last failure, without the key.
    pub last_error: Option<String>,
    /// How long it still wants to be left alone.
    pub paused_for: Option<Duration>,
}

impl Upstream {
    /// Makes no call. The rate limiter starts empty: the first call waits its turn. What holds for this provider over all
    /// gateways stays as it is, where it is in use already, until [`Upstream::take_over`].
    #[must_use]
    pub fn new(options: UpstreamOptions) -> Self {
        let over_all = |company: &InCompany| {
            company.limits.provider(&options.provider, options.limits.over_all(), company.call_lasts)
        };
        let gate = Gate::new(options.limits, options.shared.as_ref().map(over_all));
        Self::behind(gate, 0, options)
    }

    fn behind(gate: Arc<Gate>, key_number: u64, options: UpstreamOptions) -> Self {
        Self {
            provider: options.provider,
            wire: options.wire,
            key: Key::new(options.key),
            rejects: options.rejects,
            treat_503_as_not_placed: options.treat_503_as_not_placed,
            limits: options.limits,
            call_lasts: options.shared.map(|company| company.call_lasts),
            gate,
            key_number,
        }
    }

    /// The same upstream called in another way: what is under way, and where we stand with it, stays counted. It
    /// is in force once [`Upstream::take_over`] says so; until then nothing changes.
    #[must_use]
    pub fn successor(&self, options: UpstreamOptions) -> Self {
        let same_key = self.key.expose() == options.key.expose_secret();
        let key_number = if same_key { self.key_number } else { self.key_number.saturating_add(1) };
        Self::behind(Arc::clone(&self.gate), key_number, options)
    }

    /// Puts its limits and its key in force. A key that was refused is believed again where it was changed, and
    /// tried once where it was not.
    pub fn take_over(&self) {
        self.gate.set_limits(self.limits);
        if let Some(call_lasts) = self.call_lasts {
            self.gate.set_call_lasts(call_lasts);
        }
        self.gate.use_key(self.key_number);
    }

    /// How many calls may be under way at once; at least 1.
    #[must_use]
    pub fn max_in_flight(&self) -> u32 {
        self.gate.max_in_flight()
    }

    /// How many calls its rate lets out in such a time, as far as this gateway can count on them: an equal part where there
    /// are several; at least 1.
    #[must_use]
    pub fn calls_within(&self, time: Duration) -> usize {
        let gateways = self.gate.gateways();
        let part = Decimal::from(time.as_secs()).checked_div(Decimal::from(gateways));
        let calls = part.and_then(|seconds| self.limits.requests_per_second.checked_mul(seconds));
        let burst = usize::try_from((self.limits.burst / gateways).max(1)).unwrap_or(usize::MAX);
        calls.and_then(|calls| calls.ceil().to_usize()).unwrap_or(usize::MAX).saturating_add(burst)
    }

    /// Lets calls in, or none any more: who waits for a permit is sent away, calls under way go on.
    pub fn set_open(&self, open: bool) {
        self.gate.set_open(open);
    }

    /// Whether calls are let in at all.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.gate.is_open()
    }

    /// Whether both share limits and standing: one is the other's successor.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.gate, &other.gate)
    }

    /// How it is reached.
    #[must_use]
    pub fn wire(&self) -> Arc<dyn Wire> {
        Arc::clone(&self.wire)
    }

    /// See [`account_mark`].
    #[must_use]
    pub fn account_mark(&self, salt: &str) -> String {
        account_mark(salt, self.wire.url(), &self.key.expose().into())
    }

    /// Whose panel this is.
    #[must_use]
    pub const fn provider(&self) -> &ProviderId {
        &self.provider
    }

    /// Waits for the right to make one call, at most `patience`. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`Unavailable`], at once where it is clear that there will be no room in time.
    pub async fn permit(&self, priority: Priority, patience: Duration) -> Result<Permit, Unavailable> {
        self.gate.enter(Purpose::Call(priority), patience).await
    }

    /// Whether other gateways make all the calls there just now, so that work there is theirs.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.gate.is_elsewhere()
    }

    /// Places an order: `params` are its `add` parameters, `service` included. Sent once, never again from here.
    /// Texts in the outcome are cut to 300 characters and do not hold the key.
    pub async fn add(&self, permit: Permit, params: &[(Cow<'static, str>, String)]) -> Outcome {
        if !permit.holds() {
            return Outcome::NotSent(LAPSED.to_owned());
        }
        let form = request::form(&self.key, CallKind::Add, params);
        let (result, started) = self.send(form, CallKind::Add).await;
        let Judgement { outcome, account_blocked } = judge_add(&result, self.dialect());
        let outcome = self.without_key(outcome);
        permit.settle(add_finding(&result, &outcome, account_blocked), self.key_number);
        self.measure(CallKind::Add, outcome.name().as_str(), started);
        outcome
    }

    /// One order's status.
    ///
    /// # Errors
    /// [`AnswerError`]; its texts do not hold the key.
    pub async fn status(&self, permit: Permit, id: &UpstreamOrderId) -> Result<StatusReport, AnswerError> {
        let params = [("order".into(), id.as_str().to_owned())];
        let mut report = self.read(permit, CallKind::Status, &params, |answer| read_status(&answer?)).await?;
        self.report_without_key(&mut report);
        Ok(report)
    }

    /// Many orders' statuses; those beyond [`request::MAX_BATCH`] are not asked for and come back missing.
    ///
    /// # Errors
    /// [`AnswerError`]; its texts do not hold the key.
    pub async fn statuses(&self, permit: Permit, ids: &[UpstreamOrderId]) -> Result<MultiStatus, AnswerError> {
        let params = [request::orders(ids)];
        let read = |answer| read_statuses(answer, ids);
        let mut answer = self.read(permit, CallKind::Status, &params, read).await?;
        for (_, report) in &mut answer.reports {
            match report {
                Ok(report) => self.report_without_key(report),
                Err(error) => *error = self.item_without_key(error.clone()),
            }
        }
        Ok(answer)
    }

    /// Asks for a refill of an order. Sent once, never again from here. Texts in the outcome are cut to 300
    /// characters and do not hold the key.
    pub async fn refill(&self, permit: Permit, order: &UpstreamOrderId) -> RefillOutcome {
        if !permit.holds() {
            return RefillOutcome::NotTaken(LAPSED.to_owned());
        }
        let form = request::form(&self.key, CallKind::Refill, &[("order".into(), order.as_str().to_owned())]);
        let (result, started) = self.send(form, CallKind::Refill).await;
        let (outcome, error) = judge_refill(&result, &self.rejects);
        let outcome = self.refill_without_key(outcome);
        let error = error.map(|error| error.with_text(|text| self.shown(text)));
        permit.settle(read_finding(&result, error.as_ref()), self.key_number);
        self.measure(CallKind::Refill, outcome.name(), started);
        outcome
    }

    /// One refill's status.
    ///
    /// # Errors
    /// [`AnswerError`]; its texts do not hold the key.
    pub async fn refill_status(&self, permit: Permit, id: &UpstreamRefillId) -> Result<RefillReport, AnswerError> {
        let params = [("refill".into(), id.as_str().to_owned())];
        let report = self.read(permit, CallKind::RefillStatus, &params, |answer| read_refill_status(&answer?)).await?;
        Ok(self.word_without_key(report))
    }

    /// Many refills' statuses; those beyond [`request::MAX_BATCH`] are not asked for and come back missing.
    ///
    /// # Errors
    /// [`AnswerError`]; its texts do not hold the key.
    pub async fn refill_statuses(
        &self,
        permit: Permit,
        ids: &[UpstreamRefillId],
    ) -> Result<MultiRefillStatus, AnswerError> {
        let read = |answer| read_refill_statuses(answer, ids);
        let answer = self.read(permit, CallKind::RefillStatus, &[request::refills(ids)], read).await?;
        let reports = answer.reports.into_iter().map(|(id, report)| {
            let report = report.map(|report| self.word_without_key(report));
            (id, report.map_err(|error| self.item_without_key(error)))
        });
        Ok(MultiRefillStatus { reports: reports.collect(), ..answer })
    }

    /// Asks for orders to be canceled; those beyond [`request::MAX_BATCH`] are not asked for and come back missing.
    /// What becomes of it shows in their statuses.
    ///
    /// # Errors
    /// [`AnswerError`]; its texts do not hold the key.
    pub async fn cancel(&self, permit: Permit, ids: &[UpstreamOrderId]) -> Result<MultiCancel, AnswerError> {
        let read = |answer| read_cancel(answer, ids);
        let mut answer = self.read(permit, CallKind::Cancel, &[request::orders(ids)], read).await?;
        for (_, said) in &mut answer.answers {
            if let CancelAnswer::Refused(text) = said {
                *text = self.shown(text);
            }
        }
        Ok(answer)
    }

    /// What is left on our account there.
    ///
    /// # Errors
    /// [`AnswerError`]; its texts do not hold the key.
    pub async fn balance(&self, permit: Permit) -> Result<Balance, AnswerError> {
        let mut balance = self.read(permit, CallKind::Balance, &[], |answer| read_balance(&answer?)).await?;
        balance.currency = balance.currency.map(|currency| self.shown(&currency));
        Ok(balance)
    }

    /// What it sells.
    ///
    /// # Errors
    /// [`AnswerError`]; its texts do not hold the key.
    pub async fn services(&self, permit: Permit) -> Result<ServiceList, AnswerError> {
        self.read(permit, CallKind::Services, &[], |answer| read_services(answer?)).await
    }

    /// Whether [`Upstream::try_probe`] would make a call.
    #[must_use]
    pub fn probe_due(&self) -> bool {
        self.gate.with_standing(|standing| standing.probe_due(Instant::now())).is_some()
    }

    /// Where calls have stopped, because the key is refused or nothing answers, and a probe is due: asks for the
    /// balance once, and lets calls out again if that is answered. To be called about once a second. `None` where
    /// nothing was asked.
    pub async fn try_probe(&self) -> Option<Result<Balance, AnswerError>> {
        let purpose = self.gate.with_standing(|standing| standing.probe_due(Instant::now()))?;
        let permit = self.gate.enter(purpose, PROBE_PATIENCE).await.ok()?;
        Some(self.balance(permit).await)
    }

    /// How things are.
    #[must_use]
    pub fn health(&self) -> Health {
        let in_flight = self.gate.in_flight();
        let now = Instant::now();
        self.gate.with_standing(|standing| Health {
            state: standing.state(now),
            in_flight,
            failures: standing.failures,
            consecutive_failures: standing.consecutive_failures(),
            last_error: standing.last_error.clone(),
            paused_for: standing.paused_for(now),
        })
    }

    async fn read<T>(
        &self,
        permit: Permit,
        kind: CallKind,
        params: &[(Cow<'static, str>, String)],
        read: impl FnOnce(Result<Value, AnswerError>) -> Result<T, AnswerError>,
    ) -> Result<T, AnswerError> {
        if !permit.holds() {
            return Err(AnswerError::Transport(TransportError::NotSent(LAPSED.to_owned())));
        }
        let (result, started) = self.send(request::form(&self.key, kind, params), kind).await;
        let answer = match &result {
            Ok(reply) => read_reply(reply, &self.rejects),
            Err(error) => Err(AnswerError::Transport(error.clone())),
        };
        let answer = read(answer).map_err(|error| error.with_text(|text| self.shown(text)));
        permit.settle(read_finding(&result, answer.as_ref().err()), self.key_number);
        self.measure(kind, answer.as_ref().err().map_or("ok", AnswerError::name), started);
        answer
    }

    fn dialect(&self) -> Dialect<'_> {
        Dialect { rejects: &self.rejects, treat_503_as_not_placed: self.treat_503_as_not_placed }
    }

    async fn send(&self, form: Form, kind: CallKind) -> (Result<Reply, TransportError>, Instant) {
        let started = Instant::now();
        (self.wire.send(form, kind).await, started)
    }

    fn measure(&self, kind: CallKind, outcome: &'static str, started: Instant) {
        let provider = self.provider.as_str().to_owned();
        let labels = [("provider", provider), ("action", kind.action().to_owned())];
        metrics::histogram!(telemetry::UPSTREAM_CALL_SECONDS, &labels).record(started.elapsed());
        let [provider, action] = labels;
        let labels = [provider, action, ("outcome", outcome.to_owned())];
        metrics::counter!(telemetry::UPSTREAM_CALLS, &labels).increment(1);
    }
}

#[path = "client_search.rs"]
mod search;
#[path = "client_shown.rs"]
mod shown;

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
