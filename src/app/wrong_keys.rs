//! Slows down who tries keys: from an address that has sent many wrong ones, each further wrong one is answered late.
//! A right key is never slowed: many resellers share an address.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::App;

/// So many wrong keys a minute from one address are answered at once.
const AT_ONCE: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);
/// How late the answers beyond are.
const DELAY: Duration = Duration::from_secs(1);
/// So many addresses are remembered at once, which takes a few megabytes. While there are more, all are slowed.
const ADDRESSES: usize = 50_000;

/// The addresses that wrong keys came from.
#[derive(Debug)]
pub(super) struct WrongKeys(DefaultKeyedRateLimiter<IpAddr>);

impl Default for WrongKeys {
    fn default() -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(AT_ONCE)))
    }
}

impl WrongKeys {
    /// Counts a wrong key; gives how late it is to be answered.
    fn count(&self, ip: IpAddr) -> Duration {
        if self.0.len() >= ADDRESSES || self.0.check_key(&network(ip)).is_err() { DELAY } else { Duration::ZERO }
    }

    fn forget(&self) {
        self.0.retain_recent();
        self.0.shrink_to_fit();
    }
}

/// What counts as one address: a whole /64 in IPv6, since that is what one customer is given.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

impl App {
    /// Waits before a wrong key from `ip` is answered. A gateway that stops keeps nobody waiting.
    pub(super) async fn slow_down(&self, ip: IpAddr) {
        let delay = self.wrong_keys.count(ip);
        if !delay.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.tasks.stopping() => {}
            }
        }
    }

    /// Forgets addresses that have been quiet.
    pub(super) async fn forget_wrong_keys(self: Arc<Self>) {
        self.wrong_keys.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_slowed_by_its_own_wrong_keys() {
        let keys = WrongKeys::default();
        let count = |ip: &str| keys.count(ip.parse().unwrap());
        for _ in 0..60 {
            assert_eq!(count("192.0.2.1"), Duration::ZERO);
        }
        assert_eq!(count("::ffff:192.0.2.1"), DELAY);
        assert_eq!(count("192.0.2.2"), Duration::ZERO);
        for host in 0..60 {
            assert_eq!(count(&format!("2001:db8::{host}")), Duration::ZERO);
        }
        assert_eq!(count("2001:db8::ffff"), DELAY, "a network of IPv6 is one address");
    }
}
