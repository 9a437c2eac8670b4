//! The clients' pace over all gateways.
//!
//! By Redis each call asks for itself. What is taken ahead of its use would have to be taken off what the client may do at
//! once, or all gateways together would let in more; and a client that keeps to its pace would find it spent elsewhere.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::footing::{Basis, Footing};
use super::link::Took;
use super::share::ProviderLimits;
use super::{Inner, locked};
use crate::domain::ids::ClientId;

/// Above so many clients, those are forgotten who have not called for a minute.
const MANY: usize = 10_000;
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// What is known of each client here.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<HashMap<ClientId, Pace>>);

#[derive(Debug)]
struct Pace {
    /// Redis has nothing for this client until then.
    refused_until: Instant,
    /// By this gateway's share: when all that was let in would have come at an even pace.
    due: Instant,
    seen_at: Instant,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { refused_until: now, due: now, seen_at: now }
    }

    /// GCRA, with nothing to be had when this gateway began to go by this share.
    fn by_share(&mut self, now: Instant, begun: Instant, share: ProviderLimits) -> bool {
        let whole = share.period.saturating_mul(share.burst);
        let due = self.due.max(begun + whole).max(now) + share.period;
        let admitted = due <= now + whole;
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

/// As many at once as in a second, and then an even pace: microseconds, rounded up, are what Redis counts in.
fn whole(rps: u32) -> ProviderLimits {
    let period = Duration::from_micros(1_000_000_u64.div_ceil(u64::from(rps.max(1))));
    ProviderLimits { period, burst: rps.max(1), max_in_flight: u32::MAX }
}

impl Inner {
    /// Without an answer from Redis, and while gateways change from it to their shares or back, nobody is let in who has a
    /// pace: another gateway may just have let in all there is.
    pub(super) async fn admits(&self, client: ClientId, rps: u32) -> bool {
        let (footing, now, limits) = (self.for_clients(), Instant::now(), whole(rps));
        match (footing.basis, limits.share(footing.gateways, footing.rank)) {
            (Basis::Nothing, _) | (Basis::Share { .. }, None) => false,
            (Basis::Share { .. }, Some(share)) => {
                self.clients.with(client, now, |pace| pace.by_share(now, footing.begun, share))
            }
            (Basis::Redis { era }, _) => {
                if self.clients.with(client, now, |pace| now < pace.refused_until) {
                    return false;
                }
                let Some(link) = &self.link else { return false };
                let counted_for = now.saturating_duration_since(footing.begun);
                let done = link.admit(era, client.0, limits.period, limits.burst, counted_for).await;
                match self.heed(done) {
                    Ok(Took::Granted) => footing.goes_on_as(&self.for_clients()),
                    Ok(Took::Wait(wait)) => {
                        let now = Instant::now();
                        self.clients.with(client, now, |pace| pace.refused_until = now + wait);
                        false
                    }
                    Ok(Took::Full) | Err(_) => false,
                }
            }
        }
    }

    /// A gateway that has lost its place in the store makes no calls, but answers what Redis still knows. The others go by
    /// Redis too, or have no place either; where they do not see it, this one's clients may have their pace twice.
    fn for_clients(&self) -> Footing {
        let footing = *self.footing.borrow();
        if matches!(footing.basis, Basis::Redis { .. }) { footing } else { self.present() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_starts_empty_and_is_then_a_second_at_once_and_an_even_pace() {
        let start = Instant::now();
        let (mut pace, share) = (Pace::new(start), whole(12).share(3, 2).unwrap());
        let at = |pace: &mut Pace, millis| pace.by_share(start + Duration::from_millis(millis), start, share);
        assert_eq!([0, 249, 251, 499, 501].map(|millis| at(&mut pace, millis)), [false, false, true, false, true]);
        assert_eq!([9000; 5].map(|millis| at(&mut pace, millis)), [true, true, true, true, false]);
        let again = start + Duration::from_secs(20);
        assert!(!pace.by_share(again, again, share), "after the next change");
    }

    #[test]
    fn fewer_calls_than_gateways_go_to_the_first_ones() {
        let shares = [0, 1, 2].map(|rank| whole(2).share(3, rank).map(|share| (share.period.as_millis(), share.burst)));
        assert_eq!(shares, [Some((1000, 1)), Some((1000, 1)), None]);
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
