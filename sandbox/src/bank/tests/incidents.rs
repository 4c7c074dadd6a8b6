//! How connections are lost: each incident that a password plays.

use axum::Router;
use jiff::SignedDuration;

use super::*;
use crate::tests::until;

/// Whether the accounts can be read with the access token of `tokens`.
async fn reads(world: &World, tokens: &Value) -> StatusCode {
    let access = text(tokens, "access_token");
    read(world, PAGES, "accounts", access).await.status()
}

/// Waits until the access token of `tokens` has ended.
async fn ended(world: &World, tokens: &Value) {
    until(async || (reads(world, tokens).await == StatusCode::UNAUTHORIZED).then_some(())).await;
}

#[tokio::test]
async fn access_tokens_live_as_long_as_the_password_or_the_institution_says() {
    let world = World::start().await;
    let tokens = tokens_for(&world, "anything").await;
    assert_eq!(tokens["expires_in"], 3_600);
    let tokens = tokens_for(&world, "anything:1").await;
    assert_eq!(tokens["expires_in"], 1);
    ended(&world, &tokens).await;
    let tokens = json(refresh(&world, &tokens).await).await;
    assert_eq!(tokens["expires_in"], 1);
    assert_eq!(reads(&world, &tokens).await, StatusCode::OK);

    let world = World::with(Router::new(), |settings| {
        for institution in &mut settings.institutions {
            institution.access_life = SignedDuration::from_secs(90);
        }
    })
    .await;
    let tokens = tokens_for(&world, "anything").await;
    assert_eq!(tokens["expires_in"], 90);
    let tokens = tokens_for(&world, "anything:120").await;
    assert_eq!(tokens["expires_in"], 120);
}
