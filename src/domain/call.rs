//! One call to an institution, and the response to it, as data.
//!
//! The calls that the standards describe and those that only some institutions have are described in the
//! same way; [`Call::standard`] is what the standards say. Where an institution deviates its file names the
//! deviation, and everything else stays.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::connection_values::CONSENT_ID;
use super::template::{JsonTemplate, Template, UrlTemplate};

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallName {
    /// The authorization request, which a browser carries (RFC 6749 section 4.1.1).
    Authorization,
    /// A code is exchanged (RFC 6749 section 4.1.3).
    Token,
    /// Tokens are renewed (RFC 6749 section 6).
    Refresh,
    /// A token is revoked (RFC 7009).
    Revocation,
    /// Who signed in.
    Identify,
    /// The tokens of the exchange are exchanged once more, such as short-lived ones for long-lived ones.
    SecondExchange,
    /// A token for the client itself (RFC 6749 section 4.4), for the calls that need one.
    ClientToken,
    /// A consent is made before the person leaves.
    Consent,
    /// A consent is deleted.
    DeleteConsent,
}

impl CallName {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Authorization,
        Self::Token,
        Self::Refresh,
        Self::Revocation,
        Self::Identify,
        Self::SecondExchange,
        Self::ClientToken,
        Self::Consent,
        Self::DeleteConsent,
    ];

    /// Its name in institution files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Token => "token",
            Self::Refresh => "refresh",
            Self::Revocation => "revocation",
            Self::Identify => "identify",
            Self::SecondExchange => "second_exchange",
            Self::ClientToken => "client_token",
            Self::Consent => "consent",
            Self::DeleteConsent => "delete_consent",
        }
    }

    /// The places that its templates may have, besides the institution's own values.
    pub fn places(self) -> &'static [&'static str] {
        match self {
            Self::Authorization => &[
                "client_id",
                "redirect_uri",
                "scope",
                "state",
                "nonce",
                "code_challenge",
                CONSENT_ID,
            ],
            Self::Token => &[
                "client_id",
                "client_secret",
                "redirect_uri",
                "scope",
                "code",
                "code_verifier",
                CONSENT_ID,
            ],
            Self::Refresh | Self::SecondExchange => &[
                "client_id",
                "client_secret",
                "redirect_uri",
                "scope",
                "access_token",
                "refresh_token",
                CONSENT_ID,
            ],
            Self::Revocation => &[
                "client_id",
                "client_secret",
                "token",
                "token_type_hint",
                CONSENT_ID,
            ],
            Self::Identify => &["client_id", "client_secret", "access_token", CONSENT_ID],
            Self::ClientToken => &["client_id", "client_secret", "scope"],
            Self::Consent => &[
                "client_id",
                "client_secret",
                "redirect_uri",
                "scope",
                "client_token",
                "consent_ends_at",
                "consent_ends_on",
            ],
            Self::DeleteConsent => &[
                "client_id",
                "client_secret",
                "client_token",
                "access_token",
                CONSENT_ID,
            ],
        }
    }

    /// The parameters that the standards give it, besides those of client authentication.
    pub fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Authorization => &[
                "response_type",
                "client_id",
                "redirect_uri",
                "scope",
                "state",
                "code_challenge",
                "code_challenge_method",
                "nonce",
                "response_mode",
            ],
            Self::Token => &["grant_type", "code", "redirect_uri", "code_verifier"],
            Self::Refresh => &["grant_type", "refresh_token"],
            Self::Revocation => &["token", "token_type_hint"],
            Self::ClientToken => &["grant_type"],
            Self::Identify | Self::SecondExchange | Self::Consent | Self::DeleteConsent => &[],
        }
    }
}

/// The calls of one institution. Those that the standards do not know are there only if it has them.
#[derive(Clone, Debug)]
pub struct Calls {
    /// The authorization request.
    pub authorization: Call,
    /// The exchange of a code.
    pub token: Call,
    /// A refresh.
    pub refresh: Call,
    /// A revocation.
    pub revocation: Call,
    /// Who signed in.
    pub identify: Call,
    /// A token for the client itself.
    pub client_token: Call,
    /// A second exchange.
    pub second_exchange: Option<Call>,
    /// A consent made beforehand.
    pub consent: Option<Call>,
    /// Its deletion.
    pub delete_consent: Option<Call>,
}

impl Default for Calls {
    /// What the standards say.
    fn default() -> Self {
        Self {
            authorization: Call::standard(CallName::Authorization),
            token: Call::standard(CallName::Token),
            refresh: Call::standard(CallName::Refresh),
            revocation: Call::standard(CallName::Revocation),
            identify: Call::standard(CallName::Identify),
            client_token: Call::standard(CallName::ClientToken),
            second_exchange: None,
            consent: None,
            delete_consent: None,
        }
    }
}

impl Calls {
    /// Sets the one of that name.
    pub fn set(&mut self, name: CallName, call: Call) {
        match name {
            CallName::Authorization => self.authorization = call,
            CallName::Token => self.token = call,
            CallName::Refresh => self.refresh = call,
            CallName::Revocation => self.revocation = call,
            CallName::Identify => self.identify = call,
            CallName::ClientToken => self.client_token = call,
            CallName::SecondExchange => self.second_exchange = Some(call),
            CallName::Consent => self.consent = Some(call),
            CallName::DeleteConsent => self.delete_consent = Some(call),
        }
    }

    /// The one of that name, if the institution has it.
    pub fn get(&self, name: CallName) -> Option<&Call> {
        Some(match name {
            CallName::Authorization => &self.authorization,
            CallName::Token => &self.token,
            CallName::Refresh => &self.refresh,
            CallName::Revocation => &self.revocation,
            CallName::Identify => &self.identify,
            CallName::ClientToken => &self.client_token,
            CallName::SecondExchange => return self.second_exchange.as_ref(),
            CallName::Consent => return self.consent.as_ref(),
            CallName::DeleteConsent => return self.delete_consent.as_ref(),
        })
    }
}

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The HTTP method.
    pub method: Method,
    /// Where, if not at the endpoint that the institution's file names for it.
    pub url: Option<UrlTemplate>,
    /// Where the parameters stand.
    pub parameters_in: Placement,
    /// How parameters are written in a query or a form.
    pub encoding: Encoding,
    /// Who shows that it may make the call.
    pub authentication: CallAuthentication,
    /// The standards' parameters that are left out.
    pub omit: Vec<String>,
    /// The standards' parameters that have another name here.
    pub rename: BTreeMap<String, String>,
    /// Further parameters.
    pub add: Vec<(String, Template)>,
    /// Further headers, by their names in lower case.
    pub headers: Vec<(String, Template)>,
    /// The object that the body is, before parameters are added to it.
    pub json: Option<JsonTemplate>,
    /// The response.
    pub response: ResponseShape,
}

impl Call {
    /// What the standards say; for a call that they do not know, what most institutions want.
    pub fn standard(name: CallName) -> Self {
        let (method, parameters_in, authentication) = match name {
            CallName::Authorization => (Method::Get, Placement::Query, CallAuthentication::None),
            CallName::Token | CallName::Refresh | CallName::Revocation | CallName::ClientToken => {
                (Method::Post, Placement::Form, CallAuthentication::Client)
            }
            CallName::SecondExchange => (Method::Post, Placement::Form, CallAuthentication::Client),
            CallName::Identify => (
                Method::Get,
                Placement::Query,
                CallAuthentication::AccessToken,
            ),
            CallName::Consent => (
                Method::Post,
                Placement::Json,
                CallAuthentication::ClientToken,
            ),
            CallName::DeleteConsent => (
                Method::Delete,
                Placement::Query,
                CallAuthentication::ClientToken,
            ),
        };
        Self {
            method,
            url: None,
            parameters_in,
            encoding: Encoding::Form,
            authentication,
            omit: Vec::new(),
            rename: BTreeMap::new(),
            add: Vec::new(),
            headers: Vec::new(),
            json: None,
            response: ResponseShape::default(),
        }
    }

    /// A pushed authorization request (RFC 9126 section 2.1): it is written as a token request is.
    pub fn of_pushed_request() -> Self {
        Self::standard(CallName::Token)
    }

    /// The name of a standard parameter here; `None`: it is left out.
    pub fn name_of<'a>(&'a self, parameter: &'a str) -> Option<&'a str> {
        match self.omit.iter().any(|omitted| omitted == parameter) {
            true => None,
            false => Some(self.rename.get(parameter).map_or(parameter, String::as_str)),
        }
    }

    /// Whether it needs a token for the client itself.
    pub fn needs_client_token(&self) -> bool {
        self.authentication == CallAuthentication::ClientToken
            || self.places().any(|place| place == "client_token")
    }

    /// The names of all places in its templates.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        let of_url = self.url.iter().flat_map(UrlTemplate::names);
        let pairs = self.add.iter().chain(&self.headers);
        let of_json = self.json.iter().flat_map(JsonTemplate::names);
        of_url
            .chain(pairs.flat_map(|(_, template)| template.names()))
            .chain(of_json)
    }
}

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET: it has no body.
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE: it has no body here.
    Delete,
}

impl Method {
    /// Its name (RFC 9110 section 9).
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether a request with it has a body.
    pub fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

/// Where the parameters of a call stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// In the body, as a form (`application/x-www-form-urlencoded`).
    Form,
    /// In the query of the address.
    Query,
    /// In the body, as members of a JSON object.
    Json,
}

/// How parameters are written in a query or a form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As a form: a space is `+`.
    #[default]
    Form,
    /// Percent-encoded: a space is `%20`.
    Percent,
    /// The same, but what a query may have (RFC 3986 section 3.4) stays as it is: `,` `:` `/` `@` `;` `!` `$` `'` `(` `)` `*` `?`.
    Plain,
}

/// Who shows that it may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallAuthentication {
    /// The client, in the way of its registration (RFC 6749 section 2.3).
    Client,
    /// The connection, by its access token as Bearer (RFC 6750 section 2.1).
    AccessToken,
    /// The client, by a token of its own as Bearer.
    ClientToken,
    /// Nobody.
    None,
}

/// The response to a call: where its members are, and how success is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseShape {
    /// How the body is written.
    pub form: BodyForm,
    /// Where in the body the object with the members is; empty: the body is it.
    pub object: MemberPath,
    /// Members that have other names, by their standard ones. `error` and `error_description` are looked for from the
    /// top of the body, all others in the object.
    pub members: BTreeMap<String, MemberPath>,
    /// The member that tells success.
    pub success: Option<Success>,
    /// What `expires_in` says.
    pub expires: ExpiryForm,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyForm {
    /// A JSON object.
    #[default]
    Json,
    /// A form; a JSON object is read as well.
    Form,
}

/// What the member for the access token's end says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryForm {
    /// In how many seconds (RFC 6749 section 5.1).
    #[default]
    InSeconds,
    /// In how many milliseconds.
    InMilliseconds,
    /// When: RFC 3339, or seconds or milliseconds since 1970.
    At,
}

/// A member that tells success, whatever the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success {
    /// Where in the body it is.
    pub member: MemberPath,
    /// The values that mean success. A number or a boolean is compared as it is written.
    pub values: Vec<String>,
}

/// The way to a member: names from the outside in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberPath(Vec<String>);

impl MemberPath {
    /// Reads names with dots between them; `None`: one of them is empty.
    pub fn parse(text: &str) -> Option<Self> {
        let names: Vec<String> = text.split('.').map(str::to_owned).collect();
        (!names.iter().any(String::is_empty)).then_some(Self(names))
    }

    /// The names.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}
