use serde_json::json;
use url::Url;

use super::super::test_support::{at, client_of, oauth, registration};
use super::*;
use crate::domain::algorithm::SigningAlgorithm;
use crate::jose::{JwkSet, SigningKey, VerifyWith, new_key, verify};

fn put(file: &Path, algorithm: SigningAlgorithm) -> String {
    let pem = new_key(algorithm).expect("a key");
    std::fs::write(file, pem.as_bytes()).expect("written");
    let key = SigningKey::from_pem(pem.as_bytes(), algorithm).expect("a key");
    key.thumbprint().to_owned()
}

#[test]
fn x2_a_key_signs_when_its_file_is_the_first_and_is_gone_when_its_file_has_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let [one, two, secret] =
        ["one.pem", "two.pem", "secret.pem"].map(|name| folder.path().join(name));
    let files = KeyFiles {
        signing: vec![one.clone(), two.clone()],
        encryption: vec![secret.clone()],
        algorithms: vec![SigningAlgorithm::ES256],
    };
    let old = put(&one, SigningAlgorithm::ES256);
    let new = put(&two, SigningAlgorithm::ES256);
    put(&secret, SigningAlgorithm::ES384);
    let keys = ClientKeys::open([&files]).expect("keys");
    let look = || keys.look().remove(&files).expect("a look");
    let signs = || {
        let now = keys.current(&files).expect("keys");
        let key = now.signing(SigningAlgorithm::ES256).expect("one signs");
        key.thumbprint().to_owned()
    };
    let published = || {
        let public = keys.current(&files).expect("keys").public();
        public["keys"].as_array().expect("keys").len()
    };
    assert_eq!(
        (look(), signs(), published()),
        (Look::Unchanged, old.clone(), 3)
    );
    let known: Vec<_> = keys
        .in_use(&files)
        .into_iter()
        .map(|it| (it.file, it.usage, it.signs))
        .collect();
    let expected = vec![
        (one.clone(), "sig", true),
        (two.clone(), "sig", false),
        (secret.clone(), "enc", false),
    ];
    assert_eq!(known, expected);
    assert!(keys.in_use(&files).iter().all(|it| it.written_at.is_some()));
    // The new key takes the place of the old one; a look between the two moves finds the same key twice.
    let before = std::fs::read(&one).expect("a file");
    std::fs::copy(&two, &one).expect("copied");
    assert_eq!(
        (look(), signs(), published()),
        (Look::Changed, new.clone(), 2)
    );
    std::fs::write(&two, &before).expect("written");
    assert_eq!(
        (look(), signs(), published()),
        (Look::Changed, new.clone(), 3)
    );
    // What cannot be used changes nothing, and is told once.
    std::fs::write(&one, "no key").expect("written");
    assert_eq!(look(), Look::Unchanged);
    let Look::Unsound(error) = look() else {
        panic!("it is told");
    };
    let error = error.to_string();
    assert!(error.contains("one.pem: it is no private key"), "{error}");
    assert_eq!((look(), signs(), published()), (Look::Unchanged, new, 3));
}

#[test]
fn keys_that_cannot_be_used_keep_the_gateway_from_starting() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key.pem");
    let opened = |algorithm| {
        let files = KeyFiles {
            signing: vec![file.clone()],
            encryption: Vec::new(),
            algorithms: vec![algorithm],
        };
        ClientKeys::open([&files])
            .err()
            .expect("a refusal")
            .to_string()
    };
    let missing = opened(SigningAlgorithm::PS256);
    assert!(
        missing.contains("client keys: ") && missing.contains("key.pem"),
        "{missing}"
    );
    put(&file, SigningAlgorithm::ES256);
    let unfit = opened(SigningAlgorithm::PS256);
    assert!(
        unfit.contains("key.pem: none of the signing keys is one for PS256"),
        "{unfit}"
    );
}

#[test]
fn a9_a_request_object_is_signed_by_the_key_that_fits_and_says_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let [ec, rsa] = ["ec.pem", "rsa.pem"].map(|name| folder.path().join(name));
    put(&ec, SigningAlgorithm::ES256);
    let pem = include_bytes!("../../jose/proof.pem");
    std::fs::write(&rsa, pem).expect("written");
    let kid = SigningKey::from_pem(pem, SigningAlgorithm::PS256).expect("a key");
    let kid = kid.thumbprint().to_owned();
    let files = KeyFiles {
        signing: vec![ec, rsa],
        encryption: Vec::new(),
        algorithms: vec![SigningAlgorithm::ES256, SigningAlgorithm::PS256],
    };
    let keys = ClientKeys::open([&files]).expect("keys");
    let public = keys.current(&files).expect("keys").public().to_string();
    let client = client_of(keys);
    let mut bank = oauth(&Url::parse("https://bank.example").expect("a URL"));
    let registration = Registration {
        keys: Some(files),
        ..registration()
    };
    let claims = json!({"iss": "guichet-1", "aud": "https://bank.example"});
    let refused = client.sign_request_object(at(&bank, &registration), &claims);
    assert!(refused.is_err(), "nothing says that they are signed");
    bank.request_object_signing_alg = Some(SigningAlgorithm::PS256);
    let signed = client.sign_request_object(at(&bank, &registration), &claims);
    let signed = signed.expect("it is signed");
    let keys = JwkSet::parse(public.as_bytes()).expect("a set");
    let payload =
        verify(&signed, SigningAlgorithm::PS256, VerifyWith::Keys(&keys)).expect("genuine");
    assert_eq!(*payload, claims.to_string().into_bytes());
    let head = signed.split('.').next().expect("a header");
    use base64::Engine as _;
    let head = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(head)
        .expect("Base64url");
    let head: serde_json::Value = serde_json::from_slice(&head).expect("JSON");
    let expected = json!({"alg": "PS256", "kid": kid, "typ": "oauth-authz-req+jwt"});
    assert_eq!(head, expected);
    // And a key that is not there signs nothing.
    bank.request_object_signing_alg = Some(SigningAlgorithm::EdDSA);
    assert!(
        client
            .sign_request_object(at(&bank, &registration), &claims)
            .is_err()
    );
}
