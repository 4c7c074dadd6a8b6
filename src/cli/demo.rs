//! `guichet demo`: everything on this machine, in one process.
//!
//! It writes an ordinary configuration into its data folder and loads it like `serve` does, so that
//! what the demo shows is what production runs.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde_json::json;
use url::Url;

use crate::app;
use crate::config::{Config, Environment, LogFormat};
use crate::domain::id::ClientId;
use crate::domain::random::{self, Random};
use crate::domain::secret::{ApiKey, SessionToken};
use crate::domain::user::User;
use crate::flow::Gateway;
use crate::flow::access::{self, UserRequest};
use crate::sandbox::{self, BankClient, PlatformCredentials, Sandbox, Settings};
use crate::serve::Listeners;
use crate::telemetry;

/// The client that stands for a member service.
const CLIENT: &str = "demo";

/// That client's own name for its one user.
const USER: &str = "demo-user";

/// The demo's `client_id` at the sandbox bank.
const BANK_CLIENT: &str = "guichet-demo";

#[derive(clap::Args)]
pub(super) struct Options {
    /// Keep everything in this folder; without it a temporary one is used and removed.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Use this store instead of a SQLite file, such as redis://127.0.0.1:6379/.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Print one line of JSON when ready, and nothing else.
    #[arg(long)]
    json: bool,
    /// The first of the ports: gateway +0, bank +1, app +2, operator +9. 0 takes free ones.
    #[arg(long, value_name = "N", default_value_t = 8080)]
    port_base: u16,
    /// What is logged to standard error.
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log: String,
}

/// The four sockets, and what they are called from outside.
struct Addresses {
    gateway: TcpListener,
    bank: TcpListener,
    app: TcpListener,
    operator: TcpListener,
    gateway_url: Url,
    bank_url: Url,
    app_url: Url,
    operator_url: Url,
}

/// What the parts of the demo prove themselves to each other with; new at every start.
struct Secrets {
    bank: String,
    aggregator_signing: String,
    aggregator_key: String,
    webhook_signing: String,
    sso_key: String,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    telemetry::install(LogFormat::Text, &options.log);
    let shutdown = super::on_signal();
    let addresses = Addresses::bind(options.port_base)?;
    let sources = app::Sources::real();
    let secrets = Secrets::draw(sources.random.as_ref());
    let data = DataFolder::open(options.data.as_deref())?;
    let config_file = data.write(
        &addresses,
        &secrets,
        options.store.as_deref(),
        sources.random.as_ref(),
    )?;
    let (config, _) = Config::load(
        Some(&config_file),
        &Environment::of(std::iter::empty::<(String, String)>()),
    )?;
    let (server, doubts) = app::build(config, sources).await?;
    for doubt in doubts {
        tracing::warn!("{doubt}");
    }
    let gateway = server.door.gateway.clone();
    let way_in = WayIn::open(&gateway).await?;

    let settings = sandbox_settings(&addresses, &secrets, &way_in);
    let listeners = sandbox::Listeners {
        bank: addresses.bank,
        app: addresses.app,
    };
    let sandbox = Sandbox::start(listeners, settings, shutdown.clone()).await?;
    let listeners = Listeners {
        public: addresses.gateway,
        operator: addresses.operator,
    };
    let running = tokio::spawn(server.run(listeners, shutdown.clone()));

    let urls = [
        &addresses.gateway_url,
        &addresses.bank_url,
        &addresses.app_url,
        &addresses.operator_url,
    ];
    match options.json {
        true => println!("{}", way_in.to_json(urls)),
        false => println!("{}", way_in.to_text(urls)),
    }
    let served = running.await.context("the gateway was cut off")?;
    shutdown.cancel();
    sandbox.stopped.await.context("the sandbox was cut off")??;
    served
}

impl Addresses {
    fn bind(port_base: u16) -> anyhow::Result<Self> {
        let bind = |offset: u16| -> anyhow::Result<TcpListener> {
            let port = match port_base {
                0 => 0,
                base => base
                    .checked_add(offset)
                    .context("--port-base must be at most 65526")?,
            };
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            TcpListener::bind(address).with_context(|| {
                format!("cannot listen on {address}; choose other ports with --port-base, 0 takes free ones")
            })
        };
        let (gateway, bank, app, operator) = (bind(0)?, bind(1)?, bind(2)?, bind(9)?);
        let url = |host: &str, listener: &TcpListener| -> anyhow::Result<Url> {
            Ok(Url::parse(&format!(
                "http://{host}:{}/",
                listener.local_addr()?.port()
            ))?)
        };
        Ok(Self {
            // Another host name for the bank and the app makes them other sites than the gateway, as
            // they are in production.
            gateway_url: url("127.0.0.1", &gateway)?,
            bank_url: url("localhost", &bank)?,
            app_url: url("localhost", &app)?,
            operator_url: url("127.0.0.1", &operator)?,
            gateway,
            bank,
            app,
            operator,
        })
    }
}

impl Secrets {
    fn draw(random: &dyn Random) -> Self {
        let text = || STANDARD.encode(random::bytes::<32>(random));
        Self {
            bank: text(),
            aggregator_signing: format!("whsec_{}", text()),
            aggregator_key: text(),
            webhook_signing: format!("whsec_{}", text()),
            sso_key: text(),
        }
    }
}

/// Where the demo keeps its things: a folder of the person's, or a temporary one.
enum DataFolder {
    Kept(PathBuf),
    Temporary(TemporaryFolder),
}

/// Removed with all it holds when dropped.
struct TemporaryFolder(PathBuf);

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, folder = %self.0.display(), "temporary folder not removed");
        }
    }
}

impl DataFolder {
    fn open(kept: Option<&Path>) -> anyhow::Result<Self> {
        let folder = match kept {
            Some(path) => path.to_owned(),
            None => {
                let name: [u8; 8] = random::bytes(app::Sources::real().random.as_ref());
                let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
                std::env::temp_dir().join(format!("guichet-demo-{name}"))
            }
        };
        std::fs::create_dir_all(folder.join("institutions"))
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        restrict(&folder, 0o700)?;
        Ok(match kept {
            Some(_) => Self::Kept(folder),
            None => Self::Temporary(TemporaryFolder(folder)),
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => &folder.0,
        }
    }

    /// Writes configuration and institution files; the path of the configuration.
    fn write(
        &self,
        addresses: &Addresses,
        secrets: &Secrets,
        store: Option<&str>,
        random: &dyn Random,
    ) -> anyhow::Result<PathBuf> {
        let folder = self.path();
        let seal_key = folder.join("seal.key");
        if !seal_key.exists() {
            // Kept with the data: without it the grants in a kept store could not be read again.
            write_private(&seal_key, &STANDARD.encode(random::bytes::<32>(random)))?;
        }
        for institution in sandbox::institutions() {
            let file = folder
                .join("institutions")
                .join(format!("{}.toml", institution.code));
            write_private(&file, &institution_file(&institution, &addresses.bank_url))?;
        }
        let config_file = folder.join("guichet.toml");
        write_private(&config_file, &configuration(addresses, secrets, store))?;
        Ok(config_file)
    }
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    restrict(path, 0o600)
}

fn restrict(path: &Path, mode: u32) -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
    Ok(())
}

fn institution_file(institution: &sandbox::Institution, bank: &Url) -> String {
    let sandbox::Institution {
        guid,
        code,
        name,
        form_post,
        ..
    } = institution;
    let response_mode = if *form_post { "form_post" } else { "query" };
    format!(
        r#"guid = "{guid}"
code = "{code}"
name = "{name}"
url = "{bank}"
supports_oauth = true

[oauth]
authorization_endpoint = "{bank}{code}/authorize"
token_endpoint = "{bank}{code}/token"
revocation_endpoint = "{bank}{code}/revoke"
issuer = "{bank}{code}"
iss = "required"
client_authentication = "client_secret_basic"
scopes = ["accounts", "transactions"]
pkce = "required"
response_mode = "{response_mode}"
"#
    )
}

fn configuration(addresses: &Addresses, secrets: &Secrets, store: Option<&str>) -> String {
    let store = store.unwrap_or("sqlite:guichet.sqlite");
    let gateway = addresses.gateway_url.origin().ascii_serialization();
    let app = addresses.app_url.origin().ascii_serialization();
    let app_host = app.trim_start_matches("http://");
    let (public, operator) = (
        addresses.gateway_url.authority(),
        addresses.operator_url.authority(),
    );
    let registrations: String = sandbox::institutions()
        .iter()
        .map(|institution| {
            format!(
                "\n[[clients.registrations]]\ninstitution = \"{}\"\nclient_id = \"{BANK_CLIENT}\"\nclient_secret = \"{}\"\n",
                institution.code, secrets.bank
            )
        })
        .collect();
    format!(
        r##"# Written by `guichet demo` at every start.
public_url = "{gateway}"

[listen]
address = "{public}"
operator = "{operator}"

[store]
url = "{store}"
accept_volatile = true

[seal]
keys = [{{ id = "demo", key_file = "seal.key" }}]

[limits]
mints_per_member_per_minute = 100000
mints_per_client_per_second = 100000
unknown_links_per_minute = 100000

[sessions]
idle_minutes = 1440

[aggregator]
url = "{app}/aggregator/jobs"
secret = "{aggregator_signing}"
key = "{aggregator_key}"

[webhooks]
allow_hosts = ["{app_host}"]

[[clients]]
id = "{CLIENT}"
name = "Demo Budget"
sso_key = "{sso_key}"
accent = "#1f5fbf"
support = "mailto:help@demo.example"
return_addresses = ["{app}/returned"]
return_schemes = ["mx", "com.example.demo"]
allow_legacy_schemes = true
message_origins = ["{app}"]

[[clients.webhooks]]
url = "{app}/webhooks"
events = [
    "member.created",
    "member.updated",
    "member.deleted",
    "connection_status.changed",
    "aggregation.finished",
    "oauth_state.finished",
]
secret = "{webhook_signing}"
{registrations}"##,
        aggregator_signing = secrets.aggregator_signing,
        aggregator_key = secrets.aggregator_key,
        webhook_signing = secrets.webhook_signing,
        sso_key = secrets.sso_key,
    )
}

/// What somebody needs to call the demo's APIs.
struct WayIn {
    user: User,
    api_key: ApiKey,
    session: SessionToken,
}

impl WayIn {
    async fn open(gateway: &Gateway) -> anyhow::Result<Self> {
        let client: ClientId = CLIENT.parse()?;
        let user = match access::user(gateway, &client, USER).await? {
            Some(user) => user,
            None => {
                let request = UserRequest {
                    id: Some(USER.to_owned()),
                    ..UserRequest::default()
                };
                access::create_user(gateway, &client, request).await?
            }
        };
        // A kept store has the keys of earlier starts, which nobody knows any more.
        for key in gateway.store.api_keys(&client).await? {
            gateway
                .store
                .retire_api_key(&client, &key.id, gateway.clock.now())
                .await?;
        }
        let api_key = access::create_api_key(gateway, &client)
            .await?
            .context("no room for an API key")?;
        let token = access::api_token(gateway, &user).await?;
        let session = access::begin_session(gateway, &token)
            .await?
            .context("the session did not begin")?;
        Ok(Self {
            user,
            api_key,
            session,
        })
    }

    fn to_json(&self, [gateway, bank, app, operator]: [&Url; 4]) -> String {
        let origin = |url: &Url| url.origin().ascii_serialization();
        let institutions: Vec<_> = sandbox::institutions()
            .into_iter()
            .map(|institution| json!({"guid": institution.guid, "code": institution.code, "name": institution.name}))
            .collect();
        json!({
            "gateway": origin(gateway),
            "bank": origin(bank),
            "app": origin(app),
            "operator": origin(operator),
            "platform": {"client_id": CLIENT, "api_key": self.api_key.expose()},
            "nexus": {"session_token": self.session.expose(), "user_guid": self.user.guid},
            "institutions": institutions,
        })
        .to_string()
    }

    fn to_text(&self, [gateway, bank, app, operator]: [&Url; 4]) -> String {
        let origin = |url: &Url| url.origin().ascii_serialization();
        let passwords: String = sandbox::PASSWORDS
            .iter()
            .map(|(password, outcome)| format!("    {password:<16} {outcome}\n"))
            .collect();
        format!(
            r#"Guichet is up. Click here:

    {app}

  gateway   {gateway}
  bank      {bank}   any user name; the password says what happens:

{passwords}
  operator  {operator}/metrics

Or with curl:

    curl -s {gateway}/members -H 'MD-SESSION-TOKEN: {session}' \
      -H 'Content-Type: application/json' \
      -d '{{"member":{{"institution_guid":"INS-68e96dd6-eabd-42d3-9f05-416897f0746c","is_oauth":true}}}}'

    curl -s -u '{CLIENT}:{key}' {gateway}/users/{user}/members

Ctrl-C stops it."#,
            app = origin(app),
            gateway = origin(gateway),
            bank = origin(bank),
            operator = origin(operator),
            session = self.session.expose(),
            key = self.api_key.expose(),
            user = self.user.guid,
        )
    }
}

fn sandbox_settings(addresses: &Addresses, secrets: &Secrets, way_in: &WayIn) -> Settings {
    let gateway = addresses.gateway_url.origin().ascii_serialization();
    let institutions = sandbox::institutions();
    let redirect_uris = institutions
        .iter()
        .map(|institution| {
            format!(
                "{gateway}/oauth/redirect_from/{CLIENT}/{}",
                institution.code
            )
        })
        .collect();
    Settings {
        bank_url: addresses.bank_url.clone(),
        app_url: addresses.app_url.clone(),
        gateway_url: addresses.gateway_url.clone(),
        clients: vec![BankClient {
            id: BANK_CLIENT.to_owned(),
            secret: SecretString::from(secrets.bank.clone()),
            name: "Demo Budget".to_owned(),
            redirect_uris,
        }],
        institutions,
        platform: PlatformCredentials {
            client_id: CLIENT.to_owned(),
            api_key: SecretString::from(way_in.api_key.expose().to_owned()),
        },
        user_guid: way_in.user.guid.to_string(),
        aggregator_secret: SecretString::from(secrets.aggregator_signing.clone()),
        aggregator_key: SecretString::from(secrets.aggregator_key.clone()),
        webhook_secret: SecretString::from(secrets.webhook_signing.clone()),
        slow_token: Settings::SLOW_TOKEN,
    }
}
