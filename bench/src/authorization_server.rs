//! A bank that agrees at once, and checks what a real one would: client, redirect URI, PKCE. It keeps
//! nothing: the code carries what the token endpoint has to compare.

use std::time::Duration;

use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::serve;

/// The gateway's client here.
pub const CLIENT: &str = "bench-client";
/// Its secret.
pub const SECRET: &str = "bench-secret-0123456789-0123456789";

#[derive(Deserialize)]
struct AuthorizationRequest {
    response_type: String,
    client_id: String,
    redirect_uri: Url,
    state: String,
    code_challenge: String,
    code_challenge_method: String,
}

#[derive(Deserialize)]
struct TokenRequest {
    grant_type: String,
    code: String,
    client_id: String,
    client_secret: String,
    code_verifier: String,
}

/// Serves `GET /authorize` and `POST /token`, which takes `delay` milliseconds.
pub async fn run(delay: u64) -> anyhow::Result<()> {
    serve::on_a_free_port(|_| {
        Router::new()
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .with_state(Duration::from_millis(delay))
    })
    .await
}

async fn authorize(Query(asked): Query<AuthorizationRequest>) -> Response {
    let is_right = asked.response_type == "code"
        && asked.client_id == CLIENT
        && asked.code_challenge_method == "S256";
    if !is_right {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let mut back = asked.redirect_uri;
    back.query_pairs_mut()
        .append_pair("code", &asked.code_challenge)
        .append_pair("state", &asked.state);
    (StatusCode::FOUND, [(LOCATION, back.to_string())]).into_response()
}

async fn token(State(delay): State<Duration>, Form(asked): Form<TokenRequest>) -> Response {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let is_right = asked.grant_type == "authorization_code"
        && asked.client_id == CLIENT
        && asked.client_secret == SECRET
        && challenge(&asked.code_verifier) == asked.code;
    if !is_right {
        return (
            StatusCode::BAD_REQUEST,
            Json(json!({"error": "invalid_grant"})),
        )
            .into_response();
    }
    Json(json!({
        "access_token": format!("at-{}", asked.code),
        "refresh_token": format!("rt-{}", asked.code),
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "accounts",
    }))
    .into_response()
}

/// The S256 challenge of a PKCE verifier (RFC 7636).
pub fn challenge(verifier: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}
