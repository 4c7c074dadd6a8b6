//! Local shields: how much is too much, counted by each process for itself.

mod buckets;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::Method;

use super::problem::{Kind, Problem};
use super::source::Source;
use crate::domain::id::{ClientId, MemberGuid, UserGuid};
use crate::domain::secret::Digest;
use crate::metrics::Metrics;
use buckets::Buckets;

/// How long a credential that was good counts as good to come before its source's failures.
const PROVEN_FOR: Duration = Duration::from_secs(30 * 60);

/// How many such credentials are remembered.
const MOST_PROVEN: usize = 100_000;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The limits of the configuration, each at least 1.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Links minted for one member.
    pub mints_per_member_per_minute: NonZeroU32,
    /// Links followed from one source that nobody minted.
    pub unknown_links_per_minute: NonZeroU32,
    /// Wrong keys from one source.
    pub wrong_keys_per_minute: NonZeroU32,
    /// Unknown sessions and SSO tokens from one source.
    pub unknown_sessions_per_minute: NonZeroU32,
    /// What one client may have (contract section 2.5).
    pub client: CallerRates,
    /// What may be had for one of its users.
    pub user: CallerRates,
}

/// How much a client, or what is done for a user, may have in a second; each at least 1.
#[derive(Clone, Copy, Debug)]
pub struct CallerRates {
    /// GET requests.
    pub reads: NonZeroU32,
    /// POST and PUT requests.
    pub writes: NonZeroU32,
    /// DELETE requests.
    pub deletes: NonZeroU32,
    /// Links.
    pub mints: NonZeroU32,
}

/// What a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To see something.
    Read,
    /// To make or change something.
    Write,
    /// To take something away.
    Delete,
    /// A link.
    Mint,
}

impl Asked {
    /// What a request of that method asks for.
    pub fn by(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Read,
            Method::DELETE => Self::Delete,
            _ => Self::Write,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Read => "GET requests",
            Self::Write => "POST and PUT requests",
            Self::Delete => "DELETE requests",
            Self::Mint => "links",
        }
    }
}

/// What somebody proves themselves with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A client's API key.
    ApiKey,
    /// A client's `MD-API-KEY`.
    SsoKey,
    /// The aggregator's key.
    AggregatorKey,
    /// An SSO token.
    SsoToken,
    /// A session.
    Session,
}

impl Credential {
    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::SsoKey => "sso_key",
            Self::AggregatorKey => "aggregator_key",
            Self::SsoToken => "sso_token",
            Self::Session => "session",
        }
    }

    /// Whether it ends by itself, so that honest clients show it once too often as a matter of course.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::SsoToken | Self::Session)
    }
}

/// The user of a client.
type OneUser = (ClientId, UserGuid);

/// What has been asked for lately.
pub struct Limits {
    clients: Callers<ClientId>,
    users: Callers<OneUser>,
    members: Buckets<(ClientId, MemberGuid)>,
    unknown_links: Buckets<Source>,
    wrong_keys: Buckets<Source>,
    unknown_sessions: Buckets<Source>,
    proven: Mutex<HashMap<Digest, Instant>>,
    metrics: Arc<Metrics>,
}

/// A count of each kind for each caller.
struct Callers<K> {
    reads: Buckets<K>,
    writes: Buckets<K>,
    deletes: Buckets<K>,
    mints: Buckets<K>,
}

impl<K: Eq + std::hash::Hash + Clone> Callers<K> {
    fn new(rates: CallerRates) -> Self {
        Self {
            reads: Buckets::new(rates.reads, SECOND),
            writes: Buckets::new(rates.writes, SECOND),
            deletes: Buckets::new(rates.deletes, SECOND),
            mints: Buckets::new(rates.mints, SECOND),
        }
    }

    fn of(&self, asked: Asked) -> &Buckets<K> {
        match asked {
            Asked::Read => &self.reads,
            Asked::Write => &self.writes,
            Asked::Delete => &self.deletes,
            Asked::Mint => &self.mints,
        }
    }

    fn forget_quiet_ones(&self, now: Instant) {
        for counted in [&self.reads, &self.writes, &self.deletes, &self.mints] {
            counted.forget_quiet_ones(now);
        }
    }
}

impl Limits {
    /// Nothing yet.
    pub fn new(rates: Rates, metrics: Arc<Metrics>) -> Self {
        Self {
            clients: Callers::new(rates.client),
            users: Callers::new(rates.user),
            members: Buckets::new(rates.mints_per_member_per_minute, MINUTE),
            unknown_links: Buckets::new(rates.unknown_links_per_minute, MINUTE),
            wrong_keys: Buckets::new(rates.wrong_keys_per_minute, MINUTE),
            unknown_sessions: Buckets::new(rates.unknown_sessions_per_minute, MINUTE),
            proven: Mutex::default(),
            metrics,
        }
    }

    /// Counts what `client` asks for, and `user`, when it is known whom it is for; an error once either
    /// has had too much of that. What is refused for the user does not count for the client: one user
    /// cannot use up its client's.
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

    /// Counts for `user` what counts for its client already; what is refused is given back there.
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

    /// Counts a link that `client` wants for `user` (docs/SECURITY.md, M9); an error once it has had too
    /// many.
    pub fn mint(
        &self,
        client: &ClientId,
        user: UserGuid,
        member: Option<MemberGuid>,
    ) -> Result<(), Problem> {
        if let Some(member) = member {
            let taken = self.members.take(&(client.clone(), member), Instant::now());
            taken.map_err(|wait| self.too_many("member", "links for this member", wait))?;
        }
        self.admit(client, Some(user), Asked::Mint)
    }

    /// Whether a link from there is looked for at all: not after too many that do not exist
    /// (docs/SECURITY.md, O7). Counts nothing; an error says how long to wait.
    pub fn may_follow(&self, source: Source) -> Result<(), Duration> {
        let looked = self.unknown_links.look(&source, Instant::now());
        looked.inspect_err(|_| self.metrics.requests_limited.count(["unknown_links"]))
    }

    /// Counts a link that does not exist; an error once there were too many.
    pub fn followed_unknown(&self, source: Source) -> Result<(), Duration> {
        let taken = self.unknown_links.take(&source, Instant::now());
        taken.inspect_err(|_| self.metrics.requests_limited.count(["unknown_links"]))
    }

    /// Whether a credential from there is looked up at all: not after too many wrong ones, unless it
    /// was good lately (docs/SECURITY.md, Q1). Counts nothing.
    pub fn may_prove(
        &self,
        source: Source,
        credential: Credential,
        sent: &Digest,
    ) -> Result<(), Problem> {
        let now = Instant::now();
        let Err(wait) = self.wrong(credential).look(&source, now) else {
            return Ok(());
        };
        let is_proven = |at: &Instant| now.duration_since(*at) < PROVEN_FOR;
        if self.proven().get(sent).is_some_and(is_proven) {
            return Ok(());
        }
        let (limit, what) = match credential.is_passing() {
            true => ("unknown_sessions", "unknown sessions from this address"),
            false => ("wrong_keys", "wrong keys from this address"),
        };
        Err(self.too_many(limit, what, wait))
    }

    /// Counts a wrong credential.
    pub fn was_wrong(&self, source: Source, credential: Credential) {
        // Whether there were too many is asked before the next one.
        let _ = self.wrong(credential).take(&source, Instant::now());
    }

    fn wrong(&self, credential: Credential) -> &Buckets<Source> {
        match credential.is_passing() {
            true => &self.unknown_sessions,
            false => &self.wrong_keys,
        }
    }

    /// Remembers a good credential.
    pub fn was_right(&self, credential: Digest) {
        let mut proven = self.proven();
        if proven.len() < MOST_PROVEN || proven.contains_key(&credential) {
            proven.insert(credential, Instant::now());
        }
    }

    /// Forgets who has been quiet.
    pub fn forget_quiet_ones(&self) {
        let now = Instant::now();
        self.clients.forget_quiet_ones(now);
        self.users.forget_quiet_ones(now);
        self.members.forget_quiet_ones(now);
        self.unknown_links.forget_quiet_ones(now);
        self.wrong_keys.forget_quiet_ones(now);
        self.unknown_sessions.forget_quiet_ones(now);
        self.proven()
            .retain(|_, at| now.duration_since(*at) < PROVEN_FOR);
    }

    fn too_many(&self, limit: &'static str, what: &str, wait: Duration) -> Problem {
        self.metrics.requests_limited.count([limit]);
        let wait_s = whole_seconds(wait);
        let message = format!("Too many {what}; wait {wait_s} s and send the request again.");
        Problem::new(Kind::TooMany, message).after(wait_s)
    }

    fn proven(&self) -> MutexGuard<'_, HashMap<Digest, Instant>> {
        // Nothing under this lock panics half-way.
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wait as `Retry-After` says it: at least 1.
pub fn whole_seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis().div_ceil(1000))
        .unwrap_or(u64::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
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
            unknown_links_per_minute: rate(1),
            wrong_keys_per_minute: rate(2),
            unknown_sessions_per_minute: rate(3),
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

    fn wait_of(refused: Result<(), Problem>) -> u64 {
        let answer = refused.expect_err("too many").into_response();
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        let wait = answer.headers()["retry-after"].to_str().expect("text");
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
    fn q1_wrong_credentials_hold_up_their_source_but_not_what_was_good_there() {
        let source = |text: &str| Source::of(text.parse().expect("an address"));
        let (here, there) = (source("192.0.2.1"), source("192.0.2.2"));
        let digest = |text: &str| Digest::of("test", text);
        for (kind, most, longest) in [
            (Credential::ApiKey, 2, 30),
            (Credential::SsoKey, 2, 30),
            (Credential::AggregatorKey, 2, 30),
            (Credential::SsoToken, 3, 20),
            (Credential::Session, 3, 20),
        ] {
            let limits = limits(rates(1, 1, 1, 1), rates(1, 1, 1, 1));
            let may = |source, text: &str| limits.may_prove(source, kind, &digest(text));
            limits.was_right(digest("good"));
            for _ in 0..most {
                assert!(may(here, "wrong").is_ok(), "{kind:?}");
                limits.was_wrong(here, kind);
            }
            let wait_s = wait_of(may(here, "wrong"));
            assert!(
                (longest - 5..=longest).contains(&wait_s),
                "{kind:?} {wait_s}"
            );
            assert!(may(here, "good").is_ok(), "{kind:?}");
            assert!(may(there, "wrong").is_ok(), "{kind:?}");
        }
    }

    #[test]
    fn o7_unknown_links_of_one_64_are_of_one_source() {
        let limits = limits(rates(1, 1, 1, 1), rates(1, 1, 1, 1));
        let source = |text: &str| Source::of(text.parse().expect("an address"));
        assert!(limits.followed_unknown(source("2001:db8::1")).is_ok());
        assert!(limits.may_follow(source("2001:db8::2")).is_err());
        assert!(limits.followed_unknown(source("2001:db8::3")).is_err());
        assert!(limits.may_follow(source("2001:db8:0:1::1")).is_ok());
        assert!(limits.followed_unknown(source("192.0.2.1")).is_ok());
        assert!(limits.may_follow(source("::ffff:192.0.2.1")).is_err());
        assert!(limits.may_follow(source("::ffff:192.0.2.2")).is_ok());
    }
}
