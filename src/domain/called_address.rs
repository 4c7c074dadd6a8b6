//! Which addresses may be called that somebody else than the operator named: a client, or an institution's metadata.
//!
//! Whoever names an address cannot reach the operator's network, but the gateway can. So only public addresses are
//! called, by https and on port 443. A host and port that the operator lists may be at any address.
//! A name is judged when it is resolved ([`is_public`]), not beforehand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::allowed_host::AllowedHost;
use super::return_address::is_loopback;

/// What the operator allows besides public addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed<'a> {
    /// These hosts and ports.
    pub hosts: &'a [AllowedHost],
    /// Every port of this machine: where the gateway itself serves this machine only.
    pub this_machine: bool,
}

impl Allowed<'_> {
    fn admits(self, url: &Url) -> bool {
        let is_listed = self.hosts.iter().any(|host| host.is_that_of(url));
        is_listed || self.this_machine && is_loopback(url)
    }
}

/// How an address is to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Only where its name leads to a public address.
    Guarded,
    /// At any address: the operator allowed it.
    Allowed,
}

/// Why an address is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// Plain http, or another scheme.
    #[error("the address is not https (plain http is for listed hosts on this machine)")]
    Scheme,
    /// It holds a user name or a password.
    #[error("the address holds a user name or a password")]
    UserInfo,
    /// Another port than that of https.
    #[error("the address has another port than 443, and allow_hosts does not list it")]
    Port,
    /// The host is no public address, or resolves to no public address.
    #[error("the address is not a public one, and allow_hosts does not list it")]
    NotPublic,
}

/// How `url` is to be called, if at all.
pub fn route(url: &Url, allowed: Allowed<'_>) -> Result<Route, Forbidden> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Forbidden::UserInfo);
    }
    let is_allowed = allowed.admits(url);
    let scheme_is_sound = match url.scheme() {
        "https" => true,
        "http" => is_allowed && is_loopback(url),
        _ => false,
    };
    if !scheme_is_sound {
        return Err(Forbidden::Scheme);
    }
    if is_allowed {
        return Ok(Route::Allowed);
    }
    // A numeric address is never resolved, so it is judged here.
    let is_public = match url.host() {
        Some(Host::Ipv4(address)) => is_public(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_public(IpAddr::V6(address)),
        Some(Host::Domain(_)) | None => !is_loopback(url),
    };
    match (is_public, url.port()) {
        (false, _) => Err(Forbidden::NotPublic),
        (true, Some(_)) => Err(Forbidden::Port),
        (true, None) => Ok(Route::Guarded),
    }
}

/// Whether an address belongs to the public internet (IANA's special-purpose registries).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_special = match address.octets() {
        // This network, private, loopback.
        [0 | 10 | 127, ..] => true,
        // Shared address space of providers; some clouds have their metadata service here.
        [100, 64..=127, ..] => true,
        // Link-local, with the usual metadata service.
        [169, 254, ..] => true,
        // Private.
        [172, 16..=31, ..] | [192, 168, ..] => true,
        // Protocol assignments, documentation, 6to4 relays, benchmarks.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18..=19, ..] => true,
        [198, 51, 100, _] | [203, 0, 113, _] => true,
        // Looks public, but is the metadata service inside one cloud.
        [168, 63, 129, 16] => true,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => true,
        _ => false,
    };
    !is_special
}

/// Only global unicast (`2000::/3`) can be public. Loopback, unique local, link-local, multicast,
/// mapped (`::ffff:0:0/96`) and NAT64 (`64:ff9b::/96`) addresses lie outside it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // Protocol assignments, with Teredo, which carries an IPv4 address.
        [0x2001, 0..=0x01ff, ..] => false,
        // Documentation.
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        // 6to4 carries an IPv4 address.
        [0x2002, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn s2_only_public_addresses_are_public() {
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "198.17.255.255",
            "223.255.255.255",
            "2001:200::1",
            "2606:4700::1111",
            "2a00:1450::1",
            "3fff:1000::1",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn s2_an_address_is_known_however_it_is_written() {
        for address in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://%31%32%37.0.0.1/",
            "https://127.0.0.1.:8443/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://localhost/",
        ] {
            assert_eq!(
                route(&url(address), Allowed::default()),
                Err(Forbidden::NotPublic),
                "{address}"
            );
        }
        for (address, expected) in [
            ("https://1.1.1.1/", Ok(Route::Guarded)),
            ("https://hooks.example/", Ok(Route::Guarded)),
            ("https://hooks.example:443/", Ok(Route::Guarded)),
            ("https://hooks.example:8443/", Err(Forbidden::Port)),
            ("https://1.1.1.1:22/", Err(Forbidden::Port)),
            ("https://user@hooks.example/", Err(Forbidden::UserInfo)),
            ("https://:secret@hooks.example/", Err(Forbidden::UserInfo)),
        ] {
            let routed = route(&url(address), Allowed::default());
            assert_eq!(routed, expected, "{address}");
        }
    }

    #[test]
    fn s2_what_the_operator_allows_is_exact() {
        let hosts = [
            "hooks.internal",
            "10.0.0.7:8443",
            "localhost:9000",
            "[::1]:9000",
        ];
        let hosts = hosts.map(|host| host.parse().unwrap());
        let allowed = Allowed {
            hosts: &hosts,
            this_machine: false,
        };
        for (address, expected) in [
            ("https://hooks.internal/a", Ok(Route::Allowed)),
            ("https://HOOKS.internal:443/a", Ok(Route::Allowed)),
            ("https://hooks.internal:8443/a", Err(Forbidden::Port)),
            ("https://10.0.0.7:8443/a", Ok(Route::Allowed)),
            ("https://10.0.0.7/a", Err(Forbidden::NotPublic)),
            ("http://localhost:9000/a", Ok(Route::Allowed)),
            ("http://[::1]:9000/a", Ok(Route::Allowed)),
            ("http://localhost:9001/a", Err(Forbidden::Scheme)),
            ("http://hooks.internal:443/a", Err(Forbidden::Scheme)),
            ("http://10.0.0.7:8443/a", Err(Forbidden::Scheme)),
            ("http://hooks.example/a", Err(Forbidden::Scheme)),
            ("ftp://hooks.example/a", Err(Forbidden::Scheme)),
        ] {
            assert_eq!(route(&url(address), allowed), expected, "{address}");
        }
    }

    #[test]
    fn s2_this_machine_may_be_called_only_where_the_gateway_serves_this_machine() {
        for (address, elsewhere) in [
            ("http://localhost:9000/jwks", Forbidden::Scheme),
            ("https://127.0.0.1:9000/jwks", Forbidden::NotPublic),
            ("http://[::1]:9000/jwks", Forbidden::Scheme),
        ] {
            let on_this = |this_machine| {
                let hosts = &[];
                route(
                    &url(address),
                    Allowed {
                        hosts,
                        this_machine,
                    },
                )
            };
            assert_eq!(on_this(true), Ok(Route::Allowed), "{address}");
            assert_eq!(on_this(false), Err(elsewhere), "{address}");
        }
        let private = route(
            &url("https://10.0.0.1/"),
            Allowed {
                hosts: &[],
                this_machine: true,
            },
        );
        assert_eq!(private, Err(Forbidden::NotPublic));
    }
}
