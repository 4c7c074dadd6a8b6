//! refresh: a token set → a newer one, and what follows where that fails.
//!
//! The order is: brake, intent, circuit, the call, what came back is kept, and only then looked at. Whoever asked may
//! go away meanwhile: the refresh goes on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::circuits::Target;
use super::registration::CallbackEndpoint;
use super::settle::settle;
use super::{Gateway, Internal, revoke, seal_contexts};
use crate::domain::duty::DutyKind;
use crate::domain::event::EventKind;
use crate::domain::id::MemberGuid;
use crate::domain::random;
use crate::domain::secret::Digest;
use crate::domain::token_set::TokenSet;
use crate::log_context;
use crate::metrics::Refreshing;
use crate::oauth::{Issued, RefreshFailure, RefreshMeaning, Refreshed, SetupFault};
use crate::store::{
    AtInstitution, BeginRefresh, Begun, Braked, CountRefusal, DutyName, Fate, NewTokens,
    RefreshOutcome, ReleaseBrake, SettleRefresh, Settled, Verdict, Want,
};

/// How long keeping new tokens may take, from the end of the call on: a step that carries tokens is sent again for
/// about a minute.
const KEEPING: Duration = Duration::from_secs(100);

/// How long somebody waits for a refresh that is under way elsewhere.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a refresh led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The access token is as it was wanted.
    Current,
    /// Not yet: it may be asked for again then.
    Later(Timestamp),
    /// There is no way to a new token.
    Ended,
}

/// A token set about to be kept for a member.
pub(super) fn sealed(
    gateway: &Gateway,
    endpoint: &CallbackEndpoint,
    member: MemberGuid,
    token_set: &TokenSet,
) -> NewTokens {
    let (now, random) = (gateway.now(), gateway.random.as_ref());
    let rules = endpoint.registered().oauth.refresh;
    let guid = member.to_string();
    let context = seal_contexts::token_set(&endpoint.client.id, &guid);
    let is_renewable = token_set.refresh_token.is_some();
    let assumed = is_renewable.then(|| now + rules.assumed_life);
    NewTokens {
        generation: u64::from_be_bytes(random::bytes(random)),
        sealed: gateway.sealer.seal(random, &context, &token_set.to_bytes()),
        is_renewable,
        ends_at: token_set.expires_at.or(assumed),
        due_at: is_renewable.then(|| now + rules.idle),
    }
}

/// Refreshes a token set that is due, as a duty.
pub async fn perform(
    gateway: &Arc<Gateway>,
    at: AtInstitution,
    member: MemberGuid,
) -> Result<(), Internal> {
    log_context::client(&at.client);
    log_context::institution(&at.institution);
    match refresh(gateway, at, member, Want::Due).await? {
        Outcome::Current | Outcome::Ended => Ok(()),
        Outcome::Later(again_at) => {
            settle(
                gateway,
                DutyName::Refresh(member),
                Fate::Postponed(again_at),
                None,
            )
            .await
        }
    }
}

/// Sees to it that a member's access token is as it is wanted: one refresh at a time, over all gateways.
pub(super) async fn refresh(
    gateway: &Arc<Gateway>,
    at: AtInstitution,
    member: MemberGuid,
    want: Want,
) -> Result<Outcome, Internal> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let (behind, at) = (gateway.clone(), at.clone());
        let work = async move { once(&behind, at, member, want).await };
        let tried = gateway.spawn(work).await;
        match tried.map_err(|_| Internal::Interrupted)?? {
            Tried::Ended(outcome) => return Ok(outcome),
            Tried::UnderWay(_) if Instant::now() < patience && want != Want::Due => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Tried::UnderWay(until) => return Ok(Outcome::Later(until)),
        }
    }
}

enum Tried {
    Ended(Outcome),
    UnderWay(Timestamp),
}

async fn once(
    gateway: &Arc<Gateway>,
    at: AtInstitution,
    member: MemberGuid,
    want: Want,
) -> Result<Tried, Internal> {
    let endpoint = CallbackEndpoint::of(gateway, &at.client, &at.institution)?;
    let rules = endpoint.registered().oauth.refresh;
    let braked = gateway.store.ask_brake(&at, gateway.now()).await?;
    if let Braked::Until(again_at) = braked {
        return Ok(Tried::Ended(Outcome::Later(again_at)));
    }
    let fence = Digest::from_bytes(random::bytes(gateway.random.as_ref()));
    let call = endpoint.registered().oauth.timeout;
    let begin = BeginRefresh {
        member,
        want,
        fence,
        fenced_for: call + KEEPING,
        doubt: rules.doubt,
    };
    let (sealed, generation) = match gateway.store.begin_refresh(&begin, gateway.now()).await? {
        Begun::Begun { sealed, generation } => (sealed, generation),
        Begun::Current => return Ok(Tried::Ended(Outcome::Current)),
        Begun::UnderWay(until) => return Ok(Tried::UnderWay(until)),
        Begun::Later(again_at) => return Ok(Tried::Ended(Outcome::Later(again_at))),
        Begun::Ended => return Ok(Tried::Ended(Outcome::Ended)),
    };
    let refresh = Refresh {
        gateway,
        endpoint: &endpoint,
        at: &at,
        member,
        fence,
        generation,
        is_probe: braked == Braked::Probe,
    };
    refresh.run(&sealed).await.map(Tried::Ended)
}

/// A refresh that has begun.
struct Refresh<'a> {
    gateway: &'a Arc<Gateway>,
    endpoint: &'a CallbackEndpoint,
    at: &'a AtInstitution,
    member: MemberGuid,
    fence: Digest,
    generation: u64,
    /// Whether it shows if the brake can be taken off.
    is_probe: bool,
}

impl Refresh<'_> {
    async fn run(&self, sealed: &[u8]) -> Result<Outcome, Internal> {
        let (gateway, target) = (
            self.gateway,
            Target::Institution(self.at.institution.clone()),
        );
        let current = match self.unseal(sealed) {
            Ok(current) => current,
            Err(error) => {
                tracing::error!(
                    error,
                    "a member's token set could not be read; not refreshed"
                );
                return self.not_asked(1).await;
            }
        };
        if gateway.circuits.enter(&target, Instant::now()).is_err() {
            return self.not_asked(1).await;
        }
        let labels = [self.at.client.as_str(), self.at.institution.as_str()];
        let timing = gateway.metrics.token_endpoint.start(labels);
        let at = self.endpoint.registered();
        let asked = gateway.oauth.refresh(at, &current, gateway.now()).await;
        drop(timing);
        let outcome = match asked {
            // The store says that there is one.
            None => return self.not_asked(1).await,
            Some(Ok(refreshed)) => {
                let kept = self.keep(refreshed).await;
                gateway.circuits.worked(&target);
                return kept;
            }
            Some(Err(failure)) => failure,
        };
        match outcome.meaning {
            RefreshMeaning::Refused => gateway.circuits.worked(&target),
            RefreshMeaning::Unknown | RefreshMeaning::NotAsked | RefreshMeaning::ClientRefused => {
                gateway.circuits.failed(&target, None, Instant::now());
            }
        }
        self.failed(*outcome).await
    }

    fn unseal(&self, sealed: &[u8]) -> Result<TokenSet, String> {
        let guid = self.member.to_string();
        let context = seal_contexts::token_set(&self.at.client, &guid);
        let bytes = self.gateway.sealer.open(&context, sealed);
        let bytes = bytes.map_err(|error| error.to_string())?;
        TokenSet::from_bytes(&bytes).map_err(|error| error.to_string())
    }

    /// Keeps new tokens, before anything else in the response counts.
    async fn keep(&self, refreshed: Refreshed) -> Result<Outcome, Internal> {
        let Refreshed {
            token_set, fault, ..
        } = refreshed;
        let new = sealed(self.gateway, self.endpoint, self.member, &token_set);
        let settled = self.settle(RefreshOutcome::Refreshed(new)).await?;
        if let Some(fault) = fault {
            tracing::error!(%fault, "tokens of an unusual kind were kept; lent all the same");
        }
        match settled {
            Settled::Superseded => {
                tracing::warn!(
                    "the token set was replaced during a refresh; what it gave is dropped"
                );
            }
            Settled::Gone => {
                tracing::warn!("the member went during a refresh; what it gave is given back");
                let issued = Issued::from(&token_set);
                revoke::give_back(self.gateway, self.endpoint, self.member, &issued).await;
            }
            Settled::Kept | Settled::Lost(..) => tracing::debug!("token set refreshed"),
            Settled::Recovered(_) => tracing::info!("connected again by a refresh"),
        }
        self.gateway.granted.count(self.at);
        if self.is_probe {
            release(self.gateway, self.at, false).await?;
        }
        Ok(Outcome::Current)
    }

    async fn failed(&self, failure: RefreshFailure) -> Result<Outcome, Internal> {
        let error = failure.error.to_string();
        match failure.meaning {
            RefreshMeaning::Refused => {
                let counts = count_refusal(self.gateway, self.at, self.member).await?;
                let doubt = self.endpoint.registered().oauth.refresh.doubt;
                let again_at = self.gateway.now() + doubt;
                tracing::warn!(error, counts, "the institution refused a refresh");
                let refused = RefreshOutcome::Refused { counts, again_at };
                match self.settle(refused).await? {
                    Settled::Lost(_, reason) => {
                        let reason = reason.name();
                        tracing::warn!(reason, "connection lost; the person has to connect again");
                        Ok(Outcome::Ended)
                    }
                    _ => Ok(Outcome::Later(again_at)),
                }
            }
            RefreshMeaning::Unknown => {
                let doubt = self.endpoint.registered().oauth.refresh.doubt;
                let again_at = self.gateway.now() + doubt;
                tracing::warn!(
                    error,
                    "the outcome of a refresh is unknown; tried again later"
                );
                self.settle(RefreshOutcome::Unknown { again_at }).await?;
                Ok(Outcome::Later(again_at))
            }
            RefreshMeaning::NotAsked => {
                tracing::warn!(error, "the institution could not be asked for a refresh");
                self.not_asked(1).await
            }
            RefreshMeaning::ClientRefused => {
                tracing::error!(error, "the institution refused this client a refresh");
                let setup = SetupFault::ClientRefused.name();
                let labels = [self.at.client.as_str(), self.at.institution.as_str(), setup];
                self.gateway.metrics.institution_not_set_up.count(labels);
                self.not_asked(3).await
            }
        }
    }

    /// The token was not used: it is tried again after the `nth` pause of the schedule.
    async fn not_asked(&self, nth: u32) -> Result<Outcome, Internal> {
        let (now, random) = (self.gateway.now(), self.gateway.random.as_ref());
        let schedule = DutyKind::Refresh.schedule();
        let again_at = schedule.next((nth, now), None, now, random).unwrap_or(now);
        self.settle(RefreshOutcome::NotAsked { again_at }).await?;
        Ok(Outcome::Later(again_at))
    }

    async fn settle(&self, outcome: RefreshOutcome) -> Result<Settled, Internal> {
        const LOST: &[EventKind] = &[EventKind::MemberUpdated, EventKind::ConnectionStatus];
        let (kinds, result): (&[EventKind], _) = match &outcome {
            RefreshOutcome::Refreshed(_) => (&[EventKind::MemberUpdated], Refreshing::Refreshed),
            RefreshOutcome::Refused { .. } => (LOST, Refreshing::Refused),
            RefreshOutcome::Unknown { .. } => (&[], Refreshing::Unknown),
            RefreshOutcome::NotAsked { .. } => (&[], Refreshing::NotAsked),
        };
        let (client, partition) = (&self.endpoint.client, self.member.partition());
        let settle = SettleRefresh {
            member: self.member,
            fence: self.fence,
            generation: self.generation,
            outcome,
            changed: self.gateway.notices(client, kinds, partition),
        };
        let now = self.gateway.now();
        let settled = self.gateway.store.settle_refresh(&settle, now).await?;
        let (client, institution) = (self.at.client.as_str(), self.at.institution.as_str());
        let labels = [client, institution, result.name()];
        self.gateway.metrics.refreshes.count(labels);
        Ok(settled)
    }
}

/// Counts a refusal for the brake; whether it counts against the member.
pub(super) async fn count_refusal(
    gateway: &Gateway,
    at: &AtInstitution,
    member: MemberGuid,
) -> Result<bool, Internal> {
    let count = CountRefusal {
        at: at.clone(),
        member,
        granted: gateway.granted.take(at),
    };
    let verdict = gateway.store.count_refusal(&count, gateway.now()).await?;
    if verdict == Verdict::GoesOn {
        tracing::error!(
            "the institution refuses nearly every refresh; refreshing there stops, and nobody else is told"
        );
    }
    let labels = [at.client.as_str(), at.institution.as_str()];
    let is_on = verdict != Verdict::Counts;
    gateway
        .metrics
        .braked
        .set(labels, f64::from(u8::from(is_on)));
    Ok(!is_on)
}

/// Takes the brake of a registration off; `None`: it was off. Where that is because a refresh succeeded, those whose
/// refusal had counted get back what they lost: each of their token sets is tried once more. Returns how many.
pub async fn release(
    gateway: &Gateway,
    at: &AtInstitution,
    by_hand: bool,
) -> Result<Option<usize>, Internal> {
    let release = ReleaseBrake {
        at: at.clone(),
        by_hand,
    };
    let now = gateway.now();
    let Some(touched) = gateway.store.release_brake(&release, now).await? else {
        return Ok(None);
    };
    let labels = [at.client.as_str(), at.institution.as_str()];
    gateway.metrics.braked.set(labels, 0.0);
    tracing::warn!(by_hand, "refreshing goes on at the institution");
    let mut restored = 0;
    if !by_hand {
        for member in touched {
            restored += usize::from(gateway.store.restore(member, now).await?);
        }
    }
    Ok(Some(restored))
}

/// How many refreshes were granted since the last refusal, by registration: what the brakes need to know, at no cost
/// while nothing is refused.
#[derive(Default)]
pub struct Granted(Mutex<HashMap<AtInstitution, u32>>);

impl Granted {
    fn count(&self, at: &AtInstitution) {
        let mut granted = self.all();
        let count = granted.entry(at.clone()).or_default();
        *count = count.saturating_add(1);
    }

    fn take(&self, at: &AtInstitution) -> u32 {
        self.all().remove(at).unwrap_or_default()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<AtInstitution, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By when an access token that is lent has to be valid still.
pub(super) fn valid_at(now: Timestamp) -> Timestamp {
    now + SignedDuration::from_secs(60)
}
