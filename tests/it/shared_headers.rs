//! Headers that others write into, too (`design` decision 32): what they write badly hides nothing of
//! ours, and what cannot be read is not absent.

use serde_json::json;

use crate::support::at_the_bank::AtTheBank;
use crate::support::gateway::{Backend, TestGateway};
use crate::support::visitor::Visitor;

crate::on_both_stores!(
    decision_32_somebody_elses_cookie_hides_none_of_ours,
    decision_32_a_binding_that_cannot_be_read_burns_nothing,
    decision_32_a_header_that_cannot_be_read_claims_nothing,
);

/// Cookies that other sites on the host, or extensions, may have left.
fn plant_others(visitor: &Visitor) {
    visitor.plant("city", "Zürich");
    visitor.plant("__Host-own", "x");
    visitor.plant("zjunk", &"j".repeat(20_000));
}

async fn decision_32_somebody_elses_cookie_hides_none_of_ours(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    plant_others(&visitor);
    let request = gateway.open(&visitor, &link).await;
    let again = visitor.get(&link).await;
    assert_eq!((again.status, again.name()), (410, Some("resume")));
    let refusal = gateway.bank.refusal_for(&request, "access_denied", "no");
    let page = visitor.follow(&refusal.url()).await;
    assert_eq!(page.name(), Some("cancelled"), "{}", page.body);
    let again = visitor.press(&page, "retry").await;
    assert_eq!(again.status, 303, "{}", again.body);
    let request = again.location().expect("a location");
    let page = visitor.follow(&gateway.bank.code_for(&request).url()).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");

    let body = json!({"member": {"institution_code": "fake_bank", "is_oauth": true}, "open_policy": "interstitial"});
    let (_, link) = gateway.member_with(body).await;
    let page = visitor.get(&link).await;
    let begun = visitor.press(&page, "continue").await;
    assert_eq!(begun.status, 302, "{}", begun.body);
}

async fn decision_32_a_binding_that_cannot_be_read_burns_nothing(backend: Backend) {
    let at = AtTheBank::new(backend).await;
    let cookie = at.visitor.cookie_header().expect("a binding");
    let (name, value) = cookie.split_once('=').expect("a pair");
    let (attempt, _) = value.split_once('.').expect("an attempt and a secret");
    for unreadable in ["", "ü", "x", &value[1..], &format!("{attempt}.")] {
        let unknown = at.gateway.visitor();
        unknown.plant(name, unreadable);
        let page = unknown.follow(&at.response.url()).await;
        assert_eq!(page.name(), Some("wrong-browser"), "{unreadable:?}");
    }
    assert_eq!(at.gateway.bank.hits().revoke, 0);
    at.still_connects().await;
}

async fn decision_32_a_header_that_cannot_be_read_claims_nothing(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    for (header, status) in [
        (("sec-fetch-mode", "nävigate"), 200),
        (("sec-fetch-dest", "\u{fffd}"), 200),
        (("sec-purpose", "ü"), 503),
        (("sec-purpose", "ü;Prefetch"), 503),
        (("user-agent", "ü Slackbot"), 200),
    ] {
        let page = gateway.visitor().get_with(&link, &[header]).await;
        assert_eq!(
            (page.status, page.name()),
            (status, Some("preview")),
            "{header:?}"
        );
    }
    let lines = [("sec-purpose", "x"), ("sec-purpose", "prefetch")];
    let page = gateway.visitor().get_with(&link, &lines).await;
    assert_eq!(page.status, 503, "over several lines");

    // What is written badly beside it leaves the rest of a list as it is.
    let visitor = gateway.visitor();
    let languages = [("accept-language", "ü, en;q=0.5"), ("user-agent", "Größe")];
    let opened = visitor.get_with(&link, &languages).await;
    assert_eq!(opened.status, 302, "{}", opened.body);
    let page = visitor.get(&link).await;
    for header in [
        ("origin", "https://evil.exämple"),
        ("sec-fetch-site", "same-origin ü"),
    ] {
        let (to, _) = page.button("continue").expect("a form");
        let refused = visitor.post_with(&to, &[], &[header]).await;
        assert_eq!(
            (refused.status, refused.location()),
            (404, None),
            "{header:?}"
        );
    }
    assert_eq!(gateway.state(member).await["auth_status"], 1);
}
