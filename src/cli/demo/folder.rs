//! The demo's data folder: an ordinary configuration, its institution files and the seal key.

use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::parts::{Addresses, BANK_CLIENT, CLIENT, Secrets};
use crate::app;
use crate::domain::random::{self, Random};

/// The demo's folder: one that the user named, or a temporary one.
pub(super) enum DataFolder {
    Kept(PathBuf),
    Temporary(TemporaryFolder),
}

/// Removed with all it holds when dropped.
pub(super) struct TemporaryFolder(PathBuf);

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, folder = %self.0.display(), "temporary folder not removed");
        }
    }
}

impl DataFolder {
    pub(super) fn open(kept: Option<&Path>) -> anyhow::Result<Self> {
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
    pub(super) fn write(
        &self,
        addresses: &Addresses,
        secrets: &Secrets,
        store: Option<&str>,
        confirm: bool,
        random: &dyn Random,
    ) -> anyhow::Result<PathBuf> {
        let folder = self.path();
        let seal_key = folder.join("seal.key");
        if !seal_key.exists() {
            // Kept with the data: without it the tokens in a kept store could not be decrypted.
            write_private(&seal_key, &STANDARD.encode(random::bytes::<32>(random)))?;
        }
        let institutions = folder.join("institutions");
        for institution in guichet_sandbox::institutions() {
            let file = institutions.join(format!("{}.toml", institution.code));
            write_private(&file, &institution_file(&institution, &addresses.bank_url))?;
            write_private(
                &institutions.join(logo_file(institution.brand)),
                institution.brand.logo,
            )?;
        }
        let app = guichet_sandbox::Brand::DEMO_BUDGET;
        write_private(&folder.join(logo_file(app)), app.logo)?;
        let config_file = folder.join("guichet.toml");
        let text = configuration(addresses, secrets, store, confirm);
        write_private(&config_file, &text)?;
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

fn logo_file(brand: guichet_sandbox::Brand) -> String {
    format!("{}.svg", brand.code)
}

fn institution_file(institution: &guichet_sandbox::Institution, bank: &Url) -> String {
    let guichet_sandbox::Institution {
        guid,
        code,
        name,
        brand,
        ..
    } = institution;
    let logo = logo_file(*brand);
    let supports_oauth = institution.supports_oauth();
    let how = match supports_oauth {
        true => oauth_section(institution, bank),
        false => institution.credentials.iter().map(credential).collect(),
    };
    format!(
        r#"guid = "{guid}"
code = "{code}"
name = "{name}"
url = "{bank}"
logo_file = "{logo}"
iso_country_code = "US"
supports_oauth = {supports_oauth}
{how}"#
    )
}

fn oauth_section(institution: &guichet_sandbox::Institution, bank: &Url) -> String {
    let code = &institution.code;
    let response_mode = match institution.form_post {
        true => "form_post",
        false => "query",
    };
    format!(
        r#"
[oauth]
authorization_endpoint = "{bank}{code}/authorize"
token_endpoint = "{bank}{code}/token"
revocation_endpoint = "{bank}{code}/revoke"
issuer = "{bank}{code}"
watch = false
iss = "required_with_code"
client_authentication = "client_secret_basic"
scopes = ["accounts", "transactions"]
pkce = "required"
response_mode = "{response_mode}"

[oauth.subject]
from = "identify"
endpoint = "{bank}{code}/identify"
"#
    )
}

fn credential(field: &guichet_sandbox::CredentialField) -> String {
    format!(
        r#"
[[credentials]]
guid = "{guid}"
field_name = "{field_name}"
label = "{label}"
type = "{field_type}"
"#,
        guid = field.guid,
        field_name = field.field_name,
        label = field.label,
        field_type = field.field_type.name(),
    )
}

fn configuration(
    addresses: &Addresses,
    secrets: &Secrets,
    store: Option<&str>,
    confirm: bool,
) -> String {
    let completion = match confirm {
        true => "completion = \"confirm\"\n",
        false => "",
    };
    let store = store.unwrap_or("sqlite:guichet.sqlite");
    let gateway = addresses.gateway_url.origin().ascii_serialization();
    let app = addresses.app_url.origin().ascii_serialization();
    let app_host = app.trim_start_matches("http://");
    let (public, operator) = (
        addresses.gateway_url.authority(),
        addresses.operator_url.authority(),
    );
    let registrations: String = guichet_sandbox::institutions()
        .iter()
        .filter(|institution| institution.supports_oauth())
        .map(|institution| {
            format!(
                "\n[[clients.registrations]]\ninstitution = \"{}\"\nclient_id = \"{BANK_CLIENT}\"\nclient_secret = \"{}\"\n{completion}",
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
drain_seconds = 0

[store]
url = "{store}"
accept_volatile = true

[seal]
keys = [{{ id = "demo", key_file = "seal.key" }}]

[limits]
mints_per_member_per_minute = 100000
mints_per_client_per_second = 100000
mints_per_user_per_second = 99999
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
logo_file = "{logo}"
support = "mailto:help@demo.example"
home = "{app}/"
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
    "consent.expiring",
    "oauth_state.finished",
]
secret = "{webhook_signing}"
{registrations}"##,
        aggregator_signing = secrets.aggregator_signing,
        aggregator_key = secrets.aggregator_key,
        webhook_signing = secrets.webhook_signing,
        sso_key = secrets.sso_key,
        logo = logo_file(guichet_sandbox::Brand::DEMO_BUDGET),
    )
}
