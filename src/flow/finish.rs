//! finish: where a person goes at the end of a flow, and what the pages may say.

use super::under_way::PATIENCE;
use super::{Gateway, Internal, handles};
use crate::domain::id::AttemptId;
use crate::domain::member::Member;
use crate::domain::return_address::{Outcome, ReturnTo, Standing};
use crate::domain::secret::CompletionHandle;
use crate::domain::window::{Binding, ErrorReason, ReferralSource, Window, WindowStatus};
use crate::log_context;
use crate::store::AttemptRecord;

/// What the outcome page shows.
pub enum Finish {
    /// The flow ended; where it returns to, if not to a page of ours.
    Ended {
        /// The attempt and its window.
        record: Box<AttemptRecord>,
        /// The address in the client's app, with the outcome added.
        back: Option<String>,
    },
    /// The exchange is still under way.
    Connecting(Box<AttemptRecord>),
    /// The member service has to confirm it with the handle that this browser brings.
    Pending {
        /// The attempt and its window.
        record: Box<AttemptRecord>,
        /// The handle.
        handle: CompletionHandle,
        /// The address in the client's app, with the handle added.
        back: Option<String>,
    },
    /// The authorization response has not come: this browser may continue to the institution, or end the
    /// attempt.
    NoResponse(Box<AttemptRecord>),
    /// This browser went on with a newer attempt, in another tab.
    Replaced(Box<AttemptRecord>),
    /// The browser did not begin this attempt.
    NotYours(Box<AttemptRecord>),
    /// There is no such attempt.
    Unknown,
}

/// The outcome of an attempt, for the browser that began it.
///
/// Waits a moment for an exchange that runs in this process, and then reads the store once. For an
/// exchange that another gateway runs, the store is read once too; the page asks again.
pub async fn finish(
    gateway: &Gateway,
    attempt: &AttemptId,
    browser: &[Binding],
) -> Result<Finish, Internal> {
    gateway.under_way.wait(attempt, PATIENCE).await;
    let Some(mut record) = gateway.store.attempt(attempt).await? else {
        return Ok(Finish::Unknown);
    };
    log_context::attempt(attempt);
    log_context::window(&record.window);
    if let Some(member) = &record.member {
        log_context::subject(&record.window, member);
    }
    if !record.is_held_by(attempt, browser) {
        return Ok(Finish::NotYours(Box::new(record)));
    }
    let is_coming = |record: &AttemptRecord| record.window.status == WindowStatus::Returned;
    let is_late =
        |window: &Window| !window.status.is_finished() && gateway.now() >= window.deadline;
    // Its deadline has passed before the sweeper came: end it now.
    if !is_coming(&record) && is_late(&record.window) {
        super::deadlines::expire(gateway, &record.window).await?;
        match gateway.store.attempt(attempt).await? {
            Some(ended) => record = ended,
            None => return Ok(Finish::Unknown),
        }
    }
    let record = Box::new(record);
    Ok(if record.window.status.is_finished() {
        let back = back(gateway, &record.window);
        Finish::Ended { record, back }
    } else if record.is_replaced {
        Finish::Replaced(record)
    } else if record.window.status == WindowStatus::Authorized {
        let sealed = record.handle.as_ref();
        match sealed.and_then(|sealed| handles::read(gateway, attempt, sealed)) {
            Some(handle) => Finish::Pending {
                back: back_pending(gateway, &record.window, &handle),
                handle,
                record,
            },
            None => Finish::Connecting(record),
        }
    } else if is_coming(&record) {
        Finish::Connecting(record)
    } else {
        Finish::NoResponse(record)
    })
}

/// The attempt of that id and its window.
pub async fn attempt(
    gateway: &Gateway,
    attempt: &AttemptId,
) -> Result<Option<AttemptRecord>, Internal> {
    Ok(gateway.store.attempt(attempt).await?)
}

/// The member of an attempt. The one that it began with may have been removed by a merge; then it is the
/// one that has the login, at the same institution.
pub async fn member(gateway: &Gateway, record: &AttemptRecord) -> Result<Option<Member>, Internal> {
    let window = &record.window;
    Ok(match (&record.member, window.inbound) {
        (None, Some(inbound)) => gateway.store.member(window.user, inbound).await?,
        (member, _) => member.clone(),
    })
}

/// The place in the client's app that a finished flow returns to, if it is still registered.
pub(super) fn back(gateway: &Gateway, window: &Window) -> Option<String> {
    back_with(gateway, window, window.status.error_reason())
}

/// The same, with that outcome.
pub(super) fn back_with(
    gateway: &Gateway,
    window: &Window,
    error: Option<ErrorReason>,
) -> Option<String> {
    if window.options.referral_source == ReferralSource::Browser {
        return None;
    }
    own_way(gateway, window, Standing::ended(error))
}

/// The place that a person goes to while a confirmation is awaited, with the handle: the flow's own, or the client's
/// website.
fn back_pending(gateway: &Gateway, window: &Window, handle: &CompletionHandle) -> Option<String> {
    let standing = Standing::Pending(handle);
    let home = || {
        let home = gateway.clients.get(&window.client)?.home.as_ref()?;
        Some(outcome(window, standing).added_to(home.as_str()))
    };
    own_way(gateway, window, standing).or_else(home)
}

fn outcome<'a>(window: &Window, standing: Standing<'a>) -> Outcome<'a> {
    Outcome {
        member: window.inbound.unwrap_or(window.member),
        outbound: window.is_of_another().then_some(window.member),
        standing,
    }
}

/// The place in the client's app that was chosen at mint, if it is still registered.
fn own_way(gateway: &Gateway, window: &Window, standing: Standing<'_>) -> Option<String> {
    let client = gateway.clients.get(&window.client)?;
    let outcome = outcome(window, standing);
    match &window.options.return_to {
        ReturnTo::Page => None,
        ReturnTo::Address(address) => {
            let still_registered = client
                .return_addresses
                .iter()
                .any(|registered| registered.admits(address));
            still_registered.then(|| outcome.added_to(address))
        }
        ReturnTo::Scheme(scheme) => {
            let still_registered = client
                .return_schemes
                .iter()
                .any(|registered| registered.is(scheme));
            still_registered.then(|| outcome.under(scheme))
        }
    }
}
