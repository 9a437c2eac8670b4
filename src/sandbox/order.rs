//! An accepted order, and how it stands at any moment.
//!
//! Nothing ticks: how an order stands follows from the time since it was accepted, so that a hundred thousand orders
//! cost nothing while nobody asks. All times here are the panel's own, that is real time multiplied by its speed.

use std::time::Duration;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::random::mixed;
use crate::domain::money::{Money, parse_decimal};
use crate::domain::status::{Reported, Status};

/// How long an order is Pending.
const PENDING: Duration = Duration::from_secs(3);
/// How long it takes at least until an order has ended; up to five seconds are added, by its number.
const SHORTEST: Duration = Duration::from_secs(15);
/// How long after a cancel is asked for it takes effect.
const CANCEL_TAKES: Duration = Duration::from_secs(2);

/// How an order ends when nobody interferes; its link decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Completed,
    Partial,
    Canceled,
    Fail,
}

impl Ending {
    fn of(link: &str) -> Self {
        let link = link.to_lowercase();
        if link.contains("partial") {
            Self::Partial
        } else if link.contains("cancel") {
            Self::Canceled
        } else if link.contains("fail") {
            Self::Fail
        } else {
            Self::Completed
        }
    }
}

/// What [`super::Sandbox::set_order`] forces on an order; what is absent goes on by itself.
///
/// Each text is answered as it is, so that odd answers can be given (`Cancelled`, `-5`, an empty text); `null` is
/// answered as JSON null. A status alone brings the `remains` and `charge` that belong to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderChange {
    /// The status word.
    pub status: Option<String>,
    /// Units undelivered.
    pub remains: Option<String>,
    /// What the panel has charged.
    pub charge: Option<String>,
    /// The counter at the start.
    pub start_count: Option<String>,
    /// Runs done, of a drip-feed order.
    pub runs: Option<String>,
}

impl OrderChange {
    /// Only a status.
    #[must_use]
    pub fn status(word: &str) -> Self {
        Self { status: Some(word.to_owned()), ..Self::default() }
    }
}

/// What `add` made of a request.
pub(super) struct Placing {
    pub(super) service: u64,
    /// Empty for subscriptions.
    pub(super) link: String,
    /// Of one run.
    pub(super) quantity: u64,
    /// Quantity times runs, or the size of a package.
    pub(super) units: u64,
    pub(super) runs: Option<u64>,
    pub(super) subscription: bool,
    pub(super) charge: Money,
    /// Every parameter but the key and the action.
    pub(super) params: Vec<(String, String)>,
}

/// An order of the panel.
pub(super) struct Order {
    /// As it was answered.
    pub(super) id: String,
    number: u64,
    pub(super) placing: Placing,
    pub(super) at: Timestamp,
    pub(super) accepted_at: Duration,
    /// What it has cost by now; the rest went back to the balance.
    pub(super) paid: Money,
    pub(super) forced: OrderChange,
    canceled_at: Option<Duration>,
}

/// How an order stands, with numbers.
struct Standing {
    word: String,
    remains: u64,
}

impl Order {
    pub(super) fn new(id: String, number: u64, placing: Placing, accepted_at: Duration) -> Self {
        let paid = placing.charge;
        let forced = OrderChange::default();
        Self { id, number, placing, at: Timestamp::now(), accepted_at, paid, forced, canceled_at: None }
    }

    /// When money may go back by itself, if ever.
    pub(super) fn refund_due(&self) -> Option<Duration> {
        let canceled = self.canceled_at.map(|at| at.saturating_add(CANCEL_TAKES));
        canceled.or_else(|| {
            let refunds = matches!(Ending::of(&self.placing.link), Ending::Partial | Ending::Canceled);
            refunds.then(|| self.accepted_at.saturating_add(self.length()))
        })
    }

    /// How long it takes from acceptance to its end.
    fn length(&self) -> Duration {
        SHORTEST.saturating_add(Duration::from_millis(mixed(self.number) % 5_000))
    }

    fn remains_of_partial(&self) -> u64 {
        let forty_percent = u128::from(self.placing.units).saturating_mul(40).div_ceil(100);
        u64::try_from(forty_percent).unwrap_or(u64::MAX)
    }

    fn delivered_after(&self, elapsed: Duration) -> u64 {
        let goal = match Ending::of(&self.placing.link) {
            Ending::Completed => self.placing.units,
            Ending::Partial => self.placing.units.saturating_sub(self.remains_of_partial()),
            Ending::Canceled | Ending::Fail => 0,
        };
        let worked = elapsed.saturating_sub(PENDING).as_millis();
        let whole = self.length().saturating_sub(PENDING).as_millis();
        let delivered = u128::from(goal).saturating_mul(worked).checked_div(whole).unwrap_or(0);
        u64::try_from(delivered).unwrap_or(u64::MAX).min(goal)
    }

    /// How it stands by itself.
    fn natural(&self, now: Duration) -> Standing {
        let stand = |status: Status, remains| Standing { word: status.as_str().to_owned(), remains };
        let units = self.placing.units;
        let elapsed = now.saturating_sub(self.accepted_at);
        if let Some(canceled_at) = self.canceled_at
            && now >= canceled_at.saturating_add(CANCEL_TAKES)
        {
            let delivered = self.delivered_after(canceled_at.saturating_sub(self.accepted_at));
            let status = if delivered == 0 || self.placing.subscription { Status::Canceled } else { Status::Partial };
            return stand(status, units.saturating_sub(delivered));
        }
        if elapsed >= self.length() {
            return match Ending::of(&self.placing.link) {
                Ending::Completed => stand(Status::Completed, 0),
                Ending::Partial => stand(Status::Partial, self.remains_of_partial()),
                Ending::Canceled => stand(Status::Canceled, units),
                Ending::Fail => Standing { word: "Fail".to_owned(), remains: units },
            };
        }
        if self.placing.subscription {
            return Standing { word: "Active".to_owned(), remains: units };
        }
        let status = if elapsed < PENDING { Status::Pending } else { Status::InProgress };
        stand(status, units.saturating_sub(self.delivered_after(elapsed)))
    }

    /// How it stands, with what was forced on it.
    fn standing(&self, now: Duration) -> Standing {
        let natural = self.natural(now);
        match &self.forced.status {
            Some(word) => self.standing_as(word, natural.remains),
            None => natural,
        }
    }

    /// The remains that belong to a status word.
    fn standing_as(&self, word: &str, natural: u64) -> Standing {
        let remains = match Reported::read(word) {
            Reported::Known(Status::Completed) => 0,
            Reported::Known(Status::Partial) => self.remains_of_partial(),
            Reported::Known(Status::Canceled | Status::Pending) => self.placing.units,
            _ => natural,
        };
        Standing { word: word.to_owned(), remains }
    }

    fn charge_of(&self, standing: &Standing) -> Money {
        let charge = self.placing.charge;
        match Reported::read(&standing.word) {
            Reported::Known(Status::Canceled) => Money::ZERO,
            Reported::Known(Status::Partial) => {
                let forced = self.forced.remains.as_deref().and_then(|text| parse_decimal(text).ok());
                let remains = forced.unwrap_or_else(|| Decimal::from(standing.remains));
                let refund = charge.share(remains, Decimal::from(self.placing.units));
                refund.ok().and_then(|refund| charge.checked_sub(refund)).unwrap_or(charge)
            }
            _ => charge,
        }
    }

    /// What the account pays for it, as it stands.
    pub(super) fn cost(&self, now: Duration) -> Money {
        let forced = self.forced.charge.as_deref().and_then(|text| text.parse().ok());
        forced.unwrap_or_else(|| self.charge_of(&self.standing(now)))
    }

    /// Whether nothing more will come by itself.
    pub(super) fn has_ended(&self, now: Duration) -> bool {
        let standing = self.standing(now);
        !matches!(
            Reported::read(&standing.word),
            Reported::Known(Status::Pending | Status::InProgress | Status::Processing)
        )
    }

    /// Whether it was delivered, at least in part.
    pub(super) fn is_delivered(&self, now: Duration) -> bool {
        let standing = self.standing(now);
        matches!(Reported::read(&standing.word), Reported::Known(Status::Completed | Status::Partial))
    }

    /// Notes a cancel; a second one changes nothing.
    pub(super) fn cancel(&mut self, now: Duration) {
        self.canceled_at.get_or_insert(now);
    }

    /// Its `status` answer; `flipped` shows a status that goes back. See `docs/protocol.md`, "Canonical shapes".
    pub(super) fn to_json(&self, now: Duration, currency: &str, flipped: bool) -> Value {
        let mut standing = self.standing(now);
        if flipped {
            standing = self.standing_as(gone_back(&standing.word), standing.remains);
        }
        if self.placing.subscription {
            return json!({
                "status": standing.word,
                "posts": self.param("posts").unwrap_or("0"),
                "expiry": self.param("expiry").unwrap_or(""),
                "orders": [],
            });
        }
        let begun = now.saturating_sub(self.accepted_at) >= PENDING;
        let start = if begun { mixed(self.number) % 10_000 } else { 0 };
        let forced = if flipped { OrderChange::default() } else { self.forced.clone() };
        let mut answer = json!({
            "charge": shown(forced.charge, || self.charge_of(&standing).to_string()),
            "start_count": shown(forced.start_count, || start.to_string()),
            "status": shown(Some(standing.word.clone()), String::new),
            "remains": shown(forced.remains, || standing.remains.to_string()),
            "currency": currency,
        });
        if let Some(runs) = self.placing.runs {
            let delivered = self.placing.units.saturating_sub(standing.remains);
            let done = delivered.checked_div(self.placing.quantity).unwrap_or(0).min(runs);
            answer["runs"] = shown(forced.runs, || done.to_string());
        }
        answer
    }

    fn param(&self, name: &str) -> Option<&str> {
        let (_, value) = self.placing.params.iter().find(|(known, _)| known == name)?;
        Some(value.as_str())
    }
}

/// A value of an answer: what is forced, or what is so.
fn shown(forced: Option<String>, natural: impl FnOnce() -> String) -> Value {
    match forced {
        Some(text) if text == "null" => Value::Null,
        Some(text) => Value::String(text),
        None => Value::String(natural()),
    }
}

/// The status that an order goes back to where statuses flip.
fn gone_back(word: &str) -> &'static str {
    match Reported::read(word) {
        Reported::Known(Status::Completed) => "Partial",
        Reported::Known(Status::Partial) => "Completed",
        Reported::Known(Status::InProgress | Status::Processing) => "Pending",
        _ => "In progress",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(link: &str) -> Order {
        let placing = Placing {
            service: 1,
            link: link.to_owned(),
            quantity: 100,
            units: 100,
            runs: None,
            subscription: false,
            charge: "0.09".parse().unwrap(),
            params: Vec::new(),
        };
        Order::new("1".into(), 1, placing, Duration::from_secs(100))
    }

    fn at(order: &Order, seconds: u64) -> (String, u64, String) {
        let now = Duration::from_secs(100 + seconds);
        let answer = order.to_json(now, "USD", false);
        let text = |field: &str| answer[field].as_str().unwrap().to_owned();
        (text("status"), text("remains").parse().unwrap(), text("charge"))
    }

    #[test]
    fn an_order_goes_from_pending_to_its_end() {
        let usual = order("https://example.com/p");
        assert_eq!(at(&usual, 0), ("Pending".into(), 100, "0.09".into()));
        let (early, late) = (at(&usual, 6), at(&usual, 11));
        assert_eq!((early.0.as_str(), late.0.as_str()), ("In progress", "In progress"));
        assert!(100 > early.1 && early.1 > late.1 && late.1 > 0, "{early:?} {late:?}");
        assert_eq!(at(&usual, 20), ("Completed".into(), 0, "0.09".into()));
        assert_eq!(usual.refund_due(), None);
    }

    #[test]
    fn the_link_decides_the_ending() {
        assert_eq!(at(&order("https://x/partial"), 20), ("Partial".into(), 40, "0.054".into()));
        assert_eq!(at(&order("https://x/CANCEL"), 20), ("Canceled".into(), 100, "0".into()));
        assert_eq!(at(&order("https://x/fail"), 20), ("Fail".into(), 100, "0.09".into()));
        let partial = order("https://x/partial");
        let due = partial.refund_due().unwrap();
        assert_eq!(partial.cost(due).to_string(), "0.054");
        assert_eq!(partial.cost(due - Duration::from_millis(1)).to_string(), "0.09");
    }

    #[test]
    fn a_cancel_gives_back_what_was_not_delivered() {
        let mut pending = order("https://x/");
        pending.cancel(Duration::from_secs(101));
        assert_eq!(at(&pending, 2).0, "Pending");
        assert_eq!(at(&pending, 3), ("Canceled".into(), 100, "0".into()));
        let mut working = order("https://x/");
        working.cancel(Duration::from_secs(110));
        let (status, remains, charge) = at(&working, 15);
        assert_eq!(status, "Partial");
        assert!(remains > 0 && remains < 100);
        assert_eq!(charge, Money::from_units(i64::try_from(90_000 * (100 - remains)).unwrap()).to_string());
    }

    #[test]
    fn what_is_forced_is_answered_as_it_is() {
        let mut order = order("https://x/");
        order.forced = OrderChange::status("Cancelled");
        assert_eq!(at(&order, 0), ("Cancelled".into(), 100, "0".into()));
        order.forced = OrderChange { remains: Some("-5".into()), start_count: Some("null".into()), ..order.forced };
        let answer = order.to_json(Duration::from_secs(100), "USD", false);
        assert_eq!((&answer["remains"], &answer["start_count"]), (&Value::from("-5"), &Value::Null));
        order.forced =
            OrderChange { status: Some("Partial".into()), remains: Some("25".into()), ..OrderChange::default() };
        assert_eq!(at(&order, 0), ("Partial".into(), 25, "0.0675".into()));
    }
}
