//! What building a configuration needs beside the document: files, the environment, warnings.

use std::cell::RefCell;
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
use super::fault::{ConfigError, Fault, Place, Refused, Warning};
use crate::domain::client::{Logo, SigningSecret};
use crate::domain::institution::Institution;

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
    faults: RefCell<Vec<Fault>>,
    elsewhere: Vec<Fault>,
    warnings: Vec<Warning>,
    has_secrets: bool,
}

/// A secret that was found, and where.
struct Found {
    secret: SecretString,
    /// The full name of the key that was written: `key`, `key_file` or `key_env`.
    key: String,
    /// What leads a sentence about it: the file or variable that holds it.
    holder: String,
}

impl Found {
    fn text(&self) -> &str {
        self.secret.expose_secret()
    }

    fn length(&self) -> usize {
        self.text().chars().count()
    }
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

    /// What was built and what is risky, or everything that was found to be wrong: of the document in
    /// the order of its lines, then of the files it names.
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

    /// Takes over what was found in the institutions' files.
    pub fn take_over(&mut self, found: super::institutions::Found) -> Vec<Institution> {
        self.elsewhere.extend(found.faults);
        self.warnings.extend(found.warnings);
        found.institutions
    }

    /// Whether the document itself holds a secret.
    pub fn has_secrets(&self) -> bool {
        self.has_secrets
    }

    /// `path`, taken from the document's folder unless it is absolute.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// Takes down a fault of the setting of the full name `key`, unless it may come from another one
    /// that was found beside it. Reading may go on; what it gives is not used.
    pub fn invalid(&self, key: &str, problem: impl Into<String>) -> Refused {
        if self.document.is_section_as_written(key) {
            return self.wrong(key, problem);
        }
        Refused
    }

    /// As [`Self::invalid`], for what is wrong with a value whatever stands beside it.
    pub fn wrong(&self, key: &str, problem: impl Into<String>) -> Refused {
        let fault = self.document.fault_of(key, problem);
        self.faults.borrow_mut().push(fault);
        Refused
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

    /// The secret of the full name `key`, from wherever it is. Newlines at its end are dropped.
    pub fn secret(&mut self, key: &str, written: Written) -> Result<Option<SecretString>, Refused> {
        Ok(self.found(key, written)?.map(|found| found.secret))
    }

    fn found(&mut self, key: &str, written: Written) -> Result<Option<Found>, Refused> {
        let name = key.rsplit('.').next().unwrap_or(key);
        let (key, holder, text) = match (written.inline, written.file, written.env) {
            (None, None, None) => return Ok(None),
            (Some(Inline(secret)), None, None) => {
                let in_file = matches!(self.document.place_of(key), Some(Place::File { .. }));
                self.has_secrets |= in_file;
                let text = Zeroizing::new(secret.expose_secret().to_owned());
                (key.to_owned(), String::new(), text)
            }
            (None, Some(file), None) => {
                let key = format!("{key}_file");
                let text = self.secret_file(&key, &file)?;
                let holder = format!("{}: ", self.path(&file).display());
                (key, holder, text)
            }
            (None, None, Some(variable)) => {
                let key = format!("{key}_env");
                let Some(value) = self.environment.0.get(&variable) else {
                    let problem = format!(
                        "names the environment variable {variable:?}, which is not set; set it"
                    );
                    return Err(self.wrong(&key, problem));
                };
                let text = Zeroizing::new(value.clone());
                (key, format!("environment variable {variable}: "), text)
            }
            _ => {
                let problem = format!(
                    "is given more than once; keep one of {name}, {name}_file and {name}_env"
                );
                return Err(self.wrong(key, problem));
            }
        };
        let text = self.one_line(&key, &holder, &text)?;
        Ok(Some(Found {
            secret: SecretString::from(text),
            key,
            holder,
        }))
    }

    /// What a secret may look like, whichever way it is given: one line of text. Refuses what no secret
    /// has, and warns of what few have.
    fn one_line<'t>(&mut self, key: &str, holder: &str, text: &'t str) -> Result<&'t str, Refused> {
        let line = text.trim_end_matches(['\r', '\n']);
        let dropped = text[line.len()..].matches('\n').count();
        let refused = if line.is_empty() {
            Some("is empty; give the secret or remove the key".to_owned())
        } else if line.starts_with(['\u{feff}', '\u{fffe}']) {
            Some("begins with a byte order mark; write it as UTF-8 without one".to_owned())
        } else if line.contains('\n') {
            Some(format!(
                "has {} lines; keep the one that is the secret",
                line.lines().count()
            ))
        } else {
            let control = line.chars().position(char::is_control);
            control.map(|at| {
                let sign = line.chars().nth(at).map_or(0, u32::from);
                format!(
                    "has a control character (U+{sign:04X}) as character {} of {}; write it anew",
                    at + 1,
                    line.chars().count()
                )
            })
        };
        if let Some(problem) = refused {
            return Err(self.wrong(key, format!("{holder}{problem}")));
        }
        if dropped > 1 {
            let message = format!(
                "{holder}ends with {dropped} newlines, which are not taken as part of the secret; \
                 remove all but one"
            );
            self.warn(key, message);
        }
        if line.starts_with(char::is_whitespace) || line.ends_with(char::is_whitespace) {
            let message = format!(
                "{holder}begins or ends with a space, which is taken as part of the secret; remove \
                 it unless it is meant"
            );
            self.warn(key, message);
        }
        let quotes = [
            '"', '\'', '`', '\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}',
        ];
        if line.starts_with(quotes) || line.ends_with(quotes) {
            let message = format!(
                "{holder}begins or ends with a quotation mark, which is taken as part of the \
                 secret; remove it unless it is meant"
            );
            self.warn(key, message);
        }
        Ok(line)
    }

    /// As [`Self::secret`], for an address in which only a password is secret.
    pub fn store_url(
        &mut self,
        key: &str,
        written: Written,
    ) -> Result<Option<SecretString>, Refused> {
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
    ) -> Result<Option<SecretString>, Refused> {
        let Some(found) = self.found(key, written)? else {
            return Ok(None);
        };
        if found.length() < SHORTEST_KEY {
            let problem = format!(
                "{}is {} characters long, shorter than {SHORTEST_KEY} characters, and could be \
                 guessed; make one with: openssl rand -hex 32",
                found.holder,
                found.length()
            );
            return Err(self.wrong(&found.key, problem));
        }
        Ok(Some(found.secret))
    }

    /// As [`Self::secret`], for a Standard Webhooks secret: `whsec_` and 24 to 64 bytes in base64.
    pub fn signing_secret(
        &mut self,
        key: &str,
        written: Written,
    ) -> Result<Option<SigningSecret>, Refused> {
        let Some(found) = self.found(key, written)? else {
            return Ok(None);
        };
        let bytes = found.text().strip_prefix("whsec_");
        let bytes = bytes
            .and_then(|text| STANDARD.decode(text).ok())
            .map(Zeroizing::new);
        match bytes {
            Some(bytes) if (24..=64).contains(&bytes.len()) => Ok(Some(SigningSecret(bytes))),
            bytes => {
                let problem = format!(
                    "{}is not a signing secret; write whsec_ and 24 to 64 bytes in base64, made \
                     with: echo whsec_$(openssl rand -base64 32). Found: {}",
                    found.holder,
                    amount(&found, bytes.map(|bytes| bytes.len()))
                );
                Err(self.wrong(&found.key, problem))
            }
        }
    }

    /// As [`Self::secret`], for a key of 32 bytes in base64.
    pub fn seal_key(
        &mut self,
        key: &str,
        written: Written,
    ) -> Result<Option<Zeroizing<[u8; 32]>>, Refused> {
        let Some(found) = self.found(key, written)? else {
            return Ok(None);
        };
        let bytes = STANDARD.decode(found.text()).ok().map(Zeroizing::new);
        let mut sealing = Zeroizing::new([0; 32]);
        match bytes {
            Some(bytes) if bytes.len() == sealing.len() => {
                sealing.copy_from_slice(&bytes);
                Ok(Some(sealing))
            }
            bytes => {
                let problem = format!(
                    "{}is not 32 bytes in base64; make one with: openssl rand -base64 32. Found: {}",
                    found.holder,
                    amount(&found, bytes.map(|bytes| bytes.len()))
                );
                Err(self.wrong(&found.key, problem))
            }
        }
    }

    fn secret_file(&mut self, key: &str, file: &Path) -> Result<Zeroizing<String>, Refused> {
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
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(_) => {
                let problem = format!("{} is not text; write it as UTF-8", path.display());
                Err(self.wrong(key, problem))
            }
        }
    }

    /// The picture in `file`, which must be what its name says.
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

    fn file(&self, key: &str, path: &Path, limit: u64) -> Result<Vec<u8>, Refused> {
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

/// How much a secret is, in words that do not give it away.
fn amount(found: &Found, decoded: Option<usize>) -> String {
    let characters = found.length();
    match decoded {
        Some(bytes) => format!("{characters} characters that hold {bytes} bytes"),
        None => format!("{characters} characters of another form"),
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
