//! What the institution demands and how it answers while it is honest; and whom it knows.

use serde_json::Value;
use url::Url;

use super::jws::Algorithm;

/// The house rules. Honest in every combination.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The path of the issuer identifier, such as `/tenant`; empty for none.
    pub issuer_path: &'static str,
    /// Whether authorization requests must be pushed (RFC 9126).
    pub pushed_only: bool,
    /// Whether authorization requests must be signed (RFC 9101).
    pub signed_only: bool,
    /// The one `response_type` allowed: `code`, or `code id_token` (OpenID Connect Core, section 3.3).
    pub response_type: &'static str,
    /// Whether it can be asked by TLS, too, where clients show certificates (`mtls_endpoint_aliases`).
    pub is_by_tls: bool,
    /// What access tokens are bound to.
    pub sender_constraint: SenderConstraint,
    /// When a nonce is demanded in DPoP proofs.
    pub nonces: Nonces,
    /// How the scheme is written in `WWW-Authenticate` where a proof is wanting; schemes have no case.
    pub challenge_scheme: &'static str,
    /// How ID tokens are signed; `HS256` is by the client's secret.
    pub id_token: Algorithm,
    /// How they are encrypted to the client, if they are.
    pub id_token_encryption: Option<Encryption>,
    /// How authorization responses are signed where a JWT is asked for.
    pub response: Algorithm,
    /// How these are encrypted to the client, if they are.
    pub response_encryption: Option<Encryption>,
    /// How UserInfo is signed; plain JSON if it is not.
    pub userinfo: Option<Algorithm>,
    /// What becomes of a refresh token that was used.
    pub rotation: Rotation,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            issuer_path: "",
            pushed_only: false,
            signed_only: false,
            response_type: "code",
            is_by_tls: false,
            sender_constraint: SenderConstraint::None,
            nonces: Nonces::Never,
            challenge_scheme: "DPoP",
            id_token: Algorithm::ES256,
            id_token_encryption: None,
            response: Algorithm::ES256,
            response_encryption: None,
            userinfo: None,
            rotation: Rotation::Strict,
        }
    }
}

/// What access tokens are bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderConstraint {
    /// Nothing: whoever bears one may use it (RFC 6750).
    None,
    /// A key that is proved with every request (RFC 9449).
    Dpop,
    /// The certificate of the connection (RFC 8705, section 3).
    Mtls,
}

/// When a nonce of the institution's is demanded in DPoP proofs (RFC 9449, section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonces {
    /// Never.
    Never,
    /// Always, and the same one serves for long.
    Always,
    /// Always, and each serves once; every response brings the next.
    Changing,
}

/// What becomes of a refresh token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It stays valid, and no other one is issued.
    Never,
    /// It ends at once; whoever uses it again ends the grant.
    Strict,
    /// It stays valid until its successor is used.
    Grace,
}

/// How something is encrypted (RFC 7518, sections 4 and 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// `RSA-OAEP-256` or `ECDH-ES`.
    pub alg: &'static str,
    /// `A128GCM` or `A256GCM`.
    pub enc: &'static str,
}

/// A client as the institution knows it.
#[derive(Clone, Debug)]
pub struct Client {
    pub client_id: String,
    pub redirect_uri: String,
    pub authentication: Authentication,
    pub keys: ClientKeys,
}

/// How a client proves who it is, and in no other way.
#[derive(Clone, Debug, Default)]
pub enum Authentication {
    /// Not at all.
    None,
    /// `client_secret_basic`.
    Basic(String),
    /// `client_secret_post`.
    Post(String),
    /// `client_secret_jwt`, by HS256 with this secret.
    SecretJwt(String),
    /// `private_key_jwt`, by one of the client's keys.
    #[default]
    PrivateKeyJwt,
    /// A certificate with this thumbprint (`x5t#S256`; RFC 8705, section 2).
    Tls(String),
}

impl Authentication {
    /// Its registered name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic(_) => "client_secret_basic",
            Self::Post(_) => "client_secret_post",
            Self::SecretJwt(_) => "client_secret_jwt",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::Tls(_) => "self_signed_tls_client_auth",
        }
    }

    /// The secret that is shared with the client, if one is.
    pub fn secret(&self) -> Option<&str> {
        match self {
            Self::Basic(secret) | Self::Post(secret) | Self::SecretJwt(secret) => Some(secret),
            Self::None | Self::PrivateKeyJwt | Self::Tls(_) => None,
        }
    }
}

/// The client's public keys.
#[derive(Clone, Debug, Default)]
pub enum ClientKeys {
    /// It has none.
    #[default]
    None,
    /// A set that was handed in (RFC 7517, section 5).
    Inline(Value),
    /// A set that is fetched anew for every request that needs it.
    At(Url),
}
