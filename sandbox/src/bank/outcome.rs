//! What the typed password does.

/// The passwords that mean something, and what each leads to. The user name never matters, except
/// that the same name is the same person with the same accounts.
pub const PASSWORDS: &[(&str, &str)] = &[
    ("anything else", "connects"),
    (
        "cancel",
        "the person declines: error access_denied, at once",
    ),
    (
        "wrong",
        "the password is wrong; giving up ends with the error login_required",
    ),
    (
        "locked",
        "the account is locked: error interaction_required",
    ),
    ("provider_error", "the bank fails: error server_error"),
    (
        "no_without_state",
        "the person declines, and the authorization response has no state",
    ),
    (
        "empty_return",
        "the bank sends the person back with nothing",
    ),
    (
        "state_only",
        "the bank's own time is over: it sends the state alone",
    ),
    ("slow", "the token endpoint takes three seconds"),
    ("expired_code", "the token endpoint says invalid_grant"),
    ("token_500", "the token response has status 500"),
    ("html", "the token response is an HTML page"),
    ("no_accounts", "connects, but there are no accounts"),
    (
        "revoked",
        "connects, but reading the accounts is refused with 401",
    ),
];

/// What happens to one authorization, from the password on.
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
}

impl Outcome {
    /// Reads the password. Case matters, as with any password.
    pub(super) fn of_password(password: &str) -> Self {
        match password {
            "cancel" => Self::Cancel,
            "wrong" => Self::WrongPassword,
            "locked" => Self::Locked,
            "provider_error" => Self::ProviderError,
            "no_without_state" => Self::NoWithoutState,
            "empty_return" => Self::EmptyReturn,
            "state_only" => Self::StateOnly,
            "slow" => Self::SlowToken,
            "expired_code" => Self::ExpiredCode,
            "token_500" => Self::TokenFails,
            "html" => Self::TokenIsHtml,
            "no_accounts" => Self::NoAccounts,
            "revoked" => Self::Revoked,
            _ => Self::Connected,
        }
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
        assert_eq!(seen.first(), Some(&Outcome::Connected));
        assert_eq!(seen.len(), 14, "and there is no outcome without a password");
    }
}
