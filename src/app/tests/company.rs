//! A gateway among others, of which it knows what it was told when it last attended.

use super::*;

impl Bench {
    /// As many others serve by another configuration; they were last asked so long after the beginning.
    fn hear(&self, gateways: u32, otherwise: u32, after: Duration) {
        let heard = Some((NOW.plus(after), self.clock.moment()));
        self.app.company.attendance.send_modify(|attendance| {
            (attendance.gateways, attendance.otherwise, attendance.clock) = (gateways, otherwise, heard);
        });
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
    let [gone, other, _] = three_that_fit_not(&bench).await;
    for order in [gone, other] {
        bench.hear(2, 0, PLACE - Duration::from_millis(1));
        assert_eq!(bench.looked_at(&order).await, State::Queued, "its seller need not have said by which it serves");
        bench.hear(1, 0, PLACE - Duration::from_millis(1));
        assert!(matches!(bench.looked_at(&order).await, State::Closed { .. }), "nobody else can have sold it");
    }
}
