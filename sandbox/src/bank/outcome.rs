//! What the typed password does.

use jiff::SignedDuration;

use Outcome::*;

/// Each password that means something, what it leads to in words, and what it does. The first row
/// is for every other password. That a refresh token which is used again ends its grant has no row:
/// the bank does that to everybody, but for the rows that say otherwise.
const TABLE: &[(&str, &str, Outcome)] = &[
    ("anything else", "connects", Connected),
    (
        "cancel",
        "the person declines: error access_denied, at once",
        Cancel,
    ),
    (
        "wrong",
        "the password is wrong; giving up ends with the error login_required",
        WrongPassword,
    ),
    (
        "locked",
        "the account is locked: error interaction_required",
        Locked,
    ),
    (
        "provider_error",
        "the bank fails: error server_error",
        ProviderError,
    ),
    (
        "no_without_state",
        "the person declines, and the authorization response has no state",
        NoWithoutState,
    ),
    (
        "empty_return",
        "the bank sends the person back with nothing",
        EmptyReturn,
    ),
    (
        "state_only",
        "the bank's own time is over: it sends the state alone",
        StateOnly,
    ),
    ("slow", "the token endpoint takes three seconds", SlowToken),
    (
        "expired_code",
        "the token endpoint says invalid_grant",
        ExpiredCode,
    ),
    ("token_500", "the token response has status 500", TokenFails),
    ("html", "the token response is an HTML page", TokenIsHtml),
    (
        "no_accounts",
        "connects, but there are no accounts",
        NoAccounts,
    ),
    (
        "revoked",
        "connects, but reading the accounts is refused with 401",
        Revoked,
    ),
    (
        "refresh_500_once",
        "the first refresh is answered with 500 and changes nothing; the next one works",
        Refresh500Once,
    ),
    (
        "rotate_then_500",
        "a refresh uses its refresh token up and is answered with 500",
        RotateThen500,
    ),
    (
        "rotate_then_504",
        "a refresh uses its refresh token up and is answered with 504",
        RotateThen504,
    ),
    (
        "rotate_then_hang",
        "a refresh uses its refresh token up and is not answered for a minute",
        RotateThenHang,
    ),
    (
        "rotate_bad_id_token",
        "a refresh brings new tokens and an ID token that cannot be verified",
        RotateBadIdToken,
    ),
    (
        "no_rotation",
        "a refresh brings no refresh token; the first one stays good",
        NoRotation,
    ),
    (
        "two_live_refresh_tokens",
        "a refresh brings a refresh token, and earlier ones stay good too",
        TwoLiveRefreshTokens,
    ),
    (
        "no_refresh_token",
        "the token response has no refresh token",
        NoRefreshToken,
    ),
    (
        "no_expires_in",
        "token responses do not say that access tokens end, but they do",
        NoExpiresIn,
    ),
    (
        "short_consent",
        "the consent ends after 90 seconds, as the token response says",
        ShortConsent,
    ),
    (
        "revoked_there",
        "the grant is revoked once its first access token has ended or was refreshed",
        RevokedThere,
    ),
    (
        "refuse_pull_once",
        "reading the accounts is refused with 401 until the access token was refreshed",
        RefusePullOnce,
    ),
    (
        "over_quota",
        "reading the accounts is refused with 429",
        OverQuota,
    ),
];

/// The passwords that mean something, and what each leads to. The user name never matters, except
/// that the same name is the same person with the same accounts.
pub const PASSWORDS: &[(&str, &str)] = &{
    let mut rows = [("", ""); TABLE.len()];
    let mut at = 0;
    while at < rows.len() {
        rows[at] = (TABLE[at].0, TABLE[at].1);
        at += 1;
    }
    rows
};

/// The longest that a password can make access tokens live, in seconds.
const LONGEST: u16 = 3600;

/// What somebody typed as password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Typed {
    pub(super) outcome: Outcome,
    /// How long access tokens live, if not as long as is usual at the institution.
    pub(super) access_life: Option<SignedDuration>,
}

impl Typed {
    /// Reads the password: one of the table, and `:N` if access tokens are to live N seconds.
    pub(super) fn read(password: &str) -> Self {
        let (word, seconds) = match password.rsplit_once(':').map(|(word, n)| (word, n.parse())) {
            Some((word, Ok(seconds @ 1..=LONGEST))) => (word, Some(seconds)),
            _ => (password, None),
        };
        Self {
            outcome: Outcome::of_password(word),
            access_life: seconds.map(|seconds| SignedDuration::from_secs(seconds.into())),
        }
    }
}

/// What happens to one authorization and to the grant that it becomes, from the password on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Connected,
    Cancel,
    WrongPassword,
    Locked,
    ProviderError,
    NoWithoutState,
    EmptyReturn,
    StateOnly,
    SlowToken,
    ExpiredCode,
    TokenFails,
    TokenIsHtml,
    NoAccounts,
    Revoked,
    Refresh500Once,
    RotateThen500,
    RotateThen504,
    RotateThenHang,
    RotateBadIdToken,
    NoRotation,
    TwoLiveRefreshTokens,
    NoRefreshToken,
    NoExpiresIn,
    ShortConsent,
    RevokedThere,
    RefusePullOnce,
    OverQuota,
}

impl Outcome {
    /// What this word of the table does. Case matters, as with any password.
    fn of_password(password: &str) -> Self {
        let row = TABLE.iter().find(|(word, ..)| *word == password);
        row.map_or(Connected, |(.., outcome)| *outcome)
    }

    /// The error and its description, for the outcomes that end the login at once (RFC 6749,
    /// section 4.1.2.1, and OpenID Connect Core, section 3.1.2.6).
    pub(super) fn refusal(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Cancel => Some(("access_denied", "the person declined")),
            Self::Locked => Some(("interaction_required", "account locked")),
            Self::ProviderError => Some(("server_error", "the bank has a problem")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_password_does_something_of_its_own() {
        let mut seen = Vec::new();
        for (password, _) in PASSWORDS {
            let outcome = Outcome::of_password(password);
            assert!(!seen.contains(&outcome), "{password} is like another one");
            seen.push(outcome);
        }
        assert_eq!(seen.first(), Some(&Connected));
        assert_eq!(Outcome::of_password("sesame"), Connected);
        assert_eq!(Outcome::of_password("Locked"), Connected, "case matters");
    }

    #[test]
    fn a_password_may_say_how_long_access_tokens_live() {
        for (password, outcome, seconds) in [
            ("html", TokenIsHtml, None),
            ("html:2", TokenIsHtml, Some(2)),
            ("sesame:1", Connected, Some(1)),
            (":3600", Connected, Some(3600)),
            ("html:0", Connected, None),
            ("html:3601", Connected, None),
            ("html:99999", Connected, None),
            ("html:", Connected, None),
            ("html:two", Connected, None),
            ("my:pass", Connected, None),
        ] {
            let access_life = seconds.map(SignedDuration::from_secs);
            let expected = Typed {
                outcome,
                access_life,
            };
            assert_eq!(Typed::read(password), expected, "{password}");
        }
    }

    #[test]
    fn the_readme_has_the_same_passwords() {
        let readme = include_str!("../../../README.md");
        let (_, table) = readme
            .split_once("| password | what happens | the OAuth state |")
            .expect("the table");
        let rows = table.lines().skip(2).map_while(|line| {
            let (word, _) = line.strip_prefix("| ")?.split_once(" |")?;
            Some(word.trim_matches('`'))
        });
        let words = PASSWORDS.iter().map(|(word, _)| *word);
        assert_eq!(rows.collect::<Vec<_>>(), words.collect::<Vec<_>>());
    }
}
