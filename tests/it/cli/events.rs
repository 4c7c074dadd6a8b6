//! `guichet events` and `guichet institution`, against the store of a gateway that runs.

use std::time::Duration;

use super::guichet;
use serde_json::json;

use crate::support::gateway::{Backend, CLIENT, Setup, TestGateway, eventually};
use crate::support::loopback::Recorded;
use crate::support::receiver::Reply;

const LIMIT: Duration = Duration::from_secs(20);

crate::on_both_stores!(
    an_event_is_listed_shown_and_sent_again_with_the_same_body,
    dead_events_are_sent_again_by_range,
    a_test_event_says_what_each_endpoint_answers,
    a_brake_is_taken_off_by_hand,
    beyond_the_bound_the_oldest_events_are_given_up_and_can_be_sent_again,
    beyond_the_bound_what_waits_behind_a_later_try_is_given_up_too,
);

async fn telling_of_new_members(backend: Backend) -> TestGateway {
    let setup = Setup {
        hook_events: Some(r#"["member.created"]"#),
        ..Setup::default()
    };
    TestGateway::with(backend, setup).await
}

fn id(told: &Recorded) -> String {
    told.header("webhook-id").expect("an id").to_owned()
}

async fn an_event_is_listed_shown_and_sent_again_with_the_same_body(backend: Backend) {
    let gateway = telling_of_new_members(backend).await;
    let (member, _) = gateway.member().await;
    let told = gateway.hooks.wait_for(|told| !told.is_empty(), LIMIT).await;
    let event = id(&told[0]);
    let listed = eventually(async || {
        let listed = guichet(&gateway, &["events", "list", "--client", CLIENT]).await;
        listed.out.contains("delivered").then_some(listed)
    })
    .await;
    assert!(listed.out.contains(&event), "{listed:?}");
    assert!(listed.out.contains("member.created"), "{listed:?}");
    let member = member.to_string();
    let of_another = guichet(&gateway, &["events", "list", "--client", "rival"]).await;
    assert_eq!((of_another.code, of_another.out.as_str()), (Some(0), ""));
    let shown = guichet(&gateway, &["events", "show", &event]).await;
    for part in [member.as_str(), "PENDING", "204"] {
        assert!(shown.out.contains(part), "{part}: {shown:?}");
    }
    let again = guichet(&gateway, &["events", "replay", &event]).await;
    assert_eq!(again.out, "1 sent again\n", "{again:?}");
    let told = gateway.hooks.wait_for(|told| told.len() >= 2, LIMIT).await;
    assert_eq!((id(&told[1]), &told[1].body), (event, &told[0].body));
}

async fn dead_events_are_sent_again_by_range(backend: Backend) {
    let gateway = telling_of_new_members(backend).await;
    gateway.hooks.answer_with(Reply::Status(410));
    for _ in 0..3 {
        gateway.member().await;
    }
    let dead = ["events", "list", "--client", CLIENT, "--dead"];
    eventually(async || {
        let listed = guichet(&gateway, &dead).await;
        (listed.out.lines().count() == 3).then_some(())
    })
    .await;
    gateway.hooks.answer_with(Reply::Status(204));
    let range = [
        "--client",
        CLIENT,
        "--dead",
        "--since",
        "2020-01-01T00:00:00Z",
    ];
    let early = [
        &["events", "replay"][..],
        &range,
        &["--until", "2020-01-02T00:00:00Z"],
    ]
    .concat();
    assert_eq!(guichet(&gateway, &early).await.out, "0 sent again\n");
    let all = [&["events", "replay"][..], &range].concat();
    assert_eq!(guichet(&gateway, &all).await.out, "3 sent again\n");
    gateway.hooks.wait_for(|told| told.len() >= 6, LIMIT).await;
    eventually(async || guichet(&gateway, &dead).await.out.is_empty().then_some(())).await;
    // What is not said is not guessed.
    let all = guichet(&gateway, &["events", "replay"]).await;
    assert_eq!(all.code, Some(1));
    assert!(all.err.contains("--dead"), "{all:?}");
    let unknown = "EVT-00000000-0000-4000-8000-000000000000";
    let gone = guichet(&gateway, &["events", "show", unknown]).await;
    assert!(
        gone.code == Some(1) && gone.err.contains(unknown),
        "{gone:?}"
    );
}

async fn a_test_event_says_what_each_endpoint_answers(backend: Backend) {
    let gateway = telling_of_new_members(backend).await;
    let test = ["events", "test", "--client", CLIENT];
    let taken = guichet(&gateway, &test).await;
    assert!(taken.out.contains("taken, 204"), "{taken:?}");
    assert_eq!(taken.code, Some(0));
    let told = gateway.hooks.received();
    assert_eq!(told[0].json()["action"], "test");
    assert!(told[0].header("webhook-signature").is_some());
    gateway.hooks.answer_with(Reply::Status(500));
    let refused = guichet(&gateway, &test).await;
    assert!(refused.out.contains("not taken, 500"), "{refused:?}");
    assert_eq!(refused.code, Some(1));
    let unknown = guichet(&gateway, &["events", "test", "--client", "nobody"]).await;
    assert!(unknown.err.contains(CLIENT), "{unknown:?}");
}

async fn a_brake_is_taken_off_by_hand(backend: Backend) {
    use guichet::store::{AtInstitution, BrakeName, CountRefusal, Refused};
    let gateway = TestGateway::start(backend).await;
    let none = guichet(&gateway, &["institution", "release", "fake_bank"]).await;
    assert_eq!(
        (none.code, none.out.as_str()),
        (Some(0), "fake_bank: no brake was on\n")
    );
    let brake = BrakeName {
        at: AtInstitution {
            client: CLIENT.parse().expect("a client"),
            institution: "fake_bank".parse().expect("a code"),
        },
        of: Refused::Refreshes,
    };
    let now = gateway.clock.now();
    for _ in 0..20 {
        let (member, _) = gateway.member().await;
        let count = CountRefusal {
            brake: brake.clone(),
            member,
            granted: 0,
        };
        let store = &gateway.inside.store;
        store.count_refusal(&count, now).await.expect("counted");
    }
    assert!(
        gateway
            .inside
            .store
            .braked(&brake)
            .await
            .expect("read")
            .is_some()
    );
    let released = guichet(&gateway, &["institution", "release", "fake_bank"]).await;
    assert_eq!(
        released.out,
        format!("{CLIENT} at fake_bank: refused refreshes count again\n")
    );
    assert_eq!(
        gateway.inside.store.braked(&brake).await.expect("read"),
        None
    );
    let unknown = guichet(&gateway, &["institution", "release", "no_bank"]).await;
    assert!(
        unknown.code == Some(1) && unknown.err.contains("no_bank"),
        "{unknown:?}"
    );
}

async fn beyond_the_bound_the_oldest_events_are_given_up_and_can_be_sent_again(backend: Backend) {
    let setup = Setup {
        hook_events: Some(r#"["member.created"]"#),
        swaps: vec![("[webhooks]", "[webhooks]\nmost_waiting = 100")],
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    gateway.hooks.answer_with(Reply::Status(503));
    for _ in 0..110 {
        gateway.member().await;
    }
    let warned = guichet(&gateway, &["check"]).await;
    assert!(warned.out.contains("most_waiting"), "{warned:?}");
    // What is tried again later is due by then.
    gateway.pass(Duration::from_secs(61));
    let dead = ["events", "list", "--client", CLIENT, "--dead"];
    let given_up = eventually(async || {
        let listed = guichet(&gateway, &dead).await.out;
        (listed.lines().count() >= 10).then_some(listed)
    })
    .await;
    assert_eq!(
        given_up.lines().count(),
        10,
        "no more than there are too many"
    );
    let waiting = format!("guichet_events_waiting{{client=\"{CLIENT}\"}} 100");
    assert!(gateway.metrics().await.contains(&waiting));
    let again = guichet(
        &gateway,
        &["events", "replay", "--client", CLIENT, "--dead"],
    )
    .await;
    assert_eq!(again.out, "10 sent again\n", "{again:?}");
}

async fn beyond_the_bound_what_waits_behind_a_later_try_is_given_up_too(backend: Backend) {
    let setup = Setup {
        hook_events: Some(r#"["member.created", "member.updated"]"#),
        swaps: vec![("[webhooks]", "[webhooks]\nmost_waiting = 100")],
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    gateway.hooks.answer_with(Reply::RetryAfter(503, 7200));
    let (member, _) = gateway.member().await;
    crate::webhooks::settled(&gateway).await;
    let path = format!("/users/{}/members/{member}", gateway.user);
    for nth in 0..110 {
        let body = Some(json!({"member": {"metadata": nth.to_string()}}));
        assert_eq!(gateway.platform("PUT", &path, body).await.0, 200);
    }
    gateway.pass(Duration::from_secs(61));
    let waiting = format!("guichet_events_waiting{{client=\"{CLIENT}\"}} 100");
    eventually(async || gateway.metrics().await.contains(&waiting).then_some(())).await;
}
