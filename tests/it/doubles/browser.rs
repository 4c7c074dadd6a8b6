//! The browser, the accessibility checker and the authorization server from elsewhere.

use std::fs;
use std::time::Duration;

use url::Url;

use crate::support::browser::{Browser, Options};
use crate::support::fake_bank::Registration;
use crate::support::interop::InteropProvider;
use crate::support::package_folder;

const PAGE: &str = "data:text/html,<!doctype html><html lang=en><title>A page</title>\
    <main><h1>A page</h1><p id=script>off</p><p id=width></p></main>\
    <script>document.querySelector('%23script').textContent = 'on';\
    document.querySelector('%23width').textContent = innerWidth + ' ' + \
    matchMedia('(prefers-color-scheme: dark)').matches;</script></html>";

#[tokio::test]
async fn a_page_is_shown_and_checked() {
    let browser = Browser::open(Options::default()).await;
    browser.go(PAGE).await;
    assert_eq!(browser.find("#script").await.text().await.unwrap(), "on");
    let violations = browser.axe().await;
    assert!(violations.is_empty(), "{violations:?}");

    browser.go("data:text/html,<img src=x>").await;
    let violations = browser.axe().await;
    let image = violations
        .iter()
        .find(|v| v.id == "image-alt")
        .expect("a finding");
    assert_eq!(image.impact.as_deref(), Some("critical"));
    assert!(image.nodes[0].html.contains("<img"), "{image:?}");
    assert!(!image.help.is_empty());
}

#[tokio::test]
async fn a_dark_phone_is_narrow_and_dark() {
    let options = Options {
        dark: true,
        ..Options::phone()
    };
    let browser = Browser::open(options).await;
    let viewport = "<meta name=viewport content='width=device-width'><title>";
    browser.go(PAGE.replacen("<title>", viewport, 1)).await;
    assert_eq!(
        browser.find("#width").await.text().await.unwrap(),
        "320 true"
    );
}

#[tokio::test]
async fn scripts_can_be_switched_off() {
    let options = Options {
        javascript: false,
        ..Options::default()
    };
    let browser = Browser::open(options).await;
    browser.go(PAGE).await;
    assert_eq!(browser.find("#script").await.text().await.unwrap(), "off");
}

#[tokio::test]
async fn the_server_from_elsewhere_asks_for_login_and_consent() {
    let redirect_uri = "http://127.0.0.1:9/back".to_owned();
    let client = Registration {
        client_id: "app".to_owned(),
        client_secret: Some("s3cret".to_owned()),
        redirect_uri: redirect_uri.clone(),
    };
    let bank = InteropProvider::start(&client, Duration::from_secs(3600));
    let mut request = bank.endpoints.authorization_endpoint.clone();
    request.query_pairs_mut().extend_pairs([
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", &redirect_uri),
        ("scope", "accounts"),
        ("state", "the-state"),
        (
            "code_challenge",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        ),
        ("code_challenge_method", "S256"),
    ]);

    let browser = Browser::open(Options::default()).await;
    browser.go(&request).await;
    browser.type_into("input[name=login]", "ada").await;
    browser.type_into("input[name=password]", "any").await;
    browser.click("button[type=submit]").await;
    browser.find("input[name=prompt][value=consent]").await;
    browser.click("button[type=submit]").await;
    let arrived = async || {
        let url = browser.driver().current_url().await;
        url.is_ok_and(|url| url.as_str().starts_with(&redirect_uri))
    };
    browser.wait_until("the way back", arrived).await;

    let back = browser.driver().current_url().await.unwrap();
    let parameter = |name: &str| {
        let mut pairs = back.query_pairs();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    assert_eq!(parameter("state").as_deref(), Some("the-state"));
    assert_eq!(parameter("iss"), Some(bank.endpoints.issuer.clone()));

    let tokens = exchange(&bank, &parameter("code").expect("a code"), &redirect_uri).await;
    let access_token = tokens["access_token"].as_str().expect("an access token");
    let revoked = form(
        &bank.endpoints.revocation_endpoint,
        &[("token", access_token)],
    )
    .await;
    assert_eq!(revoked.status(), 200);
    let userinfo = reqwest::Client::builder().no_proxy().build().unwrap();
    let userinfo = userinfo.get(bank.endpoints.userinfo_endpoint.clone());
    let refused = userinfo.bearer_auth(access_token).send().await.unwrap();
    assert_eq!(refused.status(), 401);
}

async fn exchange(bank: &InteropProvider, code: &str, redirect_uri: &str) -> serde_json::Value {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
        (
            "code_verifier",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
    ];
    let response = form(&bank.endpoints.token_endpoint, &fields).await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

async fn form(url: &Url, fields: &[(&str, &str)]) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(url.clone()).basic_auth("app", Some("s3cret"));
    request.form(fields).send().await.unwrap()
}

#[tokio::test]
async fn a_failing_test_leaves_a_picture_of_the_page() {
    let failing = tokio::spawn(async {
        let browser = Browser::open(Options::default()).await;
        browser.go(PAGE).await;
        panic!("on purpose");
    });
    assert!(failing.await.unwrap_err().is_panic());
    let name = "doubles-browser-a_failing_test_leaves_a_picture_of_the_page.png";
    let picture = package_folder().join("tests/artifacts").join(name);
    let bytes = fs::read(&picture).expect("a picture");
    fs::remove_file(&picture).expect("it can go again");
    assert!(bytes.starts_with(b"\x89PNG"), "{} bytes", bytes.len());
}
