//! What both APIs do with members: read a request, call a verb, write a response.

mod complete;
mod create;
mod order;
mod read;
mod update;

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

pub use self::complete::complete;
use super::app_state::AppState;
use super::auth::{NexusUser, PlatformClient};
use super::body::Fields;
use super::json;
use super::limits::Limits;
use super::problem::{ApiResult, Dialect, Problem};
use super::requests::WindowLinkOptions;
use super::responses::{
    AuthorizationBody, LinkBody, NexusMember, NexusMemberBody, PlatformMember, PlatformMemberBody,
};
use crate::domain::client::Client;
use crate::domain::id::MemberGuid;
use crate::domain::member::Member;
use crate::domain::user::User;
use crate::flow::access;
use crate::flow::members;
use crate::flow::mint::{self, Minted};
use crate::flow::{Gateway, WebhookChoice};

/// The user whose members a request is about, and the API it uses.
pub struct Scope<'a> {
    /// The gateway.
    pub gateway: &'a Arc<Gateway>,
    /// The limits.
    pub limits: &'a Limits,
    /// The tenant.
    pub client: &'a Client,
    /// The user.
    pub user: &'a User,
    /// The envelope and field names.
    pub dialect: Dialect,
    /// The request's headers.
    pub headers: &'a HeaderMap,
}

impl NexusUser {
    /// The members of this session's user.
    pub fn scope<'a>(&'a self, app: &'a AppState, headers: &'a HeaderMap) -> Scope<'a> {
        Scope {
            gateway: &app.gateway,
            limits: &app.limits,
            client: &self.client,
            user: &self.user,
            dialect: Dialect::Nexus,
            headers,
        }
    }
}

impl PlatformClient {
    /// The members of that user of this client.
    pub fn scope<'a>(
        &'a self,
        app: &'a AppState,
        user: &'a User,
        headers: &'a HeaderMap,
    ) -> Scope<'a> {
        Scope {
            gateway: &app.gateway,
            limits: &app.limits,
            client: &self.client,
            user,
            dialect: Dialect::Platform,
            headers,
        }
    }
}

impl Scope<'_> {
    /// Mints a new link for a member.
    pub async fn mint(&self, member: &str, query: &str) -> ApiResult {
        let minted = self.minted(member, Fields::of_query(query).take()).await?;
        Ok(json::response(
            self.headers,
            StatusCode::OK,
            &LinkBody::from(&minted),
        ))
    }

    /// Mints a new link for a member by POST; the body's options win over the query's.
    pub async fn authorize(&self, member: &str, query: &str, body: &[u8]) -> ApiResult {
        let fields = Fields::of_request(body, query, "member")?;
        let minted = self.minted(member, fields.take()).await?;
        Ok(json::response(
            self.headers,
            StatusCode::OK,
            &AuthorizationBody::from(&minted),
        ))
    }

    async fn minted(&self, member: &str, asked: WindowLinkOptions) -> Result<Minted, Problem> {
        access::enabled(self.user)?;
        let link_options = asked
            .link_options
            .of_window(asked.skip_aggregation.read()?)?;
        let member = self.guid(member).await?;
        let _place = self
            .limits
            .mint(&self.client.id, self.user.guid, Some(member))?;
        Ok(mint::mint(
            self.gateway,
            self.client,
            self.user.guid,
            member,
            link_options,
        )
        .await?)
    }

    /// Deletes a member.
    pub async fn delete(&self, member: &str, webhooks: WebhookChoice) -> Result<(), Problem> {
        let member = self.guid(member).await?;
        let deleted =
            members::delete(self.gateway, self.client, self.user, member, webhooks).await?;
        deleted
            .map(drop)
            .ok_or_else(|| Problem::not_found("member"))
    }

    /// The guid of the member that a path names: by guid or, in the Platform API, by the client's own
    /// name for it. Text that can be neither is not found, like an unknown name.
    async fn guid(&self, identifier: &str) -> Result<MemberGuid, Problem> {
        match (identifier.parse(), self.dialect) {
            (Ok(guid), _) => Ok(guid),
            (Err(_), Dialect::Nexus) => Err(Problem::not_found("member")),
            (Err(_), Dialect::Platform) => Ok(self.find(identifier).await?.guid),
        }
    }

    /// The member that a path names.
    async fn find(&self, identifier: &str) -> Result<Member, Problem> {
        let is_guid = identifier.parse::<MemberGuid>().is_ok();
        let found = match is_guid || self.dialect == Dialect::Platform {
            true => members::find(self.gateway, self.client, self.user, identifier).await?,
            false => None,
        };
        found.ok_or_else(|| Problem::not_found("member"))
    }

    /// The error that another member has this name. A session gets that member's guid only if it is one
    /// of its own user's (CONTRACT.md 1.1).
    async fn name_taken(&self, problem: impl Into<Problem>, holder: MemberGuid) -> Problem {
        let problem = problem.into();
        if self.dialect == Dialect::Platform {
            return problem;
        }
        match self.find(&holder.to_string()).await {
            Ok(_) => problem,
            Err(_) => problem.about_nothing(),
        }
    }

    fn member_response(&self, status: StatusCode, member: &Member) -> Response {
        match self.dialect {
            Dialect::Nexus => {
                let member = NexusMember::of(member);
                json::response(self.headers, status, &NexusMemberBody { member })
            }
            Dialect::Platform => {
                let member = PlatformMember::of(member);
                json::response(self.headers, status, &PlatformMemberBody { member })
            }
        }
    }

    /// 202 in the Platform API if something was started; Nexus always has 200 (CONTRACT.md 1.2).
    fn accepted(&self) -> StatusCode {
        match self.dialect {
            Dialect::Nexus => StatusCode::OK,
            Dialect::Platform => StatusCode::ACCEPTED,
        }
    }
}
