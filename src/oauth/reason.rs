//! What an institution's error code means to the person, the member service and the operator.

use crate::domain::institution::OAuth;
use crate::domain::window::ErrorReason;

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The person, the institution or the gateway is the cause.
    Reason(ErrorReason),
    /// The operator has to correct something before anybody can connect.
    NotSetUp(SetupFault),
}

/// What the operator has to correct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupFault {
    /// The institution refuses this client: its id, its secret, or what it may do there.
    ClientRefused,
    /// There is no trusted connection (TLS) to it.
    Tls,
    /// The configuration keeps the call from being made.
    Configuration,
}

impl SetupFault {
    /// Every one.
    pub const ALL: [SetupFault; 3] = [Self::ClientRefused, Self::Tls, Self::Configuration];

    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientRefused => "client_refused",
            Self::Tls => "tls",
            Self::Configuration => "configuration",
        }
    }
}

/// What `error`, the code of an authorization response (RFC 6749 section 4.1.2.1, OpenID Connect Core
/// section 3.1.2.6), means.
///
/// The institution's own map comes first: many say `access_denied` for a failed sign-in too.
pub fn of_authorization(oauth: &OAuth, error: &str) -> Meaning {
    named(oauth, error).unwrap_or(Meaning::Reason(match error {
        "access_denied" => ErrorReason::Cancelled,
        "login_required" => ErrorReason::Denied,
        "interaction_required" | "consent_required" | "account_selection_required" => {
            ErrorReason::Impeded
        }
        // Known or not, everything else is between the institution and us: temporarily_unavailable,
        // server_error, invalid_scope, unsupported_response_type, invalid_request, …
        _ => ErrorReason::ProviderError,
    }))
}

/// What `error`, the code in the response to a call of ours (RFC 6749 section 5.2, RFC 6750 section 3.1),
/// means: the same, except for errors that only a person can cause.
pub fn of_call(oauth: &OAuth, error: &str) -> Meaning {
    named(oauth, error).unwrap_or(Meaning::Reason(ErrorReason::ProviderError))
}

/// What an error in the response to a refresh means for the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshMeaning {
    /// The institution does not take it: the consent was withdrawn or has ended, or the token was used before.
    Refused,
    /// It may have been used up, or not.
    Unknown,
    /// It was not used: nothing arrived, or the institution did not look at it.
    NotAsked,
    /// It was not used: the institution refuses this client, and the operator has to correct that.
    ClientRefused,
}

/// What `error`, the code in the response to a refresh (RFC 6749 section 5.2), means. The institution's own map has the
/// last word on which errors only the person can correct.
pub fn of_refresh(oauth: &OAuth, error: &str) -> RefreshMeaning {
    match named(oauth, error) {
        Some(Meaning::NotSetUp(_)) => return RefreshMeaning::ClientRefused,
        Some(Meaning::Reason(
            ErrorReason::Cancelled | ErrorReason::Denied | ErrorReason::Impeded,
        )) => return RefreshMeaning::Refused,
        Some(Meaning::Reason(_)) => return RefreshMeaning::Unknown,
        None => {}
    }
    match error {
        "invalid_grant"
        | "access_denied"
        | "login_required"
        | "interaction_required"
        | "consent_required" => RefreshMeaning::Refused,
        // server_error, temporarily_unavailable, invalid_request, …: nothing is known about the token.
        _ => RefreshMeaning::Unknown,
    }
}

/// What means the same wherever it comes from: the codes in the institution's own map, and that the
/// institution refuses this client.
fn named(oauth: &OAuth, error: &str) -> Option<Meaning> {
    let mapped = oauth.error_map.get(error).copied().map(Meaning::Reason);
    mapped.or(match error {
        "invalid_client" | "unauthorized_client" => {
            Some(Meaning::NotSetUp(SetupFault::ClientRefused))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::test_support::oauth;
    use super::*;

    #[test]
    fn c10_each_error_has_its_reason_and_the_institution_has_the_last_word() {
        let mut oauth = oauth(&"https://bank.example".parse().unwrap());
        for (error, expected) in [
            ("access_denied", ErrorReason::Cancelled),
            ("login_required", ErrorReason::Denied),
            ("interaction_required", ErrorReason::Impeded),
            ("consent_required", ErrorReason::Impeded),
            ("account_selection_required", ErrorReason::Impeded),
            ("temporarily_unavailable", ErrorReason::ProviderError),
            ("server_error", ErrorReason::ProviderError),
            ("invalid_scope", ErrorReason::ProviderError),
            ("never_heard_of", ErrorReason::ProviderError),
            ("", ErrorReason::ProviderError),
        ] {
            assert_eq!(
                of_authorization(&oauth, error),
                Meaning::Reason(expected),
                "{error}"
            );
        }
        let own = [
            ("access_denied", ErrorReason::Denied),
            ("x_locked", ErrorReason::Impeded),
        ];
        oauth.error_map = own.map(|(error, reason)| (error.to_owned(), reason)).into();
        let of = |error| of_authorization(&oauth, error);
        assert_eq!(of("access_denied"), Meaning::Reason(ErrorReason::Denied));
        assert_eq!(of("x_locked"), Meaning::Reason(ErrorReason::Impeded));
        assert_eq!(of("login_required"), Meaning::Reason(ErrorReason::Denied));
    }

    #[test]
    fn a_refused_client_is_the_operators_to_mend_unless_the_institutions_file_says_otherwise() {
        let mut oauth = oauth(&"https://bank.example".parse().unwrap());
        for error in ["invalid_client", "unauthorized_client"] {
            let expected = Meaning::NotSetUp(SetupFault::ClientRefused);
            assert_eq!(of_authorization(&oauth, error), expected);
            assert_eq!(of_call(&oauth, error), expected);
        }
        let denied = Meaning::Reason(ErrorReason::Denied);
        oauth.error_map = [("invalid_client".to_owned(), ErrorReason::Denied)].into();
        assert_eq!(of_call(&oauth, "invalid_client"), denied);
        assert_eq!(of_authorization(&oauth, "invalid_client"), denied);
        let provider = Meaning::Reason(ErrorReason::ProviderError);
        assert_eq!(of_call(&oauth, "access_denied"), provider);
    }
}
