//! `[outgoing]`: whether calls go through a proxy.

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::fault::Refused;
use super::reading::Reading;

/// The variables that name a proxy for https, by convention; the first one that is set counts.
const PROXY: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];

/// Those that name the hosts to be called without it.
const EXCEPT: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// `[outgoing]` as written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawOutgoing {
    proxy: ProxyFrom,
}

/// Where the proxy's address comes from.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProxyFrom {
    /// There is no proxy, whatever the environment says.
    #[default]
    None,
    /// From `HTTPS_PROXY` and `NO_PROXY`.
    Environment,
}

/// The proxy that calls to https addresses go through. Those to http addresses stay on this machine
/// and never do.
pub struct ProxySettings {
    /// Its address, which may hold a name and a password.
    pub url: SecretString,
    /// The hosts that are called without it, as `NO_PROXY` lists them.
    pub except: String,
}

impl ProxySettings {
    /// The proxy to use, if there is one.
    pub(super) fn build(
        reading: &mut Reading<'_>,
        raw: &RawOutgoing,
    ) -> Result<Option<Self>, Refused> {
        let set = |names: [&'static str; 2]| {
            let found = names
                .into_iter()
                .find_map(|name| Some((name, reading.variable(name)?)));
            found.map(|(name, value)| (name, value.to_owned()))
        };
        let (proxy, except) = (set(PROXY), set(EXCEPT));
        match (proxy, raw.proxy) {
            (None, _) => Ok(None),
            (Some((name, _)), ProxyFrom::None) => {
                reading.warn(
                    "outgoing.proxy",
                    format!(
                        "the environment variable {name} is set and ignored; write proxy = \
                         \"environment\" to make outgoing calls through that proxy, or unset it"
                    ),
                );
                Ok(None)
            }
            (Some((name, value)), ProxyFrom::Environment) => {
                let is_proxy = Url::parse(&value)
                    .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
                if !is_proxy {
                    // The value may hold a password, so it is not shown.
                    return Err(reading.wrong(
                        "outgoing.proxy",
                        format!(
                            "the environment variable {name} is not the address of a proxy; write it \
                             as http://host:port"
                        ),
                    ));
                }
                Ok(Some(Self {
                    url: value.into(),
                    except: except.map(|(_, hosts)| hosts).unwrap_or_default(),
                }))
            }
        }
    }
}
