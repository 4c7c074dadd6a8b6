//! The command line: what it prints, how it ends, and that what it starts works.

mod client_keys;
mod configured;
mod demo;
mod events;
mod grants;
mod institution;
mod seal_keys;
mod store_away;

use crate::support::gateway::TestGateway;
use crate::support::guichet::{Ran, run, write};
use crate::support::process::Port;
use tempfile::TempDir;

/// Runs a command on the gateway's own configuration. On a thread of its own, so that the gateway goes on.
async fn guichet(gateway: &TestGateway, arguments: &[&str]) -> Ran {
    let file = gateway.file();
    let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
    let running = tokio::task::spawn_blocking(move || {
        let file = file.to_str().expect("a path").to_owned();
        let arguments = arguments.iter().map(String::as_str);
        run(arguments.chain(["--config", &file]))
    });
    running.await.expect("no panic")
}

/// A configuration as somebody would write it: one client, one institution, a store in the folder.
struct Installation {
    folder: TempDir,
    file: String,
    public: u16,
    operator: u16,
    _ports: [Port; 2],
}

impl Installation {
    fn new() -> Self {
        Self::with_store("sqlite:guichet.sqlite")
    }

    fn with_store(store: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ports = [Port::take(), Port::take()];
        let [public, operator] = [ports[0].number(), ports[1].number()];
        let text = format!(
            r#"public_url = "http://127.0.0.1:{public}"

[listen]
address = "127.0.0.1:{public}"
operator = "127.0.0.1:{operator}"
drain_seconds = 0

[store]
url = "{store}"

[seal]
keys = [{{ id = "2026-01", key_file = "seal.key" }}]

[[clients]]
id = "acme"
name = "Acme Budget"

[[clients.registrations]]
institution = "example_bank"
client_id = "acme-at-example-bank"
client_secret = "issued by the institution"
"#
        );
        let institution = r#"guid = "INS-44444444-4444-4444-8444-444444444444"
code = "example_bank"
name = "Example Bank"
supports_oauth = true

[oauth]
authorization_endpoint = "https://bank.example/authorize"
token_endpoint = "https://bank.example/token"
client_authentication = "client_secret_basic"
scopes = ["accounts"]
"#;
        write(
            folder.path(),
            "seal.key",
            "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n",
        );
        write(folder.path(), "institutions/example_bank.toml", institution);
        let file = write(folder.path(), "guichet.toml", &text);
        Self {
            folder,
            file,
            public,
            operator,
            _ports: ports,
        }
    }

    /// Replaces text in the configuration.
    fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.file).expect("a file");
        assert!(text.contains(from), "{from:?} is not in the configuration");
        std::fs::write(&self.file, text.replacen(from, to, 1)).expect("a file");
    }

    fn check(&self) -> crate::support::guichet::Ran {
        run(["check", "--config", &self.file])
    }

    fn check_online(&self) -> crate::support::guichet::Ran {
        run(["check", "--online", "--config", &self.file])
    }

    fn keys(&self, verb: &str, more: &[&str]) -> crate::support::guichet::Ran {
        let fixed = ["keys", verb, "--config", &self.file, "--client", "acme"];
        run(fixed.into_iter().chain(more.iter().copied()))
    }
}

#[test]
fn the_version_is_the_packages() {
    let ran = run(["--version"]);
    let expected = format!("guichet {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((ran.code, ran.out), (Some(0), expected));
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for arguments in [
        &["dance"][..],
        &["serve"],
        &["demo", "--port-base", "x"],
        &[],
    ] {
        let ran = run(arguments.iter().copied());
        assert_eq!(ran.code, Some(2), "{arguments:?} {ran:?}");
        assert!(ran.err.contains("--help"), "{ran:?}");
    }
}

#[test]
fn the_gallery_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("pages");
    let ran = run(["pages", "--out", out.to_str().expect("text")]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("index.html"), "{ran:?}");
    let index = std::fs::read_to_string(out.join("index.html")).expect("the index");
    for page in ["connected", "cancelled", "expired", "used"] {
        assert!(index.contains(page), "{page}: {index}");
    }
    let written = std::fs::read_dir(&out).expect("a folder").count();
    assert!(written > 10, "{written} files");
    // A file where a folder is wanted.
    let ran = run([
        "pages",
        "--out",
        out.join("index.html").to_str().expect("text"),
    ]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.starts_with("guichet: "), "{ran:?}");
}
