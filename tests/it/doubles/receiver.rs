//! The receiver of webhooks.

use std::time::Duration;

use serde_json::json;

use crate::support::receiver::{Reply, WebhookReceiver};

#[tokio::test]
async fn deliveries_are_kept_and_answered_as_told() {
    let receiver = WebhookReceiver::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let deliver = |n: u32| {
        client
            .post(receiver.url())
            .header("webhook-id", format!("EVT-{n}"))
            .json(&json!({"n": n}))
            .send()
    };
    assert_eq!(deliver(1).await.unwrap().status(), 204);
    receiver.answer_with(Reply::Status(410));
    assert_eq!(deliver(2).await.unwrap().status(), 410);
    receiver.answer_with(Reply::HangUp);
    deliver(3).await.expect_err("no answer");

    let limit = Duration::from_secs(10);
    let received = receiver.wait_for(|all| all.len() >= 3, limit).await;
    assert_eq!(received[1].header("webhook-id"), Some("EVT-2"));
    assert_eq!(received[1].json(), json!({"n": 2}));
    assert_eq!(received[2].text(), "{\"n\":3}");
    assert_eq!(received.len(), receiver.received().len());
}

#[tokio::test]
#[should_panic(expected = "not the requests waited for")]
async fn waiting_for_what_does_not_come_fails() {
    let receiver = WebhookReceiver::start().await;
    let limit = Duration::from_millis(20);
    receiver.wait_for(|all| !all.is_empty(), limit).await;
}
