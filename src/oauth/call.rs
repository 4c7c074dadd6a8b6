//! Writes a call as the institution's file describes it, and sends it.
//!
//! A value fills its place and nothing else: parameters are encoded, a header has one line, and an address
//! stays at the hosts that its file lists.

use jiff::Timestamp;
use oauth2::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use secrecy::ExposeSecret;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use super::OAuthClient;
use super::client_authentication::{Means, Parameters, authenticate};
use super::registered::Registered;
use super::reply::Reply;
use super::transport::Request;
use super::transport_error::TransportError;
use crate::domain::call::{Call, CallAuthentication, Encoding, Placement};
use crate::domain::connection_values::ConnectionValues;
use crate::domain::template::{Template, percent_encoded, percent_encoded_but};

/// What a query may have as it is (RFC 3986 section 3.4), without what separates parameters and without the
/// plus sign, which many take for a space.
const PLAIN: &[u8] = b",:/@;!$'()*?";

/// What the places of a call's templates are filled with.
#[derive(Clone, Copy)]
pub struct Filling<'a> {
    /// The institution and the client's registration there.
    pub at: Registered<'a>,
    /// What only this call has.
    pub own: &'a [(&'a str, &'a str)],
    /// What belongs to the connection.
    pub values: &'a ConnectionValues,
}

impl Filling<'_> {
    /// The value of that name.
    pub fn value(&self, name: &str) -> Option<Zeroizing<String>> {
        let own = self.own.iter().find(|(known, _)| *known == name);
        let registration = self.at.registration;
        let of_registration = || match name {
            "client_id" => Some(registration.client_id.clone()),
            "redirect_uri" => Some(self.at.redirect_uri().to_owned()),
            "scope" => self.at.scope(),
            "client_secret" => {
                let secret = registration.client_authentication.client_secret();
                secret.map(|secret| secret.expose_secret().to_owned())
            }
            _ => None,
        };
        own.map(|(_, value)| (*value).to_owned())
            .or_else(of_registration)
            .or_else(|| self.values.get(name).map(str::to_owned))
            .map(Zeroizing::new)
    }

    /// The address of a call; `endpoint` unless it has one of its own.
    pub fn url(&self, call: &Call, endpoint: Option<&Url>) -> Result<Url, TransportError> {
        match &call.url {
            Some(template) => template.fill(&|name| self.value(name)),
            None => endpoint.cloned(),
        }
        .ok_or(TransportError::Unwritable("its address"))
    }

    fn fill(&self, template: &Template) -> Option<Zeroizing<String>> {
        template.fill(&|name| self.value(name))
    }

    /// The parameters that a file adds to a call; one that has a place without a value is left out.
    pub fn added(&self, call: &Call) -> Parameters {
        let filled = call.add.iter();
        filled
            .filter_map(|(name, template)| Some((name.clone(), self.fill(template)?)))
            .collect()
    }
}

impl OAuthClient {
    /// Makes a call with these standard parameters, within the institution's time limit. It is sent a second
    /// time only when the first found no connection, and then written anew: what authenticates the client may count only
    /// once. `now` is when that is made.
    pub(super) async fn call(
        &self,
        call: &Call,
        endpoint: Option<&Url>,
        parameters: &[(&str, &str)],
        filling: &Filling<'_>,
        now: Timestamp,
    ) -> Result<Reply, TransportError> {
        let means = Means {
            keys: &self.client_keys,
            random: self.random.as_ref(),
            now,
        };
        let written = || request(call, endpoint, parameters, filling, means);
        self.transport.send(filling.at, written).await
    }
}

fn request<'a>(
    call: &'a Call,
    endpoint: Option<&Url>,
    parameters: &[(&str, &str)],
    filling: &Filling<'_>,
    means: Means<'_>,
) -> Result<Request<'a>, TransportError> {
    let mut headers =
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
    let owned =
        |(name, value): &(&str, &str)| ((*name).to_owned(), Zeroizing::new((*value).to_owned()));
    let mut standard: Parameters = parameters.iter().map(owned).collect();
    match call.authentication {
        CallAuthentication::Client => {
            authenticate(filling.at.registration, means, &mut headers, &mut standard)?;
        }
        CallAuthentication::AccessToken => bearer(&mut headers, filling.value("access_token"))?,
        CallAuthentication::ClientToken => bearer(&mut headers, filling.value("client_token"))?,
        CallAuthentication::None => {}
    }
    let mut parameters: Parameters = standard
        .into_iter()
        .filter_map(|(name, value)| Some((call.name_of(&name)?.to_owned(), value)))
        .collect();
    parameters.extend(filling.added(call));
    for (name, template) in &call.headers {
        if let Some(value) = filling.fill(template) {
            let unwritable = || TransportError::Unwritable("a header");
            let name = HeaderName::try_from(name).map_err(|_| unwritable())?;
            let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| unwritable())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    let mut url = filling.url(call, endpoint)?;
    let mut body = None;
    let mut in_body = |media_type, bytes| {
        // The file's own word for it goes first.
        let media_type = HeaderValue::from_static(media_type);
        headers.entry(CONTENT_TYPE).or_insert(media_type);
        body = Some(bytes);
    };
    match call.parameters_in {
        Placement::Query => {
            add_to_query(&mut url, &parameters, call.encoding);
            if let Some(template) = &call.json {
                let object = template.fill(&|name| filling.value(name));
                in_body("application/json", json(object, &[]));
            }
        }
        Placement::Form => in_body(
            "application/x-www-form-urlencoded",
            written(&parameters, call.encoding).as_bytes().to_vec(),
        ),
        Placement::Json => {
            let template = call.json.as_ref();
            let object = template.and_then(|it| it.fill(&|name| filling.value(name)));
            in_body("application/json", json(object, &parameters));
        }
    }
    Ok(Request {
        method: call.method,
        url,
        headers,
        body,
        response: &call.response,
    })
}

fn bearer(headers: &mut HeaderMap, token: Option<Zeroizing<String>>) -> Result<(), TransportError> {
    let token = token.ok_or(TransportError::Unwritable("its token"))?;
    let value = Zeroizing::new(format!("Bearer {}", *token));
    let mut value = HeaderValue::try_from(value.as_str())
        .map_err(|_| TransportError::Unwritable("its token"))?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(())
}

/// Adds parameters to the query that an address has already.
pub fn add_to_query(url: &mut Url, parameters: &[(String, Zeroizing<String>)], encoding: Encoding) {
    if parameters.is_empty() {
        return;
    }
    let more = written(parameters, encoding);
    let before = url.query().filter(|query| !query.is_empty());
    let query = match before {
        Some(before) => Zeroizing::new(format!("{before}&{}", *more)),
        None => more,
    };
    url.set_query(Some(&query));
}

/// Parameters as a query or form has them.
fn written(parameters: &[(String, Zeroizing<String>)], encoding: Encoding) -> Zeroizing<String> {
    let encode = |text: &str| match encoding {
        Encoding::Form => Zeroizing::new(byte_serialize(text.as_bytes()).collect()),
        Encoding::Percent => percent_encoded(text),
        Encoding::Plain => percent_encoded_but(text, PLAIN),
    };
    let mut all = Zeroizing::new(String::new());
    for (name, value) in parameters {
        if !all.is_empty() {
            all.push('&');
        }
        all.push_str(&encode(name));
        all.push('=');
        all.push_str(&encode(value));
    }
    all
}

/// A JSON object with parameters among its members.
fn json(object: Option<Value>, parameters: &[(String, Zeroizing<String>)]) -> Vec<u8> {
    let mut members = match object {
        Some(Value::Object(members)) => members,
        _ => serde_json::Map::new(),
    };
    for (name, value) in parameters {
        members.insert(name.clone(), Value::String(value.to_string()));
    }
    serde_json::to_vec(&members).expect("an object is JSON")
}

#[cfg(test)]
mod tests;
