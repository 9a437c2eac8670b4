//! Over every history.

use proptest::prelude::*;

use super::*;

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
