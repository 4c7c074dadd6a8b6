//! Authorization requests as the strict bank wants them (`security` A5-A9): pushed, signed, with details.

use std::time::Duration;

use guichet::domain::id::MemberGuid;
use serde_json::{Value, json};
use url::Url;

use crate::support::behaviour::Behaviour;
use crate::support::gateway::{Backend, CLIENT, Setup, TestGateway};
use crate::support::settings::bank_client_id;
use crate::support::strict_bank::jws::Jws;
use crate::support::strict_bank::knobs::Par;
use crate::support::strict_bank::{
    ClientKeys, Place, Rules, STRICT, STRICT_GUID, Strict, StrictBank,
};
use crate::support::visitor::{Page, Visitor};

crate::on_both_stores!(
    a6_the_browser_brings_a_name_and_the_flow_succeeds,
    a7_every_attempt_is_pushed_once_and_anew,
    a8_a_push_that_fails_ends_the_attempt_with_a_page_to_try_again,
);

/// A gateway whose client is registered at a strict bank.
struct AtStrict {
    bank: StrictBank,
    gateway: TestGateway,
}

impl AtStrict {
    /// At a bank with these rules; `more` is added to the institution's `[oauth]`.
    async fn start(backend: Backend, rules: Rules, more: &str) -> Self {
        let bank = StrictBank::start(rules).await;
        let strict = Strict {
            oauth: oauth_table(&bank, more),
            ..Strict::by_secret(&bank)
        };
        let setup = Setup {
            strict: Some(strict),
            ..Setup::default()
        };
        let gateway = TestGateway::with(backend, setup).await;
        Self { bank, gateway }
    }

    /// At one where requests have to be pushed.
    async fn pushing(backend: Backend, more: &str) -> Self {
        let rules = Rules {
            pushed_only: true,
            ..Rules::default()
        };
        Self::start(backend, rules, &format!("{PUSHED}{more}")).await
    }

    async fn member(&self) -> (MemberGuid, Url) {
        let body = json!({"member": {"institution_guid": STRICT_GUID, "is_oauth": true}});
        self.gateway.member_with(body).await
    }

    /// Opens a new link, and follows it as far as the gateway leads.
    async fn opened(&self) -> (MemberGuid, Visitor, Page) {
        let (member, link) = self.member().await;
        let visitor = self.gateway.visitor();
        let opened = visitor.get(&link).await;
        (member, visitor, opened)
    }

    fn pushes(&self) -> usize {
        self.bank.requests(Place::Par).len()
    }
}

/// Stands for the address of the bank's endpoint.
const PUSHED: &str = "pushed_authorization_request_endpoint = \"PAR\"\n";

/// The bank's `[oauth]` table with `more`, in which `PAR` stands for its endpoint.
fn oauth_table(bank: &StrictBank, more: &str) -> String {
    let more = more.replace("PAR", bank.url(Place::Par).as_str());
    bank.oauth_table("client_secret_basic", &more)
}

fn names(url: &Url) -> Vec<String> {
    url.query_pairs()
        .map(|(name, _)| name.into_owned())
        .collect()
}

async fn a6_the_browser_brings_a_name_and_the_flow_succeeds(backend: Backend) {
    let at = AtStrict::pushing(backend, "").await;
    let (member, visitor, opened) = at.opened().await;
    let request = opened.location().expect("to the bank");
    assert_eq!(names(&request), ["client_id", "request_uri"]);
    assert_eq!(opened.status, 302);
    let page = at.bank.response(&request).await.deliver(&visitor).await;
    assert_eq!(page.name(), Some("connected"), "{:?}", at.bank.refusals());
    assert_eq!(
        at.gateway.read(member).await["connection_status"],
        "CONNECTED"
    );
    assert_eq!((at.pushes(), at.bank.refusals().len()), (1, 0));
    let pushed = &at.bank.requests(Place::Par)[0];
    assert!(
        pushed
            .header("authorization")
            .is_some_and(|it| it.starts_with("Basic "))
    );
    let state = pushed.field("state").expect("a state");
    assert!(!request.as_str().contains(&state));
}

async fn a7_every_attempt_is_pushed_once_and_anew(backend: Backend) {
    let at = AtStrict::pushing(backend, "").await;
    at.bank.turn(Par::ExpiresInOne);
    let (_, link) = at.member().await;
    let visitor = at.gateway.visitor();
    let first = visitor.get(&link).await.location().expect("to the bank");
    assert_eq!(at.pushes(), 1);
    at.bank.clock().advance(Duration::from_secs(2));
    let late = Visitor::new().get(&first).await;
    assert_eq!(late.status, 400, "it has ended: {}", late.body);
    at.bank.be_honest();
    let again = visitor.get(&link).await;
    assert_eq!(
        (again.status, again.name()),
        (410, Some("resume")),
        "{}",
        again.body
    );
    assert_eq!(at.pushes(), 1, "the page alone pushes nothing");
    let second = visitor.press(&again, "continue").await;
    let second = second.location().expect("to the bank");
    assert_eq!(at.pushes(), 2);
    assert_ne!(first, second);
    let [one, two] = &at.bank.requests(Place::Par)[..] else {
        panic!("two")
    };
    for name in ["state", "nonce", "code_challenge"] {
        assert_ne!(one.field(name), two.field(name), "{name}");
    }
    let page = at.bank.response(&second).await.deliver(&visitor).await;
    assert_eq!(page.name(), Some("connected"), "{:?}", at.bank.refusals());
    assert_eq!(at.pushes(), 2);
}

async fn a8_a_push_that_fails_ends_the_attempt_with_a_page_to_try_again(backend: Backend) {
    let at = AtStrict::pushing(backend, "").await;
    for knob in [
        Par::Status200,
        Par::Redirects,
        Par::RequestUriIsANumber,
        Par::RequestUriMissing,
        Par::RequestUriHuge,
        Par::ExpiresInZero,
        Par::ExpiresInMissing,
    ] {
        at.bank.be_honest();
        at.bank.turn(knob);
        let before = at.pushes();
        let (member, visitor, opened) = at.opened().await;
        let outcome = opened.location().expect("to the outcome");
        assert!(
            outcome.path().starts_with("/oauth/result/"),
            "{knob:?}: {outcome}"
        );
        let page = visitor.follow(&outcome).await;
        assert_eq!(
            page.reason(),
            Some("PROVIDER_ERROR"),
            "{knob:?}: {}",
            page.body
        );
        assert!(page.button("retry").is_some(), "{knob:?}: {}", page.body);
        assert_eq!(at.gateway.state(member).await["auth_status"], 3, "{knob:?}");
        assert_eq!(at.pushes(), before + 1, "{knob:?}");
    }
    assert_eq!(at.bank.requests(Place::Authorize).len(), 0);
    // What it names can neither add a parameter nor lead elsewhere.
    for knob in [Par::RequestUriInjects, Par::RequestUriIsAnAddress] {
        at.bank.be_honest();
        at.bank.turn(knob);
        let (_, _, opened) = at.opened().await;
        let request = opened.location().expect("to the bank");
        assert_eq!(names(&request), ["client_id", "request_uri"], "{knob:?}");
        assert_eq!(request.origin(), at.bank.url(Place::Authorize).origin());
        assert!(request.fragment().is_none_or(str::is_empty), "{request}");
    }
    // Try again pushes anew.
    at.bank.be_honest();
    at.bank.turn(Par::Status200);
    let (member, visitor, opened) = at.opened().await;
    let outcome = opened.location().expect("to the outcome");
    let page = visitor.follow(&outcome).await;
    at.bank.be_honest();
    let again = visitor.press(&page, "retry").await;
    let request = again.location().expect("to the bank");
    let page = at.bank.response(&request).await.deliver(&visitor).await;
    assert_eq!(page.name(), Some("connected"), "{:?}", at.bank.refusals());
    assert_eq!(
        at.gateway.read(member).await["connection_status"],
        "CONNECTED"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decision_35_an_institution_that_fails_again_and_again_is_not_asked_for_a_while() {
    let at = AtStrict::pushing(Backend::Sqlite, "").await;
    let (_, waiting) = at.member().await;
    let down = || Behaviour::Says(503, "application/json", "{}".to_owned());
    for _ in 0..5 {
        at.bank.next(Place::Par, down());
        let (_, visitor, opened) = at.opened().await;
        let outcome = opened.location().expect("to the outcome");
        let page = visitor.follow(&outcome).await;
        assert_eq!(page.reason(), Some("PROVIDER_ERROR"), "{}", page.body);
    }
    assert_eq!(at.pushes(), 5);
    let page = at.gateway.visitor().get(&waiting).await;
    assert_eq!(
        (page.status, page.name()),
        (503, Some("maintenance")),
        "{}",
        page.body
    );
    assert_eq!(at.pushes(), 5, "nobody waits for one that does not work");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a5_details_are_pushed_and_what_was_granted_is_kept() {
    let details = "[[oauth.authorization_details]]\ntype = \"accounts\"\nactions = [\"read\"]\n";
    let at = AtStrict::pushing(Backend::Sqlite, details).await;
    let (_, link) = at.member().await;
    let page = at.bank.connect(&at.gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{:?}", at.bank.refusals());
    let pushed = at.bank.requests(Place::Par)[0].field("authorization_details");
    let pushed: Value = serde_json::from_str(&pushed.expect("details")).expect("JSON");
    assert_eq!(pushed, json!([{"type": "accounts", "actions": ["read"]}]));
    for request in at.bank.requests(Place::Authorize) {
        assert!(!request.query.contains("authorization_details"));
    }
}

/// A gateway that signs its requests with a key of its own.
async fn signing(more: &str) -> AtStrict {
    let bank = StrictBank::start(Rules {
        signed_only: true,
        ..Rules::default()
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder").keep();
    let (file, jwk) = new_key(&folder);
    let more = format!("request_object_signing_alg = \"ES256\"\n{more}");
    let mut strict = Strict::by_secret(&bank);
    strict.oauth = oauth_table(&bank, &more);
    strict.registration = format!("{}signing_key_files = [{file:?}]\n", strict.registration);
    strict.keys = ClientKeys::Inline(json!({"keys": [jwk]}));
    let setup = Setup {
        strict: Some(strict),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    AtStrict { bank, gateway }
}

/// A file with a new private key, and its public key.
fn new_key(folder: &std::path::Path) -> (String, Value) {
    let file = folder.join("key.pem");
    let algorithm = guichet::domain::algorithm::SigningAlgorithm::ES256;
    let made = guichet::jose::new_key(algorithm).expect("a key");
    std::fs::write(&file, made.as_bytes()).expect("written");
    let key = guichet::jose::SigningKey::from_pem(made.as_bytes(), algorithm).expect("a key");
    (file.display().to_string(), key.public_jwk())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a9_a_signed_request_connects_at_a_bank_that_takes_no_other() {
    for more in ["", PUSHED] {
        let at = signing(more).await;
        let (_, link) = at.member().await;
        let visitor = at.gateway.visitor();
        let request = visitor.get(&link).await.location().expect("to the bank");
        let page = at.bank.response(&request).await.deliver(&visitor).await;
        assert_eq!(
            page.name(),
            Some("connected"),
            "{more}: {:?}",
            at.bank.refusals()
        );
        let object = match more.is_empty() {
            true => request
                .query_pairs()
                .find(|(name, _)| name == "request")
                .map(|(_, it)| it.into_owned()),
            false => at.bank.requests(Place::Par)[0].field("request"),
        };
        let object = Jws::parse(&object.expect("a request object")).expect("a JWS");
        assert_eq!(object.header["typ"], "oauth-authz-req+jwt");
        let client = bank_client_id(CLIENT, STRICT);
        assert_eq!(
            (object.text("iss"), object.text("client_id")),
            (Some(&*client), Some(&*client))
        );
        assert_eq!(object.text("aud"), Some(at.bank.issuer().as_str()));
        let (from, to) = (
            object.time("nbf").expect("nbf"),
            object.time("exp").expect("exp"),
        );
        assert!(to - from <= 60 * 60);
        for absent in ["sub", "request", "request_uri"] {
            assert!(object.claims.get(absent).is_none(), "{absent}");
        }
    }
}
