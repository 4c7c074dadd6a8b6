//! The private keys that clients have at institutions: with them they authenticate and sign requests, and institutions
//! encrypt to them.
//!
//! Each registration has keys of its own, and publishes them at an address of its own: what it signs for one institution
//! cannot be verified with what another one fetches. Two registrations share a key only where their files say so.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::transport_error::SetupError;
use crate::domain::client::{KeyFiles, Registration};
use crate::jose::{OwnKeys, UnusableKeys};
use crate::watched_files::{Look, WatchedFiles};

/// The keys, by their files. They are read again when their files change.
#[derive(Default)]
pub struct ClientKeys(HashMap<KeyFiles, WatchedFiles<OwnKeys>>);

/// A key, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInUse {
    /// Its file.
    pub file: PathBuf,
    /// Its name, which is its thumbprint (RFC 7638).
    pub kid: String,
    /// What it is for: `sig` or `enc` (RFC 7517 section 4.2).
    pub usage: &'static str,
    /// What it is used with; for a key that signs with several algorithms, all of them.
    pub algorithms: Vec<&'static str>,
    /// Whether it signs; the others that are for this are only published.
    pub signs: bool,
    /// When its file was written last; `None`: that is not known.
    pub written_at: Option<Timestamp>,
}

impl ClientKeys {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or the keys cannot be used.
    pub fn open<'a>(files: impl IntoIterator<Item = &'a KeyFiles>) -> Result<Self, SetupError> {
        let mut all = HashMap::new();
        for files in files {
            let paths = files.signing.iter().chain(&files.encryption);
            let paths: Vec<PathBuf> = paths.cloned().collect();
            let its = files.clone();
            let opened = WatchedFiles::open(paths, move |contents| make(&its, contents));
            let opened = opened.map_err(|unsound| SetupError(format!("client keys: {unsound}")))?;
            all.insert(files.clone(), opened);
        }
        Ok(Self(all))
    }

    /// The keys that these files hold now.
    pub fn current(&self, files: &KeyFiles) -> Option<Arc<OwnKeys>> {
        self.0.get(files).map(WatchedFiles::current)
    }

    /// Looks at the files again; this blocks. Returns what was found of each.
    pub fn look(&self) -> HashMap<KeyFiles, Look> {
        let each = self.0.iter();
        each.map(|(files, watched)| (files.clone(), watched.look()))
            .collect()
    }

    /// The keys of that registration.
    pub(super) fn of(&self, registration: &Registration) -> Result<Arc<OwnKeys>, SetupError> {
        let files = registration.keys.as_ref();
        let missing = || SetupError("the registration has no signing key".to_owned());
        files.and_then(|it| self.current(it)).ok_or_else(missing)
    }

    /// Every key in these files, first those for signatures. This blocks: it asks the files when they were written.
    pub fn in_use(&self, files: &KeyFiles) -> Vec<KeyInUse> {
        let Some(keys) = self.current(files) else {
            return Vec::new();
        };
        let mut all: Vec<KeyInUse> = Vec::new();
        for known in keys.known(&files.algorithms) {
            let paths = match known.usage {
                "sig" => &files.signing,
                _ => &files.encryption,
            };
            let file = paths[known.nth].clone();
            all.push(KeyInUse {
                written_at: written_at(&file),
                file,
                kid: known.kid.to_owned(),
                usage: known.usage,
                algorithms: known.algorithms,
                signs: known.signs,
            });
        }
        all
    }
}

fn written_at(file: &Path) -> Option<Timestamp> {
    let modified = std::fs::metadata(file).and_then(|it| it.modified());
    Timestamp::try_from(modified.ok()?).ok()
}

fn make(files: &KeyFiles, contents: &[Zeroizing<Vec<u8>>]) -> Result<OwnKeys, String> {
    let (signing, encryption) = contents.split_at(files.signing.len());
    OwnKeys::read(signing, encryption, &files.algorithms).map_err(|unusable| {
        let file = match unusable {
            UnusableKeys::Signing(nth) => files.signing.get(nth),
            UnusableKeys::Encryption(nth) | UnusableKeys::ForBoth(nth) => files.encryption.get(nth),
            UnusableKeys::NoneFor(_) => files.signing.first(),
        };
        let file = file.map(|file| format!("{}: ", file.display()));
        format!("{}{}", file.unwrap_or_default(), unusable.problem())
    })
}

#[cfg(test)]
mod tests;
