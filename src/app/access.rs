//! Keeps the table of keys as the store has it, whoever changed it there.

use std::sync::Arc;

use super::App;
use super::auth::AccessTable;
use super::trouble::warn_of;
use crate::store::StoreResult;

impl App {
    pub(super) async fn follow_access(self: Arc<Self>) {
        if let Err(error) = self.refresh_access().await {
            warn_of!(error, "the clients' keys could not be read again; those known stay in force");
        }
    }

    async fn refresh_access(&self) -> StoreResult<()> {
        if self.store.access_version().await? != self.access.load().version() {
            let list = self.store.access_list().await?;
            let table = AccessTable::new(list, &self.access.load());
            self.access.store(Arc::new(table));
        }
        Ok(())
    }
}
