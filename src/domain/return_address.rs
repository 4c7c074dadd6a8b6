//! Where a person goes after the flow: registered addresses, schemes, and what is added to them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

use super::error_reason::ErrorReason;
use super::id::MemberGuid;
use super::scheme::{InvalidScheme, Scheme};
use super::secret::CompletionHandle;

/// Where the flow ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnTo {
    /// Our own completion page.
    #[default]
    Page,
    /// An address of the client's, as given at mint.
    Address(String),
    /// The client's app, by its URI scheme.
    Scheme(Scheme),
}

/// Text that cannot be a return address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReturn {
    /// Not an absolute URL.
    #[error("{0:?} is not an absolute URL without spaces, control characters or backslashes")]
    NotAbsolute(String),
    /// A fragment would carry or hide parameters.
    #[error("{0:?} has a fragment (#…), which a return address may not have")]
    Fragment(String),
    /// User information in an address misleads people about its host.
    #[error("{0:?} has a user name or password in it, which a return address may not have")]
    UserInfo(String),
    /// A plain http address of another machine.
    #[error("{0:?} is plain http; only https, or http on loopback, may be a return address")]
    PlainHttp(String),
    /// Its scheme cannot be an app's.
    #[error(transparent)]
    Scheme(#[from] InvalidScheme),
}

/// An address that a client registered as a place to return to: https, http on loopback, or a
/// [`Scheme`] of an app.
///
/// An address at mint matches if it is the registered one byte for byte up to its `?`; any query may
/// follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnAddress(String);

impl ReturnAddress {
    /// The address as registered.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The scheme of the app it leads to; `None` if it leads to a website.
    pub fn scheme(&self) -> Option<Scheme> {
        let (scheme, _) = self.0.split_once(':')?;
        scheme.parse().ok()
    }

    /// Whether `candidate`, as [`requested`] at mint, is this address with any query.
    pub fn admits(&self, candidate: &str) -> bool {
        is_clean(candidate)
            && !candidate.contains('#')
            && up_to_query(candidate) == up_to_query(&self.0)
    }
}

impl FromStr for ReturnAddress {
    type Err = InvalidReturn;

    fn from_str(text: &str) -> Result<Self, InvalidReturn> {
        let url = Url::parse(text).ok().filter(|_| is_clean(text));
        let url = url.ok_or_else(|| InvalidReturn::NotAbsolute(text.to_owned()))?;
        if text.contains('#') {
            return Err(InvalidReturn::Fragment(text.to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidReturn::UserInfo(text.to_owned()));
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => return Err(InvalidReturn::PlainHttp(text.to_owned())),
            scheme => {
                Scheme::from_str(scheme)?;
            }
        }
        Ok(Self(text.to_owned()))
    }
}

/// An address of a request, in the form that is matched and stored: spaces and non-ASCII characters in
/// its query are percent-encoded, as browsers do; nothing else is changed.
///
/// # Errors
///
/// [`InvalidReturn`] for a control character, a backslash or a fragment, which no registered address
/// can be followed by.
pub fn requested(text: &str) -> Result<String, InvalidReturn> {
    if text.contains('#') {
        return Err(InvalidReturn::Fragment(text.to_owned()));
    }
    let (base, query) = text.split_at(up_to_query(text).len());
    let mut address = base.to_owned();
    for byte in query.bytes() {
        match byte {
            b' ' | 0x80.. => address.push_str(&format!("%{byte:02X}")),
            ascii => address.push(char::from(ascii)),
        }
    }
    match is_clean(&address) {
        true => Ok(address),
        false => Err(InvalidReturn::NotAbsolute(text.to_owned())),
    }
}

/// Whether it has only characters that all URL parsers read in the same way.
fn is_clean(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

fn up_to_query(address: &str) -> &str {
    address
        .split_once('?')
        .map_or(address, |(before, _)| before)
}

impl<'de> Deserialize<'de> for ReturnAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether `url` names this machine: `localhost` or a loopback address.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// How a flow ended, or that it waits for its confirmation, for the return address.
#[derive(Clone, Copy)]
pub struct Outcome<'a> {
    /// The member that is connected, or that the flow was about.
    pub member: MemberGuid,
    /// The member that the link was made for, if another one is connected.
    pub outbound: Option<MemberGuid>,
    /// How it stands.
    pub standing: Standing<'a>,
}

/// How a flow stands when a person leaves it.
#[derive(Clone, Copy)]
pub enum Standing<'a> {
    /// The member is connected.
    Succeeded,
    /// It failed.
    Failed(ErrorReason),
    /// The member service has to confirm it with that handle.
    Pending(&'a CompletionHandle),
}

impl Standing<'_> {
    /// Of a flow that has ended.
    pub fn ended(error: Option<ErrorReason>) -> Self {
        error.map_or(Self::Succeeded, Self::Failed)
    }
}

impl Outcome<'_> {
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let status = match self.standing {
            Standing::Succeeded => "success",
            Standing::Failed(_) => "error",
            Standing::Pending(_) => "pending",
        };
        let mut parameters = vec![
            ("status", status.to_owned()),
            ("member_guid", self.member.to_string()),
        ];
        if let Some(outbound) = self.outbound {
            parameters.push(("outbound_member_guid", outbound.to_string()));
        }
        match self.standing {
            Standing::Succeeded => {}
            Standing::Failed(reason) => parameters.push(("error_reason", reason.name().to_owned())),
            Standing::Pending(handle) => {
                parameters.push(("completion", handle.expose().to_owned()))
            }
        }
        parameters
    }

    /// `address` with `status`, `member_guid` and, after an error, `error_reason` added; with
    /// `outbound_member_guid` if the login turned out to be another member's, and with `completion` while a
    /// confirmation is awaited.
    ///
    /// The existing query is kept as it is, but parameters of these names are replaced (CONTRACT.md 4.1).
    pub fn added_to(&self, address: &str) -> String {
        let (base, query) = address.split_once('?').unwrap_or((address, ""));
        let ours = [
            "status",
            "member_guid",
            "outbound_member_guid",
            "error_reason",
            "completion",
        ];
        let is_ours = |pair: &str| {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            let mut decoded = url::form_urlencoded::parse(name.as_bytes());
            decoded
                .next()
                .is_some_and(|(name, _)| ours.contains(&name.as_ref()))
        };
        let kept = query
            .split('&')
            .filter(|pair| !pair.is_empty() && !is_ours(pair))
            .map(str::to_owned);
        let added = self
            .parameters()
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"));
        let query: Vec<String> = kept.chain(added).collect();
        format!("{base}?{}", query.join("&"))
    }

    /// `<scheme>://oauth_complete` with the same parameters (CONTRACT.md 4.1).
    pub fn under(&self, scheme: &Scheme) -> String {
        self.added_to(&format!("{scheme}://oauth_complete"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> MemberGuid {
        "MBR-ad533d14-b4f1-49a4-8093-b0ae9aa8d023"
            .parse()
            .expect("a guid")
    }

    #[test]
    fn the_outcome_keeps_a_query_and_replaces_its_own_parameters() {
        let outcome = Outcome {
            member: member(),
            outbound: None,
            standing: Standing::Failed(ErrorReason::Cancelled),
        };
        let check = |address: &str, expected: &str| {
            let expected = expected.replace("MBR", &member().to_string());
            assert_eq!(outcome.added_to(address), expected);
        };
        check(
            "https://a.example/d",
            "https://a.example/d?status=error&member_guid=MBR&error_reason=CANCELLED",
        );
        check(
            "https://a.example/d?",
            "https://a.example/d?status=error&member_guid=MBR&error_reason=CANCELLED",
        );
        check(
            "https://a.example/d?x=1%26&status=success&s%74atus=1&y",
            "https://a.example/d?x=1%26&y&status=error&member_guid=MBR&error_reason=CANCELLED",
        );
        check(
            "exp://127.0.0.1:19000/--/oauth_complete",
            "exp://127.0.0.1:19000/--/oauth_complete?status=error&member_guid=MBR&error_reason=CANCELLED",
        );
        let success = Outcome {
            member: member(),
            outbound: None,
            standing: Standing::Succeeded,
        };
        let scheme: Scheme = "com.testApp".parse().expect("a scheme");
        assert_eq!(
            success.under(&scheme),
            format!(
                "com.testApp://oauth_complete?status=success&member_guid={}",
                member()
            )
        );
    }

    #[test]
    fn b2_only_byte_exact_registered_addresses_pass() {
        let registered: ReturnAddress = "https://good.example/done".parse().expect("an address");
        assert!(registered.admits("https://good.example/done"));
        assert!(registered.admits("https://good.example/done?next=/x&y=%20"));
        for wrong in [
            "//good.example/done",
            "/\\good.example/done",
            "\\\\good.example/done",
            "https:good.example/done",
            "https://good.example@evil.example/done",
            "https://good.example.evil.example/done",
            "https://evil.example/.good.example/done",
            "https://good%2eexample/done",
            "https://good.example/do\tne",
            "https://good.example/done\r\nx: y",
            "https://good.example/done\0",
            "https://gооd.example/done",
            "https://good.example:443/done",
            "https://good.example:8443/done",
            "https://GOOD.example/done",
            "HTTPS://good.example/done",
            "https://good.example/Done",
            "https://good.example/done#x",
            "https://good.example/done?x#y",
            "https://good.example/x/../done",
            "https://good.example/done/",
            "https://good.example\\@evil.example/done",
            "https://user:pass@good.example/done",
            "https://[fe80::1%25eth0]/done",
            " https://good.example/done",
            "http://good.example/done",
            "",
        ] {
            assert!(!registered.admits(wrong), "{wrong:?} was admitted");
        }
    }

    #[test]
    fn only_safe_addresses_can_be_registered() {
        for right in [
            "https://a.example/d",
            "http://localhost:8082/d",
            "http://127.0.0.1/d",
            "exp://127.0.0.1:19000/--/x",
        ] {
            assert!(
                right.parse::<ReturnAddress>().is_ok(),
                "{right:?} was refused"
            );
        }
        for wrong in [
            "http://a.example/d",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "data:text/html,x",
            "https://a.example/d#x",
            "https://u@a.example/d",
            "/d",
            "a.example/d",
            "https://a.example/\td",
        ] {
            assert!(
                wrong.parse::<ReturnAddress>().is_err(),
                "{wrong:?} was registered"
            );
        }
    }

    #[test]
    fn m7_addresses_follow_the_rule_of_schemes() {
        for wrong in [
            "mailto:x@a.example",
            "ms-msdt:/id",
            "devtools://x",
            "googlechrome://a.example",
            "tel:112",
            "intent://x",
            "ftp://a.example/d",
        ] {
            let refused = wrong.parse::<ReturnAddress>();
            let is_reserved = matches!(
                refused,
                Err(InvalidReturn::Scheme(InvalidScheme::Reserved(..)))
            );
            assert!(is_reserved, "{wrong:?}: {refused:?}");
        }
        let scheme = |text: &str| {
            let address: ReturnAddress = text.parse().expect(text);
            address.scheme().map(|scheme| scheme.to_string())
        };
        assert_eq!(scheme("https://a.example/d"), None);
        assert_eq!(scheme("http://localhost/d"), None);
        assert_eq!(scheme("com.A.b:/d").as_deref(), Some("com.A.b"));
        assert_eq!(scheme("mx://d").as_deref(), Some("mx"));
    }

    #[test]
    fn b2_a_query_with_a_space_or_raw_letters_is_encoded_and_nothing_else_is_touched() {
        let registered: ReturnAddress = "https://a.example/d?x=1".parse().expect("an address");
        for (given, kept) in [
            ("https://a.example/d?q=a b", "https://a.example/d?q=a%20b"),
            ("https://a.example/d?q=ë", "https://a.example/d?q=%C3%AB"),
            (
                "https://a.example/d?q=%2f+\"x\"&&=?'",
                "https://a.example/d?q=%2f+\"x\"&&=?'",
            ),
            ("https://a.example/d", "https://a.example/d"),
        ] {
            assert_eq!(requested(given).as_deref(), Ok(kept));
            assert!(registered.admits(kept), "{kept}");
        }
        for (given, named) in [
            ("https://a.example/d?q=1#x", "fragment"),
            ("https://a.example/d?q=\\", "backslashes"),
            ("https://a.example/d?q=\t", "control characters"),
            ("https://a.example/d é", "spaces"),
        ] {
            let refusal = requested(given).expect_err(given).to_string();
            assert!(refusal.contains(named), "{given}: {refusal}");
        }
    }
}
