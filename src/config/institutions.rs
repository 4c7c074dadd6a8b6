//! Institution files: one TOML file per bank. `institutions/_example.toml` explains every key.

mod authorization;
mod calls;
mod client_authentication;
mod fields;
mod help;
mod layers;
mod openid;
mod outgoing;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::address::{HttpsUrl, Issuer};
use super::document::{Document, Reference};
use super::fault::{ConfigError, Fault, Place, Refused, Warning};
use super::reading::{Environment, Reading};
use super::value::{self, Country, Label, Moment, Parsed, Scope, Section};
use crate::domain::algorithm::{ContentEncryption, KeyManagement, SigningAlgorithm};
use crate::domain::allowed_host::AllowedHost;
use crate::domain::authorization::{ResponseMode, ResponseType};
use crate::domain::background::{BackgroundRules, USUALLY_PER_DAY};
use crate::domain::call::CallName;
use crate::domain::client_authentication::{AssertionAudience, BasicEncoding};
use crate::domain::id::{InstitutionCode, InstitutionGuid};
use crate::domain::institution::{
    CALLS_AT_ONCE, Discovery, Institution, IssuerRule, OAuth, Pkce, RefreshRules, SubjectSource,
};
use crate::domain::maintenance::{Maintenance, MaintenanceStatus, MaintenanceText};
use crate::domain::window::ErrorReason;

pub use layers::Contradictions;

/// The file that explains the keys.
const REFERENCE: Reference = Reference {
    name: "institutions/_example.toml",
    text: include_str!("../../institutions/_example.toml"),
};

/// What a folder holds.
#[derive(Default)]
pub struct Found {
    /// The institutions that can be used, in the order of their files' names.
    pub institutions: Vec<Institution>,
    /// What is risky in them.
    pub warnings: Vec<Warning>,
    /// Everything that is wrong, file by file.
    pub faults: Vec<Fault>,
    /// Each institution's file, and its document.
    documents: BTreeMap<InstitutionCode, (PathBuf, toml::Table)>,
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

impl Found {
    /// The institution's OAuth with a registration's `own` settings laid over its file's, and what is risky in them alone.
    ///
    /// # Errors
    ///
    /// [`Contradictions`], as they would be reported of the file if it said the same.
    pub fn overlaid(
        &self,
        code: &InstitutionCode,
        own: &toml::Table,
    ) -> Result<(Arc<OAuth>, Vec<Warning>), Contradictions> {
        let whole = |problem: &str| vec![("oauth".to_owned(), problem.to_owned())];
        let document = self.documents.get(code);
        let (file, document) =
            document.ok_or_else(|| whole("is for an institution without a file"))?;
        let (institution, warnings) = put_together(&layers::with_own(document, own), file)?;
        let is_new = |warning: &Warning| {
            let is_same = |it: &Warning| it.key == warning.key && it.message == warning.message;
            warning.key.starts_with("oauth.") && !self.warnings.iter().any(is_same)
        };
        let oauth = institution.oauth;
        let oauth = oauth.ok_or_else(|| whole("is for an institution without OAuth"))?;
        Ok((oauth, warnings.into_iter().filter(is_new).collect()))
    }
}

/// Reads a document that was put together.
fn put_together(
    document: &toml::Table,
    file: &Path,
) -> Result<(Institution, Vec<Warning>), Contradictions> {
    let whole = |problem: String| vec![("oauth".to_owned(), problem)];
    let text = toml::to_string(document);
    let text = text.map_err(|error| whole(format!("cannot be used: {error}")))?;
    parse(&text, file).map_err(|error| match error {
        ConfigError::Faults(faults) => {
            let said = |fault: Fault| (fault.key, fault.problem);
            faults.into_iter().map(said).collect()
        }
        other => whole(other.to_string()),
    })
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
            Ok((read, warnings)) => {
                for (document, institution) in read {
                    let code = institution.code.clone();
                    found.documents.insert(code, (path.clone(), document));
                    found.institutions.push(institution);
                }
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

/// Reads one institution from the `text` of `file`, without its twin; a `logo_file` is looked for beside it.
///
/// # Errors
///
/// [`ConfigError`], with file, line, column, key and remedy.
pub fn parse(text: &str, file: &Path) -> Result<(Institution, Vec<Warning>), ConfigError> {
    let (read, warnings) = read(text, file, &mut Vec::new())?;
    let (_, first) = read.into_iter().next().expect("a file has an institution");
    Ok((first, warnings))
}

/// An institution with its document.
type Documented = (toml::Table, Institution);

/// Reads an institution and its twin, if it has one, where the names in `taken` are those of other files; adds its
/// own.
fn read(
    text: &str,
    file: &Path,
    taken: &mut Vec<Name>,
) -> Result<(Vec<Documented>, Vec<Warning>), ConfigError> {
    let name = file.display().to_string();
    let (mut raw, document): (RawInstitution, _) = Document::read(&name, text, &[], REFERENCE)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let environment = Environment::default();
    let mut reading = Reading::new(&document, folder, &environment);
    let mut names = vec![
        ("guid", "guid", raw.guid.to_string()),
        ("code", "code", raw.code.to_string()),
    ];
    let twin = raw.sandbox.take();
    if let Some(twin) = &twin {
        names.push(("sandbox.guid", "guid", twin.guid.to_string()));
        names.push(("sandbox.code", "code", twin.code.to_string()));
    }
    for (place, key, name) in names {
        if !reading.is_as_written(place) {
            continue;
        }
        match taken.iter().find(|other| other.name == name) {
            Some(other) => {
                let other = other.file.display();
                let problem = format!("is the {key} of {other} too; give each institution its own");
                reading.wrong(place, problem);
            }
            None => taken.push(Name {
                key,
                name,
                file: file.to_owned(),
            }),
        }
    }
    let institution = raw.build(&mut reading);
    let (institution, warnings) = reading.finish(institution)?;
    let table = text.parse::<toml::Table>().unwrap_or_default();
    let mut read = vec![(table, institution)];
    if let Some(twin) = twin {
        let document_of_twin = twin.document(&read[0].0);
        let built = document_of_twin.and_then(|it| Ok((put_together(&it, file)?.0, it)));
        match built {
            Ok((institution, table)) => read.push((table, institution)),
            Err(contradictions) => {
                let fault = |(key, problem): (String, String)| {
                    document.fault_of(&format!("sandbox.{key}"), problem)
                };
                let faults = contradictions.into_iter().map(fault).collect();
                return Err(ConfigError::Faults(faults));
            }
        }
    }
    Ok((read, warnings))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInstitution {
    #[serde(default)]
    schema: Schema,
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
    #[serde(default, deserialize_with = "value::optional_section")]
    sandbox: Option<layers::RawSandbox>,
}

/// The version of what the keys of a file mean. There is one so far.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(try_from = "i64")]
struct Schema;

impl TryFrom<i64> for Schema {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match number {
            1 => Ok(Self),
            other => Err(format!(
                "is {other}, and this version of Guichet reads files of schema 1; write schema = 1 and the keys of \
                 institutions/_example.toml, or use the version that the file is for"
            )),
        }
    }
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
    metadata_url: Option<HttpsUrl>,
    jwks_uri: Option<HttpsUrl>,
    #[serde(default = "yes")]
    watch: bool,
    client_authentication: client_authentication::Name,
    #[serde(default, deserialize_with = "value::section")]
    mtls_endpoint_aliases: outgoing::RawAliases,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    interaction_id_header: Option<String>,
    #[serde(default)]
    traceparent: bool,
    #[serde(default)]
    allow_hosts: Vec<AllowedHost>,
    #[serde(default)]
    calls_at_once: CallsAtOnce,
    basic_encoding: Option<BasicEncoding>,
    client_assertion_signing_alg: Option<SigningAlgorithm>,
    client_assertion_audience: Option<AssertionAudience>,
    request_object_signing_alg: Option<SigningAlgorithm>,
    #[serde(default)]
    scopes: Vec<Scope>,
    scope_separator: Option<String>,
    #[serde(default)]
    authorize_parameters: BTreeMap<String, String>,
    #[serde(default)]
    pkce: PkceMode,
    pkce_reason: Option<String>,
    #[serde(default)]
    calls: Vec<Section<calls::RawCall>>,
    #[serde(default)]
    values: Vec<Section<values::RawValue>>,
    #[serde(default)]
    response_mode: ResponseMode,
    #[serde(default, deserialize_with = "value::optional_section")]
    subject: Option<RawSubject>,
    id_token_signed_response_alg: Option<SigningAlgorithm>,
    id_token_encrypted_response_alg: Option<KeyManagement>,
    id_token_encrypted_response_enc: Option<ContentEncryption>,
    userinfo_signed_response_alg: Option<SigningAlgorithm>,
    #[serde(default)]
    id_token_claims: BTreeMap<String, String>,
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
    #[serde(default)]
    response_type: ResponseType,
    pushed_authorization_request_endpoint: Option<HttpsUrl>,
    #[serde(default)]
    authorization_details: Vec<toml::Table>,
    prompt: Option<Label>,
    max_age: Option<u32>,
    acr_values: Option<Label>,
    claims: Option<toml::Table>,
    login_hint: Option<Label>,
    authorization_signed_response_alg: Option<SigningAlgorithm>,
    authorization_encrypted_response_alg: Option<KeyManagement>,
    authorization_encrypted_response_enc: Option<ContentEncryption>,
}

/// How many calls that a person waits for may be under way.
#[derive(Deserialize)]
#[serde(transparent)]
struct CallsAtOnce(#[serde(deserialize_with = "value::between::<1, 10_000, _>")] u64);

impl Default for CallsAtOnce {
    fn default() -> Self {
        Self(CALLS_AT_ONCE as u64)
    }
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
    IdToken,
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
        let Schema = self.schema;
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
            oauth: oauth.map(Arc::new),
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
        self.check_endpoint(reading);
        if self.iss != IssuerRule::IfPresent && self.issuer.is_none() {
            reading.invalid(
                "oauth.issuer",
                "is needed because iss is required; add the institution's issuer, or write \
                 iss = \"if_present\"",
            );
        }
        if self.metadata_url.is_some() && self.issuer.is_none() {
            reading.invalid(
                "oauth.issuer",
                "is needed because there is a metadata_url: what is read there counts only if it is of that issuer; \
                 add the institution's issuer, or remove metadata_url",
            );
        }
        let authorization = self.authorization(reading);
        let client_authentication = client_authentication::build(
            reading,
            client_authentication::Written {
                name: self.client_authentication,
                basic_encoding: self.basic_encoding,
                algorithm: self.client_assertion_signing_alg,
                audience: self.client_assertion_audience,
                issuer: self.issuer.as_ref().map(|issuer| issuer.0.as_str()),
                token_endpoint: &self.token_endpoint.0,
            },
        );
        if let Some(algorithm) = self.request_object_signing_alg {
            client_authentication::check_is_own_key(
                reading,
                "oauth.request_object_signing_alg",
                algorithm,
            );
        }
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
        let subject = self
            .subject
            .map(|subject| subject.build(reading))
            .transpose();
        let asks = matches!(&subject, Ok(Some(SubjectSource::Identify { .. })));
        let has_revocation = self.revocation_endpoint.is_some();
        let aliases = self.mtls_endpoint_aliases;
        let mtls_aliases = aliases.build(reading, has_revocation, asks);
        let (headers, interaction_id) = (self.headers, self.interaction_id_header);
        let call_headers = outgoing::headers(reading, headers, interaction_id, self.traceparent);
        let values = values::build(reading, self.values);
        let around = calls::Surroundings {
            values: &values,
            subject: subject
                .as_ref()
                .ok()
                .and_then(|subject| Some(subject.as_ref()?.field())),
            has_secret: self.client_authentication.has_secret(),
            consent: self.consent_days,
        };
        let calls = around.calls(reading, self.calls, self.authorize_parameters);
        let openid = openid::Written {
            id_token_signed: self.id_token_signed_response_alg,
            id_token_encrypted_alg: self.id_token_encrypted_response_alg,
            id_token_encrypted_enc: self.id_token_encrypted_response_enc,
            userinfo_signed: self.userinfo_signed_response_alg,
            id_token_claims: self.id_token_claims,
        };
        let openid = openid.build(reading);
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
        let longest = Duration::from_secs(40);
        if calls.second_exchange.is_some() && timeouts.total > longest {
            reading.invalid(
                "oauth.timeouts.total_seconds",
                "is too long for two exchanges and a person who waits; give 40 seconds or less",
            );
        }
        let oauth = OAuth {
            authorization_endpoint: self.authorization_endpoint.0,
            token_endpoint: self.token_endpoint.0,
            revocation_endpoint: self.revocation_endpoint.map(|url| url.0),
            issuer: self.issuer.map(|issuer| issuer.0),
            iss: self.iss,
            discovery: Discovery {
                metadata_url: self.metadata_url.map(|url| url.0),
                jwks_uri: self.jwks_uri.map(|url| url.0),
                is_watched: self.watch,
            },
            client_authentication: client_authentication?,
            request_object_signing_alg: self.request_object_signing_alg,
            scopes: self.scopes.into_iter().map(|scope| scope.0).collect(),
            scope_separator: separator,
            calls,
            values,
            pkce: pkce?,
            response_mode: self.response_mode,
            authorization: authorization?,
            openid: openid?,
            subject: subject?,
            refresh: RefreshRules {
                idle: self.refresh.idle,
                assumed_life: self.refresh.assumed_life,
                doubt: self.refresh.doubt,
            },
            consent: self.consent_days,
            code_life: self.code_seconds,
            revoke_replaced: self.revoke_replaced,
            error_map: self.errors,
            mtls_aliases,
            call_headers,
            allow_hosts: self.allow_hosts,
            calls_at_once: usize::try_from(self.calls_at_once.0).unwrap_or(CALLS_AT_ONCE),
            connect_timeout: timeouts.connect,
            timeout: timeouts.total,
        };
        openid::check(reading, &oauth);
        Ok(oauth)
    }

    /// Parameters that the flow's safety depends on cannot be set from a file.
    fn check_endpoint(&self, reading: &Reading<'_>) {
        let standard = CallName::Authorization.parameters();
        for (name, _) in self.authorization_endpoint.0.query_pairs() {
            if standard.contains(&name.as_ref())
                || calls::NOT_IN_AN_ADDRESS.contains(&name.as_ref())
            {
                let problem = format!("{name} is set by the gateway for each request; remove it");
                reading.wrong("oauth.authorization_endpoint", problem);
            }
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
            (SubjectFrom::IdToken, None) => openid::subject(reading, field),
            (SubjectFrom::Identify, Some(HttpsUrl(endpoint))) => {
                Ok(SubjectSource::Identify { endpoint, field })
            }
            (SubjectFrom::Identify, None) => Err(reading.invalid(
                "oauth.subject.endpoint",
                "is missing; give the address that says who signed in, or write from = \
                 \"token_answer\" or \"id_token\"",
            )),
            (SubjectFrom::TokenResponse | SubjectFrom::IdToken, Some(_)) => Err(reading.invalid(
                "oauth.subject.endpoint",
                "would not be called: it is for from = \"identify\"; remove it",
            )),
        }
    }
}
