//! The bench on Redis: one server for all tests, a prefix of its own for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use guichet::store::redis::{RedisSettings, RedisStore};

use super::{Bench, RETENTION, Spoil};
use crate::support::redis::Redis;

impl Bench {
    pub(super) async fn redis() -> Self {
        static BENCHES: AtomicU32 = AtomicU32::new(0);
        let bench = BENCHES.fetch_add(1, Ordering::Relaxed);
        let prefix: Arc<str> = format!("contract{}-{bench}:", std::process::id()).into();
        let url: Arc<str> = Redis::shared().url().into();
        let spoil = spoil_under(Arc::clone(&url), Arc::clone(&prefix));
        let open = move || {
            let (url, prefix) = (Arc::clone(&url), Arc::clone(&prefix));
            Box::pin(async move {
                let settings = RedisSettings {
                    retention: RETENTION,
                    accept_volatile: true,
                    acknowledged_by: None,
                };
                let (store, _) =
                    RedisStore::open(&url.parse().expect("an address"), &prefix, settings)
                        .await
                        .expect("the server is fit");
                store.into()
            }) as _
        };
        Self::of(Box::new(open), spoil).await
    }
}

fn spoil_under(url: Arc<str>, prefix: Arc<str>) -> Spoil {
    Box::new(move |key| {
        let client = redis::Client::open(&*url).expect("an address");
        let mut connection = client.get_connection().expect("a connection");
        let mut ask = |words: &[&str]| redis::cmd(words[0]).arg(&words[1..]).query(&mut connection);
        let pattern = format!("{prefix}*}}{}", key.as_str());
        let found: redis::RedisResult<redis::Value> = ask(&["KEYS", &pattern]);
        let found: Vec<String> = redis::from_redis_value(found.expect("answered")).expect("keys");
        assert_eq!(found.len(), 1, "{key:?}");
        ask(&["SET", &found[0], "{"]).expect("written");
    })
}
