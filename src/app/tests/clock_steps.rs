//! The machine's clock is set while the gateway runs.

use super::*;
use crate::app::clock_steps::Shift;
use crate::task::ClockStep;

const DAY: i64 = 86_400_000;

impl Bench {
    async fn set_wall(&self, by: i64) {
        self.clock.step_wall(ClockStep(by));
        Arc::clone(&self.app).follow_clock().await;
        assert_eq!(self.clock.stepped(), None, "it is followed");
    }

    async fn forward(&self, order: &Order) -> State {
        let order = self.app.reread(order.id).await.unwrap();
        Arc::clone(&self.app).forward(order.clone()).await;
        self.state(&order).await
    }

    async fn polls_are_due(&self) -> bool {
        self.app.store.has_due_polls(&ProviderId::new("alpha"), self.clock.now(), 1).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_neither_ends_nor_stands_still_when_the_clock_is_set() {
    // Longer than an order is held, and than a catalogue is believed.
    for step in [3 * DAY, -3 * DAY] {
        let bench = bench().await;
        let (one, two, three) = (bench.place(1).await, bench.place(2).await, bench.place(3).await);
        bench.wire.say(r#"{"order":1}"#);
        bench.clock.step_wall(ClockStep(step));
        assert!(matches!(bench.forward(&one).await, State::Placed(_)), "before anybody has noticed");
        bench.set_wall(0).await;
        bench.wire.say(r#"{"order":2}"#);
        assert!(matches!(bench.forward(&two).await, State::Placed(_)), "and after");
        assert_eq!(bench.clock.now().millis(), NOW.millis() + step);
        assert!(!bench.polls_are_due().await, "not yet");
        bench.later(Duration::from_secs(60));
        assert!(bench.polls_are_due().await, "in a minute, as if nothing had been");
        bench.later(Duration::from_secs(3600));
        assert!(matches!(bench.forward(&three).await, State::Closed { .. }), "it was held for its hour, and no more");
        assert!(bench.app.store.verify().await.unwrap().failures.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_placed_while_a_step_waits_is_moved_once() {
    for step in [3 * DAY, -3 * DAY] {
        let bench = bench().await;
        bench.clock.step_wall(ClockStep(step));
        let building = bench.app.building.lock().await;
        let following = Arc::clone(&bench.app).follow_clock();
        let placing = async {
            // A sync that writes its list is in the way.
            tokio::task::yield_now().await;
            let order = bench.place_at(1, bench.clock.now()).await;
            drop(building);
            order
        };
        let ((), order) = tokio::join!(following, placing);
        assert_eq!((bench.clock.stepped(), bench.clock.now().millis()), (None, NOW.millis() + step));
        let moved = bench.app.reread(order.id).await.unwrap();
        assert_eq!(moved.queued_at, bench.clock.now(), "{step}: no time has passed for it");
        bench.later(Duration::from_secs(3500));
        bench.wire.say(r#"{"order":1}"#);
        assert!(matches!(bench.forward(&order).await, State::Placed(_)), "{step}: it is held for its hour");
    }
}

#[tokio::test(start_paused = true)]
async fn a_move_whose_answer_was_lost_is_not_made_twice() {
    for step in [3 * DAY, -3 * DAY] {
        let bench = bench().await;
        let order = bench.place(1).await;
        // What the last look did: the store has moved, and nobody knows.
        bench.clock.step_wall(ClockStep(step));
        let shift = Shift { by: step, timeline: bench.app.store.timeline().await.unwrap() };
        bench.app.stepping.lock().unwrap().begun = Some(shift);
        if step < 0 {
            bench.clock.follow(ClockStep(step));
            bench.app.stepping.lock().unwrap().owed = step;
        }
        assert!(bench.app.store.shift_deadlines(step, bench.clock.now(), shift.timeline).await.unwrap());
        bench.set_wall(0).await;
        for _ in 0..2 {
            let moved = bench.app.reread(order.id).await.unwrap();
            let queued_at = order.queued_at.millis() + step;
            assert_eq!((moved.queued_at.millis(), bench.clock.now().millis()), (queued_at, NOW.millis() + step));
            bench.set_wall(0).await;
        }
        // The next step is another one.
        bench.set_wall(DAY).await;
        assert_eq!(bench.app.reread(order.id).await.unwrap().queued_at, bench.clock.now());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_lasts_as_long_as_it_did_when_the_clock_is_set() {
    for step in [DAY, -DAY] {
        let bench = bench().await;
        let order = bench.sending(1).await;
        bench.set_wall(step).await;
        Arc::clone(&bench.app).find_lost_senders().await;
        assert!(matches!(bench.state(&order).await, State::Sending { .. }), "{step}: its lease goes on");
        bench.later(LEASE);
        Arc::clone(&bench.app).find_lost_senders().await;
        assert!(matches!(bench.state(&order).await, State::Uncertain { .. }), "{step}: and ends");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_written_however_the_clock_was_set_meanwhile() {
    let bench = bench().await;
    let order = bench.sending(1).await;
    bench.set_wall(DAY).await;
    let settled = bench.app.settle(order, Outcome::Accepted(UpstreamOrderId::new("77"))).await;
    assert!(matches!(settled.state, State::Placed(_)));
    bench.set_wall(-DAY).await;
    assert!(!bench.polls_are_due().await);
}

#[tokio::test(start_paused = true)]
async fn small_corrections_move_no_deadline() {
    let bench = bench().await;
    let order = bench.place(1).await;
    bench.set_wall(50_000).await;
    assert_eq!(bench.app.reread(order.id).await.unwrap(), order);
}
