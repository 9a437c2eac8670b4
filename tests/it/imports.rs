//! Imports: which of an upstream's services become ours, under which IDs, and what beats them.

use serde_json::{Value, json};
use tollgate::sandbox::{Sandbox, SandboxService, default_services};

use crate::harness::{Config, Gateway, eventually, upstream};

fn ids(services: &Value) -> Vec<u64> {
    services.as_array().unwrap().iter().map(|service| service["service"].as_u64().unwrap()).collect()
}

/// The IDs that are listed, once the first of these is.
async fn listed(gateway: &Gateway, first: u64) -> Vec<u64> {
    eventually("the list", || async {
        let ids = ids(&gateway.call("services", &[]).await);
        ids.contains(&first).then_some(ids)
    })
    .await
}

async fn one(alpha: &Sandbox, lines: &str) -> Vec<u64> {
    let import = format!("[[import]]\nprovider = \"alpha\"\nid_offset = 100\n{lines}\n");
    // Something that is always listed, so that an import of nothing shows.
    let config = Config::new("").provider("alpha", alpha, "").service(1, "routes = [\"alpha:1\"]").text(&import);
    let gateway = Gateway::start(&config).await;
    listed(&gateway, 1).await.into_iter().filter(|id| *id > 100).map(|id| id - 100).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn globs_choose_by_name_category_and_type() {
    let alpha = upstream(20).await;
    let chosen: [(&str, &[u64]); 8] = [
        ("category = \"Instagram*\"\ntype = \"Default\"", &[1, 2, 3, 4, 5]),
        ("name = \"TikTok*\"", &[22, 23]),
        ("category = \"Telegram\"\nexclude_name = \"*Members\"", &[18, 19]),
        ("name = \"*Likes*\"\nexclude_category = \"Instagram*\"", &[20, 26]),
        ("type = \"*Package\"", &[6, 9]),
        ("name = \"Instagram {Views,Likes}\"", &[3, 5]),
        ("name = \"Instagram Likes [[]No Refill]\"", &[4]),
        ("name = \"nothing like that\"", &[]),
    ];
    for (lines, wanted) in chosen {
        assert_eq!(one(&alpha, lines).await, wanted, "{lines}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_by_hand_beats_an_import_and_an_earlier_import_a_later_one() {
    let (alpha, beta) = (upstream(20).await, upstream(20).await);
    let config = Config::new("")
        .provider("alpha", &alpha, "")
        .provider("beta", &beta, "")
        .service(1002, "name = \"Mine\"\nroutes = [\"beta:2\"]")
        .service(1003, "routes = [\"alpha:3\"]\nenabled = false")
        .text("[[import]]\nprovider = \"alpha\"\nid_offset = 1000\nname = \"Instagram Followers*\"\nmarkup_percent = \"50\"\n")
        .text("[[import]]\nprovider = \"beta\"\nid_offset = 1000\ncategory = \"Instagram {Followers,Likes}\"\nmarkup_percent = \"100\"\n");
    let gateway = Gateway::start(&config).await;
    let services = eventually("both lists", || async {
        let services = gateway.call("services", &[]).await;
        let ids = ids(&services);
        (ids.contains(&1001) && ids.contains(&1004)).then_some(services)
    })
    .await;
    let mut found: Vec<(u64, &str)> = services
        .as_array()
        .unwrap()
        .iter()
        .map(|service| (service["service"].as_u64().unwrap(), service["rate"].as_str().unwrap()))
        .collect();
    found.sort_unstable();
    // 1001 is alpha's though beta's import takes it too; 1002 is by hand; 1003 is off, for an import as well.
    assert_eq!(found, [(1001, "1.35"), (1002, "3"), (1004, "0.147")]);
    let mine = services.as_array().unwrap().iter().find(|service| service["service"] == 1002).unwrap();
    assert_eq!(mine["name"], "Mine");

    let order = gateway.order(1001, "https://example.com/p/1", 1000).await;
    gateway.until_status(order, "Completed").await;
    let order = gateway.order(1002, "https://example.com/p/2", 1000).await;
    gateway.until_status(order, "Completed").await;
    assert!(gateway.add(1003, "https://example.com/p/3", 1000).await["error"].is_string());
    assert_eq!((alpha.order_count(), beta.order_count()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_id_is_stable_whatever_the_list_around_it_does() {
    let alpha = upstream(20).await;
    let config = Config::new("")
        .provider("alpha", &alpha, "")
        .text("[[import]]\nprovider = \"alpha\"\nid_offset = 500\ncategory = \"Telegram\"\n");
    let mut gateway = Gateway::start(&config).await;
    assert_eq!(listed(&gateway, 518).await, [518, 519, 524]);
    let order = gateway.order(524, "https://example.com/p/1", 1000).await;

    // Turned around, one left its category, and one is new.
    let mut services = default_services();
    services.reverse();
    let moved = services.iter_mut().find(|service| service.id == 19).unwrap();
    moved.category = Some("Groups".to_owned());
    let new = SandboxService { id: 700, category: Some("Telegram".to_owned()), ..services[0].clone() };
    services.push(new);
    alpha.set_services(services);
    gateway.cli_json(&["sync"]);
    assert_eq!(listed(&gateway, 1200).await, [524, 518, 1200]);
    gateway.until_status(order, "Completed").await;
    assert!(gateway.add(519, "https://example.com/p/2", 1000).await["error"].is_string());
    gateway.order(1200, "https://example.com/p/3", 1000).await;

    assert!(gateway.stop().await.success());
    gateway.launch().await;
    assert_eq!(listed(&gateway, 1200).await, [524, 518, 1200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_moves_to_another_provider_is_told_beforehand_and_when_it_moves() {
    let (alpha, beta) = (upstream(20).await, upstream(20).await);
    let import =
        |provider: &str| format!("[[import]]\nprovider = \"{provider}\"\nid_offset = 500\nname = \"Poll Votes\"\n");
    let config = |first: &str, second: &str| {
        let providers = Config::new("").provider("alpha", &alpha, "").provider("beta", &beta, "");
        providers.service(1, "routes = [\"beta:1\"]").text(&import(first)).text(&import(second))
    };
    let only_alpha = Config::new("").provider("alpha", &alpha, "").text(&import("alpha"));
    let gateway = Gateway::start(&only_alpha).await;
    let id = listed(&gateway, 518).await[0];
    gateway.reload(&config("alpha", "beta").service(2, "routes = [\"beta:1\"]")).await;
    // Beta's list is there once its service is; beta's import is a later one.
    listed(&gateway, 1).await;

    gateway.reconfigure(&config("beta", "alpha"));
    let document = gateway.cli_json(&["check", "--diff"]);
    assert!(document["warnings"].to_string().contains("same id_offset (500)"), "{document}");
    let rerouted = &document["diff"]["rerouted"];
    assert_eq!((&rerouted[0]["service"], &rerouted[0]["from"]), (&json!(id), &json!(["alpha:18"])), "{document}");
    assert_eq!((&rerouted[0]["to"], &rerouted[0]["queued"]), (&json!(["beta:18"]), &json!(0)), "{document}");
    assert_eq!(
        document["diff"]["clashes"],
        json!(["alpha:18 is not sold: an earlier import gives its ID 518 to beta:18"])
    );
    assert!(!gateway.log().contains("beta:18"), "nothing has moved yet");
    gateway.reload(&config("beta", "alpha")).await;
    assert!(gateway.log().contains("goes by beta:18 now; it went by alpha:18"));
    assert!(gateway.log().contains("1 rerouted"));

    // Beta lets go of it: the later import has it now.
    beta.set_services(default_services().into_iter().filter(|service| service.id != 18).collect());
    gateway.cli_json(&["sync", "beta"]);
    eventually("the word for it", || async {
        gateway.log().contains("goes by alpha:18 now; it went by beta:18").then_some(())
    })
    .await;
}
