//! More is asked of the gateway than it can do: whoever has a link goes on, new links are refused for a while, and
//! afterwards all is as before.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::gateway::{BANK_GUID, Backend, Setup, TestGateway, eventually};
use crate::support::line::Line;
use crate::support::redis::Redis;
use crate::support::visitor::http;

/// More than are minted at once in the beginning.
const CROWD: usize = 200;

/// What became of one request for a link: its status, its `Retry-After` and its body.
type Answered = (u16, Option<String>, Value);

/// So many requests for links at once.
async fn crowd(gateway: &TestGateway, people: usize) -> Vec<Answered> {
    let mut asked = JoinSet::new();
    for _ in 0..people {
        let request = http()
            .post(gateway.at("/members"))
            .header("md-session-token", &gateway.session)
            .json(&json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}}));
        asked.spawn(async move {
            let response = request.send().await.expect("a response");
            let status = response.status().as_u16();
            let after = response.headers().get("retry-after");
            let after = after.map(|after| after.to_str().expect("text").to_owned());
            let body = response.json().await.expect("JSON");
            (status, after, body)
        });
    }
    asked.join_all().await
}

fn refused(answered: &[Answered]) -> Vec<&Answered> {
    let refused = answered.iter().filter(|(status, ..)| *status == 503);
    refused.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_minting_is_slow_new_links_are_refused_first_and_nobody_who_has_one_is() {
    let redis = Redis::start();
    let line = Line::to(redis.port()).await;
    let setup = Setup {
        store: Some(line.url()),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Redis, setup).await;
    let (_, link) = gateway.member().await;

    line.slow_by(Duration::from_millis(300));
    let first = crowd(&gateway, CROWD).await;
    let (second, page) = tokio::join!(crowd(&gateway, CROWD), async {
        let visitor = gateway.visitor();
        gateway.connect(&visitor, &link).await
    });
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    for answered in [&first, &second] {
        let others = answered.iter().filter(|(status, ..)| *status != 503);
        for (status, _, body) in others {
            assert_eq!(*status, 200, "{body}");
        }
        for (_, after, body) in refused(answered) {
            assert_eq!(after.as_deref(), Some("1"));
            assert!(body.to_string().contains("wait a second"), "{body}");
        }
    }
    let (before, later) = (refused(&first).len(), refused(&second).len());
    assert!(before > 0 && later > 0, "{before}, then {later}");
    let counted = gateway.metrics().await;
    let counted = counted
        .lines()
        .find_map(|line| line.strip_prefix("guichet_requests_limited_total{limit=\"overload\"} "));
    assert_eq!(counted, Some((before + later).to_string().as_str()));

    line.slow_by(Duration::ZERO);
    let usual = CROWD / 10;
    eventually(async || {
        refused(&crowd(&gateway, usual).await)
            .is_empty()
            .then_some(())
    })
    .await;
}
