//! A flow that has come as far as the bank.

use guichet::domain::id::MemberGuid;
use serde_json::json;
use url::Url;

use super::fake_bank::CallbackParams;
use super::gateway::{BANK_GUID, Backend, TestGateway};
use super::visitor::{Page, Visitor};

/// A browser at the bank, and the authorization response it is about to bring.
pub struct AtTheBank {
    /// The gateway, with its bank.
    pub gateway: TestGateway,
    /// The browser that opened the link.
    pub visitor: Visitor,
    /// Whom it is about.
    pub member: MemberGuid,
    /// The honest response, with a code.
    pub response: CallbackParams,
}

impl AtTheBank {
    /// At the usual bank.
    pub async fn new(backend: Backend) -> Self {
        Self::of(backend, BANK_GUID).await
    }

    /// At that institution.
    pub async fn of(backend: Backend, institution: &str) -> Self {
        let gateway = TestGateway::start(backend).await;
        let body = json!({"member": {"institution_guid": institution, "is_oauth": true}});
        let (member, link) = gateway.member_with(body).await;
        let visitor = gateway.visitor();
        let request = gateway.open(&visitor, &link).await;
        let response = gateway.bank.code_for(&request);
        Self {
            gateway,
            visitor,
            member,
            response,
        }
    }

    /// Nothing happened so far: the bank was not asked, and the honest response still connects.
    pub async fn still_connects(&self) {
        assert_eq!(self.gateway.bank.hits().token, 0);
        assert_eq!(self.gateway.state(self.member).await["auth_status"], 1);
        let page = self.visitor.follow(&self.response.url()).await;
        assert_eq!(page.name(), Some("connected"), "{}", page.body);
        assert_eq!(self.gateway.bank.hits().token, 1);
    }
}

impl AtTheBank {
    /// A response at `url` does not provably belong to us: it changes nothing, the browser that is under
    /// way there is led back to its attempt, and any other gets the neutral page.
    ///
    /// # Panics
    ///
    /// If not; the message says `why` it should be so.
    pub async fn refuses(&self, url: &Url, why: &str) {
        let own = self.visitor.follow(url).await;
        is_led_back(&own, why);
        is_refused(&self.gateway.visitor().get(url).await, why);
    }

    /// The same for a form that is posted to `url`.
    pub async fn refuses_form(&self, url: &Url, fields: &[(&str, &str)], why: &str) {
        let stranger = self.gateway.visitor();
        for (visitor, is_own) in [(&self.visitor, true), (&stranger, false)] {
            // It comes without cookies from another site; the GET that follows brings them.
            let posted = visitor.post(url, fields).await;
            assert_eq!(posted.status, 303, "{why}: {}", posted.body);
            let next = posted.location().expect("a location");
            let names: Vec<_> = next.query_pairs().map(|(name, _)| name).collect();
            assert_eq!(
                (next.path(), &names[..]),
                (url.path(), &["refused".into()][..]),
                "{why}"
            );
            let page = visitor.follow(&next).await;
            match is_own {
                true => is_led_back(&page, why),
                false => is_refused(&page, why),
            }
        }
    }
}

/// The page for a browser that came back from the bank without an authorization response.
///
/// # Panics
///
/// If it is another; the message says `why` it should not be.
pub fn is_led_back(page: &Page, why: &str) {
    assert_eq!(
        (page.status, page.name()),
        (200, Some("no-answer")),
        "{why}: {}",
        page.body
    );
}

/// The page for a response that is refused.
///
/// # Panics
///
/// If it is another; the message says `why` it should not be.
pub fn is_refused(page: &Page, why: &str) {
    assert_eq!(
        (page.status, page.name()),
        (400, Some("bad-return")),
        "{why}: {}",
        page.body
    );
    assert!(page.location().is_none(), "{why}");
}
