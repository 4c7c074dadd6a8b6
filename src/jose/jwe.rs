//! An encrypted token for us is decrypted (RFC 7516), by the two ways of finding its key that protect it well (RFC 7518
//! sections 4.3 and 4.6) and by AES-GCM.
//!
//! Everything that is wrong inside gives the same error: a sender who tries keys learns nothing.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, ECDH_P384, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::KeyPair;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::compact::{Header, JoseError, decoded, header, parts};
use super::key::InvalidKey;
use crate::domain::algorithm::{ContentEncryption, Encryption, KeyManagement};

/// The length of the tag of AES-GCM, in bytes.
const TAG: usize = 16;

/// A private key of ours that tokens are encrypted to. Cannot be printed.
pub struct DecryptionKey {
    kid: String,
    private: Private,
    /// The public key, without `kid`.
    public: Value,
}

enum Private {
    Rsa(OaepPrivateDecryptingKey),
    Ec(Curve, PrivateKey),
}

/// A curve that keys are agreed on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
}

impl Curve {
    const ALL: [Self; 2] = [Self::P256, Self::P384];

    fn algorithm(self) -> &'static aws_lc_rs::agreement::Algorithm {
        match self {
            Self::P256 => &ECDH_P256,
            Self::P384 => &ECDH_P384,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        }
    }

    /// The length of a coordinate, in bytes.
    fn coordinate(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

impl DecryptionKey {
    /// The private key in `pem` (PKCS #8): RSA of at least 2048 bits for `RSA-OAEP-256`, P-256 or P-384 for `ECDH-ES`.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`].
    pub fn from_pem(pem: &[u8], alg: KeyManagement) -> Result<Self, InvalidKey> {
        let unfit = || InvalidKey::Unfit(alg.name());
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| unfit())?;
        let der = der.secret_pkcs8_der();
        match alg {
            KeyManagement::RsaOaep256 => {
                let pair = aws_lc_rs::rsa::KeyPair::from_pkcs8(der).map_err(|_| unfit())?;
                let public = pair.public_key();
                let big = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
                let n = public.modulus().big_endian_without_leading_zero();
                let e = public.exponent().big_endian_without_leading_zero();
                let canonical = format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, big(e), big(n));
                let private = PrivateDecryptingKey::from_pkcs8(der).map_err(|_| unfit())?;
                let private = OaepPrivateDecryptingKey::new(private).map_err(|_| unfit())?;
                Ok(Self::of(
                    Private::Rsa(private),
                    json!({"kty": "RSA", "n": big(n), "e": big(e)}),
                    &canonical,
                ))
            }
            KeyManagement::EcdhEs => {
                let found = Curve::ALL.into_iter().find_map(|curve| {
                    let key = PrivateKey::from_private_key_der(curve.algorithm(), der);
                    Some((curve, key.ok()?))
                });
                let (curve, key) = found.ok_or_else(unfit)?;
                Self::of_curve(curve, key).ok_or_else(unfit)
            }
        }
    }

    fn of_curve(curve: Curve, key: PrivateKey) -> Option<Self> {
        let point = key.compute_public_key().ok()?;
        let point = point.as_ref().strip_prefix(&[4])?;
        let (x, y) = point.split_at_checked(curve.coordinate())?;
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        let name = curve.name();
        let canonical = format!(r#"{{"crv":"{name}","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let public = json!({"kty": "EC", "crv": name, "x": x, "y": y});
        Some(Self::of(Private::Ec(curve, key), public, &canonical))
    }

    /// `canonical` is what RFC 7638 makes a thumbprint of.
    fn of(private: Private, public: Value, canonical: &str) -> Self {
        Self {
            kid: URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes())),
            private,
            public,
        }
    }

    /// The SHA-256 thumbprint of its public key (RFC 7638), which is its `kid` too.
    pub fn thumbprint(&self) -> &str {
        &self.kid
    }

    /// Its public key, to be published in a JWK set; its `kid` is its thumbprint (RFC 7638).
    pub fn public_jwk(&self) -> Value {
        let mut jwk = self.public.clone();
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("enc");
        jwk["alg"] = json!(self.alg().name());
        jwk
    }

    pub(super) fn alg(&self) -> KeyManagement {
        match self.private {
            Private::Rsa(_) => KeyManagement::RsaOaep256,
            Private::Ec(..) => KeyManagement::EcdhEs,
        }
    }

    /// The content key of a token; `None`: it is not for this key.
    fn content_key(
        &self,
        header: &Header,
        enc: ContentEncryption,
        encrypted_key: &str,
    ) -> Option<Zeroizing<Vec<u8>>> {
        match &self.private {
            Private::Rsa(private) => {
                let encrypted = decoded(encrypted_key).ok()?;
                let mut room = Zeroizing::new(vec![0; private.min_output_size()]);
                let key = private.decrypt(&OAEP_SHA256_MGF1SHA256, &encrypted, &mut room, None);
                Some(Zeroizing::new(key.ok()?.to_vec()))
            }
            Private::Ec(curve, private) if encrypted_key.is_empty() => {
                let epk: Epk = serde_json::from_value(header.epk.clone()?).ok()?;
                let point = epk.point(*curve)?;
                let peer = UnparsedPublicKey::new(curve.algorithm(), point);
                agree(private, peer, (), |shared| {
                    derived(shared, header, enc).ok_or(())
                })
                .ok()
            }
            Private::Ec(..) => None,
        }
    }
}

/// The ephemeral public key in a header (RFC 7518 section 4.6.1.1).
#[derive(Deserialize)]
struct Epk {
    kty: String,
    crv: String,
    x: String,
    y: String,
}

impl Epk {
    /// Its point, uncompressed; whether it is on the curve is checked when the key is agreed on.
    fn point(&self, curve: Curve) -> Option<Vec<u8>> {
        let is_of_curve = self.kty == "EC" && self.crv == curve.name();
        let mut point = vec![4];
        for coordinate in [&self.x, &self.y] {
            point.extend_from_slice(&decoded(coordinate).ok()?);
        }
        (is_of_curve && point.len() == 1 + 2 * curve.coordinate()).then_some(point)
    }
}

/// The key that both sides agree on: Concat KDF with SHA-256, of which one round is enough for a key of up to 256 bits
/// (RFC 7518 section 4.6.2).
fn derived(shared: &[u8], header: &Header, enc: ContentEncryption) -> Option<Zeroizing<Vec<u8>>> {
    let length = enc.key_length();
    let party = |info: &Option<String>| match info {
        Some(info) => decoded(info).ok(),
        None => Some(Zeroizing::default()),
    };
    let (apu, apv) = (party(&header.apu)?, party(&header.apv)?);
    let mut input = Zeroizing::new(Vec::with_capacity(4 + shared.len() + 64));
    input.extend_from_slice(&1u32.to_be_bytes());
    input.extend_from_slice(shared);
    for part in [enc.name().as_bytes(), &apu, &apv] {
        input.extend_from_slice(&u32::try_from(part.len()).ok()?.to_be_bytes());
        input.extend_from_slice(part);
    }
    input.extend_from_slice(&u32::try_from(8 * length).ok()?.to_be_bytes());
    Some(Zeroizing::new(
        digest(&SHA256, &input).as_ref()[..length].to_vec(),
    ))
}

/// Decrypts a token that was encrypted as `registered` says, with whichever of `keys` it names, or with any if it names
/// none, and returns its content.
///
/// # Errors
///
/// [`JoseError`]; one error for everything that is wrong inside.
pub fn decrypt(
    token: &str,
    registered: Encryption,
    keys: &[DecryptionKey],
) -> Result<Zeroizing<Vec<u8>>, JoseError> {
    let [head, encrypted_key, iv, ciphertext, tag] = parts(token)?;
    let header = header(head)?;
    if header.alg != registered.alg.name() {
        return Err(JoseError::Algorithm("alg"));
    }
    if header.enc.as_deref() != Some(registered.enc.name()) {
        return Err(JoseError::Algorithm("enc"));
    }
    let is_named = |key: &&DecryptionKey| {
        let kid = header.kid.as_ref();
        key.alg() == registered.alg && kid.is_none_or(|kid| *kid == key.kid)
    };
    let mut named = keys.iter().filter(is_named).peekable();
    if named.peek().is_none() {
        return Err(JoseError::UnknownKey);
    }
    named
        .find_map(|key| {
            let content_key = key.content_key(&header, registered.enc, encrypted_key)?;
            opened(registered.enc, &content_key, head, [iv, ciphertext, tag])
        })
        .ok_or(JoseError::Decryption)
}

/// The content under a content key; the protected header is authenticated with it.
fn opened(
    enc: ContentEncryption,
    key: &[u8],
    head: &str,
    [iv, ciphertext, tag]: [&str; 3],
) -> Option<Zeroizing<Vec<u8>>> {
    let algorithm = match enc {
        ContentEncryption::A128Gcm => &AES_128_GCM,
        ContentEncryption::A256Gcm => &AES_256_GCM,
    };
    let (iv, tag) = (decoded(iv).ok()?, decoded(tag).ok()?);
    if iv.len() != NONCE_LEN || tag.len() != TAG {
        return None;
    }
    let mut content = decoded(ciphertext).ok()?;
    content.extend_from_slice(&tag);
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(&iv).ok()?;
    let opened = key.open_in_place(nonce, Aad::from(head.as_bytes()), &mut content);
    let length = opened.ok()?.len();
    content.truncate(length);
    Some(content)
}

#[cfg(test)]
pub mod tests;
