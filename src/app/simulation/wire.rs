//! The wire to a simulated panel: it decides when a request arrives and when its reply does, and whether.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::faults::{self, Said, Told, Why};
use super::mutations::Mutation;
use super::panel::Placing;
use super::world::{State, Straggler, World};
use crate::domain::ids::{OrderId, ProviderId};
use crate::upstream::{CallKind, Form, Reply, TransportError, Wire};

/// How long an `add` is waited for.
const ADD_TIMEOUT: u64 = 120_000;
/// And anything else.
const READ_TIMEOUT: u64 = 30_000;

pub(super) struct PanelWire {
    pub(super) world: Arc<World>,
    pub(super) provider: ProviderId,
}

/// What becomes of an `add`.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Nothing leaves.
    NotSent,
    /// It is lost on its way there.
    LostBefore,
    /// It arrives, and is answered by what the panel did with it.
    Answered,
    /// It arrives; the reply does not.
    LostAfter,
    /// It arrives, and is answered with something that says nothing.
    Unclear,
    /// It is answered with something that says nothing, and does not arrive.
    UnclearBefore,
    /// It is refused at the door.
    Refused,
    /// It arrives long after everybody has given up.
    TooLate,
}

impl Fate {
    fn draw(state: &mut State) -> Self {
        let faults = state.weather.add_faults;
        if !state.rng.chance(faults) {
            return Self::Answered;
        }
        state.rng.weighted(&[
            (10, Self::NotSent),
            (10, Self::LostBefore),
            (20, Self::LostAfter),
            (20, Self::Unclear),
            (10, Self::UnclearBefore),
            (25, Self::Refused),
            (5, Self::TooLate),
        ])
    }
}

/// A request that is on its way: should its sender die, it may arrive all the same.
struct OnItsWay<'a> {
    world: &'a World,
    straggler: Option<Straggler>,
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        let mut state = self.world.state();
        if let Some(straggler) = self.straggler.take()
            && state.rng.chance(50)
        {
            state.stragglers.push(straggler);
        }
    }
}

type Answer = Result<Said, TransportError>;

fn lost(why: &str) -> Answer {
    Err(TransportError::Unknown(why.to_owned()))
}

#[async_trait]
impl Wire for PanelWire {
    async fn send(&self, form: Form, kind: CallKind) -> Result<Reply, TransportError> {
        let form: BTreeMap<String, String> = form.into_iter().map(|(name, text)| (name.into_owned(), text)).collect();
        self.begin(&form, kind);
        let answer = match kind {
            CallKind::Add => self.add(form).await,
            _ => self.read(&form, kind).await,
        };
        let now = self.world.elapsed();
        {
            let mut state = self.world.state();
            state.oracle.call_ended(&self.provider);
            if let Some(said) = answer.as_ref().ok().filter(|said| said.status == 429) {
                state.oracle.asked_for_quiet(&self.provider, now, said.retry_after);
            }
        }
        self.mutated(answer, kind).map(|said| Reply {
            status: said.status,
            retry_after: said.retry_after.map(Duration::from_secs),
            cf_mitigated: said.challenge.then(|| "challenge".to_owned()),
            body: said.body.into(),
            ..Reply::default()
        })
    }
}

impl PanelWire {
    fn begin(&self, form: &BTreeMap<String, String>, kind: CallKind) {
        let elapsed = self.world.elapsed();
        let mut state = self.world.state();
        let legal = state.oracle.call_begins(&self.provider, elapsed);
        state.check(legal);
        if state.panels[&self.provider].key != form["key"] {
            state.fail("a call with another key");
        }
        drop(state);
        if self.world.is_mutated(Mutation::LogTheKey) {
            tracing::warn!("calling {} with {}", self.provider, form["key"]);
        }
        let of = ["service", "link", "order", "orders", "refill", "refills"].iter().find_map(|name| form.get(*name));
        self.world.note(format_args!("-> {} {} {}", self.provider, kind.action(), of.map_or("", String::as_str)));
    }

    // === add ===

    async fn add(&self, form: BTreeMap<String, String>) -> Answer {
        let attempt = {
            let task = self.world.turns.running();
            let mut state = self.world.state();
            let begun = state.oracle.sent(task, &self.provider, &form["service"]);
            match begun {
                Ok(attempt) => attempt,
                Err(what) => {
                    state.fail(what);
                    (OrderId::new(1).unwrap(), 0)
                }
            }
        };
        let (fate, there, back) = {
            let mut state = self.world.state();
            let delay = state.weather.delay;
            (Fate::draw(&mut state), state.rng.millis(delay), state.rng.millis(delay))
        };
        let straggler = Straggler { at: Instant::now(), provider: self.provider.clone(), attempt, form };
        let (answer, told) = self.meet(fate, straggler, there, back).await;
        let mut state = self.world.state();
        state.oracle.told(attempt, told.clone());
        drop(state);
        self.world.note(format_args!(
            "<- {} order {}.{}: {told:?} by {}",
            self.provider,
            attempt.0,
            attempt.1,
            shown(&answer)
        ));
        answer
    }

    async fn meet(&self, fate: Fate, straggler: Straggler, there: Duration, back: Duration) -> (Answer, Told) {
        let mut on_its_way = OnItsWay { world: &self.world, straggler: Some(straggler.clone()) };
        if matches!(fate, Fate::NotSent) {
            on_its_way.straggler = None;
            return (Err(TransportError::NotSent("connection refused".to_owned())), Told::NotSent);
        }
        sleep(there).await;
        on_its_way.straggler = None;
        drop(on_its_way);
        match fate {
            Fate::LostBefore => {
                self.hang(back, ADD_TIMEOUT).await;
                (lost("connection reset"), Told::Ambiguous)
            }
            Fate::TooLate => {
                let at = {
                    let mut state = self.world.state();
                    Instant::now() + Duration::from_millis(ADD_TIMEOUT) + state.rng.millis(600_000)
                };
                self.world.state().stragglers.push(Straggler { at, ..straggler });
                sleep(Duration::from_millis(ADD_TIMEOUT)).await;
                (lost("timed out"), Told::Ambiguous)
            }
            Fate::UnclearBefore => {
                sleep(back).await;
                let mut state = self.world.state();
                let said = faults::unclear(&mut state.rng, &straggler.form["key"]);
                (Ok(said), Told::Ambiguous)
            }
            Fate::Refused => {
                sleep(back).await;
                let mut state = self.world.state();
                let (said, why) = faults::refusal(&mut state.rng);
                (Ok(said), Told::Rejected(why))
            }
            _ => {
                let placing = arrive(&self.world, &straggler);
                self.reply(fate, placing, &straggler, back).await
            }
        }
    }

    async fn reply(&self, fate: Fate, placing: Placing, straggler: &Straggler, back: Duration) -> (Answer, Told) {
        match fate {
            Fate::LostAfter => {
                self.hang(back, ADD_TIMEOUT).await;
                let half = self.world.state().rng.chance(30);
                (lost(if half { "HTTP 200, then the answer broke off" } else { "connection reset" }), Told::Ambiguous)
            }
            Fate::Unclear => {
                sleep(back).await;
                let mut state = self.world.state();
                (Ok(faults::unclear(&mut state.rng, &straggler.form["key"])), Told::Ambiguous)
            }
            _ => {
                sleep(back).await;
                let mut state = self.world.state();
                answer_to(&mut state, &self.provider, &placing)
            }
        }
    }

    /// A reset at once, or silence until nobody waits any more.
    async fn hang(&self, back: Duration, timeout: u64) {
        let silent = self.world.state().rng.chance(30);
        sleep(if silent { Duration::from_millis(timeout) } else { back }).await;
    }

    // === What may be asked again ===

    async fn read(&self, form: &BTreeMap<String, String>, kind: CallKind) -> Answer {
        let (there, back, fault) = {
            let mut state = self.world.state();
            let weather = state.weather;
            let fault = state.rng.chance(weather.read_faults).then(|| state.rng.below(8));
            (state.rng.millis(weather.delay), state.rng.millis(weather.delay), fault)
        };
        sleep(there).await;
        if fault == Some(0) {
            return Err(TransportError::NotSent("connection refused".to_owned()));
        }
        let (said, told) = {
            let mut state = self.world.state();
            honest(&mut state, &self.provider, form, kind)
        };
        if fault == Some(1) {
            self.hang(back, READ_TIMEOUT).await;
            return lost("connection reset");
        }
        sleep(back).await;
        let mut state = self.world.state();
        let said = match fault {
            Some(fault) => {
                let key = form["key"].clone();
                wrong(&mut state, fault, said, &key)
            }
            None => {
                state.oracle.said(&self.provider, &told);
                said
            }
        };
        drop(state);
        self.world.note(format_args!("<- {} {}: {} {}", self.provider, kind.action(), said.status, short(&said.body)));
        Ok(said)
    }

    fn mutated(&self, answer: Answer, kind: CallKind) -> Answer {
        let mutation = self.world.state().mutation;
        match (mutation, answer) {
            (Some(Mutation::TimeoutIsNotSent), Err(TransportError::Unknown(why))) if kind == CallKind::Add => {
                Err(TransportError::NotSent(why))
            }
            (Some(Mutation::LostAnswerIsMaintenance), Ok(said)) if kind == CallKind::Add && said.status >= 500 => {
                Ok(Said::with(521, ""))
            }
            (Some(Mutation::EmptyAnswerIsRefusal), Ok(said))
                if kind == CallKind::Add && said.body.trim().is_empty() =>
            {
                Ok(Said::ok(r#"{"error":"Failed to place order"}"#))
            }
            (Some(Mutation::UnknownTextIsRefusal), Ok(said))
                if kind == CallKind::Add && faults::is_unknown(&said.body) =>
            {
                Ok(Said::ok(r#"{"error":"Service temporarily disabled"}"#))
            }
            (Some(Mutation::IgnoreRetryAfter), Ok(said)) if said.status == 429 => Ok(Said::with(404, "")),
            (_, answer) => answer,
        }
    }
}

/// The panel gets an `add`.
pub(super) fn arrive(world: &World, straggler: &Straggler) -> Placing {
    let now = world.now().millis();
    let mut state = world.state();
    let State { panels, rng, oracle, .. } = &mut *state;
    let panel = panels.get_mut(&straggler.provider).unwrap();
    let placing = panel.add(&straggler.form, now, rng);
    let legal = match &placing {
        Placing::Placed(id) => oracle.bought(straggler.attempt, &straggler.provider, id),
        _ => Ok(()),
    };
    state.check(legal);
    drop(state);
    world.note(format_args!(
        "   {} order {}.{}: {placing:?}",
        straggler.provider, straggler.attempt.0, straggler.attempt.1
    ));
    placing
}

/// What the panel says of what it did.
fn answer_to(state: &mut State, provider: &ProviderId, placing: &Placing) -> (Answer, Told) {
    let State { panels, rng, .. } = state;
    match placing {
        Placing::Placed(id) | Placing::Known(id) => {
            let panel = &panels[provider];
            let old = panel.old_id(rng).filter(|_| panel.traits.repeats_ids && rng.chance(20));
            let id = old.as_ref().unwrap_or(id);
            (Ok(faults::accepted(rng, id)), Told::Accepted(id.clone()))
        }
        Placing::Locked(text) => (Ok(faults::error(rng, text)), Told::Rejected(Why::Duplicate)),
        Placing::Refused(text) => {
            let why = if text.contains("service") { Why::Service } else { Why::Balance };
            (Ok(faults::error(rng, text)), Told::Rejected(why))
        }
    }
}

/// Of which orders a reply told, and what.
pub(super) type News = Vec<(String, super::truth::Report)>;

fn honest(state: &mut State, provider: &ProviderId, form: &BTreeMap<String, String>, kind: CallKind) -> (Said, News) {
    let calm = state.weather.read_faults == 0;
    let State { panels, rng, .. } = state;
    let panel = panels.get_mut(provider).unwrap();
    match kind {
        CallKind::Status => {
            let (said, told) = panel.status(form, rng, calm);
            let news = told.into_iter().map(|id| {
                let report = super::truth::Report::of(&panel.orders[&id]);
                (id, report)
            });
            (said, news.collect())
        }
        CallKind::Cancel => (panel.cancel(form, rng, calm), Vec::new()),
        CallKind::Refill => (panel.refill(rng), Vec::new()),
        CallKind::RefillStatus => (panel.refill_status(form, calm, rng), Vec::new()),
        CallKind::Balance => (panel.balance(), Vec::new()),
        CallKind::Services => (panel.list(), Vec::new()),
        CallKind::Orders => (Said::ok(r#"{"error":"Incorrect request"}"#), Vec::new()),
        CallKind::Add => unreachable!("it has a way of its own"),
    }
}

/// A reply that says nothing, or refuses, in the place of the honest one.
fn wrong(state: &mut State, fault: u64, honest: Said, key: &str) -> Said {
    match fault {
        2 => Said::with(*state.rng.pick(&[500, 502, 503, 520]), "<html>Bad gateway</html>"),
        3 => Said { retry_after: Some(1 + state.rng.below(240)), ..Said::with(429, "") },
        4 => {
            let half = honest.body.len() / 2;
            let cut = (0..=half).rev().find(|at| honest.body.is_char_boundary(*at)).unwrap_or(0);
            Said::ok(&honest.body[..cut])
        }
        5 => Said::ok(format!(r#"{{"error":"unknown failure for {key}"}}"#)),
        6 => Said::ok(if honest.body.starts_with('[') { "[]" } else { "{}" }),
        _ => Said::ok("<!DOCTYPE html><html></html>"),
    }
}

fn shown(answer: &Answer) -> String {
    match answer {
        Ok(said) => format!("{} {}", said.status, short(&said.body)),
        Err(error) => error.to_string(),
    }
}

fn short(body: &str) -> String {
    body.chars().take(300).collect()
}
