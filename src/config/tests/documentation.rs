//! The two files that explain the keys say all of it, and say it truly.

use std::path::Path;

use super::{LEAST, load};
use crate::config::document::{Document, Reference};
use crate::config::repair::without_comments;
use crate::config::{Config, ConfigError, Environment, institutions, raw};

const DEFAULTS: &str = include_str!("../../../guichet.default.toml");
const EXAMPLE: &str = include_str!("../../../institutions/_example.toml");

/// The keys that `parse` knows in the section headed by `header`, as it lists them when asked for
/// one that is not there.
fn keys_of(header: &str, parse: &dyn Fn(&str) -> Option<String>) -> Option<Vec<String>> {
    let message = parse(&format!("{header}\nno_such_key = 1\n"))?;
    let known = message.split_once(".no_such_key: there is no such key; remove it or use one of ");
    let known = known.or_else(|| {
        message.split_once(": no_such_key: there is no such key; remove it or use one of ")
    });
    // The faults after it have lines of their own.
    let names = known?.1.lines().next()?.split('`').skip(1).step_by(2);
    Some(names.map(str::to_owned).collect())
}

/// Every key of the tree with the kind of header that leads to it, found by asking.
fn all_keys(
    path: &[String],
    header: &str,
    parse: &dyn Fn(&str) -> Option<String>,
) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for key in keys_of(header, parse).expect("a section") {
        let path: Vec<String> = path.iter().cloned().chain([key.clone()]).collect();
        let name = path.join(".");
        let nested = [
            format!("{header}\n[{name}]"),
            format!("{header}\n[[{name}]]"),
        ]
        .into_iter()
        .find(|header| keys_of(header, parse).is_some());
        match nested {
            Some(header) => found.extend(all_keys(&path, &header, parse)),
            None => found.push(path),
        }
    }
    found
}

/// What is wrong with a tree by itself, before its parts are held against each other.
fn faults_of_tree(text: &str) -> Option<Vec<String>> {
    let reference = Reference {
        name: "x",
        text: DEFAULTS,
    };
    let faults = match Document::read::<raw::Tree>("x", text, &[], reference) {
        Ok((_, document)) => document.faults().to_vec(),
        Err(ConfigError::Faults(faults)) => faults,
        Err(other) => panic!("{other}"),
    };
    (!faults.is_empty()).then(|| faults.iter().map(ToString::to_string).collect())
}

fn mentions(value: &toml::Value, path: &[String]) -> bool {
    match (value, path) {
        (_, []) => true,
        (toml::Value::Table(table), [key, rest @ ..]) => {
            table.get(key).is_some_and(|value| mentions(value, rest))
        }
        (toml::Value::Array(items), path) => items.iter().any(|item| mentions(item, path)),
        _ => false,
    }
}

fn check_mentioned(text: &str, keys: &[Vec<String>]) {
    let tree: toml::Value = toml::from_str(&without_comments(text)).expect("TOML");
    for key in keys {
        assert!(mentions(&tree, key), "{} is not explained", key.join("."));
    }
}

#[test]
fn every_key_of_the_tree_is_in_the_default_file() {
    let parse = |text: &str| faults_of_tree(text).map(|faults| faults.join("\n"));
    let keys = all_keys(&[], "", &parse);
    assert!(keys.len() > 75, "only {} keys were found", keys.len());
    check_mentioned(DEFAULTS, &keys);
}

#[test]
fn every_key_of_an_institution_is_in_the_example() {
    let parse = |text: &str| {
        let read = institutions::parse(text, Path::new("x"));
        read.err().map(|error| error.to_string())
    };
    let keys = all_keys(&[], "", &parse);
    assert!(keys.len() > 30, "only {} keys were found", keys.len());
    check_mentioned(EXAMPLE, &keys);
}

#[test]
fn the_default_file_loads_once_it_has_a_seal_key() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("guichet.default.toml");
    let keys = r#"[{ id = "a", key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" }]"#;
    let environment = Environment::of([("GUICHET__SEAL__KEYS", keys)]);
    let loaded = Config::load(Some(&file), &environment);
    let (config, warnings) = loaded.map_err(|error| error.to_string()).expect("loads");
    assert_eq!(config.seal.len(), 1);
    let about: Vec<&str> = warnings
        .iter()
        .map(|warning| warning.key.as_str())
        .collect();
    assert_eq!(about, ["aggregator", "clients"]);
}

#[test]
fn the_values_of_the_default_file_are_the_defaults() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("guichet.default.toml");
    let seal = LEAST
        .lines()
        .nth(1)
        .expect("the key")
        .trim_start_matches("seal.keys = ");
    let environment = Environment::of([("GUICHET__SEAL__KEYS", seal)]);
    let (written, _) = Config::load(Some(&file), &environment)
        .map_err(|e| e.to_string())
        .expect("loads");
    let (implied, _) = load("", &[]).map_err(|e| e.to_string()).expect("loads");
    assert_eq!(written.listen, implied.listen);
    assert_eq!(written.links, implied.links);
    assert_eq!(written.limits, implied.limits);
    assert_eq!(written.sessions, implied.sessions);
    assert_eq!(written.webhooks, implied.webhooks);
    assert_eq!(written.log, implied.log);
    assert_eq!(written.client_keys, implied.client_keys);
    assert_eq!(written.store.prefix, implied.store.prefix);
    assert_eq!(written.store.accept_volatile, implied.store.accept_volatile);
    assert_eq!(written.store.keep_finished, implied.store.keep_finished);
    let name = |config: &Config| match &config.store.location {
        crate::config::StoreLocation::Sqlite(path) => path.file_name().map(ToOwned::to_owned),
        crate::config::StoreLocation::Redis(_) => None,
    };
    assert_eq!(name(&written), name(&implied));
}

#[test]
fn the_examples_in_the_default_file_are_well_formed() {
    let text = without_comments(DEFAULTS);
    assert_eq!(faults_of_tree(&text), None);
}

#[test]
fn the_example_institution_is_well_formed() {
    let file = Path::new("_example.toml");
    let (institution, warnings) = institutions::parse(EXAMPLE, file).expect("it loads");
    let about: Vec<&str> = warnings.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(about, ["oauth.pkce"], "it names no issuer");
    let oauth = institution.oauth.expect("it has OAuth");
    let text = without_comments(EXAMPLE)
        .replace("logo_file =", "# logo_file =")
        .replace("pkce_reason =", "# pkce_reason =")
        .replace("authorization_signed_", "# authorization_signed_")
        .replace("authorization_encrypted_", "# authorization_encrypted_")
        .replace("client_assertion_", "# client_assertion_");
    let (full, warnings) = institutions::parse(&text, file).expect("its examples load");
    assert_eq!(warnings, []);
    assert_eq!(full.credentials.len(), 3);
    assert_eq!(full.iso_country_code.as_deref(), Some("US"));
    let full = full.oauth.expect("it has OAuth");
    assert!(full.subject.is_some());
    assert_eq!(full.connect_timeout, oauth.connect_timeout);
    assert_eq!(full.timeout, oauth.timeout);
    assert_eq!(full.pkce, oauth.pkce);
    assert_eq!(full.iss, oauth.iss);
    assert_eq!(full.scope_separator, oauth.scope_separator);
    assert_eq!(full.response_mode, oauth.response_mode);
}

#[test]
fn the_examples_folder_loads_nothing_whose_name_begins_with_an_underscore() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("institutions");
    let institutions = institutions::load(&folder).institutions;
    assert!(
        institutions
            .iter()
            .all(|i| i.code.as_str() != "example_bank")
    );
}
