//! "Try again": after an error, a new window for the same member in the same browser.

use std::sync::Arc;
use std::time::Duration;

use super::maintenance;
use super::open::{ClosedLink, Departing, Departure};
use super::{Gateway, Internal};
use crate::domain::id::{AttemptId, OauthStateGuid};
use crate::domain::secret::LinkToken;
use crate::domain::window::{Binding, NewWindow, ReferralSource, Window};
use crate::log_context;
use crate::metrics;
use crate::store::{Retried, Retry, StoreError, Subject};

/// What pressing "Try again" leads to.
pub enum Again {
    /// To the institution.
    Depart(Departure),
    /// The attempt is not this browser's, or has nothing to try again.
    Refused,
    /// The institution is not used for now; the attempt stays as it is.
    Closed(Box<ClosedLink>),
    /// Three tries were made, or their time is over, or a newer link exists, or the user is disabled.
    NoRetriesLeft,
}

/// Starts a new window after `failed`, in BROWSER flows only.
pub async fn retry(
    gateway: &Arc<Gateway>,
    failed: &AttemptId,
    browser: Vec<Binding>,
) -> Result<Again, Internal> {
    let now = gateway.now();
    let Some(record) = gateway.store.attempt(failed).await? else {
        return Ok(Again::Refused);
    };
    log_context::attempt(failed);
    log_context::window(&record.window);
    if record.window.options.referral_source == ReferralSource::App {
        return Ok(Again::Refused);
    }
    let Window { client, user, .. } = &record.window;
    let user = gateway.store.user(client, *user).await?;
    if user.is_some_and(|user| user.is_disabled) && record.is_held_by(failed, &browser) {
        return Ok(Again::NoRetriesLeft);
    }
    if let Some(member) = &record.member
        && record.is_held_by(failed, &browser)
        && maintenance::closed(gateway, &member.institution).is_some()
    {
        let subject = Subject {
            window: record.window,
            member: member.clone(),
        };
        return Ok(Again::Closed(Box::new(ClosedLink::of(gateway, subject))));
    }
    // The link of a retried window is made and thrown away: nobody but this browser gets to it.
    let token = LinkToken::new(gateway.random.as_ref(), failed.partition());
    let guid = OauthStateGuid::of(&token);
    let usual = gateway.settings.authorization_ttl;
    let minutes = record.window.options.authorization_minutes;
    let wait = minutes.map_or(usual, |minutes| {
        Duration::from_secs(u64::from(minutes) * 60)
    });
    let departing = Departing::new(gateway, guid, now + wait);
    let window = NewWindow {
        guid,
        options: record.window.options,
        deadline: departing.attempt.deadline,
    };
    let retry = Retry {
        failed: failed.clone(),
        browser,
        window,
        attempt: departing.attempt.clone(),
    };
    let retried = match gateway.store.retry_window(&retry, now).await {
        Err(error @ StoreError::Unavailable(_)) => {
            return Ok(Again::Depart(departing.into_the_unknown(gateway, error)));
        }
        retried => retried?,
    };
    Ok(match retried {
        Retried::Claimed(subject) => {
            log_context::subject(&subject.window, &subject.member);
            log_context::attempt(&departing.attempt.id);
            tracing::info!(previous_oauth_state = %record.window.guid, "tried again");
            gateway
                .metrics
                .flows_retried
                .count(metrics::of(&subject.member));
            Again::Depart(departing.into_departure(gateway, &subject).await?)
        }
        Retried::Refused => Again::Refused,
        Retried::NoRetriesLeft => Again::NoRetriesLeft,
    })
}
