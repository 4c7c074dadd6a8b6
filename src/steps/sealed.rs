//! What is sealed, in records of every kind.
//!
//! - An envelope is replaced by one of the same content, and only while it is still there: whatever else became of its
//!   record stays.

use jiff::Timestamp;

use super::envelope::Envelope;
use super::record::{Changes, Key, Reads, Record, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::id::{AttemptId, ClientId, MemberGuid};

/// The kinds of records that hold envelopes, and what to call one.
pub const SEALED_KINDS: &[(char, &str)] = &[
    ('f', "report"),
    ('g', "access"),
    ('h', "held response"),
    ('i', "idempotent request"),
    ('j', "job"),
    ('r', "revocation"),
    ('w', "window"),
];

/// What an envelope in a record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The verifier and the nonce of that attempt.
    Attempt(AttemptId),
    /// An authorization response.
    HeldResponse,
    /// The authorization response of that attempt.
    AttemptResponse(AttemptId),
    /// The handle that confirms what that attempt brought.
    CompletionHandle(AttemptId),
    /// A token set that was issued to that client.
    TokenSet(ClientId),
    /// A token set that was issued to that client, and waits to become that member's.
    HeldTokenSet(ClientId, MemberGuid),
    /// A token set or credentials, as its member is connected.
    Access,
    /// The answers to a job's challenges, of that client.
    ChallengeAnswers(ClientId),
    /// The response to a request with an `Idempotency-Key`.
    StoredResponse,
    /// What is kept of an attempt of that client that failed.
    Report(ClientId),
}

impl Record {
    /// Every envelope in it.
    pub fn envelopes(&mut self) -> Vec<(Content, &mut Envelope)> {
        match self {
            Self::Window(kept) => {
                let client = &kept.window.client;
                let attempts = kept.attempts.iter_mut();
                let sealed = attempts.filter_map(|attempt| {
                    let content = Content::Attempt(attempt.id.clone());
                    Some((content, attempt.sealed.as_mut()?))
                });
                let held = kept.authorization.iter_mut();
                let held = held.flat_map(|held| {
                    let attempt = || held.attempt.clone();
                    let (handle, response) = (
                        Content::CompletionHandle(attempt()),
                        Content::AttemptResponse(attempt()),
                    );
                    let tokens = Content::HeldTokenSet(client.clone(), kept.window.member);
                    let response = held.response.as_mut().map(|it| (response, it));
                    let tokens = held.tokens.as_mut().map(|it| (tokens, it));
                    [Some((handle, &mut held.handle)), response, tokens]
                });
                sealed.chain(held.flatten()).collect()
            }
            Self::Held(held) => vec![(Content::HeldResponse, &mut held.sealed)],
            Self::Job(kept) => {
                let client = &kept.job.client;
                let answers = kept.sealed_answers.iter_mut();
                answers
                    .map(|it| (Content::ChallengeAnswers(client.clone()), it))
                    .collect()
            }
            Self::Access(access) => {
                let content = match &access.token {
                    Some(token) => Content::TokenSet(token.client.clone()),
                    None => Content::Access,
                };
                vec![(content, &mut access.sealed)]
            }
            Self::Revocation(owed) => {
                let client = &owed.client;
                let sets = owed.sealed.iter_mut();
                let sets = sets.map(|it| (Content::TokenSet(client.clone()), it));
                let code = owed.code.iter_mut().flat_map(|code| {
                    let response = Content::AttemptResponse(code.attempt.clone());
                    let secrets = Content::Attempt(code.attempt.clone());
                    [(response, &mut code.response), (secrets, &mut code.secrets)]
                });
                sets.chain(code).collect()
            }
            Self::Request(request) => {
                let response = request.sealed_response.iter_mut();
                response.map(|it| (Content::StoredResponse, it)).collect()
            }
            Self::Report(kept) => {
                vec![(Content::Report(kept.client.clone()), &mut kept.sealed)]
            }
            Self::User(_)
            | Self::Member(_)
            | Self::Attempt(_)
            | Self::Completion(_)
            | Self::Deleted(_)
            | Self::Consent(_)
            | Self::Login(_)
            | Self::FormerName(_)
            | Self::Event(_)
            | Self::ApiToken(_)
            | Self::Session(_)
            | Self::SessionsEnded(_)
            | Self::Name(_)
            | Self::ApiKeys(_)
            | Self::Brake(_)
            | Self::Maintenances(_)
            | Self::Watched(_)
            | Self::SealKeys(_)
            | Self::LatestTime(_) => Vec::new(),
        }
    }
}

/// Envelopes of one record, sealed anew.
#[derive(Clone, Debug)]
pub struct Reseal {
    /// The record's slot.
    pub slot: Slot,
    /// The record's key.
    pub key: Key,
    /// Each envelope as it was read, and the one that takes its place.
    pub envelopes: Vec<(Envelope, Envelope)>,
}

impl Step for Reseal {
    /// Whether each of them was still there. Those that were are replaced, whatever became of the others.
    type Outcome = bool;

    fn slot(&self) -> Slot {
        self.slot.clone()
    }

    fn reads(&self) -> Reads {
        Reads::of([self.key.clone()])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> (bool, Changes) {
        let Some(mut record) = view.record(&self.key).cloned() else {
            return unchanged(false);
        };
        let mut replaced = 0;
        for (_, envelope) in record.envelopes() {
            let new = self.envelopes.iter().find(|(old, _)| old == envelope);
            if let Some((_, new)) = new {
                envelope.clone_from(new);
                replaced += 1;
            }
        }
        if replaced == 0 {
            return unchanged(false);
        }
        let mut changes = Changes::default();
        changes.put(self.key.clone(), record);
        (replaced == self.envelopes.len(), changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::record::HeldResponse;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn held(sealed: &[u8], seconds: i64) -> Record {
        let expires_at = Timestamp::from_second(seconds).expect("a time");
        let sealed = sealed.to_owned().into();
        HeldResponse { sealed, expires_at }.into()
    }

    fn reseal(old: &[u8]) -> Reseal {
        Reseal {
            slot: Slot::Store,
            key: Key::found("h-one"),
            envelopes: vec![(old.to_owned().into(), b"new".to_vec().into())],
        }
    }

    #[test]
    fn an_envelope_is_replaced_in_its_record_as_it_is_now() {
        let step = reseal(b"old");
        let view = View::new([(step.key.clone(), held(b"old", 7))]);
        let (is_done, changes) = step.decide(&view, NOW);
        assert!(is_done);
        assert_eq!(changes.records, [(step.key, Some(held(b"new", 7)))]);
    }

    #[test]
    fn what_was_changed_meanwhile_is_not_overwritten() {
        let step = reseal(b"old");
        for view in [
            View::new([(step.key.clone(), held(b"another", 7))]),
            View::default(),
        ] {
            let (is_done, changes) = step.decide(&view, NOW);
            assert!(!is_done && changes.is_empty(), "{changes:?}");
        }
    }
}
