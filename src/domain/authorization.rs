//! How authorization is asked for at an institution, and how its responses come.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::algorithm::{Encryption, SigningAlgorithm};

/// How authorization is asked for, and how the responses are signed.
#[derive(Clone, Debug)]
pub struct AuthorizationRules {
    /// What the response brings.
    pub response_type: ResponseType,
    /// Where requests are pushed before the browser leaves (RFC 9126); `None`: they are not.
    pub pushed_to: Option<Url>,
    /// What access is asked for in detail (RFC 9396 section 2): objects, each with a `type`. They are never in an address.
    pub details: Vec<Value>,
    /// Whether people sign in or agree anew (OpenID Connect Core section 3.1.2.1).
    pub prompt: Option<String>,
    /// How long ago people may have signed in, in seconds.
    pub max_age: Option<u32>,
    /// How people are to sign in, the most wanted way first, separated by spaces.
    pub acr_values: Option<String>,
    /// Which claims are asked for (OpenID Connect Core section 5.5): an object.
    pub claims: Option<Value>,
    /// Who is about to sign in.
    pub login_hint: Option<String>,
    /// What responses that are JWTs are signed with (JARM section 3).
    pub signed_response: SigningAlgorithm,
    /// How those are encrypted as well; `None`: they are not, and one that is counts as no response.
    pub encrypted_response: Option<Encryption>,
}

impl Default for AuthorizationRules {
    /// A code, asked for in the address.
    fn default() -> Self {
        Self {
            response_type: ResponseType::Code,
            pushed_to: None,
            details: Vec::new(),
            prompt: None,
            max_age: None,
            acr_values: None,
            claims: None,
            login_hint: None,
            // The default of JARM section 3.
            signed_response: SigningAlgorithm::RS256,
            encrypted_response: None,
        }
    }
}

/// What an authorization response brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResponseType {
    /// A code (RFC 6749 section 4.1.1).
    #[default]
    #[serde(rename = "code")]
    Code,
    /// A code, and an ID token that vouches for it (OpenID Connect Core section 3.3, FAPI 1.0 Advanced section 5.2.2).
    #[serde(rename = "code id_token")]
    CodeIdToken,
}

impl ResponseType {
    /// As it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::CodeIdToken => "code id_token",
        }
    }
}

/// How the authorization response is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResponseMode {
    /// In the query of a GET.
    #[default]
    #[serde(rename = "query")]
    Query,
    /// In the body of a POST (OAuth 2.0 Form Post Response Mode).
    #[serde(rename = "form_post")]
    FormPost,
    /// As one signed JWT in the query of a GET (JARM section 2.3.1).
    #[serde(rename = "query.jwt")]
    QueryJwt,
    /// As one signed JWT in the body of a POST (JARM section 2.3.3).
    #[serde(rename = "form_post.jwt")]
    FormPostJwt,
}

impl ResponseMode {
    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::FormPost => "form_post",
            Self::QueryJwt => "query.jwt",
            Self::FormPostJwt => "form_post.jwt",
        }
    }

    /// Whether it comes by POST.
    pub fn is_posted(self) -> bool {
        matches!(self, Self::FormPost | Self::FormPostJwt)
    }

    /// Whether it is a JWT.
    pub fn is_jwt(self) -> bool {
        matches!(self, Self::QueryJwt | Self::FormPostJwt)
    }
}
