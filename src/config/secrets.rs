//! Secrets: the three ways to give one, and the checks for all of them.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{Deserialize, Deserializer, Visitor};
use zeroize::Zeroizing;

use super::fault::{Place, Refused};
use super::reading::{Reading, is_readable_by_all};
use crate::domain::client::SigningSecret;

/// The largest file a secret is read from, in bytes.
const SECRET_FILE_LIMIT: u64 = 16 * 1024;

/// The fewest characters of a key that callers present to us.
const SHORTEST_KEY: usize = 16;

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

/// A secret that was found, and where.
struct Found {
    secret: SecretString,
    /// The full name of the key that was written: `key`, `key_file` or `key_env`.
    key: String,
    /// The beginning of a message about it: the file or variable that holds it.
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

impl Reading<'_> {
    /// The secret of the full name `key`, whichever way it is given. Newlines at its end are dropped.
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

    /// Checks that a secret is one line of text. Refuses characters that no secret has, and warns of
    /// those that few have.
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

    /// As [`Self::secret`], for keys that callers present to us. A short one could be guessed, so it is refused.
    pub fn caller_key(
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
}

/// The size of a secret, in words that do not reveal it.
fn amount(found: &Found, decoded: Option<usize>) -> String {
    let characters = found.length();
    match decoded {
        Some(bytes) => format!("{characters} characters that hold {bytes} bytes"),
        None => format!("{characters} characters of another form"),
    }
}
