//! The clients' pace over all gateways: taken from Redis in small batches, so that few requests cost a round trip.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::council::Basis;
use super::{Inner, locked};
use crate::domain::ids::ClientId;

/// A batch is the calls of this part of a second.
const BATCHES_PER_SECOND: u32 = 10;

/// How long a batch is of use: what is not spent by then is lost.
const BATCH_LASTS: Duration = Duration::from_secs(1);

/// Above so many clients, those are forgotten who have not called for a minute.
const MANY: usize = 10_000;
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// What is known of each client here.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<HashMap<ClientId, Pace>>);

#[derive(Debug)]
struct Pace {
    /// Calls that were taken from Redis and are not made yet.
    batch: u32,
    taken_at: Instant,
    /// Redis has none until then.
    refused_until: Instant,
    /// By this gateway's share: when all that was let in would have come at an even pace.
    due: Instant,
    seen_at: Instant,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { batch: 0, taken_at: now, refused_until: now, due: now, seen_at: now }
    }

    /// What needs no question to Redis.
    fn by_batch(&mut self, now: Instant) -> Option<bool> {
        if self.batch > 0 && now < self.taken_at + BATCH_LASTS {
            self.batch -= 1;
            return Some(true);
        }
        (now < self.refused_until).then_some(false)
    }

    /// Redis has given so many, the first of which is spent, and has no more for so long.
    fn take_in(&mut self, now: Instant, given: u32, wait: Duration) {
        // Another request of the client's may have taken a batch meanwhile.
        let left = if now < self.taken_at + BATCH_LASTS { self.batch } else { 0 };
        self.batch = left.saturating_add(given.saturating_sub(1));
        (self.taken_at, self.refused_until) = (now, now + wait);
    }

    /// GCRA, as many at once as in a second.
    fn by_share(&mut self, now: Instant, rps: u32) -> bool {
        let rps = rps.max(1);
        let period = Duration::from_secs(1) / rps;
        let due = self.due.max(now) + period;
        let admitted = due <= now + period * rps;
        if admitted {
            self.due = due;
        }
        admitted
    }
}

impl Clients {
    fn with<T>(&self, client: ClientId, now: Instant, look: impl FnOnce(&mut Pace) -> T) -> T {
        let mut paces = locked(&self.0);
        if paces.len() > MANY && !paces.contains_key(&client) {
            paces.retain(|_, pace| now < pace.seen_at + FORGOTTEN_AFTER);
        }
        let pace = paces.entry(client).or_insert_with(|| Pace::new(now));
        pace.seen_at = now;
        look(pace)
    }
}

impl Inner {
    pub(super) async fn admits(&self, client: ClientId, rps: u32) -> bool {
        let footing = self.present();
        let now = Instant::now();
        if let (Basis::Redis { era }, Some(link), 2..) = (footing.basis, &self.link, footing.gateways) {
            if let Some(known) = self.clients.with(client, now, |pace| pace.by_batch(now)) {
                return known;
            }
            let done = link.batch(era, client.0, rps, (rps / BATCHES_PER_SECOND).max(1)).await;
            if let Ok((given, wait)) = self.heed(done) {
                let now = Instant::now();
                self.clients.with(client, now, |pace| pace.take_in(now, given, wait));
                return given > 0;
            }
        }
        let now = Instant::now();
        self.clients.with(client, now, |pace| pace.by_share(now, rps / footing.gateways.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_second_at_once_and_then_an_even_pace() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let at = |pace: &mut Pace, millis| pace.by_share(start + Duration::from_millis(millis), 4);
        assert_eq!([0; 5].map(|millis| at(&mut pace, millis)), [true, true, true, true, false]);
        assert_eq!([249, 250, 251, 500].map(|millis| at(&mut pace, millis)), [false, true, false, true]);
        assert_eq!([9000; 5].map(|millis| at(&mut pace, millis)), [true, true, true, true, false]);
    }

    #[test]
    fn a_share_of_less_than_one_is_one() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!([0; 2].map(|_| pace.by_share(start, 0)), [true, false]);
    }

    #[test]
    fn a_batch_is_spent_or_lost() {
        let start = Instant::now();
        let mut pace = Pace { batch: 2, ..Pace::new(start) };
        assert_eq!([0; 3].map(|_| pace.by_batch(start)), [Some(true), Some(true), None]);
        pace.batch = 1;
        assert_eq!(pace.by_batch(start + BATCH_LASTS), None);
        pace.refused_until = start + BATCH_LASTS * 2;
        assert_eq!(pace.by_batch(start + BATCH_LASTS), Some(false));
    }

    #[test]
    fn who_has_not_called_for_long_is_forgotten() {
        let start = Instant::now();
        let clients = Clients::default();
        for number in 0..=i64::try_from(MANY).unwrap() {
            clients.with(ClientId(number), start, |_| ());
        }
        clients.with(ClientId(-1), start + FORGOTTEN_AFTER, |_| ());
        assert_eq!(locked(&clients.0).len(), 1);
    }
}
