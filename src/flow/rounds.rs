//! Rounds: every member of every user is looked after, again and again, a bounded number each minute.
//!
//! - An OAuth member that nobody connected for long is deleted (CONTRACT.md 8).
//! - What was issued to an earlier certificate of the client is refreshed.
//! - The background pulls of a connected member become as the configuration has them.
//!
//! Each process goes its own rounds. It begins anywhere, so that one that is often restarted comes everywhere, and what
//! two find at the same time is done once, by the step.

use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::Instrument;

use super::{Gateway, Internal, certificates};
use crate::domain::event::EventKind;
use crate::domain::member::{ConnectionStatus, Member};
use crate::domain::random;
use crate::domain::user::User;
use crate::log_context;
use crate::store::{ArrangeBackground, Deletion, PageRequest, StoreError};

/// How many users are looked after side by side: a page of them.
const SIDE_BY_SIDE: u32 = 32;

/// How many pages are looked after each minute.
const PAGES: u32 = 64;

/// How far the rounds of a process are.
#[derive(Debug, Default)]
pub struct Round {
    /// Which of the clients, in the order of their ids; `None`: it has not begun.
    client: Option<usize>,
    /// The page of its users that comes next, down to 1: from the last one on, so that nobody is passed over when
    /// somebody before is deleted. 0: the next client's turn.
    page: u32,
}

/// Looks after the next users, but after nobody twice.
pub async fn go_on(gateway: &Arc<Gateway>, round: &mut Round) -> Result<(), Internal> {
    let clients = gateway.clients.ids();
    let mut begun = 0;
    for _ in 0..PAGES {
        let now = gateway.now();
        let nth = match round.client.filter(|_| round.page > 0) {
            Some(nth) => nth,
            None if begun == clients.len() => break,
            None => {
                begun += 1;
                let nth = match round.client {
                    Some(last) => (last + 1) % clients.len(),
                    None => any(gateway, clients.len()),
                };
                let is_first = round.client.is_none();
                let users = gateway.store.users(clients[nth], page(1), now).await?;
                let pages = users.total.div_ceil(u64::from(SIDE_BY_SIDE));
                let pages = u32::try_from(pages).unwrap_or(u32::MAX);
                round.client = Some(nth);
                round.page = match is_first && pages > 0 {
                    true => 1 + u32::try_from(any(gateway, pages as usize)).unwrap_or_default(),
                    false => pages,
                };
                continue;
            }
        };
        let found = gateway.store.users(clients[nth], page(round.page), now);
        match found.await {
            Ok(users) => look_after(gateway, users.items).await,
            Err(error @ StoreError::Unavailable(_)) => return Err(error.into()),
            // The others are looked after all the same.
            Err(error) => tracing::error!(%error, "users could not be looked after"),
        }
        round.page -= 1;
    }
    Ok(())
}

fn page(page: u32) -> PageRequest {
    PageRequest {
        page,
        per_page: SIDE_BY_SIDE,
    }
}

/// Any number below that.
fn any(gateway: &Gateway, below: usize) -> usize {
    let drawn = u64::from_le_bytes(random::bytes(gateway.random.as_ref()));
    usize::try_from(drawn).unwrap_or_default() % below.max(1)
}

async fn look_after(gateway: &Arc<Gateway>, users: Vec<User>) {
    let mut looks = JoinSet::new();
    for user in users {
        let gateway = gateway.clone();
        let look = async move {
            if let Err(error) = look_after_members(&gateway, &user).await {
                tracing::error!(%error, "a user's members could not be looked after");
            }
        };
        looks.spawn(look.instrument(log_context::span()));
    }
    looks.join_all().await;
}

async fn look_after_members(gateway: &Gateway, user: &User) -> Result<(), Internal> {
    for member in gateway.store.members(user.guid).await? {
        let look = async {
            match member.status {
                ConnectionStatus::Pending => delete_if_abandoned(gateway, &member).await,
                _ => {
                    arrange(gateway, &member).await?;
                    certificates::rebind(gateway, &member).await
                }
            }
        };
        look.instrument(log_context::span()).await?;
    }
    Ok(())
}

/// Deletes an OAuth member that nobody connected for as long as such members are kept.
async fn delete_if_abandoned(gateway: &Gateway, member: &Member) -> Result<(), Internal> {
    let now = gateway.now();
    let since = now.checked_sub(gateway.settings.keep_unconnected);
    let Some(since) = since.ok().filter(|since| member.created_at <= *since) else {
        return Ok(());
    };
    let client = gateway.client(&member.client)?;
    let kinds = [EventKind::MemberDeleted];
    let deletion = Deletion {
        user: member.user,
        member: member.guid,
        only_abandoned_since: Some(since),
        deleted: gateway.notices(client, &kinds, member.guid.partition()),
        finished: Vec::new(),
    };
    if gateway.store.delete_member(&deletion, now).await?.is_some() {
        log_context::member(member);
        tracing::info!("member deleted; nobody connected it");
    }
    Ok(())
}

/// Sees to it that the member has background pulls if the configuration wants them, and none if not.
async fn arrange(gateway: &Gateway, member: &Member) -> Result<(), Internal> {
    let now = gateway.now();
    let rules = gateway.background(&member.client, &member.institution);
    let latest = rules.longest().map(|longest| now + longest);
    let is_arranged = match (member.background, latest) {
        (Some(pulls), Some(latest)) => pulls.due_at <= latest,
        (pulls, latest) => pulls.is_none() && latest.is_none(),
    };
    if is_arranged {
        return Ok(());
    }
    let arrange = ArrangeBackground {
        member: member.guid,
        due_at: rules.first(now, gateway.random.as_ref()),
    };
    if gateway.store.arrange_background(&arrange, now).await? {
        log_context::member(member);
        tracing::debug!("background pulls arranged");
    }
    Ok(())
}
