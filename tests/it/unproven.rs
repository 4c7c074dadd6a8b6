//! Authorization responses that do not provably belong to us (`design` decision 27): they change nothing
//! and cause no call to a bank, and the browser that is under way there may choose what to do.

use serde_json::{Value, json};
use url::Url;

use crate::support::at_the_bank::{AtTheBank, is_led_back, is_refused};
use crate::support::fake_bank::CallbackParams;
use crate::support::gateway::{
    BANK, BANK_GUID, Backend, CLIENT, FORM_BANK_GUID, Setup, TestGateway, parameter,
};
use crate::support::served::Served;
use crate::support::visitor::{Page, Visitor};

crate::on_both_stores!(
    decision_27_a_response_that_proves_nothing_leads_back_and_changes_nothing,
    decision_27_continue_makes_everything_fresh_and_the_old_tab_says_so,
    decision_27_do_not_connect_ends_the_attempt_as_cancelled,
    decision_27_in_an_app_flow_the_app_is_told,
    decision_27_the_newest_attempt_of_that_path_is_meant,
    decision_27_only_the_browser_that_began_chooses,
    decision_27_not_now_ends_a_link_before_anybody_left,
    c6_an_error_without_issuer_counts_in_its_own_browser_alone,
);

/// The redirect URI, with that query.
fn returning(at: &AtTheBank, query: &str) -> Url {
    let mut url = at.response.redirect_uri.clone();
    url.set_query(Some(query).filter(|query| !query.is_empty()));
    url
}

async fn decision_27_a_response_that_proves_nothing_leads_back_and_changes_nothing(
    backend: Backend,
) {
    let at = AtTheBank::new(backend).await;
    for query in [
        "",
        "foo=1",
        "error=access_denied&error_description=declined",
        "error=temporarily_unavailable&state=",
        "code=abc",
    ] {
        at.refuses(&returning(&at, query), query).await;
    }
    let fields = [("error", "access_denied")];
    at.refuses_form(&at.response.redirect_uri, &fields, "by POST")
        .await;
    at.still_connects().await;

    let at = AtTheBank::of(backend, FORM_BANK_GUID).await;
    at.refuses(&returning(&at, ""), "nothing, by GET").await;
    at.refuses(&returning(&at, "error=access_denied"), "by GET")
        .await;
    at.refuses_form(&at.response.redirect_uri, &fields, "no state")
        .await;
    at.refuses_form(&at.response.redirect_uri, &[], "nothing")
        .await;
    assert_eq!(at.gateway.state(at.member).await["auth_status"], 1);
    let pairs = at.response.pairs();
    let fields: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let held = at
        .gateway
        .visitor()
        .post(&at.response.redirect_uri, &fields)
        .await;
    let page = at.visitor.follow_from(held).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

async fn decision_27_continue_makes_everything_fresh_and_the_old_tab_says_so(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let first = gateway.open(&visitor, &link).await;
    let old = gateway.bank.code_for(&first);
    let mut empty = old.redirect_uri.clone();
    empty.set_query(None);
    let asked = visitor.follow(&empty).await;
    is_led_back(&asked, "nothing came");
    let continued = visitor.press(&asked, "continue").await;
    assert_eq!(continued.status, 303, "{}", continued.body);
    let second = continued.location().expect("a location");
    for fresh in ["state", "code_challenge"] {
        assert_ne!(
            parameter(&first, fresh),
            parameter(&second, fresh),
            "{fresh}"
        );
    }
    // The bank responds to the old attempt, in the old tab.
    let replaced = visitor.follow(&old.url()).await;
    assert_eq!((replaced.status, replaced.name()), (410, Some("replaced")));
    assert!(
        replaced.body.contains("data-action=\"retry\" href=\"\""),
        "check again"
    );
    let pressed = visitor
        .follow_from(visitor.press(&asked, "continue").await)
        .await;
    assert_eq!(
        pressed.name(),
        Some("replaced"),
        "the old page goes on nowhere"
    );
    let pressed = visitor
        .follow_from(visitor.press(&asked, "cancel").await)
        .await;
    assert_eq!(pressed.name(), Some("replaced"), "and ends nothing");
    assert_eq!(gateway.bank.hits().token, 0);
    assert_eq!(gateway.state(member).await["auth_status"], 1);

    let page = visitor.follow(&gateway.bank.code_for(&second).url()).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let page = visitor.get(&replaced.url).await;
    assert_eq!(page.name(), Some("connected"), "checked again");
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
}

async fn decision_27_do_not_connect_ends_the_attempt_as_cancelled(backend: Backend) {
    let at = AtTheBank::new(backend).await;
    let asked = at.visitor.follow(&returning(&at, "")).await;
    let cancelled = at.visitor.press(&asked, "cancel").await;
    assert_eq!(cancelled.status, 303, "{}", cancelled.body);
    let page = at.visitor.follow_from(cancelled).await;
    assert_eq!(
        (page.name(), page.reason()),
        (Some("cancelled"), Some("CANCELLED"))
    );
    is_cancelled(&at.gateway, &at.gateway.state(at.member).await).await;
    // Pressed again, with a late response: the same.
    let again = at
        .visitor
        .follow_from(at.visitor.press(&asked, "cancel").await)
        .await;
    assert_eq!(again.name(), Some("cancelled"));
    let again = at
        .visitor
        .follow_from(at.visitor.press(&asked, "continue").await)
        .await;
    assert_eq!(again.name(), Some("cancelled"));
    let late = at.visitor.follow(&at.response.url()).await;
    assert_eq!(late.name(), Some("cancelled"));
    assert_eq!(at.gateway.bank.hits().token, 0);
    let again = at.visitor.press(&page, "retry").await;
    assert_eq!(again.status, 303, "{}", again.body);
}

/// The state is told once as ERRORED, CANCELLED.
async fn is_cancelled(gateway: &TestGateway, state: &Value) {
    assert_eq!(
        (&state["auth_status"], &state["error_reason"]),
        (&json!(3), &json!(1)),
        "{state}"
    );
    let guid = state["guid"].as_str().expect("a guid").to_owned();
    let limit = std::time::Duration::from_secs(10);
    let told = gateway
        .hooks
        .wait_for(
            |told| told.iter().any(|event| event.text().contains(&guid)),
            limit,
        )
        .await;
    let of_it = told.iter().filter(|event| event.text().contains(&guid));
    assert_eq!(of_it.count(), 1);
}

async fn decision_27_in_an_app_flow_the_app_is_told(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    for policy in ["single", "interstitial"] {
        let body = json!({
            "member": {"institution_guid": BANK_GUID, "is_oauth": true},
            "referral_source": "APP",
            "client_redirect_url": "https://app.example/done",
            "open_policy": policy,
        });
        let (member, link) = gateway.member_with(body).await;
        let visitor = gateway.visitor();
        let asked = match policy {
            "single" => {
                let request = gateway.open(&visitor, &link).await;
                let mut empty = gateway.bank.code_for(&request).redirect_uri;
                empty.set_query(None);
                visitor.follow(&empty).await
            }
            _ => visitor.get(&link).await,
        };
        let page = visitor
            .follow_from(visitor.press(&asked, "cancel").await)
            .await;
        let expected = format!(
            "https://app.example/done?status=error&member_guid={member}&error_reason=CANCELLED"
        );
        assert_eq!(
            page.header("location"),
            Some(expected.as_str()),
            "{}",
            page.body
        );
        assert_eq!((page.status, page.name()), (303, Some("cancelled")));
    }
}

async fn decision_27_the_newest_attempt_of_that_path_is_meant(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let visitor = gateway.visitor();
    let mut asked = Vec::new();
    for institution in [BANK_GUID, BANK_GUID, FORM_BANK_GUID] {
        let body = json!({"member": {"institution_guid": institution, "is_oauth": true}});
        let (member, link) = gateway.member_with(body).await;
        let request = gateway.open(&visitor, &link).await;
        let mut empty = gateway.bank.code_for(&request).redirect_uri;
        empty.set_query(None);
        asked.push((member, visitor.follow(&empty).await));
    }
    let to = |page: &Page| page.button("cancel").expect("a button").0;
    let [(_, first), (second, newest), (_, elsewhere)] = &asked[..] else {
        panic!("three");
    };
    assert_ne!(to(first), to(newest));
    assert_ne!(to(newest), to(elsewhere));
    // With the newest ended, the one before it is meant.
    visitor.press(newest, "cancel").await;
    assert_eq!(gateway.state(*second).await["auth_status"], 3);
    let mut empty = gateway.at("/oauth/redirect_from/acme/fake_bank");
    assert_eq!(to(&visitor.follow(&empty).await), to(first));
    // An attempt at another client's path, or of one that is over, is none here.
    empty.set_path("/oauth/redirect_from/rival/fake_bank");
    is_refused(&visitor.get(&empty).await, "another client's path");
}

async fn decision_27_only_the_browser_that_began_chooses(backend: Backend) {
    let at = AtTheBank::new(backend).await;
    let asked = at.visitor.follow(&returning(&at, "")).await;
    let (to, _) = asked.button("cancel").expect("a button");
    for action in ["continue", "cancel", "retry", ""] {
        let fields = [("action", action)];
        let stranger = at.gateway.visitor().post(&to, &fields).await;
        assert_eq!(
            (stranger.status, stranger.name()),
            (404, Some("unknown")),
            "{action}"
        );
        for header in [
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "cross-site"),
        ] {
            let page = at.visitor.post_with(&to, &fields, &[header]).await;
            assert_eq!(
                (page.status, page.location()),
                (404, None),
                "{action} {header:?}"
            );
        }
    }
    let odd = at.visitor.post(&to, &[("action", "connect")]).await;
    assert_eq!((odd.status, odd.name()), (404, Some("unknown")));
    let retried = at.visitor.post(&to, &[("action", "retry")]).await;
    assert_eq!(retried.status, 404, "nothing has failed yet");
    at.still_connects().await;
}

async fn decision_27_not_now_ends_a_link_before_anybody_left(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = |policy: &str| json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}, "open_policy": policy});
    let (member, link) = gateway.member_with(body("interstitial")).await;
    let (other, single) = gateway.member_with(body("single")).await;
    let visitor = gateway.visitor();
    let page = visitor.get(&link).await;
    assert_eq!(page.name(), Some("interstitial"));
    let (_, fields) = page.button("cancel").expect("a button");
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();

    // It takes the page's one-time value, in its own browser, and a link that asks first.
    let without_value = visitor.post(&link, &[("action", "cancel")]).await;
    let stranger = gateway.visitor().post(&link, &fields).await;
    let elsewhere = visitor
        .post_with(&link, &fields, &[("sec-fetch-site", "cross-site")])
        .await;
    let of_another = visitor.post(&single, &fields).await;
    for page in [without_value, stranger, elsewhere, of_another] {
        assert!(page.status >= 400, "{}", page.body);
        assert!(page.location().is_none() && page.cookies().is_empty());
    }
    for member in [member, other] {
        assert_eq!(gateway.state(member).await["auth_status"], 1);
    }

    let declined = visitor.press(&page, "cancel").await;
    assert_eq!((declined.status, declined.name()), (200, Some("cancelled")));
    assert!(
        declined.form().is_none(),
        "nothing to try again: {}",
        declined.body
    );
    is_cancelled(&gateway, &gateway.state(member).await).await;
    assert_eq!(gateway.read(member).await["connection_status"], "PENDING");
    let late = visitor.press(&page, "continue").await;
    assert_eq!((late.status, late.name()), (410, Some("used")));
    let late = visitor.press(&page, "cancel").await;
    assert_eq!((late.status, late.name()), (410, Some("used")));
    assert_eq!(
        gateway.visitor().get(&single).await.status,
        302,
        "still there"
    );
}

async fn c6_an_error_without_issuer_counts_in_its_own_browser_alone(backend: Backend) {
    let setup = Setup {
        oauth: "iss = \"required_with_code\"".to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let response = gateway.bank.code_for(&request);
    let code = CallbackParams {
        iss: None,
        ..response.clone()
    };
    is_led_back(&visitor.follow(&code.url()).await, "a code without issuer");
    let error = CallbackParams {
        code: None,
        error: Some(("access_denied".to_owned(), "declined".to_owned())),
        ..code
    };
    let foreign = CallbackParams {
        iss: Some("https://evil.example".to_owned()),
        ..error.clone()
    };
    is_led_back(&visitor.follow(&foreign.url()).await, "another issuer's");
    let stranger = gateway.visitor().follow(&error.url()).await;
    assert_eq!(stranger.name(), Some("wrong-browser"));
    assert_eq!(gateway.state(member).await["auth_status"], 1, "not burnt");
    let page = visitor.follow(&error.url()).await;
    assert_eq!(
        (page.name(), page.reason()),
        (Some("cancelled"), Some("CANCELLED"))
    );
    assert_eq!(gateway.bank.hits().token, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_each_refused_response_is_logged_with_the_banks_words_and_no_secret() {
    let served = Served::start(Backend::Sqlite).await;
    let gateway = &served.gateway;
    let (_, link) = gateway.member().await;
    let visitor = Visitor::new();
    let request = gateway.open(&visitor, &link).await;
    let response = gateway.bank.code_for(&request);
    let (state, code) = (
        response.state.clone().expect("a state"),
        response.code.clone().expect("a code"),
    );
    let words = format!("kontosperre for {state} and {code}\r\n\u{1b}[31mnew line");
    let refused = CallbackParams {
        state: None,
        error: Some(("access_denied".to_owned(), words)),
        ..response.clone()
    };
    is_led_back(&visitor.follow(&refused.url()).await, "no state");
    is_refused(&Visitor::new().get(&refused.url()).await, "no state");
    let posted = visitor
        .post(&response.redirect_uri, &[("error", "posted_error")])
        .await;
    assert_eq!(posted.status, 303);
    // Why it was refused is to be read at its own registration alone.
    let mut elsewhere = posted.location().expect("a location");
    elsewhere.set_path("/oauth/redirect_from/rival/fake_bank");
    is_led_back(&visitor.follow_from(posted).await, "posted");
    is_refused(&visitor.get(&elsewhere).await, "of another registration");
    let foreign = CallbackParams {
        iss: Some(format!("https://evil.example/{state}")),
        ..response
    };
    is_led_back(&visitor.follow(&foreign.url()).await, "another issuer");

    let refused = "authorization response refused";
    let log = served.log_with(5, refused).await;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(refused)).collect();
    let (of_another, lines): (Vec<&str>, Vec<&str>) =
        lines.into_iter().partition(|line| line.contains("rival"));
    assert_eq!(of_another.len(), 1, "{log}");
    assert!(!of_another[0].contains("posted_error"), "{}", of_another[0]);
    assert_eq!(lines.len(), 4, "one line each: {log}");
    for line in &lines {
        assert!(
            line.contains("acme") && line.contains("fake_bank"),
            "{line}"
        );
        assert!(line.contains("reason"), "{line}");
    }
    for line in &lines[..2] {
        assert!(line.contains("access_denied: kontosperre for"), "{line}");
        assert!(line.contains("support_code"), "{line}");
    }
    assert!(
        lines[0].contains("oauth_state") && lines[0].contains("member"),
        "{}",
        lines[0]
    );
    assert!(lines[2].contains("posted_error"), "{}", lines[2]);
    assert!(lines[3].contains("https://evil.example/"), "{}", lines[3]);
    for secret in [&state, &code] {
        assert!(!log.contains(secret.as_str()), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_a_response_that_the_limit_refuses_is_logged_with_where_it_arrived() {
    let setup = Setup {
        swaps: vec![(
            "unknown_links_per_minute = 1000",
            "unknown_links_per_minute = 1000\nunknown_attempts_per_minute = 1",
        )],
        ..Setup::default()
    };
    let served = Served::with(Backend::Sqlite, setup).await;
    let url = served.gateway.at(&format!(
        "/oauth/redirect_from/{CLIENT}/{BANK}?error=access_denied"
    ));
    is_refused(&Visitor::new().get(&url).await, "the first");
    let limited = Visitor::new().get(&url).await;
    assert_eq!((limited.status, limited.name()), (429, Some("busy")));
    let posted = Visitor::new()
        .post(&url, &[("error", "access_denied")])
        .await;
    assert_eq!((posted.status, posted.name()), (429, Some("busy")));
    let log = served.log_with(2, "429 Too Many Requests").await;
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| {
            line.contains("authorization response refused")
                && line.contains("429 Too Many Requests")
        })
        .collect();
    assert_eq!(lines.len(), 2, "{log}");
    for line in lines {
        for known in [format!("client={CLIENT}"), format!("institution={BANK}")] {
            assert!(line.contains(&known), "{known}: {line}");
        }
    }
}

/// The callback path says whose it is, whatever comes there: a dead end leads back to the app.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_return_names_both_parties_and_leads_back_to_the_app() {
    let setup = Setup {
        client: "home = \"https://app.example/start\"".to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let visitor = gateway.visitor();
    let path = format!("/oauth/redirect_from/{CLIENT}/{BANK}");
    let names = |page: &Page| page.body.contains("Acme Budget") && page.body.contains("Fake Bank");
    let leads_back = "data-action=\"return\" href=\"https://app.example/start\"";
    let forged = visitor
        .get(&gateway.at(&format!("{path}?state=x&code=y")))
        .await;
    let document = [
        ("sec-fetch-dest", "document"),
        ("sec-fetch-mode", "navigate"),
    ];
    let large = Some(format!("code={}", "x".repeat(70_000)));
    // What is refused before the handler is asked.
    let large = visitor
        .send("POST", &gateway.at(&path), &document, large)
        .await;
    for (page, status) in [(forged, 400), (large, 413)] {
        assert_eq!((page.status, page.name()), (status, Some("bad-return")));
        assert!(names(&page), "{}", page.body);
        assert!(page.body.contains(leads_back), "{}", page.body);
    }
    for elsewhere in [
        format!("{path}x"),
        format!("/oauth/redirect_from/nobody/{BANK}"),
    ] {
        let page = visitor
            .get(&gateway.at(&format!("{elsewhere}?state=x&code=y")))
            .await;
        assert_eq!((page.status, page.name()), (400, Some("bad-return")));
        assert!(
            !names(&page) && !page.body.contains(leads_back),
            "{}",
            page.body
        );
    }
}
