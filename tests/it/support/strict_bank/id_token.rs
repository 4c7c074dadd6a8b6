//! ID tokens (OpenID Connect Core, section 2), true and spoilt, signed and encrypted.

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::desk::Desk;
use super::grants::Grant;
use super::jwe::{Recipient, encrypt};
use super::jws::{Algorithm, SigningKey};
use super::keys::Flaw;
use super::knobs::{Claim, IdToken, Knob, Spoilt};
use super::rules::{Client, Encryption};

/// How long an ID token is valid, in seconds.
const LIFE: i64 = 300;

/// What a token comes with, which it holds the digest of.
#[derive(Default)]
pub struct Beside<'a> {
    pub access_token: Option<&'a str>,
    pub code: Option<&'a str>,
    /// Whether it comes with a refreshed access token: then there is no nonce (section 12.2).
    pub is_refreshed: bool,
}

impl Desk {
    /// The ID token for that grant.
    pub fn id_token(&mut self, grant: &Grant, client: &Client, beside: &Beside) -> String {
        let algorithm = self.rules.id_token;
        let now = self.now();
        let mut claims = json!({
            "iss": self.issuer(),
            "sub": grant.person,
            "aud": client.client_id,
            "exp": now + LIFE,
            "iat": now,
            "auth_time": grant.at,
        });
        if let Some(nonce) = grant.asked.nonce.as_ref().filter(|_| !beside.is_refreshed) {
            claims["nonce"] = json!(nonce);
        }
        if let Some(token) = beside.access_token {
            claims["at_hash"] = json!(half_digest(algorithm, token));
        }
        if let Some(code) = beside.code {
            claims["c_hash"] = json!(half_digest(algorithm, code));
            if let Some(state) = &grant.asked.state {
                claims["s_hash"] = json!(half_digest(algorithm, state));
            }
        }
        if self.knobs.has(IdToken::IssuedAWeekAgo) {
            claims["iat"] = json!(now - 7 * 24 * 3600);
        }
        let spoilt = self.knobs.picked(|knob| match knob {
            Knob::SpoiltClaim(how, claim) => Some((*how, *claim)),
            _ => None,
        });
        for (how, claim) in spoilt {
            spoil(&mut claims, how, claim, now);
        }
        if self.knobs.has(IdToken::EncryptedNotSigned) {
            return self.encrypted(&claims.to_string(), client, self.encryption());
        }
        let signed = self.signed(algorithm, &claims, client);
        self.wrapped(signed, client)
    }

    fn signed(&mut self, algorithm: Algorithm, claims: &Value, client: &Client) -> String {
        if algorithm == Algorithm::HS256 {
            let secret = client.authentication.secret();
            let key = SigningKey::shared(secret.expect("the client has a secret").as_bytes());
            return key.sign(json!({"kid": null}), claims);
        }
        let flaws = [
            (IdToken::AlgNone, Flaw::AlgNone),
            (IdToken::AlgHsWithPublicKey, Flaw::AlgHsWithPublicKey),
            (IdToken::OtherAlg, Flaw::OtherAlg),
            (IdToken::BadSignature, Flaw::BadSignature),
            (IdToken::KidMissing, Flaw::KidMissing),
            (IdToken::KidUnknown, Flaw::KidUnknown),
            (IdToken::HeaderJku, Flaw::HeaderJku),
            (IdToken::HeaderJwk, Flaw::HeaderJwk),
            (IdToken::HeaderX5u, Flaw::HeaderX5u),
            (IdToken::HeaderCrit, Flaw::HeaderCrit),
        ];
        let flaw = flaws.iter().find(|(knob, _)| self.knobs.has(*knob));
        let flaw = flaw.map(|(_, flaw)| *flaw);
        self.keys
            .sign(algorithm, Some("JWT"), claims, &self.knobs, flaw)
    }

    fn wrapped(&self, signed: String, client: &Client) -> String {
        let knobs = &self.knobs;
        if knobs.has(IdToken::EncryptedWithRsa15) {
            let how = Encryption {
                alg: "RSA1_5",
                ..self.encryption()
            };
            return self.encrypted(&signed, client, how);
        }
        if knobs.has(IdToken::EncryptedDirectly) {
            let how = Encryption {
                alg: "dir",
                enc: "A256GCM",
            };
            let secret = client.authentication.secret().unwrap_or(&client.client_id);
            return encrypt(&signed, &Recipient::Knowing(secret), how, false);
        }
        match self.rules.id_token_encryption {
            Some(how) if !knobs.has(IdToken::PlainWhereEncrypted) => {
                self.encrypted(&signed, client, how)
            }
            _ => signed,
        }
    }

    /// How ID tokens are encrypted; where they are not, how a hostile institution does it all the same.
    fn encryption(&self) -> Encryption {
        self.rules.id_token_encryption.unwrap_or(Encryption {
            alg: "RSA-OAEP-256",
            enc: "A256GCM",
        })
    }

    /// Encrypts to the client.
    pub fn encrypted(&self, content: &str, client: &Client, how: Encryption) -> String {
        let keys = self.keys_of(&client.client_id);
        let is_compressed = self.knobs.has(IdToken::Compressed);
        encrypt(content, &Recipient::OneOf(&keys), how, is_compressed)
    }
}

fn spoil(claims: &mut Value, how: Spoilt, claim: Claim, now: i64) {
    let name = claim.name();
    if how == Spoilt::Missing {
        claims.as_object_mut().expect("an object").remove(name);
        return;
    }
    claims[name] = match (how, claim) {
        (Spoilt::Wrong, Claim::Iss) => json!("https://elsewhere.example"),
        (Spoilt::Wrong, Claim::Exp) => json!(now - 3600),
        (Spoilt::Wrong, Claim::Iat | Claim::Nbf) => json!(now + 3600),
        (Spoilt::Wrong, Claim::Sub) => json!("x".repeat(256)),
        (Spoilt::Wrong, _) => json!("another"),
        (_, Claim::Exp | Claim::Iat | Claim::Nbf) => json!(claims[name].to_string()),
        _ => json!(7),
    };
}

/// The left half of a digest (OpenID Connect Core, section 3.1.3.6).
pub fn half_digest(algorithm: Algorithm, text: &str) -> String {
    let by = match algorithm {
        Algorithm::ES384 => &SHA384,
        // Of Ed25519, SHA-512 is the hash that it uses.
        Algorithm::EdDSA => &SHA512,
        _ => &SHA256,
    };
    let digest = digest(by, text.as_bytes());
    let (half, _) = digest.as_ref().split_at(digest.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(half)
}
