//! Institution files: one TOML file per bank. `institutions/_example.toml` explains every key.

mod fields;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::address::{HttpsUrl, Issuer};
use super::document::Document;
use super::fault::{ConfigError, Warning};
use super::reading::{Environment, Reading};
use super::value::{self, Country, Label, Scope, Section};
use crate::domain::id::{InstitutionCode, InstitutionGuid};
use crate::domain::institution::{
    ClientAuthentication, Institution, OAuth, Pkce, ResponseMode, SubjectSource,
};
use crate::domain::window::ErrorReason;

/// The file that explains the keys.
const REFERENCE: &str = "institutions/_example.toml";

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

/// The institutions of a folder, in the order of their files' names, and what is risky in them.
pub type Institutions = (Vec<Institution>, Vec<Warning>);

/// Loads every `*.toml` file of `folder` but those whose name begins with `_` or `.`.
///
/// # Errors
///
/// [`ConfigError`] of the first file that cannot be used, and when two files name the same guid or
/// code.
pub fn load(folder: &Path) -> Result<Institutions, ConfigError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| ConfigError::Unreadable { path, source }
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("_");
        if name.ends_with(".toml") && !name.starts_with(['_', '.']) {
            paths.push(path);
        }
    }
    paths.sort();
    let mut institutions: Vec<(Institution, PathBuf)> = Vec::new();
    let mut warnings = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
        let (document, institution, found) = read(&text, &path)?;
        for (other, other_path) in &institutions {
            let same = if other.guid == institution.guid {
                "guid"
            } else if other.code == institution.code {
                "code"
            } else {
                continue;
            };
            let problem = format!(
                "is the {same} of {} too; give each institution its own",
                other_path.display()
            );
            return Err(document.invalid(same, problem));
        }
        warnings.extend(found);
        institutions.push((institution, path));
    }
    Ok((institutions.into_iter().map(|(i, _)| i).collect(), warnings))
}

/// Reads one institution from the `text` of `file`; a `logo_file` is looked for beside it.
///
/// # Errors
///
/// [`ConfigError`], with file, line, column, key and remedy.
pub fn parse(text: &str, file: &Path) -> Result<(Institution, Vec<Warning>), ConfigError> {
    read(text, file).map(|(_, institution, warnings)| (institution, warnings))
}

fn read(text: &str, file: &Path) -> Result<(Document, Institution, Vec<Warning>), ConfigError> {
    let name = file.display().to_string();
    let (raw, document): (RawInstitution, _) = Document::read(&name, text, &[], REFERENCE)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let environment = Environment::default();
    let mut reading = Reading::new(&document, folder, &environment);
    let institution = raw.build(&mut reading)?;
    let warnings = reading.into_warnings();
    Ok((document, institution, warnings))
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOAuth {
    authorization_endpoint: HttpsUrl,
    token_endpoint: HttpsUrl,
    revocation_endpoint: Option<HttpsUrl>,
    issuer: Option<Issuer>,
    #[serde(default)]
    iss: Iss,
    client_authentication: ClientAuthentication,
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
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Iss {
    Required,
    #[default]
    IfPresent,
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
    TokenAnswer,
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
    fn build(self, reading: &mut Reading<'_>) -> Result<Institution, ConfigError> {
        if self.supports_oauth && self.oauth.is_none() {
            return Err(reading.invalid(
                "supports_oauth",
                "is true, but there is no [oauth] section; add one or write false",
            ));
        }
        if !self.supports_oauth && self.oauth.is_some() {
            return Err(reading.invalid(
                "supports_oauth",
                "is false beside an [oauth] section; write true or remove the section",
            ));
        }
        if !self.supports_oauth && self.credentials.is_empty() {
            reading.warn(
                "supports_oauth",
                "is false and there are no [[credentials]], so nobody can connect it; add the \
                 fields people sign in with, or an [oauth] section",
            );
        }
        let credentials = fields::build(reading, self.credentials)?;
        let logo = reading.logo("logo_file", self.logo_file.as_deref())?;
        let oauth = self.oauth.map(|oauth| oauth.build(reading)).transpose()?;
        Ok(Institution {
            guid: self.guid,
            code: self.code,
            name: self.name.0,
            url: self.url.map(|url| url.0),
            logo,
            iso_country_code: self.iso_country_code.map(|code| code.0),
            oauth,
            credentials,
        })
    }
}

impl RawOAuth {
    fn build(self, reading: &mut Reading<'_>) -> Result<OAuth, ConfigError> {
        self.check_parameters(reading)?;
        if self.iss == Iss::Required && self.issuer.is_none() {
            return Err(reading.invalid(
                "oauth.issuer",
                "is needed because iss = \"required\"; add the institution's issuer, or write \
                 iss = \"if_present\"",
            ));
        }
        let pkce = self.pkce(reading)?;
        let separator = self.scope_separator.unwrap_or_else(|| " ".to_owned());
        if !matches!(separator.as_str(), " " | "," | "+" | ";" | "|") {
            return Err(reading.invalid(
                "oauth.scope_separator",
                "must be a space, or one of , + ; | where the institution deviates",
            ));
        }
        if self.scopes.iter().any(|scope| scope.0.contains(&separator)) {
            return Err(reading.invalid(
                "oauth.scopes",
                "has a scope that contains scope_separator; list each scope by itself",
            ));
        }
        let subject = self
            .subject
            .map(|subject| subject.build(reading))
            .transpose()?;
        let timeouts = self.timeouts;
        if timeouts.connect > timeouts.total {
            return Err(reading.invalid(
                "oauth.timeouts.connect_seconds",
                "is longer than total_seconds, which includes it; shorten it",
            ));
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
            iss_required: self.iss == Iss::Required,
            client_authentication: self.client_authentication,
            scopes: self.scopes.into_iter().map(|scope| scope.0).collect(),
            scope_separator: separator,
            authorize_parameters: self.authorize_parameters,
            pkce,
            response_mode: self.response_mode,
            subject,
            error_map: self.errors,
            connect_timeout: timeouts.connect,
            timeout: timeouts.total,
        })
    }

    /// What the flow's safety rests on cannot be set, or set twice, from a file.
    fn check_parameters(&self, reading: &Reading<'_>) -> Result<(), ConfigError> {
        let refuse = |key: &str, name: &str| {
            reading.invalid(
                key,
                format!("{name} is set by the gateway for each request; remove it"),
            )
        };
        for name in self.authorize_parameters.keys() {
            if OUR_PARAMETERS.contains(&name.as_str()) {
                return Err(refuse(&format!("oauth.authorize_parameters.{name}"), name));
            }
        }
        for (name, _) in self.authorization_endpoint.0.query_pairs() {
            if OUR_PARAMETERS.contains(&name.as_ref()) {
                return Err(refuse("oauth.authorization_endpoint", &name));
            }
        }
        Ok(())
    }

    fn pkce(&self, reading: &mut Reading<'_>) -> Result<Pkce, ConfigError> {
        let reason = self.pkce_reason.as_deref().map(str::trim);
        match (self.pkce, reason) {
            (PkceMode::Required, None) => Ok(Pkce::Required),
            (PkceMode::Auto, None) => Ok(Pkce::Auto),
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
    fn build(self, reading: &Reading<'_>) -> Result<SubjectSource, ConfigError> {
        let field = self.field.map_or_else(|| "sub".to_owned(), |field| field.0);
        match (self.from, self.endpoint) {
            (SubjectFrom::TokenAnswer, None) => Ok(SubjectSource::TokenAnswer { field }),
            (SubjectFrom::Identify, Some(HttpsUrl(endpoint))) => {
                Ok(SubjectSource::Identify { endpoint, field })
            }
            (SubjectFrom::Identify, None) => Err(reading.invalid(
                "oauth.subject.endpoint",
                "is missing; give the address that says who signed in, or write from = \
                 \"token_answer\"",
            )),
            (SubjectFrom::TokenAnswer, Some(_)) => Err(reading.invalid(
                "oauth.subject.endpoint",
                "would not be called: it is for from = \"identify\"; remove it",
            )),
        }
    }
}
