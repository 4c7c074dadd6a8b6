//! The context of everything that is sealed: an envelope opens only in its own context.

use crate::domain::id::{AttemptId, ClientId, InstitutionCode};
use crate::seal::{Context, Field};

/// An attempt's verifier and nonce.
pub(super) fn attempt(attempt: &AttemptId) -> Context<'_> {
    Context {
        client: None,
        subject: attempt.as_str(),
        field: Field::Attempt,
    }
}

/// A response that waits for its GET, by its handle's digest, which is unique.
pub(super) fn held_response(handle: &str) -> Context<'_> {
    Context {
        client: None,
        subject: handle,
        field: Field::AuthorizationResponse,
    }
}

/// An attempt's authorization response, while it waits to be used.
pub(super) fn attempt_response(attempt: &AttemptId) -> Context<'_> {
    Context {
        client: None,
        subject: attempt.as_str(),
        field: Field::AuthorizationResponse,
    }
}

/// The handle that confirms what an attempt brought.
pub(super) fn completion_handle(attempt: &AttemptId) -> Context<'_> {
    Context {
        client: None,
        subject: attempt.as_str(),
        field: Field::CompletionHandle,
    }
}

/// A member's token set.
pub(super) fn token_set<'a>(client: &'a ClientId, member: &'a str) -> Context<'a> {
    Context {
        client: Some(client),
        subject: member,
        field: Field::TokenSet,
    }
}

/// A member's credentials.
pub(super) fn credentials<'a>(client: &'a ClientId, member: &'a str) -> Context<'a> {
    Context {
        client: Some(client),
        subject: member,
        field: Field::Credentials,
    }
}

/// The answers to a job's challenges.
pub(super) fn challenge_answers<'a>(client: &'a ClientId, job: &'a str) -> Context<'a> {
    Context {
        client: Some(client),
        subject: job,
        field: Field::ChallengeAnswers,
    }
}

/// The response to a request of that client with a key, by the key's digest.
pub(super) fn stored_response<'a>(client: &'a ClientId, key: &'a str) -> Context<'a> {
    Context {
        client: Some(client),
        subject: key,
        field: Field::StoredResponse,
    }
}

/// What is kept of a client's attempt that failed, by its support code.
pub(super) fn report<'a>(client: &'a ClientId, code: &'a str) -> Context<'a> {
    Context {
        client: Some(client),
        subject: code,
        field: Field::Report,
    }
}

/// Why a response was refused at that registration, on its way from its POST to the GET that follows.
pub fn refusal<'a>(client: &'a ClientId, institution: &'a InstitutionCode) -> Context<'a> {
    Context {
        client: Some(client),
        subject: institution.as_str(),
        field: Field::Refusal,
    }
}
