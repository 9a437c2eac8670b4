//! Lists: IDs that were reused, and lists that can not be true.

use serde_json::json;
use tollgate::sandbox::{SandboxService, default_services};

use super::{LINK, alerts, change, config, sold, stderr, sync};
use crate::harness::{Config, Gateway, eventually, upstream};

fn reuse(service: &mut SandboxService) {
    service.name = "TikTok Shares".to_owned();
    service.category = Some("TikTok".to_owned());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_was_reused_is_off_sale_until_it_is_confirmed() {
    let alpha = upstream(20).await;
    let mut gateway = Gateway::start(&config(&alpha, "").service(2, "routes = [\"alpha:2\"]")).await;
    assert_eq!(sold(&gateway).await, [1, 2]);
    let before = alerts(&gateway).await;
    change(&alpha, 1, reuse);
    let report = sync(&gateway, &[]);
    assert_eq!(report["doubted"][0]["service"], "1");
    let why = report["doubted"][0]["why"].as_str().unwrap();
    assert!(why.contains("Instagram Followers") && why.contains("TikTok Shares"), "{why}");
    assert_eq!(report["renamed"], json!([]));
    assert_eq!(sold(&gateway).await, [2]);
    assert!(gateway.add(1, LINK, 1000).await["error"].is_string());
    assert_eq!(alerts(&gateway).await, before + 1);
    assert_eq!(sync(&gateway, &[])["doubted"][0]["service"], "1", "it stays");
    assert_eq!(alerts(&gateway).await, before + 1, "and is told of once");
    let said = stderr(&gateway, &["services"]);
    assert!(said.contains("service 1 is not listed") && said.contains("TikTok Shares"), "{said}");
    assert!(said.contains("tollgate sync alpha --confirm 1"), "{said}");

    // It survives a restart, with the upstream down too.
    assert!(gateway.stop().await.success());
    alpha.set_faults("unavailable".parse().unwrap());
    gateway.launch().await;
    assert_eq!(sold(&gateway).await, [2]);
    alpha.set_faults("".parse().unwrap());

    let refused = gateway.cli(&["sync", "alpha", "--confirm", "2"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("service 2 of alpha is not in doubt"));
    assert_eq!(gateway.cli(&["sync", "--confirm", "1"]).status.code(), Some(2), "of which provider?");
    assert_eq!(sold(&gateway).await, [2]);
    eventually("alpha to take calls", || async { gateway.cli(&["sync", "alpha"]).status.success().then_some(()) })
        .await;

    let report = sync(&gateway, &["--confirm", "1"]);
    assert_eq!((&report["confirmed"], &report["doubted"]), (&json!(["1"]), &json!([])));
    assert_eq!(sold(&gateway).await, [1, 2]);
    assert_eq!(gateway.call("services", &[]).await[0]["name"], "TikTok Shares");
    gateway.order(1, LINK, 1000).await;
    assert_eq!(sync(&gateway, &[])["doubted"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_alone_is_followed_and_a_new_type_is_not() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&config(&alpha, "")).await;
    change(&alpha, 1, |service| service.name = "Instagram Followers [Fast]".to_owned());
    let report = sync(&gateway, &[]);
    assert_eq!((&report["renamed"][0]["service"], &report["doubted"]), (&json!("1"), &json!([])));
    assert!(report["renamed"][0]["to"].as_str().unwrap().contains("[Fast]"));
    assert_eq!(gateway.call("services", &[]).await[0]["name"], "Instagram Followers [Fast]");
    assert_eq!(sync(&gateway, &[])["renamed"], json!([]));

    change(&alpha, 1, |service| service.type_text = "Package".to_owned());
    let report = sync(&gateway, &[]);
    assert_eq!(report["doubted"][0]["service"], "1");
    assert!(sold(&gateway).await.is_empty());

    // What the panel puts right by itself needs nobody's word.
    change(&alpha, 1, |_| {});
    assert_eq!(sync(&gateway, &[])["doubted"], json!([]));
    assert_eq!(sold(&gateway).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_was_away_is_remembered() {
    let alpha = upstream(20).await;
    let mut gateway = Gateway::start(&config(&alpha, "")).await;
    alpha.set_services(default_services().into_iter().filter(|service| service.id != 1).collect());
    assert_eq!(sync(&gateway, &[])["lost"], json!(["1"]));
    assert!(gateway.stop().await.success());
    change(&alpha, 1, reuse);
    // With no gateway running the command line does it by itself.
    assert_eq!(sync(&gateway, &[])["doubted"][0]["service"], "1");
    gateway.launch().await;
    assert!(sold(&gateway).await.is_empty());
    assert_eq!(sync(&gateway, &["--confirm", "all"])["confirmed"], json!(["1"]));
    assert_eq!(sold(&gateway).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_route_goes_on_where_the_first_is_in_doubt() {
    let (alpha, beta) = (upstream(20).await, upstream(20).await);
    let config = Config::new("[dispatch]\nwait = \"5s\"")
        .provider("alpha", &alpha, "")
        .provider("beta", &beta, "")
        .service(1, "routes = [\"alpha:1\", \"beta:1\"]");
    let gateway = Gateway::start(&config).await;
    eventually("beta's list", || async {
        let providers = gateway.cli_json(&["providers"]);
        (providers[1]["services"] == 26).then_some(())
    })
    .await;
    change(&alpha, 1, reuse);
    sync(&gateway, &[]);
    assert_eq!(sold(&gateway).await, [1]);
    gateway.order(1, LINK, 1000).await;
    assert_eq!((alpha.order_count(), beta.order_count()), (0, 1));
    let said = stderr(&gateway, &["services"]);
    assert!(said.contains("alpha:1") && !said.contains("is not listed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_true_alerts_once_until_a_good_one_came() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&config(&alpha, "")).await;
    let before = alerts(&gateway).await;
    let failed = async || {
        assert_eq!(gateway.cli(&["sync", "alpha"]).status.code(), Some(1));
        alerts(&gateway).await
    };
    alpha.set_faults("services-empty".parse().unwrap());
    assert_eq!(failed().await, before + 1);
    assert_eq!(failed().await, before + 1);
    alpha.set_faults("".parse().unwrap());
    alpha.set_services(default_services()[..12].to_vec());
    assert_eq!(failed().await, before + 1, "the list has not been good since");
    alpha.set_services(default_services()[..13].to_vec());
    assert_eq!(sync(&gateway, &[])["services"], 13, "half of it is believed");
    alpha.set_faults("services-empty".parse().unwrap());
    assert_eq!(failed().await, before + 2);
    assert_eq!(sold(&gateway).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_cannot_be_read_are_warned_of() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&config(&alpha, "")).await;
    let mut services = default_services();
    services.push(services[0].clone());
    services.push(SandboxService { id: 900, min: 5, max: 4, ..services[0].clone() });
    alpha.set_services(services);
    let report = sync(&gateway, &[]);
    assert_eq!((&report["services"], &report["skipped"]), (&json!(26), &json!(2)));
    let warned = || gateway.log().matches("2 rows of the list of alpha can't be read").count();
    assert_eq!(warned(), 1);
    sync(&gateway, &[]);
    assert_eq!(warned(), 1, "once");
}
