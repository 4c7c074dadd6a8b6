//! Proofs of possession (RFC 9449): judged, with nonces and identifiers that serve once.

use std::collections::HashSet;

use serde_json::json;

use super::grants::challenge;
use super::jws::{Jws, thumbprint};
use super::refusal::{Judged, Refusal};
use super::rules::Nonces;
use crate::support::loopback::Recorded;
use crate::support::random_token;

/// How old a proof may be, in seconds.
const LONGEST_LIFE: i64 = 60;

/// Parts of a key that are secret (RFC 7518, section 6).
const PRIVATE_PARTS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// What was seen of proofs so far, at one server.
#[derive(Default)]
pub struct Proofs {
    used: HashSet<String>,
    nonces: Vec<String>,
}

/// What a proof is for.
pub struct Purpose<'a> {
    /// The addresses of the endpoint, any of which may be named.
    pub addresses: &'a [String],
    /// The access token that comes with it.
    pub access_token: Option<&'a str>,
    pub nonces: Nonces,
    pub now: i64,
}

impl Proofs {
    /// The nonce that the next proof should have.
    pub fn next_nonce(&mut self, nonces: Nonces) -> Option<String> {
        match (nonces, self.nonces.last()) {
            (Nonces::Never, _) => None,
            (Nonces::Always, Some(known)) => Some(known.clone()),
            (Nonces::Always | Nonces::Changing, _) => {
                let fresh = random_token();
                self.nonces.push(fresh.clone());
                Some(fresh)
            }
        }
    }

    /// Ends every nonce that was given so far.
    pub fn forget_nonces(&mut self) {
        self.nonces.clear();
    }

    /// Judges the proof of a request (RFC 9449, section 4.3); the thumbprint of its key, or nothing if there is
    /// no proof.
    pub fn judge(&mut self, request: &Recorded, of: &Purpose) -> Judged<Option<String>> {
        let refuse = |why: &str| Refusal::new("invalid_dpop_proof", format!("the proof's {why}"));
        let mut headers = request.headers.get_all("dpop").iter();
        let Some(proof) = headers.next() else {
            return Ok(None);
        };
        if headers.next().is_some() {
            return Err(refuse("header is there twice"));
        }
        let proof = proof.to_str().ok().and_then(Jws::parse);
        let proof = proof.ok_or_else(|| refuse("form is not that of a JWS"))?;
        if proof.header["typ"] != json!("dpop+jwt") {
            return Err(refuse("typ is not dpop+jwt"));
        }
        if !matches!(
            proof.header["alg"].as_str(),
            Some("PS256" | "ES256" | "ES384" | "EdDSA")
        ) {
            return Err(refuse("alg is none of PS256, ES256, ES384 and EdDSA"));
        }
        let jwk = &proof.header["jwk"];
        if PRIVATE_PARTS.iter().any(|part| jwk.get(part).is_some()) {
            return Err(refuse("jwk has private parts"));
        }
        if !proof.is_of(jwk) {
            return Err(refuse("signature is not by its jwk"));
        }
        if proof.text("htm") != Some(request.method.as_str()) {
            return Err(refuse("htm is not the method"));
        }
        let target = proof.text("htu").unwrap_or_default();
        if !of.addresses.iter().any(|address| address == target) {
            return Err(refuse(&format!(
                "htu {target} is none of {:?}",
                of.addresses
            )));
        }
        let is_old = |at: i64| (at - of.now).abs() > LONGEST_LIFE;
        if proof.time("iat").is_none_or(is_old) {
            return Err(refuse("iat is not now"));
        }
        let Some(id) = proof.text("jti").filter(|id| !id.is_empty()) else {
            return Err(refuse("jti is missing"));
        };
        if proof.text("ath").map(str::to_owned) != of.access_token.map(challenge) {
            return Err(refuse("ath is not the digest of the access token"));
        }
        self.judge_nonce(&proof, of.nonces)?;
        if !self.used.insert(id.to_owned()) {
            return Err(refuse("jti was used before"));
        }
        Ok(thumbprint(jwk))
    }

    fn judge_nonce(&mut self, proof: &Jws, nonces: Nonces) -> Judged<()> {
        if nonces == Nonces::Never {
            return Ok(());
        }
        let shown = proof.text("nonce");
        let place = self
            .nonces
            .iter()
            .position(|known| Some(known.as_str()) == shown);
        match (place, nonces) {
            (Some(place), Nonces::Changing) => {
                self.nonces.remove(place);
                Ok(())
            }
            (Some(_), _) => Ok(()),
            (None, _) => {
                let why = format!("the proof's nonce {shown:?} is not one of mine");
                Err(Refusal::new("use_dpop_nonce", why))
            }
        }
    }
}
