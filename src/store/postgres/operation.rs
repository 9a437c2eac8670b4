//! What the operator holds back, and what the gateway serves.

use super::session::Session;
use super::values::params;
use crate::domain::ids::ProviderId;
use crate::domain::time::Timestamp;
use crate::store::StoreResult;
use crate::store::records::Pauses;

/// In the place of a provider: all of them. No provider has an empty ID.
const EVERYWHERE: &str = "";

/// See [`crate::store::Store::set_paused`].
pub(super) async fn set_paused(
    db: &Session,
    provider: Option<&ProviderId>,
    paused: bool,
    now: Timestamp,
) -> StoreResult<Pauses> {
    let provider = provider.map_or(EVERYWHERE, ProviderId::as_str);
    if paused {
        let sql = "INSERT INTO pauses (provider, paused_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        db.execute(sql, params![provider, now.millis()]).await?;
    } else {
        db.execute("DELETE FROM pauses WHERE provider = $1", params![provider]).await?;
    }
    pauses(db).await
}

/// See [`crate::store::Store::pauses`].
pub(super) async fn pauses(db: &Session) -> StoreResult<Pauses> {
    let mut pauses = Pauses::default();
    let found = db.collect("SELECT provider FROM pauses", params![], |row| Ok(row.try_get::<_, String>(0)?));
    for provider in found.await? {
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
pub(super) async fn shift_deadlines(db: &Session, by: i64) -> StoreResult<()> {
    const STATEMENTS: [&str; 7] = [
        "SELECT id FROM orders WHERE state <> 'closed' OR due_at IS NOT NULL ORDER BY id FOR NO KEY UPDATE",
        "UPDATE orders SET version = version + 1, due_at = due_at + $1, queued_at = queued_at + $1, \
             polled_at = polled_at + $1, changed_at = changed_at + $1, silent_since = silent_since + $1, \
             closed_at = closed_at + $1 \
         WHERE state <> 'closed' OR due_at IS NOT NULL",
        // Its lease runs from here.
        "UPDATE orders SET updated_at = updated_at + $1 WHERE state = 'sending'",
        "UPDATE refills SET version = version + 1, due_at = due_at + $1, polled_at = polled_at + $1 \
         WHERE state <> 'ended'",
        "UPDATE client_requests SET at = at + $1",
        "UPDATE catalogues SET fetched_at = fetched_at + $1",
        "UPDATE freezes SET lifted_at = lifted_at + $1",
    ];
    db.be_patient().await?;
    for statement in STATEMENTS {
        let by = if statement.contains("$1") { params![by] } else { params![] };
        db.execute(statement, by).await?;
    }
    Ok(())
}

/// See [`crate::store::Store::put_running`].
pub(super) async fn put_running(db: &Session, document: &str) -> StoreResult<()> {
    let sql = "INSERT INTO running (one, document) VALUES (1, $1) \
               ON CONFLICT (one) DO UPDATE SET document = excluded.document";
    db.execute(sql, params![document]).await?;
    Ok(())
}

/// See [`crate::store::Store::running`].
pub(super) async fn running(db: &Session) -> StoreResult<Option<String>> {
    db.first("SELECT document FROM running", params![], |row| Ok(row.try_get(0)?)).await
}
