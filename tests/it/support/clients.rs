//! The clients of `tests/clients`, which others wrote: the official SDK, and schemathesis.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{package_folder, program};

/// A command of the Python that has the clients, with `arguments`; it reaches nothing but the
/// machine itself, and leaves no compiled files behind.
pub fn python<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let installed = package_folder().join("tests/clients/.venv/bin/python");
    let default = if installed.exists() {
        installed
    } else {
        PathBuf::from("python3")
    };
    let mut command = Command::new(program("GUICHET_TEST_PYTHON", default));
    command
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "*")
        .stdin(Stdio::null());
    command
}

/// A client on one of the journeys of a script; killed when it is dropped.
pub struct Sdk {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    errors: TempDir,
}

impl Sdk {
    /// Starts a journey of the official SDK; `demo` is the line that `guichet demo --json` printed.
    ///
    /// # Panics
    ///
    /// If there is no Python.
    pub fn start(journey: &str, demo: &str) -> Self {
        Self::run("platform_sdk.py", journey, demo)
    }

    /// Starts the journey of the client that is generated from the description of `version`.
    ///
    /// # Panics
    ///
    /// As [`Sdk::start`].
    pub fn typed(version: &str, demo: &str) -> Self {
        Self::run("typed_client.py", version, demo)
    }

    fn run(script: &str, journey: &str, demo: &str) -> Self {
        let script = package_folder().join("tests/clients").join(script);
        let script = script.to_str().expect("a path of text");
        let errors = tempfile::tempdir().expect("a folder");
        let log = File::create(errors.path().join("stderr")).expect("a file");
        let mut child = python([script, journey])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("Python starts");
        let mut to = child.stdin.take().expect("a pipe was asked for");
        let told = to.write_all(format!("{}\n", demo.trim()).as_bytes());
        told.expect("the script listens");
        let from = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
        Self {
            child,
            to,
            from,
            errors,
        }
    }

    /// What it saw at its next step.
    ///
    /// # Panics
    ///
    /// If that is not the step `name`; the message has what the SDK complained of.
    pub fn step(&mut self, name: &str) -> Value {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("a line");
        let seen: Value = serde_json::from_str(&line).unwrap_or_default();
        assert_eq!(seen["step"], name, "{line} {}", self.complaints());
        seen
    }

    /// Tells it that it may go on.
    pub fn go_on(&mut self) {
        self.to.write_all(b"\n").expect("the script listens");
    }

    /// Waits for its end, which has to be a good one.
    ///
    /// # Panics
    ///
    /// If it has more to say, or failed.
    pub fn ends(mut self) {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("the end");
        let status = self.child.wait().expect("a status");
        assert!(
            line.is_empty() && status.success(),
            "{line} {}",
            self.complaints()
        );
    }

    fn complaints(&self) -> String {
        fs::read_to_string(self.errors.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
