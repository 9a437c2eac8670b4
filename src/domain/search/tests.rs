//! What proves an ID, and what does not.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::status::Reported;

const LEASE: Duration = Duration::from_secs(120);
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn at(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn id(text: &str) -> UpstreamOrderId {
    UpstreamOrderId::new(text)
}

fn lost(order: i64, from: u64, to: u64) -> Lost {
    Lost {
        order: OrderId::new(order).unwrap(),
        service: UpstreamServiceId::new("7"),
        link: "https://x.test/1".into(),
        quantity: Some(100),
        units: 100,
        is_package: false,
        is_drip_feed: false,
        started_at: at(from),
        ended_at: Some(at(to)),
        cost: Some("0.0902".parse().unwrap()),
    }
}

fn bound(number: &str, from: u64, to: u64) -> Neighbour {
    Neighbour { id: id(number), started_at: at(from), finished_at: at(to) }
}

fn around(before: &[(&str, u64)], after: &[(&str, u64)]) -> Neighbours {
    let of = |list: &[(&str, u64)]| list.iter().map(|(number, from)| bound(number, *from, from + 1)).collect();
    Neighbours { before: of(before), after: of(after) }
}

fn report(word: &str, charge: Option<&str>, remains: Option<u64>) -> StatusReport {
    StatusReport {
        status: Reported::read(word),
        charge: charge.map(|text| text.parse().unwrap()),
        start_count: None,
        remains,
        runs: None,
        currency: Some("USD".into()),
    }
}

fn seen(number: &str, report: StatusReport) -> Listed {
    Listed { id: id(number), service: None, link: None, quantity: None, created_at: None, report: Some(report) }
}

fn usual(number: &str) -> Listed {
    seen(number, report("Pending", Some("0.0902"), Some(100)))
}

/// What is asked for between 10 and 14, with these known and all others of somebody else.
fn answers(known: Vec<Listed>) -> Vec<(UpstreamOrderId, Item)> {
    let item = |number: u64| {
        let wanted = id(&number.to_string());
        let found = known.iter().find(|listed| listed.id == wanted).cloned();
        (wanted, found.map_or(Item::Unknown, |listed| Item::Known(Box::new(listed))))
    };
    (11..14).map(item).collect()
}

fn window() -> Window {
    Window::between(&lost(1, 1000, 1120), &around(&[("10", 900)], &[("14", 1200)])).unwrap()
}

fn found(known: Vec<Listed>, others: &[Lost], held: &[&str]) -> Result<String, Obstacle> {
    let held: HashSet<_> = held.iter().map(|number| id(number)).collect();
    let lost = lost(1, 1000, 1120);
    find_in_gap(&lost, &window(), others, &answers(known), &held, "USD").map(|id| id.to_string())
}

#[test]
fn a_window_is_between_what_was_answered_before_and_what_was_sent_after() {
    let attempt = lost(1, 1000, 1120);
    let bounds =
        |neighbours: Neighbours| Window::between(&attempt, &neighbours).map(|window| (window.below, window.above));
    assert_eq!(bounds(around(&[("8", 700), ("10", 900)], &[("14", 1200), ("15", 1300)])), Ok((Some(10), Some(14))));
    assert_eq!(bounds(around(&[], &[])), Ok((None, None)));
    // Answered while it was under way: on neither side.
    let crossing = Neighbours { before: vec![bound("10", 900, 1001)], after: vec![bound("14", 1119, 1200)] };
    assert_eq!(bounds(crossing), Ok((None, None)));
    assert_eq!(bounds(around(&[("A7", 900)], &[])), Err(Obstacle::NotNumbers));
    assert_eq!(bounds(around(&[("007", 900)], &[])), Err(Obstacle::NotNumbers));
    assert_eq!(bounds(around(&[("15", 900)], &[("14", 1200)])), Err(Obstacle::NotInSequence));
    assert_eq!(bounds(around(&[("12", 700), ("10", 900)], &[])), Err(Obstacle::NotInSequence));
    // Two at once may be in any order.
    let at_once = Neighbours { before: vec![bound("12", 700, 720), bound("10", 710, 730)], after: vec![] };
    assert_eq!(bounds(at_once), Ok((Some(12), None)));
}

#[test]
fn an_attempt_that_ended_before_it_began_proves_nothing() {
    let torn = lost(2, 9000, 120);
    assert_eq!(Window::between(&torn, &around(&[("10", 100)], &[("14", 1200)])), Err(Obstacle::ClockSetBack));
    assert_eq!(found(vec![usual("12")], &[torn], &[]), Err(Obstacle::InDoubt(OrderId::new(2).unwrap())));
    assert_eq!(found(vec![usual("12")], &[lost(2, 9000, 9120)], &[]), Ok("12".into()));
}

#[test]
fn a_gap_has_two_ends_and_is_not_too_wide() {
    let gap = |before: &[(&str, u64)], after: &[(&str, u64)]| {
        Window::between(&lost(1, 1000, 1120), &around(before, after)).unwrap().gap()
    };
    assert_eq!(gap(&[("10", 900)], &[("14", 1200)]), Ok(11..14));
    assert_eq!(gap(&[("10", 900)], &[("11", 1200)]), Ok(11..11));
    assert_eq!(gap(&[("10", 900)], &[("311", 1200)]), Ok(11..311));
    assert_eq!(gap(&[("10", 900)], &[("312", 1200)]), Err(Obstacle::TooWide(301)));
    assert_eq!(gap(&[], &[("14", 1200)]), Err(Obstacle::NoneBefore));
    assert_eq!(gap(&[("10", 900)], &[]), Err(Obstacle::NoneAfter));
}

#[test]
fn one_that_costs_the_same_is_found() {
    assert_eq!(found(vec![usual("12")], &[], &[]), Ok("12".into()));
    let own = lost(1, 1000, 1120);
    assert_eq!(found(vec![usual("12")], &[own], &[]), Ok("12".into()), "an order does not stand in its own way");
    assert_eq!(found(vec![], &[], &[]), Err(Obstacle::NoneFits));
    assert_eq!(found(vec![usual("12")], &[], &["12"]), Err(Obstacle::NoneFits), "one of ours has it");
    assert_eq!(found(vec![usual("11"), usual("12")], &[], &["11"]), Ok("12".into()));
}

#[test]
fn where_two_could_fit_nothing_is_found() {
    let several = |ids: &[&str]| Err(Obstacle::Several(ids.iter().map(|number| id(number)).collect()));
    assert_eq!(found(vec![usual("11"), usual("13")], &[], &[]), several(&["11", "13"]));
    let silent = seen("13", report("Pending", None, Some(100)));
    assert_eq!(found(vec![usual("11"), silent.clone()], &[], &[]), several(&["11", "13"]), "it may be that one");
    assert_eq!(found(vec![silent], &[], &[]), Err(Obstacle::Unproven(vec![id("13")])));
}

#[test]
fn figures_prove_or_exclude() {
    let proved = Ok("12".to_owned());
    let unproven = || Err(Obstacle::Unproven(vec![id("12")]));
    for (word, charge, remains, expected) in [
        ("Pending", Some("0.0902"), Some(100), proved.clone()),
        ("In progress", Some("0.0902"), Some(0), proved.clone()),
        ("Completed", Some("0.09020000"), None, proved.clone()),
        ("Canceled", Some("0.0902"), Some(100), proved.clone()),
        // As panels round it: to two digits, up or down, but not by a tenth.
        ("Pending", Some("0.091"), Some(100), proved),
        ("Pending", Some("0.10"), Some(100), Err(Obstacle::NoneFits)),
        ("Pending", Some("0.0903"), Some(100), Err(Obstacle::NoneFits)),
        ("Pending", Some("0.0901"), Some(100), Err(Obstacle::NoneFits)),
        ("Pending", Some("0.0902"), Some(101), Err(Obstacle::NoneFits)),
        ("Pending", None, Some(100), unproven()),
        ("Pending", Some("0"), Some(100), unproven()),
        // What was not delivered was given back.
        ("Partial", Some("0.05"), Some(40), unproven()),
        ("Canceled", Some("0"), Some(100), unproven()),
        ("Partial", Some("0.2"), Some(40), Err(Obstacle::NoneFits)),
        // A word that may be anything.
        ("Fail", Some("0.0902"), Some(100), unproven()),
        ("Quux", Some("0.0902"), Some(100), unproven()),
        ("Quux", Some("0.5"), Some(100), Err(Obstacle::NoneFits)),
    ] {
        let listed = seen("12", report(word, charge, remains));
        assert_eq!(found(vec![listed], &[], &[]), expected, "{word} {charge:?} {remains:?}");
    }
    let foreign = StatusReport { currency: Some("INR".into()), ..report("Pending", Some("0.0902"), Some(100)) };
    assert_eq!(found(vec![seen("12", foreign)], &[], &[]), Err(Obstacle::NoneFits));
    let for_other = Listed { link: Some("https://x.test/2".into()), ..usual("12") };
    assert_eq!(found(vec![for_other], &[], &[]), Err(Obstacle::NoneFits));
    let of_other = Listed { service: Some("8".into()), ..usual("12") };
    assert_eq!(found(vec![of_other], &[], &[]), Err(Obstacle::NoneFits));
    let more = Listed { quantity: Some(200), ..usual("12") };
    assert_eq!(found(vec![more], &[], &[]), Err(Obstacle::NoneFits));
}

#[test]
fn nothing_is_found_without_a_cost_or_with_ids_left_out() {
    for cost in [None, Some(Decimal::ZERO)] {
        let lost = Lost { cost, ..lost(1, 1000, 1120) };
        let found = find_in_gap(&lost, &window(), &[], &answers(vec![usual("12")]), &HashSet::new(), "USD");
        assert_eq!(found, Err(Obstacle::CostUnknown));
    }
    let mut items = answers(vec![usual("12")]);
    items[2].1 = Item::LeftOut;
    let lost = lost(1, 1000, 1120);
    let find = |items: &[(UpstreamOrderId, Item)]| find_in_gap(&lost, &window(), &[], items, &HashSet::new(), "USD");
    assert_eq!(find(&items), Err(Obstacle::LeftOut(1)));
    items.truncate(1);
    assert_eq!(find(&items), Err(Obstacle::LeftOut(2)));
}

#[test]
fn another_in_doubt_at_that_time_keeps_all_from_being_found() {
    let in_doubt = Err(Obstacle::InDoubt(OrderId::new(2).unwrap()));
    let one = || vec![usual("12")];
    assert_eq!(found(one(), &[lost(2, 1000, 1120)], &[]), in_doubt);
    // Its upstream may have placed it minutes after it was given up.
    assert_eq!(found(one(), &[lost(2, 100, 301)], &[]), in_doubt);
    assert_eq!(found(one(), &[lost(2, 100, 299)], &[]), Ok("12".into()));
    assert_eq!(found(one(), &[lost(2, 1201, 1300)], &[]), in_doubt);
    assert_eq!(found(one(), &[lost(2, 1202, 1300)], &[]), Ok("12".into()));
    let sending = Lost { ended_at: None, ..lost(2, 1150, 0) };
    assert_eq!(found(one(), &[sending], &[]), Err(Obstacle::BeingSent(OrderId::new(2).unwrap())));
    // An earlier attempt of the same order may have left one too.
    assert_eq!(found(one(), &[lost(1, 900, 950)], &[]), Err(Obstacle::InDoubt(OrderId::new(1).unwrap())));
}

#[test]
fn what_may_be_a_run_of_a_drip_feed_is_not_taken() {
    let of_drip = |order: i64| Err(Obstacle::DripFeed(OrderId::new(order).unwrap()));
    let drip = |ended_at: Option<u64>| Lost { is_drip_feed: true, ended_at: ended_at.map(at), ..lost(2, 10, 0) };
    let one = || vec![usual("12")];
    assert_eq!(found(one(), &[drip(None)], &[]), of_drip(2), "the panel starts a run between");
    assert_eq!(found(one(), &[drip(Some(950))], &[]), of_drip(2), "its last run may be of then");
    assert_eq!(found(one(), &[drip(Some(200))], &[]), Ok("12".into()), "it had ended");
    let begun_later = Lost { started_at: at(1202), ..drip(None) };
    assert_eq!(found(one(), &[begun_later], &[]), Ok("12".into()));

    let list = [listed("12", Some(1050))];
    assert_eq!(in_list(&list, &window(), &[drip(None)], &[]), of_drip(2));
    let elsewhere = Lost { link: "https://x.test/2".into(), ..drip(None) };
    assert_eq!(in_list(&list, &window(), &[elsewhere], &[]), Ok("12".into()));

    // It is not looked for either: one of its runs would be taken for it.
    let own = Lost { is_drip_feed: true, ..lost(1, 1000, 1120) };
    let held = HashSet::new();
    assert_eq!(find_in_gap(&own, &window(), &[], &answers(one()), &held, "USD"), Err(Obstacle::DripFeed(own.order)));
    assert_eq!(find_in_listing(&own, &window(), &[], &list, &held, LEASE), Err(Obstacle::DripFeed(own.order)));
}

fn listed(number: &str, created_at: Option<u64>) -> Listed {
    Listed {
        id: id(number),
        service: Some("7".into()),
        link: Some("https://x.test/1".into()),
        quantity: Some(100),
        created_at: created_at.map(at),
        report: None,
    }
}

fn in_list(list: &[Listed], window: &Window, others: &[Lost], held: &[&str]) -> Result<String, Obstacle> {
    let held: HashSet<_> = held.iter().map(|number| id(number)).collect();
    find_in_listing(&lost(1, 1000, 1120), window, others, list, &held, LEASE).map(|id| id.to_string())
}

#[test]
fn a_list_names_the_only_order_that_is_the_same() {
    let open = Window::between(&lost(1, 1000, 1120), &around(&[("10", 900)], &[])).unwrap();
    let anywhere = Window::in_time(&lost(1, 1000, 1120));
    let one = |created_at| vec![listed("12", created_at)];
    assert_eq!(in_list(&one(None), &open, &[], &[]), Ok("12".into()));
    assert_eq!(in_list(&one(Some(1050)), &anywhere, &[], &[]), Ok("12".into()));
    assert_eq!(in_list(&[listed("Z9", Some(1050))], &anywhere, &[], &[]), Ok("Z9".into()), "its time is enough");
    // Neither a time nor a number says that it is no older one.
    assert_eq!(in_list(&one(None), &anywhere, &[], &[]), Err(Obstacle::Unproven(vec![id("12")])));
    for elsewhere in [
        listed("9", None),
        listed("10", None),
        listed("12", Some(600)),
        listed("12", Some(1500)),
        Listed { service: Some("8".into()), ..listed("12", None) },
        Listed { service: None, ..listed("12", None) },
        Listed { link: Some("https://x.test/1/".into()), ..listed("12", None) },
        Listed { link: None, ..listed("12", None) },
        Listed { quantity: Some(101), ..listed("12", None) },
    ] {
        assert_eq!(
            in_list(std::slice::from_ref(&elsewhere), &open, &[], &[]),
            Err(Obstacle::NoneFits),
            "{elsewhere:?}"
        );
    }
    assert_eq!(in_list(&one(None), &open, &[], &["12"]), Err(Obstacle::NoneFits));
    assert_eq!(in_list(&[listed("15", None)], &window(), &[], &[]), Err(Obstacle::NoneFits), "placed after it ended");
    let unsaid = Listed { quantity: None, ..listed("12", None) };
    assert_eq!(in_list(&[unsaid], &open, &[], &[]), Ok("12".into()));
    let two = [listed("12", None), listed("13", None)];
    assert_eq!(in_list(&two, &open, &[], &[]), Err(Obstacle::Several(vec![id("12"), id("13")])));
    assert_eq!(in_list(&two, &open, &[], &["13"]), Ok("12".into()));
}

#[test]
fn what_was_placed_while_no_gateway_ran_is_not_taken() {
    let given_up_days_later = lost(1, 1000, 200_000);
    let window = Window::in_time(&given_up_days_later);
    let placed_at = |seconds| {
        let list = [listed("12", Some(seconds))];
        find_in_listing(&given_up_days_later, &window, &[], &list, &HashSet::new(), LEASE).map(|id| id.to_string())
    };
    // Sent for two minutes at most, placed up to ten later, by a clock that may be off by five.
    assert_eq!(placed_at(1000 + 120 + 600 + 300), Ok("12".into()));
    assert_eq!(placed_at(1000 + 120 + 600 + 301), Err(Obstacle::NoneFits));
}

#[test]
fn another_attempt_for_the_same_may_have_left_what_is_listed() {
    let open = Window::between(&lost(1, 1000, 1120), &around(&[("10", 900)], &[])).unwrap();
    let list = [listed("12", None)];
    let rival = |other: Lost| in_list(&list, &open, &[other], &[]);
    assert_eq!(rival(lost(2, 1500, 1600)), Err(Obstacle::InDoubt(OrderId::new(2).unwrap())));
    let sending = Lost { ended_at: None, ..lost(2, 5000, 0) };
    assert_eq!(rival(sending), Err(Obstacle::BeingSent(OrderId::new(2).unwrap())));
    assert_eq!(rival(lost(2, 100, 299)), Ok("12".into()), "long before");
    for link in ["http://x.test/1/", "https://www.X.test/1?igsh=a", "x.test/1"] {
        let other = Lost { link: link.into(), ..lost(2, 1000, 1120) };
        assert_eq!(rival(other), Err(Obstacle::InDoubt(OrderId::new(2).unwrap())), "the same by {link}");
    }
    // Without an order before, one that was placed five minutes before by the panel's clock is taken.
    let timed = [listed("12", Some(700))];
    let anywhere = Window::in_time(&lost(1, 1000, 1120));
    let early = |other: Lost| in_list(&timed, &anywhere, &[other], &[]);
    assert_eq!(early(lost(2, 50, 100)), Err(Obstacle::InDoubt(OrderId::new(2).unwrap())));
    assert_eq!(early(lost(2, 50, 99)), Ok("12".into()));
    for other in [
        Lost { link: "https://x.test/2".into(), ..lost(2, 1000, 1120) },
        Lost { service: UpstreamServiceId::new("8"), ..lost(2, 1000, 1120) },
        Lost { quantity: Some(200), units: 200, ..lost(2, 1000, 1120) },
    ] {
        assert_eq!(rival(other), Ok("12".into()), "for something else");
    }
}

#[test]
fn a_list_must_reach_back() {
    let open = Window::between(&lost(1, 1000, 1120), &around(&[("10", 900)], &[])).unwrap();
    let other = |number: u64| Listed { link: Some("https://x.test/9".into()), ..listed(&number.to_string(), None) };
    let mut list: Vec<Listed> = (20..40).map(other).collect();
    list.push(listed("12", None));
    assert_eq!(in_list(&list, &open, &[], &[]), Err(Obstacle::ListTooShort));
    list.push(other(10));
    assert_eq!(in_list(&list, &open, &[], &[]), Ok("12".into()));
    let timed = |number: u64, created_at| Listed { created_at: Some(at(created_at)), ..other(number) };
    let mut list: Vec<Listed> = (20..40).map(|number| timed(number, 2000 + number)).collect();
    list.push(listed("12", Some(1050)));
    assert_eq!(in_list(&list, &open, &[], &[]), Err(Obstacle::ListTooShort));
    list.push(timed(11, 500));
    assert_eq!(in_list(&list, &open, &[], &[]), Ok("12".into()));
}

// === Over every history ===

/// What became of one `add` at the panel, and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Placed, and we know its ID.
    Bound,
    /// Placed, and its answer was lost.
    Lost,
    /// Its answer was lost, and nothing was placed.
    Vanished,
    /// Another customer's: nobody knows it on our account.
    Strangers,
}

/// One `add` after the other: how long after the one before, what became of it, and which of two prices it has.
fn history() -> impl Strategy<Value = Vec<(u64, Fate, bool)>> {
    let fate = prop_oneof![
        5 => Just(Fate::Bound),
        2 => Just(Fate::Lost),
        1 => Just(Fate::Vanished),
        1 => Just(Fate::Strangers),
    ];
    let pause = prop_oneof![1..30_u64, 700..5000_u64];
    proptest::collection::vec((pause, fate, any::<bool>()), 1..30)
}

/// The panel after a history: what it knows of ours, what we hold, and what is lost with its true ID.
struct Panel {
    known: Vec<Listed>,
    neighbours: Neighbours,
    held: HashSet<UpstreamOrderId>,
    lost: Vec<(Lost, Option<UpstreamOrderId>)>,
}

fn panel(history: &[(u64, Fate, bool)]) -> Panel {
    let mut panel = Panel { known: vec![], neighbours: Neighbours::default(), held: HashSet::new(), lost: vec![] };
    let (mut now, mut number) = (0, 100_u64);
    for (order, (pause, fate, dear)) in (1..).zip(history) {
        now += pause;
        let cost = if *dear { "0.5" } else { "0.0902" };
        let attempt = Lost { cost: Some(cost.parse().unwrap()), ..lost(order, now, now + 5) };
        if *fate != Fate::Vanished {
            number += 1;
        }
        let own = id(&number.to_string());
        let listed =
            || Listed { report: Some(report("Pending", Some(cost), Some(100))), ..listed(own.as_str(), Some(now + 1)) };
        match fate {
            Fate::Bound => {
                panel.known.push(listed());
                panel.held.insert(own.clone());
                let neighbour = Neighbour { id: own, started_at: at(now), finished_at: at(now + 2) };
                panel.neighbours.before.push(neighbour);
            }
            Fate::Lost => {
                panel.known.push(listed());
                panel.lost.push((attempt, Some(own)));
            }
            Fate::Vanished => panel.lost.push((attempt, None)),
            Fate::Strangers => {}
        }
        now += 5;
    }
    panel.neighbours.after.clone_from(&panel.neighbours.before);
    panel
}

proptest! {
    #[test]
    fn what_is_found_is_what_was_lost(history in history()) {
        let panel = panel(&history);
        let others: Vec<Lost> = panel.lost.iter().map(|(lost, _)| lost.clone()).collect();
        for (lost, truth) in &panel.lost {
            let around = Neighbours {
                before: panel.neighbours.before.iter().filter(|one| one.finished_at <= lost.started_at).cloned().collect(),
                after: panel.neighbours.after.iter().filter(|one| Some(one.started_at) >= lost.ended_at).cloned().collect(),
            };
            let window = Window::between(lost, &around).unwrap();
            if let Ok(gap) = window.gap() {
                let items: Vec<_> = gap
                    .map(|number| {
                        // By `status` nothing but figures is told.
                        let number = id(&number.to_string());
                        let known = panel.known.iter().find(|listed| listed.id == number);
                        let figures = known.map(|listed| Listed {
                            service: None, link: None, quantity: None, created_at: None, ..listed.clone()
                        });
                        (number, figures.map_or(Item::Unknown, |listed| Item::Known(Box::new(listed))))
                    })
                    .collect();
                if let Ok(found) = find_in_gap(lost, &window, &others, &items, &panel.held, "USD") {
                    prop_assert_eq!(Some(&found), truth.as_ref());
                }
            }
            if let Ok(found) = find_in_listing(lost, &window, &others, &panel.known, &panel.held, LEASE) {
                prop_assert_eq!(Some(&found), truth.as_ref());
            }
        }
    }
}

#[test]
fn a_lone_loss_between_two_orders_is_found_by_either_way() {
    let panel = panel(&[(10, Fate::Bound, false), (700, Fate::Lost, false), (700, Fate::Bound, false)]);
    let (lost, truth) = &panel.lost[0];
    let [before, after] = panel.neighbours.before.as_slice() else { panic!("two") };
    let around = Neighbours { before: vec![before.clone()], after: vec![after.clone()] };
    let window = Window::between(lost, &around).unwrap();
    let items = [(id("102"), Item::Known(Box::new(seen("102", report("Pending", Some("0.0902"), None)))))];
    let by_scan = find_in_gap(lost, &window, &[], &items, &panel.held, "USD");
    let by_list = find_in_listing(lost, &window, &[], &panel.known, &panel.held, LEASE);
    assert_eq!((by_scan.as_ref().ok(), by_list.as_ref().ok()), (truth.as_ref(), truth.as_ref()));
}
