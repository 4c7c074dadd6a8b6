//! Addresses that are checked as they are read: URLs, networks, origins, hosts.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer};
use url::Url;

use super::value::{InvalidValue, Parsed, from_text, refuse, web_url};
use crate::domain::allowed_host::AllowedHost;
use crate::domain::return_address::is_loopback;

from_text!(PublicUrl, HttpsUrl, Issuer, Network, Origin, AllowedHost);

/// The address that people and institutions reach the gateway under, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(Url);

impl PublicUrl {
    /// Scheme, host and port, without a slash at the end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The address as a URL; its path is `/`.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Whether it names this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let url = web_url(text)?;
        if url.path() != "/" || text.contains('?') {
            return refuse(
                "has a path or a query; the gateway lives at the root of its host, so write \
                 https://host or https://host:port",
            );
        }
        Ok(Self(url))
    }
}

/// An endpoint or a page: `https`, or `http` on this machine; no fragment, no user information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsUrl(pub Url);

impl FromStr for HttpsUrl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        web_url(text).map(Self)
    }
}

/// An issuer: an address that is compared as text, so its text is kept (RFC 9207 section 2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer(pub String);

impl FromStr for Issuer {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if web_url(text)?.query().is_some() {
            return refuse("has a query (?…); remove it");
        }
        Ok(Self(text.to_owned()))
    }
}

/// A range of addresses such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether `address` is in the range; an IPv4 address mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let mask = mask(u128::from(self.bits), 32);
                (u128::from(ours.to_bits()) ^ u128::from(theirs.to_bits())) & mask == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()) & mask(u128::from(self.bits), 128) == 0
            }
            _ => false,
        }
    }

    /// Whether the range is all addresses of its family.
    pub fn is_everything(&self) -> bool {
        self.bits == 0
    }
}

/// The highest `bits` of `width` bits.
fn mask(bits: u128, width: u128) -> u128 {
    let all = u128::MAX >> (128 - width);
    if bits == 0 {
        0
    } else {
        (all << (width - bits)) & all
    }
}

impl FromStr for Network {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(a, b)| (a, Some(b)));
        let Ok(address) = address.parse::<IpAddr>() else {
            return refuse(format!(
                "{text:?} is not an address or a network; write 10.0.0.1 or 10.0.0.0/8"
            ));
        };
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits.map(str::parse::<u8>) {
            None => widest,
            Some(Ok(bits)) if bits <= widest => bits,
            Some(_) => {
                return refuse(format!(
                    "{text:?} has no sound prefix length; write 0 to {widest} after the slash"
                ));
            }
        };
        let network = Self { address, bits };
        let lowest = match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()) & !mask(bits.into(), 32) & 0xffff_ffff,
            IpAddr::V6(v6) => v6.to_bits() & !mask(bits.into(), 128),
        };
        if lowest != 0 {
            return refuse(format!(
                "{text:?} has bits set behind its prefix; write the first address of the network"
            ));
        }
        Ok(network)
    }
}

/// An origin as browsers write it: scheme, host, and the port where it is not the usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(pub String);

impl FromStr for Origin {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let url = web_url(text)?;
        let origin = url.origin().ascii_serialization();
        if origin != text {
            return refuse(format!(
                "{text:?} is not an origin as browsers compare it; write {origin:?}"
            ));
        }
        Ok(Self(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let check = |network: &str, inside: &[&str], outside: &[&str]| {
            let network: Network = network.parse().expect("a network");
            for (addresses, expected) in [(inside, true), (outside, false)] {
                for address in addresses {
                    let parsed = address.parse().expect("an address");
                    assert_eq!(network.contains(parsed), expected, "{network:?} {address}");
                }
            }
        };
        check(
            "10.0.0.0/8",
            &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
            &["11.0.0.0", "9.255.255.255", "::a00:1", "::1"],
        );
        check("192.0.2.7", &["192.0.2.7"], &["192.0.2.6", "192.0.2.8"]);
        check("192.0.2.128/25", &["192.0.2.129"], &["192.0.2.127"]);
        check("0.0.0.0/0", &["203.0.113.9"], &["2001:db8::1"]);
        check(
            "2001:db8::/33",
            &["2001:db8::1", "2001:db8:7fff::1"],
            &["2001:db8:8000::1", "2001:db9::1", "32.1.13.184"],
        );
        check("::1", &["::1"], &["::2", "127.0.0.1"]);
        check("::/0", &["2001:db8::1"], &["203.0.113.9"]);
    }
}
