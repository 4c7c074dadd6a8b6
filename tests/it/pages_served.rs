//! What every response has and no page lets through (`security` P1-P3 and section 5).

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use guichet::domain::id::AttemptId;
use serde_json::json;
use url::Url;

use crate::support::gateway::{BANK_GUID, Backend, Setup, TestGateway};
use crate::support::random_token;
use crate::support::visitor::{Page, Visitor};

const BASELINE: [(&str, &str); 6] = [
    (
        "strict-transport-security",
        "max-age=63072000; includeSubDomains",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "DENY"),
];

const NOTHING_AT_ALL: &str = "default-src 'none'; frame-ancestors 'none'";

/// Checks the headers of a response and, of a page, what they say about it.
fn check_headers(response: &Page, what: &str) {
    for (name, value) in BASELINE {
        assert_eq!(response.header(name), Some(value), "{what}: {name}");
    }
    let permissions = response.header("permissions-policy").unwrap_or_default();
    for shut in [
        "camera=()",
        "microphone=()",
        "geolocation=()",
        "payment=()",
        "usb=()",
    ] {
        assert!(permissions.contains(shut), "{what}: {permissions}");
    }
    for name in response.headers.keys().map(|name| name.as_str()) {
        let talkative =
            name == "server" || name.starts_with("x-powered") || name.starts_with("access-control");
        assert!(!talkative, "{what}: {name}");
    }
    let policy = response
        .header("content-security-policy")
        .expect("a policy");
    if response.name().is_some() {
        check_page(response, policy, what);
    } else if !response.body.is_empty() {
        assert_eq!(policy, NOTHING_AT_ALL, "{what}");
        assert!(
            response.header("cross-origin-opener-policy").is_none(),
            "{what}"
        );
    }
    if !response.body.is_empty() {
        let kind = response.header("content-type").unwrap_or_default();
        assert!(
            kind.starts_with("application/") || kind.contains("charset=utf-8"),
            "{what}: {kind}"
        );
    }
}

fn check_page(page: &Page, policy: &str, what: &str) {
    for rule in [
        "default-src 'none'",
        "img-src 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "form-action 'self' https:",
    ] {
        assert!(policy.contains(rule), "{what}: {policy}");
    }
    assert!(
        !policy.contains("unsafe") && !policy.contains('*'),
        "{what}: {policy}"
    );
    // The style and the script that are there are the ones that are allowed.
    for kind in ["style", "script"] {
        let rule = policy
            .split("; ")
            .find(|rule| rule.starts_with(&format!("{kind}-src ")));
        let inside: Vec<&str> = page
            .body
            .split(&format!("<{kind}>"))
            .skip(1)
            .filter_map(|rest| rest.split(&format!("</{kind}>")).next())
            .collect();
        assert_eq!(rule.is_some(), !inside.is_empty(), "{what}: {policy}");
        for text in inside {
            let hash = STANDARD.encode(digest(&SHA256, text.as_bytes()));
            let allowed = format!("'sha256-{hash}'");
            assert!(
                rule.is_some_and(|rule| rule.contains(&allowed)),
                "{what}: {kind}"
            );
        }
    }
    let tells = page.body.contains("data-origins=");
    // The flow goes on from these in the same window, to a page that tells.
    let is_on_the_way = matches!(page.name(), Some("no-answer" | "connecting" | "busy"));
    let opener = match tells || is_on_the_way {
        true => "unsafe-none",
        false => "same-origin",
    };
    assert_eq!(
        page.header("cross-origin-opener-policy"),
        Some(opener),
        "{what}"
    );
    assert_eq!(
        tells,
        page.body.contains("<script>"),
        "{what}: a script only where it has work"
    );
    // Nothing is loaded from anywhere, and no event handler is there to be run.
    for attribute in ["src=\"", "<link rel=\"icon\" href=\"", "url("] {
        for rest in page.body.split(attribute).skip(1) {
            assert!(
                rest.starts_with("/oauth/logos/"),
                "{what}: {attribute}{:.60}",
                rest
            );
        }
    }
}

/// Every page a browser can come to, each with its name; the first is the link's own.
async fn tour(gateway: &TestGateway) -> Vec<(&'static str, Page)> {
    let body = |policy: &str| json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}, "open_policy": policy});
    let mut seen = Vec::new();
    let (_, mailed) = gateway.member_with(body("interstitial")).await;
    seen.push(("interstitial", gateway.visitor().get(&mailed).await));

    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let image = [("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")];
    seen.push(("preview", visitor.get_with(&link, &image).await));
    seen.push((
        "preview",
        visitor
            .get_with(&link, &[("sec-purpose", "prefetch")])
            .await,
    ));
    let opened = visitor.get(&link).await;
    let request = opened.location().expect("a location");
    seen.push(("", opened));
    seen.push(("resume", visitor.get(&link).await));
    seen.push(("used", gateway.visitor().get(&link).await));
    let mut empty = gateway.bank.code_for(&request).redirect_uri;
    empty.set_query(None);
    seen.push(("no-answer", visitor.follow(&empty).await));
    for (error, name) in [
        ("access_denied", "cancelled"),
        ("login_required", ""),
        ("temporarily_unavailable", "provider-error"),
    ] {
        let (_, link) = gateway.member().await;
        let visitor = gateway.visitor();
        let request = gateway.open(&visitor, &link).await;
        let refusal = gateway
            .bank
            .refusal_for(&request, error, "<script>alert(1)</script>");
        let page = visitor.follow(&refusal.url()).await;
        if name.is_empty() {
            assert!(page.name().is_some());
        } else {
            seen.push((name, page));
        }
    }
    let callback = gateway.bank.code_for(&request).url();
    let answered = visitor.get(&callback).await;
    let result = answered.location().expect("a location");
    seen.push(("", answered));
    seen.push(("connected", visitor.get(&result).await));
    seen.push(("wrong-browser", gateway.visitor().get(&result).await));
    let (_, link) = gateway.member().await;
    gateway
        .clock
        .advance(std::time::Duration::from_secs(10 * 60));
    seen.push(("expired", gateway.visitor().get(&link).await));
    let path = format!("/members/{member}/oauth_window_uri");
    let (_, minted) = gateway.nexus("GET", &path, None).await;
    gateway.nexus("GET", &path, None).await;
    let old = minted["member"]["oauth_window_uri"]
        .as_str()
        .expect("a link");
    let old: Url = old.parse().expect("a URL");
    seen.push(("superseded", gateway.visitor().get(&old).await));
    let unknown = gateway.at(&format!("/oauth/predirect_to/{member}/{}", random_token()));
    seen.push(("unknown", gateway.visitor().get(&unknown).await));
    let forged = gateway.at("/oauth/redirect_from/acme/fake_bank?state=x&code=y");
    seen.push(("bad-return", gateway.visitor().get(&forged).await));
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_every_page_has_its_headers() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    for (name, page) in tour(&gateway).await {
        if !name.is_empty() {
            assert_eq!(page.name(), Some(name), "{}", page.body);
        }
        check_headers(&page, name);
        assert!(
            page.body.len() < 14 * 1024,
            "{name} weighs {}",
            page.body.len()
        );
        // Loopback is plain http, so the way to the bank has to be allowed by name (decision 10).
        let policy = page.header("content-security-policy").unwrap_or_default();
        let bank = gateway.bank.issuer();
        let leads_there = matches!(name, "interstitial" | "resume") || page.form().is_some();
        assert_eq!(
            policy.contains(&bank),
            leads_there || name == "connected",
            "{name}: {policy}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_every_route_and_every_error_has_the_baseline() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let (member, _) = gateway.member().await;
    let user = gateway.user;
    let routes = [
        "/".to_owned(),
        "/nowhere".to_owned(),
        "/oauth".to_owned(),
        format!("/oauth/predirect_to/{member}/x"),
        format!("/oauth/predirect_to/{member}/%ff"),
        "/oauth/redirect_from/acme/fake_bank".to_owned(),
        "/oauth/redirect_from/%ff/%ff".to_owned(),
        "/oauth/result/x".to_owned(),
        "/oauth/result/%ff".to_owned(),
        "/oauth/logos/clients/acme".to_owned(),
        "/oauth/logos/institutions/nobody".to_owned(),
        "/acme/users/user-1/api_token".to_owned(),
        "/acme/users/user-1/api_token.json".to_owned(),
        "/acme/users/user-1/sessions".to_owned(),
        "/sessions".to_owned(),
        "/members".to_owned(),
        format!("/members/{member}"),
        "/members/x".to_owned(),
        "/members/%ff".to_owned(),
        format!("/members/{member}/oauth_window_uri"),
        "/users".to_owned(),
        format!("/users/{user}"),
        format!("/users/{user}/members"),
        format!("/users/{user}/members/{member}"),
        format!("/users/{user}/members/{member}/oauth_window_uri"),
        "/oauth_states".to_owned(),
        "/oauth_states/x".to_owned(),
        "/aggregation/jobs/x/lease".to_owned(),
        "/aggregation/jobs/x/report".to_owned(),
    ];
    let session = [("md-session-token", gateway.session.as_str())];
    let long = "x".repeat(70 * 1024);
    for route in &routes {
        let url = gateway.at(route);
        for headers in [&[][..], &session, &[("authorization", "Basic eDp5")]] {
            for method in ["GET", "HEAD", "OPTIONS", "PUT", "POST"] {
                let response = Visitor::new().send(method, &url, headers, None).await;
                check_headers(&response, &format!("{method} {route} {headers:?}"));
            }
        }
        let response = Visitor::new()
            .send("POST", &url, &session, Some(long.clone()))
            .await;
        check_headers(&response, &format!("a long POST to {route}"));
    }
}

/// What a template would make of 31337*31337: too long for a port, a status or a time of day.
const PRODUCT: &str = "982007569";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_names_cannot_become_markup() {
    for evil in [
        "<script>alert(1)</script>",
        "\\\"><img src=x onerror=alert(1)>",
        "' onmouseover='alert(1)",
        "</title></style><svg/onload=alert(1)>",
        "{{31337*31337}}${31337*31337}{$app}",
    ] {
        let bank = format!("name = \"{evil}\"").leak();
        let app = format!("name = \"A{evil}\"").leak();
        let setup = Setup {
            swaps: vec![
                ("name = \"Fake Bank\"", bank),
                ("name = \"Acme Budget\"", app),
            ],
            ..Setup::default()
        };
        let plain = TestGateway::start(Backend::Sqlite).await;
        let gateway = TestGateway::with(Backend::Sqlite, setup).await;
        let harmless = tour(&plain).await;
        for ((name, page), (_, expected)) in tour(&gateway).await.into_iter().zip(harmless) {
            check_headers(&page, name);
            assert_eq!(
                tags(&page.body),
                tags(&expected.body),
                "{evil} on {name}: {}",
                page.body
            );
            assert!(
                !page.body.contains(PRODUCT),
                "a template was run: {}",
                page.body
            );
        }
    }
}

/// The names of a document's tags, in order.
fn tags(html: &str) -> Vec<&str> {
    let name =
        |piece: &'_ str| piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '/' && c != '!');
    html.split('<')
        .skip(1)
        .map(|piece| &piece[..name(piece).unwrap_or(piece.len())])
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_cookies_are_bound_short_lived_and_few() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let visitor = gateway.visitor();
    for turn in 0..12 {
        let (_, link) = gateway.member().await;
        let opened = visitor.get(&link).await;
        let cookies = opened.cookies();
        let (name, rest) = cookies[0].split_once('=').expect("a pair");
        assert!(name.starts_with("ow.") && name.len() == 15, "{name}");
        let mut parts = rest.split("; ");
        let value = parts.next().and_then(|value| value.split_once('.'));
        let (attempt, secret) = value.expect("an attempt and a secret");
        assert!(attempt.parse::<AttemptId>().is_ok(), "{rest}");
        assert_eq!(attempt.get(..12), name.strip_prefix("ow."));
        assert_eq!(secret.len(), 43, "{rest}");
        let mut attributes: Vec<&str> = parts.collect();
        attributes.sort_unstable();
        let life = attributes.remove(1).strip_prefix("Max-Age=");
        let life: u32 = life.and_then(|life| life.parse().ok()).expect("a life");
        // The attempt's 15 minutes, and 15 more, for which trying again is offered after its deadline.
        assert!((1_795..=1_800).contains(&life), "{life} seconds");
        assert_eq!(attributes, ["HttpOnly", "Path=/", "SameSite=Lax"]);
        let held = visitor
            .cookie_header()
            .expect("cookies")
            .split("; ")
            .count();
        assert_eq!(held, (turn + 1).min(10), "after {turn} more links");
        if turn == 11 {
            let request = opened.location().expect("a location");
            let page = visitor.follow(&gateway.bank.code_for(&request).url()).await;
            assert_eq!(
                page.name(),
                Some("connected"),
                "the newest is among them: {}",
                page.body
            );
            assert!(
                page.cookies().is_empty(),
                "nothing but the outcome is left to it"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_on_https_every_cookie_is_of_this_host_alone_and_secure() {
    let setup = Setup {
        swaps: vec![("public_url = \"http:", "public_url = \"https:")],
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    for policy in ["single", "interstitial"] {
        let body = json!({
            "member": {"institution_guid": BANK_GUID, "is_oauth": true},
            "open_policy": policy,
        });
        let (_, mut link) = gateway.member_with(body).await;
        assert_eq!(link.scheme(), "https");
        // A proxy in front would end TLS and send the request here.
        link.set_scheme("http").expect("a scheme of the web");
        let cookies = gateway.visitor().get(&link).await.cookies();
        assert_eq!(cookies.len(), 1, "{policy}: {cookies:?}");
        assert!(cookies[0].starts_with("__Host-ow"), "{cookies:?}");
        assert!(cookies[0].ends_with("; Secure"), "{cookies:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_foreign_and_stale_cookies_do_no_harm() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let (_, link) = gateway.member().await;
    let visitor = gateway.visitor();
    for (name, value) in [
        ("ow.99999999", "99999999"),
        ("ow.00aaaaaaaaaa", "99999999"),
        ("ow.", "x"),
        ("owp", "99999999"),
        ("__Host-ow.00aaaaaaaaaa", "99999999"),
        ("other", "a\"b"),
    ] {
        visitor.plant(name, value);
    }
    let page = gateway.connect(&visitor, &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);

    let (_, link) = gateway.member().await;
    let many: Vec<String> = (0..250)
        .map(|n| format!("ow.00aaaaaaa{n:03}={}", random_token()))
        .collect();
    let many = many.join("; ");
    let headers = [("cookie", many.as_str())];
    let opened = gateway.visitor().get_with(&link, &headers).await;
    assert_eq!(opened.status, 302, "{}", opened.body);
    assert!(opened.cookies().len() <= 11, "{}", opened.cookies().len());
}
