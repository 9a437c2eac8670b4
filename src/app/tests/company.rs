//! A gateway among others, of which it knows what it was told when it last attended.

use super::*;
use crate::store::records::Attendance;

impl Bench {
    /// As many others serve by another configuration; they were last asked so long after the beginning.
    fn hear(&self, gateways: u32, otherwise: u32, after: Duration) {
        let heard = Some((NOW.plus(after), self.clock.moment()));
        let before = self.app.company.attendance.borrow().clone();
        self.app.company.take_down(Attendance { gateways, otherwise, clock: heard, ..before });
    }

    /// What becomes of an order that nobody can send by this configuration.
    async fn looked_at(&self, order: &Order) -> State {
        let order = self.app.reread(order.id).await.unwrap();
        Arc::clone(&self.app).forward(order.clone()).await;
        self.state(&order).await
    }
}

/// Of a service that is not in the configuration, of another type than the one that is, and outside of what its route takes.
async fn three_that_fit_not(bench: &Bench) -> [Order; 3] {
    let gone = bench.place_as(1, ServiceType::Default).await;
    let other = bench.place_as(2, ServiceType::Package).await;
    let large = bench.place_as(3, ServiceType::Default).await;
    let store = &bench.store;
    store.tamper("UPDATE orders SET service = 7 WHERE id = 1");
    store.tamper("UPDATE orders SET params = replace(params, '1000', '90000'), charge = charge * 90 WHERE id = 3");
    [gone, other, large]
}

#[tokio::test(start_paused = true)]
async fn what_another_configuration_may_have_sold_is_not_refunded_by_this_one() {
    let bench = bench().await;
    let orders = three_that_fit_not(&bench).await;
    bench.hear(2, 1, PLACE);
    for order in &orders {
        assert_eq!(bench.looked_at(order).await, State::Queued);
    }
    bench.hear(2, 0, PLACE);
    for order in &orders {
        assert!(matches!(bench.looked_at(order).await, State::Closed { .. }));
    }
    assert_eq!(bench.wire.asked(CallKind::Add), 0);
}

#[tokio::test(start_paused = true)]
async fn of_a_new_order_it_is_not_known_at_once_by_which_configuration_it_was_sold() {
    let bench = bench().await;
    for order in three_that_fit_not(&bench).await {
        bench.hear(2, 0, PLACE - Duration::from_millis(1));
        assert_eq!(bench.looked_at(&order).await, State::Queued, "its seller need not have said by which it serves");
        bench.hear(1, 0, PLACE - Duration::from_millis(1));
        assert!(matches!(bench.looked_at(&order).await, State::Closed { .. }), "nobody else can have sold it");
    }
}

#[tokio::test(start_paused = true)]
async fn who_sold_it_by_another_configuration_may_be_gone() {
    let bench = bench().await;
    let [gone, other, large] = three_that_fit_not(&bench).await;
    bench.hear(2, 1, Duration::ZERO);
    bench.hear(1, 0, PLACE * 2);
    for order in [&gone, &other, &large] {
        assert_eq!(bench.looked_at(order).await, State::Queued);
    }
    bench.hear(2, 0, PLACE * 2);
    bench.hear(1, 0, PLACE * 2);
    assert!(matches!(bench.looked_at(&gone).await, State::Closed { .. }), "all were of one mind since");
    bench.hear(2, 1, Duration::ZERO);
    bench.hear(1, 0, PLACE * 2);
    assert_eq!(bench.looked_at(&other).await, State::Queued);
    bench.app.set_serving("new".to_owned());
    assert!(matches!(bench.looked_at(&other).await, State::Closed { .. }), "this one has the newer one now");
}
