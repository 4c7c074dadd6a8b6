//! The page that explains the API: its code runs as it stands there, its examples can be sent, and
//! its events are those that are told.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::sdk::demo;
use crate::support::browser::{Browser, Options};
use crate::support::clients::python;
use crate::support::gateway::{BANK, Backend, CLIENT, SIGNING_SECRET, Setup, TestGateway};
use crate::support::interop::node;
use crate::support::visitor::http;

async fn page(gateway: &Url) -> String {
    let answer = http()
        .get(gateway.join("/docs").expect("a path"))
        .send()
        .await;
    answer.expect("an answer").text().await.expect("a page")
}

/// The code that stands under that id, as a person would copy it.
fn code(page: &str, id: &str) -> String {
    let start = page.find(&format!("<pre id=\"{id}\"")).expect(id);
    let code = page[start..].split_once("<code>").expect("code").1;
    let code = code.split_once("</code>").expect("its end").0;
    let signs = [
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#38;", "&"),
    ];
    signs.iter().fold(code.to_owned(), |code, (written, sign)| {
        code.replace(written, sign)
    })
}

/// Code from the page, running; killed when it is dropped.
struct Running {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
    _folder: TempDir,
}

impl Running {
    fn start(page: &str, id: &str, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut command, name) = match id.rsplit_once('-').expect("a language").1 {
            "curl" => (Command::new("bash"), "it.sh"),
            "node" => (Command::new(node()), "it.mjs"),
            _ => (python([]), "it.py"),
        };
        let file = folder.path().join(name);
        std::fs::write(&file, code(page, id)).expect("a file");
        command
            .arg(&file)
            .env("NO_PROXY", "*")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let said = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
        Self {
            child,
            said,
            _folder: folder,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_quickstart_connects_a_member_as_it_stands_there() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let page = page(&gateway.at("/")).await;
    let key = format!("{CLIENT}:{}", gateway.api_key);
    let origin = gateway.at("/").origin().ascii_serialization();
    let environment = [("GUICHET", origin.as_str()), ("KEY", &key), ("BANK", BANK)];
    for id in ["quickstart-node", "quickstart-python"] {
        let mut code = Running::start(&page, id, &environment);
        let line = code.line();
        let link = line.strip_prefix("Open this in a browser: ").expect(&line);
        let link = link.parse().expect("a link");
        let arrived = gateway.connect(&gateway.visitor(), &link).await;
        assert_eq!(arrived.name(), Some("connected"), "{id}");
        assert_eq!(code.line(), "Connected.", "{id}");
        assert!(code.child.wait().expect("an end").success(), "{id}");
    }
    let mut code = Running::start(&page, "quickstart-curl", &environment);
    let said = std::io::read_to_string(&mut code.said).expect("text");
    assert!(code.child.wait().expect("an end").success(), "{said}");
    for part in ["oauth/predirect_to/MBR-", "\"PENDING\"", "\"CONNECTED\""] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_receivers_believe_what_is_signed_and_nothing_else() {
    let mut receivers = Vec::new();
    let mut hooks = Vec::new();
    for id in ["webhook-node", "webhook-python"] {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        hooks.push(Url::parse(&format!("http://127.0.0.1:{port}/")).expect("an address"));
        receivers.push((id, port.to_string()));
    }
    let setup = Setup {
        hook_events: Some(r#"["member.updated"]"#),
        more_hooks: vec![
            (r#"["member.created"]"#, hooks[0].clone()),
            (r#"["oauth_state.finished"]"#, hooks[1].clone()),
        ],
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let page = page(&gateway.at("/")).await;
    let mut running = receivers.iter().map(|(id, port)| {
        Running::start(
            &page,
            id,
            &[("PORT", port), ("WEBHOOK_SECRET", SIGNING_SECRET)],
        )
    });
    let (mut node, mut python) = (running.next().unwrap(), running.next().unwrap());
    for hook in &hooks {
        crate::support::gateway::eventually(async || {
            let forged = http()
                .post(hook.clone())
                .header("webhook-id", "EVT-1")
                .header("webhook-timestamp", gateway.inside.clock.now().as_second())
                .header("webhook-signature", "v1,AAAA")
                .body("{\"action\": \"created\"}")
                .timeout(Duration::from_secs(5));
            forged
                .send()
                .await
                .ok()
                .map(|answer| assert_eq!(answer.status(), 401))
        })
        .await;
    }
    let (_, link) = gateway.member().await;
    gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(node.line(), "MEMBER created");
    assert_eq!(python.line(), "oauth_state.finished finished");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_have_the_fields_that_are_described() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let description = http().get(gateway.at("/openapi.json")).send().await;
    let description: Value = description.expect("an answer").json().await.expect("JSON");
    let fields = |name: &str| -> BTreeSet<String> {
        let properties = description["components"]["schemas"][name]["properties"].as_object();
        properties.expect(name).keys().cloned().collect()
    };
    let (_, link) = gateway.member().await;
    gateway.connect(&gateway.visitor(), &link).await;
    let told = gateway
        .hooks
        .wait_for(|told| told.len() >= 3, Duration::from_secs(10))
        .await;
    for event in told.iter().map(|told| told.json()) {
        let names = |value: &Value| -> BTreeSet<String> {
            value
                .as_object()
                .expect("an object")
                .keys()
                .cloned()
                .collect()
        };
        let mut sent = names(&event);
        let kind = match event["type"].as_str() {
            None => {
                assert_eq!(names(&event["member"]), fields("EventMember"));
                sent.insert("callback_payload".to_owned());
                "MemberEvent"
            }
            Some("oauth_state.finished") => {
                assert_eq!(names(&event["oauth_state"]), fields("OauthStateAnswer"));
                "OauthStateEvent"
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(sent, fields(kind), "{event}");
    }
    let webhooks = description["webhooks"].as_object().expect("webhooks");
    assert_eq!(webhooks.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_examples_are_taken_as_they_are() {
    let (_demo, line) = demo(Backend::Sqlite);
    let demo: Value = serde_json::from_str(&line).expect("JSON");
    let at = |path: &str| {
        format!(
            "{}{path}",
            demo["gateway"]
                .as_str()
                .expect("an address")
                .trim_end_matches('/')
        )
    };
    let description = http().get(at("/openapi.json")).send().await;
    let description: Value = description.expect("an answer").json().await.expect("JSON");
    let mut member = String::new();
    for (method, path, body) in [
        (reqwest::Method::POST, "/users", "UserRequestBody"),
        (reqwest::Method::PUT, "/users/ada", "UserRequestBody"),
        (
            reqwest::Method::POST,
            "/users/ada/members",
            "PlatformMemberRequestBody",
        ),
        (
            reqwest::Method::PUT,
            "/users/ada/members/{}",
            "PlatformMemberChangeBody",
        ),
        (
            reqwest::Method::POST,
            "/users/ada/members/{}/oauth_authorization_url",
            "WindowRequestBody",
        ),
    ] {
        let keys = &demo["platform"];
        let answer = http()
            .request(method, at(&path.replace("{}", &member)))
            .basic_auth(
                keys["client_id"].as_str().expect("an id"),
                keys["api_key"].as_str(),
            )
            .json(&description["components"]["schemas"][body]["example"])
            .send()
            .await
            .expect("an answer");
        let status = answer.status();
        let answer: Value = answer.json().await.expect("JSON");
        assert!(status.is_success(), "{path}: {answer}");
        if let Some(guid) = answer["member"]["guid"].as_str() {
            member = guid.to_owned();
        }
    }
    assert_ne!(json!(member), json!(""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_passes_axe_on_phones_and_desks() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    for width in [320, 360, 1200] {
        for dark in [false, true] {
            let browser = Browser::open(Options {
                width,
                dark,
                ..Options::default()
            })
            .await;
            browser.go(gateway.at("/docs").as_str()).await;
            browser.find("#statuses").await;
            browser
                .ask("document.querySelectorAll('details').forEach((one) => { one.open = true })")
                .await;
            browser
                .examine(&format!("/docs at {width}, dark: {dark}"))
                .await;
        }
    }
}
