//! How many connections there may be: over all, and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use super::proxies::TrustedProxies;

/// The places for connections.
#[derive(Debug)]
pub(super) struct Seats {
    free: Arc<Semaphore>,
    taken: Arc<Taken>,
    per_address: u32,
    per_loopback: u32,
    proxies: Arc<TrustedProxies>,
}

type Taken = Mutex<HashMap<IpAddr, u32>>;

/// One connection's place; dropping it frees the place.
#[derive(Debug)]
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
    owner: Option<(Arc<Taken>, IpAddr)>,
}

impl Seats {
    pub(super) fn new(limits: &Limits, proxies: Arc<TrustedProxies>) -> Self {
        Self {
            free: Arc::new(Semaphore::new(usize::try_from(limits.connections).unwrap_or(usize::MAX))),
            taken: Arc::default(),
            per_address: limits.per_address,
            per_loopback: limits.per_loopback,
            proxies,
        }
    }

    /// A place for a connection from `peer`, unless all are taken or that address has its share.
    pub(super) fn take(&self, peer: IpAddr) -> Option<Seat> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        if self.proxies.contains(peer) {
            return Some(Seat { _permit: permit, owner: None });
        }
        let share = if peer.to_canonical().is_loopback() { self.per_loopback } else { self.per_address };
        let owner = neighbourhood(peer);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(owner).or_insert(0);
        if *count >= share {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Seat { _permit: permit, owner: Some((Arc::clone(&self.taken), owner)) })
    }

    /// Waits until every place is free again.
    pub(super) async fn emptied(&self, limits: &Limits) {
        // The semaphore is never closed, so this can only resolve by having them all.
        let _all = self.free.acquire_many(limits.connections).await;
    }

    /// How many places are taken.
    pub(super) fn count(&self, limits: &Limits) -> usize {
        usize::try_from(limits.connections).unwrap_or(usize::MAX).saturating_sub(self.free.available_permits())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((taken, owner)) = &self.owner else { return };
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(owner) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(owner);
            }
        }
    }
}

/// What counts as one address: a whole /64 in IPv6, since that is what one customer is given.
fn neighbourhood(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(connections: u32, per_address: u32, proxies: &[&str]) -> Seats {
        let limits = Limits { connections, per_address, per_loopback: 3, ..Limits::default() };
        let proxies = proxies.iter().map(|network| network.parse().unwrap()).collect();
        Seats::new(&limits, Arc::new(TrustedProxies::new(proxies)))
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let seats = seats(100, 1, &[]);
        let one = seats.take("1.2.3.4".parse().unwrap());
        assert!(one.is_some());
        assert!(seats.take("1.2.3.4".parse().unwrap()).is_none());
        assert!(seats.take("::ffff:1.2.3.4".parse().unwrap()).is_none());
        let other = seats.take("1.2.3.5".parse().unwrap());
        assert!(other.is_some());
        drop(one);
        assert!(seats.take("1.2.3.4".parse().unwrap()).is_some());
        drop(other);
        assert!(seats.taken.lock().unwrap().is_empty(), "addresses that left are forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let seats = seats(100, 1, &[]);
        let _one = seats.take("2001:db8:0:1::1".parse().unwrap()).unwrap();
        assert!(seats.take("2001:db8:0:1:ffff::2".parse().unwrap()).is_none());
        assert!(seats.take("2001:db8:0:2::1".parse().unwrap()).is_some());
    }

    #[test]
    fn proxies_have_no_share_but_the_total_holds() {
        let seats = seats(5, 1, &["10.0.0.0/8"]);
        let taken: Vec<_> = (0..4).map(|_| seats.take("10.0.0.1".parse().unwrap()).unwrap()).collect();
        let _last = seats.take("1.2.3.4".parse().unwrap()).unwrap();
        assert!(seats.take("10.0.0.1".parse().unwrap()).is_none());
        drop(taken);
        assert!(seats.take("10.0.0.1".parse().unwrap()).is_some());
    }

    #[test]
    fn loopback_has_a_share_of_its_own() {
        let seats = seats(100, 1, &[]);
        let _taken: Vec<_> = (0..3).map(|_| seats.take("127.0.0.1".parse().unwrap()).unwrap()).collect();
        assert!(seats.take("127.0.0.1".parse().unwrap()).is_none());
    }
}
