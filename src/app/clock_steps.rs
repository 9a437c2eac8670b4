//! A machine's clock that is set while the gateway runs: the deadlines move with it, so that what was to happen in an
//! hour still happens in an hour.

use std::collections::HashMap;
use std::sync::Arc;

use super::freeze::Freezes;
use super::snapshot::{List, Lists, Snapshot};
use super::trouble::warn_of;
use super::{App, locked};
use crate::domain::time::Timestamp;
use crate::store::StoreResult;
use crate::task::ClockStep;
use crate::telemetry::{ALERTS, CLOCK_STEPS};

/// What is known of a step that is not dealt with yet.
#[derive(Debug, Default)]
pub(super) struct Stepping {
    /// The one that the operator was told of.
    told: Option<ClockStep>,
    /// What the clock has followed already, and the store's deadlines have not.
    owed: i64,
}

impl App {
    /// Looks whether the machine's clock was set, and moves the deadlines.
    pub(super) async fn follow_clock(self: Arc<Self>) {
        let Some(step) = self.clock.stepped() else {
            if locked(&self.stepping).owed != 0 {
                let _building = self.building.lock().await;
                self.pay_owed().await;
            }
            return;
        };
        self.tell_of_step(step);
        // Waited for before the present moves: what is written in between would have the new times, and be moved again.
        let _building = self.building.lock().await;
        let Some(step) = self.clock.stepped() else { return };
        if step.0 < 0 {
            // First the present, then the deadlines: in between nothing is due, and not everything.
            self.clock.follow(step);
            {
                let mut stepping = locked(&self.stepping);
                stepping.owed = stepping.owed.saturating_add(step.0);
                stepping.told = None;
            }
            self.pay_owed().await;
        } else {
            match self.shift_deadlines(step.0, || self.clock.follow(step)).await {
                Ok(()) => locked(&self.stepping).told = None,
                Err(error) => warn_of!(error, "deadlines were not moved with the machine's clock; trying on"),
            }
        }
    }

    /// Moves the deadlines after the present; under `building`.
    async fn pay_owed(&self) {
        let owed = locked(&self.stepping).owed;
        match self.shift_deadlines(owed, || ()).await {
            Ok(()) => {
                let mut stepping = locked(&self.stepping);
                stepping.owed = stepping.owed.saturating_sub(owed);
            }
            Err(error) => warn_of!(error, "deadlines were not moved with the machine's clock; trying on"),
        }
    }

    fn tell_of_step(&self, step: ClockStep) {
        let mut stepping = locked(&self.stepping);
        let near = |told: ClockStep| told.0.abs_diff(step.0) <= 1000;
        if stepping.told.is_some_and(near) {
            return;
        }
        stepping.told = Some(step);
        metrics::counter!(ALERTS).increment(1);
        metrics::counter!(CLOCK_STEPS).increment(1);
        let (seconds, way) = (step.0.unsigned_abs() / 1000, if step.0 < 0 { "back" } else { "forward" });
        tracing::warn!(
            "the machine's clock was set {way} by {seconds} s while the gateway ran: deadlines are moved with it; \
             what was written down before has the time that the clock showed then"
        );
    }

    /// In the store, then, at once, by `follow`, and in what is held of it in memory; under `building`.
    async fn shift_deadlines(&self, by: i64, follow: impl FnOnce()) -> StoreResult<()> {
        let moved = |at: Timestamp| Timestamp::from_millis(at.millis().saturating_add(by));
        let snapshot = self.snapshot.load_full();
        let lists: Lists = snapshot
            .lists
            .iter()
            .map(|(provider, list)| {
                let (services, doubts) = (list.services.clone(), list.doubts.clone());
                (provider.clone(), Arc::new(List { fetched_at: moved(list.fetched_at), services, doubts }))
            })
            .collect();
        let next = Arc::new(Snapshot::new(Arc::clone(&snapshot.terms), lists));
        let mut freezes = Freezes::clone(&self.freezes.load());
        for freeze in freezes.values_mut() {
            freeze.lifted_at = freeze.lifted_at.map(moved);
        }
        self.store.shift_deadlines(by, self.clock.now()).await?;
        self.snapshot.store(next);
        self.freezes.store(Arc::new(freezes));
        follow();
        // These only put off what may as well be done now.
        locked(&self.syncs).clear();
        *locked(&self.cancel_retries) = HashMap::new();
        *locked(&self.reminded_at) = Timestamp::default();
        Ok(())
    }
}
