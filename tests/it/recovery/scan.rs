//! By the IDs between its neighbours.

use super::*;
#[tokio::test(flavor = "multi_thread")]
async fn a_scan_finds_the_lost_order_between_its_neighbours() {
    let alpha = upstream(10).await;
    let gateway = gateway_on(&alpha, SCAN).await;
    neighbour(&gateway, "before").await;
    let lost = lose(&alpha, &gateway, LOST).await;
    until_put_off(&gateway, lost).await;
    assert_eq!(gateway.story(lost)["order"]["state"], "uncertain", "nothing stands above it yet");
    neighbour(&gateway, "after").await;
    search_now(&gateway);
    let story = gateway.until_state(lost, "placed").await;
    let id = id_of(&alpha, LOST);
    assert_eq!(story["order"]["upstream_order"], id.as_str());
    assert_eq!(story["attempts"][0]["outcome"], "accepted");
    let line = gateway.until_told(lost, "settled by a scan").await;
    assert!(line.contains(&format!("only {id} fits")), "{line}");
    gateway.until_status(lost, "Completed").await;
    assert_eq!((accepted(&alpha, LOST), gateway.balance().await.as_str()), (1, "999.568"));
    assert_eq!(search(&gateway, lost).2, 1, "one call for one ID");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_goes_on_after_a_kill() {
    let alpha = upstream(10).await;
    let mut gateway = gateway_on(&alpha, SCAN).await;
    neighbour(&gateway, "before").await;
    alpha.script_next(Action::Add, Fault::HangAfter, 1);
    let caller = gateway.caller();
    let mut adding = JoinSet::new();
    adding.spawn(async move { caller.add(1, LOST, 100).await });
    eventually("the order to be there", || async { (accepted(&alpha, LOST) == 1).then_some(()) }).await;
    gateway.kill();
    adding.join_next().await.unwrap().unwrap().unwrap_err();
    gateway.launch().await;
    let lost = gateway.orders().into_iter().find(|order| order["link"] == LOST).unwrap()["order"].as_u64().unwrap();
    gateway.until_state(lost, "uncertain").await;
    until_put_off(&gateway, lost).await;
    gateway.kill();
    gateway.launch().await;
    neighbour(&gateway, "after").await;
    search_now(&gateway);
    let story = gateway.until_state(lost, "placed").await;
    assert_eq!(story["order"]["upstream_order"], id_of(&alpha, LOST).as_str());
    assert_eq!(accepted(&alpha, LOST), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_could_be_it_a_scan_takes_none() {
    let alpha = upstream(1).await;
    let gateway = gateway_on(&alpha, SCAN).await;
    neighbour(&gateway, "before").await;
    let lost = lose(&alpha, &gateway, LOST).await;
    place_by_hand(&alpha, &gateway, 1, "https://example.com/by-hand", 100).await;
    neighbour(&gateway, "after").await;
    let line = until_hint(&gateway, lost, "several could be it").await;
    let ids = format!("{}, {}", id_of(&alpha, LOST), id_of(&alpha, "https://example.com/by-hand"));
    assert!(line.contains(&ids), "{line}");
    // However often it is tried: five times.
    for times in 1..5 {
        until_tried(&gateway, lost, times).await;
        search_now(&gateway);
    }
    let given_up = until_hint(&gateway, lost, "given up").await;
    assert!(given_up.contains("could each be it"), "{given_up}");
    let asked = search(&gateway, lost);
    assert_eq!((asked.1, asked.2), (5, 5));
    search_now(&gateway);
    neighbour(&gateway, "later").await;
    assert_eq!(search(&gateway, lost).2, asked.2, "it is not searched for again");
    assert_eq!(hints(&gateway, lost).len(), 2, "each once: {:?}", hints(&gateway, lost));
    is_untouched(&alpha, &gateway, lost, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_costs_otherwise_is_no_lost_one() {
    let alpha = upstream(1).await;
    let gateway = gateway_on(&alpha, SCAN).await;
    neighbour(&gateway, "before").await;
    let lost = lose(&alpha, &gateway, LOST).await;
    place_by_hand(&alpha, &gateway, 1, "https://example.com/by-hand", 101).await;
    neighbour(&gateway, "after").await;
    let story = gateway.until_state(lost, "placed").await;
    assert_eq!(story["order"]["upstream_order"], id_of(&alpha, LOST).as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_stays_uncertain() {
    let alpha = upstream(1).await;
    let gateway = gateway_on(&alpha, SCAN).await;
    neighbour(&gateway, "before").await;
    alpha.script_next(Action::Add, Fault::CloseBefore, 1);
    let lost = gateway.order(1, LOST, 100).await;
    gateway.until_state(lost, "uncertain").await;
    place_by_hand(&alpha, &gateway, 2, "https://example.com/by-hand", 100).await;
    neighbour(&gateway, "after").await;
    let line = until_hint(&gateway, lost, "none fits").await;
    assert!(line.contains("proves nothing"), "{line}");
    is_untouched(&alpha, &gateway, lost, 4);
    let resolved = gateway.cli(&["orders", "resolve", &lost.to_string(), "--not-placed"]);
    assert!(resolved.status.success(), "the operator may know more");
    gateway.until_state(lost, "placed").await;
    assert_eq!(accepted(&alpha, LOST), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_order_in_doubt_keeps_a_scan_from_taking_either() {
    let alpha = upstream(1).await;
    let gateway = gateway_on(&alpha, SCAN).await;
    neighbour(&gateway, "before").await;
    let other = "https://example.com/other";
    let (first, second) = (lose(&alpha, &gateway, LOST).await, lose(&alpha, &gateway, other).await);
    neighbour(&gateway, "after").await;
    for (order, rival) in [(first, second), (second, first)] {
        let line = until_hint(&gateway, order, "another in doubt").await;
        assert!(line.contains(&format!("order {rival} is, or was, in doubt")), "{line}");
        assert_eq!(search(&gateway, order).2, 0, "what could prove nothing is not asked for");
    }
    is_untouched(&alpha, &gateway, first, 4);
    is_untouched(&alpha, &gateway, second, 4);

    // To give the money back does not say that it was not placed.
    assert!(gateway.cli(&["orders", "resolve", &first.to_string(), "--refund"]).status.success());
    let tried = search(&gateway, second).0;
    search_now(&gateway);
    until_tried(&gateway, second, tried + 1).await;
    is_untouched(&alpha, &gateway, second, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn once_the_operator_names_one_a_scan_finds_the_other() {
    let alpha = upstream(1).await;
    let gateway = gateway_on(&alpha, SCAN).await;
    neighbour(&gateway, "before").await;
    let other = "https://example.com/other";
    let (first, second) = (lose(&alpha, &gateway, LOST).await, lose(&alpha, &gateway, other).await);
    neighbour(&gateway, "after").await;
    until_hint(&gateway, second, "another in doubt").await;
    let named = id_of(&alpha, LOST);
    assert!(gateway.cli(&["orders", "resolve", &first.to_string(), "--placed", &named]).status.success());
    search_now(&gateway);
    let story = gateway.until_state(second, "placed").await;
    assert_eq!(story["order"]["upstream_order"], id_of(&alpha, other).as_str());
    let by =
        |order| gateway.history(order).iter().filter(|line| line.contains("settled by")).cloned().collect::<Vec<_>>();
    assert!(by(first)[0].contains("settled by the operator") && by(second)[0].contains("settled by a scan"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_another_order_holds_is_not_taken_from_it() {
    let alpha = upstream(1).await;
    alpha.set_dedupe(true);
    let gateway = gateway_on(&alpha, SCAN).await;
    neighbour(&gateway, "before").await;
    let lost = lose(&alpha, &gateway, LOST).await;
    let again = gateway.order(1, LOST, 100).await;
    assert_eq!(gateway.story(again)["order"]["upstream_order"], id_of(&alpha, LOST).as_str());
    neighbour(&gateway, "after").await;
    let line = until_hint(&gateway, lost, "same order").await;
    assert!(
        line.contains(&format!("order {again}, for the same, was answered with {}", id_of(&alpha, LOST))),
        "{line}"
    );
    until_hint(&gateway, lost, "none fits").await;
    is_untouched(&alpha, &gateway, lost, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_asks_for_so_many_ids_and_no_more() {
    let alpha = upstream(1).await;
    let gateway = gateway_on(&alpha, SCAN).await;
    neighbour(&gateway, "before").await;
    let lost = lose(&alpha, &gateway, LOST).await;
    for number in 0..250 {
        place_by_hand(&alpha, &gateway, 2, &format!("https://example.com/{number}"), 100).await;
    }
    neighbour(&gateway, "after").await;
    let story = gateway.until_state(lost, "placed").await;
    assert_eq!(story["order"]["upstream_order"], id_of(&alpha, LOST).as_str());
    assert_eq!(search(&gateway, lost).2, 3, "251 IDs by three calls");

    let wide = lose(&alpha, &gateway, "https://example.com/wide").await;
    for number in 250..560 {
        place_by_hand(&alpha, &gateway, 2, &format!("https://example.com/{number}"), 100).await;
    }
    neighbour(&gateway, "later").await;
    let line = until_hint(&gateway, wide, "too many IDs").await;
    assert!(line.contains("311 IDs lie between"), "{line}");
    assert_eq!(search(&gateway, wide).2, 0, "none was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_asked_so_often_in_an_hour_and_no_oftener() {
    let alpha = upstream(1).await;
    let gateway = gateway_on(&alpha, SCAN).await;
    neighbour(&gateway, "before").await;
    // An earlier one, settled since, used them all up.
    let earlier = lose(&alpha, &gateway, "https://example.com/earlier").await;
    let named = id_of(&alpha, "https://example.com/earlier");
    assert!(gateway.cli(&["orders", "resolve", &earlier.to_string(), "--placed", &named]).status.success());
    gateway.edit_store(
        "UPDATE lost_attempts SET calls = 30, asked_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) - 3500000",
    );
    neighbour(&gateway, "between").await;
    let lost = lose(&alpha, &gateway, LOST).await;
    neighbour(&gateway, "after").await;
    search_now(&gateway);
    until_put_off(&gateway, lost).await;
    assert_eq!(search(&gateway, lost), (0, 0, 0), "it waits, and that is not counted");
    is_untouched(&alpha, &gateway, lost, 5);
    gateway.edit_store("UPDATE lost_attempts SET asked_at = asked_at - 200000");
    search_now(&gateway);
    gateway.until_state(lost, "placed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_leaves_ids_out_proves_nothing() {
    for fault in ["missing-ids@status", "no-batch@status"] {
        let alpha = upstream(1).await;
        let gateway = gateway_on(&alpha, SCAN).await;
        neighbour(&gateway, "before").await;
        let lost = lose(&alpha, &gateway, LOST).await;
        alpha.set_faults(fault.parse().unwrap());
        neighbour(&gateway, "after").await;
        for times in 1..=10 {
            search_now(&gateway);
            until_tried(&gateway, lost, times).await;
        }
        until_hint(&gateway, lost, "given up").await;
        is_untouched(&alpha, &gateway, lost, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_no_numbers_are_not_scanned() {
    let alpha = upstream(1).await;
    alpha.set_faults("alphanumeric-ids".parse().unwrap());
    let gateway = gateway_on(&alpha, SCAN).await;
    neighbour(&gateway, "before").await;
    let lost = lose(&alpha, &gateway, LOST).await;
    neighbour(&gateway, "after").await;
    until_hint(&gateway, lost, "IDs are no numbers").await;
    assert_eq!(search(&gateway, lost).2, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_searched_for_unless_the_operator_says_so() {
    let alpha = upstream(1).await;
    alpha.set_lists_orders(true);
    let config = |lines: &str| {
        Config::new("")
            .provider("alpha", &alpha, lines)
            .service(1, "routes = [\"alpha:1\"]")
            .service(2, "routes = [\"alpha:2\"]")
    };
    let gateway = Gateway::start(&config("")).await;
    neighbour(&gateway, "before").await;
    let lost = lose(&alpha, &gateway, LOST).await;
    neighbour(&gateway, "after").await;
    let refused = gateway.refuses_reload(&config("recover = \"scan\"")).await;
    assert!(refused.contains("it needs exclusive_account = true"), "{refused}");
    let check = gateway.cli(&["check"]);
    assert_eq!(check.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&check.stderr).contains("it needs exclusive_account = true"));
    gateway.reconfigure(&config(""));
    assert_eq!((search(&gateway, lost), alpha.call_count(Action::Orders)), ((0, 0, 0), 0));
    is_untouched(&alpha, &gateway, lost, 3);
    gateway.reload(&config(SCAN)).await;
    gateway.until_state(lost, "placed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_searched_for_across_a_restore() {
    let alpha = upstream(1).await;
    let mut gateway = gateway_on(&alpha, &format!("{SCAN}\nlists_orders = true")).await;
    alpha.set_lists_orders(true);
    neighbour(&gateway, "before").await;
    alpha.set_faults("error(Maintenance)".parse().unwrap());
    let held = gateway.add(1, LOST, 100).await["order"].as_u64().unwrap();
    gateway.until_told(held, "held").await;
    let file = gateway.folder().join("backup.db");
    assert!(gateway.cli(&["backup", file.to_str().unwrap()]).status.success());
    alpha.set_faults("".parse().unwrap());
    gateway.until_state(held, "placed").await;
    assert!(gateway.stop().await.success());
    assert!(gateway.cli(&["restore", file.to_str().unwrap()]).status.success());
    gateway.launch().await;
    assert!(gateway.cli(&["resume"]).status.success());
    neighbour(&gateway, "after").await;
    let later = lose(&alpha, &gateway, "https://example.com/later").await;
    // The one that was lost since has no order before it that is known; the list shows it.
    gateway.until_state(later, "placed").await;
    assert_eq!(search(&gateway, held), (0, 0, 0), "whether it was sent in the time that is gone, nobody knows");
    assert_eq!(gateway.story(held)["order"]["state"], "uncertain");
}
