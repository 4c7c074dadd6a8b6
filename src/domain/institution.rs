//! An institution as data: endpoints, client authentication, deviations as named values.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::algorithm::{Encryption, SigningAlgorithm};
use super::allowed_host::AllowedHost;
use super::authorization::{AuthorizationRules, ResponseMode};
use super::background::BackgroundRules;
use super::call::{CallName, Calls};
use super::client_authentication::AuthenticationMethod;
use super::connection_values::ValueRule;
use super::credential::CredentialField;
use super::id::{InstitutionCode, InstitutionGuid};
use super::logo::Logo;
use super::maintenance::Maintenance;
use super::window::ErrorReason;

/// A bank, as described by its file.
#[derive(Clone)]
pub struct Institution {
    /// The guid in the API.
    pub guid: InstitutionGuid,
    /// The readable name.
    pub code: InstitutionCode,
    /// The name that people know.
    pub name: String,
    /// Its website, for people who have to act there.
    pub url: Option<Url>,
    /// A picture of it on our own origin.
    pub logo: Option<Logo>,
    /// The country it is in, as two letters (ISO 3166-1), where the file says so.
    pub iso_country_code: Option<String>,
    /// Its OAuth, for every registration that says nothing else; `None`: it has none.
    pub oauth: Option<Arc<OAuth>>,
    /// The fields of a sign-in without OAuth, in the order people are asked; empty: it has OAuth members
    /// only.
    pub credentials: Vec<CredentialField>,
    /// What people are told before and while they sign in.
    pub help: Help,
    /// How often its members are pulled in the background, unless a client has them pulled otherwise.
    pub background: BackgroundRules,
    /// What its file says where it is not used for now.
    pub maintenance: Option<Maintenance>,
}

/// What people are told before and while they sign in at an institution. All of it is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Help {
    /// What to know before signing in, on one line.
    pub text: Option<String>,
    /// What to do, step by step.
    pub steps: Vec<String>,
    /// What to tick on the institution's own pages.
    pub to_share: Vec<ToShare>,
    /// Where people go who forgot their password.
    pub forgot_password: Option<Url>,
    /// Where people go who forgot their user name.
    pub forgot_username: Option<Url>,
    /// Where people go who cannot sign in.
    pub trouble_signing_in: Option<Url>,
}

/// Something that a person has to share on the institution's pages (CONTRACT.md 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToShare {
    /// Accounts and their transactions.
    Transactions,
    /// The numbers of accounts.
    AccountNumbers,
    /// Who owns them.
    Profile,
    /// Statements.
    Statements,
    /// Documents for taxes.
    TaxDocuments,
}

impl ToShare {
    /// The number that the API uses (`oauth_predirect_instructions`).
    pub fn id(self) -> u8 {
        match self {
            Self::Transactions => 0,
            Self::AccountNumbers => 1,
            Self::Profile => 2,
            Self::Statements => 3,
            Self::TaxDocuments => 4,
        }
    }
}

/// An institution's OAuth, as it is for one registration or for all.
#[derive(Clone)]
pub struct OAuth {
    /// Where people are sent (RFC 6749 section 3.1).
    pub authorization_endpoint: Url,
    /// Where codes are exchanged (RFC 6749 section 3.2).
    pub token_endpoint: Url,
    /// Where tokens are revoked (RFC 7009); `None`: it has none and is not called.
    pub revocation_endpoint: Option<Url>,
    /// The authorization server's name, compared with `iss` if an authorization response has one (RFC
    /// 9207).
    pub issuer: Option<String>,
    /// Which authorization responses must name their issuer.
    pub iss: IssuerRule,
    /// What the institution publishes of itself.
    pub discovery: Discovery,
    /// How the client authenticates at the token endpoint.
    pub client_authentication: AuthenticationMethod,
    /// What request objects are signed with (RFC 9101); `None`: there are none.
    pub request_object_signing_alg: Option<SigningAlgorithm>,
    /// The requested scopes.
    pub scopes: Vec<String>,
    /// The separator between scopes: a space, unless an institution deviates.
    pub scope_separator: String,
    /// What its calls are like.
    pub calls: Calls,
    /// What a client gives for each connection.
    pub values: Vec<ValueRule>,
    /// Whether PKCE is used.
    pub pkce: Pkce,
    /// How the authorization response is sent.
    pub response_mode: ResponseMode,
    /// How authorization is asked for, and how the responses are signed.
    pub authorization: AuthorizationRules,
    /// How it says who signed in, where `openid` is among the scopes.
    pub openid: OpenId,
    /// Where the institution says who signed in; `None`: nowhere, so logins cannot be compared.
    pub subject: Option<SubjectSource>,
    /// How its tokens are refreshed.
    pub refresh: RefreshRules,
    /// How long a consent is valid where the institution does not say when it ends; `None`: it has no end that is known.
    pub consent: Option<Duration>,
    /// How long its codes are valid, where its file says so.
    pub code_life: Option<Duration>,
    /// Whether the tokens that a new consent replaces are revoked; `false`: that would end the new ones as well.
    pub revoke_replaced: bool,
    /// The institution's own error codes and their reasons.
    pub error_map: BTreeMap<String, ErrorReason>,
    /// Where those are asked that show a certificate in TLS.
    pub mtls_aliases: MtlsAliases,
    /// What calls carry besides.
    pub call_headers: CallHeaders,
    /// Hosts that its metadata may name although they are private.
    pub allow_hosts: Vec<AllowedHost>,
    /// How many calls that a person waits for may be under way, in this process.
    pub calls_at_once: usize,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one whole call may take.
    pub timeout: Duration,
}

/// What an institution publishes of itself. Nothing of it is adopted: the file says what is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Where its metadata is, if not where its issuer says (RFC 8414 section 3).
    pub metadata_url: Option<Url>,
    /// Where its keys are (RFC 7517 section 5).
    pub jwks_uri: Option<Url>,
    /// Whether a change of what it publishes is told.
    pub is_watched: bool,
}

/// The endpoints for those that show a certificate, where they differ (`mtls_endpoint_aliases`, RFC 8705 section 5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MtlsAliases {
    /// In place of the token endpoint.
    pub token_endpoint: Option<Url>,
    /// In place of the revocation endpoint.
    pub revocation_endpoint: Option<Url>,
    /// In place of the endpoint that says who signed in.
    pub userinfo_endpoint: Option<Url>,
}

/// What every call to an institution carries besides what the protocol wants. Names and values were checked for their
/// characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallHeaders {
    /// The same in every call.
    pub fixed: BTreeMap<String, String>,
    /// The header with an id of the call's own (`x-fapi-interaction-id` at many).
    pub interaction_id: Option<String>,
    /// Whether there is a `traceparent` (W3C Trace Context).
    pub traceparent: bool,
}

/// How many calls that a person waits for may be under way at an institution, unless its file says otherwise.
pub const CALLS_AT_ONCE: usize = 100;

/// How an institution's tokens are refreshed (RFC 6749 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshRules {
    /// After how long a token set is refreshed although nobody needs it, so that it does not end unused.
    pub idle: Duration,
    /// How long an access token is assumed to be valid where the institution does not say.
    pub assumed_life: Duration,
    /// How long to wait before the old refresh token is tried again where it is unknown whether it was used up.
    pub doubt: Duration,
}

impl Default for RefreshRules {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(20 * 24 * 60 * 60),
            assumed_life: Duration::from_secs(60 * 60),
            doubt: Duration::from_secs(10 * 60),
        }
    }
}

/// Which authorization responses must have `iss` (RFC 9207). If one has it, it is always compared with
/// the issuer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuerRule {
    /// All.
    Required,
    /// Those with a code. One with neither code nor `iss` counts only in the attempt's own browser.
    RequiredWithCode,
    /// None.
    #[default]
    IfPresent,
}

/// How long a confirmation is awaited where nothing shortens that.
pub const CONFIRMATION: Duration = Duration::from_secs(120);

impl OAuth {
    /// Every address that it names, with the key that names it.
    pub fn endpoints(&self) -> Vec<(&'static str, &Url)> {
        let identify = match &self.subject {
            Some(SubjectSource::Identify { endpoint, .. }) => Some(endpoint),
            _ => None,
        };
        let optional = [
            ("revocation_endpoint", self.revocation_endpoint.as_ref()),
            (
                "pushed_authorization_request_endpoint",
                self.authorization.pushed_to.as_ref(),
            ),
            ("subject.endpoint", identify),
            ("jwks_uri", self.discovery.jwks_uri.as_ref()),
        ];
        let required = [
            ("authorization_endpoint", &self.authorization_endpoint),
            ("token_endpoint", &self.token_endpoint),
        ];
        let optional = optional.into_iter();
        let optional = optional.filter_map(|(key, url)| Some((key, url?)));
        let described = CallName::ALL
            .into_iter()
            .filter_map(|name| self.calls.get(name)?.url.as_ref())
            .flat_map(|url| url.possible())
            .map(|url| ("calls", url));
        let named = required.into_iter().chain(optional);
        named.chain(described).collect()
    }

    /// How long a code waits for its confirmation: three quarters of its life, so that the exchange is still in time.
    pub fn code_waits(&self) -> Duration {
        let left = self.code_life.map(|life| life * 3 / 4);
        left.map_or(CONFIRMATION, |left| left.min(CONFIRMATION))
    }

    /// Whether the request is an OpenID Connect one, which has a `nonce` and is answered with an ID token.
    pub fn uses_openid(&self, scopes: &[String]) -> bool {
        scopes.iter().any(|scope| scope == "openid")
    }

    /// Whether the institution is called before a browser leaves for it.
    pub fn asks_before_departure(&self) -> bool {
        self.authorization.pushed_to.is_some() || self.calls.consent.is_some()
    }

    /// Whether there is a way to give something back: tokens, or a consent.
    pub fn takes_back(&self) -> bool {
        self.revocation_endpoint.is_some()
            || self.calls.revocation.url.is_some()
            || self.calls.delete_consent.is_some()
    }

    /// The address of a call, for each host that it may have; none if it is not made.
    pub fn addresses(&self, name: CallName) -> Vec<&Url> {
        let call = self.calls.get(name);
        if let Some(url) = call.and_then(|call| call.url.as_ref()) {
            return url.possible().iter().collect();
        }
        let endpoint = match name {
            CallName::Authorization => Some(&self.authorization_endpoint),
            CallName::Token | CallName::Refresh => Some(&self.token_endpoint),
            CallName::Revocation => self.revocation_endpoint.as_ref(),
            CallName::Identify => match &self.subject {
                Some(SubjectSource::Identify { endpoint, .. }) => Some(endpoint),
                Some(SubjectSource::TokenResponse { .. } | SubjectSource::IdToken { .. })
                | None => None,
            },
            CallName::ClientToken | CallName::SecondExchange => call.map(|_| &self.token_endpoint),
            CallName::Consent | CallName::DeleteConsent => None,
        };
        endpoint.into_iter().collect()
    }

    /// The key that is missing for verifying what is signed with that algorithm, if one is.
    pub fn lacks_to_verify(&self, algorithm: SigningAlgorithm) -> Option<&'static str> {
        match (&self.issuer, &self.discovery.jwks_uri) {
            (None, _) => Some("issuer"),
            (Some(_), None) if !algorithm.is_symmetric() => Some("jwks_uri"),
            (Some(_), _) => None,
        }
    }

    /// For how long a sign-in counts, where the request demands a newer one (`max_age`, OpenID Connect Core section
    /// 3.1.2.1).
    pub fn max_age(&self) -> Option<Duration> {
        let asked = self.authorization.max_age.map(u64::from);
        asked.map(Duration::from_secs)
    }

    /// The ways of signing in that the request asks for, separated by spaces (`acr_values`).
    pub fn acr_values(&self) -> Option<&str> {
        self.authorization.acr_values.as_deref()
    }
}

/// How an institution says who signed in (OpenID Connect), as it was registered there (OpenID Connect Dynamic Client
/// Registration section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenId {
    /// The one algorithm that ID tokens are signed with.
    pub id_token_signed_response_alg: SigningAlgorithm,
    /// How ID tokens are encrypted; `None`: they are not.
    pub id_token_encrypted_response: Option<Encryption>,
    /// The one algorithm that UserInfo is signed with; `None`: it is plain JSON.
    pub userinfo_signed_response_alg: Option<SigningAlgorithm>,
    /// Claims that every ID token of an authorization must have, and their values.
    pub id_token_claims: BTreeMap<String, String>,
}

impl Default for OpenId {
    /// What the standard says of a registration that says nothing.
    fn default() -> Self {
        Self {
            id_token_signed_response_alg: SigningAlgorithm::RS256,
            id_token_encrypted_response: None,
            userinfo_signed_response_alg: None,
            id_token_claims: BTreeMap::new(),
        }
    }
}

/// Where an institution says who signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectSource {
    /// A field of the token response.
    TokenResponse {
        /// Its name.
        field: String,
    },
    /// A field of the response to a GET with the new access token, for example from the UserInfo endpoint
    /// (OpenID Connect Core section 5.3).
    Identify {
        /// Where.
        endpoint: Url,
        /// Its name; `sub` unless the institution deviates.
        field: String,
    },
    /// A claim of the ID token (OpenID Connect Core section 2).
    IdToken {
        /// Its name; `sub` unless the institution deviates.
        field: String,
    },
}

impl SubjectSource {
    /// The name of the field.
    pub fn field(&self) -> &str {
        match self {
            Self::TokenResponse { field }
            | Self::Identify { field, .. }
            | Self::IdToken { field } => field,
        }
    }
}

/// Whether PKCE (RFC 7636) is used; always with S256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pkce {
    /// Sent; the institution is known to check it.
    Required,
    /// Sent; whether the institution checks it is unknown.
    Auto,
    /// Not sent, because the institution refuses it; the file says why.
    Off {
        /// Why, for the reader of the file.
        reason: String,
    },
}
