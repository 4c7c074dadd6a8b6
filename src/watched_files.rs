//! Files that are read again when they change, without a restart.
//!
//! Nothing tells of a change: whoever owns them looks, again and again, at what the files hold. Where several files make
//! one thing, somebody who replaces them one after the other makes it unsound for a moment. So what is unsound is told
//! only when it is found a second time, and what was read last stays in use.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_lc_rs::digest::{Context, SHA256};
use zeroize::Zeroizing;

/// The largest file that is read, in bytes.
const LIMIT: u64 = 64 * 1024;

/// What makes one thing of what the files hold; the text says why that cannot be done, without anything of them.
type Make<T> = fn(&[Zeroizing<Vec<u8>>]) -> Result<T, String>;

/// Files, and what was made of them last. Cannot be printed: they may hold secrets.
pub struct WatchedFiles<T> {
    paths: Vec<PathBuf>,
    make: Make<T>,
    current: RwLock<Arc<T>>,
    seen: Mutex<Seen>,
}

/// What the files held.
struct Seen {
    /// When something could be made of them last.
    sound: Vec<u8>,
    /// Since then: what is wrong, and whether that was told.
    unsound: Option<(Vec<u8>, bool)>,
}

/// Why nothing can be made of files. Holds nothing of what is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsound(String);

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsound {}

/// What a look at files found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing to tell.
    Unchanged,
    /// They changed, and what they hold now is in use.
    Changed,
    /// They changed, and cannot be used; what they held before stays in use. This is told once.
    Unsound(Unsound),
}

impl<T> WatchedFiles<T> {
    /// Reads the files for the first time.
    ///
    /// # Errors
    ///
    /// [`Unsound`]: a file cannot be read, or `make` refuses what they hold.
    pub fn open(paths: Vec<PathBuf>, make: Make<T>) -> Result<Self, Unsound> {
        let contents = read(&paths)?;
        let made = make(&contents).map_err(Unsound)?;
        Ok(Self {
            paths,
            make,
            current: RwLock::new(Arc::new(made)),
            seen: Mutex::new(Seen {
                sound: digest(&contents),
                unsound: None,
            }),
        })
    }

    /// What was made of them last.
    pub fn current(&self) -> Arc<T> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    /// Looks at them again. This blocks, for as long as reading them takes.
    pub fn look(&self) -> Look {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, made) = match read(&self.paths) {
            Ok(contents) => {
                let found = digest(&contents);
                if found == seen.sound {
                    seen.unsound = None;
                    return Look::Unchanged;
                }
                (found, (self.make)(&contents).map_err(Unsound))
            }
            Err(unsound) => (unsound.0.clone().into_bytes(), Err(unsound)),
        };
        match made {
            Ok(made) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(made);
                *seen = Seen {
                    sound: found,
                    unsound: None,
                };
                Look::Changed
            }
            Err(unsound) => match &mut seen.unsound {
                Some((before, is_told)) if *before == found => {
                    match std::mem::replace(is_told, true) {
                        true => Look::Unchanged,
                        false => Look::Unsound(unsound),
                    }
                }
                _ => {
                    seen.unsound = Some((found, false));
                    Look::Unchanged
                }
            },
        }
    }
}

fn read(paths: &[PathBuf]) -> Result<Vec<Zeroizing<Vec<u8>>>, Unsound> {
    paths.iter().map(|path| read_one(path)).collect()
}

fn read_one(path: &Path) -> Result<Zeroizing<Vec<u8>>, Unsound> {
    let size = usize::try_from(LIMIT + 1).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(Unsound(format!("{}: {error}", path.display()))),
        Ok(length) if length as u64 > LIMIT => {
            let problem = format!("{}: it is larger than {LIMIT} bytes", path.display());
            Err(Unsound(problem))
        }
        Ok(_) => Ok(bytes),
    }
}

/// Tells contents apart.
fn digest(contents: &[Zeroizing<Vec<u8>>]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for content in contents {
        context.update(&content.len().to_be_bytes());
        context.update(content);
    }
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two files are sound if they hold the same.
    fn same(contents: &[Zeroizing<Vec<u8>>]) -> Result<String, String> {
        match contents {
            [one, other] if one == other => Ok(String::from_utf8_lossy(one).into_owned()),
            _ => Err("they differ".to_owned()),
        }
    }

    #[test]
    fn x2_what_changed_is_used_at_the_next_look_and_what_stays_unsound_is_told_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = ["one", "other"].map(|name| folder.path().join(name));
        let write = |nth: usize, text: &str| std::fs::write(&paths[nth], text).expect("written");
        let open = || WatchedFiles::open(paths.to_vec(), same);
        let missing = open().err().expect("nothing is there").to_string();
        assert!(missing.contains("one: "), "{missing}");
        write(0, "a");
        write(1, "b");
        assert_eq!(open().err(), Some(Unsound("they differ".to_owned())));
        write(1, "a");
        let files = open().expect("they are the same");
        assert_eq!(files.look(), Look::Unchanged);
        // One after the other: nobody is told of the moment between.
        write(0, "c");
        assert_eq!(files.look(), Look::Unchanged);
        assert_eq!(*files.current(), "a");
        write(1, "c");
        assert_eq!(files.look(), Look::Changed);
        assert_eq!(*files.current(), "c");
        // It stays so: told at the second look, and then no more.
        write(0, "d");
        let told = Look::Unsound(Unsound("they differ".to_owned()));
        let looks = [(); 4].map(|()| files.look());
        assert_eq!(
            looks,
            [Look::Unchanged, told, Look::Unchanged, Look::Unchanged]
        );
        assert_eq!(*files.current(), "c");
        write(0, "c");
        assert_eq!(files.look(), Look::Unchanged, "as it was");
        std::fs::remove_file(&paths[0]).expect("removed");
        assert_eq!(files.look(), Look::Unchanged);
        assert!(matches!(files.look(), Look::Unsound(_)));
        write(0, &"x".repeat(70_000));
        assert_eq!(files.look(), Look::Unchanged);
        let Look::Unsound(large) = files.look() else {
            panic!("it is too large");
        };
        assert!(large.to_string().contains("larger than"), "{large}");
    }
}
