//! The bench on Redis: one server for all tests, a prefix of its own for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use guichet::store::redis::{RedisSettings, RedisStore};

use super::{Bench, RETENTION};
use crate::support::redis::Redis;

impl Bench {
    pub(super) async fn redis() -> Self {
        static BENCHES: AtomicU32 = AtomicU32::new(0);
        let bench = BENCHES.fetch_add(1, Ordering::Relaxed);
        let prefix: Arc<str> = format!("contract{}-{bench}:", std::process::id()).into();
        let url: Arc<str> = Redis::shared().url().into();
        Self::of(Box::new(move || {
            let (url, prefix) = (Arc::clone(&url), Arc::clone(&prefix));
            Box::pin(async move {
                let settings = RedisSettings {
                    retention: RETENTION,
                    accept_volatile: true,
                };
                let (store, _) = RedisStore::open(&url, &prefix, settings)
                    .await
                    .expect("the server is fit");
                store.into()
            })
        }))
        .await
    }
}
