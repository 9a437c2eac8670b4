//! A machine's clock that is set while the gateway runs: the deadlines move with it, so that what was to happen in an
//! hour still happens in an hour.

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
    pub(super) owed: i64,
    /// What was asked of the store, as long as it has not answered.
    pub(super) begun: Option<Shift>,
    /// Where several gateways see the clock: the timeline that this one's times are on.
    pub(super) lived: Option<i64>,
}

impl Stepping {
    /// Of a gateway whose times are on this timeline, where others see the same clock.
    pub(super) fn on(lived: Option<i64>) -> Self {
        Self { lived, ..Self::default() }
    }
}

/// A move of the deadlines by so many milliseconds, from one timeline of the store to the next. It is asked for until
/// it is answered: whether a try whose answer was lost was written, its timeline says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shift {
    pub(super) by: i64,
    pub(super) timeline: i64,
}

impl App {
    /// Looks whether the machine's clock was set, and moves the deadlines.
    pub(super) async fn follow_clock(self: Arc<Self>) {
        let step = self.clock.stepped();
        if let Some(step) = step {
            self.tell_of_step(step);
        }
        let is_open = {
            let stepping = locked(&self.stepping);
            stepping.begun.is_some() || stepping.owed != 0
        };
        if step.is_none() && !is_open {
            return;
        }
        // Waited for before the present moves: what is written in between would have the new times, and be moved again.
        let _building = self.building.lock().await;
        if let Err(error) = self.move_deadlines().await {
            warn_of!(error, "deadlines were not moved with the machine's clock; trying on");
        }
    }

    /// Under `building`.
    async fn move_deadlines(&self) -> StoreResult<()> {
        let begun = locked(&self.stepping).begun;
        if let Some(shift) = begun {
            self.shift_deadlines(shift).await?;
        }
        let step = self.clock.stepped();
        let owed = {
            let mut stepping = locked(&self.stepping);
            if let Some(back) = step.filter(|step| step.0 < 0) {
                // First the present, then the deadlines: in between nothing is due, and not everything.
                self.clock.follow(back);
                stepping.owed = stepping.owed.saturating_add(back.0);
                stepping.told = None;
            }
            stepping.owed
        };
        let by = match step {
            _ if owed != 0 => owed,
            Some(forward) => forward.0,
            None => return Ok(()),
        };
        let shift = Shift { by, timeline: self.present_timeline().await? };
        self.shift_deadlines(shift).await
    }

    /// The timeline that this gateway's times are on. Another gateway may have seen the step first, and moved what is in
    /// the store to the next one.
    async fn present_timeline(&self) -> StoreResult<i64> {
        let lived = locked(&self.stepping).lived;
        match lived {
            Some(lived) => Ok(lived),
            None => self.store.timeline().await,
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

    /// In the store, then, at once, in what is held of it in memory, and the present where that has not moved yet;
    /// under `building`.
    async fn shift_deadlines(&self, shift: Shift) -> StoreResult<()> {
        let moved = |at: Timestamp| Timestamp::from_millis(at.millis().saturating_add(shift.by));
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
        freezes.move_by(moved);
        locked(&self.stepping).begun = Some(shift);
        if !self.store.shift_deadlines(shift.by, self.clock.now(), shift.timeline).await? {
            tracing::debug!("deadlines were moved before, by a commit whose answer was lost");
        }
        self.snapshot.store(next);
        self.freezes.store(Arc::new(freezes));
        {
            let mut stepping = locked(&self.stepping);
            stepping.begun = None;
            stepping.lived = stepping.lived.map(|_| shift.timeline.saturating_add(1));
            if shift.by < 0 {
                stepping.owed = stepping.owed.saturating_sub(shift.by);
            } else {
                self.clock.follow(ClockStep(shift.by));
                stepping.told = None;
            }
        }
        // These only put off what may as well be done now.
        locked(&self.syncs).clear();
        *locked(&self.reminded_at) = Timestamp::default();
        Ok(())
    }
}
