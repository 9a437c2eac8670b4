//! What was lost, and what it is found by.

use super::*;
use crate::domain::ids::OrderId;
use crate::domain::order::{Found, Resolution};
use crate::domain::outcome::{RejectKind, Rejection};
use crate::domain::params::DripFeed;
use crate::domain::search::Neighbour;
use crate::store::records::{LostAttempt, Search};

fn alpha() -> ProviderId {
    ProviderId::new("alpha")
}

fn lost() -> Outcome {
    Outcome::Ambiguous("timeout".into())
}

/// An order that is sent and given up at these seconds.
async fn lose(store: &AnyStore, client: ClientId, provider: &str, from: u64, to: u64) -> Order {
    let order = order(store, client, "0.10").await;
    let order = step(store, &order, sent(provider), after(from)).await;
    step(store, &order, answer(1, lost()), after(to)).await
}

async fn due(store: &AnyStore, now: Timestamp, tries: u32) -> Vec<LostAttempt> {
    store.due_searches(&alpha(), now, tries, 10).await.unwrap()
}

fn ids(lost: &[LostAttempt]) -> Vec<OrderId> {
    lost.iter().map(|lost| lost.order.id).collect()
}

pub(crate) async fn what_is_lost_is_due_until_it_is_settled(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let first = lose(store, ann, "alpha", 10, 20).await;
    let second = lose(store, ann, "alpha", 30, 40).await;
    lose(store, ann, "beta", 30, 40).await;
    forwarded(store, ann, "alpha", "7").await;
    let found = due(store, after(50), 3).await;
    assert_eq!(ids(&found), [first.id, second.id]);
    let one = &found[0];
    assert_eq!((one.started_at, one.ended_at, one.attempt), (after(10), Some(after(20)), AttemptNumber(1)));
    assert_eq!((&one.order, one.service.as_str(), &one.search), (&first, "101", &Search::default()));

    let search = Search {
        cost: Some("0.0902".parse().unwrap()),
        tries: 2,
        scans: 1,
        calls: 4,
        asked_at: Some(after(45)),
        next_at: Some(after(60)),
    };
    store.put_search(first.id, AttemptNumber(1), search.clone()).await.unwrap();
    assert_eq!(ids(&due(store, after(59), 3).await), [second.id], "its time has not come");
    let found = due(store, after(60), 3).await;
    assert_eq!(ids(&found), [second.id, first.id], "what was never searched for comes first");
    assert_eq!(found[1].search, search);
    assert_eq!(ids(&due(store, after(60), 2).await), [second.id], "it was tried often enough");
    assert_eq!(store.due_searches(&alpha(), after(60), 3, 1).await.unwrap().len(), 1);

    let id = UpstreamOrderId::new("9");
    step(store, &second, Event::Found { id, by: Found::Listing }, after(70)).await;
    step(store, &first, Event::Resolved(Resolution::NotPlaced), after(70)).await;
    assert_eq!(ids(&due(store, after(99), 3).await), []);
}

pub(crate) async fn what_was_in_doubt_stays_so_unless_its_outcome_is_known(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let in_doubt = async |since: u64| {
        let found = store.attempts_in_doubt(&alpha(), after(since)).await.unwrap();
        found.iter().map(|lost| (lost.order.id, lost.attempt.0, lost.ended_at)).collect::<Vec<_>>()
    };
    let sending = order(store, ann, "0.10").await;
    let sending = step(store, &sending, sent("alpha"), after(100)).await;
    let refunded = lose(store, ann, "alpha", 10, 20).await;
    step(store, &refunded, Event::Resolved(Resolution::Refund), after(90)).await;
    let found = lose(store, ann, "alpha", 10, 21).await;
    step(store, &found, Event::Found { id: UpstreamOrderId::new("9"), by: Found::Listing }, after(90)).await;
    let again = lose(store, ann, "alpha", 10, 22).await;
    let again = step(store, &again, Event::Resolved(Resolution::NotPlaced), after(30)).await;
    let again = step(store, &again, sent("alpha"), after(31)).await;
    let again = step(store, &again, answer(2, accepted("8")), after(32)).await;
    let late = lose(store, ann, "alpha", 10, 23).await;
    let no = Rejection { kind: RejectKind::Input, text: "Bad link".into(), quotable: true };
    step(store, &late, answer(1, Outcome::Rejected(no)), after(90)).await;
    lose(store, ann, "beta", 10, 24).await;

    let expected = [
        (refunded.id, 1, Some(after(20))),
        (again.id, 1, Some(after(22))),
        (late.id, 1, Some(after(23))),
        (sending.id, 1, None),
    ];
    assert_eq!(in_doubt(0).await, expected, "a refund, a new try and a refusal say nothing of what is there");
    assert_eq!(in_doubt(21).await, expected[1..]);
    assert_eq!(in_doubt(99).await, expected[3..], "what is under way has no end yet");
}

/// Attempts 1 and 2 at alpha and 3 at beta placed nothing, as was said; then alpha says that the link is taken.
pub(crate) async fn a_duplicate_link_puts_every_earlier_attempt_there_in_doubt(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let rejected =
        |kind| Outcome::Rejected(Rejection { kind, text: "active order on this link".into(), quotable: false });
    let mut order = order(store, ann, "0.10").await;
    for (number, provider, outcome) in [
        (1_u32, "alpha", rejected(RejectKind::Maintenance)),
        (2, "alpha", Outcome::NotSent("no connection".into())),
        (3, "beta", rejected(RejectKind::Maintenance)),
        (4, "alpha", rejected(RejectKind::DuplicateLink)),
    ] {
        let at = u64::from(number) * 10;
        order = step(store, &order, sent(provider), after(at)).await;
        order = step(store, &order, answer(number, outcome), after(at + 5)).await;
    }
    assert_eq!(order.state.name(), "uncertain");
    let found = store.attempts_in_doubt(&alpha(), after(0)).await.unwrap();
    let found: Vec<_> = found.iter().map(|lost| (lost.attempt.0, lost.started_at, lost.ended_at)).collect();
    assert_eq!(found, [(1, after(10), Some(after(15))), (2, after(20), Some(after(25)))]);
    assert!(store.attempts_in_doubt(&ProviderId::new("beta"), after(0)).await.unwrap().is_empty());
    assert_eq!(ids(&due(store, after(99), 3).await), [], "which attempt is to be looked for, nobody knows");

    let id = UpstreamOrderId::new("77");
    step(store, &order, Event::Resolved(Resolution::Placed(id.clone())), after(100)).await;
    let story = store.order_story(order.id).await.unwrap().unwrap();
    let outcomes: Vec<_> = story.attempts.iter().filter_map(|attempt| attempt.outcome.as_deref()).collect();
    assert_eq!(outcomes, ["rejected", "not_sent", "rejected", "rejected"], "as they were answered");
    let around = store.neighbours(&alpha(), after(60), after(1)).await.unwrap();
    assert!(around.before.is_empty() && around.after.is_empty(), "when it was placed, nobody knows");
    assert_eq!(store.held_upstream_orders(&alpha(), vec![id.clone()]).await.unwrap(), [id]);
}

pub(crate) async fn drip_feeds_count_as_long_as_they_may_run(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let drip = async |provider: &str, from: u64, outcome: Outcome| {
        let mut new = new_order(ann, "0.10");
        new.params.drip_feed = Some(DripFeed { runs: 10, interval: 60 });
        let order = placed(store, placement(new)).await;
        let order = step(store, &order, sent(provider), after(from)).await;
        step(store, &order, answer(1, outcome), after(from + 5)).await
    };
    let running = drip("alpha", 10, accepted("1")).await;
    let ended = drip("alpha", 20, accepted("2")).await;
    let ended = step(store, &ended, reported("Completed", Some(0)), after(100)).await;
    assert_eq!(ended.state.name(), "closed");
    let gone = drip("alpha", 30, lost()).await;
    drip("beta", 40, accepted("1")).await;
    forwarded(store, ann, "alpha", "3").await;
    let in_doubt = async |since: u64| {
        let found = store.attempts_in_doubt(&alpha(), after(since)).await.unwrap();
        found.iter().map(|lost| (lost.order.id, lost.ended_at)).collect::<Vec<_>>()
    };
    let week = 7 * 86_400;
    let until = 35 + 2 * 10 * 3600 + week;
    let (running, ended) = ((running.id, None), (ended.id, Some(after(100))));
    assert_eq!(in_doubt(35).await, [(gone.id, Some(after(35))), running, ended]);
    assert_eq!(in_doubt(100).await, [running, ended, (gone.id, Some(after(until)))]);
    assert_eq!(in_doubt(101).await, [running, (gone.id, Some(after(until)))], "its last run was before");
    assert_eq!(in_doubt(until + 1).await, [running]);
    assert_eq!(ids(&due(store, after(101), 3).await), [], "its runs would be taken for it");
}

pub(crate) async fn neighbours_are_those_with_ids_on_either_side(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let place = async |created: u64, provider: &str, id: &str, from: u64, to: u64| {
        let mut placement = placement(new_order(ann, "0.10"));
        placement.now = after(created);
        let order = placed(store, placement).await;
        let order = step(store, &order, sent(provider), after(from)).await;
        step(store, &order, answer(1, accepted(id)), after(to)).await;
    };
    place(1, "alpha", "10", 2, 3).await;
    place(5, "beta", "500", 6, 7).await;
    place(8, "alpha", "11", 9, 12).await;
    place(20, "alpha", "14", 21, 22).await;
    place(23, "alpha", "15", 24, 25).await;
    let neighbour = |id: &str, from: u64, to: u64| Neighbour {
        id: UpstreamOrderId::new(id),
        started_at: after(from),
        finished_at: after(to),
    };
    let found = store.neighbours(&alpha(), after(12), after(20)).await.unwrap();
    assert_eq!(found.before, [neighbour("11", 9, 12), neighbour("10", 2, 3)], "nearest first");
    assert_eq!(found.after, [neighbour("14", 21, 22), neighbour("15", 24, 25)]);
    let found = store.neighbours(&alpha(), after(11), after(21)).await.unwrap();
    assert_eq!(found.before, [neighbour("10", 2, 3)], "answered later than that");
    assert_eq!(found.after, [neighbour("15", 24, 25)], "accepted before that");
}

pub(crate) async fn what_was_sent_before_a_provider_moved_is_no_neighbour(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let sent_at = async |provider: &str, id: &str, from: u64| {
        let order = order(store, ann, "0.10").await;
        let order = step(store, &order, sent(provider), after(from)).await;
        step(store, &order, answer(1, accepted(id)), after(from + 1)).await;
    };
    for provider in ["alpha", "beta"] {
        sent_at(provider, "9000", 10).await;
        sent_at(provider, "12", 40).await;
    }
    lose(store, ann, "alpha", 20, 21).await;
    store.forget_provider(&alpha(), after(30)).await.unwrap();
    let resent = lose(store, ann, "alpha", 50, 60).await;
    let before = async |provider: &str| {
        let found = store.neighbours(&ProviderId::new(provider), after(50), after(60)).await.unwrap();
        let mut ids: Vec<_> = found.before.into_iter().map(|one| one.id.to_string()).collect();
        ids.sort();
        ids
    };
    assert_eq!(before("alpha").await, ["12"], "the panel before gave the other");
    assert_eq!(before("beta").await, ["12", "9000"]);
    assert_eq!(ids(&due(store, after(99), 3).await), [resent.id]);
}

pub(crate) async fn an_id_is_held_by_whoever_has_it_or_was_told_it(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    forwarded(store, ann, "alpha", "7").await;
    forwarded(store, ann, "beta", "8").await;
    let refunded = lose(store, ann, "alpha", 10, 20).await;
    let refunded = step(store, &refunded, Event::Resolved(Resolution::Refund), after(30)).await;
    step(store, &refunded, answer(1, accepted("9")), after(40)).await;
    let asked = ["6", "7", "8", "9"].map(UpstreamOrderId::new);
    let mut held = store.held_upstream_orders(&alpha(), asked.to_vec()).await.unwrap();
    held.sort();
    assert_eq!(held, ["7", "9"].map(UpstreamOrderId::new));
    assert!(store.held_upstream_orders(&alpha(), vec![]).await.unwrap().is_empty());
}

pub(crate) async fn calls_are_counted_by_provider(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    for (provider, calls, asked) in [("alpha", 3, 100), ("alpha", 4, 200), ("beta", 50, 200)] {
        let order = lose(store, ann, provider, 10, 20).await;
        let search = Search { calls, asked_at: Some(after(asked)), ..Search::default() };
        store.put_search(order.id, AttemptNumber(1), search).await.unwrap();
    }
    let counted = async |since: u64| store.search_calls(&alpha(), after(since)).await.unwrap();
    assert_eq!((counted(100).await, counted(101).await, counted(201).await), (7, 4, 0));
}

pub(crate) async fn searches_move_with_the_clock(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let order = lose(store, ann, "alpha", 10, 20).await;
    let search = Search { calls: 3, asked_at: Some(after(45)), next_at: Some(after(60)), ..Search::default() };
    store.put_search(order.id, AttemptNumber(1), search).await.unwrap();
    shift(store, 3_600_000, after(50)).await;
    assert_eq!(ids(&due(store, after(3659), 3).await), [], "in ten seconds, as it was");
    assert_eq!(ids(&due(store, after(3660), 3).await), [order.id]);
    let counted = async |since: u64| store.search_calls(&alpha(), after(since)).await.unwrap();
    assert_eq!((counted(3645).await, counted(3646).await), (3, 0), "the calls are as old as they were");
}

pub(crate) async fn nothing_is_searched_for_across_a_clock_that_was_set_back(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let bind = async |id: &str, from: u64| {
        let order = order(store, ann, "0.10").await;
        let order = step(store, &order, sent("alpha"), after(from)).await;
        step(store, &order, answer(1, accepted(id)), after(from + 1)).await;
    };
    bind("10", 4000).await;
    lose(store, ann, "alpha", 4010, 4020).await;
    // It showed 4100, and shows 500.
    shift(store, -3_600_000, after(500)).await;
    lose(store, ann, "alpha", 510, 520).await;
    lose(store, ann, "alpha", 4090, 4099).await;
    bind("11", 4050).await;
    let far = after(99_999);
    assert_eq!(ids(&due(store, far, 3).await), [], "its time may have come twice");
    let later = lose(store, ann, "alpha", 4110, 4120).await;
    bind("12", 4105).await;
    assert_eq!(ids(&due(store, far, 3).await), [later.id]);
    let around = store.neighbours(&alpha(), after(4110), after(4120)).await.unwrap();
    let before: Vec<_> = around.before.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(before, ["12"], "what is from before it is not known to have been placed before it");
    // A smaller step back, or one forward, makes none of that believed again.
    shift(store, -60_000, after(1000)).await;
    shift(store, 3_600_000, after(4600)).await;
    assert_eq!(ids(&due(store, far, 3).await), [later.id]);
}
