//! What the tests lean on. Every double runs on the loopback interface on a free port and
//! ends with the test, or at the latest with the test binary.

pub mod aggregation;
pub mod at_the_bank;
pub mod behaviour;
pub mod browser;
pub mod clients;
pub mod dump;
pub mod fake_bank;
pub mod fleet;
pub mod gateway;
pub mod guichet;
pub mod interop;
pub mod line;
pub mod loopback;
pub mod process;
pub mod receiver;
pub mod redis;
pub mod relay;
pub mod sandbox;
pub mod served;
pub mod settings;
pub mod strict_bank;
pub mod tls;
pub mod traffic;
pub mod visitor;

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// A fresh value nobody can have seen before: 256 random bits as 43 URL-safe characters.
pub fn random_token() -> String {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The folder of the package, so that a test finds its files whatever the working folder is.
pub fn package_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program named by the environment variable `variable`, which `scripts/test` sets, or
/// else `default`, looked up on the search path as usual.
#[expect(
    clippy::disallowed_methods,
    reason = "tests learn the programs they need from scripts/test, not from a configuration"
)]
pub fn program(variable: &str, default: impl Into<PathBuf>) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| default.into(), PathBuf::from)
}
