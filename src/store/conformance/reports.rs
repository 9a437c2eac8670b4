//! Sums over orders, and the lines that somebody has to look at.

use super::*;
use crate::domain::ids::OrderId;
use crate::domain::order::Resolution;
use crate::store::records::{OrderFilter, ReportBy, ReportFilter, ReportRow};

fn row(key: Option<&str>, orders: u64, sums: [&str; 3], unknown_cost: u64, possible_cost: &str) -> ReportRow {
    let [charged, refunded, cost] = sums.map(money);
    ReportRow {
        key: key.map(str::to_owned),
        orders,
        charged,
        refunded,
        cost,
        unknown_cost,
        possible_cost: money(possible_cost),
    }
}

/// Seven orders of two clients on two days: 1.20 each where an upstream was asked (it took 0.90, at 1.08), 1 otherwise.
async fn sell(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let ben = client(store, "ben", "100").await.client.id;
    let done = forwarded(store, ann, "alpha", "1").await;
    step(store, &done, reported("Completed", Some(0)), NOW).await;
    let partial = forwarded(store, ann, "alpha", "2").await;
    step(store, &partial, reported("Partial", Some(400)), NOW).await;
    let canceled = forwarded(store, ben, "beta", "3").await;
    step(store, &canceled, reported("Canceled", None), NOW).await;
    forwarded(store, ben, "beta", "4").await;
    let never_sent = order(store, ann, "1").await;
    step(store, &never_sent, Event::CancelRequested, NOW).await;
    let lost = order(store, ann, "1").await;
    let lost = step(store, &lost, sent("alpha"), NOW).await;
    let lost = step(store, &lost, answer(1, Outcome::Ambiguous("time-out".into())), NOW).await;
    step(store, &lost, Event::Resolved(Resolution::Refund), NOW).await;
    let mut later = new_order(ben, "1");
    later.service = service(42);
    placed(store, Placement { now: after(86_400), ..placement(later) }).await;
}

pub(crate) async fn a_report_adds_up_by_every_group(store: &AnyStore) {
    assert_eq!(store.report(ReportFilter::default()).await.unwrap(), []);
    sell(store).await;
    let by = async |by| store.report(ReportFilter { by: Some(by), ..ReportFilter::default() }).await.unwrap();
    let all = store.report(ReportFilter::default()).await.unwrap();
    assert_eq!(all, [row(None, 7, ["7.8", "3.68", "2.916"], 3, "3.2")]);
    assert_eq!(
        by(ReportBy::Provider).await,
        [
            // The one that waits, and the one that was refunded in doubt.
            row(None, 3, ["3", "2", "0"], 2, "2"),
            row(Some("alpha"), 2, ["2.4", "0.48", "1.944"], 0, "0"),
            row(Some("beta"), 2, ["2.4", "1.2", "0.972"], 1, "1.2"),
        ]
    );
    assert_eq!(
        by(ReportBy::Client).await,
        [row(Some("ann"), 4, ["4.4", "2.48", "1.944"], 1, "1"), row(Some("ben"), 3, ["3.4", "1.2", "0.972"], 2, "2.2")]
    );
    assert_eq!(
        by(ReportBy::Service).await,
        [row(Some("1"), 6, ["6.8", "3.68", "2.916"], 2, "2.2"), row(Some("42"), 1, ["1", "0", "0"], 1, "1")]
    );
    assert_eq!(
        by(ReportBy::Day).await,
        [
            row(Some("2001-09-09"), 6, ["6.8", "3.68", "2.916"], 2, "2.2"),
            row(Some("2001-09-10"), 1, ["1", "0", "0"], 1, "1")
        ]
    );
}

pub(crate) async fn a_report_is_about_its_time_only(store: &AnyStore) {
    sell(store).await;
    let count = async |from, to| {
        let rows = store.report(ReportFilter { from, to, by: None }).await.unwrap();
        rows.iter().map(|row| row.orders).sum::<u64>()
    };
    assert_eq!(count(Some(NOW), None).await, 7);
    assert_eq!(count(None, Some(NOW)).await, 0);
    assert_eq!(count(Some(NOW), Some(after(86_400))).await, 6);
    assert_eq!(count(Some(after(86_400)), Some(after(86_401))).await, 1);
}

pub(crate) async fn alerts_are_listed_newest_first(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    assert_eq!(store.alerts(9).await.unwrap(), []);
    let mut lost = Vec::new();
    for seconds in [1, 3, 2] {
        let order = order(store, ann, "1").await;
        let order = step(store, &order, sent("alpha"), after(seconds)).await;
        lost.push(step(store, &order, answer(1, Outcome::Ambiguous("time-out".into())), after(seconds)).await.id);
    }
    forwarded(store, ann, "alpha", "1").await;
    let alerts = store.alerts(9).await.unwrap();
    let seen: Vec<(OrderId, Timestamp)> = alerts.iter().map(|alert| (alert.order, alert.at)).collect();
    assert_eq!(seen, [(lost[1], after(3)), (lost[2], after(2)), (lost[0], after(1))]);
    assert!(alerts.iter().all(|alert| alert.text.contains("time-out")), "{alerts:?}");
    assert_eq!(store.alerts(1).await.unwrap(), alerts[..1]);
}

pub(crate) async fn orders_are_listed_page_by_page(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let (a, b, c) = (order(store, ann, "1").await, order(store, ann, "1").await, order(store, ann, "1").await);
    let page = async |below| {
        let filter = OrderFilter { below, limit: 2, ..OrderFilter::default() };
        store.list_orders(filter).await.unwrap().into_iter().map(|(_, order)| order.id).collect::<Vec<_>>()
    };
    assert_eq!(page(None).await, [c.id, b.id]);
    assert_eq!(page(Some(b.id)).await, [a.id]);
    assert_eq!(page(Some(a.id)).await, []);
}
