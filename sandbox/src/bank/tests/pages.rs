//! From the authorization request to the authorization response.

use super::*;

#[tokio::test]
async fn the_whole_way_with_pages() {
    let world = World::start().await;
    let response = consent(&world, PAGES, "anything", 2).await;
    let answer = answer(&response);
    assert_eq!(answer["kept"], "1");
    assert_eq!(answer["state"], "the state");
    assert_eq!(answer["iss"], format!("{}/{PAGES}", world.bank));

    let response = exchange(&world, PAGES, &answer["code"], &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let tokens = json(response).await;
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 3600);
    assert_eq!(tokens["scope"], "read");

    let access = text(&tokens, "access_token");
    let accounts = json(read(&world, PAGES, "accounts", access).await).await;
    assert_eq!(accounts["accounts"].as_array().map(Vec::len), Some(2));
    let transactions = json(read(&world, PAGES, "transactions", access).await).await;
    let transactions = transactions["transactions"].as_array().expect("a list");
    assert!(!transactions.is_empty());
    let ticked = |id: &Value| {
        let mut accounts = accounts["accounts"].as_array().expect("a list").iter();
        accounts.any(|account| account["id"] == *id)
    };
    assert!(transactions.iter().all(|one| ticked(&one["account_id"])));

    let elsewhere = read(&world, "mxcu_oauth", "accounts", access).await;
    assert_eq!(elsewhere.status(), StatusCode::UNAUTHORIZED);
    let stats = world.stats().await;
    for (what, count) in [
        ("authorize", 1),
        ("token", 1),
        ("accounts", 2),
        ("tokens_issued", 1),
    ] {
        assert_eq!(stats[what], count, "{what}");
    }
}

#[tokio::test]
async fn pages_name_who_asks_and_escape_it() {
    let world = World::start().await;
    let page = authorize(&world, PAGES, &[("login_hint", "\"><script>")]).await;
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .expect("text");
    assert!(policy.contains("frame-ancestors 'none'"));
    let html = page.text().await.expect("text");
    assert!(html.contains("Demo &#60;Budget&#62;"), "{html}");
    assert!(!html.contains("<script"), "{html}");
}

#[tokio::test]
async fn the_auto_institution_approves_at_once() {
    let world = World::start().await;
    let mut subjects = Vec::new();
    for hint in ["", "", "ada", "ada"] {
        let response = authorize(&world, AUTO, &[("login_hint", hint)]).await;
        let code = answer(&response)["code"].clone();
        let tokens = json(exchange(&world, AUTO, &code, &[]).await).await;
        let accounts = read(&world, AUTO, "accounts", text(&tokens, "access_token")).await;
        let accounts = json(accounts).await;
        assert_eq!(accounts["accounts"].as_array().map(Vec::len), Some(3));
        subjects.push(accounts["subject"].clone());
    }
    assert_ne!(subjects[0], subjects[1]);
    assert_ne!(subjects[1], subjects[2]);
    assert_eq!(subjects[2], subjects[3]);
}

#[tokio::test]
async fn a_response_can_be_sent_by_a_form() {
    let world = World::start().await;
    for (institution, mode) in [(FORM, ""), (AUTO, "form_post")] {
        let response = if institution == AUTO {
            authorize(&world, AUTO, &[("response_mode", mode)]).await
        } else {
            consent(&world, FORM, "anything", 1).await
        };
        assert_eq!(response.status(), StatusCode::OK);
        let html = response.text().await.expect("text");
        assert!(
            html.contains(&format!("action=\"{REDIRECT_URI}\"")),
            "{html}"
        );
        assert_eq!(inputs(&html, "state"), ["the state"]);
        assert_eq!(
            inputs(&html, "iss"),
            [format!("{}/{institution}", world.bank)]
        );
        assert_eq!(inputs(&html, "code").len(), 1);
    }
    let response = authorize(&world, AUTO, &[("response_mode", "fragment")]).await;
    assert_eq!(answer(&response)["error"], "invalid_request");
}

#[tokio::test]
async fn requests_from_nobody_known_stay_at_the_bank() {
    let world = World::start().await;
    for change in [
        ("client_id", "stranger"),
        ("client_id", ""),
        ("redirect_uri", ""),
        ("redirect_uri", "http://127.0.0.1:9/back"),
        ("redirect_uri", "http://127.0.0.1:9/back?kept=1&more=1"),
        ("redirect_uri", "http://evil.example/back?kept=1"),
    ] {
        let response = authorize(&world, PAGES, &[change]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{change:?}");
        assert!(!response.headers().contains_key("location"));
    }
    let response = authorize(&world, "no_such_bank", &[]).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn wrong_requests_get_an_error() {
    let world = World::start().await;
    for (change, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", ""), "invalid_request"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
    ] {
        let answer = answer(&authorize(&world, PAGES, &[change]).await);
        assert_eq!(answer["error"], error, "{change:?}");
        assert_eq!(answer["state"], "the state");
        assert_eq!(answer["iss"], format!("{}/{PAGES}", world.bank));
    }
}

#[tokio::test]
async fn passwords_that_end_the_login() {
    let world = World::start().await;
    for (password, error) in [
        ("cancel", "access_denied"),
        ("locked", "interaction_required"),
        ("provider_error", "server_error"),
    ] {
        let (handle, response) = log_in(&world, PAGES, password).await;
        let answer = answer(&response);
        assert_eq!(answer["error"], error);
        assert_eq!(answer["state"], "the state");
        assert!(!answer.contains_key("code"));
        let url = format!("{}/{PAGES}/login?login={handle}", world.bank);
        let again = world.http.get(url).send().await.expect("a response");
        assert_eq!(again.status(), StatusCode::GONE, "{password} ends it");
    }
    let (_, response) = log_in(&world, PAGES, "locked").await;
    assert_eq!(answer(&response)["error_description"], "account locked");
}

#[tokio::test]
async fn passwords_that_return_less_than_the_standards_ask_for() {
    let world = World::start().await;
    for (password, expected) in [
        ("no_without_state", &["error"][..]),
        ("empty_return", &[]),
        ("state_only", &["state"]),
    ] {
        let (handle, response) = log_in(&world, PAGES, password).await;
        let answer = answer(&response);
        for name in ["code", "error", "state", "iss"] {
            assert_eq!(
                answer.contains_key(name),
                expected.contains(&name),
                "{password}: {name}"
            );
        }
        let url = format!("{}/{PAGES}/login?login={handle}", world.bank);
        let again = world.http.get(url).send().await.expect("a response");
        assert_eq!(again.status(), StatusCode::GONE, "{password} ends it");
    }
}

#[tokio::test]
async fn a_wrong_password_can_be_corrected_or_given_up() {
    let world = World::start().await;
    let (handle, response) = log_in(&world, PAGES, "wrong").await;
    let page = follow(&world, &response).await.text().await.expect("text");
    assert!(page.contains("id=\"give-up\""), "{page}");
    let path = format!("/{PAGES}/login");
    let fields = [("login", handle.as_str()), ("password", "right")];
    let response = post(&world, &path, &fields).await;
    let page = follow(&world, &response).await.text().await.expect("text");
    assert!(page.contains("data-page=\"consent\""), "{page}");

    let (handle, _) = log_in(&world, PAGES, "wrong").await;
    let fields = [("login", handle.as_str()), ("action", "give_up")];
    let response = post(&world, &path, &fields).await;
    assert_eq!(answer(&response)["error"], "login_required");
}

#[tokio::test]
async fn both_pages_can_be_cancelled() {
    let world = World::start().await;
    let page = authorize(&world, PAGES, &[]).await;
    let handle = inputs(&page.text().await.expect("text"), "login").remove(0);
    let fields = [("login", handle.as_str()), ("action", "cancel")];
    let response = post(&world, &format!("/{PAGES}/login"), &fields).await;
    assert_eq!(answer(&response)["error"], "access_denied");

    let (handle, _) = log_in(&world, PAGES, "anything").await;
    let fields = [("login", handle.as_str()), ("action", "cancel")];
    let path = format!("/{PAGES}/consent");
    let response = post(&world, &path, &fields).await;
    assert_eq!(answer(&response)["error"], "access_denied");
    let again = post(&world, &path, &fields).await;
    assert_eq!(again.status(), StatusCode::GONE);
}

#[tokio::test]
async fn consent_needs_a_login_and_an_account() {
    let world = World::start().await;
    let page = authorize(&world, PAGES, &[]).await;
    let handle = inputs(&page.text().await.expect("text"), "login").remove(0);
    let fields = [("login", handle.as_str()), ("action", "allow")];
    let response = post(&world, &format!("/{PAGES}/consent"), &fields).await;
    let page = follow(&world, &response).await.text().await.expect("text");
    assert!(page.contains("data-page=\"login\""), "{page}");
    let elsewhere = post(&world, "/mxcu_oauth/consent", &fields).await;
    assert_eq!(elsewhere.status(), StatusCode::GONE);

    let response = consent(&world, PAGES, "anything", 0).await;
    let page = follow(&world, &response).await.text().await.expect("text");
    assert!(page.contains("Tick at least one account"), "{page}");
    assert_eq!(world.stats().await["codes_issued"], 0);
}
