//! The store is away: everybody is asked to come again, and nothing was half done.

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
        let answer = gateway.nexus(method, &path, body).await;
        assert_nexus(answer, (503, "5030"), &["store", "again"]);
    }
    let body = json!({"member": {"institution_code": BANK, "is_oauth": true}});
    let answer = gateway
        .platform("POST", "/users/user-1/members", Some(body))
        .await;
    assert_platform(answer, (503, "service_unavailable"), &["store", "again"]);
    let answer = http()
        .get(gateway.at("/members"))
        .header("md-session-token", &gateway.session)
        .send()
        .await
        .expect("an answer");
    assert!(answer.headers().contains_key("retry-after"));

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
    assert_eq!(ready(&gateway).await.expect("an answer").status(), 503);

    redis.restart();
    while ready(&gateway).await.expect("an answer").status() != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        gateway.nexus("GET", "/members", None).await,
        before,
        "nothing was half done"
    );
    // Both go on where they were: the link was not used up, nor the answer.
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let page = visitor.follow(&callback).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    for guid in [member, half] {
        let read: Value = gateway.read(guid).await;
        assert_eq!(read["connection_status"], "CONNECTED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c15_a_posted_response_waits_for_a_store_that_is_away_for_seconds() {
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
    let answer = gateway.bank.code_for(&request);
    redis.kill9();

    // It comes without cookies from another site.
    let form = gateway.visitor();
    let (to, pairs) = (answer.redirect_uri.clone(), answer.pairs());
    let posting = tokio::spawn(async move {
        let fields: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
        form.post(&to, &fields).await
    });
    // Until it was tried twice in vain.
    while gateway.store_steps("hold_answer").await < 2 {
        assert!(!posting.is_finished(), "given up at once");
    }
    redis.restart();
    let held = posting.await.expect("no panic");
    assert_eq!(held.status, 303, "{}", held.body);
    let page = visitor.follow_from(held).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    assert_eq!(gateway.bank.token_requests().len(), 1);
}
