//! Refills, and orders whose upstream is to be told of a cancel.

use super::*;
use crate::domain::ids::{RefillId, UpstreamRefillId};
use crate::domain::order::CancelWish;
use crate::domain::refill::{
    NewRefill, Refill, RefillEvent, RefillOutcome, RefillReport, RefillState, RefillStatus, UNCERTAIN_IS_OPEN_FOR,
};
use crate::store::records::{OpenedRefill, RefillApplied};

fn new_refill(order: &Order) -> NewRefill {
    let binding = order.binding().unwrap();
    NewRefill {
        order: order.id,
        client: order.client,
        provider: binding.route.provider.clone(),
        upstream_order: binding.id.clone(),
    }
}

async fn opened(store: &AnyStore, order: &Order, now: Timestamp) -> Refill {
    match store.open_refill(new_refill(order), now).await.unwrap() {
        OpenedRefill::New(refill) => *refill,
        refused => panic!("{refused:?}"),
    }
}

async fn refill_step(store: &AnyStore, refill: &Refill, event: RefillEvent, now: Timestamp) -> Refill {
    let step = refill.step(event, now).unwrap();
    assert_eq!(store.apply_refills(vec![step.clone()]).await.unwrap(), [RefillApplied::Done]);
    step.refill
}

fn taken(id: &str) -> RefillEvent {
    RefillEvent::Answered(RefillOutcome::Accepted(UpstreamRefillId::new(id)))
}

fn ids(refills: &[Refill]) -> Vec<u32> {
    refills.iter().map(|refill| refill.id.get()).collect()
}

pub(crate) async fn a_provider_that_moved_knows_no_refill_of_before(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let (alpha, beta) = (ProviderId::new("alpha"), ProviderId::new("beta"));
    let mut before = Vec::new();
    for (provider, id) in [("alpha", "1"), ("alpha", "2"), ("beta", "3")] {
        before.push(forwarded(store, ann, provider, id).await);
    }
    let [open, idle, elsewhere] = before.try_into().unwrap();
    let refill = opened(store, &open, NOW).await;
    let refill = refill_step(store, &refill, taken("71"), after(1)).await;
    let other = opened(store, &elsewhere, NOW).await;
    let other = refill_step(store, &other, taken("72"), after(1)).await;

    store.forget_provider(&alpha, after(2)).await.unwrap();
    let ended = store.refill(refill.id).await.unwrap().unwrap();
    assert_eq!(
        (ended.state, ended.status),
        (RefillState::Ended(Some(UpstreamRefillId::new("71"))), RefillStatus::Error)
    );
    let far = after(86_400);
    assert!(store.claim_refills(&alpha, far, far, 10).await.unwrap().is_empty());
    assert_eq!(ids(&store.claim_refills(&beta, far, far, 10).await.unwrap()), [other.id.get()]);
    for order in [&open, &idle] {
        let refused = store.open_refill(new_refill(order), after(3)).await.unwrap();
        assert!(matches!(refused, OpenedRefill::Moved), "{refused:?}");
    }
    let order = order(store, ann, "1.20").await;
    let order = step(store, &order, sent("alpha"), after(3)).await;
    let order = step(store, &order, answer(1, accepted("4")), after(3)).await;
    opened(store, &order, after(4)).await;
}

pub(crate) async fn a_refill_is_kept_whole(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let order = forwarded(store, ann, "alpha", "77").await;
    let mut refill = opened(store, &order, NOW).await;
    assert_eq!((refill.id.get(), &refill.state), (1, &RefillState::Sending));
    assert_eq!(store.sending_refills().await.unwrap(), std::slice::from_ref(&refill));
    for event in [
        RefillEvent::SenderLost,
        taken("77"),
        RefillEvent::Reported(RefillReport::read("Quux")),
        RefillEvent::Reported(RefillReport::read("Refilling")),
        RefillEvent::Reported(RefillReport::read("Rejected")),
    ] {
        refill = refill_step(store, &refill, event, after(5)).await;
        assert_eq!(store.refill(refill.id).await.unwrap().as_ref(), Some(&refill));
        assert!(store.sending_refills().await.unwrap().is_empty());
    }
    assert_eq!(refill.status, RefillStatus::Rejected);
    let story = store.order_story(order.id).await.unwrap().unwrap();
    assert_eq!(story.refills, [refill]);
    assert_eq!(store.refill(RefillId::new(9).unwrap()).await.unwrap(), None);
}

pub(crate) async fn an_order_has_one_open_refill(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let order = forwarded(store, ann, "alpha", "77").await;
    let other = forwarded(store, ann, "alpha", "78").await;
    let busy = async |now| matches!(store.open_refill(new_refill(&order), now).await.unwrap(), OpenedRefill::Busy);
    let first = opened(store, &order, NOW).await;
    assert!(busy(after(1)).await, "being sent");
    assert_eq!(opened(store, &other, NOW).await.id.get(), 2);
    let first = refill_step(store, &first, RefillEvent::SenderLost, NOW).await;
    assert!(busy(after(1)).await, "it may be there");
    let first = refill_step(store, &first, taken("1"), NOW).await;
    assert!(busy(NOW.plus(UNCERTAIN_IS_OPEN_FOR * 2)).await, "it is there");
    refill_step(store, &first, RefillEvent::Reported(RefillReport::read("Completed")), NOW).await;
    let second = opened(store, &order, NOW).await;
    assert_eq!(second.id.get(), 3);
    refill_step(store, &second, RefillEvent::SenderLost, NOW).await;
    // Nobody will ever know: it stands in the way for a day.
    assert_eq!(opened(store, &order, NOW.plus(UNCERTAIN_IS_OPEN_FOR)).await.id.get(), 4);
}

pub(crate) async fn refill_steps_stand_each_by_itself(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let (one, two) = (forwarded(store, ann, "alpha", "77").await, forwarded(store, ann, "alpha", "78").await);
    let elsewhere = forwarded(store, ann, "beta", "77").await;
    let (first, second) = (opened(store, &one, NOW).await, opened(store, &two, NOW).await);
    let third = opened(store, &elsewhere, NOW).await;
    let steps = [
        first.step(taken("5"), NOW).unwrap(),
        first.step(RefillEvent::SenderLost, NOW).unwrap(),
        second.step(taken("5"), NOW).unwrap(),
        third.step(taken("5"), NOW).unwrap(),
    ];
    assert_eq!(
        store.apply_refills(steps.to_vec()).await.unwrap(),
        [RefillApplied::Done, RefillApplied::Stale, RefillApplied::IdTaken(first.id), RefillApplied::Done]
    );
    assert_eq!(store.refill(second.id).await.unwrap(), Some(second));
    assert_eq!(store.apply_refills(vec![]).await.unwrap(), []);
}

pub(crate) async fn refills_are_their_clients(store: &AnyStore) {
    let (ann, ben) = (client(store, "ann", "10").await.client.id, client(store, "ben", "10").await.client.id);
    let (hers, his) = (forwarded(store, ann, "alpha", "77").await, forwarded(store, ben, "alpha", "78").await);
    let (hers, his) = (opened(store, &hers, NOW).await, opened(store, &his, NOW).await);
    let asked = [hers.id, his.id, RefillId::new(9).unwrap()];
    assert_eq!(store.refills_of(ann, &asked).await.unwrap(), [hers]);
    assert_eq!(store.refills_of(ben, &asked).await.unwrap(), [his]);
}

pub(crate) async fn refills_are_claimed_and_hastened(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let mut refills = Vec::new();
    for (provider, upstream) in [("alpha", "1"), ("alpha", "2"), ("beta", "3")] {
        let order = forwarded(store, ann, provider, upstream).await;
        let refill = opened(store, &order, NOW).await;
        refills.push(refill_step(store, &refill, taken(upstream), NOW).await);
    }
    let alpha = ProviderId::new("alpha");
    let due = async |at| store.has_due_refills(&alpha, after(at)).await.unwrap();
    assert!(!due(59).await && due(60).await);
    assert!(store.claim_refills(&alpha, after(59), after(99), 9).await.unwrap().is_empty());
    assert_eq!(ids(&store.claim_refills(&alpha, after(60), after(200), 1).await.unwrap()), [1]);
    let rest = store.claim_refills(&alpha, after(60), after(200), 9).await.unwrap();
    assert_eq!(rest, [Refill { due_at: Some(after(200)), polled_at: Some(after(60)), ..refills[1].clone() }]);
    assert!(!due(199).await && due(200).await);
    // A claim spoils no step.
    refill_step(store, &refills[1], RefillEvent::Reported(RefillReport::read("Completed")), after(61)).await;
    let asked: Vec<RefillId> = refills.iter().map(|refill| refill.id).collect();
    store.hasten_refills(&asked, after(60), after(70)).await.unwrap();
    assert!(store.claim_refills(&alpha, after(70), after(99), 9).await.unwrap().is_empty(), "asked for just now");
    store.hasten_refills(&asked, after(61), after(70)).await.unwrap();
    assert_eq!(ids(&store.claim_refills(&alpha, after(70), after(99), 9).await.unwrap()), [1]);
}

pub(crate) async fn wishes_that_wait_for_an_upstream_are_found(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let mut orders = Vec::new();
    for id in ["1", "2", "3"] {
        let order = forwarded(store, ann, "alpha", id).await;
        orders.push(step(store, &order, Event::CancelRequested, NOW).await);
    }
    let sending = order(store, ann, "1").await;
    let sending = step(store, &sending, sent("alpha"), NOW).await;
    let sending = step(store, &sending, Event::CancelRequested, NOW).await;
    forwarded(store, ann, "alpha", "9").await;
    assert_eq!(store.claim_cancels(after(60), after(60), 9, &[]).await.unwrap(), orders);
    assert_eq!(store.claim_cancels(after(60), after(60), 1, &[]).await.unwrap(), orders[..1]);
    let forwarded = step(store, &orders[0], Event::CancelForwarded, NOW).await;
    let refused = step(store, &orders[1], Event::CancelRefused("too late".into()), NOW).await;
    step(store, &orders[2], reported("Canceled", None), NOW).await;
    assert_eq!((forwarded.cancel, refused.cancel), (CancelWish::Forwarded, CancelWish::None));
    let bound = step(store, &sending, answer(1, accepted("4")), NOW).await;
    assert_eq!(store.claim_cancels(after(60), after(60), 9, &[]).await.unwrap(), [bound]);
}

pub(crate) async fn a_wish_that_is_given_back_is_anybodys_unless_somebody_has_claimed_it(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let order = forwarded(store, ann, "alpha", "1").await;
    let order = step(store, &order, Event::CancelRequested, NOW).await;
    let claim = async |at: u64| store.claim_cancels(after(at), after(at + 10), 9, &[]).await.unwrap().len();
    store.give_back_cancel(&order).await.unwrap();
    assert_eq!(claim(1).await, 1);
    store.give_back_cancel(&order).await.unwrap();
    assert_eq!((claim(2).await, claim(11).await), (0, 1));
}

pub(crate) async fn a_cancel_without_an_answer_is_put_off_for_everybody(store: &AnyStore) {
    let (pause, longest) = (Duration::from_secs(5), Duration::from_secs(30));
    let ann = client(store, "ann", "10").await.client.id;
    let order = forwarded(store, ann, "alpha", "1").await;
    assert_eq!(store.put_off_cancel(order.id, NOW, pause, longest).await.unwrap(), 0, "nobody wishes it");
    let order = step(store, &order, Event::CancelRequested, NOW).await;
    let due = async |at: u64| store.claim_cancels(after(at), after(at), 9, &[]).await.unwrap();
    for (tries, from, until) in [(1, 60, 65), (2, 70, 80), (3, 80, 100), (4, 100, 130), (5, 130, 160)] {
        assert_eq!(store.put_off_cancel(order.id, after(from), pause, longest).await.unwrap(), tries);
        assert!(due(until - 1).await.is_empty(), "try {tries}");
        assert_eq!(due(until).await.len(), 1, "try {tries}");
    }
    shift(store, 3_600_000, after(160)).await;
    assert!(due(3600).await.is_empty(), "it moves with the clock");
    let [order] = due(3760).await.try_into().unwrap();
    let order = step(store, &order, Event::CancelRefused("no".into()), after(3760)).await;
    step(store, &order, Event::CancelRequested, after(3761)).await;
    assert_eq!(store.put_off_cancel(order.id, after(3770), pause, longest).await.unwrap(), 1, "of another wish");
}

pub(crate) async fn refills_move_with_the_clock(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let mut refills = Vec::new();
    for id in ["1", "2", "3", "4"] {
        let order = forwarded(store, ann, "alpha", id).await;
        refills.push(opened(store, &order, NOW).await);
    }
    let accepted = refill_step(store, &refills[1], taken("7"), after(5)).await;
    let uncertain = refill_step(store, &refills[2], RefillEvent::SenderLost, after(5)).await;
    let ended = refill_step(store, &refills[3], taken("8"), after(5)).await;
    let ended = refill_step(store, &ended, RefillEvent::Reported(RefillReport::read("Completed")), after(6)).await;
    for by in [86_400_000, -2 * 86_400_000] {
        let at = |at: Timestamp| Timestamp::from_millis(at.millis() + by);
        let read = async |refill: &Refill| store.refill(refill.id).await.unwrap().unwrap();
        let (sending, polled) = (read(&refills[0]).await, read(&accepted).await);
        shift(store, by, after(10)).await;
        let now = read(&sending).await;
        assert_eq!((now.created_at, now.version), (at(sending.created_at), sending.version + 1), "its lease goes on");
        let now = read(&polled).await;
        assert_eq!((now.created_at, now.due_at), (polled.created_at, polled.due_at.map(at)));
        assert_eq!(now.version, polled.version + 1);
        assert_eq!((read(&uncertain).await, read(&ended).await), (uncertain.clone(), ended.clone()), "nothing waits");
    }
    let answered = refills[0].step(taken("9"), after(20)).unwrap();
    assert_eq!(store.apply_refills(vec![answered]).await.unwrap(), [RefillApplied::Stale], "a step by the old times");
}
