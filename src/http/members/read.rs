//! Reads members, and their institutions' questions.

use axum::http::StatusCode;

use super::Scope;
use crate::flow::{challenges, members};
use crate::http::body::Fields;
use crate::http::institutions;
use crate::http::json;
use crate::http::problem::{ApiResult, Dialect, Problem};
use crate::http::requests::{PagesQuery, UseCaseQuery};
use crate::http::responses::{
    ChallengeResponse, ChallengesBody, MemberStatusBody, NexusChallengesBody, NexusMember,
    NexusMembersBody, Pagination, PlatformMember, PlatformMembersBody,
};

impl Scope<'_> {
    /// One member.
    pub async fn read(&self, member: &str) -> ApiResult {
        let found = self.find(member).await?;
        Ok(self.member_response(StatusCode::OK, &found))
    }

    /// The user's members; in the Platform API in pages, and perhaps only those of one use case.
    pub async fn list(&self, query: &str) -> ApiResult {
        if self.dialect == Dialect::Nexus {
            let all = members::all(self.gateway, self.user).await?;
            let members = all.iter();
            let members = members.map(NexusMember::of);
            let body = NexusMembersBody {
                members: members.collect(),
            };
            return Ok(json::response(self.headers, StatusCode::OK, &body));
        }
        let fields = Fields::of_query(query);
        let use_case = fields.take::<UseCaseQuery>().use_case.read()?;
        let page = fields.take::<PagesQuery>().page();
        let paged = members::page(self.gateway, self.user, use_case, page).await?;
        let members = paged.items.iter();
        let body = PlatformMembersBody {
            members: members.map(PlatformMember::of).collect(),
            pagination: Pagination::of(page, &paged),
        };
        Ok(json::response(self.headers, StatusCode::OK, &body))
    }

    /// Read a member's status.
    pub async fn status(&self, member: &str) -> ApiResult {
        let found = self.find(member).await?;
        let asked = challenges::challenges(self.gateway, &found).await?;
        let body = MemberStatusBody::of(&found, &asked);
        Ok(json::response(self.headers, StatusCode::OK, &body))
    }

    /// List the questions that the member's institution is asking now.
    pub async fn challenges(&self, member: &str, query: &str) -> ApiResult {
        let found = self.find(member).await?;
        let asked = challenges::challenges(self.gateway, &found).await?;
        let all: Vec<_> = asked.iter().map(ChallengeResponse::from).collect();
        Ok(match self.dialect {
            Dialect::Nexus => {
                let body = NexusChallengesBody { challenges: all };
                json::response(self.headers, StatusCode::OK, &body)
            }
            Dialect::Platform => {
                let page = Fields::of_query(query).take::<PagesQuery>().page();
                let paged = page.of(all);
                let body = ChallengesBody {
                    pagination: Pagination::of(page, &paged),
                    challenges: paged.items,
                };
                json::response(self.headers, StatusCode::OK, &body)
            }
        })
    }

    /// The fields of the institution's sign-in; never the member's values.
    pub async fn credentials(&self, member: &str, query: &str) -> ApiResult {
        let found = self.find(member).await?;
        let institution = self.gateway.institutions.get(&found.institution);
        let institution = institution.ok_or_else(|| Problem::not_found("institution"))?;
        Ok(institutions::credentials_response(
            self.headers,
            self.dialect,
            institution,
            query,
        ))
    }
}
