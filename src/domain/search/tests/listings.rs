//! An upstream's list of our orders.

use super::*;

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
