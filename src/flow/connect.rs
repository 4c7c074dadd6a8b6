//! connect: a token set → the member CONNECTED, the token set sealed, the state SUCCESS, events and job,
//! in one atomic step.

use std::sync::Arc;

use tokio::time::Instant;

use super::calls::Call;
use super::failure::{FailureCause, fail};
use super::registration::CallbackEndpoint;
use super::report::Evidence;
use super::{Gateway, Internal, background, refresh, revoke};
use crate::domain::client::Duplicates;
use crate::domain::event::EventKind;
use crate::domain::id::{JobGuid, MemberGuid};
use crate::domain::institution::{OAuth, SubjectSource};
use crate::domain::job::NewJob;
use crate::domain::secret::Digest;
use crate::domain::token_set::TokenSet;
use crate::domain::window::{Ending, ErrorReason, WindowStatus};
use crate::metrics;
use crate::oauth::{Exchanged, IdentifyError, Issued};
use crate::store::{Committed, Connection, SETTLING, StoreError, Subject};

/// How often a token set is sealed for the member that has its login: that member may lose the login in
/// the meantime.
const MERGES: usize = 3;

/// A token set that is to become a member's.
pub(super) struct Grant {
    /// The tokens.
    pub(super) token_set: TokenSet,
    /// What the login may be known by; empty: it is not compared.
    pub(super) fingerprints: Vec<Digest>,
    /// Whether the window holds them, and gives them back when it ends without them.
    pub(super) is_held: bool,
}

/// The token set of an exchange, with the fingerprints of its login. If it cannot be learnt who signed in, the window ends
/// and the tokens are revoked: `None`. `call` is given up once the institution has said it.
pub(super) async fn identified(
    gateway: &Arc<Gateway>,
    endpoint: &CallbackEndpoint,
    subject: &Subject,
    evidence: &Evidence,
    exchanged: Exchanged,
    call: Call<'_>,
) -> Result<Option<Grant>, Internal> {
    let fingerprints = fingerprints(gateway, endpoint, subject, evidence, &exchanged).await;
    drop(call);
    let grant = |fingerprints| Grant {
        token_set: exchanged.token_set,
        fingerprints,
        is_held: false,
    };
    match fingerprints {
        Ok(fingerprints) => Ok(Some(grant(fingerprints))),
        Err(error) => {
            let meaning = error.meaning(endpoint.registered().oauth);
            let cause = FailureCause::of(meaning, error.to_string());
            let grant = grant(Vec::new());
            reject(gateway, endpoint, subject, (evidence, &grant), cause).await?;
            Ok(None)
        }
    }
}

/// Commits the token set for the window's member or, if the client's policy is `merge`, for the member
/// that has this login already.
///
/// If the window ended meanwhile (superseded, expired, deleted), or the login may not be connected here,
/// nothing is kept and the tokens are revoked.
pub(super) async fn connect(
    gateway: &Arc<Gateway>,
    endpoint: &CallbackEndpoint,
    subject: &Subject,
    evidence: &Evidence,
    grant: &Grant,
) -> Result<(), Internal> {
    let mut inbound = None;
    for _ in 0..=MERGES {
        let Some(connection) = connection(gateway, endpoint, subject, inbound, grant).await? else {
            inbound = None;
            continue;
        };
        let committed = match commit(gateway, &connection).await {
            Ok(committed) => committed,
            Err(error) => {
                tracing::error!(%error, "the connection could not be kept; its tokens are given back");
                give_back(gateway, endpoint, subject, grant).await;
                return Err(error.into());
            }
        };
        match committed {
            Committed::Connected(subject) => {
                let labels = metrics::of(&subject.member);
                gateway.metrics.members_connected.count(labels);
                let outbound_member = subject.window.member;
                tracing::info!(member = %subject.member.guid, %outbound_member, "member connected");
                return Ok(());
            }
            Committed::Duplicate(existing) if endpoint.client.duplicates == Duplicates::Merge => {
                inbound = Some(existing);
            }
            Committed::Duplicate(existing) => {
                let cause = FailureCause {
                    reason: ErrorReason::UnknownError,
                    ending: Ending::Duplicate,
                    inbound: Some(existing),
                    detail: "the login is connected already, and the client refuses duplicates"
                        .to_owned(),
                    setup: None,
                };
                return reject(gateway, endpoint, subject, (evidence, grant), cause).await;
            }
            Committed::OtherLogin => {
                let cause = FailureCause {
                    reason: ErrorReason::UnknownError,
                    ending: Ending::OtherLogin,
                    inbound: None,
                    detail: "the member belongs to another login".to_owned(),
                    setup: None,
                };
                return reject(gateway, endpoint, subject, (evidence, grant), cause).await;
            }
            Committed::Moved => inbound = None,
            // It ended with what it held, or another confirmation was faster.
            Committed::WindowClosed if grant.is_held => return Ok(()),
            Committed::WindowClosed => {
                tracing::warn!("window ended during the exchange; its tokens are revoked");
                give_back(gateway, endpoint, subject, grant).await;
                return Ok(());
            }
        }
    }
    let detail = "the login moved between members while it was connected".to_owned();
    let cause = FailureCause::new(ErrorReason::ServerError, detail);
    reject(gateway, endpoint, subject, (evidence, grant), cause).await
}

/// Commits a connection, again and again until the window is over: the tokens cannot be obtained a second time.
async fn commit(gateway: &Gateway, connection: &Connection) -> Result<Committed, StoreError> {
    let begun = Instant::now();
    loop {
        let committed = gateway.store.commit_connected(connection, gateway.now());
        match committed.await {
            Err(StoreError::Unavailable(_)) if begun.elapsed() < SETTLING => {
                tracing::warn!("the store is away; the commit is sent again");
            }
            committed => return committed,
        }
    }
}

/// Ends the window first, because its person waits for that, and then revokes the tokens.
async fn reject(
    gateway: &Arc<Gateway>,
    endpoint: &CallbackEndpoint,
    subject: &Subject,
    (evidence, grant): (&Evidence, &Grant),
    cause: FailureCause,
) -> Result<(), Internal> {
    let ended = fail(gateway, subject, evidence, cause).await;
    give_back(gateway, endpoint, subject, grant).await;
    ended
}

/// Revokes the tokens, unless the window does that.
pub(super) async fn give_back(
    gateway: &Arc<Gateway>,
    endpoint: &CallbackEndpoint,
    subject: &Subject,
    grant: &Grant,
) {
    if !grant.is_held {
        let issued = Issued::from(&grant.token_set);
        revoke::give_back(gateway, endpoint, subject.member.guid, &issued).await;
    }
}

/// The login's fingerprints; empty if the client allows duplicates (then the institution is not asked),
/// or if the institution does not say who signed in.
async fn fingerprints(
    gateway: &Gateway,
    endpoint: &CallbackEndpoint,
    subject: &Subject,
    evidence: &Evidence,
    exchanged: &Exchanged,
) -> Result<Vec<Digest>, IdentifyError> {
    if endpoint.client.duplicates == Duplicates::Allow {
        return Ok(Vec::new());
    }
    let at = endpoint.registered().noted(&evidence.calls);
    let login = gateway.oauth.identify(at, exchanged, gateway.now()).await?;
    let (user, institution) = (subject.member.user, &endpoint.institution.code);
    Ok(login.map_or_else(Vec::new, |login| {
        gateway
            .sealer
            .fingerprints(user, institution, &source(at.oauth), &login)
    }))
}

/// Which source named the login: a login that one field names is not compared with one that
/// another field named.
pub(super) fn source(oauth: &OAuth) -> String {
    match &oauth.subject {
        None => String::new(),
        Some(SubjectSource::TokenResponse { field }) => format!("token answer: {field}"),
        Some(SubjectSource::Identify { endpoint, field }) => format!("{endpoint}: {field}"),
        // Who somebody is at one issuer says nothing of another one.
        Some(SubjectSource::IdToken { field }) => {
            let issuer = oauth.issuer.as_deref().unwrap_or_default();
            format!("id token of {issuer}: {field}")
        }
    }
}

/// The connection of the window's member or of `inbound`; `None`: that member was deleted.
async fn connection(
    gateway: &Gateway,
    endpoint: &CallbackEndpoint,
    subject: &Subject,
    inbound: Option<MemberGuid>,
    grant: &Grant,
) -> Result<Option<Connection>, Internal> {
    let (window, outbound) = (&subject.window, &subject.member);
    let receiving = match inbound {
        None => outbound.clone(),
        Some(inbound) => {
            let store = &gateway.store;
            let found = store.member_persistently(outbound.user, inbound).await?;
            let Some(found) = found else { return Ok(None) };
            found
        }
    };
    // The values given when this link was made are newer, and so is the callback payload.
    let asked = match outbound.data_request.is_empty() {
        true => receiving.data_request.clone(),
        false => outbound.data_request.clone(),
    };
    let callback_payload = inbound.and(outbound.callback_payload.clone());
    let partition = outbound.guid.partition();
    let random = gateway.random.as_ref();
    let skipped = window
        .options
        .skip_aggregation
        .map_or(!outbound.aggregates_by_default(), |skip| skip);
    let is_wanted = !skipped && receiving.is_for_pfm();
    let job = (is_wanted && endpoint.client.aggregator.is_some()).then(|| NewJob {
        guid: JobGuid::new(random, partition),
        data_request: asked,
        is_background: false,
    });
    let notices = |kind| gateway.notices(&endpoint.client, &[kind], partition);
    Ok(Some(Connection {
        window: window.guid,
        only_in: match grant.is_held {
            true => WindowStatus::Authorized,
            false => WindowStatus::Returned,
        },
        outbound: outbound.guid,
        inbound,
        fingerprints: grant.fingerprints.clone(),
        tokens: refresh::sealed(gateway, endpoint, receiving.guid, &grant.token_set),
        revokes_replaced: endpoint.registered().oauth.revoke_replaced,
        job,
        background_due: background::next(gateway, &receiving.client, &receiving.institution),
        callback_payload,
        deleted: match inbound {
            None => Vec::new(),
            Some(_) => notices(EventKind::MemberDeleted),
        },
        updated: notices(EventKind::MemberUpdated),
        finished: notices(EventKind::OauthStateFinished),
    }))
}
