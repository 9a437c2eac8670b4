//! Follows placed orders to their end: asks for the due ones in batches and takes over what the upstream says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::terms::ProviderSetup;
use super::{App, locked};
use crate::domain::ids::{OrderId, ProviderId, UpstreamOrderId};
use crate::domain::order::{Event, Order, Step};
use crate::domain::status::StatusReport;
use crate::store::StoreResult;
use crate::store::records::Applied;
use crate::upstream::{AnswerError, ItemError, Priority, Upstream};

/// What one `status` call takes.
const BATCH: usize = 100;
/// How long a claimed order is left alone where its poll brought no news.
const CLAIM: Duration = Duration::from_secs(120);
/// How long a poll stands in the provider's queue.
const PERMIT_WAIT: Duration = Duration::from_secs(30);

impl App {
    /// Polls what is due at one provider, batch after batch.
    pub(super) async fn poll_due(self: Arc<Self>, provider: ProviderId) {
        loop {
            match self.poll_batch(&provider).await {
                Ok(BATCH) if !self.tasks.is_stopping() => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%provider, %error, "orders at {provider} are followed later: the store failed");
                    return;
                }
            }
        }
    }

    /// Gives how many orders were polled.
    async fn poll_batch(&self, provider: &ProviderId) -> StoreResult<usize> {
        let snapshot = self.snapshot.load_full();
        let Some(setup) = snapshot.terms.provider(provider).filter(|setup| setup.is_called) else { return Ok(0) };
        let Some(upstream) = self.upstream(provider) else { return Ok(0) };
        let now = self.clock.now();
        let orders = self.store.claim_polls(provider, now, now.plus(CLAIM), BATCH).await?;
        if orders.is_empty() {
            return Ok(0);
        }
        let ids: Vec<OrderId> = orders.iter().map(|order| order.id).collect();
        self.polled.begin(&ids);
        let reports = self.reports(&upstream, &orders).await;
        let taken_over = self.take_over(&orders, &reports, setup).await;
        self.polled.end(&ids, self.clock.now());
        taken_over.map(|()| ids.len())
    }

    async fn reports(&self, upstream: &Upstream, orders: &[Order]) -> HashMap<UpstreamOrderId, StatusReport> {
        let provider = upstream.provider();
        if !locked(&self.single_pollers).contains(provider) {
            let (reports, batches) = self.ask(upstream, orders).await;
            if batches || orders.len() == 1 {
                return reports;
            }
        }
        let reports = self.ask_singly(upstream, orders).await;
        // Some panels answer a batch with one error where they know none of its orders: only an order that is
        // answered when it is asked for alone shows that it is batches that this one can't do.
        if !reports.is_empty() && locked(&self.single_pollers).insert(provider.clone()) {
            tracing::warn!(%provider, "{provider} can't be asked for many orders at once: it is asked for each alone");
        }
        reports
    }

    /// Gives the reports, and whether the upstream understood that it was asked for many.
    async fn ask(&self, upstream: &Upstream, orders: &[Order]) -> (HashMap<UpstreamOrderId, StatusReport>, bool) {
        let mut reports = HashMap::new();
        let ids: Vec<UpstreamOrderId> =
            orders.iter().filter_map(|order| order.binding().map(|binding| binding.id.clone())).collect();
        let Ok(permit) = upstream.permit(Priority::BackgroundStatus, PERMIT_WAIT).await else { return (reports, true) };
        match upstream.statuses(permit, &ids).await {
            Ok(answer) => {
                for (id, item) in answer.reports {
                    match item {
                        Ok(report) => drop(reports.insert(id, report)),
                        Err(error) => no_news(upstream, &id, &error),
                    }
                }
                (reports, answer.batches)
            }
            Err(error) => {
                unanswered(upstream, &error);
                (reports, true)
            }
        }
    }

    async fn ask_singly(&self, upstream: &Upstream, orders: &[Order]) -> HashMap<UpstreamOrderId, StatusReport> {
        let mut reports = HashMap::new();
        for binding in orders.iter().filter_map(Order::binding) {
            if self.tasks.is_stopping() {
                break;
            }
            let Ok(permit) = upstream.permit(Priority::BackgroundStatus, PERMIT_WAIT).await else { break };
            match upstream.status(permit, &binding.id).await {
                Ok(report) => drop(reports.insert(binding.id.clone(), report)),
                Err(error) => unanswered(upstream, &error),
            }
        }
        reports
    }

    /// Each order is judged by itself; one without a report keeps its claim and comes again when that ends.
    async fn take_over(
        &self,
        orders: &[Order],
        reports: &HashMap<UpstreamOrderId, StatusReport>,
        setup: &ProviderSetup,
    ) -> StoreResult<()> {
        let rules = self.snapshot.load().terms.report_rules(setup);
        let now = self.clock.now();
        let steps: Vec<Step> = orders
            .iter()
            .filter_map(|order| {
                let report = reports.get(&order.binding()?.id)?;
                order.step(Event::Reported(report.clone(), rules), now).ok()
            })
            .collect();
        if steps.is_empty() {
            return Ok(());
        }
        let applied = self.store.apply_all(steps.clone()).await?;
        for (step, applied) in steps.iter().zip(applied) {
            // A stale one has changed meanwhile: the next poll asks again.
            if applied == Applied::Done {
                self.announce(step).await;
            }
        }
        Ok(())
    }
}

fn no_news(upstream: &Upstream, id: &UpstreamOrderId, error: &ItemError) {
    tracing::debug!(provider = %upstream.provider(), upstream_order = %id, ?error, "no news of an order");
}

fn unanswered(upstream: &Upstream, error: &AnswerError) {
    tracing::debug!(provider = %upstream.provider(), %error, "statuses were not answered");
}
