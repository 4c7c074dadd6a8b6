//! Flows that wait until the member service confirms that the person who came back is the one the link was made for
//! (`security` 2.5, C3-C5, C21).

use std::time::Duration;

use guichet::domain::id::MemberGuid;
use serde_json::{Value, json};
use url::Url;

use crate::support::behaviour::{Behaviour, Gate};
use crate::support::dump::everything;
use crate::support::gateway::{
    BANK_GUID, Backend, Setup, Subject, TestGateway, eventually, parameter,
};
use crate::support::served::Served;
use crate::support::visitor::{Page, Visitor};

const LIMIT: Duration = Duration::from_secs(10);

crate::on_both_stores!(
    c21_only_the_confirmation_of_the_right_user_and_member_connects,
    c21_a_session_confirms_for_its_own_user,
    c21_another_user_burns_what_the_link_brought,
    c21_another_tenants_handle_is_unknown_and_harmless,
    c21_a_late_handle_is_unknown_and_what_it_was_for_is_given_back,
    c21_tokens_that_are_held_are_nobodys_until_they_are_confirmed,
    c21_held_tokens_that_nobody_confirms_are_revoked,
    c21_a_refusal_of_the_bank_is_told_to_who_confirms,
    c21_a_slow_bank_is_waited_for_and_then_told_as_accepted,
    c3_c4_a_response_in_another_browser_is_confirmed_from_there,
    c5_confirming_leaves_an_ignored_response_without_effect,
    a_newer_link_ends_what_waits,
    a_confirmation_that_is_cut_off_loses_and_repeats_nothing,
    a_held_token_set_outlives_kill_9,
    what_was_misdirected_is_given_back_after_kill_9,
);

fn confirming(more: &str) -> Setup {
    Setup {
        registration: format!("completion = \"confirm\"\n{more}"),
        client: "home = \"https://acme.example/\"".to_owned(),
        ..Setup::default()
    }
}

/// The person agrees at the bank and comes back in that browser; the page that it gets.
async fn comes_back(gateway: &TestGateway, visitor: &Visitor, link: &Url) -> Page {
    let page = gateway.connect(visitor, link).await;
    assert_eq!(
        (page.status, page.name()),
        (200, Some("pending-confirmation")),
        "{}",
        page.body
    );
    page
}

/// The handle in the page's message for the opener.
fn handle(page: &Page) -> String {
    let message = page.between("data-message=\"", "\"").expect("a message");
    let message = message.replace("&#34;", "\"").replace("&quot;", "\"");
    let message: Value = serde_json::from_str(&message).expect("JSON");
    assert_eq!(message["type"], "oauthComplete/pending", "{message}");
    let handle = message["metadata"]["completion"].as_str();
    handle.expect("a handle").to_owned()
}

fn body(handle: &str) -> Option<Value> {
    Some(json!({"oauth_completion": {"handle": handle}}))
}

fn path(user: &str, member: MemberGuid) -> String {
    format!("/users/{user}/members/{member}/oauth_completions")
}

async fn confirm(gateway: &TestGateway, member: MemberGuid, handle: &str) -> (u16, Value) {
    let path = path(&gateway.user.to_string(), member);
    gateway.platform("POST", &path, body(handle)).await
}

/// Another user of the same client.
async fn another_user(gateway: &TestGateway) -> String {
    let body = json!({"user": {"id": "somebody-else"}});
    let (status, created) = gateway.platform("POST", "/users", Some(body)).await;
    assert_eq!(status, 200, "{created}");
    created["user"]["guid"].as_str().expect("a guid").to_owned()
}

async fn is_untouched(gateway: &TestGateway, member: MemberGuid) {
    let read = gateway.read(member).await;
    assert_eq!(read["connection_status"], "PENDING", "{read}");
}

async fn c21_only_the_confirmation_of_the_right_user_and_member_connects(backend: Backend) {
    let gateway = TestGateway::with(backend, confirming("")).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let page = comes_back(&gateway, &visitor, &link).await;
    let handle = handle(&page);
    assert!(handle.starts_with("och_") && handle.len() == 49, "{handle}");
    let expected = format!(
        "https://acme.example/?status=pending&#38;member_guid={member}&#38;completion={handle}"
    );
    assert!(page.body.contains(&expected), "{expected} {}", page.body);
    let again = format!("2; url={}", page.url.path());
    assert_eq!(page.header("refresh"), Some(again.as_str()));
    assert_eq!(gateway.bank.hits().token, 0, "no token request before it");
    assert_eq!(gateway.state(member).await["auth_status"], 1);
    is_untouched(&gateway, member).await;
    let dump = everything(&gateway).await;
    let is_in = |text: &str| dump.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(!is_in(&handle), "only its digest, and sealed");

    // The link, and the page, find the same handle again.
    let page = visitor.get(&link).await;
    assert_eq!(page.name(), Some("pending-confirmation"), "{}", page.body);

    let (status, answer) = confirm(&gateway, member, &handle).await;
    assert_eq!(status, 200, "{answer}");
    let state = gateway.state(member).await;
    let expected = json!({"oauth_completion": {
        "auth_status": 2, "member_guid": member, "oauth_state_guid": state["guid"],
    }});
    assert_eq!(answer, expected);
    assert_eq!(state["auth_status"], 2);
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    let (status, again) = confirm(&gateway, member, &handle).await;
    assert_eq!((status, again), (200, answer), "the same, however often");
    assert_eq!(gateway.bank.hits().token, 1);
    let page = visitor.get(&page_of(&gateway, &visitor, &link).await).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let counted = "guichet_confirmations_total{client=\"acme\",institution=\"fake_bank\",result=\"confirmed\"} 1";
    assert!(gateway.metrics().await.contains(counted));
}

/// Where the outcome page of a link is, for the browser that went through it.
async fn page_of(_gateway: &TestGateway, visitor: &Visitor, link: &Url) -> Url {
    let page = visitor.follow(link).await;
    page.url
}

async fn c21_a_session_confirms_for_its_own_user(backend: Backend) {
    let gateway = TestGateway::with(backend, confirming("")).await;
    let (member, link) = gateway.member().await;
    let page = comes_back(&gateway, &gateway.visitor(), &link).await;
    let path = format!("/members/{member}/oauth_completions");
    for (wrong, message) in [
        (json!({}), "handle must be"),
        (json!({"oauth_completion": {}}), "handle must be"),
        (
            json!({"oauth_completion": {"handle": "och_short"}}),
            "handle must be a completion handle",
        ),
    ] {
        let (status, answer) = gateway.nexus("POST", &path, Some(wrong)).await;
        assert_eq!(status, 400, "{answer}");
        let said = answer["error"]["message"].as_str().expect("a message");
        assert!(said.contains(message), "{said}");
    }
    let (status, answer) = gateway.nexus("POST", &path, body(&handle(&page))).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["oauth_completion"]["auth_status"], 2);
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
}

/// The link of one user is followed by another one, who is signed in to the same app.
async fn c21_another_user_burns_what_the_link_brought(backend: Backend) {
    let gateway = TestGateway::with(backend, confirming("")).await;
    let victim = another_user(&gateway).await;
    for nobody in [false, true] {
        let before = gateway.bank.hits();
        let (member, link) = gateway.member().await;
        let visitor = gateway.visitor();
        let page = comes_back(&gateway, &visitor, &link).await;
        let handle = handle(&page);
        let user = match nobody {
            true => "nobody-of-that-name",
            false => &victim,
        };
        let wrong = path(user, member);
        let (status, answer) = gateway.platform("POST", &wrong, body(&handle)).await;
        assert_eq!(status, 404, "{answer}");
        let state = gateway.state(member).await;
        assert_eq!(
            (&state["auth_status"], &state["error_reason"]),
            (&json!(3), &json!(6)),
            "{state}"
        );
        is_untouched(&gateway, member).await;
        let revoked = before.revoke + 1;
        gateway.bank.wait_for_revoke_requests(revoked, LIMIT).await;
        assert_eq!(gateway.bank.hits().token, before.token + 1, "redeemed once");
        eventually(async || (gateway.bank.live_tokens() == 0).then_some(())).await;
        // Too late for the right one, too.
        assert_eq!(confirm(&gateway, member, &handle).await.0, 404);
        assert_eq!(gateway.bank.hits().token, before.token + 1);
        let page = visitor.get(&page.url).await;
        assert_eq!(
            (page.name(), page.reason()),
            (Some("misdirected"), Some("SESSION_ERROR")),
            "{}",
            page.body
        );
        gateway
            .hooks
            .wait_for(
                |told| {
                    told.iter().any(|event| {
                        let event = event.json();
                        event["action"] == "finished"
                            && event["oauth_state"]["guid"] == state["guid"]
                    })
                },
                LIMIT,
            )
            .await;
    }
    let counted = "guichet_confirmations_total{client=\"acme\",institution=\"fake_bank\",result=\"misdirected\"} 2";
    assert!(gateway.metrics().await.contains(counted));
}

async fn c21_another_tenants_handle_is_unknown_and_harmless(backend: Backend) {
    let gateway = TestGateway::with(backend, confirming("")).await;
    let (member, link) = gateway.member().await;
    let page = comes_back(&gateway, &gateway.visitor(), &link).await;
    let handle = handle(&page);
    let path = path(&gateway.user.to_string(), member);
    let (status, answer) = gateway.rival("POST", &path, body(&handle)).await;
    assert_eq!(status, 404, "{answer}");
    let unknown = format!("{}{}", &handle[..6], "A".repeat(43));
    assert_eq!(confirm(&gateway, member, &unknown).await.0, 404);
    assert_eq!(gateway.bank.hits().token, 0);
    let (status, answer) = confirm(&gateway, member, &handle).await;
    assert_eq!(status, 200, "{answer}");
}

async fn c21_a_late_handle_is_unknown_and_what_it_was_for_is_given_back(backend: Backend) {
    let setup = Setup {
        oauth: "code_seconds = 60".to_owned(),
        ..confirming("")
    };
    let gateway = TestGateway::with(backend, setup).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let page = comes_back(&gateway, &visitor, &link).await;
    let handle = handle(&page);
    gateway.pass(Duration::from_secs(46));
    assert_eq!(confirm(&gateway, member, &handle).await.0, 404);
    let state = gateway
        .state_when(member, |it| it["auth_status"] == 3)
        .await;
    assert_eq!(state["error_reason"], 6, "{state}");
    assert_eq!(confirm(&gateway, member, &handle).await.0, 404);
    gateway.bank.wait_for_revoke_requests(1, LIMIT).await;
    eventually(async || (gateway.bank.live_tokens() == 0).then_some(())).await;
    is_untouched(&gateway, member).await;
    let page = visitor.get(&page.url).await;
    assert_eq!(
        (page.name(), page.reason()),
        (Some("unconfirmed"), Some("SESSION_ERROR")),
        "{}",
        page.body
    );
}

async fn c21_tokens_that_are_held_are_nobodys_until_they_are_confirmed(backend: Backend) {
    let setup = Setup {
        subject: Some(Subject::Identify),
        ..confirming("confirm_holds = \"tokens\"")
    };
    let gateway = TestGateway::with(backend, setup).await;
    gateway.bank.signs_in("ada");
    let (member, link) = gateway.member().await;
    let page = comes_back(&gateway, &gateway.visitor(), &link).await;
    assert_eq!(gateway.bank.hits().token, 1, "exchanged at once");
    is_untouched(&gateway, member).await;
    assert_eq!(gateway.state(member).await["auth_status"], 1);
    assert!(gateway.aggregator.received().is_empty(), "no job");
    let (status, answer) = confirm(&gateway, member, &handle(&page)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    let (status, _) = confirm(&gateway, member, &handle(&page)).await;
    assert_eq!(status, 200);
    assert_eq!(
        (gateway.bank.hits().token, gateway.bank.hits().revoke),
        (1, 0)
    );
}

async fn c21_held_tokens_that_nobody_confirms_are_revoked(backend: Backend) {
    let gateway = TestGateway::with(backend, confirming("confirm_holds = \"tokens\"")).await;
    let victim = another_user(&gateway).await;
    for is_late in [true, false] {
        let before = gateway.bank.hits();
        let (member, link) = gateway.member().await;
        let page = comes_back(&gateway, &gateway.visitor(), &link).await;
        let handle = handle(&page);
        if is_late {
            gateway.pass(Duration::from_secs(121));
        } else {
            let wrong = path(&victim, member);
            assert_eq!(gateway.platform("POST", &wrong, body(&handle)).await.0, 404);
        }
        gateway
            .state_when(member, |it| it["auth_status"] == 3)
            .await;
        let revoked = before.revoke + 1;
        gateway.bank.wait_for_revoke_requests(revoked, LIMIT).await;
        eventually(async || (gateway.bank.live_tokens() == 0).then_some(())).await;
        assert_eq!(confirm(&gateway, member, &handle).await.0, 404);
        is_untouched(&gateway, member).await;
    }
}

async fn c21_a_refusal_of_the_bank_is_told_to_who_confirms(backend: Backend) {
    let gateway = TestGateway::with(backend, confirming("")).await;
    let (member, link) = gateway.member().await;
    let page = comes_back(&gateway, &gateway.visitor(), &link).await;
    let refusal = Behaviour::Error(400, "invalid_grant", "no");
    gateway.bank.on_token(refusal);
    for _ in 0..2 {
        let (status, answer) = confirm(&gateway, member, &handle(&page)).await;
        assert_eq!(status, 422, "{answer}");
        assert!(answer["error"]["error_reason"].is_string(), "{answer}");
    }
    assert_eq!(gateway.bank.hits().token, 1);
    is_untouched(&gateway, member).await;
}

async fn c21_a_slow_bank_is_waited_for_and_then_told_as_accepted(backend: Backend) {
    let gateway = TestGateway::with(backend, confirming("")).await;
    let (member, link) = gateway.member().await;
    let page = comes_back(&gateway, &gateway.visitor(), &link).await;
    let gate = Gate::closed();
    gateway.bank.on_token(Behaviour::Hold(gate.clone()));
    let handle = handle(&page);
    let (first, second) = tokio::join!(confirm(&gateway, member, &handle), async {
        gateway.bank.wait_for_token_requests(1, LIMIT).await;
        confirm(&gateway, member, &handle).await
    });
    for (status, answer) in [first, second] {
        assert_eq!(status, 202, "{answer}");
        assert_eq!(answer["oauth_completion"]["auth_status"], 1, "{answer}");
    }
    gate.open();
    gateway
        .state_when(member, |it| it["auth_status"] == 2)
        .await;
    assert_eq!(confirm(&gateway, member, &handle).await.0, 200);
    assert_eq!(gateway.bank.hits().token, 1);
}

async fn c3_c4_a_response_in_another_browser_is_confirmed_from_there(backend: Backend) {
    let setup = Setup {
        registration: "unbound_callback = \"confirm\"".to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let victim = another_user(&gateway).await;
    for is_genuine in [true, false] {
        let (member, link) = gateway.member().await;
        let visitor = gateway.visitor();
        let request = gateway.open(&visitor, &link).await;
        let response = gateway.bank.code_for(&request).url();
        let other = gateway.visitor();
        let page = other.follow(&response).await;
        assert_eq!(page.name(), Some("pending-confirmation"), "{}", page.body);
        let handle = handle(&page);
        // The browser that began it never sees the handle: it may be an attacker's.
        for url in [&response, &page.url, &link] {
            let seen = visitor.follow(url).await;
            assert!(!seen.body.contains("och_"), "{}", seen.body);
            assert!(
                matches!(seen.name(), Some("wrong-browser" | "used")),
                "{}",
                seen.body
            );
        }
        if is_genuine {
            let (status, answer) = confirm(&gateway, member, &handle).await;
            assert_eq!(status, 200, "{answer}");
            let page = other.get(&page.url).await;
            assert_eq!(page.name(), Some("connected"), "{}", page.body);
        } else {
            let wrong = path(&victim, member);
            assert_eq!(gateway.platform("POST", &wrong, body(&handle)).await.0, 404);
            is_untouched(&gateway, member).await;
            let page = other.get(&page.url).await;
            assert_eq!(page.name(), Some("misdirected"), "{}", page.body);
        }
    }
    // In its own browser it is as ever.
    let (member, link) = gateway.member().await;
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    // A refusal in another browser ends the flow as the bank said.
    let (member, link) = gateway.member().await;
    let request = gateway.open(&gateway.visitor(), &link).await;
    let refusal = gateway.bank.refusal_for(&request, "access_denied", "no");
    let page = gateway.visitor().follow(&refusal.url()).await;
    assert_eq!(page.name(), Some("cancelled"), "{}", page.body);
    assert_eq!(gateway.state(member).await["error_reason"], 1);
}

async fn c5_confirming_leaves_an_ignored_response_without_effect(backend: Backend) {
    let gateway = TestGateway::with(backend, confirming("unbound_callback = \"ignore\"")).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let response = gateway.bank.code_for(&request).url();
    let page = gateway.visitor().follow(&response).await;
    assert_eq!(page.name(), Some("wrong-browser"), "{}", page.body);
    let page = visitor.follow(&response).await;
    assert_eq!(page.name(), Some("pending-confirmation"), "{}", page.body);
    assert_eq!(confirm(&gateway, member, &handle(&page)).await.0, 200);
}

async fn a_newer_link_ends_what_waits(backend: Backend) {
    let gateway = TestGateway::with(backend, confirming("")).await;
    let (member, link) = gateway.member().await;
    let page = comes_back(&gateway, &gateway.visitor(), &link).await;
    let path = format!("/members/{member}/oauth_window_uri");
    let (status, answer) = gateway.nexus("GET", &path, None).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(confirm(&gateway, member, &handle(&page)).await.0, 404);
    gateway.bank.wait_for_revoke_requests(1, LIMIT).await;
    assert_eq!(
        gateway.state(member).await["auth_status"],
        1,
        "the newer one"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_flow_brings_the_handle_to_the_app() {
    let gateway = TestGateway::with(Backend::Sqlite, confirming("")).await;
    let body = json!({
        "member": {"institution_guid": BANK_GUID, "is_oauth": true},
        "referral_source": "APP", "client_redirect_url": "https://app.example/done?x=1",
    });
    let (member, link) = gateway.member_with(body).await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let page = visitor.get(&gateway.bank.code_for(&request).url()).await;
    let page = visitor
        .get(&page.location().expect("the outcome page"))
        .await;
    assert_eq!(
        (page.status, page.name()),
        (303, Some("pending-confirmation"))
    );
    let back = page.location().expect("the app");
    assert_eq!(parameter(&back, "x").as_deref(), Some("1"));
    assert_eq!(parameter(&back, "status").as_deref(), Some("pending"));
    assert_eq!(
        parameter(&back, "member_guid"),
        Some(member.to_string()),
        "{back}"
    );
    let handle = parameter(&back, "completion").expect("a handle");
    assert_eq!(confirm(&gateway, member, &handle).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_anybody_to_tell_a_link_is_refused_or_leads_home() {
    let silent = ("message_origins = [\"https://app.example\"]", "");
    let homeless = Setup {
        client: String::new(),
        swaps: vec![silent],
        ..confirming("")
    };
    let gateway = TestGateway::with(Backend::Sqlite, homeless).await;
    let wanted = json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}});
    let (status, answer) = gateway.nexus("POST", "/members", Some(wanted)).await;
    assert_eq!(status, 400, "{answer}");
    let said = answer["error"]["message"].as_str().expect("a message");
    assert!(said.contains("message_origins or home"), "{said}");

    let setup = Setup {
        swaps: vec![silent],
        ..confirming("")
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let page = visitor.get(&gateway.bank.code_for(&request).url()).await;
    let page = visitor
        .get(&page.location().expect("the outcome page"))
        .await;
    let home = page.location().expect("home");
    assert_eq!(home.host_str(), Some("acme.example"));
    let handle = parameter(&home, "completion").expect("a handle");
    assert_eq!(confirm(&gateway, member, &handle).await.0, 200);
}

async fn a_confirmation_that_is_cut_off_loses_and_repeats_nothing(backend: Backend) {
    let mut served = Served::with(backend, confirming("")).await;
    let (member, link) = served.gateway.member().await;
    let page = comes_back(&served.gateway, &Visitor::new(), &link).await;
    let handle = handle(&page);
    served.kill_and_start().await;
    let gateway = &served.gateway;
    let gate = Gate::closed();
    gateway.bank.on_token(Behaviour::Hold(gate.clone()));
    let path = path(&gateway.user.to_string(), member);
    let url = gateway.at(&path);
    let key = gateway.api_key.clone();
    let sent = body(&handle).expect("a body");
    let asking = tokio::spawn(async move {
        let request = crate::support::visitor::http().post(url);
        let request = request.basic_auth("acme", Some(key)).json(&sent);
        request.send().await.is_ok()
    });
    gateway.bank.wait_for_token_requests(1, LIMIT).await;
    served.kill_and_start().await;
    gate.open();
    asking.await.expect("no panic");
    // The code was sent, and is not sent again: the flow ends by its deadline.
    let (status, answer) = confirm(&served.gateway, member, &handle).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(served.gateway.bank.hits().token, 1);
    is_untouched(&served.gateway, member).await;
}

async fn a_held_token_set_outlives_kill_9(backend: Backend) {
    let setup = confirming("confirm_holds = \"tokens\"");
    let mut served = Served::with(backend, setup).await;
    let (member, link) = served.gateway.member().await;
    let visitor = Visitor::new();
    let page = comes_back(&served.gateway, &visitor, &link).await;
    served.kill_and_start().await;
    let seen = visitor.get(&page.url).await;
    assert_eq!(handle(&seen), handle(&page), "the page has the same handle");
    let (status, answer) = confirm(&served.gateway, member, &handle(&page)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(served.gateway.bank.hits().token, 1);
}

async fn what_was_misdirected_is_given_back_after_kill_9(backend: Backend) {
    let mut served = Served::with(backend, confirming("")).await;
    let victim = another_user(&served.gateway).await;
    let (member, link) = served.gateway.member().await;
    let page = comes_back(&served.gateway, &Visitor::new(), &link).await;
    let gate = Gate::closed();
    served.gateway.bank.on_token(Behaviour::Hold(gate.clone()));
    let wrong = path(&victim, member);
    let answer = served
        .gateway
        .platform("POST", &wrong, body(&handle(&page)));
    assert_eq!(answer.await.0, 404);
    served.gateway.bank.wait_for_token_requests(1, LIMIT).await;
    served.kill();
    gate.open();
    served.gateway.bank.on_token(Behaviour::Honest);
    served.succeed().await;
    served.gateway.pass(Duration::from_secs(301));
    // An institution that sees a code again ends what it gave for it (RFC 6749 section 4.1.2).
    served.gateway.bank.wait_for_token_requests(2, LIMIT).await;
    assert_eq!(
        confirm(&served.gateway, member, &handle(&page)).await.0,
        404
    );
}
