//! The pages as HTML. Every text from outside is escaped by the macro, and a link that a client ordered for is shown
//! as text, since it may be anything.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, html};

use super::STYLE_PATH;
use crate::app::accounts::documents::EntryDocument;
use crate::app::console::{InDoubt, OrderPage, OrderQuery, Overview, View};
use crate::app::documents::{AttemptDocument, HistoryDocument, OrderDocument, ProviderDocument, StoryDocument};

const STATES: [&str; 5] = ["queued", "sending", "placed", "uncertain", "closed"];

/// The page of a view.
pub(super) fn page(view: &View) -> Markup {
    match view {
        View::Overview(overview) => frame("Overview", &overview_page(overview)),
        View::Orders(page, query) => frame("Orders", &orders_page(page, query)),
        View::Order(story) => frame(&format!("Order {}", story.order.order), &story_page(story)),
        View::Uncertain(page, doubts) => frame("Uncertain orders", &uncertain_page(page, doubts)),
        View::Providers(providers) => frame("Providers", &provider_table(providers)),
    }
}

/// A page that says why there is none.
pub(super) fn trouble(title: &str, why: &str) -> Markup {
    frame(title, &html! { p { (why) } })
}

fn frame(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – tollgate" }
                link rel="stylesheet" href=(STYLE_PATH.as_str());
            }
            body {
                nav {
                    b { "tollgate" }
                    a href="/console" { "Overview" }
                    a href="/console/orders" { "Orders" }
                    a href="/console/uncertain" { "Uncertain" }
                    a href="/console/providers" { "Providers" }
                }
                h1 { (title) }
                (body)
            }
        }
    }
}

fn held_by(basis: &str) -> &'static str {
    match basis {
        "redis" => "Redis",
        "share" => "the share that each of them has",
        _ => "nothing just now, so that no call leaves this one",
    }
}

fn overview_page(overview: &Overview) -> Markup {
    html! {
        @if overview.paused {
            p.mark { "No order leaves: " code { "tollgate resume" } " lets them go." }
        }
        @if overview.uncertain() > 0 {
            p.mark { a href="/console/uncertain" { (overview.uncertain()) " uncertain orders" } " wait for you." }
        }
        @if let Some((gateways, basis)) = overview.gateways {
            p { (gateways) " gateways serve this store; limits over all of them are held by " (held_by(basis)) "." }
        }
        table {
            @for (state, count) in &overview.states {
                tr {
                    th { a href={ "/console/orders?state=" (state) } { (state) } }
                    td.number { (count) }
                }
            }
        }
        h2 { "Providers" }
        (provider_table(&overview.providers))
        h2 { "Alerts" }
        @if overview.alerts.is_empty() {
            p { "None." }
        } @else {
            div.scroll { table {
                tr { th { "At" } th { "Order" } th { "What happened" } }
                @for alert in &overview.alerts {
                    tr { td { (alert.at) } td { (order_link(alert.order)) } td.text { (alert.text) } }
                }
            } }
        }
    }
}

fn provider_table(providers: &[ProviderDocument]) -> Markup {
    html! {
        div.scroll { table {
            tr {
                th { "Provider" } th { "State" } th.number { "Balance" } th { "Last sync" }
                th.number { "Services" } th.number { "In flight" } th.number { "Failures" }
            }
            @for provider in providers {
                tr {
                    td { a href={ "/console/orders?" (pair("provider", &provider.provider)) } { (provider.provider) } }
                    td.mark[provider.state != "on"] { (provider.state) }
                    td.number { (shown(provider.balance.as_ref())) " " (provider.currency) }
                    td { (shown(provider.last_sync_at.as_ref())) }
                    td.number { (provider.services) }
                    td.number { (provider.in_flight) }
                    td.number { (provider.failures) }
                }
            }
        } }
    }
}

fn orders_page(page: &OrderPage, query: &OrderQuery) -> Markup {
    let value = |text: &Option<String>| text.clone().unwrap_or_default();
    html! {
        form action="/console/orders" {
            label { "State " select name="state" {
                option value="" { "any" }
                @for state in STATES {
                    option value=(state) selected[query.state.as_deref() == Some(state)] { (state) }
                }
            } }
            label { "Client " input name="client" value=(value(&query.client)); }
            label { "Provider " input name="provider" value=(value(&query.provider)); }
            button { "Show" }
        }
        (order_table(&page.orders))
        (next_page(page, "/console/orders", query))
    }
}

fn order_table(orders: &[OrderDocument]) -> Markup {
    html! {
        @if orders.is_empty() {
            p { "None." }
        } @else {
            div.scroll { table {
                tr {
                    th { "Order" } th { "Client" } th.number { "Service" } th { "State" } th { "Status" }
                    th { "Provider" } th { "Upstream order" } th.number { "Quantity" } th.number { "Remains" }
                    th.number { "Charge" } th.number { "Refunded" } th.number { "Cost" } th { "Accepted" } th { "Link" }
                }
                @for order in orders {
                    tr {
                        td { (order_link(order.order)) }
                        td { a href={ "/console/orders?" (pair("client", &order.client)) } { (order.client) } }
                        td.number { (order.service) }
                        td.mark[order.state == "uncertain"] { (order.state) }
                        td { (order.status) }
                        td { (shown(order.provider.as_ref())) }
                        td { (shown(order.upstream_order.as_ref())) }
                        td.number { (order.quantity) }
                        td.number { (order.remains) }
                        td.number { (order.charge) }
                        td.number { (order.refunded) }
                        td.number { (shown(order.cost.as_ref())) }
                        td { (order.created_at) }
                        td.text { (order.link) }
                    }
                }
            } }
        }
    }
}

fn next_page(page: &OrderPage, path: &str, query: &OrderQuery) -> Markup {
    let last = page.orders.last().filter(|_| page.more).map(|order| order.order.to_string());
    let pairs = [("state", &query.state), ("client", &query.client), ("provider", &query.provider), ("below", &last)];
    let mut link = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value {
            link.append_pair(name, value);
        }
    }
    html! {
        @if last.is_some() {
            p { a href={ (path) "?" (link.finish()) } { "Older orders" } }
        }
    }
}

fn uncertain_page(page: &OrderPage, doubts: &BTreeMap<u32, InDoubt>) -> Markup {
    html! {
        p {
            "Whether these were placed is not known. They are neither sent again nor refunded until you say so: look for \
             each at its provider, by its link and time, then run one of its lines."
        }
        @if page.orders.is_empty() { p { "None." } }
        @for order in &page.orders {
            h2 { (order_link(order.order)) " at " (shown(order.provider.as_ref())) }
            table {
                tr { th { "Link" } td.text { (order.link) } }
                tr { th { "Quantity" } td { (order.quantity) } }
                tr { th { "Client" } td { (order.client) } }
                tr { th { "Charge" } td { (order.charge) } }
                tr { th { "Accepted" } td { (order.created_at) } }
                @if let Some(doubt) = doubts.get(&order.order) {
                    tr { th { "Uncertain since" } td { (doubt.since.as_ref().unwrap_or(&order.updated_at)) } }
                    @for hint in &doubt.hints {
                        tr { th { "Seen " (hint.at) } td.text.mark { (hint.text) } }
                    }
                }
                tr { th { "It is there" } td { code { "tollgate orders resolve " (order.order) " --placed UPSTREAM_ID" } } }
                tr { th { "It is not" } td { code { "tollgate orders resolve " (order.order) " --not-placed" } } }
                tr { th { "Give the money back" } td { code { "tollgate orders resolve " (order.order) " --refund" } } }
            }
        }
        (next_page(page, "/console/uncertain", &OrderQuery::default()))
    }
}

fn story_page(story: &StoryDocument) -> Markup {
    html! {
        (order_table(std::slice::from_ref(&story.order)))
        h2 { "Attempts" }
        (attempt_table(&story.attempts))
        h2 { "History" }
        (history_table(&story.history))
        h2 { "Ledger" }
        (entry_table(&story.ledger))
    }
}

fn attempt_table(attempts: &[AttemptDocument]) -> Markup {
    html! {
        div.scroll { table {
            tr { th { "Attempt" } th { "Route" } th { "Started" } th { "Finished" } th { "Outcome" } th { "Detail" } }
            @for attempt in attempts {
                tr {
                    td { (attempt.attempt) }
                    td { (attempt.provider) ":" (attempt.upstream_service) }
                    td { (attempt.started_at) }
                    td { (shown(attempt.finished_at.as_ref())) }
                    td { (shown(attempt.outcome.as_ref())) }
                    td.text { (shown(attempt.detail.as_ref())) }
                }
            }
        } }
    }
}

fn history_table(history: &[HistoryDocument]) -> Markup {
    html! {
        div.scroll { table {
            tr { th { "At" } th { "What happened" } }
            @for line in history {
                tr { td { (line.at) } td.text.mark[line.alert] { (line.text) } }
            }
        } }
    }
}

fn entry_table(entries: &[EntryDocument]) -> Markup {
    html! {
        div.scroll { table {
            tr { th { "At" } th { "Kind" } th.number { "Amount" } th.number { "Balance" } }
            @for entry in entries {
                tr {
                    td { (entry.at) }
                    td { (entry.kind) }
                    td.number { (entry.amount) }
                    td.number { (entry.balance) }
                }
            }
        } }
    }
}

fn order_link(order: u32) -> Markup {
    html! { a href={ "/console/orders/" (order) } { (order) } }
}

/// `name=value`, escaped for a link.
fn pair(name: &str, value: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
}

fn shown(value: Option<&String>) -> &str {
    value.map_or("–", String::as_str)
}
