//! The token endpoint and the revocation endpoint.

use serde_json::{Value, json};

use super::desk::Desk;
use super::grants::{ACCESS_LIFE, Binding, Grant};
use super::id_token::Beside;
use super::knobs::{Revocation, Token};
use super::places::Place;
use super::refusal::{Judged, Refusal};
use super::reply::Reply;
use super::rules::{Client, Rotation};
use crate::support::loopback::Recorded;

/// What may be in a token request, beside what proves the client.
const EXCHANGE: [&str; 4] = ["grant_type", "code", "redirect_uri", "code_verifier"];
const REFRESH: [&str; 3] = ["grant_type", "refresh_token", "scope"];
const PROOFS: [&str; 4] = [
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
];

impl Desk {
    /// The token endpoint (RFC 6749, section 3.2).
    pub fn exchange(&mut self, request: &Recorded) -> Judged<Reply> {
        judge_form(request)?;
        // A demand for a nonce does not spend the code, nor the assertion's identifier.
        let binding = self.binding(request)?;
        let client = self.authenticated(request)?;
        match request.field("grant_type").as_deref() {
            Some("authorization_code") => {
                only(request, &EXCHANGE)?;
                self.judge_key(request, &binding)?;
                let now = self.now();
                let code = self.grants.spend_code(request, &client.client_id, now)?;
                Ok(self.granted(&code, &client, &binding, None))
            }
            Some("refresh_token") => {
                only(request, &REFRESH)?;
                let token = request.field("refresh_token");
                let token = token.ok_or_else(|| Refusal::request("refresh_token is missing"))?;
                let bound = Self::refresh_binding(&client, &binding);
                let rotation = self.rotation();
                let id = &client.client_id;
                let code = self
                    .grants
                    .spend_refresh_token(&token, id, &bound, rotation)?;
                Ok(self.granted(&code, &client, &binding, Some(&token)))
            }
            other => {
                let why = format!("grant_type {other:?} is not served");
                Err(Refusal::new("unsupported_grant_type", why))
            }
        }
    }

    /// A code that was asked for with a key is for that key alone (RFC 9449, section 10).
    fn judge_key(&self, request: &Recorded, binding: &Binding) -> Judged<()> {
        let code = request.field("code").unwrap_or_default();
        let key = self
            .grants
            .find(&code)
            .and_then(|it| it.asked.dpop_jkt.clone());
        match (key, binding) {
            (Some(key), Binding::Key(shown)) if key != *shown => Err(Refusal::new(
                "invalid_dpop_proof",
                "the code is for another key",
            )),
            _ => Ok(()),
        }
    }

    fn rotation(&self) -> Rotation {
        if self.knobs.has(Token::RotatesWithGrace) {
            return Rotation::Grace;
        }
        if self.knobs.has(Token::RotatesWithoutGrace) {
            return Rotation::Strict;
        }
        self.rules.rotation
    }

    fn granted(
        &mut self,
        code: &str,
        client: &Client,
        binding: &Binding,
        instead_of: Option<&str>,
    ) -> Reply {
        let grant = self.grants.of_code(code).clone();
        let (rotation, now) = (self.rotation(), self.now());
        let refresh_binding = Self::refresh_binding(client, binding);
        let tokens =
            self.grants
                .issue(code, [binding, &refresh_binding], instead_of, rotation, now);
        let token_type = match binding {
            Binding::Key(_) => "DPoP",
            _ => "Bearer",
        };
        let mut fields = json!({
            "access_token": tokens.access_token,
            "token_type": token_type,
            "expires_in": ACCESS_LIFE,
            "scope": grant.asked.scope,
        });
        if let Some(token) = tokens.refresh_token {
            fields["refresh_token"] = json!(token);
        }
        if let Some(details) = &grant.asked.details {
            fields["authorization_details"] = details.clone();
        }
        if grant.asked.scope.split(' ').any(|it| it == "openid") {
            let beside = Beside {
                access_token: Some(&tokens.access_token),
                code: None,
                is_refreshed: instead_of.is_some(),
            };
            fields["id_token"] = json!(self.id_token(&grant, client, &beside));
        }
        self.spoil(&mut fields, &grant);
        Reply::good(&fields)
    }

    /// Does to the response what the knobs say.
    fn spoil(&self, fields: &mut Value, grant: &Grant) {
        let first = grant.asked.scope.split(' ').next().unwrap_or_default();
        let upper = fields["token_type"]
            .as_str()
            .unwrap_or_default()
            .to_uppercase();
        let broad = format!("{} everything", grant.asked.scope);
        let reduced = grant.asked.details.as_ref().map(|all| json!([all[0]]));
        let set = [
            (Token::TypeInAnotherCase, "token_type", Some(json!(upper))),
            (Token::TypeUnknown, "token_type", Some(json!("mac"))),
            (Token::TypeDowngraded, "token_type", Some(json!("Bearer"))),
            (Token::ExpiresInMissing, "expires_in", None),
            (Token::ExpiresInText, "expires_in", Some(json!("soon"))),
            (Token::ExpiresInNegative, "expires_in", Some(json!(-3600))),
            (Token::ExpiresInZero, "expires_in", Some(json!(0))),
            (Token::ExpiresInHuge, "expires_in", Some(json!(u64::MAX))),
            (Token::ScopeMissing, "scope", None),
            (Token::ScopeNarrow, "scope", Some(json!(first))),
            (Token::ScopeBroad, "scope", Some(json!(broad))),
            (Token::DetailsReduced, "authorization_details", reduced),
        ];
        for (knob, field, value) in set {
            if !self.knobs.has(knob) {
                continue;
            }
            match value {
                Some(value) => fields[field] = value,
                None => drop(fields.as_object_mut().expect("an object").remove(field)),
            }
        }
    }

    /// The revocation endpoint (RFC 7009).
    pub fn revoke(&mut self, request: &Recorded) -> Judged<Reply> {
        judge_form(request)?;
        let client = self.authenticated(request)?;
        only(request, &["token", "token_type_hint"])?;
        let token = request.field("token");
        let token = token.ok_or_else(|| Refusal::request("token is missing"))?;
        let lies = [
            Revocation::Status200,
            Revocation::Status400,
            Revocation::Status503,
            Revocation::NeverAnswers,
        ];
        if !lies.iter().any(|knob| self.knobs.has(*knob)) {
            self.grants.revoke(&token, &client.client_id);
        }
        Ok(Reply::good(&json!({})))
    }

    /// The nonce that goes with a response of that place.
    pub fn next_nonce(&mut self, place: Place) -> Option<String> {
        let nonces = self.nonces(place);
        self.proofs.next_nonce(nonces)
    }
}

/// A form, with nothing in the address (RFC 6749, section 3.2), and nothing twice.
fn judge_form(request: &Recorded) -> Judged<()> {
    if !request.query.is_empty() {
        return Err(Refusal::request("there is a query"));
    }
    let kind = request.header("content-type").unwrap_or_default();
    if kind.split(';').next() != Some("application/x-www-form-urlencoded") {
        return Err(Refusal::request("content-type is not that of a form"));
    }
    super::request::parameters(request.form()).map(drop)
}

/// Refuses fields that belong to nothing here.
fn only(request: &Recorded, allowed: &[&str]) -> Judged<()> {
    let is_strange = |name: &str| !allowed.contains(&name) && !PROOFS.contains(&name);
    match request.form().iter().find(|(name, _)| is_strange(name)) {
        Some((name, _)) => Err(Refusal::request(format!("{name} does not belong here"))),
        None => Ok(()),
    }
}
