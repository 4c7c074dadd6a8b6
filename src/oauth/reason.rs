//! What an institution's error code means to the person and the member service.

use crate::domain::institution::OAuth;
use crate::domain::window::ErrorReason;

/// The reason that `error`, the code of an authorization answer (RFC 6749 section 4.1.2.1, OpenID
/// Connect Core section 3.1.2.6), stands for.
///
/// The institution's own map comes first: many say `access_denied` for a failed sign-in too.
pub fn reason(oauth: &OAuth, error: &str) -> ErrorReason {
    mapped(oauth, error).unwrap_or(match error {
        "access_denied" => ErrorReason::Cancelled,
        "login_required" => ErrorReason::Denied,
        "interaction_required" | "consent_required" | "account_selection_required" => {
            ErrorReason::Impeded
        }
        // Known or not, everything else is between the institution and us: temporarily_unavailable,
        // server_error, invalid_scope, unauthorized_client, unsupported_response_type,
        // invalid_request, …
        _ => ErrorReason::ProviderError,
    })
}

/// What the institution's own map says about `error`.
pub(super) fn mapped(oauth: &OAuth, error: &str) -> Option<ErrorReason> {
    oauth.error_map.get(error).copied()
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
            assert_eq!(reason(&oauth, error), expected, "{error}");
        }
        let own = [
            ("access_denied", ErrorReason::Denied),
            ("x_locked", ErrorReason::Impeded),
        ];
        oauth.error_map = own.map(|(error, reason)| (error.to_owned(), reason)).into();
        assert_eq!(reason(&oauth, "access_denied"), ErrorReason::Denied);
        assert_eq!(reason(&oauth, "x_locked"), ErrorReason::Impeded);
        assert_eq!(reason(&oauth, "login_required"), ErrorReason::Denied);
    }
}
