//! What building a configuration needs beside the document: files, the environment, warnings.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{Deserialize, Deserializer, Visitor};
use zeroize::Zeroizing;

use super::document::{Document, Override, PREFIX};
use super::fault::{ConfigError, Place, Warning};
use crate::domain::client::{Logo, SigningSecret};

/// The largest file a secret is read from, in bytes.
const SECRET_FILE_LIMIT: u64 = 16 * 1024;

/// The largest logo, in bytes: it is sent with pages that people open on phones.
const LOGO_LIMIT: u64 = 256 * 1024;

/// The fewest characters a key that opens something may have.
const SHORTEST_KEY: usize = 16;

/// The environment variables that a configuration may draw on.
#[derive(Default)]
pub struct Environment(BTreeMap<String, String>);

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

/// A secret as written in the document. Refuses other types without quoting them.
#[derive(Clone)]
pub struct Inline(SecretString);

impl<'de> Deserialize<'de> for Inline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Inline;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text in quotes")
            }

            fn visit_str<E>(self, text: &str) -> Result<Inline, E> {
                Ok(Inline(SecretString::from(text)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The three ways to give one secret: `key`, `key_file` and `key_env`.
pub struct Written {
    /// The secret itself.
    pub inline: Option<Inline>,
    /// A file that holds it.
    pub file: Option<PathBuf>,
    /// An environment variable that holds it.
    pub env: Option<String>,
}

/// A document being turned into settings.
pub struct Reading<'a> {
    document: &'a Document,
    folder: &'a Path,
    environment: &'a Environment,
    warnings: Vec<Warning>,
    has_secrets: bool,
}

impl<'a> Reading<'a> {
    /// Begins with a `document` whose relative paths start at `folder`.
    pub fn new(document: &'a Document, folder: &'a Path, environment: &'a Environment) -> Self {
        Self {
            document,
            folder,
            environment,
            warnings: Vec::new(),
            has_secrets: false,
        }
    }

    /// What was found to be risky.
    pub fn into_warnings(self) -> Vec<Warning> {
        self.warnings
    }

    /// Whether the document itself holds a secret.
    pub fn has_secrets(&self) -> bool {
        self.has_secrets
    }

    /// `path`, taken from the document's folder unless it is absolute.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// An error about the setting of the full name `key`.
    pub fn invalid(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        self.document.invalid(key, problem)
    }

    /// Warns about the setting of the full name `key`.
    pub fn warn(&mut self, key: &str, message: impl Into<String>) {
        self.warnings.push(Warning {
            place: self.document.place_of(key),
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// Takes over warnings found elsewhere.
    pub fn warn_all(&mut self, warnings: Vec<Warning>) {
        self.warnings.extend(warnings);
    }

    /// The secret of the full name `key`, from wherever it is; a newline at its end is dropped.
    pub fn secret(
        &mut self,
        key: &str,
        written: Written,
    ) -> Result<Option<SecretString>, ConfigError> {
        let name = key.rsplit('.').next().unwrap_or(key);
        let secret = match (written.inline, written.file, written.env) {
            (None, None, None) => return Ok(None),
            (Some(Inline(secret)), None, None) => {
                let in_file = matches!(self.document.place_of(key), Some(Place::File { .. }));
                self.has_secrets |= in_file;
                secret
            }
            (None, Some(file), None) => self.secret_file(&format!("{key}_file"), &file)?,
            (None, None, Some(variable)) => match self.environment.0.get(&variable) {
                Some(value) => SecretString::from(value.as_str()),
                None => {
                    return Err(self.invalid(
                        &format!("{key}_env"),
                        format!(
                            "names the environment variable {variable:?}, which is not set; set it"
                        ),
                    ));
                }
            },
            _ => {
                return Err(self.invalid(
                    key,
                    format!(
                        "is given more than once; keep one of {name}, {name}_file and {name}_env"
                    ),
                ));
            }
        };
        if secret.expose_secret().is_empty() {
            return Err(self.invalid(key, "is empty; give the secret or remove the key"));
        }
        Ok(Some(secret))
    }

    /// As [`Self::secret`], for an address in which only a password is secret.
    pub fn store_url(
        &mut self,
        key: &str,
        written: Written,
    ) -> Result<Option<SecretString>, ConfigError> {
        let had_secrets = self.has_secrets;
        let url = self.secret(key, written)?;
        let has_password = url
            .as_ref()
            .is_some_and(|url| url.expose_secret().contains('@'));
        self.has_secrets = had_secrets || self.has_secrets && has_password;
        Ok(url)
    }

    /// As [`Self::secret`], for keys that open a door of ours and must resist guessing.
    pub fn door_key(
        &mut self,
        key: &str,
        written: Written,
    ) -> Result<Option<SecretString>, ConfigError> {
        let secret = self.secret(key, written)?;
        let length = secret.as_ref().map(|s| s.expose_secret().chars().count());
        if length.is_some_and(|length| length < SHORTEST_KEY) {
            return Err(self.invalid(
                key,
                format!(
                    "is shorter than {SHORTEST_KEY} characters and could be guessed; make one \
                     with: openssl rand -hex 32"
                ),
            ));
        }
        Ok(secret)
    }

    /// As [`Self::secret`], for a Standard Webhooks secret: `whsec_` and 24 to 64 bytes in base64.
    pub fn signing_secret(
        &mut self,
        key: &str,
        written: Written,
    ) -> Result<Option<SigningSecret>, ConfigError> {
        let Some(secret) = self.secret(key, written)? else {
            return Ok(None);
        };
        let bytes = secret.expose_secret().strip_prefix("whsec_");
        let bytes = bytes
            .and_then(|text| STANDARD.decode(text).ok())
            .map(Zeroizing::new);
        match bytes {
            Some(bytes) if (24..=64).contains(&bytes.len()) => Ok(Some(SigningSecret(bytes))),
            _ => Err(self.invalid(
                key,
                "is not a signing secret; write whsec_ and 24 to 64 bytes in base64, made with: \
                 echo whsec_$(openssl rand -base64 32)",
            )),
        }
    }

    fn secret_file(&mut self, key: &str, file: &Path) -> Result<SecretString, ConfigError> {
        let path = self.path(file);
        let bytes = Zeroizing::new(self.file(key, &path, SECRET_FILE_LIMIT)?);
        if is_readable_by_all(&path) {
            self.warn(
                key,
                format!(
                    "every user of this machine can read {}; run: chmod o-rwx {0}",
                    path.display()
                ),
            );
        }
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return Err(self.invalid(key, format!("{} is not text", path.display())));
        };
        let text = text.strip_suffix('\n').unwrap_or(text);
        Ok(SecretString::from(text.strip_suffix('\r').unwrap_or(text)))
    }

    /// The picture in `file`, which must be what its name says.
    pub fn logo(&self, key: &str, file: Option<&Path>) -> Result<Option<Logo>, ConfigError> {
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
                return Err(self.invalid(
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

    fn file(&self, key: &str, path: &Path, limit: u64) -> Result<Vec<u8>, ConfigError> {
        let mut bytes = Vec::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            return Err(self.invalid(
                key,
                format!(
                    "{} cannot be read ({error}); check the path and the permissions",
                    path.display()
                ),
            ));
        }
        if bytes.len() as u64 > limit {
            return Err(self.invalid(
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

/// Whether users who have nothing to do with the file may read it.
#[cfg(unix)]
pub fn is_readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// Whether users who have nothing to do with the file may read it; not known on this system.
#[cfg(not(unix))]
pub fn is_readable_by_all(_path: &Path) -> bool {
    false
}
