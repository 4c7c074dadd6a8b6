//! Requests of the APIs' callers, counted for each.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use axum::http::Method;

use super::buckets::Buckets;

const SECOND: Duration = Duration::from_secs(1);

/// How many requests of a client, or for a user, are allowed in a second; each at least 1.
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
    /// To read something.
    Read,
    /// To create or change something.
    Write,
    /// To delete something.
    Delete,
    /// A link.
    Mint,
}

impl Asked {
    /// The kind of a request with that method.
    pub fn by(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Read,
            Method::DELETE => Self::Delete,
            _ => Self::Write,
        }
    }

    /// Its name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => "GET requests",
            Self::Write => "POST and PUT requests",
            Self::Delete => "DELETE requests",
            Self::Mint => "links",
        }
    }
}

/// A count of each kind for each caller.
pub(super) struct Callers<K> {
    reads: Buckets<K>,
    writes: Buckets<K>,
    deletes: Buckets<K>,
    mints: Buckets<K>,
}

impl<K: Eq + std::hash::Hash + Clone> Callers<K> {
    /// Nothing yet.
    pub(super) fn new(rates: CallerRates) -> Self {
        Self {
            reads: Buckets::new(rates.reads, SECOND),
            writes: Buckets::new(rates.writes, SECOND),
            deletes: Buckets::new(rates.deletes, SECOND),
            mints: Buckets::new(rates.mints, SECOND),
        }
    }

    /// The count of that kind.
    pub(super) fn of(&self, asked: Asked) -> &Buckets<K> {
        match asked {
            Asked::Read => &self.reads,
            Asked::Write => &self.writes,
            Asked::Delete => &self.deletes,
            Asked::Mint => &self.mints,
        }
    }

    /// Drops the counts of callers that were idle.
    pub(super) fn evict_idle(&self, now: Instant) {
        for counted in [&self.reads, &self.writes, &self.deletes, &self.mints] {
            counted.evict_idle(now);
        }
    }
}
