//! callback: an authorization response → exactly one exchange, or a named refusal.
//!
//! The order is: issuer, attempt, path, settled, binding, and only then error or code. All but the first
//! are one store step, so a forged response does no harm to a real flow and causes no call to a bank.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::calls::{Call, NotCalled};
use super::connect;
use super::failure::{FailureCause, fail, tell_operator};
use super::registration::CallbackEndpoint;
use super::report::Evidence;
use super::under_way::PATIENCE;
use super::unproven::Refused;
use super::{Gateway, Internal, revoke, seal_contexts};
use crate::domain::client::UnboundCallback;
use crate::domain::connection_values::ConnectionValues;
use crate::domain::event::EventKind;
use crate::domain::id::AttemptId;
use crate::domain::institution::IssuerRule;
use crate::domain::window::{Browser, ErrorReason};
use crate::log_context;
use crate::metrics;
use crate::oauth::{
    AttemptSecrets, AuthorizationResponse, AuthorizationResult, Authorized, ExchangeFailure,
    Exchanged, Issued, Meaning, Registered,
};
use crate::store::{Claim, Claimed, StoreError, Subject};
use crate::telemetry::STRANGERS;

/// How long a browser waits for its response to be claimed. After that it gets the page `busy` and asks
/// again; the claim goes on.
const CLAIM_PATIENCE: Duration = Duration::from_secs(3);

/// What an authorization response led to.
pub enum CallbackOutcome {
    /// Its attempt is known: the outcome page tells its browser what happened.
    Known(AttemptId),
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
    let iss = callback.iss.as_deref();
    if let Err(mismatch) = callback.check_issuer(at) {
        return Ok(CallbackOutcome::Refused(mismatch.into()));
    }
    // A cookie that cannot be read may be the right one, so it does not end the attempt.
    let part = attempt.cookie_part();
    let is_unknown = browser.unreadable.iter().any(|it| it == part);
    // An error without the issuer that a code would need counts only in the attempt's own browser.
    let is_half_proven = iss.is_none() && at.oauth.iss == IssuerRule::RequiredWithCode;
    let unbound = match is_unknown || is_half_proven {
        true => UnboundCallback::Ignore,
        false => at.registration.unbound_callback,
    };
    let claim = Claim {
        attempt: attempt.clone(),
        client: endpoint.client.id.clone(),
        institution: endpoint.institution.code.clone(),
        browser: browser.bindings,
        unbound,
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
        callback,
        tell,
    ));
    let taken = timeout(CLAIM_PATIENCE, told).await;
    let taken = taken.map_err(|late| StoreError::Unavailable(Box::new(late)))?;
    let taken = taken.map_err(|_| Internal::Interrupted)??;
    gateway.under_way.wait(&attempt, PATIENCE).await;
    Ok(taken)
}

/// Claims the response, however long the store is away, reports the outcome, and then does what it leads
/// to: the code cannot be obtained a second time.
async fn take(
    gateway: Arc<Gateway>,
    endpoint: CallbackEndpoint,
    claim: Claim,
    callback: AuthorizationResponse,
    tell: oneshot::Sender<Result<CallbackOutcome, StoreError>>,
) {
    // The browser may have gone.
    let tell = |taken| drop(tell.send(taken));
    let known = || Ok(CallbackOutcome::Known(claim.attempt.clone()));
    let said = || endpoint.words(&callback.to_bytes());
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
        Ok(Claimed::Accepted { subject, sealed }) => {
            log_context::subject(&subject.window, &subject.member);
            let _running = gateway.under_way.begin(claim.attempt.clone());
            tell(known());
            let exchanged = exchange(gateway.clone(), endpoint, *subject, sealed, callback).await;
            if let Err(error) = exchanged {
                tracing::error!(%error, "exchange not finished");
            }
        }
        Ok(Claimed::Burnt { subject, sealed }) => {
            log_context::subject(&subject.window, &subject.member);
            tracing::warn!(
                words = said(),
                "authorization response arrived in another browser; attempt ended"
            );
            let counters = &gateway.metrics.responses_in_another_browser;
            counters.count(metrics::of(&subject.member));
            tell(known());
            burn(gateway, endpoint, *subject, sealed, callback).await;
        }
    }
}

async fn exchange(
    gateway: Arc<Gateway>,
    endpoint: CallbackEndpoint,
    subject: Subject,
    sealed: Vec<u8>,
    callback: AuthorizationResponse,
) -> Result<(), Internal> {
    let at = endpoint.registered();
    let evidence = Evidence::new(&gateway, AttemptId::of(&callback.state));
    let secrets = unseal(&gateway, &callback, &sealed);
    let values = values(&subject, secrets.as_ref());
    if let Some((meaning, detail)) = callback.refusal(at, secrets.as_ref()) {
        let ended = fail(
            &gateway,
            &subject,
            &evidence,
            FailureCause::of(meaning, detail),
        )
        .await;
        give_back_consent(&gateway, &endpoint, &subject, &values).await;
        return ended;
    }
    let AuthorizationResult::Code(code) = &callback.result else {
        return Ok(());
    };
    let Some(secrets) = secrets else {
        let detail = "the attempt's secrets could not be decrypted".to_owned();
        let cause = FailureCause::new(ErrorReason::ServerError, detail);
        return fail(&gateway, &subject, &evidence, cause).await;
    };
    let authorized = Authorized {
        state: &callback.state,
        code,
        secrets: &secrets,
        values: &values,
    };
    let noted = at.noted(&evidence.calls);
    let call = match begin(&gateway, &endpoint) {
        Ok(call) => call,
        Err(not_called) => {
            let cause = FailureCause::new(ErrorReason::ProviderError, not_called.to_string());
            let ended = fail(&gateway, &subject, &evidence, cause).await;
            give_back_consent(&gateway, &endpoint, &subject, &values).await;
            return ended;
        }
    };
    match redeem(&gateway, &endpoint, noted, &authorized, &call).await {
        Ok(exchanged) => {
            connect::connect(&gateway, &endpoint, &subject, &evidence, exchanged, call).await
        }
        Err(failed) => {
            drop(call);
            let ExchangeFailure { error, issued, .. } = *failed;
            let cause = FailureCause::of(error.meaning(at.oauth), error.to_string());
            let ended = fail(&gateway, &subject, &evidence, cause).await;
            revoke::give_back(&gateway, &endpoint, subject.member.guid, &issued).await;
            ended
        }
    }
}

/// Begins calling the institution, if it is to be called now.
fn begin<'g>(gateway: &'g Gateway, endpoint: &CallbackEndpoint) -> Result<Call<'g>, NotCalled> {
    let most = endpoint.registered().oauth.calls_at_once;
    let (calls, circuits) = (&gateway.calls, &gateway.circuits);
    calls.begin(circuits, &endpoint.institution.code, most)
}

/// Redeems a code at the institution's token endpoint.
async fn redeem(
    gateway: &Gateway,
    endpoint: &CallbackEndpoint,
    at: Registered<'_>,
    authorized: &Authorized<'_>,
    call: &Call<'_>,
) -> Result<Exchanged, Box<ExchangeFailure>> {
    let labels = [
        endpoint.client.id.as_str(),
        endpoint.institution.code.as_str(),
    ];
    let _timing = gateway.metrics.token_endpoint.start(labels);
    let now = gateway.now();
    let redeemed = gateway.oauth.exchange(at, authorized, now).await;
    call.tell(!matches!(&redeemed, Err(failed) if failed.is_outage()));
    redeemed
}

/// Redeems the code and revokes the tokens it gives, so that nobody else can use the code.
async fn burn(
    gateway: Arc<Gateway>,
    endpoint: CallbackEndpoint,
    subject: Subject,
    sealed: Vec<u8>,
    callback: AuthorizationResponse,
) {
    let at = endpoint.registered();
    if !at.oauth.takes_back() {
        return;
    }
    let Some(secrets) = unseal(&gateway, &callback, &sealed) else {
        return;
    };
    let values = values(&subject, Some(&secrets));
    let AuthorizationResult::Code(code) = &callback.result else {
        return give_back_consent(&gateway, &endpoint, &subject, &values).await;
    };
    let authorized = Authorized {
        state: &callback.state,
        code,
        secrets: &secrets,
        values: &values,
    };
    let call = match begin(&gateway, &endpoint) {
        Ok(call) => call,
        Err(not_called) => {
            tracing::warn!(
                error = %not_called,
                "the code of an ended attempt could not be redeemed"
            );
            return give_back_consent(&gateway, &endpoint, &subject, &values).await;
        }
    };
    let redeemed = redeem(&gateway, &endpoint, at, &authorized, &call).await;
    drop(call);
    let issued = match redeemed {
        Ok(exchanged) => Issued::from(&exchanged.token_set),
        Err(failed) => {
            let error = &failed.error;
            tracing::warn!(%error, "the code of an ended attempt could not be redeemed");
            if let Meaning::NotSetUp(setup) = error.meaning(at.oauth) {
                let labels = metrics::of(&subject.member);
                tell_operator(&gateway, labels, setup, &error.to_string());
            }
            failed.issued
        }
    };
    revoke::give_back(&gateway, &endpoint, subject.member.guid, &issued).await;
}

/// What belongs to the connection: what the client gave for it, and what the institution said before the
/// browser left.
fn values(subject: &Subject, secrets: Option<&AttemptSecrets>) -> ConnectionValues {
    let given = &subject.window.options.oauth_values;
    secrets.map_or_else(|| given.clone(), |secrets| given.with(secrets.obtained()))
}

/// Gives back the consent that was made for an attempt without a code, if there is one.
async fn give_back_consent(
    gateway: &Arc<Gateway>,
    endpoint: &CallbackEndpoint,
    subject: &Subject,
    values: &ConnectionValues,
) {
    let issued = Issued::default().of_connection(values);
    revoke::give_back(gateway, endpoint, subject.member.guid, &issued).await;
}

/// The verifier and the nonce of the response's attempt, if they can be read.
fn unseal(
    gateway: &Gateway,
    callback: &AuthorizationResponse,
    sealed: &[u8],
) -> Option<AttemptSecrets> {
    let attempt = AttemptId::of(&callback.state);
    let context = seal_contexts::attempt(&attempt);
    let secrets = match gateway.sealer.open(&context, sealed) {
        Ok(bytes) => AttemptSecrets::from_bytes(&bytes).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    secrets
        .inspect_err(|error| tracing::error!(error, "an attempt's secrets could not be read"))
        .ok()
}
