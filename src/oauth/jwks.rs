//! The keys that an institution signs with (RFC 7517), as its file says where they are.

use std::sync::Arc;

use tokio::time::Instant;

use super::OAuthClient;
use super::key_cache::{self, KeysError};
use super::published_keys::PublishedKeys;
use crate::domain::institution::OAuth;
use crate::jose::JwkSet;

impl OAuthClient {
    /// The institution's keys, as its file says where they are. If `is_enough` does not say so of those that are
    /// kept, they are read anew, at most once a minute; what is returned may then still not be enough.
    ///
    /// # Errors
    ///
    /// There are none that count: they cannot be read, and those that were kept are out of date.
    pub async fn keys(
        &self,
        oauth: &OAuth,
        now: Instant,
        is_enough: impl Fn(&JwkSet) -> bool,
    ) -> Result<Arc<JwkSet>, KeysError> {
        let at = oauth.discovery.jwks_uri.as_ref();
        let at = (at.ok_or(KeysError::NotConfigured)?, &oauth.allow_hosts[..]);
        self.keys.keys(&self.fetcher, at, now, is_enough).await
    }

    /// The institution's keys as they are published now: neither taken from those that are kept, nor kept.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub async fn published_keys(&self, oauth: &OAuth) -> Result<PublishedKeys, KeysError> {
        let at = oauth.discovery.jwks_uri.as_ref();
        let at = at.ok_or(KeysError::NotConfigured)?;
        let (published, ..) = key_cache::read(&self.fetcher, at, &oauth.allow_hosts).await?;
        Ok(published)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::super::published_keys::tests::set_of;
    use super::super::test_support::{client, oauth};
    use super::super::transport_error::TransportError;
    use super::*;
    use crate::fake_server::{FakeServer, json, response};

    /// A server of keys that can be changed, and that can be out of order.
    struct Publisher {
        server: FakeServer,
        kids: Arc<Mutex<Vec<&'static str>>>,
        is_broken: Arc<AtomicBool>,
        client: OAuthClient,
        oauth: OAuth,
        begun: Instant,
    }

    impl Publisher {
        fn start(cache_control: &'static str) -> Self {
            let kids = Arc::new(Mutex::new(vec!["one"]));
            let is_broken = Arc::new(AtomicBool::new(false));
            let (shown, broken) = (kids.clone(), is_broken.clone());
            let server = FakeServer::start(move |_| match broken.load(Ordering::SeqCst) {
                true => json("500 A", "{}"),
                false => {
                    let body = set_of(&shown.lock().unwrap());
                    let headers = [("cache-control", cache_control)];
                    response("200 OK", &headers, body.as_bytes())
                }
            });
            let mut oauth = oauth(&server.url("/"));
            oauth.discovery.jwks_uri = Some(server.url("/keys"));
            Self {
                server,
                kids,
                is_broken,
                client: client(),
                oauth,
                begun: Instant::now(),
            }
        }

        /// Whether the key is there so long after the beginning.
        async fn has(&self, kid: &str, after: Duration) -> Result<bool, KeysError> {
            let keys = self
                .client
                .keys(&self.oauth, self.begun + after, |keys| keys.has(kid));
            keys.await.map(|keys| keys.has(kid))
        }

        fn hits(&self) -> usize {
            self.server.requests().len()
        }
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test]
    async fn x1_a_rotation_before_and_just_before_signing_works() {
        let publisher = Publisher::start("max-age=3600");
        assert_eq!(publisher.has("one", seconds(0)).await, Ok(true));
        // The next one is published, and not used yet.
        publisher.kids.lock().unwrap().push("two");
        assert_eq!(publisher.has("one", seconds(100)).await, Ok(true));
        assert_eq!(publisher.hits(), 1);
        // It is used for the first time.
        assert_eq!(publisher.has("two", seconds(200)).await, Ok(true));
        assert_eq!(publisher.hits(), 2);
        // A third one is used the moment it is published.
        *publisher.kids.lock().unwrap() = vec!["three"];
        assert_eq!(publisher.has("three", seconds(300)).await, Ok(true));
        assert_eq!(publisher.has("one", seconds(301)).await, Ok(false));
        assert_eq!(publisher.hits(), 3);
    }

    #[tokio::test]
    async fn x1_a_thousand_unknown_keys_are_one_request_a_minute() {
        let publisher = Publisher::start("max-age=3600");
        let unknown: Vec<String> = (0..1_000).map(|n| format!("unknown-{n}")).collect();
        let mut asked = tokio::task::JoinSet::new();
        let publisher = Arc::new(publisher);
        for kid in unknown.clone() {
            let publisher = publisher.clone();
            asked.spawn(async move { publisher.has(&kid, seconds(0)).await });
        }
        assert!(asked.join_all().await.iter().all(|it| *it == Ok(false)));
        assert_eq!(publisher.hits(), 1);
        for kid in &unknown {
            assert_eq!(publisher.has(kid, seconds(59)).await, Ok(false));
        }
        assert_eq!(publisher.hits(), 1);
        for kid in &unknown {
            assert_eq!(publisher.has(kid, seconds(60)).await, Ok(false));
        }
        assert_eq!(publisher.hits(), 2);
        assert_eq!(publisher.has("one", seconds(61)).await, Ok(true));
    }

    #[tokio::test]
    async fn x1_keys_that_cannot_be_read_are_none() {
        let publisher = Publisher::start("");
        publisher.is_broken.store(true, Ordering::SeqCst);
        let expected = Err(KeysError::Call(TransportError::Status(500)));
        for _ in 0..10 {
            assert_eq!(publisher.has("one", seconds(0)).await, expected);
        }
        assert_eq!(publisher.hits(), 1);
        publisher.is_broken.store(false, Ordering::SeqCst);
        assert_eq!(publisher.has("one", seconds(5)).await, Ok(true));
    }

    #[tokio::test]
    async fn x1_old_keys_count_for_their_lifetime_and_no_longer() {
        for (cache_control, life) in [
            ("max-age=3600", 3_600),
            ("max-age=1", 600),
            ("no-store", 600),
            ("max-age=999999999", 86_400),
            ("", 3_600),
        ] {
            let publisher = Publisher::start(cache_control);
            assert_eq!(publisher.has("one", seconds(0)).await, Ok(true));
            publisher.is_broken.store(true, Ordering::SeqCst);
            // A new key cannot be read: those that are known still count.
            assert_eq!(publisher.has("two", seconds(100)).await, Ok(false));
            let (before, after) = (seconds(life - 1), seconds(life));
            assert_eq!(publisher.has("one", before).await, Ok(true));
            assert_eq!(publisher.hits(), 2, "{cache_control}");
            let expected = Err(KeysError::Call(TransportError::Status(500)));
            assert_eq!(publisher.has("one", after).await, expected);
        }
    }

    #[tokio::test]
    async fn x1_ten_thousand_keys_do_no_harm() {
        let many = set_of(&vec!["a"; 10_000]);
        assert!(many.len() > 256 * 1024);
        let few = set_of(&vec!["a"; 101]);
        for (body, expected) in [(many, "longer than"), (few, "more than 100")] {
            let server = FakeServer::start(move |_| json("200 OK", &body));
            let mut oauth = oauth(&server.url("/"));
            oauth.discovery.jwks_uri = Some(server.url("/keys"));
            let client = client();
            let error = client.keys(&oauth, Instant::now(), |_| true).await;
            let error = error.err().expect("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[tokio::test]
    async fn t10_no_redirect_of_keys_is_followed() {
        let canary = FakeServer::start(|_| json("200 OK", &set_of(&["one"])));
        let target = canary.url("/").to_string();
        let server = FakeServer::start(move |_| response("302 A", &[("location", &target)], b""));
        let mut oauth = oauth(&server.url("/"));
        oauth.discovery.jwks_uri = Some(server.url("/keys"));
        let client = client();
        let error = client.keys(&oauth, Instant::now(), |_| true).await;
        let expected = KeysError::Call(TransportError::Redirected(302));
        assert_eq!(error.err(), Some(expected));
        assert!(canary.requests().is_empty());
    }

    #[tokio::test]
    async fn without_an_address_there_are_no_keys() {
        let oauth = oauth(&"https://bank.invalid".parse().unwrap());
        let client = client();
        let error = client.keys(&oauth, Instant::now(), |_| true).await;
        assert_eq!(error.err(), Some(KeysError::NotConfigured));
    }
}
