//! What the strict bank encrypts, opened again.

use aws_lc_rs::aead::{Aad, Nonce};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::RsaKeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::client::{NONCE, Tried};
use crate::support::strict_bank::jwe::{derived, key};
use crate::support::strict_bank::jws::Jws;
use crate::support::strict_bank::{ClientKeys, Encryption, Rules};

/// The client's keys that things are encrypted to.
pub struct Own {
    rsa: PrivateDecryptingKey,
    ec: PrivateKey,
    /// Their public halves, with `use`.
    pub jwks: Vec<Value>,
}

impl Own {
    pub fn new() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let pkcs8 = pair.as_der().expect("PKCS #8");
        let rsa = PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref()).expect("a key");
        let private = EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..]);
        let jwk = Jwk::from_encoding_key(&private, Algorithm::RS256).expect("a key");
        let mut first = serde_json::to_value(jwk).expect("JSON");
        first["alg"] = json!("RSA-OAEP-256");
        first["use"] = json!("enc");
        let ec = PrivateKey::generate(&ECDH_P256).expect("a key");
        let public = ec.compute_public_key().expect("a public key");
        let (x, y) = public.as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        let second = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "enc", "kid": "e"});
        Self {
            rsa,
            ec,
            jwks: vec![first, second],
        }
    }

    /// Opens what was encrypted to one of them; nothing if anything was changed.
    fn open(&self, text: &str) -> Option<String> {
        let parts: Vec<&str> = text.split('.').collect();
        let [protected, wrapped, iv, content, tag] = parts[..] else {
            return None;
        };
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header = header(text);
        let enc = header["enc"].as_str()?;
        let cek = match header["alg"].as_str()? {
            "ECDH-ES" => {
                let member = |name: &str| bytes(header["epk"][name].as_str()?);
                let peer = [vec![4], member("x")?, member("y")?].concat();
                let peer = UnparsedPublicKey::new(&ECDH_P256, peer);
                agree(&self.ec, peer, (), |shared| {
                    Ok(derived(shared, enc, b"", b""))
                })
                .ok()?
            }
            "RSA-OAEP-256" => {
                let own = OaepPrivateDecryptingKey::new(self.rsa.clone()).ok()?;
                let mut room = vec![0; own.min_output_size()];
                let wrapped = bytes(wrapped)?;
                own.decrypt(&OAEP_SHA256_MGF1SHA256, &wrapped, &mut room, None)
                    .ok()?
                    .to_vec()
            }
            _ => return None,
        };
        let mut sealed = [bytes(content)?, bytes(tag)?].concat();
        let nonce = Nonce::try_assume_unique_for_key(&bytes(iv)?).ok()?;
        let opened =
            key(enc, &cek).open_in_place(nonce, Aad::from(protected.as_bytes()), &mut sealed);
        String::from_utf8(opened.ok()?.to_vec()).ok()
    }
}

/// The header of an encrypted object.
pub fn header(text: &str) -> Value {
    let protected = text.split('.').next().unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(protected).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn a_key_is_derived_as_the_standard_has_it() {
    // RFC 7518, appendix C.
    let shared = [
        158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110,
        163, 218, 128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
    ];
    let derived = derived(&shared, "A128GCM", b"Alice", b"Bob");
    assert_eq!(URL_SAFE_NO_PAD.encode(derived), "VqqN6vgjbSBcIijNcacQGg");
}

#[tokio::test]
async fn id_tokens_and_responses_are_encrypted_to_the_client() {
    let own = Own::new();
    for alg in ["RSA-OAEP-256", "ECDH-ES"] {
        for enc in ["A128GCM", "A256GCM"] {
            let how = Some(Encryption { alg, enc });
            let rules = Rules {
                id_token_encryption: how,
                response_encryption: how,
                ..Rules::default()
            };
            let tried = Tried {
                response_mode: "form_post.jwt",
                ..Tried::at(rules).await
            };
            let mut keys = vec![tried.key.jwk()];
            keys.extend(own.jwks.clone());
            tried.register(ClientKeys::Inline(json!({"keys": keys})));
            let brought = tried.agreed(&tried.parameters()).await;
            let response = brought.value("response").expect("one");
            assert_eq!(
                (&header(response)["alg"], &header(response)["enc"]),
                (&json!(alg), &json!(enc))
            );
            assert_eq!(header(response)["cty"], "JWT");
            let inside = Jws::parse(&own.open(response).expect("it opens")).expect("a JWS");
            let tokens = tried.exchange(inside.text("code").expect("a code")).await;
            let id_token = tokens.text("id_token");
            let inside = Jws::parse(&own.open(id_token).expect("it opens")).expect("a JWS");
            assert_eq!(inside.text("nonce"), Some(NONCE));
            assert!(inside.is_of(&tried.published(&inside.header["kid"]).await.expect("a key")));
            // What was changed does not open.
            for part in 0..5 {
                let mut parts: Vec<String> = id_token.split('.').map(str::to_owned).collect();
                let bytes = URL_SAFE_NO_PAD.decode(&parts[part]).expect("base64url");
                let Some((first, rest)) = bytes.split_first() else {
                    continue;
                };
                if part == 0 {
                    // Another header that reads the same.
                    let spaced = [b" ", &bytes[..]].concat();
                    parts[part] = URL_SAFE_NO_PAD.encode(spaced);
                } else {
                    let changed = [&[first ^ 1], rest].concat();
                    parts[part] = URL_SAFE_NO_PAD.encode(changed);
                }
                assert_eq!(own.open(&parts.join(".")), None, "{alg} {enc} part {part}");
            }
        }
    }
}
