//! Limits of requests; each process counts for itself.

mod buckets;
mod callers;
mod mint_places;
mod misses;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::problem::{Kind, Problem};
use super::source::Source;
use crate::domain::id::{ClientId, MemberGuid, UserGuid};
use crate::metrics::Metrics;
use buckets::Buckets;
use callers::Callers;
pub use callers::{Asked, CallerRates};
pub use mint_places::MintPlace;
use mint_places::MintPlaces;
use misses::Misses;
pub use misses::{MissRates, Sought};

const MINUTE: Duration = Duration::from_secs(60);

/// The limits of the configuration, each at least 1.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Links minted for one member.
    pub mints_per_member_per_minute: NonZeroU32,
    /// Look-ups without a result from one source.
    pub misses: MissRates,
    /// Requests of one client (CONTRACT.md 2.5).
    pub client: CallerRates,
    /// Requests for one of its users.
    pub user: CallerRates,
}

/// The user of a client.
type OneUser = (ClientId, UserGuid);

/// The counts of the last requests.
pub struct Limits {
    clients: Callers<ClientId>,
    users: Callers<OneUser>,
    members: Buckets<(ClientId, MemberGuid)>,
    mints: MintPlaces,
    misses: Misses,
    metrics: Arc<Metrics>,
}

impl Limits {
    /// Nothing yet.
    pub fn new(rates: Rates, metrics: Arc<Metrics>) -> Self {
        Self {
            clients: Callers::new(rates.client),
            users: Callers::new(rates.user),
            members: Buckets::new(rates.mints_per_member_per_minute, MINUTE),
            mints: MintPlaces::default(),
            misses: Misses::new(rates.misses),
            metrics,
        }
    }

    /// Counts a request of `client`, and for `user` if that is known; an error if either is over its
    /// limit. A request that is refused for the user does not count for the client, so that one user
    /// cannot use up the client's limit.
    pub fn admit(
        &self,
        client: &ClientId,
        user: Option<UserGuid>,
        asked: Asked,
    ) -> Result<(), Problem> {
        let one = user.map(|user| (client.clone(), user));
        if let Some(one) = &one {
            self.take_of_user(one, asked)?;
        }
        let taken = self.clients.of(asked).take(client, Instant::now());
        taken.map_err(|wait| {
            if let Some(one) = &one {
                self.users.of(asked).give_back(one);
            }
            self.too_many("client", &format!("{} of this client", asked.name()), wait)
        })
    }

    /// Counts for `user` a request that was counted for its client already; if it is refused, the
    /// client's count is taken back.
    pub fn admit_for_user(
        &self,
        client: &ClientId,
        user: UserGuid,
        asked: Asked,
    ) -> Result<(), Problem> {
        self.take_of_user(&(client.clone(), user), asked)
            .inspect_err(|_| self.clients.of(asked).give_back(client))
    }

    fn take_of_user(&self, one: &OneUser, asked: Asked) -> Result<(), Problem> {
        let taken = self.users.of(asked).take(one, Instant::now());
        taken
            .map_err(|wait| self.too_many("user", &format!("{} for this user", asked.name()), wait))
    }

    /// Counts a link that `client` requests for `user` (docs/SECURITY.md, M9), and gives it a place while it is being
    /// minted; an error if there were too many, or if more is asked of the gateway than it can do.
    pub fn mint(
        &self,
        client: &ClientId,
        user: UserGuid,
        member: Option<MemberGuid>,
    ) -> Result<MintPlace, Problem> {
        let member = member.map(|member| (client.clone(), member));
        if let Some(member) = &member {
            let taken = self.members.take(member, Instant::now());
            taken.map_err(|wait| self.too_many("member", "links for this member", wait))?;
        }
        let give_member_back = || member.iter().for_each(|it| self.members.give_back(it));
        self.admit(client, Some(user), Asked::Mint)
            .inspect_err(|_| give_member_back())?;
        // Last, because how long a place is taken says how long minting takes.
        self.mints.take(Instant::now()).ok_or_else(|| {
            give_member_back();
            self.clients.of(Asked::Mint).give_back(client);
            self.users.of(Asked::Mint).give_back(&(client.clone(), user));
            self.metrics.requests_limited.count(["overload"]);
            let message = "More is asked of the gateway than it can do at once, and those who already have \
                           a link go first; wait a second and send the request again.";
            Problem::new(Kind::Unavailable, message).after(1)
        })
    }

    /// Whether this kind of thing is looked up for that source: not after too many look-ups without a
    /// result (docs/SECURITY.md, O7 and Q1). Counts nothing; an error says how long to wait.
    pub fn may_look(&self, source: Source, sought: Sought) -> Result<(), Duration> {
        let looked = self.misses.of(sought).look(&source, Instant::now());
        looked.inspect_err(|_| self.metrics.requests_limited.count([sought.limit()]))
    }

    /// Counts a look-up without a result; an error, with how long to wait, if there were too many.
    pub fn missed(&self, source: Source, sought: Sought) -> Result<(), Duration> {
        let taken = self.misses.of(sought).take(&source, Instant::now());
        taken.inspect_err(|_| self.metrics.requests_limited.count([sought.limit()]))
    }

    /// Drops the counts of callers that were idle.
    pub fn evict_idle(&self) {
        let now = Instant::now();
        self.clients.evict_idle(now);
        self.users.evict_idle(now);
        self.members.evict_idle(now);
        self.misses.evict_idle(now);
    }

    fn too_many(&self, limit: &'static str, what: &str, wait: Duration) -> Problem {
        self.metrics.requests_limited.count([limit]);
        too_many(what, wait)
    }
}

/// 429, which says how long to wait.
pub fn too_many(what: &str, wait: Duration) -> Problem {
    let wait_s = whole_seconds(wait);
    let message = format!("Too many {what}; wait {wait_s} s and send the request again.");
    Problem::new(Kind::TooMany, message).after(wait_s)
}

/// A wait in the form of `Retry-After`: at least 1.
pub fn whole_seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis().div_ceil(1000))
        .unwrap_or(u64::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, StatusCode};
    use axum::response::IntoResponse;

    use super::*;

    fn rate(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).expect("at least 1")
    }

    fn rates(reads: u32, writes: u32, deletes: u32, mints: u32) -> CallerRates {
        CallerRates {
            reads: rate(reads),
            writes: rate(writes),
            deletes: rate(deletes),
            mints: rate(mints),
        }
    }

    fn limits(client: CallerRates, user: CallerRates) -> Limits {
        let rates = Rates {
            mints_per_member_per_minute: rate(1),
            misses: MissRates {
                links: rate(1),
                attempts: rate(6),
                keys: rate(2),
                sessions: rate(3),
                credentials: rate(4),
            },
            client,
            user,
        };
        Limits::new(rates, Arc::default())
    }

    fn client(id: &str) -> ClientId {
        id.parse().expect("a client")
    }

    fn user(digit: u8) -> UserGuid {
        let guid = format!("USR-ad533d14-b4f1-49a4-8093-b0ae9aa8d02{digit}");
        guid.parse().expect("a user")
    }

    fn wait_of<T>(refused: Result<T, Problem>) -> u64 {
        let response = refused.err().expect("too many").into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        let wait = response.headers()["retry-after"].to_str().expect("text");
        wait.parse().expect("seconds")
    }

    #[test]
    fn each_method_and_each_client_is_counted_apart() {
        let limits = limits(rates(3, 2, 1, 1), rates(9, 9, 9, 9));
        for (method, most) in [(Method::GET, 3), (Method::PUT, 2), (Method::DELETE, 1)] {
            let admit = |id: &str| limits.admit(&client(id), None, Asked::by(&method));
            for _ in 0..most {
                assert!(admit("acme").is_ok(), "{method}");
            }
            assert_eq!(wait_of(admit("acme")), 1);
            assert!(admit("rival").is_ok(), "{method}");
        }
    }

    #[test]
    fn a_link_that_is_refused_for_whatever_reason_does_not_count() {
        let limits = limits(rates(1, 1, 1, 1), rates(1, 1, 1, 1));
        let (acme, rival) = (client("acme"), client("rival"));
        let member: MemberGuid = "MBR-ad533d14-b4f1-49a4-8093-b0ae9aa8d02b"
            .parse()
            .expect("one");
        // More is asked than can be done.
        let taken = std::iter::from_fn(|| limits.mints.take(Instant::now()));
        let taken: Vec<MintPlace> = taken.collect();
        let refused = limits.mint(&acme, user(1), Some(member));
        let response = refused.err().expect("no place").into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(taken);
        assert!(limits.mint(&acme, user(1), Some(member)).is_ok());
        // The user may have one link in a second, and so may the member in a minute.
        assert!(limits.mint(&rival, user(1), None).is_ok());
        assert_eq!(wait_of(limits.mint(&rival, user(1), Some(member))), 1);
        let counted = limits.members.take(&(rival, member), Instant::now());
        assert_eq!(counted, Ok(()));
    }

    #[test]
    fn one_user_cannot_use_up_what_its_client_may_have() {
        for asked in [Asked::Read, Asked::Write, Asked::Delete, Asked::Mint] {
            let limits = limits(rates(10, 10, 10, 10), rates(4, 4, 4, 4));
            let acme = client("acme");
            let admit = |digit| limits.admit(&acme, Some(user(digit)), asked).is_ok();
            let of_one = (0..100).filter(|_| admit(1)).count();
            assert_eq!(of_one, 4, "{asked:?}");
            let of_another = (0..100).filter(|_| admit(2)).count();
            assert_eq!(of_another, 4, "{asked:?}");
            assert_eq!((0..100).filter(|_| admit(3)).count(), 2, "the client's own");
        }
    }

    #[test]
    fn what_is_refused_for_a_user_is_not_its_clients() {
        let limits = limits(rates(10, 10, 10, 10), rates(4, 4, 4, 4));
        let acme = client("acme");
        let through = (0..100).filter(|_| {
            limits.admit(&acme, None, Asked::Read).is_ok()
                && limits.admit_for_user(&acme, user(1), Asked::Read).is_ok()
        });
        assert_eq!(through.count(), 4);
        let through = (0..100).filter(|_| limits.admit(&acme, None, Asked::Read).is_ok());
        assert_eq!(through.count(), 6);
    }

    #[test]
    fn the_wait_is_as_long_as_it_takes() {
        let limits = limits(rates(1, 1, 1, 9), rates(1, 1, 1, 9));
        let member = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c".parse().ok();
        let mint = || limits.mint(&client("acme"), user(1), member);
        assert!(mint().is_ok());
        let wait_s = wait_of(mint());
        assert!((50..=60).contains(&wait_s), "{wait_s}");
    }

    #[test]
    fn what_is_missed_is_counted_by_source_and_kind() {
        let source = |text: &str| Source::of(text.parse().expect("an address"));
        let (here, there) = (source("192.0.2.1"), source("192.0.2.2"));
        let limits = limits(rates(1, 1, 1, 1), rates(1, 1, 1, 1));
        for (sought, most, longest_s) in [
            (Sought::Link, 1, 60),
            (Sought::Attempt, 6, 10),
            (Sought::Key, 2, 30),
            (Sought::Session, 3, 20),
            (Sought::Credential, 4, 15),
        ] {
            for _ in 0..most {
                assert!(limits.may_look(here, sought).is_ok(), "{sought:?}");
                assert!(limits.missed(here, sought).is_ok(), "{sought:?}");
            }
            let wait_s = limits.may_look(here, sought).map_err(whole_seconds);
            let wait_s = wait_s.expect_err("too many");
            assert!(
                (longest_s - 5..=longest_s).contains(&wait_s),
                "{sought:?} {wait_s}"
            );
            assert!(limits.missed(here, sought).is_err(), "{sought:?}");
            assert!(limits.may_look(there, sought).is_ok(), "{sought:?}");
        }
    }

    #[test]
    fn o7_unknown_links_of_one_64_are_of_one_source() {
        let limits = limits(rates(1, 1, 1, 1), rates(1, 1, 1, 1));
        let source = |text: &str| Source::of(text.parse().expect("an address"));
        let may_look = |text| limits.may_look(source(text), Sought::Link).is_ok();
        let missed = |text| limits.missed(source(text), Sought::Link).is_ok();
        assert!(missed("2001:db8::1"));
        assert!(!may_look("2001:db8::2"));
        assert!(!missed("2001:db8::3"));
        assert!(may_look("2001:db8:0:1::1"));
        assert!(missed("192.0.2.1"));
        assert!(!may_look("::ffff:192.0.2.1"));
        assert!(may_look("::ffff:192.0.2.2"));
    }
}
