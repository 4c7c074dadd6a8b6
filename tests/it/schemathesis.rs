//! The API tried against its own description, by schemathesis: whatever the description allows, and much
//! that it does not, is sent, and every response has to be one that it describes.

use std::fs;

use serde_json::{Value, json};

use crate::support::clients::python;
use crate::support::gateway::{Backend, eventually};
use crate::support::guichet::{Running, write};
use crate::support::redis::Redis;
use crate::support::visitor::http;
use crate::support::{package_folder, random_token};

/// The bank that takes a name and a password.
const BANK: &str = "mxbank";

crate::on_both_stores!(every_response_is_described);

/// A demo, and the secrets and guids that a call may need, by their names in the settings.
struct World {
    demo: Running,
    _data: tempfile::TempDir,
    gateway: String,
    known: Vec<(&'static str, String)>,
}

/// The JSON of a response that has to be a success.
async fn response(request: reqwest::RequestBuilder) -> Value {
    let response = request.send().await.expect("a response");
    let status = response.status();
    let said = response.text().await.expect("a body");
    assert!(status.is_success(), "{status} {said}");
    serde_json::from_str(&said).expect("JSON")
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
        let configured = serde_json::to_value(configured).expect("a tree");
        let hooks = package_folder().join("tests/clients/schemathesis_hooks.py");
        let known = vec![
            ("HOOKS", hooks.to_str().expect("a path of text").to_owned()),
            ("CLIENT", text(&said["platform"]["client_id"])),
            ("API_KEY", text(&said["platform"]["api_key"])),
            ("SESSION", text(&said["nexus"]["session_token"])),
            ("SSO_KEY", text(&configured["clients"][0]["sso_key"])),
            ("AGGREGATOR_KEY", text(&configured["aggregator"]["key"])),
            ("USER", text(&said["nexus"]["user_guid"])),
        ];
        let mut world = Self {
            demo,
            _data: data,
            gateway: text(&said["gateway"]),
            known,
        };
        world.fill().await;
        world
    }

    /// Makes a user and members of every kind, and knows what they are called.
    async fn fill(&mut self) {
        let path = format!("/institutions/{BANK}/credentials");
        let bank = self.nexus("GET", &path, None).await;
        let fields = ["LOGIN", "PASSWORD"].map(|name| {
            let mut fields = bank["credentials"].as_array().expect("a list").iter();
            let field = fields.find(|field| field["field_name"] == name);
            text(&field.expect("the field")["guid"])
        });
        let [login, password] = fields.clone();
        self.known.push(("LOGIN_FIELD", login));
        self.known.push(("PASSWORD_FIELD", password));

        let made = self.member(&fields, "any").await;
        self.know("MEMBER", &made["guid"]);
        self.know("JOB", &made["most_recent_job_guid"]);
        let made = self.member(&fields, "any").await;
        self.know("SPARE_MEMBER", &made["guid"]);
        let made = self.member(&fields, "challenge").await;
        let challenges = format!("/members/{}/challenges", text(&made["guid"]));
        let asked = eventually(async || {
            let asked = self.nexus("GET", &challenges, None).await["challenges"][0].clone();
            asked.is_object().then_some(asked)
        });
        let asked = asked.await;
        self.know("ASKED_MEMBER", &made["guid"]);
        self.know("QUESTION", &asked["guid"]);
        let oauth = json!({"member": {"institution_code": "mx_bank_oauth", "is_oauth": true}});
        let made = self.nexus("POST", "/members", Some(oauth)).await;
        self.know("OAUTH_MEMBER", &made["member"]["guid"]);
        self.know("STATE", &made["member"]["oauth_state_guid"]);

        let user = http().post(format!("{}/users", self.gateway));
        let user = user.basic_auth(self.known("CLIENT"), Some(self.known("API_KEY")));
        let made = response(user.json(&json!({"user": {"id": "spare"}}))).await;
        self.know("SPARE_USER", &made["user"]["guid"]);
    }

    /// A member at the bank with a login of its own; the password says what happens to it.
    async fn member(&self, fields: &[String; 2], password: &str) -> Value {
        let values = [random_token(), password.to_owned()];
        let credentials: Vec<Value> = fields
            .iter()
            .zip(values)
            .map(|(guid, value)| json!({"guid": guid, "value": value}))
            .collect();
        let body = json!({"member": {"institution_code": BANK, "credentials": credentials}});
        self.nexus("POST", "/members", Some(body)).await["member"].clone()
    }

    async fn nexus(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let method = method.parse().expect("a method");
        let request = http().request(method, format!("{}{path}", self.gateway));
        let request = request.header("MD-SESSION-TOKEN", self.known("SESSION"));
        response(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    fn know(&mut self, name: &'static str, value: &Value) {
        self.known.push((name, text(value)));
    }

    fn known(&self, name: &str) -> &str {
        let known = self.known.iter().find(|(known, _)| *known == name);
        &known.expect("it is known").1
    }

    /// The settings of `tests/clients/schemathesis.toml` for this world.
    fn settings(&self) -> String {
        let file = package_folder().join("tests/clients/schemathesis.toml");
        let text = fs::read_to_string(file).expect("the settings");
        let fill = |text: String, (name, value): &(&str, String)| {
            text.replace(&format!("${{{name}}}"), value)
        };
        let filled = self.known.iter().fold(text, fill);
        let mut lines = filled.lines().filter(|line| !line.starts_with('#'));
        assert!(!lines.any(|line| line.contains("${")), "{filled}");
        filled
    }
}

async fn every_response_is_described(backend: Backend) {
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
    let log = world.demo.err();
    assert!(ran.status.success(), "{said}\n{complained}\n{log}");
    // That it found nothing counts only if it tried.
    assert!(said.contains("No issues found"), "{said}\n{complained}");
    assert!(!log.contains("panicked"), "{log}");
}
