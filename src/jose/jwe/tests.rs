use aws_lc_rs::rsa::{OaepPublicEncryptingKey, PublicEncryptingKey};

use super::super::proof::PROOF_KEY;
use super::*;

const RSA: Encryption = Encryption {
    alg: KeyManagement::RsaOaep256,
    enc: ContentEncryption::A256Gcm,
};

const EC: Encryption = Encryption {
    alg: KeyManagement::EcdhEs,
    enc: ContentEncryption::A128Gcm,
};

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa() -> DecryptionKey {
    DecryptionKey::from_pem(PROOF_KEY, KeyManagement::RsaOaep256).unwrap()
}

fn ec(curve: Curve) -> DecryptionKey {
    let key = PrivateKey::generate(curve.algorithm()).unwrap();
    DecryptionKey::of_curve(curve, key).unwrap()
}

/// A token with that content, encrypted to the key in [`PROOF_KEY`] by `RSA-OAEP-256`.
pub fn for_us(content: &str) -> String {
    encrypted_of(content.as_bytes(), RSA, &rsa(), json!({})).join(".")
}

/// The five parts of a token, of which a test may spoil one.
fn encrypted(as_registered: Encryption, to: &DecryptionKey, header: Value) -> [String; 5] {
    encrypted_of(b"a signed token", as_registered, to, header)
}

/// The same, of that content.
pub fn encrypted_of(
    content: &[u8],
    as_registered: Encryption,
    to: &DecryptionKey,
    header: Value,
) -> [String; 5] {
    let mut header = header;
    let enc = as_registered.enc;
    header["alg"] = json!(as_registered.alg.name());
    header["enc"] = json!(enc.name());
    let (content_key, encrypted_key) = match &to.private {
        Private::Rsa(_) => {
            let pair = PrivateDecryptingKey::from_pkcs8(
                PrivatePkcs8KeyDer::from_pem_slice(PROOF_KEY)
                    .unwrap()
                    .secret_pkcs8_der(),
            )
            .unwrap();
            let public: PublicEncryptingKey = pair.public_key();
            let public = OaepPublicEncryptingKey::new(public).unwrap();
            let key = vec![7; enc.key_length()];
            let mut room = vec![0; public.ciphertext_size()];
            let encrypted = public.encrypt(&OAEP_SHA256_MGF1SHA256, &key, &mut room, None);
            (Zeroizing::new(key), b64(encrypted.unwrap()))
        }
        Private::Ec(curve, private) => {
            let ephemeral = PrivateKey::generate(curve.algorithm()).unwrap();
            let public = DecryptionKey::of_curve(*curve, ephemeral).unwrap();
            header["epk"] = public.public.clone();
            let Private::Ec(_, ephemeral) = &public.private else {
                panic!("it is on a curve");
            };
            let point = private.compute_public_key().unwrap();
            let peer = UnparsedPublicKey::new(curve.algorithm(), point.as_ref().to_vec());
            let read = super::header(&b64(header.to_string().as_bytes())).unwrap();
            let key = agree(ephemeral, peer, (), |shared| {
                derived(shared, &read, enc).ok_or(())
            });
            (key.unwrap(), String::new())
        }
    };
    let head = b64(header.to_string().as_bytes());
    let algorithm = match enc {
        ContentEncryption::A128Gcm => &AES_128_GCM,
        ContentEncryption::A256Gcm => &AES_256_GCM,
    };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &content_key).unwrap());
    let iv = [9; NONCE_LEN];
    let mut content = content.to_vec();
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(iv),
            Aad::from(head.as_bytes()),
            &mut content,
        )
        .unwrap();
    [
        head,
        encrypted_key,
        b64(&iv),
        b64(&content),
        b64(tag.as_ref()),
    ]
}

#[test]
fn i7_the_key_agreement_is_that_of_the_standards_own_example() {
    // RFC 7518 appendix C: Bob's private key, Alice's ephemeral public key.
    let d = decoded("VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw").unwrap();
    let bob = PrivateKey::from_private_key(&ECDH_P256, &d).unwrap();
    let bob = DecryptionKey::of_curve(Curve::P256, bob).unwrap();
    assert_eq!(
        bob.public["x"],
        "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ"
    );
    let header = json!({
        "alg": "ECDH-ES", "enc": "A128GCM", "apu": "QWxpY2U", "apv": "Qm9i",
        "epk": {
            "kty": "EC", "crv": "P-256",
            "x": "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0",
            "y": "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps",
        },
    });
    let header = super::header(&b64(header.to_string().as_bytes())).unwrap();
    let key = bob.content_key(&header, ContentEncryption::A128Gcm, "");
    assert_eq!(b64(&key.unwrap()), "VqqN6vgjbSBcIijNcacQGg");
}

#[test]
fn i7_content_is_opened_as_in_the_standards_own_example() {
    // RFC 7516 appendix A.1: the content key that is inside, and the rest of the token.
    let key = [
        177, 161, 244, 128, 84, 143, 225, 115, 63, 180, 3, 255, 107, 154, 212, 246, 138, 7, 110,
        91, 112, 46, 34, 105, 47, 130, 203, 46, 122, 234, 64, 252,
    ];
    let head = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ";
    let iv = "48V1_ALb6US04U3b";
    let ciphertext =
        "5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6jiSdiwkIr3ajwQzaBtQD_A";
    let tag = "XFBoMYUZodetZdvTiFvSkQ";
    let opened = opened(
        ContentEncryption::A256Gcm,
        &key,
        head,
        [iv, ciphertext, tag],
    );
    let expected = b"The true sign of intelligence is not knowledge but imagination.";
    assert_eq!(opened.unwrap().as_slice(), expected);
}

#[test]
fn i7_a_token_for_us_is_decrypted_in_every_registered_way() {
    let keys = [rsa(), ec(Curve::P256), ec(Curve::P384)];
    for key in &keys {
        for enc in [ContentEncryption::A128Gcm, ContentEncryption::A256Gcm] {
            let registered = Encryption {
                alg: key.alg(),
                enc,
            };
            for header in [json!({}), json!({ "kid": key.kid })] {
                let token = encrypted(registered, key, header).join(".");
                let content = decrypt(&token, registered, &keys).unwrap();
                assert_eq!(content.as_slice(), b"a signed token");
            }
        }
    }
}

#[test]
fn i7_another_algorithm_than_the_registered_one_is_refused() {
    let keys = [rsa(), ec(Curve::P256)];
    let token = encrypted(RSA, &keys[0], json!({})).join(".");
    let refused = |token: &str, registered| decrypt(token, registered, &keys).err();
    assert_eq!(refused(&token, EC), Some(JoseError::Algorithm("alg")));
    let short = Encryption {
        enc: ContentEncryption::A128Gcm,
        ..RSA
    };
    assert_eq!(refused(&token, short), Some(JoseError::Algorithm("enc")));
    let parts = encrypted(RSA, &keys[0], json!({}));
    for alg in ["RSA1_5", "RSA-OAEP", "dir", "A256KW", "none"] {
        let head = b64(json!({"alg": alg, "enc": "A256GCM"}).to_string().as_bytes());
        let token = [&[head][..], &parts[1..]].concat().join(".");
        assert_eq!(
            refused(&token, RSA),
            Some(JoseError::Algorithm("alg")),
            "{alg}"
        );
    }
    let zipped = encrypted(RSA, &keys[0], json!({"zip": "DEF"})).join(".");
    let expected = Some(JoseError::NotUnderstood("zip"));
    assert_eq!(refused(&zipped, RSA), expected);
}

#[test]
fn i7_each_changed_part_is_refused_alike() {
    let keys = [rsa(), ec(Curve::P256)];
    for (nth, registered) in [RSA, EC].into_iter().enumerate() {
        let parts = encrypted(registered, &keys[nth], json!({}));
        for changed in 1..parts.len() {
            let mut parts = parts.clone();
            let mut bytes = decoded(&parts[changed]).unwrap();
            match bytes.first_mut() {
                Some(first) => *first ^= 1,
                None => bytes.push(1),
            }
            parts[changed] = b64(&bytes);
            let refused = decrypt(&parts.join("."), registered, &keys).err();
            assert_eq!(refused, Some(JoseError::Decryption), "part {changed}");
        }
        // The header is authenticated.
        let mut parts = parts;
        let mut header: Value = serde_json::from_slice(&decoded(&parts[0]).unwrap()).unwrap();
        header["cty"] = json!("JWT");
        parts[0] = b64(header.to_string().as_bytes());
        let refused = decrypt(&parts.join("."), registered, &keys).err();
        assert_eq!(refused, Some(JoseError::Decryption));
    }
}

#[test]
fn i7_a_key_that_is_not_ours_and_a_point_beside_the_curve_are_refused() {
    let keys = [ec(Curve::P256)];
    let elsewhere = encrypted(EC, &ec(Curve::P256), json!({})).join(".");
    let refused = |token: &str| decrypt(token, EC, &keys).err();
    assert_eq!(refused(&elsewhere), Some(JoseError::Decryption));
    let named = encrypted(EC, &keys[0], json!({"kid": "other"})).join(".");
    assert_eq!(refused(&named), Some(JoseError::UnknownKey));
    let mut parts = encrypted(EC, &keys[0], json!({}));
    let mut header: Value = serde_json::from_slice(&decoded(&parts[0]).unwrap()).unwrap();
    let good = header.clone();
    for (member, value) in [
        ("x", b64(&[1; 32])),
        ("y", b64(&[0; 32])),
        ("x", b64(&[1; 31])),
        ("crv", "P-384".to_owned()),
        ("kty", "OKP".to_owned()),
    ] {
        header = good.clone();
        header["epk"][member] = json!(value);
        parts[0] = b64(header.to_string().as_bytes());
        assert_eq!(refused(&parts.join(".")), Some(JoseError::Decryption));
    }
    header["epk"] = json!(null);
    parts[0] = b64(header.to_string().as_bytes());
    assert_eq!(refused(&parts.join(".")), Some(JoseError::Decryption));
}

#[test]
fn a_published_key_has_nothing_private_and_a_short_one_is_refused() {
    for key in [rsa(), ec(Curve::P256), ec(Curve::P384)] {
        let jwk = key.public_jwk();
        assert_eq!(
            (&jwk["use"], &jwk["alg"]),
            (&json!("enc"), &json!(key.alg().name()))
        );
        let public = ["kty", "crv", "x", "y", "n", "e", "kid", "use", "alg"];
        assert!(
            jwk.as_object()
                .unwrap()
                .keys()
                .all(|name| public.contains(&name.as_str()))
        );
    }
    let short = include_bytes!("../short.pem");
    let refused = DecryptionKey::from_pem(short, KeyManagement::RsaOaep256).err();
    assert_eq!(refused, Some(InvalidKey::Unfit("RSA-OAEP-256")));
    let refused = DecryptionKey::from_pem(PROOF_KEY, KeyManagement::EcdhEs).err();
    assert_eq!(refused, Some(InvalidKey::Unfit("ECDH-ES")));
    let refused = DecryptionKey::from_pem(b"no key", KeyManagement::EcdhEs).err();
    assert_eq!(refused, Some(InvalidKey::Unfit("ECDH-ES")));
}
