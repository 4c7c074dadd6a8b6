//! What an authorization response may be (`security` C10-C15): its text, its parameters, its size, its
//! response mode.

use serde_json::json;
use url::Url;

use crate::support::at_the_bank::AtTheBank;
use crate::support::fake_bank::CallbackParams;
use crate::support::gateway::{Backend, FORM_BANK_GUID};
use crate::support::random_token;

crate::on_both_stores!(
    c10_a_refusal_is_judged_like_a_success_and_its_text_not_shown,
    c11_doubled_and_conflicting_parameters_are_refused,
    c14_only_the_mode_asked_for_is_taken,
    c15_a_form_post_needs_the_browser_too,
);

async fn c10_a_refusal_is_judged_like_a_success_and_its_text_not_shown(backend: Backend) {
    let at = AtTheBank::new(backend).await;
    let refusal = |description: &str| CallbackParams {
        code: None,
        error: Some(("access_denied".to_owned(), description.to_owned())),
        ..at.response.clone()
    };
    let unknown = CallbackParams {
        state: Some(format!("00{}", random_token())),
        ..refusal("x")
    };
    at.refuses(&unknown.url(), "an error with an unknown state")
        .await;
    let foreign = CallbackParams {
        iss: Some("https://evil.example".to_owned()),
        ..refusal("x")
    };
    at.refuses(&foreign.url(), "an error of another issuer")
        .await;
    let long = refusal(&"x".repeat(8_200));
    at.refuses(&long.url(), "a long error").await;
    assert_eq!(
        at.gateway.state(at.member).await["auth_status"],
        1,
        "nothing counted so far"
    );

    let hostile = "<script>alert('canary')</script>\r\nSet-Cookie: canary=1\u{1b}[31m\u{202e}";
    let mut url = refusal(hostile).url();
    url.query_pairs_mut()
        .append_pair("error_uri", "javascript:canary()");
    let url: Url = format!("{url}&foo=%ff%fe&foo=canary")
        .parse()
        .expect("a URL");
    let answered = at.visitor.get(&url).await;
    assert_eq!(answered.status, 303);
    assert_eq!(answered.cookies().len(), 0);
    let page = at
        .visitor
        .follow(&answered.location().expect("a location"))
        .await;
    assert_eq!(
        (page.name(), page.reason()),
        (Some("cancelled"), Some("CANCELLED"))
    );
    for response in [&answered, &page] {
        assert!(!response.body.contains("canary") && !response.body.contains("javascript:"));
        assert!(!format!("{:?}", response.headers).contains("canary"));
    }
    assert_eq!(at.gateway.bank.hits().token, 0);
    let state = at.gateway.state(at.member).await;
    assert_eq!(
        (&state["auth_status"], &state["error_reason"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(
        at.gateway.read(at.member).await["connection_status"],
        "PENDING"
    );
}

async fn c11_doubled_and_conflicting_parameters_are_refused(backend: Backend) {
    let at = AtTheBank::new(backend).await;
    let state = at.response.state.clone().expect("a state");
    for more in [
        ("code", "second"),
        ("state", state.as_str()),
        ("iss", "https://other.example"),
        ("error", "access_denied"),
    ] {
        let mut url = at.response.url();
        url.query_pairs_mut().append_pair(more.0, more.1);
        at.refuses(&url, more.0).await;
    }
    let mut url = at.response.url();
    url.query_pairs_mut()
        .append_pair("foo", "1")
        .append_pair("foo", "2");
    let page = at.visitor.follow(&url).await;
    assert_eq!(
        page.name(),
        Some("connected"),
        "unknown ones are ignored: {}",
        page.body
    );

    let at = AtTheBank::of(backend, FORM_BANK_GUID).await;
    let pairs = at.response.pairs();
    let fields: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
    for more in [
        ("code", "second"),
        ("state", "second"),
        ("error", "access_denied"),
    ] {
        let doubled = [&fields[..], &[more]].concat();
        at.refuses_form(&at.response.redirect_uri, &doubled, "twice in the form")
            .await;
    }
    for more in ["code=second", "state=second", "error=access_denied"] {
        let mut both = at.response.redirect_uri.clone();
        both.set_query(Some(more));
        let why = format!("in the form and in the query: {more}");
        at.refuses_form(&both, &fields, &why).await;
    }
    assert_eq!(at.gateway.bank.hits().token, 0);
    assert_eq!(at.gateway.state(at.member).await["auth_status"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c12_sizes_and_characters_are_limited_first() {
    let at = AtTheBank::new(Backend::Sqlite).await;
    for code in [
        "x".repeat(4_097),
        "x".repeat(20_000),
        "co de".to_owned(),
        "code\u{0}".to_owned(),
        "code\r\nx: y".to_owned(),
        "c\u{f6}de".to_owned(),
    ] {
        let response = CallbackParams {
            code: Some(code.clone()),
            ..at.response.clone()
        };
        at.refuses(&response.url(), &format!("{:.20}", code)).await;
    }
    let mut padded = at.response.url();
    padded
        .query_pairs_mut()
        .append_pair("foo", &"x".repeat(9_000));
    at.refuses(&padded, "over 8 kB in all").await;
    for raw in ["%", "%zz", "=&=&&", "state", "state=%00", "code&state&iss"] {
        let mut url = at.response.redirect_uri.clone();
        url.set_query(Some(raw));
        at.refuses(&url, raw).await;
    }
    at.still_connects().await;
}

async fn c14_only_the_mode_asked_for_is_taken(backend: Backend) {
    let at = AtTheBank::new(backend).await;
    let pairs = at.response.pairs();
    let fields: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
    at.refuses_form(
        &at.response.redirect_uri,
        &fields,
        "a form where a query was asked for",
    )
    .await;
    at.still_connects().await;

    let at = AtTheBank::of(backend, FORM_BANK_GUID).await;
    at.refuses(&at.response.url(), "a query where a form was asked for")
        .await;
    for method in ["PUT", "DELETE", "PATCH"] {
        let page = at.visitor.send(method, &at.response.url(), &[], None).await;
        assert_eq!(page.status, 405, "{method}");
    }
    assert_eq!(at.gateway.bank.hits().token, 0);
    assert_eq!(at.gateway.state(at.member).await["auth_status"], 1);
}

async fn c15_a_form_post_needs_the_browser_too(backend: Backend) {
    let at = AtTheBank::of(backend, FORM_BANK_GUID).await;
    let pairs = at.response.pairs();
    let fields: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let unknown = [("state", "07nothing"), ("code", "x")];
    at.refuses_form(&at.response.redirect_uri, &unknown, "unknown")
        .await;
    let random = format!("00{}", random_token());
    let unknown = [("state", random.as_str()), ("code", "x")];
    at.refuses_form(&at.response.redirect_uri, &unknown, "unknown")
        .await;

    // A cross-site POST comes without Lax cookies; another browser may send it as well.
    let held = at
        .gateway
        .visitor()
        .post(&at.response.redirect_uri, &fields)
        .await;
    assert_eq!(held.status, 303);
    assert!(held.cookies().is_empty());
    let next = held.location().expect("a location");
    assert_eq!(next.origin(), at.gateway.url.origin());
    assert!(
        !next
            .as_str()
            .contains(at.response.code.as_deref().expect("a code"))
    );
    assert_eq!(
        at.gateway.bank.hits().token,
        0,
        "nothing before the cookie is seen"
    );
    let mut guessed = next.clone();
    guessed.set_query(Some(&format!("answer={}", random_token())));
    at.refuses(&guessed, "a handle nobody gave out").await;
    let page = at.visitor.follow(&next).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);

    // The same response mode, in a browser that never opened the link: burnt, as any response there.
    let other = AtTheBank::of(backend, FORM_BANK_GUID).await;
    let pairs = other.response.pairs();
    let fields: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let stranger = other.gateway.visitor();
    let held = stranger.post(&other.response.redirect_uri, &fields).await;
    let page = stranger.follow(&held.location().expect("a location")).await;
    assert_eq!(page.name(), Some("wrong-browser"), "{}", page.body);
    assert_eq!(
        other.gateway.read(other.member).await["connection_status"],
        "PENDING"
    );
}
