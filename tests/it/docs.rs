//! The page that explains the API: its code runs as it stands there, its examples can be sent, and
//! its events are those that are told.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ::guichet::domain::event::EventKind;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::sdk::demo;
use crate::support::aggregation::{lease, nth_job, report};
use crate::support::browser::{Browser, Options};
use crate::support::clients::python;
use crate::support::gateway::{
    AGGREGATOR_KEY, BANK, Backend, CLIENT, SIGNING_SECRET, SSO_KEY, Setup, TestGateway, eventually,
};
use crate::support::guichet;
use crate::support::interop::node;
use crate::support::loopback::Recorded;
use crate::support::visitor::{Visitor, http};

async fn page(gateway: &Url) -> String {
    let response = http()
        .get(gateway.join("/docs").expect("a path"))
        .send()
        .await;
    response.expect("a response").text().await.expect("a page")
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
                .map(|response| assert_eq!(response.status(), 401))
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
    let setup = Setup {
        oauth: "consent_days = 5\n".to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let description = http().get(gateway.at("/openapi.json")).send().await;
    let description: Value = description.expect("a response").json().await.expect("JSON");
    let fields = |name: &str| -> BTreeSet<String> {
        let properties = description["components"]["schemas"][name]["properties"].as_object();
        properties.expect(name).keys().cloned().collect()
    };
    let (_, link) = gateway.member().await;
    gateway.connect(&gateway.visitor(), &link).await;
    let job = nth_job(&gateway, 1).await;
    report(&gateway, &job, json!({"status": "succeeded"})).await;
    gateway.pass(Duration::from_secs(4 * 24 * 60 * 60));
    let kinds = [
        "AGGREGATION",
        "JOB_STATUS",
        "consent.expiring",
        "initial_data_ready",
        "oauth_state.finished",
    ];
    let is_told =
        |told: &[Recorded], kind: &str| told.iter().any(|told| told.json()["type"] == kind);
    let all = |told: &[Recorded]| kinds.iter().all(|kind| is_told(told, kind));
    let told = gateway.hooks.wait_for(all, Duration::from_secs(10)).await;
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
                assert_eq!(names(&event["oauth_state"]), fields("OauthStateResponse"));
                "OauthStateEvent"
            }
            Some("AGGREGATION") => {
                sent.insert("callback_payload".to_owned());
                "AggregationEvent"
            }
            Some("initial_data_ready") => "InitialDataReadyEvent",
            Some("JOB_STATUS") => "JobStatusEvent",
            Some("consent.expiring") => "ConsentExpiringEvent",
            other => panic!("{other:?}"),
        };
        assert_eq!(sent, fields(kind), "{event}");
    }
    let webhooks = description["webhooks"].as_object().expect("webhooks");
    assert_eq!(webhooks.len(), EventKind::ALL.len());
}

/// What the description says of an operation: its method, path, group and the example of its body.
struct Operation {
    method: reqwest::Method,
    path: String,
    group: String,
    example: Value,
}

/// Every operation that takes JSON, by its name.
fn operations_with_json(description: &Value) -> BTreeMap<String, Operation> {
    let mut operations = BTreeMap::new();
    for (path, item) in description["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let Some(at) = body.as_str().and_then(|at| at.strip_prefix('#')) else {
                continue;
            };
            let known = Operation {
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                group: text(&operation["tags"][0]),
                example: description.pointer(at).expect("a schema")["example"].clone(),
            };
            operations.insert(text(&operation["operationId"]), known);
        }
    }
    operations
}

#[track_caller]
fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

/// The demo as a member service sees it, by both APIs.
struct Demo {
    said: Value,
    _running: guichet::Running,
}

impl Demo {
    fn start() -> Self {
        let (running, line) = demo(Backend::Sqlite);
        Self {
            said: serde_json::from_str(&line).expect("JSON"),
            _running: running,
        }
    }

    /// Sends a request as the API's users do; it must succeed.
    async fn send(&self, group: &str, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let base = text(&self.said["gateway"]);
        let request = http().request(method, format!("{}{path}", base.trim_end_matches('/')));
        let keys = &self.said["platform"];
        let nexus = &self.said["nexus"];
        let request = match group {
            "Platform API" => {
                request.basic_auth(text(&keys["client_id"]), keys["api_key"].as_str())
            }
            "Nexus API" => request.header("md-session-token", text(&nexus["session_token"])),
            other => panic!("{other}"),
        };
        let request = if body.is_null() {
            request
        } else {
            request.json(body)
        };
        let response = request.send().await.expect("a response");
        let status = response.status();
        let response = response.text().await.expect("a body");
        assert!(status.is_success(), "{path} {body}: {status} {response}");
        serde_json::from_str(&response).unwrap_or_default()
    }

    /// A member of that login, once it has that status. The bank of the demo does what the password
    /// says.
    async fn member_with(&self, login: &str, password: &str, status: &str) -> String {
        let get = async |path: &str| {
            self.send("Nexus API", reqwest::Method::GET, path, &Value::Null)
                .await
        };
        let fields = get("/institutions/mxbank/credentials").await;
        let credentials: Vec<Value> = fields["credentials"]
            .as_array()
            .expect("fields")
            .iter()
            .zip([login, password])
            .map(|(field, value)| json!({"guid": field["guid"], "value": value}))
            .collect();
        let body = json!({"member": {"institution_code": "mxbank", "credentials": credentials}});
        let post = reqwest::Method::POST;
        let member = self.send("Nexus API", post, "/members", &body).await;
        let path = format!("/members/{}", text(&member["member"]["guid"]));
        eventually(async || {
            let member = get(&path).await;
            (member["member"]["connection_status"] == json!(status)).then_some(())
        })
        .await;
        text(&member["member"]["guid"])
    }
}

/// The example of every operation that takes JSON, sent as it stands in the description. Only the
/// guid of a question is put in: each question has its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_examples_are_taken_as_they_are() {
    let demo = Demo::start();
    let description = http()
        .get(format!("{}/openapi.json", text(&demo.said["gateway"])))
        .send()
        .await;
    let description: Value = description.expect("a response").json().await.expect("JSON");
    let mut operations = operations_with_json(&description);

    let connected = demo.member_with("grace", "correct", "CONNECTED").await;
    let asked = async |login| demo.member_with(login, "challenge", "CHALLENGED").await;
    let [first, second, third] = [asked("a").await, asked("b").await, asked("c").await];
    let nexus_user = text(&demo.said["nexus"]["user_guid"]);
    let (ada, nobody) = (String::from("ada"), String::new());
    let mut new_member = String::new();
    for (operation, user, member) in [
        ("platformCreateUser", &nobody, &nobody),
        ("platformUpdateUser", &ada, &nobody),
        ("nexusSearchInstitutions", &nobody, &nobody),
        ("platformCreateMember", &ada, &nobody),
        ("platformUpdateMember", &ada, &nobody),
        ("platformOauthAuthorizationUrl", &ada, &nobody),
        ("nexusCreateMember", &nobody, &nobody),
        ("nexusUpdateMember", &nobody, &nobody),
        ("nexusDeleteMember", &nobody, &nobody),
        ("nexusAggregateMembers", &nobody, &nobody),
        ("nexusAggregateMember", &nobody, &connected),
        ("nexusRefreshMember", &nobody, &connected),
        ("nexusUnthrottledAggregate", &nobody, &connected),
        ("platformAggregateMember", &nexus_user, &connected),
        ("platformResumeMember", &nexus_user, &first),
        ("nexusResumeMember", &nobody, &second),
        ("nexusUpdateMfa", &nobody, &third),
    ] {
        let Operation {
            method,
            path,
            group,
            mut example,
        } = operations.remove(operation).expect(operation);
        let member = if member.is_empty() {
            &new_member
        } else {
            member
        };
        let path = path
            .replace("{user_identifier}", user)
            .replace("{member_identifier}", member)
            .replace("{member_guid}", member);
        for list in ["challenges", "credentials"] {
            if example["member"][list][0]["guid"].is_string() {
                let questions = format!("/members/{member}/challenges");
                let get = reqwest::Method::GET;
                let questions = demo.send("Nexus API", get, &questions, &Value::Null).await;
                example["member"][list][0]["guid"] = questions["challenges"][0]["guid"].clone();
            }
        }
        let response = demo.send(&group, method, &path, &example).await;
        if operation.ends_with("CreateMember") {
            new_member = text(&response["member"]["guid"]);
        }
    }

    // The demo's app begins its session and its aggregator reports by themselves.
    let session = operations
        .remove("nexusBeginSession")
        .expect("an operation");
    let report = operations.remove("reportJob").expect("an operation");
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let token = format!("/{CLIENT}/users/{}/api_token", gateway.user);
    let with = |request: reqwest::RequestBuilder| request.header("md-api-key", SSO_KEY);
    let (_, token) = gateway.call("GET", &token, None, with).await;
    let token = text(&token["api_token"]["token"]);
    let with = |request: reqwest::RequestBuilder| request.header("md-api-token", token);
    let (status, response) = gateway
        .call("POST", &session.path, Some(session.example), with)
        .await;
    assert_eq!(status, 200, "{response}");
    let (_, link) = gateway.member().await;
    gateway.connect(&Visitor::new(), &link).await;
    let job = nth_job(&gateway, 1).await;
    assert_eq!(lease(&gateway, &job).await.0, 200);
    let path = report.path.replace("{guid}", &job);
    let (status, response) = gateway.aggregation(&path, Some(report.example)).await;
    assert_eq!(status, 200, "{response}");

    let claim = operations.remove("claimJobs").expect("an operation");
    let gateway = TestGateway::with(
        Backend::Sqlite,
        Setup {
            without_aggregator: true,
            tables: format!("[aggregator]\nmode = \"pull\"\nkey = \"{AGGREGATOR_KEY}\"\n"),
            ..Setup::default()
        },
    )
    .await;
    let (_, link) = gateway.member().await;
    gateway.connect(&Visitor::new(), &link).await;
    let (status, response) = gateway.aggregation(&claim.path, Some(claim.example)).await;
    assert_eq!(status, 200, "{response}");
    assert_eq!(response["jobs"][0]["attempt"], 1);

    let setup = Setup {
        registration: "completion = \"confirm\"".to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    for operation in ["nexusCompleteOauth", "platformCompleteOauth"] {
        let confirmation = operations.remove(operation).expect("an operation");
        let (member, link) = gateway.member().await;
        let page = gateway.connect(&Visitor::new(), &link).await;
        let start = page.body.find("och_").expect("a handle");
        let mut example = confirmation.example;
        example["oauth_completion"]["handle"] = page.body[start..start + 49].into();
        let path = confirmation
            .path
            .replace("{member_guid}", &member.to_string());
        let path = path.replace("{user_identifier}", &gateway.user.to_string());
        let path = path.replace("{member_identifier}", &member.to_string());
        let (status, response) = match operation.starts_with("nexus") {
            true => gateway.nexus("POST", &path, Some(example)).await,
            false => gateway.platform("POST", &path, Some(example)).await,
        };
        assert_eq!(status, 200, "{response}");
    }

    let left: Vec<&String> = operations.keys().collect();
    assert!(left.is_empty(), "not sent: {left:?}");
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
