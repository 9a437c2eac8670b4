//! Placing orders and writing their steps: what the ledger, the order and its history say is written together.

use rusqlite::{Connection, named_params, params};

use super::movements::{Entry, post, terms};
use super::rows::{Columns, count, first, order_id, state_columns, write_json, write_tried};
use super::searches;
use crate::domain::client::EntryKind;
use crate::domain::ids::{ClientId, MAX_PUBLIC_ID, OrderId};
use crate::domain::money::Money;
use crate::domain::order::{AttemptChange, Note, Order, Step};
use crate::domain::time::Timestamp;
use crate::store::records::{Applied, Earlier, Placed, Placement, RequestKey};
use crate::store::{StoreError, StoreResult};

// === Placing ===

/// See [`crate::store::Store::place`].
pub(super) fn place(conn: &Connection, placement: Placement) -> StoreResult<Placed> {
    let Placement { order, request, now, claimed_until } = placement;
    if let Some(request) = &request
        && let Some(earlier) = find_request(conn, order.client, request)?
    {
        return Ok(match earlier {
            Earlier::Repeat(id) => Placed::Repeat(id),
            Earlier::Conflict => Placed::RequestConflict,
        });
    }
    let Some(terms) = terms(conn, order.client)?.filter(|terms| !terms.disabled) else {
        return Ok(Placed::ClientDisabled);
    };
    let spendable = terms.balance.checked_add(terms.credit).unwrap_or(terms.balance);
    if spendable < order.charge {
        return Ok(Placed::NotEnoughFunds);
    }
    if let Some(limit) = terms.daily_limit {
        let spent = terms.spent(conn, order.client, now)?;
        if spent.checked_add(order.charge).is_none_or(|spent| spent > limit) {
            return Ok(Placed::DailyLimit);
        }
    }
    let Some(id) = next_order_id(conn)? else { return Ok(Placed::NoMoreIds) };
    let order = order.into_order(id, now, claimed_until);
    insert(conn, &order)?;
    post(
        conn,
        &terms,
        Entry { order: Some(id), ..Entry::new(order.client, now, EntryKind::Charge, order.charge.negated()) },
    )?;
    write_history(conn, &order, [Note { text: format!("accepted, charged {}", order.charge), alert: false }].iter())?;
    if let Some(request) = request {
        keep_request(conn, &order, &request)?;
    }
    Ok(Placed::New(Box::new(order)))
}

/// See [`crate::store::Store::earlier_request`].
pub(super) fn find_request(conn: &Connection, client: ClientId, request: &RequestKey) -> StoreResult<Option<Earlier>> {
    let mut statement = conn.prepare_cached(
        "SELECT order_id, fingerprint FROM client_requests WHERE client = ?1 AND request_id = ?2 AND at >= ?3",
    )?;
    first(&mut statement, params![client.0, request.id, request.since.millis()], |row| {
        let id = order_id(row.get(0)?)?;
        let same = row.get::<_, [u8; 32]>(1)? == request.fingerprint;
        Ok(if same { Earlier::Repeat(id) } else { Earlier::Conflict })
    })
}

fn keep_request(conn: &Connection, order: &Order, request: &RequestKey) -> StoreResult<()> {
    conn.prepare_cached(
        "INSERT INTO client_requests (client, request_id, fingerprint, order_id, at) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (client, request_id) DO UPDATE SET \
         fingerprint = excluded.fingerprint, order_id = excluded.order_id, at = excluded.at",
    )?
    .execute(params![
        order.client.0,
        request.id,
        request.fingerprint,
        order.id.get(),
        order.created_at.millis()
    ])?;
    Ok(())
}

fn next_order_id(conn: &Connection) -> StoreResult<Option<OrderId>> {
    let mut statement = conn.prepare_cached(
        "UPDATE store SET next_order_id = next_order_id + 1 WHERE next_order_id <= ?1 RETURNING next_order_id - 1",
    )?;
    first(&mut statement, [MAX_PUBLIC_ID], |row| order_id(row.get(0)?))
}

fn insert(conn: &Connection, order: &Order) -> StoreResult<()> {
    conn.prepare_cached(
        "INSERT INTO orders (id, version, token, client, service, kind, params, charge, refunded, created_at, \
         queued_at, updated_at, state, status, attempts, tried, round, cancel, due_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?11, ?12, ?13, 0, '[]', 0, 'none', ?14)",
    )?
    .execute(params![
        order.id.get(),
        count(order.version),
        order.token.0,
        order.client.0,
        order.service.get(),
        order.kind.name(),
        write_json(&order.params)?,
        order.charge.units(),
        order.created_at.millis(),
        order.queued_at.millis(),
        order.updated_at.millis(),
        order.state.name(),
        order.status.as_str(),
        order.due_at.map(Timestamp::millis),
    ])?;
    Ok(())
}

// === Steps ===

/// What a step is checked against.
struct Present {
    version: u64,
    client: ClientId,
    refunded: Money,
    place: Place,
}

/// Where an order stands, as its columns say it.
#[derive(PartialEq, Eq)]
struct Place {
    state: String,
    provider: Option<String>,
    upstream_service: Option<String>,
    upstream_order: Option<String>,
    closed_at: Option<i64>,
}

impl Place {
    fn of(order: &Order) -> Self {
        let place = state_columns(&order.state);
        Self {
            state: order.state.name().to_owned(),
            provider: place.route.map(|route| route.provider.as_str().to_owned()),
            upstream_service: place.route.map(|route| route.service.as_str().to_owned()),
            upstream_order: place.upstream_order.map(|id| id.as_str().to_owned()),
            closed_at: place.closed_at.map(Timestamp::millis),
        }
    }

    fn read(columns: &mut Columns) -> StoreResult<Self> {
        Ok(Self {
            state: columns.take()?,
            provider: columns.take()?,
            upstream_service: columns.take()?,
            upstream_order: columns.take()?,
            closed_at: columns.take()?,
        })
    }
}

/// See [`crate::store::Store::apply`]. Writes nothing unless it gives [`Applied::Done`].
pub(super) fn apply(conn: &Connection, step: &Step) -> StoreResult<Applied> {
    let order = &step.order;
    let present = present(conn, order.id)?;
    if present.version.checked_add(1) != Some(order.version) {
        return Ok(Applied::Stale);
    }
    let place = Place::of(order);
    let moved = place != present.place;
    if moved && let Some(holder) = other_holder(conn, order)? {
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
    update(conn, order, moved.then_some(&place))?;
    if let Some(refund) = step.refund {
        give_back(conn, present.client, order, refund)?;
    }
    if let Some(change) = &step.attempt {
        write_attempt(conn, order, change)?;
    }
    searches::note(conn, step)?;
    write_history(conn, order, step.notes.iter())?;
    Ok(Applied::Done)
}

fn present(conn: &Connection, id: OrderId) -> StoreResult<Present> {
    let mut statement = conn.prepare_cached(
        "SELECT version, client, refunded, state, provider, upstream_service, upstream_order, closed_at \
         FROM orders WHERE id = ?1",
    )?;
    let present = first(&mut statement, [id.get()], |row| {
        let mut columns = Columns::of(row);
        Ok(Present {
            version: columns.count()?,
            client: ClientId(columns.take()?),
            refunded: columns.money()?,
            place: Place::read(&mut columns)?,
        })
    })?;
    present.ok_or_else(|| StoreError::NotFound { what: "order", name: id.to_string() })
}

fn other_holder(conn: &Connection, order: &Order) -> StoreResult<Option<OrderId>> {
    let Some(binding) = order.binding() else { return Ok(None) };
    let mut statement =
        conn.prepare_cached("SELECT id FROM orders WHERE provider = ?1 AND upstream_order = ?2 AND id <> ?3")?;
    let params = params![binding.route.provider.as_str(), binding.id.as_str(), order.id.get()];
    first(&mut statement, params, |row| order_id(row.get(0)?))
}

/// What every step may change. How often an upstream was told of a wish counts from that wish on.
macro_rules! changes {
    () => {
        "version = :version, refunded = :refunded, cost = :cost, queued_at = :queued_at, updated_at = :updated_at, \
         status = :status, word = :word, start_count = :start_count, remains = :remains, first_charge = :first_charge, \
         upstream_charge = :upstream_charge, polled_at = :polled_at, changed_at = :changed_at, \
         silent_since = :silent_since, silence_told = :silence_told, attempts = :attempts, tried = :tried, \
         round = :round, cancel = :cancel, refusal = :refusal, due_at = :due_at, \
         cancel_due = CASE cancel WHEN 'wished' THEN cancel_due END, \
         cancel_tries = CASE cancel WHEN 'wished' THEN cancel_tries ELSE 0 END"
    };
}

/// Writes the order. A column that is set has its indexes written anew, changed or not: where it stands is left out where
/// it stays, as in nearly every poll.
fn update(conn: &Connection, order: &Order, moved_to: Option<&Place>) -> StoreResult<()> {
    let progress = &order.progress;
    let changes = named_params! {
        ":id": order.id.get(),
        ":version": count(order.version),
        ":refunded": order.refunded.units(),
        ":cost": order.cost.map(Money::units),
        ":queued_at": order.queued_at.millis(),
        ":updated_at": order.updated_at.millis(),
        ":status": order.status.as_str(),
        ":word": progress.word,
        ":start_count": progress.start_count.map(count),
        ":remains": progress.remains.map(count),
        ":first_charge": progress.first_charge.map(|charge| charge.to_string()),
        ":upstream_charge": progress.upstream_charge.map(|charge| charge.to_string()),
        ":polled_at": progress.polled_at.map(Timestamp::millis),
        ":changed_at": progress.changed_at.map(Timestamp::millis),
        ":silent_since": progress.silence.map(|silence| silence.since.millis()),
        ":silence_told": progress.silence.map(|silence| silence.told),
        ":attempts": order.attempts.0,
        ":tried": write_tried(&order.tried)?,
        ":round": order.round,
        ":cancel": order.cancel.as_str(),
        ":refusal": order.refusal,
        ":due_at": order.due_at.map(Timestamp::millis),
    };
    let Some(place) = moved_to else {
        conn.prepare_cached(concat!("UPDATE orders SET ", changes!(), " WHERE id = :id"))?.execute(changes)?;
        return Ok(());
    };
    let moved = named_params! {
        ":state": place.state,
        ":provider": place.provider,
        ":upstream_service": place.upstream_service,
        ":upstream_order": place.upstream_order,
        ":closed_at": place.closed_at,
    };
    conn.prepare_cached(concat!(
        "UPDATE orders SET ",
        changes!(),
        ", state = :state, provider = :provider, upstream_service = :upstream_service, \
         upstream_order = :upstream_order, closed_at = :closed_at WHERE id = :id"
    ))?
    .execute(&*[changes, moved].concat())?;
    Ok(())
}

fn give_back(conn: &Connection, client: ClientId, order: &Order, refund: Money) -> StoreResult<()> {
    let terms = terms(conn, client)?.ok_or_else(|| {
        StoreError::Corrupt(format!("order {} belongs to client {client}, who is not there", order.id))
    })?;
    let entry = Entry { order: Some(order.id), ..Entry::new(client, order.updated_at, EntryKind::Refund, refund) };
    post(conn, &terms, entry)?;
    Ok(())
}

fn write_attempt(conn: &Connection, order: &Order, change: &AttemptChange) -> StoreResult<()> {
    let (at, version) = (order.updated_at.millis(), count(order.version));
    let (number, rows) = match change {
        AttemptChange::Started { number, route } => {
            let mut statement = conn.prepare_cached(
                "INSERT INTO attempts (order_id, number, provider, upstream_service, started_at, started_version) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            let (provider, service) = (route.provider.as_str(), route.service.as_str());
            (number, statement.execute(params![order.id.get(), number.0, provider, service, at, version])?)
        }
        AttemptChange::Finished { number, outcome, detail } => {
            let mut statement = conn.prepare_cached(
                "UPDATE attempts SET finished_at = ?3, finished_version = ?4, outcome = ?5, detail = ?6 \
                 WHERE order_id = ?1 AND number = ?2",
            )?;
            (number, statement.execute(params![order.id.get(), number.0, at, version, outcome.as_str(), detail])?)
        }
    };
    if rows == 1 {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!("order {} has no attempt {number}, which ended", order.id)))
}

fn write_history<'a>(conn: &Connection, order: &Order, notes: impl Iterator<Item = &'a Note>) -> StoreResult<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO history (order_id, version, line, at, text, alert) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (line, note) in (0_i64..).zip(notes) {
        let (version, at) = (count(order.version), order.updated_at.millis());
        statement.execute(params![order.id.get(), version, line, at, note.text, note.alert])?;
    }
    Ok(())
}
