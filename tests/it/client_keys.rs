//! Clients authenticate with private keys, publish them, and replace them while everything goes on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use guichet::domain::algorithm::SigningAlgorithm;
use guichet::jose::{Head, SigningKey, new_key};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::gateway::{
    BANK, Backend, CLIENT, Setup, TestGateway, bank_client_id, eventually,
};
use crate::support::served::Served;
use crate::support::strict_bank::jws::Jws;
use crate::support::strict_bank::{
    Authentication, Client, ClientKeys, Place, Rules, STRICT, STRICT_GUID, Strict, StrictBank,
};
use crate::support::visitor::http;

crate::on_both_stores!(t3_a_client_connects_by_an_assertion_where_everything_is_judged);

/// The files of one registration: one that signs, one that will, and one that did.
struct Keys(TempDir);

impl Keys {
    const NAMES: [&str; 3] = ["active.pem", "next.pem", "previous.pem"];

    /// The same key in all of them.
    fn new() -> Self {
        let keys = Self(tempfile::tempdir().expect("a folder"));
        let pem = made();
        for name in Self::NAMES {
            keys.put(name, &pem);
        }
        keys
    }

    fn put(&self, name: &str, pem: &str) {
        // Moved into place as a whole, as an operator should.
        let (written, file) = (self.0.path().join("written"), self.0.path().join(name));
        std::fs::write(&written, pem).expect("written");
        std::fs::rename(written, file).expect("moved");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).expect("a file")
    }

    /// The line of the registration.
    fn line(&self) -> String {
        let files = Self::NAMES.map(|name| format!("{:?}", self.0.path().join(name)));
        format!("signing_key_files = [{}]\n", files.join(", "))
    }
}

fn made() -> String {
    new_key(SigningAlgorithm::ES256).expect("a key").to_string()
}

fn key(pem: &str) -> SigningKey {
    SigningKey::from_pem(pem.as_bytes(), SigningAlgorithm::ES256).expect("a key")
}

fn setup(bank: &StrictBank, registration: &str) -> Setup {
    let by_key = "client_assertion_signing_alg = \"ES256\"";
    Setup {
        strict: Some(Strict {
            oauth: bank.oauth_table("private_key_jwt", by_key),
            registration: registration.to_owned(),
            authentication: Authentication::PrivateKeyJwt,
            ..Strict::by_secret(bank)
        }),
        ..Setup::default()
    }
}

fn jwks(gateway: &TestGateway, client: &str, institution: &str) -> url::Url {
    gateway.at(&format!("/oauth/jwks/{client}/{institution}"))
}

/// Has the bank fetch the client's keys where the gateway publishes them.
fn register(bank: &StrictBank, gateway: &TestGateway) {
    bank.register(Client {
        client_id: bank_client_id(CLIENT, STRICT),
        redirect_uri: format!("{}oauth/redirect_from/{CLIENT}/{STRICT}", gateway.url),
        authentication: Authentication::PrivateKeyJwt,
        keys: ClientKeys::At(jwks(gateway, CLIENT, STRICT)),
    });
}

/// Connects a new member; the name of the page at the end.
async fn connect(bank: &StrictBank, gateway: &TestGateway) -> Option<String> {
    let body = json!({"member": {"institution_guid": STRICT_GUID, "is_oauth": true}});
    let (_, link) = gateway.member_with(body).await;
    let page = bank.connect(&gateway.visitor(), &link).await;
    page.name().map(str::to_owned)
}

async fn published(gateway: &TestGateway) -> Vec<String> {
    let response = http().get(jwks(gateway, CLIENT, STRICT)).send().await;
    let set: Value = response.expect("a response").json().await.expect("JSON");
    let keys = set["keys"].as_array().expect("keys").iter();
    keys.map(|key| key["kid"].as_str().expect("a kid").to_owned())
        .collect()
}

fn assertions(bank: &StrictBank) -> Vec<Jws> {
    let requests = bank.requests(Place::Token).into_iter();
    let requests = requests.chain(bank.requests(Place::Revoke));
    requests
        .map(|it| Jws::parse(&it.field("client_assertion").expect("one")).expect("a JWS"))
        .collect()
}

async fn t3_a_client_connects_by_an_assertion_where_everything_is_judged(backend: Backend) {
    let bank = StrictBank::start(Rules::default()).await;
    let keys = Keys::new();
    let gateway = TestGateway::with(backend, setup(&bank, &keys.line())).await;
    register(&bank, &gateway);
    for _ in 0..2 {
        let page = connect(&bank, &gateway).await;
        assert_eq!(page.as_deref(), Some("connected"), "{:?}", bank.refusals());
    }
    // What is deleted is revoked, by an assertion of its own.
    let (status, _) = gateway
        .platform("DELETE", &format!("/users/{}", gateway.user), None)
        .await;
    assert_eq!(status, 204);
    eventually(async || (bank.requests(Place::Revoke).len() >= 2).then_some(())).await;
    let mut ids = std::collections::BTreeSet::new();
    let all = assertions(&bank);
    for assertion in &all {
        assert_eq!(assertion.claims["aud"], json!(bank.issuer()));
        assert_eq!(
            assertion.header["kid"],
            key(&keys.read("active.pem")).thumbprint()
        );
        ids.insert(assertion.text("jti").expect("a jti").to_owned());
    }
    assert_eq!(ids.len(), all.len());
    assert_eq!(bank.refusals(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x2_the_keys_of_each_registration_are_published_for_a_while_and_nothing_private() {
    let bank = StrictBank::start(Rules::default()).await;
    let keys = Keys::new();
    keys.put("next.pem", &made());
    let decrypts = keys.0.path().join("decrypts.pem");
    std::fs::write(&decrypts, made()).expect("written");
    let more = format!("{}encryption_key_files = [{decrypts:?}]\n", keys.line());
    let gateway = TestGateway::with(Backend::Sqlite, setup(&bank, &more)).await;
    let response = http().get(jwks(&gateway, CLIENT, STRICT)).send().await;
    let response = response.expect("a response");
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    // The one response that is neither a picture nor a description and may be kept.
    for (name, value) in [
        ("content-type", "application/jwk-set+json"),
        ("cache-control", "public, max-age=300"),
        ("x-content-type-options", "nosniff"),
        (
            "strict-transport-security",
            "max-age=63072000; includeSubDomains",
        ),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    let text = response.text().await.expect("a text");
    let set: Value = serde_json::from_str(&text).expect("JSON");
    let found = set["keys"].as_array().expect("keys");
    let uses: Vec<&str> = found.iter().filter_map(|key| key["use"].as_str()).collect();
    assert_eq!(uses, ["sig", "sig", "enc"]);
    for jwk in found {
        let names: Vec<&String> = jwk.as_object().expect("an object").keys().collect();
        let public = ["alg", "crv", "kid", "kty", "use", "x", "y"];
        assert!(
            names.iter().all(|name| public.contains(&name.as_str())),
            "{names:?}"
        );
    }
    for (client, institution) in [
        (CLIENT, BANK),
        (CLIENT, "nobody"),
        ("nobody", STRICT),
        ("a%20b", "%00"),
    ] {
        let response = http().get(jwks(&gateway, client, institution)).send().await;
        let response = response.expect("a response");
        assert_eq!(response.status(), 404, "{client} {institution}");
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x2_a_key_is_replaced_under_load_without_a_failed_request() {
    let bank = StrictBank::start(Rules::default()).await;
    let keys = Keys::new();
    let gateway = TestGateway::with(Backend::Sqlite, setup(&bank, &keys.line())).await;
    register(&bank, &gateway);
    let gateway = Arc::new(gateway);
    let is_over = Arc::new(AtomicBool::new(false));
    let load = {
        let (bank, gateway, is_over) = (bank.clone(), gateway.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut pages = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                pages.push(connect(&bank, &gateway).await);
            }
            pages
        })
    };
    let old = keys.read("active.pem");
    let new = made();
    let [old_kid, new_kid] = [&old, &new].map(|pem| key(pem).thumbprint().to_owned());
    let signs_with = async |kid: &str| {
        let seen = assertions(&bank).len();
        eventually(async || {
            let all = assertions(&bank);
            let last = all.get(seen..)?.last()?;
            (last.header["kid"] == kid).then_some(())
        })
        .await;
    };
    signs_with(&old_kid).await;
    // The new key is known before it signs.
    keys.put("next.pem", &new);
    eventually(async || (published(&gateway).await == [&*old_kid, &*new_kid]).then_some(())).await;
    signs_with(&old_kid).await;
    // It signs, and the old one is still known.
    keys.put("active.pem", &new);
    eventually(async || (published(&gateway).await == [&*new_kid, &*old_kid]).then_some(())).await;
    signs_with(&new_kid).await;
    // The old one is gone.
    keys.put("previous.pem", &new);
    eventually(async || (published(&gateway).await == [&*new_kid]).then_some(())).await;
    signs_with(&new_kid).await;
    is_over.store(true, Ordering::SeqCst);
    let pages = load.await.expect("no panic");
    assert!(pages.len() >= 4, "{pages:?}");
    assert!(
        pages
            .iter()
            .all(|page| page.as_deref() == Some("connected")),
        "{pages:?}"
    );
    assert_eq!(bank.refusals(), [""; 0]);
    // Whoever has the old one gets nothing.
    let id = bank_client_id(CLIENT, STRICT);
    let now = bank.clock().now().as_second();
    let claims = json!({
        "iss": id, "sub": id, "aud": bank.issuer(), "jti": "of-the-old-key", "iat": now, "exp": now + 60,
    });
    let forged = key(&old).sign(Head::Kid, None, &claims).expect("signed");
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", "any"),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", &forged),
    ];
    let refused = http().post(bank.url(Place::Token)).form(&form).send().await;
    assert_eq!(refused.expect("a response").status(), 401);
    let last = bank.refusals().pop().expect("a refusal");
    assert!(last.contains("kid is not that of one key"), "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x2_a_key_file_that_cannot_be_used_is_told_and_changes_nothing() {
    let bank = StrictBank::start(Rules::default()).await;
    let keys = Keys::new();
    let old_after = Setup {
        tables: "[client_keys]\nold_after_days = 400\n".to_owned(),
        ..setup(&bank, &keys.line())
    };
    let served = Served::with(Backend::Sqlite, old_after).await;
    let gateway = &served.gateway;
    register(&bank, gateway);
    let before = published(gateway).await;
    keys.put("active.pem", "no key\n");
    let log = served
        .log_with(1, "the client keys changed and cannot be used")
        .await;
    assert!(log.contains("active.pem: it is no private key"), "{log}");
    let metrics = gateway.metrics().await;
    let unsound = format!(
        "guichet_client_keys_unsound_total{{client=\"{CLIENT}\",institution=\"{STRICT}\"}} 1"
    );
    assert!(metrics.contains(&unsound), "{metrics}");
    assert_eq!(published(gateway).await, before);
    let page = connect(&bank, gateway).await;
    assert_eq!(page.as_deref(), Some("connected"), "{:?}", bank.refusals());
    // An old key is told, once for each registration.
    let pem = made();
    for name in Keys::NAMES {
        keys.put(name, &pem);
        age(&keys.0.path().join(name), 500);
    }
    let log = served.log_with(2, "a client key is old; replace it").await;
    assert!(log.contains("500"), "{log}");
    let age = gateway.metrics().await;
    let series =
        format!("guichet_client_key_age_seconds{{client=\"{CLIENT}\",institution=\"{STRICT}\"}} ");
    let age = age.lines().find_map(|line| line.strip_prefix(&series));
    let age: f64 = age.expect("a gauge").parse().expect("a number");
    assert!(age >= 500.0 * 86_400.0, "{age}");
}

/// Has a file be as old as that.
#[expect(
    clippy::disallowed_methods,
    reason = "a file's age is by the machine's clock"
)]
fn age(file: &Path, days: u64) {
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(days * 86_400);
    let file = std::fs::File::options().write(true).open(file);
    file.expect("a file").set_modified(then).expect("set");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_neither_a_private_key_nor_an_assertion_is_logged_or_told() {
    let bank = StrictBank::start(Rules::default()).await;
    let keys = Keys::new();
    let traced = Setup {
        tables: "[log]\nfilter = \"trace\"\n".to_owned(),
        ..setup(&bank, &keys.line())
    };
    let served = Served::with(Backend::Sqlite, traced).await;
    let gateway = &served.gateway;
    register(&bank, gateway);
    let page = connect(&bank, gateway).await;
    assert_eq!(page.as_deref(), Some("connected"), "{:?}", bank.refusals());
    // A refusal that the operator is told of: the bank knows no key.
    bank.register(Client {
        client_id: bank_client_id(CLIENT, STRICT),
        redirect_uri: format!("{}oauth/redirect_from/{CLIENT}/{STRICT}", gateway.url),
        authentication: Authentication::PrivateKeyJwt,
        keys: ClientKeys::None,
    });
    let page = connect(&bank, gateway).await;
    assert_eq!(page.as_deref(), Some("not-set-up"));
    let metrics = gateway.metrics().await;
    let log = served.log_at_the_end().await;
    assert!(log.contains("the institution refused this client"), "{log}");
    assert!(
        log.contains("TRACE") || log.contains("trace"),
        "the lowest level is on"
    );
    let requests = bank.requests(Place::Token);
    assert!(requests.len() >= 2);
    let mut secrets: Vec<String> = Vec::new();
    for request in &requests {
        let assertion = request.field("client_assertion").expect("one");
        secrets.extend(assertion.split('.').map(str::to_owned));
    }
    let pem = keys.read("active.pem");
    secrets.extend(
        pem.lines()
            .filter(|line| !line.contains("--"))
            .map(str::to_owned),
    );
    let dump = crate::support::dump::everything(gateway).await;
    for secret in secrets {
        assert!(secret.len() > 10, "{secret} is too short to look for");
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        for form in [secret.clone(), hex] {
            assert!(!log.contains(&form), "{form} is logged");
            assert!(!metrics.contains(&form), "{form} is counted");
            let is_kept = dump.windows(form.len()).any(|part| part == form.as_bytes());
            assert!(!is_kept, "{form} is kept");
        }
    }
}
