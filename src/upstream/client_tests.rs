use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::advance;

use super::*;
use crate::domain::outcome::Rejection;
use crate::limits::{Others, PLACE_LASTS};
use crate::upstream::classify::MAX_TEXT;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const LONG: Duration = Duration::from_secs(10_000);

/// A wire that answers as it was told, and keeps what was sent.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Result<Reply, TransportError>>>,
    sent: Mutex<Vec<(CallKind, Form)>>,
}

#[async_trait]
impl Wire for Script {
    async fn send(&self, form: Form, kind: CallKind) -> Result<Reply, TransportError> {
        self.sent.lock().unwrap().push((kind, form));
        self.answers.lock().unwrap().pop_front().expect("one answer for each call")
    }
}

fn reply(status: u16, body: &str) -> Result<Reply, TransportError> {
    Ok(Reply { status, body: Bytes::copy_from_slice(body.as_bytes()), ..Reply::default() })
}

fn upstream(answers: impl IntoIterator<Item = Result<Reply, TransportError>>) -> (Upstream, Arc<Script>) {
    let wire = Arc::new(Script { answers: Mutex::new(answers.into_iter().collect()), ..Script::default() });
    let upstream = Upstream::new(UpstreamOptions {
        provider: ProviderId::new("alpha"),
        wire: Arc::clone(&wire) as Arc<dyn Wire>,
        key: KEY.to_owned().into(),
        limits: Limits { requests_per_second: 1000.into(), burst: 100, max_in_flight: 10 },
        shared: None,
        rejects: vec![("token".to_owned(), RejectKind::Key)],
        treat_503_as_not_placed: false,
    });
    (upstream, wire)
}

async fn add(upstream: &Upstream) -> Outcome {
    let permit = upstream.permit(Priority::Orders, LONG).await.unwrap();
    upstream.add(permit, &[("service".into(), "1".to_owned())]).await
}

async fn refusal(upstream: &Upstream, priority: Priority) -> Option<Unavailable> {
    upstream.permit(priority, Duration::from_millis(500)).await.err()
}

#[tokio::test(start_paused = true)]
async fn each_call_is_sent_once_as_its_action() {
    let (upstream, wire) = upstream([
        reply(200, "{\"order\":7}"),
        reply(200, "{\"status\":\"Pending\"}"),
        reply(200, "{\"7\":{\"status\":\"Completed\"}}"),
        reply(200, "{\"refill\":\"9\"}"),
        reply(200, "{\"status\":\"Completed\"}"),
        reply(200, "[{\"refill\":9,\"status\":\"Pending\"}]"),
        reply(200, "[{\"order\":7,\"cancel\":1}]"),
        reply(200, "{\"balance\":\"1\"}"),
        reply(200, "[]"),
    ]);
    let id = UpstreamOrderId::new("7");
    assert_eq!(add(&upstream).await, Outcome::Accepted(id.clone()));
    let permit = || upstream.permit(Priority::AskedStatus, LONG);
    assert!(upstream.status(permit().await.unwrap(), &id).await.is_ok());
    let many = upstream.statuses(permit().await.unwrap(), &[id.clone(), UpstreamOrderId::new("8")]).await.unwrap();
    assert!(many.batches && many.reports.len() == 2);
    let refill = UpstreamRefillId::new("9");
    assert_eq!(upstream.refill(permit().await.unwrap(), &id).await, RefillOutcome::Accepted(refill.clone()));
    assert!(upstream.refill_status(permit().await.unwrap(), &refill).await.is_ok());
    let refills = [refill, UpstreamRefillId::new("8")];
    assert!(upstream.refill_statuses(permit().await.unwrap(), &refills).await.unwrap().batches);
    let cancels = upstream.cancel(permit().await.unwrap(), std::slice::from_ref(&id)).await.unwrap();
    assert_eq!(cancels.answers, [(id.clone(), CancelAnswer::Taken)]);
    assert!(upstream.balance(permit().await.unwrap()).await.is_ok());
    assert_eq!(upstream.services(permit().await.unwrap()).await, Ok(ServiceList::default()));
    let sent = wire.sent.lock().unwrap();
    let shown: Vec<String> = sent
        .iter()
        .map(|(_, form)| {
            form.iter().skip(1).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
        })
        .collect();
    assert_eq!(
        shown,
        [
            "action=add&service=1",
            "action=status&order=7",
            "action=status&orders=7,8",
            "action=refill&order=7",
            "action=refill_status&refill=9",
            "action=refill_status&refills=9,8",
            "action=cancel&orders=7",
            "action=balance",
            "action=services"
        ]
    );
    assert!(sent.iter().all(|(_, form)| form.first().is_some_and(|(name, value)| name == "key" && value == KEY)));
    let health = upstream.health();
    assert_eq!((health.state, health.in_flight, health.failures), (HealthState::On, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_key_is_in_no_text_however_it_is_echoed_or_cut() {
    let padding = "x".repeat(MAX_TEXT - 20);
    for body in [
        format!("{{\"error\":\"Unknown thing {KEY}\"}}"),
        format!("{{\"error\":\"{padding} {KEY}\"}}"),
        format!("{{\"status\":\"error\",\"msg\":\"token {} is bad\"}}", KEY.to_uppercase()),
        format!("<html>{KEY}</html>"),
        format!("{{\"order\":\"{KEY}\"}}"),
        format!("{{\"order\":{{\"key\":\"{KEY}\"}}}}"),
        format!("{{\"status\":\"{KEY}\",\"currency\":\"{padding}{KEY}\"}}"),
    ] {
        let transport = Err(TransportError::Unknown(format!("broke off at {KEY}")));
        let (upstream, _) =
            upstream([reply(200, &body), reply(200, &body), reply(200, &format!("{{\"1\":{body}}}")), transport]);
        let id = UpstreamOrderId::new("1");
        let mut shown = format!("{:?}", add(&upstream).await);
        upstream.gate.with_standing(super::super::standing::Standing::reset_key);
        let permit = || upstream.permit(Priority::Sync, LONG);
        shown += &format!("{:?}", upstream.balance(permit().await.unwrap()).await);
        upstream.gate.with_standing(super::super::standing::Standing::reset_key);
        shown += &format!("{:?}", upstream.statuses(permit().await.unwrap(), std::slice::from_ref(&id)).await);
        upstream.gate.with_standing(super::super::standing::Standing::reset_key);
        shown += &format!("{:?}", upstream.status(permit().await.unwrap(), &id).await);
        shown += &format!("{:?}", upstream.health());
        let shown = shown.to_lowercase();
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
        assert!(shown.contains("[key]") || shown.contains("holds the key"), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_stops_all_calls_until_a_probe_is_answered() {
    for refused in ["{\"error\":\"Invalid API key\"}", "{\"error\":\"Bad token\"}", "{\"error\":\"Account suspended\"}"]
    {
        let (upstream, wire) = upstream([
            reply(200, refused),
            reply(401, refused),
            reply(200, "<html>Please log in</html>"),
            reply(200, "{\"balance\":\"1\"}"),
            reply(200, "{\"order\":1}"),
        ]);
        add(&upstream).await;
        assert_eq!(upstream.health().state, HealthState::KeyRejected);
        for priority in [Priority::Orders, Priority::Sync] {
            assert!(matches!(refusal(&upstream, priority).await, Some(Unavailable::KeyRejected { .. })));
        }
        for (minutes, works) in [(1, false), (5, false), (15, true)] {
            assert!(!upstream.probe_due() && upstream.try_probe().await.is_none());
            advance(Duration::from_secs(60 * minutes)).await;
            assert!(upstream.probe_due());
            assert_eq!(upstream.try_probe().await.unwrap().is_ok(), works);
        }
        assert_eq!(wire.sent.lock().unwrap().iter().filter(|(kind, _)| *kind == CallKind::Balance).count(), 3);
        assert!(matches!(add(&upstream).await, Outcome::Accepted(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_make_every_kind_of_call_wait() {
    let with_header = Ok(Reply { status: 429, retry_after: Some(Duration::from_secs(40)), ..Reply::default() });
    let down = Ok(Reply { status: 503, retry_after: Some(Duration::from_secs(20)), ..Reply::default() });
    for (answer, seconds) in [
        (with_header, 40),
        (down, 20),
        (reply(429, ""), 10),
        (reply(429, "{\"error\":\"Not enough funds on balance\"}"), 10),
        (reply(200, "{\"error\":\"Too many requests\"}"), 10),
    ] {
        let (upstream, _) = upstream([answer.clone(), reply(200, "[]"), answer]);
        add(&upstream).await;
        assert_eq!(upstream.health().state, HealthState::Resting);
        assert_eq!(upstream.health().paused_for, Some(Duration::from_secs(seconds)));
        let started = Instant::now();
        assert!(matches!(refusal(&upstream, Priority::Orders).await, Some(Unavailable::Paused { .. })));
        let permit = upstream.permit(Priority::Sync, LONG).await.unwrap();
        assert!(started.elapsed() >= Duration::from_secs(seconds));
        assert!(upstream.services(permit).await.is_ok());
        let permit = upstream.permit(Priority::Sync, LONG).await.unwrap();
        assert!(upstream.services(permit).await.is_err());
        assert_eq!(upstream.health().state, HealthState::Resting, "a reading call's answer counts too");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_does_not_answer_is_left_alone_and_found_again_by_a_harmless_call() {
    let dead = || Err(TransportError::Unknown("timed out".into()));
    let (upstream, wire) = upstream([
        dead(),
        reply(500, ""),
        dead(),
        reply(502, "x"),
        dead(),
        dead(),
        reply(200, "{\"balance\":\"1\"}"),
        reply(200, "{\"order\":1}"),
    ]);
    for _ in 0..5 {
        assert!(!matches!(add(&upstream).await, Outcome::Accepted(_)));
    }
    assert_eq!(upstream.health().state, HealthState::Unreachable);
    assert_eq!(upstream.health().consecutive_failures, 5);
    for seconds in [1, 2] {
        assert!(matches!(refusal(&upstream, Priority::Orders).await, Some(Unavailable::Unreachable { .. })));
        advance(Duration::from_secs(seconds)).await;
        assert!(matches!(refusal(&upstream, Priority::Orders).await, Some(Unavailable::Unreachable { .. })));
        assert!(upstream.try_probe().await.is_some());
    }
    assert_eq!(upstream.health().state, HealthState::On);
    assert!(matches!(add(&upstream).await, Outcome::Accepted(_)));
    assert_eq!(wire.sent.lock().unwrap().iter().filter(|(kind, _)| *kind == CallKind::Add).count(), 6);
}

#[tokio::test(start_paused = true)]
async fn answers_of_a_working_panel_never_cut_it_off() {
    let refusals =
        (0..20).map(|n| reply(if n % 2 == 0 { 500 } else { 200 }, "{\"error\":\"Not enough funds on balance\"}"));
    let (upstream, _) = upstream(refusals);
    for _ in 0..20 {
        let Outcome::Rejected(Rejection { kind, .. }) = add(&upstream).await else { panic!() };
        assert_eq!(kind, RejectKind::Balance);
    }
    assert_eq!((upstream.health().state, upstream.health().failures), (HealthState::On, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_half_way_gives_its_place_back() {
    struct Silent;
    #[async_trait]
    impl Wire for Silent {
        async fn send(&self, _: Form, _: CallKind) -> Result<Reply, TransportError> {
            std::future::pending().await
        }
    }
    let upstream = Upstream::new(UpstreamOptions {
        provider: ProviderId::new("alpha"),
        wire: Arc::new(Silent),
        key: KEY.to_owned().into(),
        limits: Limits { requests_per_second: 1000.into(), burst: 10, max_in_flight: 1 },
        shared: None,
        rejects: Vec::new(),
        treat_503_as_not_placed: false,
    });
    let call = add(&upstream);
    assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err());
    assert_eq!(upstream.health().in_flight, 0);
    assert!(upstream.permit(Priority::Orders, Duration::from_secs(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn no_call_leaves_by_a_permit_from_before_its_gateway_lost_its_place() {
    let (alone, wire) = upstream([reply(200, "{\"balance\":\"1\"}"), reply(200, "{\"balance\":\"1\"}")]);
    let limits = SharedLimits::new("store", None).unwrap();
    let attend = async || {
        for _ in 0..2 {
            let word = limits.word().await;
            limits.attended(Instant::now(), word, Others { rank: 0, words: Vec::new() });
        }
    };
    let upstream = Upstream::new(UpstreamOptions {
        provider: alone.provider.clone(),
        wire: alone.wire(),
        key: KEY.to_owned().into(),
        limits: alone.limits,
        shared: Some(InCompany { limits: limits.clone(), call_lasts: LONG }),
        rejects: vec![],
        treat_503_as_not_placed: false,
    });
    attend().await;
    let permit = || upstream.permit(Priority::BackgroundStatus, LONG);
    let id = UpstreamOrderId::new("7");
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(permit().await.unwrap());
    }
    let mut held = || held.pop().unwrap();
    assert!(upstream.balance(held()).await.is_ok());
    advance(PLACE_LASTS).await;
    assert!(matches!(upstream.add(held(), &[]).await, Outcome::NotSent(_)));
    attend().await;
    assert!(matches!(upstream.add(held(), &[]).await, Outcome::NotSent(_)), "others may have had its room");
    assert!(matches!(upstream.refill(held(), &id).await, RefillOutcome::NotTaken(_)));
    let status = upstream.status(held(), &id).await;
    assert!(matches!(status, Err(AnswerError::Transport(TransportError::NotSent(_)))), "{status:?}");
    assert!(upstream.balance(permit().await.unwrap()).await.is_ok());
    assert_eq!((wire.sent.lock().unwrap().len(), upstream.health().failures), (2, 0));
}

/// The successor with this key, and the same wire and limits.
fn with_key(upstream: &Upstream, key: &str) -> Upstream {
    upstream.successor(UpstreamOptions {
        provider: upstream.provider.clone(),
        wire: upstream.wire(),
        key: key.to_owned().into(),
        limits: upstream.limits,
        shared: None,
        rejects: vec![],
        treat_503_as_not_placed: false,
    })
}

#[tokio::test(start_paused = true)]
async fn a_changed_key_is_believed_whatever_is_found_out_about_the_one_before() {
    let refused = "{\"error\":\"Invalid API key\"}";
    let (upstream, wire) = upstream([reply(200, refused), reply(200, refused), reply(200, "{\"order\":1}")]);
    let under_way = upstream.permit(Priority::Orders, LONG).await.unwrap();
    add(&upstream).await;
    let next = with_key(&upstream, "fedcba9876543210fedcba9876543210");
    assert!(
        matches!(refusal(&next, Priority::Orders).await, Some(Unavailable::KeyRejected { .. })),
        "not in force yet"
    );
    next.take_over();
    upstream.add(under_way, &[]).await;
    assert_eq!(next.health().state, HealthState::On, "an earlier key was refused");
    assert!(matches!(add(&next).await, Outcome::Accepted(_)));
    let sent = wire.sent.lock().unwrap();
    let keys: Vec<bool> = sent.iter().map(|(_, form)| form.iter().any(|(_, value)| value == KEY)).collect();
    assert_eq!(keys, [true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn the_same_key_again_is_only_tried() {
    let refused = "{\"error\":\"Invalid API key\"}";
    let (upstream, _) = upstream([reply(200, refused), reply(200, "{\"balance\":\"1\"}")]);
    add(&upstream).await;
    let next = with_key(&upstream, KEY);
    assert!(!next.probe_due());
    next.take_over();
    assert!(matches!(refusal(&next, Priority::Orders).await, Some(Unavailable::KeyRejected { .. })));
    assert!(next.try_probe().await.unwrap().is_ok());
    assert_eq!(next.health().state, HealthState::On);
}

#[tokio::test(start_paused = true)]
async fn a_key_with_control_characters_in_its_midst_is_not_shown() {
    let (head, tail) = KEY.split_at(7);
    let body = format!("gone fishing: {head}\u{0}\u{7f}{tail}");
    let (upstream, _) = upstream([reply(200, &body)]);
    let outcome = add(&upstream).await;
    let shown = format!("{outcome:?} {:?}", upstream.health());
    assert!(shown.contains("gone fishing: [key]") && !shown.contains(KEY), "{shown}");
}
