//! What the institution publishes of itself (RFC 8414; OpenID Connect Discovery).

use serde_json::{Value, json};

use super::desk::Desk;
use super::jws::{Algorithm, name};
use super::knobs::{Authorize, Metadata};
use super::places::Place;
use super::reply::Reply;
use super::rules::{Authentication, SenderConstraint};

/// Endpoints that a certificate is asked for at.
const BY_CERTIFICATE: [(&str, Place); 4] = [
    ("pushed_authorization_request_endpoint", Place::Par),
    ("token_endpoint", Place::Token),
    ("revocation_endpoint", Place::Revoke),
    ("userinfo_endpoint", Place::UserInfo),
];

impl Desk {
    /// The metadata document, the same at both locations.
    pub fn metadata(&mut self) -> Reply {
        self.metadata_reads += 1;
        let rules = &self.rules;
        let mut fields = json!({
            "issuer": self.issuer(),
            "authorization_endpoint": self.address(Place::Authorize),
            "jwks_uri": self.address(Place::Jwks),
            "response_types_supported": [rules.response_type],
            "response_modes_supported": ["query", "form_post", "query.jwt", "form_post.jwt", "jwt"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"],
            "scopes_supported": ["openid", "accounts", "transactions"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": self.methods(),
            "token_endpoint_auth_signing_alg_values_supported":
                ["PS256", "ES256", "ES384", "EdDSA", "HS256"],
            "request_object_signing_alg_values_supported": ["PS256", "ES256", "ES384", "EdDSA"],
            "request_parameter_supported": true,
            "request_uri_parameter_supported": false,
            "require_pushed_authorization_requests": rules.pushed_only,
            "require_signed_request_object": rules.signed_only,
            "authorization_response_iss_parameter_supported": true,
            "id_token_signing_alg_values_supported": [name(rules.id_token)],
            "authorization_signing_alg_values_supported": [name(rules.response)],
            "authorization_details_types_supported": ["account_information"],
            "tls_client_certificate_bound_access_tokens":
                rules.sender_constraint == SenderConstraint::Mtls,
        });
        for (name, place) in BY_CERTIFICATE {
            fields[name] = json!(self.address(place));
        }
        if rules.sender_constraint == SenderConstraint::Dpop {
            fields["dpop_signing_alg_values_supported"] =
                json!(["PS256", "ES256", "ES384", "EdDSA"]);
        }
        let encryptions = [
            ("id_token", rules.id_token_encryption),
            ("authorization", rules.response_encryption),
        ];
        for (name, how) in encryptions {
            if let Some(how) = how {
                fields[format!("{name}_encryption_alg_values_supported")] = json!([how.alg]);
                fields[format!("{name}_encryption_enc_values_supported")] = json!([how.enc]);
            }
        }
        if let Some(algorithm) = rules.userinfo {
            fields["userinfo_signing_alg_values_supported"] = json!([name(algorithm)]);
        }
        if let Some(origin) = &self.tls_origin {
            let aliases = BY_CERTIFICATE.map(|(name, place)| {
                let path = place.path(self.rules.issuer_path);
                (name.to_owned(), json!(format!("{origin}{path}")))
            });
            fields["mtls_endpoint_aliases"] = Value::Object(aliases.into_iter().collect());
        }
        self.spoil_metadata(&mut fields);
        Reply::good(&fields)
    }

    /// The published set of keys.
    pub fn published(&mut self) -> Reply {
        // Those that will be needed are there before they are.
        for algorithm in [self.rules.id_token, self.rules.response] {
            if algorithm != Algorithm::HS256 {
                self.keys.key(algorithm);
            }
        }
        Reply::good(&self.keys.published(&self.knobs))
    }

    fn methods(&self) -> Vec<&'static str> {
        let mut methods: Vec<&str> = self
            .clients
            .values()
            .map(|client| client.authentication.name())
            .collect();
        methods.push(Authentication::PrivateKeyJwt.name());
        methods.sort_unstable();
        methods.dedup();
        methods
    }

    fn spoil_metadata(&self, fields: &mut Value) {
        let elsewhere = |place: Place| {
            let path = place.path("");
            json!(self.elsewhere.join(&path).expect("a path"))
        };
        let set = [
            (
                Metadata::WrongIssuer,
                "issuer",
                Some(json!(format!("{}/", self.issuer()))),
            ),
            (Metadata::EndpointMissing, "token_endpoint", None),
            (
                Metadata::EndpointForeign,
                "token_endpoint",
                Some(elsewhere(Place::Token)),
            ),
            (
                Metadata::EndpointOverHttp,
                "token_endpoint",
                Some(json!("http://bank.example/token")),
            ),
            (
                Metadata::EndpointOfOddScheme,
                "authorization_endpoint",
                Some(json!("javascript:alert(1)//")),
            ),
            (
                Metadata::NoPkceList,
                "code_challenge_methods_supported",
                None,
            ),
            (
                Metadata::PkcePlainOnly,
                "code_challenge_methods_supported",
                Some(json!(["plain"])),
            ),
        ];
        let has = |knob: Metadata| self.knobs.has(knob);
        for (knob, field, value) in set {
            if has(knob) {
                put(fields, field, value);
            }
        }
        if self.knobs.has(Authorize::IssNotAdvertised) {
            put(
                fields,
                "authorization_response_iss_parameter_supported",
                None,
            );
        }
        if has(Metadata::EndpointsMove) && self.metadata_reads > 1 {
            put(
                fields,
                "authorization_endpoint",
                Some(elsewhere(Place::Authorize)),
            );
            put(fields, "jwks_uri", Some(elsewhere(Place::Jwks)));
            for (name, place) in BY_CERTIFICATE {
                put(fields, name, Some(elsewhere(place)));
            }
        }
    }
}

fn put(fields: &mut Value, name: &str, value: Option<Value>) {
    match value {
        Some(value) => fields[name] = value,
        None => drop(fields.as_object_mut().expect("an object").remove(name)),
    }
}
