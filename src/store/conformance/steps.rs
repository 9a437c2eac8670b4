//! Writing the steps of an order's life.

use super::*;
use crate::domain::client::EntryKind;
use crate::domain::order::{CancelWish, Resolution, State};
use crate::domain::outcome::{RejectKind, Rejection};
use crate::domain::status::Status;
use crate::store::StoreError;

fn rejected() -> Outcome {
    Outcome::Rejected(Rejection { kind: RejectKind::Balance, text: "no funds".into(), quotable: false })
}

pub(crate) async fn a_step_is_written_whole(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let mut order = order(store, ann, "1.20").await;
    for event in [
        sent("alpha"),
        answer(1, rejected()),
        sent("beta"),
        answer(2, accepted("B-77")),
        reported("In progress", Some(600)),
        Event::CancelRequested,
        Event::CancelForwarded,
        reported("Partial", Some(250)),
    ] {
        order = step(store, &order, event, after(5)).await;
        assert_eq!(store.order(order.id).await.unwrap().as_ref(), Some(&order));
    }
    assert_eq!((order.status, order.refunded), (Status::Partial, money("0.3")));
    assert!(order.cancel == CancelWish::Forwarded && order.tried.len() == 1 && order.cost == Some(money("0.972")));
    assert!(matches!(order.state, State::Closed { binding: Some(_), .. }));
}

pub(crate) async fn a_step_on_an_old_version_is_stale(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let order = order(store, ann, "1.20").await;
    let cancel = order.step(Event::CancelRequested, NOW).unwrap();
    let sending = step(store, &order, sent("alpha"), NOW).await;
    assert_eq!(store.apply(cancel).await.unwrap(), Applied::Stale);
    assert_eq!(store.order(order.id).await.unwrap(), Some(sending));
    assert_eq!(store.balance(ann).await.unwrap(), money("8.8"));
    // Nor is a step taken twice.
    let first = order.step(sent("alpha"), NOW).unwrap();
    assert_eq!(store.apply(first).await.unwrap(), Applied::Stale);
}

pub(crate) async fn a_cancel_and_a_send_exclude_each_other(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    for cancel_first in [true, false] {
        let queued = order(store, ann, "1.20").await;
        let (cancel, send) = (queued.step(Event::CancelRequested, NOW), queued.step(sent("alpha"), NOW));
        let steps =
            if cancel_first { vec![cancel.unwrap(), send.unwrap()] } else { vec![send.unwrap(), cancel.unwrap()] };
        assert_eq!(store.apply_all(steps).await.unwrap(), [Applied::Done, Applied::Stale]);
        let order = store.order(queued.id).await.unwrap().unwrap();
        assert_eq!(order.attempts.0, u32::from(!cancel_first));
        assert_eq!(order.refunded == order.charge, cancel_first);
        // Who lost looks again: a canceled order is sent no more, one that is being sent remembers the wish.
        if cancel_first {
            assert!(order.step(sent("alpha"), NOW).is_err());
        } else {
            assert_eq!(step(store, &order, Event::CancelRequested, NOW).await.cancel, CancelWish::Wished);
        }
    }
    assert_eq!(store.balance(ann).await.unwrap(), money("8.8"));
}

pub(crate) async fn an_upstream_id_has_one_holder(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let first = forwarded(store, ann, "alpha", "77").await;
    // Another provider may use the same ID.
    forwarded(store, ann, "beta", "77").await;
    let second = order(store, ann, "1.20").await;
    let second = step(store, &second, sent("alpha"), NOW).await;
    let taken = second.step(answer(1, accepted("77")), NOW).unwrap();
    assert_eq!(store.apply(taken).await.unwrap(), Applied::IdTaken(first.id));
    assert_eq!(store.order(second.id).await.unwrap(), Some(second.clone()));
    // The holder keeps it after its end.
    step(store, &first, reported("Completed", Some(0)), NOW).await;
    let taken = second.step(answer(1, accepted("77")), NOW).unwrap();
    assert_eq!(store.apply(taken).await.unwrap(), Applied::IdTaken(first.id));
}

pub(crate) async fn a_refund_is_given_once(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let placed = forwarded(store, ann, "alpha", "77").await;
    let partial = step(store, &placed, reported("Partial", Some(250)), after(60)).await;
    assert_eq!(store.balance(ann).await.unwrap(), money("9.1"));
    step(store, &partial, reported("Canceled", None), after(120)).await;
    assert_eq!(store.balance(ann).await.unwrap(), money("10"));
    let refunds: Vec<_> =
        store.ledger("ann", 2).await.unwrap().into_iter().map(|entry| (entry.kind, entry.amount)).collect();
    assert_eq!(refunds, [(EntryKind::Refund, money("0.3")), (EntryKind::Refund, money("0.9"))]);
    let account = store.account("ann").await.unwrap();
    assert_eq!((account.deposits, account.charges, account.refunds), (money("10"), money("1.2"), money("1.2")));
}

pub(crate) async fn steps_that_contradict_the_refunds_are_not_written(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let order = order(store, ann, "1.20").await;
    let mut wrong = order.step(Event::CancelRequested, NOW).unwrap();
    wrong.refund = None;
    assert!(matches!(store.apply(wrong).await, Err(StoreError::Engine(_))));
    assert_eq!(store.order(order.id).await.unwrap(), Some(order));
    let mut unknown = super::order(store, ann, "1").await.step(Event::CancelRequested, NOW).unwrap();
    unknown.order.id = crate::domain::ids::OrderId::new(4711).unwrap();
    assert!(matches!(store.apply(unknown).await, Err(StoreError::NotFound { what: "order", .. })));
}

pub(crate) async fn many_steps_stand_each_by_itself(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let (one, two, three) = (order(store, ann, "1").await, order(store, ann, "1").await, order(store, ann, "1").await);
    let stale = two.step(Event::CancelRequested, NOW).unwrap();
    step(store, &two, sent("alpha"), NOW).await;
    let steps =
        vec![one.step(Event::CancelRequested, NOW).unwrap(), stale, three.step(Event::HoldExpired, NOW).unwrap()];
    assert_eq!(store.apply_all(steps).await.unwrap(), [Applied::Done, Applied::Stale, Applied::Done]);
    assert_eq!(store.balance(ann).await.unwrap(), money("9"));
    assert_eq!(store.apply_all(vec![]).await.unwrap(), []);
}

pub(crate) async fn news_of_many_orders_is_written_whole(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let events = [
        reported("In progress", Some(600)),
        reported("Quux", None),
        Event::CancelRequested,
        reported("Partial", Some(250)),
        reported("Completed", Some(0)),
        reported("Canceled", None),
        reported("Processing", Some(7)),
    ];
    let mut steps = Vec::new();
    for (event, id) in events.into_iter().zip(1..) {
        let mut order = forwarded(store, ann, "alpha", &id.to_string()).await;
        if id == 1 {
            order = step(store, &order, reported("In progress", Some(700)), after(50)).await;
        }
        // From the last to the first.
        steps.insert(0, order.step(event, after(60)).unwrap());
        if id == 7 {
            step(store, &order, reported("In progress", None), after(50)).await;
        }
    }
    let mut wanted = vec![Applied::Done; steps.len()];
    wanted[0] = Applied::Stale;
    assert_eq!(store.apply_all(steps.clone()).await.unwrap(), wanted);
    assert_eq!(store.apply_all(steps.clone()).await.unwrap(), vec![Applied::Stale; steps.len()]);
    for step in &steps[1..] {
        let story = store.order_story(step.order.id).await.unwrap().unwrap();
        assert_eq!(story.order, step.order);
        let told: Vec<_> = story.history.iter().rev().take(step.notes.len()).rev().map(|line| &line.text).collect();
        assert_eq!(told, step.notes.iter().map(|note| &note.text).collect::<Vec<_>>());
    }
    assert!(steps.iter().any(|step| step.notes.is_empty()) && steps.iter().any(|step| !step.notes.is_empty()));
    assert_eq!(store.verify().await.unwrap().failures, Vec::<String>::new());
}

pub(crate) async fn what_the_operator_settles_may_be_sent_again(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let mut order = order(store, ann, "1.20").await;
    for event in [
        sent("alpha"),
        answer(1, Outcome::Ambiguous("timeout".into())),
        Event::Resolved(Resolution::NotPlaced),
        sent("beta"),
        // Late: written over what was known of attempt 1, and no reason to doubt the second.
        answer(1, accepted("late")),
        answer(2, accepted("77")),
    ] {
        order = step(store, &order, event, NOW).await;
    }
    let attempts = store.order_story(order.id).await.unwrap().unwrap().attempts;
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome.as_deref()).collect();
    assert_eq!(outcomes, [Some("accepted"), Some("accepted")]);
}
