//! The API tried against its own description, by schemathesis: whatever the description allows,
//! and much that it does not, is sent, and every answer has to be one that it describes.

use std::fs;

use serde_json::{Value, json};

use crate::support::clients::python;
use crate::support::gateway::Backend;
use crate::support::guichet::{Running, write};
use crate::support::package_folder;
use crate::support::redis::Redis;
use crate::support::visitor::http;

/// The bank that takes a name and a password.
const BANK: &str = "mxbank";

crate::on_both_stores!(every_answer_is_described);

/// A demo, and the secrets and guids that a call may need, by their names in the settings.
struct World {
    _demo: Running,
    _data: tempfile::TempDir,
    gateway: String,
    known: Vec<(&'static str, String)>,
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

impl World {
    async fn start(backend: Backend) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let folder = data.path().join("demo");
        let folder = folder.to_str().expect("a path of text");
        let mut arguments = vec!["demo", "--json", "--port-base", "0", "--data", folder];
        let store;
        if backend == Backend::Redis {
            store = Redis::shared().fresh_database();
            arguments.extend(["--store", &store]);
        }
        let mut demo = Running::start(arguments);
        let line = demo.line();
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        assert!(said.is_object(), "{line} {}", demo.err());
        let configured = fs::read_to_string(data.path().join("demo/guichet.toml"));
        let configured: toml::Value =
            toml::from_str(&configured.expect("a configuration")).expect("TOML");
        let configured: Value = serde_json::to_value(configured).expect("a tree");
        let mut world = Self {
            _demo: demo,
            _data: data,
            gateway: text(&said["gateway"]),
            known: vec![
                ("CLIENT", text(&said["platform"]["client_id"])),
                ("API_KEY", text(&said["platform"]["api_key"])),
                ("SESSION", text(&said["nexus"]["session_token"])),
                ("SSO_KEY", text(&configured["clients"][0]["sso_key"])),
                ("AGGREGATOR_KEY", text(&configured["aggregator"]["key"])),
                ("USER", text(&said["nexus"]["user_guid"])),
            ],
        };
        world.make_members().await;
        world
    }

    /// Gives the user two members, one of each kind, and knows them.
    async fn make_members(&mut self) {
        let fields = self
            .nexus("GET", &format!("/institutions/{BANK}/credentials"), None)
            .await;
        let fields = fields["credentials"].as_array().cloned();
        let credentials: Vec<Value> = fields
            .expect("the bank's fields")
            .iter()
            .map(|field| json!({"guid": field["guid"], "value": "ada"}))
            .collect();
        let standard = json!({"member": {"institution_code": BANK, "credentials": credentials}});
        let oauth = json!({"member": {"institution_code": "mx_bank_oauth", "is_oauth": true}});
        for (name, body) in [("MEMBER", standard), ("OAUTH_MEMBER", oauth)] {
            let made = self.nexus("POST", "/members", Some(body)).await;
            self.known.push((name, text(&made["member"]["guid"])));
        }
    }

    async fn nexus(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let session = self.known.iter().find(|(name, _)| *name == "SESSION");
        let mut request = http()
            .request(
                method.parse().expect("a method"),
                format!("{}{path}", self.gateway),
            )
            .header("MD-SESSION-TOKEN", &session.expect("a session").1);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let said = answer.text().await.expect("a body");
        assert!(status.is_success(), "{method} {path}: {status} {said}");
        serde_json::from_str(&said).expect("JSON")
    }

    /// The settings of `tests/clients/schemathesis.toml` for this world.
    fn settings(&self) -> String {
        let file = package_folder().join("tests/clients/schemathesis.toml");
        let text = fs::read_to_string(file).expect("the settings");
        let fill = |text: String, (name, value): &(&str, String)| {
            text.replace(&format!("${{{name}}}"), value)
        };
        self.known.iter().fold(text, fill)
    }
}

async fn every_answer_is_described(backend: Backend) {
    let world = World::start(backend).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = write(folder.path(), "schemathesis.toml", &world.settings());
    let description = format!("{}/openapi.json", world.gateway);
    let mut run = python(["-m", "schemathesis.cli", "--config-file", &settings, "run"]);
    run.arg(&description).current_dir(folder.path());
    let ran = tokio::task::spawn_blocking(move || run.output()).await;
    let ran = ran.expect("no panic").expect("schemathesis starts");
    let said = String::from_utf8_lossy(&ran.stdout);
    let complained = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}\n{complained}");
    // It did try something: with a description that it could not read it would succeed as well.
    assert!(said.contains("Test cases:"), "{said}\n{complained}");
}
