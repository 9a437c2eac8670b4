//! Follows placed orders to their end: asks for the due ones in batches and takes over what the upstream says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::freeze::MANY;
use super::taken::Taken;
use super::terms::ProviderSetup;
use super::trouble::warn_of;
use super::{App, locked};
use crate::domain::currency::other_currency;
use crate::domain::ids::{ProviderId, UpstreamOrderId};
use crate::domain::order::{Event, Order, State, Step};
use crate::domain::status::StatusReport;
use crate::store::StoreResult;
use crate::store::records::{Applied, FreezeCause, PollClaim};
use crate::telemetry;
use crate::upstream::{AnswerError, ItemError, Permit, Priority, Upstream};

/// What one `status` call takes.
const BATCH: usize = 100;
/// How many `status` calls are under way at one provider, and no more than half of what may be: orders need room.
const AT_ONCE: u32 = 4;
/// How long what comes due waits to be looked at while other calls are under way.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long what is due waits for others to fill its call: this part of `status_ttl`, which is a second unless configured
/// otherwise,
const LINGER_PART: u32 = 30;
/// and no longer than this.
const LONGEST_LINGER: Duration = Duration::from_secs(1);
/// How long a claimed order is left alone where its poll brought no news.
const CLAIM: Duration = Duration::from_secs(120);
/// How long a poll stands in the provider's queue.
const PERMIT_WAIT: Duration = Duration::from_secs(30);

/// What an upstream said of each order: a report, or why not; nothing where it was not asked or did not answer.
pub(super) type News = HashMap<UpstreamOrderId, Result<StatusReport, ItemError>>;

/// Orders that are claimed for one call.
struct Batch {
    setup: ProviderSetup,
    upstream: Arc<Upstream>,
    permit: Permit,
    orders: Vec<Order>,
}

impl App {
    /// Polls what is due at one provider, a few calls at a time, so that one that answers slowly is followed as fast
    /// as its limits allow. Ends when nothing is due and every answer is taken over.
    pub(super) async fn poll_due(self: Arc<Self>, provider: ProviderId) {
        let Some(upstream) = self.upstream(&provider) else { return };
        let places = (upstream.max_in_flight() / 2).clamp(1, AT_ONCE);
        let room = Arc::new(Semaphore::new(usize::try_from(places).unwrap_or(1)));
        while !self.tasks.is_stopping() {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            match self.next_batch(&provider).await {
                Ok(Some(batch)) => {
                    let app = Arc::clone(&self);
                    drop(self.tasks.spawn(async move {
                        app.poll_batch(batch).await;
                        drop(place);
                    }));
                    continue;
                }
                Ok(None) => {}
                Err(error) => warn_of!(error, %provider, "orders at {provider} are followed later: the store failed"),
            }
            drop(place);
            // A call that hangs keeps nothing waiting that comes due meanwhile.
            tokio::select! {
                biased;
                _all = room.acquire_many(places) => return,
                () = self.tasks.stopping() => {}
                () = self.poll_nudge.notified() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// The next orders to be asked for, with leave to ask. The permit comes first: while calls have to wait, more
    /// orders come due. A call is made for what is due only, but not for that alone: what is placed and not fresh
    /// goes along, and so is asked for less often by itself.
    async fn next_batch(&self, provider: &ProviderId) -> StoreResult<Option<Batch>> {
        let snapshot = self.snapshot.load_full();
        let setup = snapshot.terms.provider(provider).filter(|setup| setup.is_called);
        let (Some(setup), Some(upstream)) = (setup, self.upstream(provider)) else { return Ok(None) };
        if matches!(self.frozen(setup), Some(FreezeCause::Currency(_))) {
            return Ok(None);
        }
        // Where each order costs a call of its own, nothing is gained by taking many.
        let limit = if locked(&self.single_pollers).contains(provider) { 1 } else { BATCH };
        let linger = LONGEST_LINGER.min(snapshot.terms.status_ttl / LINGER_PART);
        if !self.is_time_to_poll(provider, limit, linger).await? {
            return Ok(None);
        }
        let Some(permit) = self.poll_permit(&upstream).await else { return Ok(None) };
        let now = self.clock.now();
        let along_before = now.minus(snapshot.terms.status_ttl);
        let claim = PollClaim { now, until: now.plus(CLAIM), limit, along_before };
        let orders = self.store.claim_polls(provider, claim).await?;
        Ok((!orders.is_empty()).then(|| Batch { setup: setup.clone(), upstream, permit, orders }))
    }

    /// Once a whole call is due, or anything for so long: what comes due one by one goes in one call together.
    async fn is_time_to_poll(&self, provider: &ProviderId, call: usize, linger: Duration) -> StoreResult<bool> {
        let now = self.clock.now();
        let full = self.store.has_due_polls(provider, now, call).await?;
        Ok(full || self.store.has_due_polls(provider, now.minus(linger), 1).await?)
    }

    async fn poll_batch(&self, batch: Batch) {
        let Batch { setup, upstream, permit, mut orders } = batch;
        let Some(taken) = Taken::take(&self.polling, orders.iter().map(|order| order.id)) else { return };
        // An earlier call for the others has outlasted their claim.
        orders.retain(|order| taken.holds(&order.id));
        let news = self.ask_for(&upstream, permit, &orders).await;
        // What is not believed is asked again when the claims end.
        if !self.believes(&setup, &orders, &news).await {
            return;
        }
        if let Err(error) = self.take_over(&orders, &news, &setup).await {
            let provider = upstream.provider();
            warn_of!(error, %provider, "what {provider} said of orders is asked again: the store failed");
        }
    }

    /// Leave to ask for statuses of orders or refills.
    pub(super) async fn poll_permit(&self, upstream: &Upstream) -> Option<Permit> {
        self.tasks.unless_stopping(upstream.permit(Priority::BackgroundStatus, PERMIT_WAIT)).await?.ok()
    }

    async fn ask_for(&self, upstream: &Upstream, permit: Permit, orders: &[Order]) -> News {
        let provider = upstream.provider();
        if locked(&self.single_pollers).contains(provider) {
            return self.ask_singly(upstream, Some(permit), orders).await;
        }
        let (mut news, batches) =
            self.tasks.unless_stopping(ask_together(upstream, permit, orders)).await.unwrap_or_default();
        if batches {
            return news;
        }
        // Some panels answer a batch with one error where they know none of its orders, and any may where it is out
        // of order: only one that is answered when it is asked for alone shows that it is batches that it can't do.
        // So many that all unknown ones are told from one that is.
        let (first, rest) = orders.split_at(1);
        news.extend(self.ask_singly(upstream, None, first).await);
        let (more, rest) = rest.split_at(if news.is_empty() { 0 } else { rest.len().min(MANY) });
        news.extend(self.ask_singly(upstream, None, more).await);
        if news.values().any(Result::is_ok) {
            if locked(&self.single_pollers).insert(provider.clone()) {
                tracing::warn!(%provider, "{provider} can't be asked for many orders at once: it is asked for each alone");
            }
            news.extend(self.ask_singly(upstream, None, rest).await);
        }
        news
    }

    /// `permit`: for the first of them.
    async fn ask_singly(&self, upstream: &Upstream, mut permit: Option<Permit>, orders: &[Order]) -> News {
        let mut news = News::new();
        for binding in orders.iter().filter_map(Order::binding) {
            let permit = match permit.take() {
                Some(permit) => Some(permit),
                None => self.poll_permit(upstream).await,
            };
            let Some(permit) = permit else { break };
            let Some(answer) = self.tasks.unless_stopping(upstream.status(permit, &binding.id)).await else { break };
            match answer {
                Ok(report) => drop(news.insert(binding.id.clone(), Ok(report))),
                Err(AnswerError::UnknownOrder(words)) => {
                    news.insert(binding.id.clone(), Err(ItemError::UnknownOrder(words)));
                }
                Err(error) => unanswered(upstream, &error),
            }
        }
        news
    }

    /// Each order is judged by itself. One of a call that was not answered keeps its claim, and comes again when
    /// that ends; a closed one, which waits for nothing in particular, when it would have come in any case.
    async fn take_over(&self, orders: &[Order], news: &News, setup: &ProviderSetup) -> StoreResult<()> {
        let rules = self.snapshot.load().terms.report_rules(setup);
        let now = self.clock.now();
        let steps: Vec<Step> = orders
            .iter()
            .filter_map(|order| {
                let event = match news.get(&order.binding()?.id) {
                    Some(Ok(report)) => Event::Reported(self.in_our_currency(report, setup), rules),
                    Some(Err(error)) => Event::Unreported(words(error), rules),
                    None if matches!(order.state, State::Closed { .. }) => Event::Unreported(None, rules),
                    None => return None,
                };
                order.step(event, now).ok()
            })
            .collect();
        if steps.is_empty() {
            return Ok(());
        }
        let Ok(applied) = self.store.apply_all(steps.clone()).await else {
            return self.take_over_singly(orders, steps).await;
        };
        for (step, applied) in steps.iter().zip(applied) {
            // A stale one has changed meanwhile: the next poll asks again.
            if applied == Applied::Done {
                self.took_over(orders, step).await;
            }
        }
        Ok(())
    }

    /// Where many could not be written together: one that can't be written keeps none of the others back.
    async fn take_over_singly(&self, orders: &[Order], steps: Vec<Step>) -> StoreResult<()> {
        let mut failed = None;
        for step in steps {
            match self.store.apply(step.clone()).await {
                Ok(Applied::Done) => self.took_over(orders, &step).await,
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn took_over(&self, orders: &[Order], step: &Step) {
        self.announce(step).await;
        if let Some(before) = orders.iter().find(|order| order.id == step.order.id) {
            self.watch_cost(before, &step.order).await;
        }
    }

    /// A charge in another currency than the configuration's is left out: a cost computed from it would be wrong.
    fn in_our_currency(&self, report: &StatusReport, setup: &ProviderSetup) -> StatusReport {
        let Some(code) = other_currency(report.currency.as_deref(), &setup.currency) else { return report.clone() };
        let provider = &setup.id;
        if locked(&self.foreign_statuses).insert(provider.clone()) {
            metrics::counter!(telemetry::ALERTS).increment(1);
            tracing::warn!(
                %provider,
                "{provider} reports charges in {code}, the configuration says {}: they are ignored", setup.currency
            );
        }
        StatusReport { charge: None, ..report.clone() }
    }
}

/// Gives the news, and whether the upstream understood that it was asked for many.
async fn ask_together(upstream: &Upstream, permit: Permit, orders: &[Order]) -> (News, bool) {
    let ids: Vec<UpstreamOrderId> =
        orders.iter().filter_map(|order| order.binding().map(|binding| binding.id.clone())).collect();
    match upstream.statuses(permit, &ids).await {
        Ok(answer) if answer.batches => {
            let news = answer.reports.into_iter().collect();
            (news, true)
        }
        Ok(_) => (News::new(), false),
        Err(error) => {
            unanswered(upstream, &error);
            (News::new(), true)
        }
    }
}

/// In which words an upstream would not tell of an order; `None` where it left it out.
fn words(error: &ItemError) -> Option<String> {
    match error {
        ItemError::UnknownOrder(words) | ItemError::Refused(words) => Some(words.clone()),
        ItemError::Missing => None,
    }
}

fn unanswered(upstream: &Upstream, error: &AnswerError) {
    tracing::debug!(provider = %upstream.provider(), %error, "statuses were not answered");
}
