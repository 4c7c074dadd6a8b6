//! What an endpoint is known by.

use url::Url;

use super::digest::digest;
use super::form;

/// What an endpoint is known by among those of its client: the same for the same address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EndpointId(u32);

impl EndpointId {
    /// The id of the endpoint at that address.
    pub fn of(url: &Url) -> Self {
        let [a, b, c, d, ..] = digest("endpoint", url.as_str());
        Self(u32::from_be_bytes([a, b, c, d]))
    }
}

impl std::fmt::Display for EndpointId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl form::Kept for EndpointId {
    type Form = String;

    fn to_form(&self) -> String {
        self.to_string()
    }

    fn from_form(form: String) -> Option<Self> {
        u32::from_str_radix(&form, 16).ok().map(Self)
    }
}
