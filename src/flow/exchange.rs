//! exchange: a claimed authorization response → its tokens, for a member or to be confirmed.

use std::sync::Arc;

use super::connect::{Grant, connect, give_back, identified};
use super::failure::{FailureCause, fail};
use super::registration::CallbackEndpoint;
use super::report::Evidence;
use super::{Gateway, Internal, handles, redeem, revoke, seal_contexts};
use crate::domain::client::Completion;
use crate::domain::connection_values::ConnectionValues;
use crate::domain::id::AttemptId;
use crate::domain::institution::CONFIRMATION;
use crate::domain::random;
use crate::domain::window::ErrorReason;
use crate::oauth::{
    AuthorizationResponse, AuthorizationResult, Authorized, ExchangeFailure, Issued,
};
use crate::store::{HeldTokens, Subject};

/// Exchanges the code of a response, whose attempt's secrets are `sealed`; the tokens connect the window's member, or wait
/// for their confirmation. A response without a code ends the window.
pub(super) async fn exchange(
    gateway: &Arc<Gateway>,
    endpoint: &CallbackEndpoint,
    subject: &Subject,
    response: &AuthorizationResponse,
    sealed: &[u8],
    completion: Completion,
) -> Result<(), Internal> {
    let at = endpoint.registered();
    let attempt = AttemptId::of(&response.state);
    let evidence = Evidence::new(gateway, attempt.clone());
    let secrets = redeem::secrets(gateway, &attempt, sealed);
    let given = &subject.window.options.oauth_values;
    let values = redeem::values(given, secrets.as_ref());
    if let Some((meaning, detail)) = response.refusal(at, secrets.as_ref()) {
        let cause = FailureCause::of(meaning, detail);
        let ended = fail(gateway, subject, &evidence, cause).await;
        give_back_consent(gateway, endpoint, subject, &values).await;
        return ended;
    }
    let AuthorizationResult::Code(code) = &response.result else {
        return Ok(());
    };
    let Some(secrets) = secrets else {
        let detail = "the attempt's secrets could not be decrypted".to_owned();
        let cause = FailureCause::new(ErrorReason::ServerError, detail);
        return fail(gateway, subject, &evidence, cause).await;
    };
    let authorized = Authorized {
        state: &response.state,
        code,
        id_token: response.id_token.as_deref().map(String::as_str),
        secrets: &secrets,
        values: &values,
    };
    let call = match redeem::begin(gateway, endpoint) {
        Ok(call) => call,
        Err(not_called) => {
            let cause = FailureCause::new(ErrorReason::ProviderError, not_called.to_string());
            let ended = fail(gateway, subject, &evidence, cause).await;
            give_back_consent(gateway, endpoint, subject, &values).await;
            return ended;
        }
    };
    let noted = at.noted(&evidence.calls);
    let exchanged = match redeem::redeem(gateway, endpoint, noted, &authorized, &call).await {
        Ok(exchanged) => exchanged,
        Err(failed) => {
            drop(call);
            let ExchangeFailure { error, issued, .. } = *failed;
            let cause = FailureCause::of(error.meaning(at.oauth), error.to_string());
            let ended = fail(gateway, subject, &evidence, cause).await;
            revoke::give_back(gateway, endpoint, subject.member.guid, &issued).await;
            return ended;
        }
    };
    let identified = identified(gateway, endpoint, subject, &evidence, exchanged, call);
    let Some(grant) = identified.await? else {
        return Ok(());
    };
    match completion {
        Completion::Immediate => connect(gateway, endpoint, subject, &evidence, &grant).await,
        Completion::Confirm => hold(gateway, endpoint, subject, &attempt, &grant).await,
    }
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

/// Keeps a token set apart until it is confirmed: it is nobody's yet.
async fn hold(
    gateway: &Arc<Gateway>,
    endpoint: &CallbackEndpoint,
    subject: &Subject,
    attempt: &AttemptId,
    grant: &Grant,
) -> Result<(), Internal> {
    let (now, random) = (gateway.now(), gateway.random.as_ref());
    let member = subject.member.guid.to_string();
    let context = seal_contexts::token_set(&endpoint.client.id, &member);
    let held = HeldTokens {
        window: subject.window.guid,
        attempt: attempt.clone(),
        institution: endpoint.institution.code.clone(),
        sealed: gateway
            .sealer
            .seal(random, &context, &grant.token_set.to_bytes()),
        fingerprints: grant.fingerprints.clone(),
        generation: u64::from_be_bytes(random::bytes(random)),
        handle: handles::draw(gateway, attempt, now + CONFIRMATION),
    };
    match gateway.store.hold_tokens(&held, now).await {
        Ok(true) => {
            tracing::info!("authorized; its confirmation is awaited");
            Ok(())
        }
        Ok(false) => {
            tracing::warn!("window ended during the exchange; its tokens are revoked");
            give_back(gateway, endpoint, subject, grant).await;
            Ok(())
        }
        Err(error) => {
            give_back(gateway, endpoint, subject, grant).await;
            Err(error.into())
        }
    }
}
