//! redeem: a code → tokens, by one token request.

use super::calls::{Call, NotCalled};
use super::failure::tell_operator;
use super::registration::CallbackEndpoint;
use super::{Gateway, seal_contexts};
use crate::domain::connection_values::ConnectionValues;
use crate::domain::id::AttemptId;
use crate::oauth::{
    AttemptSecrets, AuthorizationResponse, AuthorizationResult, Authorized, ExchangeFailure,
    Exchanged, Issued, Meaning, Registered, TokenError,
};
use crate::steps::record::UnusedCode;

/// Begins calling the institution, if it is to be called now.
pub(super) fn begin<'g>(
    gateway: &'g Gateway,
    endpoint: &CallbackEndpoint,
) -> Result<Call<'g>, NotCalled> {
    let most = endpoint.registered().oauth.calls_at_once;
    let (calls, circuits) = (&gateway.calls, &gateway.circuits);
    calls.begin(circuits, &endpoint.institution.code, most)
}

/// Redeems a code at the institution's token endpoint.
pub(super) async fn redeem(
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
    if let Err(failed) = &redeemed
        && let TokenError::IdToken(_) | TokenError::Vouching(_) = failed.error
    {
        gateway.metrics.id_tokens_refused.count(labels);
    }
    redeemed
}

/// Redeems a code that no member gets tokens for, so that nobody else can use it; the tokens that it gives are to be
/// revoked. Of a response without a code there is only the consent that was made before.
pub(super) async fn unused(
    gateway: &Gateway,
    endpoint: &CallbackEndpoint,
    code: &UnusedCode,
    call: &Call<'_>,
) -> Issued {
    let at = endpoint.registered();
    let response = response(gateway, endpoint, &code.attempt, &code.response);
    let secrets = secrets(gateway, &code.attempt, &code.secrets);
    let (Some(response), Some(secrets)) = (response, secrets) else {
        return Issued::default();
    };
    let values = values(&code.values, Some(&secrets));
    let AuthorizationResult::Code(code) = &response.result else {
        return Issued::default().of_connection(&values);
    };
    let authorized = Authorized {
        state: &response.state,
        code,
        id_token: response.id_token.as_deref().map(String::as_str),
        secrets: &secrets,
        values: &values,
    };
    match redeem(gateway, endpoint, at, &authorized, call).await {
        Ok(exchanged) => Issued::from(&exchanged.token_set),
        Err(failed) => {
            let error = &failed.error;
            tracing::warn!(%error, "the code of an ended attempt could not be redeemed");
            if let Meaning::NotSetUp(setup) = error.meaning(at.oauth) {
                let labels = [
                    endpoint.client.id.as_str(),
                    endpoint.institution.code.as_str(),
                ];
                tell_operator(gateway, labels, setup, &error.to_string());
            }
            failed.issued
        }
    }
}

/// What belongs to the connection: what the client gave for it, and what the institution said before the browser left.
pub(super) fn values(
    given: &ConnectionValues,
    secrets: Option<&AttemptSecrets>,
) -> ConnectionValues {
    secrets.map_or_else(|| given.clone(), |secrets| given.with(secrets.obtained()))
}

/// The verifier and the nonce of an attempt, if they can be read.
pub(super) fn secrets(
    gateway: &Gateway,
    attempt: &AttemptId,
    sealed: &[u8],
) -> Option<AttemptSecrets> {
    let context = seal_contexts::attempt(attempt);
    let secrets = match gateway.sealer.open(&context, sealed) {
        Ok(bytes) => AttemptSecrets::from_bytes(&bytes).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    secrets
        .inspect_err(|error| tracing::error!(error, "an attempt's secrets could not be read"))
        .ok()
}

/// The authorization response of an attempt, sealed while it waits to be used.
pub(super) fn seal_response(gateway: &Gateway, response: &AuthorizationResponse) -> Vec<u8> {
    let attempt = AttemptId::of(&response.state);
    let context = seal_contexts::attempt_response(&attempt);
    let random = gateway.random.as_ref();
    gateway.sealer.seal(random, &context, &response.to_bytes())
}

/// What [`seal_response`] sealed, if it can be read.
pub(super) fn response(
    gateway: &Gateway,
    endpoint: &CallbackEndpoint,
    attempt: &AttemptId,
    sealed: &[u8],
) -> Option<AuthorizationResponse> {
    let context = seal_contexts::attempt_response(attempt);
    let opened = gateway.sealer.open(&context, sealed);
    let opened = opened
        .inspect_err(|error| tracing::error!(%error, "an authorization response could not be read"))
        .ok()?;
    let at = endpoint.registered();
    gateway.oauth.read_held_response(at, &opened)
}
