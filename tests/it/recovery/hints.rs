//! What is seen elsewhere, recorded and moves nothing.

use super::*;
#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_elsewhere_is_a_hint_and_moves_nothing() {
    let alpha = upstream(1).await;
    alpha.set_duplicate_lock(true);
    let gateway = gateway_on(&alpha, "").await;
    let lost = lose(&alpha, &gateway, LOST).await;
    let apart = lose(&alpha, &gateway, "https://example.com/lost-elsewhere").await;
    for _ in 0..2 {
        assert!(gateway.add(1, LOST, 200).await["error"].is_string(), "refused as a duplicate");
    }
    let line = until_hint(&gateway, lost, "duplicate link").await;
    assert!(line.contains("alpha refused order"), "{line}");
    assert_eq!(hints(&gateway, lost).len(), 1, "once");
    assert_eq!(hints(&gateway, apart), Vec::<String>::new(), "it is on another link");
    is_untouched(&alpha, &gateway, lost, 4);
    let page = gateway.http().get(format!("{}/console/uncertain", gateway.ops)).send().await.unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains("hint (duplicate link)"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_that_moved_by_its_cost_is_a_hint() {
    let alpha = upstream(1).await;
    let gateway = gateway_on(&alpha, "").await;
    let sync = || assert!(gateway.cli(&["sync", "alpha"]).status.success());
    sync();
    let lost = lose(&alpha, &gateway, LOST).await;
    sync();
    let line = until_hint(&gateway, lost, "balance").await;
    assert!(line.contains("went from 10000 to 9999.91 USD"), "{line}");
    alpha.script_next(Action::Add, Fault::CloseBefore, 1);
    let absent = gateway.order(1, "https://example.com/absent", 100).await;
    gateway.until_state(absent, "uncertain").await;
    sync();
    sync();
    assert_eq!(hints(&gateway, absent), Vec::<String>::new(), "a balance that stays says nothing");
    assert_eq!(hints(&gateway, lost).len(), 1);
    is_untouched(&alpha, &gateway, lost, 2);
}
