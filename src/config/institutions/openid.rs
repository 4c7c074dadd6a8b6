//! What an institution file says of ID tokens and UserInfo (OpenID Connect).

use std::collections::BTreeMap;

use crate::config::fault::Refused;
use crate::config::reading::Reading;
use crate::domain::algorithm::{ContentEncryption, Encryption, KeyManagement, SigningAlgorithm};
use crate::domain::institution::{OAuth, OpenId, SubjectSource};

/// Claims that have rules of their own, so that a file cannot bind them to a value.
const RULED: [&str; 12] = [
    "iss",
    "sub",
    "aud",
    "azp",
    "exp",
    "iat",
    "nbf",
    "nonce",
    "auth_time",
    "at_hash",
    "c_hash",
    "s_hash",
];

/// Claims that change, or that somebody else may have one day (OpenID Connect Core section 5.7).
const UNSTABLE: [&str; 10] = [
    "email",
    "email_verified",
    "phone_number",
    "phone_number_verified",
    "name",
    "given_name",
    "family_name",
    "nickname",
    "preferred_username",
    "birthdate",
];

/// The keys, as they are written.
pub struct Written {
    pub id_token_signed: Option<SigningAlgorithm>,
    pub id_token_encrypted_alg: Option<KeyManagement>,
    pub id_token_encrypted_enc: Option<ContentEncryption>,
    pub userinfo_signed: Option<SigningAlgorithm>,
    pub id_token_claims: BTreeMap<String, String>,
}

impl Written {
    /// Reads them.
    pub fn build(self, reading: &Reading<'_>) -> Result<OpenId, Refused> {
        let encrypted = match (self.id_token_encrypted_alg, self.id_token_encrypted_enc) {
            (Some(alg), Some(enc)) => Ok(Some(Encryption { alg, enc })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(reading.invalid(
                "oauth.id_token_encrypted_response_enc",
                "is missing; write \"A256GCM\" or \"A128GCM\", as it is registered at the institution",
            )),
            (None, Some(_)) => Err(reading.invalid(
                "oauth.id_token_encrypted_response_alg",
                "is missing; write \"RSA-OAEP-256\" or \"ECDH-ES\", as it is registered at the institution",
            )),
        };
        for name in self.id_token_claims.keys() {
            if RULED.contains(&name.as_str()) {
                reading.wrong(
                    &format!("oauth.id_token_claims.{name}"),
                    format!("{name} is checked by a rule of its own; remove it"),
                );
            }
        }
        Ok(OpenId {
            id_token_signed_response_alg: self.id_token_signed.unwrap_or(SigningAlgorithm::RS256),
            id_token_encrypted_response: encrypted?,
            userinfo_signed_response_alg: self.userinfo_signed,
            id_token_claims: self.id_token_claims,
        })
    }
}

/// The claim that names the login.
pub fn subject(reading: &Reading<'_>, field: String) -> Result<SubjectSource, Refused> {
    match UNSTABLE.contains(&field.as_str()) {
        false => Ok(SubjectSource::IdToken { field }),
        true => Err(reading.wrong(
            "oauth.subject.field",
            format!("is {field}, which people change and others may have one day; write \"sub\""),
        )),
    }
}

/// What is verified needs something to verify it with.
pub fn check(reading: &Reading<'_>, oauth: &OAuth) {
    let openid = &oauth.openid;
    let id_token = oauth.uses_openid(&oauth.scopes);
    let id_token = id_token.then_some(openid.id_token_signed_response_alg);
    for (because, algorithm) in [
        ("scopes has \"openid\"", id_token),
        (
            "of userinfo_signed_response_alg",
            openid.userinfo_signed_response_alg,
        ),
    ] {
        if let Some(key) = algorithm.and_then(|it| oauth.lacks_to_verify(it)) {
            let problem = format!(
                "is needed because {because}: what is signed is verified with it; add it as the institution publishes it"
            );
            reading.invalid(&format!("oauth.{key}"), problem);
        }
    }
    let is_identified = matches!(oauth.subject, Some(SubjectSource::Identify { .. }));
    if openid.userinfo_signed_response_alg.is_some() && !is_identified {
        reading.invalid(
            "oauth.userinfo_signed_response_alg",
            "is only for [oauth.subject] with from = \"identify\"; remove it",
        );
    }
    let max_age = oauth.authorize_parameters.get("max_age");
    if max_age.is_some_and(|text| text.parse::<u32>().is_err()) {
        reading.wrong(
            "oauth.authorize_parameters.max_age",
            "must be a whole number of seconds, because auth_time is compared with it",
        );
    }
}
