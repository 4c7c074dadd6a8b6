//! What a log line is about: the fields that are on every line of one request, one delivery, one push or
//! one expiry, whichever part of the crate writes it.
//!
//! Such a piece of work runs in a [`span`]. When it is known what the work is about, the span gets a
//! field, and every later line has it. Tasks run in the same span (`in_current_span`). If a line has a
//! field of the same name itself, that one is used. The names are listed in `docs/LOGGING.md`.

use std::fmt::Display;

use tracing::Span;
use tracing::field::display;
use url::{Host, Url};

use crate::domain::event::Event;
use crate::domain::id::{AttemptId, ClientId, InstitutionCode, MemberGuid, OauthStateGuid};
use crate::domain::job::Job;
use crate::domain::member::Member;
use crate::domain::support_code::SupportCode;
use crate::domain::window::Window;

/// The target of the spans. The log's filter does not apply to them, so that a line of any level has its
/// fields.
pub const TARGET: &str = "guichet::log_context";

/// The span of a piece of work, without fields yet.
pub fn span() -> Span {
    tracing::error_span!(
        target: TARGET,
        "work",
        client = tracing::field::Empty,
        institution = tracing::field::Empty,
        member = tracing::field::Empty,
        oauth_state = tracing::field::Empty,
        attempt = tracing::field::Empty,
        support_code = tracing::field::Empty,
        job = tracing::field::Empty,
        event = tracing::field::Empty,
        kind = tracing::field::Empty,
        tries = tracing::field::Empty,
        endpoint_host = tracing::field::Empty,
        interaction_id = tracing::field::Empty,
        trace_id = tracing::field::Empty,
    )
}

fn record(field: &'static str, value: impl Display) {
    Span::current().record(field, display(value));
}

/// It is this client's.
pub fn client(client: &ClientId) {
    record("client", client);
}

/// It is about this institution.
pub fn institution(institution: &InstitutionCode) {
    record("institution", institution);
}

/// It is about this member.
pub fn member(member: &Member) {
    client(&member.client);
    institution(&member.institution);
    record("member", member.guid);
}

/// It is about the member of that guid.
pub fn member_guid(guid: MemberGuid) {
    record("member", guid);
}

/// It is about this link, as its address says; it is not known yet whether the link exists.
pub fn link(member: MemberGuid, window: OauthStateGuid) {
    record("member", member);
    record("oauth_state", window);
}

/// It is about this window.
pub fn window(window: &Window) {
    client(&window.client);
    link(window.member, window.guid);
}

/// It is about this window of this member.
pub fn subject(window: &Window, about: &Member) {
    member(about);
    record("oauth_state", window.guid);
}

/// It is about this attempt, whose support code its person sees at the end.
pub fn attempt(attempt: &AttemptId) {
    record("attempt", attempt);
    record("support_code", SupportCode::of(attempt));
}

/// Its person sees this code, on a page that belongs to no attempt.
pub fn support_code(code: &SupportCode) {
    record("support_code", code);
}

/// It is about this job.
pub fn job(job: &Job) {
    client(&job.client);
    institution(&job.institution);
    record("member", job.member);
    record("job", job.guid);
    record("tries", job.attempt);
}

/// It is about this event.
pub fn event(event: &Event) {
    member(&event.member);
    record("event", event.guid);
    record("kind", event.kind.name());
    record("tries", event.attempt);
    if let Some(window) = &event.window {
        record("oauth_state", window.guid);
    }
    if let Some((job, _)) = &event.job {
        record("job", job);
    }
}

/// It calls this address. A line has only host and port, because the rest may hold a secret.
pub fn endpoint(url: &Url) {
    let host = url.host().unwrap_or(Host::Domain(""));
    match url.port() {
        Some(port) => record("endpoint_host", format_args!("{host}:{port}")),
        None => record("endpoint_host", host),
    }
}

/// The institution was called with these ids; of several calls, those of the last one are on later lines.
pub fn call(interaction_id: Option<&str>, trace_id: Option<&str>) {
    for (field, id) in [("interaction_id", interaction_id), ("trace_id", trace_id)] {
        if let Some(id) = id {
            record(field, id);
        }
    }
}
