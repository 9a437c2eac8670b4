//! What proves an ID, and what does not.

mod histories;
mod listings;

use std::collections::HashSet;
use std::time::Duration;

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
