//! What every engine behind [`Store`] must do, as cases that take any store. An engine's tests name a function
//! that opens an empty one: `conformance!(open)`, with `async fn open() -> (Arc<dyn Store>, Guard)`.
//! After each case the store is verified.

pub(crate) mod claims;
pub(crate) mod clients;
pub(crate) mod doubts;
pub(crate) mod histories;
pub(crate) mod listings;
pub(crate) mod money;
pub(crate) mod operation;
pub(crate) mod placing;
pub(crate) mod refills;
pub(crate) mod reports;
pub(crate) mod searches;
pub(crate) mod steps;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::client::{Client, EntryKind};
use crate::domain::ids::{
    AttemptNumber, ClientId, KeyHash, OrderToken, ProviderId, Route, ServiceId, UpstreamOrderId, UpstreamServiceId,
};
use crate::domain::money::Money;
use crate::domain::order::{Event, NewOrder, Order, ReportRules};
use crate::domain::outcome::Outcome;
use crate::domain::params::OrderParams;
use crate::domain::service_type::ServiceType;
use crate::domain::status::{Reported, StatusReport};
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::records::{Account, Applied, Movement, NewClient, NewKey, Placed, Placement, RequestKey};

/// Makes a test of every case.
macro_rules! conformance {
    ($open:path) => {
        $crate::store::conformance::conformance! { @tests $open,
            placing::a_placed_order_is_charged_and_read_back,
            placing::what_is_refused_leaves_no_trace,
            placing::credit_may_be_spent_to_its_end,
            placing::the_daily_limit_counts_charges_less_refunds_of_the_day,
            placing::the_daily_limit_holds_when_the_clock_is_set_back_over_midnight,
            placing::a_repeated_request_is_known,
            placing::another_request_under_a_known_id_is_a_conflict,
            placing::an_old_request_is_forgotten,
            placing::old_requests_are_pruned,
            placing::one_client_never_overdraws,
            placing::an_order_that_cannot_be_written_keeps_no_other_back,
            steps::a_step_is_written_whole,
            steps::a_step_on_an_old_version_is_stale,
            steps::a_cancel_and_a_send_exclude_each_other,
            steps::an_upstream_id_has_one_holder,
            steps::a_refund_is_given_once,
            steps::steps_that_contradict_the_refunds_are_not_written,
            steps::many_steps_stand_each_by_itself,
            steps::news_of_many_orders_is_written_whole,
            steps::what_the_operator_settles_may_be_sent_again,
            claims::a_queued_order_is_claimed_once,
            claims::what_is_left_to_others_is_not_claimed,
            claims::the_oldest_are_claimed_first,
            claims::polls_are_claimed_by_provider,
            claims::what_is_not_fresh_goes_along_with_what_is_due,
            claims::a_claim_does_not_spoil_a_step,
            claims::polls_are_hastened_unless_they_were_fresh,
            claims::a_restart_finds_what_was_left,
            claims::a_sender_is_lost_when_its_time_is_over,
            listings::orders_are_found_by_id_token_client_and_holder,
            listings::the_operator_filters_orders,
            listings::a_story_tells_everything,
            listings::orders_are_counted,
            reports::a_report_adds_up_by_every_group,
            reports::a_report_is_about_its_time_only,
            reports::alerts_are_listed_newest_first,
            reports::orders_are_listed_page_by_page,
            money::the_operator_moves_money,
            money::a_withdrawal_never_uses_credit,
            money::a_reference_counts_once_for_a_client,
            money::the_ledger_shows_its_last_entries,
            money::a_balance_that_does_not_fit_is_refused,
            refills::a_refill_is_kept_whole,
            refills::a_provider_that_moved_knows_no_refill_of_before,
            refills::an_order_has_one_open_refill,
            refills::refill_steps_stand_each_by_itself,
            refills::refills_are_their_clients,
            refills::refills_are_claimed_and_hastened,
            refills::refills_move_with_the_clock,
            refills::wishes_that_wait_for_an_upstream_are_found,
            refills::a_wish_that_is_given_back_is_anybodys_unless_somebody_has_claimed_it,
            refills::a_cancel_without_an_answer_is_put_off_for_everybody,
            clients::a_client_has_its_terms,
            clients::terms_change_one_by_one,
            clients::names_and_keys_are_unique,
            clients::keys_come_and_go,
            clients::access_changes_are_counted,
            clients::a_catalogue_is_replaced,
            clients::a_newer_catalogue_stays,
            clients::provider_records_are_kept,
            clients::requests_are_answered_and_taken,
            doubts::what_an_id_stood_for_is_remembered_until_it_is_confirmed,
            doubts::a_loss_stands_until_it_is_mended,
            doubts::freezes_are_remembered,
            doubts::a_late_word_changes_no_newer_freeze,
            doubts::a_provider_that_moved_is_forgotten_whole,
            searches::what_is_lost_is_due_until_it_is_settled,
            searches::what_was_in_doubt_stays_so_unless_its_outcome_is_known,
            searches::a_duplicate_link_puts_every_earlier_attempt_there_in_doubt,
            searches::drip_feeds_count_as_long_as_they_may_run,
            searches::neighbours_are_those_with_ids_on_either_side,
            searches::what_was_sent_before_a_provider_moved_is_no_neighbour,
            searches::an_id_is_held_by_whoever_has_it_or_was_told_it,
            searches::calls_are_counted_by_provider,
            searches::searches_move_with_the_clock,
            searches::nothing_is_searched_for_across_a_clock_that_was_set_back,
            operation::pauses_are_kept_apart,
            operation::the_last_served_is_kept,
            operation::queued_orders_are_hastened,
            operation::deadlines_are_shifted,
            operation::closed_orders_of_one_provider_are_no_longer_watched,
            histories::random_histories_verify,
        }
    };
    (@tests $open:path, $($room:ident :: $case:ident),+ $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (store, _guard) = $open().await;
            $crate::store::conformance::$room::$case(&store).await;
            assert_eq!(store.verify().await.unwrap().failures, Vec::<String>::new());
        }
    )+ };
}
pub(crate) use conformance;

/// 2001-09-09, 01:46:40 UTC.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_000_000_000_000);

pub(crate) type AnyStore = Arc<dyn Store>;

pub(crate) fn after(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

pub(crate) fn money(text: &str) -> Money {
    text.parse().unwrap()
}

pub(crate) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn new_key() -> NewKey {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&unique().to_be_bytes());
    NewKey { hash: KeyHash(hash), label: "first".into(), read_only: false }
}

pub(crate) fn new_client(name: &str, deposit: &str) -> NewClient {
    let terms = Client::named(name);
    NewClient { terms, key: new_key(), deposit: money(deposit) }
}

pub(crate) async fn client(store: &AnyStore, name: &str, deposit: &str) -> Account {
    store.create_client(new_client(name, deposit), NOW).await.unwrap()
}

pub(crate) fn new_order(client: ClientId, charge: &str) -> NewOrder {
    let params = OrderParams {
        link: "https://x.test/1".into(),
        quantity: Some(1000),
        drip_feed: None,
        fields: vec![],
        units: 1000,
    };
    NewOrder { token: token(), client, service: service(1), kind: ServiceType::Default, params, charge: money(charge) }
}

fn token() -> OrderToken {
    OrderToken((u128::from(unique()) << 7).to_be_bytes())
}

pub(crate) fn service(id: i64) -> ServiceId {
    ServiceId::new(id).unwrap()
}

pub(crate) fn placement(order: NewOrder) -> Placement {
    Placement { order, request: None, now: NOW, claimed_until: after(10) }
}

pub(crate) fn with_request(order: NewOrder, id: &str, fingerprint: u8, now: Timestamp) -> Placement {
    let since = now.minus(Duration::from_secs(86_400));
    let request = RequestKey { id: id.into(), fingerprint: [fingerprint; 32], since };
    Placement { order, request: Some(request), now, claimed_until: now.plus(Duration::from_secs(10)) }
}

/// Places what must be placed.
pub(crate) async fn placed(store: &AnyStore, placement: Placement) -> Order {
    match store.place(placement).await.unwrap() {
        Placed::New(order) => *order,
        refused => panic!("{refused:?}"),
    }
}

pub(crate) async fn order(store: &AnyStore, client: ClientId, charge: &str) -> Order {
    placed(store, placement(new_order(client, charge))).await
}

/// Takes a step that must be written; gives the order after it.
pub(crate) async fn step(store: &AnyStore, order: &Order, event: Event, now: Timestamp) -> Order {
    let step = order.step(event, now).unwrap();
    assert_eq!(store.apply(step.clone()).await.unwrap(), Applied::Done);
    step.order
}

pub(crate) fn route(provider: &str) -> Route {
    Route { provider: ProviderId::new(provider), service: UpstreamServiceId::new("101") }
}

pub(crate) fn sent(provider: &str) -> Event {
    Event::SendStarted(route(provider))
}

pub(crate) fn answer(attempt: u32, outcome: Outcome) -> Event {
    Event::Answered { attempt: AttemptNumber(attempt), outcome }
}

pub(crate) fn accepted(id: &str) -> Outcome {
    Outcome::Accepted(UpstreamOrderId::new(id))
}

pub(crate) fn reported(word: &str, remains: Option<u64>) -> Event {
    let report = StatusReport {
        status: Reported::read(word),
        charge: Some("0.90".parse().unwrap()),
        start_count: Some(5),
        remains,
        runs: None,
        currency: None,
    };
    let exchange_rate = "1.08".parse().unwrap();
    let watch_closed = Duration::from_secs(30 * 86_400);
    Event::Reported(report, ReportRules { partial_is_final: true, exchange_rate, watch_closed })
}

/// Places an order and has it accepted by an upstream.
pub(crate) async fn forwarded(store: &AnyStore, client: ClientId, provider: &str, id: &str) -> Order {
    let order = order(store, client, "1.20").await;
    let order = step(store, &order, sent(provider), NOW).await;
    step(store, &order, answer(1, accepted(id)), NOW).await
}

/// Moves the deadlines on the present timeline.
pub(crate) async fn shift(store: &AnyStore, by: i64, now: Timestamp) {
    let timeline = store.timeline().await.unwrap();
    assert!(store.shift_deadlines(by, now, timeline).await.unwrap());
}

pub(crate) fn movement(kind: EntryKind, amount: &str, reference: Option<&str>) -> Movement {
    Movement { kind, amount: money(amount), reference: reference.map(str::to_owned), note: None }
}
