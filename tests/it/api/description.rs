//! The description of the API, and that strangers find nothing behind any route it names.

use std::collections::BTreeMap;

use guichet::flow::access;
use serde_json::{Value, json};

use crate::support::aggregation::nth_job;
use crate::support::gateway::{
    AGGREGATOR_KEY, BANK, Backend, CLIENT, LOGIN, PAPER_BANK, PASSWORD, RIVAL, SSO_KEY, TestGateway,
};
use crate::support::visitor::{Page, Visitor};

crate::on_both_stores!(
    nobody_gets_in_without_a_credential,
    a_stranger_cannot_tell_foreign_from_absent_on_any_route,
);

/// One operation of the description.
struct Operation {
    method: String,
    path: String,
    group: String,
    takes_body: bool,
}

async fn page(gateway: &TestGateway, path: &str) -> Page {
    Visitor::new().get(&gateway.at(path)).await
}

async fn operations(gateway: &TestGateway) -> Vec<Operation> {
    let page = page(gateway, "/openapi.json").await;
    let document: Value = serde_json::from_str(&page.body).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("methods") {
            operations.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                group: operation["tags"][0].as_str().expect("a group").to_owned(),
                takes_body: operation.get("requestBody").is_some(),
            });
        }
    }
    operations
}

impl Operation {
    /// The path with its parameters filled in; `None`: one is not known.
    fn at(&self, known: &BTreeMap<&str, String>) -> Option<String> {
        let segments = self.path.split('/').map(|segment| {
            let (name, rest) = segment.split_once('}').unwrap_or((segment, ""));
            match name.strip_prefix('{') {
                Some(name) => known.get(name).map(|value| format!("{value}{rest}")),
                None => Some(segment.to_owned()),
            }
        });
        Some(segments.collect::<Option<Vec<_>>>()?.join("/"))
    }

    /// A body that nothing is wrong with.
    fn body(&self) -> Option<Value> {
        let body = match self.path.rsplit('/').next().unwrap_or_default() {
            "resume" | "update_mfa" => json!({"member": {"challenges": []}}),
            "report" => json!({"status": "started"}),
            "oauth_completions" => {
                json!({"oauth_completion": {"handle": format!("och_00{}", "A".repeat(43))}})
            }
            "members" => json!({"member": {"institution_code": BANK, "is_oauth": true}}),
            _ => json!({"metadata": "x", "skip_webhook": true}),
        };
        self.takes_body.then_some(body)
    }

    async fn send(&self, gateway: &TestGateway, path: &str, credential: Credential<'_>) -> Answer {
        let with = |request: reqwest::RequestBuilder| match credential {
            Credential::None => request,
            Credential::Session(token) => request.header("MD-SESSION-TOKEN", token),
            Credential::Key(client, key) => request.basic_auth(client, Some(key)),
            Credential::Bearer(key) => request.bearer_auth(key),
            Credential::Sso(key) => request.header("MD-API-KEY", key),
        };
        gateway.call(&self.method, path, self.body(), with).await
    }
}

type Answer = (u16, Value);

#[derive(Clone, Copy)]
enum Credential<'a> {
    None,
    Session(&'a str),
    Key(&'a str, &'a str),
    Bearer(&'a str),
    Sso(&'a str),
}

/// The same guid with another end: nobody's. Its beginning may say where it is kept.
fn absent(guid: &str) -> String {
    let (head, last) = guid.split_at(guid.len() - 1);
    format!("{head}{}", if last == "0" { "1" } else { "0" })
}

#[tokio::test]
async fn the_description_and_its_page_are_there_for_everybody() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let json = page(&gateway, "/openapi.json").await;
    assert_eq!(json.status, 200);
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_eq!(json.header("cache-control"), Some("public, max-age=300"));
    let document: Value = serde_json::from_str(&json.body).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    let docs = page(&gateway, "/docs").await;
    assert_eq!(docs.status, 200);
    let policy = docs.header("content-security-policy").unwrap_or_default();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    for operation in operations(&gateway).await {
        assert!(docs.body.contains(&operation.path), "{}", operation.path);
    }
}

async fn nobody_gets_in_without_a_credential(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let guids: BTreeMap<&str, String> = [
        ("client_id", CLIENT.to_owned()),
        ("user_id", gateway.user.to_string()),
        ("user_identifier", gateway.user.to_string()),
        ("member_guid", "MBR-1".to_owned()),
        ("member_identifier", "MBR-1".to_owned()),
        ("job_guid", "JOB-1".to_owned()),
        ("guid", "JOB-1".to_owned()),
        ("institution_identifier", BANK.to_owned()),
    ]
    .into();
    let mut tried = 0;
    for operation in operations(&gateway).await {
        if ["Browser", "Description", "Keys"].contains(&operation.group.as_str()) {
            continue;
        }
        let path = operation.at(&guids).expect("every parameter is known");
        for credential in [
            Credential::None,
            Credential::Session("nobody's"),
            Credential::Key(CLIENT, "nobody's"),
            Credential::Bearer("nobody's"),
        ] {
            let (status, response) = operation.send(&gateway, &path, credential).await;
            assert_eq!(status, 401, "{} {path}: {response}", operation.method);
        }
        tried += 1;
    }
    assert!(tried > 40, "{tried}");
}

async fn a_stranger_cannot_tell_foreign_from_absent_on_any_route(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, link) = gateway.member().await;
    drop(link);
    let credentials = json!([{"guid": LOGIN, "value": "ada"}, {"guid": PASSWORD, "value": "x"}]);
    let body = json!({"member": {"institution_code": PAPER_BANK, "credentials": credentials}});
    let (_, created) = gateway.nexus("POST", "/members", Some(body)).await;
    let text = |value: &Value| value.as_str().expect("a guid").to_owned();
    let member = text(&created["member"]["guid"]);
    let job = nth_job(&gateway, 1).await;
    let (_, states) = gateway.nexus("GET", "/oauth_states", None).await;
    let state = text(&states["oauth_states"][0]["guid"]);

    let rivals_user = json!({"user": {"id": "theirs"}});
    let key = gateway.key_of(RIVAL).await;
    let with_key = |request: reqwest::RequestBuilder| request.basic_auth(RIVAL, Some(&key));
    let (_, created) = gateway
        .call("POST", "/users", Some(rivals_user), with_key)
        .await;
    let theirs = text(&created["user"]["guid"]);
    let rival = RIVAL.parse().expect("a client");
    let user = access::user(&gateway.inside, &rival, "theirs").await;
    let user = user.expect("a step").expect("the user");
    let token = access::api_token(&gateway.inside, &user)
        .await
        .expect("a token");
    let session = access::begin_session(&gateway.inside, &token).await;
    let session = session.expect("a step").expect("a session");

    let known = |user: &str, member: &str, job: &str, state: &str| -> BTreeMap<&str, String> {
        [
            ("client_id", CLIENT.to_owned()),
            ("user_id", user.to_owned()),
            ("user_identifier", user.to_owned()),
            ("member_guid", member.to_owned()),
            ("member_identifier", member.to_owned()),
            ("job_guid", job.to_owned()),
            ("guid", state.to_owned()),
        ]
        .into()
    };
    let ours = gateway.user.to_string();
    let mut walked = 0;
    for operation in operations(&gateway).await {
        // What is no client's own: whole lists, institutions, pages, and the aggregator's endpoints.
        if !operation.path.contains('{') || operation.path.contains("{institution_identifier}") {
            continue;
        }
        let session = Credential::Session(session.expose());
        let key = Credential::Key(RIVAL, &key);
        let asked = match operation.group.as_str() {
            "Nexus API" => vec![(&ours, session)],
            // Whose user, and then: whose member of the rival's own user.
            "Platform API" if operation.path.contains("{member_identifier}") => {
                vec![(&ours, key), (&theirs, key)]
            }
            "Platform API" => vec![(&ours, key)],
            "Both APIs" => vec![(&ours, session), (&ours, key)],
            "Sessions" => vec![(&theirs, Credential::Sso(SSO_KEY))],
            _ => continue,
        };
        for (user, credential) in asked {
            let foreign = operation
                .at(&known(user, &member, &job, &state))
                .expect("a path");
            let absent_user = match user == &theirs && operation.group == "Platform API" {
                true => theirs.clone(),
                false => absent(user),
            };
            let guids = known(
                &absent_user,
                &absent(&member),
                &absent(&job),
                &absent(&state),
            );
            let nobodys = operation.at(&guids).expect("a path");
            let found = operation.send(&gateway, &foreign, credential).await;
            let missed = operation.send(&gateway, &nobodys, credential).await;
            assert_eq!(found, missed, "{} {foreign}", operation.method);
            assert_eq!(found.0, 404, "{} {foreign}: {}", operation.method, found.1);
            walked += 1;
        }
    }
    assert!(walked > 30, "{walked}");
    // None of it did anything.
    let (status, read) = gateway
        .nexus("GET", &format!("/members/{member}"), None)
        .await;
    assert_eq!((status, &read["member"]["metadata"]), (200, &Value::Null));
    let path = format!("/aggregation/jobs/{job}/lease");
    let stranger =
        |request: reqwest::RequestBuilder| request.bearer_auth(format!("{AGGREGATOR_KEY}x"));
    assert_eq!(gateway.call("POST", &path, None, stranger).await.0, 401);
}
