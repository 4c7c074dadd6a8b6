//! How a client proves itself to an institution (RFC 6749 section 2.3).

use secrecy::SecretString;
use serde::Deserialize;

/// The way an institution wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationMethod {
    /// HTTP Basic.
    ClientSecretBasic(BasicEncoding),
    /// Id and secret in the form.
    ClientSecretPost,
    /// A public client: the id alone.
    None,
}

/// How id and secret are written before they become the Base64 of HTTP Basic. Servers that decode them
/// otherwise refuse every secret with signs in it.
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

/// What one registration proves itself with, in the way its institution wants it. Cannot be printed.
#[derive(Clone)]
pub enum ClientAuthentication {
    /// HTTP Basic, with the client secret.
    ClientSecretBasic(BasicEncoding, SecretString),
    /// The id and this client secret in the form.
    ClientSecretPost(SecretString),
    /// The id alone.
    None,
}

impl ClientAuthentication {
    /// The client secret; none of a public client.
    pub fn client_secret(&self) -> Option<&SecretString> {
        match self {
            Self::ClientSecretBasic(_, secret) | Self::ClientSecretPost(secret) => Some(secret),
            Self::None => None,
        }
    }
}
