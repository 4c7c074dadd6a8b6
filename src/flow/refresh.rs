//! refresh: a token set → a newer one, and what follows where that fails.
//!
//! The order is: brake, intent, circuit, the call, what came back is kept, and only then looked at: its ID token, too. Whoever asked may
//! go away meanwhile: the refresh goes on.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::circuits::{Entered, Rests, Target};
use super::failure::tell_operator;
use super::registration::CallbackEndpoint;
use super::settle::Attempt;
use super::{Gateway, Internal, brakes, maintenance, revoke, seal_contexts};
use crate::domain::duty::DutyKind;
use crate::domain::event::EventKind;
use crate::domain::id::MemberGuid;
use crate::domain::institution::RefreshRules;
use crate::domain::random;
use crate::domain::secret::Digest;
use crate::domain::token_set::TokenSet;
use crate::log_context;
use crate::metrics::Refreshing;
use crate::oauth::{Issued, RefreshFailure, RefreshMeaning, Refreshed, SetupFault};
use crate::store::{
    AtInstitution, BeginRefresh, Begun, BrakeName, Braked, ConsentEnd, DutyName, Fate, NewTokens,
    OtherLogin, RefreshOutcome, Refused, SettleRefresh, Settled, StoreError, Want,
};

/// How long keeping new tokens may take, from the end of the call on, before somebody else may refresh: a step that
/// carries tokens is sent again for about a minute.
const KEEPING: Duration = Duration::from_secs(100);

/// For how long a new consent has no notices.
const AT_ITS_BEGINNING: Duration = Duration::from_secs(60 * 60);

/// How long somebody waits for a refresh that is under way elsewhere.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// When to look again whether a client, an institution or a registration is configured again.
const UNTIL_CONFIGURED: Duration = Duration::from_secs(24 * 60 * 60);

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
    // What cannot be renewed ends with its access token.
    let last = token_set.expires_at.filter(|_| !is_renewable);
    let consent_ends_at = token_set.consent_expires_at.into_iter().chain(last).min();
    NewTokens {
        generation: u64::from_be_bytes(random::bytes(random)),
        sealed: gateway.sealer.seal(random, &context, &token_set.to_bytes()),
        is_renewable,
        ends_at: token_set.expires_at.or(assumed),
        due_at: is_renewable.then(|| now + rules.idle),
        consent: consent_ends_at.map(|at| ConsentEnd {
            at,
            // One that begins about a notice's time before its end is not told of at once.
            due_at: gateway
                .settings
                .notice_days
                .next(at, now + AT_ITS_BEGINNING),
        }),
        bound_to: token_set.bound_to.clone(),
    }
}

/// Refreshes a token set that is due, as a duty that is held until then.
pub(super) async fn perform(
    gateway: &Arc<Gateway>,
    at: AtInstitution,
    member: MemberGuid,
    held_until: Timestamp,
) -> Result<(), Internal> {
    log_context::client(&at.client);
    log_context::institution(&at.institution);
    log_context::member_guid(member);
    // Where a refresh begins, its own step says when the next one is due.
    let postponed = match once(gateway, at, member, Want::Due(held_until)).await {
        Ok(Tried::Ended(_)) => return Ok(()),
        Ok(Tried::UnderWay(until)) => until,
        Ok(Tried::Braked) => after_pause(gateway, 2),
        Ok(Tried::Closed) => after_pause(gateway, 1),
        Err(Internal::NotConfigured(what)) => {
            tracing::warn!(
                what,
                "it is no longer configured; not refreshed until it is again"
            );
            gateway.now() + UNTIL_CONFIGURED
        }
        Err(error) => return Err(error),
    };
    let duty = DutyName::Refresh(member);
    let attempt = Attempt { duty, nth: None };
    attempt
        .settle(gateway, Fate::Postponed(postponed), None)
        .await
}

/// When to try again after the `nth` pause of the schedule.
fn after_pause(gateway: &Gateway, nth: u32) -> Timestamp {
    let (now, random) = (gateway.now(), gateway.random.as_ref());
    let schedule = DutyKind::Refresh.schedule();
    schedule.next((nth, now), None, now, random).unwrap_or(now)
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
            Tried::Braked | Tried::Closed => {
                return Ok(Outcome::Later(after_pause(gateway, 1)));
            }
            Tried::UnderWay(_) if Instant::now() < patience => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Tried::UnderWay(until) => return Ok(Outcome::Later(until)),
        }
    }
}

enum Tried {
    Ended(Outcome),
    /// Another one is under way until then.
    UnderWay(Timestamp),
    /// The institution refuses everybody.
    Braked,
    /// The institution is in maintenance.
    Closed,
}

async fn once(
    gateway: &Arc<Gateway>,
    at: AtInstitution,
    member: MemberGuid,
    want: Want,
) -> Result<Tried, Internal> {
    let endpoint = CallbackEndpoint::of(gateway, &at.client, &at.institution)?;
    if maintenance::is_announced(gateway, &at.institution) {
        return Ok(Tried::Closed);
    }
    let oauth = endpoint.registered().oauth;
    let fenced_for = oauth.timeout + KEEPING;
    let Some(_alone) = gateway.refreshing.begin(member) else {
        return Ok(Tried::UnderWay(gateway.now() + fenced_for));
    };
    let brake = BrakeName {
        at,
        of: Refused::Refreshes,
    };
    let is_braked = gateway.store.braked(&brake).await?.is_some();
    let fence = Digest::from_bytes(random::bytes(gateway.random.as_ref()));
    let lost = gateway.notices(&endpoint.client, LOST, member.partition());
    let begin = BeginRefresh {
        member,
        want,
        fence,
        fenced_for,
        doubt: oauth.refresh.doubt,
        changed: lost,
    };
    let began = Instant::now();
    let begun = gateway.store.begin_refresh(&begin, gateway.now()).await?;
    let (sealed, refresh) = match begun {
        Begun::Begun {
            sealed,
            generation,
            is_in_doubt,
            not_asked,
        } => {
            let refresh = Refresh {
                gateway,
                endpoint: &endpoint,
                brake: &brake,
                member,
                fence,
                generation,
                is_in_doubt,
                not_asked,
                keep_until: began + fenced_for + oauth.refresh.doubt,
                rules: oauth.refresh,
            };
            (sealed, refresh)
        }
        Begun::Current => return Ok(Tried::Ended(Outcome::Current)),
        Begun::UnderWay(until) => return Ok(Tried::UnderWay(until)),
        Begun::Later(again_at) => return Ok(Tried::Ended(Outcome::Later(again_at))),
        Begun::Ended => return Ok(Tried::Ended(Outcome::Ended)),
        Begun::Frozen => {
            tracing::warn!("the token set was exported and is frozen; not refreshed");
            return Ok(Tried::Ended(Outcome::Later(after_pause(gateway, 3))));
        }
    };
    // Only what will be asked takes the place of the probe.
    if is_braked && let Braked::Until(_) = gateway.store.ask_brake(&brake, gateway.now()).await? {
        refresh.not_asked().await?;
        return Ok(Tried::Braked);
    }
    refresh.run(&sealed, is_braked).await.map(Tried::Ended)
}

/// What is told when a connection is lost.
pub(super) const LOST: &[EventKind] = &[EventKind::MemberUpdated, EventKind::ConnectionStatus];

/// A refresh that has begun.
struct Refresh<'a> {
    gateway: &'a Arc<Gateway>,
    endpoint: &'a CallbackEndpoint,
    brake: &'a BrakeName,
    member: MemberGuid,
    fence: Digest,
    generation: u64,
    is_in_doubt: bool,
    not_asked: u32,
    /// Until when nobody else uses the refresh token, so that what came back can be kept.
    keep_until: Instant,
    rules: RefreshRules,
}

impl Refresh<'_> {
    /// Asks the institution. `is_probe`: it shows whether the brake can be taken off.
    async fn run(&self, sealed: &[u8], is_probe: bool) -> Result<Outcome, Internal> {
        let at = &self.brake.at;
        let (gateway, target) = (self.gateway, Target::Institution(at.institution.clone()));
        let current = match self.unseal(sealed) {
            Ok(current) => current,
            Err(error) => {
                tracing::error!(
                    error,
                    "a member's token set could not be read; not refreshed"
                );
                return self.not_asked().await;
            }
        };
        let entered = match gateway.circuits.enter(&target, Instant::now()) {
            Ok(entered) => entered,
            Err(Rests(_)) => return self.not_asked().await,
        };
        let labels = [at.client.as_str(), at.institution.as_str()];
        let timing = gateway.metrics.token_endpoint.start(labels);
        let registered = self.endpoint.registered();
        let asked = gateway
            .oauth
            .refresh(registered, &current, gateway.now())
            .await;
        drop(timing);
        match asked {
            // The store says that there is a refresh token.
            None => {
                gateway.circuits.worked(&target);
                self.not_asked().await
            }
            Some(Ok(refreshed)) => {
                gateway.circuits.worked(&target);
                let kept = self.keep(refreshed).await?;
                gateway.granted.count(self.brake);
                if is_probe {
                    brakes::release(gateway, self.brake, false).await?;
                }
                Ok(kept)
            }
            Some(Err(failure)) => {
                self.tell_circuit(&target, entered, failure.meaning);
                self.failed(*failure).await
            }
        }
    }

    /// Whether the institution works. A refusal of a token that may have been used up before does not show that.
    fn tell_circuit(&self, target: &Target, entered: Entered, meaning: RefreshMeaning) {
        let circuits = &self.gateway.circuits;
        match meaning {
            RefreshMeaning::Refused if self.is_in_doubt => {}
            RefreshMeaning::Refused | RefreshMeaning::ClientRefused => circuits.worked(target),
            RefreshMeaning::Unknown | RefreshMeaning::NotAsked => {
                circuits.failed(target, entered, None, Instant::now());
            }
        }
    }

    fn unseal(&self, sealed: &[u8]) -> Result<TokenSet, String> {
        let guid = self.member.to_string();
        let context = seal_contexts::token_set(&self.brake.at.client, &guid);
        let bytes = self.gateway.sealer.open(&context, sealed);
        let bytes = bytes.map_err(|error| error.to_string())?;
        TokenSet::from_bytes(&bytes).map_err(|error| error.to_string())
    }

    /// Keeps new tokens, before anything else in the response counts; however long the store is away, as long as nobody
    /// else may use the old ones.
    async fn keep(&self, refreshed: Refreshed) -> Result<Outcome, Internal> {
        let Refreshed {
            token_set,
            fault,
            id_token,
            ..
        } = refreshed;
        let new = sealed(self.gateway, self.endpoint, self.member, &token_set);
        let settled = loop {
            let kept = self.settle(RefreshOutcome::Refreshed(new.clone())).await;
            match kept {
                Err(Internal::Store(StoreError::Unavailable(_)))
                    if Instant::now() < self.keep_until =>
                {
                    tracing::warn!("the store is away; new tokens are kept once it is back");
                }
                settled => break settled?,
            }
        };
        if let Some(fault) = fault {
            tracing::error!(fault, "tokens in an unusual response were kept");
        }
        match settled {
            Settled::Superseded => {
                tracing::warn!(
                    "the token set was replaced during a refresh; what it gave is dropped"
                );
                return Ok(Outcome::Current);
            }
            Settled::Replaced => {
                tracing::warn!("a new consent came during a refresh; what that gave is given back");
                if self.endpoint.registered().oauth.revoke_replaced {
                    let issued = Issued::from(&token_set);
                    revoke::give_back(self.gateway, self.endpoint, self.member, &issued).await;
                }
                return Ok(Outcome::Current);
            }
            Settled::Gone => {
                tracing::warn!("the member went during a refresh; what it gave is given back");
                let issued = Issued::from(&token_set);
                revoke::give_back(self.gateway, self.endpoint, self.member, &issued).await;
                return Ok(Outcome::Current);
            }
            Settled::Kept | Settled::Lost(..) => tracing::debug!("token set refreshed"),
            Settled::Recovered(_) => tracing::info!("connected again by a refresh"),
        }
        match id_token {
            Some(id_token) => self.judge(&token_set, &id_token, new.generation).await,
            None => Ok(Outcome::Current),
        }
    }

    /// Judges the ID token that came with tokens of that generation, which are kept. One that cannot be verified costs
    /// nothing; one that is about somebody else costs the connection.
    async fn judge(
        &self,
        token_set: &TokenSet,
        id_token: &str,
        generation: u64,
    ) -> Result<Outcome, Internal> {
        let (gateway, client) = (self.gateway, &self.endpoint.client);
        let registered = self.endpoint.registered();
        let now = gateway.now();
        let judging = gateway
            .oauth
            .judge_refreshed(registered, token_set, id_token, now);
        let Err(error) = judging.await else {
            return Ok(Outcome::Current);
        };
        let at = &self.brake.at;
        let labels = [at.client.as_str(), at.institution.as_str()];
        gateway.metrics.id_tokens_refused.count(labels);
        if !error.is_about_others() {
            tracing::error!(%error, "the ID token of a refresh is refused; its tokens are kept and lent");
            return Ok(Outcome::Current);
        }
        tracing::error!(%error, "a refresh brought tokens of another person; they are kept and not lent");
        let other = OtherLogin {
            member: self.member,
            generation,
            changed: gateway.notices(client, LOST, self.member.partition()),
        };
        gateway
            .store
            .impair_other_login(&other, gateway.now())
            .await?;
        Ok(Outcome::Ended)
    }

    async fn failed(&self, failure: RefreshFailure) -> Result<Outcome, Internal> {
        let error = failure.error.to_string();
        let again_at = self.gateway.now() + self.rules.doubt;
        match failure.meaning {
            RefreshMeaning::Refused => {
                let counts = brakes::count_refusal(self.gateway, self.brake, self.member).await?;
                tracing::warn!(error, counts, "the institution refused a refresh");
                // While everybody is refused, those that were leave the probes to others.
                let again_at = match counts {
                    true => again_at,
                    false => after_pause(self.gateway, self.not_asked.saturating_add(2)),
                };
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
                tracing::warn!(
                    error,
                    "the outcome of a refresh is unknown; tried again later"
                );
                self.settle(RefreshOutcome::Unknown { again_at }).await?;
                Ok(Outcome::Later(again_at))
            }
            RefreshMeaning::NotAsked => {
                tracing::warn!(error, "the institution could not be asked for a refresh");
                self.not_asked().await
            }
            RefreshMeaning::ClientRefused => {
                let at = &self.brake.at;
                let labels = [at.client.as_str(), at.institution.as_str()];
                tell_operator(self.gateway, labels, SetupFault::ClientRefused, &error);
                self.not_asked().await
            }
        }
    }

    /// The token was not used: it is tried again later, and the later the more often that happens.
    async fn not_asked(&self) -> Result<Outcome, Internal> {
        let again_at = after_pause(self.gateway, self.not_asked.saturating_add(1));
        self.settle(RefreshOutcome::NotAsked { again_at }).await?;
        Ok(Outcome::Later(again_at))
    }

    async fn settle(&self, outcome: RefreshOutcome) -> Result<Settled, Internal> {
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
        let at = &self.brake.at;
        let labels = [at.client.as_str(), at.institution.as_str(), result.name()];
        self.gateway.metrics.refreshes.count(labels);
        Ok(settled)
    }
}

/// By when an access token that is lent has to be valid still.
pub(super) fn valid_at(now: Timestamp) -> Timestamp {
    now + SignedDuration::from_secs(60)
}
