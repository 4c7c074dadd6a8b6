//! What an access token is good for: accounts, and who gave it.

use serde_json::{Value, json};

use super::desk::Desk;
use super::dpop::Purpose;
use super::grants::Binding;
use super::keys::Flaw;
use super::knobs::UserInfo;
use super::places::Place;
use super::refusal::{Judged, Refusal};
use super::reply::Reply;
use super::rules::Nonces;
use super::tls;
use crate::support::behaviour::response;
use crate::support::loopback::Recorded;

impl Desk {
    /// Some accounts.
    pub fn accounts(&mut self, request: &Recorded) -> Judged<Reply> {
        self.bearer(Place::Accounts, request)?;
        Ok(Reply::good(
            &json!({"accounts": [{"id": "1", "currency": "EUR"}]}),
        ))
    }

    /// UserInfo (OpenID Connect Core, section 5.3), as JSON or as a JWT.
    pub fn userinfo(&mut self, request: &Recorded) -> Judged<Reply> {
        let code = self.bearer(Place::UserInfo, request)?;
        let grant = self.grants.of_code(&code).clone();
        let sub = match self.knobs.has(UserInfo::OtherSub) {
            true => "another",
            false => &grant.person,
        };
        let mut claims = json!({"sub": sub, "name": "Ada", "email": "ada@example.org"});
        let Some(algorithm) = self.rules.userinfo else {
            return Ok(Reply::good(&claims));
        };
        claims["iss"] = json!(self.issuer());
        claims["aud"] = json!(grant.asked.client_id);
        let flaw = self.knobs.has(UserInfo::BadSignature);
        let flaw = flaw.then_some(Flaw::BadSignature);
        let jwt = self.keys.sign(algorithm, None, &claims, &self.knobs, flaw);
        Ok(Reply::instead(response(200, "application/jwt", jwt)))
    }

    /// The code that the token of a request descends from. The token has to be live, in the header, of the right
    /// scheme, and with the proof that it is bound to.
    fn bearer(&mut self, place: Place, request: &Recorded) -> Judged<String> {
        let scheme = self.rules.challenge_scheme;
        let challenge = |scheme: &str, refusal: Refusal| {
            let challenge = format!("{scheme} error=\"{}\"", refusal.error);
            refusal.with(401, "www-authenticate", challenge)
        };
        let refuse = |why: &str| challenge("Bearer", Refusal::new("invalid_token", why));
        let shown = request
            .header("authorization")
            .and_then(|it| it.split_once(' '));
        let (shown_scheme, token) = shown.ok_or_else(|| refuse("no token is in the header"))?;
        let now = self.now();
        let access = self.grants.access(token, now);
        let access = access.ok_or_else(|| refuse("the token is not live"))?;
        let (code, binding) = (access.code.clone(), access.binding.clone());
        let wanted = match binding {
            Binding::Key(_) => "DPoP",
            _ => "Bearer",
        };
        if !shown_scheme.eq_ignore_ascii_case(wanted) {
            return Err(refuse("the scheme is not that of the token"));
        }
        match binding {
            Binding::None => {}
            Binding::Certificate(bound) => match &request.certificate {
                Some(certificate) if tls::thumbprint(certificate) == bound => {}
                _ => return Err(refuse("the certificate is not that of the token")),
            },
            Binding::Key(bound) => {
                let purpose = Purpose {
                    addresses: &self.addresses(place),
                    access_token: Some(token),
                    nonces: self.resource_nonces(place),
                    now,
                };
                let shown = self.resource_proofs.judge(request, &purpose);
                let shown = shown.map_err(|refusal| challenge(scheme, refusal))?;
                if shown.as_deref() != Some(&bound) {
                    return Err(refuse("the proof is missing or of another key"));
                }
            }
        }
        Ok(code)
    }

    fn resource_nonces(&self, place: Place) -> Nonces {
        let is_demanded = place == Place::UserInfo && self.knobs.has(UserInfo::NonceDemanded);
        match self.rules.nonces {
            Nonces::Never if is_demanded => Nonces::Always,
            nonces => nonces,
        }
    }

    /// The nonce that goes with a response of a resource.
    pub fn next_resource_nonce(&mut self, place: Place) -> Option<String> {
        let nonces = self.resource_nonces(place);
        self.resource_proofs.next_nonce(nonces)
    }

    /// A token as the institution sees it (RFC 7662, in spirit): what it is bound to and for whom; `active` is
    /// false for one that is not live.
    pub fn introspection(&self, token: &str) -> Value {
        let now = self.now();
        let Some(access) = self.grants.access(token, now) else {
            return json!({"active": self.grants.is_live(token, now)});
        };
        let grant = self.grants.of_code(&access.code);
        let cnf = match &access.binding {
            Binding::None => Value::Null,
            Binding::Key(key) => json!({"jkt": key}),
            Binding::Certificate(certificate) => json!({"x5t#S256": certificate}),
        };
        json!({
            "active": true,
            "client_id": grant.asked.client_id,
            "scope": grant.asked.scope,
            "sub": grant.person,
            "exp": access.ends,
            "cnf": cnf,
        })
    }
}
