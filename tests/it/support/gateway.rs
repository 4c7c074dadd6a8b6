//! The gateway as `main` runs it, on free ports, with a bank that does as told, a webhook receiver
//! and a clock that can be moved.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use guichet::app::{self, Sources};
use guichet::config::{Config, Environment};
use guichet::domain::id::{ClientId, MemberGuid, UserGuid};
use guichet::domain::random::Random;
use guichet::flow::access::{self, UserRequest};
use guichet::flow::{Clock, Gateway};
use guichet::serve::Listeners;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::fake_bank::{FakeBank, Registration};
use super::interop::{self, ELSEWHERE, InteropProvider};
use super::receiver::WebhookReceiver;
use super::redis::Redis;
use super::visitor::Visitor;

/// The client that most tests speak for.
pub const CLIENT: &str = "acme";

/// Another tenant, with a registration of its own at the same institution.
pub const RIVAL: &str = "rival";

/// The institution at [`TestGateway::bank`].
pub const BANK: &str = "fake_bank";
/// Its guid.
pub const BANK_GUID: &str = "INS-11111111-1111-4111-8111-111111111111";
/// An institution without OAuth.
pub const PAPER_BANK_GUID: &str = "INS-22222222-2222-4222-8222-222222222222";
/// The same bank, answering by `form_post`.
pub const FORM_BANK: &str = "fake_bank_form";
/// Its guid.
pub const FORM_BANK_GUID: &str = "INS-33333333-3333-4333-8333-333333333333";

/// The client secret at the bank: hostile to naive encoding.
pub const BANK_SECRET: &str = "a:b+c%/é&";
/// What the aggregator presents.
pub const AGGREGATOR_KEY: &str = "aggregator-key-0123456789-0123456789";
/// What pushes and webhooks are signed with.
pub const SIGNING_SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// The client's `MD-API-KEY`.
pub const SSO_KEY: &str = "sso-key-0123456789-0123456789-012345";

/// Every kind of event, as a TOML array.
pub const ALL_EVENTS: &str = r#"["member.created", "member.updated", "member.deleted", "connection_status.changed", "aggregation.finished", "oauth_state.finished"]"#;

/// Where the gateway under test keeps its things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A SQLite file of its own.
    Sqlite,
    /// A database of its own on the test binary's Redis.
    Redis,
}

/// How the gateway under test differs from the usual.
#[derive(Clone, Default)]
pub struct Setup {
    /// TOML put before the first table, such as `public_url`-independent top-level keys.
    pub links: String,
    /// TOML added to the first client's table.
    pub client: String,
    /// TOML added to the first client's registration at the bank.
    pub registration: String,
    /// TOML added to the bank's `[oauth]` table.
    pub oauth: String,
    /// Another `client_authentication` than `client_secret_basic`; with `none` the client has no
    /// secret.
    pub client_authentication: Option<&'static str>,
    /// The events told to [`TestGateway::hooks`], as a TOML array; all of them by default.
    pub hook_events: Option<&'static str>,
    /// Further endpoints of the client: the events of each, as a TOML array, and its address.
    pub more_hooks: Vec<(&'static str, Url)>,
    /// TOML of further tables.
    pub tables: String,
    /// The address of the store, where it is not one of this test binary's own.
    pub store: Option<String>,
    /// Leaves the aggregator out.
    pub without_aggregator: bool,
    /// Adds the institution [`ELSEWHERE`], whose authorization server others wrote.
    pub elsewhere: bool,
    /// How many links a member may have per minute, in place of as many as tests want.
    pub mints_per_member_per_minute: Option<u32>,
    /// Text of the configuration or of an institution file, and what stands there instead.
    pub swaps: Vec<(&'static str, &'static str)>,
}

impl Setup {
    fn swapped(&self, text: String) -> String {
        let swap = |text: String, (this, that): &(&str, &str)| text.replace(this, that);
        self.swaps.iter().fold(text, swap)
    }
}

/// A clock that runs with the machine's and can be moved.
#[derive(Clone, Default)]
pub struct MovableClock(Arc<AtomicI64>);

impl MovableClock {
    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(
            i64::try_from(by.as_millis()).expect("a short while"),
            Ordering::SeqCst,
        );
    }
}

impl Clock for MovableClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test's clock follows the machine's"
    )]
    fn now(&self) -> Timestamp {
        let now = Timestamp::now().as_millisecond() + self.0.load(Ordering::SeqCst);
        Timestamp::from_millisecond(now).expect("a time near now")
    }
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
        let bind = || TcpListener::bind("127.0.0.1:0").expect("a free port");
        let listeners = Listeners {
            public: bind(),
            operator: bind(),
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
                    client_secret: (setup.client_authentication != Some("none"))
                        .then(|| BANK_SECRET.to_owned()),
                    redirect_uri: format!("{}oauth/redirect_from/{client}/{institution}", url),
                });
            }
        }
        let folder = tempfile::tempdir().expect("a folder");
        write_institutions(folder.path(), &bank, &setup);
        let elsewhere = setup.elsewhere.then(|| {
            let elsewhere = InteropProvider::for_client(CLIENT, &url);
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
        let clock = MovableClock::default();
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

    /// Moves the clock and wakes the worker.
    pub fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.inside.nudge.notify_waiters();
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
    /// If it does not within ten seconds.
    pub async fn state_when(&self, member: MemberGuid, enough: impl Fn(&Value) -> bool) -> Value {
        eventually(async || Some(self.state(member).await).filter(&enough)).await
    }

    /// Reads the member until it satisfies `enough`.
    ///
    /// # Panics
    ///
    /// If it does not within ten seconds.
    pub async fn member_when(&self, member: MemberGuid, enough: impl Fn(&Value) -> bool) -> Value {
        eventually(async || Some(self.read(member).await).filter(&enough)).await
    }

    /// An address on the public door.
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

    /// A call of the aggregator's door.
    pub async fn aggregation(&self, path: &str, body: Option<Value>) -> (u16, Value) {
        self.call("POST", path, body, |request| {
            request.bearer_auth(AGGREGATOR_KEY)
        })
        .await
    }

    /// Any call; the answer's status and JSON (null when it is none).
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
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
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
/// If it does not within ten seconds.
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
    tokio::time::timeout(Duration::from_secs(10), looking)
        .await
        .expect("what is waited for comes within ten seconds")
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
        clock: Box::new(clock.clone()),
        random: Box::new(SystemRandom),
    };
    let (server, _) = app::build(config, sources).await.expect("a gateway");
    let inside = server.door.gateway.clone();
    (
        inside,
        tokio::spawn(server.run(listeners, shutdown.clone())),
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

/// The client's `client_id` at the bank.
pub fn bank_client_id(client: &str, institution: &str) -> String {
    format!("{client}-at-{institution}")
}

fn write_institutions(folder: &std::path::Path, bank: &FakeBank, setup: &Setup) {
    let institutions = folder.join("institutions");
    std::fs::create_dir(&institutions).expect("a folder");
    let oauth = |mode: &str| {
        format!(
            "[oauth]\nauthorization_endpoint = \"{}\"\ntoken_endpoint = \"{}\"\nrevocation_endpoint = \"{}\"\nissuer = \"{}\"\n\
             client_authentication = \"{}\"\nscopes = [\"accounts\", \"transactions\"]\nresponse_mode = \"{mode}\"\n{}\n",
            bank.authorize_url(),
            bank.token_url(),
            bank.revoke_url(),
            bank.issuer(),
            setup.client_authentication.unwrap_or("client_secret_basic"),
            setup.oauth,
        )
    };
    let head = |guid: &str, code: &str, name: &str, oauth: bool| {
        format!(
            "guid = \"{guid}\"\ncode = \"{code}\"\nname = \"{name}\"\nsupports_oauth = {oauth}\n\n"
        )
    };
    let files = [
        (
            BANK,
            head(BANK_GUID, BANK, "Fake Bank", true) + oauth("query").as_str(),
        ),
        (
            FORM_BANK,
            head(FORM_BANK_GUID, FORM_BANK, "Form Bank", true) + oauth("form_post").as_str(),
        ),
        (
            "paper_bank",
            head(PAPER_BANK_GUID, "paper_bank", "Paper Bank", false),
        ),
    ];
    for (code, text) in files {
        let text = setup.swapped(text);
        std::fs::write(institutions.join(format!("{code}.toml")), text).expect("a file");
    }
}

fn configuration(
    url: &Url,
    operator: &Url,
    store: &str,
    hooks: &WebhookReceiver,
    aggregator: &WebhookReceiver,
    setup: &Setup,
) -> String {
    let secret = serde_json::to_string(BANK_SECRET).expect("a string");
    let registration = |client: &str, institution: &str| {
        let id = bank_client_id(client, institution);
        let proof = match setup.client_authentication {
            Some("none") => String::new(),
            _ => format!("client_secret = {secret}\n"),
        };
        format!(
            "[[clients.registrations]]\ninstitution = \"{institution}\"\nclient_id = \"{id}\"\n{proof}"
        )
    };
    let own_elsewhere = match setup.elsewhere {
        true => interop::registration(CLIENT),
        false => String::new(),
    };
    let host = |url: &Url| {
        format!(
            "{}:{}",
            url.host_str().expect("a host"),
            url.port().expect("a port")
        )
    };
    let aggregation = match setup.without_aggregator {
        true => String::new(),
        false => format!(
            "[aggregator]\nurl = \"{}\"\nsecret = \"{SIGNING_SECRET}\"\nkey = \"{AGGREGATOR_KEY}\"\ndeadline_seconds = 60\n",
            aggregator.url(),
        ),
    };
    let more_hooks: String = setup
        .more_hooks
        .iter()
        .map(|(events, url)| {
            format!("[[clients.webhooks]]\nurl = \"{url}\"\nevents = {events}\nsecret = \"{SIGNING_SECRET}\"\n")
        })
        .collect();
    let hook_hosts: Vec<String> = std::iter::once(&hooks.url())
        .chain(setup.more_hooks.iter().map(|(_, url)| url))
        .map(|url| format!("\"{}\"", host(url)))
        .collect();
    format!(
        r#"public_url = "{origin}"
[listen]
address = "{public}"
operator = "{operator}"
[store]
url = "{store}"
[seal]
keys = [{{ id = "test", key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" }}]
[limits]
mints_per_member_per_minute = {mints}
mints_per_client_per_second = 10000
unknown_links_per_minute = 1000
{links}
{aggregation}
[webhooks]
allow_hosts = [{hook_hosts}]
{tables}
[[clients]]
id = "{CLIENT}"
name = "Acme Budget"
sso_key = "{SSO_KEY}"
return_addresses = ["https://app.example/done", "exp://127.0.0.1:19000/--/oauth_complete"]
return_schemes = ["com.example.acme"]
message_origins = ["https://app.example"]
{client}
[[clients.webhooks]]
url = "{hooks_url}"
events = {hook_events}
secret = "{SIGNING_SECRET}"
{more_hooks}{own}{registration}
{own_form}{own_elsewhere}
[[clients]]
id = "{RIVAL}"
name = "Rival Money"
{rival}{rival_form}"#,
        origin = url.origin().ascii_serialization(),
        public = host(url),
        operator = host(operator),
        mints = setup.mints_per_member_per_minute.unwrap_or(1000),
        links = setup.links,
        tables = setup.tables,
        client = setup.client,
        registration = setup.registration,
        hooks_url = hooks.url(),
        hook_events = setup.hook_events.unwrap_or(ALL_EVENTS),
        hook_hosts = hook_hosts.join(", "),
        own = registration(CLIENT, BANK),
        own_form = registration(CLIENT, FORM_BANK),
        own_elsewhere = own_elsewhere,
        rival = registration(RIVAL, BANK),
        rival_form = registration(RIVAL, FORM_BANK),
    )
}
