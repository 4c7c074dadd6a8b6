//! Local shields: how much is too much, counted by each process for itself.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::clock::DefaultClock;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use super::problem::{Kind, Problem};
use crate::domain::id::{ClientId, MemberGuid};

type Keyed<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock>;

/// The limits of the configuration, each at least 1.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Links minted for one member.
    pub mints_per_member_per_minute: NonZeroU32,
    /// Links minted by one client.
    pub mints_per_client_per_second: NonZeroU32,
    /// Links followed from one source address that nobody minted.
    pub unknown_links_per_minute: NonZeroU32,
    /// Requests of one client that only read.
    pub reads_per_client_per_second: NonZeroU32,
    /// Requests of one client that create, change or order something.
    pub writes_per_client_per_second: NonZeroU32,
    /// Requests of one client that delete.
    pub deletes_per_client_per_second: NonZeroU32,
}

/// What has been asked for lately.
pub struct Limits {
    members: Keyed<(ClientId, MemberGuid)>,
    clients: Keyed<ClientId>,
    unknown_links: Keyed<IpAddr>,
}

impl Limits {
    /// Nothing yet.
    pub fn new(rates: Rates) -> Self {
        Self {
            members: keyed(Quota::per_minute(rates.mints_per_member_per_minute)),
            clients: keyed(Quota::per_second(rates.mints_per_client_per_second)),
            unknown_links: keyed(Quota::per_minute(rates.unknown_links_per_minute)),
        }
    }

    /// Counts a link that `client` wants (docs/SECURITY.md, M9); an error once it has had too many.
    pub fn mint(&self, client: &ClientId, member: Option<MemberGuid>) -> Result<(), Problem> {
        let too_many = |what: &str| {
            Problem::new(
                Kind::TooMany,
                format!("Too many links for this {what}; wait and send the request again."),
            )
        };
        self.clients
            .check_key(client)
            .map_err(|_| too_many("client"))?;
        match member.map(|member| self.members.check_key(&(client.clone(), member))) {
            Some(Err(_)) => Err(too_many("member")),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Counts a link that does not exist (docs/SECURITY.md, O7); `false` when the address has had too many.
    pub fn admit_unknown_link(&self, source: IpAddr) -> bool {
        // IPv6 hosts own whole networks: a /64 counts as one source.
        let source = match source {
            IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
            v4 => v4,
        };
        self.unknown_links.check_key(&source).is_ok()
    }

    /// Forgets who has been quiet.
    pub fn forget_quiet_ones(&self) {
        self.members.retain_recent();
        self.clients.retain_recent();
        self.unknown_links.retain_recent();
    }
}

fn keyed<K: Hash + Eq + Clone>(quota: Quota) -> Keyed<K> {
    RateLimiter::dashmap(quota)
}
