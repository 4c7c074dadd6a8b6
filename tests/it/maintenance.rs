//! An institution that is not used for now: new links are refused, people get a page, pulls wait, and nothing is lost.

use std::time::Duration;

use guichet::domain::duty::DutyKind;
use guichet::domain::id::{InstitutionCode, JobGuid};
use guichet::domain::job::JobStatus;
use guichet::flow::circuits::Target;
use serde_json::{Value, json};
use url::Url;

use crate::support::aggregation::{job, lease, nth_push, report};
use crate::support::gateway::{
    BANK, BANK_GUID, Backend, LOGIN, PAPER_BANK, PAPER_BANK_GUID, PASSWORD, Setup, TestGateway,
    eventually,
};
use crate::support::guichet::{Ran, run};

/// A little more than how long a waiting job waits before it is looked at again.
const AGAIN: Duration = Duration::from_secs(61);
/// A little more than after how long tokens that nobody needs are refreshed.
const IDLE: Duration = Duration::from_secs(20 * 24 * 60 * 60 + 1);

crate::on_both_stores!(
    what_its_file_says_refuses_new_links,
    an_operator_says_so_at_run_time,
    a_link_is_not_used_up_and_leads_on_afterwards,
    pulls_wait_and_use_up_no_tries,
    an_institution_that_fails_is_not_available,
    continue_and_try_again_wait_too,
    a_keyed_request_that_was_refused_is_processed_afterwards,
    maintenance_ends_by_itself,
);

/// Runs `guichet institution maintenance` on the gateway's store.
async fn operate(gateway: &TestGateway, code: &str, more: &[&str]) -> Ran {
    let file = gateway.file().to_str().expect("a path").to_owned();
    let mut arguments = vec!["institution", "maintenance", code, "--config", &file];
    arguments.extend(more);
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    let running = tokio::task::spawn_blocking(move || run(arguments.iter().map(String::as_str)));
    running.await.expect("no panic")
}

async fn mint(gateway: &TestGateway) -> (u16, Value) {
    let path = format!("/users/{}/members", gateway.user);
    let body = json!({"member": {"institution_code": BANK, "is_oauth": true}});
    gateway.platform("POST", &path, Some(body)).await
}

/// Waits until new links are refused, or are made again.
async fn refused(gateway: &TestGateway, is_refused: bool) -> Value {
    eventually(async || {
        let (status, response) = mint(gateway).await;
        ((status == 400) == is_refused).then_some(response)
    })
    .await
}

async fn closed(gateway: &TestGateway) {
    let said = operate(gateway, BANK, &[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    refused(gateway, true).await;
}

async fn opened(gateway: &TestGateway) {
    let said = operate(gateway, BANK, &["--over"]).await;
    assert_eq!(said.out, format!("{BANK}: used again\n"), "{said:?}");
    refused(gateway, false).await;
}

async fn what_its_file_says_refuses_new_links(backend: Backend) {
    let setup = Setup {
        swaps: vec![
            (
                "supports_oauth = true\n",
                "supports_oauth = true\n[maintenance]\nuntil = \"2099-01-01T00:00:00Z\"\ntext = \"Back soon.\"\n",
            ),
            (
                "supports_oauth = false\n",
                "supports_oauth = false\nmaintenance = { status = \"prevented\" }\n",
            ),
        ],
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let (status, problem) = mint(&gateway).await;
    let error = &problem["error"];
    assert_eq!((status, &error["status"]), (400, &json!("bad_request")));
    assert_eq!(error["type"], "institution_maintenance_error");
    assert_eq!(
        error["message"],
        "Fake Bank is in maintenance for now. Back soon. Send the request again after 2099-01-01T00:00:00+00:00."
    );
    let body = json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}});
    let (status, problem) = gateway.nexus("POST", "/members", Some(body)).await;
    assert_eq!((status, &problem["error"]["code"]), (400, &json!("4002")));
    let path = format!("/users/{}/members", gateway.user);
    let body = json!({"member": {"institution_code": PAPER_BANK, "credentials": [
        {"guid": LOGIN, "value": "ada"}, {"guid": PASSWORD, "value": "secret"},
    ]}});
    let (status, problem) = gateway.platform("POST", &path, Some(body)).await;
    let kind = &problem["error"]["type"];
    assert_eq!((status, kind), (400, &json!("institution_prevented_error")));
    let (_, listed) = gateway.platform("GET", &path, None).await;
    assert_eq!(listed["members"], json!([]), "none was created");
    // It is still in the list of institutions.
    let path = format!("/institutions/{PAPER_BANK_GUID}");
    assert_eq!(gateway.nexus("GET", &path, None).await.0, 200);
    let said = operate(&gateway, BANK, &["--over"]).await;
    assert!(
        said.code == Some(1) && said.err.contains("[maintenance]"),
        "{said:?}"
    );
}

async fn an_operator_says_so_at_run_time(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let beside = gateway.beside().await;
    let said = operate(&gateway, BANK, &["--over"]).await;
    assert_eq!(said.out, format!("{BANK}: was not in maintenance\n"));
    let until = "2099-06-01T06:00:00Z";
    let more = ["--until", until, "--text", "The bank moves its computers."];
    let said = operate(&gateway, BANK, &more).await;
    assert_eq!(
        said.out,
        format!("{BANK}: in maintenance until {until}\n"),
        "{said:?}"
    );
    let problem = refused(&gateway, true).await;
    let message = problem["error"]["message"].as_str().expect("a message");
    assert!(message.contains("moves its computers"), "{message}");
    // The other one sees it as well, and the other institutions are used.
    let url = beside.url.join(&format!("/users/{}/members", gateway.user));
    let url = url.expect("a URL");
    let at_the_other = async |code: &str| {
        let body = json!({"member": {"institution_code": code, "is_oauth": true}});
        let request = crate::support::visitor::http().post(url.clone());
        let request = request
            .basic_auth("acme", Some(&gateway.api_key))
            .json(&body);
        request.send().await.expect("a response").status().as_u16()
    };
    eventually(async || (at_the_other(BANK).await == 400).then_some(())).await;
    assert_eq!(at_the_other("fake_bank_form").await, 202);
    opened(&gateway).await;
    eventually(async || (at_the_other(BANK).await == 202).then_some(())).await;

    let past = operate(&gateway, BANK, &["--until", "2001-01-01T00:00:00Z"]).await;
    assert!(
        past.code == Some(1) && past.err.contains("--until"),
        "{past:?}"
    );
    let unknown = operate(&gateway, "no_bank", &[]).await;
    assert!(
        unknown.code == Some(1) && unknown.err.contains("no_bank"),
        "{unknown:?}"
    );
    let both = operate(&gateway, BANK, &["--over", "--until", until]).await;
    assert_eq!(both.code, Some(2), "{both:?}");
}

async fn a_link_is_not_used_up_and_leads_on_afterwards(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let app = json!({
        "member": {"institution_guid": BANK_GUID, "is_oauth": true},
        "referral_source": "APP", "client_redirect_url": "https://app.example/done",
    });
    let (_, app_link) = gateway.member_with(app).await;
    let before = gateway.read(member).await;
    closed(&gateway).await;
    let visitor = gateway.visitor();
    let page = visitor.get(&link).await;
    assert_eq!(
        (page.status, page.name()),
        (503, Some("maintenance")),
        "{}",
        page.body
    );
    assert!(page.header("retry-after").is_some());
    assert_eq!(page.cookies(), [""; 0]);
    assert!(
        page.body.contains("Fake Bank is not available right now"),
        "{}",
        page.body
    );
    let page = visitor.get(&app_link).await;
    assert_eq!((page.status, page.name()), (503, Some("maintenance")));
    let back = page.between("data-action=\"return\" href=\"", "\"");
    let back = back.or(page
        .between("href=\"https://app.example/", "\"")
        .map(|_| ""));
    assert!(back.is_some(), "{}", page.body);
    assert!(
        page.body.contains("error_reason=PROVIDER_ERROR"),
        "{}",
        page.body
    );
    assert_eq!(gateway.bank.hits().authorize, 0);
    assert_eq!(gateway.state(member).await["auth_status"], 1);
    assert_eq!(gateway.read(member).await["revision"], before["revision"]);
    opened(&gateway).await;
    let page = gateway.connect(&visitor, &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

/// A member that was pulled once, and how many pushes there were.
async fn pulled(gateway: &TestGateway) -> (String, usize) {
    let (member, link) = gateway.member().await;
    gateway.connect(&gateway.visitor(), &link).await;
    let first = job(&nth_push(gateway, 1).await);
    lease(gateway, &first).await;
    report(gateway, &first, json!({"status": "succeeded"})).await;
    (member.to_string(), 1)
}

async fn pulls_wait_and_use_up_no_tries(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, pushes) = pulled(&gateway).await;
    closed(&gateway).await;
    let path = format!("/users/{}/members/{member}/aggregate", gateway.user);
    let (status, ordered) = gateway.platform("POST", &path, None).await;
    assert_eq!(status, 202, "{ordered}");
    let guid = member.parse().expect("a guid");
    let found = gateway.inside.store.member(gateway.user, guid).await;
    let found = found.expect("a step").expect("the member");
    let waiting: JobGuid = found.current_job.expect("a job");
    let read = async || {
        let job = gateway.inside.store.job(waiting).await.expect("a step");
        job.expect("the job")
    };
    // It is looked at again and again.
    let mut due_at = read().await.created_at;
    for _ in 0..5 {
        due_at = eventually(async || {
            let job = read().await;
            let is_back = job.status == JobStatus::Queued && job.due_at > due_at;
            is_back.then_some(job.due_at)
        })
        .await;
        assert_eq!(read().await.attempt, 0);
        gateway.pass(AGAIN);
    }
    assert_eq!(
        gateway.aggregator.received().len(),
        pushes,
        "none was pushed"
    );
    // Tokens that nobody needs wait too.
    gateway.clock.advance(IDLE);
    let store = &gateway.inside.store;
    let spots = store.spots_due(gateway.inside.clock.now()).await;
    let mut spots = spots.expect("a step").into_iter();
    assert!(spots.any(|spot| spot.line.kind() == Some(DutyKind::Refresh)));
    let refreshes = || {
        let requests = gateway.bank.token_requests().into_iter();
        let kind = |it: &crate::support::loopback::Recorded| it.field("grant_type");
        requests
            .filter(|it| kind(it).as_deref() == Some("refresh_token"))
            .count()
    };
    assert_eq!(refreshes(), 0);
    opened(&gateway).await;
    gateway.pass(AGAIN);
    eventually(async || (refreshes() > 0).then_some(())).await;
}

async fn an_institution_that_fails_is_not_available(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, link) = gateway.member().await;
    let code: InstitutionCode = BANK.parse().expect("a code");
    let circuits = &gateway.inside.circuits;
    let fail = |target: &Target| {
        for _ in 0..5 {
            let now = tokio::time::Instant::now();
            let entered = circuits.enter(target, now).expect("it is closed");
            let asked = Some(Duration::from_secs(600));
            circuits.failed(target, entered, asked, now);
        }
    };
    // Tokens that cannot be given back keep nobody from connecting.
    fail(&Target::Revocation(code.clone()));
    assert_eq!(mint(&gateway).await.0, 202);
    let target = Target::Institution(code);
    fail(&target);
    let (status, problem) = mint(&gateway).await;
    let kind = &problem["error"]["type"];
    assert_eq!(
        (status, kind),
        (400, &json!("institution_unavailable_error"))
    );
    let visitor = gateway.visitor();
    let page = visitor.get(&link).await;
    assert_eq!(page.name(), Some("maintenance"), "{}", page.body);
    assert!(page.body.contains("in about 10 minutes"), "{}", page.body);
    circuits.worked(&target);
    let page = gateway.connect(&visitor, &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

async fn continue_and_try_again_wait_too(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let visitor = gateway.visitor();
    // One that went to the bank and has not come back, and one that declined there.
    let (_, left) = gateway.member().await;
    gateway.open(&visitor, &left).await;
    let resume = visitor.get(&left).await;
    assert_eq!(resume.name(), Some("resume"));
    let (_, declined) = gateway.member().await;
    let authorization = gateway.open(&visitor, &declined).await;
    let refusal = gateway
        .bank
        .refusal_for(&authorization, "access_denied", "no")
        .url();
    let cancelled = visitor.follow(&refusal).await;
    assert_eq!(cancelled.name(), Some("cancelled"), "{}", cancelled.body);
    let mailed = json!({
        "member": {"institution_guid": BANK_GUID, "is_oauth": true},
        "open_policy": "interstitial",
    });
    let (_, asks) = gateway.member_with(mailed).await;
    let asks = visitor.get(&asks).await;
    assert_eq!(asks.name(), Some("interstitial"), "{}", asks.body);
    closed(&gateway).await;
    // Who does not want to goes nowhere.
    let not_now = visitor.press(&asks, "cancel").await;
    assert_eq!(not_now.name(), Some("cancelled"), "{}", not_now.body);
    for (page, action) in [(&resume, "continue"), (&cancelled, "retry")] {
        let waits = visitor.press(page, action).await;
        assert_eq!(
            (waits.status, waits.name()),
            (503, Some("maintenance")),
            "{action}"
        );
    }
    opened(&gateway).await;
    for (page, action) in [(&resume, "continue"), (&cancelled, "retry")] {
        let goes = visitor.press(page, action).await;
        let to: Url = goes.location().expect("to the bank");
        let connected = visitor.follow(&gateway.bank.code_for(&to).url()).await;
        assert_eq!(connected.name(), Some("connected"), "{}", connected.body);
    }
}

async fn a_keyed_request_that_was_refused_is_processed_afterwards(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    closed(&gateway).await;
    let path = format!("/users/{}/members", gateway.user);
    let body = json!({"member": {"institution_code": BANK, "is_oauth": true}});
    let send = async || {
        let key = gateway.api_key.clone();
        let with = |request: reqwest::RequestBuilder| {
            let request = request.basic_auth("acme", Some(key));
            request.header("Idempotency-Key", "one")
        };
        gateway.call("POST", &path, Some(body.clone()), with).await
    };
    assert_eq!(send().await.0, 400);
    opened(&gateway).await;
    let (status, created) = send().await;
    assert_eq!(status, 202, "{created}");
}

async fn maintenance_ends_by_itself(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let until = gateway.clock.now() + Duration::from_secs(3600);
    let until = until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let said = operate(&gateway, BANK, &["--until", &until]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    refused(&gateway, true).await;
    gateway.pass(Duration::from_secs(3601));
    assert_eq!(mint(&gateway).await.0, 202, "at once");
}
