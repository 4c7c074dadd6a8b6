//! Races (`security` R1): however many come at once, one thing happens, and it happens whole.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::at_the_bank::AtTheBank;
use crate::support::gateway::{Backend, TestGateway};
use crate::support::visitor::{Page, Visitor};

const LIMIT: Duration = Duration::from_secs(10);

crate::on_both_stores!(
    r1_of_200_browsers_one_gets_through,
    r1_of_100_responses_one_is_exchanged,
    r1_a_response_in_two_browsers_is_redeemed_once,
    r1_a_response_against_deletion_and_a_newer_link,
);

async fn r1_of_200_browsers_one_gets_through(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, link) = gateway.member().await;
    let start = Arc::new(tokio::sync::Barrier::new(200));
    let mut browsers = JoinSet::new();
    for _ in 0..200 {
        let (link, start) = (link.clone(), start.clone());
        browsers.spawn(async move {
            let browser = Visitor::new();
            start.wait().await;
            browser.get(&link).await
        });
    }
    let pages = browsers.join_all().await;
    let let_through: Vec<&Page> = pages.iter().filter(|page| page.status == 302).collect();
    assert_eq!(let_through.len(), 1);
    assert_eq!(
        pages
            .iter()
            .filter(|page| page.name() == Some("used"))
            .count(),
        199
    );
    assert_eq!(
        pages
            .iter()
            .filter(|page| !page.cookies().is_empty())
            .count(),
        1
    );
}

async fn r1_of_100_responses_one_is_exchanged(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let visitor = Arc::new(gateway.visitor());
    let request = gateway.open(&visitor, &link).await;
    let url = gateway.bank.code_for(&request).url();
    let start = Arc::new(tokio::sync::Barrier::new(100));
    let mut answers = JoinSet::new();
    for _ in 0..100 {
        let (visitor, url, start) = (visitor.clone(), url.clone(), start.clone());
        answers.spawn(async move {
            start.wait().await;
            visitor.follow(&url).await
        });
    }
    for page in answers.join_all().await {
        assert_eq!(
            (page.status, page.name()),
            (200, Some("connected")),
            "{}",
            page.body
        );
    }
    assert_eq!(gateway.bank.hits().token, 1);
    assert_eq!(gateway.bank.hits().revoke, 0);
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");

    // One job: with the first finished, nothing is being aggregated any more.
    let pushes = gateway
        .aggregator
        .wait_for(|pushes| !pushes.is_empty(), LIMIT)
        .await;
    let job = pushes[0].json()["job_guid"]
        .as_str()
        .expect("a job")
        .to_owned();
    let report = format!("/aggregation/jobs/{job}/report");
    for body in [json!({"status": "started"}), json!({"status": "succeeded"})] {
        assert_eq!(gateway.aggregation(&report, Some(body)).await.0, 200);
    }
    let read = gateway.read(member).await;
    assert_eq!(read["is_being_aggregated"], false);
    assert_eq!(read["most_recent_job_guid"], json!(job));
    let others = gateway.aggregator.received();
    assert!(
        others
            .iter()
            .all(|push| push.json()["job_guid"] == json!(job))
    );
    // Told once: connected, and finished.
    let told = gateway
        .hooks
        .wait_for(
            |told| {
                told.iter()
                    .any(|event| event.json()["action"] == "member_data_updated")
            },
            LIMIT,
        )
        .await;
    let finished = told
        .iter()
        .filter(|event| event.json()["action"] == "finished")
        .count();
    assert!(finished <= 1, "{finished} outcomes were told");
}

async fn r1_a_response_in_two_browsers_is_redeemed_once(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let visitor = Arc::new(gateway.visitor());
    let request = gateway.open(&visitor, &link).await;
    let url = gateway.bank.code_for(&request).url();
    let start = Arc::new(tokio::sync::Barrier::new(20));
    let mut answers = JoinSet::new();
    for n in 0..20 {
        let browser = if n % 2 == 0 {
            visitor.clone()
        } else {
            Arc::new(gateway.visitor())
        };
        let (url, start) = (url.clone(), start.clone());
        answers.spawn(async move {
            start.wait().await;
            browser.follow(&url).await
        });
    }
    let pages = answers.join_all().await;
    gateway.bank.wait_for_token_requests(1, LIMIT).await;
    let connected = gateway.read(member).await["connection_status"] == "CONNECTED";
    let expected = if connected { "connected" } else { "used" };
    for page in pages {
        let name = page.name().expect("a page");
        assert!(
            name == expected || name == "wrong-browser",
            "{name}, not {expected}"
        );
    }
    if !connected {
        gateway.bank.wait_for_revoke_requests(1, LIMIT).await;
    }
    assert_eq!(gateway.bank.hits().token, 1);
}

/// Whichever comes first, the member is connected with all that belongs to it, or nothing of the
/// grant is left at the bank and in the store.
async fn r1_a_response_against_deletion_and_a_newer_link(backend: Backend) {
    for turn in 0..8 {
        let at = AtTheBank::new(backend).await;
        let state = at.gateway.state(at.member).await["guid"].clone();
        let state = format!("/oauth_states/{}", state.as_str().expect("a guid"));
        let (method, path) = match turn % 2 {
            0 => ("DELETE", format!("/members/{}", at.member)),
            _ => ("GET", format!("/members/{}/oauth_window_uri", at.member)),
        };
        let url = at.response.url();
        let (page, (status, response)) = tokio::join!(
            at.visitor.follow(&url),
            at.gateway.nexus(method, &path, None),
        );
        assert_eq!(status, 200, "{response}");
        let (_, ended) = at.gateway.nexus("GET", &state, None).await;
        let succeeded = ended["oauth_state"]["auth_status"] == 2;
        assert!(
            succeeded || ended["oauth_state"]["auth_status"] == 3,
            "{ended}"
        );
        assert!(at.gateway.bank.hits().token <= 1);
        let is_deleted = method == "DELETE";
        if !is_deleted {
            let status = at.gateway.read(at.member).await["connection_status"].clone();
            assert_eq!(status, if succeeded { "CONNECTED" } else { "PENDING" });
        }
        let name = page.name().expect("a page");
        assert_eq!(name == "connected", succeeded, "{name}: {ended}");
        // What was exchanged for nothing is given back.
        if !succeeded && at.gateway.bank.hits().token == 1 {
            at.gateway.bank.wait_for_revoke_requests(1, LIMIT).await;
        }
    }
}
