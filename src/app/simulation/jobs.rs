//! What a gateway does without being asked, each piece by itself.

use std::pin::Pin;
use std::sync::Arc;

use super::terms::PROVIDERS;
use crate::app::App;
use crate::domain::ids::ProviderId;

pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;
pub(super) type Job = fn(Arc<App>, ProviderId) -> Work;

/// What works without being asked, and how often; the gateway repeats each of them.
const JOBS: &[(u64, &str, Job)] = &[
    (6, "forward", |app, _| Box::pin(app.forward_due())),
    (2, "hasten", |app, _| Box::pin(app.hasten_asked())),
    (1, "hasten refills", |app, _| Box::pin(app.hasten_asked_refills())),
    (3, "wishes", |app, _| Box::pin(app.forward_wishes())),
    (1, "lost senders", |app, _| Box::pin(app.find_lost_senders())),
    (1, "lost refills", |app, _| Box::pin(app.find_lost_refills())),
    (1, "running", |app, _| Box::pin(app.follow_running())),
    (1, "count", |app, _| Box::pin(app.count_orders())),
    (1, "pauses", |app, _| Box::pin(app.follow_pauses())),
];

/// The same for each provider.
const PROVIDERS_JOBS: &[(u64, &str, Job)] = &[
    (8, "poll", |app, provider| Box::pin(app.poll_due(provider))),
    (1, "refills", |app, provider| Box::pin(app.poll_refills(provider))),
    (2, "sync", |app, provider| Box::pin(app.sync_if_due(provider))),
    (2, "probe", |app, provider| Box::pin(app.probe(provider))),
];

pub(super) const ALL_JOBS: usize = JOBS.len() + PROVIDERS_JOBS.len() * PROVIDERS.len();

/// A job by its number, and for which provider.
pub(super) fn job(number: usize) -> ((u64, &'static str, Job), ProviderId) {
    match number.checked_sub(JOBS.len()) {
        None => (JOBS[number], ProviderId::new("all")),
        Some(at) => (PROVIDERS_JOBS[at / PROVIDERS.len()], ProviderId::new(PROVIDERS[at % PROVIDERS.len()])),
    }
}
