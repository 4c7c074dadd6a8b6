//! What the sandbox is told when it starts.

use std::time::Duration;

use anyhow::ensure;
use jiff::SignedDuration;
use secrecy::SecretString;
use url::Url;

/// Everything the sandbox has to know. Secrets stay out of its `Debug` text.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The bank's address as browsers and the gateway write it, such as `http://localhost:8081`.
    pub bank_url: Url,
    /// The demo app's address as browsers write it, such as `http://localhost:8082`.
    pub app_url: Url,
    /// The gateway's address, such as `http://127.0.0.1:8080`. Messages from windows are taken
    /// from this origin only.
    pub gateway_url: Url,
    /// The OAuth clients that the bank knows.
    pub clients: Vec<BankClient>,
    /// The institutions that the bank hosts; [`institutions`] is the usual set.
    pub institutions: Vec<Institution>,
    /// What the demo app authenticates with at the gateway.
    pub platform: PlatformCredentials,
    /// The user of the demo app, a `USR-` guid that the gateway already knows.
    pub user_guid: String,
    /// Verifies the jobs pushed to the aggregator: `whsec_` and then base64.
    pub aggregator_secret: SecretString,
    /// The bearer key by which the aggregator leases tokens and reports.
    pub aggregator_key: SecretString,
    /// Verifies the webhooks sent to the demo app: `whsec_` and then base64.
    pub webhook_secret: SecretString,
    /// How long the token endpoint takes for a person who typed the password `slow`.
    pub slow_token: Duration,
    /// Whether the gateway has the app's flows confirmed: then its page has a tick box for that.
    pub confirms: bool,
}

impl Settings {
    /// The usual value of [`slow_token`](Self::slow_token).
    pub const SLOW_TOKEN: Duration = Duration::from_secs(3);

    /// Refuses addresses that nothing could be reached at.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for (what, url) in [
            ("bank", &self.bank_url),
            ("demo app", &self.app_url),
            ("gateway", &self.gateway_url),
        ] {
            ensure!(
                matches!(url.scheme(), "http" | "https") && url.has_host(),
                "the {what}'s address {url} is not an http or https address"
            );
        }
        Ok(())
    }
}

/// An OAuth client registered at the bank, for all of its institutions.
#[derive(Debug, Clone)]
pub struct BankClient {
    /// The `client_id`.
    pub id: String,
    /// The `client_secret`, sent by HTTP Basic or in the form.
    pub secret: SecretString,
    /// Who asks, as the bank's pages say it.
    pub name: String,
    /// The only values `redirect_uri` may have, compared byte by byte.
    pub redirect_uris: Vec<String>,
}

/// What the demo app's server authenticates with (HTTP Basic).
#[derive(Debug, Clone)]
pub struct PlatformCredentials {
    /// The user name of the pair.
    pub client_id: String,
    /// The password of the pair.
    pub api_key: SecretString,
}

/// What an institution or the demo app looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brand {
    /// Its name in addresses and in the style sheet: lower-case letters and `_`.
    pub code: &'static str,
    /// An SVG document, square.
    pub logo: &'static str,
}

impl Brand {
    /// The demo app, "Demo Budget".
    pub const DEMO_BUDGET: Self = Self {
        code: "demo_budget",
        logo: include_str!("../templates/logos/demo_budget.svg"),
    };
    const MX_BANK: Self = Self {
        code: "mx_bank",
        logo: include_str!("../templates/logos/mx_bank.svg"),
    };
    const MXCU: Self = Self {
        code: "mxcu",
        logo: include_str!("../templates/logos/mxcu.svg"),
    };
    /// Everybody in the sandbox who has a logo.
    pub(super) const ALL: [Self; 3] = [Self::DEMO_BUDGET, Self::MX_BANK, Self::MXCU];
}

/// One institution hosted by the sandbox bank, at `{bank_url}/{code}/…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Institution {
    /// The gateway's guid for it, `INS-` and a UUID. The bank itself has no use for it.
    pub guid: String,
    /// Its readable code, also the first segment of its addresses.
    pub code: String,
    /// Its name on the pages.
    pub name: String,
    /// What it looks like.
    pub brand: Brand,
    /// Approves at once, without pages: all accounts, and a person never seen before unless
    /// `login_hint` names one.
    pub auto: bool,
    /// Uses `form_post` if the request does not name a `response_mode`.
    pub form_post: bool,
    /// How long an access token works, unless the password says otherwise. Whole seconds.
    pub access_life: SignedDuration,
    /// What people type to sign in, where there is no OAuth; otherwise empty.
    pub credentials: Vec<CredentialField>,
}

impl Institution {
    /// The usual value of [`access_life`](Self::access_life).
    pub const ACCESS_LIFE: SignedDuration = SignedDuration::from_hours(1);

    /// Whether people sign in on the institution's own pages.
    pub fn supports_oauth(&self) -> bool {
        self.credentials.is_empty()
    }
}

/// One of the things that people type to sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialField {
    /// The gateway's guid for it, `CRD-` and a UUID. The bank itself has no use for it.
    pub guid: String,
    /// The institution's name for it.
    pub field_name: &'static str,
    /// What people call it.
    pub label: &'static str,
    /// How it is typed.
    pub field_type: FieldType,
}

/// How a value is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// For everybody to see.
    Text,
    /// Hidden.
    Password,
}

impl FieldType {
    /// The published name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Password => "PASSWORD",
        }
    }
}

/// The [`field_name`](CredentialField::field_name) of what somebody is called.
pub(super) const LOGIN: &str = "LOGIN";
/// The [`field_name`](CredentialField::field_name) of what nobody else knows.
pub(super) const PASSWORD: &str = "PASSWORD";

/// The institutions of the demo.
///
/// `mx_bank_oauth` has the guid published for it. All other guids are the sandbox's own and never
/// change.
pub fn institutions() -> Vec<Institution> {
    let oauth = [
        (
            "INS-68e96dd6-eabd-42d3-9f05-416897f0746c",
            "mx_bank_oauth",
            "MX Bank (Oauth)",
            Brand::MX_BANK,
        ),
        (
            "INS-3f5b1c62-7a0e-4d27-9c4e-5b8d0a6f2e11",
            "mxcu_oauth",
            "MXCU (OAuth)",
            Brand::MXCU,
        ),
        (
            "INS-a1d94f08-52c6-4be3-8f7a-16c03be9d742",
            "mx_bank_oauth_auto",
            "MX Bank (approves at once)",
            Brand::MX_BANK,
        ),
        (
            "INS-7c28e5d3-0f94-4a61-b2d8-e93f417ac506",
            "mxcu_oauth_form",
            "MXCU (answers by form)",
            Brand::MXCU,
        ),
    ]
    .map(|(guid, code, name, brand)| Institution {
        guid: guid.to_owned(),
        code: code.to_owned(),
        name: name.to_owned(),
        brand,
        auto: code.ends_with("_auto"),
        form_post: code.ends_with("_form"),
        access_life: Institution::ACCESS_LIFE,
        credentials: Vec::new(),
    });
    let credentials = [
        (
            "INS-dd1b97e5-625f-4e2e-b4ef-26c19d5f6c8b",
            "mxbank",
            "MX Bank",
            Brand::MX_BANK,
            "CRD-ed226b0f-da26-4156-bdbe-dc374f352174",
            "CRD-238bcb54-0177-445a-b04d-fbef4e6d6ecd",
        ),
        (
            "INS-3d6cae5a-1753-417d-a4e6-cc5b90bbd06d",
            "mxcu_credential",
            "MXCU",
            Brand::MXCU,
            "CRD-867b3325-1bc3-4cdd-9210-6e62e696c6ce",
            "CRD-a2c7c7a1-2a54-441e-bd7b-5158c89f3739",
        ),
    ]
    .map(|(guid, code, name, brand, login, password)| Institution {
        guid: guid.to_owned(),
        code: code.to_owned(),
        name: name.to_owned(),
        brand,
        auto: false,
        form_post: false,
        access_life: Institution::ACCESS_LIFE,
        credentials: vec![
            CredentialField {
                guid: login.to_owned(),
                field_name: LOGIN,
                label: "Username",
                field_type: FieldType::Text,
            },
            CredentialField {
                guid: password.to_owned(),
                field_name: PASSWORD,
                label: "Password",
                field_type: FieldType::Password,
            },
        ],
    });
    oauth.into_iter().chain(credentials).collect()
}
