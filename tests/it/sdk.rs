//! The official SDK of the Platform API, with nothing changed but host and keys.

use serde_json::{Value, json};

use crate::support::browser::{Browser, Options};
use crate::support::clients::Sdk;
use crate::support::gateway::Backend;
use crate::support::guichet::Running;
use crate::support::redis::Redis;

crate::on_both_stores!(
    the_sdk_connects_a_member_by_oauth,
    the_sdk_connects_members_with_credentials,
    the_sdk_understands_what_is_refused,
);

/// A demo on free ports, and the line it said.
pub fn demo(backend: Backend) -> (Running, String) {
    let mut arguments = vec!["demo", "--json", "--port-base", "0"];
    let store;
    if backend == Backend::Redis {
        store = Redis::shared().fresh_database();
        arguments.extend(["--store", &store]);
    }
    let mut demo = Running::start(arguments);
    let line = demo.line();
    assert!(line.starts_with('{'), "{line} {}", demo.err());
    (demo, line)
}

/// Some fields of a value, as they were seen.
fn some(seen: &Value, fields: &[&str]) -> Value {
    let fields = fields
        .iter()
        .map(|field| ((*field).to_owned(), seen[field].clone()));
    Value::Object(fields.collect())
}

fn text<'a>(seen: &'a Value, field: &str) -> &'a str {
    seen[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field}: {seen}"))
}

async fn the_sdk_connects_a_member_by_oauth(backend: Backend) {
    let (_demo, line) = demo(backend);
    let mut sdk = Sdk::start("oauth", &line);
    let user = sdk.step("user");
    assert_eq!(
        some(&user, &["id", "email", "metadata", "is_disabled"]),
        json!({"id": "sdk-oauth", "email": "ada@example.com", "metadata": "from the SDK",
            "is_disabled": false})
    );

    let minted = sdk.step("minted");
    let told = [
        "status",
        "connection_status",
        "is_oauth",
        "id",
        "metadata",
        "use_cases",
        "institution_code",
        "user_guid",
        "user_id",
        "is_being_aggregated",
    ];
    assert_eq!(
        some(&minted, &told),
        json!({"status": 202, "connection_status": "PENDING", "is_oauth": true,
            "id": "sdk-oauth-member", "metadata": "ours", "use_cases": ["PFM"],
            "institution_code": "mx_bank_oauth", "user_guid": user["guid"],
            "user_id": "sdk-oauth", "is_being_aggregated": false})
    );
    let browser = Browser::open(Options::default()).await;
    browser.go(text(&minted, "oauth_window_uri")).await;
    browser.agree().await;
    browser.arrives_at("connected").await;
    sdk.go_on();

    let connected = sdk.step("connected");
    assert_eq!(connected["guid"], minted["guid"]);
    assert_eq!(connected["is_authenticated"], true, "{connected}");
    let ordered = sdk.step("aggregate");
    assert_eq!(ordered["status"], 202);
    assert_eq!(ordered["guid"], minted["guid"]);
    let aggregated = sdk.step("aggregated");
    assert!(
        text(&aggregated, "successfully_aggregated_at")
            >= text(&connected, "successfully_aggregated_at"),
        "{aggregated} {connected}"
    );

    let read = sdk.step("read");
    let told = ["connection_status", "oauth_window_uri", "name"];
    assert_eq!(
        some(&read, &told),
        json!({"connection_status": "CONNECTED", "oauth_window_uri": null,
            "name": "MX Bank (Oauth)"})
    );
    let listed = sdk.step("listed");
    assert_eq!(listed["members"][0]["guid"], minted["guid"], "{listed}");
    assert_eq!(
        listed["pagination"],
        json!({"current_page": 1, "per_page": 10, "total_entries": 1, "total_pages": 1})
    );
    let updated = sdk.step("updated");
    assert_eq!(
        some(&updated, &["id", "metadata", "connection_status"]),
        json!({"id": "sdk-renamed", "metadata": "changed", "connection_status": "CONNECTED"})
    );
    let link = sdk.step("link");
    assert_eq!(
        (&link["status"], &link["guid"]),
        (&json!(200), &minted["guid"])
    );
    assert_ne!(link["oauth_window_uri"], minted["oauth_window_uri"]);
    assert!(text(&link, "oauth_window_uri").contains("/oauth/predirect_to/"));
    assert_eq!(sdk.step("deleted")["status"], 404);
    assert_eq!(sdk.step("user_deleted")["status"], 404);
    sdk.ends();
}

async fn the_sdk_connects_members_with_credentials(backend: Backend) {
    let (_demo, line) = demo(backend);
    let mut sdk = Sdk::start("standard", &line);
    let found = sdk.step("institutions");
    let bank = |one: &Value| one["code"] == "mxbank";
    let institutions = found["institutions"].as_array().expect("a list");
    assert!(institutions.iter().any(bank), "{found}");
    let bank = sdk.step("institution");
    assert_eq!(
        some(&bank, &["code", "supports_oauth"]),
        json!({"code": "mxbank", "supports_oauth": false})
    );
    let fields = sdk.step("fields");
    assert_eq!(fields["pagination"]["total_entries"], 2, "{fields}");
    let types: Vec<&Value> = (0..2)
        .map(|at| &fields["credentials"][at]["field_type"])
        .collect();
    assert_eq!(json!(types), json!(["TEXT", "PASSWORD"]), "{fields}");

    let created = sdk.step("created");
    let told = [
        "status",
        "is_oauth",
        "metadata",
        "is_being_aggregated",
        "oauth_window_uri",
    ];
    assert_eq!(
        some(&created, &told),
        json!({"status": 202, "is_oauth": false, "metadata": "ours",
            "is_being_aggregated": true, "oauth_window_uri": null})
    );
    assert_eq!(sdk.step("connected")["guid"], created["guid"]);
    let kept = sdk.step("member_fields");
    assert_eq!(kept["credentials"], fields["credentials"]);
    let duplicate = sdk.step("duplicate");
    assert_eq!(duplicate["status"], 409, "{duplicate}");
    let known = text(&duplicate, "known");
    assert!(duplicate["body"].to_string().contains(known), "{duplicate}");

    let challenged = sdk.step("challenged");
    let questions = sdk.step("questions");
    assert_eq!(challenged["challenges"], questions["challenges"]);
    let question = &questions["challenges"][0];
    assert_eq!(question["type"], "TEXT", "{questions}");
    assert!(text(question, "guid").starts_with("CRD-"), "{question}");
    assert!(!text(question, "label").is_empty());
    let resumed = sdk.step("resumed");
    assert_eq!(resumed["status"], 202, "{resumed}");
    assert_eq!(sdk.step("answered")["guid"], challenged["guid"]);

    let choice = sdk.step("choice");
    assert_eq!(choice["challenges"][0]["type"], "OPTIONS", "{choice}");
    let options = choice["challenges"][0]["options"].as_array();
    assert!(options.is_some_and(|options| options.len() > 1), "{choice}");
    sdk.step("chosen");

    let denied = sdk.step("denied");
    assert_eq!(denied["is_being_aggregated"], false, "{denied}");
    let updated = sdk.step("updated");
    assert_eq!(updated["guid"], denied["guid"], "{updated}");
    sdk.step("corrected");
    assert_eq!(sdk.step("listed")["pagination"]["total_entries"], 4);
    assert_eq!(sdk.step("emptied")["members"], json!([]));
    sdk.ends();
}

async fn the_sdk_understands_what_is_refused(backend: Backend) {
    let (_demo, line) = demo(backend);
    let mut sdk = Sdk::start("errors", &line);
    let read = sdk.step("read");
    assert_eq!(read["id"], "sdk-errors", "{read}");
    let found = sdk.step("found");
    assert_eq!(found["users"][0]["guid"], read["guid"], "{found}");
    assert_eq!(found["pagination"]["total_entries"], 1, "{found}");
    assert_eq!(sdk.step("updated")["metadata"], "changed");
    for (step, status) in [
        ("taken", 409),
        ("no_user", 404),
        ("no_member", 404),
        ("no_institution", 422),
        ("no_credentials", 400),
    ] {
        let refusal = sdk.step(step);
        assert_eq!(refusal["status"], status, "{refusal}");
        let message = text(&refusal["body"]["error"], "message");
        assert!(!message.is_empty(), "{refusal}");
    }
    let idle = sdk.step("idle");
    assert_eq!(
        some(&idle, &["connection_status", "is_being_aggregated"]),
        json!({"connection_status": "CREATED", "is_being_aggregated": false})
    );
    assert_eq!(sdk.step("not_asked")["status"], 405);
    assert_eq!(sdk.step("stranger")["status"], 401);
    sdk.ends();
}
