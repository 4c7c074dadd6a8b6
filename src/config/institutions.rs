//! Institution files: one TOML file per bank. `institutions/_example.toml` explains every key.

mod fields;
mod help;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::address::{HttpsUrl, Issuer};
use super::document::{Document, Reference};
use super::fault::{ConfigError, Fault, Place, Refused, Warning};
use super::reading::{Environment, Reading};
use super::value::{self, Country, Label, Moment, Parsed, Scope, Section};
use crate::domain::background::{BackgroundRules, USUALLY_PER_DAY};
use crate::domain::client_authentication::{AuthenticationMethod, BasicEncoding};
use crate::domain::id::{InstitutionCode, InstitutionGuid};
use crate::domain::institution::{
    Institution, IssuerRule, OAuth, Pkce, RefreshRules, ResponseMode, SubjectSource,
};
use crate::domain::maintenance::{Maintenance, MaintenanceStatus, MaintenanceText};
use crate::domain::window::ErrorReason;

/// The file that explains the keys.
const REFERENCE: Reference = Reference {
    name: "institutions/_example.toml",
    text: include_str!("../../institutions/_example.toml"),
};

/// Parameters of the authorization request that only the gateway may set.
const OUR_PARAMETERS: [&str; 12] = [
    "response_type",
    "client_id",
    "client_secret",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "response_mode",
    "request",
    "request_uri",
];

/// What a folder holds.
#[derive(Default)]
pub struct Found {
    /// The institutions that can be used, in the order of their files' names.
    pub institutions: Vec<Institution>,
    /// What is risky in them.
    pub warnings: Vec<Warning>,
    /// Everything that is wrong, file by file.
    pub faults: Vec<Fault>,
    /// The guids and codes in the files, also of files that cannot be used for other reasons.
    names: Vec<Name>,
    /// Whether some file's code is not known.
    has_unnamed: bool,
}

/// A guid or code, and the file that gives it.
struct Name {
    key: &'static str,
    name: String,
    file: PathBuf,
}

impl Found {
    /// Whether an institution of that code may be meant by a file that cannot be used.
    pub fn may_have(&self, code: &InstitutionCode) -> bool {
        let is_it = |it: &Name| it.key == "code" && it.name == code.as_str();
        self.has_unnamed || self.names.iter().any(is_it)
    }
}

/// Loads every `*.toml` file of `folder` but those whose name begins with `_` or `.`.
pub fn load(folder: &Path) -> Found {
    let mut found = Found::default();
    let unreadable = |path: &Path, error: &std::io::Error| Fault {
        place: Place::Whole(path.to_owned()),
        key: String::new(),
        problem: format!("cannot be read ({error}); check the path and the permissions"),
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            found.faults.push(unreadable(folder, &error));
            return found;
        }
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        match entry.map(|entry| entry.path()) {
            Ok(path) if is_loaded(&path) => paths.push(path),
            Ok(_) => {}
            Err(error) => found.faults.push(unreadable(folder, &error)),
        }
    }
    paths.sort();
    for path in paths {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                found.faults.push(unreadable(&path, &error));
                found.has_unnamed = true;
                continue;
            }
        };
        let outcome = read(&text, &path, &mut found.names);
        let has_code = found
            .names
            .iter()
            .any(|it| it.key == "code" && it.file == path);
        found.has_unnamed |= !has_code && outcome.is_err();
        match outcome {
            Ok((institution, warnings)) => {
                found.institutions.push(institution);
                found.warnings.extend(warnings);
            }
            Err(ConfigError::Faults(faults)) => found.faults.extend(faults),
            Err(other) => found.faults.push(Fault {
                place: Place::Whole(path),
                key: String::new(),
                problem: other.to_string(),
            }),
        }
    }
    found
}

fn is_loaded(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or("_");
    name.ends_with(".toml") && !name.starts_with(['_', '.'])
}

/// Reads one institution from the `text` of `file`; a `logo_file` is looked for beside it.
///
/// # Errors
///
/// [`ConfigError`], with file, line, column, key and remedy.
pub fn parse(text: &str, file: &Path) -> Result<(Institution, Vec<Warning>), ConfigError> {
    read(text, file, &mut Vec::new())
}

/// As [`parse`], where the names in `taken` are those of other files; adds its own.
fn read(
    text: &str,
    file: &Path,
    taken: &mut Vec<Name>,
) -> Result<(Institution, Vec<Warning>), ConfigError> {
    let name = file.display().to_string();
    let (raw, document): (RawInstitution, _) = Document::read(&name, text, &[], REFERENCE)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let environment = Environment::default();
    let mut reading = Reading::new(&document, folder, &environment);
    let names = [
        ("guid", raw.guid.to_string()),
        ("code", raw.code.to_string()),
    ];
    for (key, name) in names {
        if !reading.is_as_written(key) {
            continue;
        }
        match taken.iter().find(|other| other.name == name) {
            Some(other) => {
                let other = other.file.display();
                let problem = format!("is the {key} of {other} too; give each institution its own");
                reading.wrong(key, problem);
            }
            None => taken.push(Name {
                key,
                name,
                file: file.to_owned(),
            }),
        }
    }
    let institution = raw.build(&mut reading);
    reading.finish(institution)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInstitution {
    guid: InstitutionGuid,
    code: InstitutionCode,
    name: Label,
    url: Option<HttpsUrl>,
    logo_file: Option<PathBuf>,
    iso_country_code: Option<Country>,
    supports_oauth: bool,
    #[serde(default, deserialize_with = "value::optional_section")]
    oauth: Option<RawOAuth>,
    #[serde(default)]
    credentials: Vec<Section<fields::RawField>>,
    #[serde(default, deserialize_with = "value::section")]
    help: help::RawHelp,
    background_minutes: Option<BackgroundMinutes>,
    background_per_day: Option<BackgroundPerDay>,
    #[serde(default, deserialize_with = "value::optional_section")]
    maintenance: Option<RawMaintenance>,
}

/// How many minutes after a pull the next one is due; 0: there is none.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
pub struct BackgroundMinutes(u64);

impl TryFrom<i64> for BackgroundMinutes {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        let minutes = u64::try_from(number).ok();
        let is_sound = |minutes: &u64| *minutes == 0 || (15..=43_200).contains(minutes);
        let sound = minutes.filter(is_sound).map(Self);
        sound.ok_or_else(|| {
            format!("is {number}; write a number from 15 to 43200, or 0 for no background pulls")
        })
    }
}

/// How many background pulls a member has on one day at most.
#[derive(Clone, Copy, Deserialize)]
#[serde(transparent)]
pub struct BackgroundPerDay(#[serde(deserialize_with = "value::between::<1, 96, _>")] u64);

/// What those two keys say; where one is missing it is as in `usual`.
pub fn background(
    minutes: Option<BackgroundMinutes>,
    per_day: Option<BackgroundPerDay>,
    usual: BackgroundRules,
) -> BackgroundRules {
    let every =
        |minutes: BackgroundMinutes| (minutes.0 > 0).then(|| Duration::from_secs(60 * minutes.0));
    let most = |most: BackgroundPerDay| u32::try_from(most.0).unwrap_or(USUALLY_PER_DAY);
    BackgroundRules {
        every: minutes.map_or(usual.every, every),
        per_day: per_day.map_or(usual.per_day, most),
    }
}

/// `[maintenance]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMaintenance {
    #[serde(default)]
    status: MaintenanceStatus,
    until: Option<Moment>,
    text: Option<Parsed<MaintenanceText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOAuth {
    authorization_endpoint: HttpsUrl,
    token_endpoint: HttpsUrl,
    revocation_endpoint: Option<HttpsUrl>,
    issuer: Option<Issuer>,
    #[serde(default)]
    iss: IssuerRule,
    client_authentication: MethodName,
    basic_encoding: Option<BasicEncoding>,
    #[serde(default)]
    scopes: Vec<Scope>,
    scope_separator: Option<String>,
    #[serde(default)]
    authorize_parameters: BTreeMap<String, String>,
    #[serde(default)]
    pkce: PkceMode,
    pkce_reason: Option<String>,
    #[serde(default)]
    response_mode: ResponseMode,
    #[serde(default, deserialize_with = "value::optional_section")]
    subject: Option<RawSubject>,
    #[serde(default)]
    errors: BTreeMap<String, ErrorReason>,
    #[serde(default, deserialize_with = "value::section")]
    timeouts: Timeouts,
    #[serde(default, deserialize_with = "value::section")]
    refresh: RawRefresh,
    #[serde(default, deserialize_with = "value::optional_days::<1, 3650, _>")]
    consent_days: Option<Duration>,
    #[serde(default, deserialize_with = "value::optional_seconds::<20, 600, _>")]
    code_seconds: Option<Duration>,
    #[serde(default = "yes")]
    revoke_replaced: bool,
}

fn yes() -> bool {
    true
}

/// `[oauth.refresh]`
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawRefresh {
    #[serde(rename = "idle_days", deserialize_with = "value::days::<1, 365, _>")]
    idle: Duration,
    #[serde(
        rename = "assume_minutes",
        deserialize_with = "value::minutes::<1, 1440, _>"
    )]
    assumed_life: Duration,
    #[serde(
        rename = "doubt_seconds",
        deserialize_with = "value::seconds::<60, 3600, _>"
    )]
    doubt: Duration,
}

impl Default for RawRefresh {
    fn default() -> Self {
        let RefreshRules {
            idle,
            assumed_life,
            doubt,
        } = RefreshRules::default();
        Self {
            idle,
            assumed_life,
            doubt,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MethodName {
    ClientSecretBasic,
    ClientSecretPost,
    None,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PkceMode {
    Required,
    #[default]
    Auto,
    Off,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSubject {
    from: SubjectFrom,
    endpoint: Option<HttpsUrl>,
    field: Option<Label>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SubjectFrom {
    Identify,
    #[serde(rename = "token_answer")]
    TokenResponse,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Timeouts {
    #[serde(
        rename = "connect_seconds",
        deserialize_with = "value::seconds::<1, 30, _>"
    )]
    connect: Duration,
    #[serde(
        rename = "total_seconds",
        deserialize_with = "value::seconds::<1, 60, _>"
    )]
    total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(15),
        }
    }
}

impl RawInstitution {
    fn build(self, reading: &mut Reading<'_>) -> Result<Institution, Refused> {
        if self.supports_oauth && self.oauth.is_none() {
            reading.invalid(
                "supports_oauth",
                "is true, but there is no [oauth] section; add one or write false",
            );
        }
        if !self.supports_oauth && self.oauth.is_some() {
            reading.invalid(
                "supports_oauth",
                "is false beside an [oauth] section; write true or remove the section",
            );
        }
        if !self.supports_oauth && self.credentials.is_empty() {
            reading.warn(
                "supports_oauth",
                "is false and there are no [[credentials]], so nobody can connect it; add the \
                 fields people sign in with, or an [oauth] section",
            );
        }
        let credentials = fields::build(reading, self.credentials);
        let help = self.help.build(reading);
        let logo = reading.logo("logo_file", self.logo_file.as_deref());
        let oauth = self.oauth.map(|oauth| oauth.build(reading)).transpose()?;
        Ok(Institution {
            guid: self.guid,
            code: self.code,
            name: self.name.0,
            url: self.url.map(|url| url.0),
            logo: logo?,
            iso_country_code: self.iso_country_code.map(|code| code.0),
            oauth,
            credentials,
            help,
            background: background(
                self.background_minutes,
                self.background_per_day,
                BackgroundRules::default(),
            ),
            maintenance: self.maintenance.map(|raw| Maintenance {
                status: raw.status,
                until: raw.until.map(|until| until.0),
                text: raw.text.map(|text| text.0),
            }),
        })
    }
}

impl RawOAuth {
    fn build(self, reading: &mut Reading<'_>) -> Result<OAuth, Refused> {
        self.check_parameters(reading);
        if self.iss != IssuerRule::IfPresent && self.issuer.is_none() {
            reading.invalid(
                "oauth.issuer",
                "is needed because iss is required; add the institution's issuer, or write \
                 iss = \"if_present\"",
            );
        }
        let client_authentication = self.client_authentication(reading);
        let pkce = self.pkce(reading);
        let separator = self.scope_separator.unwrap_or_else(|| " ".to_owned());
        if !matches!(separator.as_str(), " " | "," | "+" | ";" | "|") {
            reading.wrong(
                "oauth.scope_separator",
                "must be a space, or one of , + ; | where the institution deviates",
            );
        }
        if self.scopes.iter().any(|scope| scope.0.contains(&separator)) {
            reading.invalid(
                "oauth.scopes",
                "has a scope that contains scope_separator; list each scope by itself",
            );
        }
        let subject = self.subject.map(|subject| subject.build(reading));
        let timeouts = self.timeouts;
        if timeouts.connect > timeouts.total {
            reading.invalid(
                "oauth.timeouts.connect_seconds",
                "is longer than total_seconds, which includes it; shorten it",
            );
        }
        if timeouts.total < Duration::from_secs(3) {
            reading.warn(
                "oauth.timeouts.total_seconds",
                "banks often take longer, and a code that was given up on cannot be used again; \
                 give 3 seconds or more",
            );
        }
        Ok(OAuth {
            authorization_endpoint: self.authorization_endpoint.0,
            token_endpoint: self.token_endpoint.0,
            revocation_endpoint: self.revocation_endpoint.map(|url| url.0),
            issuer: self.issuer.map(|issuer| issuer.0),
            iss: self.iss,
            client_authentication: client_authentication?,
            scopes: self.scopes.into_iter().map(|scope| scope.0).collect(),
            scope_separator: separator,
            authorize_parameters: self.authorize_parameters,
            pkce: pkce?,
            response_mode: self.response_mode,
            subject: subject.transpose()?,
            refresh: RefreshRules {
                idle: self.refresh.idle,
                assumed_life: self.refresh.assumed_life,
                doubt: self.refresh.doubt,
            },
            consent: self.consent_days,
            code_life: self.code_seconds,
            revoke_replaced: self.revoke_replaced,
            error_map: self.errors,
            connect_timeout: timeouts.connect,
            timeout: timeouts.total,
        })
    }

    /// Parameters that the flow's safety depends on cannot be set from a file.
    fn check_parameters(&self, reading: &Reading<'_>) {
        let refuse = |key: &str, name: &str| {
            let problem = format!("{name} is set by the gateway for each request; remove it");
            reading.wrong(key, problem);
        };
        for name in self.authorize_parameters.keys() {
            if OUR_PARAMETERS.contains(&name.as_str()) {
                refuse(&format!("oauth.authorize_parameters.{name}"), name);
            }
        }
        for (name, _) in self.authorization_endpoint.0.query_pairs() {
            if OUR_PARAMETERS.contains(&name.as_ref()) {
                refuse("oauth.authorization_endpoint", &name);
            }
        }
    }

    fn client_authentication(
        &self,
        reading: &Reading<'_>,
    ) -> Result<AuthenticationMethod, Refused> {
        match (self.client_authentication, self.basic_encoding) {
            (MethodName::ClientSecretBasic, encoding) => Ok(
                AuthenticationMethod::ClientSecretBasic(encoding.unwrap_or_default()),
            ),
            (MethodName::ClientSecretPost, None) => Ok(AuthenticationMethod::ClientSecretPost),
            (MethodName::None, None) => Ok(AuthenticationMethod::None),
            (_, Some(_)) => Err(reading.invalid(
                "oauth.basic_encoding",
                "is only for client_authentication = \"client_secret_basic\"; remove it",
            )),
        }
    }

    fn pkce(&self, reading: &mut Reading<'_>) -> Result<Pkce, Refused> {
        let reason = self.pkce_reason.as_deref().map(str::trim);
        match (self.pkce, reason) {
            (PkceMode::Required, None) => Ok(Pkce::Required),
            (PkceMode::Auto, None) => {
                let has_nonce = self.scopes.iter().any(|scope| scope.0 == "openid");
                if !has_nonce && self.issuer.is_none() {
                    reading.warn(
                        "oauth.pkce",
                        "is \"auto\", and neither scopes has \"openid\" nor is there an issuer: \
                         if the institution does not check PKCE, nothing shows that an authorization \
                         response was swapped; ask the institution, and write \"required\" once it is known",
                    );
                }
                Ok(Pkce::Auto)
            }
            (PkceMode::Off, Some(reason)) if !reason.is_empty() => {
                reading.warn(
                    "oauth.pkce",
                    "is off, so a stolen code can be used by whoever has it; ask the institution \
                     for PKCE (RFC 7636)",
                );
                Ok(Pkce::Off {
                    reason: reason.to_owned(),
                })
            }
            (PkceMode::Off, _) => Err(reading.invalid(
                "oauth.pkce_reason",
                "is missing; say why this institution cannot be sent PKCE, or write pkce = \
                 \"auto\"",
            )),
            (_, Some(_)) => {
                Err(reading.invalid("oauth.pkce_reason", "is only for pkce = \"off\"; remove it"))
            }
        }
    }
}

impl RawSubject {
    fn build(self, reading: &Reading<'_>) -> Result<SubjectSource, Refused> {
        let field = self.field.map_or_else(|| "sub".to_owned(), |field| field.0);
        match (self.from, self.endpoint) {
            (SubjectFrom::TokenResponse, None) => Ok(SubjectSource::TokenResponse { field }),
            (SubjectFrom::Identify, Some(HttpsUrl(endpoint))) => {
                Ok(SubjectSource::Identify { endpoint, field })
            }
            (SubjectFrom::Identify, None) => Err(reading.invalid(
                "oauth.subject.endpoint",
                "is missing; give the address that says who signed in, or write from = \
                 \"token_answer\"",
            )),
            (SubjectFrom::TokenResponse, Some(_)) => Err(reading.invalid(
                "oauth.subject.endpoint",
                "would not be called: it is for from = \"identify\"; remove it",
            )),
        }
    }
}
