//! Back to the app (`security` B1-B3, `design` decisions 8 and 9).

use std::sync::Arc;

use guichet::app::{self, Sources};
use guichet::config::{Config, Environment};
use guichet::domain::id::AttemptId;
use guichet::domain::secret::{AuthorizationState, BindingSecret};
use guichet::domain::window::Binding;
use guichet::flow::finish::{Finish, finish};
use serde_json::{Value, json};
use url::Url;

use crate::support::behaviour::Behaviour;
use crate::support::gateway::{
    BANK_GUID, Backend, MovableClock, Setup, SystemRandom, TestGateway, parameter,
};
use crate::support::visitor::{ANDROID, DESK, IPHONE, Page, Visitor};

crate::on_both_stores!(
    b3_an_app_is_told_the_outcome_and_nothing_else,
    b3_an_error_goes_back_to_the_app_at_once,
    b3_a_scheme_of_the_app_is_returned_to,
    b1_without_a_known_attempt_nobody_is_sent_anywhere,
    decision_9_browsers_are_never_sent_to_an_app,
);

const QUERY: &str = "a=1&status=old&b=%2F%26&member_guid=x&error_reason=y&c";

fn app_flow(more: Value) -> Value {
    let mut body = json!({
        "member": {"institution_guid": BANK_GUID, "is_oauth": true},
        "referral_source": "APP",
    });
    let fields = body.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    body
}

fn to_address() -> Value {
    app_flow(json!({"client_redirect_url": format!("https://app.example/done?{QUERY}")}))
}

/// The address an app is sent to, from a response that also has it in its page.
fn jump(page: &Page) -> String {
    assert_eq!(page.status, 303, "{}", page.body);
    let to = page.header("location").expect("a location").to_owned();
    let in_page = format!("href=\"{}\"", to.replace('&', "&#38;"));
    let named = format!("href=\"{}\"", to.replace('&', "&amp;"));
    let repeats = page.body.contains(&in_page) || page.body.contains(&named);
    assert!(
        repeats,
        "the page has the same link, for browsers that do not jump: {}",
        page.body
    );
    to
}

async fn b3_an_app_is_told_the_outcome_and_nothing_else(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member_with(to_address()).await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let response = gateway.bank.code_for(&request);
    let page = visitor.follow(&response.url()).await;
    assert_eq!(page.name(), Some("connected"));
    let to = jump(&page);
    let expected =
        format!("https://app.example/done?a=1&b=%2F%26&c&status=success&member_guid={member}");
    assert_eq!(to, expected);
    for secret in [response.code, response.state].map(|secret| secret.expect("a value")) {
        assert!(!to.contains(&secret) && !page.body.contains(&secret));
    }
    // The outcome can be seen again, with the way back.
    let again = visitor.get(&link).await;
    assert_eq!((again.status, again.name()), (410, Some("connected")));
    assert!(again.location().is_none());
    assert!(
        again.body.contains("data-action=\"return\""),
        "{}",
        again.body
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b2_an_address_is_kept_as_browsers_would_write_it() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    for (given, kept) in [
        ("to=my page", "to=my%20page"),
        ("to=No\u{eb}l", "to=No%C3%ABl"),
        ("to=%20+&x='", "to=%20+&x='"),
    ] {
        let address = format!("https://app.example/done?{given}");
        let body = app_flow(json!({"client_redirect_url": address}));
        let (member, link) = gateway.member_with(body).await;
        let page = gateway.connect(&gateway.visitor(), &link).await;
        let to = page.header("location").expect("a location");
        let expected =
            format!("https://app.example/done?{kept}&status=success&member_guid={member}");
        assert_eq!(to, expected);
    }
    // What is refused is refused for what it is.
    for (given, named) in [
        ("https://app.example/done?x#y", "fragment"),
        ("https://app.example/done?x=\\", "backslashes"),
        (
            "https://app.example/elsewhere?x=1",
            "registered return addresses",
        ),
    ] {
        let body = app_flow(json!({"client_redirect_url": given}));
        let (status, response) = gateway.nexus("POST", "/members", Some(body)).await;
        let message = response["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(status, 400, "{given}: {response}");
        assert!(message.contains("client_redirect_url"), "{message}");
        assert!(message.contains(named), "{given}: {message}");
    }
}

async fn b3_an_error_goes_back_to_the_app_at_once(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    for (error, reason, page_name) in [
        ("access_denied", "CANCELLED", "cancelled"),
        (
            "temporarily_unavailable",
            "PROVIDER_ERROR",
            "provider-error",
        ),
    ] {
        let (member, link) = gateway.member_with(to_address()).await;
        let visitor = gateway.visitor();
        let request = gateway.open(&visitor, &link).await;
        let refusal = gateway.bank.refusal_for(&request, error, "canary");
        let page = visitor.follow(&refusal.url()).await;
        assert_eq!(page.name(), Some(page_name));
        let expected = format!(
            "https://app.example/done?a=1&b=%2F%26&c&status=error&member_guid={member}&error_reason={reason}"
        );
        assert_eq!(jump(&page), expected);
        assert!(
            page.form().is_none(),
            "an app tries again by itself (decision 8)"
        );
        let result: Url = page.url.clone();
        let pressed = visitor.post(&result, &[]).await;
        assert_eq!((pressed.status, pressed.name()), (404, Some("unknown")));
    }
    // An exchange that fails.
    gateway.bank.next_token(Behaviour::invalid_grant());
    let (_, link) = gateway.member_with(to_address()).await;
    let page = gateway.connect(&gateway.visitor(), &link).await;
    let to: Url = jump(&page).parse().expect("a URL");
    assert_eq!(parameter(&to, "status").as_deref(), Some("error"));
    assert!(parameter(&to, "error_reason").is_some());
}

async fn b3_a_scheme_of_the_app_is_returned_to(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let by_scheme = app_flow(json!({"ui_message_webview_url_scheme": "com.example.acme"}));
    let expo = "exp://127.0.0.1:19000/--/oauth_complete";
    let by_address = app_flow(json!({"client_redirect_url": expo}));
    for (body, place) in [
        (by_scheme, "com.example.acme://oauth_complete"),
        (by_address, expo),
    ] {
        for phone in [ANDROID, IPHONE] {
            let (member, link) = gateway.member_with(body.clone()).await;
            let page = gateway.connect(&Visitor::called(phone), &link).await;
            let expected = format!("{place}?status=success&member_guid={member}");
            assert_eq!(jump(&page), expected);
        }
        // Any other browser may know no such app: it gets the page, which goes there by itself.
        for visitor in [Visitor::called(DESK), Visitor::new()] {
            let (member, link) = gateway.member_with(body.clone()).await;
            let page = gateway.connect(&visitor, &link).await;
            assert_eq!((page.status, page.name()), (200, Some("connected")));
            let to = format!("{place}?status=success&#38;member_guid={member}\"");
            for attribute in ["data-go", "href"] {
                let written = format!("{attribute}=\"{to}");
                assert!(page.body.contains(&written), "{written} in {}", page.body);
            }
            // Who comes back to the link later has read the page already.
            let again = visitor.get(&link).await;
            assert_eq!((again.status, again.name()), (410, Some("connected")));
            assert!(!again.body.contains("data-go"), "{}", again.body);
        }
    }

    // The default scheme was not allowed here.
    let (_, link) = gateway.member_with(app_flow(json!({}))).await;
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!((page.status, page.name()), (200, Some("connected")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decision_9_the_default_scheme_counts_where_the_client_allows_it() {
    let setup = Setup {
        swaps: vec![(
            "return_schemes = [\"com.example.acme\"]",
            "return_schemes = [\"mx\"]",
        )],
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    for body in [
        app_flow(json!({})),
        app_flow(json!({"ui_message_webview_url_scheme": "mx"})),
    ] {
        let (member, link) = gateway.member_with(body).await;
        let page = gateway.connect(&Visitor::called(ANDROID), &link).await;
        let expected = format!("mx://oauth_complete?status=success&member_guid={member}");
        assert_eq!(jump(&page), expected);
    }
}

async fn b1_without_a_known_attempt_nobody_is_sent_anywhere(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, link) = gateway.member_with(to_address()).await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let mut response = gateway.bank.code_for(&request);
    let known = response.clone();
    response.state = Some(format!("00{}", crate::support::random_token()));
    let page = visitor.follow(&response.url()).await;
    assert_eq!((page.status, page.name()), (200, Some("no-answer")));
    assert!(!page.body.contains("app.example"));
    // Nor is another browser than the one that left.
    let page = gateway.visitor().follow(&known.url()).await;
    assert_eq!((page.status, page.name()), (400, Some("wrong-browser")));
    assert!(!page.body.contains("app.example") && page.location().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b1_an_address_no_longer_registered_is_not_returned_to() {
    let gateway = TestGateway::start(Backend::Redis).await;
    let (_, link) = gateway.member_with(to_address()).await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let state = parameter(&request, "state").and_then(|state| AuthorizationState::parse(&state));
    let attempt = AttemptId::of(&state.expect("a state"));
    assert_eq!(
        visitor
            .follow(&gateway.bank.code_for(&request).url())
            .await
            .status,
        303
    );
    let cookie = visitor.cookie_header().expect("a cookie");
    let secret = cookie
        .rsplit_once('.')
        .and_then(|(_, value)| BindingSecret::parse(value));
    let binding = Binding {
        attempt: attempt.clone(),
        digest: secret.expect("a secret").digest(),
    };
    let back = async |inside: &guichet::flow::Gateway| match finish(
        inside,
        &attempt,
        std::slice::from_ref(&binding),
    )
    .await
    {
        Ok(Finish::Ended { back, .. }) => back,
        _ => panic!("not over"),
    };
    assert!(back(&gateway.inside).await.is_some());

    let file = gateway.folder.path().join("guichet.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    let without = text.replace("\"https://app.example/done\", ", "");
    assert_ne!(text, without);
    std::fs::write(&file, without).expect("a file");
    let nothing = Environment::of(std::iter::empty::<(String, String)>());
    let (config, _) = Config::load(Some(&file), &nothing).unwrap_or_else(|error| panic!("{error}"));
    let sources = Sources {
        clocks: Box::new(MovableClock::default()),
        random: Arc::new(SystemRandom),
    };
    let (changed, _) = app::build(config, sources).await.expect("a gateway");
    assert_eq!(back(&changed.app.gateway).await, None);
}

async fn decision_9_browsers_are_never_sent_to_an_app(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    for more in [
        json!({"client_redirect_url": "https://evil.example/"}),
        json!({"client_redirect_url": "https://app.example/done", "referral_source": "BROWSER"}),
        json!({"ui_message_webview_url_scheme": "javascript"}),
        json!({"ui_message_webview_url_scheme": "mx"}),
    ] {
        let mut body = json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}});
        let fields = body.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        let (_, link) = gateway.member_with(body).await;
        let page = gateway.connect(&gateway.visitor(), &link).await;
        assert_eq!(
            (page.status, page.name()),
            (200, Some("connected")),
            "{more}"
        );
        assert!(
            !page.body.contains("data-action=\"return\""),
            "{}",
            page.body
        );
    }
}
