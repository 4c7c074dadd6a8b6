//! Client authentication by assertions, and the keys of registrations.

use std::path::Path;

use super::{BANK, LEAST, check, folder, load, load_in, put, refusal};
use crate::domain::algorithm::SigningAlgorithm;
use crate::domain::client::KeyFiles;
use crate::domain::client_authentication::ClientAuthentication;
use crate::jose::new_key;

/// A registration without a secret, with `more` in it; `more` begins at line 9.
fn registration(more: &str) -> String {
    format!(
        "[[clients]]\nid = \"acme\"\nname = \"Acme\"\n[[clients.registrations]]\ninstitution = \"bank\"\n\
         client_id = \"x\"\n{more}"
    )
}

/// The bank with other client authentication.
fn bank(authentication: &str) -> String {
    BANK.replace(
        "client_authentication = \"client_secret_basic\"",
        authentication,
    )
}

const BY_KEY: &str =
    "client_authentication = \"private_key_jwt\"\nissuer = \"https://bank.example\"";

/// An RSA key: making one takes long.
const RSA: &str = include_str!("../../jose/proof.pem");

fn put_key(folder: &Path, name: &str, algorithm: SigningAlgorithm) {
    let pem = new_key(algorithm).expect("a key");
    put(folder, name, &pem);
}

/// A folder in which clients of the bank authenticate so, with keys.
fn keys(authentication: &str) -> tempfile::TempDir {
    let folder = folder();
    put(
        folder.path(),
        "institutions/bank.toml",
        &bank(authentication),
    );
    for (name, algorithm) in [
        ("p256.pem", SigningAlgorithm::ES256),
        ("ed.pem", SigningAlgorithm::EdDSA),
    ] {
        put_key(folder.path(), name, algorithm);
    }
    put(folder.path(), "rsa.pem", RSA);
    put(folder.path(), "no.pem", "no key\n");
    folder
}

/// `authentication` of the bank and `more` of the registration are refused with every one of `parts`.
fn refused(authentication: &str, more: &str, parts: &[&str]) {
    let folder = keys(authentication);
    let text = format!("{LEAST}{}", registration(more));
    let message = refusal(folder.path(), load_in(folder.path(), &text, &[]));
    for part in parts {
        assert!(
            message.contains(part),
            "{more:?} gave {message:?}, which lacks {part:?}"
        );
    }
}

#[test]
fn t3_a_registration_has_its_keys_and_the_rules_of_its_institution() {
    let algorithm =
        "\nrequest_object_signing_alg = \"ES256\"\nclient_assertion_signing_alg = \"RS256\"";
    let folder = keys(&format!("{BY_KEY}{algorithm}"));
    let more = "signing_key_files = [\"rsa.pem\", \"ed.pem\", \"p256.pem\"]\n";
    let text = format!("{LEAST}{}", registration(more));
    let (config, warnings) = load_in(folder.path(), &text, &[]).expect("it loads");
    let registration = config.clients[0]
        .registrations
        .values()
        .next()
        .expect("one");
    let ClientAuthentication::PrivateKeyJwt(rules) = &registration.client_authentication else {
        panic!("it authenticates otherwise");
    };
    assert_eq!(rules.algorithm, SigningAlgorithm::RS256);
    assert_eq!(rules.audience, "https://bank.example");
    let path = |name: &str| folder.path().join(name);
    assert_eq!(
        registration.keys,
        Some(KeyFiles {
            signing: ["rsa.pem", "ed.pem", "p256.pem"].map(path).to_vec(),
            encryption: Vec::new(),
            algorithms: vec![SigningAlgorithm::RS256, SigningAlgorithm::ES256],
        })
    );
    let about: Vec<&str> = warnings.iter().map(|it| it.key.as_str()).collect();
    assert!(
        about.contains(&"clients[0].registrations[0].signing_key_files[0]"),
        "all can read it: {about:?}"
    );
}

#[test]
fn t3_client_authentication_that_cannot_work_is_refused_with_the_remedy() {
    let named = "oauth.client_assertion_signing_alg:";
    for (authentication, more, parts) in [
        (
            BY_KEY,
            "",
            &[
                "registrations[0].signing_key_files: is missing",
                "keys client new FILE --alg PS256",
            ][..],
        ),
        (
            BY_KEY,
            "signing_key_files = [\"rsa.pem\"]\nclient_secret = \"s\"\n",
            &["client_secret: would not be used", "private_key_jwt"],
        ),
        (
            BY_KEY,
            "signing_key_files = [\"gone.pem\"]\n",
            &["signing_key_files[0]:", "cannot be read"],
        ),
        (
            BY_KEY,
            "signing_key_files = [\"rsa.pem\", \"no.pem\"]\n",
            &["signing_key_files[1]: cannot be used", "openssl genpkey"],
        ),
        (
            BY_KEY,
            "signing_key_files = [\"p256.pem\"]\n",
            &["signing_key_files: cannot be used: none of the signing keys is one for PS256"],
        ),
        (
            BY_KEY,
            "signing_key_files = [\"rsa.pem\"]\nencryption_key_files = [\"rsa.pem\"]\n",
            &[
                "encryption_key_files[0]: cannot be used",
                "make another key",
            ],
        ),
        (
            BY_KEY,
            "signing_key_files = [\"rsa.pem\"]\nencryption_key_files = [\"ed.pem\"]\n",
            &["encryption_key_files[0]: cannot be used", "ECDH-ES"],
        ),
        (
            "client_authentication = \"private_key_jwt\"",
            "",
            &["oauth.issuer: is needed", "\"token_endpoint\""],
        ),
        (
            &format!("{BY_KEY}\nclient_assertion_signing_alg = \"HS256\""),
            "",
            &[named, "is for shared secrets", "PS256"],
        ),
        (
            &format!("{BY_KEY}\nclient_assertion_signing_alg = \"none\""),
            "",
            &[named],
        ),
        (
            &format!("{BY_KEY}\nrequest_object_signing_alg = \"HS256\""),
            "",
            &["oauth.request_object_signing_alg: is for shared secrets"],
        ),
        (
            &BY_KEY.replace("private_key_jwt", "client_secret_jwt"),
            "",
            &["client_secret: is missing"],
        ),
        (
            &format!(
                "{}\nclient_assertion_signing_alg = \"PS256\"",
                BY_KEY.replace("private_key", "client_secret")
            ),
            "",
            &[named, "is for private keys", "HS256"],
        ),
        (
            "client_authentication = \"none\"\nclient_assertion_signing_alg = \"PS256\"",
            "",
            &[named, "is only for", "remove it"],
        ),
        (
            "client_authentication = \"client_secret_post\"\nclient_assertion_audience = \"issuer\"",
            "",
            &["oauth.client_assertion_audience: is only for"],
        ),
        (
            &format!("{BY_KEY}\nbasic_encoding = \"raw\""),
            "",
            &["oauth.basic_encoding: is only for"],
        ),
    ] {
        refused(authentication, more, parts);
    }
}

#[test]
fn t4_a_key_that_signs_for_an_address_is_to_be_no_other_institutions() {
    let by_address = "client_authentication = \"private_key_jwt\"\nclient_assertion_audience = \"token_endpoint\"";
    let folder = keys(by_address);
    let other = bank(BY_KEY)
        .replace("\"bank\"", "\"other\"")
        .replace("0d1f7f6f2c11", "0d1f7f6f2c12");
    put(folder.path(), "institutions/other.toml", &other);
    let with = |key: &str| {
        format!(
            "{LEAST}{}[[clients.registrations]]\ninstitution = \"other\"\nclient_id = \"y\"\n\
             signing_key_files = [\"{key}\"]\n",
            registration("signing_key_files = [\"rsa.pem\"]\n")
        )
    };
    let warned = |key: &str| {
        let (config, warnings) = load_in(folder.path(), &with(key), &[]).expect("it loads");
        let registration = config.clients[0].registration(&"bank".parse().expect("a code"));
        let registration = registration.expect("one");
        let ClientAuthentication::PrivateKeyJwt(rules) = &registration.client_authentication else {
            panic!("it authenticates otherwise");
        };
        assert_eq!(rules.audience, "https://bank.example/token");
        let shared = warnings.into_iter().map(|it| it.message);
        shared.filter(|it| it.contains("a key of its own")).count()
    };
    assert_eq!(warned("rsa.pem"), 1);
    put(folder.path(), "own.pem", RSA);
    assert_eq!(warned("own.pem"), 0);
}

#[test]
fn keys_that_sign_nothing_and_short_secrets_are_warned_of() {
    let warnings = |authentication: &str, more: &str| -> Vec<String> {
        let folder = keys(authentication);
        let text = format!("{LEAST}{}", registration(more));
        let (_, warnings) = load_in(folder.path(), &text, &[]).expect("it loads");
        warnings.into_iter().map(|it| it.message).collect()
    };
    let none = "client_authentication = \"none\"";
    let found = warnings(none, "signing_key_files = [\"ed.pem\"]\n");
    assert!(
        found.iter().any(|it| it.contains("sign nothing")),
        "{found:?}"
    );
    let by_secret = BY_KEY.replace("private_key", "client_secret");
    let found = warnings(&by_secret, "client_secret = \"short\"\n");
    assert!(
        found
            .iter()
            .any(|it| it.contains("is 5 bytes long, and HS256 needs 32")),
        "{found:?}"
    );
    let secret = format!("client_secret = \"{}\"\n", "x".repeat(32));
    let found = warnings(&by_secret, &secret);
    assert!(
        !found.iter().any(|it| it.contains("bytes long")),
        "{found:?}"
    );
}

#[test]
fn x2_the_age_of_keys_is_a_setting() {
    let (config, _) = load("[client_keys]\nold_after_days = 30\n", &[]).expect("it loads");
    assert_eq!(config.client_keys.old_after.as_secs(), 30 * 24 * 60 * 60);
    check(
        "[client_keys]\nold_after_days = 0\n",
        &["client_keys.old_after_days:", "3650"],
    );
}
