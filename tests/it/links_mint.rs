//! Minting (`security` section 1.1): what a link is made of, who may have one, and for how long.

use std::time::Duration;

use guichet::domain::id::MemberGuid;
use guichet::flow::access;
use serde_json::json;
use url::Url;

use crate::support::gateway::{BANK_GUID, Backend, CLIENT, RIVAL, Setup, TestGateway, parameter};
use crate::support::random_token;
use crate::support::visitor::Visitor;

crate::on_both_stores!(
    m3_foreign_and_absent_members_look_alike,
    m4_the_links_query_changes_nothing,
    m5_links_expire_and_their_life_has_limits,
    m8_a_minted_link_is_never_cached,
    m9_a_new_link_supersedes_the_old_one,
    decision_6_a_link_is_shown_once,
);

/// Mints a link for a member with that query.
async fn mint(gateway: &TestGateway, member: MemberGuid, query: &str) -> (u16, serde_json::Value) {
    let path = format!("/members/{member}/oauth_window_uri?{query}");
    gateway.nexus("GET", &path, None).await
}

async fn minted(gateway: &TestGateway, member: MemberGuid, query: &str) -> Url {
    let (status, response) = mint(gateway, member, query).await;
    assert_eq!(status, 200, "{response}");
    let link = response["member"]["oauth_window_uri"].as_str();
    link.and_then(|link| link.parse().ok()).expect("a link")
}

async fn m3_foreign_and_absent_members_look_alike(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, _) = gateway.member().await;
    let rival = RIVAL.parse().expect("a client id");
    let key = access::create_api_key(&gateway.inside, &rival)
        .await
        .expect("a step")
        .expect("a key");
    let stranger = access::create_user(&gateway.inside, &rival, Default::default())
        .await
        .expect("a user");
    let token = access::api_token(&gateway.inside, &stranger)
        .await
        .expect("a token");
    let session = access::begin_session(&gateway.inside, &token)
        .await
        .expect("a step")
        .expect("a session");
    let absent: MemberGuid = "MBR-0123dd14-b4f1-49a4-8093-b0ae9aa8d023"
        .parse()
        .expect("a guid");

    let user = gateway.user;
    let basic = {
        use base64::Engine as _;
        let pair = format!("{RIVAL}:{}", key.expose());
        format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(pair)
        )
    };
    let by_session = [("md-session-token", session.expose())];
    let by_key = [("authorization", basic.as_str())];
    let strangers = stranger.guid;
    let cases: [(&[(&str, &str)], String); 3] = [
        (&by_session, "/members/MEMBER/oauth_window_uri".to_owned()),
        (
            &by_key,
            format!("/users/{user}/members/MEMBER/oauth_window_uri"),
        ),
        (
            &by_key,
            format!("/users/{strangers}/members/MEMBER/oauth_window_uri"),
        ),
    ];
    for (credentials, path) in cases {
        let ask = async |guid: MemberGuid| {
            let url = gateway.at(&path.replace("MEMBER", &guid.to_string()));
            let page = Visitor::new().get_with(&url, credentials).await;
            let mut headers = page.headers.clone();
            headers.remove("date");
            // The caller's own words are not news.
            (
                page.status,
                page.body.replace(&guid.to_string(), "MEMBER"),
                headers,
            )
        };
        let foreign = ask(member).await;
        assert_eq!(foreign.0, 404, "{path}: {}", foreign.1);
        assert_eq!(foreign, ask(absent).await, "{path}");
    }
    assert_eq!(
        gateway.state(member).await["auth_status"],
        1,
        "its own link still stands"
    );
}

async fn m4_the_links_query_changes_nothing(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, plain) = gateway.member().await;
    let (_, mut loaded) = gateway.member().await;
    loaded.query_pairs_mut().extend_pairs([
        ("client_redirect_url", "https://evil.example/"),
        ("referral_source", "APP"),
        ("scope", "everything"),
        ("institution", "evil_bank"),
        ("state", "mine"),
        ("redirect_uri", "https://evil.example/"),
        ("ui_locales", "fr"),
        ("open_policy", "multi"),
    ]);
    let without_fresh_values = |url: &Url| {
        let fresh = ["state", "code_challenge"];
        let pairs = url.query_pairs().into_owned();
        let kept: Vec<_> = pairs
            .filter(|(name, _)| !fresh.contains(&name.as_str()))
            .collect();
        (url[..url::Position::AfterPath].to_owned(), kept)
    };
    let expected = gateway.open(&gateway.visitor(), &plain).await;
    let visitor = gateway.visitor();
    let sent = gateway.open(&visitor, &loaded).await;
    assert_eq!(without_fresh_values(&sent), without_fresh_values(&expected));
    let other = gateway.visitor().get(&loaded).await;
    assert_eq!(other.status, 410, "the policy is the one of the mint");
    let page = visitor.follow(&gateway.bank.code_for(&sent).url()).await;
    assert_eq!(
        (page.status, page.name()),
        (200, Some("connected")),
        "no jump: {}",
        page.body
    );
}

async fn m5_links_expire_and_their_life_has_limits(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, first) = gateway.member().await;
    gateway.clock.advance(Duration::from_secs(9 * 60 + 50));
    assert_eq!(
        gateway.visitor().get(&first).await.status,
        302,
        "10 minutes are not over"
    );

    let (late, link) = gateway.member().await;
    gateway.clock.advance(Duration::from_secs(10 * 60));
    let asked_before = gateway.bank.hits();
    let page = gateway.visitor().get(&link).await;
    assert_eq!(
        (page.status, page.name(), page.reason()),
        (410, Some("expired"), Some("SESSION_ERROR"))
    );
    assert!(page.cookies().is_empty() && page.location().is_none());
    assert_eq!(gateway.bank.hits(), asked_before);
    let state = gateway.state(late).await;
    assert_eq!(
        (&state["auth_status"], &state["error_reason"]),
        (&json!(3), &json!(6)),
        "{state}"
    );

    for (policy, most) in [("single", 60), ("interstitial", 10_080), ("multi", 10_080)] {
        let ask = async |minutes: u32| {
            let query = format!("open_policy={policy}&link_minutes={minutes}");
            mint(&gateway, member, &query).await
        };
        assert_eq!(ask(most).await.0, 200, "{policy}");
        let (status, response) = ask(most + 1).await;
        assert_eq!(status, 400, "{policy}: {response}");
        assert!(response.to_string().contains("link_minutes"), "{response}");
        assert_eq!(ask(0).await.0, 400, "{policy}");
    }
}

async fn m8_a_minted_link_is_never_cached(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, _) = gateway.member().await;
    let url = gateway.at(&format!("/members/{member}/oauth_window_uri"));
    let session = ("md-session-token", gateway.session.as_str());
    let first = Visitor::new().get_with(&url, &[session]).await;
    let again = Visitor::new()
        .get_with(&url, &[session, ("if-none-match", "*")])
        .await;
    for response in [&first, &again] {
        assert_eq!(response.status, 200, "{}", response.body);
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert!(response.header("etag").is_none() && response.header("last-modified").is_none());
    }
    let link = |body: &str| {
        let json: serde_json::Value = serde_json::from_str(body).expect("JSON");
        json["member"]["oauth_window_uri"]
            .as_str()
            .map(str::to_owned)
            .expect("a link")
    };
    assert_ne!(link(&first.body), link(&again.body));
}

async fn m9_a_new_link_supersedes_the_old_one(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, first) = gateway.member().await;
    let old_state = gateway.state(member).await["guid"].clone();
    let newest = minted(&gateway, member, "").await;
    let page = gateway.visitor().get(&first).await;
    assert_eq!(
        (page.status, page.name(), page.reason()),
        (410, Some("superseded"), Some("SESSION_ERROR"))
    );
    assert!(page.cookies().is_empty());
    let path = format!("/oauth_states/{}", old_state.as_str().expect("a guid"));
    let (_, old) = gateway.nexus("GET", &path, None).await;
    assert_eq!(
        (
            &old["oauth_state"]["auth_status"],
            &old["oauth_state"]["error_reason"]
        ),
        (&json!(3), &json!(6))
    );
    let page = gateway.connect(&gateway.visitor(), &newest).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m9_mints_are_limited_by_member_and_client() {
    let swaps = vec![
        (
            "mints_per_member_per_minute = 1000",
            "mints_per_member_per_minute = 3",
        ),
        (
            "mints_per_client_per_second = 10000",
            "mints_per_client_per_second = 12",
        ),
    ];
    let setup = Setup {
        swaps,
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let (member, _) = gateway.member().await;
    let url = gateway.at(&format!("/members/{member}/oauth_window_uri"));
    let session = ("md-session-token", gateway.session.as_str());
    let ask = || async { Visitor::new().get_with(&url, &[session]).await };
    for _ in 0..3 {
        assert_eq!(ask().await.status, 200);
    }
    let refused = ask().await;
    assert_eq!(refused.status, 429, "{}", refused.body);
    let wait: u32 = refused
        .header("retry-after")
        .and_then(|wait| wait.parse().ok())
        .expect("seconds");
    assert!(wait >= 1);
    assert!(refused.body.contains("member"), "{}", refused.body);

    // Another member of the same client has its own count, until the client's is spent.
    let body = json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}});
    let mut statuses = Vec::new();
    for _ in 0..60 {
        let (status, _) = gateway.nexus("POST", "/members", Some(body.clone())).await;
        statuses.push(status);
        if status == 429 {
            break;
        }
    }
    assert_eq!(statuses.first(), Some(&200));
    assert_eq!(
        statuses.last(),
        Some(&429),
        "the client's limit holds over members: {CLIENT}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m10_only_the_configuration_says_where_we_are() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let (member, _) = gateway.member().await;
    let ours = gateway.url.origin();
    let session = ("md-session-token", gateway.session.as_str());
    for forged in [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "gopher"),
        ("forwarded", "host=evil.example;proto=https"),
        ("origin", "https://evil.example"),
        ("x-original-url", "https://evil.example/"),
    ] {
        let url = gateway.at(&format!("/members/{member}/oauth_window_uri"));
        let response = Visitor::new().get_with(&url, &[session, forged]).await;
        let json: serde_json::Value = serde_json::from_str(&response.body).expect("JSON");
        let link = json["member"]["oauth_window_uri"].as_str().expect("a link");
        let link: Url = link.parse().expect("a URL");
        assert_eq!(link.origin(), ours, "{forged:?}");

        let visitor = gateway.visitor();
        let opened = visitor.get_with(&link, &[forged]).await;
        assert_eq!(opened.status, 302, "{forged:?}: {}", opened.body);
        let authorization = opened.location().expect("a location");
        let redirect_uri = parameter(&authorization, "redirect_uri").expect("a redirect_uri");
        assert_eq!(
            redirect_uri.parse::<Url>().expect("a URL").origin(),
            ours,
            "{forged:?}"
        );
        let callback = gateway.bank.code_for(&authorization).url();
        let returned = visitor.get_with(&callback, &[forged]).await;
        assert_eq!(
            returned.location().expect("a location").origin(),
            ours,
            "{forged:?}"
        );
        let shown = visitor
            .get_with(&returned.location().expect("one"), &[forged])
            .await;
        assert_eq!(shown.status, 200);
        for page in [&response.body, &opened.body, &returned.body, &shown.body] {
            assert!(
                !page.contains("evil.example") && !page.contains("gopher"),
                "{page}"
            );
        }
    }
}

async fn decision_6_a_link_is_shown_once(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let token = link
        .path_segments()
        .and_then(|mut parts| parts.next_back())
        .expect("a token");
    // `ow_`, two characters of partition, 43 random ones (decision 4).
    assert_eq!(token.len(), 48);
    assert!(token.starts_with("ow_0"));
    assert_ne!(token[5..], random_token(), "tokens are drawn");
    assert!(gateway.read(member).await["oauth_window_uri"].is_null());
    let (_, all) = gateway.nexus("GET", "/members", None).await;
    let (_, states) = gateway.nexus("GET", "/oauth_states", None).await;
    assert!(!all.to_string().contains(&token[5..]));
    assert!(!states.to_string().contains(&token[5..]));
}
