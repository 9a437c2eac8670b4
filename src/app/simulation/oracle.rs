//! What is true on both sides, and what must hold whatever happens: the invariants of ARCHITECTURE.md, each computed here
//! from what the panels did and said, and not by the code that is checked.

use std::collections::BTreeMap;
use std::time::Duration;

use super::faults::{Told, Why};
use super::pace::Pace;
use super::terms::Limit;
use super::truth::{Attempt, Report, Truth, owed};
use crate::domain::ids::{ClientId, OrderId, ProviderId};
use crate::domain::order::{Order, State};

#[derive(Default)]
pub(super) struct Oracle {
    paces: BTreeMap<ProviderId, Pace>,
    /// Attempts whose start is durable, by the task that is about to send them.
    begun: BTreeMap<u64, (OrderId, u32)>,
    pub(super) orders: BTreeMap<OrderId, Truth>,
    bound: BTreeMap<(ProviderId, String), OrderId>,
    said: BTreeMap<(ProviderId, String), Vec<Report>>,
    pub(super) bought: Vec<(OrderId, u32, ProviderId, String)>,
    moved: BTreeMap<ClientId, i64>,
}

type Lawful = Result<(), String>;

impl Oracle {
    // === The wire ===

    /// The limits that hold from `now` on: those of a reload that is under way, or of those before it.
    pub(super) fn limit(&mut self, provider: &ProviderId, now: Duration, limits: &[Limit]) {
        self.paces.entry(provider.clone()).or_default().limit(now, limits);
    }

    pub(super) fn call_begins(&mut self, provider: &ProviderId, now: Duration) -> Lawful {
        self.pace(provider).begin(now).map_err(|what| format!("{what}: {provider}"))
    }

    pub(super) fn call_ended(&mut self, provider: &ProviderId) {
        self.pace(provider).end();
    }

    /// It answered "too many requests", and how many seconds it wants to be left alone.
    pub(super) fn asked_for_quiet(&mut self, provider: &ProviderId, now: Duration, seconds: Option<u64>) {
        self.pace(provider).rest(now, seconds);
    }

    fn pace(&mut self, provider: &ProviderId) -> &mut Pace {
        self.paces.get_mut(provider).unwrap()
    }

    /// The start of an attempt is durable, and this task is about to send it.
    pub(super) fn begin(&mut self, task: Option<u64>, order: &Order) {
        if let (Some(task), State::Sending { .. }) = (task, &order.state) {
            self.begun.insert(task, (order.id, order.attempts.0));
        }
    }

    /// An `add` is given to the wire: for which attempt.
    pub(super) fn sent(
        &mut self,
        task: Option<u64>,
        provider: &ProviderId,
        service: &str,
    ) -> Result<(OrderId, u32), String> {
        let begun = task.and_then(|task| self.begun.remove(&task));
        let (id, number) = begun.ok_or("an order is sent without its attempt being durable")?;
        let truth = self.orders.get_mut(&id).unwrap();
        let route = match &truth.order.state {
            State::Sending { route } if truth.order.attempts.0 == number => route.clone(),
            other => return Err(format!("order {id} is sent while it is {}", other.name())),
        };
        if route.provider != *provider || route.service.as_str() != service {
            return Err(format!("order {id} is sent to {provider}:{service}, its attempt is to {route}"));
        }
        if let Some(open) = truth.attempts.range(..number).find(|(at, attempt)| !truth.is_over(**at, attempt)) {
            return Err(format!("order {id} is sent again, and attempt {} may have been placed", open.0));
        }
        let attempt = truth.attempts.get_mut(&number).unwrap();
        if attempt.sent {
            return Err(format!("attempt {number} of order {id} is sent a second time"));
        }
        attempt.sent = true;
        Ok((id, number))
    }

    pub(super) fn told(&mut self, (order, number): (OrderId, u32), told: Told) {
        let attempt = self.orders.get_mut(&order).and_then(|truth| truth.attempts.get_mut(&number));
        if let Some(attempt) = attempt {
            attempt.told = Some(told);
        }
    }

    /// A panel made an order of an attempt.
    pub(super) fn bought(&mut self, (order, number): (OrderId, u32), provider: &ProviderId, id: &str) -> Lawful {
        let excused = self.orders.get(&order).map_or(0, |truth| truth.not_placed);
        let earlier = self.bought.iter().find(|(other, at, ..)| *other == order && at.min(&number) > &excused).cloned();
        self.bought.push((order, number, provider.clone(), id.to_owned()));
        match earlier {
            Some((_, at, where_, known)) => Err(format!(
                "order {order} is bought twice: {known} at {where_} by attempt {at}, {id} at {provider} by attempt {number}"
            )),
            None => Ok(()),
        }
    }

    pub(super) fn said(&mut self, provider: &ProviderId, news: &[(String, Report)]) {
        for (id, report) in news {
            self.said.entry((provider.clone(), id.clone())).or_default().push(*report);
        }
    }

    // === The operator, and what ends a process ===

    pub(super) fn money_moved(&mut self, client: ClientId, units: i64) {
        *self.moved.entry(client).or_default() += units;
    }

    pub(super) fn may_be_sent_again(&mut self, order: OrderId) {
        let truth = self.orders.get_mut(&order).unwrap();
        truth.not_placed = truth.order.attempts.0;
    }

    pub(super) fn may_be_refunded(&mut self, order: OrderId) {
        self.orders.get_mut(&order).unwrap().refund_allowed = true;
    }

    pub(super) fn is_named(&mut self, order: OrderId, id: &str) {
        self.orders.get_mut(&order).unwrap().named = Some(id.to_owned());
    }

    /// Somebody gave up the sender of this order's last attempt.
    pub(super) fn given_up(&mut self, order: OrderId) {
        let truth = self.orders.get_mut(&order).unwrap();
        if let Some(attempt) = truth.attempts.get_mut(&truth.order.attempts.0) {
            attempt.given_up = true;
        }
    }

    /// Orders whose request is with the wire.
    pub(super) fn being_sent(&self) -> Vec<OrderId> {
        let sent = |truth: &&Truth| {
            let last = truth.attempts.get(&truth.order.attempts.0);
            let open = last.is_some_and(|attempt| attempt.sent && attempt.told.is_none() && !attempt.given_up);
            matches!(truth.order.state, State::Sending { .. }) && open
        };
        self.orders.values().filter(sent).map(|truth| truth.order.id).collect()
    }

    pub(super) fn is_calling(&self) -> bool {
        self.paces.values().any(Pace::is_calling)
    }

    pub(super) fn crashed(&mut self) {
        self.begun.clear();
        for pace in self.paces.values_mut() {
            pace.forget();
        }
        for truth in self.orders.values_mut().filter(|truth| matches!(truth.order.state, State::Sending { .. })) {
            if let Some(attempt) = truth.attempts.get_mut(&truth.order.attempts.0) {
                attempt.killed = true;
            }
        }
    }

    // === The store ===

    pub(super) fn placed(&mut self, order: &Order) -> Lawful {
        if order.state != State::Queued || !order.charge.is_positive() {
            return Err(format!("order {} is born as {order:?}", order.id));
        }
        let truth = Truth {
            order: order.clone(),
            attempts: BTreeMap::new(),
            not_placed: 0,
            refund_allowed: false,
            named: None,
            views: vec![(order.net_charge().to_string(), order.status.as_str())],
        };
        match self.orders.insert(order.id, truth) {
            Some(_) => Err(format!("order {} is placed under an ID that was given out before", order.id)),
            None => Ok(()),
        }
    }

    /// An order as the store has it after a write.
    pub(super) fn changed(&mut self, order: &Order) -> Lawful {
        let id = order.id;
        let truth = self.orders.get(&id).ok_or_else(|| format!("order {id} was never placed"))?;
        self.lawful(truth, order)
            .map_err(|what| format!("order {id} went from {:?} to {:?}: {what}", truth.order.state, order.state))?;
        self.lawful_money(truth, order)?;
        self.bind(order)?;
        let truth = self.orders.get_mut(&id).unwrap();
        if let State::Sending { route } = &order.state {
            let fresh = Attempt { route: route.clone(), sent: false, told: None, killed: false, given_up: false };
            truth.attempts.entry(order.attempts.0).or_insert(fresh);
        }
        truth.views.push((order.net_charge().to_string(), order.status.as_str()));
        truth.order = order.clone();
        Ok(())
    }

    /// One upstream order belongs to at most one of ours, for ever.
    fn bind(&mut self, order: &Order) -> Lawful {
        let Some(binding) = order.binding() else { return Ok(()) };
        let key = (binding.route.provider.clone(), binding.id.as_str().to_owned());
        let holder = *self.bound.entry(key).or_insert(order.id);
        if holder == order.id {
            return Ok(());
        }
        Err(format!("orders {holder} and {} both hold {} at {}", order.id, binding.id, binding.route.provider))
    }

    fn lawful(&self, truth: &Truth, order: &Order) -> Lawful {
        let before = &truth.order;
        let refuse = |what: &str| Err(what.to_owned());
        if (order.client, order.charge, order.created_at) != (before.client, before.charge, before.created_at) {
            return refuse("its client, charge or birth changed");
        }
        let last = truth.attempts.get(&before.attempts.0);
        let over = last.is_none_or(|attempt| truth.is_over(before.attempts.0, attempt));
        match (&before.state, &order.state) {
            (State::Queued, State::Queued) | (State::Uncertain { .. }, State::Uncertain { .. }) => Ok(()),
            (State::Sending { route: old }, State::Sending { route: new }) if old == new => Ok(()),
            (State::Placed(old), State::Placed(new)) if old == new => Ok(()),
            (State::Placed(old), State::Closed { binding: Some(new), .. }) if old == new => Ok(()),
            (State::Closed { binding: old, .. }, State::Closed { binding: new, .. }) if old == new => Ok(()),
            (State::Queued, State::Sending { .. }) if order.attempts == before.attempts.next() => Ok(()),
            (State::Queued, State::Closed { binding: None, .. }) if over => Ok(()),
            (State::Sending { .. } | State::Uncertain { .. }, State::Queued) if over => Ok(()),
            (State::Sending { .. } | State::Uncertain { .. }, State::Closed { binding: None, .. }) => {
                self.lawful_end(truth, before, over)
            }
            (State::Sending { .. }, State::Uncertain { .. }) => self.lawful_doubt(truth, before),
            (_, State::Placed(binding)) if before.binding().is_none() => {
                let id = binding.id.as_str();
                let told = truth.attempts.values().any(|attempt| {
                    attempt.route == binding.route && attempt.told == Some(Told::Accepted(id.to_owned()))
                });
                if told || truth.named.as_deref() == Some(id) { Ok(()) } else { refuse("nobody named that ID for it") }
            }
            _ => refuse("that must not happen"),
        }
    }

    /// Whether an order that was sent may be ended without an upstream's ID.
    fn lawful_end(&self, truth: &Truth, before: &Order, over: bool) -> Lawful {
        let Some(attempt) = truth.attempts.get(&before.attempts.0) else { return Ok(()) };
        let again = truth
            .attempts
            .range(..before.attempts.0)
            .any(|(_, earlier)| earlier.sent && earlier.route.provider == attempt.route.provider);
        match &attempt.told {
            _ if truth.refund_allowed => Ok(()),
            Some(Told::Rejected(Why::Duplicate)) if again => {
                Err("a duplicate link after an earlier attempt there was taken for a refusal".to_owned())
            }
            Some(Told::Accepted(id)) if self.is_anothers(&attempt.route.provider, id, before) && !again => Ok(()),
            _ if over => Ok(()),
            told => Err(format!("it may have been placed: {told:?}")),
        }
    }

    fn lawful_doubt(&self, truth: &Truth, before: &Order) -> Lawful {
        let number = before.attempts.0;
        let attempt = &truth.attempts[&number];
        match &attempt.told {
            // One that was not sent is so where the store failed twice: needless, and safe.
            _ if attempt.killed || attempt.given_up || !attempt.sent => Ok(()),
            Some(Told::Ambiguous) => Ok(()),
            Some(Told::Rejected(Why::Duplicate)) if number > 1 => Ok(()),
            Some(Told::Accepted(id)) if self.is_anothers(&attempt.route.provider, id, before) => Ok(()),
            told => Err(format!("its outcome is known: {told:?}")),
        }
    }

    fn is_anothers(&self, provider: &ProviderId, id: &str, order: &Order) -> bool {
        self.bound.get(&(provider.clone(), id.to_owned())).is_some_and(|holder| *holder != order.id)
    }

    fn lawful_money(&self, truth: &Truth, order: &Order) -> Lawful {
        let (id, refunded, charge) = (order.id, order.refunded.units(), order.charge.units());
        if refunded < truth.order.refunded.units() {
            return Err(format!("order {id}: a refund was taken back"));
        }
        let entitled = match &order.state {
            State::Closed { binding: None, .. } if refunded != charge => {
                return Err(format!("order {id} ended without an upstream and {refunded} of {charge} came back"));
            }
            State::Closed { binding: None, .. } => charge,
            _ => self.entitled(order),
        };
        if refunded > entitled {
            return Err(format!("order {id}: {refunded} of {charge} came back, {entitled} is owed at most"));
        }
        Ok(())
    }

    /// The most that what its upstream ever said of an order gives back, in 10^-8.
    fn entitled(&self, order: &Order) -> i64 {
        let Some(binding) = order.binding() else { return 0 };
        let key = (binding.route.provider.clone(), binding.id.as_str().to_owned());
        let reports = self.said.get(&key).map_or(&[][..], Vec::as_slice);
        let first = reports.iter().map(|report| report.charge).max().unwrap_or_default();
        reports.iter().map(|report| owed(order, report, first)).max().unwrap_or(0)
    }

    /// What is owed by the last word on an order, where that is clear.
    pub(super) fn owed_by_last_word(&self, order: &Order) -> Option<i64> {
        let binding = order.binding()?;
        let key = (binding.route.provider.clone(), binding.id.as_str().to_owned());
        let reports = self.said.get(&key)?;
        // What its upstream charged at first is what was first heard in time to be written.
        let first = order.progress.first_charge.unwrap_or_default();
        reports.last().map(|report| owed(order, report, first))
    }

    /// What a client's account holds, in 10^-8.
    pub(super) fn balance(&self, client: ClientId) -> i64 {
        let orders = self.orders.values().filter(|truth| truth.order.client == client);
        let spent: i64 = orders.map(|truth| truth.order.charge.units() - truth.order.refunded.units()).sum();
        self.moved.get(&client).copied().unwrap_or_default() - spent
    }

    /// Whether an upstream order is known here, or in doubt: bound to one of ours, or its own order waits for it; or
    /// the panel named another in its place.
    pub(super) fn is_accounted_for(&self, order: OrderId, number: u32, provider: &ProviderId, id: &str) -> bool {
        if self.bound.contains_key(&(provider.clone(), id.to_owned())) {
            return true;
        }
        self.orders.get(&order).is_some_and(|truth| {
            let waits = matches!(truth.order.state, State::Uncertain { .. } | State::Sending { .. });
            let told = truth.attempts.get(&number).and_then(|attempt| attempt.told.as_ref());
            let misnamed = matches!(told, Some(Told::Accepted(other)) if other != id);
            waits || misnamed || self.was_settled(order)
        })
    }

    pub(super) fn was_settled(&self, order: OrderId) -> bool {
        self.orders
            .get(&order)
            .is_some_and(|truth| truth.refund_allowed || truth.not_placed > 0 || truth.named.is_some())
    }
}
