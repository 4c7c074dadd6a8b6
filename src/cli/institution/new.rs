//! `guichet institution new`: drafts an institution's file from what its authorization server says of itself.
//!
//! The strictest choice that both sides know comes first. The draft is held against the metadata as any file is; what
//! is left to decide stands at its head.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use url::Url;

use crate::app::{self, Sources};
use crate::config::{Config, Environment, HttpsUrl, Issuer, institutions};
use crate::domain::allowed_host::AllowedHost;
use crate::domain::id::{InstitutionCode, InstitutionGuid};
use crate::oauth::{Certificates, ClientKeys, OAuthClient, ServerMetadata, compare};
use crate::outgoing::Outgoing;
use crate::printable::printable;

/// The endpoints that a file may have, by the name that both give them.
const ENDPOINTS: [&str; 5] = [
    "authorization_endpoint",
    "token_endpoint",
    "revocation_endpoint",
    "pushed_authorization_request_endpoint",
    "jwks_uri",
];

/// The ways of client authentication that a file may have, the strictest first.
const AUTHENTICATION: [&str; 3] = ["client_secret_basic", "client_secret_post", "none"];

/// The ways in which a response may come that a file may have, the strictest first.
const RESPONSE_MODES: [&str; 2] = ["query", "form_post"];

/// How ID tokens may be signed: the first is what is registered where nobody says otherwise.
const ID_TOKEN_ALGORITHMS: [&str; 9] = [
    "RS256", "PS256", "ES256", "EdDSA", "PS384", "ES384", "PS512", "RS384", "RS512",
];

/// The scopes that a draft asks for, where the institution has them: who signed in, and tokens that can be renewed.
const SCOPES: [&str; 2] = ["openid", "offline_access"];

/// How long a line may be, in characters.
const LINE: usize = 2_000;

#[derive(clap::Args)]
pub(super) struct Options {
    /// The name of the authorization server, exactly as it writes it.
    #[arg(long, value_name = "URL")]
    issuer: Issuer,
    /// Where its metadata is, if not where the standards put it.
    #[arg(long, value_name = "URL")]
    metadata_url: Option<HttpsUrl>,
    /// The institution's code; it can never be changed. Not given: made from the issuer's host.
    #[arg(long)]
    code: Option<InstitutionCode>,
    /// The name that people see. Not given: the issuer's host.
    #[arg(long)]
    name: Option<String>,
    /// The configuration file, if calls go through its proxy.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What a draft is made of.
struct Draft<'a> {
    guid: InstitutionGuid,
    code: InstitutionCode,
    name: &'a str,
    metadata_url: Option<&'a Url>,
    metadata: &'a ServerMetadata,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let outgoing = match &options.config {
        Some(config) => {
            let (config, _) = Config::load(Some(config), &Environment::of_process()?)?;
            app::outgoing(&config)?
        }
        None => Outgoing::default(),
    };
    let issuer = &options.issuer.0;
    let address = options.metadata_url.as_ref().map(|url| &url.0);
    let host = Url::parse(issuer)
        .ok()
        .and_then(|url| Some(url.host_str()?.to_owned()));
    let host = host.context("--issuer names no host")?;
    let code = match options.code {
        Some(code) => code,
        None => code_of(&host)?,
    };
    let random = Sources::real().random;
    let client = OAuthClient::new(
        outgoing,
        ClientKeys::default(),
        Certificates::default(),
        random.clone(),
    )?;
    let client = client.serving_this_machine()?;
    // Whoever runs this named them.
    let named = Url::parse(issuer).ok().into_iter().chain(address.cloned());
    let named: Vec<AllowedHost> = named.filter_map(|url| AllowedHost::of(&url)).collect();
    let found = client.discover(issuer, address, &named).await?;
    let draft = Draft {
        guid: InstitutionGuid::new(random.as_ref()),
        name: options.name.as_deref().unwrap_or(&host),
        code,
        metadata_url: address,
        metadata: &found.metadata,
    };
    print!("{}", draft.commented()?);
    Ok(())
}

/// A code made from a host: its letters and digits.
fn code_of(host: &str) -> anyhow::Result<InstitutionCode> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let code: String = host.chars().map(plain).take(64).collect();
    code.parse()
        .context("--code is missing: no code can be made of the issuer's host")
}

impl Draft<'_> {
    /// The file, with what is left to decide at its head.
    fn commented(&self) -> anyhow::Result<String> {
        let file = self.written();
        let parsed = institutions::parse(&file, Path::new("the draft"));
        let (institution, warnings) = parsed.map_err(anyhow::Error::new)?;
        let oauth = institution
            .oauth
            .as_ref()
            .context("the draft has no [oauth]")?;
        let mut left: Vec<String> = warnings
            .into_iter()
            .map(|warning| format!("{} {}", warning.key, warning.message))
            .collect();
        let differences = compare(oauth, self.metadata).into_iter();
        left.extend(differences.map(|finding| format!("{} {}", finding.about, finding.text)));
        let mut text = String::from(
            "# A draft, made from what the authorization server says of itself. Read every line, ask the institution, and run\n\
             # `guichet institution check` on it. institutions/_example.toml explains all keys.\n",
        );
        if !left.is_empty() {
            text.push_str("#\n# Left to decide:\n");
            for line in left {
                writeln!(text, "# - {}", printable(&line, LINE))?;
            }
        }
        text.push('\n');
        text.push_str(&file);
        Ok(text)
    }

    /// The file without its head.
    fn written(&self) -> String {
        let metadata = self.metadata;
        let mut text = format!(
            "# IMPORTANT: members refer to their institution by guid and code. Never change either.\nguid = {}\ncode = {}\n\
             name = {}\nsupports_oauth = true\n\n[oauth]\n",
            quoted(&self.guid.to_string()),
            quoted(self.code.as_str()),
            quoted(self.name),
        );
        let mut set = |key: &str, value: &str| {
            text.push_str(&format!("{key} = {}\n", quoted(value)));
        };
        for key in ENDPOINTS {
            if let Some(url) = metadata.endpoint(key) {
                set(key, url.as_str());
            }
        }
        set("issuer", &metadata.issuer);
        if let Some(url) = self.metadata_url {
            set("metadata_url", url.as_str());
        }
        if metadata.says("authorization_response_iss_parameter_supported") {
            set("iss", "required");
        }
        let usual = AUTHENTICATION[0];
        let method = strictest(
            metadata,
            "token_endpoint_auth_methods_supported",
            &AUTHENTICATION,
        );
        set("client_authentication", method.unwrap_or(usual));
        if metadata.supports("code_challenge_methods_supported", "S256") == Some(true) {
            set("pkce", "required");
        }
        let mode = strictest(metadata, "response_modes_supported", &RESPONSE_MODES);
        if let Some(mode) = mode {
            set("response_mode", mode);
        }
        let algorithms = "id_token_signing_alg_values_supported";
        let algorithm = strictest(metadata, algorithms, &ID_TOKEN_ALGORITHMS);
        let unusual = |it: &&str| *it != ID_TOKEN_ALGORITHMS[0];
        if let Some(algorithm) = algorithm.filter(unusual) {
            set("id_token_signed_response_alg", algorithm);
        }
        // Without keys no ID token can be verified.
        let has_keys = metadata.endpoint("jwks_uri").is_some();
        let has_scope = |scope: &&str| {
            let is_there = metadata.supports("scopes_supported", scope) == Some(true);
            is_there && (has_keys || *scope != "openid")
        };
        let scopes = SCOPES.into_iter().filter(has_scope).map(quoted);
        let scopes: Vec<String> = scopes.collect();
        if let Some(all) = metadata.list("scopes_supported") {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let all = printable(&all.join(" "), LINE);
            text.push_str(&format!("# All that there are: {all}\n"));
            text.push_str(&format!("scopes = [{}]\n", scopes.join(", ")));
        }
        if let Some(url) = metadata.endpoint("userinfo_endpoint") {
            let url = quoted(url.as_str());
            text.push_str(&format!(
                "\n[oauth.subject]\nfrom = \"identify\"\nendpoint = {url}\n"
            ));
        }
        text
    }
}

/// The first of these that the list has; `None` where there is no list, or none of them is in it.
fn strictest<'a>(metadata: &ServerMetadata, list: &str, known: &[&'a str]) -> Option<&'a str> {
    let has = |value: &&&str| metadata.supports(list, value) == Some(true);
    known.iter().find(has).copied()
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
