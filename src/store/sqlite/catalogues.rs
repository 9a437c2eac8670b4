//! The last good catalogue of each provider, and what the gateway last knew of it.

use rusqlite::{Connection, params};

use super::rows::{Columns, collect, count, read_decimal};
use super::{claims, doubts, refills};
use crate::domain::catalogue::UpstreamService;
use crate::domain::ids::{ProviderId, UpstreamServiceId};
use crate::domain::time::Timestamp;
use crate::store::records::{NewCatalogue, ProviderRecord, StoredCatalogue};
use crate::store::{StoreError, StoreResult};

/// See [`crate::store::Store::put_catalogue`]. Rows that are as they were are not written: most of a catalogue
/// is, and orders wait meanwhile.
pub(super) fn put(
    conn: &Connection,
    provider: &ProviderId,
    catalogue: &NewCatalogue,
    now: Timestamp,
) -> StoreResult<bool> {
    let NewCatalogue { fetched_at, services, learnt, mended } = catalogue;
    let head = conn
        .prepare_cached(
            "INSERT INTO catalogues (provider, fetched_at) SELECT ?1, ?2 WHERE NOT EXISTS \
             (SELECT 1 FROM provider_moves WHERE provider = ?1 AND moved_at > ?2 AND moved_at <= ?3) \
             ON CONFLICT DO UPDATE SET fetched_at = excluded.fetched_at \
             WHERE fetched_at <= excluded.fetched_at OR fetched_at > ?3",
        )?
        .execute(params![provider.as_str(), fetched_at.millis(), now.millis()])?;
    if head == 0 {
        return Ok(false);
    }
    let mut statement = conn.prepare_cached(
        "INSERT INTO upstream_services (provider, position, id, name, type_text, category, rate, min, max, refill, \
         cancel, dripfeed, description) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
         ON CONFLICT DO UPDATE SET id = excluded.id, name = excluded.name, type_text = excluded.type_text, \
         category = excluded.category, rate = excluded.rate, min = excluded.min, max = excluded.max, \
         refill = excluded.refill, cancel = excluded.cancel, dripfeed = excluded.dripfeed, \
         description = excluded.description \
         WHERE (id, name, type_text, category, rate, min, max, refill, cancel, dripfeed) IS NOT \
         (excluded.id, excluded.name, excluded.type_text, excluded.category, excluded.rate, excluded.min, \
         excluded.max, excluded.refill, excluded.cancel, excluded.dripfeed) \
         OR description IS NOT excluded.description",
    )?;
    for (position, service) in (0_i64..).zip(services) {
        statement.execute(params![
            provider.as_str(),
            position,
            service.id.as_str(),
            service.name,
            service.type_text,
            service.category,
            service.rate.to_string(),
            count(service.min),
            count(service.max),
            service.refill,
            service.cancel,
            service.dripfeed,
            service.desc,
        ])?;
    }
    conn.prepare_cached("DELETE FROM upstream_services WHERE provider = ?1 AND position >= ?2")?
        .execute(params![provider.as_str(), i64::try_from(services.len()).unwrap_or(i64::MAX)])?;
    doubts::learn(conn, provider, learnt)?;
    doubts::forget_losses(conn, provider, mended)?;
    Ok(true)
}

/// See [`crate::store::Store::forget_provider`].
pub(super) fn forget(conn: &Connection, provider: &ProviderId, now: Timestamp) -> StoreResult<()> {
    // At the beginning of time nothing came before.
    put(conn, provider, &NewCatalogue::default(), Timestamp::default())?;
    for table in ["known_services", "losses", "freezes", "lost_attempts"] {
        conn.execute(&format!("DELETE FROM {table} WHERE provider = ?1"), [provider.as_str()])?;
    }
    // A clock that was put back shows again what it showed when some of that was sent.
    conn.execute(
        "INSERT INTO provider_moves (provider, moved_at) \
         SELECT ?1, max(?2, coalesce(restored_at, 0)) FROM store WHERE true \
         ON CONFLICT DO UPDATE SET moved_at = max(moved_at, excluded.moved_at)",
        params![provider.as_str(), now.millis()],
    )?;
    claims::stop_watching(conn, provider)?;
    refills::end_all(conn, provider, now)
}

/// Every stored catalogue, by provider.
pub(super) fn all(conn: &Connection) -> StoreResult<Vec<StoredCatalogue>> {
    let mut heads = conn.prepare_cached("SELECT provider, fetched_at FROM catalogues ORDER BY provider")?;
    let mut catalogues = collect(&mut heads, [], |row| {
        let mut columns = Columns::of(row);
        let provider = ProviderId::new(columns.take::<String>()?);
        Ok(StoredCatalogue { provider, fetched_at: columns.time()?, services: Vec::new(), doubts: Vec::new() })
    })?;
    let mut statement = conn.prepare_cached(
        "SELECT id, name, type_text, category, rate, min, max, refill, cancel, dripfeed, description \
         FROM upstream_services WHERE provider = ?1 ORDER BY position",
    )?;
    for catalogue in &mut catalogues {
        catalogue.services = collect(&mut statement, [catalogue.provider.as_str()], |row| {
            read_service(&mut Columns::of(row)).map_err(|error| match error {
                StoreError::Corrupt(what) => {
                    StoreError::Corrupt(format!("the catalogue of {}: {what}", catalogue.provider))
                }
                error => error,
            })
        })?;
        catalogue.doubts = doubts::of_list(conn, &catalogue.provider)?;
    }
    Ok(catalogues)
}

fn read_service(columns: &mut Columns<'_, '_>) -> StoreResult<UpstreamService> {
    Ok(UpstreamService {
        id: UpstreamServiceId::new(columns.take::<String>()?),
        name: columns.take()?,
        type_text: columns.take()?,
        category: columns.take()?,
        rate: read_decimal(&columns.take::<String>()?)?,
        min: columns.count()?,
        max: columns.count()?,
        refill: columns.take()?,
        cancel: columns.take()?,
        dripfeed: columns.take()?,
        desc: columns.take()?,
    })
}

/// See [`crate::store::Store::put_provider`]. A balance that is not known now does not undo one that was.
pub(super) fn put_provider(conn: &Connection, record: &ProviderRecord) -> StoreResult<()> {
    conn.prepare_cached(
        "INSERT INTO providers (provider, state, balance, currency, last_sync_at, services, in_flight, failures) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET state = excluded.state, \
         balance = coalesce(excluded.balance, balance), currency = excluded.currency, last_sync_at = excluded.last_sync_at, \
         services = excluded.services, in_flight = excluded.in_flight, failures = excluded.failures",
    )?
    .execute(params![
        record.provider.as_str(),
        record.state,
        record.balance.map(|balance| balance.to_string()),
        record.currency,
        record.last_sync_at.map(Timestamp::millis),
        count(record.services),
        count(record.in_flight),
        count(record.failures),
    ])?;
    Ok(())
}

/// Every provider's record, by name.
pub(super) fn providers(conn: &Connection) -> StoreResult<Vec<ProviderRecord>> {
    let mut statement = conn.prepare_cached(
        "SELECT provider, state, balance, currency, last_sync_at, services, in_flight, failures FROM providers \
         ORDER BY provider",
    )?;
    collect(&mut statement, [], |row| {
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
    })
}
