//! finish: where a person goes at the end of a flow, and what the pages may say.

use std::time::Duration;

use super::{Gateway, Internal};
use crate::domain::id::AttemptId;
use crate::domain::return_address::{Outcome, ReturnTo};
use crate::domain::window::{Binding, ReferralSource, WindowStatus};
use crate::log_context;
use crate::store::AttemptRecord;

/// How long an outcome page waits for an exchange that is under way, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// What the outcome page shows.
pub enum Finish {
    /// The flow ended; where it returns to, if not here.
    Over {
        /// The attempt and its window.
        record: Box<AttemptRecord>,
        /// The address in the client's app, with the outcome added.
        back: Option<String>,
    },
    /// The exchange is still under way.
    UnderWay,
    /// The browser did not begin this attempt.
    NotYours(Box<AttemptRecord>),
    /// There is no such attempt.
    Unknown,
}

/// The outcome of an attempt, for the browser that began it. Waits a little while one is coming.
pub async fn finish(
    gateway: &Gateway,
    attempt: &AttemptId,
    browser: &[Binding],
) -> Result<Finish, Internal> {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let Some(record) = gateway.store.attempt(attempt).await? else {
            return Ok(Finish::Unknown);
        };
        log_context::attempt(attempt);
        log_context::window(&record.window);
        if let Some(member) = &record.member {
            log_context::subject(&record.window, member);
        }
        let own = |binding: &Binding| {
            binding.attempt == attempt.cookie_part() && binding.digest.matches(&record.binding)
        };
        if !browser.iter().any(own) {
            return Ok(Finish::NotYours(Box::new(record)));
        }
        if record.window.status.is_finished() {
            let back = back(gateway, &record);
            return Ok(Finish::Over {
                record: Box::new(record),
                back,
            });
        }
        let is_coming = record.window.status == WindowStatus::Returned;
        // Its deadline has passed before the sweeper came: make it true now.
        if !is_coming && gateway.now() >= record.window.deadline {
            super::deadlines::expire(gateway, &record.window).await?;
            continue;
        }
        if !is_coming || tokio::time::Instant::now() >= until {
            return Ok(Finish::UnderWay);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The place in the client's app that a finished flow returns to, if it is still registered.
fn back(gateway: &Gateway, record: &AttemptRecord) -> Option<String> {
    let window = &record.window;
    let client = gateway.clients.get(&window.client)?;
    if window.options.referral_source == ReferralSource::Browser {
        return None;
    }
    let outcome = Outcome {
        member: window.inbound.unwrap_or(window.member),
        outbound: window.is_of_another().then_some(window.member),
        error: window.status.error_reason(),
    };
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
