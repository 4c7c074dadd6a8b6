//! The response bodies of the APIs, field by field (CONTRACT.md 1.2, 1.4, 2.4 and 6.1). The description
//! of the API is made from these types, so that the two cannot differ.

mod challenges;
mod claim;
mod institution;
mod job;
mod lease;
mod link;
mod member;
mod nexus_challenges;
mod oauth_completion;
mod oauth_state;
mod session;
mod user;

pub use challenges::{
    ChallengeResponse, ChallengesBody, CredentialResponse, CredentialsBody, NexusChallengesBody,
};
pub use claim::ClaimedBody;
pub use institution::{InstitutionBody, InstitutionResponse, InstitutionsBody, supports_oauth};
pub use job::{JobBody, JobResponse};
pub use lease::{LeaseBody, ReportedBody, ReportedJob};
pub use link::{AuthorizationBody, LinkBody};
pub use member::{
    MemberStatusBody, NexusMember, NexusMemberBody, NexusMembersBody, PlatformMember,
    PlatformMemberBody, PlatformMembersBody,
};
pub use nexus_challenges::{
    MfaCredentialResponse, MfaCredentialsBody, NexusCredentialResponse, NexusCredentialsBody,
};
pub use oauth_completion::OauthCompletionBody;
pub use oauth_state::{OauthStateBody, OauthStateResponse, OauthStatesBody};
pub use session::{ApiToken, ApiTokenBody, Session, SessionBody};
pub use user::{UserBody, UserResponse, UsersBody};

use serde::Serialize;
use utoipa::ToSchema;

use crate::flow::{PageRequest, Paged};

/// The position of a page in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Pagination {
    /// The page, counted from 1.
    #[schema(example = 1)]
    current_page: u32,
    /// How many entries a page has.
    #[schema(example = 25)]
    per_page: u32,
    /// How many entries there are in all.
    #[schema(example = 1)]
    total_entries: u64,
    /// How many pages there are; at least 1.
    #[schema(example = 1)]
    total_pages: u64,
}

impl Pagination {
    /// The position of that page.
    pub fn of<T>(page: PageRequest, paged: &Paged<T>) -> Self {
        Self {
            current_page: page.page,
            per_page: page.per_page,
            total_entries: paged.total,
            total_pages: paged.total.div_ceil(u64::from(page.per_page)).max(1),
        }
    }
}

/// An empty object.
#[derive(Debug, Serialize, ToSchema)]
pub struct Empty {}
