//! The keys of `[oauth]` about the authorization request and its response.

use serde_json::Value;

use super::super::fault::Refused;
use super::super::reading::Reading;
use super::RawOAuth;
use crate::domain::algorithm::{Encryption, SigningAlgorithm};
use crate::domain::authorization::{AuthorizationRules, ResponseMode, ResponseType};

/// Parameters that a request object has as claims of its own (RFC 7519 section 4.1).
const CLAIMS: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

impl RawOAuth {
    /// What those keys say.
    pub(super) fn authorization(
        &self,
        reading: &Reading<'_>,
    ) -> Result<AuthorizationRules, Refused> {
        self.check_twice(reading);
        self.check_request_object(reading);
        self.check_response_type(reading);
        let details = self.details(reading);
        let (signed, encrypted) = (
            self.signed_response(reading),
            self.encrypted_response(reading),
        );
        let text = |label: &Option<super::Label>| label.as_ref().map(|label| label.0.clone());
        let endpoint = self.pushed_authorization_request_endpoint.as_ref();
        Ok(AuthorizationRules {
            response_type: self.response_type,
            pushed_to: endpoint.map(|url| url.0.clone()),
            details: details?,
            prompt: text(&self.prompt),
            max_age: self.max_age,
            acr_values: text(&self.acr_values),
            claims: self.claims.as_ref().map(json),
            login_hint: text(&self.login_hint),
            signed_response: signed?,
            encrypted_response: encrypted?,
        })
    }

    /// Nothing is asked for twice.
    fn check_twice(&self, reading: &Reading<'_>) {
        let keys = [
            ("prompt", self.prompt.is_some()),
            ("max_age", self.max_age.is_some()),
            ("acr_values", self.acr_values.is_some()),
            ("claims", self.claims.is_some()),
            ("login_hint", self.login_hint.is_some()),
        ];
        for (name, is_there) in keys {
            if is_there && self.authorize_parameters.contains_key(name) {
                let key = format!("oauth.authorize_parameters.{name}");
                reading.wrong(
                    &key,
                    format!("is said by oauth.{name}; remove one of the two"),
                );
            }
        }
    }

    fn check_request_object(&self, reading: &Reading<'_>) {
        if self.request_object_signing_alg.is_none() {
            return;
        }
        if self.issuer.is_none() {
            reading.wrong(
                "oauth.issuer",
                "is needed because requests are signed for it; add the institution's issuer",
            );
        }
        for name in self.authorize_parameters.keys() {
            if CLAIMS.contains(&name.as_str()) {
                let key = format!("oauth.authorize_parameters.{name}");
                let problem = format!("{name} is a claim of the signed request; remove it");
                reading.wrong(&key, problem);
            }
        }
    }

    fn check_response_type(&self, reading: &Reading<'_>) {
        if self.response_type == ResponseType::Code {
            return;
        }
        if self.response_mode == ResponseMode::Query {
            reading.wrong(
                "oauth.response_mode",
                "is \"query\", and an ID token may not be part of an address; write \"form_post\", \"form_post.jwt\" \
                 or \"query.jwt\"",
            );
        }
        if !self.scopes.iter().any(|scope| scope.0 == "openid") {
            reading.wrong(
                "oauth.scopes",
                "needs \"openid\" because response_type has an ID token; add it",
            );
        }
    }

    fn details(&self, reading: &Reading<'_>) -> Result<Vec<Value>, Refused> {
        const KEY: &str = "oauth.authorization_details";
        let is_hidden = self.pushed_authorization_request_endpoint.is_some()
            || self.request_object_signing_alg.is_some();
        if !self.authorization_details.is_empty() && !is_hidden {
            return Err(reading.invalid(
                KEY,
                "would be part of an address that people can change (RFC 9396 section 12); give \
                 pushed_authorization_request_endpoint, or request_object_signing_alg, as well",
            ));
        }
        let details: Vec<Value> = self.authorization_details.iter().map(json).collect();
        let has_type =
            |detail: &Value| detail["type"].as_str().is_some_and(|name| !name.is_empty());
        match details.iter().all(has_type) {
            true => Ok(details),
            false => Err(reading.invalid(
                KEY,
                "has an entry without a type (RFC 9396 section 2); write type = \"…\" in each",
            )),
        }
    }

    fn signed_response(&self, reading: &Reading<'_>) -> Result<SigningAlgorithm, Refused> {
        const KEY: &str = "oauth.authorization_signed_response_alg";
        for (key, is_missing) in [
            ("oauth.issuer", self.issuer.is_none()),
            ("oauth.jwks_uri", self.jwks_uri.is_none()),
        ] {
            if is_missing && self.response_mode.is_jwt() {
                let problem = "is needed because responses are JWTs, which are proved by it; add it as the institution \
                               publishes it";
                reading.wrong(key, problem);
            }
        }
        match self.authorization_signed_response_alg {
            Some(_) if !self.response_mode.is_jwt() => Err(reading.invalid(KEY, ONLY_JWT)),
            Some(algorithm) if algorithm.is_symmetric() => {
                Err(reading.invalid(KEY, asymmetric(algorithm)))
            }
            chosen => Ok(chosen.unwrap_or(AuthorizationRules::default().signed_response)),
        }
    }

    fn encrypted_response(&self, reading: &Reading<'_>) -> Result<Option<Encryption>, Refused> {
        const KEY: &str = "oauth.authorization_encrypted_response_alg";
        const ENC: &str = "oauth.authorization_encrypted_response_enc";
        let both = (
            self.authorization_encrypted_response_alg,
            self.authorization_encrypted_response_enc,
        );
        match both {
            (None, None) => Ok(None),
            (Some(_), _) if !self.response_mode.is_jwt() => Err(reading.invalid(KEY, ONLY_JWT)),
            (Some(alg), Some(enc)) => Ok(Some(Encryption { alg, enc })),
            (Some(_), None) => Err(reading.invalid(
                ENC,
                "is missing beside authorization_encrypted_response_alg; write \"A256GCM\" or \"A128GCM\", as it is \
                 registered",
            )),
            (None, Some(_)) => Err(reading.invalid(
                ENC,
                "is without authorization_encrypted_response_alg; add it, or remove this",
            )),
        }
    }
}

const ONLY_JWT: &str = "is only for response_mode = \"query.jwt\" and \"form_post.jwt\"; remove it, or choose one of them";

fn asymmetric(algorithm: SigningAlgorithm) -> String {
    let name = algorithm.name();
    format!("is {name}, which needs no key of its own; write PS256, ES256, EdDSA or RS256")
}

/// A section as JSON; a time becomes its text.
fn json(section: &toml::Table) -> Value {
    fn value(toml: &toml::Value) -> Value {
        match toml {
            toml::Value::String(text) => Value::from(text.as_str()),
            toml::Value::Integer(number) => Value::from(*number),
            toml::Value::Float(number) => Value::from(*number),
            toml::Value::Boolean(flag) => Value::from(*flag),
            toml::Value::Datetime(time) => Value::from(time.to_string()),
            toml::Value::Array(list) => list.iter().map(value).collect(),
            toml::Value::Table(table) => json(table),
        }
    }
    let members = section.iter();
    Value::Object(
        members
            .map(|(name, it)| (name.clone(), value(it)))
            .collect(),
    )
}
