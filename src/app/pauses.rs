//! Keeps what the operator holds back as the store has it: `tollgate pause` and `resume` work while the gateway
//! runs and while it does not.

use std::sync::Arc;

use super::App;
use super::trouble::warn_of;
use crate::store::StoreResult;
use crate::store::records::Pauses;

impl App {
    pub(super) async fn follow_pauses(self: Arc<Self>) {
        if let Err(error) = self.refresh_pauses().await {
            warn_of!(error, "what the operator paused could not be read again; what is known stays in force");
        }
    }

    async fn refresh_pauses(&self) -> StoreResult<()> {
        let now = self.store.pauses().await?;
        let before = self.pauses.load_full();
        if *before == now {
            return Ok(());
        }
        tell(&now);
        let eased = (before.everywhere && !now.everywhere) || !before.providers.is_subset(&now.providers);
        self.pauses.store(Arc::new(now));
        if eased {
            self.store.hasten_queued(self.clock.now()).await?;
            self.forward_nudge.notify_one();
        }
        Ok(())
    }
}

/// Says where no order leaves.
pub(super) fn tell(pauses: &Pauses) {
    let providers: Vec<&str> = pauses.providers.iter().map(|provider| provider.as_str()).collect();
    if pauses.everywhere {
        tracing::warn!("paused by the operator: no order leaves until `tollgate resume`");
    }
    if !providers.is_empty() {
        tracing::warn!("paused by the operator: no order leaves for {}", providers.join(", "));
    }
    if *pauses == Pauses::default() {
        tracing::info!("resumed by the operator: orders leave again");
    }
}
