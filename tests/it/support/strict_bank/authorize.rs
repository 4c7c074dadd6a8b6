//! The pushed authorization request, and the browser's visit.

use serde_json::{Value, json};
use url::form_urlencoded;

use super::desk::{Desk, Pushed};
use super::knobs::Par;
use super::places::Place;
use super::refusal::{Judged, Refusal};
use super::reply::Reply;
use super::request::{self, Asked, Parameters};
use super::rules::Client;
use crate::support::loopback::Recorded;
use crate::support::random_token;

/// How long a pushed request is kept, in seconds.
const PUSHED_LIFE: i64 = 60;

/// What the name of a pushed request begins with (RFC 9126, section 2.2).
const PUSHED: &str = "urn:ietf:params:oauth:request_uri:";

/// Parameters of a pushed request that prove who sends it, and are none of the request.
const PROOFS: [&str; 3] = ["client_assertion", "client_assertion_type", "client_secret"];

impl Desk {
    /// The pushed authorization request endpoint (RFC 9126, section 2).
    pub fn push(&mut self, request: &Recorded) -> Judged<Reply> {
        let client = self.authenticated(request)?;
        let key = self.proof(Place::Par, request)?;
        let mut written = request::parameters(request.form())?;
        written.retain(|name, _| !PROOFS.contains(&name.as_str()));
        if written.contains_key("request_uri") {
            return Err(Refusal::request("request_uri is pushed"));
        }
        let parameters = self.told(written, &client)?;
        let asked = request::judge(&parameters, &client, &self.rules)?;
        if key.is_some() && asked.dpop_jkt.is_some() && key != asked.dpop_jkt {
            return Err(Refusal::request("dpop_jkt is not the key of the proof"));
        }
        let life = match self.knobs.has(Par::ExpiresInOne) {
            true => 1,
            false => PUSHED_LIFE,
        };
        let name = format!("{PUSHED}{}", random_token());
        let pushed = Pushed {
            client_id: client.client_id,
            parameters,
            dpop_jkt: asked.dpop_jkt.or(key),
            ends: self.now() + life,
        };
        self.pushed.insert(name.clone(), pushed);
        Ok(self.pushed_reply(&name, life))
    }

    fn pushed_reply(&self, name: &str, life: i64) -> Reply {
        let mut fields = json!({"request_uri": name, "expires_in": life});
        let knobs = &self.knobs;
        let spoilt = [
            (
                Par::RequestUriInjects,
                json!(format!("{name}&redirect_uri=https://evil.example#f")),
            ),
            (Par::RequestUriIsAnAddress, json!(self.elsewhere)),
            (Par::RequestUriIsANumber, json!(7)),
            (
                Par::RequestUriHuge,
                json!(format!("{name}{}", "x".repeat(1 << 20))),
            ),
        ];
        for (knob, value) in spoilt {
            if knobs.has(knob) {
                fields["request_uri"] = value;
            }
        }
        if knobs.has(Par::ExpiresInZero) {
            fields["expires_in"] = json!(0);
        }
        let missing = [
            (Par::RequestUriMissing, "request_uri"),
            (Par::ExpiresInMissing, "expires_in"),
        ];
        for (knob, field) in missing {
            if knobs.has(knob) {
                fields.as_object_mut().expect("an object").remove(field);
            }
        }
        let mut reply = Reply::good(&fields);
        if !knobs.has(Par::Status200) {
            reply.honest.status = 201;
        }
        reply
    }

    /// What an authorization request asks for, by whichever way it comes.
    pub fn asked(&mut self, request: &Recorded) -> Judged<Asked> {
        let pairs = match request.method.as_str() {
            "POST" => request.form(),
            _ => form_urlencoded::parse(request.query.as_bytes())
                .into_owned()
                .collect(),
        };
        let written = request::parameters(pairs)?;
        let named = written.get("client_id").and_then(Value::as_str);
        let named = named.ok_or_else(|| Refusal::request("client_id is missing"))?;
        let client = self.client(named)?;
        let Some(name) = written.get("request_uri").cloned() else {
            if self.rules.pushed_only {
                return Err(Refusal::request("the request was not pushed"));
            }
            if written.contains_key("authorization_details") && !written.contains_key("request") {
                return Err(Refusal::request(
                    "authorization_details is shown to the browser",
                ));
            }
            let parameters = self.told(written, &client)?;
            return request::judge(&parameters, &client, &self.rules);
        };
        if written.len() != 2 {
            return Err(Refusal::request(
                "more than client_id and request_uri is shown",
            ));
        }
        let refuse = |why| Refusal::new("invalid_request_uri", why);
        // It serves once (RFC 9126, section 7.3).
        let pushed = self.pushed.remove(name.as_str().unwrap_or_default());
        let pushed = pushed.ok_or_else(|| refuse("request_uri is unknown or was used before"))?;
        if self.knobs.has(Par::RequestUriRefused) {
            return Err(refuse("request_uri was used before"));
        }
        if pushed.client_id != client.client_id {
            return Err(refuse("request_uri is another client's"));
        }
        if self.now() >= pushed.ends {
            return Err(refuse("request_uri has expired"));
        }
        let asked = request::judge(&pushed.parameters, &client, &self.rules)?;
        Ok(Asked {
            dpop_jkt: pushed.dpop_jkt,
            ..asked
        })
    }

    /// The parameters that count: those of the request object, if there is one.
    fn told(&self, written: Parameters, client: &Client) -> Judged<Parameters> {
        let Some(object) = written.get("request") else {
            return match self.rules.signed_only {
                true => Err(Refusal::request("the request is not signed")),
                false => Ok(written),
            };
        };
        let object = object.as_str().unwrap_or_default();
        let keys = self.keys_of(&client.client_id);
        request::signed(object, client, &keys, &self.issuer(), self.now())
    }
}
