//! Names and passwords, questions and answers.

use axum::routing::put;

use super::*;

const LOGIN: &str = "CRD-1";
const PASSWORD: &str = "CRD-2";

/// One member without OAuth, and what was sent.
#[derive(Default)]
struct Bank {
    member: Mutex<Option<Value>>,
    challenges: Mutex<Value>,
    /// Method, last part of the path, and body.
    sent: Mutex<Vec<(&'static str, Value)>>,
    /// Whether the login is connected already, as `MBR-1`.
    is_taken: bool,
}

impl Bank {
    fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/users/{user}/members", get(list).post(create))
            .route("/users/{user}/members/{member}", get(read).put(update))
            .route("/users/{user}/members/{member}/challenges", get(challenges))
            .route("/users/{user}/members/{member}/resume", put(resume))
            .route("/institutions/{code}/credentials", get(credentials))
            .layer(axum::middleware::from_fn(authorized))
            .with_state(Arc::clone(self))
    }

    fn is(&self, status: &str) {
        *self.member.lock().expect("a lock") = Some(json!({
            "guid": "MBR-1",
            "name": "MX Bank",
            "institution_code": "mxbank",
            "connection_status": status,
            "is_being_aggregated": false,
            "is_oauth": false,
        }));
    }

    fn asks(&self, challenges: Value) {
        self.is("CHALLENGED");
        *self.challenges.lock().expect("a lock") = challenges;
    }

    fn take(&self, what: &'static str, body: Value) {
        self.sent.lock().expect("a lock").push((what, body));
    }

    fn sent(&self) -> Vec<(&'static str, Value)> {
        self.sent.lock().expect("a lock").clone()
    }
}

async fn list(State(bank): State<Arc<Bank>>) -> Json<Value> {
    let members: Vec<_> = bank
        .member
        .lock()
        .expect("a lock")
        .iter()
        .cloned()
        .collect();
    Json(json!({ "members": members }))
}

async fn create(State(bank): State<Arc<Bank>>, Json(body): Json<Value>) -> Response {
    bank.take("create", body);
    if bank.is_taken {
        let refusal = json!({ "error": { "message": "taken" }, "guid": "MBR-1" });
        return (StatusCode::CONFLICT, Json(refusal)).into_response();
    }
    bank.is("CREATED");
    let member = json!({ "member": { "guid": "MBR-1", "connection_status": "CREATED" } });
    (StatusCode::ACCEPTED, Json(member)).into_response()
}

async fn read(State(bank): State<Arc<Bank>>) -> Json<Value> {
    Json(json!({ "member": *bank.member.lock().expect("a lock") }))
}

async fn update(State(bank): State<Arc<Bank>>, Json(body): Json<Value>) -> Json<Value> {
    bank.take("update", body);
    bank.is("UPDATED");
    read(State(bank)).await
}

async fn challenges(State(bank): State<Arc<Bank>>) -> Json<Value> {
    Json(json!({ "challenges": *bank.challenges.lock().expect("a lock") }))
}

async fn resume(
    State(bank): State<Arc<Bank>>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    bank.take("resume", body);
    bank.is("RESUMED");
    (StatusCode::ACCEPTED, read(State(bank)).await)
}

async fn credentials(Path(code): Path<String>) -> Json<Value> {
    assert!(
        ["mxbank", "mxcu_credential"].contains(&code.as_str()),
        "{code}"
    );
    Json(json!({ "credentials": [
        { "guid": LOGIN, "field_name": "LOGIN", "label": "Your <name>", "field_type": "TEXT" },
        { "guid": PASSWORD, "field_name": "PASSWORD", "label": "Secret", "field_type": "PASSWORD" },
    ] }))
}

async fn world(bank: Bank) -> (World, Arc<Bank>) {
    let bank = Arc::new(bank);
    (World::with_gateway(bank.router()).await, bank)
}

async fn post(world: &World, path: &str, fields: &[(&str, &str)]) -> reqwest::Response {
    send_form(world, path, &world.app, fields).await
}

fn assert_leads_to_the_member(response: &reqwest::Response) {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()["location"], "/?member=MBR-1");
}

#[tokio::test]
async fn what_the_gateway_asks_for_is_typed_and_sent() {
    let (world, bank) = world(Bank::default()).await;
    let (status, html) = page(&world, "/").await;
    assert_eq!(status, StatusCode::OK);
    for part in [
        "id=\"sign-in-mxbank\"",
        "id=\"sign-in-mxcu_credential\"",
        "Your &#60;name&#62;",
        "name=\"CRD-2\" data-field=\"PASSWORD\" type=\"password\"",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    assert!(!html.contains("id=\"connect-mxbank\""), "{html}");

    let typed = [
        ("institution_code", "mxbank"),
        (LOGIN, "ada"),
        (PASSWORD, " a&b "),
    ];
    assert_leads_to_the_member(&post(&world, "/sign-in", &typed).await);
    let expected = json!({ "member": {
        "institution_code": "mxbank",
        "credentials": [
            { "guid": LOGIN, "value": "ada" },
            { "guid": PASSWORD, "value": " a&b " },
        ],
    } });
    assert_eq!(bank.sent(), [("create", expected)]);
    let (_, html) = page(&world, "/?member=MBR-1").await;
    assert!(html.contains("data-status=\"CREATED\""), "{html}");
    assert!(!html.contains("id=\"sign-in-again\""), "{html}");
    assert!(!html.contains("id=\"connect-again\""), "{html}");
}

#[tokio::test]
async fn a_login_that_is_connected_gets_the_new_password() {
    let taken = Bank {
        is_taken: true,
        ..Bank::default()
    };
    let (world, bank) = world(taken).await;
    let typed = [
        ("institution_code", "mxbank"),
        (LOGIN, "ada"),
        (PASSWORD, "new"),
    ];
    assert_leads_to_the_member(&post(&world, "/sign-in", &typed).await);
    let sent = bank.sent();
    assert_eq!((sent[0].0, sent[1].0, sent.len()), ("create", "update", 2));
    assert_eq!(sent[1].1["member"]["credentials"][1]["value"], "new");
}

#[tokio::test]
async fn a_refused_sign_in_can_be_tried_again() {
    let (world, bank) = world(Bank::default()).await;
    bank.is("DENIED");
    let (_, html) = page(&world, "/?member=MBR-1").await;
    assert!(html.contains("id=\"sign-in-again\""), "{html}");
    assert!(html.contains("did not accept the sign-in"), "{html}");
    let typed = [(LOGIN, "ada"), (PASSWORD, "better")];
    assert_leads_to_the_member(&post(&world, "/members/MBR-1/sign-in", &typed).await);
    let sent = bank.sent();
    assert_eq!((sent[0].0, sent.len()), ("update", 1));
}

#[tokio::test]
async fn every_kind_of_question_has_its_input() {
    let (world, bank) = world(Bank::default()).await;
    let kinds = json!([
        { "guid": "CRD-1", "field_name": "A", "label": "A <b>?", "type": "TEXT" },
        { "guid": "CRD-2", "field_name": "B", "label": "B?", "type": "TOKEN", "options": null },
        { "guid": "CRD-3", "field_name": "C", "label": "C?", "type": "OPTIONS",
          "options": [{ "label": "One", "value": "1" }, { "label": "Two", "value": "\"2" }] },
        { "guid": "CRD-4", "field_name": "D", "label": "D?", "type": "IMAGE_DATA",
          "image_data": "aGVsbG8=", "options": [] },
        { "guid": "CRD-5", "field_name": "E", "label": "E?", "type": "IMAGE_OPTIONS",
          "image_options": [
              { "label": "Cat", "value": "c", "data_uri": "data:image/png;base64,aGVsbG8=" },
          ] },
    ]);
    bank.asks(kinds);
    let (_, html) = page(&world, "/?member=MBR-1").await;
    for part in [
        "data-challenge=\"TEXT\" data-field=\"A\"",
        "A &#60;b&#62;?",
        "data-challenge=\"TOKEN\" data-field=\"B\"",
        "<input id=\"CRD-2\" name=\"CRD-2\" type=\"text\"",
        "type=\"radio\" name=\"CRD-3\" value=\"&#34;2\"",
        "data-challenge=\"IMAGE_DATA\" data-field=\"D\"",
        "src=\"data:image/png;base64,aGVsbG8=\" alt=\"What your bank shows\"",
        "type=\"radio\" name=\"CRD-5\" value=\"c\" required> <img src=\"data:image/png",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let state = state(&world).await;
    assert_eq!(state["connection_status"], "CHALLENGED");
    assert_eq!(state["challenges"][2]["options"][0]["label"], "One");
}

#[tokio::test]
async fn answers_are_passed_on() {
    let (world, bank) = world(Bank::default()).await;
    let question = json!({ "guid": "CRD-9", "field_name": "A", "label": "A?", "type": "TEXT" });
    bank.asks(json!([question]));
    let typed = [("CRD-9", "correct")];
    assert_leads_to_the_member(&post(&world, "/members/MBR-1/answers", &typed).await);
    let expected = json!({ "member": {
        "challenges": [{ "guid": "CRD-9", "value": "correct" }],
    } });
    assert_eq!(bank.sent(), [("resume", expected)]);
    let (_, html) = page(&world, "/?member=MBR-1").await;
    assert!(html.contains("data-status=\"RESUMED\""), "{html}");
    assert!(!html.contains("id=\"challenges\""), "{html}");

    for path in [
        "/sign-in",
        "/members/MBR-1/sign-in",
        "/members/MBR-1/answers",
    ] {
        let response = send_form(&world, path, "http://evil.example", &typed).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(bank.sent().len(), 1);
}
