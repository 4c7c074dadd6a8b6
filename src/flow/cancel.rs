//! cancel: a person decides on a page of ours not to connect.

use std::sync::Arc;

use super::open::{Arrival, open};
use super::{Gateway, Internal, failure, finish};
use crate::domain::id::{AttemptId, MemberGuid};
use crate::domain::secret::LinkToken;
use crate::domain::window::{Binding, Ending, ErrorReason, Window, WindowStatus};
use crate::store::{Subject, VisitKind};

/// "Do not connect": ends an attempt that still waits for the institution as CANCELLED. If it has ended
/// already, or its authorization response has come, it stays as it is. `false`: it is not this browser's.
pub async fn cancel(
    gateway: &Gateway,
    attempt: &AttemptId,
    browser: &[Binding],
) -> Result<bool, Internal> {
    let record = gateway.store.attempt(attempt).await?;
    let Some(record) = record.filter(|record| record.is_held_by(attempt, browser)) else {
        return Ok(false);
    };
    if record.is_unanswered() {
        end(gateway, &record.window).await?;
    }
    Ok(true)
}

/// What "Not now" led to.
pub enum Declined {
    /// The link is used up, and nobody went to the institution.
    Cancelled {
        /// The window as it ended, and its member.
        subject: Box<Subject>,
        /// The place in the client's app that it returns to, with the outcome.
        back: Option<String>,
    },
    /// There was nothing to decline any more.
    No(Arrival),
}

/// "Not now", on the page of an `interstitial` link: the window ends as CANCELLED before anybody went to
/// the institution, so there is nothing to try again.
pub async fn decline(
    gateway: &Arc<Gateway>,
    member: MemberGuid,
    token: &LinkToken,
    browser: Vec<Binding>,
) -> Result<Declined, Internal> {
    let mut subject = match open(gateway, member, token, VisitKind::Look, browser.clone()).await? {
        Arrival::AskFirst(subject) => subject,
        other => return Ok(Declined::No(other)),
    };
    if !end(gateway, &subject.window).await? {
        let arrival = open(gateway, member, token, VisitKind::Look, browser).await?;
        return Ok(Declined::No(arrival));
    }
    subject.window.status = WindowStatus::Errored(ErrorReason::Cancelled, Ending::Failed);
    let back = finish::back(gateway, &subject.window);
    Ok(Declined::Cancelled { subject, back })
}

/// Ends the window if it is still as the page showed it. If another browser has opened it since, or an
/// authorization response has come, nothing is changed. `false`: it is not.
async fn end(gateway: &Gateway, window: &Window) -> Result<bool, Internal> {
    let (reason, seen) = (ErrorReason::Cancelled, Some(window.status));
    let ended = failure::end(gateway, window, reason, Ending::Failed, seen).await?;
    if ended {
        tracing::info!("cancelled on a page of ours");
    }
    Ok(ended)
}
