//! Links that lead on by a button (`security` section 0, O9 and O10): Continue for the browser that
//! came before, and the page that is shown first to everybody.

use serde_json::json;
use url::Url;

use crate::support::gateway::{BANK_GUID, Backend, TestGateway, parameter};
use crate::support::random_token;
use crate::support::visitor::Page;

crate::on_both_stores!(
    o9_only_the_first_browser_may_reopen,
    o9_continue_starts_afresh_and_ends_what_was_before,
    o9_a_link_is_continued_five_times_and_its_page_then_says_how_it_stands,
    o10_an_interstitial_link_needs_its_button,
);

fn institution_body(policy: &str) -> serde_json::Value {
    json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}, "open_policy": policy})
}

fn assert_harmless(page: &Page, why: &str) {
    assert!(page.location().is_none(), "{why}: goes somewhere");
    assert!(page.cookies().is_empty(), "{why}: sets a cookie");
}

async fn o9_only_the_first_browser_may_reopen(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, link) = gateway.member().await;
    let (first, second) = (gateway.visitor(), gateway.visitor());
    let authorization = gateway.open(&first, &link).await;

    let refused = second.get(&link).await;
    assert_eq!((refused.status, refused.name()), (410, Some("used")));
    assert_harmless(&refused, "another browser");
    assert!(refused.form().is_none(), "nothing to continue");
    // A double click's second tab may be faster than the first one's cookie (decision 2).
    assert!(
        refused.body.contains(&format!("href=\"{}\"", link.path())),
        "{}",
        refused.body
    );
    let page = second.post(&link, &[]).await;
    assert_eq!(
        (page.status, page.name()),
        (410, Some("used")),
        "the button needs the cookie"
    );
    assert_harmless(&page, "a button without the cookie");

    let again = first.get(&link).await;
    assert_eq!((again.status, again.name()), (410, Some("resume")));
    assert_harmless(&again, "the same browser");
    assert_eq!(again.form(), Some(link.clone()));

    let connected = first
        .follow(&gateway.bank.code_for(&authorization).url())
        .await;
    assert_eq!(connected.name(), Some("connected"), "looking did not hurt");
    let after = first.get(&link).await;
    assert_eq!(
        (after.status, after.name()),
        (410, Some("connected")),
        "the outcome"
    );
    let other = second.get(&link).await;
    assert_eq!((other.status, other.name()), (410, Some("used")));
    assert!(
        !other.body.contains(&format!("href=\"{}\"", link.path())),
        "there is nothing to wait for"
    );
}

async fn o9_continue_starts_afresh_and_ends_what_was_before(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let first = gateway.open(&visitor, &link).await;
    let before = visitor.cookie_header().expect("a cookie");
    let form = visitor.get(&link).await.form().expect("a form");
    let own = gateway.url.origin().ascii_serialization();
    let cross = visitor
        .post_with(&form, &[], &[("origin", "https://evil.example")])
        .await;
    assert!(cross.status >= 400, "another site presses the button");
    assert_harmless(&cross, "another site");
    let continued = visitor
        .post_with(
            &form,
            &[],
            &[("origin", &own), ("sec-fetch-site", "same-origin")],
        )
        .await;
    assert!(matches!(continued.status, 302 | 303), "{}", continued.body);
    let second = continued.location().expect("a location");
    for fresh in ["state", "code_challenge"] {
        let value = |url: &Url| parameter(url, fresh).expect("a value");
        assert_ne!(value(&first), value(&second), "{fresh}");
    }
    // Who kept only the first cookie, a copy of it say, cannot continue any more.
    let stale = gateway.visitor();
    let (name, value) = before.split_once('=').expect("a pair");
    stale.plant(name, value);
    let page = stale.post(&form, &[]).await;
    assert_eq!((page.status, page.name()), (410, Some("used")));

    let late = visitor.follow(&gateway.bank.code_for(&first).url()).await;
    assert_ne!(late.name(), Some("connected"), "the old attempt is dead");
    assert_eq!(gateway.bank.hits().token, 0);
    let page = visitor.follow(&gateway.bank.code_for(&second).url()).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    assert_eq!(gateway.bank.hits().token, 1);
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    let page = visitor.post(&form, &[]).await;
    assert_eq!(
        (page.status, page.name()),
        (410, Some("connected")),
        "nothing to continue"
    );
    assert_harmless(&page, "a finished window");
}

/// Whatever its policy: without a bound one link makes attempts without end.
async fn o9_a_link_is_continued_five_times_and_its_page_then_says_how_it_stands(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let own = gateway.url.origin().ascii_serialization();
    let headers = [("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    for policy in ["single", "multi"] {
        let (member, link) = gateway.member_with(institution_body(policy)).await;
        let visitor = gateway.visitor();
        let mut newest = gateway.open(&visitor, &link).await;
        if policy == "multi" {
            // Whoever opens it as often as it may be opened takes nothing from this one.
            for _ in 1..5 {
                gateway.open(&gateway.visitor(), &link).await;
            }
        }
        for turn in 1..=5 {
            let form = visitor.get(&link).await.form();
            let form = form.unwrap_or_else(|| panic!("{policy}: the button of turn {turn}"));
            let continued = visitor.post_with(&form, &[], &headers).await;
            newest = continued.location().expect("to the institution");
            assert!(
                parameter(&newest, "state").is_some(),
                "{policy}: turn {turn}"
            );
        }
        let page = visitor.follow(&link).await;
        assert_eq!(page.name(), Some("no-answer"), "{policy}: {}", page.body);
        assert!(
            !page.body.contains("value=\"continue\""),
            "{policy}: a button that does nothing"
        );
        let page = visitor.follow(&gateway.bank.code_for(&newest).url()).await;
        assert_eq!(page.name(), Some("connected"), "{policy}: {}", page.body);
        assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    }
}

async fn o10_an_interstitial_link_needs_its_button(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member_with(institution_body("interstitial")).await;
    // However often, and whatever looks like a person, looks.
    for _ in 0..7 {
        let page = gateway.visitor().get(&link).await;
        assert_eq!((page.status, page.name()), (200, Some("interstitial")));
        assert!(page.location().is_none());
    }
    let visitor = gateway.visitor();
    let page = visitor.get(&link).await;
    assert!(
        page.body.contains("Fake Bank") && page.body.contains("Acme Budget"),
        "{}",
        page.body
    );
    for shared in ["Accounts you choose", "Payments in and out"] {
        assert!(page.body.contains(shared), "says what is shared: {shared}");
    }
    let form = page.form().expect("a form");
    assert_eq!(form, link);
    let proof = page
        .between("type=\"hidden\" name=\"", ">")
        .expect("a field");
    let (field, value) = proof.split_once("\" value=\"").expect("a value");
    let fields = [(field, value.trim_end_matches('"'))];
    let own = gateway.url.origin().ascii_serialization();

    let without_cookie = gateway.visitor().post(&form, &fields).await;
    let stranger = gateway.visitor();
    stranger.get(&link).await;
    let with_another_cookie = stranger.post(&form, &fields).await;
    let without_value = visitor.post(&form, &[]).await;
    let with_a_guess = visitor.post(&form, &[(field, &random_token())]).await;
    let from_elsewhere = visitor
        .post_with(&form, &fields, &[("origin", "https://evil.example")])
        .await;
    let from_nowhere = visitor
        .post_with(
            &form,
            &fields,
            &[("origin", "null"), ("sec-fetch-site", "cross-site")],
        )
        .await;
    let cross_site = visitor
        .post_with(&form, &fields, &[("sec-fetch-site", "cross-site")])
        .await;
    let same_site = visitor
        .post_with(&form, &fields, &[("sec-fetch-site", "same-site")])
        .await;
    for (why, page) in [
        ("no cookie", without_cookie),
        ("another browser's value", with_another_cookie),
        ("no value", without_value),
        ("a guess", with_a_guess),
        ("another origin", from_elsewhere),
        ("an opaque origin of another site", from_nowhere),
        ("another site", cross_site),
        ("a sibling site", same_site),
    ] {
        assert!(page.status >= 400, "{why}: {}", page.status);
        assert_harmless(&page, why);
    }
    assert_eq!(gateway.state(member).await["auth_status"], 1);
    assert_eq!(
        gateway.visitor().get(&link).await.name(),
        Some("interstitial"),
        "nothing happened"
    );

    // Our pages send no referrer: a browser without Sec-Fetch-Site calls their origin "null", and
    // what proves the form is the cookie.
    let begun = visitor
        .post_with(&form, &fields, &[("origin", "null")])
        .await;
    assert!(matches!(begun.status, 302 | 303), "{}", begun.body);
    let authorization = begun.location().expect("a location");
    let replayed = visitor.post_with(&form, &fields, &[("origin", &own)]).await;
    assert_eq!(replayed.status, 410);
    assert_harmless(&replayed, "the same value again");
    let page = visitor
        .follow(&gateway.bank.code_for(&authorization).url())
        .await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}
