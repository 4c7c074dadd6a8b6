//! What the configuration accepts, what it refuses, and the messages.

mod all_faults;
mod calls;
mod client_keys;
mod clients;
mod documentation;
mod institutions;
mod refusals;
mod secrets;
mod settings;

use std::path::Path;

use tempfile::TempDir;

use super::{Config, ConfigError, Environment, Warning};

/// The least that loads; tests append sections to it.
const LEAST: &str = "public_url = \"https://connect.example.com\"\n\
                     seal.keys = [{ id = \"k1\", key = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\" }]\n";

/// An institution with OAuth, of the code `bank`.
const BANK: &str = r#"
guid = "INS-0b6c9c3a-6f2e-4b57-9a55-0d1f7f6f2c11"
code = "bank"
name = "Bank"
supports_oauth = true
[oauth]
authorization_endpoint = "https://bank.example/authorize"
token_endpoint = "https://bank.example/token"
client_authentication = "client_secret_basic"
"#;

/// A folder with `institutions/bank.toml` in it, and whatever else a test puts there.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("institutions")).expect("a folder");
    put(folder.path(), "institutions/bank.toml", BANK);
    folder
}

fn put(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file");
}

/// What loading gives.
type Loaded = Result<(Config, Vec<Warning>), ConfigError>;

fn load_in(folder: &Path, text: &str, variables: &[(&str, &str)]) -> Loaded {
    let environment = Environment::of(variables.iter().copied());
    Config::parse(text, &folder.join("guichet.toml"), &environment)
}

/// Loads [`LEAST`] with `more` after it.
fn load(more: &str, variables: &[(&str, &str)]) -> Loaded {
    load_in(folder().path(), &format!("{LEAST}{more}"), variables)
}

/// The message of a refusal, with the folder's own path left out.
fn refusal(folder: &Path, loaded: Loaded) -> String {
    let message = loaded.err().expect("a refusal").to_string();
    message.replace(&format!("{}/", folder.display()), "")
}

/// `text` is line 3 and on of a configuration; the message holds every one of `parts`.
fn check(more: &str, parts: &[&str]) {
    let folder = folder();
    let text = format!("{LEAST}{more}");
    let message = refusal(folder.path(), load_in(folder.path(), &text, &[]));
    for part in parts {
        assert!(
            message.contains(part),
            "{more:?} gave {message:?}, which lacks {part:?}"
        );
    }
}
