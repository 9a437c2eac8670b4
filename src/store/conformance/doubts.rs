//! What keeps routes off sale and providers without orders.

use super::*;
use crate::domain::catalogue::{Doubt, Identity, Loss, UpstreamService};
use crate::store::records::{Freeze, FreezeCause, NewCatalogue};

fn listed(id: &str, name: &str) -> UpstreamService {
    UpstreamService {
        id: UpstreamServiceId::new(id),
        name: name.into(),
        type_text: "Default".into(),
        category: "First".into(),
        rate: "0.90".parse().unwrap(),
        min: 1,
        max: 10,
        refill: false,
        cancel: false,
        dripfeed: false,
        desc: None,
    }
}

fn identity(name: &str) -> Identity {
    listed("", name).identity()
}

async fn doubts(store: &AnyStore) -> Vec<(String, Doubt)> {
    let stored = store.catalogues().await.unwrap().remove(0);
    stored.doubts.into_iter().map(|(id, doubt)| (id.to_string(), doubt)).collect()
}

pub(crate) async fn what_an_id_stood_for_is_remembered_until_it_is_confirmed(store: &AnyStore) {
    let alpha = ProviderId::new("alpha");
    let put = async |services: Vec<UpstreamService>, learnt: &[&str]| {
        let learnt = services
            .iter()
            .filter(|service| learnt.contains(&service.id.as_str()))
            .map(|service| (service.id.clone(), service.identity()))
            .collect();
        let list = NewCatalogue { fetched_at: NOW, services, learnt, mended: vec![] };
        store.put_catalogue(&alpha, list, NOW).await.unwrap();
    };
    put(vec![listed("1", "One"), listed("2", "Two")], &["1", "2"]).await;
    assert_eq!(doubts(store).await, []);
    put(vec![listed("1", "One")], &[]).await;
    let known = store.known_services(&alpha).await.unwrap();
    assert_eq!(known.len(), 2, "one that is gone is remembered");
    assert!(known.contains(&(UpstreamServiceId::new("2"), identity("Two"))));

    put(vec![listed("2", "Other"), listed("1", "Uno"), listed("3", "Three")], &["1"]).await;
    let other = Doubt::Another { was: identity("Two"), is: identity("Other") };
    assert_eq!(doubts(store).await, [("2".to_owned(), other)], "who is not known is not in doubt");
    store.confirm_services(&alpha, vec![UpstreamServiceId::new("2")]).await.unwrap();
    assert_eq!(doubts(store).await, []);
    assert!(store.known_services(&ProviderId::new("beta")).await.unwrap().is_empty());
}

pub(crate) async fn a_loss_stands_until_it_is_mended(store: &AnyStore) {
    let alpha = ProviderId::new("alpha");
    let ann = client(store, "ann", "10").await.client.id;
    let first = order(store, ann, "1").await;
    let second = order(store, ann, "2").await;
    let loss = |order: &Order| Loss {
        rate: "0.9000001".parse().unwrap(),
        order: order.id,
        charge: money("1"),
        cost: money("1.5"),
    };
    let list = |mended: &[&str]| NewCatalogue {
        fetched_at: NOW,
        mended: mended.iter().map(|id| UpstreamServiceId::new(*id)).collect(),
        ..NewCatalogue::default()
    };
    store.put_catalogue(&alpha, list(&[]), NOW).await.unwrap();
    let put = async |id: &str, order: &Order| {
        store.put_loss(&alpha, &UpstreamServiceId::new(id), loss(order)).await.unwrap();
    };
    put("1", &first).await;
    put("1", &second).await;
    put("2", &second).await;
    let standing = |id: &str, order: &Order| (id.to_owned(), Doubt::Loss(loss(order)));
    assert_eq!(doubts(store).await, [standing("1", &first), standing("2", &second)]);
    store.put_catalogue(&alpha, list(&["1"]), NOW).await.unwrap();
    assert_eq!(doubts(store).await, [standing("2", &second)]);
    store.confirm_services(&alpha, vec![UpstreamServiceId::new("2")]).await.unwrap();
    assert_eq!(doubts(store).await, []);
}

pub(crate) async fn freezes_are_remembered(store: &AnyStore) {
    let (alpha, beta) = (ProviderId::new("alpha"), ProviderId::new("beta"));
    let freeze = |provider: &ProviderId, cause, lifted_at| Freeze {
        provider: provider.clone(),
        cause,
        since: after(1),
        lifted_at,
    };
    let foreign = freeze(&alpha, FreezeCause::Currency("INR".into()), None);
    let unknown = freeze(&beta, FreezeCause::UnknownOrders, None);
    store.put_freeze(foreign.clone()).await.unwrap();
    store.put_freeze(unknown).await.unwrap();
    let lifted = freeze(&beta, FreezeCause::UnknownOrders, Some(after(2)));
    store.put_freeze(lifted.clone()).await.unwrap();
    assert_eq!(store.freezes().await.unwrap(), [foreign, lifted.clone()]);
    store.remove_freeze(&alpha, after(1)).await.unwrap();
    assert_eq!(store.freezes().await.unwrap(), [lifted]);
}

pub(crate) async fn a_late_word_changes_no_newer_freeze(store: &AnyStore) {
    let alpha = ProviderId::new("alpha");
    let freeze =
        |since, lifted_at| Freeze { provider: alpha.clone(), cause: FreezeCause::UnknownOrders, since, lifted_at };
    let (old, lifted, newest) = (freeze(after(1), None), freeze(after(2), Some(after(2))), freeze(after(3), None));
    for newer in [lifted, newest] {
        store.put_freeze(newer.clone()).await.unwrap();
        store.put_freeze(old.clone()).await.unwrap();
        store.remove_freeze(&alpha, old.since).await.unwrap();
        assert_eq!(store.freezes().await.unwrap(), [newer]);
    }
    store.remove_freeze(&alpha, after(3)).await.unwrap();
    store.put_freeze(old.clone()).await.unwrap();
    store.remove_freeze(&alpha, after(2)).await.unwrap();
    assert_eq!(store.freezes().await.unwrap(), [], "an older one is over too");
}

pub(crate) async fn a_provider_that_moved_is_forgotten_whole(store: &AnyStore) {
    let (alpha, beta) = (ProviderId::new("alpha"), ProviderId::new("beta"));
    let ann = client(store, "ann", "10").await.client.id;
    let order = order(store, ann, "1").await;
    let service = listed("1", "One");
    let id = service.id.clone();
    let loss = Loss { rate: "1".parse().unwrap(), order: order.id, charge: money("1"), cost: money("2") };
    for provider in [&alpha, &beta] {
        let learnt = vec![(id.clone(), service.identity())];
        let list = NewCatalogue { fetched_at: NOW, services: vec![service.clone()], learnt, mended: vec![] };
        store.put_catalogue(provider, list, NOW).await.unwrap();
        store.put_loss(provider, &id, loss.clone()).await.unwrap();
        let cause = FreezeCause::UnknownOrders;
        store.put_freeze(Freeze { provider: provider.clone(), cause, since: NOW, lifted_at: None }).await.unwrap();
    }
    store.forget_provider(&alpha, NOW).await.unwrap();
    let lists = store.catalogues().await.unwrap();
    let left: Vec<_> = lists.iter().map(|list| (list.services.len(), list.doubts.len())).collect();
    assert_eq!(left, [(0, 0), (1, 1)]);
    assert!(store.known_services(&alpha).await.unwrap().is_empty());
    assert_eq!(store.known_services(&beta).await.unwrap().len(), 1);
    assert_eq!(store.freezes().await.unwrap().len(), 1);
}
