//! What keeps routes off sale and providers without orders until somebody has looked.

use super::rows::{Columns, order_id, read_decimal};
use super::session::Session;
use super::turns;
use super::values::params;
use crate::domain::catalogue::{Doubt, Doubts, Identity, Loss};
use crate::domain::ids::{ProviderId, UpstreamServiceId};
use crate::domain::time::Timestamp;
use crate::store::StoreResult;
use crate::store::records::{Freeze, FreezeCause};

/// See [`crate::store::Store::known_services`].
pub(super) async fn known(db: &Session, provider: &ProviderId) -> StoreResult<Vec<(UpstreamServiceId, Identity)>> {
    let sql = "SELECT id, name, category, type_text FROM known_services WHERE provider = $1";
    db.collect(sql, params![provider.as_str()], |row| {
        let mut columns = Columns::of(row);
        Ok((UpstreamServiceId::new(columns.take::<String>()?), identity(&mut columns)?))
    })
    .await
}

/// Takes these services for what they say they are; of an ID that comes twice, for what it says last.
pub(super) async fn learn(
    db: &Session,
    provider: &ProviderId,
    known: &[(UpstreamServiceId, Identity)],
) -> StoreResult<()> {
    if known.is_empty() {
        return Ok(());
    }
    let texts = |text: fn(&(UpstreamServiceId, Identity)) -> String| known.iter().map(text).collect::<Vec<String>>();
    db.execute(
        "INSERT INTO known_services (provider, id, name, category, type_text) \
         SELECT DISTINCT ON (id) $1, id, name, category, type_text \
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY \
         AS known (id, name, category, type_text, place) ORDER BY id, place DESC \
         ON CONFLICT (provider, id) DO UPDATE \
         SET name = excluded.name, category = excluded.category, type_text = excluded.type_text",
        params![
            provider.as_str(),
            texts(|known| known.0.as_str().to_owned()),
            texts(|known| known.1.name.clone()),
            texts(|known| known.1.category.clone()),
            texts(|known| known.1.type_text.clone()),
        ],
    )
    .await?;
    Ok(())
}

/// Every doubt about what a provider lists. What is known differs from the list only where it is in doubt: what is
/// not was learnt with the list.
pub(super) async fn of_list(db: &Session, provider: &ProviderId) -> StoreResult<Doubts> {
    let others = "SELECT id, known.name, known.category, known.type_text, listed.name, listed.category, listed.type_text \
                  FROM upstream_services AS listed JOIN known_services AS known USING (provider, id) \
                  WHERE provider = $1 AND (known.name, known.category, known.type_text) IS DISTINCT FROM \
                  (listed.name, listed.category, listed.type_text) ORDER BY position";
    let others = db.collect(others, params![provider.as_str()], |row| {
        let mut columns = Columns::of(row);
        let id = UpstreamServiceId::new(columns.take::<String>()?);
        Ok((id, Doubt::Another { was: identity(&mut columns)?, is: identity(&mut columns)? }))
    });
    let mut doubts = others.await?;
    let losses = "SELECT service, rate, order_id, charge, cost FROM losses WHERE provider = $1 ORDER BY order_id";
    let losses = db.collect(losses, params![provider.as_str()], |row| {
        let mut columns = Columns::of(row);
        let id = UpstreamServiceId::new(columns.take::<String>()?);
        let rate = read_decimal(columns.take()?)?;
        let order = order_id(columns.take()?)?;
        Ok((id, Doubt::Loss(Loss { rate, order, charge: columns.money()?, cost: columns.money()? })))
    });
    doubts.extend(losses.await?);
    Ok(doubts)
}

fn identity(columns: &mut Columns<'_>) -> StoreResult<Identity> {
    Ok(Identity { name: columns.take()?, category: columns.take()?, type_text: columns.take()? })
}

/// See [`crate::store::Store::put_loss`].
pub(super) async fn put_loss(
    db: &Session,
    provider: &ProviderId,
    service: &UpstreamServiceId,
    loss: &Loss,
) -> StoreResult<()> {
    db.execute(
        "INSERT INTO losses (provider, service, rate, order_id, charge, cost) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT DO NOTHING",
        params![
            provider.as_str(),
            service.as_str(),
            loss.rate.to_string(),
            loss.order.get(),
            loss.charge.units(),
            loss.cost.units()
        ],
    )
    .await?;
    turns::list_changed(db, provider).await
}

/// Forgets the losses by these services.
pub(super) async fn forget_losses(db: &Session, provider: &ProviderId, ids: &[UpstreamServiceId]) -> StoreResult<()> {
    let sql = "DELETE FROM losses WHERE provider = $1 AND service = ANY($2)";
    db.execute(sql, params![provider.as_str(), texts(ids)]).await?;
    Ok(())
}

fn texts(ids: &[UpstreamServiceId]) -> Vec<String> {
    ids.iter().map(|id| id.as_str().to_owned()).collect()
}

/// See [`crate::store::Store::confirm_services`].
pub(super) async fn confirm(db: &Session, provider: &ProviderId, ids: &[UpstreamServiceId]) -> StoreResult<()> {
    db.execute(
        "INSERT INTO known_services (provider, id, name, category, type_text) \
         SELECT DISTINCT ON (id) provider, id, name, category, type_text FROM upstream_services \
         WHERE provider = $1 AND id = ANY($2) ORDER BY id, position DESC \
         ON CONFLICT (provider, id) DO UPDATE \
         SET name = excluded.name, category = excluded.category, type_text = excluded.type_text",
        params![provider.as_str(), texts(ids)],
    )
    .await?;
    forget_losses(db, provider, ids).await?;
    turns::list_changed(db, provider).await
}

/// See [`crate::store::Store::put_freeze`].
pub(super) async fn put_freeze(db: &Session, freeze: &Freeze) -> StoreResult<()> {
    let currency = match &freeze.cause {
        FreezeCause::Currency(code) => Some(code),
        FreezeCause::UnknownOrders => None,
    };
    db.execute(
        "INSERT INTO freezes (provider, currency, since, lifted_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (provider) DO UPDATE \
         SET currency = excluded.currency, since = excluded.since, lifted_at = excluded.lifted_at \
         WHERE freezes.since <= excluded.since",
        params![freeze.provider.as_str(), currency, freeze.since.millis(), freeze.lifted_at.map(Timestamp::millis)],
    )
    .await?;
    turns::lists_changed(db).await
}

/// See [`crate::store::Store::remove_freeze`].
pub(super) async fn remove_freeze(db: &Session, provider: &ProviderId, since: Timestamp) -> StoreResult<()> {
    let sql = "DELETE FROM freezes WHERE provider = $1 AND since <= $2";
    db.execute(sql, params![provider.as_str(), since.millis()]).await?;
    // Also where something newer stands: who wanted this has yet to read it.
    turns::lists_changed(db).await
}

/// See [`crate::store::Store::freezes`].
pub(super) async fn freezes(db: &Session) -> StoreResult<Vec<Freeze>> {
    let sql = "SELECT provider, currency, since, lifted_at FROM freezes ORDER BY provider COLLATE \"C\"";
    db.collect(sql, params![], |row| {
        let mut columns = Columns::of(row);
        let provider = ProviderId::new(columns.take::<String>()?);
        let cause = columns.take::<Option<String>>()?.map_or(FreezeCause::UnknownOrders, FreezeCause::Currency);
        Ok(Freeze { provider, cause, since: columns.time()?, lifted_at: columns.maybe_time()? })
    })
    .await
}
