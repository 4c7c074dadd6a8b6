//! Where a request comes from, for limits and logs.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::HeaderMap;

/// One host: an IPv4 address, or the /64 of an IPv6 one, because IPv6 hosts own whole networks. An
/// IPv4 address mapped into IPv6 is that IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl Source {
    /// The host of that address.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
            v4 => v4,
        })
    }

    /// The host that a request of `peer` comes from. `X-Forwarded-For` is read from its end, as long as
    /// the proxy that wrote the entry is trusted. If an entry cannot be read, the proxy that wrote it
    /// counts as the source.
    pub fn of_request(
        peer: IpAddr,
        headers: &HeaderMap,
        is_trusted: impl Fn(IpAddr) -> bool,
    ) -> Self {
        let lines = headers.get_all("x-forwarded-for").iter();
        let entries: Vec<&[u8]> = lines
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .collect();
        let mut source = peer;
        for entry in entries.into_iter().rev() {
            if !is_trusted(source.to_canonical()) {
                break;
            }
            match hop(entry) {
                Some(address) => source = address,
                None => break,
            }
        }
        Self::of(source)
    }
}

/// The address in an entry: bare or between quotes, with or without brackets, zone and port.
fn hop(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    let without_zone = |text: &str| text.split('%').next()?.parse::<Ipv6Addr>().ok();
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']')?;
        let is_port = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        return without_zone(address).filter(|_| is_port).map(IpAddr::from);
    }
    if let Some(address) = without_zone(text) {
        return Some(address.into());
    }
    let address = match text.split_once(':') {
        Some((address, port)) if is_port(port) => address,
        Some(_) => return None,
        None => text,
    };
    address.parse::<Ipv4Addr>().ok().map(IpAddr::from)
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => write!(f, "{v4}"),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn of(peer: &str, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_bytes(line).expect("a value");
            headers.append("x-forwarded-for", value);
        }
        let is_trusted = |address: IpAddr| address.to_string().starts_with("10.0.0.");
        let peer = peer.parse().expect("an address");
        Source::of_request(peer, &headers, is_trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_name_the_source() {
        let forwarded: &[&[u8]] = &[b"6.6.6.6, 198.51.100.7, 10.0.0.2"];
        assert_eq!(of(PROXY, forwarded), "198.51.100.7");
        assert_eq!(of("::ffff:10.0.0.1", forwarded), "198.51.100.7");
        assert_eq!(of("203.0.113.9", forwarded), "203.0.113.9");
        assert_eq!(of(PROXY, &[]), PROXY);
        assert_eq!(of(PROXY, &[b"6.6.6.6", b"198.51.100.7"]), "198.51.100.7");
        assert_eq!(of(PROXY, &[b"10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    #[test]
    fn a_hop_is_stripped_of_port_brackets_quotes_and_zone() {
        for (hop, expected) in [
            ("203.0.113.7", "203.0.113.7"),
            ("203.0.113.7:50000", "203.0.113.7"),
            ("\"203.0.113.7:50000\"", "203.0.113.7"),
            ("[2001:db8::1]", "2001:db8::/64"),
            ("[2001:db8::1]:443", "2001:db8::/64"),
            ("\"[2001:db8::1]:443\"", "2001:db8::/64"),
            ("2001:db8::1", "2001:db8::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("[::ffff:203.0.113.7]:443", "203.0.113.7"),
        ] {
            let entry = format!("9.9.9.9, {hop}");
            assert_eq!(of(PROXY, &[entry.as_bytes()]), expected, "{hop}");
        }
    }

    #[test]
    fn a_hop_that_names_nobody_is_the_proxy_itself() {
        let unreadable: [&[u8]; 9] = [
            b"unknown",
            b"_hidden",
            b"",
            b"\xff\xfe",
            b"203.0.113.7:x",
            b"[2001:db8::1",
            b"[203.0.113.7]",
            b"203.0.113.7:99999",
            b"host.example",
        ];
        for hop in unreadable {
            let entry = [b"9.9.9.9, ", hop].concat();
            assert_eq!(of(PROXY, &[&entry]), PROXY, "{hop:?}");
            let behind_another = [b"9.9.9.9, ", hop, b", 10.0.0.2"].concat();
            assert_eq!(of(PROXY, &[&behind_another]), "10.0.0.2", "{hop:?}");
        }
        // An entry that cannot be read does not hide one that can.
        assert_eq!(of(PROXY, &[b"\xff\xfe, 198.51.100.7"]), "198.51.100.7");
    }

    #[test]
    fn an_ipv6_host_is_its_64_bits_of_network_and_a_mapped_one_is_ipv4() {
        let of = |address: &str| Source::of(address.parse().expect("an address"));
        assert_eq!(
            of("2001:db8:1:2::1"),
            of("2001:db8:1:2:ffff:ffff:ffff:ffff")
        );
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("::ffff:192.0.2.1"), of("::ffff:192.0.2.2"));
    }
}
