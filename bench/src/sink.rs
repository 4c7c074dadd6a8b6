//! A receiver of webhooks and of jobs: it takes everything and does nothing with it.

use axum::Router;
use axum::http::StatusCode;

use super::serve;

/// Serves `POST /…`.
pub async fn run() -> anyhow::Result<()> {
    serve::on_a_free_port(|_| Router::new().fallback(|| async { StatusCode::OK })).await
}
