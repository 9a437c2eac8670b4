//! Charging and storing orders.

use tokio::task::JoinSet;

use super::*;
use crate::domain::client::EntryKind;
use crate::domain::ids::ClientId;
use crate::store::StoreResult;
use crate::store::records::{ClientChange, Earlier};

pub(crate) async fn a_placed_order_is_charged_and_read_back(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let order = order(store, ann, "1.20").await;
    assert_eq!(store.order(order.id).await.unwrap(), Some(order.clone()));
    assert_eq!((order.version, order.due_at, order.created_at), (1, Some(after(10)), NOW));
    assert_eq!(store.balance(ann).await.unwrap(), money("8.8"));
    let ledger = store.ledger("ann", 100).await.unwrap();
    let charge = ledger.last().unwrap();
    assert_eq!(ledger.len(), 2);
    assert_eq!((charge.kind, charge.amount, charge.balance), (EntryKind::Charge, money("-1.2"), money("8.8")));
    assert_eq!((charge.order, charge.at), (Some(order.id), NOW));
    let next = super::order(store, ann, "1").await;
    assert_eq!(next.id.get(), order.id.get() + 1);
}

pub(crate) async fn what_is_refused_leaves_no_trace(store: &AnyStore) {
    let ann = client(store, "ann", "1").await.client.id;
    let dear = with_request(new_order(ann, "1.00000001"), "r", 1, NOW);
    assert!(matches!(store.place(dear).await.unwrap(), Placed::NotEnoughFunds));
    let nobody = placement(new_order(ClientId(77), "0"));
    assert!(matches!(store.place(nobody).await.unwrap(), Placed::ClientDisabled));
    let off = ClientChange { disabled: Some(true), ..ClientChange::default() };
    store.change_client("ann", off).await.unwrap();
    assert!(matches!(store.place(placement(new_order(ann, "0"))).await.unwrap(), Placed::ClientDisabled));
    let on = ClientChange { disabled: Some(false), ..ClientChange::default() };
    store.change_client("ann", on).await.unwrap();

    assert_eq!(store.balance(ann).await.unwrap(), money("1"));
    assert_eq!(store.ledger("ann", 10).await.unwrap().len(), 1);
    assert!(store.count_orders().await.unwrap().is_empty());
    // The refused request is as good as never made, and no ID was used up.
    let order = placed(store, with_request(new_order(ann, "1"), "r", 2, NOW)).await;
    assert_eq!(order.id.get(), 1);
}

pub(crate) async fn credit_may_be_spent_to_its_end(store: &AnyStore) {
    let ann = client(store, "ann", "1").await.client.id;
    let credit = |amount| ClientChange { credit: Some(money(amount)), ..ClientChange::default() };
    store.change_client("ann", credit("2")).await.unwrap();
    order(store, ann, "3").await;
    assert_eq!(store.balance(ann).await.unwrap(), money("-2"));
    let more = placement(new_order(ann, "0.00000001"));
    assert!(matches!(store.place(more).await.unwrap(), Placed::NotEnoughFunds));
    // Lowering the credit below the debt is allowed; what was charged under the old one stays right.
    store.change_client("ann", credit("0")).await.unwrap();
    assert!(matches!(store.place(placement(new_order(ann, "0"))).await.unwrap(), Placed::NotEnoughFunds));
}

pub(crate) async fn the_daily_limit_counts_charges_less_refunds_of_the_day(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let limit = ClientChange { daily_limit: Some(Some(money("10"))), ..ClientChange::default() };
    store.change_client("ann", limit).await.unwrap();
    let at = |charge, now| Placement { now, ..placement(new_order(ann, charge)) };
    let first = placed(store, at("6", NOW)).await;
    placed(store, at("4", NOW)).await;
    assert!(matches!(store.place(at("0.01", NOW)).await.unwrap(), Placed::DailyLimit));

    // 22:13:20 later a new day begins.
    let last_moment = after(79_999);
    let next_day = after(80_000);
    assert_eq!(next_day.start_of_day(), next_day);
    assert!(matches!(store.place(at("1", last_moment)).await.unwrap(), Placed::DailyLimit));
    placed(store, at("10", next_day)).await;
    assert!(matches!(store.place(at("1", next_day)).await.unwrap(), Placed::DailyLimit));
    // A refund counts in the day it is made, whenever its order was.
    step(store, &first, Event::CancelRequested, next_day).await;
    placed(store, at("6", next_day)).await;
    assert!(matches!(store.place(at("0.01", next_day)).await.unwrap(), Placed::DailyLimit));
    assert_eq!(store.verify().await.unwrap().failures, [""; 0]);
}

pub(crate) async fn the_daily_limit_holds_when_the_clock_is_set_back_over_midnight(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let at = |charge, now| Placement { now, ..placement(new_order(ann, charge)) };
    let next_day = after(80_000);
    let first = placed(store, at("6", NOW)).await;
    placed(store, at("5", next_day)).await;
    // What was spent before there was a limit counts.
    let limit = ClientChange { daily_limit: Some(Some(money("10"))), ..ClientChange::default() };
    store.change_client("ann", limit).await.unwrap();
    for _ in 0..2 {
        for (now, too_much) in [(NOW, "4.01"), (next_day, "5.01")] {
            assert!(matches!(store.place(at(too_much, now)).await.unwrap(), Placed::DailyLimit), "{now:?}");
            placed(store, at("0", now)).await;
            assert_eq!(store.verify().await.unwrap().failures, [""; 0]);
        }
    }
    placed(store, at("4", NOW)).await;
    step(store, &first, Event::CancelRequested, next_day).await;
    assert!(matches!(store.place(at("0.01", NOW)).await.unwrap(), Placed::DailyLimit), "it was given back later");
    placed(store, at("11", next_day)).await;
    assert!(matches!(store.place(at("0.01", next_day)).await.unwrap(), Placed::DailyLimit));
    placed(store, at("10", after(2 * 86_400))).await;
    assert_eq!(store.verify().await.unwrap().failures, [""; 0]);
}

pub(crate) async fn a_repeated_request_is_known(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let ben = client(store, "ben", "10").await.client.id;
    let first = placed(store, with_request(new_order(ann, "1"), "r", 1, NOW)).await;
    let repeat = store.place(with_request(new_order(ann, "1"), "r", 1, after(86_400))).await.unwrap();
    assert!(matches!(repeat, Placed::Repeat(id) if id == first.id), "{repeat:?}");
    assert_eq!(store.balance(ann).await.unwrap(), money("9"));
    let same = with_request(new_order(ann, "1"), "r", 1, after(86_400)).request.unwrap();
    let other = with_request(new_order(ann, "1"), "r", 2, after(86_400)).request.unwrap();
    let late = with_request(new_order(ann, "1"), "r", 1, after(86_401)).request.unwrap();
    assert_eq!(store.earlier_request(ann, same.clone()).await.unwrap(), Some(Earlier::Repeat(first.id)));
    assert_eq!(store.earlier_request(ann, other).await.unwrap(), Some(Earlier::Conflict));
    assert_eq!(store.earlier_request(ann, late).await.unwrap(), None);
    assert_eq!(store.earlier_request(ben, same).await.unwrap(), None);
    // The word is each client's own.
    placed(store, with_request(new_order(ben, "1"), "r", 1, NOW)).await;
    placed(store, with_request(new_order(ann, "1"), "R", 1, NOW)).await;
}

pub(crate) async fn another_request_under_a_known_id_is_a_conflict(store: &AnyStore) {
    let ann = client(store, "ann", "1").await.client.id;
    placed(store, with_request(new_order(ann, "1"), "r", 1, NOW)).await;
    // Known before funds are looked at: there are none left.
    let other = store.place(with_request(new_order(ann, "1"), "r", 2, NOW)).await.unwrap();
    assert!(matches!(other, Placed::RequestConflict), "{other:?}");
}

pub(crate) async fn an_old_request_is_forgotten(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    placed(store, with_request(new_order(ann, "1"), "r", 1, NOW)).await;
    let later = after(86_401);
    let second = placed(store, with_request(new_order(ann, "1"), "r", 2, later)).await;
    let repeat = store.place(with_request(new_order(ann, "1"), "r", 2, later)).await.unwrap();
    assert!(matches!(repeat, Placed::Repeat(id) if id == second.id), "{repeat:?}");
    let first_again = store.place(with_request(new_order(ann, "1"), "r", 1, later)).await.unwrap();
    assert!(matches!(first_again, Placed::RequestConflict), "{first_again:?}");
}

pub(crate) async fn old_requests_are_pruned(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    placed(store, with_request(new_order(ann, "1"), "old", 1, NOW)).await;
    placed(store, with_request(new_order(ann, "1"), "new", 1, after(100))).await;
    let (asked, open) =
        (store.post_request("{}".into(), NOW).await.unwrap(), store.post_request("{}".into(), NOW).await);
    store.answer_request(asked, "{}".into(), NOW).await.unwrap();
    store.prune(after(100)).await.unwrap();
    let known = async |name| {
        let request = with_request(new_order(ann, "1"), name, 1, after(100)).request.unwrap();
        let since = RequestKey { since: Timestamp::default(), ..request };
        store.earlier_request(ann, since).await.unwrap().is_some()
    };
    assert_eq!((known("old").await, known("new").await), (false, true));
    assert_eq!(store.take_answer(asked).await.unwrap(), None);
    assert_eq!(store.claim_requests().await.unwrap().len(), 1, "what nobody answered stays: {open:?}");
}

pub(crate) async fn one_client_never_overdraws(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let store = Arc::clone(store);
        tasks.spawn(async move { store.place(placement(new_order(ann, "1"))).await.unwrap() });
    }
    let mut ids = Vec::new();
    while let Some(placed) = tasks.join_next().await {
        match placed.unwrap() {
            Placed::New(order) => ids.push(order.id),
            Placed::NotEnoughFunds => {}
            other => panic!("{other:?}"),
        }
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 10);
    assert_eq!(store.balance(ann).await.unwrap(), Money::ZERO);
}

pub(crate) async fn an_order_that_cannot_be_written_keeps_no_other_back(store: &AnyStore) {
    let clients = [client(store, "ann", "100").await.client.id, client(store, "bob", "100").await.client.id];
    let taken = new_order(clients[0], "1");
    placed(store, placement(taken.clone())).await;
    let mut tasks = JoinSet::new();
    for at in 0..64 {
        let store = Arc::clone(store);
        let order = if at == 40 { taken.clone() } else { new_order(clients[at % 2], "1") };
        tasks.spawn(async move { store.place(placement(order)).await });
    }
    let outcomes = tasks.join_all().await;
    let is_new = |outcome: &StoreResult<Placed>| match outcome {
        Ok(Placed::New(order)) => Some((order.id, order.client, order.token)),
        _ => None,
    };
    let new: Vec<_> = outcomes.iter().filter_map(is_new).collect();
    assert_eq!(new.len(), 63, "{outcomes:?}");
    for (id, client, token) in new {
        let found = store.order(id).await.unwrap().unwrap();
        assert_eq!((found.client, found.token), (client, token));
    }
    assert_eq!(store.balance(clients[0]).await.unwrap(), money("68"));
    assert_eq!(store.balance(clients[1]).await.unwrap(), money("68"));
}
