//! Client authentication (RFC 6749 section 2.3, RFC 7523 section 2.2), for every call that needs it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use oauth2::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use super::client_assertion::{ASSERTION_TYPE, assertion};
use super::client_keys::ClientKeys;
use super::transport_error::SetupError;
use crate::domain::client::Registration;
use crate::domain::client_authentication::{BasicEncoding, ClientAuthentication};
use crate::domain::random::Random;
use crate::domain::template::percent_encoded;
use crate::jose::SigningKey;

/// The parameters of a request, by their names.
pub type Parameters = Vec<(String, Zeroizing<String>)>;

/// What assertions are made with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// The keys that sign.
    pub keys: &'a ClientKeys,
    /// What makes each of them another one.
    pub random: &'a dyn Random,
    /// What time it is.
    pub now: Timestamp,
}

/// Adds the credentials of the registration's client to a request. They are for this request alone: an assertion is not
/// accepted twice.
///
/// # Errors
///
/// [`SetupError`]: the client has no key to sign with.
pub fn authenticate(
    registration: &Registration,
    means: Means<'_>,
    headers: &mut HeaderMap,
    parameters: &mut Parameters,
) -> Result<(), SetupError> {
    let mut add = |name: &str, value: &str| {
        parameters.push((name.to_owned(), Zeroizing::new(value.to_owned())));
    };
    // The assertion names the client (RFC 7521 section 4.2), so `client_id` is not there a second time.
    let id = registration.client_id.as_str();
    match &registration.client_authentication {
        ClientAuthentication::ClientSecretBasic(encoding, secret) => {
            let basic = format!("Basic {}", *basic(*encoding, id, secret));
            let mut value = HeaderValue::try_from(basic).expect("Base64 is visible ASCII");
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        ClientAuthentication::ClientSecretPost(secret) => {
            add("client_id", id);
            add("client_secret", secret.expose_secret());
        }
        ClientAuthentication::ClientSecretJwt(rules, secret) => {
            let secret = secret.expose_secret().as_bytes();
            let key = SigningKey::from_secret(secret, rules.algorithm)
                .map_err(|error| SetupError(error.to_string()))?;
            add("client_assertion_type", ASSERTION_TYPE);
            let assertion = assertion(id, rules, &key, means.random, means.now)?;
            add("client_assertion", &assertion);
        }
        ClientAuthentication::PrivateKeyJwt(rules) => {
            let keys = means.keys.of(registration)?;
            let missing = || SetupError("the registration has no signing key".to_owned());
            let key = keys.signing(rules.algorithm).ok_or_else(missing)?;
            add("client_assertion_type", ASSERTION_TYPE);
            let assertion = assertion(id, rules, key, means.random, means.now)?;
            add("client_assertion", &assertion);
        }
        ClientAuthentication::Certificate | ClientAuthentication::None => add("client_id", id),
    }
    Ok(())
}

/// Whether the credentials in a form name the client.
pub fn names_client(registration: &Registration) -> bool {
    match &registration.client_authentication {
        ClientAuthentication::ClientSecretPost(_)
        | ClientAuthentication::Certificate
        | ClientAuthentication::None => true,
        ClientAuthentication::ClientSecretBasic(..)
        | ClientAuthentication::ClientSecretJwt(..)
        | ClientAuthentication::PrivateKeyJwt(_) => false,
    }
}

/// The secret parts of it: the client secret, and the Basic value that holds it.
pub fn secrets(registration: &Registration) -> impl Iterator<Item = Zeroizing<String>> {
    let authentication = &registration.client_authentication;
    let secret = authentication.client_secret();
    let secret = secret.map(|secret| Zeroizing::new(secret.expose_secret().to_owned()));
    let basic = match authentication {
        ClientAuthentication::ClientSecretBasic(encoding, secret) => {
            Some(basic(*encoding, &registration.client_id, secret))
        }
        // Assertions are long values, of which nothing is shown anyway.
        ClientAuthentication::ClientSecretPost(_)
        | ClientAuthentication::ClientSecretJwt(..)
        | ClientAuthentication::PrivateKeyJwt(_)
        | ClientAuthentication::Certificate
        | ClientAuthentication::None => None,
    };
    secret.into_iter().chain(basic)
}

/// The Base64 of id and secret, as HTTP Basic wants it.
fn basic(encoding: BasicEncoding, id: &str, secret: &SecretString) -> Zeroizing<String> {
    let encode = |text: &str| match encoding {
        BasicEncoding::Form => byte_serialize(text.as_bytes()).collect(),
        BasicEncoding::Percent => percent_encoded(text).to_string(),
        BasicEncoding::Raw => text.to_owned(),
    };
    let secret = Zeroizing::new(encode(secret.expose_secret()));
    let pair = Zeroizing::new(format!("{}:{}", encode(id), *secret));
    Zeroizing::new(STANDARD.encode(pair.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{Os, registration};
    use super::*;

    fn sent(encoding: BasicEncoding) -> String {
        let mut registration = registration();
        registration.client_id = "id 1".to_owned();
        let secret = SecretString::from("a:b+c%/é&*~");
        registration.client_authentication =
            ClientAuthentication::ClientSecretBasic(encoding, secret);
        let (mut headers, mut parameters) = (HeaderMap::new(), Vec::new());
        let means = Means {
            keys: &ClientKeys::default(),
            random: &Os,
            now: Timestamp::UNIX_EPOCH,
        };
        authenticate(&registration, means, &mut headers, &mut parameters).unwrap();
        assert!(parameters.is_empty());
        let value = &headers[AUTHORIZATION];
        assert!(value.is_sensitive());
        let pair = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
        assert!(secrets(&registration).any(|secret| *secret == pair));
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
