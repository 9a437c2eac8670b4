//! Searches upstreams for orders whose IDs were lost: in their lists of our orders, or among the IDs between an
//! order's neighbours. What proves an ID is `domain::search`; nothing here sends an order, refunds one, or takes
//! absence for anything.

mod failure;
mod known;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rust_decimal::Decimal;

use self::failure::{Failure, LIST, SCAN};
use self::known::described;
use super::hints::HintMemory;
use super::steps::Stepped;
use super::terms::ProviderSetup;
use super::trouble::warn_of;
use super::{App, locked};
use crate::domain::ids::{ProviderId, UpstreamOrderId, UpstreamServiceId};
use crate::domain::order::{Event, Found, Hint, Order};
use crate::domain::search::{
    Item, Listed, Lost, MAX_LISTED, Neighbours, Obstacle, Window, find_in_gap, find_in_listing,
};
use crate::domain::time::Timestamp;
use crate::store::StoreResult;
use crate::store::records::{LostAttempt, Search};
use crate::upstream::{MAX_BATCH, Permit, Priority, Upstream};

/// How many calls a provider is asked in an hour.
const CALLS_AN_HOUR: u64 = 30;
const HOUR: Duration = Duration::from_secs(3600);
/// How many orders are searched for in one round.
const ROUND: usize = 20;
/// How often one order is searched for.
const TRIES: u32 = 10;
/// For how many of them its upstream tells of all IDs.
const SCANS: u32 = 5;
/// From the first search to the second; each pause is four times the one before, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const MAX_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// Until the next look where there was nothing to ask yet, which is not counted: a twentieth of the time that it has
/// been lost, within these.
const WAIT: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));
/// How long a call stands in the provider's queue.
const PERMIT_WAIT: Duration = Duration::from_secs(30);
/// How long one gateway searches before another may.
const TURN: Duration = Duration::from_secs(120);
const STOPPING: &str = "the gateway is stopping";

/// What a search and the hints remember; losing it makes neither wrong.
pub(super) struct SearchMemory {
    /// Since when every change of a rate is known.
    since: Timestamp,
    repriced: Mutex<HashMap<(ProviderId, UpstreamServiceId), Timestamp>>,
    pub(super) hints: HintMemory,
}

impl SearchMemory {
    pub(super) fn new(since: Timestamp) -> Self {
        Self { since, repriced: Mutex::default(), hints: HintMemory::default() }
    }

    /// These services have other rates from now on.
    pub(super) fn repriced<'a>(&self, provider: &ProviderId, ids: impl Iterator<Item = &'a str>, now: Timestamp) {
        locked(&self.repriced).extend(ids.map(|id| ((provider.clone(), UpstreamServiceId::new(id)), now)));
    }
}

/// One search at one provider for all that is due there.
struct Round<'a> {
    app: &'a App,
    setup: &'a ProviderSetup,
    upstream: Arc<Upstream>,
    /// How many calls may still be made.
    left: u64,
    /// Whether the list was asked for.
    has_listed: bool,
}

impl App {
    /// Searches at one provider for what is due.
    pub(super) async fn find_lost(self: Arc<Self>, provider: ProviderId) {
        if let Err(error) = self.try_find_lost(&provider).await {
            warn_of!(error, %provider, "uncertain orders at {provider} are searched for later: the store failed");
        }
    }

    async fn try_find_lost(&self, provider: &ProviderId) -> StoreResult<()> {
        if !self.has_turn("search", Some(provider), TURN).await {
            return Ok(());
        }
        let terms = Arc::clone(&self.snapshot.load().terms);
        let due = self.note_costs(provider, ROUND).await?;
        let Some(setup) = terms.provider(provider).filter(|setup| setup.search.by_listing || setup.search.by_scan)
        else {
            return Ok(());
        };
        let Some(upstream) = self.called(provider) else { return Ok(()) };
        if due.is_empty() {
            return Ok(());
        }
        let made = self.store.search_calls(provider, self.clock.now().minus(HOUR)).await?;
        let left = CALLS_AN_HOUR.saturating_sub(made);
        Round { app: self, setup, upstream, left, has_listed: false }.search(due).await
    }

    /// Writes down what each lost order costs, as long as that is known; gives what is due.
    pub(super) async fn note_costs(&self, provider: &ProviderId, limit: usize) -> StoreResult<Vec<LostAttempt>> {
        let now = self.clock.now();
        let mut due = self.store.due_searches(provider, now, TRIES, limit).await?;
        for lost in due.iter_mut().filter(|lost| lost.search.next_at.is_none()) {
            lost.search = Search { cost: self.cost_then(provider, lost), next_at: Some(now), ..Search::default() };
            self.store.put_search(lost.order.id, lost.attempt, lost.search.clone()).await?;
        }
        Ok(due)
    }

    /// What an upstream takes for an order by its present list, in its currency.
    pub(super) fn listed_cost(
        &self,
        provider: &ProviderId,
        service: &UpstreamServiceId,
        order: &Order,
    ) -> Option<Decimal> {
        let snapshot = self.snapshot.load();
        let listed = snapshot.lists.get(provider)?.services.iter().find(|listed| listed.id == *service)?;
        if order.is_flat() {
            return Some(listed.rate);
        }
        listed.rate.checked_mul(Decimal::from(order.params.units))?.checked_div(Decimal::ONE_THOUSAND)
    }

    /// The same by its list at the time of the attempt, where that is known.
    fn cost_then(&self, provider: &ProviderId, lost: &LostAttempt) -> Option<Decimal> {
        let fetched_at = self.snapshot.load().lists.get(provider)?.fetched_at;
        let repriced = locked(&self.search.repriced).get(&(provider.clone(), lost.service.clone())).copied();
        // A list shows what was so when it was answered, some time after it was asked for.
        let moved_since = repriced.is_some_and(|at| at >= lost.started_at);
        (!moved_since && (fetched_at <= lost.started_at || self.search.since <= lost.started_at))
            .then(|| self.listed_cost(provider, &lost.service, &lost.order))
            .flatten()
    }
}

impl Round<'_> {
    async fn search(mut self, mut due: Vec<LostAttempt>) -> StoreResult<()> {
        let list = match due.first_mut() {
            Some(first) if self.setup.search.by_listing => Some(self.list(first).await?),
            _ => None,
        };
        for mut lost in due {
            let asked_before = lost.search.calls;
            let mut failures = Vec::new();
            let scans = self.setup.search.by_scan && lost.search.scans < SCANS;
            // After the list: whatever is in that has begun by then.
            let around = if scans || matches!(list, Some(Ok(_))) {
                self.neighbours(&lost).await?
            } else {
                Neighbours::default()
            };
            if let Some(list) = &list {
                match self.in_list(&lost, list.as_deref(), &around).await? {
                    Ok(id) => {
                        self.settle(lost, id, Found::Listing).await?;
                        continue;
                    }
                    Err(failure) => failures.push(failure),
                }
            }
            if scans {
                match self.scan(&mut lost, &around).await? {
                    Ok((id, found)) => {
                        self.settle(lost, id, found).await?;
                        continue;
                    }
                    Err(failure) => failures.push(failure),
                }
            }
            if self.app.tasks.is_stopping() {
                return Ok(());
            }
            let asked = self.has_listed || lost.search.calls > asked_before;
            self.put_off(lost, &failures, asked).await?;
        }
        Ok(())
    }

    /// The right to make one call for this order, which is counted with it first: the count outlives this process.
    async fn permit(&mut self, lost: &mut LostAttempt) -> StoreResult<Result<Permit, String>> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(Err("the calls of this hour are used up".to_owned()));
        };
        let permit = match self.app.tasks.unless_stopping(self.upstream.permit(Priority::Sync, PERMIT_WAIT)).await {
            Some(Ok(permit)) => permit,
            Some(Err(unavailable)) => return Ok(Err(unavailable.to_string())),
            None => return Ok(Err(STOPPING.to_owned())),
        };
        self.left = left;
        lost.search.calls = lost.search.calls.saturating_add(1);
        lost.search.asked_at = Some(self.app.clock.now());
        self.app.store.put_search(lost.order.id, lost.attempt, lost.search.clone()).await?;
        Ok(Ok(permit))
    }

    // === By the list of our orders ===

    async fn list(&mut self, first: &mut LostAttempt) -> StoreResult<Result<Vec<Listed>, String>> {
        let permit = match self.permit(first).await? {
            Ok(permit) => permit,
            Err(why) => return Ok(Err(why)),
        };
        self.has_listed = true;
        let answer = self.app.tasks.unless_stopping(self.upstream.list_orders(permit, MAX_LISTED)).await;
        Ok(answer.ok_or_else(|| STOPPING.to_owned()).and_then(|answer| {
            answer.map_err(|error| {
                let provider = &self.setup.id;
                tracing::warn!(%provider, %error, "{provider} gives no list of our orders, although lists_orders says so");
                format!("no list of our orders: {error}")
            })
        }))
    }

    /// What is known of others is read after the list: whatever is in that has begun by then.
    async fn in_list(
        &self,
        lost: &LostAttempt,
        list: Result<&[Listed], &String>,
        around: &Neighbours,
    ) -> StoreResult<Result<UpstreamOrderId, Failure>> {
        let list = match list {
            Ok(list) => list,
            Err(why) => return Ok(Err(Failure::Unanswered(why.clone()))),
        };
        let attempt = described(lost);
        let window = match Window::between(&attempt, around) {
            Ok(window) => window,
            Err(Obstacle::ClockSetBack) => return Ok(Err(Failure::Unproven(LIST, Obstacle::ClockSetBack))),
            // Times alone may do for a list.
            Err(_) => Window::in_time(&attempt),
        };
        let others = self.others(&window).await?;
        let held = self.held(list.iter().map(|listed| listed.id.clone()).collect()).await?;
        let found = find_in_listing(&attempt, &window, &others, list, &held, self.setup.attempt_lease);
        let found =
            found.and_then(|id| if self.setup.search.is_exclusive { Ok(id) } else { Err(Obstacle::NotExclusive(id)) });
        Ok(found.map_err(|obstacle| Failure::Unproven(LIST, obstacle)))
    }

    // === By a scan ===

    async fn scan(
        &mut self,
        lost: &mut LostAttempt,
        around: &Neighbours,
    ) -> StoreResult<Result<(UpstreamOrderId, Found), Failure>> {
        let unproven = |obstacle| Ok(Err(Failure::Unproven(SCAN, obstacle)));
        let attempt = described(lost);
        let window = match Window::between(&attempt, around) {
            Ok(window) if window.above.is_none() => return unproven(Obstacle::NoneAfter),
            Ok(window) => window,
            Err(obstacle) => return unproven(obstacle),
        };
        // Without answers yet: whether they could prove anything.
        match self.judge(&attempt, &window, &[]).await? {
            Err(Obstacle::LeftOut(_)) => {}
            Err(obstacle) => return unproven(obstacle),
            Ok(_) => return unproven(Obstacle::NoneFits),
        }
        let (Ok(gap), Some(below), Some(above)) = (window.gap(), window.below, window.above) else {
            return unproven(Obstacle::NoneAfter);
        };
        let [below, above] = [below, above].map(|number| UpstreamOrderId::new(number.to_string()));
        let ids: Vec<UpstreamOrderId> = gap.map(|number| UpstreamOrderId::new(number.to_string())).collect();
        let batches: Vec<_> = ids.chunks(MAX_BATCH.saturating_sub(2)).collect();
        if u64::try_from(batches.len()).is_ok_and(|calls| calls > self.left) {
            return Ok(Err(Failure::Unanswered("the calls of this hour are used up".to_owned())));
        }
        let mut items = Vec::with_capacity(ids.len());
        for batch in batches {
            let permit = match self.permit(lost).await? {
                Ok(permit) => permit,
                Err(why) => return Ok(Err(Failure::Unanswered(why))),
            };
            match self.ask(permit, batch, &below, &above).await {
                Ok(answered) => items.extend(answered),
                Err(why) => return Ok(Err(Failure::Unanswered(why))),
            }
        }
        lost.search.scans = lost.search.scans.saturating_add(1);
        let found = self.judge(&attempt, &window, &items).await?;
        Ok(found.map(|id| (id, Found::Scan { below, above })).map_err(|obstacle| Failure::Unproven(SCAN, obstacle)))
    }

    async fn judge(
        &self,
        attempt: &Lost,
        window: &Window,
        items: &[(UpstreamOrderId, Item)],
    ) -> StoreResult<Result<UpstreamOrderId, Obstacle>> {
        let others = self.others(window).await?;
        let known = items.iter().filter(|(_, item)| matches!(item, Item::Known(_))).map(|(id, _)| id.clone());
        let held = self.held(known.collect()).await?;
        Ok(find_in_gap(attempt, window, &others, items, &held, &self.setup.currency))
    }

    /// Asks for some IDs, together with both neighbours: panels answer with one error where they know none at all,
    /// and one that does not know the neighbours now has nothing to say of what is between them.
    async fn ask(
        &self,
        permit: Permit,
        batch: &[UpstreamOrderId],
        below: &UpstreamOrderId,
        above: &UpstreamOrderId,
    ) -> Result<Vec<(UpstreamOrderId, Item)>, String> {
        let mut ids = vec![below.clone(), above.clone()];
        ids.extend_from_slice(batch);
        let answer = self.app.tasks.unless_stopping(self.upstream.look_up(permit, &ids)).await;
        let answer = answer.ok_or(STOPPING)?.map_err(|error| format!("no statuses: {error}"))?;
        if !answer.batches {
            return Err("it can't be asked for many orders at once".to_owned());
        }
        let (ours, asked): (Vec<_>, Vec<_>) = answer.items.into_iter().partition(|(id, _)| id == below || id == above);
        if ours.iter().any(|(_, item)| !matches!(item, Item::Known(_))) {
            return Err("it did not tell of our own orders beside it".to_owned());
        }
        Ok(asked)
    }

    // === What comes of it ===

    async fn settle(&self, lost: LostAttempt, id: UpstreamOrderId, by: Found) -> StoreResult<()> {
        let (order, provider) = (lost.order.id, &self.setup.id);
        match self.app.decide(lost.order, Event::Found { id: id.clone(), by }).await? {
            Stepped::Done(_) => {
                tracing::info!(order.id = %order, %provider, "order {order} was found at {provider} as {id}");
            }
            // It has changed meanwhile: the next look sees how.
            stepped => tracing::debug!(order.id = %order, ?stepped, "an order was found too late"),
        }
        Ok(())
    }

    async fn put_off(&self, lost: LostAttempt, failures: &[Failure], asked: bool) -> StoreResult<()> {
        let provider = &self.setup.id;
        let mut search = lost.search;
        if !asked && failures.iter().all(Failure::passes) {
            let now = self.app.clock.now();
            let age = now.since(lost.ended_at.unwrap_or(lost.started_at));
            search.next_at = Some(now.plus((age / 20).clamp(WAIT.0, WAIT.1)));
            return self.app.store.put_search(lost.order.id, lost.attempt, search).await;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << search.tries.min(8).saturating_mul(2)).min(MAX_PAUSE);
        search.tries = search.tries.saturating_add(1);
        search.next_at = Some(self.app.clock.now().plus(pause));
        if search.scans >= SCANS && !self.setup.search.by_listing {
            search.tries = TRIES;
        }
        let given_up = search.tries >= TRIES;
        self.app.store.put_search(lost.order.id, lost.attempt, search).await?;
        for hint in failures.iter().filter_map(|failure| failure.hint(provider)) {
            self.app.hint(lost.order.id, hint).await?;
        }
        if given_up {
            let why = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let seen = format!("{provider} is not searched any more, nothing settled it ({why}): look for it there");
            self.app.hint(lost.order.id, Hint { about: "given up", seen }).await?;
        }
        Ok(())
    }
}
