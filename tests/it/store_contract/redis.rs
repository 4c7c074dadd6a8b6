//! The bench on Redis: one server, or one cluster, for all tests, a prefix of its own for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use guichet::store::redis::{RedisSettings, RedisStore};

use super::{Bench, RETENTION, Spoil};
use crate::support::fleet::Cluster;
use crate::support::redis::Redis;

impl Bench {
    pub(super) async fn redis() -> Self {
        let url = Redis::shared().url();
        Self::redis_at(url.clone(), vec![url]).await
    }

    /// A bench on a cluster: every step has to stay in one hash slot.
    pub(super) async fn cluster() -> Self {
        let cluster = Cluster::shared().await;
        let nodes = cluster.nodes.iter().map(|node| node.redis.url());
        Self::redis_at(cluster.url(), nodes.collect()).await
    }

    /// A bench on the store at `url`, with a prefix of its own. `nodes` are its servers.
    pub async fn redis_at(url: String, nodes: Vec<String>) -> Self {
        static BENCHES: AtomicU32 = AtomicU32::new(0);
        let bench = BENCHES.fetch_add(1, Ordering::Relaxed);
        let prefix: Arc<str> = format!("contract{}-{bench}:", std::process::id()).into();
        let url: Arc<str> = url.into();
        let spoil = spoil_under(nodes, Arc::clone(&prefix));
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

fn spoil_under(nodes: Vec<String>, prefix: Arc<str>) -> Spoil {
    Box::new(move |key| {
        let mut spoilt = 0;
        for node in &nodes {
            let client = redis::Client::open(&**node).expect("an address");
            let mut connection = client.get_connection().expect("a connection");
            let mut ask =
                |words: &[&str]| redis::cmd(words[0]).arg(&words[1..]).query(&mut connection);
            let pattern = format!("{prefix}*}}{}", key.as_str());
            let found: redis::RedisResult<redis::Value> = ask(&["KEYS", &pattern]);
            let found: Vec<String> =
                redis::from_redis_value(found.expect("answered")).expect("keys");
            for found in found {
                ask(&["SET", &found, "{"]).expect("written");
                spoilt += 1;
            }
        }
        assert_eq!(spoilt, 1, "{key:?}");
    })
}
