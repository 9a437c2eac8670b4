//! The operators' pages: what they show, to whom, and that nothing in them comes alive.

use reqwest::Response;
use tollgate::sandbox::{Action, Fault, Sandbox};

use crate::harness::{Config, Gateway, eventually, upstream};

const TOKEN: &str = "open-sesame";
const HOSTILE: &str = "https://example.com/<script>alert(1)</script>?a=\"'&b";

async fn shop(server: &str) -> (Sandbox, Gateway) {
    let alpha = upstream(20).await;
    let config = Config::new("").server(server).provider("alpha", &alpha, "").service(1, "routes = [\"alpha:1\"]");
    let mut gateway = Gateway::prepare(&config);
    gateway.launch_unready().await;
    gateway.key = gateway.add_client("<b>tester</b>", &["--deposit", "1000"]);
    gateway.knows_key(&gateway.key).await;
    (alpha, gateway)
}

async fn get(gateway: &Gateway, path: &str) -> Response {
    let request = gateway.http().get(format!("{}{path}", gateway.ops)).basic_auth("me", Some(TOKEN));
    request.send().await.unwrap()
}

async fn page(gateway: &Gateway, path: &str) -> String {
    let response = get(gateway, path).await;
    assert_eq!(response.status(), 200, "{path}");
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    assert!(response.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    let text = response.text().await.unwrap();
    for shown in [gateway.key.as_str(), tollgate::sandbox::DEFAULT_KEY, TOKEN, "<script", "<b>tester", "javascript:"] {
        assert!(!text.contains(shown), "{path} shows {shown}: {text}");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_show_what_the_command_line_does() {
    let (alpha, gateway) = shop(&format!("ops_token = \"{TOKEN}\"")).await;
    let order = eventually("an order", || async { gateway.add(1, HOSTILE, 1000).await["order"].as_u64() }).await;
    gateway.until_status(order, "Completed").await;
    alpha.script_next(Action::Add, Fault::CloseAfter, 1);
    let lost = gateway.order(1, "https://example.com/lost", 100).await;
    gateway.until_state(lost, "uncertain").await;

    let overview = page(&gateway, "/console").await;
    assert!(overview.contains("alpha") && overview.contains("1 uncertain orders"), "{overview}");
    assert!(overview.contains(&format!("/console/orders/{lost}")) && overview.contains("uncertain ("), "its alert");
    let orders = page(&gateway, "/console/orders").await;
    assert!(orders.contains("&lt;script&gt;alert(1)&lt;/script&gt;?a=&quot;'&amp;b"), "{orders}");
    assert!(orders.contains("&lt;b&gt;tester&lt;/b&gt;") && orders.contains("1.08"), "{orders}");
    let detail = page(&gateway, &format!("/console/orders/{order}")).await;
    for line in gateway.history(order) {
        let text = line.trim_start_matches("alert: ");
        assert!(detail.contains(text), "{text} in {detail}");
    }
    assert!(detail.contains("accepted") && detail.contains("-1.08") && detail.contains("alpha:1"), "{detail}");
    let uncertain = page(&gateway, "/console/uncertain").await;
    for how in ["--placed UPSTREAM_ID", "--not-placed", "--refund"] {
        assert!(uncertain.contains(&format!("tollgate orders resolve {lost} {how}")), "{uncertain}");
    }
    let providers = page(&gateway, "/console/providers").await;
    assert!(providers.contains("alpha") && providers.contains("USD"), "{providers}");

    gateway.cli_json(&["orders", "resolve", &lost.to_string(), "--refund"]);
    assert!(!page(&gateway, "/console").await.contains("wait for you"));
    for path in ["/console/orders/99", "/console/orders/0", "/console/orders/4294967295", "/console/clients"] {
        assert_eq!(get(&gateway, path).await.status(), 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_filtered_and_turned_page_by_page() {
    let (_alpha, gateway) = shop(&format!("ops_token = \"{TOKEN}\"")).await;
    eventually("the catalogue", || async { gateway.add(1, "https://example.com/0", 100).await["order"].as_u64() })
        .await;
    let form = |number: usize| {
        vec![
            ("key", gateway.key.clone()),
            ("action", "add".to_owned()),
            ("service", "1".to_owned()),
            ("link", format!("https://example.com/{number}")),
            ("quantity", "100".to_owned()),
        ]
    };
    let answers = gateway.post_at_once((1..130).map(form)).await;
    assert!(answers.iter().all(|answer| answer["order"].is_u64()), "{answers:?}");
    let other = gateway.add_client("a&b=c", &["--deposit", "1"]);
    let last = gateway.order_of(&other, 1, "https://example.com/other", 100).await;

    let first = page(&gateway, "/console/orders").await;
    assert_eq!(first.matches("href=\"/console/orders/").count(), 100);
    assert!(first.contains(&format!("/console/orders/{last}\"")));
    let older = first.split("href=\"").find(|part| part.contains("below=")).unwrap().split('"').next().unwrap();
    let second = page(&gateway, &older.replace("&amp;", "&")).await;
    assert_eq!(second.matches("href=\"/console/orders/").count(), 31);
    assert!(second.contains("/console/orders/1\"") && !second.contains("Older orders"));

    let theirs = first.split("href=\"").find(|part| part.contains("client=a%26b")).unwrap().split('"').next().unwrap();
    let theirs = page(&gateway, &theirs.replace("&amp;", "&")).await;
    assert_eq!(theirs.matches("href=\"/console/orders/").count(), 1);
    assert!(theirs.contains("value=\"a&amp;b=c\""), "{theirs}");
    assert_eq!(page(&gateway, "/console/orders?provider=beta").await.matches("href=\"/console/orders/").count(), 0);
    assert_eq!(
        page(&gateway, "/console/orders?state=queued&client=nobody").await.matches("/console/orders/").count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_a_browsers_password() {
    let (_alpha, gateway) = shop(&format!("ops_token = \"{TOKEN}\"")).await;
    let ask = |user: &str, password: &str| {
        gateway.http().get(format!("{}/console", gateway.ops)).basic_auth(user, Some(password)).send()
    };
    assert_eq!(ask("", TOKEN).await.unwrap().status(), 200);
    assert_eq!(ask(TOKEN, "").await.unwrap().status(), 401);
    let refused = gateway.http().get(format!("{}/console/orders", gateway.ops)).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    assert!(!refused.text().await.unwrap().contains("alpha"));
    let (_alpha, open) = shop("").await;
    assert_eq!(open.http().get(format!("{}/console", open.ops)).send().await.unwrap().status(), 200, "on loopback");
    assert_eq!(open.http().post(format!("{}/console", open.ops)).send().await.unwrap().status(), 405);
}
