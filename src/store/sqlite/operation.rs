//! What the operator holds back, and what the gateway serves.

use rusqlite::{Connection, OptionalExtension, params};

use super::rows::collect;
use crate::domain::ids::ProviderId;
use crate::domain::time::Timestamp;
use crate::store::StoreResult;
use crate::store::records::Pauses;

/// In the place of a provider: all of them. No provider has an empty ID.
const EVERYWHERE: &str = "";

/// See [`crate::store::Store::set_paused`].
pub(super) fn set_paused(
    conn: &Connection,
    provider: Option<&ProviderId>,
    paused: bool,
    now: Timestamp,
) -> StoreResult<Pauses> {
    let provider = provider.map_or(EVERYWHERE, ProviderId::as_str);
    if paused {
        conn.prepare_cached("INSERT INTO pauses (provider, paused_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(params![provider, now.millis()])?;
    } else {
        conn.prepare_cached("DELETE FROM pauses WHERE provider = ?1")?.execute([provider])?;
    }
    pauses(conn)
}

/// See [`crate::store::Store::pauses`].
pub(super) fn pauses(conn: &Connection) -> StoreResult<Pauses> {
    let mut statement = conn.prepare_cached("SELECT provider FROM pauses")?;
    let mut pauses = Pauses::default();
    for provider in collect(&mut statement, [], |row| Ok(row.get::<_, String>(0)?))? {
        if provider == EVERYWHERE {
            pauses.everywhere = true;
        } else {
            pauses.providers.insert(ProviderId::new(provider));
        }
    }
    Ok(pauses)
}

/// See [`crate::store::Store::shift_deadlines`]. Versions count on, so that no step that was made by the old times is
/// written over the new ones.
pub(super) fn shift_deadlines(conn: &Connection, by: i64) -> StoreResult<()> {
    const STATEMENTS: [&str; 6] = [
        "UPDATE orders SET version = version + 1, due_at = due_at + ?1, queued_at = queued_at + ?1, \
             polled_at = polled_at + ?1, changed_at = changed_at + ?1, silent_since = silent_since + ?1, \
             closed_at = closed_at + ?1 \
         WHERE state <> 'closed' OR due_at IS NOT NULL",
        // Its lease runs from here.
        "UPDATE orders SET updated_at = updated_at + ?1 WHERE state = 'sending'",
        "UPDATE refills SET version = version + 1, due_at = due_at + ?1, polled_at = polled_at + ?1 \
         WHERE state <> 'ended'",
        "UPDATE client_requests SET at = at + ?1",
        "UPDATE catalogues SET fetched_at = fetched_at + ?1",
        "UPDATE freezes SET lifted_at = lifted_at + ?1",
    ];
    for statement in STATEMENTS {
        conn.execute(statement, [by])?;
    }
    Ok(())
}

/// See [`crate::store::Store::put_running`].
pub(super) fn put_running(conn: &Connection, document: &str) -> StoreResult<()> {
    conn.prepare_cached(
        "INSERT INTO running (one, document) VALUES (1, ?1) ON CONFLICT DO UPDATE SET document = excluded.document",
    )?
    .execute([document])?;
    Ok(())
}

/// See [`crate::store::Store::running`].
pub(super) fn running(conn: &Connection) -> StoreResult<Option<String>> {
    Ok(conn.prepare_cached("SELECT document FROM running")?.query_row([], |row| row.get(0)).optional()?)
}
