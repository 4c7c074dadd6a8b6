//! OpenID Connect: which ID token a response must have, and what it says of its tokens.
//!
//! - Where `openid` was asked for, tokens without a valid ID token connect nobody.
//! - A refresh may bring one (OpenID Connect Core section 12.2). It never costs the tokens, which are the newest that there
//!   are; but those of another person are not to be used.

use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::OAuthClient;
use super::attempt::AttemptSecrets;
use super::id_token::{self, Expectations, IdToken, IdTokenError};
use super::registered::Registered;
use super::signed_response::{Protection, SignedResponseError};
use crate::domain::token_set::TokenSet;

impl OAuthClient {
    /// Verifies an ID token that the institution sent, with its keys as they are known or, if none of them fits, as they are
    /// now.
    ///
    /// # Errors
    ///
    /// [`IdTokenError`]; also if the institution's keys cannot be read.
    pub(super) async fn verify_id_token(
        &self,
        at: Registered<'_>,
        token: Option<&str>,
        expected: &Expectations<'_>,
        now: Timestamp,
    ) -> Result<IdToken, IdTokenError> {
        let token = token.ok_or(IdTokenError::Missing)?;
        let openid = &at.oauth.openid;
        let protection = Protection {
            signed: openid.id_token_signed_response_alg,
            encrypted: openid.id_token_encrypted_response,
        };
        let keys = self.keys_for(at, token, protection).await;
        let keys = keys.map_err(SignedResponseError::Keys)?;
        id_token::verify(token, protection, keys.keys(), expected, now)
    }

    /// Judges an ID token that came with refreshed tokens, which were those of the person in `token_set` before.
    ///
    /// # Errors
    ///
    /// [`IdTokenError`]. Whether the new tokens may be used says [`IdTokenError::is_about_others`].
    pub async fn judge_refreshed(
        &self,
        at: Registered<'_>,
        token_set: &TokenSet,
        id_token: &str,
        now: Timestamp,
    ) -> Result<(), IdTokenError> {
        let expected = Expectations {
            at_hash_of: Some(token_set.access_token.expose_secret()),
            ..of_any(at)?
        };
        let refreshed = self.verify_id_token(at, Some(id_token), &expected, now);
        let refreshed = refreshed.await?.person();
        match token_set
            .person
            .is_none_or(|person| person.matches(&refreshed))
        {
            true => Ok(()),
            false => Err(IdTokenError::OtherPerson),
        }
    }
}

/// What an ID token of an authorization must say, whatever it comes with.
///
/// # Errors
///
/// [`IdTokenError::Issuer`]: the institution's file has none.
pub fn of_authorization<'a>(
    at: Registered<'a>,
    secrets: &'a AttemptSecrets,
) -> Result<Expectations<'a>, IdTokenError> {
    Ok(Expectations {
        nonce: Some(secrets.nonce()),
        max_age: at.oauth.max_age(),
        acr_values: at.oauth.acr_values(),
        claims: Some(&at.oauth.openid.id_token_claims),
        ..of_any(at)?
    })
}

fn of_any(at: Registered<'_>) -> Result<Expectations<'_>, IdTokenError> {
    Ok(Expectations {
        issuer: at.oauth.issuer.as_deref().ok_or(IdTokenError::Issuer)?,
        client_id: &at.registration.client_id,
        nonce: None,
        at_hash_of: None,
        c_hash_of: None,
        s_hash_of: None,
        max_age: None,
        acr_values: None,
        claims: None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use secrecy::SecretString;
    use serde_json::{Value, json};

    use super::super::test_support::{at, client, oauth, registration, secrets};
    use super::super::{AuthorizationCode, Authorized, TokenError};
    use super::*;
    use crate::domain::algorithm::SigningAlgorithm;
    use crate::domain::digest::Digest;
    use crate::domain::institution::OAuth;
    use crate::domain::secret::AuthorizationState;
    use crate::fake_server::{FakeServer, json as reply};
    use crate::jose::{Head, SigningKey};

    const NOW: i64 = 1_800_000_000;

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    /// A bank that signs and publishes; what its token response says beside the access token.
    struct Bank {
        key: SigningKey,
        says: Arc<Mutex<Value>>,
        server: FakeServer,
        oauth: OAuth,
        client: OAuthClient,
    }

    impl Bank {
        fn start() -> Self {
            let key = SigningKey::generate(SigningAlgorithm::ES256).unwrap();
            let keys = json!({ "keys": [key.public_jwk()] }).to_string();
            let says = Arc::new(Mutex::new(json!({})));
            let said = says.clone();
            let server =
                FakeServer::start(
                    move |request| match request.head.starts_with("GET /keys ") {
                        true => reply("200 OK", &keys),
                        false => reply("200 OK", &said.lock().unwrap().to_string()),
                    },
                );
            let mut oauth = oauth(&server.url("/"));
            oauth.scopes.push("openid".to_owned());
            oauth.discovery.jwks_uri = Some(server.url("/keys"));
            oauth.openid.id_token_signed_response_alg = SigningAlgorithm::ES256;
            Self {
                key,
                says,
                server,
                oauth,
                client: client(),
            }
        }

        fn id_token(&self, sub: &str) -> String {
            let claims = json!({
                "iss": "https://bank.example", "aud": "guichet-1", "sub": sub,
                "nonce": "n".repeat(43), "iat": NOW, "exp": NOW + 60,
            });
            self.key.sign(Head::Kid, None, &claims).unwrap()
        }

        async fn exchange(&self, says: Value) -> Result<TokenSet, (TokenError, usize)> {
            *self.says.lock().unwrap() = says;
            let authorized = Authorized {
                state: &AuthorizationState::parse(&format!("07{}", "s".repeat(43))).unwrap(),
                code: &AuthorizationCode::parse("CANARY-code").unwrap(),
                id_token: None,
                secrets: &secrets(),
                values: &Default::default(),
            };
            let registration = registration();
            let at = at(&self.oauth, &registration);
            let exchanged = self.client.exchange(at, &authorized, now()).await;
            exchanged
                .map(|exchanged| exchanged.token_set)
                .map_err(|failed| (failed.error, failed.issued.token_sets().len()))
        }
    }

    #[tokio::test]
    async fn i10_with_openid_only_a_valid_id_token_gives_tokens_and_the_others_are_to_be_revoked() {
        let bank = Bank::start();
        let with = |id_token: Value| json!({"access_token": "a", "id_token": id_token});
        let good = bank.exchange(with(json!(bank.id_token("ada")))).await;
        let person = good.ok().and_then(|token_set| token_set.person);
        let other = bank.exchange(with(json!(bank.id_token("eve")))).await;
        assert!(person.is_some() && person != other.ok().and_then(|it| it.person));
        for (id_token, missing) in [
            (json!(null), true),
            (json!(""), true),
            (json!(7), true),
            (json!("never.read.here"), false),
        ] {
            let (error, issued) = bank.exchange(with(id_token)).await.err().unwrap();
            let TokenError::IdToken(error) = error else {
                panic!("{error}");
            };
            assert_eq!((error == IdTokenError::Missing, issued), (missing, 1));
        }
        let keys = bank.server.requests().into_iter();
        let keys = keys.filter(|request| request.head.starts_with("GET /keys "));
        assert_eq!(keys.count(), 1, "they are kept");
    }

    #[tokio::test]
    async fn k4_refreshed_tokens_are_those_of_the_same_person() {
        let bank = Bank::start();
        let set = |person: Option<Digest>| TokenSet {
            access_token: SecretString::from("a"),
            refresh_token: None,
            scope: None,
            expires_at: None,
            consent_expires_at: None,
            values: Default::default(),
            authorization_details: None,
            bound_to: None,
            person,
        };
        let first = json!({"access_token": "a", "id_token": bank.id_token("ada")});
        let ada = bank.exchange(first).await.ok().unwrap().person;
        let registration = registration();
        let at = at(&bank.oauth, &registration);
        for (person, sub, expected) in [
            (ada, "ada", Ok(())),
            (ada, "eve", Err(IdTokenError::OtherPerson)),
            (ada, "", Err(IdTokenError::Subject)),
            (None, "eve", Ok(())),
        ] {
            let (client, token) = (&bank.client, bank.id_token(sub));
            let judged = client
                .judge_refreshed(at, &set(person), &token, now())
                .await;
            let is_about_others = judged.as_ref().is_err_and(IdTokenError::is_about_others);
            assert_eq!(is_about_others, expected.is_err());
            assert_eq!(judged, expected, "{sub}");
        }
        let (stranger, of_ada) = (Bank::start().id_token("ada"), set(ada));
        let judging = bank.client.judge_refreshed(at, &of_ada, &stranger, now());
        assert!(!judging.await.unwrap_err().is_about_others());
    }
}
