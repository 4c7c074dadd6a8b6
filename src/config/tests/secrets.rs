//! What a secret may look like, whichever way it is given.

use secrecy::ExposeSecret;

use super::{BANK, Config, LEAST, Loaded, folder, load_in, put};
use crate::domain::client::Registration;

/// A registration whose secret is `line`.
fn with(line: &str) -> String {
    format!(
        "{LEAST}[[clients]]\nid = \"acme\"\nname = \"Acme\"\n[[clients.registrations]]\n\
         institution = \"bank\"\nclient_id = \"x\"\n{line}\n"
    )
}

/// Loads it with the secret in a file, and in a variable where one can hold it.
fn each_way(secret: &str) -> Vec<(&'static str, Loaded)> {
    let folder = folder();
    put(folder.path(), "institutions/bank.toml", BANK);
    put(folder.path(), "sec", secret);
    let file = load_in(folder.path(), &with("client_secret_file = \"sec\""), &[]);
    let variables = [("SEC", secret)];
    let variable = load_in(
        folder.path(),
        &with("client_secret_env = \"SEC\""),
        &variables,
    );
    vec![
        ("client_secret_file", file),
        ("client_secret_env", variable),
    ]
}

/// The first client's only registration.
fn registration(config: &Config) -> &Registration {
    let mut all = config.clients[0].registrations.values();
    all.next().expect("one")
}

#[test]
fn what_no_secret_has_is_refused_by_the_key_and_the_file() {
    for (secret, word) in [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("\u{feff}s3cret", "byte order mark"),
        ("s3cret\nmore\n", "has 2 lines"),
        ("s3\0cret", "U+0000"),
        ("s3\tcret", "U+0009) as character 3 of 7"),
    ] {
        for (key, loaded) in each_way(secret) {
            let message = loaded.err().expect("a refusal").to_string();
            assert!(message.contains(word), "{secret:?}: {message}");
            let key = format!(
                "guichet.toml:9:{}: clients[0].registrations[0].{key}: ",
                key.len() + 4
            );
            assert!(
                message.starts_with(&key) || message.contains(&key),
                "{message}"
            );
            let holder = if key.contains("_file") {
                "/sec: "
            } else {
                "variable SEC: "
            };
            assert!(message.contains(holder), "{message}");
            let rest = message
                .replace("client_secret", "")
                .replace("the secret", "");
            assert!(!rest.contains("cret"), "{rest}");
        }
    }
}

#[test]
fn what_few_secrets_have_is_warned_about() {
    for (secret, meant, word) in [
        ("s3cret\n\n", "s3cret", "2 newlines"),
        ("s3cret \n", "s3cret ", "a space"),
        ("\u{a0}s3cret", "\u{a0}s3cret", "a space"),
        ("\"s3cret\"\n", "\"s3cret\"", "a quotation mark"),
        ("'s3cret'", "'s3cret'", "a quotation mark"),
    ] {
        for (key, loaded) in each_way(secret) {
            let (config, warnings) = loaded.map_err(|e| e.to_string()).expect("it loads");
            let about =
                |it: &&crate::config::Warning| it.key.ends_with(key) && it.message.contains(word);
            assert_eq!(
                warnings.iter().filter(about).count(),
                1,
                "{secret:?}: {warnings:?}"
            );
            let kept = &registration(&config).client_authentication;
            assert_eq!(
                kept.client_secret().expect("a secret").expose_secret(),
                meant
            );
        }
    }
}

#[test]
fn one_newline_at_the_end_is_nobodys_secret() {
    for secret in ["s3cret", "s3cret\n", "s3cret\r\n"] {
        for (key, loaded) in each_way(secret) {
            let (config, warnings) = loaded.map_err(|e| e.to_string()).expect("it loads");
            let about_it = warnings.iter().any(|it| {
                it.key.ends_with(key) && !it.message.contains("every user of this machine")
            });
            assert!(!about_it, "{secret:?}: {warnings:?}");
            let kept = &registration(&config).client_authentication;
            assert_eq!(
                kept.client_secret().expect("a secret").expose_secret(),
                "s3cret"
            );
        }
    }
}

#[test]
fn what_cannot_be_a_key_says_how_much_was_found_and_where() {
    let folder = folder();
    put(folder.path(), "short", "c2hvcnQ=\n");
    let text = |line: &str| format!("public_url = \"https://a.example\"\n{line}\n");
    for (line, key, found) in [
        (
            "seal.keys = [{ id = \"a\", key_file = \"short\" }]",
            "seal.keys[0].key_file",
            "8 characters that hold 5 bytes",
        ),
        (
            "operator.token_file = \"short\"",
            "operator.token_file",
            "8 characters long",
        ),
        (
            "[aggregator]\nurl = \"https://a.example\"\nsecret_file = \"short\"",
            "aggregator.secret_file",
            "8 characters of another form",
        ),
    ] {
        let loaded = load_in(folder.path(), &text(line), &[]);
        let message = loaded.err().expect("a refusal").to_string();
        let line = message
            .lines()
            .find(|line| line.contains(&format!(": {key}: ")));
        let line = line.unwrap_or_else(|| panic!("{key} is not in {message}"));
        assert!(line.contains(found) && line.contains("/short: "), "{line}");
    }
}

#[test]
fn a_sign_that_ends_a_password_early_is_explained() {
    for url in [
        "redis://:hunter#2@127.0.0.1:6379",
        "redis://g:hunter/2@127.0.0.1:6379",
        "redis://g:12/3@127.0.0.1:6379",
        "redis://g:hunter?2@127.0.0.1:6379",
    ] {
        let folder = folder();
        let text = format!("{LEAST}[store]\nurl = \"{url}\"\n");
        let message = load_in(folder.path(), &text, &[])
            .err()
            .expect("a refusal")
            .to_string();
        assert!(
            message.contains("store.url: ") && message.contains("%23"),
            "{message}"
        );
        assert!(!message.contains("hunter"), "{message}");
    }
}
