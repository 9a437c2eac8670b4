//! Answers that say nothing certain, and what the operator can say of them for ever.

use tollgate::sandbox::{Action, Fault, Sandbox};

use crate::harness::{Config, Gateway, accepted, upstream};

/// Service 1 goes to alpha and else to beta.
fn config(alpha: &Sandbox, beta: &Sandbox, alpha_lines: &str) -> Config {
    Config::new("[dispatch]\nwait = \"5s\"")
        .provider("alpha", alpha, alpha_lines)
        .provider("beta", beta, "")
        .service(1, "routes = [\"alpha:1\", \"beta:1\"]")
}

fn link(name: &str) -> String {
    format!("https://example.com/{name}.")
}

/// Orders with this answer of alpha's, until the order has this state; gives its attempts' outcomes.
async fn ordered(gateway: &Gateway, alpha: &Sandbox, name: &str, fault: Fault, state: &str) -> Vec<String> {
    alpha.script_next(Action::Add, fault, 1);
    let order = gateway.order(1, &link(name), 100).await;
    let story = gateway.until_state(order, state).await;
    let attempts = story["attempts"].as_array().unwrap();
    attempts.iter().map(|attempt| attempt["outcome"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_text_is_uncertain_until_one_line_settles_its_kind() {
    let (alpha, beta) = (upstream(1).await, upstream(1).await);
    let gateway = Gateway::start(&config(&alpha, &beta, "")).await;
    gateway.has_all_catalogues().await;
    let says = |text: &str| Fault::Error(text.to_owned());
    let unknown = "Sorry, come back on Monday (7)";
    assert_eq!(ordered(&gateway, &alpha, "before", says(unknown), "uncertain").await, ["ambiguous"]);

    let line = "rejects = [{ text = \"come back on monday\", kind = \"maintenance\" }]";
    gateway.reload(&config(&alpha, &beta, line)).await;
    assert_eq!(ordered(&gateway, &alpha, "after", says(unknown), "placed").await, ["rejected", "accepted"]);
    assert_eq!(ordered(&gateway, &alpha, "other", says("Come back on Tuesday"), "uncertain").await, ["ambiguous"]);
    // What was uncertain stays so: nobody knows whether the words meant the same then.
    let before = gateway.cli_json(&["orders", "list", "--link", &link("before")]);
    assert_eq!((before[0]["state"].as_str(), before[0]["refunded"].as_str()), (Some("uncertain"), Some("0")));
    assert_eq!((alpha.order_count(), beta.order_count(), accepted(&beta, &link("after"))), (0, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_503_is_uncertain_unless_the_operator_vouches_for_it() {
    let (alpha, beta) = (upstream(1).await, upstream(1).await);
    let gateway = Gateway::start(&config(&alpha, &beta, "")).await;
    gateway.has_all_catalogues().await;
    assert_eq!(ordered(&gateway, &alpha, "before", Fault::Unavailable, "uncertain").await, ["ambiguous"]);

    gateway.reload(&config(&alpha, &beta, "treat_503_as = \"not-placed\"")).await;
    assert_eq!(ordered(&gateway, &alpha, "after", Fault::Unavailable, "placed").await, ["rejected", "accepted"]);
    assert_eq!(accepted(&beta, &link("after")), 1);
    // No other status is vouched for.
    assert_eq!(ordered(&gateway, &alpha, "other", Fault::BadGateway, "uncertain").await, ["ambiguous"]);

    gateway.reload(&config(&alpha, &beta, "treat_503_as = \"ambiguous\"")).await;
    assert_eq!(ordered(&gateway, &alpha, "again", Fault::Unavailable, "uncertain").await, ["ambiguous"]);
    assert_eq!((accepted(&alpha, &link("other")), beta.order_count()), (1, 1));
}
