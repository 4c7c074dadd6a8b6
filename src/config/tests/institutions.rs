//! What is refused of institution files, and what they warn about.

use std::path::Path;

use super::clients::registration;
use super::{BANK, LEAST, folder, load_in, put, refusal};
use crate::config::{Warning, institutions};
use crate::domain::credential::FieldType;
use crate::domain::institution::{Institution, SubjectSource};

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

/// [`BANK`] without its `[oauth]` section.
fn without_oauth() -> String {
    let end = BANK.find("[oauth]").expect("the section");
    BANK[..end].replace("true", "false")
}

/// A credential field of a guid that ends in `digit`, with `more` in its table.
fn field(digit: usize, name: &str, kind: &str, more: &str) -> String {
    format!(
        "[[credentials]]\nguid = \"CRD-68e96dd6-eabd-42d3-9f05-4168970000{digit:02}\"\n\
         field_name = \"{name}\"\nlabel = \"{name} of you\"\ntype = \"{kind}\"\n{more}"
    )
}

fn loaded(text: &str) -> (Institution, Vec<Warning>) {
    let parsed = institutions::parse(text, Path::new("bank.toml"));
    parsed.map_err(|error| error.to_string()).expect("loads")
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
    let standard = without_oauth();
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
        "client_secret_cookie",
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
        &add("iss = \"required_with_code\""),
        &["oauth.issuer: is needed because iss is required"],
    );
    check_bank(
        oauth,
        &add("iss = \"required\""),
        &["oauth.issuer: is needed because iss is required"],
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
        let about: Vec<_> = warnings.iter().filter(|it| it.key == key).collect();
        assert_eq!(about.len(), 1, "{warnings:?}");
        assert!(
            about[0].to_string().starts_with("bank.toml:1"),
            "{}",
            about[0]
        );
    }
}

#[test]
fn pkce_that_nobody_may_check_is_warned_about_where_nothing_else_binds_the_response() {
    let oauth = "client_authentication = \"client_secret_basic\"";
    for (lines, warned) in [
        ("", true),
        ("scopes = [\"accounts\"]", true),
        (
            "scopes = [\"openid\"]\nissuer = \"https://bank.example\"\n\
             jwks_uri = \"https://bank.example/keys\"",
            false,
        ),
        ("issuer = \"https://bank.example\"", false),
        ("pkce = \"required\"", false),
    ] {
        let text = BANK.replace(oauth, &format!("{oauth}\n{lines}"));
        let parsed = institutions::parse(&text, Path::new("bank.toml"));
        let (_, warnings) = parsed.map_err(|e| e.to_string()).expect("loads");
        let is_warned = warnings.iter().any(|it| it.key == "oauth.pkce");
        assert_eq!(is_warned, warned, "{lines}");
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

#[test]
fn fields_are_asked_for_in_their_order() {
    let options = "optional = true\noptions = [{ label = \"North\", value = \"n\" }, \
                   { label = \"South\", value = \"s\" }]\n";
    let fields = [
        without_oauth(),
        field(1, "LOGIN", "TEXT", ""),
        field(2, "PASSWORD", "PASSWORD", ""),
        field(3, "BRANCH", "OPTIONS", options),
    ];
    let (bank, warnings) = loaded(&fields.concat());
    assert_eq!(warnings, []);
    assert!(bank.oauth.is_none());
    let names: Vec<_> = bank
        .credentials
        .iter()
        .map(|field| (field.field_name.as_str(), field.field_type, field.optional))
        .collect();
    assert_eq!(
        names,
        [
            ("LOGIN", FieldType::Text, false),
            ("PASSWORD", FieldType::Password, false),
            ("BRANCH", FieldType::Options, true),
        ]
    );
    assert_eq!(bank.credentials[0].label, "LOGIN of you");
    let values: Vec<_> = bank.credentials[2]
        .options
        .iter()
        .map(|option| (option.label.as_str(), option.value.as_str()))
        .collect();
    assert_eq!(values, [("North", "n"), ("South", "s")]);
}

#[test]
fn fields_that_cannot_be_asked_for() {
    let check = |fields: &str, parts: &[&str]| {
        let text = format!("{}{fields}", without_oauth());
        let parsed = institutions::parse(&text, Path::new("bank.toml"));
        let message = parsed.err().expect("a refusal").to_string();
        for part in parts {
            assert!(
                message.contains(part),
                "{fields:?} gave {message:?}, which lacks {part:?}"
            );
        }
    };
    let one = field(1, "LOGIN", "TEXT", "");
    check(
        &one.replace("CRD-", "INS-"),
        &["bank.toml:7:8: credentials[0].guid: expected CRD- followed by a UUID"],
    );
    check(
        &one.replace("\"LOGIN\"", "\"LOG IN\""),
        &["bank.toml:8:14: credentials[0].field_name: is not a field name; write"],
    );
    check(
        &one.replace("LOGIN of you", ""),
        &["bank.toml:9:9: credentials[0].label: is not a name"],
    );
    check(
        &one.replace("TEXT", "NUMBER"),
        &[
            "bank.toml:10:8: credentials[0].type: ",
            "`PASSWORD`, `OPTIONS`, `TEXT`",
        ],
    );
    check(
        &format!("{one}{}", field(1, "PASSWORD", "PASSWORD", "")),
        &["bank.toml:12:8: credentials[1].guid: is the guid of credentials[0] too; give"],
    );
    check(
        &format!("{one}{}", field(2, "LOGIN", "PASSWORD", "")),
        &["bank.toml:13:14: credentials[1].field_name: is the field_name of credentials[0] too"],
    );
    check(
        &field(1, "BRANCH", "OPTIONS", ""),
        &["credentials[0].options: is missing; list what may be chosen"],
    );
    let options = "options = [{ label = \"North\", value = \"n\" }]\n";
    check(
        &field(1, "BRANCH", "TEXT", options),
        &["bank.toml:11:11: credentials[0].options: is only for type = \"OPTIONS\""],
    );
    let twice = options.replace("]", ", { label = \"South\", value = \"n\" }]");
    check(
        &field(1, "BRANCH", "OPTIONS", &twice),
        &["credentials[0].options[1].value: is the value of another option"],
    );
    let twenty: String = (0..20)
        .map(|i| field(i, &format!("F{i}"), "TEXT", ""))
        .collect();
    loaded(&format!("{}{twenty}", without_oauth()));
    check(
        &format!("{twenty}{}", field(20, "F20", "TEXT", "")),
        &["credentials[20]: is one more than the 20 a sign-in may have; remove it"],
    );
}

#[test]
fn a_country_is_two_capital_letters() {
    let with = |country: &str| format!("iso_country_code = \"{country}\"{BANK}");
    let (bank, _) = loaded(&with("US"));
    assert_eq!(bank.iso_country_code.as_deref(), Some("US"));
    for wrong in ["us", "USA", "", "U1", "ÄÖ"] {
        let parsed = institutions::parse(&with(wrong), Path::new("bank.toml"));
        let message = parsed.err().expect("a refusal").to_string();
        assert!(
            message.starts_with("bank.toml:1:20: iso_country_code: is not a country; write"),
            "{message}"
        );
    }
}

#[test]
fn who_signed_in_is_said_by_one_of_three() {
    let subject = |lines: &str| format!("{BANK}[oauth.subject]\n{lines}\n");
    let source = |lines: &str| {
        let (bank, mut warnings) = loaded(&subject(lines));
        warnings.retain(|it| it.key != "oauth.pkce");
        assert_eq!(warnings, []);
        bank.oauth
            .expect("it has OAuth")
            .subject
            .clone()
            .expect("it says")
    };
    let userinfo = "endpoint = \"https://bank.example/userinfo\"";
    assert_eq!(
        source(&format!("from = \"identify\"\n{userinfo}")),
        SubjectSource::Identify {
            endpoint: "https://bank.example/userinfo".parse().expect("a URL"),
            field: "sub".to_owned(),
        }
    );
    assert_eq!(
        source("from = \"token_answer\"\nfield = \"user_id\""),
        SubjectSource::TokenResponse {
            field: "user_id".to_owned(),
        }
    );
    assert_eq!(
        source("from = \"id_token\""),
        SubjectSource::IdToken {
            field: "sub".to_owned(),
        }
    );
    let (silent, _) = loaded(BANK);
    assert_eq!(silent.oauth.expect("it has OAuth").subject, None);
    let check = |lines: &str, part: &str| {
        let parsed = institutions::parse(&subject(lines), Path::new("bank.toml"));
        let message = parsed.err().expect("a refusal").to_string();
        assert!(message.contains(part), "{lines:?} gave {message}");
    };
    check(
        "from = \"identify\"",
        "oauth.subject.endpoint: is missing; give the address",
    );
    check(
        &format!("from = \"token_answer\"\n{userinfo}"),
        "bank.toml:12:12: oauth.subject.endpoint: would not be called",
    );
    check(
        &format!("from = \"id_token\"\n{userinfo}"),
        "bank.toml:12:12: oauth.subject.endpoint: would not be called",
    );
    check("from = \"nowhere\"", "bank.toml:11:8: oauth.subject.from: ");
    check(
        "from = \"token_answer\"\nfield = \"\"",
        "bank.toml:12:9: oauth.subject.field: is not a name",
    );
    check(
        "from = \"identify\"\nendpoint = \"http://bank.example/userinfo\"",
        "bank.toml:12:12: oauth.subject.endpoint: must begin with https://",
    );
}

#[test]
fn i9_what_people_change_names_no_login() {
    for field in ["email", "name", "phone_number", "preferred_username"] {
        let text = format!("{BANK}[oauth.subject]\nfrom = \"id_token\"\nfield = \"{field}\"\n");
        let parsed = institutions::parse(&text, Path::new("bank.toml"));
        let message = parsed.err().expect("a refusal").to_string();
        let expected =
            format!("bank.toml:12:9: oauth.subject.field: is {field}, which people change");
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn what_is_verified_needs_something_to_verify_it_with() {
    let oauth = "client_authentication = \"client_secret_basic\"";
    let issuer = "issuer = \"https://bank.example\"";
    let keys = "jwks_uri = \"https://bank.example/keys\"";
    let openid = "scopes = [\"openid\"]";
    let userinfo = "userinfo_signed_response_alg = \"ES256\"";
    let identify =
        "[oauth.subject]\nfrom = \"identify\"\nendpoint = \"https://bank.example/userinfo\"";
    let encrypted = "id_token_encrypted_response";
    for (lines, expected) in [
        (
            openid.to_owned(),
            Some("oauth.issuer: is needed because scopes has \"openid\""),
        ),
        (
            format!("{openid}\n{issuer}"),
            Some("oauth.jwks_uri: is needed because scopes has \"openid\""),
        ),
        (format!("{openid}\n{issuer}\n{keys}"), None),
        (
            format!("{openid}\n{issuer}\nid_token_signed_response_alg = \"HS256\""),
            None,
        ),
        (
            "id_token_signed_response_alg = \"none\"".to_owned(),
            Some("oauth.id_token_signed_response_alg: unknown variant"),
        ),
        (
            format!("{encrypted}_alg = \"RSA-OAEP-256\""),
            Some("oauth.id_token_encrypted_response_enc: is missing"),
        ),
        (
            format!("{encrypted}_enc = \"A256GCM\""),
            Some("oauth.id_token_encrypted_response_alg: is missing"),
        ),
        (
            format!("{encrypted}_alg = \"RSA1_5\"\n{encrypted}_enc = \"A256GCM\""),
            Some("oauth.id_token_encrypted_response_alg: unknown variant"),
        ),
        (
            format!("{encrypted}_alg = \"ECDH-ES\"\n{encrypted}_enc = \"A128GCM\""),
            None,
        ),
        (
            format!("{userinfo}\n{issuer}\n{keys}"),
            Some("oauth.userinfo_signed_response_alg: is only for [oauth.subject]"),
        ),
        (
            format!("{userinfo}\n{issuer}\n{identify}"),
            Some("oauth.jwks_uri: is needed because of userinfo_signed_response_alg"),
        ),
        (format!("{userinfo}\n{issuer}\n{keys}\n{identify}"), None),
        (
            "[oauth.id_token_claims]\nnonce = \"1\"".to_owned(),
            Some("oauth.id_token_claims.nonce: nonce is checked by a rule of its own"),
        ),
        (
            "[oauth.id_token_claims]\nopenbanking_intent_id = \"7\"".to_owned(),
            None,
        ),
        (
            "[oauth.authorize_parameters]\nmax_age = \"soon\"".to_owned(),
            Some("oauth.authorize_parameters.max_age: has a key of its own"),
        ),
    ] {
        let text = BANK.replace(oauth, &format!("{oauth}\n{lines}"));
        let parsed = institutions::parse(&text, Path::new("bank.toml"));
        let message = parsed.err().map(|error| error.to_string());
        match expected {
            None => assert_eq!(message, None, "{lines}"),
            Some(part) => {
                let message = message.unwrap_or_default();
                assert!(message.contains(part), "{lines} gave {message}");
            }
        }
    }
}

#[test]
fn institutions_that_lack_something_are_warned_about() {
    let (_, warnings) = loaded(&without_oauth());
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].key, "supports_oauth");
    let text = format!("{}{}", without_oauth(), field(1, "PIN", "PASSWORD", ""));
    let (_, warnings) = loaded(&text);
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].key, "credentials[0].type");
    assert!(warnings[0].message.contains("no duplicate is found"));
}

/// [`BANK`] with these lines in its `[oauth]`, an issuer, and the address of its keys.
fn strict_bank(lines: &str) -> String {
    let known = "client_authentication = \"client_secret_basic\"";
    let more = "issuer = \"https://bank.example\"\njwks_uri = \"https://bank.example/keys\"";
    BANK.replacen(known, &format!("{known}\n{more}\n{lines}"), 1)
}

#[test]
fn a5_details_are_never_part_of_an_address() {
    let known = "client_authentication = \"client_secret_basic\"";
    let details =
        "[[oauth.authorization_details]]\ntype = \"accounts\"\nuntil = 2030-01-01T00:00:00Z";
    check_bank(
        known,
        &format!("{known}\n{details}"),
        &[
            "oauth.authorization_details: would be part of an address",
            "RFC 9396",
        ],
    );
    let pushed = "pushed_authorization_request_endpoint = \"https://bank.example/par\"";
    let (bank, _) = loaded(&strict_bank(&format!("{pushed}\n{details}")));
    let rules = &bank.oauth.as_ref().expect("OAuth").authorization;
    let expected = serde_json::json!({"type": "accounts", "until": "2030-01-01T00:00:00Z"});
    assert_eq!(rules.details, [expected]);
    let untyped = "[[oauth.authorization_details]]\nactions = [\"read\"]";
    check_bank(
        known,
        &format!("{known}\n{pushed}\n{untyped}"),
        &["oauth.authorization_details: has an entry without a type"],
    );
}

#[test]
fn what_is_asked_for_at_sign_in_is_said_once() {
    let (bank, _) = loaded(&strict_bank(
        "prompt = \"consent\"\nmax_age = 300\nacr_values = \"a b\"\nlogin_hint = \"x\"\n\
         claims = { id_token = { acr = { essential = true } } }",
    ));
    let rules = &bank.oauth.as_ref().expect("OAuth").authorization;
    assert_eq!(
        (rules.prompt.as_deref(), rules.max_age),
        (Some("consent"), Some(300))
    );
    assert_eq!(rules.acr_values.as_deref(), Some("a b"));
    let claims = serde_json::json!({"id_token": {"acr": {"essential": true}}});
    assert_eq!(rules.claims, Some(claims));
    let known = "client_authentication = \"client_secret_basic\"";
    check_bank(
        known,
        &format!("{known}\nprompt = \"login\"\nauthorize_parameters = {{ prompt = \"consent\" }}"),
        &["oauth.authorize_parameters.prompt: is said by oauth.prompt; remove one of the two"],
    );
}

#[test]
fn c16_responses_that_are_jwts_can_be_proved() {
    let known = "client_authentication = \"client_secret_basic\"";
    let add = |lines: &str| format!("{known}\n{lines}");
    for missing in [
        "oauth.issuer: is needed because responses are JWTs",
        "oauth.jwks_uri: is needed",
    ] {
        check_bank(known, &add("response_mode = \"query.jwt\""), &[missing]);
    }
    check_bank(
        known,
        &add("authorization_signed_response_alg = \"PS256\""),
        &["oauth.authorization_signed_response_alg: is only for response_mode"],
    );
    let refused = |lines: &str, part: &str| {
        let text = strict_bank(&format!("response_mode = \"form_post.jwt\"\n{lines}"));
        let refused = institutions::parse(&text, Path::new("bank.toml")).err();
        let message = refused.expect("a refusal").to_string();
        assert!(message.contains(part), "{lines}: {message}");
    };
    refused(
        "authorization_signed_response_alg = \"HS256\"",
        "is HS256, which needs no key of its own",
    );
    refused(
        "authorization_signed_response_alg = \"none\"",
        "authorization_signed_response_alg",
    );
    refused(
        "authorization_encrypted_response_alg = \"RSA1_5\"",
        "authorization_encrypted_response_alg",
    );
    refused(
        "authorization_encrypted_response_alg = \"ECDH-ES\"",
        "authorization_encrypted_response_enc: is missing",
    );
    refused(
        "authorization_encrypted_response_enc = \"A256GCM\"",
        "authorization_encrypted_response_enc: is without",
    );
    let (bank, _) = loaded(&strict_bank("response_mode = \"form_post.jwt\""));
    let rules = &bank.oauth.as_ref().expect("OAuth").authorization;
    assert_eq!(rules.signed_response.name(), "RS256");
    assert_eq!(rules.encrypted_response, None);
}

#[test]
fn c17_an_id_token_beside_the_code_never_comes_in_an_address() {
    let hybrid = "response_type = \"code id_token\"";
    let refused = |lines: &str| {
        let text = strict_bank(&format!("{hybrid}\n{lines}"));
        let parsed = institutions::parse(&text, Path::new("bank.toml"));
        parsed.err().map(|error| error.to_string())
    };
    let openid = "scopes = [\"openid\"]";
    let message = refused(openid).expect("a refusal");
    assert!(
        message.contains("oauth.response_mode: is \"query\", and an ID token"),
        "{message}"
    );
    let message = refused("response_mode = \"form_post\"").expect("a refusal");
    assert!(
        message.contains("oauth.scopes: needs \"openid\""),
        "{message}"
    );
    for mode in ["form_post", "form_post.jwt", "query.jwt"] {
        assert_eq!(
            refused(&format!("response_mode = \"{mode}\"\n{openid}")),
            None,
            "{mode}"
        );
    }
    let parsed = institutions::parse(
        &strict_bank("response_type = \"token\""),
        Path::new("bank.toml"),
    );
    assert!(parsed.is_err());
}

#[test]
fn t5_a_registration_has_a_certificate_where_its_institution_wants_one_and_nowhere_else() {
    let folder = folder();
    let read = |name: &str| std::fs::read_to_string(format!("tests/certificates/{name}"));
    for name in ["client.pem", "client.key.pem", "newer.key.pem"] {
        put(folder.path(), name, &read(name).expect("a file"));
    }
    let load = |bank: &str, keys: &str| {
        put(folder.path(), "institutions/bank.toml", bank);
        let own = registration("").replace("client_secret = \"y\"\n", "");
        let text = format!("{LEAST}{own}{keys}");
        load_in(folder.path(), &text, &[])
    };
    let files = |certificate: &str, key: &str| {
        format!("certificate_file = \"{certificate}\"\ncertificate_key_file = \"{key}\"\n")
    };
    for method in ["tls_client_auth", "self_signed_tls_client_auth"] {
        let bank = BANK.replace("client_secret_basic", method);
        let (config, _) = load(&bank, &files("client.pem", "client.key.pem"))
            .map_err(|error| error.to_string())
            .expect("loads");
        let registrations = &config.clients[0].registrations;
        assert!(registrations.values().all(|it| it.certificate.is_some()));
        for (keys, key, problem) in [
            (String::new(), "certificate_file", "is missing"),
            (
                "certificate_file = \"client.pem\"\n".to_owned(),
                "certificate_key_file",
                "is missing",
            ),
            (
                files("client.pem", "newer.key.pem"),
                "certificate_key_file",
                "not that of the first certificate",
            ),
            (
                files("client.key.pem", "client.key.pem"),
                "certificate_file",
                "there is no certificate",
            ),
            (
                files("client.pem", "client.pem"),
                "certificate_key_file",
                "there is no private key",
            ),
            (
                files("absent.pem", "client.key.pem"),
                "certificate_file",
                "cannot be read",
            ),
            (
                "client_secret = \"not-wanted\"\n".to_owned()
                    + &files("client.pem", "client.key.pem"),
                "client_secret",
                "would not be used",
            ),
        ] {
            let text = refusal(folder.path(), load(&bank, &keys));
            let named = format!("registrations[0].{key}: ");
            assert!(
                text.contains(&named) && text.contains(problem),
                "{keys}: {text}"
            );
        }
    }
    let text = refusal(
        folder.path(),
        load(BANK, &files("client.pem", "client.key.pem")),
    );
    assert!(
        text.contains("registrations[0].certificate_file: would not be used"),
        "{text}"
    );
}

#[test]
fn what_calls_carry_besides_is_checked() {
    let with = |more: &str| format!("[oauth]\n{more}");
    let pairs: [(&str, &[&str]); 8] = [
        (
            "headers.authorization = \"x\"\n",
            &["oauth.headers.authorization", "set by the gateway"],
        ),
        (
            "headers.\"X-Upper\" = \"x\"\n",
            &["oauth.headers.X-Upper", "is not the name of a header"],
        ),
        (
            "headers.x-a = \"a\\nb\"\n",
            &["oauth.headers.x-a", "printable ASCII"],
        ),
        (
            "interaction_id_header = \"traceparent\"\n",
            &["oauth.interaction_id_header", "set by the gateway"],
        ),
        (
            "interaction_id_header = \"x-a\"\nheaders.x-a = \"b\"\n",
            &["oauth.interaction_id_header", "would be the same"],
        ),
        (
            "calls_at_once = 0\n",
            &["oauth.calls_at_once", "from 1 to 10000"],
        ),
        (
            "allow_hosts = [\"a/b\"]\n",
            &["oauth.allow_hosts[0]", "is not a host"],
        ),
        (
            "mtls_endpoint_aliases.revocation_endpoint = \"https://mtls.example/r\"\n",
            &[
                "oauth.mtls_endpoint_aliases.revocation_endpoint",
                "there is no oauth.revocation_endpoint",
            ],
        ),
    ];
    for (more, parts) in pairs {
        check_bank("[oauth]\n", &with(more), parts);
    }
}
