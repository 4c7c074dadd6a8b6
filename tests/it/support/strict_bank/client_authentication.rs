//! Who a client is, proved in the one way that it is registered for.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::jws::{Algorithm, Jws, SigningKey, name};
use super::refusal::{Judged, Refusal};
use super::rules::{Authentication, Client};
use super::tls;
use crate::support::loopback::Recorded;

/// RFC 7523, section 2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long an assertion may live, in seconds.
const LONGEST_LIFE: i64 = 5 * 60;

/// How far clocks may differ, in seconds.
const SKEW: i64 = 10;

/// The parameters of a request that belong to one way of authentication, and those that are there.
fn shown(request: &Recorded) -> Vec<&'static str> {
    let has = |name: &str| request.form().iter().any(|(key, _)| key == name);
    let mut ways = Vec::new();
    if request.header("authorization").is_some() {
        ways.push("client_secret_basic");
    }
    if has("client_secret") {
        ways.push("client_secret_post");
    }
    if has("client_assertion") || has("client_assertion_type") {
        ways.push("client_assertion");
    }
    ways
}

/// Who a request says it comes from.
pub fn claimed(request: &Recorded) -> Option<String> {
    let asserted = || {
        let assertion = request.field("client_assertion")?;
        Jws::parse(&assertion)?.text("sub").map(str::to_owned)
    };
    let posted = request.field("client_id").or_else(asserted);
    posted.or_else(|| Some(basic(request)?.0))
}

/// Judges the proof of `client`, whose public keys are `keys`.
///
/// `used` has the identifiers of assertions that were accepted before; `issuer` is the audience.
pub fn judge(
    request: &Recorded,
    client: &Client,
    keys: &[Value],
    issuer: &str,
    now: i64,
    used: &mut HashSet<String>,
) -> Judged<()> {
    let ways = shown(request);
    let only = |way: &[&str]| match ways == way {
        true => Ok(()),
        false => Err(Refusal::client(format!(
            "{ways:?} was shown, and the client is registered for {}",
            client.authentication.name()
        ))),
    };
    let named = || match request.field("client_id") {
        Some(id) if id == client.client_id => Ok(()),
        _ => Err(Refusal::client("client_id is missing or another's")),
    };
    match &client.authentication {
        Authentication::None => only(&[]).and_then(|()| named()),
        Authentication::Basic(secret) => {
            only(&["client_secret_basic"])?;
            match basic(request) {
                Some((id, shown)) if id == client.client_id && shown == *secret => Ok(()),
                _ => Err(Refusal::client("the Basic credentials are wrong")),
            }
        }
        Authentication::Post(secret) => {
            only(&["client_secret_post"])?;
            named()?;
            match request.field("client_secret") {
                Some(shown) if shown == *secret => Ok(()),
                _ => Err(Refusal::client("client_secret is wrong")),
            }
        }
        Authentication::SecretJwt(secret) => {
            only(&["client_assertion"])?;
            let jws = assertion(request)?;
            let key = SigningKey::shared(secret.as_bytes()).jwk();
            if jws.header["alg"] != json!(name(Algorithm::HS256)) || !jws.is_of(&key) {
                return Err(Refusal::client(
                    "the assertion is not signed with the secret",
                ));
            }
            judge_claims(&jws, client, issuer, now, used)
        }
        Authentication::PrivateKeyJwt => {
            only(&["client_assertion"])?;
            let jws = assertion(request)?;
            judge_signature(&jws, keys).map_err(Refusal::client)?;
            judge_claims(&jws, client, issuer, now, used)
        }
        Authentication::Tls(thumbprint) => {
            only(&[])?;
            named()?;
            match &request.certificate {
                Some(certificate) if tls::thumbprint(certificate) == *thumbprint => Ok(()),
                Some(_) => Err(Refusal::client("the certificate is another")),
                None => Err(Refusal::client("no certificate was shown")),
            }
        }
    }
}

/// Whether the object is signed, by an algorithm that is allowed, with the one of `keys` that its `kid` names.
pub fn judge_signature(jws: &Jws, keys: &[Value]) -> Result<(), &'static str> {
    let header = &jws.header;
    if !matches!(
        header["alg"].as_str(),
        Some("PS256" | "ES256" | "ES384" | "EdDSA")
    ) {
        return Err("alg is none of PS256, ES256, ES384 and EdDSA");
    }
    if header["kid"].as_str().is_none_or(str::is_empty) {
        return Err("kid is missing");
    }
    let mut named = keys.iter().filter(|key| key["kid"] == header["kid"]);
    let (Some(key), None) = (named.next(), named.next()) else {
        return Err("kid is not that of one key of the client's set");
    };
    if key.get("alg").is_some_and(|alg| *alg != header["alg"]) {
        return Err("the key is for another alg");
    }
    if key.get("use").is_some_and(|of| of != "sig") {
        return Err("the key is not for signatures");
    }
    match jws.is_of(key) {
        true => Ok(()),
        false => Err("the signature is wrong"),
    }
}

fn assertion(request: &Recorded) -> Judged<Jws> {
    if request.field("client_assertion_type").as_deref() != Some(ASSERTION_TYPE) {
        return Err(Refusal::client("client_assertion_type is wrong"));
    }
    let assertion = request.field("client_assertion");
    assertion
        .and_then(|text| Jws::parse(&text))
        .ok_or_else(|| Refusal::client("client_assertion is no JWS"))
}

/// The claims of an assertion (RFC 7523, section 3; FAPI 2.0 Security Profile, section 5.3.2.1).
fn judge_claims(
    jws: &Jws,
    client: &Client,
    issuer: &str,
    now: i64,
    used: &mut HashSet<String>,
) -> Judged<()> {
    let refuse = |why: &str| Err(Refusal::client(format!("the assertion's {why}")));
    for claim in ["iss", "sub"] {
        if jws.text(claim) != Some(&client.client_id) {
            return refuse(&format!("{claim} is not the client_id"));
        }
    }
    if jws.claims["aud"] != json!(issuer) {
        return refuse("aud is not the issuer, as one string");
    }
    let Some((issued, ends)) = jws.time("iat").zip(jws.time("exp")) else {
        return refuse("iat or exp is no whole number");
    };
    if issued > now + SKEW || issued < now - LONGEST_LIFE {
        return refuse("iat is not now");
    }
    if ends <= now - SKEW || ends <= issued {
        return refuse("exp has passed");
    }
    if ends > now + LONGEST_LIFE + SKEW {
        return refuse("exp is more than five minutes away");
    }
    if jws.time("nbf").is_some_and(|from| from > now + SKEW) {
        return refuse("nbf is in the future");
    }
    let Some(id) = jws.text("jti").filter(|id| !id.is_empty()) else {
        return refuse("jti is missing");
    };
    match used.insert(id.to_owned()) {
        true => Ok(()),
        false => refuse("jti was used before"),
    }
}

/// The halves of HTTP Basic, which are form-encoded (RFC 6749, section 2.3.1).
fn basic(request: &Recorded) -> Option<(String, String)> {
    let encoded = request.header("authorization")?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    // As the value of a field whose name cannot occur in the half unescaped.
    let decoded = |half: &str| {
        let field = format!("={half}");
        let mut pairs = form_urlencoded::parse(field.as_bytes());
        pairs.next().map(|(_, value)| value.into_owned())
    };
    Some((decoded(id)?, decoded(secret)?))
}
