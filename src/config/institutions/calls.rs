//! `[[oauth.calls]]` of an institution file: how its calls deviate from the standards, and which it has besides.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::config::reading::Reading;
use crate::config::value::{self, Section, web_url};
use crate::domain::call::{
    BodyForm, Call, CallAuthentication, CallName, Calls, Encoding, ExpiryForm, MemberPath, Method,
    Placement, ResponseShape, Success,
};
use crate::domain::connection_values::{CONSENT_ID, ValueKind, ValueRule};
use crate::domain::template::{JsonTemplate, Template, UrlTemplate};

/// Headers that belong to the connection, or to what the gateway itself says.
const NOT_OURS_TO_SET: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "cookie",
    "accept-encoding",
];

/// What the authorization request has in no address, besides the parameters of every one.
pub const NOT_IN_AN_ADDRESS: [&str; 4] = [
    "client_secret",
    "request",
    "request_uri",
    "authorization_details",
];

/// Parameters that have to be sent, one way or another: the parameter and the call.
const ESSENTIAL: [(CallName, &str); 3] = [
    (CallName::Token, "code"),
    (CallName::Refresh, "refresh_token"),
    (CallName::Revocation, "token"),
];

/// The parameters of client authentication.
const OF_CLIENT: [&str; 2] = ["client_id", "client_secret"];

/// What the authorization request cannot do without, because the flow's safety depends on it.
const PROTECTS: [&str; 5] = [
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "response_mode",
];

/// The members that are read from a token response, besides who signed in.
const OF_TOKENS: [&str; 8] = [
    "access_token",
    "refresh_token",
    "token_type",
    "expires_in",
    "scope",
    "consent_expires_at",
    "authorization_details",
    "id_token",
];

/// Parameters of the authorization request that have keys of their own, because what comes back is held to them.
const HAVE_KEYS: [&str; 2] = ["max_age", "acr_values"];

/// `[[oauth.calls]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCall {
    of: Vec<CallName>,
    method: Option<Method>,
    url: Option<String>,
    parameters_in: Option<Placement>,
    encoding: Option<Encoding>,
    authentication: Option<CallAuthentication>,
    #[serde(default)]
    omit: Vec<String>,
    #[serde(default)]
    rename: BTreeMap<String, String>,
    #[serde(default)]
    add: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default, deserialize_with = "value::section")]
    response: RawResponse,
}

/// `[oauth.calls.response]`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawResponse {
    form: BodyForm,
    object: Option<String>,
    members: BTreeMap<String, String>,
    #[serde(deserialize_with = "value::optional_section")]
    success: Option<RawSuccess>,
    expires: ExpiryForm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSuccess {
    member: String,
    values: Vec<String>,
}

/// What calls are checked against.
pub struct Surroundings<'a> {
    /// What clients give for each connection.
    pub values: &'a [ValueRule],
    /// The member that names the login, if one does.
    pub subject: Option<&'a str>,
    /// Whether clients have a secret there.
    pub has_secret: bool,
    /// How long a consent is valid, if the file says so.
    pub consent: Option<Duration>,
}

impl Surroundings<'_> {
    /// Builds the calls. `authorize_parameters` are what the authorization request has besides.
    pub fn calls(
        &self,
        reading: &mut Reading<'_>,
        raw: Vec<Section<RawCall>>,
        authorize_parameters: BTreeMap<String, String>,
    ) -> Calls {
        let mut calls = Calls::default();
        let mut described: Vec<CallName> = Vec::new();
        let has = |name| raw.iter().any(|Section(call)| call.of.contains(&name));
        let has_consent = has(CallName::Consent);
        if has(CallName::DeleteConsent) && !has_consent {
            reading.invalid(
                "oauth.calls",
                "has delete_consent and no consent, so there would be nothing to delete; add the call that makes \
                 a consent, or remove the other",
            );
        }
        for (i, Section(raw)) in raw.iter().enumerate() {
            let at = format!("oauth.calls[{i}]");
            if raw.of.is_empty() {
                reading.wrong(&format!("{at}.of"), "is empty; name at least one call");
            }
            for name in &raw.of {
                if described.contains(name) {
                    let problem = format!("{} is described already; keep one of them", name.name());
                    reading.wrong(&format!("{at}.of"), problem);
                    continue;
                }
                described.push(*name);
                let one = One {
                    name: *name,
                    at: &at,
                    around: self,
                    has_consent,
                };
                calls.set(*name, one.build(reading, raw));
            }
        }
        let one = One {
            name: CallName::Authorization,
            at: "oauth.authorize_parameters",
            around: self,
            has_consent,
        };
        for (name, text) in authorize_parameters {
            let key = format!("oauth.authorize_parameters.{name}");
            if HAVE_KEYS.contains(&name.as_str()) {
                let problem = format!(
                    "has a key of its own, by which ID tokens are judged: write {name} in [oauth]"
                );
                reading.wrong(&key, problem);
                continue;
            }
            let is_omitted = calls.authorization.name_of(&name).is_none();
            if one.name.parameters().contains(&name.as_str()) && !is_omitted
                || NOT_IN_AN_ADDRESS.contains(&name.as_str())
            {
                let problem = format!("{name} is set by the gateway for each request; remove it");
                reading.wrong(&key, problem);
                continue;
            }
            if let Some(template) = one.template(reading, &key, &text) {
                calls.authorization.add.push((name, template));
            }
        }
        let is_used = |call: &Call| call.places().any(|place| place == CONSENT_ID);
        if has_consent && !is_used(&calls.authorization) {
            reading.warn(
                "oauth.calls",
                "makes a consent, and the authorization request does not say which; put {consent_id} into \
                 [oauth.authorize_parameters]",
            );
        }
        calls
    }
}

/// One call that is described.
struct One<'a> {
    name: CallName,
    /// The full name of its section.
    at: &'a str,
    around: &'a Surroundings<'a>,
    has_consent: bool,
}

impl One<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.at)
    }

    fn build(&self, reading: &Reading<'_>, raw: &RawCall) -> Call {
        let standard = Call::standard(self.name);
        let method = raw.method.unwrap_or(standard.method);
        let usual = match (raw.json.is_some(), method.has_body()) {
            (_, false) => Placement::Query,
            (true, true) => Placement::Json,
            (false, true) if standard.parameters_in == Placement::Query => Placement::Form,
            (false, true) => standard.parameters_in,
        };
        let call = Call {
            method,
            url: raw.url.as_ref().and_then(|text| self.url(reading, text)),
            parameters_in: raw.parameters_in.unwrap_or(usual),
            encoding: raw.encoding.unwrap_or_default(),
            authentication: raw.authentication.unwrap_or(standard.authentication),
            omit: raw.omit.clone(),
            rename: raw.rename.clone(),
            add: self.templates(reading, "add", &raw.add),
            headers: self.templates(reading, "headers", &raw.headers),
            json: raw.json.as_ref().and_then(|json| self.json(reading, json)),
            response: self.response(reading, &raw.response),
        };
        self.check_parameters(reading, &raw.of, &call);
        self.check_headers(reading, &call);
        match self.name {
            CallName::Authorization => self.check_authorization(reading, raw),
            _ => self.check_body(reading, &call),
        }
        if matches!(self.name, CallName::Consent | CallName::DeleteConsent) && raw.url.is_none() {
            reading.invalid(
                &self.key("url"),
                format!("is missing; give the address of {}", self.name.name()),
            );
        }
        call
    }

    /// Whether the standards give it that parameter.
    fn is_standard(&self, name: CallName, call: &Call, parameter: &str) -> bool {
        let is_of_client = OF_CLIENT.contains(&parameter);
        name.parameters().contains(&parameter)
            || is_of_client && call.authentication == CallAuthentication::Client
    }

    /// `of` are all the calls that it is described with.
    fn check_parameters(&self, reading: &Reading<'_>, of: &[CallName], call: &Call) {
        let renamed = call
            .rename
            .keys()
            .map(|name| (format!("rename.{name}"), name));
        let omitted = call.omit.iter().enumerate();
        let omitted = omitted.map(|(i, name)| (format!("omit[{i}]"), name));
        for (key, name) in renamed.chain(omitted) {
            let is_known = |of: &CallName| self.is_standard(*of, call, name);
            if !of.iter().any(is_known) {
                let problem = format!("{name} is no parameter of {}; remove it", self.name.name());
                reading.wrong(&self.key(&key), problem);
            }
        }
        let protects = |name: &&String| PROTECTS.contains(&name.as_str());
        if self.name == CallName::Authorization
            && let Some(name) = call.omit.iter().find(protects)
        {
            let remedy = match name.as_str() {
                "code_challenge" | "code_challenge_method" => {
                    "write pkce = \"off\" with its reason"
                }
                _ => "give it the name that the institution wants under rename",
            };
            let problem = format!("{name} protects people from stolen responses; {remedy}");
            reading.wrong(&self.key("omit"), problem);
        }
        if call.omit.iter().any(|name| name == "code_verifier") {
            let problem = "code_verifier goes with PKCE; write pkce = \"off\" with its reason";
            reading.wrong(&self.key("omit"), problem);
        }
        for (of, name) in ESSENTIAL {
            let is_left_out = of == self.name && call.name_of(name).is_none();
            if is_left_out && !call.places().any(|place| place == name) {
                let problem =
                    format!("{name} would not be sent at all; put {{{name}}} where it belongs");
                reading.wrong(&self.key("omit"), problem);
            }
        }
        let of_client: &[&str] = match call.authentication {
            CallAuthentication::Client => &OF_CLIENT,
            _ => &[],
        };
        let standard = self.name.parameters().iter().chain(of_client);
        let mut names: Vec<&str> = standard.filter_map(|name| call.name_of(name)).collect();
        for (name, template) in &call.add {
            let key = self.key(&format!("add.{name}"));
            let is_place = Template::parse(&format!("{{{name}}}")).ok();
            if name == "nonce" && is_place.as_ref() != Some(template) {
                reading.wrong(
                    &key,
                    "is a constant nonce, which protects nobody; remove it: with the scope openid the gateway \
                     sends one of its own each time",
                );
            } else if self.is_standard(self.name, call, name) && call.name_of(name).is_some() {
                let problem = format!(
                    "{name} is set by the gateway for each request; remove it, or write omit = [\"{name}\"] as well"
                );
                reading.wrong(&key, problem);
            }
            names.push(name);
        }
        let allowed = |b: u8| b.is_ascii_graphic() && !b"&=#+%\"\\".contains(&b);
        let unsound =
            |name: &&&str| name.is_empty() || name.len() > 64 || !name.bytes().all(allowed);
        if let Some(name) = names.iter().find(unsound) {
            let problem =
                format!("has a parameter called {name:?}; write 1 to 64 letters, digits and -_.[]");
            reading.wrong(self.at, problem);
        }
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let problem = format!(
                "sends {} twice; give each parameter a name of its own",
                pair[0]
            );
            reading.wrong(self.at, problem);
        }
    }

    fn check_headers(&self, reading: &Reading<'_>, call: &Call) {
        for (name, _) in &call.headers {
            let key = self.key(&format!("headers.{name}"));
            let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
            let lower = name.to_ascii_lowercase();
            if name.is_empty() || !name.bytes().all(is_token) {
                reading.wrong(
                    &key,
                    "is not the name of a header; write letters, digits and -",
                );
            } else if NOT_OURS_TO_SET.contains(&lower.as_str()) {
                reading.wrong(&key, "belongs to the connection; remove it");
            } else if lower == "authorization" && call.authentication != CallAuthentication::None {
                reading.wrong(
                    &key,
                    "is set by authentication; remove it, or write authentication = \"none\"",
                );
            }
        }
    }

    /// A browser carries the authorization request, so it is an address and nothing else.
    fn check_authorization(&self, reading: &Reading<'_>, raw: &RawCall) {
        let response = &raw.response;
        let has_shape = response.form != BodyForm::default()
            || response.object.is_some()
            || response.success.is_some()
            || response.expires != ExpiryForm::default();
        for (key, is_given) in [
            ("method", raw.method.is_some()),
            ("parameters_in", raw.parameters_in.is_some()),
            ("authentication", raw.authentication.is_some()),
            ("headers", !raw.headers.is_empty()),
            ("json", raw.json.is_some()),
            ("response", has_shape),
        ] {
            if is_given {
                reading.wrong(
                    &self.key(key),
                    "is not for authorization, which a browser carries as an address; remove it (of its \
                     response only members can have other names)",
                );
            }
        }
        if !raw.add.is_empty() {
            reading.wrong(
                &self.key("add"),
                "is not for authorization; write it in [oauth.authorize_parameters]",
            );
        }
        if raw.of.len() > 1 {
            reading.wrong(
                &self.key("of"),
                "has authorization beside others; describe it in a section of its own",
            );
        }
    }

    fn check_body(&self, reading: &Reading<'_>, call: &Call) {
        if !call.method.has_body()
            && (call.parameters_in != Placement::Query || call.json.is_some())
        {
            reading.invalid(
                &self.key("method"),
                "has no body; write parameters_in = \"query\" and no json, or another method",
            );
        }
        if call.parameters_in == Placement::Form && call.json.is_some() {
            reading.invalid(
                &self.key("parameters_in"),
                "is \"form\" beside json, and a body is one of them; write \"json\" or \"query\"",
            );
        }
    }

    fn templates(
        &self,
        reading: &Reading<'_>,
        section: &str,
        raw: &BTreeMap<String, String>,
    ) -> Vec<(String, Template)> {
        let read = raw.iter().filter_map(|(name, text)| {
            let key = self.key(&format!("{section}.{name}"));
            Some((name.clone(), self.template(reading, &key, text)?))
        });
        read.collect()
    }

    fn template(&self, reading: &Reading<'_>, key: &str, text: &str) -> Option<Template> {
        if text.chars().any(char::is_control) {
            reading.wrong(key, "has a control character; write it on one line");
            return None;
        }
        match Template::parse(text) {
            Ok(template) => {
                self.check_places(reading, key, template.names());
                Some(template)
            }
            Err(error) => {
                reading.wrong(key, error.to_string());
                None
            }
        }
    }

    fn json(
        &self,
        reading: &Reading<'_>,
        raw: &serde_json::Map<String, serde_json::Value>,
    ) -> Option<JsonTemplate> {
        let key = self.key("json");
        match JsonTemplate::parse(serde_json::Value::Object(raw.clone())) {
            Ok(template) => {
                self.check_places(reading, &key, template.names());
                Some(template)
            }
            Err(error) => {
                reading.wrong(&key, error.to_string());
                None
            }
        }
    }

    /// The address, which has the listed hosts only.
    fn url(&self, reading: &Reading<'_>, text: &str) -> Option<UrlTemplate> {
        let key = self.key("url");
        let url = address(self.around.values, text);
        let url = url.map_err(|problem| reading.wrong(&key, problem)).ok()?;
        self.check_places(reading, &key, url.names());
        let may_lack = |name: &&str| {
            let mut rules = self.around.values.iter();
            ["scope", "refresh_token", "code_verifier", "nonce"].contains(name)
                || rules.any(|rule| rule.name == **name && !rule.is_required)
        };
        if let Some(name) = url.names().find(may_lack) {
            let problem = format!(
                "has {{{name}}}, which is not always there, and an address needs all of it; make it required"
            );
            reading.wrong(&key, problem);
        }
        let is_ours = |name: &str| self.name.parameters().contains(&name);
        let of_query = url.possible().iter().flat_map(url::Url::query_pairs);
        if self.name == CallName::Authorization
            && let Some((name, _)) = of_query.into_iter().find(|(name, _)| is_ours(name))
        {
            let problem = format!("{name} is set by the gateway for each request; remove it");
            reading.wrong(&key, problem);
        }
        Some(url)
    }

    /// Every place must be one that is filled.
    fn check_places<'n>(
        &self,
        reading: &Reading<'_>,
        key: &str,
        names: impl IntoIterator<Item = &'n str>,
    ) {
        let around = self.around;
        for name in names {
            let is_value = around.values.iter().any(|rule| rule.name == name);
            let problem = match name {
                _ if is_value => continue,
                CONSENT_ID if !self.has_consent => {
                    "has {consent_id}, and there is no call that makes a consent; add one: of = [\"consent\"]"
                        .to_owned()
                }
                "consent_ends_at" | "consent_ends_on" if around.consent.is_none() => {
                    format!("has {{{name}}}, and it is not known when a consent ends; write consent_days")
                }
                "client_secret" if !around.has_secret => {
                    "has {client_secret}, and clients have none there; choose another client_authentication"
                        .to_owned()
                }
                name if self.name.places().contains(&name) => continue,
                name => {
                    let places = self.name.places().iter().copied();
                    let values = around.values.iter().map(|rule| rule.name.as_str());
                    let known: Vec<&str> = places.chain(values).collect();
                    format!(
                        "has {{{name}}}, which {} does not know; use one of {} or declare it in [[oauth.values]]",
                        self.name.name(),
                        known.join(", ")
                    )
                }
            };
            reading.wrong(key, problem);
        }
    }

    fn response(&self, reading: &Reading<'_>, raw: &RawResponse) -> ResponseShape {
        let path = |key: &str, text: &str| {
            let path = MemberPath::parse(text);
            path.unwrap_or_else(|| {
                let problem = "is no way to a member; write names with dots between them, as in \"data.token\"";
                reading.wrong(&self.key(key), problem);
                MemberPath::default()
            })
        };
        let mut members = BTreeMap::new();
        for (name, text) in &raw.members {
            let key = format!("response.members.{name}");
            let known = self.members();
            if !known.contains(&name.as_str()) {
                let problem = format!(
                    "{name} is not read from the response to {}; the left side is the standard name, one of {}",
                    self.name.name(),
                    known.join(", ")
                );
                reading.wrong(&self.key(&key), problem);
            }
            if self.name == CallName::Authorization
                && ["answer", "refused"].contains(&text.as_str())
            {
                let problem = "is a name that the gateway uses itself at that address";
                reading.wrong(&self.key(&key), problem);
            }
            members.insert(name.clone(), path(&key, text));
        }
        let success = raw.success.as_ref().map(|success| {
            if success.values.is_empty() {
                let problem = "is empty, so nothing would be a success; list what means success";
                reading.wrong(&self.key("response.success.values"), problem);
            }
            Success {
                member: path("response.success.member", &success.member),
                values: success.values.clone(),
            }
        });
        ResponseShape {
            form: raw.form,
            object: raw
                .object
                .as_ref()
                .map(|text| path("response.object", text))
                .unwrap_or_default(),
            members,
            success,
            expires: raw.expires,
        }
    }

    /// The standard names of what is read from its response.
    fn members(&self) -> Vec<&str> {
        let own: &[&str] = match self.name {
            CallName::Authorization => &["state", "code", "iss"],
            CallName::Token
            | CallName::Refresh
            | CallName::SecondExchange
            | CallName::ClientToken => &OF_TOKENS,
            CallName::Consent => &[CONSENT_ID],
            CallName::Identify | CallName::Revocation | CallName::DeleteConsent => &[],
        };
        let names_login = matches!(
            self.name,
            CallName::Token | CallName::SecondExchange | CallName::Identify
        );
        let subject = self.around.subject.filter(|_| names_login);
        let errors = ["error", "error_description"];
        own.iter().copied().chain(subject).chain(errors).collect()
    }
}

/// An address with places, whose hosts are those that the choices among `values` list.
pub fn address(values: &[ValueRule], text: &str) -> Result<UrlTemplate, String> {
    let choices = |name: &str| {
        let rule = values.iter().find(|rule| rule.name == name)?;
        match &rule.kind {
            ValueKind::Choice(listed) => Some(listed.clone()),
            ValueKind::Text | ValueKind::Digits => None,
        }
    };
    UrlTemplate::parse(text, choices, |text| {
        web_url(text).map_err(|error| error.to_string())
    })
}
