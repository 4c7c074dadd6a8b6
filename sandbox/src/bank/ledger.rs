//! Logins under way, codes, and grants: the bank's records, and their rules.
//!
//! A login under way (`Login`) becomes a code once the person agrees, and the code becomes tokens
//! once, within a minute, for the client, redirect address and PKCE verifier it belongs to. All
//! tokens that come from one consent share one grant and end with it.

use std::collections::HashSet;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::outcome::Outcome;
use crate::bounded::Bounded;
use crate::wire::random_token;

/// The most entries of each kind that are kept.
const CAPACITY: usize = 20_000;
/// How long a person may take over the pages.
const LOGIN_LIFE: SignedDuration = SignedDuration::from_mins(15);
/// How long a code can be exchanged.
const CODE_LIFE: SignedDuration = SignedDuration::from_secs(60);
/// How long a code is remembered, so that its second use is noticed.
const CODE_MEMORY: SignedDuration = SignedDuration::from_mins(15);
/// How long a grant can be refreshed.
const GRANT_LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The same, where the bank's consents are short.
const SHORT_LIFE: SignedDuration = SignedDuration::from_secs(90);

/// What a client asked for, checked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) institution: String,
    pub(super) client: String,
    pub(super) redirect_uri: String,
    /// The PKCE challenge, method S256.
    pub(super) challenge: String,
    pub(super) scope: String,
}

/// Who agreed, and to what.
#[derive(Debug, Clone)]
pub(super) struct Consent {
    pub(super) subject: String,
    pub(super) outcome: Outcome,
    /// How long each access token works.
    pub(super) access_life: SignedDuration,
    /// The ids of the accounts that were ticked.
    pub(super) accounts: Vec<String>,
}

/// A grant: what one consent gave, for as long as it is not revoked.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) institution: String,
    /// The OAuth client it was given to; none where the person's own password was used.
    pub(super) client: Option<String>,
    pub(super) scope: String,
    pub(super) consent: Consent,
    since: Timestamp,
    /// Whether a refresh was tried.
    pub(super) refreshed: bool,
    revoked: bool,
}

impl Grant {
    /// When the consent ends by itself, where that is told to the client.
    pub(super) fn told_end(&self) -> Option<Timestamp> {
        let is_told = self.consent.outcome == Outcome::ShortConsent;
        is_told.then(|| self.since + SHORT_LIFE)
    }

    fn is_good(&self, now: Timestamp) -> bool {
        let life = match self.consent.outcome {
            Outcome::ShortConsent => SHORT_LIFE,
            // Behind the client's back, when the first access token ends.
            Outcome::RevokedThere => self.consent.access_life,
            _ => GRANT_LIFE,
        };
        !self.revoked && now.duration_since(self.since) <= life
    }

    /// The day of the consent (UTC), which the transactions are dated from.
    pub(super) fn day(&self) -> Date {
        TimeZone::UTC.to_datetime(self.since).date()
    }
}

#[derive(Debug)]
struct Code {
    asked: Asked,
    consent: Consent,
    issued: Timestamp,
    /// The grant that the exchanged code became.
    used: Option<String>,
}

#[derive(Debug)]
struct Access {
    grant: String,
    since: Timestamp,
    /// Whether its grant was refreshed already when it was issued.
    refreshed: bool,
}

#[derive(Debug)]
struct Refresh {
    grant: String,
    used: bool,
}

/// The parameters of a token request with a code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Redemption<'a> {
    pub(super) institution: &'a str,
    pub(super) client: &'a str,
    pub(super) code: &'a str,
    pub(super) redirect_uri: &'a str,
    pub(super) verifier: &'a str,
}

/// What a token response is made of.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    pub(super) access: String,
    pub(super) refresh: Option<String>,
    /// What they belong to, as it was when they were issued.
    pub(super) grant: Grant,
}

/// Why a code or a refresh token brings nothing. All but `Failed` are `invalid_grant` to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("the code or token is not known")]
    Unknown,
    #[error("the code has expired")]
    Expired,
    #[error("the code has been used before; what it gave is revoked")]
    Reused,
    #[error("the redirect_uri is not the one of the authorization request")]
    RedirectUri,
    #[error("the code_verifier does not fit the code_challenge")]
    Verifier,
    #[error("the refresh token has been used before; what it belongs to is revoked")]
    RefreshReused,
    #[error("the grant has been revoked or has ended")]
    Revoked,
    #[error("everybody is refused for the time being")]
    Everybody,
    #[error("the bank has a problem; nothing has changed")]
    Failed,
}

/// The bank's memory. Bounded; gone with the process.
#[derive(Debug)]
pub(super) struct Ledger<L> {
    /// Logins under way, by the handle that their forms carry.
    pub(super) logins: Bounded<String, L>,
    codes: Bounded<String, Code>,
    grants: Bounded<String, Grant>,
    access: Bounded<String, Access>,
    refresh: Bounded<String, Refresh>,
    /// The institutions that refuse every refresh for the time being.
    refusing: HashSet<String>,
}

impl<L> Ledger<L> {
    pub(super) fn new() -> Self {
        Self {
            logins: Bounded::new(CAPACITY, LOGIN_LIFE),
            codes: Bounded::new(CAPACITY, CODE_MEMORY),
            grants: Bounded::new(CAPACITY, GRANT_LIFE),
            access: Bounded::new(CAPACITY, GRANT_LIFE),
            refresh: Bounded::new(CAPACITY, GRANT_LIFE),
            refusing: HashSet::new(),
        }
    }

    /// Issues a code for what was asked and agreed to.
    pub(super) fn issue_code(&mut self, asked: Asked, consent: Consent, now: Timestamp) -> String {
        let code = random_token();
        let kept = Code {
            asked,
            consent,
            issued: now,
            used: None,
        };
        self.codes.insert(code.clone(), kept, now);
        code
    }

    /// Exchanges a code.
    ///
    /// The right client has one try: a wrong verifier or redirect URI uses up the code as well. A request
    /// of another client changes nothing. A second use revokes the tokens of the first one (RFC 6749,
    /// section 4.1.2).
    pub(super) fn redeem(
        &mut self,
        attempt: Redemption<'_>,
        now: Timestamp,
    ) -> Result<Tokens, Refused> {
        let code = self
            .codes
            .get_mut(attempt.code, now)
            .filter(|code| code.asked.client == attempt.client)
            .filter(|code| code.asked.institution == attempt.institution)
            .ok_or(Refused::Unknown)?;
        if let Some(grant) = code.used.clone() {
            self.revoke_grant(&grant, now);
            return Err(Refused::Reused);
        }
        let id = random_token();
        code.used = Some(id.clone());
        if now.duration_since(code.issued) > CODE_LIFE {
            return Err(Refused::Expired);
        }
        if code.asked.redirect_uri != attempt.redirect_uri {
            return Err(Refused::RedirectUri);
        }
        if !fits(attempt.verifier, &code.asked.challenge) {
            return Err(Refused::Verifier);
        }
        let grant = Grant {
            institution: code.asked.institution.clone(),
            client: Some(code.asked.client.clone()),
            scope: code.asked.scope.clone(),
            consent: code.consent.clone(),
            since: now,
            refreshed: false,
            revoked: false,
        };
        self.grants.insert(id.clone(), grant.clone(), now);
        Ok(self.issue_tokens(id, grant, now))
    }

    /// An access token for somebody who signed in by name and password. It cannot be refreshed.
    pub(super) fn let_in(&mut self, institution: &str, consent: Consent, now: Timestamp) -> String {
        let id = random_token();
        let grant = Grant {
            institution: institution.to_owned(),
            client: None,
            scope: String::new(),
            consent,
            since: now,
            refreshed: false,
            revoked: false,
        };
        self.grants.insert(id.clone(), grant, now);
        self.issue_access(id, false, now)
    }

    /// Exchanges a refresh token for new tokens. It works once; a second use revokes the grant
    /// (RFC 9700, section 4.14.2), unless the person chose a bank that is not so strict.
    pub(super) fn refresh(
        &mut self,
        institution: &str,
        client: &str,
        token: &str,
        now: Timestamp,
    ) -> Result<Tokens, Refused> {
        let kept = self.refresh.get_mut(token, now).ok_or(Refused::Unknown)?;
        let id = kept.grant.clone();
        let grant = self.grants.get_mut(&id, now).ok_or(Refused::Unknown)?;
        if grant.client.as_deref() != Some(client) || grant.institution != institution {
            return Err(Refused::Unknown);
        }
        if self.refusing.contains(institution) {
            return Err(Refused::Everybody);
        }
        if !grant.is_good(now) {
            return Err(Refused::Revoked);
        }
        if kept.used {
            grant.revoked = true;
            return Err(Refused::RefreshReused);
        }
        let outcome = grant.consent.outcome;
        let is_first = !std::mem::replace(&mut grant.refreshed, true);
        if is_first && outcome == Outcome::Refresh500Once {
            return Err(Refused::Failed);
        }
        kept.used = !matches!(outcome, Outcome::NoRotation | Outcome::TwoLiveRefreshTokens);
        grant.revoked = outcome == Outcome::RevokedThere;
        let grant = grant.clone();
        Ok(self.issue_tokens(id, grant, now))
    }

    /// Makes an institution refuse every refresh, or no longer. Its grants stay as they are.
    pub(super) fn refuse_all(&mut self, institution: &str, on: bool) {
        if on {
            self.refusing.insert(institution.to_owned());
        } else {
            self.refusing.remove(institution);
        }
    }

    /// Revokes a token of this client, and with a refresh token all that belongs to its grant
    /// (RFC 7009, section 2.1). Tokens that are unknown or another client's are left alone. Returns
    /// whether there was something to revoke.
    pub(super) fn revoke(&mut self, client: &str, token: &str, now: Timestamp) -> bool {
        let is_owner = |id: &String| {
            let grant = self.grants.get(id, now);
            grant.is_some_and(|grant| grant.client.as_deref() == Some(client))
        };
        if let Some(kept) = self.refresh.get(token, now) {
            let id = kept.grant.clone();
            is_owner(&id) && self.revoke_grant(&id, now)
        } else {
            let access = self.access.get(token, now);
            access.is_some_and(|access| is_owner(&access.grant))
                && self.access.remove(token, now).is_some()
        }
    }

    /// The grant of an access token at this institution, while that is valid. Whether it was refreshed
    /// is as when the token was issued.
    pub(super) fn granted(&self, institution: &str, token: &str, now: Timestamp) -> Option<Grant> {
        let access = self.access.get(token, now)?;
        let grant = self.grants.get(&access.grant, now)?;
        let good = grant.is_good(now)
            && grant.institution == institution
            && now.duration_since(access.since) <= grant.consent.access_life;
        good.then(|| Grant {
            refreshed: access.refreshed,
            ..grant.clone()
        })
    }

    fn issue_tokens(&mut self, id: String, grant: Grant, now: Timestamp) -> Tokens {
        let has_refresh = match grant.consent.outcome {
            Outcome::NoRefreshToken => false,
            Outcome::NoRotation => !grant.refreshed,
            _ => true,
        };
        let refresh = has_refresh.then(|| {
            let refresh = random_token();
            let kept = Refresh {
                grant: id.clone(),
                used: false,
            };
            self.refresh.insert(refresh.clone(), kept, now);
            refresh
        });
        Tokens {
            access: self.issue_access(id, grant.refreshed, now),
            refresh,
            grant,
        }
    }

    fn issue_access(&mut self, grant: String, refreshed: bool, now: Timestamp) -> String {
        let access = random_token();
        let kept = Access {
            grant,
            since: now,
            refreshed,
        };
        self.access.insert(access.clone(), kept, now);
        access
    }

    /// Returns whether it was not revoked already.
    fn revoke_grant(&mut self, id: &str, now: Timestamp) -> bool {
        let grant = self.grants.get_mut(id, now);
        grant.is_some_and(|grant| !std::mem::replace(&mut grant.revoked, true))
    }
}

/// Whether the challenge is the S256 transformation of the verifier (RFC 7636, section 4.6).
fn fits(verifier: &str, challenge: &str) -> bool {
    let computed = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    verify_slices_are_equal(computed.as_bytes(), challenge.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn with_code() -> (Ledger<()>, String) {
        with_code_for(Outcome::Connected)
    }

    fn with_code_for(outcome: Outcome) -> (Ledger<()>, String) {
        let mut ledger = Ledger::new();
        let asked = Asked {
            institution: "bank".to_owned(),
            client: "client".to_owned(),
            redirect_uri: "https://client.example/back".to_owned(),
            challenge: CHALLENGE.to_owned(),
            scope: "accounts".to_owned(),
        };
        let consent = Consent {
            subject: "sub-1".to_owned(),
            outcome,
            access_life: SignedDuration::from_hours(1),
            accounts: Vec::new(),
        };
        let code = ledger.issue_code(asked, consent, at(0));
        (ledger, code)
    }

    fn good(code: &str) -> Redemption<'_> {
        Redemption {
            institution: "bank",
            client: "client",
            code,
            redirect_uri: "https://client.example/back",
            verifier: VERIFIER,
        }
    }

    fn refresh_of(tokens: &Tokens) -> &str {
        tokens.refresh.as_deref().expect("a refresh token")
    }

    #[test]
    fn a_code_lives_a_minute() {
        let (mut ledger, code) = with_code();
        assert!(ledger.redeem(good(&code), at(60)).is_ok());
        let (mut ledger, code) = with_code();
        assert_eq!(
            ledger.redeem(good(&code), at(61)).err(),
            Some(Refused::Expired)
        );
    }

    #[test]
    fn another_client_or_institution_cannot_use_a_code_up() {
        let (mut ledger, code) = with_code();
        let thief = Redemption {
            client: "thief",
            ..good(&code)
        };
        assert_eq!(ledger.redeem(thief, at(1)).err(), Some(Refused::Unknown));
        let elsewhere = Redemption {
            institution: "other",
            ..good(&code)
        };
        assert_eq!(
            ledger.redeem(elsewhere, at(1)).err(),
            Some(Refused::Unknown)
        );
        assert!(ledger.redeem(good(&code), at(1)).is_ok());
    }

    #[test]
    fn an_access_token_lives_an_hour_and_a_refresh_token_longer() {
        let (mut ledger, code) = with_code();
        let tokens = ledger.redeem(good(&code), at(0)).expect("tokens");
        assert!(ledger.granted("bank", &tokens.access, at(3_600)).is_some());
        assert!(ledger.granted("bank", &tokens.access, at(3_601)).is_none());
        let fresh = ledger.refresh("bank", "client", refresh_of(&tokens), at(3_601));
        let fresh = fresh.expect("new tokens");
        assert!(ledger.granted("bank", &fresh.access, at(3_601)).is_some());
        assert!(ledger.granted("other", &fresh.access, at(3_601)).is_none());
    }

    #[test]
    fn short_consent_ends_when_it_says() {
        let (mut ledger, code) = with_code_for(Outcome::ShortConsent);
        let tokens = ledger.redeem(good(&code), at(0)).expect("tokens");
        let fresh = ledger.refresh("bank", "client", refresh_of(&tokens), at(90));
        let fresh = fresh.expect("new tokens");
        assert_eq!(
            fresh.grant.told_end(),
            Some(at(90)),
            "a refresh adds nothing"
        );
        assert!(ledger.granted("bank", &fresh.access, at(90)).is_some());
        assert!(ledger.granted("bank", &fresh.access, at(91)).is_none());
        let refused = ledger.refresh("bank", "client", refresh_of(&fresh), at(91));
        assert_eq!(refused.err(), Some(Refused::Revoked));
    }

    #[test]
    fn whoever_was_let_in_by_password_owes_nothing_to_a_client() {
        let mut ledger = Ledger::<()>::new();
        let consent = Consent {
            subject: "sub-1".to_owned(),
            outcome: Outcome::Connected,
            access_life: SignedDuration::from_hours(1),
            accounts: Vec::new(),
        };
        let access = ledger.let_in("bank", consent, at(0));
        ledger.revoke("client", &access, at(1));
        ledger.revoke("", &access, at(1));
        assert!(ledger.granted("bank", &access, at(3_600)).is_some());
        assert!(ledger.granted("other", &access, at(1)).is_none());
        assert!(ledger.granted("bank", &access, at(3_601)).is_none());
    }

    #[test]
    fn revoking_is_for_the_owner_only() {
        let (mut ledger, code) = with_code();
        let tokens = ledger.redeem(good(&code), at(0)).expect("tokens");
        ledger.revoke("thief", &tokens.access, at(1));
        ledger.revoke("thief", refresh_of(&tokens), at(1));
        assert!(ledger.granted("bank", &tokens.access, at(1)).is_some());
        ledger.revoke("client", &tokens.access, at(1));
        assert!(ledger.granted("bank", &tokens.access, at(1)).is_none());
        let fresh = ledger.refresh("bank", "client", refresh_of(&tokens), at(1));
        let fresh = fresh.expect("the grant is still there");
        ledger.revoke("client", refresh_of(&fresh), at(2));
        assert!(ledger.granted("bank", &fresh.access, at(2)).is_none());
        let refused = ledger.refresh("bank", "client", refresh_of(&fresh), at(2));
        assert_eq!(refused.err(), Some(Refused::Revoked));
    }
}
