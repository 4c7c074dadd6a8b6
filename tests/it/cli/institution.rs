//! `guichet institution check` and `new`: a file against what its institution says of itself.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::fake_bank::FakeBank;
use crate::support::gateway::{BANK, Backend, Setup, TestGateway};
use crate::support::guichet::{Ran, run, run_in, write};
use crate::support::tls::{Shows, TlsFront, authority};

/// Runs a command on a thread of its own, so that the bank goes on.
async fn guichet(arguments: &[&str]) -> Ran {
    let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
    let running = tokio::task::spawn_blocking(move || run(arguments.iter().map(String::as_str)));
    running.await.expect("no panic")
}

/// A file for the bank, with that in addition to its `[oauth]`.
fn file(folder: &TempDir, bank: &FakeBank, more: &str) -> String {
    let text = format!(
        "guid = \"INS-44444444-4444-4444-8444-444444444444\"\ncode = \"bank\"\nname = \"Bank\"\nsupports_oauth = true\n\n\
         [oauth]\nauthorization_endpoint = \"{}\"\ntoken_endpoint = \"{}\"\nrevocation_endpoint = \"{}\"\n\
         issuer = \"{}\"\nclient_authentication = \"client_secret_basic\"\n{more}",
        bank.authorize_url(),
        bank.token_url(),
        bank.revoke_url(),
        bank.issuer(),
    );
    write(folder.path(), "bank.toml", &text)
}

/// The lines of that level, and what each is about.
fn about<'a>(ran: &'a Ran, level: &str) -> Vec<&'a str> {
    let prefix = format!("{level}: ");
    let lines = ran
        .out
        .lines()
        .filter_map(|line| line.strip_prefix(&prefix));
    lines.filter_map(|line| line.split(": ").next()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_agrees_with_its_institution_passes() {
    let bank = FakeBank::start().await;
    let keys = bank.keys_url();
    let algorithms = ["ES256"];
    bank.publishes_metadata(
        &json!({"jwks_uri": keys, "id_token_signing_alg_values_supported": algorithms}),
    );
    bank.publishes_keys(&["one"]);
    let folder = tempfile::tempdir().expect("a folder");
    let more = format!("pkce = \"required\"\njwks_uri = \"{}\"\n", bank.keys_url());
    let path = file(&folder, &bank, &more);
    let ran = guichet(&["institution", "check", &path]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(about(&ran, "error"), [""; 0], "{}", ran.out);
    let expected = [
        "file",
        "metadata",
        "metadata",
        "oauth.authorization_endpoint",
        "oauth.jwks_uri",
    ];
    assert_eq!(about(&ran, "ok"), expected, "{}", ran.out);
    assert_eq!(
        about(&ran, "not checked"),
        ["pushed authorization requests"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s1_each_difference_is_a_line_that_says_what_to_write() {
    let bank = FakeBank::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, &bank, "pkce = \"required\"\n");
    bank.publishes_metadata(&json!({
        "token_endpoint": "https://elsewhere.example/token",
        "code_challenge_methods_supported": ["plain"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "authorization_response_iss_parameter_supported": true,
        "jwks_uri": bank.keys_url(),
    }));
    let ran = guichet(&["institution", "check", &path, "--json"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("bank: 3 errors"), "{ran:?}");
    let said: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(said["institution"], "bank");
    let findings = said["findings"].as_array().expect("a list");
    let text = |about: &str| {
        let found = findings.iter().find(|it| it["about"] == about);
        let found = found.unwrap_or_else(|| panic!("nothing about {about} in {}", ran.out));
        (
            found["level"].as_str(),
            found["text"].as_str().expect("a text"),
        )
    };
    let (level, said) = text("oauth.token_endpoint");
    assert_eq!(level, Some("error"));
    assert!(
        said.contains("write token_endpoint = \"https://elsewhere.example/token\""),
        "{said}"
    );
    assert_eq!(text("oauth.pkce").0, Some("error"));
    assert_eq!(text("oauth.client_authentication").0, Some("error"));
    assert_eq!(text("oauth.iss").0, Some("warning"));
    let keys = format!("write jwks_uri = \"{}\"", bank.keys_url());
    assert!(text("oauth.jwks_uri").1.contains(&keys));
    assert_eq!(bank.hits().token, 0, "nothing is tried out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_file_itself_is_said_first_and_nobody_is_called() {
    let bank = FakeBank::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, &bank, "pkce = \"off\"\nscope_separator = \"x\"\n");
    let ran = guichet(&["institution", "check", &path]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let mut told = about(&ran, "error");
    told.sort_unstable();
    let expected = ["oauth.pkce_reason", "oauth.scope_separator"];
    assert_eq!(told, expected, "{}", ran.out);
    assert_eq!(bank.metadata_hits(), 0);
    let absent = guichet(&["institution", "check", "nowhere.toml"]).await;
    assert_eq!(absent.code, Some(1), "{absent:?}");
    let code = guichet(&["institution", "check", "bank"]).await;
    assert!(code.err.contains("add --config FILE"), "{code:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_of_another_issuer_and_keys_that_cannot_be_read_are_errors() {
    let bank = FakeBank::start().await;
    bank.publishes_metadata(&json!({"issuer": "https://evil.example\u{1b}[31m"}));
    bank.publishes("/keys", "[]".to_owned());
    let folder = tempfile::tempdir().expect("a folder");
    let more = format!("jwks_uri = \"{}\"\n", bank.keys_url());
    let path = file(&folder, &bank, &more);
    let ran = guichet(&["institution", "check", &path]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(
        about(&ran, "error"),
        ["metadata", "oauth.jwks_uri"],
        "{}",
        ran.out
    );
    assert!(!ran.out.contains('\u{1b}'), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t13_how_its_hosts_prove_their_names_is_said() {
    let bank = FakeBank::start().await;
    for (shows, level) in [
        (Shows::Good, "ok"),
        (Shows::Expired, "error"),
        (Shows::Old, "error"),
    ] {
        let front = TlsFront::start(shows).await;
        front.is_before(&bank.token_url());
        let folder = tempfile::tempdir().expect("a folder");
        let origin = front.local_origin();
        let path = file(&folder, &bank, "");
        let text = std::fs::read_to_string(&path).expect("a file");
        let token = bank.token_url();
        let text = text.replace(token.as_str(), &format!("{origin}/token"));
        let text = text.replace(&format!("issuer = \"{}\"\n", bank.issuer()), "");
        std::fs::write(&path, text).expect("written");
        let trusted = vec![("SSL_CERT_FILE", authority())];
        let arguments = ["institution", "check", &path].map(str::to_owned);
        let running = tokio::task::spawn_blocking(move || {
            run_in(&trusted, arguments.iter().map(String::as_str))
        });
        let ran = running.await.expect("no panic");
        let told = about(&ran, level);
        assert!(
            told.contains(&"oauth.token_endpoint"),
            "{shows:?}: {}",
            ran.out
        );
        let is_good = shows == Shows::Good;
        assert_eq!(
            ran.out.contains("is reached, by TLS 1.3"),
            is_good,
            "{}",
            ran.out
        );
        assert_eq!(
            ran.out.contains("ends at 2120-01-01T00:00:00Z"),
            is_good,
            "{}",
            ran.out
        );
        assert_eq!(ran.code, Some(i32::from(!is_good)), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_institution_of_the_configuration_is_checked_by_its_code() {
    let setup = Setup {
        oauth: "pkce = \"required\"".to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    gateway.bank.publishes_metadata(&json!({}));
    let config = gateway.file();
    let config = config.to_str().expect("a path");
    let ran = guichet(&["institution", "check", BANK, "--config", config]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.out.contains("ok: metadata: the file agrees with it"),
        "{}",
        ran.out
    );
    let unknown = guichet(&["institution", "check", "nobody", "--config", config]).await;
    assert!(
        unknown.err.contains("there is no institution nobody"),
        "{unknown:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draft_has_the_strictest_choices_and_passes_the_check() {
    let bank = FakeBank::start().await;
    bank.publishes_keys(&["one"]);
    bank.publishes_metadata(&json!({
        "jwks_uri": bank.keys_url(),
        "userinfo_endpoint": bank.identify_url(),
        "authorization_response_iss_parameter_supported": true,
        "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_basic"],
        "scopes_supported": ["openid", "accounts", "offline_access", "a\"b"],
        "dpop_signing_alg_values_supported": ["ES256"],
    }));
    let issuer = bank.issuer();
    let arguments = [
        "institution",
        "new",
        "--issuer",
        &issuer,
        "--code",
        "new_bank",
        "--name",
        "A \"new\" bank",
    ];
    let ran = guichet(&arguments).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for line in [
        "code = \"new_bank\"",
        "name = 'A \"new\" bank'",
        "iss = \"required\"",
        "pkce = \"required\"",
        "client_authentication = \"client_secret_basic\"",
        "response_mode = \"query\"",
        "scopes = [\"openid\", \"offline_access\"]",
        "# All that there are: a\"b accounts offline_access openid",
        "from = \"identify\"",
    ] {
        assert!(
            ran.out.lines().any(|it| it == line),
            "no {line} in {}",
            ran.out
        );
    }
    let left = ran.out.lines().filter(|line| line.starts_with("# - "));
    assert!(
        left.clone().any(|line| line.contains("DPoP")),
        "{}",
        ran.out
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = write(folder.path(), "new_bank.toml", &ran.out);
    let checked = guichet(&["institution", "check", &path]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let again = guichet(&arguments).await;
    assert_ne!(again.out, ran.out, "each draft has a guid of its own");
    let other = guichet(&["institution", "new", "--issuer", &format!("{issuer}/")]).await;
    assert_eq!(other.code, Some(1), "another issuer: {other:?}");
}
