//! Responses of the strict bank, brought by a real browser.

use crate::signed_responses::Signed;
use crate::support::browser::{Browser, Options};
use crate::support::gateway::Backend;
use crate::support::strict_bank::Rules;
use crate::support::strict_bank::knobs::Authorize;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c16_a_posted_jwt_connects_in_a_browser() {
    let at = Signed::jarm(Backend::Sqlite, "form_post.jwt").await;
    let (member, link) = at.member().await;
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    browser.arrives_at("connected").await;
    assert!(browser.address().await.query().is_none());
    assert_eq!(
        at.gateway.read(member).await["connection_status"],
        "CONNECTED"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c13_a_response_that_is_in_the_fragment_alone_is_none() {
    let at = Signed::start(Backend::Sqlite, Rules::default(), "", None).await;
    at.bank.turn(Authorize::InTheFragment);
    let (member, link) = at.member().await;
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    browser.arrives_at("no-answer").await;
    let landed = browser.address().await;
    assert!(landed.fragment().is_none_or(str::is_empty), "{landed}");
    assert!(landed.query().is_none(), "{landed}");
    assert_eq!(at.gateway.state(member).await["auth_status"], 1);
}
