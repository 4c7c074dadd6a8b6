//! The token endpoint (RFC 6749, sections 4.1.3 and 6) and the revocation endpoint (RFC 7009).

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::Bank;
use super::ledger::{Grant, Redemption, Refused, Tokens};
use super::outcome::Outcome;
use super::params::{Params, Repeated};
use crate::wire::{now, random_token};

/// How long a request that is not answered is held, if the client waits for so long.
const HANG: Duration = Duration::from_secs(60);

/// The errors of RFC 6749, section 5.2, and the one of a bank that fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum TokenError {
    #[error("{0}")]
    InvalidRequest(String),
    #[error("the client's id or secret is not right")]
    InvalidClient,
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error("the grant_type must be authorization_code or refresh_token")]
    UnsupportedGrantType,
}

impl From<Repeated> for TokenError {
    fn from(repeated: Repeated) -> Self {
        Self::InvalidRequest(repeated.to_string())
    }
}

impl IntoResponse for TokenError {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::InvalidRequest(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::Refused(Refused::Failed) => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
            Self::Refused(_) => (StatusCode::BAD_REQUEST, "invalid_grant"),
            Self::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        };
        let body = json!({ "error": error, "error_description": self.to_string() });
        let mut response = (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = axum::http::HeaderValue::from_static("Basic realm=\"sandbox bank\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// `POST /{code}/token`
pub(super) async fn token(
    State(bank): State<Arc<Bank>>,
    Path(code): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    bank.stats.token.add();
    if bank.institution(&code).is_none() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let tokens = match exchange(&bank, &code, &headers, &body) {
        Ok(tokens) => tokens,
        Err(error) => {
            if error == TokenError::Refused(Refused::Reused) {
                bank.stats.codes_reused.add();
            }
            return error.into_response();
        }
    };
    match (tokens.grant.consent.outcome, tokens.grant.refreshed) {
        (Outcome::ExpiredCode, false) => return TokenError::from(Refused::Expired).into_response(),
        (Outcome::TokenFails, false) | (Outcome::RotateThen500, true) => {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        (Outcome::TokenIsHtml, false) => {
            return Html("<!doctype html><title>Maintenance</title><p>We will be back soon.")
                .into_response();
        }
        (Outcome::SlowToken, false) => tokio::time::sleep(bank.slow_token).await,
        (Outcome::RotateThenHang, true) => {
            tokio::time::sleep(HANG).await;
            return StatusCode::GATEWAY_TIMEOUT.into_response();
        }
        (Outcome::RotateThen504, true) => return StatusCode::GATEWAY_TIMEOUT.into_response(),
        _ => {}
    }
    bank.stats.tokens_issued.add();
    let body = response_of(&tokens, &format!("{}/{code}", bank.url), now());
    ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// RFC 6749, section 5.1.
fn response_of(tokens: &Tokens, issuer: &str, now: Timestamp) -> Value {
    let grant = &tokens.grant;
    let mut body = json!({
        "access_token": tokens.access,
        "token_type": "Bearer",
        "scope": grant.scope,
    });
    if grant.consent.outcome != Outcome::NoExpiresIn {
        body["expires_in"] = grant.consent.access_life.as_secs().into();
    }
    if let Some(refresh) = &tokens.refresh {
        body["refresh_token"] = refresh.as_str().into();
    }
    if let Some(end) = grant.told_end() {
        // No standard has a member for it; banks that tell it use one of their own, or the details
        // of RFC 9396.
        body["consent_expires_at"] = end.as_second().into();
        let expires_at = format!("{end:.0}");
        body["authorization_details"] =
            json!([{ "type": "account_information", "expires_at": expires_at }]);
    }
    if grant.consent.outcome == Outcome::RotateBadIdToken && grant.refreshed {
        body["id_token"] = unverifiable_id_token(grant, issuer, now).into();
    }
    body
}

/// An ID token with nothing wrong but its signature, which nobody has the key for: what clients saw
/// of a bank that went from RS256 to PS256.
fn unverifiable_id_token(grant: &Grant, issuer: &str, now: Timestamp) -> String {
    let head = json!({ "alg": "PS256", "typ": "JWT", "kid": "moved" });
    let claims = json!({
        "iss": issuer,
        "sub": grant.consent.subject,
        "aud": grant.client,
        "iat": now.as_second(),
        "exp": now.as_second() + 300,
    });
    let [head, claims] = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{head}.{claims}.{}", random_token())
}

/// `POST /{code}/revoke`: 200 for any token, known or not.
pub(super) async fn revoke(
    State(bank): State<Arc<Bank>>,
    Path(code): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    bank.stats.revoke.add();
    if bank.institution(&code).is_none() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let revoked = form(&headers, &body).and_then(|params| {
        let client = authenticate(&bank, &headers, &params)?;
        let token = required(&params, "token")?;
        if bank.ledger().revoke(&client, token, now()) {
            bank.stats.revocations.add();
        }
        Ok(())
    });
    match revoked {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => error.into_response(),
    }
}

/// Everything an honest token endpoint checks.
fn exchange(
    bank: &Bank,
    institution: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Tokens, TokenError> {
    let params = form(headers, body)?;
    let client = authenticate(bank, headers, &params)?;
    match params.one("grant_type")? {
        Some("authorization_code") => {
            let attempt = Redemption {
                institution,
                client: &client,
                code: required(&params, "code")?,
                redirect_uri: required(&params, "redirect_uri")?,
                verifier: required(&params, "code_verifier")?,
            };
            Ok(bank.ledger().redeem(attempt, now())?)
        }
        Some("refresh_token") => {
            bank.stats.refresh.add();
            let token = required(&params, "refresh_token")?;
            let refreshed = bank.ledger().refresh(institution, &client, token, now());
            match &refreshed {
                Ok(_) => bank.stats.refreshes_granted.add(),
                Err(Refused::Failed) => {}
                Err(refused) => {
                    bank.stats.refreshes_refused.add();
                    if *refused == Refused::RefreshReused {
                        bank.stats.refreshes_reused.add();
                    }
                }
            }
            Ok(refreshed?)
        }
        Some(_) => Err(TokenError::UnsupportedGrantType),
        None => Err(missing("grant_type")),
    }
}

fn form(headers: &HeaderMap, body: &[u8]) -> Result<Params, TokenError> {
    let is_form = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| {
            value
                .trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
    if !is_form {
        let text = "the body must be application/x-www-form-urlencoded";
        return Err(TokenError::InvalidRequest(text.to_owned()));
    }
    Ok(Params::parse(body))
}

fn required<'p>(params: &'p Params, name: &'static str) -> Result<&'p str, TokenError> {
    params.one(name)?.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> TokenError {
    TokenError::InvalidRequest(format!("{name} is missing"))
}

/// The id of the client, proved by its secret in exactly one of the two places (RFC 6749, section
/// 2.3.1).
fn authenticate(bank: &Bank, headers: &HeaderMap, params: &Params) -> Result<String, TokenError> {
    let in_form = (params.one("client_id")?, params.one("client_secret")?);
    let (id, secret) = match (headers.get(AUTHORIZATION), in_form) {
        (Some(_), (_, Some(_))) => {
            let text = "the client must authenticate in one way only";
            return Err(TokenError::InvalidRequest(text.to_owned()));
        }
        (Some(value), (also, None)) => {
            let (id, secret) = value
                .to_str()
                .ok()
                .and_then(basic)
                .ok_or(TokenError::InvalidClient)?;
            if also.is_some_and(|also| also != id) {
                return Err(TokenError::InvalidClient);
            }
            (id, secret)
        }
        (None, (Some(id), Some(secret))) => (id.to_owned(), secret.to_owned()),
        (None, _) => return Err(TokenError::InvalidClient),
    };
    let client = bank.client(&id).ok_or(TokenError::InvalidClient)?;
    let expected = digest(&SHA256, client.secret.expose_secret().as_bytes());
    let given = digest(&SHA256, secret.as_bytes());
    // Digests, so that not even the length of the secret shows in the time taken.
    verify_slices_are_equal(expected.as_ref(), given.as_ref())
        .map_err(|_| TokenError::InvalidClient)?;
    Ok(id)
}

/// Id and secret of a Basic header. Both were form-encoded before they were joined.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((form_decoded(id), form_decoded(secret)))
}

fn form_decoded(text: &str) -> String {
    // As the value of a form field, in which `&` and `=` cannot stand as themselves.
    let field = format!("v={}", text.replace('&', "%26"));
    url::form_urlencoded::parse(field.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_form_decoded() {
        let header = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let cases = [
            ("plain:secret", ("plain", "secret")),
            ("a%3Ab:p%26q+r%3D%25", ("a:b", "p&q r=%")),
            ("id:with:colon", ("id", "with:colon")),
            ("id:a&b=c", ("id", "a&b=c")),
        ];
        for (pair, (id, secret)) in cases {
            let expected = (id.to_owned(), secret.to_owned());
            assert_eq!(basic(&header(pair)), Some(expected), "{pair}");
        }
        assert_eq!(basic("Bearer abc"), None);
        assert_eq!(basic("Basic !!"), None);
        assert_eq!(basic(&header("no-colon")), None);
    }
}
