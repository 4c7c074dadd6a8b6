//! Everything that is wrong is said at once, and nothing that only follows from it.

use super::{BANK, LEAST, folder, load_in, put};
use crate::config::ConfigError;

/// The faults of a configuration, as lines without the folder's path.
fn faults(text: &str, bank: &str) -> Vec<String> {
    let folder = folder();
    put(folder.path(), "institutions/bank.toml", bank);
    let faults = match load_in(folder.path(), text, &[]) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Faults(faults)) => faults,
        Err(other) => panic!("{other}"),
    };
    let here = format!("{}/", folder.path().display());
    let line = |fault: &crate::config::Fault| fault.to_string().replace(&here, "");
    faults.iter().map(line).collect()
}

fn check(faults: &[String], expected: &[&str]) {
    for (fault, expected) in faults.iter().zip(expected) {
        assert!(fault.starts_with(expected), "{fault}\nis not\n{expected}");
    }
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
}

#[test]
fn of_every_kind_and_in_every_file() {
    let text = r#"public_url = "http://connect.example.com"
colour = 1
[listen]
address = "8080"
trusted_proxies = ["10.0.0.1/8", "10.0.0.0/8", "x"]
[links]
link_minutes = 0
[limits]
mints_per_member_per_minute = "many"
[operator]
token = "short"
[seal]
keys = [{ id = "k", key = "c2hvcnQ=" }, { id = "k k", key_file = "none" }]
[aggregator]
[[clients]]
id = "acme"
accent = "red"
[[clients.webhooks]]
url = "https://10.0.0.9/x"
events = []
[[clients.registrations]]
institution = "nobank"
client_id = ""
[[clients.registrations]]
institution = "bank"
client_id = "acme"
redirect_uri = "https://elsewhere.example/x"
[[clients]]
[[clients.webhooks]]
"#;
    let bank = BANK
        .replace("name = \"Bank\"\n", "flavour = \"mint\"\n")
        .replace("https://bank.example/token", "ftp://bank.example/token");
    check(
        &faults(text, &bank),
        &[
            "guichet.toml:1:14: public_url: must begin with https://",
            "guichet.toml:2:1: colour: there is no such key",
            "guichet.toml:4:11: listen.address: \"8080\" is not an address",
            "guichet.toml:5:20: listen.trusted_proxies[0]:",
            "guichet.toml:5:48: listen.trusted_proxies[2]:",
            "guichet.toml:7:16: links.link_minutes: is 0",
            "guichet.toml:9:31: limits.mints_per_member_per_minute: has the wrong type",
            "guichet.toml:11:9: operator.token: is 5 characters long",
            "guichet.toml:13:27: seal.keys[0].key: is not 32 bytes in base64",
            "guichet.toml:13:48: seal.keys[1].id: must be 1 to 32",
            "guichet.toml:13:66: seal.keys[1].key_file: none cannot be read",
            "guichet.toml:14:1: aggregator.url: is missing",
            "guichet.toml:14:1: aggregator.secret: is missing",
            "guichet.toml:14:1: aggregator.key: is missing",
            "guichet.toml:15:1: clients[0].name: is missing",
            "guichet.toml:17:10: clients[0].accent:",
            "guichet.toml:19:7: clients[0].webhooks[0].url: would not be called",
            "guichet.toml:20:10: clients[0].webhooks[0].events: is empty",
            "guichet.toml:22:15: clients[0].registrations[0].institution: no institution has",
            "guichet.toml:23:13: clients[0].registrations[0].client_id: must be",
            "guichet.toml:28:1: clients[1].id: is missing",
            "guichet.toml:28:1: clients[1].name: is missing",
            "guichet.toml:29:1: clients[1].webhooks[0].url: is missing",
            "guichet.toml:29:1: clients[1].webhooks[0].events: is missing",
            "institutions/bank.toml:1:1: name: is missing",
            "institutions/bank.toml:4:1: flavour: there is no such key",
            "institutions/bank.toml:8:18: oauth.token_endpoint:",
        ],
    );
}

#[test]
fn what_only_follows_from_another_fault_is_not_one() {
    // The redirect URI is right for the public_url that was meant; the link lives as long as the policy
    // that was meant allows; the institution is the one whose file is wrong.
    let text = r#"public_url = "connect.example.com"
seal.keys = [{ id = "k1", key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" }]
[links]
open_policy = "interstital"
link_minutes = 1440
[[clients]]
id = "acme"
name = "Acme"
[[clients.registrations]]
institution = "bank"
client_id = "acme"
client_secret = "s"
redirect_uri = "https://connect.example.com/oauth/redirect_from/acme/bank"
"#;
    let bank = BANK.replace("client_secret_basic", "client_secret");
    check(
        &faults(text, &bank),
        &[
            "guichet.toml:1:14: public_url: is not an absolute address",
            "guichet.toml:4:15: links.open_policy:",
            "institutions/bank.toml:9:25: oauth.client_authentication:",
        ],
    );
}

#[test]
fn a_line_that_is_not_toml_stands_alone() {
    let text = format!("{LEAST}colour = 1\n[listen\n");
    check(&faults(&text, BANK), &["guichet.toml:4:8: is not TOML"]);
}

#[test]
fn a_faulty_list_ends() {
    let text = format!("{LEAST}{}", "[[clients]]\n".repeat(300));
    let faults = faults(&text, BANK);
    assert!((100..=101).contains(&faults.len()), "{}", faults.len());
}
