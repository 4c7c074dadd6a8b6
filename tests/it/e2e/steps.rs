//! What a person does in a browser, step by step.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use thirtyfour::prelude::*;
use thirtyfour::{Key, WindowHandle};
use url::Url;

use crate::support::browser::Browser;

/// Longer than the way through any of our pages.
const MOST_TABS: usize = 40;

/// A user name that nobody else types: the same login, connected twice, is one member.
pub fn somebody() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    format!("person-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Browser {
    /// Waits for the page with this stable name, of the gateway or of the sandbox bank.
    pub async fn arrives_at(&self, page: &str) {
        self.find(&format!("body[data-page='{page}']")).await;
    }

    /// Signs in at the sandbox bank as somebody who was never there before.
    pub async fn sign_in(&self, password: &str) {
        self.sign_in_as(&somebody(), password).await;
    }

    /// Signs in at the sandbox bank under this name.
    pub async fn sign_in_as(&self, name: &str, password: &str) {
        self.arrives_at("login").await;
        self.type_into("#username", name).await;
        self.type_into("#password", password).await;
        self.click("#sign-in").await;
    }

    /// Signs in at the sandbox bank and agrees to everything.
    pub async fn agree(&self) {
        self.sign_in("any").await;
        self.arrives_at("consent").await;
        self.click("#allow").await;
    }

    /// Presses a button of the gateway's page.
    pub async fn press(&self, action: &str) {
        self.click(&format!("[data-action={action}]")).await;
    }

    /// Whether an element matches, right now.
    pub async fn has(&self, selector: &str) -> bool {
        self.driver().find(By::Css(selector)).await.is_ok()
    }

    /// The text that an element shows, waited for.
    pub async fn text(&self, selector: &str) -> String {
        let text = self.find(selector).await.text().await;
        text.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }

    /// The text in an element, waited for, whether or not it is shown.
    pub async fn hidden_text(&self, selector: &str) -> String {
        let text = self.find(selector).await.prop("textContent").await;
        let text = text.unwrap_or_else(|error| panic!("{selector}: {error}"));
        text.unwrap_or_default()
    }

    /// What the address bar shows.
    pub async fn address(&self) -> Url {
        self.driver().current_url().await.expect("an address")
    }

    /// What a script says about the page.
    pub async fn ask(&self, expression: &str) -> Value {
        let script = format!("return {expression};");
        let response = self.driver().execute(script, vec![]).await;
        let response = response.unwrap_or_else(|error| panic!("{expression}: {error}"));
        response.json().clone()
    }

    /// The window the person looks at.
    pub async fn window(&self) -> WindowHandle {
        self.driver().window().await.expect("a window")
    }

    /// Waits until there are so many windows and gives those that are not in `known`.
    pub async fn new_windows(&self, known: &[&WindowHandle], count: usize) -> Vec<WindowHandle> {
        self.wait_until(&format!("{count} windows"), async || {
            let all = self.driver().windows().await;
            all.is_ok_and(|all| all.len() == count)
        })
        .await;
        let mut all = self.driver().windows().await.expect("the windows");
        all.retain(|window| !known.contains(&window));
        all
    }

    /// Looks at another window.
    pub async fn look_at(&self, window: &WindowHandle) {
        let switched = self.driver().switch_to_window(window.clone()).await;
        switched.expect("the window is there");
    }

    /// Opens an address in a window of its own, from a script, and does not look at it.
    pub async fn open_aside(&self, address: &str) {
        let address = serde_json::to_string(address).expect("text");
        self.ask(&format!("window.open({address}) !== null")).await;
    }

    /// Strikes a key.
    pub async fn strike(&self, key: Key) {
        let struck = self.driver().action_chain().send_keys(key).perform().await;
        struck.expect("a keyboard");
    }

    /// Types into whatever has the focus.
    pub async fn type_blindly(&self, text: &str) {
        let typed = self.driver().action_chain().send_keys(text).perform().await;
        typed.expect("a keyboard");
    }

    /// Moves the focus by keyboard until an element has it, and sees where it is all the way.
    ///
    /// # Panics
    ///
    /// If it does not get there, or is invisible somewhere.
    pub async fn tab_to(&self, selector: &str) {
        const SEEN: &str = "(() => { const style = getComputedStyle(document.activeElement);
            return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2; })()";
        self.find(selector).await;
        let quoted = serde_json::to_string(selector).expect("text");
        for _ in 0..MOST_TABS {
            self.strike(Key::Tab).await;
            if self.ask("document.activeElement === document.body").await == true {
                continue;
            }
            let here = self.ask("document.activeElement.outerHTML").await;
            assert_eq!(self.ask(SEEN).await, true, "focus is not seen on {here}");
            let matches = format!("document.activeElement.matches({quoted})");
            if self.ask(&matches).await == true {
                return;
            }
        }
        panic!("{selector} is out of the keyboard's reach");
    }

    /// Examines the page as it is: accessible by axe-core's rules, and nothing sticks out
    /// sideways.
    ///
    /// # Panics
    ///
    /// With what is wrong; `what` names the page.
    pub async fn examine(&self, what: &str) {
        let violations = self.axe().await;
        assert!(violations.is_empty(), "{what}: {violations:#?}");
        let root = "document.documentElement";
        let content = self.ask(&format!("{root}.scrollWidth")).await.as_u64();
        let window = self.ask(&format!("{root}.clientWidth")).await.as_u64();
        assert!(
            content <= window,
            "{what}: {content:?} pixels in {window:?}"
        );
        assert_eq!(self.ask("document.title.trim() !== ''").await, true);
    }
}
