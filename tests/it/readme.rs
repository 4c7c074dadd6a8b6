//! The README's walkthrough, pasted as it stands.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::guichet::{Running, write};
use crate::support::package_folder;

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

#[test]
fn the_walkthrough_works_when_pasted_and_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = Running::start(["demo", "--json", "--port-base", "0"]);
    let said = demo.line();
    assert!(said.starts_with('{'), "{said} {}", demo.err());
    let json = write(folder.path(), "demo.json", &said);
    let script = write(folder.path(), "walkthrough.sh", &walkthrough());
    for _ in 0..2 {
        let ran = Command::new("bash")
            .arg(&script)
            .current_dir(folder.path())
            .env("DEMO_JSON", &json)
            .stdin(Stdio::null())
            .output()
            .expect("bash starts");
        let out = String::from_utf8_lossy(&ran.stdout);
        let err = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{out}\n{err}");
        assert_eq!(
            out.lines().last(),
            Some("walkthrough: connected"),
            "{out}\n{err}"
        );
        assert!(err.is_empty(), "{err}");
        // What the text beside the lines promises.
        for line in [
            " is PENDING",
            "data-page=\"connected\"",
            "gets 410",
            "auth_status 2",
        ] {
            assert!(out.contains(line), "{line}: {out}");
        }
    }
    assert_eq!(demo.stop("TERM").code, Some(0));
}
