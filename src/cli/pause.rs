//! `tollgate pause` and `tollgate resume`: no order leaves, and clients go on placing them.

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::output::talk;
use super::{Call, ExitStatus, now};
use crate::domain::ids::ProviderId;
use crate::serve;
use crate::store::records::Pauses;
use crate::store::sqlite::OpenMode;

#[derive(Debug, Args)]
pub(super) struct PauseOptions {
    /// Only orders for this provider. A pause of all of them and one of this provider are lifted each by itself.
    provider: Option<String>,
}

/// What is paused.
#[derive(Debug, Serialize)]
struct PausesDocument {
    everywhere: bool,
    providers: Vec<String>,
}

impl From<&Pauses> for PausesDocument {
    fn from(pauses: &Pauses) -> Self {
        let providers = pauses.providers.iter().map(ToString::to_string).collect();
        Self { everywhere: pauses.everywhere, providers }
    }
}

pub(super) async fn set_paused(call: &Call, options: PauseOptions, paused: bool) -> anyhow::Result<ExitStatus> {
    let settings = call.settings()?;
    let store = serve::open_store(&settings, OpenMode::Tool).await?;
    let provider = options.provider.map(ProviderId::new);
    if let Some(id) = &provider {
        let is_known = settings.providers.iter().any(|known| known.id == *id);
        // One that has left the file can still be paused from before.
        if !is_known && (paused || !store.pauses().await?.providers.contains(id)) {
            bail!("there is no provider {id} in {}", settings.file.display());
        }
    }
    let pauses = store.set_paused(provider.as_ref(), paused, now()).await?;
    call.output.print(&PausesDocument::from(&pauses), || describe(&pauses))?;
    if paused {
        talk("orders go on being accepted, and are refunded once they have waited for dispatch.hold_for");
    }
    Ok(ExitStatus::Done)
}

fn describe(pauses: &Pauses) -> String {
    let providers = pauses.providers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (pauses.everywhere, providers.is_empty()) {
        (false, true) => "nothing is paused now".to_owned(),
        (false, false) => format!("paused: {providers}"),
        (true, true) => "paused: all providers".to_owned(),
        (true, false) => format!("paused: all providers, and by themselves {providers}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_paused_is_told() {
        let pauses = |everywhere, providers: &[&str]| Pauses {
            everywhere,
            providers: providers.iter().map(|id| ProviderId::new(*id)).collect::<BTreeSet<_>>(),
        };
        assert_eq!(describe(&pauses(false, &[])), "nothing is paused now");
        assert_eq!(describe(&pauses(false, &["beta", "alpha"])), "paused: alpha, beta");
        assert_eq!(describe(&pauses(true, &[])), "paused: all providers");
        assert_eq!(describe(&pauses(true, &["alpha"])), "paused: all providers, and by themselves alpha");
    }
}
