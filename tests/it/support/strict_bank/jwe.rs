//! Encrypted objects (RFC 7516) as the institution makes them for a client, good and bad.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, Pkcs1PublicEncryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::RsaPublicKeyComponents;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::{Value, json};
use std::io::Write as _;

use super::rules::Encryption;

/// The length of an initialisation vector of AES-GCM (RFC 7518, section 5.3).
const IV_BYTES: usize = 12;

/// To whom something is encrypted.
pub enum Recipient<'a> {
    /// The one of these public keys that fits.
    OneOf(&'a [Value]),
    /// Whoever knows the secret, of which the key is the digest (`dir`; RFC 7518, section 4.5).
    Knowing(&'a str),
}

/// The compact form, with `typ` and `cty` `JWT`, and with `zip` if it is to be compressed.
///
/// # Panics
///
/// If the client has no key for it: a mistake in the test.
pub fn encrypt(content: &str, to: &Recipient, how: Encryption, is_compressed: bool) -> String {
    let mut header = json!({"alg": how.alg, "enc": how.enc, "typ": "JWT", "cty": "JWT"});
    let mut content = content.as_bytes().to_vec();
    if is_compressed {
        header["zip"] = json!("DEF");
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&content).expect("memory takes it");
        content = packed.finish().expect("memory takes it");
    }
    let (cek, encrypted_key) = match to {
        Recipient::Knowing(secret) => (
            digest(&SHA256, secret.as_bytes()).as_ref().to_vec(),
            Vec::new(),
        ),
        Recipient::OneOf(keys) => agreed(keys, how, &mut header),
    };
    let protected = URL_SAFE_NO_PAD.encode(header.to_string());
    let mut iv = [0; IV_BYTES];
    rand::fill(&mut iv).expect("random bytes");
    let tag = key(how.enc, &cek)
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(iv),
            Aad::from(protected.as_bytes()),
            &mut content,
        )
        .expect("it is sealed");
    let parts = [&encrypted_key[..], &iv, &content, tag.as_ref()];
    let parts: Vec<String> = parts
        .iter()
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .collect();
    format!("{protected}.{}", parts.join("."))
}

/// The key of the content, and what the client finds it by.
fn agreed(keys: &[Value], how: Encryption, header: &mut Value) -> (Vec<u8>, Vec<u8>) {
    let kind = if how.alg == "ECDH-ES" { "EC" } else { "RSA" };
    let fits = |key: &&Value| {
        let is_for_it = key.get("alg").is_none_or(|alg| *alg == how.alg);
        key["kty"] == kind && key["use"] == "enc" && (is_for_it || how.alg == "RSA1_5")
    };
    let jwk = keys.iter().find(fits);
    let jwk = jwk.unwrap_or_else(|| panic!("the client has no key for {how:?}: {keys:?}"));
    if let Some(kid) = jwk.get("kid") {
        header["kid"] = kid.clone();
    }
    if kind == "EC" {
        let peer = [&[4], &member(jwk, "x")[..], &member(jwk, "y")].concat();
        let own = PrivateKey::generate(&ECDH_P256).expect("a key");
        let public = own.compute_public_key().expect("a public key");
        let (x, y) = public.as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        header["epk"] = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
        let peer = UnparsedPublicKey::new(&ECDH_P256, peer);
        let cek = agree(&own, peer, "the client's key is no point", |shared| {
            Ok(derived(shared, how.enc, b"", b""))
        });
        return (cek.expect("a point"), Vec::new());
    }
    let mut cek = vec![0; key_bytes(how.enc)];
    rand::fill(&mut cek).expect("random bytes");
    let components = RsaPublicKeyComponents {
        n: member(jwk, "n"),
        e: member(jwk, "e"),
    };
    let public: PublicEncryptingKey = components.try_into().expect("an RSA key");
    let mut wrapped = vec![0; public.key_size_bytes()];
    match how.alg {
        "RSA1_5" => {
            let public = Pkcs1PublicEncryptingKey::new(public).expect("a key");
            public.encrypt(&cek, &mut wrapped).expect("it is wrapped");
        }
        _ => {
            let public = OaepPublicEncryptingKey::new(public).expect("a key");
            public
                .encrypt(&OAEP_SHA256_MGF1SHA256, &cek, &mut wrapped, None)
                .expect("it is wrapped");
        }
    }
    (cek, wrapped)
}

fn member(jwk: &Value, name: &str) -> Vec<u8> {
    let text = jwk[name].as_str().unwrap_or_default();
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

fn key_bytes(enc: &str) -> usize {
    if enc == "A128GCM" { 16 } else { 32 }
}

/// The key that opens and closes the content.
pub fn key(enc: &str, cek: &[u8]) -> LessSafeKey {
    let algorithm = if enc == "A128GCM" {
        &AES_128_GCM
    } else {
        &AES_256_GCM
    };
    LessSafeKey::new(UnboundKey::new(algorithm, cek).expect("a key of its length"))
}

/// The key that follows from an agreement (RFC 7518, section 4.6.2).
pub fn derived(shared: &[u8], enc: &str, party_u: &[u8], party_v: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("short").to_be_bytes();
    let bytes = key_bytes(enc);
    let bits = u32::try_from(bytes * 8).expect("few").to_be_bytes();
    let mut input = 1_u32.to_be_bytes().to_vec();
    input.extend_from_slice(shared);
    for part in [enc.as_bytes(), party_u, party_v] {
        input.extend(length(part));
        input.extend_from_slice(part);
    }
    input.extend(bits);
    digest(&SHA256, &input).as_ref()[..bytes].to_vec()
}
