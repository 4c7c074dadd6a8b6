//! Back, Forward and Reload, when it is over and before.

use serde_json::{Value, json};

use super::demo::{BANK, Demo};
use crate::support::browser::{Browser, Options};
use crate::support::gateway::{BANK_GUID, Backend, FORM_BANK_GUID, Setup, TestGateway};
use crate::support::redis::Redis;

crate::on_both_stores!(c19_only_the_outcome_stays_in_the_history);

async fn c19_only_the_outcome_stays_in_the_history(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, link) = gateway.member().await;
    let browser = Browser::open(Options::default()).await;
    browser.go("about:blank").await;
    browser.go(&link).await;
    browser.arrives_at("connected").await;
    let outcome = browser.address().await;
    assert!(outcome.path().starts_with("/oauth/result/"), "{outcome}");
    assert_eq!(outcome.query(), None);

    let visited = history(&browser).await;
    assert_eq!(visited.last().map(String::as_str), Some(outcome.as_str()));
    for address in &visited {
        let secret = [
            "code=",
            "state=",
            "redirect_from",
            "predirect_to",
            "authorize",
        ];
        assert!(
            !secret.iter().any(|part| address.contains(part)),
            "{visited:?}"
        );
    }
    let driver = browser.driver();
    driver.refresh().await.expect("a page");
    browser.arrives_at("connected").await;
    driver.back().await.expect("a page before");
    driver.forward().await.expect("a page after");
    browser.arrives_at("connected").await;
    assert_eq!(gateway.bank.hits().token, 1);

    // The callback itself once more, as after a crash of the browser.
    let request = &gateway.bank.token_requests()[0];
    let code = request.field("code").expect("a code");
    let response = gateway.bank.last_response().expect("a response");
    assert!(response.as_str().contains(&code), "{response}");
    browser.go(&response).await;
    browser.arrives_at("connected").await;
    assert_eq!(browser.address().await, outcome);
    assert_eq!(gateway.bank.hits().token, 1);
}

/// Coming from the bank's page, while the store is silent for a moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c15_a_posted_response_is_posted_again_by_the_page_itself() {
    let redis = Redis::start();
    let setup = Setup {
        store: Some(redis.url()),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Redis, setup).await;
    let body = json!({"member": {"institution_guid": FORM_BANK_GUID, "is_oauth": true}});
    let (member, link) = gateway.member_with(body).await;
    let visitor = gateway.visitor();
    let response = gateway.bank.code_for(&gateway.open(&visitor, &link).await);
    let cookie = visitor.cookie_header().expect("a cookie");
    let (name, value) = cookie.split_once('=').expect("a pair");

    let browser = Browser::open(Options::default()).await;
    browser.go(&gateway.at("/nothing")).await;
    let driver = browser.driver();
    let cookie = thirtyfour::Cookie::new(name, value);
    driver.add_cookie(cookie).await.expect("a cookie");
    browser.go("about:blank").await;
    redis.command("CLIENT PAUSE 60000 WRITE");
    let posting = "const [to, pairs] = arguments;
        const form = document.createElement('form');
        form.method = 'post';
        form.action = to;
        for (const [name, value] of pairs) {
            const input = document.createElement('input');
            Object.assign(input, {type: 'hidden', name, value});
            form.append(input);
        }
        document.body.append(form);
        form.submit();";
    let arguments = vec![json!(response.redirect_uri), json!(response.pairs())];
    driver.execute(posting, arguments).await.expect("posted");
    browser.arrives_at("busy").await;
    redis.command("CLIENT UNPAUSE");
    browser.arrives_at("connected").await;
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    let visited = history(&browser).await;
    let code = response.code.as_deref().expect("a code");
    assert!(!visited.iter().any(|it| it.contains(code)), "{visited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decision_30_where_no_app_answers_the_person_is_on_a_page_that_says_how_it_ended() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    for javascript in [true, false] {
        let (member, link) = gateway
            .member_with(json!({
                "member": {"institution_guid": BANK_GUID, "is_oauth": true},
                "referral_source": "APP",
                "ui_message_webview_url_scheme": "com.example.acme",
            }))
            .await;
        let options = Options {
            javascript,
            ..Options::default()
        };
        let browser = Browser::open(options).await;
        browser.go(&link).await;
        browser.arrives_at("connected").await;
        assert!(browser.address().await.path().starts_with("/oauth/result/"));
        let back = browser.find("a[data-action=return]").await;
        let back = back.attr("href").await.expect("a link").unwrap_or_default();
        let expected =
            format!("com.example.acme://oauth_complete?status=success&member_guid={member}");
        assert_eq!(back, expected);
        browser.press("return").await;
        browser.arrives_at("connected").await;
    }
}

async fn history(browser: &Browser) -> Vec<String> {
    let history = browser.devtools("Page.getNavigationHistory").await;
    let entries = history["entries"].as_array().cloned().unwrap_or_default();
    let url = |entry: &Value| entry["url"].as_str().map(str::to_owned);
    entries.iter().filter_map(url).collect()
}

/// Back at the bank, agreeing once more comes to nothing, and the link still shows the outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn back_from_the_outcome_harms_nothing() {
    let demo = Demo::shared(Backend::Sqlite);
    let (member, link) = demo.mint(BANK, Value::Null).await;
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    browser.agree().await;
    browser.arrives_at("connected").await;
    let driver = browser.driver();
    driver.back().await.expect("a page before");
    browser.arrives_at("consent").await;
    driver.forward().await.expect("a page after");
    browser.arrives_at("connected").await;
    driver.back().await.expect("a page before");
    browser.click("body[data-page=consent] #allow").await;
    browser.arrives_at("refusal").await;
    browser.go(&link).await;
    browser.arrives_at("connected").await;
    driver.refresh().await.expect("a page");
    browser.arrives_at("connected").await;
    assert_eq!(demo.state(&member).await["auth_status"], 2);
}

/// Half-way, back to where the link was, and through the link once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn back_from_the_bank_leads_on_again() {
    let demo = Demo::shared(Backend::Sqlite);
    let (member, link) = demo.mint(BANK, Value::Null).await;
    let browser = Browser::open(Options::default()).await;
    browser.go("about:blank").await;
    browser.go(&link).await;
    browser.sign_in("any").await;
    browser.arrives_at("consent").await;
    browser.driver().back().await.expect("a page before");
    browser.go(&link).await;
    browser.arrives_at("resume").await;
    browser.driver().refresh().await.expect("a page");
    browser.arrives_at("resume").await;
    browser.press("continue").await;
    browser.agree().await;
    browser.arrives_at("connected").await;
    assert_eq!(demo.state(&member).await["auth_status"], 2);
}
