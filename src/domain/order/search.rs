//! What a search upstream does to an order whose ID was lost. What proves an ID is `domain::search`.

use super::{Found, Hint, Illegal, State, Step, dispatch};
use crate::domain::ids::UpstreamOrderId;
use crate::domain::time::Timestamp;

/// Binds an uncertain order to the ID that was found to be its own.
pub(super) fn found(step: &mut Step, id: UpstreamOrderId, by: &Found, now: Timestamp) -> Result<(), Illegal> {
    let State::Uncertain { route } = step.order.state.clone() else {
        return Err(step.order.illegal("Found"));
    };
    let provider = &route.provider;
    step.note(match by {
        Found::Listing => format!(
            "settled by the list of orders at {provider}: {id} is the only one there with its service, link and \
             quantity in its time"
        ),
        Found::Scan { below, above } => format!(
            "settled by a scan: of the IDs between {below} and {above}, our neighbouring orders at {provider}, only \
             {id} fits"
        ),
    });
    dispatch::found(step, route, id, now);
    Ok(())
}

/// Records what was seen.
pub(super) fn hinted(step: &mut Step, hint: &Hint) -> Result<(), Illegal> {
    if !matches!(step.order.state, State::Uncertain { .. }) {
        return Err(step.order.illegal("Hinted"));
    }
    step.alert(format!("{}{}", hint.opening(), hint.seen));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, new_order, route};
    use super::*;
    use crate::domain::ids::AttemptNumber;
    use crate::domain::order::{CancelWish, Event, Order};
    use crate::domain::outcome::Outcome;

    fn uncertain() -> Order {
        let sent = new_order().step(Event::SendStarted(route("alpha")), NOW).unwrap().order;
        let outcome = Outcome::Ambiguous("timeout".into());
        sent.step(Event::Answered { attempt: AttemptNumber(1), outcome }, NOW).unwrap().order
    }

    fn found() -> Event {
        let [below, above] = ["10", "14"].map(UpstreamOrderId::new);
        Event::Found { id: UpstreamOrderId::new("12"), by: Found::Scan { below, above } }
    }

    fn hinted() -> Event {
        Event::Hinted(Hint { about: "balance", seen: "it moved".into() })
    }

    #[test]
    fn what_is_found_is_placed_and_followed_with_its_wish() {
        let wished = uncertain().step(Event::CancelRequested, NOW).unwrap().order;
        let step = wished.step(found(), NOW).unwrap();
        assert_eq!(step.order.binding().map(|binding| binding.id.as_str()), Some("12"));
        assert!(step.order.due_at.is_some() && step.refund.is_none());
        assert_eq!(step.order.cancel, CancelWish::Wished, "its upstream is yet to be told");
        let told: Vec<&str> = step.notes.iter().map(|note| note.text.as_str()).collect();
        assert!(told[0].starts_with("settled by a scan: of the IDs between 10 and 14"), "{told:?}");
        assert_eq!(told[1], "placed by alpha:101 as 12");
    }

    #[test]
    fn a_hint_is_a_line_and_nothing_else() {
        let order = uncertain();
        let step = order.step(hinted(), NOW).unwrap();
        assert_eq!(step.order, Order { version: order.version + 1, ..order });
        let [line] = step.notes.as_slice() else { panic!("{:?}", step.notes) };
        assert!(line.alert && line.text == "hint (balance): it moved" && Hint::is_in(&line.text));
    }

    #[test]
    fn only_an_uncertain_order_is_searched_for() {
        let queued = new_order();
        let sending = queued.step(Event::SendStarted(route("alpha")), NOW).unwrap().order;
        let placed = uncertain().step(found(), NOW).unwrap().order;
        for order in [queued, sending, placed] {
            assert!(order.step(found(), NOW).is_err() && order.step(hinted(), NOW).is_err(), "{:?}", order.state);
        }
    }
}
