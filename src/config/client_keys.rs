//! The private keys of a registration: `signing_key_files` and `encryption_key_files`.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::fault::Refused;
use super::reading::{Reading, is_readable_by_all};
use crate::domain::algorithm::SigningAlgorithm;
use crate::domain::client::{Client, KeyFiles};
use crate::domain::client_authentication::AuthenticationMethod;
use crate::domain::id::InstitutionCode;
use crate::domain::institution::OAuth;
use crate::jose::{OwnKeys, UnusableKeys};

/// The largest file of a key, in bytes.
const LIMIT: u64 = 64 * 1024;

/// The keys of the registration whose section is `at`; `None`: it has none, and needs none.
pub fn build(
    reading: &mut Reading<'_>,
    at: &str,
    (institution, oauth): (&InstitutionCode, &OAuth),
    [signing, encryption]: [Vec<PathBuf>; 2],
) -> Result<Option<KeyFiles>, Refused> {
    let algorithms = algorithms(oauth);
    let [signing_key, encryption_key] =
        ["signing_key_files", "encryption_key_files"].map(|key| format!("{at}.{key}"));
    if let (Some(algorithm), true) = (algorithms.first(), signing.is_empty()) {
        let name = algorithm.name();
        return Err(reading.missing(
            &signing_key,
            format!(
                "is missing, and what is sent to {institution} is signed with a private key; give the file of one, made \
                 with: guichet keys client new FILE --alg {name}"
            ),
        ));
    }
    if algorithms.is_empty() && !signing.is_empty() {
        reading.warn(
            &signing_key,
            format!(
                "are published, and sign nothing: {institution} has neither client_authentication = \
                 \"private_key_jwt\" nor request_object_signing_alg; add one of them, or remove the keys"
            ),
        );
    }
    if let (Some(how), true) = (
        oauth.authorization.encrypted_response,
        encryption.is_empty(),
    ) {
        let name = how.alg.name();
        return Err(reading.missing(
            &encryption_key,
            format!(
                "is missing, and {institution} encrypts its authorization responses with {name}; give the file of a \
                 private key for it"
            ),
        ));
    }
    if signing.is_empty() && encryption.is_empty() {
        return Ok(None);
    }
    let mut read = |key: &str, files: &[PathBuf]| {
        let files = files.iter().enumerate();
        let read = files.map(|(nth, file)| contents(reading, &format!("{key}[{nth}]"), file));
        // All of them are looked at, whatever is wrong with the first.
        let read: Vec<Result<_, Refused>> = read.collect();
        read.into_iter().collect::<Result<Vec<_>, Refused>>()
    };
    let (signs, decrypts) = (
        read(&signing_key, &signing),
        read(&encryption_key, &encryption),
    );
    let (signs, decrypts) = (signs?, decrypts?);
    let of = |files: Vec<PathBuf>| files.iter().map(|file| reading.path(file)).collect();
    let files = KeyFiles {
        signing: of(signing),
        encryption: of(encryption),
        algorithms,
    };
    match OwnKeys::read(&signs, &decrypts, &files.algorithms) {
        Ok(_) => Ok(Some(files)),
        Err(unusable) => {
            let key = match unusable {
                UnusableKeys::Signing(nth) => format!("{signing_key}[{nth}]"),
                UnusableKeys::Encryption(nth) | UnusableKeys::ForBoth(nth) => {
                    format!("{encryption_key}[{nth}]")
                }
                UnusableKeys::NoneFor(_) => signing_key,
            };
            Err(reading.wrong(&key, format!("cannot be used: {}", unusable.problem())))
        }
    }
}

/// What the private keys of a registration sign with.
fn algorithms(oauth: &OAuth) -> Vec<SigningAlgorithm> {
    let assertions = match &oauth.client_authentication {
        AuthenticationMethod::PrivateKeyJwt(rules) => Some(rules.algorithm),
        _ => None,
    };
    let mut all: Vec<_> = assertions.into_iter().collect();
    all.extend(
        oauth
            .request_object_signing_alg
            .filter(|it| Some(*it) != assertions),
    );
    all
}

fn contents(
    reading: &mut Reading<'_>,
    key: &str,
    file: &Path,
) -> Result<Zeroizing<Vec<u8>>, Refused> {
    let path = reading.path(file);
    let contents = Zeroizing::new(reading.file(key, &path, LIMIT)?);
    if is_readable_by_all(&path) {
        let path = path.display();
        let risk = format!("every user of this machine can read {path}; run: chmod o-rwx {path}");
        reading.warn(key, risk);
    }
    Ok(contents)
}

/// Warns of a key that signs what its own institution could show to another one: an assertion for a token endpoint says
/// only which address it is for, and that is what the institution itself says.
pub fn warn_of_the_shared(reading: &mut Reading<'_>, clients: &[Client]) {
    let registrations = || {
        clients.iter().flat_map(|client| {
            let its = client.registrations.values();
            its.map(move |registration| (&client.id, registration))
        })
    };
    for (client, registration) in registrations() {
        let AuthenticationMethod::PrivateKeyJwt(rules) = &registration.oauth.client_authentication
        else {
            continue;
        };
        let is_for_issuer = registration.oauth.issuer.as_ref() == Some(&rules.audience);
        let Some(keys) = registration.keys.as_ref().filter(|_| !is_for_issuer) else {
            continue;
        };
        let has_same = |files: &KeyFiles| files.signing.iter().any(|it| keys.signing.contains(it));
        let other = registrations().find(|(_, other)| {
            let is_other = !std::ptr::eq(*other, registration);
            is_other && other.keys.as_ref().is_some_and(has_same)
        });
        if let Some((other_client, other)) = other {
            let institution = &registration.institution;
            reading.warn(
                "clients",
                format!(
                    "the registrations of {client} at {institution} and of {other_client} at {} have a signing key in \
                     common, and {institution} has client_assertion_audience = \"token_endpoint\"; give that \
                     registration a key of its own",
                    other.institution
                ),
            );
        }
    }
}
