//! Where a flow may return to is settled at mint (`security` M6, M7 and B2).

use guichet::domain::id::MemberGuid;
use serde_json::json;

use crate::support::gateway::{BANK_GUID, Backend, TestGateway};

/// Mints a link for a member with that query.
async fn mint(gateway: &TestGateway, member: MemberGuid, query: &str) -> (u16, serde_json::Value) {
    let path = format!("/members/{member}/oauth_window_uri?{query}");
    gateway.nexus("GET", &path, None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m6_b2_a_bad_return_address_fails_the_mint() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let (member, _) = gateway.member().await;
    let good = "https://app.example/done";
    for accepted in [
        good.to_owned(),
        format!("{good}?a=1&b=%2F"),
        format!("{good}?to=my page"),
        format!("{good}?to=No\u{eb}l"),
    ] {
        let (status, response) = create(&gateway, json!({"client_redirect_url": accepted})).await;
        assert_eq!(status, 200, "{accepted}: {response}");
    }
    let states = async || {
        let (_, members) = gateway.nexus("GET", "/members", None).await;
        let (_, states) = gateway.nexus("GET", "/oauth_states", None).await;
        let count = |list: &serde_json::Value| list.as_array().map(Vec::len);
        (count(&members["members"]), count(&states["oauth_states"]))
    };
    let before = states().await;
    assert!(before.0.is_some() && before.1.is_some());
    for bad in [
        "",
        "/done",
        "//app.example/done",
        "/\\app.example/done",
        "\\\\app.example/done",
        "https:app.example/done",
        "http://app.example/done",
        "https://app.example@evil.example/done",
        "https://app.example.evil.example/done",
        "https://evil.example/.app.example/done",
        "https://app%2eexample/done",
        "https://app.example/do\tne",
        "https://app.example/done\r\nx: y",
        "https://app.example/done\0",
        "https://app.example/done ",
        " https://app.example/done",
        "https://\u{430}pp.example/done",
        "https://app.example:443/done",
        "https://app.example:8443/done",
        "https://APP.example/done",
        "HTTPS://app.example/done",
        "https://app.example/Done",
        "https://app.example/done/",
        "https://app.example/x/../done",
        "https://app.example/done#x",
        "https://app.example/done?x#y",
        "https://app.example\\@evil.example/done",
        "https://user:pass@app.example/done",
        "https://[fe80::1%25eth0]/done",
        "javascript:alert(1)//https://app.example/done",
        "data:text/html,https://app.example/done",
        "https://app.example",
    ] {
        let (status, response) = create(&gateway, json!({"client_redirect_url": bad})).await;
        assert_eq!(status, 400, "{bad:?}: {response}");
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("referral_source", "APP"), ("client_redirect_url", bad)])
            .finish();
        let (status, response) = mint(&gateway, member, &query).await;
        assert_eq!(status, 400, "{bad:?}: {response}");
    }
    assert_eq!(states().await, before, "nothing was stored");
}

/// Creates a member of an APP flow with more fields.
async fn create(gateway: &TestGateway, more: serde_json::Value) -> (u16, serde_json::Value) {
    let mut body = json!({
        "member": {"institution_guid": BANK_GUID, "is_oauth": true},
        "referral_source": "APP",
    });
    let fields = body.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    gateway.nexus("POST", "/members", Some(body)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m7_only_registered_schemes_are_returned_to() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let scheme = async |scheme: &str| {
        create(&gateway, json!({"ui_message_webview_url_scheme": scheme}))
            .await
            .0
    };
    assert_eq!(scheme("com.example.acme").await, 200);
    assert_eq!(
        scheme("COM.example.Acme").await,
        200,
        "schemes ignore case (RFC 3986)"
    );
    for bad in [
        "mx",
        "com.example.other",
        "com.example.acme://",
        "com.example.acme:x",
        " com.example.acme",
        "com.example.acme\n",
        "com.example\t.acme",
        "\u{1}com.example.acme",
        // Which of them can be registered nowhere, the list of schemes says.
        "javascript",
        "java\tscript",
        "https",
        "",
    ] {
        assert_eq!(scheme(bad).await, 400, "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decision_7_an_explicit_skip_at_mint_wins() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    for (at_create, at_mint, aggregates) in [
        (false, None, true),
        (true, None, false),
        (true, Some("skip_aggregation=false"), true),
        (false, Some("skip_aggregation=true"), false),
    ] {
        let fields = json!({
            "institution_guid": BANK_GUID, "is_oauth": true, "skip_aggregation": at_create,
        });
        let (member, mut link) = gateway.member_with(json!({"member": fields})).await;
        if let Some(query) = at_mint {
            let (status, response) = mint(&gateway, member, query).await;
            assert_eq!(status, 200, "{response}");
            let newer = response["member"]["oauth_window_uri"].as_str();
            link = newer.and_then(|link| link.parse().ok()).expect("a link");
        }
        let page = gateway.connect(&gateway.visitor(), &link).await;
        assert_eq!(page.name(), Some("connected"), "{}", page.body);
        let read = gateway.read(member).await;
        assert_eq!(
            read["is_being_aggregated"], aggregates,
            "{at_create} {at_mint:?}"
        );
        assert_eq!(read["most_recent_job_guid"].is_string(), aggregates);
    }
}
