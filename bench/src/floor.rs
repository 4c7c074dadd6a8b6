//! The floor: the least that a gateway on axum and Redis can do for a whole flow. It keeps no member,
//! seals nothing, checks no browser and draws no page; whatever does these costs more than this.
//!
//! Its requests are those of Guichet that the generator sends. Minting is one round trip to Redis,
//! opening one, the callback one before the token request and one after it, the result one.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;
use redis::aio::MultiplexedConnection;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::authorization_server::{CLIENT, SECRET, challenge};
use super::serve;

struct Floor {
    redis: MultiplexedConnection,
    http: reqwest::Client,
    here: String,
    bank: String,
}

#[derive(Deserialize)]
struct AuthorizationResponse {
    code: String,
    state: String,
}

/// Seconds that a link, an attempt and an outcome are kept.
const KEPT: u64 = 900;

/// Serves the floor.
pub async fn run(redis: &str, bank: SocketAddr) -> anyhow::Result<()> {
    let redis = redis::Client::open(redis)?;
    let redis = redis.get_multiplexed_async_connection().await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    serve::on_a_free_port(move |here| {
        let floor = Floor {
            redis,
            http,
            here: here.to_owned(),
            bank: format!("http://{bank}"),
        };
        Router::new()
            .route("/users/{user}/members", post(mint))
            .route("/link/{token}", get(open))
            .route("/callback", get(callback))
            .route("/result/{state}", get(result))
            .with_state(Arc::new(floor))
    })
    .await
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measurement picks its own randomness"
)]
fn random() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Floor {
    async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, StatusCode> {
        let reply = command.query_async(&mut self.redis.clone()).await;
        reply.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
    }
}

async fn mint(
    State(floor): State<Arc<Floor>>,
    Path(user): Path<String>,
    Json(_body): Json<Value>,
) -> Result<Response, StatusCode> {
    let token = random();
    let mut set = redis::cmd("SET");
    set.arg(format!("l:{token}"))
        .arg(user)
        .arg("NX")
        .arg("EX")
        .arg(KEPT);
    floor.ask::<()>(&set).await?;
    let link = format!("{}/link/{token}", floor.here);
    let member = json!({"member": {"oauth_window_uri": link}});
    Ok((StatusCode::ACCEPTED, Json(member)).into_response())
}

/// What belonged to the link belongs to the state from here on: one RENAME, which one browser gets
/// through. The state is the PKCE verifier too, so that nothing more is kept.
async fn open(
    State(floor): State<Arc<Floor>>,
    Path(token): Path<String>,
) -> Result<Response, StatusCode> {
    let state = random();
    let mut rename = redis::cmd("RENAME");
    rename.arg(format!("l:{token}")).arg(format!("s:{state}"));
    floor
        .ask::<()>(&rename)
        .await
        .map_err(|_| StatusCode::GONE)?;
    let query = [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", &format!("{}/callback", floor.here)),
        ("scope", "accounts"),
        ("state", &state),
        ("code_challenge", &challenge(&state)),
        ("code_challenge_method", "S256"),
    ];
    let to = Url::parse_with_params(&format!("{}/authorize", floor.bank), query);
    let to = to.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok((StatusCode::FOUND, [(LOCATION, to.to_string())]).into_response())
}

async fn callback(
    State(floor): State<Arc<Floor>>,
    Query(AuthorizationResponse { code, state }): Query<AuthorizationResponse>,
) -> Result<Response, StatusCode> {
    let mut claim = redis::cmd("GETDEL");
    claim.arg(format!("s:{state}"));
    let user: Option<String> = floor.ask(&claim).await?;
    let user = user.ok_or(StatusCode::GONE)?;
    let request = floor.http.post(format!("{}/token", floor.bank)).form(&[
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", &format!("{}/callback", floor.here)),
        ("client_id", CLIENT),
        ("client_secret", SECRET),
        ("code_verifier", &state),
    ]);
    let response = request.send().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let tokens: Value = response.json().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let mut keep = redis::cmd("SET");
    keep.arg(format!("m:{user}:{state}"))
        .arg(tokens.to_string())
        .arg("EX")
        .arg(KEPT);
    floor.ask::<()>(&keep).await?;
    let to = format!("{}/result/{user}:{state}", floor.here);
    Ok((StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response())
}

async fn result(
    State(floor): State<Arc<Floor>>,
    Path(state): Path<String>,
) -> Result<Response, StatusCode> {
    let mut exists = redis::cmd("EXISTS");
    exists.arg(format!("m:{state}"));
    let is_connected: bool = floor.ask(&exists).await?;
    let page = if is_connected { "connected" } else { "unknown" };
    Ok(format!("<body data-page=\"{page}\">").into_response())
}
