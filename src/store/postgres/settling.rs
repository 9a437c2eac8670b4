//! Steps of orders, and orders themselves, whose commit was not acknowledged: it is looked up whether they are written.

use std::time::Duration;

use super::transactions::{Tries, writing};
use super::{PostgresStore, orders, session};
use crate::domain::ids::OrderToken;
use crate::domain::order::{Order, Step};
use crate::store::records::Applied;
use crate::store::{StoreError, StoreResult};

/// How often it is looked up whether a commit took place whose acknowledgement was lost.
const SETTLE_TRIES: u32 = 20;
/// After which time each.
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
        for _ in 0..SETTLE_TRIES {
            match self.look_for(steps).await {
                Ok(Some(applied)) => return Ok(applied),
                Ok(None) => return Err(error),
                Err(again) => {
                    tracing::error!(error = %again, "whether steps of orders were written can't be looked up");
                    tokio::time::sleep(SETTLE_RETRY).await;
                }
            }
        }
        Err(error)
    }

    pub(super) async fn look_for(&self, steps: &[Step]) -> StoreResult<Option<Vec<Applied>>> {
        let db = session(&self.pool).await?;
        db.begin().await?;
        let found = orders::look_for(&db, steps, self.gateway()).await;
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
