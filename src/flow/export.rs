//! export: a member's token set → a grant for another gateway.
//!
//! The token set is frozen first, so that nobody here refreshes it any more, and then read: it is the newest.

use std::time::Duration;

use super::{Gateway, Internal, seal_contexts};
use crate::domain::grant::Grant;
use crate::domain::id::{ClientId, MemberGuid};
use crate::domain::member::Member;
use crate::domain::token_set::TokenSet;
use crate::domain::user::User;
use crate::steps::record::AccessRecord;
use crate::store::{Frozen, PageRequest};

/// How often it is looked whether a refresh has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How many users are read at a time.
const PER_PAGE: u32 = 1000;

/// What became of a member that was to be exported.
pub enum Exported {
    /// It is frozen, and this is its grant.
    Grant {
        /// The grant.
        grant: Box<Grant>,
        /// Whether its refresh token may have been used up: the outcome of the last refresh is unknown.
        is_in_doubt: bool,
    },
    /// It has no token set (any more).
    Nothing,
    /// The institution refused its token set. It is not frozen.
    Refused,
    /// Its token set could not be opened. It was not frozen for this.
    Unreadable(String),
    /// Its user has no `id`, by which another gateway could know it. It is not frozen.
    Unnamed,
}

/// A member with what it is pulled with.
pub struct Held {
    /// The member.
    pub member: Member,
    /// Its token set or credentials, sealed.
    pub access: AccessRecord,
}

/// One page of the client's users, oldest first, each with its members that have something to be pulled with; and
/// whether it was the last one. Pages are counted from 1.
pub async fn page(
    gateway: &Gateway,
    client: &ClientId,
    page: u32,
) -> Result<(Vec<(User, Vec<Held>)>, bool), Internal> {
    let store = &gateway.store;
    let request = PageRequest {
        page,
        per_page: PER_PAGE,
    };
    let users = store.users(client, request, gateway.now()).await?;
    // A place without a user counts neither on the page nor in all.
    let is_last = request.skipped() + users.items.len() as u64 >= users.total;
    let mut found = Vec::with_capacity(users.items.len());
    for user in users.items {
        let members = store.members(user.guid).await?;
        let guids: Vec<MemberGuid> = members.iter().map(|it| it.guid).collect();
        let access = store.access(user.guid, &guids).await?;
        let held = members.into_iter().zip(access);
        let held = held.filter_map(|(member, access)| {
            let access = access?;
            Some(Held { member, access })
        });
        found.push((user, held.collect()));
    }
    Ok((found, is_last))
}

/// Freezes the token set of the user's member and reads it. A refresh that is under way is waited for.
pub async fn export(gateway: &Gateway, user: &User, held: &Held) -> Result<Exported, Internal> {
    let member = &held.member;
    let Some(id) = &user.id else {
        return Ok(Exported::Unnamed);
    };
    // What cannot be opened is not frozen.
    if let Err(why) = opened(gateway, member, &held.access.sealed) {
        return Ok(Exported::Unreadable(why));
    }
    let (sealed, is_in_doubt) = loop {
        match gateway.store.freeze(member.guid, gateway.now()).await? {
            Frozen::Frozen {
                sealed,
                is_in_doubt,
            } => break (sealed, is_in_doubt),
            Frozen::UnderWay(_) => tokio::time::sleep(LOOK_EVERY).await,
            Frozen::Refused => return Ok(Exported::Refused),
            Frozen::None => return Ok(Exported::Nothing),
        }
    };
    let token_set = match opened(gateway, member, &sealed) {
        Ok(token_set) => token_set,
        Err(why) => return Ok(Exported::Unreadable(why)),
    };
    let grant = Grant {
        client: member.client.clone(),
        user: id.clone(),
        institution: member.institution.clone(),
        token_set,
        subject: None,
    };
    Ok(Exported::Grant {
        grant: Box::new(grant),
        is_in_doubt,
    })
}

fn opened(gateway: &Gateway, member: &Member, sealed: &[u8]) -> Result<TokenSet, String> {
    let guid = member.guid.to_string();
    let context = seal_contexts::token_set(&member.client, &guid);
    let bytes = gateway.sealer.open(&context, sealed);
    let bytes = bytes.map_err(|error| error.to_string())?;
    TokenSet::from_bytes(&bytes).map_err(|error| error.to_string())
}

/// Lets the member's token set be refreshed here again; `false`: it was not frozen.
pub async fn thaw(gateway: &Gateway, member: MemberGuid) -> Result<bool, Internal> {
    Ok(gateway.store.thaw(member, gateway.now()).await?)
}
