//! The aggregator's side of a job: pushed, leased, reported.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::gateway::TestGateway;
use super::loopback::Recorded;
use super::settings::AGGREGATOR_KEY;
use super::visitor::http;

const LIMIT: Duration = Duration::from_secs(10);

/// The n-th push, counted from 1, once it has come.
pub async fn nth_push(gateway: &TestGateway, nth: usize) -> Recorded {
    let pushes = gateway
        .aggregator
        .wait_for(|pushes| pushes.len() >= nth, LIMIT)
        .await;
    pushes[nth - 1].clone()
}

/// The job that a push is about.
pub fn job(push: &Recorded) -> String {
    push.json()["job_guid"].as_str().expect("a job").to_owned()
}

/// The job of the n-th push, once it has come.
pub async fn nth_job(gateway: &TestGateway, nth: usize) -> String {
    job(&nth_push(gateway, nth).await)
}

/// A report that the job failed.
pub fn failed(reason: &str) -> Value {
    json!({"status": "failed", "reason": reason})
}

/// A report that the institution asks something.
pub fn challenged(challenges: &Value) -> Value {
    json!({"status": "challenged", "challenges": challenges})
}

/// Asks for what the job pulls with.
pub async fn lease(gateway: &TestGateway, job: &str) -> (u16, Value) {
    gateway
        .aggregation(&format!("/aggregation/jobs/{job}/lease"), None)
        .await
}

/// Asks one of several gateways for what the job pulls with.
pub async fn lease_at(origin: &Url, job: &str) -> Value {
    let url = origin.join(&format!("/aggregation/jobs/{job}/lease"));
    let request = http().post(url.expect("a URL")).bearer_auth(AGGREGATOR_KEY);
    let response = request.send().await.expect("a response");
    let body = response.text().await.expect("a body");
    serde_json::from_str(&body).expect("JSON")
}

/// Reports; the response's status, and the job's.
pub async fn report(gateway: &TestGateway, job: &str, report: Value) -> (u16, String) {
    let path = format!("/aggregation/jobs/{job}/report");
    let (status, response) = gateway.aggregation(&path, Some(report)).await;
    let job = response["job"]["status"].as_str().unwrap_or_default();
    (status, job.to_owned())
}

/// What was told, without repeats: a webhook may arrive more than once, always under the same id.
pub fn distinct(told: &[Recorded]) -> Vec<&Recorded> {
    let mut ids = HashSet::new();
    told.iter()
        .filter(|event| ids.insert(event.header("webhook-id").map(str::to_owned)))
        .collect()
}

/// How many events have that `action`.
pub fn count(told: &[Recorded], action: &str) -> usize {
    let events = distinct(told).into_iter();
    events
        .filter(|event| event.json()["action"] == action)
        .count()
}
