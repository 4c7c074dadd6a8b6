//! revoke: tokens that nobody needs → given back to their institution (RFC 7009).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::calls::NotCalled;
use super::circuits::{Rests, Target};
use super::failure::tell_operator;
use super::registration::CallbackEndpoint;
use super::settle::Attempt;
use super::{Gateway, Internal, redeem, seal_contexts};
use crate::domain::duty::DutyKind;
use crate::domain::id::{ClientId, InstitutionCode, MemberGuid};
use crate::domain::random;
use crate::domain::token_set::TokenSet;
use crate::log_context;
use crate::metrics::Revoked;
use crate::oauth::{Issued, RevokeError, Scrubber};
use crate::steps::record::Revocation;
use crate::store::{DutyName, Fate, GiveBack, Owed};

/// The pauses before tokens are revoked again from memory, where the store is away.
const FROM_MEMORY: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];

/// Revokes what is owed, once, and records what became of it.
pub(super) async fn perform(gateway: &Arc<Gateway>, owed: Owed) -> Result<(), Internal> {
    let Owed {
        member,
        generation,
        revocation,
    } = owed;
    let (client, institution) = (&revocation.client, &revocation.institution);
    log_context::client(client);
    log_context::institution(institution);
    log_context::member_guid(member);
    let duty = DutyName::Revocation(member, generation);
    let attempt = Attempt::of(duty, revocation.attempt);
    let Ok(endpoint) = CallbackEndpoint::of(gateway, client, institution) else {
        tracing::warn!(
            "no longer registered at the institution; its tokens are revoked once it is again"
        );
        return again(gateway, attempt, &revocation, None).await;
    };
    let takes_back = endpoint.registered().oauth.takes_back();
    if let Some(code) = &revocation.code {
        if takes_back {
            let call = match redeem::begin(gateway, &endpoint) {
                Ok(call) => call,
                Err(NotCalled::Rests(Rests(rest))) => {
                    return attempt.give_back(gateway, rest).await;
                }
                Err(NotCalled::TooMany(_)) => {
                    return again(gateway, attempt, &revocation, None).await;
                }
            };
            let issued = redeem::unused(gateway, &endpoint, code, &call).await;
            drop(call);
            give_back(gateway, &endpoint, member, &issued).await;
        }
        return attempt.settle(gateway, Fate::Done, None).await;
    }
    if !takes_back {
        if gateway.without_revocation.is_news(institution) {
            tracing::warn!(
                "the institution has no revocation endpoint; unwanted tokens are valid there until they end"
            );
        }
        count(gateway, client, institution, Revoked::NoEndpoint);
        return attempt.settle(gateway, Fate::Dropped, None).await;
    }
    let guid = member.to_string();
    let context = seal_contexts::token_set(client, &guid);
    let mut issued = Issued::default();
    for sealed in &revocation.sealed {
        let opened = gateway.sealer.open(&context, sealed);
        let read = opened
            .map_err(|error| error.to_string())
            .and_then(|bytes| TokenSet::from_bytes(&bytes).map_err(|error| error.to_string()));
        match read {
            Ok(token_set) => issued.add(&token_set),
            Err(error) => {
                tracing::error!(error, "tokens to be revoked could not be read; given up");
                count(gateway, client, institution, Revoked::GivenUp);
                return attempt.settle(gateway, Fate::Buried, None).await;
            }
        }
    }
    let target = Target::Revocation(institution.clone());
    let entered = match gateway.circuits.enter(&target, Instant::now()) {
        Ok(entered) => entered,
        Err(Rests(rest)) => return attempt.give_back(gateway, rest).await,
    };
    let at = endpoint.registered();
    let revoked = gateway
        .oauth
        .revoke(at, &issued, &Scrubber::default(), gateway.now())
        .await;
    match revoked {
        Ok(()) => {
            gateway.circuits.worked(&target);
            tracing::info!("tokens revoked");
            count(gateway, client, institution, Revoked::Revoked);
            attempt.settle(gateway, Fate::Done, None).await
        }
        Err(error) if error.is_final() => {
            gateway.circuits.worked(&target);
            tracing::info!(%error, "tokens cannot be revoked; they end by themselves");
            count(gateway, client, institution, Revoked::NoEndpoint);
            attempt.settle(gateway, Fate::Dropped, None).await
        }
        Err(error) => {
            let circuits = &gateway.circuits;
            let asked = match &error {
                RevokeError::Refused(_) => {
                    circuits.worked(&target);
                    None
                }
                RevokeError::Later(asked, _) => {
                    circuits.failed(&target, entered, Some(*asked), Instant::now());
                    Some(*asked)
                }
                _ => {
                    circuits.failed(&target, entered, None, Instant::now());
                    None
                }
            };
            tracing::warn!(%error, "tokens could not be revoked");
            if let Some(setup) = error.setup_fault(at.oauth) {
                tell_operator(
                    gateway,
                    [client.as_str(), institution.as_str()],
                    setup,
                    &error.to_string(),
                );
            }
            again(gateway, attempt, &revocation, asked).await
        }
    }
}

/// It is tried again later, or given up.
async fn again(
    gateway: &Gateway,
    attempt: Attempt,
    revocation: &Revocation,
    asked: Option<Duration>,
) -> Result<(), Internal> {
    let (now, random) = (gateway.now(), gateway.random.as_ref());
    let tries = (revocation.attempt, revocation.since);
    let schedule = DutyKind::Revoke.schedule();
    match schedule.next(tries, asked, now, random) {
        Some(next) => attempt.settle(gateway, Fate::Postponed(next), None).await,
        None => {
            tracing::error!(
                "tokens could not be revoked for a day; given up, and valid until they end"
            );
            count(
                gateway,
                &revocation.client,
                &revocation.institution,
                Revoked::GivenUp,
            );
            attempt.settle(gateway, Fate::Buried, None).await
        }
    }
}

/// Owes the revocation of tokens that no member has, and the deletion of the consent they are for, if there are any. If
/// the store is away they are revoked from memory.
pub(super) async fn give_back(
    gateway: &Arc<Gateway>,
    endpoint: &CallbackEndpoint,
    member: MemberGuid,
    issued: &Issued,
) {
    let (client, institution) = (&endpoint.client.id, &endpoint.institution.code);
    let deletes_consents = endpoint.registered().oauth.calls.delete_consent.is_some();
    let is_owed = issued.has_tokens() || issued.has_consent() && deletes_consents;
    if !is_owed {
        return;
    }
    let random = gateway.random.as_ref();
    let guid = member.to_string();
    let context = seal_contexts::token_set(client, &guid);
    let sealed = |set: TokenSet| gateway.sealer.seal(random, &context, &set.to_bytes());
    let owed = GiveBack {
        member,
        client: client.clone(),
        institution: institution.clone(),
        generation: u64::from_be_bytes(random::bytes(random)),
        sealed: issued.token_sets().into_iter().map(sealed).collect(),
    };
    if let Err(error) = gateway.store.owe_revocation(&owed, gateway.now()).await {
        tracing::error!(%error, "the store is away; tokens are revoked from memory");
        let (gateway, endpoint, issued) = (gateway.clone(), endpoint.clone(), issued.clone());
        let behind = gateway.clone();
        gateway.spawn(async move { from_memory(&behind, &endpoint, &issued).await });
    }
}

/// Revokes tokens without the store, a few times.
async fn from_memory(gateway: &Gateway, endpoint: &CallbackEndpoint, issued: &Issued) {
    let at = endpoint.registered();
    let mut pauses = FROM_MEMORY.iter();
    loop {
        let scrubber = Scrubber::default();
        let revoked = gateway.oauth.revoke(at, issued, &scrubber, gateway.now());
        let error = match revoked.await {
            Ok(()) => return,
            Err(error) if error.is_final() => return,
            Err(error) => error,
        };
        let Some(pause) = pauses.next() else {
            tracing::error!(%error, "tokens could not be revoked from memory; given up");
            return;
        };
        tokio::time::sleep(*pause).await;
    }
}

fn count(gateway: &Gateway, client: &ClientId, institution: &InstitutionCode, result: Revoked) {
    let labels = [client.as_str(), institution.as_str(), result.name()];
    gateway.metrics.revocations.count(labels);
}
