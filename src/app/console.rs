//! What the operators' web pages show: the same documents as the command line's.

use std::collections::BTreeMap;

use super::App;
use super::documents::{HistoryDocument, OrderDocument, ProviderDocument, StoryDocument, time};
use crate::domain::ids::{OrderId, ProviderId};
use crate::domain::order::Hint;
use crate::store::StoreResult;
use crate::store::records::{OrderFilter, OrderStory};

/// Orders on one page.
pub const PAGE: usize = 100;
/// Alerts in the overview.
const ALERTS: usize = 20;
/// Every state of an order but closed, which are not counted: they may be millions.
const OPEN_STATES: [&str; 4] = ["queued", "sending", "placed", "uncertain"];

/// What is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewQuery {
    /// How things are.
    Overview,
    /// Orders, newest first.
    Orders(OrderQuery),
    /// One order's whole history.
    Order(u32),
    /// Uncertain orders with an ID below this one, newest first.
    Uncertain(Option<u32>),
    /// Providers.
    Providers,
}

/// Which orders are to be listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderQuery {
    /// A state's word.
    pub state: Option<String>,
    /// A client's name.
    pub client: Option<String>,
    /// A provider's name.
    pub provider: Option<String>,
    /// With an ID below this one: the next page.
    pub below: Option<u32>,
}

/// What there is to show.
#[derive(Debug)]
pub enum View {
    /// See [`ViewQuery::Overview`].
    Overview(Overview),
    /// See [`ViewQuery::Orders`].
    Orders(OrderPage, OrderQuery),
    /// See [`ViewQuery::Order`].
    Order(Box<StoryDocument>),
    /// See [`ViewQuery::Uncertain`].
    Uncertain(OrderPage, BTreeMap<u32, InDoubt>),
    /// See [`ViewQuery::Providers`].
    Providers(Vec<ProviderDocument>),
}

/// How things are.
#[derive(Debug)]
pub struct Overview {
    /// How many orders are in each state but closed.
    pub states: Vec<(&'static str, u64)>,
    /// Every provider.
    pub providers: Vec<ProviderDocument>,
    /// What somebody had to look at of late, newest first.
    pub alerts: Vec<Alert>,
    /// Whether the operator lets no order leave at all.
    pub paused: bool,
    /// How many gateways may serve the store together, and what their limits are held by now, in one word; nothing where
    /// this one is always alone.
    pub gateways: Option<(u32, &'static str)>,
}

impl Overview {
    /// How many orders only a person can settle.
    #[must_use]
    pub fn uncertain(&self) -> u64 {
        self.states.iter().filter(|(state, _)| *state == "uncertain").map(|(_, count)| count).sum()
    }
}

/// A line of an order's history that somebody had to look at.
#[derive(Debug)]
pub struct Alert {
    /// Of which order.
    pub order: u32,
    /// When.
    pub at: String,
    /// What.
    pub text: String,
}

/// What is known of an uncertain order.
#[derive(Debug, Default)]
pub struct InDoubt {
    /// When its last attempt was given up.
    pub since: Option<String>,
    /// What was seen of it that proves nothing, oldest first.
    pub hints: Vec<HistoryDocument>,
}

impl InDoubt {
    fn of(story: OrderStory) -> Self {
        Self {
            since: story.attempts.last().and_then(|attempt| attempt.finished_at).map(time),
            hints: story.history.into_iter().filter(|line| Hint::is_in(&line.text)).map(Into::into).collect(),
        }
    }
}

/// Up to [`PAGE`] orders.
#[derive(Debug)]
pub struct OrderPage {
    /// Newest first.
    pub orders: Vec<OrderDocument>,
    /// Whether there are more below the last one.
    pub more: bool,
}

impl App {
    /// What an operator's page shows; `None` where there is no such order.
    ///
    /// # Errors
    /// What the store says.
    pub async fn view(&self, query: ViewQuery) -> StoreResult<Option<View>> {
        Ok(Some(match query {
            ViewQuery::Overview => View::Overview(self.overview().await?),
            ViewQuery::Orders(query) => View::Orders(self.order_page(query.clone()).await?, query),
            ViewQuery::Order(id) => {
                let Ok(id) = OrderId::new(i64::from(id)) else { return Ok(None) };
                let Some(story) = self.store.order_story(id).await? else { return Ok(None) };
                View::Order(Box::new(story.into()))
            }
            ViewQuery::Uncertain(below) => {
                let query = OrderQuery { state: Some("uncertain".to_owned()), below, ..OrderQuery::default() };
                let page = self.order_page(query).await?;
                let doubts = self.doubts_of(&page).await?;
                View::Uncertain(page, doubts)
            }
            ViewQuery::Providers => View::Providers(self.provider_documents()),
        }))
    }

    async fn doubts_of(&self, page: &OrderPage) -> StoreResult<BTreeMap<u32, InDoubt>> {
        let mut doubts = BTreeMap::new();
        for id in page.orders.iter().map(|order| order.order) {
            let Ok(order) = OrderId::new(i64::from(id)) else { continue };
            doubts.extend(self.store.order_story(order).await?.map(|story| (id, InDoubt::of(story))));
        }
        Ok(doubts)
    }

    async fn overview(&self) -> StoreResult<Overview> {
        let counts = self.store.count_orders().await?;
        let count = |state| counts.iter().filter(|(name, ..)| *name == state).map(|(.., count)| count).sum();
        let alerts = self.store.alerts(ALERTS).await?.into_iter();
        Ok(Overview {
            states: OPEN_STATES.map(|state| (state, count(state))).into(),
            providers: self.provider_documents(),
            alerts: alerts
                .map(|alert| Alert { order: alert.order.get(), at: time(alert.at), text: alert.text })
                .collect(),
            paused: self.pauses.load().everywhere,
            gateways: self.limits().map(|limits| (self.company.attendance.borrow().gateways, limits.basis())),
        })
    }

    fn provider_documents(&self) -> Vec<ProviderDocument> {
        self.provider_records().into_iter().map(ProviderDocument::from).collect()
    }

    async fn order_page(&self, query: OrderQuery) -> StoreResult<OrderPage> {
        let filter = OrderFilter {
            state: query.state,
            client: query.client,
            provider: query.provider.map(ProviderId::new),
            below: query.below.and_then(|id| OrderId::new(i64::from(id)).ok()),
            limit: PAGE.saturating_add(1),
            ..OrderFilter::default()
        };
        let found = self.store.list_orders(filter).await?;
        let more = found.len() > PAGE;
        let orders = found.into_iter().take(PAGE).map(|(client, order)| OrderDocument::new(client, &order)).collect();
        Ok(OrderPage { orders, more })
    }
}
