//! What was granted: codes, and the tokens that descend from them.

use std::collections::{HashMap, HashSet};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::refusal::{Judged, Refusal};
use super::request::Asked;
use super::rules::Rotation;
use crate::support::loopback::Recorded;
use crate::support::random_token;

/// How long a code may be used, in seconds (FAPI 2.0 Security Profile, section 5.3.2.1).
const CODE_LIFE: i64 = 60;

/// How long an access token is valid, in seconds.
pub const ACCESS_LIFE: i64 = 3600;

/// What a person agreed to.
#[derive(Clone)]
pub struct Grant {
    pub asked: Asked,
    /// Who agreed.
    pub person: String,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// What a token is bound to: the thumbprint of a key or certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Nothing.
    None,
    /// `cnf.jkt` (RFC 9449, section 6).
    Key(String),
    /// `cnf.x5t#S256` (RFC 8705, section 3.1).
    Certificate(String),
}

/// A live access token.
pub struct Access {
    /// The code that it descends from.
    pub code: String,
    pub binding: Binding,
    pub ends: i64,
}

/// A refresh token.
struct Refresh {
    code: String,
    binding: Binding,
    /// The token that this one replaced.
    instead_of: Option<String>,
    is_spent: bool,
}

/// An access and perhaps a refresh token.
pub struct Tokens {
    pub access_token: String,
    pub refresh_token: Option<String>,
}

/// Everything granted so far.
#[derive(Default)]
pub struct Grants {
    granted: HashMap<String, Grant>,
    spent: HashSet<String>,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
}

impl Grants {
    /// A code for what a person agreed to.
    pub fn issue_code(&mut self, grant: Grant) -> String {
        let code = random_token();
        self.granted.insert(code.clone(), grant);
        code
    }

    /// What a code or a token that descends from it is about.
    pub fn of_code(&self, code: &str) -> &Grant {
        &self.granted[code]
    }

    /// The same of a code that may be unknown.
    pub fn find(&self, code: &str) -> Option<&Grant> {
        self.granted.get(code)
    }

    /// Judges the exchange of a code (RFC 6749, section 4.1.3); the code, which is then spent. One that comes
    /// a second time takes its tokens along.
    pub fn spend_code(&mut self, request: &Recorded, client: &str, now: i64) -> Judged<String> {
        let code = request
            .field("code")
            .ok_or_else(|| Refusal::request("code is missing"))?;
        let grant = self
            .granted
            .get(&code)
            .ok_or_else(|| Refusal::grant("the code is unknown"))?;
        if self.spent.contains(&code) {
            self.end(&code);
            return Err(Refusal::grant(
                "the code was used before; its tokens are revoked",
            ));
        }
        if grant.asked.client_id != client {
            return Err(Refusal::grant("the code is another client's"));
        }
        if now > grant.at + CODE_LIFE {
            return Err(Refusal::grant("the code has expired"));
        }
        if request.field("redirect_uri").as_ref() != Some(&grant.asked.redirect_uri) {
            return Err(Refusal::grant("redirect_uri is not that of the request"));
        }
        let Some(verifier) = request.field("code_verifier") else {
            return Err(Refusal::grant("code_verifier is missing"));
        };
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(is_unreserved) {
            return Err(Refusal::grant(
                "code_verifier is not 43 to 128 unreserved characters",
            ));
        }
        if challenge(&verifier) != grant.asked.challenge {
            return Err(Refusal::grant("code_verifier is not that of the challenge"));
        }
        self.spent.insert(code.clone());
        Ok(code)
    }

    /// Judges a refresh (RFC 6749, section 6); the code that the token descends from.
    pub fn spend_refresh_token(
        &mut self,
        token: &str,
        client: &str,
        binding: &Binding,
        rotation: Rotation,
    ) -> Judged<String> {
        let known = self
            .refresh
            .get(token)
            .ok_or_else(|| Refusal::grant("the refresh token is unknown"))?;
        let code = known.code.clone();
        if self.granted[&code].asked.client_id != client {
            return Err(Refusal::grant("the refresh token is another client's"));
        }
        if known.is_spent {
            self.end(&code);
            let why = "the refresh token was used before; the grant is revoked";
            return Err(Refusal::grant(why));
        }
        if known.binding != *binding {
            return Err(Refusal::grant(
                "the refresh token is bound to something else",
            ));
        }
        let before = known.instead_of.clone();
        match rotation {
            Rotation::Never => {}
            Rotation::Strict => self.mark_spent(Some(token)),
            Rotation::Grace => self.mark_spent(before.as_deref()),
        }
        Ok(code)
    }

    fn mark_spent(&mut self, token: Option<&str>) {
        if let Some(token) = token.and_then(|token| self.refresh.get_mut(token)) {
            token.is_spent = true;
        }
    }

    /// New tokens that descend from the code, in place of the refresh token `instead_of`; and what each of the two
    /// is bound to.
    pub fn issue(
        &mut self,
        code: &str,
        [binding, refresh_binding]: [&Binding; 2],
        instead_of: Option<&str>,
        rotation: Rotation,
        now: i64,
    ) -> Tokens {
        let access_token = random_token();
        let access = Access {
            code: code.to_owned(),
            binding: binding.clone(),
            ends: now + ACCESS_LIFE,
        };
        self.access.insert(access_token.clone(), access);
        let is_kept = rotation == Rotation::Never && instead_of.is_some();
        let refresh_token = (!is_kept).then(random_token);
        if let Some(token) = &refresh_token {
            let refresh = Refresh {
                code: code.to_owned(),
                binding: refresh_binding.clone(),
                instead_of: instead_of.map(str::to_owned),
                is_spent: false,
            };
            self.refresh.insert(token.clone(), refresh);
        }
        Tokens {
            access_token,
            refresh_token,
        }
    }

    /// A live access token.
    pub fn access(&self, token: &str, now: i64) -> Option<&Access> {
        self.access.get(token).filter(|it| now < it.ends)
    }

    /// Whether an access or refresh token is live.
    pub fn is_live(&self, token: &str, now: i64) -> bool {
        self.access(token, now).is_some() || self.refresh.get(token).is_some_and(|it| !it.is_spent)
    }

    /// Gives a token of the client's back (RFC 7009): a refresh token takes all of its grant along. An unknown
    /// one is given back already.
    pub fn revoke(&mut self, token: &str, client: &str) {
        let is_own = |code: &str| self.granted[code].asked.client_id == client;
        if let Some(code) = self.refresh.get(token).map(|it| it.code.clone()) {
            if is_own(&code) {
                self.end(&code);
            }
        } else if self.access.get(token).is_some_and(|it| is_own(&it.code)) {
            self.access.remove(token);
        }
    }

    fn end(&mut self, code: &str) {
        self.access.retain(|_, it| it.code != code);
        self.refresh.retain(|_, it| it.code != code);
    }
}

/// The challenge of a verifier (RFC 7636, section 4.2).
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}
