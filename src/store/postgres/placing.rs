//! Placing orders: what is asked for while others are being committed goes together into the next transaction, so that
//! many orders share one round trip, one lock of their client's row and one wait for the disk.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::Instant;

use super::PostgresStore;
use super::orders::lock_of;
use super::rows::{Columns, order_id, write_json};
use super::session::Session;
use super::transactions::{TRY_FOR, Tries};
use super::values::{Value, params};
use crate::domain::ids::{ClientId, OrderId};
use crate::store::records::{Placed, Placement};
use crate::store::{PATIENCE, StoreError, StoreResult};

/// How many orders share a transaction at most.
const MAX_BATCH: usize = 64;
/// How many such transactions are under way at once: while one waits for the disk, another one works.
const AT_ONCE: usize = 2;

/// Orders that wait to be placed. Whoever waits longest for a turn places those that are there, its own or not.
pub(super) struct Placings {
    /// Each with the moment it came.
    waiting: Mutex<Vec<(Instant, Waiting)>>,
    pub(super) turns: Semaphore,
}

/// An order, and where to tell what came of it.
pub(super) struct Waiting {
    placement: Placement,
    reply: oneshot::Sender<Word>,
}

/// What whoever waits is told.
pub(super) enum Word {
    /// What came of it.
    Done(StoreResult<Placed>),
    /// Others were in the way of some client: these are all of one, its own among them. It places them, and hears then.
    Yours(Vec<Waiting>, oneshot::Receiver<Word>),
}

impl Waiting {
    const fn client(&self) -> ClientId {
        self.placement.order.client
    }
}

impl Placings {
    pub(super) fn new() -> Self {
        Self { waiting: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }

    /// Whoever asks may go away: what was asked for is placed all the same, as it is in SQLite. An `add` runs to its end
    /// when its client hangs up.
    pub(super) fn enter(&self, placement: Placement) -> oneshot::Receiver<Word> {
        let (reply, placed) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((Instant::now(), Waiting { placement, reply }));
        placed
    }

    /// The oldest of them, ordered by client: no two transactions lock clients in different orders. Those whose clients
    /// were told to try again are not among them.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let late = waiting.iter().take_while(|(came, _)| came.elapsed() >= PATIENCE).count();
        for (_, late) in waiting.drain(..late) {
            tell(late.reply, Err(StoreError::Overloaded));
        }
        let together = waiting.len().min(MAX_BATCH);
        let mut batch: Vec<Waiting> = waiting.drain(..together).map(|(_, waiting)| waiting).collect();
        batch.sort_by_key(|waiting| waiting.client().0);
        batch
    }
}

impl PostgresStore {
    /// See [`crate::store::Store::place`].
    pub(super) async fn place_soon(&self, placement: Placement) -> StoreResult<Placed> {
        let mut placed = self.placings.enter(placement);
        loop {
            let turn = tokio::select! {
                biased;
                word = &mut placed => return self.told(word).await,
                turn = self.placings.turns.acquire() => turn,
            };
            let batch = self.placings.take();
            // Its own is in another's hands.
            if batch.is_empty() {
                drop(turn);
                return self.told(placed.await).await;
            }
            self.place_batch(batch, turn.ok()).await;
        }
    }

    async fn told(&self, word: Result<Word, oneshot::error::RecvError>) -> StoreResult<Placed> {
        let word = match word {
            Ok(Word::Yours(group, placed)) => {
                self.place_batch(group, None).await;
                placed.await
            }
            word => word,
        };
        match word {
            Ok(Word::Done(placed)) => placed,
            // Whoever had it in hand may have gone in the middle.
            _ => Err(StoreError::InDoubt("the transaction that it was part of was given up".into())),
        }
    }

    /// Places them, and tells everyone who waits.
    async fn place_batch(&self, batch: Vec<Waiting>, turn: Option<SemaphorePermit<'_>>) {
        let began = Instant::now();
        let (placements, replies): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.placement, waiting.reply)).unzip();
        let mut outcome = self.place_together(&placements).await;
        // A client whose row somebody holds keeps nobody else waiting for longer than that took.
        if matches!(outcome, Err(StoreError::Overloaded)) && of_several(&placements) && began.elapsed() < TRY_FOR {
            drop(turn);
            return self.part(placements, replies).await;
        }
        // One that can't be written keeps none of the others back.
        if matches!(outcome, Err(StoreError::Engine(_))) && placements.len() > 1 {
            let mut placed = Vec::with_capacity(placements.len());
            for placement in &placements {
                let alone = self.place_together(std::slice::from_ref(placement)).await;
                placed.push(alone.and_then(|mut alone| alone.pop().unwrap_or_else(|| Err(nothing()))));
            }
            outcome = Ok(placed);
        }
        drop(turn);
        match outcome {
            Ok(placed) => replies.into_iter().zip(placed).for_each(|(reply, placed)| tell(reply, placed)),
            Err(error) => replies.into_iter().for_each(|reply| tell(reply, Err(error.clone()))),
        }
    }

    /// Leaves each client's orders, which stand together, to whoever waits for the first of them.
    async fn part(&self, placements: Vec<Placement>, replies: Vec<oneshot::Sender<Word>>) {
        let mut groups: Vec<Vec<Waiting>> = Vec::new();
        for (placement, reply) in placements.into_iter().zip(replies) {
            let waiting = Waiting { placement, reply };
            match groups.last_mut().filter(|group| group.iter().all(|other| other.client() == waiting.client())) {
                Some(group) => group.push(waiting),
                None => groups.push(vec![waiting]),
            }
        }
        for mut group in groups {
            let Some(first) = group.first_mut() else { continue };
            let (reply, placed) = oneshot::channel();
            let first = std::mem::replace(&mut first.reply, reply);
            // Where that has gone away, it is placed all the same.
            if let Err(Word::Yours(group, _)) = first.send(Word::Yours(group, placed)) {
                Box::pin(self.place_batch(group, None)).await;
            }
        }
    }

    /// One transaction; of one client, tried again where others were in its way.
    async fn place_together(&self, placements: &[Placement]) -> StoreResult<Vec<StoreResult<Placed>>> {
        let mut tries = Tries::new();
        let placed = loop {
            let placed = async { place_all(&self.writer().await?, placements, self.gateway()).await };
            match placed.await {
                Err(error) if !of_several(placements) && tries.again(&error) => {}
                placed => break placed,
            }
        };
        let is_new = |placed: &StoreResult<Placed>| matches!(placed, Ok(Placed::New(_)));
        self.heard(&placed, placed.as_ref().is_ok_and(|placed| placed.iter().any(is_new)));
        placed
    }
}

/// Whoever asked may have gone; what was committed stays.
fn tell(reply: oneshot::Sender<Word>, placed: StoreResult<Placed>) {
    drop(reply.send(Word::Done(placed)));
}

/// Whether they are several clients'; those of one stand together.
fn of_several(placements: &[Placement]) -> bool {
    placements.first().map(|first| first.order.client) != placements.last().map(|last| last.order.client)
}

fn nothing() -> StoreError {
    StoreError::Corrupt("its function place_order gives nothing".into())
}

/// One call of the schema's function for each of them, in one statement, which is a transaction of its own. What comes of
/// each, in their order.
async fn place_all(db: &Session, placements: &[Placement], gateway: &str) -> StoreResult<Vec<StoreResult<Placed>>> {
    let sql = "SELECT place, result, new_id FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], \
               $5::bigint[], $6::text[], $7::text[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::bytea[], \
               $13::bigint[], $14::bigint[]) WITH ORDINALITY \
               AS asked (a, b, c, d, e, f, g, h, i, j, k, l, m, n, place), \
               LATERAL place_order(a, b, c, d, e, f, g, h, i, j, k, l, m, n, $15)";
    let found = db.collect(sql, asked(placements, gateway)?, |row| {
        let mut columns = Columns::of(row);
        let place: i64 = columns.take()?;
        Ok((place, columns.take::<String>()?, columns.take::<Option<i64>>()?.map(order_id).transpose()?))
    });
    let mut found = match found.await {
        Err(StoreError::Engine(said)) if placements.len() == 1 && said.contains("(2200H)") => {
            return Ok(vec![Ok(Placed::NoMoreIds)]);
        }
        found => found?,
    };
    if found.len() != placements.len() {
        return Err(nothing());
    }
    found.sort_by_key(|(place, ..)| *place);
    Ok(placements.iter().zip(found).map(|(placement, (_, word, id))| read(placement, &word, id)).collect())
}

fn asked(placements: &[Placement], gateway: &str) -> StoreResult<Vec<Value>> {
    fn each<T>(placements: &[Placement], value: impl Fn(&Placement) -> T) -> Vec<T> {
        placements.iter().map(value).collect()
    }
    let of_params = |placement: &Placement| write_json(&placement.order.params);
    Ok(params![
        each(placements, |placement| placement.order.client.0),
        each(placements, |placement| placement.now.millis()),
        each(placements, |placement| placement.now.start_of_day().millis()),
        each(placements, |placement| Some(placement.order.token.0.to_vec())),
        each(placements, |placement| i64::from(placement.order.service.get())),
        each(placements, |placement| placement.order.kind.name().to_owned()),
        placements.iter().map(of_params).collect::<StoreResult<Vec<_>>>()?,
        each(placements, |placement| placement.order.charge.units()),
        each(placements, |placement| placement.claimed_until.millis()),
        each(placements, |placement| format!("accepted, charged {}", placement.order.charge)),
        each(placements, |placement| placement.request.as_ref().map(|request| request.id.clone())),
        each(placements, |placement| placement.request.as_ref().map(|request| request.fingerprint.to_vec())),
        each(placements, |placement| placement.request.as_ref().map(|request| request.since.millis())),
        each(placements, |placement| lock_of(placement.order.token)),
        gateway,
    ])
}

fn read(placement: &Placement, word: &str, id: Option<OrderId>) -> StoreResult<Placed> {
    let Placement { order, now, claimed_until, .. } = placement;
    match (word, id) {
        ("placed", Some(id)) => Ok(Placed::New(Box::new(order.clone().into_order(id, *now, *claimed_until)))),
        ("repeat", Some(id)) => Ok(Placed::Repeat(id)),
        ("conflict", _) => Ok(Placed::RequestConflict),
        ("disabled", _) => Ok(Placed::ClientDisabled),
        ("funds", _) => Ok(Placed::NotEnoughFunds),
        ("limit", _) => Ok(Placed::DailyLimit),
        // Whoever looked for it was told that it is not there.
        ("given up", _) => Err(StoreError::Engine("an order came too late, it was not taken".into())),
        (word, _) => Err(StoreError::Corrupt(format!("its function place_order gives {word:?}"))),
    }
}
