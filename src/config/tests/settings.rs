//! What a sound configuration becomes.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::{LEAST, folder, load, load_in, put};
use crate::config::{AggregatorMode, AggregatorSettings, Config, StoreLocation};
use crate::domain::client::Duplicates;
use crate::domain::event::EventKind;
use crate::domain::window::OpenPolicy;

const WHSEC: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// A client with a bit of everything.
fn client() -> String {
    format!(
        r#"
[[clients]]
id = "acme"
name = "Acme"
open_policy = "interstitial"
link_minutes = 120
duplicates = "refuse"
return_schemes = ["com.acme.app"]
[[clients.webhooks]]
url = "https://acme.example/hook"
events = ["member.created", "oauth_state.finished"]
secret = "{WHSEC}"
previous_secret = "{WHSEC}"
[[clients.registrations]]
institution = "bank"
client_id = "acme-id"
client_secret_env = "BANK_SECRET"
"#
    )
}

fn loaded(more: &str, variables: &[(&str, &str)]) -> (Config, Vec<String>) {
    let (config, warnings) = load(more, variables)
        .map_err(|e| e.to_string())
        .expect("loads");
    let about = warnings.into_iter().map(|warning| warning.key).collect();
    (config, about)
}

#[test]
fn a_client_is_built_with_its_registrations() {
    let (config, _) = loaded(&client(), &[("BANK_SECRET", "s3cret")]);
    let client = &config.clients[0];
    assert_eq!(client.open_policy, OpenPolicy::Interstitial);
    assert_eq!(client.link_ttl, Duration::from_secs(2 * 60 * 60));
    assert_eq!(client.authorization_ttl, Duration::from_secs(15 * 60));
    let hook = client
        .webhook(EventKind::MemberCreated)
        .expect("an endpoint");
    assert_eq!(hook.secrets.len(), 2);
    assert!(hook.basic.is_none());
    assert_eq!(client.duplicates, Duplicates::Refuse);
    assert!(client.webhook(EventKind::MemberDeleted).is_none());
    let registration = client
        .registration(&config.institutions[0].code)
        .expect("one");
    assert_eq!(
        registration.redirect_uri.as_str(),
        "https://connect.example.com/oauth/redirect_from/acme/bank"
    );
    let secret = registration.client_authentication.client_secret();
    let secret = secret.expect("a secret");
    assert_eq!(secret.expose_secret(), "s3cret");
}

#[test]
fn duplicates_are_merged_unless_the_client_says_otherwise() {
    let (config, _) = loaded("[[clients]]\nid = \"acme\"\nname = \"Acme\"\n", &[]);
    assert_eq!(config.clients[0].duplicates, Duplicates::Merge);
}

#[test]
fn a_webhook_may_prove_itself_by_http_basic_with_or_without_a_signature() {
    let basic = "basic_username = \"guichet\"\nbasic_password_env = \"HOOK_PASSWORD\"\n";
    let signed = client().replace("previous_secret =", &format!("{basic}previous_secret ="));
    let only = signed
        .replace("secret = \"whsec", "# secret = \"whsec")
        .replace("previous_#", "#");
    let variables = [("BANK_SECRET", "s"), ("HOOK_PASSWORD", "p:ässword")];
    for (text, secrets) in [(signed, 2), (only, 0)] {
        let (config, about) = loaded(&text, &variables);
        let hook = &config.clients[0].webhooks[0];
        assert_eq!(hook.secrets.len(), secrets);
        let basic = hook.basic.as_ref().expect("a name and a password");
        assert_eq!(basic.username, "guichet");
        assert_eq!(basic.password.expose_secret(), "p:ässword");
        assert!(!about.contains(&"clients[0].webhooks[0].url".to_owned()));
    }
}

#[test]
fn an_answer_is_awaited_for_ten_minutes_unless_said_otherwise() {
    let aggregator = |more: &str| {
        let text = format!(
            "[aggregator]\nurl = \"https://a.example\"\nsecret = \"{WHSEC}\"\n\
             key = \"0123456789abcdef\"\n{more}"
        );
        let (config, _) = loaded(&text, &[]);
        config.aggregators[0].answer_deadline
    };
    assert_eq!(aggregator(""), Duration::from_secs(600));
    assert_eq!(
        aggregator("answer_minutes = 60\n"),
        Duration::from_secs(3600)
    );
}

#[test]
fn a_client_has_the_aggregator_that_it_names_or_the_only_one() {
    let one = format!(
        "[aggregator]\nurl = \"https://a.example\"\nsecret = \"{WHSEC}\"\nkey = \"0123456789abcdef\"\n"
    );
    let client = "[[clients]]\nid = \"acme\"\nname = \"Acme\"\n";
    let two = "[[aggregators]]\nname = \"first\"\nmode = \"pull\"\nkey = \"0123456789abcdef\"\n\
               [[aggregators]]\nname = \"second\"\nmode = \"pull\"\nkey = \"fedcba9876543210\"\n";
    for (text, expected) in [
        (client.to_owned(), None),
        (format!("{one}{client}"), Some("default")),
        (format!("{one}name = \"main\"\n{client}"), Some("main")),
        (
            format!("{two}{client}aggregator = \"second\"\n"),
            Some("second"),
        ),
    ] {
        let (config, about) = loaded(&text, &[]);
        let aggregator = config.clients[0].aggregator.as_ref();
        assert_eq!(aggregator.map(|it| it.as_str()), expected, "{text}");
        let is_idle = about.iter().any(|key| key == "aggregators[0].name");
        assert_eq!(is_idle, expected == Some("second"), "{about:?}");
    }
    let (config, _) = loaded(&format!("{two}{client}aggregator = \"first\"\n"), &[]);
    let pulls = |it: &AggregatorSettings| matches!(it.mode, AggregatorMode::Pull);
    assert!(config.aggregators.iter().all(pulls));
}

#[test]
fn the_environment_wins_over_the_file() {
    let variables = [
        ("GUICHET__LISTEN__ADDRESS", "0.0.0.0:9000"),
        (
            "GUICHET__LISTEN__TRUSTED_PROXIES",
            r#"["10.0.0.0/8", "::1"]"#,
        ),
        ("GUICHET__LINKS__LINK_MINUTES", "7"),
        ("GUICHET__STORE__ACCEPT_VOLATILE", "true"),
        ("GUICHET__PUBLIC_URL", "https://other.example"),
        ("GUICHET_OTHER", "not ours"),
    ];
    let (config, _) = loaded("[links]\nlink_minutes = 5\n", &variables);
    assert_eq!(config.listen.address.to_string(), "0.0.0.0:9000");
    assert_eq!(config.listen.trusted_proxies.len(), 2);
    assert_eq!(config.links.link_ttl, Duration::from_secs(7 * 60));
    assert!(config.store.accept_volatile);
    assert_eq!(config.public_url.as_str(), "https://other.example");
}

#[test]
fn a_variable_that_looks_like_a_number_can_be_a_text() {
    for value in [
        "1234567890123456",
        "2026-01-01T00:00:00Z",
        "1234567890.123456",
        "plain old text here",
    ] {
        let (config, _) = loaded("", &[("GUICHET__OPERATOR__TOKEN", value)]);
        let token = config.operator.token.expect("a token");
        assert_eq!(token.expose_secret(), value);
    }
}

#[test]
fn a_secret_is_read_from_a_file_beside_the_configuration() {
    let folder = folder();
    put(folder.path(), "token", "0123456789abcdef\n");
    let text = format!("{LEAST}[operator]\ntoken_file = \"token\"\n");
    let (config, _) = load_in(folder.path(), &text, &[])
        .map_err(|e| e.to_string())
        .expect("loads");
    let token = config.operator.token.expect("a token");
    assert_eq!(token.expose_secret(), "0123456789abcdef");
}

#[cfg(unix)]
#[test]
fn files_of_secrets_that_everybody_can_read_are_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    put(folder.path(), "token", "0123456789abcdef");
    let text = format!("{LEAST}[operator]\ntoken_file = \"token\"\n");
    put(folder.path(), "guichet.toml", &text);
    for (mode, expected) in [(0o600, false), (0o640, false), (0o644, true)] {
        for file in ["token", "guichet.toml"] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(folder.path().join(file), permissions).expect("a mode");
        }
        let loaded = load_in(folder.path(), &text, &[]);
        let (_, warnings) = loaded.map_err(|e| e.to_string()).expect("loads");
        let about = |key: &str| {
            warnings
                .iter()
                .any(|w| w.key == key && w.message.contains("chmod"))
        };
        assert_eq!(about("operator.token_file"), expected, "mode {mode:o}");
        assert_eq!(about(""), expected, "mode {mode:o}");
    }
}

#[test]
fn stores_are_told_apart() {
    let (config, _) = loaded("[store]\nurl = \"sqlite:data/g.sqlite\"\n", &[]);
    let StoreLocation::Sqlite(path) = config.store.location else {
        panic!("not SQLite");
    };
    assert!(path.is_absolute() && path.ends_with(Path::new("data/g.sqlite")));
    for (url, warned) in [
        ("redis://127.0.0.1:6379", false),
        ("redis://localhost/2", false),
        ("redis://redis.internal:6379", true),
        ("rediss://:secret@redis.internal:6379", false),
    ] {
        let (config, about) = loaded("", &[("GUICHET__STORE__URL", url)]);
        assert!(
            matches!(config.store.location, StoreLocation::Redis(_)),
            "{url}"
        );
        assert_eq!(about.contains(&"store.url".to_owned()), warned, "{url}");
    }
}

#[test]
fn risky_settings_are_warned_about() {
    let check = |more: &str, key: &str| {
        let (_, about) = loaded(more, &[("BANK_SECRET", "s")]);
        assert!(
            about.iter().any(|k| k == key),
            "{more:?} did not warn about {key}: {about:?}"
        );
        let (_, about) = loaded("", &[]);
        let always = [
            "aggregator",
            "listen.trusted_proxies",
            "clients",
            "oauth.pkce",
        ];
        assert!(
            about.iter().all(|k| always.contains(&k.as_str())),
            "{about:?}"
        );
    };
    check("", "aggregator");
    check("", "listen.trusted_proxies");
    check(
        "[listen]\ntrusted_proxies = [\"0.0.0.0/0\"]\n",
        "listen.trusted_proxies",
    );
    check(
        "[listen]\noperator = \"203.0.113.1:8089\"\n[operator]\ntoken = \"0123456789abcdef\"\n",
        "listen.operator",
    );
    check("[store]\naccept_volatile = true\n", "store.accept_volatile");
    check("[links]\nlink_minutes = 50\n", "links.link_minutes");
    check(
        "[links]\nopen_policy = \"multi\"\nlink_minutes = 10080\n",
        "links.link_minutes",
    );
    check(
        "[webhooks]\ntimeout_seconds = 1\n",
        "webhooks.timeout_seconds",
    );
    let unsigned = client()
        .replace("secret = \"whsec", "# secret = \"whsec")
        .replace("previous_#", "#");
    check(&unsigned, "clients[0].webhooks[0].url");
    let ignoring = format!("{}unbound_callback = \"ignore\"\n", client());
    check(&ignoring, "clients[0].registrations[0].unbound_callback");
    let legacy = client().replace(
        "return_schemes = [\"com.acme.app\"]",
        "return_schemes = [\"mx\"]\nallow_legacy_schemes = true",
    );
    check(&legacy, "clients[0].return_schemes[0]");
    let elsewhere = format!(
        "{}redirect_uri = \"https://banks.acme.example/oauth/redirect_from/acme/bank\"\n",
        client()
    );
    check(&elsewhere, "clients[0].registrations[0].redirect_uri");
}

#[test]
fn a_private_host_is_reached_where_the_operator_lists_it() {
    let hook = client().replace("https://acme.example/hook", "http://127.0.0.1:8082/hook");
    assert!(load(&hook, &[("BANK_SECRET", "s")]).is_err());
    let allowed = format!("{hook}\n[webhooks]\nallow_hosts = [\"127.0.0.1:8082\"]\n");
    let (config, _) = loaded(&allowed, &[("BANK_SECRET", "s")]);
    assert_eq!(config.clients[0].webhooks.len(), 1);
}

/// Compiles only while `Config` has no `Debug`: with one, the method would be ambiguous.
#[test]
fn a_configuration_cannot_be_printed() {
    trait Probe<Marker> {
        fn holds() {}
    }
    struct Printable;
    impl<T: ?Sized> Probe<()> for T {}
    impl<T: ?Sized + std::fmt::Debug> Probe<Printable> for T {}
    <Config as Probe<_>>::holds();
    <crate::config::SealKey as Probe<_>>::holds();
    <crate::config::StoreSettings as Probe<_>>::holds();
    <crate::config::Operator as Probe<_>>::holds();
    <crate::config::AggregatorSettings as Probe<_>>::holds();
}

#[test]
fn a_proxy_of_the_environment_counts_where_it_is_asked_for_and_is_said_to_be_ignored_elsewhere() {
    let asked = "[outgoing]\nproxy = \"environment\"\n";
    let variables = [
        ("HTTPS_PROXY", "http://name:secret@proxy.example:3128"),
        ("no_proxy", "bank.example"),
    ];
    let (config, warnings) = loaded(asked, &variables);
    let proxy = config.proxy.expect("a proxy");
    assert_eq!(proxy.url.expose_secret(), variables[0].1);
    assert_eq!(proxy.except, "bank.example");
    let is_ignored = |warnings: &[String]| warnings.iter().any(|key| key == "outgoing.proxy");
    assert!(!is_ignored(&warnings), "{warnings:?}");

    let (config, warnings) = loaded("", &variables);
    assert!(config.proxy.is_none());
    assert!(is_ignored(&warnings), "{warnings:?}");

    let (config, warnings) = loaded(asked, &[]);
    assert!(config.proxy.is_none());
    assert!(!is_ignored(&warnings), "{warnings:?}");

    let nonsense = [("HTTPS_PROXY", "secret:3128/")];
    let refused = load(asked, &nonsense).map(drop).expect_err("no address");
    let text = refused.to_string();
    assert!(
        text.contains("HTTPS_PROXY") && !text.contains("secret"),
        "{text}"
    );
}
