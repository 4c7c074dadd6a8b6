//! completion: a member service confirms that the person who came back is the one its link was made for.
//!
//! The handle travels through the browser, so whoever came back has it. What protects is that the member service says
//! which user's session it came from: after a forwarded link that is another one than the window's.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::connect::{Grant, connect};
use super::exchange::exchange;
use super::failure::{FailureCause, fail, tell};
use super::registration::CallbackEndpoint;
use super::report::Evidence;
use super::{Gateway, Internal, redeem, seal_contexts};
use crate::domain::client::{Client, Completion};
use crate::domain::event::EventKind;
use crate::domain::id::{AttemptId, MemberGuid, UserGuid};
use crate::domain::secret::{CompletionHandle, Digest};
use crate::domain::token_set::TokenSet;
use crate::domain::window::{ErrorReason, Window};
use crate::log_context;
use crate::metrics::{self, Confirming};
use crate::store::{Confirmation, Confirmed, Subject};

/// How long a confirmation waits for the institution. After that the caller is told that it goes on.
const PATIENCE: Duration = Duration::from_secs(8);

/// What a confirmation led to.
#[derive(Debug)]
pub enum Completed {
    /// The window as it is: finished, or still being exchanged. The same handle finds the same.
    Confirmed(Box<Window>),
    /// There is no such handle of this client's for that user and member, or it came too late.
    Unknown,
}

/// Confirms with a handle, from the session of that user, for that member; `None` where there is no such one of the
/// client's.
///
/// If the handle is the client's and the user or the member another one, the attempt is ended: what it brought is given
/// back to the institution.
pub async fn confirm(
    gateway: &Arc<Gateway>,
    client: &Client,
    user: Option<UserGuid>,
    member: Option<MemberGuid>,
    handle: &CompletionHandle,
) -> Result<Completed, Internal> {
    let partition = handle.partition();
    let confirmation = Confirmation {
        partition,
        handle: handle.digest(),
        client: client.id.clone(),
        user,
        member,
        misdirected: gateway.notices(client, &[EventKind::OauthStateFinished], partition),
    };
    let confirmed = gateway.store.confirm(&confirmation, gateway.now()).await?;
    let (attempt, finishing) = match confirmed {
        Confirmed::Unknown => {
            tracing::info!("an unknown or late completion handle");
            return Ok(Completed::Unknown);
        }
        Confirmed::Before(window) => return Ok(Completed::Confirmed(window)),
        Confirmed::Misdirected(subject) => {
            log_context::subject(&subject.window, &subject.member);
            tracing::warn!("confirmed for another user or member; attempt ended");
            count(gateway, &subject, Confirming::Misdirected);
            let Subject { window, member } = &*subject;
            tell(gateway, window, Some(member), ErrorReason::SessionError);
            return Ok(Completed::Unknown);
        }
        Confirmed::Code {
            subject,
            attempt,
            response,
            secrets,
        } => {
            let finishing = exchange_confirmed(
                gateway.clone(),
                *subject,
                attempt.clone(),
                response,
                secrets,
            );
            (attempt, gateway.spawn(finishing))
        }
        Confirmed::Tokens {
            subject,
            attempt,
            sealed,
            fingerprints,
        } => {
            let finishing = connect_confirmed(
                gateway.clone(),
                *subject,
                attempt.clone(),
                sealed,
                fingerprints,
            );
            (attempt, gateway.spawn(finishing))
        }
    };
    // Whoever confirms may go away; what was begun goes on.
    if let Ok(finished) = timeout(PATIENCE, finishing).await {
        finished.map_err(|_| Internal::Interrupted)??;
    }
    let record = gateway.store.attempt(&attempt).await?;
    Ok(record.map_or(Completed::Unknown, |record| {
        Completed::Confirmed(Box::new(record.window))
    }))
}

/// Exchanges the code that was confirmed.
async fn exchange_confirmed(
    gateway: Arc<Gateway>,
    subject: Subject,
    attempt: AttemptId,
    response: Vec<u8>,
    secrets: Vec<u8>,
) -> Result<(), Internal> {
    log_context::subject(&subject.window, &subject.member);
    log_context::attempt(&attempt);
    tracing::info!("authorization confirmed");
    count(&gateway, &subject, Confirming::Confirmed);
    let _running = gateway.under_way.begin(attempt.clone());
    let (client, institution) = (&subject.window.client, &subject.member.institution);
    let endpoint = CallbackEndpoint::of(&gateway, client, institution)?;
    let Some(response) = redeem::response(&gateway, &endpoint, &attempt, &response) else {
        let detail = "the authorization response could not be decrypted".to_owned();
        let cause = FailureCause::new(ErrorReason::ServerError, detail);
        let evidence = Evidence::new(&gateway, attempt);
        return fail(&gateway, &subject, &evidence, cause).await;
    };
    let completion = Completion::Immediate;
    exchange(
        &gateway, &endpoint, &subject, &response, &secrets, completion,
    )
    .await
}

/// Connects the member with the token set that was confirmed.
async fn connect_confirmed(
    gateway: Arc<Gateway>,
    subject: Subject,
    attempt: AttemptId,
    sealed: Vec<u8>,
    fingerprints: Vec<Digest>,
) -> Result<(), Internal> {
    log_context::subject(&subject.window, &subject.member);
    tracing::info!("authorization confirmed");
    count(&gateway, &subject, Confirming::Confirmed);
    let (client, institution) = (&subject.window.client, &subject.member.institution);
    let endpoint = CallbackEndpoint::of(&gateway, client, institution)?;
    let evidence = Evidence::new(&gateway, attempt);
    let member = subject.member.guid.to_string();
    let context = seal_contexts::token_set(client, &member);
    let opened = gateway.sealer.open(&context, &sealed);
    let opened = opened.map_err(|error| error.to_string());
    let token_set =
        opened.and_then(|bytes| TokenSet::from_bytes(&bytes).map_err(|error| error.to_string()));
    match token_set {
        Ok(token_set) => {
            let grant = Grant {
                token_set,
                fingerprints,
                is_held: true,
            };
            connect(&gateway, &endpoint, &subject, &evidence, &grant).await
        }
        Err(error) => {
            let detail = format!("the token set could not be read: {error}");
            let cause = FailureCause::new(ErrorReason::ServerError, detail);
            fail(&gateway, &subject, &evidence, cause).await
        }
    }
}

fn count(gateway: &Gateway, subject: &Subject, result: Confirming) {
    let [client, institution] = metrics::of(&subject.member);
    let counters = &gateway.metrics.confirmations;
    counters.count([client, institution, result.name()]);
}
