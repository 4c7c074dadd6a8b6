//! What the institution says before a test has it say something else.

use axum::body::Body;
use axum::http::{HeaderValue, Response};
use serde_json::Value;

use crate::support::behaviour::{Behaviour, Honest};
use crate::support::loopback::{Answer, Recorded};

/// A response in the making.
pub struct Reply {
    pub honest: Honest,
    /// Headers that go with it whatever becomes of the rest.
    pub headers: Vec<(&'static str, String)>,
    /// What is said in place of JSON: a redirect, a page, a JWT.
    pub instead: Option<Response<Body>>,
}

impl Reply {
    /// JSON with status 200.
    pub fn good(fields: &Value) -> Self {
        Self {
            honest: Honest::good(fields),
            headers: Vec::new(),
            instead: None,
        }
    }

    /// That response, and no JSON.
    pub fn instead(response: Response<Body>) -> Self {
        Self {
            instead: Some(response),
            ..Self::good(&Value::Object(Default::default()))
        }
    }

    /// With one more header.
    pub fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sends it as the behaviour has it.
    pub async fn send(self, behaviour: Behaviour, request: &Recorded) -> Answer {
        let mut response = match (self.instead, behaviour) {
            (Some(response), Behaviour::Honest) => response,
            (_, behaviour) => behaviour.apply(request, self.honest).await?,
        };
        for (name, value) in self.headers {
            let value = HeaderValue::from_str(&value).expect("a header value");
            response.headers_mut().append(name, value);
        }
        Ok(response)
    }
}
