//! When an X.509 certificate ends (RFC 5280 section 4.1.2.5).
//!
//! Whether it is to be trusted is decided where connections are made. Here it is only read, so what cannot be
//! read is passed over.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// What matters of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The SHA-256 of its bytes, in hexadecimal: as operators compare it.
    pub fingerprint: String,
    /// When it ends.
    pub ends_at: Timestamp,
}

/// The tags of what stands in a certificate (X.690 section 8.1.2).
mod tag {
    pub const INTEGER: u8 = 0x02;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const SEQUENCE: u8 = 0x30;
    pub const VERSION: u8 = 0xa0;
}

impl Certificate {
    /// Reads one in its binary form (DER); `None`: it is none.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (certificate, _) = take(der, tag::SEQUENCE)?;
        let (mut signed, _) = take(certificate, tag::SEQUENCE)?;
        if let Some((_, rest)) = take(signed, tag::VERSION) {
            signed = rest;
        }
        let (_serial, rest) = take(signed, tag::INTEGER)?;
        let (_algorithm, rest) = take(rest, tag::SEQUENCE)?;
        let (_issuer, rest) = take(rest, tag::SEQUENCE)?;
        let (validity, _) = take(rest, tag::SEQUENCE)?;
        let (_, rest) = time(validity)?;
        let (ends_at, _) = time(rest)?;
        let hash = digest(&SHA256, der);
        let hexadecimal = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
        Some(Self {
            fingerprint: hexadecimal.collect(),
            ends_at,
        })
    }
}

/// The content of the element of that tag at the beginning of `bytes`, and what follows it.
fn take(bytes: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // How many bytes the length has.
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            let sum = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
            (length.iter().fold(0, sum), rest)
        }
        _ => return None,
    };
    (*tag == expected).then(|| rest.split_at_checked(length))?
}

/// A time, and what follows it.
fn time(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (text, rest) = match take(bytes, tag::UTC_TIME) {
        Some((short, rest)) => {
            let short = str::from_utf8(short).ok()?;
            let year: u8 = short.get(..2)?.parse().ok()?;
            let century = if year < 50 { "20" } else { "19" };
            (format!("{century}{short}"), rest)
        }
        None => {
            let (long, rest) = take(bytes, tag::GENERALIZED_TIME)?;
            (str::from_utf8(long).ok()?.to_owned(), rest)
        }
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok()?;
    Some((TimeZone::UTC.to_timestamp(time).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn read(pem: &str) -> Option<Certificate> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        Certificate::read(&der)
    }

    #[test]
    fn the_end_of_a_certificate_is_read() {
        for (pem, ends_at) in [
            (
                include_str!("../tests/certificates/good.pem"),
                "2120-01-01T00:00:00Z",
            ),
            (
                include_str!("../tests/certificates/expired.pem"),
                "2021-01-01T00:00:00Z",
            ),
        ] {
            let certificate = read(pem).expect("it is one");
            assert_eq!(certificate.ends_at, ends_at.parse().unwrap());
            assert_eq!(certificate.fingerprint.len(), 64);
        }
    }

    #[test]
    fn what_is_no_certificate_is_none_and_harmless() {
        let good = include_str!("../tests/certificates/good.pem");
        let der = CertificateDer::from_pem_slice(good.as_bytes()).expect("a certificate");
        // Whatever is cut off: before the end of its validity nothing is read, and nothing panics.
        let shortest = (0..der.len()).find(|length| Certificate::read(&der[..*length]).is_some());
        assert_eq!(shortest, None);
        for none in [
            &b""[..],
            b"0",
            b"0\x84\xff\xff\xff\xff",
            b"0\x80",
            b"\x30\x02\x30\x00",
        ] {
            assert_eq!(Certificate::read(none), None);
        }
    }
}
