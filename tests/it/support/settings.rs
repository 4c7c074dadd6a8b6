//! What the gateway under test is told: its configuration, its institution files, and how a test has
//! them differ.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::fake_bank::FakeBank;
use super::interop;
use super::receiver::WebhookReceiver;
use super::strict_bank::{STRICT, Strict};

/// The client that most tests speak for.
pub const CLIENT: &str = "acme";

/// Another tenant, with a registration of its own at the same institution.
pub const RIVAL: &str = "rival";

/// The institution at [`TestGateway::bank`].
pub const BANK: &str = "fake_bank";
/// Its guid.
pub const BANK_GUID: &str = "INS-11111111-1111-4111-8111-111111111111";
/// An institution without OAuth, which asks for [`LOGIN`], [`PASSWORD`] and, if one likes, [`BRANCH`].
pub const PAPER_BANK: &str = "paper_bank";
/// Its guid.
pub const PAPER_BANK_GUID: &str = "INS-22222222-2222-4222-8222-222222222222";
/// The same bank, with `form_post`.
pub const FORM_BANK: &str = "fake_bank_form";
/// Its guid.
pub const FORM_BANK_GUID: &str = "INS-33333333-3333-4333-8333-333333333333";

/// The user name at the paper bank.
pub const LOGIN: &str = "CRD-22222222-2222-4222-8222-222222222201";
/// The password there.
pub const PASSWORD: &str = "CRD-22222222-2222-4222-8222-222222222202";
/// The branch there: `north` or `south`.
pub const BRANCH: &str = "CRD-22222222-2222-4222-8222-222222222203";

/// The client secret at the bank: hostile to naive encoding.
pub const BANK_SECRET: &str = "a:b+c%/é&";
/// What the aggregator presents.
pub const AGGREGATOR_KEY: &str = "aggregator-key-0123456789-0123456789";
/// What pushes and webhooks are signed with.
pub const SIGNING_SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// The client's `MD-API-KEY`.
pub const SSO_KEY: &str = "sso-key-0123456789-0123456789-012345";

/// Every kind of event, as a TOML array.
pub const ALL_EVENTS: &str = r#"["member.created", "member.updated", "member.deleted", "connection_status.changed", "aggregation.finished", "initial_data.ready", "job_status.changed", "consent.expiring", "oauth_state.finished"]"#;

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
    /// Whether the gateway knows the keys that the bank signs ID tokens with, so that scopes may have `openid`.
    pub openid: bool,
    /// Where the bank says who signed in; nowhere by default.
    pub subject: Option<Subject>,
    /// Another `client_authentication` than `client_secret_basic`; with `none` the client has no
    /// secret.
    pub client_authentication: Option<&'static str>,
    /// A certificate and its key, which every registration shows instead of a secret.
    pub certificate: Option<[PathBuf; 2]>,
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
    /// Adds the institution [`ELSEWHERE`](interop::ELSEWHERE), whose authorization server others wrote, with access
    /// tokens that are valid for so long.
    pub elsewhere: Option<Duration>,
    /// Adds the institution [`STRICT`], with a registration of each client.
    pub strict: Option<Strict>,
    /// How many links a member may have per minute, in place of as many as tests want.
    pub mints_per_member_per_minute: Option<u32>,
    /// Where the bank's endpoints for the gateway are, if not at its own origin.
    pub bank_origin: Option<String>,
    /// Variables of the environment, where the gateway is a process of its own.
    pub environment: Vec<(&'static str, String)>,
    /// Text of the configuration or of an institution file, and what stands there instead.
    pub swaps: Vec<(&'static str, &'static str)>,
}

/// Where the bank says who signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// At an endpoint of its own.
    Identify,
    /// In the token response.
    TokenResponse,
}

impl Setup {
    pub(super) fn swapped(&self, text: String) -> String {
        let swap = |text: String, (this, that): &(&str, &str)| text.replace(this, that);
        self.swaps.iter().fold(text, swap)
    }
}

/// The client's `client_id` at the bank.
pub fn bank_client_id(client: &str, institution: &str) -> String {
    format!("{client}-at-{institution}")
}

pub(super) fn write_institutions(folder: &std::path::Path, bank: &FakeBank, setup: &Setup) {
    let institutions = folder.join("institutions");
    std::fs::create_dir(&institutions).expect("a folder");
    let called = |url: Url| match &setup.bank_origin {
        Some(origin) => format!("{origin}{}", url.path()),
        None => url.to_string(),
    };
    let subject = match setup.subject {
        None => String::new(),
        Some(Subject::Identify) => format!(
            "[oauth.subject]\nfrom = \"identify\"\nendpoint = \"{}\"\nfield = \"sub\"\n",
            called(bank.identify_url())
        ),
        Some(Subject::TokenResponse) => {
            "[oauth.subject]\nfrom = \"token_answer\"\nfield = \"login\"\n".to_owned()
        }
    };
    let keys = match setup.openid {
        false => String::new(),
        true => format!(
            "jwks_uri = \"{}\"\nid_token_signed_response_alg = \"ES256\"\n",
            bank.keys_url()
        ),
    };
    let oauth = |mode: &str| {
        format!(
            "[oauth]\nauthorization_endpoint = \"{}\"\ntoken_endpoint = \"{}\"\nrevocation_endpoint = \"{}\"\nissuer = \"{}\"\n\
             client_authentication = \"{}\"\nscopes = [\"accounts\", \"transactions\"]\nresponse_mode = \"{mode}\"\n{keys}{}\n{subject}",
            bank.authorize_url(),
            called(bank.token_url()),
            called(bank.revoke_url()),
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
            PAPER_BANK,
            head(PAPER_BANK_GUID, PAPER_BANK, "Paper Bank", false) + credentials().as_str(),
        ),
    ];
    let strict = setup
        .strict
        .as_ref()
        .map(|it| (STRICT, it.institution_file()));
    for (code, text) in files.into_iter().chain(strict) {
        let text = setup.swapped(text);
        std::fs::write(institutions.join(format!("{code}.toml")), text).expect("a file");
    }
}

/// What the paper bank asks for.
fn credentials() -> String {
    let field = |guid: &str, name: &str, kind: &str, more: &str| {
        format!(
            "[[credentials]]\nguid = \"{guid}\"\nfield_name = \"{name}\"\nlabel = \"Your {name}\"\ntype = \"{kind}\"\n{more}"
        )
    };
    let branches = r#"optional = true
options = [{ label = "North", value = "north" }, { label = "South", value = "south" }]
"#;
    [
        field(LOGIN, "LOGIN", "TEXT", ""),
        field(PASSWORD, "PASSWORD", "PASSWORD", ""),
        field(BRANCH, "BRANCH", "OPTIONS", branches),
    ]
    .concat()
}

pub(super) fn configuration(
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
        let proof = match (&setup.certificate, setup.client_authentication) {
            (Some([certificate, key]), _) => format!(
                "certificate_file = \"{}\"\ncertificate_key_file = \"{}\"\n",
                certificate.display(),
                key.display()
            ),
            (None, Some("none")) => String::new(),
            (None, _) => format!("client_secret = {secret}\n"),
        };
        format!(
            "[[clients.registrations]]\ninstitution = \"{institution}\"\nclient_id = \"{id}\"\n{proof}"
        )
    };
    let own_elsewhere = match setup.elsewhere {
        Some(_) => interop::registration(CLIENT),
        None => String::new(),
    };
    let strict = |client: &str| {
        let strict = setup.strict.as_ref();
        strict.map_or_else(String::new, |it| it.registration(client))
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
drain_seconds = 0
[store]
url = "{store}"
#store
[seal]
keys = [{{ id = "test", key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" }}]
[limits]
mints_per_member_per_minute = {mints}
mints_per_client_per_second = 10000
mints_per_user_per_second = 9999
reads_per_user_per_second = 1999
writes_per_user_per_second = 749
deletes_per_user_per_second = 149
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
allow_legacy_schemes = true
return_schemes = ["com.example.acme"]
message_origins = ["https://app.example"]
{client}
[[clients.webhooks]]
url = "{hooks_url}"
events = {hook_events}
secret = "{SIGNING_SECRET}"
{more_hooks}{own}{registration}
{own_form}{own_elsewhere}{own_strict}
[[clients]]
id = "{RIVAL}"
name = "Rival Money"
{rival}{rival_form}{rival_strict}"#,
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
        own_strict = strict(CLIENT),
        rival_strict = strict(RIVAL),
        rival = registration(RIVAL, BANK),
        rival_form = registration(RIVAL, FORM_BANK),
    )
}
