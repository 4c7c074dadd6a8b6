//! Changes a member, and answers its institution's questions.

use axum::http::{HeaderMap, StatusCode};

use super::Scope;
use crate::flow::access;
use crate::flow::challenges::{self, AnswerRequest};
use crate::flow::members::{self, ChangeError, ChangeRequest};
use crate::http::body::{Fields, callback_payload};
use crate::http::problem::{ApiResult, Dialect, Kind, Problem};
use crate::http::requests::{
    AnswersBody, MfaAnswersBody, NexusMemberChangeBody, PlatformMemberChangeBody,
    SilentRequestBody, ValueRequest, given,
};

/// How the answers of a body are read.
type ReadAnswers = fn(&Fields, &HeaderMap) -> Result<AnswerRequest, Problem>;

impl Scope<'_> {
    /// Changes a member. In the Platform API a body without a field is refused (CONTRACT.md 2.5).
    pub async fn update(&self, member: &str, body: &[u8]) -> ApiResult {
        access::enabled(self.user)?;
        let fields = Fields::parse(body, "member")?;
        if fields.is_empty() && self.dialect == Dialect::Platform {
            let message = "The body changes nothing: send a field of the member.";
            return Err(Problem::new(Kind::Missing, message));
        }
        // The older way to answer a question, still sent by older clients (CONTRACT.md 1.4).
        if self.dialect == Dialect::Nexus
            && fields.take::<AnswersBody>().member.challenges.is_given()
        {
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
        Ok(self.member_response(StatusCode::OK, &changed))
    }

    /// Answers what the institution asks.
    pub async fn resume(&self, member: &str, body: &[u8]) -> ApiResult {
        self.answer(member, body, answer_request).await
    }

    /// Answers what the institution asks, as MX's own widget does: it sends back the whole member, and
    /// the answers under `credentials`.
    pub async fn update_mfa(&self, member: &str, body: &[u8]) -> ApiResult {
        self.answer(member, body, mfa_request).await
    }

    async fn answer(&self, member: &str, body: &[u8], read: ReadAnswers) -> ApiResult {
        access::enabled(self.user)?;
        let fields = Fields::parse(body, "member")?;
        let request = read(&fields, self.headers)?;
        let member = self.guid(member).await?;
        let resumed =
            challenges::answer(self.gateway, self.client, self.user, member, request).await?;
        Ok(self.member_response(self.accepted(), &resumed))
    }
}

/// The changes in a body.
fn change_request(
    fields: &Fields,
    dialect: Dialect,
    headers: &HeaderMap,
) -> Result<ChangeRequest, Problem> {
    let (own_name, change, jobs) = match dialect {
        Dialect::Nexus => {
            let NexusMemberChangeBody { member, jobs } = fields.take();
            (member.external_guid, member.change, jobs)
        }
        Dialect::Platform => {
            let PlatformMemberChangeBody { member, jobs } = fields.take();
            (member.id, member.change, jobs)
        }
    };
    let name = change.name.read()?;
    let data_request = jobs.pull.data_request(&jobs.data_request)?;
    Ok(ChangeRequest {
        name: name.filter(|name| !name.trim().is_empty()),
        external_guid: own_name.change()?,
        metadata: change.metadata.change()?,
        use_cases: change.use_cases.read()?.filter(|all| !all.is_empty()),
        background_aggregation_is_disabled: change.background_aggregation_is_disabled.read()?,
        credentials: Some(given(change.credentials.read()?)?).filter(|given| !given.is_empty()),
        skip_aggregation: change.skip_aggregation.read()?.unwrap_or(false),
        data_request: Some(data_request).filter(|request| !request.is_empty()),
        callback_payload: callback_payload(headers)?,
        webhooks: jobs.silence.webhooks(headers)?,
    })
}

/// The answers in a body.
fn answer_request(fields: &Fields, headers: &HeaderMap) -> Result<AnswerRequest, Problem> {
    let AnswersBody { member, silence } = fields.take();
    let challenges = member.challenges.read()?;
    let challenges = challenges.ok_or_else(|| member.challenges.missing(REMEDY))?;
    answers(challenges, &silence, headers)
}

/// The answers in a body, under `challenges` or, if there are none, under `credentials`.
fn mfa_request(fields: &Fields, headers: &HeaderMap) -> Result<AnswerRequest, Problem> {
    let MfaAnswersBody { member, silence } = fields.take();
    let challenges = member.challenges.read()?.or(member.credentials.read()?);
    let challenges = challenges.ok_or_else(|| member.challenges.missing(REMEDY))?;
    answers(challenges, &silence, headers)
}

/// What to do about answers that are missing.
const REMEDY: &str = "send the guid and value of each answer";

fn answers(
    challenges: Vec<ValueRequest>,
    silence: &SilentRequestBody,
    headers: &HeaderMap,
) -> Result<AnswerRequest, Problem> {
    Ok(AnswerRequest {
        answers: given(Some(challenges))?,
        callback_payload: callback_payload(headers)?,
        webhooks: silence.webhooks(headers)?,
    })
}
