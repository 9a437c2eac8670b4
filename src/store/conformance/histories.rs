//! Whole random lives, against a model that is kept beside them.

use std::collections::BTreeMap;

use super::*;
use crate::domain::ids::OrderId;
use crate::domain::order::{AttemptChange, Resolution};
use crate::domain::outcome::{OutcomeName, RejectKind, Rejection};

/// A small xorshift: the same histories on every run, on every engine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What the store should hold.
#[derive(Default)]
struct Model {
    orders: BTreeMap<OrderId, Order>,
    balances: BTreeMap<ClientId, Money>,
    /// Attempts that may still be answered: an upstream answers each once.
    unanswered: Vec<(OrderId, AttemptNumber)>,
}

fn event(dice: &mut Dice, model: &Model, order: &Order) -> Event {
    let attempt = model.unanswered.iter().filter(|(id, _)| *id == order.id).map(|(_, number)| *number).next_back();
    let words = ["Pending", "In progress", "Completed", "Partial", "Canceled", "Fail", "Quux"];
    match (dice.roll(20), attempt) {
        (0..10, Some(attempt)) => Event::Answered { attempt, outcome: outcome(dice) },
        (0..8, None) => sent(["alpha", "beta"][usize::from(dice.roll(2) == 0)]),
        (8..14, _) => reported(words[usize::try_from(dice.roll(7)).unwrap()], Some(dice.roll(1500))),
        (14, _) => Event::NoRoute { may_pass: dice.roll(4) > 0, reason: "none".into() },
        (15, _) => Event::HoldExpired,
        (16, Some(_)) => Event::SenderLost,
        (17, _) => match dice.roll(3) {
            0 => Event::CancelForwarded,
            1 => Event::CancelRefused("no".into()),
            _ => Event::CancelRequested,
        },
        (18, _) => Event::Resolved(Resolution::NotPlaced),
        (19, _) => Event::Resolved(match dice.roll(3) {
            0 => Resolution::Refund,
            _ => Resolution::Placed(UpstreamOrderId::new(format!("op{}", dice.roll(500)))),
        }),
        _ => sent("gamma"),
    }
}

fn outcome(dice: &mut Dice) -> Outcome {
    match dice.roll(8) {
        0..4 => accepted(&dice.roll(60).to_string()),
        4 | 5 => {
            let kind = RejectKind::ALL[usize::try_from(dice.roll(8)).unwrap()];
            Outcome::Rejected(Rejection { kind, text: "no".into(), quotable: false })
        }
        6 => Outcome::NotSent("refused".into()),
        _ => Outcome::Ambiguous("timeout".into()),
    }
}

impl Model {
    /// Who else holds the upstream ID that `order` would be bound to.
    fn holder(&self, order: &Order) -> Option<OrderId> {
        let binding = order.binding()?;
        let holds = |other: &&Order| {
            other.id != order.id
                && other
                    .binding()
                    .is_some_and(|held| held.route.provider == binding.route.provider && held.id == binding.id)
        };
        self.orders.values().find(holds).map(|other| other.id)
    }

    fn pay(&mut self, client: ClientId, amount: Money) {
        let balance = self.balances.entry(client).or_default();
        *balance = balance.checked_add(amount).unwrap();
    }

    fn take_in(&mut self, step: crate::domain::order::Step) {
        match &step.attempt {
            Some(AttemptChange::Started { number, .. }) => self.unanswered.push((step.order.id, *number)),
            // Lost senders and operators end an attempt that may be answered all the same.
            Some(AttemptChange::Finished { number, outcome, .. }) if *outcome != OutcomeName::Ambiguous => {
                self.unanswered.retain(|attempt| *attempt != (step.order.id, *number));
            }
            _ => {}
        }
        self.pay(step.order.client, step.refund.unwrap_or_default());
        self.orders.insert(step.order.id, step.order);
    }
}

async fn one_move(store: &AnyStore, dice: &mut Dice, model: &mut Model, now: Timestamp) {
    let ids: Vec<_> = model.orders.keys().copied().collect();
    let pick = usize::try_from(dice.roll(u64::try_from(ids.len()).unwrap() + 3)).unwrap();
    let Some(order) = ids.get(pick).map(|id| model.orders[id].clone()) else {
        let clients: Vec<_> = model.balances.keys().copied().collect();
        let client = clients[usize::try_from(dice.roll(3)).unwrap()];
        let charge = Money::from_units(i64::try_from(dice.roll(150_000_000)).unwrap());
        let new = NewOrder { charge, ..new_order(client, "0") };
        match store.place(Placement { now, ..placement(new) }).await.unwrap() {
            Placed::New(order) => {
                model.pay(client, charge.negated());
                model.orders.insert(order.id, *order);
            }
            Placed::NotEnoughFunds => assert!(model.balances[&client] < charge),
            other => panic!("{other:?}"),
        }
        return;
    };
    let event = event(dice, model, &order);
    let Ok(step) = order.step(event, now) else { return };
    match model.holder(&step.order) {
        Some(holder) => assert_eq!(store.apply(step).await.unwrap(), Applied::IdTaken(holder)),
        None => {
            assert_eq!(store.apply(step.clone()).await.unwrap(), Applied::Done);
            model.take_in(step);
        }
    }
}

pub(crate) async fn random_histories_verify(store: &AnyStore) {
    let mut model = Model::default();
    for name in ["ann", "ben", "cleo"] {
        let id = client(store, name, "20").await.client.id;
        model.balances.insert(id, money("20"));
    }
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut now = NOW;
    for _ in 0..1500 {
        now = now.plus(Duration::from_secs(dice.roll(600)));
        one_move(store, &mut dice, &mut model, now).await;
    }
    for (id, order) in &model.orders {
        assert_eq!(store.order(*id).await.unwrap().as_ref(), Some(order));
    }
    for (client, balance) in &model.balances {
        assert_eq!(store.balance(*client).await.unwrap(), *balance);
    }
    // The dice reached every state.
    let mut states: Vec<_> = store.count_orders().await.unwrap().into_iter().map(|(state, _, _)| state).collect();
    states.dedup();
    states.sort();
    states.dedup();
    assert_eq!(states, ["placed", "queued", "sending", "uncertain"]);
    assert!(model.orders.values().any(|order| matches!(order.state, crate::domain::order::State::Closed { .. })));
}
