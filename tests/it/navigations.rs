//! Nobody in a browser gets JSON (`design` decision 31): a navigation gets a page for every path and
//! every failure, a program what the API says.

use crate::support::gateway::{Backend, CLIENT, FORM_BANK, TestGateway};
use crate::support::visitor::Page;

/// How a browser of today navigates, and an old one.
const NAVIGATIONS: [&[(&str, &str)]; 2] = [
    &[
        ("sec-fetch-dest", "document"),
        ("sec-fetch-mode", "navigate"),
        ("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"),
    ],
    &[("accept", "text/html,*/*;q=0.8")],
];

/// Programs, one of which asks for HTML by habit.
const PROGRAMS: [&[(&str, &str)]; 4] = [
    &[],
    &[("accept", "application/json")],
    &[("accept", "text/html, */*"), ("sec-fetch-dest", "empty")],
    &[("accept", "text/html, */*"), ("md-session-token", "x")],
];

fn assert_page(response: &Page, status: u16, name: &str, what: &str) {
    let kind = response.header("content-type");
    assert_eq!(kind, Some("text/html; charset=utf-8"), "{what}");
    assert_eq!(
        (response.status, response.name()),
        (status, Some(name)),
        "{what}"
    );
    assert_eq!(response.header("www-authenticate"), None, "{what}");
    assert_eq!(response.header("cache-control"), Some("no-store"), "{what}");
    let policy = response
        .header("content-security-policy")
        .unwrap_or_default();
    assert!(policy.contains("style-src 'sha256-"), "{what}: {policy}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decision_31_a_person_gets_a_page_at_every_path() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    for (path, name) in [
        ("/", "not-found"),
        ("/nothing", "not-found"),
        ("/OAUTH/result/x", "not-found"),
        ("/Oauth/redirect_from/acme/fake_bank", "not-found"),
        ("/oauth", "not-found"),
        ("/oauth/", "not-found"),
        ("/oauth/result", "not-found"),
        ("/oauth/result/", "not-found"),
        ("//oauth/result/x", "not-found"),
        ("/oauth//result/x", "not-found"),
        ("/oauth/logos/clients/nobody", "not-found"),
        ("/oauth/predirect_to/x", "not-found"),
        ("/oauth/predirect_to/x/y", "unknown"),
        ("/oauth/result/%FF", "unknown"),
        ("/%FF", "not-found"),
        ("/members/%FF", "not-found"),
        ("/members", "not-found"),
        ("/users", "not-found"),
        ("/institutions/x", "not-found"),
    ] {
        let mut address = gateway.url.clone();
        address.set_path(path);
        for headers in NAVIGATIONS {
            let response = gateway.visitor().get_with(&address, headers).await;
            assert_page(&response, 404, name, path);
        }
        if name == "not-found" {
            for headers in PROGRAMS {
                let response = gateway.visitor().get_with(&address, headers).await;
                assert_eq!(response.name(), None, "{path} for {headers:?}");
                assert!((400..500).contains(&response.status), "{path}");
            }
        }
    }
    let program = gateway.visitor().get(&gateway.at("/members")).await;
    assert_eq!(program.status, 401);
    let nowhere = gateway.visitor().get(&gateway.at("/nothing")).await;
    assert_eq!(nowhere.status, 404);
    assert!(nowhere.body.starts_with('{'), "{}", nowhere.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decision_31_what_the_server_itself_refuses_is_a_page_too() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let callback = gateway.at(&format!("/oauth/redirect_from/{CLIENT}/{FORM_BANK}"));
    let result = gateway.at("/oauth/result/x");
    let large = || Some(format!("code={}", "x".repeat(70_000)));
    for headers in NAVIGATIONS {
        let visitor = gateway.visitor();
        let response = visitor.send("POST", &callback, headers, large()).await;
        assert_page(&response, 413, "bad-return", "a large form");
        let response = visitor.send("PUT", &result, headers, None).await;
        assert_page(&response, 405, "not-found", "another method");
        assert!(
            response
                .header("allow")
                .is_some_and(|allow| allow.contains("GET"))
        );
    }
    let response = gateway
        .visitor()
        .send("POST", &callback, &[], large())
        .await;
    assert_eq!((response.status, response.name()), (413, None));
    assert!(response.body.contains("64 kB"), "{}", response.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decision_31_the_callback_path_may_end_with_a_slash() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let (_, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let mut response = gateway.bank.code_for(&request).url();
    response.set_path(&format!("{}/", response.path()));
    let page = visitor.follow(&response).await;
    assert_eq!((page.status, page.name()), (200, Some("connected")));
    assert_eq!(gateway.bank.hits().token, 1);
}
