//! Client authentication at an institution (RFC 6749 section 2.3, RFC 7523 section 2.2).

use secrecy::SecretString;
use serde::Deserialize;

use super::algorithm::SigningAlgorithm;

/// The method that an institution wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthenticationMethod {
    /// HTTP Basic.
    ClientSecretBasic(BasicEncoding),
    /// Id and secret in the form.
    ClientSecretPost,
    /// An assertion under the client secret.
    ClientSecretJwt(AssertionRules),
    /// An assertion by a private key of the client.
    PrivateKeyJwt(AssertionRules),
    /// A certificate of an authority that the institution trusts (RFC 8705 section 2.1).
    TlsClientAuth,
    /// A certificate that the institution knows itself (RFC 8705 section 2.2).
    SelfSignedTlsClientAuth,
    /// A public client: the id alone.
    None,
}

impl AuthenticationMethod {
    /// Its name in metadata (RFC 8414 section 2).
    pub fn name(&self) -> &'static str {
        match self {
            Self::ClientSecretBasic(_) => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::ClientSecretJwt(_) => "client_secret_jwt",
            Self::PrivateKeyJwt(_) => "private_key_jwt",
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
            Self::None => "none",
        }
    }
}

/// How id and secret are encoded before they become the Base64 of HTTP Basic. A server that decodes in
/// another way refuses every secret with characters other than letters and digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BasicEncoding {
    /// Form-encoded, a space as `+`: what RFC 6749 section 2.3.1 says.
    #[default]
    Form,
    /// Percent-encoded, a space as `%20` (RFC 3986 section 2.1).
    Percent,
    /// As they are (RFC 7617).
    Raw,
}

/// How client assertions are made (RFC 7523 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionRules {
    /// What they are signed with.
    pub algorithm: SigningAlgorithm,
    /// Who they are for, as that name is written: `aud`.
    pub audience: String,
}

/// Which name of an authorization server client assertions are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssertionAudience {
    /// Its issuer, which nobody else can have.
    #[default]
    Issuer,
    /// The address of its token endpoint: for one that accepts nothing else.
    TokenEndpoint,
}

/// The credentials of one registration, for its institution's method. Cannot be printed.
#[derive(Clone)]
pub enum ClientAuthentication {
    /// HTTP Basic, with the client secret.
    ClientSecretBasic(BasicEncoding, SecretString),
    /// The id and this client secret in the form.
    ClientSecretPost(SecretString),
    /// An assertion under this client secret.
    ClientSecretJwt(AssertionRules, SecretString),
    /// An assertion by the registration's signing key.
    PrivateKeyJwt(AssertionRules),
    /// The id, beside the certificate that TLS shows (RFC 8705 section 2): that of the registration's files.
    Certificate,
    /// The id alone.
    None,
}

impl ClientAuthentication {
    /// The client secret, if it has one.
    pub fn client_secret(&self) -> Option<&SecretString> {
        match self {
            Self::ClientSecretBasic(_, secret)
            | Self::ClientSecretPost(secret)
            | Self::ClientSecretJwt(_, secret) => Some(secret),
            Self::PrivateKeyJwt(_) | Self::Certificate | Self::None => None,
        }
    }
}
