//! Clients with certificates at the strict bank.

use std::time::Duration;

use reqwest::{Certificate, Client, Identity, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use super::client::{CLIENT_ID, REDIRECT_URI, Said, Tried, VERIFIER};
use crate::support::behaviour::json_response;
use crate::support::loopback::Loopback;
use crate::support::strict_bank::tls::thumbprint;
use crate::support::strict_bank::{Authentication, Place, Rules, SenderConstraint};
use crate::support::tls::file;
use crate::support::visitor::http;

fn read(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).expect("a file")
}

fn thumbprint_of(name: &str) -> String {
    thumbprint(&CertificateDer::from_pem_file(file(name)).expect("a certificate"))
}

/// An HTTP client that shows that certificate.
fn showing(certificate: Option<&str>) -> Client {
    let _ = http();
    let builder = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .tls_certs_only([Certificate::from_pem(&read("ca.pem")).expect("an authority")]);
    let builder = match certificate {
        Some(name) => {
            let pem = [read(name), read("key.pem")].concat();
            builder.identity(Identity::from_pem(&pem).expect("a certificate and its key"))
        }
        None => builder,
    };
    builder.build().expect("an HTTP client")
}

async fn exchange(tried: &Tried, by: &Client, code: &str) -> Said {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
        ("client_id", CLIENT_ID),
    ];
    Said::of(by.post(tried.bank.tls_url(Place::Token)).form(&form)).await
}

#[tokio::test]
async fn a_certificate_proves_the_client_and_binds_the_tokens() {
    let rules = Rules {
        is_by_tls: true,
        sender_constraint: SenderConstraint::Mtls,
        ..Rules::default()
    };
    let own = thumbprint_of("good.pem");
    let tried = Tried::by(rules, Authentication::Tls(own.clone())).await;
    let code = tried.code().await;
    let refused = exchange(&tried, &showing(None), &code).await;
    assert!(refused.body.contains("no certificate"), "{}", refused.body);
    let refused = exchange(&tried, &showing(Some("elsewhere.pem")), &code).await;
    assert!(
        refused.status == 401 && refused.body.contains("another"),
        "{}",
        refused.body
    );
    let tokens = exchange(&tried, &showing(Some("good.pem")), &code).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    let token = tokens.text("access_token");
    let known = tried.bank.introspection(token);
    assert_eq!(known["cnf"]["x5t#S256"], json!(own));
    let shown = tried.bank.requests(Place::Token);
    let shown = shown
        .last()
        .and_then(|it| it.certificate.as_deref())
        .map(thumbprint);
    assert_eq!(shown, Some(own));

    let accounts = tried.bank.tls_url(Place::Accounts);
    for (certificate, status) in [
        (Some("good.pem"), 200),
        (Some("elsewhere.pem"), 401),
        (None, 401),
    ] {
        let request = showing(certificate)
            .get(accounts.clone())
            .bearer_auth(token);
        let said = Said::of(request).await;
        assert_eq!(said.status, status, "{certificate:?}: {}", said.body);
    }
    let metadata = Said::of(http().get(tried.bank.url(Place::Metadata))).await;
    let alias = &metadata.json["mtls_endpoint_aliases"]["token_endpoint"];
    assert_eq!(*alias, json!(tried.bank.tls_url(Place::Token)));
    assert_eq!(
        metadata.json["token_endpoint"],
        json!(tried.bank.url(Place::Token))
    );
}

#[tokio::test]
async fn another_host_sees_whether_it_was_shown_one() {
    let answer = |_| async { Ok(json_response(200, "{}".to_owned())) };
    let host = Loopback::start_tls(answer).await;
    for (certificate, was_shown) in [(None, false), (Some("good.pem"), true)] {
        let said = Said::of(showing(certificate).get(host.url("/"))).await;
        assert_eq!(said.status, 200);
        let last = host.requests().pop().expect("a request");
        assert_eq!(last.certificate.is_some(), was_shown);
    }
}
