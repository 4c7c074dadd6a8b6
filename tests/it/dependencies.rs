//! What may be in the server's tree of dependencies.
//!
//! `cargo tree` is asked, and not `cargo metadata`: that one also lists what an optional feature would bring
//! and nobody switched on.

use std::collections::BTreeMap;
use std::process::Command;

use spdx::{Expression, LicenseReq, ParseMode};

use crate::support::package_folder;

/// Licences that ask for no more than to be named, as SPDX writes them.
const LICENCES: [&str; 9] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// Everything that is built into the server on this machine, by name, with its licence.
fn built(options: &[&str]) -> BTreeMap<String, String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", "guichet"])
        .args(["--edges", "normal,build", "--prefix", "none"])
        .args(["--format", "{p}|{l}"])
        .args(options)
        .current_dir(package_folder())
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines().filter_map(|line| {
        let (package, licence) = line.split_once('|')?;
        let name = package.split_whitespace().next()?;
        // A package that was listed before is marked so.
        Some((name.to_owned(), licence.trim_end_matches(" (*)").to_owned()))
    });
    lines.collect()
}

#[test]
fn every_licence_is_on_the_list() {
    let is_listed = |required: &LicenseReq| {
        let name = required.license.to_string();
        LICENCES.contains(&name.as_str())
    };
    let built = built(&[]);
    assert!(built.len() > 100, "{built:?}");
    for (name, licence) in built {
        let expression = Expression::parse_mode(&licence, ParseMode::LAX);
        let expression = expression.unwrap_or_else(|error| panic!("{name} {licence:?}: {error}"));
        assert!(expression.evaluate(is_listed), "{name} {licence:?}");
    }
}

#[test]
fn one_library_does_tls_and_one_cryptography() {
    let built = built(&[]);
    for wanted in ["rustls", "aws-lc-rs"] {
        assert!(built.contains_key(wanted), "{wanted}");
    }
    for other in ["ring", "openssl", "openssl-sys", "native-tls", "boring"] {
        assert!(!built.contains_key(other), "{other}");
    }
}

#[test]
fn the_sandbox_is_left_out_with_the_demo() {
    assert!(built(&[]).contains_key("guichet-sandbox"));
    assert!(!built(&["--no-default-features"]).contains_key("guichet-sandbox"));
}
