//! What keeps routes off sale and providers without orders until somebody has looked.

use rusqlite::{Connection, params};

use super::rows::{Columns, collect, read_decimal};
use crate::domain::catalogue::{Doubt, Doubts, Identity, Loss};
use crate::domain::ids::{OrderId, ProviderId, UpstreamServiceId};
use crate::domain::time::Timestamp;
use crate::store::records::{Freeze, FreezeCause};
use crate::store::{StoreError, StoreResult};

/// See [`crate::store::Store::known_services`].
pub(super) fn known(conn: &Connection, provider: &ProviderId) -> StoreResult<Vec<(UpstreamServiceId, Identity)>> {
    let mut statement =
        conn.prepare_cached("SELECT id, name, category, type_text FROM known_services WHERE provider = ?1")?;
    collect(&mut statement, [provider.as_str()], |row| {
        let mut columns = Columns::of(row);
        Ok((UpstreamServiceId::new(columns.take::<String>()?), identity(&mut columns)?))
    })
}

/// Takes these services for what they say they are.
pub(super) fn learn(
    conn: &Connection,
    provider: &ProviderId,
    known: &[(UpstreamServiceId, Identity)],
) -> StoreResult<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO known_services (provider, id, name, category, type_text) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT DO UPDATE SET name = excluded.name, category = excluded.category, type_text = excluded.type_text",
    )?;
    for (id, identity) in known {
        statement.execute(params![
            provider.as_str(),
            id.as_str(),
            identity.name,
            identity.category,
            identity.type_text
        ])?;
    }
    Ok(())
}

/// Every doubt about what a provider lists. What is known differs from the list only where it is in doubt: what is
/// not was learnt with the list.
pub(super) fn of_list(conn: &Connection, provider: &ProviderId) -> StoreResult<Doubts> {
    let mut others = conn.prepare_cached(
        "SELECT id, known.name, known.category, known.type_text, listed.name, listed.category, listed.type_text \
         FROM upstream_services AS listed JOIN known_services AS known USING (provider, id) \
         WHERE provider = ?1 AND (known.name, known.category, known.type_text) IS NOT \
         (listed.name, listed.category, listed.type_text) ORDER BY position",
    )?;
    let mut doubts = collect(&mut others, [provider.as_str()], |row| {
        let mut columns = Columns::of(row);
        let id = UpstreamServiceId::new(columns.take::<String>()?);
        Ok((id, Doubt::Another { was: identity(&mut columns)?, is: identity(&mut columns)? }))
    })?;
    let mut losses = conn.prepare_cached(
        "SELECT service, rate, order_id, charge, cost FROM losses WHERE provider = ?1 ORDER BY order_id",
    )?;
    doubts.extend(collect(&mut losses, [provider.as_str()], |row| {
        let mut columns = Columns::of(row);
        let id = UpstreamServiceId::new(columns.take::<String>()?);
        let rate = read_decimal(&columns.take::<String>()?)?;
        let order = OrderId::new(columns.take::<i64>()?).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok((id, Doubt::Loss(Loss { rate, order, charge: columns.money()?, cost: columns.money()? })))
    })?);
    Ok(doubts)
}

fn identity(columns: &mut Columns<'_, '_>) -> StoreResult<Identity> {
    Ok(Identity { name: columns.take()?, category: columns.take()?, type_text: columns.take()? })
}

/// See [`crate::store::Store::put_loss`].
pub(super) fn put_loss(
    conn: &Connection,
    provider: &ProviderId,
    service: &UpstreamServiceId,
    loss: &Loss,
) -> StoreResult<()> {
    conn.prepare_cached(
        "INSERT INTO losses (provider, service, rate, order_id, charge, cost) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT DO NOTHING",
    )?
    .execute(params![
        provider.as_str(),
        service.as_str(),
        loss.rate.to_string(),
        loss.order.get(),
        loss.charge.units(),
        loss.cost.units()
    ])?;
    Ok(())
}

/// Forgets the losses by these services.
pub(super) fn forget_losses(conn: &Connection, provider: &ProviderId, ids: &[UpstreamServiceId]) -> StoreResult<()> {
    let mut statement = conn.prepare_cached("DELETE FROM losses WHERE provider = ?1 AND service = ?2")?;
    for id in ids {
        statement.execute([provider.as_str(), id.as_str()])?;
    }
    Ok(())
}

/// See [`crate::store::Store::confirm_services`].
pub(super) fn confirm(conn: &Connection, provider: &ProviderId, ids: &[UpstreamServiceId]) -> StoreResult<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO known_services (provider, id, name, category, type_text) \
         SELECT provider, id, name, category, type_text FROM upstream_services WHERE provider = ?1 AND id = ?2 \
         ON CONFLICT DO UPDATE SET name = excluded.name, category = excluded.category, type_text = excluded.type_text",
    )?;
    for id in ids {
        statement.execute([provider.as_str(), id.as_str()])?;
    }
    forget_losses(conn, provider, ids)
}

/// See [`crate::store::Store::put_freeze`].
pub(super) fn put_freeze(conn: &Connection, freeze: &Freeze) -> StoreResult<()> {
    let currency = match &freeze.cause {
        FreezeCause::Currency(code) => Some(code),
        FreezeCause::UnknownOrders => None,
    };
    conn.prepare_cached(
        "INSERT INTO freezes (provider, currency, since, lifted_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE \
         SET currency = excluded.currency, since = excluded.since, lifted_at = excluded.lifted_at \
         WHERE freezes.since <= excluded.since",
    )?
    .execute(params![
        freeze.provider.as_str(),
        currency,
        freeze.since.millis(),
        freeze.lifted_at.map(Timestamp::millis)
    ])?;
    Ok(())
}

/// See [`crate::store::Store::remove_freeze`].
pub(super) fn remove_freeze(conn: &Connection, provider: &ProviderId, since: Timestamp) -> StoreResult<()> {
    let mut statement = conn.prepare_cached("DELETE FROM freezes WHERE provider = ?1 AND since <= ?2")?;
    statement.execute(params![provider.as_str(), since.millis()])?;
    Ok(())
}

/// See [`crate::store::Store::freezes`].
pub(super) fn freezes(conn: &Connection) -> StoreResult<Vec<Freeze>> {
    let mut statement =
        conn.prepare_cached("SELECT provider, currency, since, lifted_at FROM freezes ORDER BY provider")?;
    collect(&mut statement, [], |row| {
        let mut columns = Columns::of(row);
        let provider = ProviderId::new(columns.take::<String>()?);
        let cause = columns.take::<Option<String>>()?.map_or(FreezeCause::UnknownOrders, FreezeCause::Currency);
        Ok(Freeze { provider, cause, since: columns.time()?, lifted_at: columns.maybe_time()? })
    })
}
