//! Placing orders and writing their steps: what the ledger, the order and its history say is written together.

use std::collections::{HashMap, HashSet};

use super::order_reads;
use super::rows::{Columns, count, order_id, state_columns, write_tried};
use super::session::Session;
use super::values::{self, Value, params};
use crate::domain::ids::{ClientId, OrderId, OrderToken, Route};
use crate::domain::money::Money;
use crate::domain::order::{AttemptChange, Order, Step};
use crate::domain::outcome::OutcomeName;
use crate::domain::time::Timestamp;
use crate::store::records::{Applied, Earlier, RequestKey};
use crate::store::{StoreError, StoreResult};

// === Placing: what is left of it where it was given up, and how it is known again ===

/// The lock under which it is decided whether an order with this token is there.
pub(super) fn lock_of(token: OrderToken) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&token.0[..8]);
    i64::from_be_bytes(bytes)
}

/// See [`crate::store::Store::order_by_token`]. Waits for a placing that is under way; one that has yet to begin will find
/// that it was given up.
pub(super) async fn settle_token(db: &Session, token: OrderToken) -> StoreResult<Option<Order>> {
    db.rows("SELECT pg_advisory_xact_lock($1)", params![lock_of(token)]).await?;
    let found = order_reads::by_token(db, token).await?;
    if found.is_none() {
        let sql = "INSERT INTO given_up (token, at) VALUES ($1, clock_ms()) \
                   ON CONFLICT DO NOTHING";
        db.execute(sql, params![token.0.as_slice()]).await?;
    }
    Ok(found)
}

/// See [`crate::store::Store::earlier_request`].
pub(super) async fn find_request(db: &Session, client: ClientId, request: &RequestKey) -> StoreResult<Option<Earlier>> {
    let sql = "SELECT order_id, fingerprint FROM client_requests WHERE client = $1 AND request_id = $2 AND at >= $3";
    db.first(sql, params![client.0, &request.id, request.since.millis()], |row| {
        let mut columns = Columns::of(row);
        let id = order_id(columns.take()?)?;
        let same = columns.bytes::<32>()? == request.fingerprint;
        Ok(if same { Earlier::Repeat(id) } else { Earlier::Conflict })
    })
    .await
}

// === Steps ===

/// How long the gateway that took a client's wish has, to tell the upstream of it before others do, in milliseconds.
const TOLD_WITHIN: i64 = 35_000;

/// See [`crate::store::Store::give_back_cancel`].
pub(super) async fn give_back_cancel(db: &Session, order: &Order) -> StoreResult<()> {
    let sql = "UPDATE orders SET cancel_due = updated_at \
               WHERE id = $1 AND version = $2 AND cancel = 'wished' AND cancel_due = updated_at + $3";
    db.execute(sql, params![order.id.get(), count(order.version), TOLD_WITHIN]).await?;
    Ok(())
}

/// See [`crate::store::Store::apply_all`]. Rows are locked in one order, by their IDs and orders before clients, so that no two
/// that lock many wait for each other. A step that is not written with the others comes after them; as a rule because its
/// order has changed meanwhile, and to know that takes no lock.
pub(super) async fn apply_all(db: &Session, steps: &[Step]) -> StoreResult<Vec<Applied>> {
    let mut numbered: Vec<(usize, &Step)> = steps.iter().enumerate().collect();
    numbered.sort_by_key(|(_, step)| step.order.id);
    lock(db, &numbered).await?;
    let written = apply_together(db, &numbered).await?;
    let left: Vec<_> = numbered.iter().copied().filter(|(number, _)| !written.contains(number)).collect();
    let overtaken = if written.is_empty() { HashSet::new() } else { overtaken(db, &left).await? };
    let mut applied: Vec<_> = written.into_iter().map(|number| (number, Applied::Done)).collect();
    for (number, step) in left {
        let outcome = if overtaken.contains(&number) { Applied::Stale } else { apply(db, step).await? };
        applied.push((number, outcome));
    }
    applied.sort_unstable_by_key(|(number, _)| *number);
    Ok(applied.into_iter().map(|(_, applied)| applied).collect())
}

/// Where a client gets something back: its row is not locked between those of orders.
async fn lock(db: &Session, steps: &[(usize, &Step)]) -> StoreResult<()> {
    let refunded = steps.iter().filter(|(_, step)| step.refund.is_some());
    let clients: Vec<i64> = refunded.map(|(_, step)| step.order.client.0).collect();
    if clients.is_empty() || steps.len() == 1 {
        return Ok(());
    }
    let ids: Vec<i64> = steps.iter().map(|(_, step)| step.order.id.get().into()).collect();
    db.rows("SELECT id FROM orders WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE", params![ids]).await?;
    db.rows("SELECT id FROM clients WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE", params![clients]).await?;
    Ok(())
}

/// The numbers of those steps whose orders have gone on: a version never comes back.
async fn overtaken(db: &Session, steps: &[(usize, &Step)]) -> StoreResult<HashSet<usize>> {
    if steps.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<i64> = steps.iter().map(|(_, step)| step.order.id.get().into()).collect();
    let versions = db.collect("SELECT id, version FROM orders WHERE id = ANY($1)", params![ids], |row| {
        let mut columns = Columns::of(row);
        Ok((order_id(columns.take()?)?, columns.count()?))
    });
    let versions: HashMap<OrderId, u64> = versions.await?.into_iter().collect();
    let is_overtaken = |step: &Step| versions.get(&step.order.id).is_some_and(|version| *version >= step.order.version);
    Ok(steps.iter().filter(|(_, step)| is_overtaken(step)).map(|(number, _)| *number).collect())
}

/// What `apply_step` does, for many steps of which nothing has to be said but that they are written: no money moves, no
/// attempt begins or ends, and the upstream's ID stays. Each row is updated where it was locked.
const TOGETHER: &str = "WITH asked AS (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], \
         $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bigint[], $12::text[], \
         $13::text[], $14::bigint[], $15::bigint[], $16::text[], $17::text[], $18::bigint[], $19::bigint[], \
         $20::bigint[], $21::boolean[], $22::bigint[], $23::text[], $24::bigint[], $25::text[], $26::text[], \
         $27::bigint[]) WITH ORDINALITY AS asked (of_order, new_version, new_refunded, new_cost, new_queued_at, at_time, \
         new_state, new_provider, new_service, new_upstream_order, new_closed_at, new_status, new_word, new_start_count, \
         new_remains, new_first_charge, new_upstream_charge, new_polled_at, new_changed_at, new_silent_since, \
         new_silence_told, new_attempts, new_tried, new_round, new_cancel, new_refusal, new_due_at, number)), \
     held AS MATERIALIZED (SELECT asked.*, place FROM asked, LATERAL (SELECT ctid AS place FROM orders \
         WHERE id = of_order AND version + 1 = new_version AND refunded = new_refunded AND cancel = new_cancel \
         AND provider = new_provider AND upstream_order = new_upstream_order LIMIT 1 FOR NO KEY UPDATE) AS found), \
     written AS (UPDATE orders SET version = new_version, cost = new_cost, queued_at = new_queued_at, \
         updated_at = at_time, state = new_state, upstream_service = new_service, closed_at = new_closed_at, \
         status = new_status, word = new_word, start_count = new_start_count, remains = new_remains, \
         first_charge = new_first_charge, upstream_charge = new_upstream_charge, polled_at = new_polled_at, \
         changed_at = new_changed_at, silent_since = new_silent_since, silence_told = new_silence_told, \
         attempts = new_attempts, tried = new_tried, round = new_round, refusal = new_refusal, due_at = new_due_at \
         FROM held WHERE orders.ctid = place RETURNING number, id, version, updated_at), \
     told AS (INSERT INTO history (order_id, version, line, at, text, alert) \
         SELECT id, version, line, updated_at, note, note_alert <> 0 FROM written \
         JOIN unnest($28::bigint[], $29::bigint[], $30::text[], $31::bigint[]) AS notes (of_number, line, note, note_alert) \
         ON of_number = number) \
     SELECT number FROM written";

/// Writes by one statement what of some steps can be written so; gives the numbers of those that are. A step that is not
/// among them may be written by itself, or says then why not.
async fn apply_together(db: &Session, steps: &[(usize, &Step)]) -> StoreResult<HashSet<usize>> {
    let quiet = |step: &Step| step.refund.is_none() && step.attempt.is_none();
    let quiet: Vec<&(usize, &Step)> = steps.iter().filter(|(_, step)| quiet(step)).collect();
    if quiet.len() < 2 {
        return Ok(HashSet::new());
    }
    let mut rows = Vec::with_capacity(quiet.len());
    let mut notes = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((_, step), row) in quiet.iter().zip(1_i64..) {
        let mut columns = step_params(step)?;
        columns.truncate(27);
        rows.push(columns);
        for (note, line) in step.notes.iter().zip(0_i64..) {
            notes.0.push(row);
            notes.1.push(line);
            notes.2.push(note.text.clone());
            notes.3.push(i64::from(note.alert));
        }
    }
    let mut params = values::lists(&rows);
    params.extend(params![notes.0, notes.1, notes.2, notes.3]);
    let written = db.collect(TOGETHER, params, |row| Ok(row.try_get::<_, i64>(0)?)).await?;
    if !written.is_empty() {
        db.mark_written();
    }
    let number =
        |row: i64| usize::try_from(row).ok().and_then(|row| quiet.get(row.checked_sub(1)?)).map(|(number, _)| *number);
    Ok(written.into_iter().filter_map(number).collect())
}

/// See [`crate::store::Store::apply`]. One call of the schema's function, which writes nothing unless it gives
/// [`Applied::Done`].
pub(super) async fn apply(db: &Session, step: &Step) -> StoreResult<Applied> {
    let order = &step.order;
    let sql = "SELECT result, other FROM apply_step($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
               $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36)";
    let found = db.first(sql, step_params(step)?, |row| {
        let mut columns = Columns::of(row);
        Ok((columns.take::<String>()?, columns.take::<Option<i64>>()?))
    });
    let (word, found) =
        found.await?.ok_or_else(|| StoreError::Corrupt("its function apply_step gives nothing".into()))?;
    match (word.as_str(), found) {
        ("done", _) => {
            db.mark_written();
            Ok(Applied::Done)
        }
        ("stale", _) => Ok(Applied::Stale),
        ("taken", Some(holder)) => Ok(Applied::IdTaken(order_id(holder)?)),
        ("missing", _) => Err(StoreError::NotFound { what: "order", name: order.id.to_string() }),
        ("refunds", Some(refunded)) => Err(StoreError::Engine(format!(
            "a step of order {} refunds {} but takes its refunds from {} to {}; nothing was written, report it",
            order.id,
            step.refund.unwrap_or_default(),
            Money::from_units(refunded),
            order.refunded
        ))),
        (word, _) => Err(StoreError::Corrupt(format!("its function apply_step gives {word:?}"))),
    }
}

/// In the order in which the function takes them.
fn step_params(step: &Step) -> StoreResult<Vec<Value>> {
    let order = &step.order;
    let (place, progress) = (state_columns(&order.state), &order.progress);
    let attempt = AttemptParams::of(step);
    Ok(params![
        order.id.get(),
        count(order.version),
        order.refunded.units(),
        order.cost.map(Money::units),
        order.queued_at.millis(),
        order.updated_at.millis(),
        order.state.name(),
        place.route.map(|route| route.provider.as_str()),
        place.route.map(|route| route.service.as_str()),
        place.upstream_order.map(|id| id.as_str()),
        place.closed_at.map(Timestamp::millis),
        order.status.as_str(),
        &progress.word,
        progress.start_count.map(count),
        progress.remains.map(count),
        progress.first_charge.map(|charge| charge.to_string()),
        progress.upstream_charge.map(|charge| charge.to_string()),
        progress.polled_at.map(Timestamp::millis),
        progress.changed_at.map(Timestamp::millis),
        progress.silence.map(|silence| silence.since.millis()),
        progress.silence.map(|silence| silence.told),
        order.attempts.0,
        write_tried(&order.tried)?,
        order.round,
        order.cancel.as_str(),
        &order.refusal,
        order.due_at.map(Timestamp::millis),
        TOLD_WITHIN,
        step.refund.map(Money::units),
        attempt.number,
        attempt.route.map(|route| route.provider.as_str()),
        attempt.route.map(|route| route.service.as_str()),
        attempt.outcome.map(OutcomeName::as_str),
        attempt.detail,
        step.notes.iter().map(|note| note.text.clone()).collect::<Vec<_>>(),
        step.notes.iter().map(|note| i64::from(note.alert)).collect::<Vec<_>>(),
    ])
}

/// What happens to an attempt: with a route it begins, with an outcome it ends.
#[derive(Default)]
struct AttemptParams<'a> {
    number: Option<u32>,
    route: Option<&'a Route>,
    outcome: Option<OutcomeName>,
    detail: Option<&'a str>,
}

impl<'a> AttemptParams<'a> {
    fn of(step: &'a Step) -> Self {
        match &step.attempt {
            None => Self::default(),
            Some(AttemptChange::Started { number, route }) => {
                Self { number: Some(number.0), route: Some(route), ..Self::default() }
            }
            Some(AttemptChange::Finished { number, outcome, detail }) => {
                Self { number: Some(number.0), route: None, outcome: Some(*outcome), detail: Some(detail) }
            }
        }
    }
}

/// What became of steps whose commit was not acknowledged; `None` where none of them is written. Waits for a commit that is
/// still under way.
pub(super) async fn look_for(db: &Session, steps: &[Step], gateway: &str) -> StoreResult<Option<Vec<Applied>>> {
    // What is being sent is sent by whoever had it in hand: another gateway's step may look just the same.
    let sql = "SELECT version, updated_at FROM orders \
               WHERE id = $1 AND (state <> 'sending' OR holder = $2) FOR NO KEY UPDATE";
    let mut applied = Vec::with_capacity(steps.len());
    for step in steps {
        let order = &step.order;
        let found = db.first(sql, params![order.id.get(), gateway], |row| {
            let mut columns = Columns::of(row);
            Ok((columns.count()?, columns.time()?))
        });
        let written = found.await? == Some((order.version, order.updated_at));
        applied.push(if written { Applied::Done } else { Applied::Stale });
    }
    // All or none, and what is stale is read again.
    Ok(applied.contains(&Applied::Done).then_some(applied))
}
