//! challenges: what the institution asks during a pull, and the answers.

use super::{Gateway, Internal, Telling};
use crate::domain::challenge::Challenge;
use crate::domain::client::Client;
use crate::domain::credential::GivenValue;
use crate::domain::id::{CredentialGuid, MemberGuid};
use crate::domain::member::{CallbackPayload, Member};
use crate::domain::user::User;

/// Answers as they came.
#[derive(Clone, Debug, Default)]
pub struct AnswerRequest {
    /// One value for each question.
    pub answers: Vec<GivenValue>,
    /// `X-CALLBACK-PAYLOAD`.
    pub callback_payload: Option<CallbackPayload>,
    /// Whether the change is told.
    pub telling: Telling,
}

/// Why answers were not taken.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The user has no such member.
    #[error("the user has no member {0}")]
    NoSuchMember(MemberGuid),
    /// The member is not CHALLENGED.
    #[error("the member is {0}, not CHALLENGED: there is nothing to answer")]
    NotChallenged(&'static str),
    /// A question has no answer.
    #[error("challenges has no answer to {guid} ({label}); send one")]
    Missing {
        /// The question.
        guid: CredentialGuid,
        /// What was asked.
        label: String,
    },
    /// Nothing of that guid was asked.
    #[error("challenges names {0}, which was not asked; read the challenges again")]
    Unknown(CredentialGuid),
    /// A question has two answers.
    #[error("challenges names {0} twice; send one answer to it")]
    Twice(CredentialGuid),
    /// The answer is not one of those to choose from.
    #[error("challenges has an answer to {0} that is not one of its options")]
    NotAnOption(CredentialGuid),
    /// It is not the caller's fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

/// What the institution asks of the member just now; empty when it asks nothing.
pub async fn challenges(_gateway: &Gateway, _member: &Member) -> Result<Vec<Challenge>, Internal> {
    todo!()
}

/// Answers what the institution asks: the member is RESUMED, and its job goes on.
pub async fn answer(
    _gateway: &Gateway,
    _client: &Client,
    _user: &User,
    _member: MemberGuid,
    _request: AnswerRequest,
) -> Result<Member, AnswerError> {
    todo!()
}
