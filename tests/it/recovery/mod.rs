//! How orders whose placement is uncertain are settled without a person, and when they are not.

mod hints;
mod late;
mod list;
mod scan;

use rusqlite::OptionalExtension;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate::sandbox::{Action, DEFAULT_KEY, Fault, Sandbox};

use crate::harness::gateway::DEPOSIT;
use crate::harness::{Config, Gateway, accepted, eventually, upstream};

const LOST: &str = "https://example.com/lost";
const SCAN: &str = "exclusive_account = true\nrecover = \"scan\"";
const LIST: &str = "exclusive_account = true\nlists_orders = true";

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
