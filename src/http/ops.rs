//! The operator's listener: is it alive, is it ready, what has it counted.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use zeroize::Zeroizing;

use super::auth::same;
use crate::flow::Gateway;
use crate::telemetry::STRANGERS;

/// What the operator's listener serves.
#[derive(Clone)]
pub struct Operator {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// The token that metrics ask for; none on a loopback listener.
    pub token: Option<Arc<Zeroizing<String>>>,
}

/// The operator's routes.
pub fn routes(operator: Operator) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(operator)
}

/// 200 when the store answers, else 503.
async fn ready(State(operator): State<Operator>) -> Response {
    match operator.gateway.store.ping().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => {
            tracing::warn!(target: STRANGERS, %error, "not ready");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "the store does not answer\n",
            )
                .into_response()
        }
    }
}

async fn metrics(State(operator): State<Operator>, headers: HeaderMap) -> Response {
    if let Some(token) = &operator.token {
        let sent = headers
            .get(AUTHORIZATION)
            .map(|value| value.as_bytes())
            .unwrap_or_default();
        if !same(sent, format!("Bearer {}", token.as_str()).as_bytes()) {
            return (
                StatusCode::UNAUTHORIZED,
                "send the operator's token as a Bearer token\n",
            )
                .into_response();
        }
    }
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(CONTENT_TYPE, media_type)],
        operator.gateway.metrics.to_text(),
    )
        .into_response()
}
