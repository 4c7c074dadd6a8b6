//! What MX's own widget reads and sends at an institution with credentials, in the forms it does
//! (CONTRACT.md 6): this plays its part, with its own rules for what it shows and answers.

use serde_json::{Value, json};

use crate::support::aggregation::{challenged, lease, nth_job, report};
use crate::support::gateway::{
    BANK, Backend, LOGIN, PAPER_BANK, PAPER_BANK_GUID, PASSWORD, Setup, TestGateway,
};
use crate::support::visitor::http;

crate::on_both_stores!(
    every_kind_of_question_can_be_shown_and_answered,
    pictures_may_be_sent_back_with_the_answers,
    an_institution_has_a_picture_of_ours_and_the_help_of_its_file,
);

/// A small picture, in Base64.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A member whose bank asks one question of each kind, one after the other.
fn questions() -> [(Value, &'static str); 5] {
    let picture =
        |label: &str| json!({"label": label, "value": format!("v-{label}"), "data_uri": PNG});
    let option = |label: &str| json!({"label": label, "value": format!("v-{label}")});
    let question = |kind: &str, more: (&str, Value)| {
        let mut question = json!({"type": kind, "field_name": "f", "label": "Which?"});
        if !more.0.is_empty() {
            question[more.0] = more.1;
        }
        question
    };
    [
        (question("TEXT", ("", Value::Null)), "typed"),
        (question("TOKEN", ("", Value::Null)), "typed"),
        (question("IMAGE_DATA", ("image_data", json!(PNG))), "typed"),
        (
            question("OPTIONS", ("options", json!([option("a"), option("b")]))),
            "v-b",
        ),
        (
            question(
                "IMAGE_OPTIONS",
                ("image_options", json!([picture("a"), picture("b")])),
            ),
            "v-b",
        ),
    ]
}

/// The kinds of question that are answered by a choice, as the widget knows them.
const OPTIONS: u64 = 2;
const IMAGE_OPTIONS: u64 = 14;

/// What the widget answers, having shown `credentials` and been given the second of what may be
/// chosen, or "typed".
fn answers(credentials: &Value) -> Value {
    let all = credentials.as_array().expect("credentials");
    let kind = all[0]["field_type"].as_u64().expect("a number");
    if kind != OPTIONS && kind != IMAGE_OPTIONS {
        for one in all {
            assert!(
                one["label"].is_string() && one["field_name"].is_string(),
                "{one}"
            );
        }
        let typed = all
            .iter()
            .map(|one| json!({"guid": one["guid"], "value": "typed"}));
        return typed.collect();
    }
    let mut sent: Vec<Value> = all
        .iter()
        .map(|one| json!({"guid": one["guid"], "value": null}))
        .collect();
    let chosen = &all[0]["options"][1];
    assert!(chosen["label"].is_string(), "{chosen}");
    if kind == IMAGE_OPTIONS {
        assert!(is_picture(&chosen["data_uri"]), "{chosen}");
    }
    for one in &mut sent {
        if one["guid"] == chosen["credential_guid"] {
            one["value"] = chosen["guid"].clone();
        }
    }
    json!(sent)
}

/// Whether a browser shows it as it is.
fn is_picture(source: &Value) -> bool {
    source
        .as_str()
        .is_some_and(|source| source.starts_with("data:image/png;base64,iVBOR"))
}

async fn connecting(gateway: &TestGateway) -> (String, String) {
    let body = json!({
        "institution_guid": PAPER_BANK_GUID,
        "credentials": [{"guid": LOGIN, "value": "ada"}, {"guid": PASSWORD, "value": "x"}],
        "skip_aggregation": false,
    });
    let (status, created) = gateway.nexus("POST", "/members", Some(body)).await;
    assert_eq!(status, 200, "{created}");
    let member = created["member"]["guid"].as_str().expect("a guid");
    (member.to_owned(), nth_job(gateway, 1).await)
}

/// What the widget does with a challenged member; its questions, and the member as it then is.
async fn answer(gateway: &TestGateway, member: &str, job: &str) -> (Value, Value) {
    let path = format!("/members/{member}");
    let (_, read) = gateway.nexus("GET", &path, None).await;
    assert_eq!(read["member"]["connection_status"], "CHALLENGED");
    let (status, asked) = gateway
        .nexus("GET", &format!("/jobs/{job}/mfa_credentials"), None)
        .await;
    assert_eq!(status, 200, "{asked}");
    let mut sent = read["member"].clone();
    sent["mfa"] = asked.clone();
    sent["credentials"] = answers(&asked["credentials"]);
    let (status, answered) = gateway
        .nexus("PUT", &format!("{path}/update_mfa"), Some(sent))
        .await;
    assert_eq!(status, 200, "{answered}");
    (asked["credentials"].clone(), answered["member"].clone())
}

async fn every_kind_of_question_can_be_shown_and_answered(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, job) = connecting(&gateway).await;
    for (round, (question, expected)) in questions().into_iter().enumerate() {
        let asks = challenged(&json!([question]));
        let reported = report(&gateway, &job, asks).await;
        assert_eq!(reported, (200, "CHALLENGED".to_owned()), "{question}");
        let (asked, answered) = answer(&gateway, &member, &job).await;
        assert_eq!(asked[0]["field_type_name"], question["type"]);
        let has_picture = question["type"] == "IMAGE_DATA";
        for name in ["meta_data", "image_data"] {
            assert_eq!(is_picture(&asked[0][name]), has_picture, "{asked}");
        }
        assert_eq!(answered["connection_status"], "RESUMED", "{question}");
        // The aggregator gets the value, whichever name the choice came under.
        nth_job(&gateway, round + 2).await;
        let (status, lent) = lease(&gateway, &job).await;
        assert_eq!(status, 200, "{lent}");
        let answers = &lent["answers"];
        assert_eq!(answers[0]["value"], expected, "{question}");
    }
}

async fn pictures_may_be_sent_back_with_the_answers(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, job) = connecting(&gateway).await;
    let picture = format!("{PNG}{}", "A".repeat(48 * 1024));
    let question =
        json!([{"type": "IMAGE_DATA", "field_name": "f", "label": "What?", "image_data": picture}]);
    report(&gateway, &job, challenged(&question)).await;
    let (asked, answered) = answer(&gateway, &member, &job).await;
    assert!(
        asked.to_string().len() > 64 * 1024,
        "more than other bodies may have"
    );
    assert_eq!(answered["connection_status"], "RESUMED");
}

async fn an_institution_has_a_picture_of_ours_and_the_help_of_its_file(backend: Backend) {
    const LAST: &str = "{ label = \"South\", value = \"south\" }]\n";
    const HELP: &str = r#"{ label = "South", value = "south" }]
[help]
instructional_text = "Use your card number."
instructional_text_steps = ["Open the app.", "Allow access."]
oauth_predirect_instructions = ["account_numbers", "tax_documents"]
forgot_password_url = "https://paper.example/password"
forgot_username_url = "https://paper.example/name"
trouble_signing_in_url = "https://paper.example/help"
"#;
    let setup = Setup {
        swaps: vec![(LAST, HELP)],
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let read = async |code: &str| {
        let path = format!("/institutions/{code}");
        let (status, answer) = gateway.nexus("GET", &path, None).await;
        assert_eq!(status, 200, "{answer}");
        answer["institution"].clone()
    };
    let paper = read(PAPER_BANK).await;
    for (name, expected) in [
        ("instructional_text", json!("Use your card number.")),
        (
            "instructional_text_steps",
            json!(["Open the app.", "Allow access."]),
        ),
        (
            "instructional_data",
            json!({"title": null, "description": "Use your card number.",
                "steps": ["Open the app.", "Allow access."]}),
        ),
        ("oauth_predirect_instructions", json!([1, 4])),
        (
            "forgot_password_url",
            json!("https://paper.example/password"),
        ),
        ("forgot_username_url", json!("https://paper.example/name")),
        (
            "trouble_signing_in_url",
            json!("https://paper.example/help"),
        ),
    ] {
        assert_eq!(paper[name], expected, "{name}");
    }
    for (older, name) in [
        (
            "forgot_password_url",
            "forgot_password_credential_recovery_url",
        ),
        (
            "forgot_username_url",
            "forgot_username_credential_recovery_url",
        ),
        (
            "trouble_signing_in_url",
            "trouble_signing_credential_recovery_url",
        ),
    ] {
        assert_eq!(paper[older], paper[name]);
    }
    let other = read(BANK).await;
    assert_eq!(other["instructional_text"], Value::Null);
    assert_eq!(other["oauth_predirect_instructions"], json!([]));
    for institution in [paper, other] {
        let logo = institution["logo_url"].as_str().expect("an address");
        assert_eq!(institution["small_logo_url"], logo);
        assert_eq!(institution["medium_logo_url"], logo);
        assert!(logo.starts_with(gateway.at("/").as_str()), "{logo}");
        let picture = http().get(logo).send().await.expect("a response");
        assert_eq!(picture.status(), 200, "{logo}");
        let headers = picture.headers().clone();
        assert_eq!(headers["content-type"], "image/svg+xml");
        assert_eq!(headers["cross-origin-resource-policy"], "cross-origin");
        assert!(picture.text().await.expect("a picture").starts_with("<svg"));
    }
}
