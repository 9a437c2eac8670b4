//! The last good catalogue of each provider, and what the gateway last knew of it.

use super::rows::{Columns, count, read_decimal};
use super::session::Session;
use super::turns;
use super::values::params;
use super::{claims, doubts, refills};
use crate::domain::catalogue::UpstreamService;
use crate::domain::ids::{ProviderId, UpstreamServiceId};
use crate::domain::time::Timestamp;
use crate::store::records::{NewCatalogue, ProviderRecord, StoredCatalogue};
use crate::store::{StoreError, StoreResult};

/// How many services go in one statement.
const CHUNK: usize = 1000;

/// See [`crate::store::Store::put_catalogue`]. Rows that are as they were are not written: most of a catalogue is.
pub(super) async fn put(
    db: &Session,
    provider: &ProviderId,
    catalogue: &NewCatalogue,
    now: Timestamp,
) -> StoreResult<bool> {
    let NewCatalogue { fetched_at, services, learnt, mended } = catalogue;
    let head = "INSERT INTO catalogues (provider, fetched_at) SELECT $1, $2 WHERE NOT EXISTS \
                (SELECT FROM provider_moves WHERE provider = $1 AND moved_at > $2 AND moved_at <= $3) \
                ON CONFLICT (provider) DO UPDATE SET fetched_at = excluded.fetched_at \
                WHERE catalogues.fetched_at <= excluded.fetched_at OR catalogues.fetched_at > $3";
    if db.execute(head, params![provider.as_str(), fetched_at.millis(), now.millis()]).await? == 0 {
        return Ok(false);
    }
    let mut changed = 0_u64;
    for (chunk, services) in services.chunks(CHUNK).enumerate() {
        let rows = put_services(db, provider, chunk.saturating_mul(CHUNK), services).await?;
        changed = changed.saturating_add(rows);
    }
    let rest = "DELETE FROM upstream_services WHERE provider = $1 AND position >= $2";
    let rest = db.execute(rest, params![provider.as_str(), i64::try_from(services.len()).unwrap_or(i64::MAX)]).await?;
    doubts::learn(db, provider, learnt).await?;
    doubts::forget_losses(db, provider, mended).await?;
    if changed > 0 || rest > 0 || !learnt.is_empty() || !mended.is_empty() {
        turns::list_changed(db, provider).await?;
    } else {
        turns::lists_changed(db).await?;
    }
    Ok(true)
}

/// Writes services in one statement, the first at place `from`. Columns go as arrays; a description that is not there is
/// told from an empty one by a mark before it.
async fn put_services(
    db: &Session,
    provider: &ProviderId,
    from: usize,
    services: &[UpstreamService],
) -> StoreResult<u64> {
    let texts = |text: fn(&UpstreamService) -> String| services.iter().map(text).collect::<Vec<String>>();
    let numbers = |number: fn(&UpstreamService) -> i64| services.iter().map(number).collect::<Vec<i64>>();
    let places = (0..services.len()).map(|place| i64::try_from(from.saturating_add(place)).unwrap_or(i64::MAX));
    db.execute(
        "INSERT INTO upstream_services (provider, position, id, name, type_text, category, rate, min, max, refill, \
         cancel, dripfeed, description) \
         SELECT $1, place, id, name, type_text, category, rate, min, max, refill <> 0, cancel <> 0, dripfeed <> 0, \
         CASE WHEN description <> '' THEN substr(description, 2) END \
         FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], \
         $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[]) \
         AS listed (place, id, name, type_text, category, rate, min, max, refill, cancel, dripfeed, description) \
         ON CONFLICT (provider, position) DO UPDATE SET id = excluded.id, name = excluded.name, \
         type_text = excluded.type_text, category = excluded.category, rate = excluded.rate, min = excluded.min, \
         max = excluded.max, refill = excluded.refill, cancel = excluded.cancel, dripfeed = excluded.dripfeed, \
         description = excluded.description \
         WHERE upstream_services IS DISTINCT FROM excluded",
        params![
            provider.as_str(),
            places.collect::<Vec<i64>>(),
            texts(|service| service.id.as_str().to_owned()),
            texts(|service| service.name.clone()),
            texts(|service| service.type_text.clone()),
            texts(|service| service.category.clone()),
            texts(|service| service.rate.to_string()),
            numbers(|service| count(service.min)),
            numbers(|service| count(service.max)),
            numbers(|service| service.refill.into()),
            numbers(|service| service.cancel.into()),
            numbers(|service| service.dripfeed.into()),
            texts(|service| service.desc.as_ref().map_or_else(String::new, |desc| format!("={desc}"))),
        ],
    )
    .await
}

/// See [`crate::store::Store::forget_provider`].
pub(super) async fn forget(db: &Session, provider: &ProviderId, now: Timestamp) -> StoreResult<()> {
    // However many orders of it are watched.
    db.be_patient().await?;
    // At the beginning of time nothing came before.
    put(db, provider, &NewCatalogue::default(), Timestamp::default()).await?;
    for table in ["known_services", "losses", "freezes", "lost_attempts"] {
        db.execute(&format!("DELETE FROM {table} WHERE provider = $1"), params![provider.as_str()]).await?;
    }
    // A clock that was put back shows again what it showed when some of that was sent.
    let moved = "INSERT INTO provider_moves (provider, moved_at) \
                 SELECT $1, greatest($2::bigint, restored_at) FROM store ON CONFLICT (provider) \
                 DO UPDATE SET moved_at = greatest(provider_moves.moved_at, excluded.moved_at)";
    db.execute(moved, params![provider.as_str(), now.millis()]).await?;
    claims::stop_watching(db, provider).await?;
    refills::end_all(db, provider, now).await?;
    turns::list_changed(db, provider).await
}

/// Every stored catalogue, by provider.
pub(super) async fn all(db: &Session) -> StoreResult<Vec<StoredCatalogue>> {
    let providers = "SELECT provider FROM catalogues ORDER BY provider COLLATE \"C\"";
    let providers = db.collect(providers, params![], |row| Ok(ProviderId::new(row.try_get::<_, String>(0)?))).await?;
    let mut catalogues = Vec::with_capacity(providers.len());
    for provider in providers {
        catalogues.extend(one(db, &provider).await?);
    }
    Ok(catalogues)
}

/// See [`crate::store::Store::catalogue`].
pub(super) async fn one(db: &Session, provider: &ProviderId) -> StoreResult<Option<StoredCatalogue>> {
    let head = "SELECT fetched_at FROM catalogues WHERE provider = $1";
    let fetched_at = db.first(head, params![provider.as_str()], |row| Columns::of(row).time()).await?;
    let Some(fetched_at) = fetched_at else { return Ok(None) };
    let sql = "SELECT id, name, type_text, category, rate, min, max, refill, cancel, dripfeed, description \
               FROM upstream_services WHERE provider = $1 ORDER BY position";
    let services = db.collect(sql, params![provider.as_str()], |row| {
        read_service(&mut Columns::of(row)).map_err(|error| match error {
            StoreError::Corrupt(what) => StoreError::Corrupt(format!("the catalogue of {provider}: {what}")),
            error => error,
        })
    });
    let services = services.await?;
    let doubts = doubts::of_list(db, provider).await?;
    Ok(Some(StoredCatalogue { provider: provider.clone(), fetched_at, services, doubts }))
}

fn read_service(columns: &mut Columns<'_>) -> StoreResult<UpstreamService> {
    Ok(UpstreamService {
        id: UpstreamServiceId::new(columns.take::<String>()?),
        name: columns.take()?,
        type_text: columns.take()?,
        category: columns.take()?,
        rate: read_decimal(columns.take()?)?,
        min: columns.count()?,
        max: columns.count()?,
        refill: columns.take()?,
        cancel: columns.take()?,
        dripfeed: columns.take()?,
        desc: columns.take()?,
    })
}

/// See [`crate::store::Store::put_provider`]. A balance that is not known now does not undo one that was.
pub(super) async fn put_provider(db: &Session, gateway: &str, record: &ProviderRecord) -> StoreResult<()> {
    db.execute(
        "INSERT INTO providers (provider, balance, currency, last_sync_at, services) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (provider) DO UPDATE SET balance = coalesce(excluded.balance, providers.balance), \
         currency = excluded.currency, last_sync_at = excluded.last_sync_at, services = excluded.services",
        params![
            record.provider.as_str(),
            record.balance.map(|balance| balance.to_string()),
            &record.currency,
            record.last_sync_at.map(Timestamp::millis),
            count(record.services),
        ],
    )
    .await?;
    db.execute(
        "INSERT INTO provider_health (provider, gateway, state, in_flight, failures) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (provider, gateway) DO UPDATE SET state = excluded.state, in_flight = excluded.in_flight, \
         failures = excluded.failures",
        params![record.provider.as_str(), gateway, &record.state, count(record.in_flight), count(record.failures)],
    )
    .await?;
    let gone = "DELETE FROM provider_health WHERE provider = $1 AND gateway <> $2 \
                AND gateway NOT IN (SELECT id FROM gateways WHERE seen_until > clock_ms())";
    db.execute(gone, params![record.provider.as_str(), gateway]).await?;
    Ok(())
}

/// Every provider's record, by name.
pub(super) async fn providers(db: &Session) -> StoreResult<Vec<ProviderRecord>> {
    let sql = "SELECT provider, state, balance, currency, last_sync_at, services, in_flight, failures \
               FROM providers JOIN provider_health USING (provider) ORDER BY provider COLLATE \"C\"";
    let of_each = db.collect(sql, params![], |row| {
        let mut columns = Columns::of(row);
        Ok(ProviderRecord {
            provider: ProviderId::new(columns.take::<String>()?),
            state: columns.take()?,
            balance: columns.maybe_decimal()?,
            currency: columns.take()?,
            last_sync_at: columns.maybe_time()?,
            services: columns.count()?,
            in_flight: columns.count()?,
            failures: columns.count()?,
        })
    });
    let mut records: Vec<ProviderRecord> = Vec::new();
    for record in of_each.await? {
        match records.pop_if(|last| last.provider == record.provider) {
            Some(last) => records.push(last.and(record)),
            None => records.push(record),
        }
    }
    Ok(records)
}
