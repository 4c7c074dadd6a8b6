//! Which of the addresses that clients name may be called.
//!
//! A client chooses its webhook address. The client cannot reach the operator's network, but the gateway
//! can. So only public addresses are called. The check is made for each connection, on the addresses that
//! a name resolves to, not on the name beforehand. A host and port that the operator lists in
//! `allow_hosts` may be at any address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::domain::return_address::is_loopback;

/// A host and port that the operator allows, such as `hooks.internal:8443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    host: Host<String>,
    port: u16,
}

/// Text that names no host and port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host, or a host and a port such as hooks.internal:8443")]
pub struct InvalidHost(String);

impl FromStr for AllowedHost {
    type Err = InvalidHost;

    /// Reads `host` or `host:port`; without a port, 443 is meant.
    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost(text.to_owned());
        let url = Url::parse(&format!("https://{text}")).map_err(|_| invalid())?;
        // A path, a query or a user name is refused, because the rule does not look at them.
        if text.contains(['/', '\\', '?', '#', '@']) || text.contains(char::is_whitespace) {
            return Err(invalid());
        }
        Ok(Self {
            host: url.host().ok_or_else(invalid)?.to_owned(),
            port: url.port_or_known_default().ok_or_else(invalid)?,
        })
    }
}

impl AllowedHost {
    fn is_that_of(&self, url: &Url) -> bool {
        url.host().map(|host| host.to_owned()).as_ref() == Some(&self.host)
            && url.port_or_known_default() == Some(self.port)
    }
}

/// How an address is to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Through the [`GuardedResolver`].
    Guarded,
    /// At any address: the operator allowed it.
    Allowed,
}

/// Why an address is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// Plain http, or another scheme.
    #[error("the address is not https (plain http is for allowed hosts on this machine)")]
    Scheme,
    /// The host is no public address, or resolves to no public address.
    #[error("the address is not a public one; an operator can list it in webhooks.allow_hosts")]
    NotPublic,
}

/// How `url` is to be called, if at all.
pub fn route(url: &Url, allowed: &[AllowedHost]) -> Result<Route, Forbidden> {
    let is_allowed = allowed.iter().any(|host| host.is_that_of(url));
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
    // A numeric address is never resolved, so it is checked here.
    let literal = match url.host() {
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        Some(Host::Domain(_)) | None => None,
    };
    match literal {
        Some(address) if !is_public(address) => Err(Forbidden::NotPublic),
        _ => Ok(Route::Guarded),
    }
}

/// Resolves names with the system's resolver and keeps the public addresses.
#[derive(Default)]
pub struct GuardedResolver {
    /// The host of the operator's proxy, which may be anywhere.
    pub proxy: Option<String>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let is_proxy = self.proxy.as_deref() == Some(name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            if is_proxy {
                return Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs);
            }
            let public = public_only(found)?;
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Resolves the host of `url` on this machine, before a proxy resolves it: refused if any of its
/// addresses is not public, because the proxy may call that one. If the name is not found here, or not
/// within 5 seconds, the proxy has to judge it.
pub async fn look_here(url: &Url) -> Result<(), Forbidden> {
    const TIME: Duration = Duration::from_secs(5);
    let Some(Host::Domain(name)) = url.host() else {
        return Ok(());
    };
    let found = tokio::time::timeout(TIME, tokio::net::lookup_host((name, 0))).await;
    let Ok(Ok(mut found)) = found else {
        return Ok(());
    };
    match found.all(|address| is_public(address.ip())) {
        true => Ok(()),
        false => Err(Forbidden::NotPublic),
    }
}

fn public_only(found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Forbidden> {
    let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
    if public.is_empty() {
        return Err(Forbidden::NotPublic);
    }
    Ok(public)
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

    fn allowed(hosts: &[&str]) -> Vec<AllowedHost> {
        hosts.iter().map(|host| host.parse().unwrap()).collect()
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
            "https://user@10.0.0.1/",
        ] {
            assert_eq!(
                route(&url(address), &[]),
                Err(Forbidden::NotPublic),
                "{address}"
            );
        }
        assert_eq!(route(&url("https://1.1.1.1/"), &[]), Ok(Route::Guarded));
        assert_eq!(
            route(&url("https://hooks.example/"), &[]),
            Ok(Route::Guarded)
        );
    }

    #[test]
    fn s2_a_name_keeps_its_public_addresses_only() {
        let found = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let mixed = found(&["10.0.0.1:0", "1.1.1.1:0", "[::1]:0"]);
        assert_eq!(public_only(mixed.into_iter()), Ok(found(&["1.1.1.1:0"])));
        let private = found(&["10.0.0.1:0", "[fd00::1]:0"]);
        assert_eq!(public_only(private.into_iter()), Err(Forbidden::NotPublic));
        assert_eq!(public_only(std::iter::empty()), Err(Forbidden::NotPublic));
    }

    #[test]
    fn s2_what_the_operator_allows_is_exact() {
        let allowed = allowed(&[
            "hooks.internal",
            "10.0.0.7:8443",
            "localhost:9000",
            "[::1]:9000",
        ]);
        for (address, expected) in [
            ("https://hooks.internal/a", Ok(Route::Allowed)),
            ("https://HOOKS.internal:443/a", Ok(Route::Allowed)),
            ("https://hooks.internal:8443/a", Ok(Route::Guarded)),
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
            assert_eq!(route(&url(address), &allowed), expected, "{address}");
        }
    }

    #[test]
    fn text_that_is_no_host_is_no_allowed_host() {
        for wrong in [
            "",
            ":80",
            "a:b",
            "a/b",
            "a@b",
            "a?b",
            "https://a",
            "a b",
            "a:70000",
        ] {
            let expected = Err(InvalidHost(wrong.to_owned()));
            assert_eq!(wrong.parse::<AllowedHost>(), expected, "{wrong}");
        }
    }
}
