//! New private keys in PEM, for files (RFC 7468 section 10).

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::key::{Family, InvalidKey, SigningKey, family};
use crate::domain::algorithm::SigningAlgorithm;

/// How many characters of Base64 are on a line (RFC 7468 section 2).
const LINE: usize = 64;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
const END: &str = "-----END PRIVATE KEY-----\n";

/// A new private key for that algorithm (PKCS #8), from the operating system's randomness; RSA keys have 3072 bits.
///
/// # Errors
///
/// [`InvalidKey::NotMade`] for HMAC.
pub fn new_key(algorithm: SigningAlgorithm) -> Result<Zeroizing<String>, InvalidKey> {
    let failed = InvalidKey::NotMade(algorithm.name());
    let der = match family(algorithm) {
        Family::Rsa => {
            let pair = KeyPair::generate(KeySize::Rsa3072).map_err(|_| failed.clone())?;
            let der: Pkcs8V1Der<'static> = pair.as_der().map_err(|_| failed)?;
            Zeroizing::new(der.as_ref().to_vec())
        }
        Family::Ec | Family::Ed => SigningKey::generate(algorithm)?.to_pkcs8(),
        Family::Secret => return Err(failed),
    };
    let text = Zeroizing::new(STANDARD.encode(&*der));
    // As large as it gets, so that it is never copied while it grows: of a copy, nothing would be erased.
    let size = BEGIN.len() + text.len() + text.len() / LINE + 1 + END.len();
    let mut pem = Zeroizing::new(String::with_capacity(size));
    pem.push_str(BEGIN);
    for line in text.as_bytes().chunks(LINE) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str(END);
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_can_be_read_and_is_of_its_kind() {
        for algorithm in [
            SigningAlgorithm::PS256,
            SigningAlgorithm::ES256,
            SigningAlgorithm::ES384,
            SigningAlgorithm::EdDSA,
        ] {
            let pem = new_key(algorithm).expect("a key");
            let key = SigningKey::from_pem(pem.as_bytes(), algorithm).expect("it is read");
            assert_eq!(key.algorithm(), algorithm);
            assert!(pem.lines().all(|line| line.len() <= LINE), "{algorithm:?}");
        }
        let refused = new_key(SigningAlgorithm::HS256).err();
        assert_eq!(refused, Some(InvalidKey::NotMade("HS256")));
    }
}
