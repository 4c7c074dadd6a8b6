//! `guichet demo` as a process, and its API as a member service calls it.

use std::path::Path;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::support::gateway::Backend;
use crate::support::process::Guarded;
use crate::support::redis::Redis;
use crate::support::visitor::http;

/// The institution with pages, by its published code.
pub const BANK: &str = "mx_bank_oauth";

/// Its twin that approves at once.
pub const AUTO_BANK: &str = "mx_bank_oauth_auto";

/// What `guichet demo --json` prints when it is ready.
#[derive(Deserialize)]
struct Ready {
    gateway: Url,
    bank: Url,
    app: Url,
    nexus: Nexus,
}

#[derive(Deserialize)]
struct Nexus {
    session_token: String,
}

/// A running demo.
pub struct Demo {
    pub gateway: Url,
    pub bank: Url,
    pub app: Url,
    session: String,
    _process: Guarded,
}

impl Demo {
    /// The demo that the tests of this binary share, one for each store, started by the first
    /// test that asks. Each test has members of its own in it.
    pub fn shared(backend: Backend) -> &'static Self {
        static SQLITE: OnceLock<Demo> = OnceLock::new();
        static REDIS: OnceLock<Demo> = OnceLock::new();
        let shared = match backend {
            Backend::Sqlite => &SQLITE,
            Backend::Redis => &REDIS,
        };
        shared.get_or_init(|| Self::start(backend, &[]))
    }

    /// A demo that no other test has members in, for those that connect from the app: it takes up
    /// whichever member of its user is pending.
    pub fn alone(backend: Backend) -> Self {
        Self::start(backend, &[])
    }

    /// The same, whose app confirms its flows.
    pub fn confirming(backend: Backend) -> Self {
        Self::start(backend, &["--confirm"])
    }

    fn start(backend: Backend, options: &[&str]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("guichet-demo-")
            .tempdir()
            .expect("a temporary folder")
            .keep();
        let data = folder.join("data").to_string_lossy().into_owned();
        let arguments = ["demo", "--json", "--port-base", "0", "--data", &data];
        let arguments = arguments.iter().chain(options);
        let mut arguments: Vec<String> = arguments.map(|it| (*it).to_owned()).collect();
        if backend == Backend::Redis {
            arguments.extend(["--store".to_owned(), Redis::shared().fresh_database()]);
        }
        let program = Path::new(env!("CARGO_BIN_EXE_guichet"));
        let log = folder.join("demo.log");
        let process = Guarded::start(program, arguments, &log, Some(&folder));
        // A line still being written has no end yet and does not parse.
        let printed = || {
            let said = process.log();
            said.lines()
                .find_map(|line| serde_json::from_str::<Ready>(line).ok())
        };
        let ready = process.wait_for(printed);
        Self {
            gateway: ready.gateway,
            bank: ready.bank,
            app: ready.app,
            session: ready.nexus.session_token,
            _process: process,
        }
    }

    /// Creates a member at the institution `code`, with further `options` in the body; its guid
    /// and its link.
    pub async fn mint(&self, code: &str, options: Value) -> (String, String) {
        let mut body = json!({"member": {"institution_code": code, "is_oauth": true}});
        let more = options.as_object().cloned().unwrap_or_default();
        body.as_object_mut().expect("an object").extend(more);
        let minted = self.nexus("POST", "/members", Some(body)).await;
        let text = |name: &str| minted["member"][name].as_str().map(str::to_owned);
        text("guid")
            .zip(text("oauth_window_uri"))
            .unwrap_or_else(|| panic!("no link in {minted}"))
    }

    /// The member as the API gives it.
    pub async fn member(&self, guid: &str) -> Value {
        let path = format!("/members/{guid}");
        self.nexus("GET", &path, None).await["member"].clone()
    }

    /// The member's newest OAuth state.
    pub async fn state(&self, guid: &str) -> Value {
        let path = format!("/oauth_states?outbound_member_guid={guid}");
        self.nexus("GET", &path, None).await["oauth_states"][0].clone()
    }

    /// A call of the Nexus API that has to succeed.
    pub async fn nexus(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let url = self.gateway.join(path).expect("a path");
        let mut request = http()
            .request(method.parse().expect("a method"), url)
            .header("MD-SESSION-TOKEN", &self.session);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("a response");
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}
