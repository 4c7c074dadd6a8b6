//! Builds the domain's clients from `[[clients]]`, and checks the parts against each other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;
use zeroize::Zeroizing;

use super::address::PublicUrl;
use super::client_keys;
use super::fault::{Refused, Warning};
use super::institutions::{Found, background};
use super::raw;
use super::reading::{Reading, is_readable_by_all};
use super::secrets::Written;
use super::sections::{AggregatorSettings, Links, WebhookSettings};
use super::value::{BasicUser, Parsed, Scope, Section};
use crate::client_certificate::{ClientCertificate, InvalidCertificate};
use crate::domain::algorithm::SigningAlgorithm;
use crate::domain::authorization::ResponseType;
use crate::domain::background::BackgroundRules;
use crate::domain::called_address::{Allowed, route};
use crate::domain::client::{
    BasicCredentials, CertificateFiles, Client, ConfirmHolds, Registration, UnboundCallback,
    WebhookEndpoint,
};
use crate::domain::client_authentication::{
    AuthenticationMethod, BasicEncoding, ClientAuthentication,
};
use crate::domain::endpoint::EndpointId;
use crate::domain::event::EventKind;
use crate::domain::id::{AggregatorName, ClientId, InstitutionCode};
use crate::domain::institution::{OAuth, SubjectSource};

/// The largest file of a certificate or a key, in bytes.
const CERTIFICATE_LIMIT: u64 = 64 * 1024;

/// What clients are checked against.
pub struct Surroundings<'a> {
    pub public_url: &'a PublicUrl,
    pub links: &'a Links,
    pub webhooks: &'a WebhookSettings,
    pub institutions: &'a Found,
    /// `None`: they have faults.
    pub aggregators: Option<&'a [AggregatorSettings]>,
}

/// The clients, and the SSO keys of those that have one.
pub type Clients = (Vec<Client>, BTreeMap<ClientId, SecretString>);

impl Surroundings<'_> {
    /// Builds every client.
    pub fn clients(&self, reading: &mut Reading<'_>, raw: Vec<Section<raw::Client>>) -> Clients {
        let mut clients: Vec<Client> = Vec::new();
        let mut sso_keys = BTreeMap::new();
        for (i, Section(mut raw)) in raw.into_iter().enumerate() {
            let at = format!("clients[{i}]");
            if clients.iter().any(|client| client.id == raw.id) {
                let problem = format!("{} is the id of another client; choose another", raw.id);
                reading.invalid(&format!("{at}.id"), problem);
            }
            let written = Written {
                inline: raw.sso_key.take(),
                file: raw.sso_key_file.take(),
                env: raw.sso_key_env.take(),
            };
            if let Ok(Some(key)) = reading.caller_key(&format!("{at}.sso_key"), written) {
                sso_keys.insert(raw.id.clone(), key);
            }
            clients.push(self.client(reading, &at, raw));
        }
        check_registrations(reading, &clients);
        (clients, sso_keys)
    }

    fn client(&self, reading: &mut Reading<'_>, at: &str, raw: raw::Client) -> Client {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let links = Links {
            open_policy: raw.open_policy.unwrap_or(self.links.open_policy),
            link_ttl: raw
                .link_minutes
                .map_or(self.links.link_ttl, |m| minutes(m.0)),
            authorization_ttl: raw
                .authorization_minutes
                .map_or(self.links.authorization_ttl, |m| minutes(m.0)),
        };
        if links != *self.links && reading.is_as_written("links") {
            let blamed = if raw.link_minutes.is_some() {
                "link_minutes"
            } else {
                "open_policy"
            };
            links.check(reading, &format!("{at}.{blamed}"));
        }
        check_schemes(reading, at, &raw);
        let logo = reading.logo(&format!("{at}.logo_file"), raw.logo_file.as_deref());
        let webhooks = self.webhooks(reading, at, raw.webhooks);
        let registrations = self.registrations(reading, at, &raw.id, raw.registrations);
        let aggregator = self.aggregator(reading, at, raw.aggregator);
        Client {
            id: raw.id,
            display_name: raw.name.0,
            logo: logo.unwrap_or_default(),
            accent: raw.accent.map(|accent| accent.0),
            support: raw.support.map(|support| support.0),
            locale: raw.locale.map(|locale| locale.0),
            home: raw.home.map(|home| home.0),
            return_addresses: raw.return_addresses.into_iter().map(|a| a.0).collect(),
            return_schemes: raw.return_schemes.into_iter().map(|s| s.0).collect(),
            message_origins: raw.message_origins.into_iter().map(|o| o.0).collect(),
            webhooks,
            open_policy: links.open_policy,
            link_ttl: links.link_ttl,
            authorization_ttl: links.authorization_ttl,
            registrations,
            duplicates: raw.duplicates,
            aggregator: aggregator.unwrap_or_default(),
            background: self.background(reading, at, raw.background),
        }
    }

    /// Who pulls the data of a client's members: the one that it names, or the only one there is.
    fn aggregator(
        &self,
        reading: &Reading<'_>,
        client: &str,
        named: Option<AggregatorName>,
    ) -> Result<Option<AggregatorName>, Refused> {
        let key = format!("{client}.aggregator");
        let names = self.aggregators.ok_or(Refused)?.iter();
        let names: Vec<&AggregatorName> = names.map(|it| &it.name).collect();
        let known = || {
            names
                .iter()
                .map(|name| name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        match (named, names.as_slice()) {
            (Some(named), _) if names.contains(&&named) => Ok(Some(named)),
            (Some(named), []) => Err(reading.invalid(
                &key,
                format!("no aggregator is called {named}: there is none; add [[aggregators]] with that name"),
            )),
            (Some(named), _) => Err(reading.invalid(
                &key,
                format!("no aggregator is called {named}; write one of {}", known()),
            )),
            (None, []) => Ok(None),
            (None, [only]) => Ok(Some((*only).clone())),
            (None, _) => Err(reading.missing(
                &key,
                format!(
                    "is missing, and there are several aggregators; name the one that pulls this client's data: {}",
                    known()
                ),
            )),
        }
    }

    fn background(
        &self,
        reading: &Reading<'_>,
        client: &str,
        raw: Vec<Section<raw::Background>>,
    ) -> BTreeMap<InstitutionCode, BackgroundRules> {
        let mut rules = BTreeMap::new();
        for (i, Section(raw)) in raw.into_iter().enumerate() {
            let key = format!("{client}.background[{i}].institution");
            let code = raw.institution;
            let institutions = &self.institutions.institutions;
            let Some(institution) = institutions.iter().find(|it| it.code == code) else {
                if !self.institutions.may_have(&code) {
                    reading.invalid(&key, self.no_institution(&code));
                }
                continue;
            };
            let usual = institution.background;
            let of = background(raw.background_minutes, raw.background_per_day, usual);
            if rules.insert(code.clone(), of).is_some() {
                let problem = format!("{code} stands in another one already; keep one of them");
                reading.invalid(&key, problem);
            }
        }
        rules
    }

    /// What is wrong where no institution has that code.
    fn no_institution(&self, code: &InstitutionCode) -> String {
        let institutions = &self.institutions.institutions;
        let known: Vec<&str> = institutions.iter().map(|it| it.code.as_str()).collect();
        let known = match known.is_empty() {
            true => "none".to_owned(),
            false => known.join(", "),
        };
        format!(
            "no institution has the code {code}; add its file to institutions.folder or use one that is there \
             ({known})"
        )
    }

    fn webhooks(
        &self,
        reading: &mut Reading<'_>,
        client: &str,
        raw: Vec<Section<raw::Webhook>>,
    ) -> Vec<WebhookEndpoint> {
        let mut taken: Vec<(EventKind, usize)> = Vec::new();
        let mut endpoints = Vec::new();
        for (i, Section(raw)) in raw.into_iter().enumerate() {
            let at = format!("{client}.webhooks[{i}]");
            if raw.events.is_empty() {
                reading.invalid(
                    &format!("{at}.events"),
                    "is empty, so nothing would be delivered; name a kind of event or remove the \
                     endpoint",
                );
            }
            for (j, Parsed(kind)) in raw.events.iter().enumerate() {
                if let Some((_, other)) = taken.iter().find(|(taken, _)| *taken == kind.0) {
                    reading.invalid(
                        &format!("{at}.events[{j}]"),
                        format!(
                            "{} already goes to {client}.webhooks[{other}]; each kind of event has \
                             one address, so remove it from one of them",
                            kind.0.name()
                        ),
                    );
                }
                taken.push((kind.0, i));
            }
            let url = raw.url.0;
            let allowed = Allowed {
                hosts: &self.webhooks.allow_hosts,
                this_machine: false,
            };
            if let Err(forbidden) = route(&url, allowed)
                && reading.is_as_written("webhooks.allow_hosts")
            {
                let problem = format!(
                    "would not be called: {forbidden}; add its host:port to webhooks.allow_hosts if it is meant"
                );
                reading.wrong(&format!("{at}.url"), problem);
            }
            let current = Written {
                inline: raw.secret,
                file: raw.secret_file,
                env: raw.secret_env,
            };
            let previous = Written {
                inline: raw.previous_secret,
                file: raw.previous_secret_file,
                env: raw.previous_secret_env,
            };
            let current = reading.signing_secret(&format!("{at}.secret"), current);
            let key = format!("{at}.previous_secret");
            let previous = reading.signing_secret(&key, previous);
            if matches!((&current, &previous), (Ok(None), Ok(Some(_)))) {
                reading.invalid(
                    &key,
                    "stands without a current secret; write it as secret, or add the current one",
                );
            }
            let password = Written {
                inline: raw.basic_password,
                file: raw.basic_password_file,
                env: raw.basic_password_env,
            };
            let basic = basic_credentials(reading, &at, raw.basic_username, password);
            if matches!((&current, &basic), (Ok(None), Ok(None))) {
                reading.warn(
                    &format!("{at}.url"),
                    "deliveries are not signed, so the receiver cannot tell them from forged \
                     ones; set secret_file or secret_env, or basic_username and a password",
                );
            }
            endpoints.push(WebhookEndpoint {
                id: EndpointId::of(&url),
                url,
                kinds: raw.events.into_iter().map(|kind| kind.0.0).collect(),
                secrets: [current, previous]
                    .into_iter()
                    .filter_map(|secret| secret.unwrap_or_default())
                    .collect(),
                basic: basic.unwrap_or_default(),
            });
        }
        endpoints
    }

    fn registrations(
        &self,
        reading: &mut Reading<'_>,
        client: &str,
        client_id: &ClientId,
        raw: Vec<Section<raw::Registration>>,
    ) -> BTreeMap<InstitutionCode, Registration> {
        let mut registrations = BTreeMap::new();
        for (i, Section(raw)) in raw.into_iter().enumerate() {
            let at = format!("{client}.registrations[{i}]");
            let code = &raw.institution;
            if registrations.contains_key(code) {
                reading.invalid(
                    &format!("{at}.institution"),
                    format!("{code} has a registration already; keep one of them"),
                );
            }
            let registration = self.registration(reading, &at, client_id, raw);
            registrations.extend(registration.map(|it| (it.institution.clone(), it)));
        }
        registrations
    }

    fn registration(
        &self,
        reading: &mut Reading<'_>,
        at: &str,
        client: &ClientId,
        raw: raw::Registration,
    ) -> Result<Registration, Refused> {
        let code = raw.institution;
        let id_is_sound = raw.client_id.bytes().all(|b| (0x20..0x7f).contains(&b));
        if raw.client_id.is_empty() || !id_is_sound {
            reading.wrong(
                &format!("{at}.client_id"),
                "must be the printable ASCII text that the institution issued (RFC 6749 A.1)",
            );
        }
        let written = Written {
            inline: raw.client_secret,
            file: raw.client_secret_file,
            env: raw.client_secret_env,
        };
        let key = format!("{at}.client_secret");
        let client_secret = reading.secret(&key, written);
        let institutions = &self.institutions.institutions;
        let Some(institution) = institutions.iter().find(|i| i.code == code) else {
            if self.institutions.may_have(&code) {
                return Err(Refused);
            }
            let key = format!("{at}.institution");
            return Err(reading.invalid(&key, self.no_institution(&code)));
        };
        let Some(oauth) = &institution.oauth else {
            return Err(reading.invalid(
                &format!("{at}.institution"),
                format!("{code} does not support OAuth; remove the registration"),
            ));
        };
        let oauth = match raw.oauth.is_empty() {
            true => oauth.clone(),
            false => self.overlaid(reading, at, &code, &raw.oauth)?,
        };
        let method = &oauth.client_authentication;
        let is_raw = AuthenticationMethod::ClientSecretBasic(BasicEncoding::Raw);
        if *method == is_raw && raw.client_id.contains(':') {
            reading.wrong(
                &format!("{at}.client_id"),
                format!(
                    "holds a colon, which {code} would take for the end of it because of \
                     basic_encoding = \"raw\"; ask the institution for another id, or for another \
                     client_authentication"
                ),
            );
        }
        let shows_certificate = matches!(
            method,
            AuthenticationMethod::TlsClientAuth | AuthenticationMethod::SelfSignedTlsClientAuth
        );
        let files = (raw.certificate_file, raw.certificate_key_file);
        let certificate = certificate(reading, at, (&code, shows_certificate), files);
        let files = [raw.signing_key_files, raw.encryption_key_files];
        let keys = client_keys::build(reading, at, (&code, &oauth), files);
        let client_authentication = client_secret.and_then(|secret| match (method, secret) {
            (AuthenticationMethod::None, None) => Ok(ClientAuthentication::None),
            (AuthenticationMethod::PrivateKeyJwt(rules), None) => {
                Ok(ClientAuthentication::PrivateKeyJwt(rules.clone()))
            }
            (AuthenticationMethod::ClientSecretJwt(rules), Some(secret)) => {
                warn_of_the_short(reading, &key, rules.algorithm, &secret);
                Ok(ClientAuthentication::ClientSecretJwt(rules.clone(), secret))
            }
            (
                AuthenticationMethod::TlsClientAuth | AuthenticationMethod::SelfSignedTlsClientAuth,
                None,
            ) => Ok(ClientAuthentication::Certificate),
            (AuthenticationMethod::ClientSecretBasic(encoding), Some(secret)) => {
                Ok(ClientAuthentication::ClientSecretBasic(*encoding, secret))
            }
            (AuthenticationMethod::ClientSecretPost, Some(secret)) => {
                Ok(ClientAuthentication::ClientSecretPost(secret))
            }
            (
                AuthenticationMethod::None
                | AuthenticationMethod::PrivateKeyJwt(_)
                | AuthenticationMethod::TlsClientAuth
                | AuthenticationMethod::SelfSignedTlsClientAuth,
                Some(_),
            ) => Err(reading.wrong(
                &key,
                format!(
                    "would not be used: {code} has client_authentication = \"{}\"; remove it or \
                     correct the institution",
                    method.name()
                ),
            )),
            (_, None) => Err(reading.wrong(
                &key,
                format!(
                    "is missing, and {code} asks clients to prove themselves; give \
                     client_secret_file or client_secret_env"
                ),
            )),
        });
        self.check_openid(
            reading,
            at,
            (&oauth, raw.scopes.as_deref()),
            &client_authentication,
        );
        if raw.unbound_callback == UnboundCallback::Ignore {
            reading.warn(
                &format!("{at}.unbound_callback"),
                "an authorization response in another browser does not end the attempt; this is the \
                 weakest protection against a stolen response; prefer \"burn\"",
            );
        }
        let redirect_uri = raw.redirect_uri.map(|url| url.0);
        let registration = Registration {
            redirect_uri: self.redirect_uri(reading, at, client, &code, redirect_uri)?,
            redirect_uri_alias: raw.redirect_uri_alias.map(|alias| alias.0),
            institution: code.clone(),
            oauth: oauth.clone(),
            client_id: raw.client_id,
            client_authentication: client_authentication?,
            keys: keys?,
            certificate: certificate?,
            scopes: raw
                .scopes
                .map(|scopes| scopes.into_iter().map(|s| s.0).collect()),
            completion: raw.completion,
            confirm_holds: raw.confirm_holds.unwrap_or_default(),
            unbound_callback: raw.unbound_callback,
        };
        let key = format!("{at}.confirm_holds");
        match raw.confirm_holds {
            Some(_) if !registration.awaits_confirmations() => {
                return Err(reading.invalid(
                    &key,
                    "is for flows that are confirmed; remove it, or write completion = \"confirm\"",
                ));
            }
            Some(ConfirmHolds::Tokens) if !oauth.takes_back() => reading.warn(
                &key,
                format!(
                    "is \"tokens\", and {code} has no revocation_endpoint: tokens that nobody confirms stay \
                     valid there until they end; prefer \"code\""
                ),
            ),
            _ => {}
        }
        Ok(registration)
    }

    /// Whether a registration that asks who signs in has what is needed to verify it.
    fn check_openid(
        &self,
        reading: &Reading<'_>,
        at: &str,
        (oauth, own_scopes): (&OAuth, Option<&[Scope]>),
        authentication: &Result<ClientAuthentication, Refused>,
    ) {
        let is_openid = |scope: &Scope| scope.0 == "openid";
        let is_asked = match own_scopes {
            Some(scopes) => scopes.iter().any(is_openid),
            None => oauth.uses_openid(&oauth.scopes),
        };
        let key = match own_scopes {
            Some(_) => format!("{at}.scopes"),
            None => format!("{at}.institution"),
        };
        let algorithm = oauth.openid.id_token_signed_response_alg;
        let lacks = oauth
            .lacks_to_verify(algorithm)
            .filter(|_| own_scopes.is_some());
        if let Some(lacks) = lacks.filter(|_| is_asked) {
            let problem = format!(
                "has \"openid\", but the institution has no oauth.{lacks} to verify ID tokens with; add it there, or \
                 remove the scope"
            );
            reading.wrong(&key, problem);
        }
        if !is_asked && matches!(oauth.subject, Some(SubjectSource::IdToken { .. })) {
            let problem = "has no ID tokens without the scope \"openid\", but [oauth.subject] has from = \"id_token\"; add \
                           the scope, or remove that section";
            reading.wrong(&key, problem);
        }
        if !is_asked
            && own_scopes.is_some()
            && oauth.authorization.response_type != ResponseType::Code
        {
            let problem =
                "needs \"openid\" because the institution's response_type has an ID token; add it";
            reading.wrong(&key, problem);
        }
        let has_secret = authentication
            .as_ref()
            .is_ok_and(|it| it.client_secret().is_some());
        if is_asked && algorithm.is_symmetric() && !has_secret && authentication.is_ok() {
            let problem = format!(
                "has ID tokens signed with {}, which needs a client secret; have another \
                 id_token_signed_response_alg registered",
                algorithm.name()
            );
            reading.wrong(&key, problem);
        }
    }

    /// The institution's OAuth as a registration has it; what is wrong is a fault of the registration's key.
    fn overlaid(
        &self,
        reading: &mut Reading<'_>,
        at: &str,
        code: &InstitutionCode,
        own: &toml::Table,
    ) -> Result<Arc<OAuth>, Refused> {
        match self.institutions.overlaid(code, own) {
            Ok((oauth, warnings)) => {
                for Warning { key, message, .. } in warnings {
                    reading.warn(&format!("{at}.{key}"), message);
                }
                Ok(oauth)
            }
            Err(contradictions) => {
                for (key, problem) in contradictions {
                    reading.wrong(&format!("{at}.{key}"), problem);
                }
                Err(Refused)
            }
        }
    }

    /// The registered redirect URI, which must have the one path where its authorization responses are
    /// taken.
    fn redirect_uri(
        &self,
        reading: &mut Reading<'_>,
        at: &str,
        client: &ClientId,
        institution: &crate::domain::id::InstitutionCode,
        configured: Option<Url>,
    ) -> Result<Url, Refused> {
        let mut ours = self.public_url.url().clone();
        ours.set_path(&format!("/oauth/redirect_from/{client}/{institution}"));
        let Some(configured) = configured else {
            return Ok(ours);
        };
        if !reading.is_as_written("public_url") {
            return Ok(configured);
        }
        let key = format!("{at}.redirect_uri");
        if configured.path() != ours.path() || configured.query().is_some() {
            return Err(reading.invalid(
                &key,
                format!(
                    "its authorization responses would not arrive: they are taken at {} and without a query; \
                     register {ours} at the institution",
                    ours.path()
                ),
            ));
        }
        if configured.origin() != ours.origin() {
            reading.warn(
                &key,
                format!(
                    "is on another host than public_url; that host must redirect the browser to \
                     {} with the query kept, or the authorization response arrives without the browser's \
                     cookie and is refused",
                    self.public_url
                ),
            );
        }
        Ok(configured)
    }
}

/// Warns of a client secret that is shorter than what it signs (RFC 7518 section 3.2).
fn warn_of_the_short(
    reading: &mut Reading<'_>,
    key: &str,
    algorithm: SigningAlgorithm,
    secret: &SecretString,
) {
    let least = match algorithm {
        SigningAlgorithm::HS384 => 48,
        SigningAlgorithm::HS512 => 64,
        _ => 32,
    };
    let length = secret.expose_secret().len();
    if length < least {
        reading.warn(
            key,
            format!(
                "is {length} bytes long, and {} needs {least} (RFC 7518 section 3.2): who sees an assertion could guess it; \
                 ask the institution for a longer one",
                algorithm.name()
            ),
        );
    }
}

/// The certificate of a registration, and its key: both where the institution wants them, else neither.
fn certificate(
    reading: &mut Reading<'_>,
    at: &str,
    (institution, is_wanted): (&InstitutionCode, bool),
    files: (Option<PathBuf>, Option<PathBuf>),
) -> Result<Option<CertificateFiles>, Refused> {
    let [certificate, key] =
        ["certificate_file", "certificate_key_file"].map(|it| format!("{at}.{it}"));
    let missing = |name: &str| {
        let why = "is missing, and clients show a certificate to";
        reading.wrong(name, format!("{why} {institution}; give its file in PEM"))
    };
    let unused = |name: &str| {
        let why = "would not be used: by its client_authentication no certificate is shown to";
        reading.wrong(
            name,
            format!("{why} {institution}; remove it or correct the institution"),
        )
    };
    let files = match (is_wanted, files) {
        (false, (None, None)) => return Ok(None),
        (false, (Some(_), _)) => return Err(unused(&certificate)),
        (false, (None, Some(_))) => return Err(unused(&key)),
        (true, (None, _)) => return Err(missing(&certificate)),
        (true, (Some(_), None)) => return Err(missing(&key)),
        (true, (Some(certificate), Some(key))) => CertificateFiles {
            certificate: reading.path(&certificate),
            key: reading.path(&key),
        },
    };
    let certificates = reading.file(&certificate, &files.certificate, CERTIFICATE_LIMIT)?;
    let secret = Zeroizing::new(reading.file(&key, &files.key, CERTIFICATE_LIMIT)?);
    if is_readable_by_all(&files.key) {
        let path = files.key.display();
        let risk = format!("every user of this machine can read {path}; run: chmod o-rwx {path}");
        reading.warn(&key, risk);
    }
    match ClientCertificate::read(&certificates, &secret) {
        Ok(_) => Ok(Some(files)),
        Err(error @ (InvalidCertificate::NoCertificate | InvalidCertificate::Unreadable)) => {
            Err(reading.wrong(&certificate, format!("cannot be used: {error}")))
        }
        Err(error) => Err(reading.wrong(&key, format!("cannot be used: {error}"))),
    }
}

/// The credentials of deliveries for HTTP Basic: both name and password, or neither.
fn basic_credentials(
    reading: &mut Reading<'_>,
    at: &str,
    username: Option<BasicUser>,
    password: Written,
) -> Result<Option<BasicCredentials>, Refused> {
    let key = format!("{at}.basic_password");
    match (username, reading.secret(&key, password)?) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(reading.invalid(
            &key,
            "is missing beside basic_username; give basic_password_file or basic_password_env, or \
             remove the name",
        )),
        (None, Some(_)) => Err(reading.invalid(
            &format!("{at}.basic_username"),
            "is missing beside basic_password; give the name, or remove the password",
        )),
        (Some(BasicUser(username)), Some(password)) => {
            Ok(Some(BasicCredentials { username, password }))
        }
    }
}

/// A registration belongs to one client: what an institution grants it is known to nobody else (`security` C9).
fn check_registrations(reading: &Reading<'_>, clients: &[Client]) {
    let mut known: Vec<(&InstitutionCode, &str, &ClientId)> = Vec::new();
    for (i, client) in clients.iter().enumerate() {
        for (code, registration) in &client.registrations {
            let id = registration.client_id.as_str();
            let other = known.iter().find(|(at, its, _)| *at == code && *its == id);
            match other {
                Some((_, _, other)) => {
                    reading.wrong(
                        &format!("clients[{i}].registrations"),
                        format!(
                            "{} uses the client_id at {code} that {other} uses; have the institution issue one to \
                             each client",
                            client.id
                        ),
                    );
                }
                None => known.push((code, id, &client.id)),
            }
        }
    }
}

/// Checks every way back to an app against the rule for schemes of a single word.
fn check_schemes(reading: &mut Reading<'_>, at: &str, raw: &raw::Client) {
    let home = raw.home.iter().map(|home| (format!("{at}.home"), &home.0));
    let addresses = raw.return_addresses.iter().enumerate();
    let addresses = addresses.map(|(i, a)| (format!("{at}.return_addresses[{i}]"), &a.0));
    let of_addresses = home
        .chain(addresses)
        .filter_map(|(key, address)| Some((key, address.scheme()?)));
    let schemes = raw.return_schemes.iter().enumerate();
    let schemes = schemes.map(|(i, s)| (format!("{at}.return_schemes[{i}]"), s.0.clone()));
    for (key, scheme) in of_addresses.chain(schemes) {
        if scheme.is_reverse_domain() {
            continue;
        }
        if !raw.allow_legacy_schemes {
            reading.invalid(
                &key,
                format!(
                    "{scheme} is a single word, which any app can claim; use one in reverse-domain \
                     form such as com.example.app (RFC 8252 section 7.1), or set \
                     allow_legacy_schemes = true"
                ),
            );
            continue;
        }
        reading.warn(
            &key,
            format!("any app can claim the scheme {scheme}; move to one such as com.example.app"),
        );
    }
}
