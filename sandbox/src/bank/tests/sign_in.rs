//! Signing in without pages.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

const BANK: &str = "mxbank";

async fn step(world: &World, institution: &str, body: Value) -> Response {
    let url = format!("{}/{institution}/sign-in", world.bank);
    let request = world.http.post(url).json(&body);
    request.send().await.expect("a response")
}

async fn begin(world: &World, password: &str) -> Value {
    let body = json!({ "username": "ada", "password": password });
    let response = step(world, BANK, body).await;
    assert_eq!(response.status(), StatusCode::OK, "{password}");
    assert_eq!(response.headers()["cache-control"], "no-store");
    json(response).await
}

/// Goes on with these answers, by the names of their questions.
async fn go_on(world: &World, challenge: &Value, answers: Fields<'_>) -> Response {
    let answer = |&(name, value): &(&str, &str)| json!({ "field_name": name, "value": value });
    let answers: Vec<_> = answers.iter().map(answer).collect();
    let body = json!({ "sign_in": text(challenge, "sign_in"), "answers": answers });
    step(world, BANK, body).await
}

/// The names of the questions.
fn asked(challenge: &Value) -> Vec<&str> {
    assert_eq!(challenge["status"], "challenge", "{challenge}");
    let questions = challenge["questions"].as_array().expect("a list");
    questions
        .iter()
        .map(|one| text(one, "field_name"))
        .collect()
}

#[tokio::test]
async fn any_name_and_password_open_the_accounts() {
    let world = World::start().await;
    let mut subjects = Vec::new();
    for username in ["ada", "ada", "bob", ""] {
        let body = json!({ "username": username, "password": "sesame" });
        let signed_in = json(step(&world, BANK, body).await).await;
        assert_eq!(signed_in["status"], "signed_in");
        assert_eq!(signed_in["expires_in"], 3600);
        let access = text(&signed_in, "access_token");
        let accounts = json(read(&world, BANK, "accounts", access).await).await;
        assert_eq!(accounts["accounts"].as_array().map(Vec::len), Some(3));
        let transactions = json(read(&world, BANK, "transactions", access).await).await;
        assert_eq!(
            transactions["transactions"].as_array().map(Vec::len),
            Some(12)
        );
        let elsewhere = read(&world, "mxcu_credential", "accounts", access).await;
        assert_eq!(elsewhere.status(), StatusCode::UNAUTHORIZED);
        subjects.push(text(&accounts, "subject").to_owned());
    }
    assert_eq!(subjects[0], subjects[1]);
    assert_ne!(subjects[1], subjects[2]);
    assert_eq!(world.stats().await["sign_in"], 4);
}

#[tokio::test]
async fn some_passwords_are_refused() {
    let world = World::start().await;
    for (password, reason) in [
        ("wrong", "denied"),
        ("UNAUTHORIZED", "denied"),
        ("locked", "locked"),
        ("LOCKED", "locked"),
        ("BAD_REQUEST", "failed"),
        ("INVALID", "failed"),
        ("provider_error", "unavailable"),
    ] {
        let expected = json!({ "status": "refused", "reason": reason });
        assert_eq!(begin(&world, password).await, expected, "{password}");
    }
    assert_eq!(world.stats().await["tokens_issued"], 0);
}

#[tokio::test]
async fn some_passwords_show_later() {
    let world = World::start().await;
    let revoked = begin(&world, "revoked").await;
    let response = read(&world, BANK, "accounts", text(&revoked, "access_token")).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let empty = begin(&world, "no_accounts").await;
    let accounts = read(&world, BANK, "accounts", text(&empty, "access_token")).await;
    assert_eq!(json(accounts).await["accounts"], json!([]));
    let began = Instant::now();
    assert_eq!(begin(&world, "slow").await["status"], "signed_in");
    assert!(began.elapsed() >= Duration::from_millis(250));
}

#[tokio::test]
async fn a_question_is_answered_right_or_wrong() {
    let world = World::start().await;
    for password in ["challenge", "options", "token", "image", "image_options"] {
        let challenge = begin(&world, password).await;
        let names = asked(&challenge);
        assert_eq!(names.len(), 1);
        let signed_in = json(go_on(&world, &challenge, &[(names[0], " correct ")]).await).await;
        assert_eq!(signed_in["status"], "signed_in", "{password}");
        let again = go_on(&world, &challenge, &[(names[0], "correct")]).await;
        assert_eq!(again.status(), StatusCode::GONE, "it goes on once");

        for answers in [&[(names[0], "incorrect")][..], &[("OTHER", "correct")], &[]] {
            let challenge = begin(&world, password).await;
            let refused = json(go_on(&world, &challenge, answers).await).await;
            assert_eq!(
                refused,
                json!({ "status": "refused", "reason": "rejected" })
            );
            let again = go_on(&world, &challenge, &[(names[0], "correct")]).await;
            assert_eq!(again.status(), StatusCode::GONE, "a wrong answer ends it");
        }
    }
}

#[tokio::test]
async fn two_questions_one_after_the_other_and_at_once() {
    let world = World::start().await;
    let first = begin(&world, "two_step").await;
    let names = asked(&first);
    let second = json(go_on(&world, &first, &[(names[0], "challenge")]).await).await;
    let then = asked(&second);
    assert_ne!(names, then);
    let signed_in = json(go_on(&world, &second, &[(then[0], "correct")]).await).await;
    assert_eq!(signed_in["status"], "signed_in");
    let first = begin(&world, "two_step").await;
    let refused = json(go_on(&world, &first, &[(names[0], "correct")]).await).await;
    assert_eq!(refused["reason"], "rejected");

    let both = begin(&world, "two_at_once").await;
    let names = asked(&both);
    let answers: Vec<_> = names.iter().map(|name| (*name, "correct")).collect();
    let signed_in = json(go_on(&world, &both, &answers).await).await;
    assert_eq!(signed_in["status"], "signed_in");
    let both = begin(&world, "two_at_once").await;
    let refused = json(go_on(&world, &both, &answers[..1]).await).await;
    assert_eq!(refused["reason"], "rejected");
}

#[tokio::test]
async fn each_institution_has_one_way_in() {
    let world = World::start().await;
    let body = json!({ "username": "ada", "password": "sesame" });
    for institution in [PAGES, "no_such_bank"] {
        let response = step(&world, institution, body.clone()).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{institution}");
    }
    let response = authorize(&world, BANK, &[]).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let response = exchange(&world, BANK, "code", &[]).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);

    let challenge = begin(&world, "challenge").await;
    let body = json!({ "sign_in": challenge["sign_in"], "answers": [] });
    let elsewhere = step(&world, "mxcu_credential", body).await;
    assert_eq!(elsewhere.status(), StatusCode::GONE);
    let here = go_on(&world, &challenge, &[("PET", "correct")]).await;
    assert_eq!(json(here).await["status"], "signed_in");
}

#[tokio::test]
async fn what_cannot_be_read_is_not_repeated() {
    let world = World::start().await;
    for body in [
        json!({ "username": "ada" }),
        json!({ "username": "ada", "password": 31_337 }),
        json!({ "sign_in": "31337" }),
        json!("31337"),
    ] {
        let response = step(&world, BANK, body).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let said = response.text().await.expect("text");
        assert!(!said.contains("31337"), "{said}");
    }
}

#[tokio::test]
async fn the_first_page_lists_both_tables_of_passwords() {
    let world = World::start().await;
    let page = world
        .http
        .get(&world.bank)
        .send()
        .await
        .expect("a response");
    let html = page.text().await.expect("text");
    for text in [
        "<code>expired_code</code>",
        "<code>two_step</code>",
        "mxbank",
    ] {
        assert!(html.contains(text), "{html}");
    }
}
