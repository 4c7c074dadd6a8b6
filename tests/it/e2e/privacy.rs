//! What a real browser gives away, or does unasked, with a link in its hands.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, header};
use serde_json::json;
use url::Url;

use crate::support::behaviour::response;
use crate::support::browser::{Browser, Options};
use crate::support::gateway::{Backend, Setup, TestGateway};
use crate::support::loopback::{HangUp, Loopback, Recorded};
use crate::support::strict_bank::knobs::Authorize;
use crate::support::strict_bank::{Place, Rules, STRICT_GUID, Strict, StrictBank};
use crate::support::visitor::http;

const LIMIT: Duration = Duration::from_secs(15);

/// The gateway behind a proxy that keeps what was asked, and a page beside it at `/page` which
/// holds `html`. Cookies know no ports, so a browser that claims a link here can return there.
async fn beside(gateway: &TestGateway, html: String) -> Loopback {
    let to = gateway.url.clone();
    Loopback::start(move |request: Recorded| {
        let (to, html) = (to.clone(), html.clone());
        async move {
            match request.path.as_str() {
                "/page" => Ok(response(200, "text/html; charset=utf-8", html)),
                _ => passed_on(&to, request).await.map_err(|_| HangUp),
            }
        }
    })
    .await
}

async fn passed_on(to: &Url, request: Recorded) -> Result<Response<Body>, reqwest::Error> {
    let url = to.join(&request.path).expect("a path");
    let mut headers = request.headers;
    headers.remove(header::HOST);
    let sent = http().request(request.method, url).headers(headers);
    let response = sent.body(request.body).send().await?;
    let mut passed = Response::builder().status(response.status());
    if let Some(headers) = passed.headers_mut() {
        headers.clone_from(response.headers());
        headers.remove(header::TRANSFER_ENCODING);
    }
    let body = response.bytes().await?;
    Ok(passed.body(Body::from(body)).expect("parts of an answer"))
}

fn page(head: &str, body: &str) -> String {
    format!("<!doctype html><html lang=en><title>A page</title>{head}<body>{body}</html>")
}

async fn o3(head: impl Fn(&str) -> String, kind: &str) {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let (member, link) = gateway.member().await;
    let path = link.path().to_owned();
    let anchor = format!("<a id=go href='{path}'>Connect</a>");
    let server = beside(&gateway, page(&head(&path), &anchor)).await;
    let browser = Browser::open(Options::default()).await;
    browser.go(server.url("/page")).await;
    let ahead = |request: &Recorded| {
        let purpose = request.header("sec-purpose").unwrap_or_default();
        request.path == path && purpose.contains(kind)
    };
    server.wait_for(|all| all.iter().any(ahead), LIMIT).await;
    assert_eq!(gateway.bank.hits().authorize, 0);
    assert_eq!(gateway.state(member).await["auth_status"], 1);

    browser.click("#go").await;
    browser.arrives_at("connected").await;
    assert_eq!(gateway.bank.hits().authorize, 1);
    assert_eq!(gateway.state(member).await["auth_status"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o3_a_prefetched_link_is_still_good() {
    o3(
        |link| format!("<link rel=prefetch href='{link}'>"),
        "prefetch",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o3_a_speculatively_prefetched_link_is_still_good() {
    o3(|link| speculation("prefetch", link), "prefetch").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o3_a_prerendered_link_is_still_good() {
    o3(|link| speculation("prerender", link), "prerender").await;
}

fn speculation(kind: &str, link: &str) -> String {
    let rules = serde_json::json!({kind: [{"urls": [link], "eagerness": "immediate"}]});
    format!("<script type=speculationrules>{rules}</script>")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o11_a_framed_link_shows_nothing_and_claims_nothing() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let (_, link) = gateway.member().await;
    let frame = format!("<iframe src='{link}' onload=\"document.title = 'loaded'\"></iframe>");
    let server = beside(&gateway, page("", &frame)).await;
    let mut elsewhere = server.url("/page");
    elsewhere.set_host(Some("localhost")).expect("a host");
    let browser = Browser::open(Options::default()).await;
    browser.go(&elsewhere).await;
    let loaded = async || browser.ask("document.title").await == "loaded";
    browser.wait_until("the frame", loaded).await;
    let driver = browser.driver();
    driver.enter_frame(0).await.expect("a frame");
    assert!(!browser.has("[data-page], [data-action]").await);
    driver.enter_default_frame().await.expect("the page");
    assert_eq!(gateway.bank.hits().authorize, 0);

    browser.go(gateway.at("/oauth/result/x")).await;
    browser.arrives_at("unknown").await;
    let cookies = driver.get_all_cookies().await.expect("the cookies");
    assert!(cookies.is_empty(), "{cookies:?}");
    browser.go(&link).await;
    browser.arrives_at("connected").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o12_the_bank_never_learns_the_link() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let (_, link) = gateway.member().await;
    // As careless as a page can be.
    let head = "<meta name=referrer content=unsafe-url>";
    let anchor = format!("<a id=go href='{link}'>Connect</a>");
    let server = beside(&gateway, page(head, &anchor)).await;
    let browser = Browser::open(Options::default()).await;
    browser.go(server.url("/page")).await;
    browser.click("#go").await;
    browser.arrives_at("connected").await;
    let visits = gateway.bank.authorize_requests();
    assert_eq!(visits.len(), 1);
    assert_eq!(visits[0].headers.get(header::REFERER), None);
    let token = link.path_segments().and_then(Iterator::last);
    let token = token.expect("a token");
    for request in visits.iter().chain(&gateway.bank.token_requests()) {
        let told = format!("{} {:?} {}", request.query, request.headers, request.text());
        assert!(!told.contains(token), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c13_a_response_in_the_fragment_is_not_carried_on() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let (_, link) = gateway.member().await;
    gateway.bank.add_fragment("code=CANARY&state=CANARY");
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    browser.arrives_at("connected").await;
    let landed = browser.address().await;
    assert!(!landed.as_str().contains("CANARY"), "{landed}");
    assert!(
        !browser
            .driver()
            .source()
            .await
            .expect("a page")
            .contains("CANARY")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c13_a_response_in_the_fragment_alone_is_none() {
    let bank = StrictBank::start(Rules::default()).await;
    let setup = Setup {
        strict: Some(Strict::by_secret(&bank)),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let body = json!({"member": {"institution_guid": STRICT_GUID, "is_oauth": true}});
    let (member, link) = gateway.member_with(body).await;
    bank.turn(Authorize::InTheFragment);
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    browser.arrives_at("no-answer").await;
    // It was in the address that the institution sent the browser to.
    assert_eq!(bank.requests(Place::Authorize).len(), 1);
    let landed = browser.address().await;
    assert!(!landed.as_str().contains("code="), "{landed}");
    assert_eq!(bank.requests(Place::Token).len(), 0);
    assert_eq!(gateway.read(member).await["connection_status"], "PENDING");
}
