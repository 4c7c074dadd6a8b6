//! One authorization request: its client, its scope, and how the authorization response is sent.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Bank;
use super::ledger::Asked;
use super::params::{Params, Repeated};
use crate::settings::Institution;
use crate::wire::{page, see_other};

/// The longest scope, state or login hint that is taken.
const TEXT_LIMIT: usize = 2_048;

/// Where the authorization response is sent, and how.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    redirect_uri: String,
    issuer: String,
    state: Option<String>,
    form_post: bool,
}

impl Reply {
    /// Sends the browser back with `fields`, the state and the issuer (RFC 9207).
    pub(super) fn send(&self, fields: &[(&str, &str)]) -> Response {
        let state = self.state();
        let fields = fields.iter().copied().chain(state);
        let fields: Vec<_> = fields.chain([("iss", self.issuer.as_str())]).collect();
        self.send_just(&fields)
    }

    /// The state that came with the request.
    pub(super) fn state(&self) -> Option<(&str, &str)> {
        self.state.as_deref().map(|state| ("state", state))
    }

    /// Sends the browser back with `fields` and nothing else, as banks do that depart from the
    /// standards.
    pub(super) fn send_just(&self, fields: &[(&str, &str)]) -> Response {
        if self.form_post {
            let form = FormPost {
                action: &self.redirect_uri,
                fields,
            };
            return page(StatusCode::OK, &form);
        }
        if fields.is_empty() {
            return see_other(&self.redirect_uri);
        }
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        // The address is used byte by byte as registered; a query it has stays in front.
        let joint = if self.redirect_uri.contains('?') {
            '&'
        } else {
            '?'
        };
        see_other(&format!("{}{joint}{query}", self.redirect_uri))
    }

    /// Sends the browser back with an error of RFC 6749, section 4.1.2.1.
    pub(super) fn refuse(&self, error: &str, description: &str) -> Response {
        self.send(&[("error", error), ("error_description", description)])
    }
}

#[derive(Template)]
#[template(path = "bank_form_post.html")]
struct FormPost<'a> {
    action: &'a str,
    fields: &'a [(&'a str, &'a str)],
}

/// The client's id and where to send the response, or a text for the bank's own page.
pub(super) fn whom_to_answer(
    bank: &Bank,
    institution: &Institution,
    params: &Params,
) -> Result<(String, Reply), String> {
    let read = |name| params.one(name).map_err(|repeated| repeated.to_string());
    let client = read("client_id")?
        .and_then(|id| bank.client(id))
        .ok_or("The client_id is not registered here.")?;
    let redirect_uri = read("redirect_uri")?
        .filter(|uri| client.redirect_uris.iter().any(|one| one == uri))
        .ok_or("The redirect_uri is not registered for this client.")?;
    let reply = Reply {
        redirect_uri: redirect_uri.to_owned(),
        issuer: format!("{}/{}", bank.url, institution.code),
        // A state that is unclear is not sent back; the request is refused for it below.
        state: params.one("state").ok().flatten().map(str::to_owned),
        form_post: institution.form_post,
    };
    Ok((client.id.clone(), reply))
}

/// An error code of RFC 6749, section 4.1.2.1, and what is wrong.
type Wrong = (&'static str, String);

/// The rest of the request, and its login hint. Sets the response mode of `reply`.
pub(super) fn what_is_asked(
    institution: &Institution,
    client: &str,
    reply: &mut Reply,
    params: &Params,
) -> Result<(Asked, Option<String>), Wrong> {
    let invalid = |text: &str| ("invalid_request", text.to_owned());
    let read = |name| {
        let value = params
            .one(name)
            .map_err(|Repeated(name)| ("invalid_request", Repeated(name).to_string()))?;
        match value {
            Some(value) if value.len() > TEXT_LIMIT => Err(invalid("a parameter is too long")),
            value => Ok(value),
        }
    };
    match read("response_mode")? {
        None => {}
        Some("query") => reply.form_post = false,
        Some("form_post") => reply.form_post = true,
        Some(_) => return Err(invalid("response_mode must be query or form_post")),
    }
    read("state")?;
    match read("response_type")? {
        Some("code") => {}
        Some(_) => {
            let text = "only response_type code is supported";
            return Err(("unsupported_response_type", text.to_owned()));
        }
        None => return Err(invalid("response_type is missing")),
    }
    if read("code_challenge_method")? != Some("S256") {
        return Err(invalid("PKCE with code_challenge_method S256 is required"));
    }
    let challenge = read("code_challenge")?
        .filter(|text| {
            URL_SAFE_NO_PAD
                .decode(text)
                .is_ok_and(|hash| hash.len() == 32)
        })
        .ok_or_else(|| invalid("code_challenge must be the base64url of a SHA-256 hash"))?;
    let asked = Asked {
        institution: institution.code.clone(),
        client: client.to_owned(),
        redirect_uri: reply.redirect_uri.clone(),
        challenge: challenge.to_owned(),
        scope: read("scope")?.unwrap_or("accounts transactions").to_owned(),
    };
    Ok((asked, read("login_hint")?.map(str::to_owned)))
}
