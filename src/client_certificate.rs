//! The certificate and key that a client shows to an institution in TLS (RFC 8705), read from PEM.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use zeroize::Zeroizing;

/// How many characters of Base64 are on a line (RFC 7468 section 2).
const LINE: usize = 64;

/// A certificate with its key. Cannot be printed.
pub struct ClientCertificate {
    pem: Zeroizing<String>,
    thumbprint: String,
    ends_at: Timestamp,
}

/// Why two files are not a certificate and its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// The first file has no certificate.
    #[error("there is no certificate; write it in PEM, the client's own first")]
    NoCertificate,
    /// The second file has no key.
    #[error("there is no private key; write it in PEM, not encrypted")]
    NoKey,
    /// The key cannot be used.
    #[error("the private key is of an unknown kind; use RSA, P-256, P-384 or Ed25519")]
    UnknownKey,
    /// The key is that of another certificate.
    #[error(
        "the private key is not that of the first certificate; write the two that belong together"
    )]
    Mismatch,
    /// The certificate cannot be read.
    #[error("the first certificate cannot be read; write an X.509 certificate")]
    Unreadable,
}

impl ClientCertificate {
    /// Reads the certificates of one file, the client's own first, and the key of another.
    ///
    /// # Errors
    ///
    /// [`InvalidCertificate`], also where the two do not belong together.
    pub fn read(certificates: &[u8], key: &[u8]) -> Result<Self, InvalidCertificate> {
        let chain: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(certificates).collect();
        let chain = chain.map_err(|_| InvalidCertificate::NoCertificate)?;
        let own = chain.first().ok_or(InvalidCertificate::NoCertificate)?;
        let ends_at = end(own).ok_or(InvalidCertificate::Unreadable)?;
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, own));
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| InvalidCertificate::NoKey)?;
        let pem = pem(&chain, &key);
        let fits = CertifiedKey::from_der(chain, key, &default_provider());
        fits.map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => InvalidCertificate::Mismatch,
            Error::InvalidCertificate(_) => InvalidCertificate::Unreadable,
            _ => InvalidCertificate::UnknownKey,
        })?;
        Ok(Self {
            pem,
            thumbprint,
            ends_at,
        })
    }

    /// Its certificates and then its key, in PEM: for the TLS library alone.
    pub fn expose(&self) -> &str {
        &self.pem
    }

    /// The SHA-256 of the certificate in Base64url (`x5t#S256`, RFC 8705 section 3.1).
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The last moment at which it is valid.
    pub fn ends_at(&self) -> Timestamp {
        self.ends_at
    }
}

/// The certificates and the key, without whatever else was in the files.
fn pem(chain: &[CertificateDer<'static>], key: &PrivateKeyDer<'static>) -> Zeroizing<String> {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    let certificates = chain.iter().map(|it| ("CERTIFICATE", it.as_ref()));
    let sections: Vec<(&str, &[u8])> = certificates.chain([(label, key.secret_der())]).collect();
    // As large as it gets, so that it is never copied while it grows: of a copy, nothing would be erased.
    let size = |(_, der): &(&str, &[u8])| der.len() * 3 / 2 + 100;
    let mut pem = Zeroizing::new(String::with_capacity(sections.iter().map(size).sum()));
    for (label, der) in sections {
        let text = Zeroizing::new(STANDARD.encode(der));
        writeln!(pem, "-----BEGIN {label}-----").expect("a String takes any text");
        for line in text.as_bytes().chunks(LINE) {
            pem.extend(line.iter().copied().map(char::from));
            pem.push('\n');
        }
        writeln!(pem, "-----END {label}-----").expect("a String takes any text");
    }
    pem
}

/// When a certificate ends (RFC 5280 section 4.1).
fn end(certificate: &[u8]) -> Option<Timestamp> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (SEQUENCE, certificate, _) = element(certificate)? else {
        return None;
    };
    let (SEQUENCE, mut rest, _) = element(certificate)? else {
        return None;
    };
    if let (VERSION, _, after) = element(rest)? {
        rest = after;
    }
    // The serial number, the algorithm and the issuer.
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (SEQUENCE, validity, _) = element(rest)? else {
        return None;
    };
    let (_, _, after_the_beginning) = element(validity)?;
    let (kind, text, _) = element(after_the_beginning)?;
    time(kind, std::str::from_utf8(text).ok()?)
}

/// The kind of an element in DER, its content, and what follows it (X.690 section 8.1).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |all, byte| all << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*kind, content, rest))
}

/// A UTCTime or a GeneralizedTime, both to the second and in UTC (RFC 5280 section 4.1.2.5).
fn time(kind: u8, text: &str) -> Option<Timestamp> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let text = match kind {
        UTC_TIME => {
            let century = if text.get(..2)? < "50" { "20" } else { "19" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let digits = text.strip_suffix('Z').filter(|it| it.len() == 14)?;
    let (day, time) = digits.split_at_checked(8)?;
    format!("{day}T{time}Z").parse().ok()
}

/// What belongs together, for the tests of those who use it.
#[cfg(test)]
pub mod test_support {
    /// A certificate.
    pub const CERTIFICATE: &[u8] = include_bytes!("../tests/certificates/client.pem");
    /// Its key.
    pub const KEY: &[u8] = include_bytes!("../tests/certificates/client.key.pem");
    /// Another certificate.
    pub const NEWER: &[u8] = include_bytes!("../tests/certificates/newer.pem");
    /// Its key.
    pub const NEWER_KEY: &[u8] = include_bytes!("../tests/certificates/newer.key.pem");
}

#[cfg(test)]
mod tests {
    use super::test_support::{CERTIFICATE, KEY, NEWER, NEWER_KEY};
    use super::*;

    #[test]
    fn t5_a_certificate_is_read_with_the_key_that_belongs_to_it_and_no_other() {
        let own = ClientCertificate::read(CERTIFICATE, KEY).expect("they belong together");
        let newer = ClientCertificate::read(NEWER, NEWER_KEY).expect("so do these");
        assert_eq!(own.ends_at().to_string(), "2120-01-01T00:00:00Z");
        assert_ne!(own.thumbprint(), newer.thumbprint());
        assert_eq!(own.thumbprint().len(), 43);
        let refused = |certificates: &[u8], key: &[u8]| {
            ClientCertificate::read(certificates, key)
                .err()
                .expect("a refusal")
        };
        assert_eq!(
            refused(CERTIFICATE, NEWER_KEY),
            InvalidCertificate::Mismatch
        );
        assert_eq!(refused(KEY, KEY), InvalidCertificate::NoCertificate);
        assert_eq!(refused(b"", KEY), InvalidCertificate::NoCertificate);
        assert_eq!(refused(CERTIFICATE, CERTIFICATE), InvalidCertificate::NoKey);
        assert_eq!(refused(CERTIFICATE, b""), InvalidCertificate::NoKey);
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(refused(broken, KEY), InvalidCertificate::Unreadable);
    }

    #[test]
    fn a_file_may_hold_both_and_only_what_is_needed_is_used() {
        let both = [CERTIFICATE, KEY, b"# more\n"].concat();
        let read = ClientCertificate::read(&both, &both).expect("they belong together");
        let of = |label: &str| read.expose().matches(&format!("BEGIN {label}")).count();
        assert_eq!((of("CERTIFICATE"), of("PRIVATE KEY")), (1, 1));
        let again = ClientCertificate::read(read.expose().as_bytes(), read.expose().as_bytes());
        let again = again.expect("it is PEM");
        assert_eq!(again.thumbprint(), read.thumbprint());
    }

    #[test]
    fn ends_of_both_forms_are_read_and_others_are_not() {
        for (kind, text, expected) in [
            (0x17, "491231235959Z", Some("2049-12-31T23:59:59Z")),
            (0x17, "500101000000Z", Some("1950-01-01T00:00:00Z")),
            (0x18, "20500101000000Z", Some("2050-01-01T00:00:00Z")),
            (0x18, "20501301000000Z", None),
            (0x18, "20500101000000", None),
            (0x17, "20500101000000Z", None),
            (0x16, "491231235959Z", None),
            (0x17, "", None),
            (0x17, "é91231235959Z", None),
        ] {
            let read = time(kind, text).map(|at| at.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
        for der in [
            &[][..],
            &[0x30],
            &[0x30, 5, 0],
            &[0x30, 0x85, 0, 0, 0, 0, 1],
            &[0x30, 0x84, 1],
        ] {
            assert_eq!(end(der), None, "{der:?}");
        }
    }
}
