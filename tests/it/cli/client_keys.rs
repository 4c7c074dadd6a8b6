//! Keys that clients have at institutions, by command.

use super::Installation;
use crate::support::guichet::run;

#[test]
fn a_key_is_made_for_its_owner_alone_and_checked() {
    let installation = Installation::new();
    let folder = installation.folder.path();
    let at = |name: &str| folder.join(name).to_str().expect("a path").to_owned();
    let ran = run(["keys", "client", "new", &at("new.pem"), "--alg", "ES256"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let jwk: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((&jwk["alg"], &jwk["use"]), (&"ES256".into(), &"sig".into()));
    assert!(jwk.get("d").is_none(), "{jwk}");
    assert!(ran.err.contains("signing_key_files"), "{}", ran.err);
    let kid = jwk["kid"].as_str().expect("a kid").to_owned();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(at("new.pem"))
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // It overwrites nothing.
    let again = run(["keys", "client", "new", &at("new.pem"), "--alg", "ES256"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.err.contains("cannot be written"), "{}", again.err);
    let ran = run([
        "keys",
        "client",
        "new",
        &at("decrypts.pem"),
        "--alg",
        "ECDH-ES",
    ]);
    assert!(
        ran.out.contains("\"use\": \"enc\"") && ran.err.contains("encryption_key_files"),
        "{ran:?}"
    );
    let wrong = run(["keys", "client", "new", &at("x.pem"), "--alg", "HS256"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");

    // The configuration has it, and `check` says which.
    let replace = |file: &str, this: &str, that: &str| {
        let text = std::fs::read_to_string(file).expect("a file");
        assert!(text.contains(this), "{text}");
        std::fs::write(file, text.replace(this, that)).expect("written");
    };
    let institution = at("institutions/example_bank.toml");
    let by_key = "client_authentication = \"private_key_jwt\"\nclient_assertion_signing_alg = \"ES256\"\n\
                  issuer = \"https://bank.example\"";
    replace(
        &institution,
        "client_authentication = \"client_secret_basic\"",
        by_key,
    );
    let secret = "client_secret = \"issued by the institution\"";
    replace(&installation.file, secret, "");
    let missing = installation.check();
    assert_eq!(missing.code, Some(3), "{missing:?}");
    assert!(
        missing.err.contains("keys client new FILE --alg ES256"),
        "{}",
        missing.err
    );
    let client_id = "client_id = \"acme-at-example-bank\"";
    let files = format!(
        "{client_id}\nsigning_key_files = [\"new.pem\"]\nencryption_key_files = [\"decrypts.pem\"]"
    );
    replace(&installation.file, client_id, &files);
    let checked = installation.check();
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let listed = format!("client key of acme at example_bank: {kid} ES256 signs, 0 days old");
    assert!(checked.out.contains(&listed), "{}", checked.out);
    assert!(
        checked.out.contains("ECDH-ES decrypts, 0 days old"),
        "{}",
        checked.out
    );
    let readable = format!("can read {}", at("new.pem"));
    assert!(!checked.out.contains(&readable), "{}", checked.out);
}
