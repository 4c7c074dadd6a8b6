//! Client authentication at an institution (RFC 6749 section 2.3).

use secrecy::SecretString;
use serde::Deserialize;

/// The method that an institution wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationMethod {
    /// HTTP Basic.
    ClientSecretBasic(BasicEncoding),
    /// Id and secret in the form.
    ClientSecretPost,
    /// A certificate of an authority that the institution trusts (RFC 8705 section 2.1).
    TlsClientAuth,
    /// A certificate that the institution knows itself (RFC 8705 section 2.2).
    SelfSignedTlsClientAuth,
    /// A public client: the id alone.
    None,
}

impl AuthenticationMethod {
    /// Its name in metadata (RFC 8414 section 2).
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientSecretBasic(_) => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
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

/// The credentials of one registration, for its institution's method. Cannot be printed.
#[derive(Clone)]
pub enum ClientAuthentication {
    /// HTTP Basic, with the client secret.
    ClientSecretBasic(BasicEncoding, SecretString),
    /// The id and this client secret in the form.
    ClientSecretPost(SecretString),
    /// The id, beside the certificate that TLS shows (RFC 8705 section 2): that of the registration's files.
    Certificate,
    /// The id alone.
    None,
}

impl ClientAuthentication {
    /// The client secret; a public client and one with a certificate have none.
    pub fn client_secret(&self) -> Option<&SecretString> {
        match self {
            Self::ClientSecretBasic(_, secret) | Self::ClientSecretPost(secret) => Some(secret),
            Self::Certificate | Self::None => None,
        }
    }
}
