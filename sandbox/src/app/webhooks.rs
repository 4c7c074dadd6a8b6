//! The demo app's webhook receiver: checks signatures and remembers what it was told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::App;
use crate::wire::now;

/// How many messages are remembered; older ones are dropped.
const KEPT: usize = 100;

/// A message the app was told.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Told {
    /// The `webhook-id`; a repeated one is the same message again.
    pub(super) id: String,
    pub(super) received_at: Timestamp,
    /// How many times it has come.
    pub(super) deliveries: u32,
    pub(super) body: Value,
}

impl Told {
    /// What it is about, such as `updated`.
    pub(super) fn what(&self) -> &str {
        let text = |name| self.body.get(name).and_then(Value::as_str);
        text("action").or_else(|| text("type")).unwrap_or("message")
    }

    /// The member it is about, where it says so.
    pub(super) fn member_guid(&self) -> &str {
        let nested = self.body.pointer("/member/guid");
        nested
            .or_else(|| self.body.get("member_guid"))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The member's connection status, where it says so.
    pub(super) fn status(&self) -> &str {
        let nested = self.body.pointer("/member/connection_status");
        nested
            .or_else(|| self.body.get("connection_status"))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The time of day it came, UTC.
    pub(super) fn time(&self) -> String {
        self.received_at.strftime("%H:%M:%S").to_string()
    }
}

/// The last messages, newest first.
#[derive(Debug, Default)]
pub(super) struct Log(Mutex<VecDeque<Told>>);

impl Log {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: &str, body: Value, now: Timestamp) {
        let mut log = self.lock();
        if let Some(told) = log.iter_mut().find(|told| told.id == id) {
            told.deliveries = told.deliveries.saturating_add(1);
            return;
        }
        log.truncate(KEPT - 1);
        log.push_front(Told {
            id: id.to_owned(),
            received_at: now,
            deliveries: 1,
            body,
        });
    }

    /// The newest `count` messages.
    pub(super) fn newest(&self, count: usize) -> Vec<Told> {
        self.lock().iter().take(count).cloned().collect()
    }

    /// The id of the newest message: changes when there is news.
    pub(super) fn newest_id(&self) -> Option<String> {
        self.lock().front().map(|told| told.id.clone())
    }
}

/// `POST /webhooks`
pub(super) async fn receive(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let id = match app.verifier.check(&headers, &body, now()) {
        Ok(id) => id,
        Err(error) => {
            let body = json!({ "error": { "message": error.to_string() } });
            return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
        }
    };
    match serde_json::from_slice(&body) {
        Ok(body) => {
            app.log.add(id, body, now());
            StatusCode::NO_CONTENT.into_response()
        }
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// `GET /api/webhooks`
pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    Json(json!({ "webhooks": app.log.newest(KEPT) })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hundred_are_kept_and_repeats_counted() {
        let log = Log::default();
        for n in 0..150 {
            log.add(&format!("EVT-{n}"), json!({}), Timestamp::UNIX_EPOCH);
        }
        log.add("EVT-149", json!({}), Timestamp::UNIX_EPOCH);
        let told = log.newest(1_000);
        assert_eq!(told.len(), KEPT);
        assert_eq!(told[0].id, "EVT-149");
        assert_eq!(told[0].deliveries, 2);
        assert_eq!(told[KEPT - 1].id, "EVT-50");
    }

    #[test]
    fn both_shapes_of_message_are_understood() {
        let told = |body| Told {
            id: String::new(),
            received_at: Timestamp::UNIX_EPOCH,
            deliveries: 1,
            body,
        };
        let member = told(json!({
            "action": "updated",
            "member": { "guid": "MBR-1", "connection_status": "CONNECTED" },
        }));
        let parts = (member.what(), member.member_guid(), member.status());
        assert_eq!(parts, ("updated", "MBR-1", "CONNECTED"));
        let flat = told(json!({ "type": "AGGREGATION", "member_guid": "MBR-2" }));
        let parts = (flat.what(), flat.member_guid(), flat.status());
        assert_eq!(parts, ("AGGREGATION", "MBR-2", ""));
    }
}
