//! Clients, keys, and what the gateway and the command line leave for each other.

use super::*;
use crate::domain::catalogue::UpstreamService;
use crate::store::StoreError;
use crate::store::records::{ClientChange, KeyRecord, NewCatalogue, ProviderRecord, StoredRequest};

pub(crate) async fn a_client_has_its_terms(store: &AnyStore) {
    let mut new = new_client("ann", "2.5");
    new.terms.markup = Some("12.50".parse().unwrap());
    new.terms.rps = Some(7);
    new.terms.credit = money("3");
    new.terms.daily_limit = Some(money("4"));
    new.terms.allow_ips = vec!["10.0.0.0/8".into(), "::1/128".into()];
    new.terms.allow_services = vec!["1*".into()];
    let created = store.create_client(new.clone(), after(7)).await.unwrap();
    let account = store.account("ann").await.unwrap();
    assert_eq!(account.client, Client { id: created.client.id, ..new.terms });
    assert_eq!((account.balance, account.deposits, account.charges), (money("2.5"), money("2.5"), Money::ZERO));
    let key = KeyRecord { id: account.keys[0].id, label: "first".into(), read_only: false, created_at: after(7) };
    assert_eq!(account.keys, [key]);

    client(store, "aaron", "0").await;
    let names: Vec<_> = store.accounts().await.unwrap().into_iter().map(|account| account.client.name).collect();
    assert_eq!(names, ["aaron", "ann"]);
    assert!(store.ledger("aaron", 9).await.unwrap().is_empty());
    assert!(matches!(store.account("nobody").await, Err(StoreError::NotFound { what: "client", .. })));
    assert!(matches!(store.balance(ClientId(99)).await, Err(StoreError::NotFound { .. })));
}

pub(crate) async fn terms_change_one_by_one(store: &AnyStore) {
    let before = client(store, "ann", "1").await.client;
    let change = ClientChange {
        markup: Some(Some("5".parse().unwrap())),
        rps: Some(Some(3)),
        daily_limit: Some(Some(money("9"))),
        allow_services: Some(vec!["7".into()]),
        ..ClientChange::default()
    };
    let changed = store.change_client("ann", change).await.unwrap().client;
    let wanted = Client {
        markup: Some("5".parse().unwrap()),
        rps: Some(3),
        daily_limit: Some(money("9")),
        allow_services: vec!["7".into()],
        ..before.clone()
    };
    assert_eq!(changed, wanted);
    let back = ClientChange {
        markup: Some(None),
        rps: Some(None),
        daily_limit: Some(None),
        allow_services: Some(vec![]),
        ..ClientChange::default()
    };
    assert_eq!(store.change_client("ann", back).await.unwrap().client, before);
    let nobody = store.change_client("nobody", ClientChange::default()).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { what: "client", .. })));
}

pub(crate) async fn names_and_keys_are_unique(store: &AnyStore) {
    let first = new_client("ann", "1");
    store.create_client(first.clone(), NOW).await.unwrap();
    let again = store.create_client(new_client("ann", "1"), NOW).await;
    assert!(matches!(again, Err(StoreError::Exists { what: "client", .. })));
    let same_key = NewClient { key: first.key.clone(), ..new_client("ben", "1") };
    assert!(matches!(store.create_client(same_key, NOW).await, Err(StoreError::Exists { what: "key", .. })));
    assert!(matches!(store.account("ben").await, Err(StoreError::NotFound { .. })), "half a client was left");
    let added = store.add_key("ann", first.key, NOW).await;
    assert!(matches!(added, Err(StoreError::Exists { what: "key", .. })));
}

pub(crate) async fn keys_come_and_go(store: &AnyStore) {
    client(store, "ann", "1").await;
    client(store, "ben", "1").await;
    let key = NewKey { label: "second".into(), read_only: true, ..new_key() };
    let hash = key.hash;
    let added = store.add_key("ann", key, after(5)).await.unwrap();
    assert_eq!((added.label.as_str(), added.read_only, added.created_at), ("second", true, after(5)));
    let find = async || {
        let list = store.access_list().await.unwrap();
        list.keys.into_iter().find(|(key, _)| *key == hash).map(|(_, access)| access)
    };
    let access = find().await.unwrap();
    assert_eq!((access.client.name.as_str(), access.key, access.read_only), ("ann", added.id, true));

    let of_another = store.revoke_key("ben", added.id).await;
    assert!(matches!(of_another, Err(StoreError::NotFound { what: "key", .. })));
    store.revoke_key("ann", added.id).await.unwrap();
    assert!(find().await.is_none());
    assert_eq!(store.account("ann").await.unwrap().keys.len(), 1);
    assert!(matches!(store.revoke_key("ann", added.id).await, Err(StoreError::NotFound { .. })));
    assert_eq!(store.access_list().await.unwrap().keys.len(), 2);
}

pub(crate) async fn access_changes_are_counted(store: &AnyStore) {
    let mut last = store.access_version().await.unwrap();
    let mut rose = async |what: &str| {
        let version = store.access_version().await.unwrap();
        assert!(version > last, "{what}");
        last = version;
    };
    let ann = client(store, "ann", "1").await.client.id;
    rose("a new client").await;
    store.change_client("ann", ClientChange { disabled: Some(true), ..ClientChange::default() }).await.unwrap();
    rose("a changed client").await;
    let key = store.add_key("ann", new_key(), NOW).await.unwrap();
    rose("a new key").await;
    store.revoke_key("ann", key.id).await.unwrap();
    rose("a revoked key").await;
    store.move_money("ann", movement(EntryKind::Deposit, "1", None), NOW).await.unwrap();
    assert_eq!(store.access_version().await.unwrap(), last, "money lets nobody in");
    let list = store.access_list().await.unwrap();
    assert_eq!(list.version, last);
    assert!(list.keys.iter().all(|(_, access)| access.client.id == ann && access.client.disabled));
}

fn upstream_service(id: &str, rate: &str) -> UpstreamService {
    UpstreamService {
        id: UpstreamServiceId::new(id),
        name: format!("Service {id}"),
        type_text: "Default".into(),
        category: "First".into(),
        rate: rate.parse().unwrap(),
        min: 10,
        max: u64::from(u32::MAX),
        refill: true,
        cancel: false,
        dripfeed: true,
        desc: None,
    }
}

fn listing(services: Vec<UpstreamService>, fetched_at: Timestamp) -> NewCatalogue {
    NewCatalogue { fetched_at, services, ..NewCatalogue::default() }
}

pub(crate) async fn a_catalogue_is_replaced(store: &AnyStore) {
    let (alpha, beta) = (ProviderId::new("alpha"), ProviderId::new("beta"));
    let three = vec![upstream_service("9", "0.90"), upstream_service("a", "1"), upstream_service("7", "0.000012")];
    store.put_catalogue(&alpha, listing(three.clone(), NOW), NOW).await.unwrap();
    store.put_catalogue(&beta, listing(vec![], after(1)), after(1)).await.unwrap();
    let stored = store.catalogues().await.unwrap();
    assert_eq!((&stored[0].provider, stored[0].fetched_at, &stored[0].services), (&alpha, NOW, &three));
    assert_eq!((&stored[1].provider, stored[1].fetched_at, stored[1].services.len()), (&beta, after(1), 0));

    let with_text = UpstreamService { desc: Some("long".into()), ..upstream_service("9", "0.90") };
    for services in [vec![with_text, upstream_service("a", "2")], vec![three[1].clone()], three] {
        assert!(store.put_catalogue(&alpha, listing(services.clone(), after(9)), after(9)).await.unwrap());
        let stored = store.catalogues().await.unwrap().remove(0);
        assert_eq!((stored.fetched_at, stored.services), (after(9), services));
    }
}

/// A gateway that stood still must not sell by what its upstream said an hour ago.
pub(crate) async fn a_newer_catalogue_stays(store: &AnyStore) {
    let alpha = ProviderId::new("alpha");
    let put = async |rate: &str, fetched_at: Timestamp, now: Timestamp| {
        let service = upstream_service("9", rate);
        let learnt = vec![(UpstreamServiceId::new(rate), service.identity())];
        let list = NewCatalogue { learnt, ..listing(vec![service], fetched_at) };
        let is_put = store.put_catalogue(&alpha, list, now).await.unwrap();
        let stored = store.catalogues().await.unwrap().remove(0);
        assert_eq!(is_put, (stored.fetched_at, stored.services[0].rate) == (fetched_at, rate.parse().unwrap()));
        is_put
    };
    assert!(put("5", after(5), after(5)).await);
    let marks = store.catalogue_marks().await.unwrap();
    assert!(!put("1", NOW, after(6)).await);
    assert_eq!(store.known_services(&alpha).await.unwrap().len(), 1, "nothing of it is learnt");
    assert_eq!(store.catalogue_marks().await.unwrap(), marks);
    assert!(put("6", after(5), after(6)).await);
    assert!(put("2", after(2), after(3)).await, "the clock was put back");

    store.forget_provider(&alpha, after(10)).await.unwrap();
    let late = listing(vec![upstream_service("9", "1")], after(9));
    assert!(!store.put_catalogue(&alpha, late, after(11)).await.unwrap(), "that is another panel's");
    assert_eq!(store.catalogues().await.unwrap()[0].services, []);
    assert!(put("8", after(8), after(9)).await, "the clock was put back");
    assert!(put("10", after(10), after(11)).await);
}

pub(crate) async fn provider_records_are_kept(store: &AnyStore) {
    let first = ProviderRecord {
        provider: ProviderId::new("alpha"),
        state: "on".into(),
        balance: Some("12.34567890123".parse().unwrap()),
        currency: "EUR".into(),
        last_sync_at: Some(NOW),
        services: 12,
        in_flight: 3,
        failures: 4,
    };
    store.put_provider(first.clone()).await.unwrap();
    assert_eq!(store.providers().await.unwrap(), std::slice::from_ref(&first));
    let then = ProviderRecord { state: "off".into(), balance: None, last_sync_at: None, ..first };
    store.put_provider(then.clone()).await.unwrap();
    let kept = ProviderRecord { balance: Some("12.34567890123".parse().unwrap()), ..then };
    assert_eq!(store.providers().await.unwrap(), [kept], "a balance that is not known undoes none");
}

pub(crate) async fn requests_are_answered_and_taken(store: &AnyStore) {
    let one = store.post_request("{\"a\":1}".into(), NOW).await.unwrap();
    let two = store.post_request("{}".into(), NOW).await.unwrap();
    let open = store.claim_requests().await.unwrap();
    assert_eq!(open[0], StoredRequest { number: one, body: "{\"a\":1}".into() });
    assert_eq!(open.len(), 2);
    assert_eq!(store.take_answer(one).await.unwrap(), None);
    store.answer_request(one, "\"done\"".into(), after(1)).await.unwrap();
    assert_eq!(store.claim_requests().await.unwrap().len(), 1);
    assert_eq!(store.take_answer(one).await.unwrap().as_deref(), Some("\"done\""));
    assert_eq!(store.take_answer(one).await.unwrap(), None);
    let gone = store.answer_request(one, "{}".into(), NOW).await;
    assert!(matches!(gone, Err(StoreError::NotFound { what: "request", .. })));
    store.answer_request(two, "{}".into(), NOW).await.unwrap();
    store.take_answer(two).await.unwrap();
    assert!(store.post_request("{}".into(), NOW).await.unwrap() > two, "a number was given out again");
}
