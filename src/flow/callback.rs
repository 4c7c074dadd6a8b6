//! callback: an authorization response → exactly one exchange, or a named refusal.
//!
//! The order is: issuer, attempt, path, settled, binding, and only then error or code. All but the first
//! are one store step, so a forged response does no harm to a real flow and causes no call to a bank.
//!
//! A response that is a JWT has to be proved before, for which the institution may be asked for its keys. So its attempt is
//! looked up first: only one that waits for a response at this path is worth the call.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::exchange::exchange;
use super::open::BindingCookie;
use super::registration::CallbackEndpoint;
use super::under_way::PATIENCE;
use super::unproven::{self, Refused};
use super::{Gateway, Internal, handles, redeem};
use crate::domain::client::{ConfirmHolds, UnboundCallback};
use crate::domain::event::EventKind;
use crate::domain::id::AttemptId;
use crate::domain::institution::IssuerRule;
use crate::domain::random;
use crate::domain::secret::BindingSecret;
use crate::domain::window::{Browser, RETRY_GRACE};
use crate::log_context;
use crate::metrics;
use crate::oauth::AuthorizationResponse;
use crate::store::{Claim, Claimed, NewCode, StoreError, Subject};
use crate::telemetry::STRANGERS;

/// How long a browser waits for its response to be claimed. After that it gets the page `busy` and asks
/// again; the claim goes on.
const CLAIM_PATIENCE: Duration = Duration::from_secs(3);

/// What an authorization response led to.
pub enum CallbackOutcome {
    /// Its attempt is known: the outcome page tells its browser what happened.
    Known {
        /// The attempt.
        attempt: AttemptId,
        /// What binds this browser to it, if another one began it and this one goes on.
        cookie: Option<BindingCookie>,
    },
    /// It does not provably belong to a request of ours. Nothing was done.
    Refused(Refused),
}

/// An authorization response arrives in a browser.
///
/// If one response is delivered several times, exactly one delivery leads to an exchange. The exchange
/// goes on if the browser goes away. The browser waits only a moment for it, so that the person soon sees
/// a page of ours.
pub async fn callback(
    gateway: &Arc<Gateway>,
    endpoint: &CallbackEndpoint,
    callback: AuthorizationResponse,
    browser: Browser,
) -> Result<CallbackOutcome, Internal> {
    let _timing = gateway.metrics.callback.start([]);
    let at = endpoint.registered();
    let attempt = AttemptId::of(&callback.state);
    log_context::attempt(&attempt);
    if let Some(refused) = refused(gateway, endpoint, &attempt, &callback).await? {
        return Ok(CallbackOutcome::Refused(refused));
    }
    let iss = callback.iss.as_deref();
    // A cookie that cannot be read may be the right one, so it does not end the attempt.
    let part = attempt.cookie_part();
    let is_unknown = browser.unreadable.iter().any(|it| it == part);
    // An error without the issuer that a code would need counts only in the attempt's own browser.
    let is_half_proven = iss.is_none() && at.oauth.iss == IssuerRule::RequiredWithCode;
    let unbound = match is_unknown || is_half_proven {
        true => UnboundCallback::Ignore,
        false => at.registration.unbound_callback,
    };
    let binding = BindingSecret::new(gateway.random.as_ref());
    let claim = Claim {
        attempt: attempt.clone(),
        client: endpoint.client.id.clone(),
        institution: endpoint.institution.code.clone(),
        browser: browser.bindings,
        completion: at.registration.completion,
        unbound,
        rebinding: binding.digest(),
        code: code(gateway, endpoint, &attempt, &callback),
        burnt: gateway.notices(
            &endpoint.client,
            &[EventKind::OauthStateFinished],
            attempt.partition(),
        ),
    };
    let (tell, told) = oneshot::channel();
    gateway.spawn(take(
        gateway.clone(),
        endpoint.clone(),
        claim,
        binding,
        callback,
        tell,
    ));
    let taken = timeout(CLAIM_PATIENCE, told).await;
    let taken = taken.map_err(|late| StoreError::Unavailable(Box::new(late)))?;
    let taken = taken.map_err(|_| Internal::Interrupted)??;
    gateway.under_way.wait(&attempt, PATIENCE).await;
    Ok(taken)
}

/// Why the response is not proved to be the institution's; `None`: it is, or its attempt waits for none and the claim will
/// say so.
async fn refused(
    gateway: &Gateway,
    endpoint: &CallbackEndpoint,
    attempt: &AttemptId,
    callback: &AuthorizationResponse,
) -> Result<Option<Refused>, Internal> {
    if callback.is_jwt() {
        let record = gateway.store.attempt(attempt).await?;
        let Some(record) = record.filter(|record| unproven::is_at(record, endpoint)) else {
            return Ok(Some(Refused::UnknownState));
        };
        if !record.is_unanswered() {
            return Ok(None);
        }
    }
    let at = endpoint.registered();
    let proved = gateway.oauth.prove_response(at, callback, gateway.now());
    Ok(proved.await.err().map(Refused::from))
}

/// The code of a response, and how it waits where that may be needed. A response without one is kept in the same way where
/// the consent is to be given back that was made for it.
fn code(
    gateway: &Gateway,
    endpoint: &CallbackEndpoint,
    attempt: &AttemptId,
    callback: &AuthorizationResponse,
) -> Option<NewCode> {
    let at = endpoint.registered();
    let has_code = callback.result.has_code();
    let waits = has_code
        && at.registration.awaits_confirmations()
        && at.registration.confirm_holds == ConfirmHolds::Code;
    (has_code || at.oauth.calls.delete_consent.is_some()).then(|| NewCode {
        response: redeem::seal_response(gateway, callback),
        generation: u64::from_be_bytes(random::bytes(gateway.random.as_ref())),
        handle: waits.then(|| {
            let until = gateway.now() + at.oauth.code_waits();
            handles::draw(gateway, attempt, until)
        }),
    })
}

/// Claims the response, however long the store is away, reports the outcome, and then does what it leads
/// to: the code cannot be obtained a second time.
async fn take(
    gateway: Arc<Gateway>,
    endpoint: CallbackEndpoint,
    claim: Claim,
    binding: BindingSecret,
    callback: AuthorizationResponse,
    tell: oneshot::Sender<Result<CallbackOutcome, StoreError>>,
) {
    // The browser may have gone.
    let tell = |taken| drop(tell.send(taken));
    let with = |cookie| {
        Ok(CallbackOutcome::Known {
            attempt: claim.attempt.clone(),
            cookie,
        })
    };
    let known = || with(None);
    // The browser that goes on in the place of the attempt's own.
    let rebound = |is_rebound: bool, subject: &Subject| {
        let left = subject.window.deadline.duration_since(gateway.now());
        let cookie = is_rebound.then(|| BindingCookie {
            attempt: claim.attempt.clone(),
            secret: binding.clone(),
            max_age: Duration::try_from(left).unwrap_or_default() + RETRY_GRACE,
        });
        if is_rebound {
            tracing::info!("authorization response arrived in another browser, which goes on");
        }
        with(cookie)
    };
    let said = || endpoint.words(&callback.as_form());
    let claimed = gateway.store.claim_callback(&claim, gateway.now()).await;
    match claimed {
        Err(error) => tell(Err(error)),
        Ok(Claimed::Unknown) => tell(Ok(CallbackOutcome::Refused(Refused::UnknownState))),
        Ok(Claimed::Settled) => {
            tracing::info!(target: STRANGERS, words = said(), "authorization response arrived after the end; nothing was done");
            tell(known());
        }
        Ok(Claimed::Ignored) => {
            tracing::warn!(target: STRANGERS, words = said(), "authorization response arrived in another browser; nothing was done");
            tell(known());
        }
        Ok(Claimed::Accepted {
            subject,
            sealed,
            completion,
            is_rebound,
        }) => {
            log_context::subject(&subject.window, &subject.member);
            let _running = gateway.under_way.begin(claim.attempt.clone());
            tell(rebound(is_rebound, &subject));
            let exchanging = exchange(
                &gateway, &endpoint, &subject, &callback, &sealed, completion,
            );
            if let Err(error) = exchanging.await {
                tracing::error!(%error, "exchange not finished");
            }
        }
        Ok(Claimed::Waiting {
            subject,
            is_rebound,
        }) => {
            log_context::subject(&subject.window, &subject.member);
            tell(rebound(is_rebound, &subject));
            tracing::info!("authorized; its confirmation is awaited");
        }
        Ok(Claimed::Burnt(subject)) => {
            log_context::subject(&subject.window, &subject.member);
            tracing::warn!(
                words = said(),
                "authorization response arrived in another browser; attempt ended"
            );
            let counters = &gateway.metrics.responses_in_another_browser;
            counters.count(metrics::of(&subject.member));
            tell(known());
        }
    }
}
