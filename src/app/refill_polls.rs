//! Follows refills to their end: asks for the due ones in batches and takes over what the upstream says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::trouble::warn_of;
use super::{App, locked};
use crate::domain::ids::{ProviderId, UpstreamRefillId};
use crate::domain::refill::{Refill, RefillEvent, RefillReport, RefillStep};
use crate::store::StoreResult;
use crate::store::records::RefillApplied;
use crate::upstream::{AnswerError, ItemError, MAX_BATCH, Permit, Upstream};

/// How long a claimed refill is left alone where its poll brought no news.
const CLAIM: Duration = Duration::from_secs(120);

/// What an upstream said of each refill; nothing where it was not asked or did not answer.
type News = HashMap<UpstreamRefillId, Result<RefillReport, Option<String>>>;

impl App {
    /// Polls the refills that are due at one provider, batch after batch.
    pub(super) async fn poll_refills(self: Arc<Self>, provider: ProviderId) {
        loop {
            match self.poll_refill_batch(&provider).await {
                Ok(true) if !self.tasks.is_stopping() => {}
                Ok(_) => return,
                Err(error) => {
                    warn_of!(error, %provider, "refills at {provider} are followed later: the store failed");
                    return;
                }
            }
        }
    }

    /// Gives whether more may be due. The permit comes before the claim: what this gateway may not ask for is free for the
    /// others.
    async fn poll_refill_batch(&self, provider: &ProviderId) -> StoreResult<bool> {
        let Some(upstream) = self.called(provider) else { return Ok(false) };
        if !self.store.has_due_refills(provider, self.clock.now()).await? {
            return Ok(false);
        }
        let Some(permit) = self.poll_permit(&upstream).await else { return Ok(false) };
        // Where each refill costs a call of its own, nothing is gained by taking many.
        let limit = if locked(&self.single_refill_pollers).contains(provider) { 1 } else { MAX_BATCH };
        let now = self.clock.now();
        let refills = self.store.claim_refills(provider, now, now.plus(CLAIM), limit).await?;
        if refills.is_empty() {
            return Ok(false);
        }
        let news = self.ask_for_refills(&upstream, permit, &refills).await;
        self.take_over_refills(&refills, &news).await?;
        Ok(refills.len() == limit)
    }

    async fn ask_for_refills(&self, upstream: &Upstream, permit: Permit, refills: &[Refill]) -> News {
        let provider = upstream.provider();
        let ids: Vec<UpstreamRefillId> =
            refills.iter().filter_map(|refill| refill.state.upstream_id().cloned()).collect();
        if ids.len() <= 1 {
            return self.ask_for_each(upstream, Some(permit), &ids).await;
        }
        match ask_together(upstream, permit, &ids).await {
            Some((news, true)) => return news,
            Some((_, false)) => {}
            None => return News::new(),
        }
        let news = self.ask_for_each(upstream, None, &ids).await;
        if news.values().any(Result::is_ok) {
            locked(&self.single_refill_pollers).insert(provider.clone());
        }
        news
    }

    /// `permit`: for the first of them.
    async fn ask_for_each(&self, upstream: &Upstream, mut permit: Option<Permit>, ids: &[UpstreamRefillId]) -> News {
        let mut news = News::new();
        for id in ids {
            if self.tasks.is_stopping() {
                break;
            }
            let permit = match permit.take() {
                Some(permit) => Some(permit),
                None => self.poll_permit(upstream).await,
            };
            let Some(permit) = permit else { break };
            match upstream.refill_status(permit, id).await {
                Ok(report) => drop(news.insert(id.clone(), Ok(report))),
                Err(AnswerError::UnknownOrder(words) | AnswerError::Refused(words)) => {
                    news.insert(id.clone(), Err(Some(words)));
                }
                Err(error) => unanswered(upstream, &error),
            }
        }
        news
    }

    /// One of a call that was not answered keeps its claim, and comes again when that ends.
    async fn take_over_refills(&self, refills: &[Refill], news: &News) -> StoreResult<()> {
        let now = self.clock.now();
        let steps: Vec<RefillStep> = refills
            .iter()
            .filter_map(|refill| {
                let event = match news.get(refill.state.upstream_id()?)? {
                    Ok(report) => RefillEvent::Reported(report.clone()),
                    Err(words) => RefillEvent::Unreported(words.clone()),
                };
                refill.step(event, now).ok()
            })
            .collect();
        if steps.is_empty() {
            return Ok(());
        }
        let applied = self.store.apply_refills(steps.clone()).await?;
        for (step, applied) in steps.iter().zip(applied) {
            if applied == RefillApplied::Done {
                self.announce_refill(step);
            }
        }
        Ok(())
    }

    /// After a step is durable: the log and the metrics.
    pub(super) fn announce_refill(&self, step: &RefillStep) {
        let id = step.refill.id;
        for note in &step.notes {
            if note.alert {
                metrics::counter!(crate::telemetry::ALERTS).increment(1);
                tracing::warn!(refill.id = %id, order.id = %step.refill.order, "refill {id}: {}", note.text);
            } else {
                tracing::debug!(refill.id = %id, "refill {id}: {}", note.text);
            }
        }
    }
}

/// Gives the news, and whether the upstream understood that it was asked for many; nothing where it did not answer.
async fn ask_together(upstream: &Upstream, permit: Permit, ids: &[UpstreamRefillId]) -> Option<(News, bool)> {
    match upstream.refill_statuses(permit, ids).await {
        Ok(answer) => {
            let news = answer.reports.into_iter().map(|(id, item)| (id, item.map_err(words))).collect();
            Some((news, answer.batches))
        }
        Err(error) => {
            unanswered(upstream, &error);
            None
        }
    }
}

fn words(error: ItemError) -> Option<String> {
    match error {
        ItemError::UnknownOrder(words) | ItemError::Refused(words) => Some(words),
        ItemError::Missing => None,
    }
}

fn unanswered(upstream: &Upstream, error: &AnswerError) {
    tracing::debug!(provider = %upstream.provider(), %error, "refill statuses were not answered");
}
