//! The gateway as `main` runs it, on free ports, with a bank that does as told, a webhook receiver
//! and a clock that can be moved.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use guichet::app::{self, Sources};
use guichet::config::{Config, Environment};
use guichet::domain::id::{ClientId, MemberGuid, UserGuid};
use guichet::domain::random::Random;
use guichet::flow::access::{self, UserRequest};
use guichet::flow::{Clocks, Gateway, deadlines};
use guichet::serve::Listeners;
use guichet::telemetry::Sums;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use super::fake_bank::{FakeBank, Registration};
use super::interop::{ELSEWHERE, InteropProvider};
use super::process::Port;
use super::receiver::WebhookReceiver;
use super::redis::Redis;
use super::visitor::Visitor;

pub use super::settings::*;

/// Clocks that run with the machine's, through which time can pass, and which can be set.
#[derive(Clone, Default)]
pub struct MovableClock(Arc<Moved>);

/// By how many milliseconds.
#[derive(Default)]
struct Moved {
    passed: AtomicI64,
    set: AtomicI64,
}

impl MovableClock {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.0.passed.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// Sets the clock back: no time passes.
    pub fn go_back(&self, by: Duration) {
        self.0.set.fetch_sub(millis(by), Ordering::SeqCst);
    }

    /// Sets the clock forward: no time passes.
    pub fn go_ahead(&self, by: Duration) {
        self.0.set.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        self.of_day()
    }

    fn passed(&self) -> SignedDuration {
        SignedDuration::from_millis(self.0.passed.load(Ordering::SeqCst))
    }
}

impl Clocks for MovableClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test's clock follows the machine's"
    )]
    fn of_day(&self) -> Timestamp {
        let set = SignedDuration::from_millis(self.0.set.load(Ordering::SeqCst));
        let now = Timestamp::now() + self.passed() + set;
        Timestamp::from_millisecond(now.as_millisecond()).expect("a time near now")
    }

    fn steady(&self) -> Duration {
        static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGUN.elapsed() + self.passed().unsigned_abs()
    }

    fn of_server(&self, time: Timestamp) -> Timestamp {
        time + self.passed()
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).expect("a short while")
}

/// The machine's randomness.
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the system gives random bytes");
    }
}

/// A running gateway. It stops when it is dropped.
pub struct TestGateway {
    /// Its public origin, such as `http://127.0.0.1:40001`.
    pub url: Url,
    /// The operator's origin.
    pub operator: Url,
    /// The institution.
    pub bank: FakeBank,
    /// The institution that others wrote, if it was asked for.
    pub elsewhere: Option<InteropProvider>,
    /// The client's webhook endpoint: every kind of event goes there.
    pub hooks: WebhookReceiver,
    /// The aggregator's endpoint: pushes arrive there.
    pub aggregator: WebhookReceiver,
    /// Its clock.
    pub clock: MovableClock,
    /// Its inside, for looking and for steps no API has.
    pub inside: Arc<Gateway>,
    /// The client's first user.
    pub user: UserGuid,
    /// The client's API key.
    pub api_key: String,
    /// A session of that user.
    pub session: String,
    /// Where it keeps its file.
    pub folder: TempDir,
    /// Its store, as configured; a SQLite file is in [`Self::folder`].
    pub store: String,
    shutdown: CancellationToken,
    running: Option<JoinHandle<anyhow::Result<()>>>,
    _ports: [Port; 2],
}

/// Another gateway on the same store. It stops when it is dropped.
pub struct Beside {
    /// Its public origin.
    pub url: Url,
    _shutdown: DropGuard,
    _ports: [Port; 2],
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl TestGateway {
    /// Starts one as usual.
    pub async fn start(backend: Backend) -> Self {
        Self::with(backend, Setup::default()).await
    }

    /// Starts one that differs.
    pub async fn with(backend: Backend, setup: Setup) -> Self {
        let ports = [Port::take(), Port::take()];
        let listeners = Listeners {
            public: ports[0].listen(),
            operator: ports[1].listen(),
        };
        let origin = |listener: &TcpListener| {
            let port = listener.local_addr().expect("an address").port();
            Url::parse(&format!("http://127.0.0.1:{port}")).expect("a URL")
        };
        let (url, operator) = (origin(&listeners.public), origin(&listeners.operator));
        let bank = FakeBank::start().await;
        let hooks = WebhookReceiver::start().await;
        let aggregator = WebhookReceiver::start().await;
        for client in [CLIENT, RIVAL] {
            for institution in [BANK, FORM_BANK] {
                bank.register(Registration {
                    client_id: bank_client_id(client, institution),
                    client_secret: (setup.certificate.is_none()
                        && setup.client_authentication != Some("none"))
                    .then(|| BANK_SECRET.to_owned()),
                    redirect_uri: format!("{}oauth/redirect_from/{client}/{institution}", url),
                });
            }
        }
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(strict) = &setup.strict {
            for client in [CLIENT, RIVAL] {
                strict.register(client, &url);
            }
        }
        write_institutions(folder.path(), &bank, &setup);
        let elsewhere = setup.elsewhere.map(|access_life| {
            let elsewhere = InteropProvider::for_client(CLIENT, &url, access_life);
            let file = folder.path().join(format!("institutions/{ELSEWHERE}.toml"));
            std::fs::write(file, elsewhere.institution_file()).expect("a file");
            elsewhere
        });
        let store = match (setup.store.clone(), backend) {
            (Some(store), _) => store,
            (None, Backend::Sqlite) => "sqlite:guichet.sqlite".to_owned(),
            (None, Backend::Redis) => Redis::shared().fresh_database(),
        };
        let text = configuration(&url, &operator, &store, &hooks, &aggregator, &setup);
        let text = setup.swapped(text);
        let file = folder.path().join("guichet.toml");
        std::fs::write(&file, text).expect("a file");
        let strict = setup.strict.as_ref();
        let clock = strict.map_or_else(MovableClock::default, |it| it.bank.clock());
        let shutdown = CancellationToken::new();
        let (inside, running) = run(&file, listeners, &clock, &shutdown).await;

        let client: ClientId = CLIENT.parse().expect("a client id");
        let request = UserRequest {
            id: Some("user-1".to_owned()),
            ..UserRequest::default()
        };
        let user = access::create_user(&inside, &client, request)
            .await
            .expect("a user");
        let key = access::create_api_key(&inside, &client)
            .await
            .expect("a step")
            .expect("a key");
        let token = access::api_token(&inside, &user).await.expect("a token");
        let session = access::begin_session(&inside, &token)
            .await
            .expect("a step")
            .expect("a session");
        Self {
            url,
            operator,
            bank,
            elsewhere,
            hooks,
            aggregator,
            clock,
            inside,
            user: user.guid,
            api_key: key.expose().to_owned(),
            session: session.expose().to_owned(),
            folder,
            store,
            shutdown,
            running: Some(running),
            _ports: ports,
        }
    }

    /// Starts another gateway on the same store and clock.
    pub async fn beside(&self) -> Beside {
        self.beside_at(&self.clock).await
    }

    /// Starts another gateway on the same store, with a clock of its own.
    pub async fn beside_at(&self, clock: &MovableClock) -> Beside {
        let ports = [Port::take(), Port::take()];
        let listeners = Listeners {
            public: ports[0].listen(),
            operator: ports[1].listen(),
        };
        let address = listeners.public.local_addr().expect("an address");
        let url = Url::parse(&format!("http://{address}")).expect("a URL");
        let shutdown = CancellationToken::new();
        run(&self.file(), listeners, clock, &shutdown).await;
        Beside {
            url,
            _shutdown: shutdown.drop_guard(),
            _ports: ports,
        }
    }

    /// Stops the gateway as an operator would.
    pub async fn stop(&mut self) {
        self.shutdown.cancel();
        if let Some(running) = self.running.take() {
            running.await.expect("no panic").expect("a clean stop");
        }
    }

    /// Stops the gateway, if it runs, and starts another on the same store, ports and clock.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.shutdown = CancellationToken::new();
        let listeners = listeners_at(&self.url, &self.operator);
        let (inside, running) = run(&self.file(), listeners, &self.clock, &self.shutdown).await;
        (self.inside, self.running) = (inside, Some(running));
    }

    /// Its configuration file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("guichet.toml")
    }

    /// Has an institution's file say other things, from the next start on.
    ///
    /// # Panics
    ///
    /// If it does not say what is to be replaced.
    pub fn rewrite_institution(&self, code: &str, swaps: &[(&str, &str)]) {
        let file = self.folder.path().join(format!("institutions/{code}.toml"));
        let mut text = std::fs::read_to_string(&file).expect("a file");
        for (this, that) in swaps {
            assert!(text.contains(this), "no {this} in {text}");
            text = text.replace(this, that);
        }
        std::fs::write(&file, text).expect("written");
    }

    /// Moves the clock and wakes the worker.
    pub fn pass(&self, time: Duration) {
        self.clock.advance(time);
        let inside = self.inside.clone();
        tokio::spawn(async move { deadlines::look(&inside).await });
    }

    /// Takes a new session: half an hour without a call ends the old one.
    pub async fn sign_in(&mut self) {
        let client: ClientId = CLIENT.parse().expect("a client id");
        let user = access::user(&self.inside, &client, &self.user.to_string()).await;
        let user = user.expect("a step").expect("the user");
        let token = access::api_token(&self.inside, &user).await;
        let session = access::begin_session(&self.inside, &token.expect("a token")).await;
        let session = session.expect("a step").expect("a session");
        self.session = session.expose().to_owned();
    }

    /// Reads the member's newest OAuth state until it satisfies `enough`.
    ///
    /// # Panics
    ///
    /// If it does not within half a minute.
    pub async fn state_when(&self, member: MemberGuid, enough: impl Fn(&Value) -> bool) -> Value {
        eventually(async || Some(self.state(member).await).filter(&enough)).await
    }

    /// Reads the member until it satisfies `enough`.
    ///
    /// # Panics
    ///
    /// If it does not within half a minute.
    pub async fn member_when(&self, member: MemberGuid, enough: impl Fn(&Value) -> bool) -> Value {
        eventually(async || Some(self.read(member).await).filter(&enough)).await
    }

    /// An address on the public listener.
    pub fn at(&self, path: &str) -> Url {
        self.url.join(path).expect("a path")
    }

    /// A browser without cookies.
    pub fn visitor(&self) -> Visitor {
        Visitor::new()
    }

    /// A call of the Nexus API with the user's session.
    pub async fn nexus(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let session = self.session.clone();
        self.call(method, path, body, |request| {
            request.header("MD-SESSION-TOKEN", session)
        })
        .await
    }

    /// A call of the Platform API with the client's key.
    pub async fn platform(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let key = self.api_key.clone();
        self.call(method, path, body, |request| {
            request.basic_auth(CLIENT, Some(key))
        })
        .await
    }

    /// A call of the Platform API with the rival's key.
    pub async fn rival(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let key = self.key_of(RIVAL).await;
        self.call(method, path, body, |request| {
            request.basic_auth(RIVAL, Some(key))
        })
        .await
    }

    /// A new API key of that client. A client has at most two.
    pub async fn key_of(&self, client: &str) -> String {
        let client: ClientId = client.parse().expect("a client id");
        let key = access::create_api_key(&self.inside, &client).await;
        let key = key.expect("a step").expect("room for a key");
        key.expose().to_owned()
    }

    /// A call of the aggregator's endpoints.
    pub async fn aggregation(&self, path: &str, body: Option<Value>) -> (u16, Value) {
        self.call("POST", path, body, |request| {
            request.bearer_auth(AGGREGATOR_KEY)
        })
        .await
    }

    /// What the operator's listener says was counted.
    pub async fn metrics(&self) -> String {
        let url = self.operator.join("metrics").expect("a path");
        let answer = super::visitor::http().get(url).send().await;
        answer.expect("a response").text().await.expect("a text")
    }

    /// Waits until so many refreshes have ended here since the start, however they did.
    ///
    /// # Panics
    ///
    /// If they do not within half a minute.
    pub async fn refreshed(&self, count: usize) {
        let is_count = |line: &&str| line.starts_with("guichet_refreshes_total{");
        eventually(async || {
            let metrics = self.metrics().await;
            let counts = metrics.lines().filter(is_count).map(|line| {
                let (_, value) = line.rsplit_once(' ').expect("a name and a value");
                value.parse::<f64>().expect("a number")
            });
            (counts.sum::<f64>() >= count as f64).then_some(())
        })
        .await;
    }

    /// How often that step of the store was asked for, as the metrics say.
    pub async fn store_steps(&self, step: &str) -> u32 {
        let metrics = self.metrics().await;
        let counted = format!("guichet_store_step_seconds_count{{step=\"{step}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&counted));
        line.expect("a count").parse().expect("a number")
    }

    /// Any call; the response's status and JSON (null if it is none).
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        with: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> (u16, Value) {
        let method = method.parse().expect("a method");
        let mut request = with(super::visitor::http().request(method, self.at(path)));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("a response");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Disables the user, or enables it again.
    pub async fn disable_user(&self, is_disabled: bool) {
        let path = format!("/users/{}", self.user);
        let body = json!({"user": {"is_disabled": is_disabled}});
        let (status, answer) = self.platform("PUT", &path, Some(body)).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Creates an OAuth member at the bank; its guid and its link.
    pub async fn member(&self) -> (MemberGuid, Url) {
        self.member_with(json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}}))
            .await
    }

    /// Creates a member by that body; its guid and its link.
    pub async fn member_with(&self, body: Value) -> (MemberGuid, Url) {
        let (status, answer) = self.nexus("POST", "/members", Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        let member = &answer["member"];
        let guid = member["guid"]
            .as_str()
            .expect("a guid")
            .parse()
            .expect("a guid");
        let link = member["oauth_window_uri"]
            .as_str()
            .expect("a link")
            .parse()
            .expect("a URL");
        (guid, link)
    }

    /// Reads a member by the Nexus API.
    pub async fn read(&self, member: MemberGuid) -> Value {
        let (status, answer) = self.nexus("GET", &format!("/members/{member}"), None).await;
        assert_eq!(status, 200, "{answer}");
        answer["member"].clone()
    }

    /// The member's newest OAuth state.
    pub async fn state(&self, member: MemberGuid) -> Value {
        let path = format!("/oauth_states?outbound_member_guid={member}");
        let (status, answer) = self.nexus("GET", &path, None).await;
        assert_eq!(status, 200, "{answer}");
        answer["oauth_states"][0].clone()
    }

    /// Follows a link to the bank; the authorization request.
    pub async fn open(&self, visitor: &Visitor, link: &Url) -> Url {
        let opened = visitor.get(link).await;
        assert_eq!(opened.status, 302, "{}", opened.body);
        opened.location().expect("a location")
    }

    /// The whole flow in one browser: opens, agrees, comes back, and gives the outcome page.
    pub async fn connect(&self, visitor: &Visitor, link: &Url) -> super::visitor::Page {
        let authorization = self.open(visitor, link).await;
        let callback = self.bank.code_for(&authorization).url();
        visitor.follow(&callback).await
    }
}

/// Looks again and again until `look` finds something.
///
/// # Panics
///
/// If it does not within half a minute.
pub async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            // Between two looks at the condition, not instead of one.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looking)
        .await
        .expect("what is waited for comes within half a minute")
}

/// Runs the gateway that the file describes.
pub async fn run(
    file: &Path,
    listeners: Listeners,
    clock: &MovableClock,
    shutdown: &CancellationToken,
) -> (Arc<Gateway>, JoinHandle<anyhow::Result<()>>) {
    let nothing = Environment::of(std::iter::empty::<(String, String)>());
    let (config, _) = Config::load(Some(file), &nothing).unwrap_or_else(|error| panic!("{error}"));
    let sources = Sources {
        clocks: Box::new(clock.clone()),
        random: Arc::new(SystemRandom),
    };
    let (server, _) = app::build(config, sources).await.expect("a gateway");
    let inside = server.app.gateway.clone();
    (
        inside,
        tokio::spawn(server.run(listeners, shutdown.clone(), Sums::default())),
    )
}

/// The sockets of the two origins.
pub fn listeners_at(public: &Url, operator: &Url) -> Listeners {
    let bind = |origin: &Url| {
        let port = origin.port().expect("a port");
        TcpListener::bind(("127.0.0.1", port)).expect("the port is free again")
    };
    Listeners {
        public: bind(public),
        operator: bind(operator),
    }
}

/// The value of a parameter in a URL's query, if it is there exactly once.
pub fn parameter(url: &Url, name: &str) -> Option<String> {
    super::loopback::once(url.query_pairs().into_owned(), name)
}
