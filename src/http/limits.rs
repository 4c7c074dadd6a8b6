//! Local shields: how much is too much, counted by each process for itself.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;

use axum::http::Method;
use governor::clock::{Clock, DefaultClock};
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
    /// GET requests of one client (contract section 2.5).
    pub reads_per_client_per_second: NonZeroU32,
    /// POST and PUT requests of one client.
    pub writes_per_client_per_second: NonZeroU32,
    /// DELETE requests of one client.
    pub deletes_per_client_per_second: NonZeroU32,
}

/// What has been asked for lately.
pub struct Limits {
    reads: Keyed<ClientId>,
    writes: Keyed<ClientId>,
    deletes: Keyed<ClientId>,
    members: Keyed<(ClientId, MemberGuid)>,
    clients: Keyed<ClientId>,
    unknown_links: Keyed<IpAddr>,
}

impl Limits {
    /// Nothing yet.
    pub fn new(rates: Rates) -> Self {
        Self {
            reads: keyed(Quota::per_second(rates.reads_per_client_per_second)),
            writes: keyed(Quota::per_second(rates.writes_per_client_per_second)),
            deletes: keyed(Quota::per_second(rates.deletes_per_client_per_second)),
            members: keyed(Quota::per_minute(rates.mints_per_member_per_minute)),
            clients: keyed(Quota::per_second(rates.mints_per_client_per_second)),
            unknown_links: keyed(Quota::per_minute(rates.unknown_links_per_minute)),
        }
    }

    /// Counts a request of `client`; an error once it has had too many of that method.
    pub fn admit(&self, client: &ClientId, method: &Method) -> Result<(), Problem> {
        let (counted, what) = match *method {
            Method::GET | Method::HEAD => (&self.reads, "GET"),
            Method::DELETE => (&self.deletes, "DELETE"),
            _ => (&self.writes, "POST and PUT"),
        };
        admitted(counted, client).map_err(|wait_s| {
            let message = format!(
                "Too many {what} requests of this client; wait {wait_s} s and send the request again."
            );
            Problem::new(Kind::TooMany, message).after(wait_s)
        })
    }

    /// Counts a link that `client` wants (docs/SECURITY.md, M9); an error once it has had too many.
    pub fn mint(&self, client: &ClientId, member: Option<MemberGuid>) -> Result<(), Problem> {
        let too_many = |what: &str, wait_s: u64| {
            let message = format!(
                "Too many links for this {what}; wait {wait_s} s and send the request again."
            );
            Problem::new(Kind::TooMany, message).after(wait_s)
        };
        admitted(&self.clients, client).map_err(|wait_s| too_many("client", wait_s))?;
        match member {
            Some(member) => admitted(&self.members, &(client.clone(), member))
                .map_err(|wait_s| too_many("member", wait_s)),
            None => Ok(()),
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
        self.reads.retain_recent();
        self.writes.retain_recent();
        self.deletes.retain_recent();
        self.members.retain_recent();
        self.clients.retain_recent();
        self.unknown_links.retain_recent();
    }
}

fn keyed<K: Hash + Eq + Clone>(quota: Quota) -> Keyed<K> {
    RateLimiter::dashmap(quota)
}

/// Counts one more; an error with the seconds to wait, at least 1, once there were too many.
fn admitted<K: Hash + Eq + Clone>(counted: &Keyed<K>, key: &K) -> Result<(), u64> {
    counted.check_key(key).map_err(|until| {
        let wait = until.wait_time_from(counted.clock().now());
        (wait.as_millis().div_ceil(1000) as u64).max(1)
    })
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::response::IntoResponse;

    use super::*;

    fn limits() -> Limits {
        let rate = |count| NonZeroU32::new(count).expect("at least 1");
        Limits::new(Rates {
            reads_per_client_per_second: rate(3),
            writes_per_client_per_second: rate(2),
            deletes_per_client_per_second: rate(1),
            mints_per_member_per_minute: rate(1),
            mints_per_client_per_second: rate(100),
            unknown_links_per_minute: rate(1),
        })
    }

    #[test]
    fn each_method_and_each_client_is_counted_apart() {
        let limits = limits();
        let client = |id: &str| id.parse::<ClientId>().expect("a client");
        for (method, most) in [(Method::GET, 3), (Method::PUT, 2), (Method::DELETE, 1)] {
            for _ in 0..most {
                assert!(limits.admit(&client("acme"), &method).is_ok(), "{method}");
            }
            let refused = limits
                .admit(&client("acme"), &method)
                .expect_err("too many");
            let answer = refused.into_response();
            assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(answer.headers()["retry-after"], "1");
            assert!(limits.admit(&client("rival"), &method).is_ok(), "{method}");
        }
    }

    #[test]
    fn the_wait_is_as_long_as_it_takes() {
        let limits = limits();
        let client: ClientId = "acme".parse().expect("a client");
        let member = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c".parse().ok();
        assert!(limits.mint(&client, member).is_ok());
        let answer = limits
            .mint(&client, member)
            .expect_err("too many")
            .into_response();
        let wait_s: u64 = answer.headers()["retry-after"]
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .expect("seconds");
        assert!((50..=60).contains(&wait_s), "{wait_s}");
    }
}
