//! The store is away: everybody is asked to come again, and nothing was half done.

use std::time::Duration;

use serde_json::{Value, json};

use super::{assert_nexus, assert_platform};
use crate::support::gateway::{BANK, BANK_GUID, Backend, FORM_BANK_GUID, Setup, TestGateway};
use crate::support::redis::Redis;
use crate::support::visitor::http;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_down_everybody_is_asked_to_come_again() {
    let mut redis = Redis::start();
    let setup = Setup {
        store: Some(redis.url()),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Redis, setup).await;
    let (member, link) = gateway.member().await;
    let (half, half_link) = gateway.member().await;
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &half_link).await;
    let callback = gateway.bank.code_for(&authorization).url();
    let before = gateway.nexus("GET", "/members", None).await;
    redis.kill9();

    let wanted = json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}});
    for (method, path, body) in [
        ("POST", "/members".to_owned(), Some(wanted)),
        ("GET", format!("/members/{member}"), None),
        ("GET", format!("/members/{member}/oauth_window_uri"), None),
        ("DELETE", format!("/members/{member}"), None),
        (
            "GET",
            format!("/oauth_states?outbound_member_guid={member}"),
            None,
        ),
    ] {
        let response = gateway.nexus(method, &path, body).await;
        assert_nexus(response, (503, "5030"), &["store", "again"]);
    }
    let body = json!({"member": {"institution_code": BANK, "is_oauth": true}});
    let response = gateway
        .platform("POST", "/users/user-1/members", Some(body))
        .await;
    assert_platform(response, (503, "service_unavailable"), &["store", "again"]);
    let response = http()
        .get(gateway.at("/members"))
        .header("md-session-token", &gateway.session)
        .send()
        .await
        .expect("a response");
    assert!(response.headers().contains_key("retry-after"));

    // A person in a browser gets a page there too, and it asks again by itself.
    let navigation = [
        ("md-session-token", gateway.session.as_str()),
        ("sec-fetch-dest", "document"),
    ];
    let page = gateway.visitor();
    let page = page.get_with(&gateway.at("/members"), &navigation).await;
    assert_eq!((page.status, page.name()), (503, Some("busy")));
    assert!(page.header("refresh").is_some() && page.header("retry-after").is_some());

    for address in [&link, &callback] {
        let page = visitor.get(address).await;
        assert_eq!(
            (page.status, page.name()),
            (503, Some("busy")),
            "{}",
            page.body
        );
        assert!(page.header("retry-after").is_some());
        // Whether the link is claimed is not known: if it is, this browser can go on.
        let is_bound = page.header("set-cookie").is_some();
        assert_eq!(is_bound, address == &link, "{address}");
    }
    assert_eq!(
        gateway.bank.token_requests().len(),
        0,
        "no code is spent in vain"
    );
    let ready = |gateway: &TestGateway| {
        http()
            .get(gateway.operator.join("/readyz").expect("a URL"))
            .send()
    };
    assert_eq!(ready(&gateway).await.expect("a response").status(), 503);

    redis.restart();
    while ready(&gateway).await.expect("a response").status() != 200 {
        tokio::task::yield_now().await;
    }
    let count = |(status, members): &(u16, Value)| {
        (
            *status,
            members["members"].as_array().expect("a list").len(),
        )
    };
    let after = gateway.nexus("GET", "/members", None).await;
    assert_eq!(count(&after), count(&before), "nothing was half done");
    // Both go on where they were: the link was not used up, nor the response, which is exchanged once.
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let page = visitor.follow(&callback).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    for guid in [member, half] {
        let read: Value = gateway.read(guid).await;
        assert_eq!(read["connection_status"], "CONNECTED");
    }
}

/// How long a person may be kept at the bank's page.
const AT_MOST: Duration = Duration::from_secs(2);

/// How the store is away.
#[derive(Clone, Copy, Debug)]
enum Away {
    /// Nobody listens.
    Gone,
    /// It is silent.
    Silent,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c15_a_posted_response_waits_on_a_page_of_ours_while_the_store_is_away() {
    for away in [Away::Gone, Away::Silent] {
        let mut redis = Redis::start();
        let setup = Setup {
            store: Some(redis.url()),
            ..Setup::default()
        };
        let gateway = TestGateway::with(Backend::Redis, setup).await;
        let body = json!({"member": {"institution_guid": FORM_BANK_GUID, "is_oauth": true}});
        let (member, link) = gateway.member_with(body).await;
        let visitor = gateway.visitor();
        let request = gateway.open(&visitor, &link).await;
        let response = gateway.bank.code_for(&request);
        match away {
            Away::Gone => redis.kill9(),
            Away::Silent => drop(redis.command("CLIENT PAUSE 60000 WRITE")),
        }

        // It comes without cookies from another site.
        let pairs = response.pairs();
        let fields: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let form = gateway.visitor();
        let posting = form.post(&response.redirect_uri, &fields);
        let posted = tokio::time::timeout(AT_MOST, posting).await;
        let posted = posted.unwrap_or_else(|_| panic!("{away:?}: a page within {AT_MOST:?}"));
        assert_eq!((posted.status, posted.name()), (503, Some("busy")));
        assert_eq!(posted.between("data-post=\"", "\""), Some("2"));
        assert!(
            posted.header("refresh").is_none(),
            "a GET would bring nothing"
        );
        assert_eq!(posted.header("cache-control"), Some("no-store"));
        let policy = posted.header("content-security-policy").expect("a policy");
        assert!(
            policy.contains("com.example.acme:"),
            "the way back into the app: {policy}"
        );
        let (to, sent) = posted.button("retry").expect("a form");
        assert_eq!(to, response.redirect_uri);
        let sent: Vec<(&str, &str)> = sent.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        for field in &sent {
            assert!(fields.contains(field), "{field:?}");
        }
        let again = form.press(&posted, "retry").await;
        assert_eq!((again.status, again.name()), (503, Some("busy")));

        match away {
            Away::Gone => redis.restart(),
            Away::Silent => drop(redis.command("CLIENT UNPAUSE")),
        }
        let mut held = visitor.press(&again, "retry").await;
        while held.name() == Some("busy") {
            held = visitor.press(&held, "retry").await;
        }
        assert_eq!(held.status, 303, "{}", held.body);
        let page = visitor.follow_from(held).await;
        assert_eq!(page.name(), Some("connected"), "{}", page.body);
        assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
        assert_eq!(gateway.bank.token_requests().len(), 1);
    }
}
