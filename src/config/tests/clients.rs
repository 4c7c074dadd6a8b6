//! What is refused of clients, their webhooks and their registrations.

use std::sync::Arc;
use std::time::Duration;

use super::{check, load};
use crate::domain::authorization::ResponseMode;

/// A client table with `more` in it, beginning at line 3; `more` begins at line 6.
pub fn client(more: &str) -> String {
    format!("[[clients]]\nid = \"acme\"\nname = \"Acme\"\n{more}")
}

/// A registration with `more` in it; `more` begins at line 10.
pub fn registration(more: &str) -> String {
    client(&format!(
        "[[clients.registrations]]\ninstitution = \"bank\"\nclient_id = \"x\"\n\
         client_secret = \"y\"\n{more}"
    ))
}

#[test]
fn clients() {
    check(
        &client("[[clients]]\nid = \"acme\"\nname = \"B\"\n"),
        &["guichet.toml:7:6: clients[1].id: acme is the id of another client"],
    );
    check(
        "[[clients]]\nid = \"a b\"\nname = \"A\"\n",
        &["guichet.toml:4:6: clients[0].id: expected 1 to 64"],
    );
    check(
        "[[clients]]\nid = \"a\"\nname = \" \"\n",
        &["guichet.toml:5:8: clients[0].name: is not a name; write"],
    );
    check(
        &client("accent = \"red\"\n"),
        &["guichet.toml:6:10: clients[0].accent: is not a colour; write"],
    );
    check(
        &client("accent = \"#ffff00\"\n"),
        &[
            "clients[0].accent: is too light for white text",
            "choose a darker",
        ],
    );
    check(
        &client("support = \"call us\"\n"),
        &["clients[0].support:", "mailto:"],
    );
    check(
        &client("locale = \"english please\"\n"),
        &["clients[0].locale: is not a language tag"],
    );
    check(
        &client("logo_file = \"guichet.toml\"\n"),
        &["guichet.toml:6:13: clients[0].logo_file:", "cannot be read"],
    );
    check(
        &client("logo_file = \"institutions/bank.toml\"\n"),
        &["clients[0].logo_file:", "is not an SVG, PNG, JPEG or WebP"],
    );
    check(
        &client("return_addresses = [\"http://a.example\"]\n"),
        &[
            "guichet.toml:6:21: clients[0].return_addresses[0]:",
            "only https",
        ],
    );
    check(
        &client("return_schemes = [\"javascript\"]\n"),
        &[
            "guichet.toml:6:19: clients[0].return_schemes[0]:",
            "belongs to browsers",
        ],
    );
    check(
        &client("return_schemes = [\"mx\"]\n"),
        &[
            "guichet.toml:6:19: clients[0].return_schemes[0]: mx is a single word",
            "allow_legacy_schemes = true",
        ],
    );
    for (line, key) in [
        (
            "return_addresses = [\"mx://done\"]\n",
            "return_addresses[0]",
        ),
        ("home = \"mx://home\"\n", "home"),
    ] {
        let named = format!("clients[0].{key}: mx is a single word");
        check(&client(line), &[&named, "allow_legacy_schemes = true"]);
    }
    // Whatever the client is allowed.
    for (scheme, owner) in [
        ("mailto", "operating systems"),
        ("ms-msdt", "operating systems"),
        ("vscode", "operating systems"),
        ("devtools", "browsers"),
        ("firefox-focus", "browsers"),
        ("googlechrome-x-callback", "browsers"),
    ] {
        for (line, key) in [
            (
                format!("return_schemes = [\"{scheme}\"]"),
                "return_schemes[0]",
            ),
            (
                format!("return_addresses = [\"{scheme}://x\"]"),
                "return_addresses[0]",
            ),
            (format!("home = \"{scheme}://x\""), "home"),
        ] {
            let line = format!("{line}\nallow_legacy_schemes = true\n");
            let named = format!("clients[0].{key}:");
            check(&client(&line), &[&named, &format!("belongs to {owner}")]);
        }
    }
    check(
        &client("home = \"http://a.example/\"\n"),
        &["clients[0].home:", "only https"],
    );
    check(
        &client("message_origins = [\"https://a.example/\"]\n"),
        &[
            "guichet.toml:6:20: clients[0].message_origins[0]:",
            "write \"https://a.example\"",
        ],
    );
    check(
        &client("message_origins = [\"*\"]\n"),
        &["clients[0].message_origins[0]:"],
    );
    check(
        &client("link_minutes = 61\n"),
        &["guichet.toml:6:16: clients[0].link_minutes: 61 minutes are more"],
    );
    check(
        &format!(
            "[links]\nopen_policy = \"multi\"\nlink_minutes = 90\n{}",
            client("open_policy = \"single\"\n")
        ),
        &["guichet.toml:9:15: clients[0].open_policy: 90 minutes are more"],
    );
}

#[test]
fn duplicates() {
    check(
        &client("duplicates = \"join\"\n"),
        &[
            "guichet.toml:6:14: clients[0].duplicates: ",
            "`merge`, `refuse`, `allow`",
        ],
    );
}

#[test]
fn http_basic() {
    let hook = |more: &str| {
        client(&format!(
            "[[clients.webhooks]]\nurl = \"https://a.example\"\nevents = [\"member.created\"]\n{more}"
        ))
    };
    let at = "clients[0].webhooks[0]";
    for wrong in ["", "a:b", "a\\u0007"] {
        check(
            &hook(&format!(
                "basic_username = \"{wrong}\"\nbasic_password = \"p\"\n"
            )),
            &[
                "guichet.toml:9:18: ",
                at,
                ".basic_username: cannot be sent with HTTP Basic; write",
            ],
        );
    }
    check(
        &hook("basic_username = \"a\"\n"),
        &[
            at,
            ".basic_password: is missing beside basic_username; give basic_password_file",
        ],
    );
    check(
        &hook("basic_password = \"a\"\n"),
        &[at, ".basic_username: is missing beside basic_password"],
    );
    check(
        &hook("basic_username = \"a\"\nbasic_password = \"8675309\\u0007\"\n"),
        &[
            "guichet.toml:10:18: ",
            at,
            ".basic_password: has a control character (U+0007)",
        ],
    );
    check(
        &hook("basic_username = \"a\"\nbasic_password = \"x\"\nbasic_password_env = \"X\"\n"),
        &[at, ".basic_password: is given more than once"],
    );
}

#[test]
fn webhooks() {
    let hooks = |kinds: &str| {
        client(&format!(
            "[[clients.webhooks]]\nurl = \"https://a.example\"\nevents = [{kinds}]\n"
        ))
    };
    check(
        &hooks("\"member.exploded\""),
        &[
            "guichet.toml:8:11: clients[0].webhooks[0].events[0]:",
            "member.created, member.updated",
        ],
    );
    let twice = format!(
        "{}[[clients.webhooks]]\nurl = \"https://b.example\"\nevents = [\"member.deleted\", \"member.created\"]\n",
        hooks("\"member.created\"")
    );
    check(
        &twice,
        &[
            "guichet.toml:11:29: clients[0].webhooks[1].events[1]: member.created already goes to clients[0].webhooks[0]",
            "one address",
        ],
    );
    for private in [
        "https://10.0.0.1/x",
        "https://[::1]/x",
        "http://localhost:1/x",
        "https://169.254.169.254/x",
        "https://[fd00::1]/x",
        "https://localhost/x",
    ] {
        let text = hooks("\"member.created\"").replace("https://a.example", private);
        check(
            &text,
            &[
                "guichet.toml:7:7: clients[0].webhooks[0].url: would not be called: the address is not",
                "webhooks.allow_hosts",
            ],
        );
    }
    let previous = format!(
        "{}previous_secret = \"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\"\n",
        hooks("\"member.created\"")
    );
    check(
        &previous,
        &[
            "guichet.toml:9:19: clients[0].webhooks[0].previous_secret: stands without a current secret",
        ],
    );
}

#[test]
fn registrations() {
    let at = "clients[0].registrations[0]";
    check(
        &registration("").replace("\"bank\"", "\"other\""),
        &[
            "guichet.toml:7:15: ",
            at,
            ".institution: no institution has the code other",
            "(bank)",
        ],
    );
    check(
        &registration("").replace("client_secret = \"y\"\n", ""),
        &[
            "guichet.toml:6:1: ",
            at,
            ".client_secret: is missing, and bank asks clients to prove themselves",
        ],
    );
    check(
        &registration("").replace("\"x\"", "\"\""),
        &["guichet.toml:8:13: ", ".client_id: must be"],
    );
    check(
        &registration("completion = \"later\"\n"),
        &[
            "guichet.toml:10:14: ",
            ".completion: ",
            "`immediate` or `confirm`",
        ],
    );
    check(
        &registration("confirm_holds = \"tokens\"\n"),
        &[
            "guichet.toml:10:17: ",
            ".confirm_holds: is for flows that are confirmed; remove it, or write completion = \"confirm\"",
        ],
    );
    check(
        &registration("unbound_callback = \"keep\"\n"),
        &[
            "guichet.toml:10:20: ",
            ".unbound_callback: ",
            "`burn`, `confirm`, `ignore`",
        ],
    );
    check(
        &registration("scopes = [\"a b\"]\n"),
        &[
            "guichet.toml:10:11: ",
            ".scopes[0]: \"a b\" is not one scope",
        ],
    );
    check(
        &registration("redirect_uri = \"https://connect.example.com/cb\"\n"),
        &[
            "guichet.toml:10:16: ",
            ".redirect_uri: its authorization responses would not arrive",
            "https://connect.example.com/oauth/redirect_from/acme/bank",
        ],
    );
    check(
        &format!(
            "{}[[clients.registrations]]\ninstitution = \"bank\"\nclient_id = \"z\"\nclient_secret = \"y\"\n",
            registration("")
        ),
        &[
            "guichet.toml:11:15: clients[0].registrations[1].institution: bank has a registration already",
        ],
    );
}

#[test]
fn a_registration_may_have_any_key_of_the_institutions_oauth_otherwise() {
    let more = "[clients.registrations.oauth]\nresponse_mode = \"form_post\"\n\
                scopes = [\"openid\"]\nissuer = \"https://bank.example\"\n\
                jwks_uri = \"https://bank.example/keys\"\ntimeouts.total_seconds = 30\n";
    let (config, _) = load(&registration(more), &[]).expect("it loads");
    let institution = &config.institutions[0];
    let of_all = institution.oauth.as_ref().expect("it has OAuth");
    let own = &config.clients[0]
        .registration(&institution.code)
        .expect("it is registered")
        .oauth;
    assert_eq!(own.response_mode, ResponseMode::FormPost);
    assert_eq!(own.scopes, ["openid"]);
    assert_eq!(own.timeout, Duration::from_secs(30));
    assert_eq!(own.connect_timeout, of_all.connect_timeout);
    assert_eq!(own.token_endpoint, of_all.token_endpoint);
    assert_eq!(of_all.response_mode, ResponseMode::Query);
    let (config, _) = load(&registration(""), &[]).expect("it loads");
    let institution = &config.institutions[0];
    let own = config.clients[0].registration(&institution.code);
    let of_all = institution.oauth.as_ref().expect("it has OAuth");
    assert!(Arc::ptr_eq(&own.expect("it is registered").oauth, of_all));
}

#[test]
fn a_registration_that_asks_who_signs_in_has_what_verifies_it() {
    let scopes = "scopes = [\"openid\"]\n";
    check(
        &registration(scopes),
        &[
            "clients[0].registrations[0].scopes: has \"openid\", but the institution has no oauth.issuer",
        ],
    );
    let own = |lines: &str| format!("[clients.registrations.oauth]\n{lines}\n");
    let keys = "issuer = \"https://bank.example\"\njwks_uri = \"https://bank.example/keys\"";
    let fine = registration(&format!("{scopes}{}", own(keys)));
    assert!(load(&fine, &[]).is_ok());
    check(
        &registration(&own(&format!(
            "{keys}\nsubject = {{ from = \"id_token\" }}"
        ))),
        &["clients[0].registrations[0].institution: has no ID tokens without the scope"],
    );
}

#[test]
fn what_a_registration_has_otherwise_is_checked_as_in_the_file() {
    let overlaid = |lines: &str| registration(&format!("[clients.registrations.oauth]\n{lines}\n"));
    check(
        &overlaid("colour = 1"),
        &[
            "guichet.toml:11:10: clients[0].registrations[0].oauth.colour: there is no such key",
            "`response_mode`",
        ],
    );
    check(
        &overlaid("response_mode = \"fragment\""),
        &["guichet.toml:11:17: clients[0].registrations[0].oauth.response_mode: unknown variant"],
    );
    check(
        &overlaid("iss = \"required\""),
        &["clients[0].registrations[0].oauth.issuer: is needed because iss is required"],
    );
    check(
        &overlaid("authorize_parameters.state = \"x\""),
        &[
            "clients[0].registrations[0].oauth.authorize_parameters.state: state is set by the gateway",
        ],
    );
    let (_, warnings) = load(
        &overlaid("pkce = \"off\"\npkce_reason = \"it refuses it\""),
        &[],
    )
    .expect("it loads");
    let about: Vec<&str> = warnings.iter().map(|it| it.key.as_str()).collect();
    assert!(
        about.contains(&"clients[0].registrations[0].oauth.pkce"),
        "{about:?}"
    );
}
