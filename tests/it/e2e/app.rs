//! From the app and back to it: windows, messages, and browsers that lack one or the other.

use super::demo::{BANK, Demo};
use super::steps::somebody;
use crate::support::browser::{Browser, Options};
use crate::support::gateway::Backend;

crate::on_both_stores!(
    a_person_connects_in_a_window_of_its_own,
    a_person_declines_and_connects_later,
    a_person_comes_back_to_the_app_in_the_same_tab,
    a_person_connects_without_scripts,
    a_window_closed_too_early_is_noticed,
    the_app_follows_a_login_to_the_member_it_belongs_to,
);

const CONNECT: &str = "#connect-mx_bank_oauth";
const CONNECTED: &str = "#status[data-status=CONNECTED][data-auth-status='2']";

async fn a_person_connects_in_a_window_of_its_own(backend: Backend) {
    let demo = Demo::alone(backend);
    let browser = Browser::open(Options::default()).await;
    browser.go(&demo.app).await;
    let app = browser.window().await;
    browser.click(CONNECT).await;
    let windows = browser.new_windows(&[&app], 2).await;
    browser.look_at(&windows[0]).await;
    assert_eq!(browser.ask("window.opener !== null").await, true);
    browser.agree().await;

    // It closes itself.
    browser.new_windows(&[], 1).await;
    browser.look_at(&app).await;
    browser.find(CONNECTED).await;
    browser
        .find("#heard[data-type='oauthComplete/success']:not([hidden])")
        .await;
    browser.find("#accounts li[data-account]").await;
    browser.find("#transactions li").await;
    let member = browser.hidden_text("#member-guid").await;
    assert_eq!(
        browser
            .ask("document.querySelector('#heard').dataset.memberGuid")
            .await,
        member
    );
    let told = async || browser.hidden_text("#told").await.contains(&member);
    browser.wait_until("the webhooks", told).await;
    assert_eq!(demo.member(&member).await["connection_status"], "CONNECTED");
}

async fn a_person_declines_and_connects_later(backend: Backend) {
    let demo = Demo::alone(backend);
    let browser = Browser::open(Options::default()).await;
    browser.go(&demo.app).await;
    let app = browser.window().await;
    browser.click(CONNECT).await;
    let windows = browser.new_windows(&[&app], 2).await;
    browser.look_at(&windows[0]).await;
    browser.arrives_at("login").await;
    browser.click("#cancel").await;
    browser.arrives_at("cancelled").await;
    // The app is in the window behind this one.
    let back = browser.find("[data-action=return]").await;
    assert!(!back.is_displayed().await.expect("a link"));
    // An ending that is no success stays, so that it can be read; the person closes it.
    browser.press("close").await;
    browser.new_windows(&[], 1).await;

    browser.look_at(&app).await;
    browser
        .find("#heard[data-type='oauthComplete/error'][data-error-reason=CANCELLED]")
        .await;
    browser
        .find("#status[data-status=PENDING][data-auth-status='3'][data-error-reason=CANCELLED]")
        .await;
    browser.click("#connect-again").await;
    let windows = browser.new_windows(&[&app], 2).await;
    browser.look_at(&windows[0]).await;
    browser.agree().await;
    browser.new_windows(&[], 1).await;
    browser.look_at(&app).await;
    browser.find(CONNECTED).await;
}

async fn a_window_closed_too_early_is_noticed(backend: Backend) {
    let demo = Demo::alone(backend);
    let browser = Browser::open(Options::default()).await;
    browser.go(&demo.app).await;
    let app = browser.window().await;
    let mut members = Vec::new();
    // By the button that goes on, and by choosing the same bank once more.
    for again in ["#connect-again", CONNECT] {
        browser.click(CONNECT).await;
        let windows = browser.new_windows(&[&app], 2).await;
        browser.look_at(&windows[0]).await;
        browser.arrives_at("login").await;
        browser.look_at(&app).await;
        browser.find("#status[data-status=PENDING]").await;
        assert!(!browser.has("#status[data-closed]").await);
        browser.look_at(&windows[0]).await;
        browser.driver().close_window().await.expect("it closes");
        browser.look_at(&app).await;
        browser.find("#status[data-closed]").await;
        assert!(browser.text("#status").await.contains("window is closed"));
        members.push(browser.hidden_text("#member-guid").await);

        browser.click(again).await;
        let windows = browser.new_windows(&[&app], 2).await;
        browser.look_at(&windows[0]).await;
        browser.agree().await;
        browser.new_windows(&[], 1).await;
        browser.look_at(&app).await;
        browser.find(CONNECTED).await;
        assert!(!browser.has("#status[data-closed]").await);
        let member = browser.hidden_text("#member-guid").await;
        assert_eq!(members.last(), Some(&member));
    }
    let listed = "document.querySelectorAll('#members li').length";
    assert_eq!(browser.ask(listed).await, members.len());
}

async fn a_person_comes_back_to_the_app_in_the_same_tab(backend: Backend) {
    let demo = Demo::shared(backend);
    let browser = Browser::open(Options::default()).await;
    let home = async || browser.address().await.origin() == demo.app.origin();
    let (_, link) = demo.mint(BANK, serde_json::Value::Null).await;
    browser.go(&link).await;
    browser.arrives_at("login").await;
    browser.click("#cancel").await;
    browser.arrives_at("cancelled").await;
    browser.press("return").await;
    browser.wait_until("the app", home).await;

    // The link leads nowhere any more, but not into the void.
    browser.go(&link).await;
    browser.arrives_at("cancelled").await;
    browser.press("retry").await;
    browser.agree().await;
    browser.arrives_at("connected").await;
    browser.press("return").await;
    browser.wait_until("the app", home).await;
}

/// A page on the way that cut the window off from its opener would do so for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_asks_and_waits_on_the_way_still_tells_its_opener() {
    let demo = Demo::alone(Backend::Sqlite);
    let browser = Browser::open(Options::default()).await;
    browser.go(&demo.app).await;
    let app = browser.window().await;
    browser.click(CONNECT).await;
    let windows = browser.new_windows(&[&app], 2).await;
    browser.look_at(&windows[0]).await;
    browser.sign_in("empty_return").await;
    browser.arrives_at("no-answer").await;
    browser.press("continue").await;
    browser.sign_in("slow").await;
    browser.arrives_at("consent").await;
    browser.click("#allow").await;
    browser.arrives_at("connecting").await;
    browser.new_windows(&[], 1).await;
    browser.look_at(&app).await;
    browser
        .find("#heard[data-type='oauthComplete/success']:not([hidden])")
        .await;
    browser.find(CONNECTED).await;
}

async fn a_person_connects_without_scripts(backend: Backend) {
    let demo = Demo::alone(backend);
    let options = Options {
        javascript: false,
        ..Options::default()
    };
    let browser = Browser::open(options).await;
    browser.go(&demo.app).await;
    browser.click(CONNECT).await;
    browser.sign_in("wrong").await;
    browser.find("#wrong").await;
    browser.click("#give-up").await;
    browser.arrives_at("denied").await;
    assert!(
        !browser
            .find("[data-action=close]")
            .await
            .is_displayed()
            .await
            .unwrap(),
        "a button that only a script could serve"
    );
    browser.press("retry").await;
    browser.agree().await;
    browser.arrives_at("connected").await;

    browser.go(&demo.app).await;
    browser.click("#members li[data-status=CONNECTED] a").await;
    browser.find("#status[data-status=CONNECTED]").await;
    let pulled = async || {
        if browser.has("#accounts li[data-account]").await {
            return true;
        }
        // By hand, as the page says to people without scripts.
        browser.click("noscript a").await;
        false
    };
    browser.wait_until("the accounts", pulled).await;
}

async fn the_app_follows_a_login_to_the_member_it_belongs_to(backend: Backend) {
    let demo = Demo::shared(backend);
    let browser = Browser::open(Options::default()).await;
    let login = somebody();
    let mut members = Vec::new();
    for _ in 0..2 {
        let (member, link) = demo.mint(BANK, serde_json::Value::Null).await;
        browser.go(&link).await;
        browser.sign_in_as(&login, "any").await;
        browser.arrives_at("consent").await;
        browser.click("#allow").await;
        browser.arrives_at("connected").await;
        members.push(member);
    }
    // The app asks about the one it sent away, and shows the one the login belongs to.
    let address = demo.app.join(&format!("?member={}", members[1]));
    browser.go(address.expect("an address")).await;
    browser.find("#status[data-status=CONNECTED]").await;
    assert_eq!(browser.hidden_text("#member-guid").await, members[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_whose_opener_is_gone_still_ends_well() {
    let demo = Demo::alone(Backend::Sqlite);
    let browser = Browser::open(Options::default()).await;
    browser.go(&demo.app).await;
    let app = browser.window().await;
    browser.click(CONNECT).await;
    let popup = browser.new_windows(&[&app], 2).await.remove(0);
    let following = async || browser.address().await.query().is_some();
    browser.wait_until("a member to follow", following).await;
    let query = browser.address().await;
    let member = query
        .query()
        .and_then(|query| query.strip_prefix("member="));
    browser.driver().close_window().await.expect("it closes");

    browser.look_at(&popup).await;
    browser.agree().await;
    browser.arrives_at("connected").await;
    let member = demo.member(member.expect("a member")).await;
    assert_eq!(member["connection_status"], "CONNECTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_window_can_be_opened_by_hand() {
    let demo = Demo::alone(Backend::Sqlite);
    let browser = Browser::open(Options::default()).await;
    browser.go(&demo.app).await;
    let app = browser.window().await;
    // What a blocker does to a page.
    browser.ask("(window.open = () => null, true)").await;
    browser.click(CONNECT).await;
    // The link is there a moment before the card that it stands in is shown.
    browser
        .find("#follow:not([hidden]) #blocked:not([hidden])")
        .await;
    browser.click("#open-link").await;
    let windows = browser.new_windows(&[&app], 2).await;
    browser.look_at(&windows[0]).await;
    browser.agree().await;
    browser.new_windows(&[], 1).await;
    browser.look_at(&app).await;
    browser
        .find("#heard[data-type='oauthComplete/success']")
        .await;
    browser.find(CONNECTED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_opens_the_link_is_told_nothing() {
    let demo = Demo::shared(Backend::Sqlite);
    let (member, link) = demo.mint(BANK, serde_json::Value::Null).await;
    let browser = Browser::open(Options::default()).await;
    // The bank's origin is not one of the app's: it may open the link and hears nothing.
    browser.go(&demo.bank).await;
    let stranger = browser.window().await;
    browser
        .ask("(window.heard = [], addEventListener('message', (event) => heard.push(event.data)), true)")
        .await;
    browser.open_aside(&link).await;
    let popup = browser.new_windows(&[&stranger], 2).await.remove(0);
    browser.look_at(&popup).await;
    browser.agree().await;
    browser.new_windows(&[], 1).await;
    browser.look_at(&stranger).await;
    assert_eq!(demo.state(&member).await["auth_status"], 2);
    assert_eq!(browser.ask("window.heard.length").await, 0);
}
