//! What is refused of an institution's calls and values, and of its twin.

use std::path::Path;

use super::{BANK, LEAST, folder, load_in, put, refusal};
use crate::config::institutions;
use crate::domain::call::{CallName, Placement};

/// [`BANK`] with more in its `[oauth]` section.
fn bank(more: &str) -> String {
    format!("{BANK}\n{more}")
}

/// The faults of a bank with that in its `[oauth]` section.
fn faults(more: &str) -> String {
    let parsed = institutions::parse(&bank(more), Path::new("bank.toml"));
    parsed.err().expect("a refusal").to_string()
}

fn check(more: &str, part: &str) {
    let message = faults(more);
    assert!(
        message.contains(part),
        "{more:?} gave {message:?}, which lacks {part:?}"
    );
}

fn call(of: &str, more: &str) -> String {
    format!("[[oauth.calls]]\nof = [\"{of}\"]\n{more}\n")
}

#[test]
fn calls_are_as_the_standards_say_where_the_file_says_nothing() {
    let parsed = institutions::parse(&bank(&call("token", "method = \"GET\"")), Path::new("x"));
    let (institution, _) = parsed.map_err(|error| error.to_string()).expect("loads");
    let calls = institution.oauth.expect("OAuth").calls.clone();
    assert_eq!(calls.token.parameters_in, Placement::Query);
    assert_eq!(
        calls.refresh,
        crate::domain::call::Call::standard(CallName::Refresh)
    );
    assert!(calls.consent.is_none() && calls.second_exchange.is_none());
}

#[test]
fn a_file_of_another_schema_is_refused_with_the_remedy() {
    assert!(institutions::parse(&format!("schema = 1\n{BANK}"), Path::new("x")).is_ok());
    let other = institutions::parse(&format!("schema = 2\n{BANK}"), Path::new("bank.toml"));
    let message = other.err().expect("a refusal").to_string();
    assert!(
        message.contains("bank.toml:1:10: schema: is 2, and this version"),
        "{message}"
    );
    assert!(message.contains("write schema = 1"), "{message}");
}

#[test]
fn what_protects_people_cannot_be_switched_off() {
    for (name, remedy) in [
        ("state", "under rename"),
        ("nonce", "under rename"),
        ("code_challenge", "pkce = \"off\""),
    ] {
        check(
            &call("authorization", &format!("omit = [\"{name}\"]")),
            remedy,
        );
    }
    check(
        &call("token", "omit = [\"code_verifier\"]"),
        "goes with PKCE",
    );
    check(
        &call("token", "add = { nonce = \"1234\" }"),
        "oauth.calls[0].add.nonce: is a constant nonce",
    );
    check(
        "[oauth.authorize_parameters]\nnonce = \"1234\"",
        "oauth.authorize_parameters.nonce: nonce is set by the gateway",
    );
    check(
        &call(
            "authorization",
            "url = \"https://bank.example/a?nonce=1234\"",
        ),
        "oauth.calls[0].url: nonce is set by the gateway",
    );
}

#[test]
fn a10_calls_go_to_listed_hosts_over_https_only() {
    check(
        &call("token", "url = \"http://bank.example/token\""),
        "must begin with https://",
    );
    let value = |kind: &str| {
        let url = call("token", "url = \"https://{region}.bank.example/token\"");
        format!("[[oauth.values]]\nname = \"region\"\n{kind}\n{url}")
    };
    check(
        &value("type = \"text\""),
        "{region} in its host, and nothing lists",
    );
    for wrong in [
        "evil.example/",
        "evil.example#",
        "a@evil.example",
        "a b",
        "evil.example\\\\",
    ] {
        let choices = format!("type = \"choice\"\nchoices = [\"eu\", \"{wrong}\"]");
        check(&value(&choices), "oauth.calls[0].url: ");
    }
    check(
        &value("type = \"choice\"\nchoices = [\"eu\"]\nrequired = false"),
        "has {region}, which is not always there",
    );
    let sound = value("type = \"choice\"\nchoices = [\"eu\", \"us\"]");
    let parsed = institutions::parse(&bank(&sound), Path::new("x"));
    let (institution, _) = parsed.map_err(|error| error.to_string()).expect("loads");
    let oauth = institution.oauth.expect("OAuth");
    assert_eq!(oauth.addresses(CallName::Token).len(), 2);
}

#[test]
fn calls_that_cannot_be_made_are_refused() {
    for (of, more, part) in [
        (
            "token",
            "add = { x = \"{nobody}\" }",
            "has {nobody}, which token does not know; use one of",
        ),
        ("token", "add = { x = \"{\" }", "has a single brace"),
        (
            "token",
            "add = { code = \"x\" }",
            "code is set by the gateway",
        ),
        (
            "token",
            "rename = { client_id = \"code\" }",
            "oauth.calls[0]: sends code twice",
        ),
        (
            "token",
            "rename = { cliend_id = \"x\" }",
            "cliend_id is no parameter of token",
        ),
        (
            "token",
            "omit = [\"code\"]",
            "code would not be sent at all",
        ),
        (
            "token",
            "omit = [\"scope\"]",
            "scope is no parameter of token",
        ),
        (
            "token",
            "headers = { Host = \"x\" }",
            "belongs to the connection",
        ),
        (
            "token",
            "headers = { Authorization = \"x\" }",
            "is set by authentication",
        ),
        (
            "token",
            "headers = { \"x y\" = \"x\" }",
            "is not the name of a header",
        ),
        (
            "token",
            "headers = { x = \"a\\r\\nb\" }",
            "has a control character",
        ),
        (
            "token",
            "method = \"GET\"\nparameters_in = \"form\"",
            "has no body",
        ),
        (
            "token",
            "parameters_in = \"form\"\njson = {}",
            "is \"form\" beside json",
        ),
        (
            "token",
            "response.members = { acess_token = \"x\" }",
            "acess_token is not read",
        ),
        (
            "token",
            "response.object = \"a..b\"",
            "is no way to a member",
        ),
        (
            "token",
            "response.success = { member = \"code\", values = [] }",
            "is empty, so nothing",
        ),
        (
            "token",
            "no_such_key = 1",
            "oauth.calls[0].no_such_key: there is no such key",
        ),
        ("tokens", "", "oauth.calls[0].of"),
        (
            "authorization",
            "method = \"POST\"",
            "is not for authorization",
        ),
        (
            "authorization",
            "add = { x = \"y\" }",
            "write it in [oauth.authorize_parameters]",
        ),
        (
            "authorization",
            "response.members = { code = \"answer\" }",
            "uses itself",
        ),
        ("consent", "", "oauth.calls[0].url: is missing"),
        (
            "delete_consent",
            "url = \"https://bank.example/c\"",
            "nothing to delete",
        ),
        (
            "token",
            "add = { c = \"{consent_id}\" }",
            "there is no call that makes a consent",
        ),
        (
            "consent",
            "url = \"https://bank.example/c\"\njson = { until = \"{consent_ends_at}\" }",
            "write consent_days",
        ),
    ] {
        check(&call(of, more), part);
    }
    check(&call("token", "").repeat(2), "token is described already");
    let slow = call("second_exchange", "") + "[oauth.timeouts]\ntotal_seconds = 41\n";
    check(&slow, "is too long for two exchanges");
}

#[test]
fn values_that_cannot_be_given_are_refused() {
    for (value, part) in [
        (
            "name = \"A\"\ntype = \"text\"",
            "oauth.values[0].name: is not a name",
        ),
        (
            "name = \"state\"\ntype = \"text\"",
            "is a place that the gateway fills",
        ),
        (
            "name = \"a\"\ntype = \"choice\"",
            "oauth.values[0].choices: is missing",
        ),
        (
            "name = \"a\"\ntype = \"text\"\nchoices = [\"x\"]",
            "is only for type = \"choice\"",
        ),
        (
            "name = \"a\"\ntype = \"text\"\npattern = \"[\"",
            "is not a regular expression",
        ),
        (
            "name = \"a\"\ntype = \"text\"\nmin_length = 9\nmax_length = 8",
            "must be at least min_length",
        ),
        (
            "name = \"a\"\ntype = \"text\"\nmax_length = 513",
            "at most 512",
        ),
        ("name = \"a\"\ntype = \"number\"", "oauth.values[0].type"),
    ] {
        check(&format!("[[oauth.values]]\n{value}\n"), part);
    }
    let twice = "[[oauth.values]]\nname = \"a\"\ntype = \"text\"\n".repeat(2);
    check(&twice, "is the name of another value");
}

#[test]
fn a_twin_has_every_address_of_its_own() {
    let twin = "[sandbox]\nguid = \"INS-99999999-9999-4999-8999-999999999999\"\ncode = \"twin\"\n\
                [sandbox.oauth]\nauthorization_endpoint = \"https://sandbox.bank.example/authorize\"\n\
                token_endpoint = \"https://sandbox.bank.example/token\"\n";
    let folder = folder();
    put(folder.path(), "institutions/bank.toml", &bank(twin));
    let found = institutions::load(&folder.path().join("institutions"));
    assert!(found.faults.is_empty(), "{:?}", found.faults);
    let codes: Vec<&str> = found
        .institutions
        .iter()
        .map(|it| it.code.as_str())
        .collect();
    assert_eq!(codes, ["bank", "twin"]);
    let oauth = found.institutions[1].oauth.as_ref().expect("OAuth");
    assert_eq!(
        oauth.token_endpoint.host_str(),
        Some("sandbox.bank.example")
    );

    check(
        &format!("revocation_endpoint = \"https://bank.example/revoke\"\n{twin}"),
        "sandbox.oauth.revocation_endpoint: is missing",
    );
    let end = call("revocation", "url = \"https://bank.example/end\"");
    check(
        &format!("{end}{twin}"),
        "sandbox.oauth.calls[0].url: is missing",
    );
    check(
        &format!("{twin}colour = 1\n"),
        "sandbox.oauth.colour: there is no such key",
    );
    let own = "[[sandbox.oauth.calls]]\nof = [\"revocation\"]\nurl = \"https://sandbox.bank.example/end\"\n";
    put(
        folder.path(),
        "institutions/bank.toml",
        &bank(&format!(
            "{end}scopes = [\"https://bank.example/accounts\"]\n{twin}{own}"
        )),
    );
    check(
        &twin.replace("twin", "bank"),
        "sandbox.code: is the code of",
    );
}

#[test]
fn c9_a_registration_belongs_to_one_client() {
    let folder = folder();
    put(folder.path(), "institutions/bank.toml", BANK);
    let client = |id: &str, client_id: &str| {
        format!(
            "[[clients]]\nid = \"{id}\"\nname = \"A\"\n[[clients.registrations]]\ninstitution = \"bank\"\n\
             client_id = \"{client_id}\"\nclient_secret = \"y\"\n"
        )
    };
    let load = |second: &str| {
        let text = format!("{LEAST}{}{}", client("one", "x"), client("two", second));
        load_in(folder.path(), &text, &[])
    };
    let refused = refusal(folder.path(), load("x"));
    assert!(
        refused.contains("clients[1].registrations: two uses the client_id at bank that one uses"),
        "{refused}"
    );
    assert!(load("z").is_ok());
}
