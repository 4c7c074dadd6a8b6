//! Look-ups without a result, counted for each source.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::buckets::Buckets;
use crate::http::source::Source;

const MINUTE: Duration = Duration::from_secs(60);

/// Something that is looked up and may not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// A link.
    Link,
    /// An attempt, by the `state` or the cookie that comes back from an institution, or by its outcome's
    /// address.
    Attempt,
    /// A client's or the aggregator's key.
    Key,
    /// A session or an SSO token. They expire by themselves, so it is normal that honest clients send an
    /// old one.
    Session,
    /// Any of these credentials that have the form of one of ours: only these are looked up.
    Credential,
}

impl Sought {
    const ALL: [Self; 5] = [
        Self::Link,
        Self::Attempt,
        Self::Key,
        Self::Session,
        Self::Credential,
    ];

    /// The limit's name in metrics.
    pub fn limit(self) -> &'static str {
        match self {
            Self::Link => "unknown_links",
            Self::Attempt => "unknown_attempts",
            Self::Key => "wrong_keys",
            Self::Session => "unknown_sessions",
            Self::Credential => "failed_look_ups",
        }
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Link => "unknown links",
            Self::Attempt => "unknown attempts",
            Self::Key => "wrong keys",
            Self::Session => "unknown sessions",
            Self::Credential => "wrong credentials",
        }
    }
}

/// How many look-ups of each kind may be without a result from one source in a minute; each at least 1.
#[derive(Clone, Copy, Debug)]
pub struct MissRates {
    /// Links that nobody minted.
    pub links: NonZeroU32,
    /// Attempts that do not exist, or are another browser's.
    pub attempts: NonZeroU32,
    /// Wrong keys.
    pub keys: NonZeroU32,
    /// Unknown sessions and SSO tokens.
    pub sessions: NonZeroU32,
    /// Credentials that were looked up without a result.
    pub credentials: NonZeroU32,
}

/// The counts of the last look-ups without a result.
pub(super) struct Misses {
    links: Buckets<Source>,
    attempts: Buckets<Source>,
    keys: Buckets<Source>,
    sessions: Buckets<Source>,
    credentials: Buckets<Source>,
}

impl Misses {
    /// Nothing yet.
    pub(super) fn new(rates: MissRates) -> Self {
        let counted = |rate| Buckets::new(rate, MINUTE);
        Self {
            links: counted(rates.links),
            attempts: counted(rates.attempts),
            keys: counted(rates.keys),
            sessions: counted(rates.sessions),
            credentials: counted(rates.credentials),
        }
    }

    /// The count of that kind.
    pub(super) fn of(&self, sought: Sought) -> &Buckets<Source> {
        match sought {
            Sought::Link => &self.links,
            Sought::Attempt => &self.attempts,
            Sought::Key => &self.keys,
            Sought::Session => &self.sessions,
            Sought::Credential => &self.credentials,
        }
    }

    /// Drops the counts of sources that were idle.
    pub(super) fn evict_idle(&self, now: Instant) {
        for sought in Sought::ALL {
            self.of(sought).evict_idle(now);
        }
    }
}
