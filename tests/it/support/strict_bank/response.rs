//! The authorization response: what it says, and how the browser brings it.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use serde_json::{Map, Value, json};
use url::Url;

use super::desk::Desk;
use super::grants::Grant;
use super::id_token::Beside;
use super::keys::Flaw;
use super::knobs::{Authorize, Jarm, Metadata};
use super::refusal::Judged;
use super::reply::Reply;
use super::request::Asked;
use super::rules::{Client, Encryption};
use crate::support::behaviour::response;
use crate::support::loopback::Recorded;
use crate::support::random_token;

/// How long a response that is a JWT is valid, in seconds.
const LIFE: i64 = 300;

type Pairs = Vec<(&'static str, String)>;

impl Desk {
    /// A browser at the authorization endpoint, with a person who agrees or declines at once.
    pub fn visited(&mut self, request: &Recorded) -> Judged<Reply> {
        if self.knobs.has(Authorize::BouncesElsewhere) {
            let mut to = self.elsewhere.clone();
            to.set_query(Some(&request.query));
            return Ok(Reply::instead(redirect(&to)));
        }
        let asked = self.asked(request)?;
        let client = self.client(&asked.client_id)?;
        let pairs = match self.declines.clone() {
            Some((error, description)) => {
                vec![("error", error), ("error_description", description)]
            }
            None => self.agreed(&asked, &client),
        };
        let pairs = self.addressed(pairs, &asked);
        Ok(Reply::instead(self.sent_back(pairs, &asked, &client)))
    }

    fn agreed(&mut self, asked: &Asked, client: &Client) -> Pairs {
        let grant = Grant {
            asked: asked.clone(),
            person: self.person.clone(),
            at: self.now(),
        };
        let code = self.grants.issue_code(grant.clone());
        let mut pairs = vec![("code", code.clone())];
        if asked.is_hybrid {
            let beside = Beside {
                code: Some(&code),
                ..Beside::default()
            };
            pairs.push(("id_token", self.id_token(&grant, client, &beside)));
        }
        pairs
    }

    /// With `state` and `iss`, and with what the knobs do to all.
    fn addressed(&self, mut pairs: Pairs, asked: &Asked) -> Pairs {
        let knobs = &self.knobs;
        let state = asked.state.clone();
        if let Some(state) = state.filter(|_| !knobs.has(Authorize::StateDropped)) {
            let state = match knobs.has(Authorize::StateAltered) {
                // The first two characters say where it is looked up.
                true => format!("{}{}", &state[..2.min(state.len())], random_token()),
                false => state,
            };
            pairs.push(("state", state.clone()));
            if knobs.has(Authorize::StateTwice) {
                pairs.push(("state", state));
            }
        }
        let is_dropped =
            knobs.has(Authorize::IssDropped) || knobs.has(Metadata::IssAdvertisedAndOmitted);
        // A JWT says it as a claim (JARM, section 2.4).
        if !is_dropped && !asked.response_mode.is_jwt() {
            let slash = if knobs.has(Authorize::IssAltered) {
                "/"
            } else {
                ""
            };
            pairs.push(("iss", format!("{}{slash}", self.issuer())));
        }
        if knobs.has(Authorize::HostileError) {
            let text = "<script>alert(1)</script>\r\n\u{1b}[31m\u{202e}".repeat(80);
            pairs.retain(|(name, _)| *name != "code");
            pairs.push(("error", "access_denied".to_owned()));
            pairs.push(("error_description", text));
            pairs.push(("error_uri", "javascript:alert(1)".to_owned()));
        }
        if knobs.has(Authorize::CodeAndError) {
            pairs.push(("error", "access_denied".to_owned()));
        }
        if knobs.has(Authorize::CodeTwice) {
            pairs.push(("code", random_token()));
        }
        if knobs.has(Authorize::OversizedCode) {
            for (_, value) in pairs.iter_mut().filter(|(name, _)| *name == "code") {
                *value = "x".repeat(4097);
            }
        }
        let has_tokens = [Authorize::TokensInTheQuery, Authorize::TokensInTheFragment];
        if has_tokens.iter().any(|knob| knobs.has(*knob)) {
            pairs.retain(|(name, _)| *name != "code");
            pairs.push(("access_token", "CANARY-front-channel-token".to_owned()));
            pairs.push(("token_type", "Bearer".to_owned()));
        }
        pairs
    }

    fn sent_back(&mut self, pairs: Pairs, asked: &Asked, client: &Client) -> Response<Body> {
        let mut to = Url::parse(&asked.redirect_uri).expect("a registered redirect URI is a URL");
        let pairs = match asked.response_mode.is_jwt() {
            true => self.as_jwt(pairs, client),
            false => pairs,
        };
        let knobs = &self.knobs;
        if asked.response_mode.is_posted() || knobs.has(Authorize::PostedUnasked) {
            return self_posting(&to, &pairs);
        }
        let is_hidden =
            knobs.has(Authorize::InTheFragment) || knobs.has(Authorize::TokensInTheFragment);
        if is_hidden {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            to.set_fragment(Some(&form.extend_pairs(&pairs).finish()));
        } else {
            to.query_pairs_mut().extend_pairs(&pairs);
        }
        redirect(&to)
    }

    /// The pairs as one JWT (JARM, section 2).
    fn as_jwt(&mut self, pairs: Pairs, client: &Client) -> Pairs {
        let now = self.now();
        let mut claims: Map<String, Value> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        claims.insert("iss".to_owned(), json!(self.issuer()));
        claims.insert("aud".to_owned(), json!(client.client_id));
        claims.insert("exp".to_owned(), json!(now + LIFE));
        let spoilt = [
            (Jarm::IssMissing, "iss", None),
            (
                Jarm::IssWrong,
                "iss",
                Some(json!("https://elsewhere.example")),
            ),
            (Jarm::AudMissing, "aud", None),
            (Jarm::AudWrong, "aud", Some(json!("another"))),
            (Jarm::ExpMissing, "exp", None),
            (Jarm::ExpPassed, "exp", Some(json!(now - 3600))),
        ];
        for (knob, name, value) in spoilt {
            if self.knobs.has(knob) {
                match value {
                    Some(value) => claims.insert(name.to_owned(), value),
                    None => claims.remove(name),
                };
            }
        }
        let flaws = [
            (Jarm::BadSignature, Flaw::BadSignature),
            (Jarm::AlgNone, Flaw::AlgNone),
            (Jarm::OtherAlg, Flaw::OtherAlg),
        ];
        let flaw = flaws.iter().find(|(knob, _)| self.knobs.has(*knob));
        let flaw = flaw.map(|(_, flaw)| *flaw);
        let (algorithm, claims) = (self.rules.response, Value::Object(claims));
        let mut jwt = self.keys.sign(algorithm, None, &claims, &self.knobs, flaw);
        let how = match self.rules.response_encryption {
            how if self.knobs.has(Jarm::EncryptedWithRsa15) => Some(Encryption {
                alg: "RSA1_5",
                enc: how.map_or("A256GCM", |how| how.enc),
            }),
            how => how,
        };
        if let Some(how) = how {
            jwt = self.encrypted(&jwt, client, how);
        }
        let mut sent = vec![("response", jwt)];
        if self.knobs.has(Jarm::PlainParametersBeside) {
            sent.extend(pairs);
            sent.push(("iss", self.issuer()));
        }
        sent
    }
}

/// The form that a page posts for the browser, as the modes that are posted have it.
pub fn self_posting(to: &Url, pairs: &Pairs) -> Response<Body> {
    let fields: String = pairs
        .iter()
        .map(|(name, value)| {
            format!(
                "<input type=\"hidden\" name=\"{name}\" value=\"{}\">",
                escaped(value)
            )
        })
        .collect();
    let page = format!(
        "<!doctype html><title>Back</title><body onload=\"document.forms[0].submit()\">\
         <form method=\"post\" action=\"{}\">{fields}<button>Back</button></form>",
        escaped(to.as_str())
    );
    response(200, "text/html; charset=utf-8", page)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
}

fn redirect(to: &Url) -> Response<Body> {
    let mut response = response(303, "text/plain", "");
    let to = HeaderValue::from_str(to.as_str()).expect("a URL is a header value");
    response.headers_mut().insert(header::LOCATION, to);
    response
}
