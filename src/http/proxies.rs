//! Who a request really comes from, where a proxy stands before the gateway.

use std::net::{IpAddr, SocketAddr};

use arc_swap::ArcSwap;
use hyper::HeaderMap;
use ipnet::IpNet;

/// The peers whose `X-Forwarded-For` is believed; may be changed while the gateway runs.
#[derive(Debug, Default)]
pub struct TrustedProxies(ArcSwap<Vec<IpNet>>);

impl TrustedProxies {
    /// These networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(ArcSwap::from_pointee(networks))
    }

    /// Takes these networks from now on.
    pub fn set(&self, networks: Vec<IpNet>) {
        self.0.store(std::sync::Arc::new(networks));
    }

    /// Whether `address` is a proxy of ours.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.load().iter().any(|network| network.contains(&address))
    }

    /// The client: the peer itself, or, where that is a proxy of ours, the right-most address in
    /// `X-Forwarded-For` that is none. What stands left of that one is only the client's word.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let hops = headers.get_all("x-forwarded-for").iter().rev();
        for hop in hops.flat_map(|value| value.to_str().unwrap_or("?").rsplit(',')) {
            if !self.contains(client) {
                break;
            }
            match read_hop(hop) {
                Some(address) => client = address.to_canonical(),
                None => break,
            }
        }
        client
    }
}

/// An address as proxies write it, some with its port.
fn read_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    hop.parse::<IpAddr>()
        .or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()))
        .or_else(|_| hop.trim_start_matches('[').trim_end_matches(']').parse())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_right_most_address_that_is_no_proxy() {
        let proxies = TrustedProxies::new(vec!["127.0.0.1/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]);
        for (peer, headers, client) in [
            ("8.8.8.8", vec!["1.2.3.4"], "8.8.8.8"),
            ("127.0.0.1", vec![], "127.0.0.1"),
            ("127.0.0.1", vec!["1.2.3.4"], "1.2.3.4"),
            ("127.0.0.1", vec!["9.9.9.9, 1.2.3.4"], "1.2.3.4"),
            ("127.0.0.1", vec!["9.9.9.9, 1.2.3.4, 10.1.1.1"], "1.2.3.4"),
            ("127.0.0.1", vec!["9.9.9.9", "1.2.3.4 ,10.1.1.1"], "1.2.3.4"),
            ("127.0.0.1", vec!["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
            ("127.0.0.1", vec!["1.2.3.4, rubbish"], "127.0.0.1"),
            ("127.0.0.1", vec![""], "127.0.0.1"),
            ("127.0.0.1", vec!["1.2.3.4:5678"], "1.2.3.4"),
            ("127.0.0.1", vec!["[2001:db8::1]:5678"], "2001:db8::1"),
            ("127.0.0.1", vec!["[2001:db8::1]"], "2001:db8::1"),
            ("127.0.0.1", vec!["::ffff:1.2.3.4"], "1.2.3.4"),
            ("::ffff:127.0.0.1", vec!["1.2.3.4"], "1.2.3.4"),
        ] {
            let mut map = HeaderMap::new();
            for header in &headers {
                map.append("x-forwarded-for", header.parse().unwrap());
            }
            let found = proxies.client(peer.parse().unwrap(), &map);
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {headers:?}");
        }
    }

    #[test]
    fn the_list_can_be_changed() {
        let proxies = TrustedProxies::default();
        let address = "10.0.0.1".parse().unwrap();
        assert!(!proxies.contains(address));
        proxies.set(vec!["10.0.0.0/8".parse().unwrap()]);
        assert!(proxies.contains(address));
    }
}
