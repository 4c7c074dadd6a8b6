//! Requests that may come twice.
//!
//! - Of any number of requests with one key exactly one is processed at a time. The next one is processed only
//!   if the first gives the key back or its hold ends.
//! - The holder renews its hold while it works; if it dies, the key is free after five seconds.
//! - A different request with the same key is refused.
//! - The response is stored until `expires_at`, unless the key was given to another request meanwhile.

use jiff::Timestamp;

use super::record::{Changes, KeptRequest, Key, Reads, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::id::ClientId;
use crate::domain::secret::Digest;

/// A request with an `Idempotency-Key`.
#[derive(Clone, Debug)]
pub struct IdempotentRequest {
    /// The tenant.
    pub client: ClientId,
    /// Digest of the caller's identity and the key.
    pub key: Digest,
    /// Digest of what is asked: method, path, query and body.
    pub request: Digest,
    /// Who works on it: a new value each time the request arrives.
    pub holder: Digest,
    /// Until when nobody else may work on it, unless the hold is renewed.
    pub held_until: Timestamp,
    /// Until when the response is stored.
    pub expires_at: Timestamp,
}

/// What an [`IdempotentRequest`] meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Idempotence {
    /// Nothing: the request has to be processed, and its response stored or the key given back.
    First,
    /// The same request is being worked on.
    UnderWay,
    /// The same request was processed; its response, sealed.
    Answered(Vec<u8>),
    /// Another request was made with this key.
    Differs,
}

impl IdempotentRequest {
    fn key(&self) -> Key {
        Key::request(&self.client, &self.key)
    }

    /// What is kept, while it is this request's and not answered.
    fn held<'a>(&self, view: &'a View) -> Option<&'a KeptRequest> {
        let kept = view.request(&self.client, &self.key)?;
        let is_ours = kept.request.matches(&self.request) && kept.holder == self.holder;
        (is_ours && kept.sealed_response.is_none()).then_some(kept)
    }
}

impl Step for IdempotentRequest {
    type Outcome = Idempotence;

    fn slot(&self) -> Slot {
        Slot::Client(self.client.clone())
    }

    fn reads(&self) -> Reads {
        Reads::of([self.key()])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Idempotence, Changes) {
        let kept = view.request(&self.client, &self.key);
        if let Some(kept) = kept.filter(|kept| now < kept.ends_at) {
            return unchanged(match &kept.sealed_response {
                _ if !kept.request.matches(&self.request) => Idempotence::Differs,
                Some(response) => Idempotence::Answered(response.clone().into()),
                None => Idempotence::UnderWay,
            });
        }
        let first = KeptRequest {
            request: self.request,
            holder: self.holder,
            sealed_response: None,
            ends_at: self.held_until,
        };
        let mut changes = Changes::default();
        changes.put(self.key(), first);
        (Idempotence::First, changes)
    }
}

/// The holder of a request renews its hold.
#[derive(Clone, Debug)]
pub struct Renew {
    /// The request.
    pub request: IdempotentRequest,
    /// Until when nobody else may work on it.
    pub held_until: Timestamp,
}

impl Step for Renew {
    type Outcome = ();

    fn slot(&self) -> Slot {
        self.request.slot()
    }

    fn reads(&self) -> Reads {
        self.request.reads()
    }

    fn decide(&self, view: &View, _now: Timestamp) -> ((), Changes) {
        let Some(kept) = self.request.held(view) else {
            return unchanged(());
        };
        let mut changes = Changes::default();
        let renewed = KeptRequest {
            ends_at: self.held_until,
            ..kept.clone()
        };
        changes.put(self.request.key(), renewed);
        ((), changes)
    }
}

/// The response of a request that was the first, or none that is worth keeping.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The request.
    pub request: IdempotentRequest,
    /// The response, sealed; `None`: the key is given back.
    pub sealed_response: Option<Vec<u8>>,
}

impl Step for Finish {
    type Outcome = ();

    fn slot(&self) -> Slot {
        self.request.slot()
    }

    fn reads(&self) -> Reads {
        self.request.reads()
    }

    fn decide(&self, view: &View, _now: Timestamp) -> ((), Changes) {
        let Some(kept) = self.request.held(view) else {
            return unchanged(());
        };
        let mut changes = Changes::default();
        match &self.sealed_response {
            None => changes.delete(self.request.key()),
            Some(_) => {
                let answered = KeptRequest {
                    sealed_response: self.sealed_response.clone().map(Into::into),
                    ends_at: self.request.expires_at,
                    ..kept.clone()
                };
                changes.put(self.request.key(), answered);
            }
        }
        ((), changes)
    }
}
