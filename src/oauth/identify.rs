//! Who signed in, if an institution says so: a field of the token response, a claim of the ID token, or a field of the
//! response to one more call with the new token, such as UserInfo (OpenID Connect Core section 5.3).
//!
//! UserInfo says nothing by itself: where there is an ID token its `sub` must be the same, and where it is registered to be
//! signed nothing else counts.

use jiff::Timestamp;
use secrecy::ExposeSecret;
use url::Url;

use super::OAuthClient;
use super::call::Filling;
use super::id_token::{self, IdToken, IdTokenError};
use super::json::Members;
use super::reason::{self, Meaning};
use super::registered::Registered;
use super::reply::{Refusal, Unfit};
use super::signed_response::{self, Protection, SignedResponseError};
use super::token_endpoint::Exchanged;
use super::transport_error::TransportError;
use crate::domain::algorithm::SigningAlgorithm;
use crate::domain::institution::{OAuth, SubjectSource};
use crate::domain::window::ErrorReason;

/// Why it is not known who signed in, although the institution's file says where to learn it. None of
/// these holds a secret, or the person's login.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifyError {
    /// The call failed.
    #[error("asking who signed in failed: {0}")]
    Call(#[from] TransportError),
    /// The institution refused (RFC 6750 section 3.1).
    #[error("the institution refused to say who signed in: {}", .0.said)]
    Refused(Refusal),
    /// The response does not have the field, or it is empty, or neither text nor a number.
    #[error("the institution does not say who signed in: {0} is missing, empty or of another form")]
    Unnamed(String),
    /// The response is not signed, though that is registered.
    #[error("what the institution says of who signed in is not signed, though that is registered")]
    NotSigned,
    /// The response is a token that cannot be relied on.
    #[error("what the institution says of who signed in is refused: {0}")]
    Untrue(#[from] IdTokenError),
    /// The response is about somebody else than the ID token.
    #[error("sub of who signed in is missing, or is not that of the ID token")]
    OtherPerson,
}

impl IdentifyError {
    /// What it means; the institution's own error map counts for its refusals.
    pub fn meaning(&self, oauth: &OAuth) -> Meaning {
        match self {
            Self::Call(error) => error.meaning(),
            Self::Refused(refusal) => reason::of_call(oauth, &refusal.error),
            Self::Untrue(error) => error.meaning(),
            Self::Unnamed(_) | Self::NotSigned | Self::OtherPerson => {
                Meaning::Reason(ErrorReason::ProviderError)
            }
        }
    }
}

impl OAuthClient {
    /// Who signed in, in the institution's own words; `None`: the institution says it nowhere.
    ///
    /// If this needs a call, it is one (a GET with the access token, unless the institution's file describes
    /// another), within the institution's time limit; only a success with a JSON object counts, or with a signed one where
    /// that is registered. `now` is when the client's assertion is made, if the call has one.
    pub async fn identify(
        &self,
        at: Registered<'_>,
        exchanged: &Exchanged,
        now: Timestamp,
    ) -> Result<Option<String>, IdentifyError> {
        let (subject, field) = match &at.oauth.subject {
            None => return Ok(None),
            Some(SubjectSource::TokenResponse { field }) => (exchanged.subject.clone(), field),
            Some(SubjectSource::IdToken { field }) => {
                let id_token = exchanged.id_token.as_ref();
                (id_token.and_then(|it| it.claim(field)), field)
            }
            Some(SubjectSource::Identify { endpoint, field }) => {
                let said = self.userinfo(at, endpoint, field, exchanged, now).await?;
                let is_other = |it: &IdToken| !id_token::is_text(&said, "sub", it.subject());
                if exchanged.id_token.as_ref().is_some_and(is_other) {
                    return Err(IdentifyError::OtherPerson);
                }
                (said.somebody(field), field)
            }
        };
        subject
            .map(Some)
            .ok_or_else(|| IdentifyError::Unnamed(field.clone()))
    }

    /// What the institution says of the person at that endpoint.
    async fn userinfo(
        &self,
        at: Registered<'_>,
        endpoint: &Url,
        field: &str,
        exchanged: &Exchanged,
        now: Timestamp,
    ) -> Result<Members, IdentifyError> {
        let signed = at.oauth.openid.userinfo_signed_response_alg;
        let tokens = &exchanged.token_set;
        let filling = Filling {
            at,
            own: &[("access_token", tokens.access_token.expose_secret())],
            values: &tokens.values,
        };
        let call = &at.oauth.calls.identify;
        let endpoint = at.userinfo_endpoint(endpoint);
        let asked = self.call(call, Some(endpoint), &[], &filling, now);
        let reply = asked.await?;
        if let Some(calls) = at.calls {
            calls.clean(|text, limit| exchanged.scrubber.shown(text, limit));
        }
        if let (Some(algorithm), Some(token)) = (signed, reply.token()) {
            return Ok(self.signed_userinfo(at, token, algorithm).await?);
        }
        let has_expected = signed.is_none() && reply.members.somebody(field).is_some();
        reply.judge(has_expected).map_err(|unfit| match unfit {
            Unfit::Refused(error) => IdentifyError::Refused(error.scrubbed(&exchanged.scrubber)),
            Unfit::Unusable(error) => error.into(),
        })?;
        match signed {
            None => Ok(reply.members),
            Some(_) => Err(IdentifyError::NotSigned),
        }
    }

    /// What a signed UserInfo response says, which must be the institution's and for the client.
    async fn signed_userinfo(
        &self,
        at: Registered<'_>,
        token: &str,
        signed: SigningAlgorithm,
    ) -> Result<Members, IdTokenError> {
        let protection = Protection {
            signed,
            encrypted: None,
        };
        let issuer = at.oauth.issuer.as_deref().ok_or(IdTokenError::Issuer)?;
        let keys = self.keys_for(at, token, protection).await;
        let keys = keys.map_err(SignedResponseError::Keys)?;
        let claims = signed_response::open(token, protection, keys.keys())?;
        id_token::judge_issuer(&claims, issuer)?;
        id_token::judge_audience(&claims, &at.registration.client_id)?;
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::SecretString;

    use super::super::scrub::Scrubber;
    use super::super::test_support::{at, client, oauth, registration};
    use super::super::transport_error::MediaType;
    use super::*;
    use crate::domain::token_set::TokenSet;
    use crate::fake_server::{FakeServer, Reply, Request, json, response};

    fn exchanged(subject: Option<&str>) -> Exchanged {
        Exchanged {
            fault: None,
            token_set: TokenSet {
                access_token: SecretString::from("CANARY-access"),
                refresh_token: None,
                scope: None,
                expires_at: None,
                consent_expires_at: None,
                values: Default::default(),
                authorization_details: None,
                person: None,
                bound_to: None,
            },
            subject: subject.map(str::to_owned),
            sent_id_token: None,
            id_token: None,
            scrubber: Scrubber::of(["CANARY-access"]),
        }
    }

    /// Asks a server that responds like this; the request that it got, and the outcome.
    async fn asked(
        reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> (Vec<Request>, Result<Option<String>, IdentifyError>) {
        let server = FakeServer::start(reply);
        let mut oauth = oauth(&server.url("/"));
        oauth.timeout = Duration::from_secs(2);
        oauth.subject = Some(SubjectSource::Identify {
            endpoint: server.url("/userinfo"),
            field: "sub".to_owned(),
        });
        let client = client();
        let outcome = client
            .identify(
                at(&oauth, &registration()),
                &exchanged(None),
                Timestamp::UNIX_EPOCH,
            )
            .await;
        if let Err(error) = &outcome {
            let texts = format!("{error} {error:?}");
            assert!(!texts.contains("CANARY"), "{texts}");
        }
        (server.requests(), outcome)
    }

    #[tokio::test]
    async fn one_get_with_the_token_says_who_it_was() {
        let (requests, outcome) = asked(|_| json("200 OK", r#"{"sub":"ada","name":"x"}"#)).await;
        assert_eq!(outcome, Ok(Some("ada".to_owned())));
        let [request] = &requests[..] else {
            panic!("one request");
        };
        assert!(request.head.starts_with("GET /userinfo HTTP/1.1\r\n"));
        assert_eq!(
            request.header("authorization"),
            Some("Bearer CANARY-access")
        );
        assert_eq!(request.header("accept"), Some("application/json"));
        for number in [
            "90071992547409931",
            "123456789012345678901234567890",
            "1.0",
            "-7",
        ] {
            let body = format!(r#"{{"sub":{number}}}"#);
            let (_, outcome) = asked(move |_| json("200 OK", &body)).await;
            assert_eq!(outcome, Ok(Some(number.to_owned())));
        }
    }

    #[tokio::test]
    async fn an_response_that_does_not_name_anybody_is_an_error() {
        for body in [
            r#"{}"#,
            r#"{"sub":""}"#,
            r#"{"sub":"  "}"#,
            r#"{"sub":null}"#,
            r#"{"sub":true}"#,
            r#"{"sub":["ada"]}"#,
            r#"{"user":{"sub":"ada"}}"#,
        ] {
            let (_, outcome) = asked(move |_| json("200 OK", body)).await;
            let expected = IdentifyError::Unnamed("sub".to_owned());
            assert_eq!(outcome, Err(expected), "{body}");
        }
    }

    #[tokio::test]
    async fn only_a_good_json_response_of_its_own_counts() {
        let canary = FakeServer::start(|_| json("200 OK", r#"{"sub":"ada"}"#));
        let target = canary.url("/").to_string();
        let elsewhere = move |_: &Request| response("302 A", &[("location", &target)], b"");
        let (_, outcome) = asked(elsewhere).await;
        let call = |error| Err(IdentifyError::Call(error));
        assert_eq!(outcome, call(TransportError::Redirected(302)));
        assert!(canary.requests().is_empty(), "no redirect is followed");

        for status in ["401 A", "500 A"] {
            let (_, outcome) = asked(move |_| json(status, r#"{"sub":"ada"}"#)).await;
            let number = status[..3].parse().unwrap();
            assert_eq!(outcome, call(TransportError::Status(number)));
        }
        let html = |_: &Request| response("200 OK", &[("content-type", "text/html")], b"{}");
        let (_, outcome) = asked(html).await;
        assert_eq!(outcome, call(TransportError::MediaType(MediaType::Html)));
        let (_, outcome) = asked(|_| json("200 OK", r#"{"sub":"a","sub":"b"}"#)).await;
        assert!(
            matches!(outcome, Err(IdentifyError::Call(TransportError::Json(_)))),
            "{outcome:?}"
        );
        let long = format!(r#"{{"sub":"{}"}}"#, "a".repeat(70_000));
        let (_, outcome) = asked(move |_| json("200 OK", &long)).await;
        assert!(
            matches!(
                outcome,
                Err(IdentifyError::Call(TransportError::TooLong(_)))
            ),
            "{outcome:?}"
        );
        let (_, outcome) = asked(|_| Reply::Silence).await;
        assert!(matches!(
            outcome,
            Err(IdentifyError::Call(TransportError::TimedOut(_)))
        ));
    }

    #[tokio::test]
    async fn the_label_of_a_response_short_of_html_does_not_matter() {
        let body = "\u{feff}{\"sub\":\"ada\"}".as_bytes();
        for headers in [
            &[("content-type", "text/plain; charset=utf-8")][..],
            &[
                ("content-type", "application/json"),
                ("content-encoding", "utf-8"),
            ],
            &[],
        ] {
            let (_, outcome) = asked(move |_| response("200 OK", headers, body)).await;
            assert_eq!(outcome, Ok(Some("ada".to_owned())), "{headers:?}");
        }
    }

    #[tokio::test]
    async fn c10_an_error_has_its_reason_wherever_it_stands() {
        let in_body = r#"{"error":"x_closed","error_description":"CANARY-access is closed"}"#;
        let in_head: &[(&str, &str)] = &[(
            "www-authenticate",
            r#"Bearer realm="a", error="x_closed", error_description="CANARY-access""#,
        )];
        let body = move |status| move |_: &Request| json(status, in_body);
        for (_, outcome) in [
            asked(body("403 A")).await,
            asked(body("200 OK")).await,
            asked(move |_| response("401 A", in_head, b"<p>no")).await,
        ] {
            let error = outcome.unwrap_err();
            assert!(error.to_string().contains("x_closed"), "{error}");
            let mut oauth = oauth(&"https://bank.example".parse().unwrap());
            let provider = Meaning::Reason(ErrorReason::ProviderError);
            assert_eq!(error.meaning(&oauth), provider);
            oauth.error_map = [("x_closed".to_owned(), ErrorReason::Impeded)].into();
            let impeded = Meaning::Reason(ErrorReason::Impeded);
            assert_eq!(error.meaning(&oauth), impeded);
        }
    }

    #[tokio::test]
    async fn plain_http_elsewhere_is_not_asked() {
        let mut oauth = oauth(&"https://bank.example".parse().unwrap());
        oauth.subject = Some(SubjectSource::Identify {
            endpoint: "http://bank.example/userinfo".parse().unwrap(),
            field: "sub".to_owned(),
        });
        let client = client();
        let error = client
            .identify(
                at(&oauth, &registration()),
                &exchanged(None),
                Timestamp::UNIX_EPOCH,
            )
            .await
            .unwrap_err();
        assert_eq!(error, IdentifyError::Call(TransportError::Insecure));
        let expected = Meaning::NotSetUp(reason::SetupFault::Configuration);
        assert_eq!(error.meaning(&oauth), expected);
    }

    #[tokio::test]
    async fn where_no_call_is_needed_none_is_made() {
        let client = client();
        let mut oauth = oauth(&"https://bank.invalid".parse().unwrap());
        let of_response = exchanged(Some("ada"));
        assert_eq!(
            client
                .identify(
                    at(&oauth, &registration()),
                    &of_response,
                    Timestamp::UNIX_EPOCH
                )
                .await,
            Ok(None)
        );
        oauth.subject = Some(SubjectSource::TokenResponse {
            field: "user".to_owned(),
        });
        let ada = Ok(Some("ada".to_owned()));
        assert_eq!(
            client
                .identify(
                    at(&oauth, &registration()),
                    &of_response,
                    Timestamp::UNIX_EPOCH
                )
                .await,
            ada
        );
        assert_eq!(
            client
                .identify(
                    at(&oauth, &registration()),
                    &exchanged(None),
                    Timestamp::UNIX_EPOCH
                )
                .await,
            Err(IdentifyError::Unnamed("user".to_owned()))
        );
    }
}
