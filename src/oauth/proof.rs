//! How the client proves itself (RFC 6749 section 2.3): written once, for every call that wants it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oauth2::http::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::domain::client::Registration;
use crate::domain::institution::{BasicEncoding, ClientAuthentication, OAuth};

/// The registration has no client secret, and the institution wants one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSecret;

/// What proves who asks, in one call.
pub struct Proof<'a> {
    /// The `client_id`.
    pub id: &'a str,
    /// The client secret; none for a public client.
    pub secret: Option<&'a SecretString>,
    /// The value of `Authorization`, where the two go there instead of into the form.
    basic: Option<HeaderValue>,
}

impl<'a> Proof<'a> {
    /// Of that registration, in the way the institution wants it.
    pub fn of(oauth: &OAuth, registration: &'a Registration) -> Result<Self, NoSecret> {
        let id = registration.client_id.as_str();
        let secret = match oauth.client_authentication {
            ClientAuthentication::None => None,
            ClientAuthentication::ClientSecretBasic(_) | ClientAuthentication::ClientSecretPost => {
                Some(registration.client_secret.as_ref().ok_or(NoSecret)?)
            }
        };
        let basic = match (oauth.client_authentication, secret) {
            (ClientAuthentication::ClientSecretBasic(encoding), Some(secret)) => {
                Some(basic(encoding, id, secret.expose_secret()))
            }
            _ => None,
        };
        Ok(Self { id, secret, basic })
    }

    /// The value of `Authorization`, if the proof goes there.
    pub fn authorization(&self) -> Option<HeaderValue> {
        self.basic.clone()
    }

    /// The form fields, if the proof goes there.
    pub fn fields(&self) -> Vec<(&'static str, &str)> {
        if self.basic.is_some() {
            return Vec::new();
        }
        let secret = self.secret.map(|secret| secret.expose_secret());
        std::iter::once(("client_id", self.id))
            .chain(secret.map(|secret| ("client_secret", secret)))
            .collect()
    }

    /// What of it nobody may see: the client secret, and the Basic value that holds it.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let basic = self.basic.as_ref().and_then(|value| {
            let text = value.to_str().ok()?;
            text.strip_prefix("Basic ")
        });
        let secret = self.secret.map(|secret| secret.expose_secret());
        secret.into_iter().chain(basic)
    }
}

/// HTTP Basic, marked so that nothing prints it.
fn basic(encoding: BasicEncoding, id: &str, secret: &str) -> HeaderValue {
    let encode = |text: &str| match encoding {
        BasicEncoding::Form => byte_serialize(text.as_bytes()).collect(),
        BasicEncoding::Percent => percent(text),
        BasicEncoding::Raw => text.to_owned(),
    };
    let pair = Zeroizing::new(format!("{}:{}", encode(id), encode(secret)));
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair.as_bytes())))
        .expect("Base64 is visible ASCII");
    value.set_sensitive(true);
    value
}

/// Percent-encodes everything but the unreserved characters (RFC 3986 section 2.3).
fn percent(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{oauth, registration};
    use super::*;

    fn sent(encoding: BasicEncoding) -> String {
        let mut oauth = oauth(&"https://bank.example".parse().unwrap());
        oauth.client_authentication = ClientAuthentication::ClientSecretBasic(encoding);
        let mut registration = registration();
        registration.client_id = "id 1".to_owned();
        registration.client_secret = Some(SecretString::from("a:b+c%/é&*~"));
        let proof = Proof::of(&oauth, &registration).ok().unwrap();
        assert_eq!(proof.fields(), []);
        let value = proof.authorization().unwrap();
        assert!(value.is_sensitive());
        let pair = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
        assert!(proof.secrets().any(|secret| secret == pair));
        String::from_utf8(STANDARD.decode(pair).unwrap()).unwrap()
    }

    #[test]
    fn t2_each_way_to_encode_the_basic_pair_is_written_as_it_is_named() {
        let form = "id+1:a%3Ab%2Bc%25%2F%C3%A9%26*%7E";
        let percent = "id%201:a%3Ab%2Bc%25%2F%C3%A9%26%2A~";
        assert_eq!(sent(BasicEncoding::Form), form);
        assert_eq!(sent(BasicEncoding::Percent), percent);
        assert_eq!(sent(BasicEncoding::Raw), "id 1:a:b+c%/é&*~");
    }
}
