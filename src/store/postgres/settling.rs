//! Steps of orders, refills, and orders themselves, whose commit was not acknowledged: it is looked up whether they are written.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::transactions::{Tries, writing};
use super::{PostgresStore, orders, refills, session};
use crate::domain::ids::OrderToken;
use crate::domain::order::{Order, Step};
use crate::domain::refill::Refill;
use crate::store::records::{Applied, OpenedRefill};
use crate::store::{StoreError, StoreResult};

/// Between two looks whether a commit took place whose acknowledgement was lost.
const SETTLE_RETRY: Duration = Duration::from_millis(500);

impl PostgresStore {
    /// See [`crate::store::Store::apply`].
    pub(super) async fn write_step(&self, step: Step) -> StoreResult<Applied> {
        let mut tries = Tries::new();
        let applied = loop {
            let applied = async { orders::apply(&self.writer().await?, &step).await };
            match applied.await {
                Err(error) if tries.again(&error) => {}
                applied => break applied,
            }
        };
        self.heard(&applied, matches!(applied, Ok(Applied::Done)));
        match applied {
            Err(error @ StoreError::InDoubt(_)) => {
                let applied = self.settle(&[step], error).await?;
                applied.into_iter().next().ok_or_else(|| StoreError::Corrupt("a step came to nothing".into()))
            }
            applied => applied,
        }
    }

    /// See [`crate::store::Store::apply_all`].
    pub(super) async fn write_steps(&self, steps: &[Step]) -> StoreResult<Vec<Applied>> {
        match writing!(self, |db| orders::apply_all(&db, steps)) {
            Err(error @ StoreError::InDoubt(_)) => self.settle(steps, error).await,
            applied => applied,
        }
    }

    /// What became of steps whose commit was not acknowledged: the orders' versions say, once no transaction holds them
    /// any more. Gives `error` where they are not written.
    async fn settle(&self, steps: &[Step], error: StoreError) -> StoreResult<Vec<Applied>> {
        at_last("steps of orders were", || self.look_for(steps)).await.ok_or(error)
    }

    pub(super) async fn look_for(&self, steps: &[Step]) -> StoreResult<Option<Vec<Applied>>> {
        let db = session(&self.pool).await?;
        db.begin().await?;
        let found = orders::look_for(&db, steps, self.gateway()).await;
        db.roll_back().await;
        found
    }

    /// The same for a refill; `made`: what was to be committed.
    pub(super) async fn settle_refill(
        &self,
        opened: StoreResult<OpenedRefill>,
        made: Mutex<Option<Refill>>,
    ) -> StoreResult<OpenedRefill> {
        match (opened, made.into_inner().unwrap_or_else(PoisonError::into_inner)) {
            (Err(error @ StoreError::InDoubt(_)), Some(made)) => {
                let is_there = at_last("a refill was", || self.look_for_refill(&made)).await;
                if is_there { Ok(OpenedRefill::New(Box::new(made))) } else { Err(error) }
            }
            (opened, _) => opened,
        }
    }

    async fn look_for_refill(&self, made: &Refill) -> StoreResult<bool> {
        let db = session(&self.pool).await?;
        db.begin().await?;
        let found = refills::is_there(&db, made).await;
        db.roll_back().await;
        found
    }

    /// See [`crate::store::Store::order_by_token`].
    pub(super) async fn settle_token(&self, token: OrderToken) -> StoreResult<Option<Order>> {
        // On its own: a gateway that can't write for another reason must learn it all the same.
        let db = session(&self.pool).await?;
        db.begin().await?;
        let found = orders::settle_token(&db, token).await;
        match found {
            Ok(found) => db.commit().await.map(|()| found),
            Err(error) => {
                db.roll_back().await;
                Err(error)
            }
        }
    }
}

/// What `look` finds, as soon as the server can say. Nobody else knows: an order or a refill that is given up before may stand
/// there as being sent, and nobody sends it.
async fn at_last<T, F>(what: &str, look: impl Fn() -> F + Send + Sync) -> T
where
    F: Future<Output = StoreResult<T>> + Send,
{
    let mut told = false;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(error) => {
                // A store that can't write has told of it.
                if !matches!(error, StoreError::CannotWrite(_)) && !std::mem::replace(&mut told, true) {
                    tracing::error!(%error, "whether {what} written can't be looked up yet; trying on");
                }
                tokio::time::sleep(SETTLE_RETRY).await;
            }
        }
    }
}
