//! Background pulls: a connected member's data stays fresh, and nobody is pulled who is not to be.

use std::collections::HashSet;
use std::time::Duration;

use guichet::domain::background::BackgroundPulls;
use guichet::domain::duty::DutyKind;
use guichet::domain::id::MemberGuid;
use guichet::store::Frozen;
use serde_json::{Value, json};

use crate::support::aggregation::{distinct, failed, job, lease, nth_push, report};
use crate::support::gateway::{
    BANK, Backend, LOGIN, PAPER_BANK, PASSWORD, Setup, TestGateway, eventually,
};
use crate::support::loopback::Recorded;

const LIMIT: Duration = Duration::from_secs(10);
/// A little more than the longest that a member waits for its next pull: an hour and a tenth of it.
const ROUND: Duration = Duration::from_secs(66 * 60 + 1);
/// A day.
const DAY: i64 = 24 * 60 * 60;

crate::on_both_stores!(
    a_connected_member_is_pulled_again_and_again,
    a_pull_never_runs_beside_another,
    who_is_not_to_be_pulled_is_not,
    a_member_is_pulled_so_often_a_day,
    members_are_taken_in_when_it_is_turned_on_and_let_go_when_it_is_turned_off,
    a_client_can_have_its_own,
    of_two_gateways_one_orders_the_pull,
    the_first_data_and_each_job_are_told,
    who_went_to_another_gateway_is_not_pulled,
    what_somebody_asks_for_is_no_background_pull_and_told_at_its_end,
);

/// Members of institutions with OAuth are pulled once an hour.
fn hourly() -> Setup {
    Setup {
        swaps: vec![(
            "supports_oauth = true\n",
            "supports_oauth = true\nbackground_minutes = 60\nbackground_per_day = 96\n",
        )],
        ..Setup::default()
    }
}

/// A member that was connected and pulled, and how many pushes there were.
async fn pulled(gateway: &TestGateway, body: Value) -> (MemberGuid, usize) {
    let before = gateway.aggregator.received().len();
    let path = format!("/users/{}/members", gateway.user);
    let (status, response) = gateway.platform("POST", &path, Some(body)).await;
    assert!((200..300).contains(&status), "{response}");
    let member = &response["member"];
    let guid = member["guid"].as_str().expect("a guid").parse();
    if let Some(link) = member["oauth_window_uri"].as_str() {
        let link = link.parse().expect("a URL");
        let page = gateway.connect(&gateway.visitor(), &link).await;
        assert_eq!(page.name(), Some("connected"), "{}", page.body);
    }
    succeeds(gateway, before + 1).await;
    (guid.expect("a guid"), before + 1)
}

fn at_the_bank() -> Value {
    json!({"member": {"institution_code": BANK, "is_oauth": true}})
}

/// The job of the n-th push succeeds.
async fn succeeds(gateway: &TestGateway, nth: usize) -> Recorded {
    let push = nth_push(gateway, nth).await;
    let job = job(&push);
    lease(gateway, &job).await;
    let done = report(gateway, &job, json!({"status": "succeeded"})).await;
    assert_eq!(done, (200, "SUCCEEDED".to_owned()));
    push
}

/// The member's background pulls, as they are kept.
async fn arranged(gateway: &TestGateway, member: MemberGuid) -> Option<BackgroundPulls> {
    let store = &gateway.inside.store;
    let member = store.member(gateway.user, member).await.expect("a step");
    member.expect("the member").background
}

/// Whether a background pull is due anywhere.
async fn is_due(gateway: &TestGateway) -> bool {
    let store = &gateway.inside.store;
    let spots = store.spots_due(gateway.inside.clock.now()).await;
    let mut spots = spots.expect("a step").into_iter();
    spots.any(|spot| spot.line.kind() == Some(DutyKind::Background))
}

async fn change(gateway: &TestGateway, member: MemberGuid, change: Value) {
    let path = format!("/users/{}/members/{member}", gateway.user);
    let body = Some(json!({"member": change}));
    let (status, response) = gateway.platform("PUT", &path, body).await;
    assert_eq!(status, 200, "{response}");
}

/// The bodies of the events that are aggregations.
fn aggregations(told: &[Recorded]) -> Vec<Value> {
    let bodies = distinct(told).into_iter().map(Recorded::json);
    bodies
        .filter(|body| body["action"] == "member_data_updated")
        .collect()
}

async fn a_connected_member_is_pulled_again_and_again(backend: Backend) {
    let gateway = TestGateway::with(backend, hourly()).await;
    let (member, first) = pulled(&gateway, at_the_bank()).await;
    let due_at = arranged(&gateway, member).await.expect("pulls").due_at;
    let left = due_at.duration_since(gateway.inside.clock.now()).as_secs();
    assert!((3000..=3960).contains(&left), "{left} s");
    for nth in 1..=2 {
        gateway.pass(ROUND);
        let push = succeeds(&gateway, first + nth).await;
        assert_eq!(push.json()["is_background"], true);
        assert_eq!(push.json()["member_guid"], json!(member));
        let told = |told: &[Recorded]| aggregations(told).len() > nth;
        let told = gateway.hooks.wait_for(told, LIMIT).await;
        let told: Vec<Value> = aggregations(&told);
        let is_background: Vec<&Value> = told.iter().map(|it| &it["is_background"]).collect();
        assert_eq!(is_background[0], false);
        assert!(is_background[1..].iter().all(|it| **it == true));
    }
    let pulls = arranged(&gateway, member).await.expect("pulls");
    assert!((1..=2).contains(&pulls.count), "{pulls:?}");
}

async fn a_pull_never_runs_beside_another(backend: Backend) {
    let gateway = TestGateway::with(backend, hourly()).await;
    let (member, first) = pulled(&gateway, at_the_bank()).await;
    let path = format!("/users/{}/members/{member}/aggregate", gateway.user);
    let (status, response) = gateway.platform("POST", &path, None).await;
    assert_eq!(status, 202, "{response}");
    let ordered = job(&nth_push(&gateway, first + 1).await);
    gateway.clock.advance(ROUND);
    assert!(!is_due(&gateway).await, "a job is under way");
    let done = report(&gateway, &ordered, json!({"status": "succeeded"})).await;
    assert_eq!(done.1, "SUCCEEDED");
    assert!(!is_due(&gateway).await, "it has just been pulled");
    // The next one counts from there.
    gateway.pass(ROUND);
    eventually(async || {
        let pushes = gateway.aggregator.received();
        let is_background = |it: &Recorded| it.json()["is_background"] == true;
        pushes.iter().any(is_background).then_some(())
    })
    .await;
}

async fn who_is_not_to_be_pulled_is_not(backend: Backend) {
    let mut setup = hourly();
    setup.swaps.push((
        "supports_oauth = false\n",
        "supports_oauth = false\nbackground_minutes = 60\n",
    ));
    let gateway = TestGateway::with(backend, setup).await;
    let mut disabled = at_the_bank();
    disabled["member"]["background_aggregation_is_disabled"] = json!(true);
    let (disabled, _) = pulled(&gateway, disabled).await;
    let (unfit, _) = pulled(&gateway, at_the_bank()).await;
    change(&gateway, unfit, json!({"use_cases": ["MONEY_MOVEMENT"]})).await;
    let paper = json!({"member": {"institution_code": PAPER_BANK, "credentials": [
        {"guid": LOGIN, "value": "ada"}, {"guid": PASSWORD, "value": "secret"},
    ]}});
    let (locked, pushes) = pulled(&gateway, paper).await;
    let path = format!("/users/{}/members/{locked}/aggregate", gateway.user);
    gateway.platform("POST", &path, None).await;
    let lock = job(&nth_push(&gateway, pushes + 1).await);
    report(&gateway, &lock, failed("locked")).await;
    gateway.clock.advance(ROUND);
    assert!(!is_due(&gateway).await);
    assert_eq!(gateway.aggregator.received().len(), pushes + 1);

    let allowed = json!({"background_aggregation_is_disabled": false});
    change(&gateway, disabled, allowed).await;
    let push = succeeds(&gateway, pushes + 2).await;
    assert_eq!(push.json()["member_guid"], json!(disabled));

    // Its user is disabled: the next one is put off.
    gateway.disable_user(true).await;
    let due_at = arranged(&gateway, disabled).await.expect("pulls").due_at;
    gateway.pass(ROUND);
    let is_put_off = |pulls: &BackgroundPulls| pulls.due_at > due_at + Duration::from_secs(50 * 60);
    eventually(async || arranged(&gateway, disabled).await.filter(is_put_off)).await;
    assert_eq!(gateway.aggregator.received().len(), pushes + 2);
    gateway.disable_user(false).await;
    gateway.pass(ROUND);
    let push = nth_push(&gateway, pushes + 3).await;
    assert_eq!(push.json()["member_guid"], json!(disabled));
}

async fn a_member_is_pulled_so_often_a_day(backend: Backend) {
    let setup = Setup {
        swaps: vec![(
            "supports_oauth = true\n",
            "supports_oauth = true\nbackground_minutes = 60\nbackground_per_day = 2\n",
        )],
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    // Not long after the next midnight.
    let left = DAY - gateway.clock.now().as_second().rem_euclid(DAY);
    let until = u64::try_from(left).expect("it is to come") + 60;
    gateway.clock.advance(Duration::from_secs(until));
    let (member, first) = pulled(&gateway, at_the_bank()).await;
    for nth in 1..=2 {
        gateway.pass(ROUND);
        succeeds(&gateway, first + nth).await;
    }
    gateway.pass(ROUND);
    let tomorrow = gateway.inside.clock.now().as_second().div_euclid(DAY) + 1;
    let pulls = eventually(async || {
        let pulls = arranged(&gateway, member).await?;
        (pulls.due_at.as_second() >= tomorrow * DAY).then_some(pulls)
    })
    .await;
    assert_eq!(pulls.count, 2);
    assert!(pulls.due_at.as_second() <= tomorrow * DAY + 3600);
    assert_eq!(gateway.aggregator.received().len(), first + 2);
    let wait = pulls.due_at.duration_since(gateway.inside.clock.now());
    gateway.pass(wait.unsigned_abs() + Duration::from_secs(1));
    succeeds(&gateway, first + 3).await;
}

async fn members_are_taken_in_when_it_is_turned_on_and_let_go_when_it_is_turned_off(
    backend: Backend,
) {
    let mut gateway = TestGateway::start(backend).await;
    let (member, first) = pulled(&gateway, at_the_bank()).await;
    let (pending, _) = gateway.member().await;
    assert_eq!(arranged(&gateway, member).await, None, "nothing is stored");
    let file = gateway
        .folder
        .path()
        .join(format!("institutions/{BANK}.toml"));
    let off = std::fs::read_to_string(&file).expect("a file");
    let on = format!("background_minutes = 60\n{off}");
    std::fs::write(&file, on).expect("written");
    gateway.restart().await;
    let pulls = eventually(async || arranged(&gateway, member).await).await;
    let latest = gateway.inside.clock.now() + Duration::from_secs(3600);
    assert!(pulls.due_at <= latest, "within one round");
    gateway.pass(Duration::from_secs(3601));
    succeeds(&gateway, first + 1).await;
    assert_eq!(
        arranged(&gateway, pending).await,
        None,
        "nobody connected it"
    );
    std::fs::write(&file, off).expect("written");
    gateway.restart().await;
    eventually(async || {
        let pulls = arranged(&gateway, member).await;
        pulls.is_none().then_some(())
    })
    .await;
}

async fn a_client_can_have_its_own(backend: Backend) {
    let mut setup = hourly();
    setup.swaps.push((
        "[[clients]]\nid = \"rival\"",
        "[[clients.background]]\ninstitution = \"fake_bank\"\nbackground_minutes = 0\n\
         [[clients.background]]\ninstitution = \"fake_bank_form\"\nbackground_minutes = 600\n\
         [[clients]]\nid = \"rival\"",
    ));
    let gateway = TestGateway::with(backend, setup).await;
    let (member, _) = pulled(&gateway, at_the_bank()).await;
    assert_eq!(arranged(&gateway, member).await, None);
    let client = "acme".parse().expect("a client");
    let client = gateway.inside.clients.get(&client).expect("the client");
    let form = "fake_bank_form".parse().expect("a code");
    let rules = client.background.get(&form).expect("rules of its own");
    assert_eq!(rules.every, Some(Duration::from_secs(600 * 60)));
    assert_eq!(rules.per_day, 96, "as its file says");
}

async fn of_two_gateways_one_orders_the_pull(backend: Backend) {
    let gateway = TestGateway::with(backend, hourly()).await;
    let _beside = gateway.beside().await;
    let mut members = HashSet::new();
    let mut pushes = 0;
    for _ in 0..5 {
        let (member, pushed) = pulled(&gateway, at_the_bank()).await;
        members.insert(json!(member).to_string());
        pushes = pushed;
    }
    gateway.pass(ROUND);
    for nth in 1..=5 {
        let push = succeeds(&gateway, pushes + nth).await;
        let member = push.json()["member_guid"].to_string();
        assert!(members.remove(&member), "{member} once");
    }
    assert!(!is_due(&gateway).await);
    assert_eq!(gateway.aggregator.received().len(), pushes + 5);
}

async fn the_first_data_and_each_job_are_told(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, first) = pulled(&gateway, at_the_bank()).await;
    let path = format!("/users/{}/members/{member}/aggregate", gateway.user);
    for (nth, (reported, status)) in [
        (json!({"status": "succeeded"}), "COMPLETED"),
        (failed("unavailable"), "HALTED"),
        (failed("denied"), "DENIED"),
    ]
    .into_iter()
    .enumerate()
    {
        gateway.bank.forget_tokens();
        gateway.platform("POST", &path, None).await;
        let job = job(&nth_push(&gateway, first + 1 + nth).await);
        lease(&gateway, &job).await;
        if status == "DENIED" {
            // A first refusal is tried once more with a new token; there is none.
            report(&gateway, &job, reported).await;
            continue;
        }
        report(&gateway, &job, reported).await;
        let is_it = |it: &&Recorded| {
            let body = it.json();
            body["type"] == "JOB_STATUS" && body["job_guid"] == job
        };
        let told = |told: &[Recorded]| told.iter().any(|it| is_it(&it));
        let told = gateway.hooks.wait_for(told, LIMIT).await;
        let body = told.iter().find(is_it).expect("just seen").json();
        assert_eq!(body["status"], status);
        assert_eq!(body["member_guid"], json!(member));
        assert_eq!(body["is_background"], false);
    }
    let told = gateway.hooks.received();
    let ready: Vec<Value> = distinct(&told)
        .into_iter()
        .map(Recorded::json)
        .filter(|body| body["type"] == "initial_data_ready")
        .collect();
    assert_eq!(ready.len(), 1, "once");
    assert_eq!(ready[0]["member_guid"], json!(member));
    assert_eq!(ready[0]["user_guid"], json!(gateway.user));
    assert_eq!(ready[0]["client_guid"], "acme");
}

async fn who_went_to_another_gateway_is_not_pulled(backend: Backend) {
    let gateway = TestGateway::with(backend, hourly()).await;
    let (frozen, _) = pulled(&gateway, at_the_bank()).await;
    let (other, pushes) = pulled(&gateway, at_the_bank()).await;
    let (store, clock) = (&gateway.inside.store, &gateway.inside.clock);
    let froze = store.freeze(frozen, clock.now()).await.expect("a step");
    assert!(matches!(froze, Frozen::Frozen { .. }), "{froze:?}");
    let due_at = arranged(&gateway, frozen).await.expect("pulls").due_at;
    gateway.pass(ROUND);
    let push = succeeds(&gateway, pushes + 1).await;
    assert_eq!(push.json()["member_guid"], json!(other));
    let is_put_off = |pulls: &BackgroundPulls| pulls.due_at > due_at + Duration::from_secs(50 * 60);
    let pulls = eventually(async || arranged(&gateway, frozen).await.filter(is_put_off)).await;
    assert_eq!(pulls.count, 0, "none was ordered");
    let member = store.member(gateway.user, frozen).await.expect("a step");
    assert_eq!(member.expect("the member").current_job, None);
    assert_eq!(gateway.aggregator.received().len(), pushes + 1);
    // It comes back.
    assert!(store.thaw(frozen, clock.now()).await.expect("a step"));
    gateway.pass(ROUND);
    let is_its = |it: &Recorded| {
        let body = it.json();
        body["member_guid"] == json!(frozen) && body["is_background"] == true
    };
    eventually(async || {
        gateway
            .aggregator
            .received()
            .iter()
            .any(is_its)
            .then_some(())
    })
    .await;
}

async fn what_somebody_asks_for_is_no_background_pull_and_told_at_its_end(backend: Backend) {
    let gateway = TestGateway::with(backend, hourly()).await;
    let (member, first) = pulled(&gateway, at_the_bank()).await;
    gateway.pass(ROUND);
    let push = nth_push(&gateway, first + 1).await;
    assert_eq!(push.json()["is_background"], true);
    let job = job(&push);
    let path = format!("/users/{}/members/{member}/aggregate", gateway.user);
    let more = json!({"data_request": {"products": ["statements"]}});
    let (status, ordered) = gateway.platform("POST", &path, Some(more)).await;
    assert_eq!(status, 202, "{ordered}");
    let done = json!({"status": "succeeded"});
    let reported = report(&gateway, &job, done.clone()).await;
    assert_eq!(reported.1, "QUEUED", "it goes on with what was asked");
    let push = nth_push(&gateway, first + 2).await;
    assert_eq!(push.json()["job_guid"], json!(job));
    assert!(
        push.json().get("is_background").is_none(),
        "{}",
        push.json()
    );
    assert_eq!(report(&gateway, &job, done).await.1, "SUCCEEDED");
    let of_it = |told: &[Recorded]| -> Vec<Value> {
        let bodies = distinct(told).into_iter().map(Recorded::json);
        bodies
            .filter(|body| body["job_guid"] == json!(job))
            .collect()
    };
    let told = |told: &[Recorded]| of_it(told).len() >= 3;
    let told = of_it(&gateway.hooks.wait_for(told, LIMIT).await);
    let count = |kind: &str| told.iter().filter(|it| it["type"] == kind).count();
    assert_eq!(
        (count("AGGREGATION"), count("JOB_STATUS")),
        (2, 1),
        "{told:?}"
    );
    assert!(
        told.iter().all(|it| it["is_background"] == false),
        "{told:?}"
    );
}
