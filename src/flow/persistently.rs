//! Steps of the store that are worth waiting for.

use std::pin::Pin;
use std::time::Duration;

use crate::store::StoreError;

/// How often a step that must not be lost is sent again while the store is away, and how long to
/// wait between: about twelve seconds in all.
const STORE_WAITS_MS: [u64; 7] = [50, 150, 500, 1_000, 2_000, 4_000, 4_000];

/// One sending of a store step.
type Step<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Sends a step again while the store is away: what it holds cannot be had a second time.
pub(super) async fn persistently<'a, T>(
    mut step: impl FnMut() -> Step<'a, T>,
) -> Result<T, StoreError> {
    let mut waits = STORE_WAITS_MS.into_iter();
    loop {
        match (step().await, waits.next()) {
            (Err(StoreError::Unavailable(cause)), Some(wait)) => {
                tracing::warn!(%cause, wait_ms = wait, "the store cannot be reached; step sent again");
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            (outcome, _) => return outcome,
        }
    }
}
