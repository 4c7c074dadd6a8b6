//! Why the institution refuses something.

use serde_json::json;

use super::reply::Reply;
use crate::support::behaviour::Honest;

/// What it will not do, and why. The words are for the test that reads them.
#[derive(Clone, Debug)]
pub struct Refusal {
    status: u16,
    /// The `error` of the response.
    pub error: &'static str,
    /// What is wrong, naming the parameter or claim.
    pub why: String,
    headers: Vec<(&'static str, String)>,
}

impl Refusal {
    /// With status 400.
    pub fn new(error: &'static str, why: impl Into<String>) -> Self {
        Self {
            status: 400,
            error,
            why: why.into(),
            headers: Vec::new(),
        }
    }

    /// A request that is not as it must be.
    pub fn request(why: impl Into<String>) -> Self {
        Self::new("invalid_request", why)
    }

    /// A client that did not prove who it is, with status 401.
    pub fn client(why: impl Into<String>) -> Self {
        Self {
            status: 401,
            ..Self::new("invalid_client", why)
        }
    }

    /// A code or refresh token that is worth nothing.
    pub fn grant(why: impl Into<String>) -> Self {
        Self::new("invalid_grant", why)
    }

    /// The same with another status and one more header.
    pub fn with(mut self, status: u16, name: &'static str, value: String) -> Self {
        self.status = status;
        self.headers.push((name, value));
        self
    }

    /// The response (RFC 6749, section 5.2).
    pub fn reply(&self) -> Reply {
        let mut honest = Honest::good(&json!({"error": self.error, "error_description": self.why}));
        honest.status = self.status;
        Reply {
            honest,
            headers: self.headers.clone(),
            instead: None,
        }
    }
}

/// Something granted, or why not.
pub type Judged<T> = Result<T, Refusal>;
