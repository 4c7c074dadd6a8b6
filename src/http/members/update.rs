//! A member changed, and its institution's questions answered.

use axum::http::{HeaderMap, StatusCode};

use super::{Scope, own_name};
use crate::domain::credential::GivenValue;
use crate::domain::id::MemberGuid;
use crate::flow::access;
use crate::flow::challenges::{self, AnswerRequest};
use crate::flow::members::{self, ChangeError, ChangeRequest};
use crate::http::body::{Fields, LONGEST_NAME, callback_payload};
use crate::http::problem::{Answer, Dialect, Kind, Problem};

/// How the answers of a body are read.
type ReadAnswers = fn(&Fields, &HeaderMap) -> Result<AnswerRequest, Problem>;

impl Scope<'_> {
    /// Changes a member. On Platform a body without a field is refused (contract section 2.5).
    pub async fn update(&self, member: &str, body: &[u8]) -> Answer {
        access::enabled(self.user)?;
        let fields = Fields::parse(body, "member")?;
        if fields.is_empty() && self.dialect == Dialect::Platform {
            let message = "The body changes nothing: send a field of the member.";
            return Err(Problem::new(Kind::Missing, message));
        }
        // The older way to answer a question, still sent by older clients (contract section 1.4).
        if self.dialect == Dialect::Nexus && fields.has("challenges") {
            return self.resume(member, body).await;
        }
        let request = change_request(&fields, self.dialect, self.headers)?;
        let member = self.guid(member).await?;
        let changed =
            match members::update(self.gateway, self.client, self.user, member, request).await {
                Err(error @ ChangeError::ExternalGuidTaken(holder)) => {
                    return Err(self.name_taken(error, holder).await);
                }
                changed => changed?,
            };
        Ok(self.member_answer(StatusCode::OK, &changed))
    }

    /// Answers what the institution asks.
    pub async fn resume(&self, member: &str, body: &[u8]) -> Answer {
        self.answer(member, body, answer_request).await
    }

    /// Answers what the institution asks, as MX's own widget does: it sends back the whole member, and
    /// the answers under `credentials`.
    pub async fn update_mfa(&self, member: &str, body: &[u8]) -> Answer {
        self.answer(member, body, mfa_request).await
    }

    async fn answer(&self, member: &str, body: &[u8], read: ReadAnswers) -> Answer {
        access::enabled(self.user)?;
        let fields = Fields::parse(body, "member")?;
        let request = read(&fields, self.headers)?;
        let member = self.guid(member).await?;
        let resumed =
            challenges::answer(self.gateway, self.client, self.user, member, request).await?;
        Ok(self.member_answer(self.accepted(), &resumed))
    }
}

/// The change that a body asks for.
pub(super) fn change_request(
    fields: &Fields,
    dialect: Dialect,
    headers: &HeaderMap,
) -> Result<ChangeRequest, Problem> {
    let name = fields.short_text("name", LONGEST_NAME)?;
    let data_request = fields.data_request()?;
    Ok(ChangeRequest {
        name: name.filter(|name| !name.trim().is_empty()),
        external_guid: fields.new_own_name::<MemberGuid>(own_name(dialect))?,
        metadata: fields.new_metadata()?,
        use_cases: fields.use_cases()?,
        background_aggregation_is_disabled: fields.flag("background_aggregation_is_disabled")?,
        credentials: fields
            .given("credentials")?
            .filter(|given| !given.is_empty()),
        skip_aggregation: fields.flag("skip_aggregation")?.unwrap_or(false),
        data_request: Some(data_request).filter(|request| !request.is_empty()),
        callback_payload: callback_payload(headers)?,
        telling: fields.telling(headers)?,
    })
}

/// The answers that a body brings.
pub(super) fn answer_request(
    fields: &Fields,
    headers: &HeaderMap,
) -> Result<AnswerRequest, Problem> {
    answers_in(fields.given("challenges")?, fields, headers)
}

/// The answers that a body brings under `challenges` or, if there are none, under `credentials`.
pub(super) fn mfa_request(fields: &Fields, headers: &HeaderMap) -> Result<AnswerRequest, Problem> {
    let challenges = fields.given("challenges")?;
    let credentials = fields.given("credentials")?;
    answers_in(challenges.or(credentials), fields, headers)
}

fn answers_in(
    given: Option<Vec<GivenValue>>,
    fields: &Fields,
    headers: &HeaderMap,
) -> Result<AnswerRequest, Problem> {
    let missing = || Problem::missing("challenges", "send the guid and value of each answer");
    Ok(AnswerRequest {
        answers: given.ok_or_else(missing)?,
        callback_payload: callback_payload(headers)?,
        telling: fields.telling(headers)?,
    })
}
