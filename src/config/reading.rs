//! What building a configuration needs in addition to the document: files, the environment, warnings.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::document::{Document, Override, PREFIX};
use super::fault::{ConfigError, Fault, Place, Refused, Warning};
use crate::domain::logo::Logo;

/// The largest logo, in bytes: it is sent with pages that people open on phones.
const LOGO_LIMIT: u64 = 256 * 1024;

/// The environment variables that a configuration may use.
#[derive(Default)]
pub struct Environment(pub(super) BTreeMap<String, String>);

impl Environment {
    /// The variables of this process.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NotText`] when a variable that begins with `GUICHET__` is not UTF-8; others
    /// that are not are left out.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    pub fn of_process() -> Result<Self, ConfigError> {
        let mut variables = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) => {
                    variables.insert(name, value);
                }
                Err(_) if name.starts_with(PREFIX) => return Err(ConfigError::NotText { name }),
                Err(_) => {}
            }
        }
        Ok(Self(variables))
    }

    /// The variables given as names and values.
    pub fn of<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let pair = |(name, value): (N, V)| (name.into(), value.into());
        Self(pairs.into_iter().map(pair).collect())
    }

    pub(super) fn overrides(&self) -> Vec<Override> {
        let ours = self.0.iter().filter(|(name, _)| name.starts_with(PREFIX));
        ours.map(|(name, value)| Override {
            name: name.clone(),
            value: value.clone(),
        })
        .collect()
    }
}

/// A document being turned into settings.
pub struct Reading<'a> {
    pub(super) document: &'a Document,
    folder: &'a Path,
    pub(super) environment: &'a Environment,
    faults: RefCell<Vec<Fault>>,
    elsewhere: Vec<Fault>,
    warnings: Vec<Warning>,
    pub(super) has_secrets: bool,
}

impl<'a> Reading<'a> {
    /// Begins with a `document` whose relative paths start at `folder`.
    pub fn new(document: &'a Document, folder: &'a Path, environment: &'a Environment) -> Self {
        Self {
            document,
            folder,
            environment,
            faults: RefCell::default(),
            elsewhere: Vec::new(),
            warnings: Vec::new(),
            has_secrets: false,
        }
    }

    /// The result with its warnings, or all faults: those of the document in the order of its lines, then
    /// those of the files it names.
    pub fn finish<T>(self, built: Result<T, Refused>) -> Result<(T, Vec<Warning>), ConfigError> {
        let mut faults = self.document.faults().to_vec();
        faults.extend(self.faults.into_inner());
        faults.sort_by_key(|fault| match &fault.place {
            Place::File { line, column, .. } => (*line, *column),
            Place::Variable(_) | Place::Whole(_) => (usize::MAX, 0),
        });
        faults.extend(self.elsewhere);
        match built {
            Ok(built) if faults.is_empty() => Ok((built, self.warnings)),
            _ => Err(ConfigError::Faults(faults)),
        }
    }

    /// Adds the faults and warnings of other files.
    pub fn take_over(&mut self, faults: Vec<Fault>, warnings: Vec<Warning>) {
        self.elsewhere.extend(faults);
        self.warnings.extend(warnings);
    }

    /// Whether the document itself holds a secret.
    pub fn has_secrets(&self) -> bool {
        self.has_secrets
    }

    /// The environment variable of that name, where it is set to something.
    pub fn variable(&self, name: &str) -> Option<&'a str> {
        let value = self.environment.0.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// `path`, taken from the document's folder unless it is absolute.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// Records a fault of the setting of the full name `key`, unless it may be the consequence of another
    /// fault in the same section. Reading may go on; its result is not used.
    pub fn invalid(&self, key: &str, problem: impl Into<String>) -> Refused {
        if self.document.is_section_as_written(key) {
            return self.wrong(key, problem);
        }
        Refused
    }

    /// As [`Self::invalid`], for a value that is wrong whatever the rest of the section is.
    pub fn wrong(&self, key: &str, problem: impl Into<String>) -> Refused {
        let fault = self.document.fault_of(key, problem);
        self.faults.borrow_mut().push(fault);
        Refused
    }

    /// As [`Self::wrong`], for a setting that is missing. If it was written and taken out because it is wrong, that was
    /// reported.
    pub fn missing(&self, key: &str, problem: impl Into<String>) -> Refused {
        match self.is_as_written(key) {
            true => self.wrong(key, problem),
            false => Refused,
        }
    }

    /// Whether `key` and everything under it is as it was written, so that conclusions may rest on it.
    pub fn is_as_written(&self, key: &str) -> bool {
        self.document.is_as_written(key)
    }

    /// Warns about the setting of the full name `key`.
    pub fn warn(&mut self, key: &str, message: impl Into<String>) {
        self.warnings.push(Warning {
            place: self.document.place_of(key),
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// The picture in `file`, whose content must match its name.
    pub fn logo(&self, key: &str, file: Option<&Path>) -> Result<Option<Logo>, Refused> {
        let Some(file) = file else {
            return Ok(None);
        };
        let path = self.path(file);
        let extension = path
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        let bytes = self.file(key, &path, LOGO_LIMIT)?;
        let media_type = match extension.to_ascii_lowercase().as_str() {
            "svg" if is_svg(&bytes) => "image/svg+xml",
            "png" if bytes.starts_with(b"\x89PNG\r\n\x1a\n") => "image/png",
            "jpg" | "jpeg" if bytes.starts_with(b"\xff\xd8\xff") => "image/jpeg",
            "webp" if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") => {
                "image/webp"
            }
            _ => {
                return Err(self.wrong(
                    key,
                    format!(
                        "{} is not an SVG, PNG, JPEG or WebP picture named as such; give one whose \
                         extension says what it is",
                        path.display()
                    ),
                ));
            }
        };
        Ok(Some(Logo {
            media_type,
            bytes: bytes.into(),
        }))
    }

    pub(super) fn file(&self, key: &str, path: &Path, limit: u64) -> Result<Vec<u8>, Refused> {
        let mut bytes = Vec::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            return Err(self.wrong(
                key,
                format!(
                    "{} cannot be read ({error}); check the path and the permissions",
                    path.display()
                ),
            ));
        }
        if bytes.len() as u64 > limit {
            return Err(self.wrong(
                key,
                format!(
                    "{} is larger than {limit} bytes; give a smaller file",
                    path.display()
                ),
            ));
        }
        Ok(bytes)
    }
}

fn is_svg(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.contains("<svg"))
}

/// Whether other users of the machine may read it.
#[cfg(unix)]
pub fn is_readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// Whether other users of the machine may read it; not known on this system.
#[cfg(not(unix))]
pub fn is_readable_by_all(_path: &Path) -> bool {
    false
}
