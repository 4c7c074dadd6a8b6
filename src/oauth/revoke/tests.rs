use super::super::test_support::{at as registered, client, oauth, registration};
use super::*;
use crate::domain::client::Registration;
use crate::domain::client_authentication::{BasicEncoding, ClientAuthentication};
use crate::fake_server::{FakeServer, Reply, Request, json, response};

fn issued(refresh_token: Option<&str>) -> Issued {
    Issued {
        access: vec![SecretString::from("CANARY-access")],
        refresh: refresh_token.into_iter().map(SecretString::from).collect(),
        values: Default::default(),
    }
}

async fn revoke(
    oauth: &OAuth,
    registration: &Registration,
    issued: &Issued,
) -> Result<(), RevokeError> {
    let client = client();
    let scrubber = Scrubber::of(["CANARY-code"]);
    let at = registered(oauth, registration);
    let now = Timestamp::UNIX_EPOCH;
    client.revoke(at, issued, &scrubber, now).await
}

/// Revokes at a server that responds like this; returns the outcome and the token hints that arrived.
async fn at(
    refresh_token: Option<&str>,
    reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Result<(), RevokeError>, Vec<String>) {
    let server = FakeServer::start(reply);
    let bank = oauth(&server.url("/"));
    let outcome = revoke(&bank, &registration(), &issued(refresh_token)).await;
    if let Err(error) = &outcome {
        assert!(!format!("{error} {error:?}").contains("CANARY"));
    }
    (outcome, server.requests().iter().map(hint).collect())
}

fn hint(request: &Request) -> String {
    let form = request.form();
    let (_, value) = form
        .iter()
        .find(|(name, _)| name == "token_type_hint")
        .unwrap();
    value.clone()
}

fn ok(_: &Request) -> Reply {
    response("200 OK", &[("content-encoding", "gzip")], b"anything")
}

#[tokio::test]
async fn k5_the_refresh_token_is_revoked_first() {
    assert_eq!(
        at(Some("CANARY-refresh"), ok).await,
        (
            Ok(()),
            vec!["refresh_token".to_owned(), "access_token".to_owned()]
        )
    );
    assert_eq!(
        at(None, ok).await,
        (Ok(()), vec!["access_token".to_owned()])
    );
}

#[tokio::test]
async fn k5_the_request_proves_who_asks() {
    let server = FakeServer::start(ok);
    let oauth = oauth(&server.url("/"));
    let secret = SecretString::from("a:b+c%/é&");
    let mut registration = registration();
    registration.client_authentication =
        ClientAuthentication::ClientSecretBasic(BasicEncoding::Form, secret.clone());
    let mut expected = vec![
        ("token".to_owned(), "CANARY-access".to_owned()),
        ("token_type_hint".to_owned(), "access_token".to_owned()),
    ];
    revoke(&oauth, &registration, &issued(None)).await.unwrap();
    let request = server.requests().remove(0);
    assert!(request.head.starts_with("POST /revoke HTTP/1.1\r\n"));
    // guichet-1:a%3Ab%2Bc%25%2F%C3%A9%26
    let credentials = "Basic Z3VpY2hldC0xOmElM0FiJTJCYyUyNSUyRiVDMyVBOSUyNg==";
    assert_eq!(request.header("authorization"), Some(credentials));
    assert_eq!(request.form(), expected);

    registration.client_authentication = ClientAuthentication::ClientSecretPost(secret);
    revoke(&oauth, &registration, &issued(None)).await.unwrap();
    let request = server.requests().remove(1);
    assert_eq!(request.header("authorization"), None);
    expected.push(("client_id".to_owned(), "guichet-1".to_owned()));
    expected.push(("client_secret".to_owned(), "a:b+c%/é&".to_owned()));
    assert_eq!(request.form(), expected);

    registration.client_authentication = ClientAuthentication::None;
    revoke(&oauth, &registration, &issued(None)).await.unwrap();
    let request = server.requests().remove(2);
    expected.pop();
    assert_eq!(request.form(), expected);
}

#[tokio::test]
async fn k5_a_failure_is_told_and_does_not_spare_the_other_token() {
    for (status, body, expected) in [
        ("503 A", "", RevokeError::Call(TransportError::Status(503))),
        (
            "302 A",
            "",
            RevokeError::Call(TransportError::Redirected(302)),
        ),
        (
            "400 A",
            r#"{"error":"invalid_client","error_description":"CANARY-refresh CANARY-code\n"}"#,
            RevokeError::Refused(Refusal {
                error: "invalid_client".to_owned(),
                said: r"invalid_client: [secret] [secret]\u{a}".to_owned(),
            }),
        ),
    ] {
        let (outcome, hints) = at(Some("CANARY-refresh"), move |request| {
            match &*hint(request) {
                "refresh_token" => json(status, body),
                _ => ok(request),
            }
        })
        .await;
        assert_eq!(outcome, Err(expected));
        assert_eq!(hints, ["refresh_token", "access_token"]);
    }
}

#[tokio::test]
async fn k5_an_access_token_that_cannot_be_revoked_ends_with_its_refresh_token() {
    let no = |request: &Request| match &*hint(request) {
        "refresh_token" => ok(request),
        _ => json("400 A", r#"{"error":"unsupported_token_type"}"#),
    };
    assert_eq!(at(Some("r"), no).await.0, Ok(()));
    assert_eq!(at(None, no).await.0, Err(RevokeError::UnsupportedTokenType));
}

#[tokio::test]
async fn k5_without_an_endpoint_nothing_is_sent() {
    let server = FakeServer::start(ok);
    let mut oauth = oauth(&server.url("/"));
    oauth.revocation_endpoint = None;
    assert_eq!(
        revoke(&oauth, &registration(), &issued(None)).await,
        Err(RevokeError::NoEndpoint)
    );
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn k5_what_may_still_be_revoked_is_tried_again_though_the_rest_never_can() {
    let reply = |request: &Request| match hint(request).as_str() {
        "refresh_token" => json("400 A", r#"{"error":"unsupported_token_type"}"#),
        _ => response("503 A", &[("retry-after", "7")], b""),
    };
    let outcome = at(Some("CANARY-refresh"), reply).await.0;
    assert!(
        matches!(outcome, Err(RevokeError::Later(wait, _)) if wait == Duration::from_secs(7)),
        "{outcome:?}"
    );
    for (error, is_final) in [
        (RevokeError::NoEndpoint, true),
        (RevokeError::UnsupportedTokenType, true),
        (outcome.unwrap_err(), false),
    ] {
        assert_eq!(error.is_final(), is_final, "{error}");
    }
}
