//! Keeps its hands off a provider that seems to be another account's: no order goes there, and none changes by what
//! it says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::poll::News;
use super::terms::ProviderSetup;
use super::trouble::warn_of;
use super::{App, locked};
use crate::domain::currency::iso_code;
use crate::domain::ids::ProviderId;
use crate::domain::order::{Order, State};
use crate::domain::status::Status;
use crate::domain::time::Timestamp;
use crate::store::StoreResult;
use crate::store::records::{Freeze, FreezeCause};
use crate::telemetry;
use crate::upstream::{Balance, ItemError};

/// So many orders that a provider knew must be unknown to it at once.
pub(super) const MANY: usize = 10;
/// And so many of a hundred that it was asked for in that call.
const MOST_PERCENT: usize = 80;
/// How long the operator's word that the account is the right one holds against that.
const TRUSTED: Duration = Duration::from_secs(3600);

/// Providers that are frozen, and those that were and are trusted.
#[derive(Debug, Clone, Default)]
pub(super) struct Freezes(BTreeMap<ProviderId, Freeze>);

/// What the store could not be told yet.
pub(super) type Unwritten = BTreeMap<ProviderId, Finding>;

/// What this gateway found out about a provider. It stands against what was found before it; another gateway may have
/// found something newer meanwhile.
#[derive(Debug, Clone)]
pub(super) enum Finding {
    Frozen(Freeze),
    /// The freeze since then is over.
    Thawed(Timestamp),
}

impl Finding {
    fn since(&self) -> Timestamp {
        match self {
            Self::Frozen(freeze) => freeze.since,
            Self::Thawed(since) => *since,
        }
    }

    fn freeze(&self) -> Option<Freeze> {
        match self {
            Self::Frozen(freeze) => Some(freeze.clone()),
            Self::Thawed(_) => None,
        }
    }
}

impl Freezes {
    /// As the store has them.
    pub(super) fn of(stored: Vec<Freeze>) -> Self {
        Self(stored.into_iter().map(|freeze| (freeze.provider.clone(), freeze)).collect())
    }

    /// What is remembered of a provider.
    pub(super) fn get(&self, provider: &ProviderId) -> Option<&Freeze> {
        self.0.get(provider)
    }

    /// Moves the times that something depends on.
    pub(super) fn move_by(&mut self, moved: impl Fn(Timestamp) -> Timestamp) {
        for freeze in self.0.values_mut() {
            freeze.lifted_at = freeze.lifted_at.map(&moved);
        }
    }

    fn set(&mut self, provider: &ProviderId, freeze: Option<Freeze>) {
        self.0.remove(provider);
        self.0.extend(freeze.map(|freeze| (provider.clone(), freeze)));
    }
}

/// How many orders that were known before a call knows still, and how many it does not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Recognition {
    known: usize,
    unknown: usize,
}

impl Recognition {
    /// Counts placed orders only: ended ones are put into an archive.
    fn of(orders: &[Order], news: &News) -> Self {
        let mut recognition = Self::default();
        for order in orders {
            let State::Placed(binding) = &order.state else { continue };
            let was_known = order.progress.word.as_deref().is_some_and(|word| Status::from_canonical(word).is_some());
            match news.get(&binding.id) {
                Some(Err(ItemError::UnknownOrder(_))) if was_known => {
                    recognition.unknown = recognition.unknown.saturating_add(1);
                }
                Some(Ok(_)) => recognition.known = recognition.known.saturating_add(1),
                _ => {}
            }
        }
        recognition
    }

    fn mostly_unknown(self) -> bool {
        let asked = self.known.saturating_add(self.unknown);
        self.unknown.saturating_mul(100) >= asked.saturating_mul(MOST_PERCENT)
    }

    /// Whether this is so many at once that the account must be another.
    fn is_alarming(self) -> bool {
        self.unknown >= MANY && self.mostly_unknown()
    }

    /// Whether it is the account that we know after all.
    fn is_reassuring(self) -> bool {
        self.known > 0 && !self.mostly_unknown()
    }
}

impl FreezeCause {
    /// For the operator, with what is to be done.
    #[must_use]
    pub fn describe(&self, provider: &ProviderId) -> String {
        match self {
            Self::Currency(code) => format!(
                "its balance is in {code}, which is not the currency of the configuration: if it is the right account, \
                 correct its currency there"
            ),
            Self::UnknownOrders => format!(
                "it knows most of our active orders no more: is it another account? check its URL and key; if it is the \
                 right one, `tollgate sync {provider} --unfreeze`"
            ),
        }
    }
}

impl Freeze {
    /// Why it stands; `None` where it was lifted, or the configuration names that currency by now.
    #[must_use]
    pub fn standing(&self, currency: &str) -> Option<&FreezeCause> {
        let settled = matches!(&self.cause, FreezeCause::Currency(code) if code == currency);
        (self.lifted_at.is_none() && !settled).then_some(&self.cause)
    }
}

impl App {
    /// Why a provider is frozen, where it is.
    pub(super) fn frozen(&self, setup: &ProviderSetup) -> Option<FreezeCause> {
        self.freezes.load().get(&setup.id).and_then(|freeze| freeze.standing(&setup.currency)).cloned()
    }

    /// Looks at the currency of a balance. A sign, or nothing, says nothing.
    pub(super) async fn judge_balance(&self, setup: &ProviderSetup, balance: &Balance) {
        match balance.currency.as_deref().and_then(iso_code) {
            Some(code) if code != setup.currency => self.freeze(setup, FreezeCause::Currency(code.to_owned())).await,
            Some(_) if matches!(self.frozen(setup), Some(FreezeCause::Currency(_))) => self.thaw(&setup.id).await,
            _ => {}
        }
        self.watch_low_balance(setup, balance);
    }

    /// Whether the news of a poll is to be believed: not where most of what it knew before is unknown now.
    pub(super) async fn believes(&self, setup: &ProviderSetup, orders: &[Order], news: &News) -> bool {
        let recognition = Recognition::of(orders, news);
        let frozen = self.frozen(setup).is_some();
        let lifted_at = self.freezes.load().get(&setup.id).and_then(|freeze| freeze.lifted_at);
        let trusted = lifted_at.is_some_and(|at| self.clock.now().since(at) < TRUSTED);
        if frozen && recognition.is_reassuring() {
            self.thaw(&setup.id).await;
            return true;
        }
        if !frozen && !trusted && recognition.is_alarming() {
            self.freeze(setup, FreezeCause::UnknownOrders).await;
            return false;
        }
        !frozen
    }

    /// The operator's word that the account is the right one.
    ///
    /// # Errors
    /// In words for the operator; nothing was done.
    pub(super) async fn unfreeze(&self, setup: &ProviderSetup) -> Result<(), String> {
        match self.frozen(setup) {
            None => Err(format!("{} is not frozen", setup.id)),
            Some(cause @ FreezeCause::Currency(_)) => Err(format!("{}: {}", setup.id, cause.describe(&setup.id))),
            Some(FreezeCause::UnknownOrders) => {
                let (since, lifted_at) = (self.after_what_is_known(&setup.id), Some(self.clock.now()));
                let cause = FreezeCause::UnknownOrders;
                let freeze = Freeze { provider: setup.id.clone(), cause, since, lifted_at };
                self.lift(freeze).await.map_err(|error| error.to_string())?;
                tracing::info!(provider = %setup.id, "{} is no longer frozen, by the operator's word", setup.id);
                self.hasten_waiting().await;
                Ok(())
            }
        }
    }

    /// In memory at once, whatever the store says: a provider that must be left alone is left alone.
    async fn freeze(&self, setup: &ProviderSetup, cause: FreezeCause) {
        let provider = &setup.id;
        if self.frozen(setup).as_ref() == Some(&cause) {
            return;
        }
        metrics::counter!(telemetry::ALERTS).increment(1);
        tracing::warn!(
            %provider,
            "{provider} is frozen, no order goes there and none changes: {}", cause.describe(provider)
        );
        let since = self.after_what_is_known(provider);
        let freeze = Freeze { provider: provider.clone(), cause, since, lifted_at: None };
        self.change_freezes(provider, Finding::Frozen(freeze)).await;
    }

    async fn thaw(&self, provider: &ProviderId) {
        let Some(since) = self.freezes.load().get(provider).map(|freeze| freeze.since) else { return };
        tracing::info!(%provider, "{provider} is the account that it was: it is no longer frozen");
        self.change_freezes(provider, Finding::Thawed(since)).await;
        self.hasten_waiting().await;
    }

    /// The present, and later than all that was found out about a provider: also where the clock was put back since.
    fn after_what_is_known(&self, provider: &ProviderId) -> Timestamp {
        let known = self.freezes.load().get(provider).map(|freeze| freeze.since);
        let found = locked(&self.unwritten_freezes).get(provider).map(Finding::since);
        let next = known.max(found).map(|since| since.plus(Duration::from_millis(1)));
        next.map_or_else(|| self.clock.now(), |next| next.max(self.clock.now()))
    }

    /// What waited for a provider need not wait any longer.
    async fn hasten_waiting(&self) {
        if let Err(error) = self.store.hasten_queued(self.clock.now()).await {
            warn_of!(error, "queued orders go on only when they are due");
        }
        self.forward_nudge.notify_one();
    }

    async fn change_freezes(&self, provider: &ProviderId, finding: Finding) {
        let _building = self.building.lock().await;
        self.set_freeze(provider, finding.freeze());
        locked(&self.unwritten_freezes).insert(provider.clone(), finding);
        self.try_to_write_freezes().await;
    }

    /// The operator is told that it did not work, so it must not have worked here either.
    async fn lift(&self, freeze: Freeze) -> StoreResult<()> {
        let _building = self.building.lock().await;
        self.store.put_freeze(freeze.clone()).await?;
        locked(&self.unwritten_freezes).remove(&freeze.provider);
        let provider = freeze.provider.clone();
        self.set_freeze(&provider, Some(freeze));
        Ok(())
    }

    fn set_freeze(&self, provider: &ProviderId, freeze: Option<Freeze>) {
        let mut next = Freezes::clone(&self.freezes.load());
        next.set(provider, freeze);
        self.freezes.store(Arc::new(next));
    }

    /// Takes over what the store has, but for what it could not be told yet and has nothing newer of; under `building`.
    pub(super) fn follow_freezes(&self, stored: Vec<Freeze>) {
        let mut freezes = Freezes::of(stored);
        for (provider, finding) in &*locked(&self.unwritten_freezes) {
            if freezes.get(provider).is_none_or(|stored| stored.since <= finding.since()) {
                freezes.set(provider, finding.freeze());
            }
        }
        self.freezes.store(Arc::new(freezes));
    }

    /// Tells the store what it could not be told when it was found out.
    pub(super) async fn write_freezes(self: Arc<Self>) {
        if locked(&self.unwritten_freezes).is_empty() {
            return;
        }
        let _building = self.building.lock().await;
        self.try_to_write_freezes().await;
    }

    /// Under `building`.
    async fn try_to_write_freezes(&self) {
        let unwritten = locked(&self.unwritten_freezes).clone();
        for (provider, finding) in unwritten {
            let written = match finding {
                Finding::Frozen(freeze) => self.store.put_freeze(freeze).await,
                Finding::Thawed(since) => self.store.remove_freeze(&provider, since).await,
            };
            match written {
                Ok(()) => drop(locked(&self.unwritten_freezes).remove(&provider)),
                Err(error) => warn_of!(
                    error, %provider, "whether {provider} is frozen was not written down: a restart forgets it; trying on"
                ),
            }
        }
    }

    /// The operator is told when a balance falls under its limit, and not again until it has been above it.
    fn watch_low_balance(&self, setup: &ProviderSetup, balance: &Balance) {
        let provider = &setup.id;
        let is_low = balance.amount < setup.low_balance;
        let mut low = locked(&self.low_balances);
        let was_low = if is_low { !low.insert(provider.clone()) } else { low.remove(provider) };
        drop(low);
        let (amount, currency) = (balance.amount.normalize(), &setup.currency);
        match (was_low, is_low) {
            (false, true) => {
                metrics::counter!(telemetry::ALERTS).increment(1);
                tracing::warn!(%provider, balance = %amount, "the balance at {provider} is low: {amount} {currency}");
            }
            (true, false) => tracing::info!(%provider, "the balance at {provider} is {amount} {currency} again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_order_more_or_less_alarms_nobody() {
        for (known, unknown, alarming, reassuring) in [
            (0, 0, false, false),
            (0, 9, false, false),
            (0, 10, true, false),
            (2, 10, true, false),
            (3, 10, false, true),
            (25, 75, false, true),
            (20, 80, true, false),
            (1, 0, false, true),
        ] {
            let recognition = Recognition { known, unknown };
            assert_eq!(recognition.is_alarming(), alarming, "{recognition:?}");
            assert_eq!(recognition.is_reassuring(), reassuring, "{recognition:?}");
        }
    }
}
