//! What may not be called for just now is left to whoever may.

use super::*;
use crate::domain::ids::UpstreamRefillId;
use crate::domain::order::CancelWish;
use crate::domain::refill::{NewRefill, Refill, RefillEvent, RefillOutcome, RefillStatus};
use crate::store::records::OpenedRefill;
use crate::upstream::Priority;

/// A provider that lets out a call in a hundred seconds, for which nothing waits long enough.
const SLOWEST: &str = "0.01";
const IT_TAKES: Duration = Duration::from_secs(100);
/// When a refill is first polled.
const POLLED: Duration = Duration::from_secs(61);

/// A refill that alpha has under this ID.
async fn refill(bench: &Bench, token: u8, id: &str) -> Refill {
    let order = bench.placed(token, id).await;
    let upstream_order = UpstreamOrderId::new(id);
    let new = NewRefill { order: order.id, client: order.client, provider: alpha(), upstream_order };
    let OpenedRefill::New(refill) = bench.app.store.open_refill(new, bench.app.clock.now()).await.unwrap() else {
        panic!("it is open")
    };
    let taken = RefillEvent::Answered(RefillOutcome::Accepted(UpstreamRefillId::new(id)));
    bench.app.step_refill(*refill.clone(), taken).await.unwrap();
    *refill
}

async fn status(bench: &Bench, refill: &Refill) -> RefillStatus {
    bench.app.store.refill(refill.id).await.unwrap().unwrap().status
}

#[tokio::test(start_paused = true)]
async fn refills_that_may_not_be_asked_for_are_not_claimed() {
    let bench = bench_with(rate(SLOWEST)).await;
    refill(&bench, 1, "5").await;
    bench.later(POLLED);
    Arc::clone(&bench.app).poll_refills(alpha()).await;
    assert_eq!(bench.wire.asked(CallKind::RefillStatus), 0);
    let now = bench.app.clock.now();
    let free = bench.app.store.claim_refills(&alpha(), now, now.plus(POLLED), 9).await.unwrap();
    assert_eq!(free.len(), 1, "another gateway may ask for it");
}

#[tokio::test(start_paused = true)]
async fn no_permit_is_taken_where_no_refill_is_due() {
    let bench = bench_with(rate(SLOWEST)).await;
    refill(&bench, 1, "5").await;
    tokio::time::sleep(IT_TAKES).await;
    Arc::clone(&bench.app).poll_refills(alpha()).await;
    let upstream = bench.app.upstream(&alpha()).unwrap();
    assert!(upstream.permit(Priority::Orders, Duration::ZERO).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn refills_are_followed_together_and_where_that_is_not_understood_each_alone() {
    let bench = bench().await;
    let (first, second) = (refill(&bench, 1, "5").await, refill(&bench, 2, "6").await);
    bench.later(POLLED);
    bench.wire.say(r#"{"error":"Incorrect refill ID"}"#);
    bench.wire.say(r#"{"status":"In progress"}"#);
    bench.wire.say(r#"{"status":"Completed"}"#);
    Arc::clone(&bench.app).poll_refills(alpha()).await;
    assert_eq!(status(&bench, &second).await, RefillStatus::Completed);
    let third = refill(&bench, 3, "7").await;
    bench.later(POLLED);
    let now = bench.app.clock.now();
    bench.app.store.hasten_refills(&[first.id], now, now).await.unwrap();
    bench.wire.say(r#"{"status":"Rejected"}"#);
    bench.wire.say(r#"{"status":"Completed"}"#);
    Arc::clone(&bench.app).poll_refills(alpha()).await;
    assert_eq!(bench.wire.asked(CallKind::RefillStatus), 5, "no more together");
    let ends = [status(&bench, &first).await, status(&bench, &third).await];
    assert!(ends.contains(&RefillStatus::Rejected) && ends.contains(&RefillStatus::Completed), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_may_not_be_told_is_no_try() {
    let bench = bench_with(rate(SLOWEST)).await;
    let order = bench.placed(1, "5").await;
    bench.app.decide(order.clone(), Event::CancelRequested).await.unwrap();
    // More often, and further apart, than what gives no answer is tried.
    for _ in 0..25 {
        bench.later(Duration::from_secs(600));
        Arc::clone(&bench.app).forward_wishes().await;
        // Its task ends without waiting: there is no room in time.
        while !locked(&bench.app.canceling).is_empty() {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(bench.wire.asked(CallKind::Cancel), 0);
    let now = bench.app.reread(order.id).await.unwrap();
    assert_eq!(now.cancel, CancelWish::Wished, "it is not given up");
    bench.wire.say(r#"[{"order":5,"cancel":1}]"#);
    tokio::time::sleep(IT_TAKES).await;
    bench.later(IT_TAKES);
    Arc::clone(&bench.app).forward_wishes().await;
    while !locked(&bench.app.canceling).is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.app.reread(order.id).await.unwrap().cancel, CancelWish::Forwarded);
}
