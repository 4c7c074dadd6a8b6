//! Standard members: credentials in, an aggregation at once, questions and answers, and every end.

use std::time::Duration;

use guichet::domain::id::MemberGuid;
use serde_json::{Value, json};

use crate::support::aggregation::{
    challenged, count, distinct, failed, job, lease, nth_job, nth_push, report,
};
use crate::support::gateway::{
    BANK_GUID, BRANCH, Backend, LOGIN, PAPER_BANK_GUID, PASSWORD, Setup, TestGateway,
};
use crate::support::loopback::Recorded;

const LIMIT: Duration = Duration::from_secs(10);
/// A little more than a person may take to answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(601);

crate::on_both_stores!(
    a_member_goes_from_created_to_connected,
    skipped_aggregation_queues_nothing_until_it_is_ordered,
    without_an_aggregator_credentials_are_kept_and_nothing_starts,
    three_refusals_prevent_until_there_are_new_credentials,
    questions_are_answered_round_by_round,
    answers_that_do_not_fit_are_refused_and_nothing_is_lost,
    the_same_questions_again_are_one_round,
    a_question_that_nobody_answers_expires,
    an_answer_that_is_not_accepted_is_rejected,
    each_end_has_its_status,
    new_credentials_replace_the_job_under_way,
    new_credentials_end_the_questions_of_the_old_ones,
    new_credentials_may_wait,
    what_is_not_for_pfm_is_not_pulled_by_itself,
    credentials_that_do_not_fit_are_refused,
    where_oauth_is_compulsory_credentials_are_refused,
    what_is_asked_for_reaches_the_aggregator,
    a_deleted_members_credentials_are_lent_no_more,
);

async fn a_member_goes_from_created_to_connected(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"member": {
        "institution_guid": PAPER_BANK_GUID,
        // In another order than the institution's.
        "credentials": [
            {"guid": PASSWORD, "value": "sesame"},
            {"guid": BRANCH, "value": "north"},
            {"guid": LOGIN, "value": "ada"},
        ],
    }});
    let (status, answer) = gateway.nexus("POST", "/members", Some(body)).await;
    assert_eq!(status, 200, "{answer}");
    let created = &answer["member"];
    assert_eq!(created["connection_status"], "CREATED");
    assert_eq!(created["is_oauth"], false);
    assert_eq!(created["is_being_aggregated"], true);
    assert_eq!(created["name"], "Paper Bank");
    assert!(created["oauth_window_uri"].is_null());
    let member = guid(created);

    let push = nth_push(&gateway, 1).await;
    let job = job(&push);
    assert_eq!(created["most_recent_job_guid"], json!(job));
    assert_eq!(push.json()["institution_code"], "paper_bank");
    assert_eq!(push.json()["round"], 0);
    let (status, lease) = lease(&gateway, &job).await;
    assert_eq!(status, 200, "{lease}");
    assert!(lease.get("access_token").is_none());
    assert!(lease["answers"].is_null());
    let expected = json!([
        {"guid": LOGIN, "field_name": "LOGIN", "value": "ada"},
        {"guid": PASSWORD, "field_name": "PASSWORD", "value": "sesame"},
        {"guid": BRANCH, "field_name": "BRANCH", "value": "north"},
    ]);
    assert_eq!(lease["credentials"], expected);

    let done = report(&gateway, &job, json!({"status": "succeeded"})).await;
    assert_eq!(done, (200, "SUCCEEDED".into()));
    let read = gateway.read(member).await;
    assert_eq!(read["connection_status"], "CONNECTED");
    assert_eq!(read["connection_status_id"], 6);
    assert_eq!(read["is_being_aggregated"], false);
    assert!(read["successfully_aggregated_at"].is_string());
    let told = gateway
        .hooks
        .wait_for(|told| count(told, "member_data_updated") == 1, LIMIT)
        .await;
    assert_eq!(count(&told, "created"), 1);
    assert_eq!(count(&told, "CHANGED"), 0, "CONNECTED is not told as such");
}

async fn skipped_aggregation_queues_nothing_until_it_is_ordered(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = body("ada", "sesame", json!({"skip_aggregation": true}));
    let member = created(&gateway, body).await;
    let read = gateway.read(member).await;
    assert_eq!(read["connection_status"], "CREATED");
    assert_eq!(read["is_being_aggregated"], false);
    assert!(read["most_recent_job_guid"].is_null());

    let (status, answer) = order(&gateway, member).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["member"]["is_being_aggregated"], true);
    let job = nth_job(&gateway, 1).await;
    assert_eq!(answer["member"]["most_recent_job_guid"], json!(job));
    // Ordered again while it runs: the same response, and no second job.
    let (status, answer) = order(&gateway, member).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["member"]["most_recent_job_guid"], json!(job));
    assert_eq!(values(&lease(&gateway, &job).await.1), ["ada", "sesame"]);
    report(&gateway, &job, json!({"status": "succeeded"})).await;
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    assert_eq!(gateway.aggregator.received().len(), 1);
}

async fn without_an_aggregator_credentials_are_kept_and_nothing_starts(backend: Backend) {
    let setup = Setup {
        without_aggregator: true,
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let member = created(&gateway, body("ada", "sesame", json!({}))).await;
    let read = gateway.read(member).await;
    assert_eq!(read["connection_status"], "CREATED");
    assert_eq!(read["is_being_aggregated"], false);
    assert_eq!(order(&gateway, member).await.0, 405);
}

async fn three_refusals_prevent_until_there_are_new_credentials(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = created(&gateway, body("ada", "wrong", json!({}))).await;
    for (nth, expected) in [(1, "DENIED"), (2, "DENIED"), (3, "PREVENTED")] {
        let job = nth_job(&gateway, nth).await;
        report(&gateway, &job, failed("denied")).await;
        let read = gateway.read(member).await;
        assert_eq!(read["connection_status"], expected, "after {nth}");
        assert_eq!(read["needs_updated_credentials"], true);
        assert_eq!(read["is_being_aggregated"], false);
        if nth < 3 {
            assert_eq!(order(&gateway, member).await.0, 200);
        }
    }
    let (status, answer) = order(&gateway, member).await;
    assert_eq!(status, 405, "{answer}");
    assert_eq!(changes(&gateway, 2).await, ["DENIED", "PREVENTED"]);

    let update = json!({"member": {"credentials": pair("ada", "sesame")}});
    let path = format!("/members/{member}");
    let (status, answer) = gateway.nexus("PUT", &path, Some(update)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["member"]["connection_status"], "UPDATED");
    assert_eq!(answer["member"]["is_being_aggregated"], true);
    let job = nth_job(&gateway, 4).await;
    assert_eq!(values(&lease(&gateway, &job).await.1), ["ada", "sesame"]);
    // The count begins anew.
    report(&gateway, &job, failed("denied")).await;
    assert_eq!(gateway.read(member).await["connection_status"], "DENIED");
    assert_eq!(order(&gateway, member).await.0, 200);
    let job = nth_job(&gateway, 5).await;
    report(&gateway, &job, json!({"status": "succeeded"})).await;
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
}

async fn questions_are_answered_round_by_round(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = created(&gateway, body("ada", "sesame", json!({}))).await;
    let job = nth_job(&gateway, 1).await;
    let questions = json!([
        {"type": "TEXT", "field_name": "pet", "label": "Your first pet?"},
        {"type": "OPTIONS", "field_name": "account", "label": "Which one?",
         "options": [{"label": "Checking", "value": "c"}, {"label": "Savings", "value": "s"}]},
    ]);
    let reported = report(&gateway, &job, challenged(&questions)).await;
    assert_eq!(reported, (200, "CHALLENGED".into()));
    let read = gateway.read(member).await;
    assert_eq!(read["connection_status"], "CHALLENGED");
    assert_eq!(read["is_being_aggregated"], true);
    assert_eq!(lease(&gateway, &job).await.0, 409, "it waits for an answer");

    let asked = asked(&gateway, member).await;
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0]["type"], "TEXT");
    assert_eq!(asked[0]["label"], "Your first pet?");
    assert_eq!(asked[1]["options"][1]["value"], "s");
    let (status, answer) = resume(&gateway, member, &asked, &["Rex", "s"]).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["member"]["connection_status"], "RESUMED");

    let push = nth_push(&gateway, 2).await;
    assert_eq!(push.json()["job_guid"], json!(job), "the same job goes on");
    assert_eq!(push.json()["round"], 1);
    assert_eq!(push.json()["attempt"], 1);
    let (_, leased) = lease(&gateway, &job).await;
    assert_eq!(values(&leased), ["ada", "sesame"]);
    let expected = json!([
        {"guid": asked[0]["guid"], "field_name": "pet", "value": "Rex"},
        {"guid": asked[1]["guid"], "field_name": "account", "value": "s"},
    ]);
    assert_eq!(leased["answers"], expected);

    // It asks once more, and the earlier answers are forgotten.
    let code = json!([{"type": "TOKEN", "field_name": "code", "label": "The code we sent you"}]);
    report(&gateway, &job, challenged(&code)).await;
    let asked = self::asked(&gateway, member).await;
    assert_eq!(asked.len(), 1);
    // The older way to answer, by a change of the member.
    let older = json!({"member": {"challenges": [
        {"guid": asked[0]["guid"], "value": "123456"},
    ]}});
    let path = format!("/members/{member}");
    let (status, answer) = gateway.nexus("PUT", &path, Some(older)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["member"]["connection_status"], "RESUMED");
    let push = nth_push(&gateway, 3).await;
    assert_eq!(push.json()["round"], 2);
    let (_, leased) = lease(&gateway, &job).await;
    assert_eq!(leased["answers"].as_array().map(Vec::len), Some(1));
    assert_eq!(leased["answers"][0]["value"], "123456");

    report(&gateway, &job, json!({"status": "succeeded"})).await;
    let read = gateway.read(member).await;
    assert_eq!(read["connection_status"], "CONNECTED");
    assert!(self::asked(&gateway, member).await.is_empty());
    let ids: Vec<String> = gateway
        .aggregator
        .received()
        .iter()
        .map(|push| push.header("webhook-id").expect("an id").to_owned())
        .collect();
    assert_eq!(
        ids,
        [
            format!("{job}-1"),
            format!("{job}-r1-1"),
            format!("{job}-r2-1")
        ]
    );
    assert_eq!(changes(&gateway, 2).await, ["CHALLENGED", "CHALLENGED"]);
}

async fn answers_that_do_not_fit_are_refused_and_nothing_is_lost(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = created(&gateway, body("ada", "sesame", json!({}))).await;
    let path = format!("/members/{member}/resume");
    let early = json!({"challenges": [{"guid": LOGIN, "value": "x"}]});
    let (status, answer) = gateway.nexus("PUT", &path, Some(early)).await;
    assert_eq!(status, 405, "nothing is asked: {answer}");

    let job = nth_job(&gateway, 1).await;
    let questions = json!([
        {"type": "TEXT", "field_name": "pet", "label": "Your first pet?"},
        {"type": "OPTIONS", "field_name": "account", "label": "Which one?",
         "options": [{"label": "Checking", "value": "c"}]},
    ]);
    report(&gateway, &job, challenged(&questions)).await;
    let asked = asked(&gateway, member).await;
    let (pet, account) = (&asked[0]["guid"], &asked[1]["guid"]);
    for (answers, why) in [
        (json!([{"guid": pet, "value": "Rex"}]), "has no answer to"),
        (
            json!([{"guid": pet, "value": ""}, {"guid": account, "value": "c"}]),
            "has no answer to",
        ),
        (
            json!([{"guid": pet, "value": "Rex"}, {"guid": account, "value": "s"}]),
            "not one of its options",
        ),
        (
            json!([{"guid": pet, "value": "Rex"}, {"guid": pet, "value": "Max"}]),
            "twice",
        ),
        (
            json!([{"guid": LOGIN, "value": "Rex"}]),
            "which was not asked",
        ),
    ] {
        let body = json!({"challenges": answers});
        let (status, answer) = gateway.nexus("PUT", &path, Some(body)).await;
        assert_eq!(status, 400, "{answers}");
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.contains(why), "{message}");
    }
    assert_eq!(resume(&gateway, member, &asked, &["Rex", "c"]).await.0, 200);
    assert_eq!(resume(&gateway, member, &asked, &["Rex", "c"]).await.0, 405);
}

async fn the_same_questions_again_are_one_round(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = created(&gateway, body("ada", "sesame", json!({}))).await;
    let job = nth_job(&gateway, 1).await;
    let question = json!([{"type": "TEXT", "field_name": "pet", "label": "Your first pet?"}]);
    report(&gateway, &job, challenged(&question)).await;
    let first = asked(&gateway, member).await;
    let again = report(&gateway, &job, challenged(&question)).await;
    assert_eq!(again, (200, "CHALLENGED".into()));
    assert_eq!(asked(&gateway, member).await, first, "under the same guid");
    assert_eq!(resume(&gateway, member, &first, &["Rex"]).await.0, 200);
    assert_eq!(nth_push(&gateway, 2).await.json()["round"], 1);
}

async fn a_question_that_nobody_answers_expires(backend: Backend) {
    let mut gateway = TestGateway::start(backend).await;
    let member = created(&gateway, body("ada", "sesame", json!({}))).await;
    let job = nth_job(&gateway, 1).await;
    let question = json!([{"type": "TOKEN", "field_name": "code", "label": "The code"}]);
    report(&gateway, &job, challenged(&question)).await;
    let asked = asked(&gateway, member).await;
    gateway.pass(ANSWER_DEADLINE);
    gateway.sign_in().await;
    let expired = gateway
        .member_when(member, |member| member["is_being_aggregated"] == false)
        .await;
    assert_eq!(expired["connection_status"], "EXPIRED");
    assert!(expired["successfully_aggregated_at"].is_null());
    assert_eq!(changes(&gateway, 2).await, ["CHALLENGED", "EXPIRED"]);
    assert_eq!(resume(&gateway, member, &asked, &["123456"]).await.0, 405);
    assert_eq!(lease(&gateway, &job).await.0, 409);
    assert_eq!(gateway.aggregator.received().len(), 1, "no push of its own");
    // Another try is an order away.
    assert_eq!(order(&gateway, member).await.0, 200);
    assert_ne!(nth_job(&gateway, 2).await, job);
}

async fn an_answer_that_is_not_accepted_is_rejected(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = created(&gateway, body("ada", "sesame", json!({}))).await;
    let job = nth_job(&gateway, 1).await;
    let question = json!([{"type": "TEXT", "field_name": "pet", "label": "Your first pet?"}]);
    report(&gateway, &job, challenged(&question)).await;
    let asked = asked(&gateway, member).await;
    resume(&gateway, member, &asked, &["Max"]).await;
    nth_push(&gateway, 2).await;
    report(&gateway, &job, failed("rejected")).await;
    assert_eq!(gateway.read(member).await["connection_status"], "REJECTED");
    assert_eq!(changes(&gateway, 2).await, ["CHALLENGED", "REJECTED"]);
}

async fn each_end_has_its_status(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let ends = [
        ("locked", "LOCKED"),
        ("impeded", "IMPEDED"),
        ("failed", "FAILED"),
        ("unavailable", "FAILED"),
        ("denied", "DENIED"),
        ("discontinued", "DISCONTINUED"),
        ("closed", "CLOSED"),
        ("disabled", "DISABLED"),
        // It may not follow CREATED; but no job is left to wait for.
        ("degraded", "FAILED"),
        ("rejected", "FAILED"),
    ];
    for (nth, (reason, expected)) in ends.into_iter().enumerate() {
        let body = body(&format!("user-{nth}"), "sesame", json!({}));
        let member = created(&gateway, body).await;
        let job = nth_job(&gateway, nth + 1).await;
        let ended = report(&gateway, &job, failed(reason)).await;
        assert_eq!(ended, (200, "FAILED".into()), "{reason}");
        let read = gateway.read(member).await;
        assert_eq!(read["connection_status"], expected, "{reason}");
        assert_eq!(read["is_being_aggregated"], false, "{reason}");
    }
    let all = ends.len();
    gateway
        .hooks
        .wait_for(|told| count(told, "updated") == all, LIMIT)
        .await;
    let told = changes(&gateway, 3).await;
    assert_eq!(told, ["DENIED", "IMPEDED", "LOCKED"], "the documented ones");
}

async fn new_credentials_replace_the_job_under_way(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = created(&gateway, body("ada", "wrong", json!({}))).await;
    let old = nth_job(&gateway, 1).await;
    let path = format!("/members/{member}");
    let update = json!({"member": {"credentials": pair("ada", "sesame")}});
    assert_eq!(gateway.nexus("PUT", &path, Some(update)).await.0, 200);
    let new = nth_job(&gateway, 2).await;
    assert_ne!(new, old);
    assert_eq!(lease(&gateway, &old).await.0, 409);
    // What is said of the old one now is no news.
    let over = report(&gateway, &old, failed("denied")).await;
    assert_eq!(over, (200, "FAILED".into()));
    let ended = read_job(&gateway, &old).await;
    assert_eq!(
        (&ended["status"], &ended["reason"]),
        (&json!("FAILED"), &json!("replaced"))
    );
    let read = gateway.read(member).await;
    assert_eq!(read["connection_status"], "UPDATED");
    assert_eq!(read["most_recent_job_guid"], json!(new));
    assert_eq!(read["is_being_aggregated"], true);
    assert_eq!(values(&lease(&gateway, &new).await.1), ["ada", "sesame"]);
    report(&gateway, &new, json!({"status": "succeeded"})).await;
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
}

async fn new_credentials_end_the_questions_of_the_old_ones(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = created(&gateway, body("ada", "wrong", json!({}))).await;
    let old = nth_job(&gateway, 1).await;
    let question = json!([{"type": "TEXT", "field_name": "pet", "label": "Your first pet?"}]);
    report(&gateway, &old, challenged(&question)).await;
    let asked = self::asked(&gateway, member).await;
    let update =
        json!({"member": {"credentials": pair("ada", "sesame"), "skip_aggregation": true}});
    let path = format!("/members/{member}");
    let (status, answer) = gateway.nexus("PUT", &path, Some(update)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["member"]["connection_status"], "UPDATED");
    assert_eq!(answer["member"]["is_being_aggregated"], false);
    assert_eq!(answer["member"]["most_recent_job_guid"], json!(old));
    assert_eq!(read_job(&gateway, &old).await["reason"], "replaced");
    assert!(self::asked(&gateway, member).await.is_empty());
    assert_eq!(resume(&gateway, member, &asked, &["Rex"]).await.0, 405);
    // It holds nothing up.
    assert_eq!(order(&gateway, member).await.0, 200);
    let new = nth_job(&gateway, 2).await;
    assert_eq!(values(&lease(&gateway, &new).await.1), ["ada", "sesame"]);
}

async fn new_credentials_may_wait(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = body("ada", "wrong", json!({"skip_aggregation": true}));
    let member = created(&gateway, body).await;
    let path = format!("/members/{member}");
    let update =
        json!({"member": {"credentials": pair("ada", "sesame"), "skip_aggregation": true}});
    let (status, answer) = gateway.nexus("PUT", &path, Some(update)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["member"]["connection_status"], "UPDATED");
    assert_eq!(answer["member"]["is_being_aggregated"], false);
    // A change of something else starts nothing either.
    let update = json!({"member": {"metadata": "m"}});
    let (_, answer) = gateway.nexus("PUT", &path, Some(update)).await;
    assert_eq!(answer["member"]["metadata"], "m");
    assert_eq!(answer["member"]["is_being_aggregated"], false);
    assert_eq!(order(&gateway, member).await.0, 200);
    let job = nth_job(&gateway, 1).await;
    assert_eq!(values(&lease(&gateway, &job).await.1), ["ada", "sesame"]);
}

async fn what_is_not_for_pfm_is_not_pulled_by_itself(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let uses = json!({"use_cases": ["MONEY_MOVEMENT"]});
    let member = created(&gateway, body("ada", "sesame", uses)).await;
    let read = gateway.read(member).await;
    assert_eq!(read["connection_status"], "CREATED");
    assert_eq!(read["is_being_aggregated"], false);
    assert!(read["most_recent_job_guid"].is_null());
    assert_eq!(order(&gateway, member).await.0, 403);
    let path = format!("/members/{member}");
    let update = json!({"member": {"credentials": pair("ada", "new")}});
    let (status, answer) = gateway.nexus("PUT", &path, Some(update)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["member"]["connection_status"], "UPDATED");
    assert_eq!(answer["member"]["is_being_aggregated"], false);
    // What the change makes of its use cases counts.
    let of =
        |uses: Value| json!({"member": {"credentials": pair("ada", "new"), "use_cases": uses}});
    for (uses, is_pulled) in [(json!(["PFM"]), true), (json!(["MONEY_MOVEMENT"]), false)] {
        let (status, answer) = gateway.nexus("PUT", &path, Some(of(uses))).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["member"]["is_being_aggregated"], is_pulled);
    }
}

async fn credentials_that_do_not_fit_are_refused(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let long = "s".repeat(4097);
    let unknown = "CRD-99999999-9999-4999-8999-999999999999";
    let login = json!({"guid": LOGIN, "value": "ada"});
    for (credentials, why) in [
        (Value::Null, "credentials is missing"),
        (json!([]), "credentials is missing"),
        (json!([login]), "has no value for CRD-"),
        (
            json!([login, {"guid": PASSWORD, "value": ""}]),
            "has no value for CRD-",
        ),
        (
            json!([login, {"guid": PASSWORD, "value": "sesame"}, {"guid": unknown, "value": "x"}]),
            "does not ask for",
        ),
        (json!([login, login]), "twice"),
        (
            json!([login, {"guid": PASSWORD, "value": "sesame"}, {"guid": BRANCH, "value": "east"}]),
            "not one of its options",
        ),
        (
            json!([login, {"guid": PASSWORD, "value": long}]),
            "4096 bytes",
        ),
    ] {
        let body =
            json!({"member": {"institution_guid": PAPER_BANK_GUID, "credentials": credentials}});
        let (status, answer) = gateway.nexus("POST", "/members", Some(body)).await;
        assert_eq!(status, 400, "{answer}");
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.contains(why), "{message}");
        assert!(
            !message.contains("sesame") && !message.contains("ssss"),
            "{message}"
        );
    }
    let (_, answer) = gateway.nexus("GET", "/members", None).await;
    assert_eq!(answer["members"], json!([]));
    assert!(gateway.aggregator.received().is_empty());
}

async fn where_oauth_is_compulsory_credentials_are_refused(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    for member in [
        json!({"institution_guid": BANK_GUID, "credentials": pair("ada", "sesame")}),
        json!({"institution_guid": BANK_GUID}),
        json!({"institution_guid": BANK_GUID, "is_oauth": true, "credentials": pair("ada", "x")}),
        json!({"institution_guid": PAPER_BANK_GUID, "is_oauth": true}),
    ] {
        let body = json!({"member": member});
        let (status, answer) = gateway.nexus("POST", "/members", Some(body)).await;
        assert_eq!(status, 400, "{member}: {answer}");
    }
    // An empty list counts as none.
    let body =
        json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true, "credentials": []}});
    let (member, _) = gateway.member_with(body).await;
    let update = json!({"member": {"credentials": pair("ada", "sesame")}});
    let path = format!("/members/{member}");
    let (status, answer) = gateway.nexus("PUT", &path, Some(update)).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(gateway.read(member).await["connection_status"], "PENDING");
}

async fn what_is_asked_for_reaches_the_aggregator(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let path = format!("/users/{}/members", gateway.user);
    let asked = json!({"products": ["transactions", "statements"]});
    let body = json!({
        "member": {"institution_code": "paper_bank", "credentials": pair("ada", "sesame")},
        "data_request": asked,
    });
    let (status, answer) = gateway.platform("POST", &path, Some(body)).await;
    assert_eq!(status, 202, "{answer}");
    let push = nth_push(&gateway, 1).await;
    assert_eq!(push.json()["data_request"], asked);
    let (_, leased) = lease(&gateway, &job(&push)).await;
    assert_eq!(leased["data_request"], asked);
}

async fn a_deleted_members_credentials_are_lent_no_more(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = created(&gateway, body("ada", "sesame", json!({}))).await;
    let job = nth_job(&gateway, 1).await;
    let path = format!("/members/{member}");
    assert_eq!(gateway.nexus("DELETE", &path, None).await.0, 200);
    let (status, problem) = lease(&gateway, &job).await;
    assert_eq!(status, 404, "{problem}");
    let (status, _) = report(&gateway, &job, json!({"status": "succeeded"})).await;
    assert_eq!(status, 404);
    assert_eq!(gateway.nexus("GET", &path, None).await.0, 404);
    let told = gateway
        .hooks
        .wait_for(
            |told| count(told, "created") == 1 && count(told, "deleted") == 1,
            LIMIT,
        )
        .await;
    assert_eq!(count(&told, "member_data_updated"), 0);
    // News of its end is newer than the news before it.
    let revision = |action: &str| {
        let of = told.iter().find(|event| event.json()["action"] == action);
        of.expect("told").json()["member"]["revision"].clone()
    };
    assert_eq!(
        (revision("created"), revision("deleted")),
        (json!(1), json!(2))
    );
}

/// A user name and a password.
fn pair(login: &str, password: &str) -> Value {
    json!([{"guid": LOGIN, "value": login}, {"guid": PASSWORD, "value": password}])
}

/// A member at the paper bank, with those further fields.
fn body(login: &str, password: &str, further: Value) -> Value {
    let mut member = json!({
        "institution_guid": PAPER_BANK_GUID,
        "credentials": pair(login, password),
    });
    let fields = further.as_object().expect("an object").clone();
    member.as_object_mut().expect("an object").extend(fields);
    json!({"member": member})
}

fn guid(member: &Value) -> MemberGuid {
    let guid = member["guid"].as_str().expect("a guid");
    guid.parse().expect("a guid")
}

async fn created(gateway: &TestGateway, body: Value) -> MemberGuid {
    let (status, answer) = gateway.nexus("POST", "/members", Some(body)).await;
    assert_eq!(status, 200, "{answer}");
    guid(&answer["member"])
}

async fn order(gateway: &TestGateway, member: MemberGuid) -> (u16, Value) {
    let path = format!("/members/{member}/aggregate");
    gateway.nexus("GET", &path, None).await
}

async fn read_job(gateway: &TestGateway, job: &str) -> Value {
    let (status, answer) = gateway.nexus("GET", &format!("/jobs/{job}"), None).await;
    assert_eq!(status, 200, "{answer}");
    answer["job"].clone()
}

async fn asked(gateway: &TestGateway, member: MemberGuid) -> Vec<Value> {
    let path = format!("/members/{member}/challenges");
    let (status, answer) = gateway.nexus("GET", &path, None).await;
    assert_eq!(status, 200, "{answer}");
    answer["challenges"].as_array().expect("a list").clone()
}

/// Answers the questions, in their order.
async fn resume(
    gateway: &TestGateway,
    member: MemberGuid,
    asked: &[Value],
    answers: &[&str],
) -> (u16, Value) {
    let answer = |(asked, value): (&Value, &&str)| json!({"guid": asked["guid"], "value": value});
    let answers: Vec<Value> = asked.iter().zip(answers).map(answer).collect();
    let body = json!({"member": {"challenges": answers}});
    let path = format!("/members/{member}/resume");
    gateway.nexus("PUT", &path, Some(body)).await
}

/// The values of a lease's credentials.
fn values(lease: &Value) -> Vec<&str> {
    let credentials = lease["credentials"].as_array().expect("credentials");
    credentials
        .iter()
        .map(|credential| credential["value"].as_str().expect("text"))
        .collect()
}

/// The statuses that Connection Status webhooks told, once there are `many`, by name: deliveries run
/// side by side.
async fn changes(gateway: &TestGateway, many: usize) -> Vec<String> {
    let told = gateway
        .hooks
        .wait_for(|told| count(told, "CHANGED") >= many, LIMIT)
        .await;
    let change = |event: &&Recorded| {
        let body = event.json();
        (body["action"] == "CHANGED").then(|| {
            let status = body["connection_status"].as_str();
            status.expect("a status").to_owned()
        })
    };
    let mut statuses: Vec<String> = distinct(&told).iter().filter_map(change).collect();
    statuses.sort();
    statuses
}
