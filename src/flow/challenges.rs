//! challenges: what the institution asks during a pull, and the answers.

use secrecy::{ExposeSecret, SecretString};

use super::credentials::VALUE_LIMIT;
use super::seal_contexts::challenge_answers;
use super::{Gateway, Internal, WebhookChoice};
use crate::domain::challenge::Challenge;
use crate::domain::client::Client;
use crate::domain::credential::{Credential, Credentials, GivenValue};
use crate::domain::event::EventKind;
use crate::domain::id::{CredentialGuid, MemberGuid};
use crate::domain::job::{Job, JobStatus};
use crate::domain::member::{CallbackPayload, Member};
use crate::domain::user::User;
use crate::log_context;
use crate::store::{Answered, Answering, StoreError};

/// Answers as they were sent.
#[derive(Clone, Debug, Default)]
pub struct AnswerRequest {
    /// One value for each question.
    pub answers: Vec<GivenValue>,
    /// `X-CALLBACK-PAYLOAD`.
    pub callback_payload: Option<CallbackPayload>,
    /// Whether webhooks are sent.
    pub webhooks: WebhookChoice,
}

/// Why answers were refused.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The user has no such member.
    #[error("the user has no member {0}")]
    NoSuchMember(MemberGuid),
    /// The member is not CHALLENGED.
    #[error(
        "The member is {0}, not CHALLENGED: there is nothing to answer; order an aggregation to try again"
    )]
    NotChallenged(&'static str),
    /// A question has no answer.
    #[error("challenges has no answer to {guid} ({label}); send one")]
    Missing {
        /// The question.
        guid: CredentialGuid,
        /// What was asked.
        label: String,
    },
    /// There is no question with that guid.
    #[error("challenges names {0}, which was not asked; read the challenges again")]
    Unknown(CredentialGuid),
    /// A question has two answers.
    #[error("challenges names {0} twice; send one answer to it")]
    Twice(CredentialGuid),
    /// The answer is not one of those to choose from.
    #[error("challenges has an answer to {0} that is not one of its options")]
    NotAnOption(CredentialGuid),
    /// The answer is longer than [`VALUE_LIMIT`].
    #[error("challenges has an answer to {0} that is longer than {VALUE_LIMIT} bytes")]
    TooLong(CredentialGuid),
    /// It is not the caller's fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl From<StoreError> for AnswerError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

/// The open questions of the member's institution; empty if there are none.
pub async fn challenges(gateway: &Gateway, member: &Member) -> Result<Vec<Challenge>, Internal> {
    let asking = asking(gateway, member).await?;
    Ok(asking.map_or_else(Vec::new, |job| job.challenges))
}

/// Answers the institution's questions: the member is RESUMED, and its job goes on.
pub async fn answer(
    gateway: &Gateway,
    client: &Client,
    user: &User,
    member: MemberGuid,
    request: AnswerRequest,
) -> Result<Member, AnswerError> {
    let found = gateway.store.member(user.guid, member).await?;
    let found = found.ok_or(AnswerError::NoSuchMember(member))?;
    let job = asking(gateway, &found).await?;
    let job = job.ok_or(AnswerError::NotChallenged(found.status.name()))?;
    let checked = check(&job.challenges, &request.answers)?;
    let subject = job.guid.to_string();
    let answering = Answering {
        user: user.guid,
        member,
        job: job.guid,
        round: job.round,
        sealed_answers: gateway.sealer.seal(
            gateway.random.as_ref(),
            &challenge_answers(&job.client, &subject),
            &checked.to_bytes(),
        ),
        callback_payload: request.callback_payload,
        updated: request.webhooks.of(
            gateway,
            client,
            &[EventKind::MemberUpdated],
            user.guid.partition(),
        ),
    };
    let store = &gateway.store;
    match store.answer_challenges(&answering, gateway.now()).await? {
        Answered::Resumed(member) => {
            log_context::job(&job);
            tracing::info!(round = job.round, "challenges answered");
            Ok(*member)
        }
        Answered::NotAsked(member) => Err(AnswerError::NotChallenged(member.status.name())),
        Answered::NoSuchMember => Err(AnswerError::NoSuchMember(member)),
    }
}

/// The member's job that waits for answers, if there is one.
async fn asking(gateway: &Gateway, member: &Member) -> Result<Option<Job>, Internal> {
    let Some(current) = member.current_job else {
        return Ok(None);
    };
    let job = gateway.store.job(current).await?;
    Ok(job.filter(|job| job.status == JobStatus::Challenged))
}

/// One answer to each question, in the order they were asked.
fn check(asked: &[Challenge], given: &[GivenValue]) -> Result<Credentials, AnswerError> {
    for (nth, answer) in given.iter().enumerate() {
        if !asked.iter().any(|challenge| challenge.guid == answer.guid) {
            return Err(AnswerError::Unknown(answer.guid));
        }
        if given[..nth].iter().any(|other| other.guid == answer.guid) {
            return Err(AnswerError::Twice(answer.guid));
        }
    }
    let answer_to = |challenge: &Challenge| {
        let missing = || AnswerError::Missing {
            guid: challenge.guid,
            label: challenge.label.clone(),
        };
        let answer = given.iter().find(|answer| answer.guid == challenge.guid);
        let value = &answer.ok_or_else(missing)?.value;
        let text = value.expose_secret();
        if text.trim().is_empty() {
            return Err(missing());
        }
        if text.len() > VALUE_LIMIT {
            return Err(AnswerError::TooLong(challenge.guid));
        }
        let not_an_option = || AnswerError::NotAnOption(challenge.guid);
        let chosen = challenge.answer(text).ok_or_else(not_an_option)?;
        Ok(Credential {
            guid: challenge.guid,
            field_name: challenge.field_name.clone(),
            value: SecretString::from(chosen),
        })
    };
    let answers: Result<Vec<Credential>, AnswerError> = asked.iter().map(answer_to).collect();
    answers.map(Credentials)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::challenge::ChallengeKind;
    use crate::domain::credential::FieldOption;

    fn guid(digit: char) -> CredentialGuid {
        format!("CRD-68e96dd6-eabd-42d3-9f05-416897f0746{digit}")
            .parse()
            .unwrap()
    }

    /// A text and a choice.
    fn asked() -> [Challenge; 2] {
        let challenge = |digit, name: &str, kind| Challenge {
            guid: guid(digit),
            field_name: name.to_owned(),
            label: format!("What {name}?"),
            kind,
        };
        let option = FieldOption {
            label: "Checking".to_owned(),
            value: "1".to_owned(),
        };
        [
            challenge('1', "pet", ChallengeKind::Text),
            challenge(
                '2',
                "account",
                ChallengeKind::Options {
                    options: vec![option],
                },
            ),
        ]
    }

    fn checked(answers: &[(char, &str)]) -> Result<Vec<String>, String> {
        let given: Vec<GivenValue> = answers
            .iter()
            .map(|&(digit, value)| GivenValue {
                guid: guid(digit),
                value: SecretString::from(value),
            })
            .collect();
        let written =
            |one: &Credential| format!("{}={}", one.field_name, one.value.expose_secret());
        check(&asked(), &given)
            .map(|checked| checked.0.iter().map(written).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_question_has_one_answer() {
        assert_eq!(
            checked(&[('2', "1"), ('1', "Rex")]),
            Ok(vec!["pet=Rex".to_owned(), "account=1".to_owned()])
        );
    }

    #[test]
    fn answers_that_do_not_fit_are_named_without_their_value() {
        let long = "s".repeat(VALUE_LIMIT + 1);
        for (answers, expected) in [
            (vec![('1', "Rex")], "no answer to CRD-"),
            (vec![('1', " "), ('2', "1")], "no answer to CRD-"),
            (vec![('1', "Rex"), ('2', "")], "no answer to CRD-"),
            (
                vec![('1', "Rex"), ('2', "sesame")],
                "not one of its options",
            ),
            (vec![('1', "Rex"), ('1', "Max"), ('2', "1")], "twice"),
            (vec![('1', "Rex"), ('2', "1"), ('9', "x")], "was not asked"),
            (vec![('1', &long), ('2', "1")], "longer than 4096 bytes"),
        ] {
            let error = checked(&answers).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("sesame"), "{error}");
        }
    }
}
