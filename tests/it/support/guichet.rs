//! The `guichet` command itself, as somebody runs it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The longest that a command may take to begin or to end.
const LIMIT: Duration = Duration::from_secs(30);

fn command<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guichet"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs the command to its end.
pub fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Ran {
    run_in(&[], arguments)
}

/// The same, with these variables in its environment.
pub fn run_in<'a>(
    environment: &[(&str, String)],
    arguments: impl IntoIterator<Item = &'a str>,
) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = command(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .expect("the command starts");
    Ran {
        code: status.code(),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// What a command left.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it said on standard output.
    pub out: String,
    /// What it said on standard error.
    pub err: String,
}

/// A command that runs until it is told to stop; killed when it is dropped.
pub struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    err: TempDir,
    /// The folder it takes for its temporary files.
    pub temporary: TempDir,
}

impl Running {
    /// Starts the command.
    pub fn start<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let err = tempfile::tempdir().expect("a folder");
        let temporary = tempfile::tempdir().expect("a folder");
        let log = File::create(err.path().join("stderr")).expect("a file");
        let mut child = command(arguments)
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the command starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
        Self {
            child,
            out,
            err,
            temporary,
        }
    }

    /// The next line of its standard output; empty when it has ended.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("a line");
        line
    }

    /// What it said on standard error so far.
    pub fn err(&self) -> String {
        fs::read_to_string(self.err.path().join("stderr")).unwrap_or_default()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a state").is_none()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &self.child.id().to_string()])
            .status()
            .expect("kill starts");
        assert!(sent.success(), "no process to stop: {}", self.err());
    }

    /// Sends it a signal, such as `TERM`, and waits for its end; what it left, with the rest of its
    /// standard output.
    ///
    /// # Panics
    ///
    /// If it does not end within half a minute.
    pub fn stop(mut self, signal: &str) -> Ran {
        self.signal(signal);
        let deadline = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a state") {
                break status;
            }
            assert!(Instant::now() < deadline, "does not stop: {}", self.err());
            std::thread::yield_now();
        };
        let mut out = String::new();
        self.out.read_to_string(&mut out).expect("the rest");
        Ran {
            code: status.code(),
            out,
            err: self.err(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Text of a file in a folder.
pub fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(&file, text).expect("a file");
    file.to_str().expect("a path of text").to_owned()
}
