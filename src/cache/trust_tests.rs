use super::*;

fn id(number: i64) -> OrderId {
    OrderId::new(number).unwrap()
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn owed(trust: &Trust) -> Vec<(i64, u64)> {
    let mut owed: Vec<_> = trust.owed.values().map(|owed| (owed.id.get().into(), owed.version)).collect();
    owed.sort_unstable();
    owed
}

#[tokio::test(start_paused = true)]
async fn an_epoch_is_believed_for_as_long_as_the_store_was_asked_for_it() {
    let (mut trust, start) = (Trust::among_several(), Instant::now());
    assert_eq!(trust.belief(start), Belief::None, "it was never asked for");
    trust.attended(5, start, start + seconds(1));
    assert_eq!(trust.belief(start + seconds(1)), Belief::In(5), "the first one is not young");
    assert_eq!(trust.belief(start + EPOCH_HOLDS), Belief::None, "from the question on, not from the answer");
    trust.attended(6, start + seconds(3), start + seconds(3));
    assert_eq!(trust.belief(start + seconds(3)), Belief::Young);
    assert_eq!(trust.belief(start + seconds(3) + YOUNG), Belief::In(6));
    trust.attended(5, start + seconds(4), start + seconds(4));
    assert_eq!(trust.epoch(), 6, "an answer that was overtaken");
}

#[tokio::test(start_paused = true)]
async fn what_was_told_under_an_old_epoch_is_told_again() {
    let (mut trust, start) = (Trust::among_several(), Instant::now());
    trust.attended(5, start, start);
    trust.telling([(id(1), 10)].into_iter(), start + seconds(1));
    trust.telling([(id(2), 20), (id(3), 30)].into_iter(), start + seconds(2));
    trust.attended(5, start + seconds(2), start + seconds(2));
    assert!(owed(&trust).is_empty() && trust.owes_anything(), "who ends now tells nobody again");
    trust.attended(6, start + seconds(3), start + seconds(3));
    assert_eq!(owed(&trust), [(2, 20), (3, 30)], "of the first one it is known that epoch 5 was in force after it");
    let told = trust.some_owed(10);
    trust.told(&told, 5);
    assert!(trust.owes(id(2)), "it was told under the wrong one");
    trust.told(&told, 6);
    assert!(owed(&trust).is_empty() && !trust.owes_anything());
}

#[tokio::test(start_paused = true)]
async fn a_debt_is_for_what_was_changed_before_it() {
    let (mut trust, start) = (Trust::among_several(), Instant::now());
    trust.attended(5, start, start);
    trust.missed([(id(1), 10)].into_iter(), start);
    assert_eq!(trust.debt(true, start), None, "Redis may yet be told");
    trust.missed([(id(1), 11)].into_iter(), start + MAX_OWED_FOR);
    let debt = trust.debt(false, start + MAX_OWED_FOR).expect("from the first change on");
    trust.missed([(id(2), 20)].into_iter(), start + MAX_OWED_FOR);
    trust.telling([(id(3), 30)].into_iter(), start);
    trust.telling([(id(4), 40)].into_iter(), start + seconds(1));
    trust.repaid(debt, 6, start + MAX_OWED_FOR, start + seconds(1));
    assert_eq!((trust.epoch(), owed(&trust)), (6, vec![(2, 20), (4, 40)]));
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_takes_another_epoch_once_redis_is_back() {
    let (mut trust, start) = (Trust::among_several(), Instant::now());
    trust.attended(5, start, start);
    trust.lost(start);
    assert_eq!(trust.belief(start), Belief::None);
    assert_eq!(trust.debt(false, start + seconds(9)), None, "not while it is away");
    let debt = trust.debt(true, start).expect("an unsure one");
    trust.repaid(debt, 6, start, start);
    assert_eq!(trust.belief(start + YOUNG), Belief::In(6));
}

#[tokio::test(start_paused = true)]
async fn a_doubt_ends_with_the_stores_next_word() {
    let (mut trust, start) = (Trust::among_several(), Instant::now());
    trust.attended(5, start, start);
    trust.doubt();
    assert_eq!((trust.belief(start), trust.mark(start)), (Belief::None, None));
    trust.attended(5, start + seconds(1), start + seconds(1));
    assert_eq!(trust.belief(start + seconds(1)), Belief::In(5));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_believed_beside_one_that_tells_another_redis_nor_what_was_held_before() {
    let (mut trust, start) = (Trust::among_several(), Instant::now());
    trust.attended(5, start, start);
    assert!(!trust.owes_anything());
    trust.set_apart(true);
    trust.attended(5, start, start);
    assert_eq!((trust.belief(start), trust.mark(start)), (Belief::None, None));
    assert_eq!(trust.heed_mark(Some(6), 5, start), Heed::Nothing);
    assert_eq!((trust.epoch(), trust.debt(true, start)), (5, None), "it is raised once, afterwards");
    assert!(trust.owes_anything(), "nobody else may be left then");
    trust.set_apart(false);
    assert_eq!((trust.belief(start), trust.mark(start)), (Belief::None, None));
    let debt = trust.debt(true, start).expect("what is held is of before");
    trust.repaid(debt, 6, start, start);
    trust.set_apart(false);
    assert_eq!((trust.belief(start + YOUNG), trust.mark(start)), (Belief::In(6), Some(6)));
    assert_eq!(trust.debt(true, start), None);
    trust.doubt();
    assert!(trust.owes_anything(), "it may be the one that is apart");
}

#[tokio::test(start_paused = true)]
async fn a_mark_leads_on_and_never_back() {
    let (mut trust, start) = (Trust::among_several(), Instant::now());
    assert_eq!(trust.mark(start), None, "it was never asked for");
    trust.attended(5, start, start);
    assert_eq!((trust.mark(start), trust.mark(start + EPOCH_HOLDS)), (Some(5), None));
    let now = start + seconds(60);
    assert_eq!(trust.heed_mark(Some(5), 5, now), Heed::Believe);
    assert_eq!(trust.heed_mark(None, 5, now), Heed::Nothing);
    trust.telling([(id(1), 10)].into_iter(), start);
    assert_eq!(trust.heed_mark(Some(7), 5, now), Heed::AskAgain);
    assert_eq!((trust.epoch(), owed(&trust)), (7, vec![(1, 10)]), "what it told under the old one is told again");
    assert_eq!(trust.heed_mark(Some(7), 5, now), Heed::Nothing, "asked under another");
    assert_eq!(trust.heed_mark(Some(6), 7, now), Heed::Nothing);
    assert_eq!(trust.heed_mark(Some(7), 7, now), Heed::Believe);
    assert_eq!(trust.belief(now), Belief::None, "it is no word of the store");
    trust.attended(7, now, now);
    assert_eq!(trust.mark(now), None, "not before what is owed is told");
    trust.lost(now);
    assert_eq!(trust.heed_mark(Some(8), 7, now), Heed::Nothing, "of an old copy");
    assert_eq!(trust.epoch(), 7);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_alone_goes_on_by_itself() {
    let (mut trust, start) = (Trust::alone(7), Instant::now());
    assert_eq!(trust.belief(start), Belief::In(7));
    trust.missed([(id(1), 10)].into_iter(), start);
    assert_eq!(trust.debt(true, start + seconds(9)), None);
    assert!(trust.owes(id(1)));
    trust.lost(start);
    assert!(!trust.owes(id(1)));
    assert_eq!((trust.belief(start), trust.belief(start + YOUNG)), (Belief::Young, Belief::In(8)));
    trust.missed((1..=100_001).map(|number| (id(number), 1)), start);
    assert_eq!((trust.epoch(), trust.owed.len()), (9, 0), "too much to remember");
}

#[tokio::test(start_paused = true)]
async fn too_much_to_remember_takes_another_epoch() {
    let (mut trust, start) = (Trust::among_several(), Instant::now());
    trust.attended(5, start, start);
    trust.missed((1..=100_001).map(|number| (id(number), 1)), start);
    assert!(trust.owed.is_empty() && trust.debt(true, start).is_some());
    let mut trust = Trust::among_several();
    trust.attended(5, start, start);
    trust.telling((1..=100_001).map(|number| (id(number), 1)), start);
    assert!(trust.debt(true, start).is_some());
}
