//! Links under `multi`: spent when one browser completes, opened at most five times.

use std::time::Duration;

use crate::support::gateway::{BANK_GUID, Backend, TestGateway, parameter};
use serde_json::{Value, json};

crate::on_both_stores!(
    o5_a_scanner_does_not_spoil_the_link,
    o5_a_scanner_does_not_shorten_the_link,
    o6_tabs_do_not_disturb_one_another,
    o7_a_sixth_open_is_refused,
);

fn body() -> Value {
    json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}, "open_policy": "multi"})
}

async fn o5_a_scanner_does_not_spoil_the_link(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member_with(body()).await;
    // It follows to the bank's login and stops there.
    gateway.open(&gateway.visitor(), &link).await;
    let person = gateway.visitor();
    let page = gateway.connect(&person, &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    let later = gateway.visitor().get(&link).await;
    assert_eq!((later.status, later.name()), (410, Some("used")), "spent");
    let own = person.get(&link).await;
    assert_eq!((own.status, own.name()), (410, Some("connected")));
}

async fn o5_a_scanner_does_not_shorten_the_link(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let mut body = body();
    body["link_minutes"] = json!(6000);
    let (member, link) = gateway.member_with(body).await;
    gateway.open(&gateway.visitor(), &link).await;
    gateway.clock.advance(Duration::from_secs(3 * 24 * 60 * 60));
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    assert!(
        gateway
            .inside
            .store
            .member(gateway.user, member)
            .await
            .is_ok()
    );
}

async fn o6_tabs_do_not_disturb_one_another(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member_with(body()).await;
    let visitor = gateway.visitor();
    let (one, two, three) = tokio::join!(
        gateway.open(&visitor, &link),
        gateway.open(&visitor, &link),
        gateway.open(&visitor, &link),
    );
    let states = [&one, &two, &three].map(|url| parameter(url, "state").expect("a state"));
    assert!(states[0] != states[1] && states[1] != states[2] && states[0] != states[2]);
    let cookies = visitor.cookie_header().expect("cookies");
    assert_eq!(cookies.split("; ").count(), 3, "one cookie each: {cookies}");

    let first_response = gateway.bank.code_for(&one);
    let second = visitor.follow(&gateway.bank.code_for(&two).url()).await;
    assert_eq!(second.name(), Some("connected"), "{}", second.body);
    assert_eq!(gateway.bank.hits().token, 1);
    let first = visitor.follow(&first_response.url()).await;
    assert_eq!(
        first.name(),
        Some("connected"),
        "the same outcome: {}",
        first.body
    );
    assert_eq!(gateway.bank.hits().token, 1, "no second exchange");
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
}

async fn o7_a_sixth_open_is_refused(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, link) = gateway.member_with(body()).await;
    let mut browsers = Vec::new();
    for _ in 0..5 {
        let browser = gateway.visitor();
        let authorization = gateway.open(&browser, &link).await;
        browsers.push((browser, authorization));
    }
    let sixth = gateway.visitor().get(&link).await;
    assert_eq!((sixth.status, sixth.name()), (410, Some("used")));
    assert!(sixth.cookies().is_empty() && sixth.location().is_none());
    // Any of the five still completes.
    let (browser, authorization) = &browsers[1];
    let page = browser
        .follow(&gateway.bank.code_for(authorization).url())
        .await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let (browser, authorization) = &browsers[0];
    let page = browser
        .follow(&gateway.bank.code_for(authorization).url())
        .await;
    assert_eq!(
        page.name(),
        Some("connected"),
        "the same outcome: {}",
        page.body
    );
    assert_eq!(gateway.bank.hits().token, 1);
}
