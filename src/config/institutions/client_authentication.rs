//! How clients authenticate, in `[oauth]` of an institution file.

use serde::Deserialize;
use url::Url;

use crate::config::fault::Refused;
use crate::config::reading::Reading;
use crate::domain::algorithm::SigningAlgorithm;
use crate::domain::client_authentication::{
    AssertionAudience, AssertionRules, AuthenticationMethod, BasicEncoding,
};

/// The method's registered name.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    ClientSecretBasic,
    ClientSecretPost,
    ClientSecretJwt,
    PrivateKeyJwt,
    TlsClientAuth,
    SelfSignedTlsClientAuth,
    None,
}

impl Name {
    /// Whether clients have a secret.
    pub fn has_secret(self) -> bool {
        match self {
            Self::ClientSecretBasic | Self::ClientSecretPost | Self::ClientSecretJwt => true,
            Self::PrivateKeyJwt
            | Self::TlsClientAuth
            | Self::SelfSignedTlsClientAuth
            | Self::None => false,
        }
    }
}

/// The keys that belong together.
pub struct Written<'a> {
    /// `client_authentication`
    pub name: Name,
    /// `basic_encoding`
    pub basic_encoding: Option<BasicEncoding>,
    /// `client_assertion_signing_alg`
    pub algorithm: Option<SigningAlgorithm>,
    /// `client_assertion_audience`
    pub audience: Option<AssertionAudience>,
    /// `issuer`
    pub issuer: Option<&'a str>,
    /// `token_endpoint`
    pub token_endpoint: &'a Url,
}

/// The method.
pub fn build(reading: &Reading<'_>, written: Written<'_>) -> Result<AuthenticationMethod, Refused> {
    let is_basic = written.name == Name::ClientSecretBasic;
    if written.basic_encoding.is_some() && !is_basic {
        return Err(reading.invalid(
            "oauth.basic_encoding",
            "is only for client_authentication = \"client_secret_basic\"; remove it",
        ));
    }
    match written.name {
        Name::ClientSecretJwt => {
            let rules = assertions(reading, &written, SigningAlgorithm::HS256)?;
            if !rules.algorithm.is_symmetric() {
                let problem = "is for private keys, and \"client_secret_jwt\" signs with the client secret; write \
                     \"HS256\", \"HS384\" or \"HS512\", or client_authentication = \"private_key_jwt\"";
                return Err(reading.invalid("oauth.client_assertion_signing_alg", problem));
            }
            Ok(AuthenticationMethod::ClientSecretJwt(rules))
        }
        Name::PrivateKeyJwt => {
            let rules = assertions(reading, &written, SigningAlgorithm::PS256)?;
            check_is_own_key(
                reading,
                "oauth.client_assertion_signing_alg",
                rules.algorithm,
            );
            Ok(AuthenticationMethod::PrivateKeyJwt(rules))
        }
        name => {
            let unused = [
                (
                    "oauth.client_assertion_signing_alg",
                    written.algorithm.is_some(),
                ),
                (
                    "oauth.client_assertion_audience",
                    written.audience.is_some(),
                ),
            ];
            if let Some((key, _)) = unused.into_iter().find(|(_, is_written)| *is_written) {
                return Err(reading.invalid(
                    key,
                    "is only for client_authentication = \"client_secret_jwt\" or \"private_key_jwt\"; remove it",
                ));
            }
            Ok(match name {
                Name::ClientSecretPost => AuthenticationMethod::ClientSecretPost,
                Name::TlsClientAuth => AuthenticationMethod::TlsClientAuth,
                Name::SelfSignedTlsClientAuth => AuthenticationMethod::SelfSignedTlsClientAuth,
                Name::None => AuthenticationMethod::None,
                _ => AuthenticationMethod::ClientSecretBasic(
                    written.basic_encoding.unwrap_or_default(),
                ),
            })
        }
    }
}

fn assertions(
    reading: &Reading<'_>,
    written: &Written<'_>,
    usual: SigningAlgorithm,
) -> Result<AssertionRules, Refused> {
    let audience = match (written.audience.unwrap_or_default(), written.issuer) {
        (AssertionAudience::Issuer, Some(issuer)) => issuer.to_owned(),
        (AssertionAudience::Issuer, None) => {
            return Err(reading.missing(
                "oauth.issuer",
                "is needed, because client assertions are for the issuer; add the institution's issuer, or write \
                 client_assertion_audience = \"token_endpoint\" if it accepts only that",
            ));
        }
        (AssertionAudience::TokenEndpoint, _) => written.token_endpoint.to_string(),
    };
    Ok(AssertionRules {
        algorithm: written.algorithm.unwrap_or(usual),
        audience,
    })
}

/// Refuses an algorithm of which the institution has the key as well.
pub fn check_is_own_key(reading: &Reading<'_>, key: &str, algorithm: SigningAlgorithm) {
    if algorithm.is_symmetric() {
        reading.invalid(
            key,
            "is for shared secrets, and this is signed with a private key; write \"PS256\", \"ES256\" or \"EdDSA\"",
        );
    }
}
