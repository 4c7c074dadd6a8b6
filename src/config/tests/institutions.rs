//! What is refused of institution files, and what they warn about.

use std::path::Path;

use super::clients::registration;
use super::{BANK, LEAST, folder, load_in, put, refusal};
use crate::config::institutions;

/// The same for an institution made of [`BANK`] by one replacement.
fn check_bank(from: &str, to: &str, parts: &[&str]) {
    let text = BANK.replacen(from, to, 1);
    assert_ne!(text, BANK, "{from:?} is not there");
    let parsed = institutions::parse(&text, Path::new("bank.toml"));
    let message = parsed.err().expect("a refusal").to_string();
    for part in parts {
        assert!(
            message.contains(part),
            "{to:?} gave {message:?}, which lacks {part:?}"
        );
    }
}

#[test]
fn registrations_fit_their_institution() {
    let folder = folder();
    let load = |bank: &str| {
        put(folder.path(), "institutions/bank.toml", bank);
        refusal(
            folder.path(),
            load_in(folder.path(), &format!("{LEAST}{}", registration("")), &[]),
        )
    };
    let public = BANK.replace("client_secret_basic", "none");
    assert!(load(&public).contains("registrations[0].client_secret: would not be used"));
    let end = BANK.find("[oauth]").expect("the section");
    let standard = BANK[..end].replace("true", "false");
    assert!(
        load(&standard)
            .contains("registrations[0].institution: bank does not support OAuth; remove")
    );
}

#[test]
fn a10_endpoints_of_institutions() {
    for wrong in [
        "javascript:alert(1)",
        "http://bank.example/authorize",
        "https://bank.example/authorize#x",
        "https://user:pass@bank.example/authorize",
        "https://bank.example/authorize\\r\\nx: y",
        "https://bank.example/\\tauthorize",
        "https://bank.example/$(id)",
        "https://bank.example/`id`",
        "https://bank.example/a;id",
        "https://bank.example/a|id",
        "https://bank.example/a b",
        "//bank.example/authorize",
        "",
    ] {
        for key in ["authorization_endpoint", "token_endpoint"] {
            let path = if key == "token_endpoint" {
                "token"
            } else {
                "authorize"
            };
            let from = format!("{key} = \"https://bank.example/{path}\"");
            check_bank(
                &from,
                &format!("{key} = \"{wrong}\""),
                &["bank.toml:", &format!(": oauth.{key}: ")],
            );
        }
    }
    let kept = BANK.replace("/authorize\"", "/authorize?tenant=7\"");
    assert!(institutions::parse(&kept, Path::new("bank.toml")).is_ok());
    check_bank(
        "/authorize\"",
        "/authorize?state=x\"",
        &["bank.toml:7:26: oauth.authorization_endpoint: state is set by the gateway"],
    );
}

#[test]
fn institution_files() {
    let oauth = "client_authentication = \"client_secret_basic\"";
    let add = |line: &str| format!("{oauth}\n{line}");
    check_bank(
        "name =",
        "nom =",
        &[
            "bank.toml:4:1: nom: there is no such key",
            "`name`",
            "institutions/_example.toml",
        ],
    );
    check_bank(
        "guid = \"INS-",
        "guid = \"",
        &["bank.toml:2:8: guid: expected INS- followed by a UUID"],
    );
    check_bank(
        "code = \"bank\"",
        "code = \"a bank\"",
        &["bank.toml:3:8: code: expected 1 to 64"],
    );
    check_bank(
        "supports_oauth = true",
        "supports_oauth = \"yes\"",
        &["bank.toml:5:18: supports_oauth: has the wrong type; write true or false"],
    );
    check_bank(
        "supports_oauth = true",
        "supports_oauth = false",
        &["bank.toml:5:18: supports_oauth: is false beside an [oauth] section"],
    );
    check_bank(
        "supports_oauth = true\n",
        "",
        &["bank.toml:1:1: supports_oauth: is missing"],
    );
    check_bank(
        "token_endpoint = \"https://bank.example/token\"\n",
        "",
        &["bank.toml:6:1: oauth.token_endpoint: is missing"],
    );
    check_bank(
        "client_secret_basic",
        "private_key_jwt",
        &[
            "bank.toml:9:25: oauth.client_authentication: ",
            "`client_secret_post`",
        ],
    );
    check_bank(
        oauth,
        &add("pkce = \"plain\""),
        &["bank.toml:10:8: oauth.pkce: ", "`required`"],
    );
    check_bank(
        oauth,
        &add("pkce = \"off\""),
        &["oauth.pkce_reason: is missing; say why"],
    );
    check_bank(
        oauth,
        &add("pkce_reason = \"x\""),
        &["bank.toml:10:15: oauth.pkce_reason: is only for pkce = \"off\""],
    );
    check_bank(
        oauth,
        &add("iss = \"required\""),
        &["oauth.issuer: is needed because iss"],
    );
    check_bank(
        oauth,
        &add("issuer = \"https://bank.example?x\""),
        &["bank.toml:10:10: oauth.issuer: has a query"],
    );
    check_bank(
        oauth,
        &add("scopes = [\"a\", \"b c\"]"),
        &["bank.toml:10:16: oauth.scopes[1]:"],
    );
    check_bank(
        oauth,
        &add("scopes = [\"a,b\"]\nscope_separator = \",\""),
        &["bank.toml:10:10: oauth.scopes: has a scope that contains scope_separator"],
    );
    check_bank(
        oauth,
        &add("scope_separator = \"&\""),
        &["bank.toml:10:19: oauth.scope_separator: must be"],
    );
    check_bank(
        oauth,
        &add("[oauth.authorize_parameters]\nstate = \"x\""),
        &["bank.toml:11:9: oauth.authorize_parameters.state: state is set by the gateway"],
    );
    check_bank(
        oauth,
        &add("[oauth.errors]\nx = \"OOPS\""),
        &["bank.toml:11:5: oauth.errors.x: ", "`CANCELLED`"],
    );
    check_bank(
        oauth,
        &add("[oauth.timeouts]\ntotal_seconds = 61"),
        &["bank.toml:11:17: oauth.timeouts.total_seconds: is 61; write a number from 1 to 60"],
    );
    check_bank(
        oauth,
        &add("[oauth.timeouts]\nconnect_seconds = 20"),
        &["bank.toml:11:19: oauth.timeouts.connect_seconds: is longer than total_seconds"],
    );
}

#[test]
fn risky_institutions_are_warned_about() {
    let oauth = "client_authentication = \"client_secret_basic\"";
    for (lines, key) in [
        (
            "pkce = \"off\"\npkce_reason = \"it answers 400\"",
            "oauth.pkce",
        ),
        (
            "[oauth.timeouts]\ntotal_seconds = 2\nconnect_seconds = 1",
            "oauth.timeouts.total_seconds",
        ),
    ] {
        let text = BANK.replace(oauth, &format!("{oauth}\n{lines}"));
        let parsed = institutions::parse(&text, Path::new("bank.toml"));
        let (_, warnings) = parsed.map_err(|e| e.to_string()).expect("loads");
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].key, key);
        assert!(
            warnings[0].to_string().starts_with("bank.toml:1"),
            "{}",
            warnings[0]
        );
    }
}

#[test]
fn institutions_are_told_apart() {
    let folder = folder();
    put(folder.path(), "institutions/_draft.toml", "not TOML");
    put(folder.path(), "institutions/notes.txt", "not TOML");
    assert!(load_in(folder.path(), LEAST, &[]).is_ok());
    put(
        folder.path(),
        "institutions/twin.toml",
        &BANK.replace("\"bank\"", "\"twin\""),
    );
    let message = refusal(folder.path(), load_in(folder.path(), LEAST, &[]));
    assert!(
        message.starts_with(
            "institutions/twin.toml:2:8: guid: is the guid of institutions/bank.toml too"
        ),
        "{message}"
    );
    put(
        folder.path(),
        "institutions/twin.toml",
        &BANK.replace("INS-0", "INS-1"),
    );
    let message = refusal(folder.path(), load_in(folder.path(), LEAST, &[]));
    assert!(
        message.starts_with("institutions/twin.toml:3:8: code: is the code of"),
        "{message}"
    );
}
