//! Jobs that an aggregator claims: in fair turns, each by one claim, and never lost.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::join_all;
use guichet::domain::id::{InstitutionCode, MemberGuid};
use guichet::domain::job::{Job, JobStatus};
use guichet::domain::maintenance::Maintenance;
use guichet::store::SetMaintenance;
use serde_json::{Value, json};

use crate::support::aggregation::{challenged, count, failed};
use crate::support::gateway::{
    Backend, LOGIN, PAPER_BANK, PAPER_BANK_GUID, PASSWORD, RIVAL, Setup, TestGateway, eventually,
};
use crate::support::loopback::Recorded;
use crate::support::visitor::http;

/// The key of the aggregator that has the first client.
const FIRST: &str = "first-key-0123456789-0123456789";
/// The key of the one that has the rival.
const SECOND: &str = "second-key-0123456789-0123456789";
/// A little more than the deadline of either.
const DEADLINE: Duration = Duration::from_secs(61);
/// A little more than how long a waiting job waits before it is looked at again.
const AGAIN: Duration = Duration::from_secs(61);
const CLAIM: &str = "/aggregation/jobs/claim";

crate::on_both_stores!(
    a_claimed_job_goes_through_its_states,
    an_aggregator_has_only_the_jobs_of_its_clients,
    what_is_wrong_with_a_claim_is_named,
    a_claim_that_waits_is_woken_by_a_job,
    a_claim_that_waits_finds_what_another_gateway_queued,
    a_claim_that_waits_ends_with_the_gateway,
    claims_in_parallel_get_each_job_once,
    a_claim_that_dies_is_handed_out_again_and_fences_out_the_old_one,
    a_job_that_nobody_reports_fails_after_three_claims,
    a_job_that_nobody_claims_fails_after_a_day,
    a_question_that_nobody_answers_ends_without_a_claim,
    answered_questions_are_claimed_in_a_new_round,
    a_started_report_renews_a_claim,
    a_caller_that_is_gone_takes_no_job_with_it,
    clients_have_fair_turns_however_many_jobs_one_has,
    too_many_claims_that_wait_are_refused,
    pushed_jobs_cannot_be_claimed,
    of_parallel_orders_there_is_one_job_and_what_they_ask_joins_it,
    jobs_wait_for_their_institution_and_use_up_no_tries,
);

/// One aggregator, which claims, for both clients.
fn one() -> Setup {
    pulling(&format!(
        "[aggregator]\nmode = \"pull\"\nkey = \"{FIRST}\"\ndeadline_seconds = 60\n"
    ))
}

/// Two of them, one for each client.
fn two() -> Setup {
    let pull = |name: &str, key: &str| {
        format!(
            "[[aggregators]]\nname = \"{name}\"\nmode = \"pull\"\nkey = \"{key}\"\ndeadline_seconds = 60\n"
        )
    };
    Setup {
        client: "aggregator = \"first\"".to_owned(),
        swaps: vec![(
            "name = \"Rival Money\"",
            "name = \"Rival Money\"\naggregator = \"second\"",
        )],
        ..pulling(&(pull("first", FIRST) + &*pull("second", SECOND)))
    }
}

fn pulling(tables: &str) -> Setup {
    Setup {
        without_aggregator: true,
        tables: tables.to_owned(),
        ..Setup::default()
    }
}

async fn send(gateway: &TestGateway, key: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    gateway
        .call("POST", path, body, |it| it.bearer_auth(key))
        .await
}

/// What a claim brings.
async fn claim(gateway: &TestGateway, key: &str, body: Value) -> Vec<Value> {
    let (status, claimed) = send(gateway, key, CLAIM, Some(body)).await;
    assert_eq!(status, 200, "{claimed}");
    claimed["jobs"].as_array().expect("jobs").clone()
}

/// The one job that is due, once it is.
async fn claim_one(gateway: &TestGateway) -> Value {
    let mut jobs = claim(gateway, FIRST, json!({"wait_seconds": 10})).await;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

async fn report(gateway: &TestGateway, key: &str, job: &Value, body: Value) -> (u16, Value) {
    let path = format!("/aggregation/jobs/{}/report", guid(job));
    send(gateway, key, &path, Some(body)).await
}

/// A report on what was claimed.
fn on(claimed: &Value, mut report: Value) -> Value {
    report["round"] = claimed["round"].clone();
    report["attempt"] = claimed["attempt"].clone();
    report
}

fn guid(job: &Value) -> &str {
    job["job_guid"].as_str().expect("a guid")
}

/// A new member with credentials, which has a job at once.
async fn queued(gateway: &TestGateway, login: &str) -> MemberGuid {
    let (status, created) = gateway.nexus("POST", "/members", Some(paper(login))).await;
    assert_eq!(status, 200, "{created}");
    let member = created["member"]["guid"].as_str().expect("a guid");
    member.parse().expect("a guid")
}

fn paper(login: &str) -> Value {
    json!({"member": {"institution_guid": PAPER_BANK_GUID, "credentials": [
        {"guid": LOGIN, "value": login}, {"guid": PASSWORD, "value": "sesame"},
    ]}})
}

/// The rival's key, and the path of its user's members.
struct Rival(String, String);

impl Rival {
    async fn of(gateway: &TestGateway) -> Self {
        let key = gateway.key_of(RIVAL).await;
        let with = |it: reqwest::RequestBuilder| it.basic_auth(RIVAL, Some(&key));
        let new = Some(json!({"user": {}}));
        let (_, user) = gateway.call("POST", "/users", new, with).await;
        let user = user["user"]["guid"].as_str().expect("a guid");
        let members = format!("/users/{user}/members");
        Self(key, members)
    }

    /// A new member of the rival's, which has a job at once.
    async fn queued(&self, gateway: &TestGateway, login: &str) -> String {
        let with = |it: reqwest::RequestBuilder| it.basic_auth(RIVAL, Some(&self.0));
        let (status, created) = gateway
            .call("POST", &self.1, Some(paper(login)), with)
            .await;
        assert_eq!(status, 202, "{created}");
        let guid = created["member"]["guid"].as_str();
        guid.expect("a guid").to_owned()
    }
}

async fn a_claimed_job_goes_through_its_states(backend: Backend) {
    let gateway = TestGateway::with(backend, one()).await;
    let (member, link) = gateway.member().await;
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let job = claim_one(&gateway).await;
    let expected = json!({
        "attempt": 1,
        "data_request": {},
        "institution_code": "fake_bank",
        "job_guid": gateway.read(member).await["most_recent_job_guid"],
        "kind": "aggregate",
        "member_guid": member,
        "round": 0,
    });
    assert_eq!(job, expected, "what a push would be");
    let (_, described) = gateway.call("GET", "/openapi.json", None, |it| it).await;
    let described = &described["components"]["schemas"]["ClaimedJob"];
    let required = described["required"].as_array().expect("fields").iter();
    let required: HashSet<String> = required
        .map(|it| it.as_str().expect("a name").to_owned())
        .collect();
    let described = &described["properties"];
    let fields = |of: &Value| {
        of.as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect::<HashSet<_>>()
    };
    assert_eq!(required, fields(&job));
    let mut all = required;
    all.insert("is_background".to_owned());
    assert_eq!(fields(described), all);

    assert!(
        claim(&gateway, FIRST, json!({})).await.is_empty(),
        "it is held"
    );
    let path = format!("/aggregation/jobs/{}/lease", guid(&job));
    let (status, lease) = send(&gateway, FIRST, &path, None).await;
    assert_eq!(status, 200, "{lease}");
    assert!(
        gateway
            .bank
            .honours(lease["access_token"].as_str().expect("a token"))
    );
    for (said, status) in [("started", "STARTED"), ("succeeded", "SUCCEEDED")] {
        let said = on(&job, json!({"status": said}));
        let reported = report(&gateway, FIRST, &job, said).await;
        assert_eq!(reported.1["job"]["status"], status, "{reported:?}");
    }
    let read = gateway.read(member).await;
    assert_eq!(read["is_being_aggregated"], false);
    assert!(read["successfully_aggregated_at"].is_string());
    assert!(claim(&gateway, FIRST, json!({})).await.is_empty());
    assert!(
        gateway.aggregator.received().is_empty(),
        "nothing is pushed"
    );
}

async fn an_aggregator_has_only_the_jobs_of_its_clients(backend: Backend) {
    let gateway = TestGateway::with(backend, two()).await;
    let member = queued(&gateway, "ada").await;
    let rivals = Rival::of(&gateway).await.queued(&gateway, "bob").await;
    let both = json!({"max": 100, "wait_seconds": 10});
    let own = claim(&gateway, FIRST, both.clone()).await;
    let foreign = claim(&gateway, SECOND, both).await;
    assert_eq!(own.len(), 1, "{own:?}");
    assert_eq!(own[0]["member_guid"], json!(member));
    assert_eq!(foreign.len(), 1, "{foreign:?}");
    assert_eq!(foreign[0]["member_guid"], json!(rivals));

    // To the other one it does not exist, whether it runs or has ended.
    let refused = async |job: &Value| {
        let lease = format!("/aggregation/jobs/{}/lease", guid(job));
        let unknown = "/aggregation/jobs/JOB-11111111-1111-4111-8111-111111111111/lease";
        let (status, problem) = send(&gateway, FIRST, &lease, None).await;
        assert_eq!(
            (status, problem),
            send(&gateway, FIRST, unknown, None).await
        );
        assert_eq!(status, 404);
        for said in [
            json!({"status": "started"}),
            json!({"status": "succeeded"}),
            failed("denied"),
        ] {
            let (status, problem) = report(&gateway, FIRST, job, said.clone()).await;
            assert_eq!(status, 404, "{said}: {problem}");
        }
    };
    refused(&foreign[0]).await;
    let done = report(
        &gateway,
        SECOND,
        &foreign[0],
        json!({"status": "succeeded"}),
    )
    .await;
    assert_eq!(done.1["job"]["status"], "SUCCEEDED", "{done:?}");
    refused(&foreign[0]).await;
    assert!(
        gateway.read(member).await["is_being_aggregated"]
            .as_bool()
            .expect("it is")
    );
}

async fn what_is_wrong_with_a_claim_is_named(backend: Backend) {
    let gateway = TestGateway::with(backend, one()).await;
    for (wrong, expected) in [
        (
            json!({"max": 0}),
            "max must be a whole number from 1 to 100",
        ),
        (
            json!({"max": 101}),
            "max must be a whole number from 1 to 100",
        ),
        (json!({"max": "many"}), "max must be a whole number"),
        (json!({"max": 1.5}), "max must be a whole number"),
        (
            json!({"wait_seconds": 31}),
            "wait_seconds must be a whole number from 0 to 30",
        ),
        (
            json!({"wait_seconds": -1}),
            "wait_seconds must be a whole number",
        ),
        (json!([1]), "The body must be a JSON object"),
    ] {
        let (status, problem) = send(&gateway, FIRST, CLAIM, Some(wrong.clone())).await;
        assert_eq!(status, 400, "{wrong}: {problem}");
        let message = problem["error"]["message"].as_str().expect("a message");
        assert!(message.contains(expected), "{wrong}: {message}");
    }
    for key in [
        "",
        "wrong-key-0123456789-0123456789",
        SECOND,
        &gateway.api_key,
    ] {
        let (status, problem) = send(&gateway, key, CLAIM, Some(json!({}))).await;
        assert_eq!(status, 401, "{key}: {problem}");
    }
    queued(&gateway, "ada").await;
    let job = claim_one(&gateway).await;
    for (wrong, expected) in [
        (
            json!({"attempt": 0}),
            "attempt must be a whole number from 1 to",
        ),
        (json!({"round": "x"}), "round must be a whole number"),
    ] {
        let mut body = wrong.clone();
        body["status"] = json!("started");
        let (status, problem) = report(&gateway, FIRST, &job, body).await;
        assert_eq!(status, 400, "{wrong}: {problem}");
        let message = problem["error"]["message"].as_str().expect("a message");
        assert!(message.contains(expected), "{wrong}: {message}");
    }
    // Nothing was lost: a claim without a body is one with the usual values.
    queued(&gateway, "bob").await;
    let claimed = eventually(async || {
        let (status, claimed) = send(&gateway, FIRST, CLAIM, None).await;
        assert_eq!(status, 200, "{claimed}");
        claimed["jobs"][0]["job_guid"]
            .is_string()
            .then_some(claimed)
    });
    assert_eq!(claimed.await["jobs"].as_array().map(Vec::len), Some(1));
}

/// A claim that waits in a task of its own.
fn waiting(gateway: &TestGateway, key: &'static str) -> tokio::task::JoinHandle<Vec<Value>> {
    let url = gateway.at(CLAIM);
    let asked = json!({"max": 5, "wait_seconds": 30});
    tokio::spawn(async move {
        let request = http().post(url).bearer_auth(key).json(&asked);
        let response = request.send().await.expect("a response");
        assert_eq!(response.status(), 200);
        let body: Value = response.json().await.expect("JSON");
        body["jobs"].as_array().expect("jobs").clone()
    })
}

/// Waits until so many claims wait.
async fn wait_for_claims(gateway: &TestGateway, count: usize) {
    let first = "first".parse().expect("a name");
    let usual = "default".parse().expect("a name");
    let claims = &gateway.inside.claims;
    let known = claims
        .of(&first)
        .or(claims.of(&usual))
        .expect("one that claims");
    eventually(async || (known.waiting() == count).then_some(())).await;
}

async fn a_claim_that_waits_is_woken_by_a_job(backend: Backend) {
    let gateway = TestGateway::with(backend, two()).await;
    let rival = Rival::of(&gateway).await;
    let woken = waiting(&gateway, FIRST);
    wait_for_claims(&gateway, 1).await;
    let steps = gateway.store_steps("reserve_duties").await;
    rival.queued(&gateway, "bob").await;
    let member = queued(&gateway, "ada").await;
    let jobs = tokio::time::timeout(Duration::from_secs(10), woken).await;
    let jobs = jobs
        .expect("long before its wait is over")
        .expect("no panic");
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0]["member_guid"], json!(member));
    assert!(
        gateway.store_steps("reserve_duties").await > steps,
        "nothing was asked while it waited"
    );
    wait_for_claims(&gateway, 0).await;
}

async fn a_claim_that_waits_finds_what_another_gateway_queued(backend: Backend) {
    let gateway = TestGateway::with(backend, one()).await;
    let beside = gateway.beside().await;
    let woken = waiting(&gateway, FIRST);
    wait_for_claims(&gateway, 1).await;
    let members = beside.url.join("/members").expect("a URL");
    let request = http()
        .post(members)
        .header("MD-SESSION-TOKEN", &gateway.session);
    let created = request
        .json(&paper("ada"))
        .send()
        .await
        .expect("a response");
    assert_eq!(created.status(), 200);
    let jobs = tokio::time::timeout(Duration::from_secs(10), woken).await;
    let jobs = jobs.expect("the next look finds it").expect("no panic");
    assert_eq!(jobs.len(), 1);
}

async fn a_claim_that_waits_ends_with_the_gateway(backend: Backend) {
    let mut gateway = TestGateway::with(backend, one()).await;
    let ended = waiting(&gateway, FIRST);
    wait_for_claims(&gateway, 1).await;
    tokio::time::timeout(Duration::from_secs(10), gateway.stop())
        .await
        .expect("it waits for no claim");
    assert!(
        ended.await.expect("no panic").is_empty(),
        "an answer, without jobs"
    );
}

async fn claims_in_parallel_get_each_job_once(backend: Backend) {
    let gateway = TestGateway::with(backend, two()).await;
    let beside = gateway.beside().await;
    let rival = Rival::of(&gateway).await;
    const EACH: usize = 40;
    for nth in 0..EACH {
        queued(&gateway, &format!("a{nth}")).await;
        rival.queued(&gateway, &format!("b{nth}")).await;
    }
    // Each aggregator claims at both gateways at the same time, until there is no more.
    let origins = [&gateway.url, &beside.url];
    let claimants = [FIRST, SECOND].into_iter().flat_map(|key| {
        let origins = origins.into_iter().cycle().take(4);
        origins.map(move |origin| (key, origin.join(CLAIM).expect("a URL")))
    });
    let claiming = claimants.map(async |(key, url)| {
        let mut got = Vec::new();
        loop {
            let request = http().post(url.clone()).bearer_auth(key);
            let request = request.json(&json!({"max": 3, "wait_seconds": 0}));
            let response = request.send().await.expect("a response");
            let body: Value = response.json().await.expect("JSON");
            let jobs = body["jobs"].as_array().expect("jobs").clone();
            assert!(jobs.len() <= 3, "{jobs:?}");
            if jobs.is_empty() {
                return (key, got);
            }
            got.extend(jobs);
        }
    });
    let claimed = join_all(claiming).await;
    let mut of: HashMap<&str, Vec<String>> = HashMap::new();
    for (key, jobs) in claimed {
        let guids = jobs.iter().map(|job| guid(job).to_owned());
        of.entry(key).or_default().extend(guids);
    }
    // Where one claim had taken up what another one looked for, some may be left.
    for key in [FIRST, SECOND] {
        let of = of.entry(key).or_default();
        while of.len() < EACH {
            let jobs = claim(&gateway, key, json!({"max": 100, "wait_seconds": 30})).await;
            assert!(!jobs.is_empty(), "only {} of {EACH}", of.len());
            of.extend(jobs.iter().map(|job| guid(job).to_owned()));
        }
        assert_eq!(of.len(), EACH);
    }
    let all: HashSet<&String> = of.values().flatten().collect();
    assert_eq!(all.len(), 2 * EACH, "each job once");
}

async fn a_claim_that_dies_is_handed_out_again_and_fences_out_the_old_one(backend: Backend) {
    let gateway = TestGateway::with(backend, one()).await;
    let member = queued(&gateway, "ada").await;
    let dead = claim_one(&gateway).await;
    assert!(
        claim(&gateway, FIRST, json!({})).await.is_empty(),
        "it is held"
    );
    gateway.pass(DEADLINE);
    let again = claim_one(&gateway).await;
    assert_eq!(guid(&again), guid(&dead));
    assert_eq!((&again["attempt"], &again["round"]), (&json!(2), &json!(0)));

    // Whoever had it first may be slow and not dead.
    for said in [
        json!({"status": "started"}),
        json!({"status": "succeeded"}),
        failed("denied"),
        failed("locked"),
        challenged(&json!([{"type": "TEXT", "field_name": "pet", "label": "Your pet?"}])),
    ] {
        let (status, problem) = report(&gateway, FIRST, &dead, on(&dead, said.clone())).await;
        assert_eq!(status, 409, "{said}: {problem}");
        assert_eq!(problem["error"]["reason"], "outdated");
    }
    let read = gateway.read(member).await;
    assert_eq!(read["is_being_aggregated"], true);
    assert_eq!(read["connection_status"], "CREATED");
    let done = on(&again, json!({"status": "succeeded"}));
    let (status, reported) = report(&gateway, FIRST, &again, done).await;
    assert_eq!(
        (status, &reported["job"]["status"]),
        (200, &json!("SUCCEEDED"))
    );
    // A job that has ended stays as it ended, whoever reports.
    let late = report(&gateway, FIRST, &dead, on(&dead, failed("denied"))).await;
    assert_eq!(
        (late.0, &late.1["job"]["status"]),
        (200, &json!("SUCCEEDED"))
    );
}

async fn a_job_that_nobody_reports_fails_after_three_claims(backend: Backend) {
    let gateway = TestGateway::with(backend, one()).await;
    let member = queued(&gateway, "ada").await;
    for attempt in 1..=3 {
        let job = claim_one(&gateway).await;
        assert_eq!(job["attempt"], attempt);
        gateway.pass(DEADLINE);
    }
    // Nobody has to claim for it to end.
    let read = gateway
        .member_when(member, |it| it["is_being_aggregated"] == false)
        .await;
    assert_eq!(read["connection_status"], "FAILED");
    assert!(claim(&gateway, FIRST, json!({})).await.is_empty());
}

async fn a_job_that_nobody_claims_fails_after_a_day(backend: Backend) {
    let mut gateway = TestGateway::with(backend, one()).await;
    let member = queued(&gateway, "ada").await;
    gateway.pass(Duration::from_secs(24 * 60 * 60 + 1));
    gateway.sign_in().await;
    let read = gateway
        .member_when(member, |it| it["is_being_aggregated"] == false)
        .await;
    assert_eq!(read["connection_status"], "FAILED");
    assert!(claim(&gateway, FIRST, json!({})).await.is_empty());
}

/// What the person is asked.
fn question() -> Value {
    challenged(&json!([{"type": "TEXT", "field_name": "pet", "label": "Your pet?"}]))
}

async fn a_question_that_nobody_answers_ends_without_a_claim(backend: Backend) {
    let gateway = TestGateway::with(backend, one()).await;
    let member = queued(&gateway, "ada").await;
    let job = claim_one(&gateway).await;
    let (status, asked) = report(&gateway, FIRST, &job, on(&job, question())).await;
    assert_eq!(
        (status, &asked["job"]["status"]),
        (200, &json!("CHALLENGED"))
    );
    // The person has ten minutes, longer than the aggregator.
    gateway.pass(DEADLINE);
    assert!(claim(&gateway, FIRST, json!({})).await.is_empty());
    assert_eq!(
        gateway.read(member).await["connection_status"],
        "CHALLENGED"
    );
    gateway.pass(Duration::from_secs(600));
    let read = gateway
        .member_when(member, |it| it["is_being_aggregated"] == false)
        .await;
    assert_eq!(read["connection_status"], "EXPIRED");
}

async fn answered_questions_are_claimed_in_a_new_round(backend: Backend) {
    let gateway = TestGateway::with(backend, one()).await;
    let member = queued(&gateway, "ada").await;
    let job = claim_one(&gateway).await;
    report(&gateway, FIRST, &job, on(&job, question())).await;
    let again = report(&gateway, FIRST, &job, on(&job, question())).await;
    assert_eq!(
        again.0, 200,
        "sent again because the response was lost: {again:?}"
    );
    let (_, asked) = gateway
        .nexus("GET", &format!("/members/{member}/challenges"), None)
        .await;
    let answer = json!({"guid": asked["challenges"][0]["guid"], "value": "rex"});
    let body = json!({"member": {"challenges": [answer]}});
    let (status, resumed) = gateway
        .nexus("PUT", &format!("/members/{member}/resume"), Some(body))
        .await;
    assert_eq!(status, 200, "{resumed}");

    let next = claim_one(&gateway).await;
    assert_eq!(guid(&next), guid(&job));
    assert_eq!((&next["round"], &next["attempt"]), (&json!(1), &json!(1)));
    let old = report(&gateway, FIRST, &job, on(&job, failed("unavailable"))).await;
    assert_eq!(old.1["error"]["reason"], "outdated", "{old:?}");
    let path = format!("/aggregation/jobs/{}/lease", guid(&next));
    let (_, lease) = send(&gateway, FIRST, &path, None).await;
    assert_eq!(lease["answers"][0]["value"], "rex");
    let done = report(
        &gateway,
        FIRST,
        &next,
        on(&next, json!({"status": "succeeded"})),
    )
    .await;
    assert_eq!(done.1["job"]["status"], "SUCCEEDED");
}

async fn a_started_report_renews_a_claim(backend: Backend) {
    let gateway = TestGateway::with(backend, one()).await;
    queued(&gateway, "ada").await;
    let job = claim_one(&gateway).await;
    for _ in 0..3 {
        gateway.pass(Duration::from_secs(40));
        let started = on(&job, json!({"status": "started"}));
        assert_eq!(report(&gateway, FIRST, &job, started).await.0, 200);
    }
    assert!(
        claim(&gateway, FIRST, json!({})).await.is_empty(),
        "two minutes, and still its own"
    );
    let done = report(
        &gateway,
        FIRST,
        &job,
        on(&job, json!({"status": "succeeded"})),
    )
    .await;
    assert_eq!(done.1["job"]["status"], "SUCCEEDED");
}

async fn a_caller_that_is_gone_takes_no_job_with_it(backend: Backend) {
    let gateway = TestGateway::with(backend, one()).await;
    let gone = waiting(&gateway, FIRST);
    wait_for_claims(&gateway, 1).await;
    gone.abort();
    wait_for_claims(&gateway, 0).await;
    queued(&gateway, "ada").await;
    assert_eq!(claim_one(&gateway).await["attempt"], 1);
}

async fn clients_have_fair_turns_however_many_jobs_one_has(backend: Backend) {
    let gateway = TestGateway::with(backend, one()).await;
    let logins: Vec<String> = (0..1000).map(|nth| format!("a{nth}")).collect();
    for some in logins.chunks(100) {
        join_all(some.iter().map(|login| queued(&gateway, login))).await;
    }
    let first = claim(&gateway, FIRST, json!({"max": 100, "wait_seconds": 10})).await;
    assert_eq!(
        first.len(),
        100,
        "as many as asked for, of the only one that has some"
    );
    let rival = Rival::of(&gateway).await;
    let a = rival.queued(&gateway, "b").await;
    let b = rival.queued(&gateway, "c").await;
    let of = |job: &Value| job["member_guid"].as_str().expect("a guid").to_owned();
    // The one that has two jobs gets half of a claim.
    let mut next = Vec::new();
    eventually(async || {
        let known = gateway
            .inside
            .claims
            .of(&"default".parse().expect("a name"));
        (known.expect("one that claims").ready() == 2).then_some(())
    })
    .await;
    for _ in 0..2 {
        next.extend(claim(&gateway, FIRST, json!({"max": 2})).await);
    }
    assert_eq!(next.len(), 4);
    let members: Vec<String> = next.iter().map(of).collect();
    assert!(
        members.contains(&a) && members.contains(&b),
        "{members:?} without {a} or {b}"
    );

    // And nothing is left out.
    let mut all: HashSet<String> = first.iter().chain(&next).map(of).collect();
    while all.len() < 1002 {
        let jobs = claim(&gateway, FIRST, json!({"max": 100, "wait_seconds": 10})).await;
        assert!(!jobs.is_empty(), "only {}", all.len());
        for job in &jobs {
            assert!(all.insert(of(job)), "{job} twice");
        }
    }
}

async fn too_many_claims_that_wait_are_refused(backend: Backend) {
    let gateway = TestGateway::with(backend, one()).await;
    let claims: Vec<_> = (0..64).map(|_| waiting(&gateway, FIRST)).collect();
    wait_for_claims(&gateway, 64).await;
    let asked = Some(json!({"wait_seconds": 1}));
    let (status, problem) = send(&gateway, FIRST, CLAIM, asked).await;
    assert_eq!(status, 429, "{problem}");
    let (status, claimed) = send(&gateway, FIRST, CLAIM, Some(json!({}))).await;
    assert_eq!(
        (status, claimed),
        (200, json!({"jobs": []})),
        "it does not wait"
    );
    for claim in claims {
        claim.abort();
    }
}

async fn pushed_jobs_cannot_be_claimed(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (status, problem) = gateway.aggregation(CLAIM, Some(json!({}))).await;
    assert_eq!(status, 409, "{problem}");
    assert_eq!(problem["error"]["reason"], "jobs_are_pushed");
}

async fn of_parallel_orders_there_is_one_job_and_what_they_ask_joins_it(backend: Backend) {
    let gateway = TestGateway::with(backend, one()).await;
    let member = queued(&gateway, "ada").await;
    let first = claim_one(&gateway).await;
    let done = report(
        &gateway,
        FIRST,
        &first,
        on(&first, json!({"status": "succeeded"})),
    )
    .await;
    assert_eq!(done.0, 200, "{done:?}");

    // Both APIs order at the same time: every response names the same job.
    let nexus = format!("/members/{member}/aggregate");
    let platform = format!("/users/{}/members/{member}/aggregate", gateway.user);
    let orders = (0..20).map(async |nth| {
        let (status, ordered) = match nth % 2 {
            0 => gateway.nexus("GET", &nexus, None).await,
            _ => gateway.platform("POST", &platform, None).await,
        };
        assert!(matches!(status, 200 | 202), "{ordered}");
        assert_eq!(ordered["member"]["is_being_aggregated"], true);
        let job = ordered["member"]["most_recent_job_guid"].as_str();
        job.map(str::to_owned)
    });
    let named: HashSet<String> = join_all(orders).await.into_iter().flatten().collect();
    assert_eq!(named.len(), 1, "{named:?}");
    let job = claim_one(&gateway).await;
    assert!(named.contains(guid(&job)));
    assert_ne!(guid(&job), guid(&first));
    assert!(
        claim(&gateway, FIRST, json!({})).await.is_empty(),
        "there is one"
    );

    // What is asked while it runs is pulled afterwards, by the same job.
    let statements = json!({"data_request": {"products": ["statements"]}});
    let (_, ordered) = gateway.nexus("GET", &nexus, Some(statements)).await;
    assert_eq!(ordered["member"]["most_recent_job_guid"], job["job_guid"]);
    let again = report(
        &gateway,
        FIRST,
        &job,
        on(&job, json!({"status": "succeeded"})),
    )
    .await;
    assert_eq!(again.1["job"]["status"], "QUEUED", "{again:?}");
    assert_eq!(gateway.read(member).await["is_being_aggregated"], true);
    let next = claim_one(&gateway).await;
    assert_eq!(guid(&next), guid(&job));
    assert_eq!((&next["round"], &next["attempt"]), (&json!(1), &json!(1)));
    assert_eq!(next["data_request"], json!({"products": ["statements"]}));
    let done = report(
        &gateway,
        FIRST,
        &next,
        on(&next, json!({"status": "succeeded"})),
    )
    .await;
    assert_eq!(done.1["job"]["status"], "SUCCEEDED", "{done:?}");
    assert_eq!(gateway.read(member).await["is_being_aggregated"], false);
    let aggregations = |told: &[Recorded]| count(told, "member_data_updated") == 3;
    gateway
        .hooks
        .wait_for(aggregations, Duration::from_secs(10))
        .await;
}

/// An operator says that the institution of [`paper`] is not used, or is again. Returns when the gateway has seen it.
async fn maintenance(gateway: &TestGateway, is_on: bool) {
    let inside = &gateway.inside;
    let institution: InstitutionCode = PAPER_BANK.parse().expect("a code");
    let set = SetMaintenance {
        institution: institution.clone(),
        maintenance: is_on.then(Maintenance::default),
    };
    let said = inside.store.set_maintenance(&set, inside.clock.now()).await;
    said.expect("a step");
    let is_seen = || inside.announced.seen().contains_key(&institution) == is_on;
    eventually(async || is_seen().then_some(())).await;
}

/// The member's unfinished job, as it is kept.
async fn kept(gateway: &TestGateway, member: MemberGuid) -> Job {
    let store = &gateway.inside.store;
    let member = store.member(gateway.user, member).await.expect("a step");
    let job = member.expect("the member").current_job.expect("a job");
    store.job(job).await.expect("a step").expect("the job")
}

async fn jobs_wait_for_their_institution_and_use_up_no_tries(backend: Backend) {
    let gateway = TestGateway::with(backend, one()).await;
    let member = queued(&gateway, "ada").await;
    maintenance(&gateway, true).await;
    let mut due_at = kept(&gateway, member).await.due_at;
    // More often than a job is tried.
    for _ in 0..5 {
        assert!(claim(&gateway, FIRST, json!({})).await.is_empty());
        let job = kept(&gateway, member).await;
        assert_eq!((job.status, job.attempt), (JobStatus::Queued, 0));
        assert!(job.due_at > due_at, "it is looked at again later");
        due_at = job.due_at;
        gateway.clock.advance(AGAIN);
    }
    // The other institutions are used.
    let (other, link) = gateway.member().await;
    gateway.connect(&gateway.visitor(), &link).await;
    let job = claim_one(&gateway).await;
    assert_eq!(job["member_guid"], json!(other));
    let done = on(&job, json!({"status": "succeeded"}));
    assert_eq!(report(&gateway, FIRST, &job, done).await.0, 200);

    // One that was handed out and not reported waits as well, without a try.
    maintenance(&gateway, false).await;
    gateway.clock.advance(AGAIN);
    let job = claim_one(&gateway).await;
    assert_eq!(job["member_guid"], json!(member));
    assert_eq!((&job["round"], &job["attempt"]), (&json!(0), &json!(1)));
    maintenance(&gateway, true).await;
    gateway.clock.advance(DEADLINE);
    assert!(claim(&gateway, FIRST, json!({})).await.is_empty());
    assert_eq!(kept(&gateway, member).await.attempt, 1);
    maintenance(&gateway, false).await;
    gateway.clock.advance(AGAIN);
    let again = claim_one(&gateway).await;
    assert_eq!((guid(&again), &again["attempt"]), (guid(&job), &json!(2)));
    let done = on(&again, json!({"status": "succeeded"}));
    let done = report(&gateway, FIRST, &again, done).await;
    assert_eq!(done.1["job"]["status"], "SUCCEEDED", "{done:?}");
}
