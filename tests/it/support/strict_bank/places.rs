//! Where the institution can be asked, and how.

use axum::http::Method;

use crate::support::loopback::Recorded;

/// An endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The metadata, at the locations of RFC 8414 (section 3) and of OpenID Connect Discovery (section 4).
    Metadata,
    Jwks,
    /// Pushed authorization requests.
    Par,
    Authorize,
    Token,
    Revoke,
    UserInfo,
    /// A resource.
    Accounts,
}

impl Place {
    /// Each of them.
    const ALL: [Self; 8] = [
        Self::Metadata,
        Self::Jwks,
        Self::Par,
        Self::Authorize,
        Self::Token,
        Self::Revoke,
        Self::UserInfo,
        Self::Accounts,
    ];

    /// Its path, where the issuer identifier has that one.
    pub fn path(self, issuer_path: &str) -> String {
        let name = match self {
            Self::Metadata => {
                return format!("/.well-known/oauth-authorization-server{issuer_path}");
            }
            Self::Jwks => "jwks",
            Self::Par => "par",
            Self::Authorize => "authorize",
            Self::Token => "token",
            Self::Revoke => "revoke",
            Self::UserInfo => "userinfo",
            Self::Accounts => "accounts",
        };
        format!("{issuer_path}/{name}")
    }

    /// The path of the metadata by OpenID Connect Discovery.
    pub fn openid_configuration(issuer_path: &str) -> String {
        format!("{issuer_path}/.well-known/openid-configuration")
    }

    /// The place that a request is for.
    pub fn of(path: &str, issuer_path: &str) -> Option<Self> {
        if path == Self::openid_configuration(issuer_path) {
            return Some(Self::Metadata);
        }
        Self::ALL
            .into_iter()
            .find(|it| it.path(issuer_path) == path)
    }

    /// Whether it may be asked by that method.
    pub fn takes(self, request: &Recorded) -> bool {
        let by = &request.method;
        match self {
            Self::Par | Self::Token | Self::Revoke => by == Method::POST,
            Self::Authorize | Self::UserInfo => by == Method::GET || by == Method::POST,
            Self::Metadata | Self::Jwks | Self::Accounts => by == Method::GET,
        }
    }
}
