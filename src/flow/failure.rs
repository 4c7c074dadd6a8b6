//! How a window ends without a connection.

use super::report::{self, Evidence};
use super::{Gateway, Internal};
use crate::domain::event::EventKind;
use crate::domain::id::MemberGuid;
use crate::domain::member::Member;
use crate::domain::window::{Ending, ErrorReason, Window, WindowStatus};
use crate::log_context;
use crate::metrics;
use crate::oauth::{Meaning, SetupFault};
use crate::store::{Failure, Subject};

/// Why a window ends without a connection.
pub(super) struct FailureCause {
    /// The reason for the person and the member service.
    pub(super) reason: ErrorReason,
    /// How the window ends.
    pub(super) ending: Ending,
    /// The member that the login belongs to, if that is the cause.
    pub(super) inbound: Option<MemberGuid>,
    /// For the operator.
    pub(super) detail: String,
    /// What the operator has to correct, if that is the cause.
    pub(super) setup: Option<SetupFault>,
}

impl FailureCause {
    /// What a failure of the protocol means.
    pub(super) fn of(meaning: Meaning, detail: String) -> Self {
        match meaning {
            Meaning::Reason(reason) => Self::new(reason, detail),
            Meaning::NotSetUp(setup) => Self {
                ending: Ending::NotSetUp,
                setup: Some(setup),
                ..Self::new(ErrorReason::ServerError, detail)
            },
        }
    }

    /// The institution refused or failed, or the gateway failed.
    pub(super) fn new(reason: ErrorReason, detail: String) -> Self {
        Self {
            reason,
            ending: Ending::Failed,
            inbound: None,
            detail,
            setup: None,
        }
    }
}

/// Ends the window for that cause, and keeps what its attempt heard.
pub(super) async fn fail(
    gateway: &Gateway,
    subject: &Subject,
    evidence: &Evidence,
    cause: FailureCause,
) -> Result<(), Internal> {
    let (window, member) = (&subject.window, &subject.member);
    let FailureCause {
        reason,
        ending,
        inbound,
        detail,
        setup,
    } = cause;
    if let Some(setup) = setup {
        tell_operator(gateway, metrics::of(member), setup, &detail);
    }
    tracing::warn!(reason = reason.name(), detail, "flow failed");
    let failure = Failure {
        report: report::new(gateway, subject, evidence, reason, &detail),
        detail: Some(detail),
        inbound,
        ..failure(gateway, window, reason, ending)
    };
    let store = &gateway.store;
    store
        .fail_window_persistently(&failure, gateway.now())
        .await?;
    tell(gateway, window, Some(member), reason);
    Ok(())
}

/// Ends an unfinished window for a cause that is not the institution's, with an event and a count;
/// `false` if something else ended it first, or it is no longer in the status that `only_in` names.
pub(super) async fn end(
    gateway: &Gateway,
    window: &Window,
    reason: ErrorReason,
    ending: Ending,
    only_in: Option<WindowStatus>,
) -> Result<bool, Internal> {
    log_context::window(window);
    let member = gateway.store.member(window.user, window.member).await?;
    if let Some(member) = &member {
        log_context::member(member);
    }
    let failure = Failure {
        only_in,
        ..failure(gateway, window, reason, ending)
    };
    let ended = gateway.store.fail_window(&failure, gateway.now()).await?;
    if ended.is_some() {
        tell(gateway, window, member.as_ref(), reason);
    }
    Ok(ended.is_some())
}

/// The step, with only the fields that every failure has.
fn failure(gateway: &Gateway, window: &Window, reason: ErrorReason, ending: Ending) -> Failure {
    let kinds = [EventKind::OauthStateFinished];
    let finished = gateway.clients.get(&window.client).map(|client| {
        let partition = window.guid.partition();
        gateway.notices(client, &kinds, partition)
    });
    Failure {
        window: window.guid,
        reason,
        ending,
        only_in: None,
        detail: None,
        inbound: None,
        finished: finished.unwrap_or_default(),
        report: None,
    }
}

/// Counts a flow that ended so.
pub(super) fn tell(
    gateway: &Gateway,
    window: &Window,
    member: Option<&Member>,
    reason: ErrorReason,
) {
    let institution = member.map_or(metrics::OTHER, |member| member.institution.as_str());
    let labels = [window.client.as_str(), institution, reason.name()];
    gateway.metrics.flows_failed.count(labels);
}

/// Logs and counts that nobody can connect the member's institution before the operator has corrected
/// something.
pub(super) fn tell_operator(
    gateway: &Gateway,
    [client, institution]: [&str; 2],
    setup: SetupFault,
    detail: &str,
) {
    match setup {
        SetupFault::ClientRefused => {
            tracing::error!(detail, "the institution refused this client");
        }
        SetupFault::Tls => {
            tracing::error!(detail, "no trusted connection (TLS) to the institution");
        }
        SetupFault::Configuration => {
            tracing::error!(
                detail,
                "the institution cannot be called as it is configured"
            );
        }
    }
    let counters = &gateway.metrics.institution_not_set_up;
    counters.count([client, institution, setup.name()]);
}
