//! Who calls: keys to clients, from a table in memory that follows the store.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use globset::{Glob, GlobSet, GlobSetBuilder};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;
use sha2::{Digest, Sha256};

use super::error::ApiError;
use crate::domain::client::Client;
use crate::domain::ids::{ClientId, KeyHash, ServiceId};
use crate::store::records::AccessList;

/// What is stored and looked up in place of a key.
#[must_use]
pub fn hash_key(key: &str) -> KeyHash {
    KeyHash(Sha256::digest(key.as_bytes()).into())
}

/// A new key: 32 hexadecimal characters, since some clients refuse any other length.
///
/// # Errors
/// Where the machine gives no random bytes.
pub fn new_key() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A call's sender.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The client.
    pub client: Client,
    /// Whether its key may not spend.
    pub read_only: bool,
    /// The services it may buy; `None`: any.
    allowed: Option<Arc<GlobSet>>,
}

impl Caller {
    /// Whether the operator lets this client buy that service.
    #[must_use]
    pub fn may_buy(&self, service: ServiceId) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.is_match(service.to_string()))
    }
}

#[derive(Debug)]
struct Entry {
    caller: Arc<Caller>,
    ranges: Vec<IpNet>,
}

/// Every key, as the store had them at `version`.
#[derive(Debug, Default)]
pub struct AccessTable {
    version: i64,
    entries: HashMap<KeyHash, Entry>,
    limits: HashMap<u32, Arc<DefaultKeyedRateLimiter<ClientId>>>,
}

impl AccessTable {
    /// From what the store holds. Clients keep the pace that `before` has seen of them.
    #[must_use]
    pub fn new(list: AccessList, before: &Self) -> Self {
        let mut limits = HashMap::new();
        let entries = list
            .keys
            .into_iter()
            .map(|(hash, access)| {
                if let Some(rps) = access.client.rps.and_then(NonZeroU32::new) {
                    let fresh = || Arc::new(RateLimiter::keyed(Quota::per_second(rps)));
                    let limit = before.limits.get(&rps.get()).map_or_else(fresh, Arc::clone);
                    limits.insert(rps.get(), limit);
                }
                let ranges = access.client.allow_ips.iter().filter_map(|range| parse_range(range)).collect();
                let allowed = allowed_services(&access.client.allow_services);
                let caller = Arc::new(Caller { client: access.client, read_only: access.read_only, allowed });
                (hash, Entry { caller, ranges })
            })
            .collect();
        Self { version: list.version, entries, limits }
    }

    /// The store's version that this was read from.
    #[must_use]
    pub const fn version(&self) -> i64 {
        self.version
    }

    /// Finds out whose call it is.
    ///
    /// # Errors
    /// What is wrong with its key or its address.
    pub fn admit(&self, key: Option<&str>, ip: IpAddr) -> Result<Arc<Caller>, ApiError> {
        let key = key.map(str::trim).filter(|key| !key.is_empty()).ok_or(ApiError::KeyMissing)?;
        let entry = self.entries.get(&hash_key(key)).ok_or(ApiError::KeyUnknown)?;
        let client = &entry.caller.client;
        if client.disabled {
            return Err(ApiError::Disabled);
        }
        if !client.allow_ips.is_empty() && !entry.ranges.iter().any(|range| range.contains(&ip)) {
            return Err(ApiError::AddressNotAllowed);
        }
        Ok(Arc::clone(&entry.caller))
    }

    /// Whether a call of this client is within its pace, which it counts for.
    #[must_use]
    pub fn is_within_pace(&self, client: &Client) -> bool {
        let limit = client.rps.and_then(|rps| self.limits.get(&rps));
        limit.is_none_or(|limit| limit.check_key(&client.id).is_ok())
    }
}

/// The globs as one; a glob that can't be read, which the command line refuses, allows nothing.
fn allowed_services(globs: &[String]) -> Option<Arc<GlobSet>> {
    if globs.is_empty() {
        return None;
    }
    let mut set = GlobSetBuilder::new();
    for glob in globs.iter().filter_map(|glob| Glob::new(glob).ok()) {
        set.add(glob);
    }
    Some(Arc::new(set.build().unwrap_or_default()))
}

/// A range as the operator wrote it: `192.0.2.0/24`, or one address.
fn parse_range(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
