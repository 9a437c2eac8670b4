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

/// What moves every deadline. Each statement goes by an index to what waits: what has ended is most of a store, and the
/// writer does nothing else meanwhile.
const SHIFTS: [&str; 9] = [
    "UPDATE orders INDEXED BY orders_by_state SET version = version + 1, due_at = due_at + ?1, \
         queued_at = queued_at + ?1, polled_at = polled_at + ?1, changed_at = changed_at + ?1, \
         silent_since = silent_since + ?1, cancel_due = cancel_due + ?1 \
     WHERE state IN ('queued', 'sending', 'placed', 'uncertain')",
    "UPDATE orders INDEXED BY orders_polled SET version = version + 1, due_at = due_at + ?1, \
         queued_at = queued_at + ?1, polled_at = polled_at + ?1, changed_at = changed_at + ?1, \
         silent_since = silent_since + ?1, closed_at = closed_at + ?1 \
     WHERE state IN ('placed', 'closed') AND due_at IS NOT NULL AND +state = 'closed'",
    // Its lease runs from here.
    "UPDATE orders INDEXED BY orders_by_state SET updated_at = updated_at + ?1 WHERE state = 'sending'",
    "UPDATE refills INDEXED BY refills_polled SET version = version + 1, due_at = due_at + ?1, \
         polled_at = polled_at + ?1 \
     WHERE due_at IS NOT NULL",
    // Its lease runs from here.
    "UPDATE refills INDEXED BY refills_sending SET version = version + 1, created_at = created_at + ?1 \
     WHERE state = 'sending'",
    "UPDATE lost_attempts SET next_at = next_at + ?1, asked_at = asked_at + ?1",
    "UPDATE client_requests SET at = at + ?1",
    "UPDATE catalogues SET fetched_at = fetched_at + ?1",
    "UPDATE freezes SET lifted_at = lifted_at + ?1",
];

/// See [`crate::store::Store::timeline`].
pub(super) fn timeline(conn: &Connection) -> StoreResult<i64> {
    Ok(conn.prepare_cached("SELECT timeline FROM store")?.query_row([], |row| row.get(0))?)
}

/// See [`crate::store::Store::shift_deadlines`]. Versions count on, so that no step that was made by the old times is
/// written over the new ones.
pub(super) fn shift_deadlines(conn: &Connection, by: i64, now: Timestamp, timeline: i64) -> StoreResult<bool> {
    if conn.execute("UPDATE store SET timeline = timeline + 1 WHERE timeline = ?1", [timeline])? == 0 {
        return Ok(false);
    }
    for statement in SHIFTS {
        conn.execute(statement, [by])?;
    }
    if by < 0 {
        // Until the clock shows again what it showed, a time does not say what came first.
        conn.execute(
            "UPDATE store SET restored_at = max(coalesce(restored_at, 0), ?1)",
            [now.millis().saturating_sub(by)],
        )?;
    }
    Ok(true)
}

/// How much less than at the newest order the clock may show at a start: what it is put right by while a gateway runs
/// without anything being moved.
const TOLERATED: i64 = 60_000;

/// Moves the deadlines back where the clock was put back while no gateway ran: by what shows of it, which is the time
/// since the newest order less than all of it.
pub(super) fn follow_a_clock_that_was_put_back(conn: &Connection, now: Timestamp) -> StoreResult<()> {
    // Orders of before an earlier step back have the times that the clock showed then.
    let newest: Option<i64> = conn.query_row(
        "SELECT max(created_at) FROM orders HAVING max(created_at) > (SELECT coalesce(max(restored_at), 0) FROM store)",
        [],
        |row| row.get(0),
    ).optional()?;
    let behind = newest.unwrap_or(i64::MIN).saturating_sub(now.millis());
    if behind <= TOLERATED {
        return Ok(());
    }
    tracing::warn!(
        "the machine's clock shows {} s less than when the newest order was taken: it was put back while no gateway \
         ran; deadlines are moved with it",
        behind / 1000
    );
    shift_deadlines(conn, behind.saturating_neg(), now, timeline(conn)?)?;
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

#[cfg(test)]
mod tests {
    use super::SHIFTS;
    use crate::store::sqlite::{claims, open};

    #[test]
    fn what_has_ended_is_not_looked_through() {
        let conn = open::in_memory(1).unwrap();
        let plan = |statement: &str| -> Vec<String> {
            let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
            let parameters = plan.parameter_count();
            let details = plan.query_map(rusqlite::params_from_iter(vec![1; parameters]), |row| row.get(3)).unwrap();
            details.map(Result::unwrap).collect()
        };
        let mut seen = 0;
        for statement in SHIFTS.into_iter().chain([claims::STOP_WATCHING]) {
            for step in plan(statement) {
                let is_of_few = ["orders_polled", "refills_polled", "refills_sending"]
                    .iter()
                    .any(|index| step.contains(&format!("USING INDEX {index}")));
                let is_by_state = step.contains("USING INDEX orders_by_state (state=?")
                    || step.contains("USING COVERING INDEX orders_by_state (state=?");
                let is_large = step.contains(" orders") || step.contains(" refills");
                assert!(!is_large || is_of_few || is_by_state, "{statement}: {step}");
                seen += usize::from(is_large);
            }
        }
        assert!(seen >= 6, "the plans say which tables they read");
        assert!(plan(claims::STOP_WATCHING)[0].contains("orders_polled (provider=?"), "by its provider");
    }
}
