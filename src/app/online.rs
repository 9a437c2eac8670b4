//! Asks a provider what `tollgate check --online` wants to know, and changes nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::App;
use crate::domain::ids::ProviderId;
use crate::upstream::Priority;

/// How long such a call stands in the provider's queue.
const PERMIT_WAIT: Duration = Duration::from_secs(60);

/// What a provider answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineReport {
    /// What is left on our account.
    pub balance: String,
    /// What that is in, where it says so.
    pub currency: Option<String>,
    /// The IDs there of all that it lists.
    pub services: Vec<String>,
    /// How many more it lists that can't be read, or twice.
    #[serde(default)]
    pub unreadable: usize,
    /// Those of them that it lists at a rate of 0.
    #[serde(default)]
    pub free: Vec<String>,
}

impl App {
    /// Whether this provider is called with the URL and the key of that mark.
    pub(super) fn has_account(&self, provider: &ProviderId, mark: &str) -> bool {
        self.upstream(provider).is_some_and(|upstream| upstream.account_mark(self.store.id()) == mark)
    }

    /// Asks for the balance and the services.
    ///
    /// # Errors
    /// Why there is no answer, for the operator.
    pub(super) async fn look_at(&self, provider: &ProviderId) -> Result<OnlineReport, String> {
        let upstream =
            self.upstream(provider).ok_or_else(|| "it is off, or not in the configuration that runs".to_owned())?;
        let permit = async || upstream.permit(Priority::Sync, PERMIT_WAIT).await.map_err(|error| error.to_string());
        let balance = upstream.balance(permit().await?).await.map_err(|error| format!("its balance: {error}"))?;
        let list = upstream.services(permit().await?).await.map_err(|error| format!("its services: {error}"))?;
        let free = list.services.iter().filter(|service| service.rate.is_zero());
        let free = free.map(|service| service.id.to_string()).collect();
        Ok(OnlineReport {
            free,
            unreadable: list.skipped,
            balance: balance.amount.normalize().to_string(),
            currency: balance.currency,
            services: list.services.into_iter().map(|service| service.id.to_string()).collect(),
        })
    }
}
