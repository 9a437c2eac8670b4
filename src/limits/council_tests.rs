//! Gateways that come, go, stall and see Redis or not, with a store that is slow, loses answers and has its clock set:
//! whatever happens, no two of them let calls out in ways that add up to more than one alone would.

use super::*;

/// Numbers that a seed decides (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn up_to(&mut self, millis: u64) -> Duration {
        Duration::from_millis(self.below(millis + 1))
    }

    /// Mostly short, at times longer than a place lasts.
    fn delay(&mut self) -> Duration {
        if self.one_in(40) { self.up_to(4000) } else { self.up_to(60) }
    }
}

/// Where a gateway stands in its round.
enum Round {
    Due(Instant),
    AtRedis {
        until: Instant,
        plan: Plan,
    },
    /// The store looks at the others at `looks` and writes at `writes`.
    Asking {
        asked: Instant,
        word: Word,
        looks: Instant,
        writes: Instant,
        seen: Option<(u32, Vec<Word>)>,
    },
    Answered {
        at: Instant,
        asked: Instant,
        word: Word,
        seen: (u32, Vec<Word>),
    },
}

struct Gateway {
    number: u64,
    council: Council,
    round: Round,
    sees_redis: bool,
    /// The connection to Redis is another one than that on which its era was entered.
    broken: bool,
}

impl Gateway {
    /// What it lets calls out by.
    fn footing(&self, now: Instant) -> Footing {
        let footing = self.council.footing(now);
        if now < footing.until { footing } else { Footing { basis: Basis::Nothing, ..footing } }
    }
}

/// A place in the store.
struct Place {
    number: u64,
    /// The place in the order in which they came.
    came: u64,
    until: Instant,
    word: Word,
}

struct World {
    chance: Chance,
    now: Instant,
    gateways: Vec<Gateway>,
    places: Vec<Place>,
    /// The one that Redis counts in.
    era: Option<u64>,
    numbers: u64,
    /// When the store's clock was last set.
    set_at: Instant,
    calm: bool,
    /// Times at which some gateway let calls out by Redis, and by a share.
    acted: (u64, u64),
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            chance: Chance(seed),
            now: Instant::now(),
            gateways: Vec::new(),
            places: Vec::new(),
            era: None,
            numbers: 0,
            set_at: Instant::now(),
            calm: false,
            acted: (0, 0),
        };
        for _ in 0..3 {
            world.join();
        }
        world
    }

    fn join(&mut self) {
        self.numbers += 1;
        self.gateways.push(Gateway {
            number: self.numbers,
            council: Council::new(true),
            round: Round::Due(self.now),
            sees_redis: self.calm || !self.chance.one_in(8),
            broken: false,
        });
    }

    fn delay(&mut self) -> Duration {
        if self.calm { Duration::from_millis(5) } else { self.chance.delay() }
    }

    fn at_redis(&mut self, index: usize, plan: Plan) -> Result<(), Trouble> {
        let gateway = &mut self.gateways[index];
        if gateway.broken && matches!(plan, Plan::Beat { .. }) {
            return Err(Trouble::Lost);
        }
        if !gateway.sees_redis {
            return Err(Trouble::Silent);
        }
        gateway.broken = false;
        match plan {
            Plan::Prepare { era, begins: true } => self.era = Some(era),
            Plan::Prepare { era, begins: false } | Plan::Beat { era } if self.era != Some(era) => {
                return Err(Trouble::Lost);
            }
            _ => {}
        }
        Ok(())
    }

    fn go_on(&mut self, index: usize) {
        let now = self.now;
        match std::mem::replace(&mut self.gateways[index].round, Round::Due(now)) {
            Round::Due(at) if now >= at => {
                let (until, era) = (now + self.delay(), self.chance.below(1 << 40));
                let plan = self.gateways[index].council.plan(now, era);
                self.gateways[index].round = Round::AtRedis { until, plan };
            }
            Round::AtRedis { until, plan } if now >= until => {
                let done = self.at_redis(index, plan);
                let (looks, writes) = (now + self.delay(), self.delay());
                let council = &mut self.gateways[index].council;
                council.carried_out(now, plan, done);
                let word = council.word(false);
                self.gateways[index].round =
                    Round::Asking { asked: now, word, looks, writes: looks + writes, seen: None };
            }
            Round::Asking { asked, word, looks, writes, seen: None } if now >= looks => {
                let seen = Some(self.look(self.gateways[index].number));
                self.gateways[index].round = Round::Asking { asked, word, looks, writes, seen };
            }
            Round::Asking { asked, word, writes, seen: Some(seen), .. } if now >= writes => {
                self.write(self.gateways[index].number, word);
                let (at, lost) = (now + self.delay(), !self.calm && self.chance.one_in(30));
                let round = Round::Answered { at, asked, word, seen };
                self.gateways[index].round = if lost { Round::Due(now + Duration::from_millis(500)) } else { round };
            }
            Round::Answered { at, asked, word, seen } if now >= at => {
                let council = &mut self.gateways[index].council;
                council.attended(now, asked, word, seen.0, seen.1);
                let every = if council.is_between(now) { 50 } else { 500 };
                self.gateways[index].round = Round::Due(now + Duration::from_millis(every));
            }
            round => self.gateways[index].round = round,
        }
    }

    fn look(&mut self, number: u64) -> (u32, Vec<Word>) {
        let now = self.now;
        self.places.retain(|place| now < place.until);
        let mine = self.places.iter().find(|place| place.number == number).map_or(u64::MAX, |place| place.came);
        let rank = self.places.iter().filter(|place| place.came < mine).count();
        let others = self.places.iter().filter(|place| place.number != number).map(|place| place.word);
        (u32::try_from(rank).unwrap(), others.collect())
    }

    fn write(&mut self, number: u64, word: Word) {
        let now = self.now;
        self.places.retain(|place| now < place.until);
        let until = now + PLACE_LASTS;
        match self.places.iter_mut().find(|place| place.number == number) {
            Some(place) => (place.until, place.word) = (until, word),
            None => {
                let came = self.places.last().map_or(0, |place| place.came + 1);
                self.places.push(Place { number, came, until, word });
            }
        }
    }

    /// The store's clock is set forward only while nothing else happens: who comes or changes just then may be taken out of
    /// the store before any other has heard of it.
    fn all_is_quiet(&self) -> bool {
        let long_ago = |since: Instant| self.now >= since + PLACE_LASTS * 2;
        self.gateways.iter().all(|gateway| {
            let since = match gateway.council.stance {
                Stance::Share { known, .. } | Stance::Redis { known, joined: true, .. } => known,
                _ => None,
            };
            since.is_some_and(long_ago) && gateway.council.here_since.is_some_and(long_ago)
        })
    }

    fn trouble(&mut self) {
        let count = u64::try_from(self.gateways.len()).unwrap();
        let index = usize::try_from(self.chance.below(count)).unwrap();
        match self.chance.below(10) {
            0 if count < 5 => self.join(),
            1 if count > 1 => drop(self.gateways.remove(index)),
            2 => self.era = None,
            // Redis is restarted: every connection breaks.
            3 => {
                self.era = None;
                self.gateways.iter_mut().for_each(|gateway| gateway.broken = true);
            }
            4 => self.gateways[index].broken = true,
            5 => self.gateways.iter_mut().for_each(|gateway| gateway.sees_redis = false),
            6 => self.gateways.iter_mut().for_each(|gateway| gateway.sees_redis = true),
            7 => self.gateways[index].sees_redis ^= true,
            8 if self.all_is_quiet() => {
                self.places.clear();
                self.set_at = self.now;
            }
            // It asks for one call, in vain.
            _ => {
                let trouble = if self.gateways[index].sees_redis { Trouble::Silent } else { Trouble::Lost };
                self.gateways[index].council.failed(self.now, trouble);
            }
        }
    }

    /// All that calls are let out by now adds up to no more than one gateway alone.
    fn check(&mut self, seed: u64) {
        let acting: Vec<(u64, Footing)> = self
            .gateways
            .iter()
            .map(|gateway| (gateway.number, gateway.footing(self.now)))
            .filter(|(_, footing)| footing.basis != Basis::Nothing)
            .collect();
        let by_redis: Vec<u64> = acting
            .iter()
            .filter_map(|(_, footing)| match footing.basis {
                Basis::Redis { era } => Some(era),
                _ => None,
            })
            .collect();
        assert!(by_redis.is_empty() || by_redis.len() == acting.len(), "seed {seed}: both ways at once {acting:?}");
        assert!(by_redis.windows(2).all(|eras| eras[0] == eras[1]), "seed {seed}: two eras {acting:?}");
        if by_redis.is_empty() {
            let mut ranked: Vec<&Footing> = acting.iter().map(|(_, footing)| footing).collect();
            ranked.sort_by_key(|footing| footing.rank);
            for (place, footing) in ranked.into_iter().enumerate() {
                let (known, rank) = (footing.gateways, usize::try_from(footing.rank).unwrap());
                let unknown = usize::try_from(known).unwrap() < acting.len() || rank < place;
                assert!(!unknown, "seed {seed}: one does not know of all that act: {acting:?}");
            }
        }
        self.acted.0 += u64::from(!by_redis.is_empty());
        self.acted.1 += u64::from(by_redis.is_empty() && !acting.is_empty());
    }

    fn run(&mut self, seed: u64, lasts: Duration) {
        let end = self.now + lasts;
        while self.now < end {
            self.now += Duration::from_millis(5);
            if !self.calm && self.now >= self.set_at + PLACE_LASTS * 2 && self.chance.one_in(300) {
                self.trouble();
            }
            for index in 0..self.gateways.len() {
                self.go_on(index);
            }
            self.check(seed);
        }
    }

    fn all(&self, is: impl Fn(Basis) -> bool) -> bool {
        self.gateways.iter().all(|gateway| is(gateway.footing(self.now).basis))
    }
}

#[test]
fn whatever_happens_the_sum_is_no_more_than_one_alone() {
    let mut acted = (0, 0);
    for seed in 0..60 {
        let mut world = World::new(seed);
        for _ in 0..3 {
            world.calm = false;
            world.run(seed, Duration::from_secs(40));
            acted = (acted.0 + world.acted.0, acted.1 + world.acted.1);
            world.acted = (0, 0);
            // What is under way in the storm ends within four delays of it.
            world.calm = true;
            world.gateways.iter_mut().for_each(|gateway| gateway.sees_redis = seed % 2 == 0);
            world.run(seed, Duration::from_secs(30));
            let wanted = if seed % 2 == 0 { "redis" } else { "share" };
            assert!(
                world.all(|basis| match basis {
                    Basis::Redis { .. } => seed % 2 == 0,
                    Basis::Share { settled, .. } => seed % 2 == 1 && settled,
                    Basis::Nothing => false,
                }),
                "seed {seed}: not all by {wanted} when all is quiet: {:#?}",
                world.gateways.iter().map(|gateway| &gateway.council).collect::<Vec<_>>()
            );
        }
    }
    assert!(acted.0 > 50_000 && acted.1 > 50_000, "either happens in the storm: {acted:?}");
}

#[test]
fn whether_all_use_one_redis_is_known_by_its_era() {
    let now = Instant::now();
    let hears = |council: &mut Council, others: &[Says]| {
        let others = others.iter().map(|says| Word { says: *says, over: false, gateways: 2 }).collect();
        council.attended(now, now, council.word(false), 0, others);
        council.one_redis()
    };
    let (mine, other, share) = (Says::Redis { era: 7 }, Says::Redis { era: 8 }, Says::Share { sees_redis: true });
    let mut newcomer = Council::new(true);
    assert_eq!(newcomer.one_redis(), OneRedis::NotYet);
    assert_eq!(hears(&mut newcomer, &[share]), OneRedis::NotYet, "it has just come");
    let mut council = Council::new(true);
    assert_eq!(hears(&mut council, &[]), OneRedis::Yes, "there is nobody else");
    let plan = council.plan(now, 7);
    council.carried_out(now, plan, Ok(()));
    for (others, one) in [
        (&[][..], OneRedis::Yes),
        (&[mine, mine], OneRedis::Yes),
        (&[mine, Says::New], OneRedis::NotYet),
        (&[mine, other], OneRedis::No),
        (&[Says::New, share], OneRedis::No),
        (&[mine], OneRedis::No),
        (&[], OneRedis::Yes),
    ] {
        assert_eq!(hears(&mut council, others), one, "{others:?}");
    }
    let mut without = Council::new(false);
    hears(&mut without, &[mine]);
    without.plan(now, 0);
    assert_eq!(hears(&mut without, &[mine]), OneRedis::No);
}

/// How long no call is let out, with rounds and answers as quick as on one machine.
#[test]
fn a_change_takes_about_a_second() {
    let mut world = World::new(7);
    world.calm = true;
    world.gateways.iter_mut().for_each(|gateway| gateway.sees_redis = true);
    world.run(7, Duration::from_secs(2));
    assert!(world.all(|basis| matches!(basis, Basis::Redis { .. })), "a start");

    world.join();
    for _ in 0..100 {
        world.run(7, Duration::from_millis(20));
        let others = &world.gateways[..3];
        let by_redis = |gateway: &Gateway| matches!(gateway.footing(world.now).basis, Basis::Redis { .. });
        assert!(others.iter().all(by_redis), "one that comes disturbs nobody");
    }
    assert!(world.all(|basis| matches!(basis, Basis::Redis { .. })));

    world.gateways.iter_mut().for_each(|gateway| gateway.broken = true);
    world.era = None;
    world.run(7, Duration::from_secs(1));
    for gateway in &mut world.gateways {
        gateway.sees_redis = false;
    }
    world.run(7, Duration::from_secs(3));
    assert!(world.all(|basis| matches!(basis, Basis::Share { settled: true, .. })), "Redis is away");
    world.gateways.iter_mut().for_each(|gateway| gateway.sees_redis = true);
    world.run(7, Duration::from_secs(5));
    assert!(world.all(|basis| matches!(basis, Basis::Redis { .. })), "Redis is back");
}

#[test]
fn one_that_is_alone_from_the_start_need_not_wait_for_others() {
    let mut world = World::new(7);
    world.calm = true;
    world.gateways.truncate(1);
    world.gateways[0].council = Council::new(false);
    world.run(7, Duration::from_millis(500));
    assert!(world.all(|basis| matches!(basis, Basis::Share { settled: true, .. })), "{:#?}", world.gateways[0].council);
}
