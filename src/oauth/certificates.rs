//! The certificates that clients show to institutions in TLS (RFC 8705).

use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::transport_error::SetupError;
use crate::client_certificate::ClientCertificate;
use crate::domain::client::CertificateFiles;
use crate::watched_files::{Look, WatchedFiles};

/// The certificates, by their files. They are read again when their files change.
#[derive(Default)]
pub struct Certificates(BTreeMap<CertificateFiles, WatchedFiles<ClientCertificate>>);

impl Certificates {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// Files cannot be read, or do not hold a certificate and its key.
    pub fn open<'a>(
        files: impl IntoIterator<Item = &'a CertificateFiles>,
    ) -> Result<Self, SetupError> {
        let mut all = BTreeMap::new();
        for files in files {
            let paths = vec![files.certificate.clone(), files.key.clone()];
            let opened = WatchedFiles::open(paths, make).map_err(|unsound| {
                let certificate = files.certificate.display();
                SetupError(format!("the client certificate {certificate}: {unsound}"))
            })?;
            all.insert(files.clone(), opened);
        }
        Ok(Self(all))
    }

    /// The one that these files hold now.
    pub fn current(&self, files: &CertificateFiles) -> Option<Arc<ClientCertificate>> {
        self.0.get(files).map(WatchedFiles::current)
    }

    /// Looks at the files again; this blocks. Returns what was found of each.
    pub fn look(&self) -> Vec<(CertificateFiles, Look)> {
        let each = self.0.iter();
        each.map(|(files, watched)| (files.clone(), watched.look()))
            .collect()
    }
}

fn make(contents: &[Zeroizing<Vec<u8>>]) -> Result<ClientCertificate, String> {
    let [certificates, key] = contents else {
        return Err("it is made of two files".to_owned());
    };
    ClientCertificate::read(certificates, key).map_err(|error| error.to_string())
}
