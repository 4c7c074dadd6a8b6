//! What is refused in the tree, at which place, and the remedy.

use secrecy::ExposeSecret;

use super::clients::client;
use super::{LEAST, check, folder, load_in, refusal};
use crate::config::ConfigError;

#[test]
fn the_tree_itself() {
    check(
        "[listen\n",
        &["guichet.toml:3:8: is not TOML", "correct the line"],
    );
    check(
        "colour = 1\n",
        &[
            "guichet.toml:3:1: colour: there is no such key",
            "`public_url`",
        ],
    );
    check(
        "[listen]\nport = 1\n",
        &[
            "guichet.toml:4:1: listen.port: there is no such key",
            "`address`",
            "guichet.default.toml",
        ],
    );
    check(
        "[log]\nformat = 3\n",
        &["guichet.toml:4:10: log.format: has the wrong type"],
    );
    check(
        "[log]\nformat = \"xml\"\n",
        &["guichet.toml:4:10: log.format:", "`text` or `json`"],
    );
    for filter in [
        "=,=",
        "guichet=loud",
        "guichet=",
        "info,",
        "guichet=debug,,info",
        "*=debug",
        "",
        "warning",
        "guichet",
        "info,debug",
        "guichet=info,guichet=debug",
        "guichet:http=debug",
        "hyper-util=debug",
    ] {
        check(
            &format!("[log]\nfilter = \"{filter}\"\n"),
            &[
                "guichet.toml:4:10: log.filter: is not a log filter",
                "write a level",
            ],
        );
    }
    check(
        "[links]\nlink_minutes = 0\n",
        &["guichet.toml:4:16: links.link_minutes: is 0; write a number from 1 to 10080"],
    );
    check(
        "[links]\nlink_minutes = -1\n",
        &["guichet.toml:4:16: links.link_minutes: is -1; write"],
    );
    check(
        "[links]\nlink_minutes = \"5\"\n",
        &["guichet.toml:4:16: links.link_minutes: has the wrong type; write a whole number"],
    );
    check(
        "[links]\nlink_minutes = 61\n",
        &[
            "guichet.toml:4:16: links.link_minutes: 61 minutes are more than the 60",
            "interstitial",
        ],
    );
    check(
        "[[links]]\n",
        &["guichet.toml:3:1: links[0]: has the wrong type; write a section"],
    );
    check(
        "[limits]\nmints_per_member_per_minute = 0\n",
        &["guichet.toml:4:31: limits.mints_per_member_per_minute: is 0"],
    );
    check(
        "[limits]\ndeletes_per_client_per_second = 1000001\n",
        &[
            "guichet.toml:4:33: limits.deletes_per_client_per_second: is 1000001; write a number from 1",
        ],
    );
    check(
        "[aggregator]\nurl = \"https://a.example\"\nanswer_minutes = 61\n",
        &["guichet.toml:5:18: aggregator.answer_minutes: is 61; write a number from 1 to 60"],
    );
    check(
        "[listen]\naddress = \"8080\"\n",
        &["guichet.toml:4:11: listen.address: \"8080\" is not an address with a port; write"],
    );
    check(
        "[listen]\ntrusted_proxies = [\"10.0.0.1\", \"10.0.0.1/8\"]\n",
        &[
            "guichet.toml:4:32: listen.trusted_proxies[1]:",
            "first address of the network",
        ],
    );
    check(
        "[listen]\ntrusted_proxies = [\"10.0.0.0/33\"]\n",
        &["listen.trusted_proxies[0]:", "write 0 to 32"],
    );
    check(
        "[webhooks]\nallow_hosts = [\"*.internal\"]\n",
        &[
            "guichet.toml:4:16: webhooks.allow_hosts[0]:",
            "without wildcards",
        ],
    );
    check(
        "[webhooks]\nallow_hosts = [\"https://a.internal\"]\n",
        &["webhooks.allow_hosts[0]:", "is not a host"],
    );
}

#[test]
fn a_section_is_not_a_list_of_values() {
    check(
        "limits = [1, 2, 3]\n",
        &["guichet.toml:3:10: limits: has the wrong type; write a section"],
    );
    check(
        "clients = [[\"a\", \"b\"]]\n",
        &["guichet.toml:3:12: clients[0]: has the wrong type; write a section"],
    );
    check(
        "aggregator = [\"https://a.example\"]\n",
        &["guichet.toml:3:14: aggregator: has the wrong type"],
    );
}

#[test]
fn what_is_missing() {
    let folder = folder();
    let message = refusal(folder.path(), load_in(folder.path(), "", &[]));
    assert!(
        message.starts_with("guichet.toml:1:1: public_url: is missing; add it"),
        "{message}"
    );
    let message = refusal(
        folder.path(),
        load_in(folder.path(), "public_url = \"https://a.example\"\n", &[]),
    );
    assert!(
        message.starts_with("guichet.toml:1:1: seal.keys: has no key"),
        "{message}"
    );
    check(
        "[[clients]]\nid = \"acme\"\n",
        &["guichet.toml:3:1: clients[0].name: is missing"],
    );
    check(
        "[listen]\noperator = \"0.0.0.0:8089\"\n",
        &[
            "guichet.toml:1:1: operator.token: is needed",
            "listen on 127.0.0.1",
        ],
    );
    check(
        "[aggregator]\nurl = \"https://a.example\"\n",
        &["guichet.toml:3:1: aggregator.secret: is missing"],
    );
    check(
        &client("[[clients.webhooks]]\nurl = \"https://a.example\"\nevents = []\n"),
        &["guichet.toml:8:10: clients[0].webhooks[0].events: is empty"],
    );
}

#[test]
fn aggregators() {
    let pull = |name: &str, key: &str| {
        format!("[[aggregators]]\nname = \"{name}\"\nmode = \"pull\"\nkey = \"{key}\"\n")
    };
    let (one, other) = ("0123456789abcdef", "fedcba9876543210");
    let two = pull("first", one) + &*pull("second", other);
    let client = "[[clients]]\nid = \"acme\"\nname = \"Acme\"\n";
    for (text, expected) in [
        (
            format!("{two}{client}"),
            "guichet.toml:11:1: clients[0].aggregator: is missing, and there are several aggregators; name the one that pulls this client's data: first, second",
        ),
        (
            format!("{two}{client}aggregator = \"third\"\n"),
            "guichet.toml:14:14: clients[0].aggregator: no aggregator is called third; write one of first, second",
        ),
        (
            format!("{client}aggregator = \"third\"\n"),
            "guichet.toml:6:14: clients[0].aggregator: no aggregator is called third: there is none; add [[aggregators]]",
        ),
        (
            pull("first", one) + &*pull("first", other),
            "guichet.toml:8:8: aggregators[1].name: first is the name of another aggregator",
        ),
        (
            pull("first", one) + &*pull("second", one),
            "guichet.toml:10:7: aggregators[1].key: is the key of first as well",
        ),
        (
            "[[aggregators]]\nmode = \"pull\"\nkey = \"0123456789abcdef\"\n".to_owned(),
            "guichet.toml:3:1: aggregators[0].name: is missing; clients name",
        ),
        (
            pull("first", one) + "url = \"https://a.example\"\n",
            "guichet.toml:7:7: aggregators[0].url: would not be used: with mode = \"pull\"",
        ),
        (
            pull("first", one) + "secret_env = \"HOOKS\"\n",
            "guichet.toml:7:14: aggregators[0].secret_env: would not be used",
        ),
        (
            "[aggregator]\nkey = \"0123456789abcdef\"\n".to_owned(),
            "guichet.toml:3:1: aggregator.url: is missing; give the address that jobs are pushed to, or write mode = \"pull\"",
        ),
        (
            "[aggregator]\nmode = \"fetch\"\nkey = \"0123456789abcdef\"\n".to_owned(),
            "guichet.toml:4:8: aggregator.mode: unknown variant `fetch`, expected `push` or `pull`",
        ),
        (
            format!(
                "[aggregator]\nmode = \"pull\"\nkey = \"{other}\"\n{}",
                pull("first", one)
            ),
            "guichet.toml:3:1: aggregator: stands beside [[aggregators]]; write it as one of them",
        ),
    ] {
        check(&text, &[expected]);
    }
}

#[test]
fn public_addresses() {
    for (url, part) in [
        ("http://connect.example.com", "must begin with https://"),
        ("connect.example.com", "is not an absolute address"),
        ("https://connect.example.com/app", "has a path"),
        ("https://connect.example.com/?x", "has a path or a query"),
        ("https://connect.example.com/#x", "has a fragment"),
        ("https://user@connect.example.com", "has a user name"),
        ("javascript:alert", "must begin with https://"),
    ] {
        let folder = folder();
        let text = LEAST.replace("https://connect.example.com", url);
        let message = refusal(folder.path(), load_in(folder.path(), &text, &[]));
        assert!(
            message.starts_with("guichet.toml:1:14: public_url: "),
            "{message}"
        );
        assert!(message.contains(part), "{url} gave {message}");
    }
    for url in [
        "http://localhost:8080",
        "http://127.0.0.1:8080/",
        "https://a.example:8443",
    ] {
        let text = LEAST.replace("https://connect.example.com", url);
        let folder = folder();
        assert!(
            load_in(folder.path(), &text, &[]).is_ok(),
            "{url} was refused"
        );
    }
}

#[test]
fn secrets() {
    check(
        "[operator]\ntoken = \"short\"\n",
        &[
            "guichet.toml:4:9: operator.token: is 5 characters long, shorter than 16 characters",
            "openssl",
        ],
    );
    check("[operator]\ntoken = \"\"\n", &["operator.token: is empty"]);
    check(
        "[operator]\ntoken = \"0123456789abcdef\"\ntoken_env = \"X\"\n",
        &[
            "guichet.toml:4:9: operator.token: is given more than once; keep one of token, token_file and token_env",
        ],
    );
    check(
        "[operator]\ntoken_env = \"X\"\n",
        &[
            "guichet.toml:4:13: operator.token_env: names the environment variable \"X\", which is not set",
        ],
    );
    check(
        "[operator]\ntoken_file = \"none\"\n",
        &[
            "guichet.toml:4:14: operator.token_file:",
            "cannot be read",
            "check the path",
        ],
    );
    check(
        "[store]\nurl = \"mysql://a\"\n",
        &["guichet.toml:4:7: store.url: is not the address of a store; write"],
    );
    check(
        "[store]\nurl = \"sqlite::memory:\"\n",
        &["guichet.toml:4:7: store.url: names no file"],
    );
    check(
        "[store]\nprefix = \"{x}\"\n",
        &["guichet.toml:4:10: store.prefix:", "braces"],
    );
    let whsec = "[aggregator]\nurl = \"https://a.example\"\nsecret = \"whsec_c2hvcnQ=\"\n";
    check(
        whsec,
        &["guichet.toml:5:10: aggregator.secret: is not a signing secret; write whsec_"],
    );
    let seal = |keys: &str| {
        let folder = folder();
        let text = format!("public_url = \"https://a.example\"\n[seal]\nkeys = {keys}\n");
        refusal(folder.path(), load_in(folder.path(), &text, &[]))
    };
    assert!(
        seal("[{ id = \"a\", key = \"c2hvcnQ=\" }]")
            .starts_with("guichet.toml:3:27: seal.keys[0].key: is not 32 bytes in base64")
    );
    assert!(
        seal("[{ id = \"a b\", key = \"x\" }]")
            .starts_with("guichet.toml:3:16: seal.keys[0].id: must be")
    );
    assert!(seal("[{ id = \"a\" }]").contains("seal.keys[0].key: is missing"));
    let key = "key = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"";
    let twice = format!("[{{ id = \"a\", {key} }}, {{ id = \"a\", {key} }}]");
    assert!(seal(&twice).contains("seal.keys[1].id: is the id of another key too"));
}

#[test]
fn a_refusal_never_quotes_a_secret() {
    let secret = "8675309867530986";
    for more in [
        format!("[operator]\ntoken = {secret}\n"),
        format!("[operator]\ntoken = [\"{secret}\"]\n"),
        format!("[operator]\ntoken = \"{secret}\n"),
        format!("[operator]\ntoken = \"{secret}\"\ntoken_env = \"X\"\n"),
        format!("operator = \"{secret}\"\n"),
        format!("[store]\nurl = \"redis:{secret}\"\n"),
        format!("[aggregator]\nurl = \"https://a.example\"\nsecret = \"{secret}\"\n"),
        format!("[seal]\nkeys = \"{secret}\"\n"),
    ] {
        let folder = folder();
        let text = format!("public_url = \"https://a.example\"\n{more}");
        let message = refusal(folder.path(), load_in(folder.path(), &text, &[]));
        assert!(!message.contains("8675309"), "{more:?} gave {message:?}");
    }
    for variable in [
        "GUICHET__OPERATOR",
        "GUICHET__LISTEN__ADDRESS__X",
        "GUICHET__LINKS__LINK_MINUTES",
    ] {
        let folder = folder();
        let loaded = load_in(folder.path(), LEAST, &[(variable, "a8675309secret")]);
        let message = refusal(folder.path(), loaded);
        assert!(
            message.starts_with(&format!("environment variable {variable}: ")),
            "{message}"
        );
        assert!(!message.contains("8675309"), "{message:?}");
    }
}

#[test]
fn variables() {
    let check = |name: &str, value: &str, part: &str| {
        let folder = folder();
        let text = format!(
            "{LEAST}[listen]\naddress = \"127.0.0.1:1\"\n[[clients]]\nid = \"a\"\nname = \"A\"\n"
        );
        let message = refusal(
            folder.path(),
            load_in(folder.path(), &text, &[(name, value)]),
        );
        assert!(
            message.starts_with(&format!("environment variable {name}: ")),
            "{message}"
        );
        assert!(message.contains(part), "{message}");
    };
    check("GUICHET__NONSENSE", "1", "nonsense: there is no such key");
    check(
        "GUICHET__LISTEN__PORT",
        "1",
        "listen.port: there is no such key",
    );
    check("GUICHET__LISTEN", "{ port = 1 }", "set its keys one by one");
    check("GUICHET__", "1", "does not name a setting");
    check("GUICHET__LISTEN____ADDRESS", "1", "does not name a setting");
    check("GUICHET__CLIENTS__A__SSO_KEY", "x", "_env = \"NAME\"");
    check("GUICHET__LISTEN__ADDRESS__X", "x", "not a section");
    check(
        "GUICHET__LISTEN__ADDRESS",
        "x",
        "listen.address: \"x\" is not an address with a port",
    );
    check(
        "GUICHET__LINKS__LINK_MINUTES",
        "90",
        "links.link_minutes: 90 minutes are more",
    );
    check(
        "GUICHET__LISTEN__TRUSTED_PROXIES",
        "10.0.0.0/8",
        "listen.trusted_proxies: has the wrong type; write a list",
    );
}

#[test]
fn files_that_are_not_there() {
    let folder = folder();
    let text = format!("{LEAST}[institutions]\nfolder = \"banks\"\n");
    let Err(error) = load_in(folder.path(), &text, &[]) else {
        panic!("a folder that is not there was read");
    };
    let message = error.to_string();
    assert!(
        message.contains("banks: cannot be read") && message.contains("check the path"),
        "{message}"
    );
    let environment = crate::config::Environment::default();
    let loaded = crate::config::Config::load(Some(&folder.path().join("none.toml")), &environment);
    assert!(matches!(loaded, Err(ConfigError::Unreadable { .. })));
    let Err(error) = crate::config::Config::load(None, &environment) else {
        panic!("loaded without a public_url");
    };
    assert!(
        error.to_string().contains("public_url: is missing"),
        "{error}"
    );
}

#[test]
fn a_password_in_a_store_address_stays_in_it() {
    let folder = folder();
    let text = format!("{LEAST}[store]\nurl = \"rediss://:hunter2@redis.example\"\n");
    let (config, warnings) = load_in(folder.path(), &text, &[])
        .map_err(|e| e.to_string())
        .expect("loads");
    assert!(
        warnings
            .iter()
            .all(|warning| !warning.to_string().contains("hunter2"))
    );
    let crate::config::StoreLocation::Redis(address) = config.store.location else {
        panic!("not Redis");
    };
    let password = address.login.password.expect("a password");
    assert_eq!(password.expose_secret(), "hunter2");
}
