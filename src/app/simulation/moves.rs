//! What panels do by themselves: orders get on, or back, and lists, prices and balances change.

use super::terms::PROVIDERS;
use super::world::{State as Shared, World};
use crate::domain::ids::ProviderId;
use crate::store::Store;
use crate::store::records::NewCatalogue;
use crate::store::sqlite::SqliteStore;
use crate::upstream::decode_services;

/// What the panels sell is known from an earlier run.
pub(super) async fn put_lists(store: &SqliteStore, world: &World) {
    for id in PROVIDERS.map(ProviderId::new) {
        let answer = world.state().panels[&id].list();
        let services = decode_services(answer.body.as_bytes()).unwrap().services;
        let learnt = services.iter().map(|service| (service.id.clone(), service.identity())).collect();
        let list = NewCatalogue { fetched_at: world.now(), services, learnt, mended: Vec::new() };
        assert!(store.put_catalogue(&id, list, world.now()).await.unwrap());
    }
}

/// An order at a panel gets on, or back.
pub(super) fn panel_moves(state: &mut Shared) {
    let provider = ProviderId::new(*state.rng.pick(&PROVIDERS));
    let Shared { panels, rng, .. } = state;
    let panel = panels.get_mut(&provider).unwrap();
    let Some(id) = panel.old_id(rng) else { return };
    let held = panel.orders.get_mut(&id).unwrap();
    if rng.chance(5) {
        held.hidden = !held.hidden;
        return;
    }
    let word = rng.weighted(&[
        (30, "In progress"),
        (10, "Processing"),
        (5, "Pending"),
        (20, "Completed"),
        (15, "Partial"),
        (8, "Canceled"),
        (3, "Refunded"),
        (4, "Fail"),
        (3, "Gone fishing"),
    ]);
    let quantity = held.quantity;
    held.report(word, rng.below(quantity + 50));
}

pub(super) fn prices_move(state: &mut Shared) {
    let provider = ProviderId::new(*state.rng.pick(&PROVIDERS));
    let Shared { panels, rng, .. } = state;
    let panel = panels.get_mut(&provider).unwrap();
    match rng.below(4) {
        0 => panel.balance = rust_decimal::Decimal::from(rng.below(3)),
        1 if rng.chance(70) => panel.balance += rust_decimal::Decimal::from(50),
        // Its IDs are given to services of another type, and back.
        1 => panel.services.iter_mut().for_each(|listed| listed.flat = !listed.flat),
        _ => {
            let count = panel.services.len() as u64;
            let listed = &mut panel.services[usize::try_from(rng.below(count)).unwrap()];
            listed.rate =
                (listed.rate * rust_decimal::Decimal::new(i64::try_from(80 + rng.below(70)).unwrap(), 2)).round_dp(5);
        }
    }
}
