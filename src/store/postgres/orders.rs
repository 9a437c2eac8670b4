//! Placing orders and writing their steps: what the ledger, the order and its history say is written together.

use super::movements::{Entry, post, terms};
use super::order_reads;
use super::rows::{Columns, columns, count, order_id, read_order, state_columns, write_json, write_tried};
use super::searches;
use super::session::Session;
use super::values::params;
use crate::domain::client::EntryKind;
use crate::domain::ids::{ClientId, OrderId, OrderToken};
use crate::domain::money::Money;
use crate::domain::order::{AttemptChange, Note, Order, Step};
use crate::domain::time::Timestamp;
use crate::store::records::{Applied, Earlier, Placed, Placement, RequestKey};
use crate::store::{StoreError, StoreResult};

// === Placing ===

/// See [`crate::store::Store::place`]. One call of the schema's function, which is its own transaction.
pub(super) async fn place(db: &Session, placement: &Placement, gateway: &str) -> StoreResult<Placed> {
    let Placement { order, request, now, claimed_until } = placement;
    let request_print = request.as_ref().map(|request| request.fingerprint.to_vec());
    let params = params![
        order.client.0,
        now.millis(),
        now.start_of_day().millis(),
        order.token.0.as_slice(),
        i64::from(order.service.get()),
        order.kind.name(),
        write_json(&order.params)?,
        order.charge.units(),
        claimed_until.millis(),
        format!("accepted, charged {}", order.charge),
        request.as_ref().map(|request| &request.id),
        request_print,
        request.as_ref().map(|request| request.since.millis()),
        lock_of(order.token),
        gateway,
    ];
    let sql =
        "SELECT result, new_id FROM place_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    let found = db.first(sql, params, |row| {
        let mut columns = Columns::of(row);
        let word: String = columns.take()?;
        Ok((word, columns.take::<Option<i64>>()?.map(order_id).transpose()?))
    });
    match found.await {
        Err(StoreError::Engine(said)) if said.contains("(2200H)") => Ok(Placed::NoMoreIds),
        Err(error) => Err(error),
        Ok(None) => Err(StoreError::Corrupt("its function place_order gives nothing".into())),
        Ok(Some((word, id))) => match (word.as_str(), id) {
            ("placed", Some(id)) => Ok(Placed::New(Box::new(order.clone().into_order(id, *now, *claimed_until)))),
            ("repeat", Some(id)) => Ok(Placed::Repeat(id)),
            ("conflict", _) => Ok(Placed::RequestConflict),
            ("disabled", _) => Ok(Placed::ClientDisabled),
            ("funds", _) => Ok(Placed::NotEnoughFunds),
            ("limit", _) => Ok(Placed::DailyLimit),
            // Whoever looked for it was told that it is not there.
            ("given up", _) => Err(StoreError::Engine("an order came too late, it was not taken".into())),
            (word, _) => Err(StoreError::Corrupt(format!("its function place_order gives {word:?}"))),
        },
    }
}

/// The lock under which it is decided whether an order with this token is there.
fn lock_of(token: OrderToken) -> i64 {
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

/// What a step is checked against.
struct Present {
    version: u64,
    client: ClientId,
    refunded: Money,
}

/// See [`crate::store::Store::apply_all`]. All rows are locked first, in one order, so that no two of these wait for each
/// other.
pub(super) async fn apply_all(db: &Session, steps: &[Step]) -> StoreResult<Vec<Applied>> {
    if steps.len() > 1 {
        let ids: Vec<i64> = steps.iter().map(|step| step.order.id.get().into()).collect();
        db.rows("SELECT id FROM orders WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE", params![ids]).await?;
        let refunded = steps.iter().filter(|step| step.refund.is_some());
        let clients: Vec<i64> = refunded.map(|step| step.order.client.0).collect();
        if clients.len() > 1 {
            db.rows("SELECT id FROM clients WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE", params![clients])
                .await?;
        }
    }
    let mut applied = Vec::with_capacity(steps.len());
    for step in steps {
        applied.push(apply(db, step).await?);
    }
    Ok(applied)
}

/// See [`crate::store::Store::apply`]. Writes nothing unless it gives [`Applied::Done`].
pub(super) async fn apply(db: &Session, step: &Step) -> StoreResult<Applied> {
    let order = &step.order;
    let present = present(db, order.id).await?;
    if present.version.checked_add(1) != Some(order.version) {
        return Ok(Applied::Stale);
    }
    if let Some(holder) = other_holder(db, order).await? {
        return Ok(Applied::IdTaken(holder));
    }
    if present.refunded.checked_add(step.refund.unwrap_or_default()) != Some(order.refunded) {
        return Err(StoreError::Engine(format!(
            "a step of order {} refunds {} but takes its refunds from {} to {}; nothing was written, report it",
            order.id,
            step.refund.unwrap_or_default(),
            present.refunded,
            order.refunded
        )));
    }
    update(db, order).await?;
    if let Some(refund) = step.refund {
        give_back(db, present.client, order, refund).await?;
    }
    if let Some(change) = &step.attempt {
        write_attempt(db, order, change).await?;
    }
    searches::note(db, step).await?;
    write_history(db, order, &step.notes).await?;
    Ok(Applied::Done)
}

/// What became of steps whose commit was not acknowledged; `None` where none of them is written. Waits for a commit that is
/// still under way.
pub(super) async fn look_for(db: &Session, steps: &[Step]) -> StoreResult<Option<Vec<Applied>>> {
    let sql = concat!("SELECT ", columns!(), " FROM orders WHERE id = $1 FOR NO KEY UPDATE");
    let mut applied = Vec::with_capacity(steps.len());
    for step in steps {
        let found = db.first(sql, params![step.order.id.get()], read_order).await?;
        applied.push(if found.is_some_and(|found| found == step.order) { Applied::Done } else { Applied::Stale });
    }
    // All or none, and what is stale is read again.
    Ok(applied.contains(&Applied::Done).then_some(applied))
}

async fn present(db: &Session, id: OrderId) -> StoreResult<Present> {
    let sql = "SELECT version, client, refunded FROM orders WHERE id = $1 FOR NO KEY UPDATE";
    let present = db.first(sql, params![id.get()], |row| {
        let mut columns = Columns::of(row);
        Ok(Present { version: columns.count()?, client: ClientId(columns.take()?), refunded: columns.money()? })
    });
    present.await?.ok_or_else(|| StoreError::NotFound { what: "order", name: id.to_string() })
}

async fn other_holder(db: &Session, order: &Order) -> StoreResult<Option<OrderId>> {
    let Some(binding) = order.binding() else { return Ok(None) };
    let sql = "SELECT id FROM orders WHERE provider = $1 AND upstream_order = $2 AND id <> $3";
    let params = params![binding.route.provider.as_str(), binding.id.as_str(), order.id.get()];
    db.first(sql, params, |row| order_id(row.try_get(0)?)).await
}

async fn update(db: &Session, order: &Order) -> StoreResult<()> {
    let place = state_columns(&order.state);
    let progress = &order.progress;
    db.execute(
        "UPDATE orders SET version = $2, refunded = $3, cost = $4, queued_at = $5, updated_at = $6, state = $7, \
         provider = $8, upstream_service = $9, upstream_order = $10, closed_at = $11, status = $12, word = $13, \
         start_count = $14, remains = $15, first_charge = $16, upstream_charge = $17, polled_at = $18, changed_at = $19, \
         silent_since = $20, silence_told = $21, attempts = $22, tried = $23, round = $24, cancel = $25, refusal = $26, \
         due_at = $27, cancel_due = CASE WHEN $25 = 'wished' AND cancel <> 'wished' AND $7 = 'placed' \
         THEN $6 + $28 ELSE cancel_due END WHERE id = $1",
        params![
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
        ],
    )
    .await?;
    Ok(())
}

async fn give_back(db: &Session, client: ClientId, order: &Order, refund: Money) -> StoreResult<()> {
    let terms = terms(db, client).await?.ok_or_else(|| {
        StoreError::Corrupt(format!("order {} belongs to client {client}, who is not there", order.id))
    })?;
    let entry = Entry { order: Some(order.id), ..Entry::new(client, order.updated_at, EntryKind::Refund, refund) };
    post(db, &terms, entry).await?;
    Ok(())
}

async fn write_attempt(db: &Session, order: &Order, change: &AttemptChange) -> StoreResult<()> {
    let (at, version) = (order.updated_at.millis(), count(order.version));
    let (number, rows) = match change {
        AttemptChange::Started { number, route } => {
            let sql = "INSERT INTO attempts (order_id, number, provider, upstream_service, started_at, started_version) \
                       VALUES ($1, $2, $3, $4, $5, $6)";
            let (provider, service) = (route.provider.as_str(), route.service.as_str());
            (number, db.execute(sql, params![order.id.get(), number.0, provider, service, at, version]).await?)
        }
        AttemptChange::Finished { number, outcome, detail } => {
            let sql = "UPDATE attempts SET finished_at = $3, finished_version = $4, outcome = $5, detail = $6 \
                       WHERE order_id = $1 AND number = $2";
            (number, db.execute(sql, params![order.id.get(), number.0, at, version, outcome.as_str(), detail]).await?)
        }
    };
    if rows == 1 {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!("order {} has no attempt {number}, which ended", order.id)))
}

async fn write_history(db: &Session, order: &Order, notes: &[Note]) -> StoreResult<()> {
    let sql = "INSERT INTO history (order_id, version, line, at, text, alert) VALUES ($1, $2, $3, $4, $5, $6)";
    for (line, note) in (0_i64..).zip(notes) {
        let (version, at) = (count(order.version), order.updated_at.millis());
        db.execute(sql, params![order.id.get(), version, line, at, &note.text, note.alert]).await?;
    }
    Ok(())
}
