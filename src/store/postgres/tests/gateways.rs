//! Several gateways on one database.

use std::time::Duration;

use super::*;
use crate::domain::ids::ProviderId;
use crate::domain::order::Event;
use crate::store::conformance::{NOW, after, forwarded, route};
use crate::store::records::{Attendance, LATE_AFTER, NewCatalogue, PLACE, ProviderRecord};
use crate::task::Moment;

async fn gateways<const N: usize>() -> (SecretString, [AnyStore; N]) {
    let url = SecretString::from(Cluster::shared().new_database().await);
    let mut stores: Vec<AnyStore> = Vec::new();
    for _ in 0..N {
        stores.push(Arc::new(PostgresStore::open(&url, GATEWAY).await.unwrap()));
    }
    (url, stores.try_into().unwrap_or_else(|_| panic!("as many as asked for")))
}

async fn attend(store: &AnyStore) -> Attendance {
    store.attend("same", 7).await.unwrap()
}

/// Ends a gateway's place, as time does.
async fn end_places(url: &SecretString) {
    let name = url.expose_secret().rsplit('/').next().unwrap().to_owned();
    let raw = Cluster::shared().connect(&name).await;
    raw.batch_execute("UPDATE gateways SET seen_until = clock_ms() - 1").await.unwrap();
}

#[tokio::test]
async fn what_has_to_get_around_soon_does_not_wait_for_what_takes_long() {
    let (url, [store]) = gateways().await;
    let raw = Cluster::shared().connect(url.expose_secret().rsplit('/').next().unwrap()).await;
    raw.batch_execute("BEGIN; LOCK TABLE orders").await.unwrap();
    let mut reads = tokio::task::JoinSet::new();
    for number in 1..=60 {
        let store = Arc::clone(&store);
        reads.spawn(async move { store.order(crate::domain::ids::OrderId::new(number).unwrap()).await });
    }
    let count = "SELECT count(*) FROM pg_locks WHERE relation = 'orders'::regclass AND NOT granted";
    while raw.query_one(count, &[]).await.unwrap().get::<_, i64>(0) < 14 {
        tokio::task::yield_now().await;
    }
    let soon = async {
        let epoch = store.raise_cache_epoch().await?;
        store.access_version().await?;
        store.access_list().await?;
        store.pauses().await?;
        store.freezes().await?;
        store.catalogue_marks().await?;
        Ok::<_, StoreError>(epoch)
    };
    let epoch = tokio::time::timeout(Duration::from_secs(4), soon).await.expect("it waits").unwrap();
    raw.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(attend(&store).await.epoch, epoch);
}

#[tokio::test]
async fn gateways_see_each_other_come_and_go() {
    let (url, [first, second]) = gateways().await;
    assert!(!PostgresStore::gateway_running(&url).await.unwrap());
    let alone = attend(&first).await;
    assert_eq!((alone.gateways, alone.rank, alone.words.len(), alone.may_call(Moment::now())), (1, 0, 0, true));
    assert!(PostgresStore::gateway_running(&url).await.unwrap());
    let joined = attend(&second).await;
    assert_eq!((joined.gateways, joined.rank, &joined.words[..]), (2, 1, &[7][..]));
    assert!(joined.until > alone.until);
    let told = attend(&first).await;
    assert_eq!((told.gateways, told.otherwise, told.epoch), (2, 0, alone.epoch));
    assert_eq!(second.attend("other", 9).await.unwrap().otherwise, 1);
    let told = attend(&first).await;
    assert_eq!((told.otherwise, told.rank, &told.words[..]), (1, 0, &[9][..]));
    second.leave().await.unwrap();
    let left = attend(&first).await;
    assert_eq!((left.gateways, left.epoch), (1, alone.epoch), "it said good-bye");
    attend(&second).await;
    end_places(&url).await;
    let lonely = attend(&first).await;
    assert_eq!(lonely.gateways, 1);
    assert!(lonely.may_call(Moment::now()));
    assert!(lonely.epoch > alone.epoch, "somebody may not have told the cache");
    assert_eq!(first.raise_cache_epoch().await.unwrap(), lonely.epoch + 1);
    assert_eq!(attend(&first).await.epoch, lonely.epoch + 1);
    let (clock, _) = lonely.clock.unwrap();
    assert!(clock > NOW);
}

#[tokio::test]
async fn one_that_has_not_attended_for_a_while_is_late_as_long_as_it_has_its_place() {
    let (url, [first, second]) = gateways().await;
    attend(&second).await;
    assert!(!attend(&first).await.is_any_late);
    let name = url.expose_secret().rsplit('/').next().unwrap().to_owned();
    let raw = Cluster::shared().connect(&name).await;
    let silent = PLACE - LATE_AFTER - Duration::from_millis(100);
    let silent = format!("UPDATE gateways SET seen_until = clock_ms() + {}", silent.as_millis());
    raw.batch_execute(&silent).await.unwrap();
    let told = attend(&first).await;
    // Where this machine was so busy that its place has ended meanwhile, it is gone and not late.
    assert!(told.is_any_late || told.gateways == 1);
    attend(&second).await;
    assert!(!attend(&first).await.is_any_late);
}

#[tokio::test]
async fn what_a_gateway_had_in_hand_is_due_when_its_place_is_over() {
    let (url, [first, second]) = gateways().await;
    attend(&first).await;
    let clock = attend(&second).await.clock.unwrap().0;
    let until = clock.plus(Duration::from_secs(60));
    let anna = client(&first, "anna", "10").await.client.id;
    let mut new = placement(new_order(anna, "1"));
    (new.now, new.claimed_until) = (clock, until);
    let Placed::New(placed) = first.place(new.clone()).await.unwrap() else { panic!("it was refused") };
    new.order.token.0[0] ^= 1;
    let Placed::New(other) = second.place(new).await.unwrap() else { panic!("it was refused") };
    let soon = clock.plus(Duration::from_secs(30));
    assert!(second.claim_queued(soon, until, 9, &[]).await.unwrap().is_empty());
    first.leave().await.unwrap();
    let freed = second.claim_queued(soon, until, 9, &[]).await.unwrap();
    assert_eq!(freed.iter().map(|order| order.id).collect::<Vec<_>>(), [placed.id]);
    end_places(&url).await;
    attend(&first).await;
    let freed = first.claim_queued(soon, until, 9, &[]).await.unwrap();
    assert_eq!(freed.iter().map(|order| order.id).collect::<Vec<_>>(), [placed.id, other.id]);
}

#[tokio::test]
async fn what_a_gateway_that_is_gone_was_asking_about_comes_up_when_its_claim_ends_or_its_client_asks() {
    let (_url, [first, second]) = gateways().await;
    attend(&first).await;
    attend(&second).await;
    let anna = client(&first, "anna", "10").await.client.id;
    let orders = [forwarded(&first, anna, "alpha", "1").await.id, forwarded(&first, anna, "alpha", "2").await.id];
    let alpha = ProviderId::new("alpha");
    let claim = async |store: &AnyStore, now| {
        let claim = PollClaim { now, until: now.plus(Duration::from_secs(120)), limit: 9, along_before: NOW };
        let claimed = store.claim_polls(&alpha, claim).await.unwrap();
        claimed.into_iter().map(|order| order.id).collect::<Vec<_>>()
    };
    assert_eq!(claim(&first, after(300)).await, orders);
    first.leave().await.unwrap();
    assert_eq!(claim(&second, after(419)).await, []);
    second.hasten_polls(&orders[..1], after(301), after(419)).await.unwrap();
    assert_eq!(claim(&second, after(419)).await, orders[..1]);
    assert_eq!(claim(&second, after(420)).await, orders[1..]);
}

/// Whoever can't tell whether its step was written must not take another's for it: that one is sending.
#[tokio::test]
async fn the_same_step_of_another_gateway_is_not_taken_for_ones_own() {
    let url = SecretString::from(Cluster::shared().new_database().await);
    let first = Arc::new(PostgresStore::open(&url, GATEWAY).await.unwrap());
    let second = Arc::new(PostgresStore::open(&url, GATEWAY).await.unwrap());
    let [one, other]: [AnyStore; 2] = [Arc::clone(&first) as AnyStore, Arc::clone(&second) as AnyStore];
    let clock = attend(&one).await.clock.unwrap().0;
    attend(&other).await;
    let mut new = placement(new_order(client(&one, "anna", "10").await.client.id, "1"));
    (new.now, new.claimed_until) = (clock, clock.plus(Duration::from_secs(60)));
    let Placed::New(placed) = one.place(new).await.unwrap() else { panic!("it was refused") };
    let started = placed.step(Event::SendStarted(route("alpha")), clock).unwrap();
    end_places(&url).await;
    attend(&other).await;
    let taken = other.claim_queued(clock.plus(Duration::from_secs(5)), clock.plus(Duration::from_secs(60)), 9, &[]);
    assert_eq!(taken.await.unwrap().len(), 1, "the first one's place is over");
    assert_eq!(other.apply(started.clone()).await.unwrap(), Applied::Done);
    assert_eq!(first.look_for(std::slice::from_ref(&started)).await.unwrap(), None);
    assert_eq!(second.look_for(&[started]).await.unwrap(), Some(vec![Applied::Done]));
}

#[tokio::test]
async fn a_turn_is_one_gateways_until_it_ends_or_the_gateway_does() {
    let (url, [first, second]) = gateways().await;
    attend(&first).await;
    attend(&second).await;
    let minute = Duration::from_secs(60);
    assert!(first.take_turn("sync alpha", minute).await.unwrap());
    assert!(!second.take_turn("sync alpha", minute).await.unwrap());
    assert!(first.take_turn("sync alpha", minute).await.unwrap(), "it goes on with it");
    assert!(second.take_turn("sync beta", minute).await.unwrap());
    assert!(first.take_turn("prune", Duration::ZERO).await.unwrap());
    assert!(second.take_turn("prune", minute).await.unwrap(), "it is over");
    first.leave().await.unwrap();
    assert!(second.take_turn("sync alpha", minute).await.unwrap());
    end_places(&url).await;
    attend(&first).await;
    assert!(first.take_turn("sync beta", minute).await.unwrap());
}

#[tokio::test]
async fn a_request_is_carried_out_by_one_gateway_that_is_there() {
    let (_url, [first, second]) = gateways().await;
    attend(&first).await;
    attend(&second).await;
    let number = first.post_request("{}".into(), NOW).await.unwrap();
    assert_eq!(first.claim_requests().await.unwrap()[0].number, number);
    assert!(second.claim_requests().await.unwrap().is_empty());
    assert_eq!(first.claim_requests().await.unwrap()[0].number, number, "its own, until it is answered");
    first.leave().await.unwrap();
    assert_eq!(second.claim_requests().await.unwrap()[0].number, number);
    second.answer_request(number, "{}".into(), NOW).await.unwrap();
    assert!(second.claim_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_wish_is_told_by_one_gateway_at_a_time() {
    let (_url, [first, second]) = gateways().await;
    let anna = client(&first, "anna", "10").await.client.id;
    let order = forwarded(&first, anna, "alpha", "1").await;
    let order = step(&first, &order, Event::CancelRequested, NOW).await;
    assert_eq!(
        second.claim_cancels(after(5), after(15), 9, &[]).await.unwrap(),
        [],
        "whoever took the wish tells it first"
    );
    assert_eq!(second.claim_cancels(after(60), after(70), 9, &[]).await.unwrap(), std::slice::from_ref(&order));
    assert_eq!(first.claim_cancels(after(65), after(75), 9, &[]).await.unwrap(), []);
    assert_eq!(first.claim_cancels(after(70), after(80), 9, &[]).await.unwrap(), [order]);
}

#[tokio::test]
async fn what_one_gateway_learns_of_a_provider_the_others_are_told() {
    let (_url, [first, second]) = gateways().await;
    let alpha = route("alpha").provider;
    let seen = async || {
        let marks = second.catalogue_marks().await.unwrap();
        let version = marks.iter().find(|mark| mark.provider == alpha).map(|mark| (mark.fetched_at, mark.version));
        (attend(&second).await.versions.catalogues, version)
    };
    let nothing = seen().await;
    assert_eq!(nothing.1, None);
    let learnt = vec![];
    let list = |at| NewCatalogue { fetched_at: at, services: vec![], learnt: learnt.clone(), mended: vec![] };
    first.put_catalogue(&alpha, list(NOW), NOW).await.unwrap();
    let fetched = seen().await;
    assert!(fetched.0 > nothing.0);
    first.put_catalogue(&alpha, list(after(1)), after(1)).await.unwrap();
    let again = seen().await;
    let (before, now) = (fetched.1.unwrap(), again.1.unwrap());
    assert!(again.0 > fetched.0);
    assert_eq!((now.0, now.1), (after(1), before.1), "it says the same");
    first.confirm_services(&alpha, vec![]).await.unwrap();
    assert!(seen().await.1.unwrap().1 > now.1);
    let before = seen().await.0;
    first.remove_freeze(&alpha, NOW).await.unwrap();
    assert!(seen().await.0 > before);
    let number = first.raise_configuration().await.unwrap();
    assert_eq!(attend(&second).await.versions.configuration, number);
}

#[tokio::test]
async fn a_provider_is_shown_as_the_worst_that_any_gateway_sees_of_it() {
    let (_url, [first, second]) = gateways().await;
    let seen = |state: &str, in_flight, balance: Option<i64>| ProviderRecord {
        provider: ProviderId::new("alpha"),
        state: state.to_owned(),
        balance: balance.map(Into::into),
        currency: "USD".to_owned(),
        last_sync_at: Some(NOW),
        services: 7,
        in_flight,
        failures: 1,
    };
    let (fine, ill) = (seen("on", 2, Some(25)), seen("unreachable", 3, None));
    for store in [&first, &second] {
        attend(store).await;
    }
    for (one, other) in [(&fine, &ill), (&ill, &fine)] {
        first.put_provider(one.clone()).await.unwrap();
        second.put_provider(other.clone()).await.unwrap();
        let both = ProviderRecord { failures: 2, ..seen("unreachable", 5, Some(25)) };
        assert_eq!(first.providers().await.unwrap(), [both]);
    }
    first.leave().await.unwrap();
    assert_eq!(second.providers().await.unwrap()[0].in_flight, 5, "until another writes");
    second.put_provider(fine.clone()).await.unwrap();
    assert_eq!(second.providers().await.unwrap(), [fine]);
}
