//! How orders whose placement is uncertain are settled without a person, and when they are not.

use rusqlite::OptionalExtension;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate::sandbox::{Action, DEFAULT_KEY, Fault, Sandbox};

use crate::harness::gateway::DEPOSIT;
use crate::harness::{Config, Gateway, accepted, eventually, upstream};

const LOST: &str = "https://example.com/lost";
const SCAN: &str = "exclusive_account = true\nrecover = \"scan\"";
const LIST: &str = "lists_orders = true";

async fn gateway_on(alpha: &Sandbox, lines: &str) -> Gateway {
    let config = Config::new("[dispatch]\nwait = \"5s\"")
        .provider("alpha", alpha, lines)
        .service(1, "routes = [\"alpha:1\"]")
        .service(2, "routes = [\"alpha:2\"]");
    Gateway::start(&config).await
}

/// An order that its upstream took and whose answer was lost.
async fn lose(alpha: &Sandbox, gateway: &Gateway, link: &str) -> u64 {
    alpha.script_next(Action::Add, Fault::CloseAfter, 1);
    let order = gateway.order(1, link, 100).await;
    gateway.until_state(order, "uncertain").await;
    order
}

/// An order that is answered: a neighbour.
async fn neighbour(gateway: &Gateway, name: &str) -> u64 {
    let order = gateway.order(1, &format!("https://example.com/{name}"), 150).await;
    gateway.until_state(order, "placed").await;
    order
}

/// An order on the same account that is not the gateway's.
async fn place_by_hand(alpha: &Sandbox, gateway: &Gateway, service: u32, link: &str, quantity: u32) {
    let (service, quantity) = (service.to_string(), quantity.to_string());
    let form =
        [("key", DEFAULT_KEY), ("action", "add"), ("service", &service), ("link", link), ("quantity", &quantity)];
    let answer = gateway.http().post(alpha.url()).form(&form).send().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert!(answer["order"].is_number(), "{answer}");
}

fn id_of(alpha: &Sandbox, link: &str) -> String {
    alpha.orders().into_iter().find(|order| order.link == link).unwrap().id
}

/// How often an order was searched for, how often its upstream was asked for IDs, and by how many calls in all.
fn search(gateway: &Gateway, order: u64) -> (u32, u32, u32) {
    let store = rusqlite::Connection::open(gateway.store_file()).unwrap();
    let sql = "SELECT tries, scans, calls FROM lost_attempts WHERE order_id = ?1 ORDER BY attempt DESC";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    store.query_row(sql, [order.to_string()], read).optional().unwrap().unwrap()
}

async fn until_tried(gateway: &Gateway, order: u64, times: u32) {
    eventually("another search", || async { (search(gateway, order).0 >= times).then_some(()) }).await;
}

/// Waits until it has been looked for, and is put off.
async fn until_put_off(gateway: &Gateway, order: u64) {
    eventually("a look", || async {
        let store = rusqlite::Connection::open(gateway.store_file()).unwrap();
        let sql = "SELECT max(next_at) > unixepoch('subsec') * 1000 FROM lost_attempts WHERE order_id = ?1";
        let is_put_off: Option<bool> = store.query_row(sql, [order.to_string()], |row| row.get(0)).unwrap();
        is_put_off.filter(|is| *is).map(drop)
    })
    .await;
}

/// The next search is made at once.
fn search_now(gateway: &Gateway) {
    gateway.edit_store("UPDATE lost_attempts SET next_at = 0 WHERE next_at IS NOT NULL");
}

fn hints(gateway: &Gateway, order: u64) -> Vec<String> {
    gateway.history(order).into_iter().filter(|line| line.contains("hint (")).collect()
}

async fn until_hint(gateway: &Gateway, order: u64, about: &str) -> String {
    let line = gateway.until_told(order, &format!("hint ({about}): ")).await;
    assert!(line.starts_with("alert: "), "{line}");
    line
}

fn is_untouched(alpha: &Sandbox, gateway: &Gateway, order: u64, sent: u64) {
    let story = gateway.story(order);
    assert_eq!((&story["order"]["state"], &story["order"]["refunded"]), (&json!("uncertain"), &json!("0")), "{story}");
    assert_eq!(alpha.call_count(Action::Add), sent, "nothing is sent to find out");
}

// === The scan ===

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
    let mut gateway = gateway_on(&alpha, &format!("{SCAN}\n{LIST}")).await;
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

// === The list of orders ===

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_orders_settles_a_lost_one() {
    let alpha = upstream(10).await;
    alpha.set_lists_orders(true);
    let gateway = gateway_on(&alpha, LIST).await;
    let lost = lose(&alpha, &gateway, LOST).await;
    let story = gateway.until_state(lost, "placed").await;
    let id = id_of(&alpha, LOST);
    assert_eq!(story["order"]["upstream_order"], id.as_str());
    let line = gateway.until_told(lost, "settled by the list of orders at alpha").await;
    assert!(line.contains(&id), "{line}");
    gateway.until_status(lost, "Completed").await;
    assert_eq!((accepted(&alpha, LOST), gateway.balance().await.as_str()), (1, "999.892"));
    let asked = alpha.call_count(Action::Orders);
    neighbour(&gateway, "next").await;
    assert_eq!((asked, alpha.call_count(Action::Orders)), (1, 1), "asked only while something is uncertain");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_the_same_in_a_list_none_is_taken() {
    let alpha = upstream(1).await;
    alpha.set_lists_orders(true);
    let gateway = gateway_on(&alpha, LIST).await;
    let by_hand = |alpha, gateway| place_by_hand(alpha, gateway, 1, LOST, 100);
    by_hand(&alpha, &gateway).await;
    let lost = lose(&alpha, &gateway, LOST).await;
    until_hint(&gateway, lost, "several could be it").await;
    is_untouched(&alpha, &gateway, lost, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lost_orders_for_the_same_are_not_told_apart() {
    let alpha = upstream(1).await;
    let gateway = gateway_on(&alpha, LIST).await;
    let first = lose(&alpha, &gateway, LOST).await;
    alpha.script_next(Action::Add, Fault::CloseBefore, 1);
    let second = gateway.order(1, LOST, 100).await;
    gateway.until_state(second, "uncertain").await;
    for order in [first, second] {
        until_tried(&gateway, order, 1).await;
    }
    alpha.set_lists_orders(true);
    search_now(&gateway);
    for order in [first, second] {
        until_hint(&gateway, order, "another in doubt").await;
        is_untouched(&alpha, &gateway, order, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_being_sent_is_not_taken_for_a_lost_one() {
    let alpha = upstream(1).await;
    let gateway = gateway_on(&alpha, LIST).await;
    alpha.script_next(Action::Add, Fault::CloseBefore, 1);
    let lost = gateway.order(1, LOST, 100).await;
    gateway.until_state(lost, "uncertain").await;
    until_tried(&gateway, lost, 1).await;
    // The same again: it is there, and its answer is on its way.
    alpha.script_next(Action::Add, Fault::Slow(std::time::Duration::from_secs(4)), 1);
    let caller = gateway.caller();
    let mut adding = JoinSet::new();
    adding.spawn(async move { caller.add(1, LOST, 100).await.unwrap() });
    eventually("the second to be there", || async { (accepted(&alpha, LOST) == 1).then_some(()) }).await;
    alpha.set_lists_orders(true);
    let tried = search(&gateway, lost).0;
    search_now(&gateway);
    until_tried(&gateway, lost, tried + 1).await;
    let second = adding.join_next().await.unwrap().unwrap()["order"].as_u64().unwrap();
    let story = gateway.until_state(second, "placed").await;
    assert_eq!(story["order"]["upstream_order"], id_of(&alpha, LOST).as_str());
    is_untouched(&alpha, &gateway, lost, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panel_without_a_list_settles_nothing() {
    let alpha = upstream(1).await;
    let gateway = gateway_on(&alpha, LIST).await;
    let lost = lose(&alpha, &gateway, LOST).await;
    until_tried(&gateway, lost, 1).await;
    search_now(&gateway);
    until_tried(&gateway, lost, 2).await;
    let (tries, _, calls) = search(&gateway, lost);
    assert!(calls <= tries + 1 && alpha.call_count(Action::Orders) <= u64::from(tries) + 1, "one call for each try");
    assert!(gateway.log().contains("alpha gives no list of our orders"), "{}", gateway.log());
    is_untouched(&alpha, &gateway, lost, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_to_cancel_goes_on_once_the_order_is_found() {
    let alpha = upstream(1).await;
    let services = tollgate::sandbox::default_services();
    let cancelable = services.iter().find(|service| service.cancel && service.id < 6).unwrap().id;
    let config =
        Config::new("").provider("alpha", &alpha, LIST).service(1, &format!("routes = [\"alpha:{cancelable}\"]"));
    let gateway = Gateway::start(&config).await;
    let lost = lose(&alpha, &gateway, LOST).await;
    let answer = gateway.call("cancel", &[("orders", &lost.to_string())]).await;
    assert_eq!(answer[0]["cancel"], 1, "{answer}");
    assert_eq!(gateway.story(lost)["order"]["state"], "uncertain");
    until_tried(&gateway, lost, 1).await;
    alpha.set_lists_orders(true);
    search_now(&gateway);
    eventually("the upstream to be told", || async { (alpha.call_count(Action::Cancel) > 0).then_some(()) }).await;
    gateway.until_told(lost, "its upstream took the cancel").await;
    let ended = eventually("its end", || async {
        gateway.polls_are_due();
        let status = gateway.status(lost).await["status"].as_str().unwrap().to_owned();
        ["Partial", "Canceled"].contains(&status.as_str()).then_some(status)
    })
    .await;
    assert_eq!(alpha.orders()[0].status, ended, "what its upstream made of it");
    assert_eq!((accepted(&alpha, LOST), alpha.call_count(Action::Cancel)), (1, 1));
}

// === Hints ===

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

// === Late answers ===

/// An order whose attempt is under way, and is given up meanwhile, as by another instance whose clock says that its
/// lease is over.
async fn given_up_early(alpha: &Sandbox, gateway: &Gateway, fault: Fault) -> u64 {
    alpha.script_next(Action::Add, fault, 1);
    let order = gateway.order(1, LOST, 100).await;
    eventually("the upstream to be asked", || async { (alpha.call_count(Action::Add) == 1).then_some(()) }).await;
    let store = rusqlite::Connection::open(gateway.store_file()).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    store
        .execute_batch(
            "BEGIN IMMEDIATE;
             UPDATE orders SET state = 'uncertain', version = version + 1 WHERE state = 'sending';
             UPDATE attempts SET outcome = 'ambiguous', detail = 'given up', finished_at = started_at + 1,
                 finished_version = started_version + 1 WHERE outcome IS NULL;
             INSERT INTO lost_attempts (order_id, attempt, provider, started_at, ended_at)
                 SELECT order_id, number, provider, started_at, finished_at FROM attempts;
             COMMIT",
        )
        .unwrap();
    assert_eq!(gateway.story(order)["order"]["state"], "uncertain");
    order
}

fn late(seconds: u64) -> Fault {
    Fault::Slow(std::time::Duration::from_secs(seconds))
}

async fn slow_gateway(alpha: &Sandbox) -> Gateway {
    let config =
        Config::new("[dispatch]\nwait = \"0s\"").provider("alpha", alpha, SCAN).service(1, "routes = [\"alpha:1\"]");
    Gateway::start(&config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_settles_its_order() {
    let alpha = upstream(10).await;
    let gateway = slow_gateway(&alpha).await;
    let order = given_up_early(&alpha, &gateway, late(3)).await;
    let story = gateway.until_state(order, "placed").await;
    assert_eq!(story["order"]["upstream_order"], id_of(&alpha, LOST).as_str());
    gateway.until_told(order, "settled by a late answer to attempt 1").await;
    gateway.until_status(order, "Completed").await;
    assert_eq!((accepted(&alpha, LOST), gateway.balance().await.as_str()), (1, "999.892"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_to_a_refunded_order_is_recorded_and_never_charged() {
    let alpha = upstream(1).await;
    let gateway = slow_gateway(&alpha).await;
    let order = given_up_early(&alpha, &gateway, late(4)).await;
    assert!(gateway.cli(&["orders", "resolve", &order.to_string(), "--refund"]).status.success());
    assert_eq!(gateway.balance().await, DEPOSIT);
    let id = id_of(&alpha, LOST);
    let line = gateway.until_told(order, &format!("names upstream order {id}")).await;
    assert!(line.starts_with("alert: ") && line.contains("bought there without being owed"), "{line}");
    let story = gateway.story(order);
    assert_eq!((&story["attempts"][0]["outcome"], &story["attempts"][0]["detail"]), (&json!("accepted"), &json!(id)));
    assert_eq!((&story["order"]["state"], &story["order"]["upstream_order"]), (&json!("closed"), &Value::Null));
    assert_eq!(gateway.balance().await, DEPOSIT, "never charged");

    // And that ID is not taken for another lost order's, though it costs the same.
    alpha.script_next(Action::Add, Fault::CloseBefore, 1);
    let absent = gateway.order(1, "https://example.com/absent", 100).await;
    gateway.until_state(absent, "uncertain").await;
    let after = gateway.order(1, "https://example.com/after", 150).await;
    gateway.until_state(after, "placed").await;
    search_now(&gateway);
    until_put_off(&gateway, absent).await;
    is_untouched(&alpha, &gateway, absent, 3);
}
