//! One case for each arrow, and the laws over every sequence of events.

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000_000_000_000);

fn upstream_id(text: &str) -> UpstreamRefillId {
    UpstreamRefillId::new(text)
}

fn sending() -> Refill {
    let new = NewRefill {
        order: OrderId::new(1).unwrap(),
        client: ClientId(1),
        provider: ProviderId::new("alpha"),
        upstream_order: UpstreamOrderId::new("77"),
    };
    new.into_refill(RefillId::new(1).unwrap(), NOW)
}

fn step(refill: &Refill, event: RefillEvent) -> RefillStep {
    refill.step(event, NOW).unwrap()
}

fn accepted() -> Refill {
    step(&sending(), RefillEvent::Answered(RefillOutcome::Accepted(upstream_id("9")))).refill
}

fn reported(word: &str) -> RefillEvent {
    RefillEvent::Reported(RefillReport::read(word))
}

fn alerts(step: &RefillStep) -> usize {
    step.notes.iter().filter(|note| note.alert).count()
}

#[test]
fn what_was_taken_is_followed_to_its_end() {
    let refill = accepted();
    assert_eq!((refill.due_at, refill.status), (Some(NOW.plus(MINUTE)), RefillStatus::Pending));
    let refill = step(&refill, reported("Refilling")).refill;
    assert_eq!(refill.status, RefillStatus::InProgress);
    for (word, status) in [
        ("Completed", RefillStatus::Completed),
        ("Rejected", RefillStatus::Rejected),
        ("Fail", RefillStatus::Error),
        ("Error", RefillStatus::Error),
        ("Cancelled", RefillStatus::Canceled),
    ] {
        let ended = step(&refill, reported(word)).refill;
        assert_eq!((ended.status, ended.due_at), (status, None), "{word}");
        assert_eq!(ended.state, RefillState::Ended(Some(upstream_id("9"))));
        assert!(ended.step(reported("Pending"), NOW).is_err());
    }
}

#[test]
fn what_was_refused_is_over() {
    for outcome in [
        RefillOutcome::Refused { text: "Refill not allowed".into(), quotable: true },
        RefillOutcome::NotTaken("too many requests".into()),
    ] {
        let refused = step(&sending(), RefillEvent::Answered(outcome));
        assert_eq!((refused.refill.state, refused.refill.status), (RefillState::Ended(None), RefillStatus::Rejected));
    }
}

#[test]
fn a_lost_answer_is_told_of_once_and_may_still_come() {
    for event in [
        RefillEvent::Answered(RefillOutcome::Ambiguous("timed out".into())),
        RefillEvent::SenderLost,
        RefillEvent::IdTaken { id: upstream_id("9"), holder: RefillId::new(7).unwrap() },
    ] {
        let lost = step(&sending(), event);
        assert_eq!((alerts(&lost), &lost.refill.state), (1, &RefillState::Uncertain));
        assert_eq!((lost.refill.status, lost.refill.due_at), (RefillStatus::Pending, None));
        let again = step(&lost.refill, RefillEvent::Answered(RefillOutcome::Ambiguous("timed out".into())));
        assert_eq!(alerts(&again), 0);
        let late = step(&lost.refill, RefillEvent::Answered(RefillOutcome::Accepted(upstream_id("9"))));
        assert_eq!(late.refill.state, RefillState::Accepted(upstream_id("9")));
        assert!(lost.refill.step(RefillEvent::SenderLost, NOW).is_err());
    }
}

#[test]
fn what_is_not_known_keeps_the_status_and_is_told_of_once() {
    let refill = step(&accepted(), reported("In progress")).refill;
    for event in [reported("Quux"), RefillEvent::Unreported(Some("Refill not found".into()))] {
        let first = step(&refill, event.clone());
        assert_eq!((alerts(&first), first.refill.status), (1, RefillStatus::InProgress));
        assert_eq!(alerts(&step(&first.refill, event)), 0);
    }
    let silent = step(&refill, RefillEvent::Unreported(None));
    assert_eq!((alerts(&silent), silent.refill.word.as_deref()), (0, Some("In progress")));
}

#[test]
fn polls_get_rarer() {
    let pause = |minutes: u32| {
        let now = NOW.plus(MINUTE * minutes);
        let refill = accepted().step(reported("Pending"), now).unwrap().refill;
        refill.due_at.unwrap().since(now).as_secs() / 60
    };
    assert_eq!([0, 9, 10, 59, 60, 60_000].map(pause), [1, 1, 5, 5, 30, 30]);
}

fn event() -> impl Strategy<Value = RefillEvent> {
    let words = ["Pending", "Refilling", "Completed", "Rejected", "Fail", "Quux"];
    prop_oneof![
        1 => Just(RefillEvent::Answered(RefillOutcome::Accepted(upstream_id("1")))),
        1 => Just(RefillEvent::Answered(RefillOutcome::Refused { text: "no".into(), quotable: false })),
        1 => Just(RefillEvent::Answered(RefillOutcome::NotTaken("down".into()))),
        1 => Just(RefillEvent::Answered(RefillOutcome::Ambiguous("timeout".into()))),
        1 => Just(RefillEvent::IdTaken { id: upstream_id("1"), holder: RefillId::new(2).unwrap() }),
        1 => Just(RefillEvent::SenderLost),
        4 => proptest::sample::select(words.to_vec()).prop_map(reported),
        1 => proptest::option::of(Just("not found".to_owned())).prop_map(RefillEvent::Unreported),
    ]
}

proptest! {
    #[test]
    fn the_laws_hold_over_every_history(events in proptest::collection::vec(event(), 1..30)) {
        let mut refill = sending();
        for event in events {
            let Ok(step) = refill.step(event, NOW) else { continue };
            let next = step.refill;
            prop_assert_eq!(next.version, refill.version + 1);
            prop_assert!(next.state != RefillState::Sending, "never sent again");
            prop_assert!(!matches!(refill.state, RefillState::Ended(_)), "an end is an end");
            prop_assert_eq!(matches!(next.state, RefillState::Ended(_)), next.status.is_final());
            prop_assert_eq!(matches!(next.state, RefillState::Accepted(_)), next.due_at.is_some());
            refill = next;
        }
    }
}
