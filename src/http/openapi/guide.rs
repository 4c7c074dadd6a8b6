//! The part of the page before the operations: how to begin, the statuses and the events.

use serde_json::Value;

use crate::domain::connection_status::ConnectionStatus;

/// Code to begin with.
pub struct Snippet {
    /// Names it on the page.
    pub id: &'static str,
    /// What it is written in.
    pub title: &'static str,
    /// The code: it runs as it is.
    pub code: &'static str,
}

macro_rules! snippet {
    ($id:literal, $title:literal, $file:literal) => {
        Snippet {
            id: $id,
            title: $title,
            code: include_str!(concat!("../../../templates/quickstart/", $file)),
        }
    };
}

/// Connects a member.
pub const CONNECT: [Snippet; 3] = [
    snippet!("quickstart-curl", "With curl", "member.sh"),
    snippet!("quickstart-node", "With Node.js", "member.mjs"),
    snippet!("quickstart-python", "With Python", "member.py"),
];

/// Receives events and checks their signatures.
pub const VERIFY: [Snippet; 2] = [
    snippet!("webhook-node", "With Node.js", "webhook.mjs"),
    snippet!("webhook-python", "With Python", "webhook.py"),
];

/// A row of the table of statuses.
pub struct Status {
    /// `connection_status_id`.
    pub id: u8,
    /// `connection_status`.
    pub name: &'static str,
    /// `connection_status_message`, at an institution of that name.
    pub message: String,
    /// What an app does about it.
    pub next: &'static str,
}

/// Every status, by id.
pub fn statuses() -> Vec<Status> {
    let all = ConnectionStatus::ALL.iter();
    let row = |status: &ConnectionStatus| Status {
        id: status.id(),
        name: status.name(),
        message: status.message("MX Bank"),
        next: next(*status),
    };
    all.map(row).collect()
}

/// What an app does about a status.
fn next(status: ConnectionStatus) -> &'static str {
    use ConnectionStatus::{
        Challenged, Closed, Connected, Created, Degraded, Delayed, Denied, Disabled, Disconnected,
        Discontinued, Expired, Failed, Impaired, Impeded, Imported, Locked, Pending, Prevented,
        Reconnected, Rejected, Resumed, Updated,
    };
    match status {
        Created | Updated | Resumed | Delayed => "Wait.",
        Connected => "Use the data.",
        Pending => "Send the person to `oauth_window_uri`; make a new link if it has expired.",
        Challenged => "Show the challenges and send the answers with `resume`.",
        Denied | Prevented | Imported | Impaired | Reconnected => {
            "Ask the person to connect again: a new link, or new credentials."
        }
        Rejected | Expired | Failed => "Offer to try again.",
        Locked | Impeded => "Send the person to the institution; then try again.",
        Degraded | Disconnected => "Nothing: it is tried again.",
        Discontinued | Closed | Disabled => "Nothing: no more data comes.",
    }
}

/// An event, as the document has it.
pub struct Event<'a> {
    /// Its name in the configuration.
    pub name: &'a str,
    /// When it is sent.
    pub when: &'a str,
    /// The schema of its body.
    pub schema: &'a Value,
}

/// The document's events, in the order of their kinds.
pub fn events(document: &Value) -> Vec<Event<'_>> {
    let kinds = crate::domain::event::EventKind::ALL.into_iter();
    let event = |kind: crate::domain::event::EventKind| {
        let operation = &document["webhooks"][kind.name()]["post"];
        Event {
            name: kind.name(),
            when: operation["summary"].as_str().unwrap_or_default(),
            schema: &operation["requestBody"]["content"]["application/json"]["schema"],
        }
    };
    kinds.map(event).collect()
}
