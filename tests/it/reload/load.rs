//! Reloads under load: no call fails, no order is lost or sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::harness::{Config, Gateway, accepted, eventually, upstream};

/// Reloads while the clients are calling.
const RELOADS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_and_no_order_is_lost_while_everything_is_changed() {
    let (alpha, beta) = (upstream(20).await, upstream(20).await);
    let config = |round: usize| {
        let (percent, burst) = (20 + 10 * (round % 3), 400 + round % 2);
        let config = Config::new(&format!("[pricing]\nmarkup_percent = \"{percent}\"\n[dispatch]\nwait = \"100ms\""))
            .provider("alpha", &alpha, &format!("burst = {burst}"))
            .service(1, "routes = [\"alpha:1\"]");
        // Beta comes and goes: nothing is ever ordered there.
        if round % 2 == 1 { config.provider("beta", &beta, "").service(2, "routes = [\"beta:1\"]") } else { config }
    };
    let gateway = Gateway::start(&config(0)).await;
    let first = gateway.order(1, "https://example.com/first", 100).await;
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for client in 0..4 {
        let (caller, stop, calls) = (gateway.caller(), Arc::clone(&stop), Arc::clone(&calls));
        clients.spawn(async move {
            let mut links = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let link = format!("https://example.com/{client}/{}", links.len());
                let placed = caller.add(1, &link, 100).await.unwrap();
                assert!(placed["order"].is_u64(), "{placed}");
                links.push((placed["order"].as_u64().unwrap(), link));
                let status = caller.call("status", &[("order", &first.to_string())]).await.unwrap();
                assert!(status["status"].is_string(), "{status}");
                let services = caller.call("services", &[]).await.unwrap();
                let sold = |id: u64| move |service: &Value| service["service"] == id;
                assert!(services.as_array().is_some_and(|all| all.iter().any(sold(1))), "{services}");
                calls.fetch_add(3, Ordering::SeqCst);
            }
            links
        });
    }
    for round in 1..=RELOADS {
        let before = calls.load(Ordering::SeqCst);
        gateway.reload(&config(round)).await;
        eventually("calls between two reloads", || async {
            (calls.load(Ordering::SeqCst) > before + 12).then_some(())
        })
        .await;
    }
    stop.store(true, Ordering::SeqCst);
    let links: Vec<(u64, String)> = clients.join_all().await.concat();
    assert!(links.len() > RELOADS);
    for (order, link) in &links {
        gateway.until_status(*order, "Completed").await;
        assert_eq!(accepted(&alpha, link), 1, "{link}");
    }
    assert_eq!(gateway.orders().len(), links.len() + 1);
    assert_eq!(beta.order_count(), 0);
}
