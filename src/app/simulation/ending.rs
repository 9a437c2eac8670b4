//! The end of a seed: the upstreams become well-behaved, time passes, and whatever can end has to end.

use std::time::Duration;

use super::driver::Driver;
use super::faults::Told;
use crate::domain::client::EntryKind;
use crate::domain::ids::OrderId;
use crate::domain::order::State;
use crate::store::Store;
use crate::store::records::{OrderFilter, OrderStory};

/// The pauses between two looks, in minutes: more than a day in all, as some panels' Partial needs.
const PAUSES: [u64; 40] = [
    1, 1, 1, 2, 2, 5, 5, 5, 10, 10, 30, 30, 60, 60, 60, 60, 60, 60, 120, 120, 120, 120, 360, 360, 360, 360, 720, 720,
    720, 720, 720, 720, 1440, 1440, 1440, 1440, 1440, 1440, 1440, 1440,
];

impl Driver {
    pub(super) async fn end(&mut self) {
        self.world.note(format_args!("*** from here on nothing goes wrong"));
        self.world.calm_down();
        self.rest(Duration::from_secs(300)).await;
        let mended = self.plan.mended();
        self.reload(mended);
        self.resume().await;
        for pause in PAUSES {
            self.rest(Duration::from_secs(20)).await;
            if self.world.failure().is_some() || self.is_over() {
                break;
            }
            self.all_in_background();
            self.rest(Duration::from_secs(60)).await;
            self.panels_finish();
            self.rest(Duration::from_secs(60 * pause)).await;
        }
        self.rest(Duration::from_secs(60)).await;
        self.minds_change().await;
        self.check_the_end().await;
    }

    /// Panels change their minds about orders that have ended.
    async fn minds_change(&mut self) {
        for _ in 0..2 {
            {
                let mut state = self.world.state();
                let super::world::State { panels, rng, .. } = &mut *state;
                for held in panels.values_mut().flat_map(|panel| panel.orders.values_mut()) {
                    if rng.chance(50) {
                        let remains = 1 + rng.below(held.quantity);
                        let word: &&str = rng.pick(&["In progress", "Completed", "Partial", "Canceled"]);
                        held.report(word, remains);
                    }
                }
            }
            self.rest(Duration::from_secs(7200)).await;
            self.all_in_background();
            self.rest(Duration::from_secs(60)).await;
        }
    }

    fn is_over(&self) -> bool {
        let state = self.world.state();
        let rests = |state: &State| matches!(state, State::Closed { .. } | State::Uncertain { .. });
        state.oracle.orders.values().all(|truth| rests(&truth.order.state)) && state.stragglers.is_empty()
    }

    /// The panels bring every order to an end; some take a while.
    fn panels_finish(&self) {
        let mut state = self.world.state();
        let super::world::State { panels, rng, .. } = &mut *state;
        for panel in panels.values_mut() {
            for held in panel.orders.values_mut() {
                let open = held.is_active() || matches!(held.word, "Fail" | "Gone fishing");
                if open && rng.chance(40) {
                    let word = *rng.pick(&["Completed", "Completed", "Partial", "Canceled"]);
                    let remains = 1 + rng.below(held.quantity);
                    held.report(word, remains);
                }
            }
        }
    }

    async fn check_the_end(&self) {
        if self.world.failure().is_some() {
            return;
        }
        let known: Vec<OrderId> = self.world.state().oracle.orders.keys().copied().collect();
        let mut checked = self.check_all_are_there(known.len()).await;
        for id in known {
            checked = checked.and(self.check_order(id).await);
        }
        checked = checked.and(self.check_accounted_for());
        if self.world.state().oracle.is_calling() {
            checked = checked.and(Err("a call never ends".to_owned()));
        }
        checked = checked.and(self.check_ledgers().await);
        let report = self.inner.verify().await.unwrap();
        if let Some(failure) = report.failures.first() {
            checked = checked.and(Err(format!("verify: {failure}")));
        }
        self.world.state().check(checked);
    }

    async fn check_all_are_there(&self, wanted: usize) -> Result<(), String> {
        let filter = OrderFilter { limit: usize::MAX, ..OrderFilter::default() };
        let found = self.inner.list_orders(filter).await.unwrap().len();
        if found == wanted { Ok(()) } else { Err(format!("{found} orders are stored, {wanted} were placed")) }
    }

    async fn check_order(&self, id: OrderId) -> Result<(), String> {
        let story = self.inner.order_story(id).await.unwrap().ok_or_else(|| format!("order {id} is gone"))?;
        let order = &story.order;
        let alerted = story.history.iter().any(|line| line.alert);
        match &order.state {
            State::Closed { .. } => {}
            State::Uncertain { .. } if alerted => {}
            State::Uncertain { .. } => return Err(format!("nobody was told that order {id} is uncertain")),
            other => return Err(format!("order {id} never ends: it is {}", other.name())),
        }
        self.check_last_word(&story)?;
        self.check_attempts(&story)?;
        let state = self.world.state();
        let keys: Vec<&String> = state.panels.values().map(|panel| &panel.key).collect();
        let texts = story.history.iter().map(|line| line.text.as_str());
        let details = story.attempts.iter().filter_map(|attempt| attempt.detail.as_deref());
        for text in texts.chain(details).chain(order.refusal.as_deref()) {
            if keys.iter().any(|key| text.contains(key.as_str())) {
                return Err(format!("order {id}: a key is in its history: {text}"));
            }
        }
        let charged = story.ledger.iter().filter(|entry| entry.kind == EntryKind::Charge).count();
        let refunded: i64 =
            story.ledger.iter().filter(|entry| entry.kind == EntryKind::Refund).map(|entry| entry.amount.units()).sum();
        if charged != 1 || refunded != order.refunded.units() {
            return Err(format!("order {id}: its ledger has {charged} charges, and {refunded} came back"));
        }
        Ok(())
    }

    /// What came back is what the upstream's last word owes, where an order was followed to the end.
    fn check_last_word(&self, story: &OrderStory) -> Result<(), String> {
        let order = &story.order;
        let (State::Closed { binding: Some(_), .. }, Some(word)) = (&order.state, &order.progress.word) else {
            return Ok(());
        };
        let owed = self.world.state().oracle.owed_by_last_word(order).unwrap_or(0);
        // A late report that is dearer is not believed, and a Partial that may be a pause not for a day.
        let believed = !word.contains("another") && (word != "Partial" || self.plan.partial_is_final);
        if believed && order.refunded.units() < owed {
            return Err(format!("order {}: {} came back, {owed} is owed by {word:?}", order.id, order.refunded));
        }
        Ok(())
    }

    /// Every answer to an attempt is written, however late it came.
    fn check_attempts(&self, story: &OrderStory) -> Result<(), String> {
        let state = self.world.state();
        let id = story.order.id;
        let truth = &state.oracle.orders[&id];
        for kept in &story.attempts {
            let Some(attempt) = truth.attempts.get(&kept.number) else {
                return Err(format!("order {id} has an attempt {} that never was", kept.number));
            };
            let Some(told) = attempt.told.as_ref().filter(|_| !attempt.killed) else { continue };
            let outcome = kept.outcome.as_deref().unwrap_or("none");
            let named = |upstream_id: &String| kept.detail.as_ref().is_some_and(|detail| detail.contains(upstream_id));
            let right = match told {
                Told::Accepted(upstream_id) => named(upstream_id) || state.oracle.was_settled(id),
                Told::Rejected(_) => outcome == "rejected",
                Told::NotSent => outcome == "not_sent",
                Told::Ambiguous => outcome == "ambiguous" || state.oracle.was_settled(id),
            };
            if !right {
                return Err(format!("order {id}: attempt {} was told {told:?}, and kept as {outcome}", kept.number));
            }
        }
        Ok(())
    }

    /// Every upstream order is one that we know, or one that we are in doubt about.
    fn check_accounted_for(&self) -> Result<(), String> {
        let state = self.world.state();
        let oracle = &state.oracle;
        let known =
            |(order, number, provider, id): &&(_, _, _, String)| oracle.is_accounted_for(*order, *number, provider, id);
        let lost = oracle.bought.iter().find(|bought| !known(bought));
        match lost {
            Some((order, _, provider, id)) => {
                Err(format!("{provider} holds {id}, bought for order {order}: nobody knows it"))
            }
            None => Ok(()),
        }
    }

    async fn check_ledgers(&self) -> Result<(), String> {
        for reseller in &self.resellers.all {
            let credit = self.inner.account(reseller.name).await.unwrap().client.credit.units();
            let mut sum = 0;
            for entry in self.inner.ledger(reseller.name, usize::MAX).await.unwrap() {
                sum += entry.amount.units();
                if entry.balance.units() != sum {
                    return Err(format!(
                        "{}: the balance in the ledger is {}, the sum {sum}",
                        reseller.name, entry.balance
                    ));
                }
                if entry.kind == EntryKind::Charge && sum < -credit {
                    return Err(format!("{}: a charge went beyond the credit, to {sum}", reseller.name));
                }
                if entry.kind == EntryKind::Withdrawal && sum < 0 {
                    return Err(format!("{}: a withdrawal used credit", reseller.name));
                }
            }
            let wanted = self.world.state().oracle.balance(reseller.id);
            if sum != wanted {
                return Err(format!("{}: the ledger's sum is {sum}, it should be {wanted}", reseller.name));
            }
        }
        Ok(())
    }
}
