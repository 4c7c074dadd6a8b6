//! The README's walkthrough, pasted as it stands.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::guichet::{Running, write};
use crate::support::package_folder;

/// The shells that people paste into, as they are without any file of the person's own.
const SHELLS: [(&str, &[&str]); 2] = [
    ("bash", &["--noprofile", "--norc", "--noediting", "-i"]),
    (
        "zsh",
        &["-f", "-i", "-o", "no_prompt_sp", "-o", "no_prompt_cr"],
    ),
];

/// The shell block between the two marks.
fn walkthrough() -> String {
    let readme = fs::read_to_string(package_folder().join("README.md")).expect("README.md");
    let (_, rest) = readme
        .split_once("<!-- walkthrough:begin -->")
        .expect("a beginning");
    let (block, _) = rest.split_once("<!-- walkthrough:end -->").expect("an end");
    let script = block.trim().strip_prefix("```sh\n").expect("a shell block");
    script
        .strip_suffix("```")
        .expect("the end of the block")
        .to_owned()
}

/// Types a line into an interactive shell and pastes the walkthrough; the shell ends with what it
/// came to.
fn paste((shell, options): (&str, &[&str]), folder: &Path, demo_json: &Path, line: &str) -> Output {
    let mut running = Command::new(shell)
        .args(options)
        .current_dir(folder)
        .env("DEMO_JSON", demo_json)
        .envs([("PS1", ""), ("PS2", ""), ("HISTFILE", "/dev/null")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shell} (scripts/test installs it): {error}"));
    let mut stdin = running.stdin.take().expect("a pipe");
    write!(stdin, "{line}\n{}\nexit $?\n", walkthrough()).expect("the shell reads");
    drop(stdin);
    running.wait_with_output().expect("the shell ends")
}

#[test]
fn the_walkthrough_works_when_pasted_and_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = Running::start(["demo", "--json", "--port-base", "0"]);
    let said = demo.line();
    assert!(said.starts_with('{'), "{said} {}", demo.err());
    let json = write(folder.path(), "demo.json", &said);
    for shell in SHELLS {
        for _ in 0..2 {
            let ran = paste(shell, folder.path(), Path::new(&json), "");
            let out = String::from_utf8_lossy(&ran.stdout);
            let err = String::from_utf8_lossy(&ran.stderr);
            assert!(ran.status.success(), "{shell:?}: {out}\n{err}");
            // What the text beside the lines promises.
            for line in [
                " is PENDING",
                "data-page=\"connected\"",
                "gets 410",
                "auth_status 2",
                "walkthrough: connected",
            ] {
                assert!(out.contains(line), "{shell:?}, {line}: {out}\n{err}");
            }
            // What bash says without a terminal, and to `exit`.
            let complaints = err.lines().filter(|line| {
                !line.contains("terminal process group")
                    && !line.contains("no job control")
                    && *line != "exit"
            });
            assert_eq!(complaints.count(), 0, "{shell:?}: {err}");
        }
    }
    assert_eq!(demo.stop("TERM").code, Some(0));
}

#[test]
fn the_walkthrough_gives_up_after_a_minute_without_a_demo() {
    let folder = tempfile::tempdir().expect("a folder");
    // A minute that passes at once: each second of it is counted.
    let seconds = folder.path().join("seconds");
    let sleep = folder.path().join("sleep");
    let counting = format!("#!/bin/sh\necho \"$1\" >> '{}'\n", seconds.display());
    fs::write(&sleep, counting).expect("a program");
    fs::set_permissions(&sleep, fs::Permissions::from_mode(0o755)).expect("a program");
    let impatient = format!("PATH='{}':$PATH", folder.path().display());

    // It was never started; it does not respond yet; it was stopped.
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let gone = unused.local_addr().expect("an address");
    drop(unused);
    let stopped = format!("{{\"gateway\":\"http://{gone}\"}}");
    for written in [None, Some(""), Some(stopped.as_str())] {
        let json = folder.path().join("demo.json");
        if let Some(written) = written {
            fs::write(&json, written).expect("a file");
        }
        for shell in SHELLS {
            let ran = paste(shell, folder.path(), &json, &impatient);
            let err = String::from_utf8_lossy(&ran.stderr);
            assert_eq!(ran.status.code(), Some(1), "{shell:?}: {err}");
            assert!(err.contains("no demo after a minute"), "{shell:?}: {err}");
            let waited = fs::read_to_string(&seconds).expect("it waited");
            assert_eq!(waited, "1\n".repeat(60), "{shell:?}");
            fs::remove_file(&seconds).expect("removed");
        }
    }
}
