//! A gateway that stands still between what it writes and what it sends.

use super::*;
use crate::domain::refill::{NewRefill, Refill, RefillOutcome, RefillState};
use crate::store::records::OpenedRefill;

const MOMENT: Duration = Duration::from_millis(1);

/// What becomes of an order whose gateway stands still for so long whenever it writes.
async fn slow_to_write(by: Duration) -> (State, usize) {
    let bench = bench().await;
    let order = bench.place(1).await;
    bench.wire.say(r#"{"order":77}"#);
    let clock = bench.clock.clone();
    bench.store.at_commits(move || clock.set(clock.now().plus(by)));
    Arc::clone(&bench.app).forward(order.clone()).await;
    (bench.state(&order).await, bench.wire.asked(CallKind::Add))
}

#[tokio::test(start_paused = true)]
async fn who_stood_still_while_an_attempt_was_written_does_not_make_it() {
    let limit = Duration::from_secs(10);
    let (state, asked) = slow_to_write(limit).await;
    assert!(matches!(state, State::Placed(_)) && asked == 1, "{state:?}");
    assert_eq!(slow_to_write(limit + MOMENT).await, (State::Queued, 0));
}

impl Bench {
    /// A refill of a placed order that is about to be sent, and the answer to it.
    async fn opened_refill(&self) -> Refill {
        let order = self.place(1).await;
        self.wire.say(r#"{"order":77}"#);
        Arc::clone(&self.app).forward(order.clone()).await;
        let new = NewRefill {
            order: order.id,
            client: self.client,
            provider: ProviderId::new("alpha"),
            upstream_order: UpstreamOrderId::new("77"),
        };
        self.wire.say(r#"{"refill":"5"}"#);
        match self.store.open_refill(new, self.clock.now()).await.unwrap() {
            OpenedRefill::New(refill) => *refill,
            other => panic!("{other:?}"),
        }
    }

    async fn is_sent(&self, refill: &Refill, asked: Moment) -> bool {
        let upstream = self.app.upstream(&refill.provider).unwrap();
        let outcome = Arc::clone(&self.app).send_refill(refill.clone(), upstream, asked).await;
        let now = self.store.refill(refill.id).await.unwrap().unwrap();
        match (&outcome, &now.state, self.wire.asked(CallKind::Refill)) {
            (RefillOutcome::Accepted(_), RefillState::Accepted(_), 1) => true,
            (RefillOutcome::NotTaken(_), RefillState::Ended(None), 0) => false,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_stood_still_before_a_refill_does_not_send_it() {
    let limit = Duration::from_secs(130);
    for (stood_still, is_sent) in [(limit, true), (limit + MOMENT, false), (Duration::from_secs(275), false)] {
        let bench = bench().await;
        let (asked, refill) = (bench.clock.moment(), bench.opened_refill().await);
        bench.later(stood_still);
        // As another gateway does.
        bench.app.lose_refills().await.unwrap();
        assert_eq!(bench.is_sent(&refill, asked).await, is_sent, "after {stood_still:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refill_is_not_sent_by_a_place_of_before() {
    let bench = bench().await;
    let (asked, refill) = (bench.clock.moment(), bench.opened_refill().await);
    bench.app.company.attendance.send_modify(|attendance| attendance.until = Some(asked.plus(PLACE)));
    bench.later(PLACE);
    assert!(!bench.is_sent(&refill, asked).await);
}
