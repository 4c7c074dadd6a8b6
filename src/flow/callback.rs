//! callback: an institution's answer → exactly one exchange, or a named refusal.
//!
//! The order is: issuer, attempt, path, settled, binding, and only then error or code. All but the
//! first are one store step, so a forged answer costs a real flow nothing and reaches no bank.

use std::sync::Arc;
use std::time::Duration;

use super::connect;
use super::open::{attempt_context, means};
use super::{Gateway, Internal};
use crate::domain::client::{Client, Registration};
use crate::domain::event::EventKind;
use crate::domain::id::{AttemptId, ClientId, InstitutionCode, MemberGuid};
use crate::domain::institution::{Institution, OAuth, ResponseMode};
use crate::domain::secret::AnswerHandle;
use crate::domain::window::{Binding, Ending, ErrorReason};
use crate::log_context;
use crate::metrics;
use crate::oauth::{
    self, Answer, AttemptSecrets, AuthorizationCode, Callback, ExchangeError, Granted,
};
use crate::store::seal::{Context, Field};
use crate::store::{Claim, Claimed, Failure, Subject};

/// How long an answer that came by POST waits for the GET that follows it.
const HELD_ANSWER_TTL: Duration = Duration::from_secs(120);

/// What goes with an answer when it is sealed; its handle is drawn at random for it alone.
const ANSWER: Context<'static> = Context {
    client: None,
    subject: "",
    field: Field::Answer,
};

/// Where an answer arrived: the path of a registration's redirect URI.
#[derive(Clone)]
pub struct Door {
    /// The client the path names.
    pub client: Arc<Client>,
    /// The institution the path names.
    pub institution: Arc<Institution>,
}

impl Door {
    /// The registration at that path, if there is one.
    pub fn find(gateway: &Gateway, client: &str, institution: &str) -> Option<Self> {
        let client: ClientId = client.parse().ok()?;
        let institution: InstitutionCode = institution.parse().ok()?;
        let door = Self {
            client: gateway.clients.get(&client)?.clone(),
            institution: gateway.institutions.get(&institution)?.clone(),
        };
        log_context::client(&client);
        log_context::institution(&institution);
        means(&door.client, &door.institution)
            .is_ok()
            .then_some(door)
    }

    /// How answers travel to it.
    pub fn response_mode(&self) -> ResponseMode {
        self.institution
            .oauth
            .as_ref()
            .map(|oauth| oauth.response_mode)
            .unwrap_or_default()
    }
}

/// What an answer led to.
#[derive(Debug, PartialEq)]
pub enum Taken {
    /// Its attempt is known: the outcome page tells the browser that began it what happened.
    Known(AttemptId),
    /// It names no attempt at this path, or another issuer. Nothing was done.
    Unreadable,
}

/// An institution's answer arrives in a browser.
///
/// Of any number of deliveries of one answer exactly one is exchanged. The exchange goes on when
/// the browser that delivered it goes away.
pub async fn callback(
    gateway: &Arc<Gateway>,
    door: &Door,
    callback: Callback,
    browser: Vec<Binding>,
) -> Result<Taken, Internal> {
    let _timing = gateway.metrics.callback.start([]);
    let (oauth, registration) = means(&door.client, &door.institution)?;
    if let Err(mismatch) = oauth::check_issuer(oauth, callback.iss.as_deref()) {
        tracing::warn!(%mismatch, "authorization response of another issuer refused");
        return Ok(Taken::Unreadable);
    }
    let attempt = AttemptId::of(&callback.state);
    let claim = Claim {
        attempt: attempt.clone(),
        client: door.client.id.clone(),
        institution: door.institution.code.clone(),
        browser,
        unbound: registration.unbound_callback,
        burnt: gateway.notices(
            &door.client,
            &[EventKind::OauthStateFinished],
            attempt.partition(),
        ),
    };
    log_context::attempt(&attempt);
    let claimed = gateway.store.claim_callback(&claim, gateway.now()).await?;
    match claimed {
        Claimed::Unknown => return Ok(Taken::Unreadable),
        Claimed::Settled => {}
        Claimed::Ignored => {
            tracing::warn!("authorization response arrived in another browser; nothing was done");
        }
        Claimed::Yes { subject, sealed } => {
            log_context::subject(&subject.window, &subject.member);
            let exchange = exchange(
                gateway.clone(),
                door.clone(),
                attempt.clone(),
                *subject,
                sealed,
                callback.answer,
            );
            gateway
                .spawn(exchange)
                .await
                .map_err(|_| Internal::Interrupted)??;
        }
        Claimed::Burnt { subject, sealed } => {
            log_context::subject(&subject.window, &subject.member);
            tracing::warn!("authorization response arrived in another browser; attempt ended");
            let counters = &gateway.metrics.responses_in_another_browser;
            counters.count(metrics::of(&subject.member));
            gateway.wake_worker();
            let burn = burn(
                gateway.clone(),
                door.clone(),
                attempt.clone(),
                sealed,
                callback.answer,
            );
            gateway.spawn(burn);
        }
    }
    Ok(Taken::Known(attempt))
}

async fn exchange(
    gateway: Arc<Gateway>,
    door: Door,
    attempt: AttemptId,
    subject: Subject,
    sealed: Vec<u8>,
    answer: Answer,
) -> Result<(), Internal> {
    let (oauth, registration) = means(&door.client, &door.institution)?;
    if let Some((reason, detail)) = answer.refusal(oauth) {
        return fail(&gateway, &door, &subject, Fault::new(reason, detail)).await;
    }
    let Answer::Code(code) = answer else {
        return Ok(());
    };
    let Some(secrets) = unseal(&gateway, &attempt, &sealed) else {
        let detail = "the attempt's secrets could not be unsealed".to_owned();
        let fault = Fault::new(ErrorReason::ServerError, detail);
        return fail(&gateway, &door, &subject, fault).await;
    };
    match redeem(&gateway, &door, (oauth, registration), &code, &secrets).await {
        Ok(granted) => connect::connect(&gateway, &door, &subject, granted).await,
        Err(error) => {
            let fault = Fault::new(error.reason(oauth), error.to_string());
            fail(&gateway, &door, &subject, fault).await
        }
    }
}

/// Redeems a code at the institution's token endpoint.
async fn redeem(
    gateway: &Gateway,
    door: &Door,
    (oauth, registration): (&OAuth, &Registration),
    code: &AuthorizationCode,
    secrets: &AttemptSecrets,
) -> Result<Granted, ExchangeError> {
    let labels = [door.client.id.as_str(), door.institution.code.as_str()];
    let _timing = gateway.metrics.token_endpoint.start(labels);
    let now = gateway.now();
    gateway
        .oauth
        .exchange(oauth, registration, code, secrets, now)
        .await
}

/// Why an answer connects nothing.
pub(super) struct Fault {
    /// What the person and the member service are told.
    pub(super) reason: ErrorReason,
    /// How the window ends.
    pub(super) ending: Ending,
    /// The member that the login belongs to, where that is why.
    pub(super) inbound: Option<MemberGuid>,
    /// For the operator.
    pub(super) detail: String,
}

impl Fault {
    /// The institution answered, or could not, or our own work failed.
    pub(super) fn new(reason: ErrorReason, detail: String) -> Self {
        Self {
            reason,
            ending: Ending::Failed,
            inbound: None,
            detail,
        }
    }
}

/// Ends the window as that fault says.
pub(super) async fn fail(
    gateway: &Gateway,
    door: &Door,
    subject: &Subject,
    fault: Fault,
) -> Result<(), Internal> {
    let window = subject.window.guid;
    let Fault {
        reason,
        ending,
        inbound,
        detail,
    } = fault;
    tracing::warn!(reason = reason.name(), detail, "flow failed");
    let finished = gateway.notices(
        &door.client,
        &[EventKind::OauthStateFinished],
        window.partition(),
    );
    let failure = Failure {
        window,
        reason,
        ending,
        detail: Some(detail),
        inbound,
        finished,
    };
    connect::persistently(|| Box::pin(gateway.store.fail_window(&failure, gateway.now()))).await?;
    let [client, institution] = metrics::of(&subject.member);
    let counters = &gateway.metrics.flows_failed;
    counters.count([client, institution, reason.name()]);
    gateway.wake_worker();
    Ok(())
}

/// Redeems the code and gives back what it yields, so that nobody else can use it either.
async fn burn(
    gateway: Arc<Gateway>,
    door: Door,
    attempt: AttemptId,
    sealed: Vec<u8>,
    answer: Answer,
) {
    let Ok((oauth, registration)) = means(&door.client, &door.institution) else {
        return;
    };
    let Answer::Code(code) = answer else { return };
    if oauth.revocation_endpoint.is_none() {
        return;
    }
    let Some(secrets) = unseal(&gateway, &attempt, &sealed) else {
        return;
    };
    match redeem(&gateway, &door, (oauth, registration), &code, &secrets).await {
        Ok(granted) => connect::give_back(&gateway, &door, &granted.grant).await,
        Err(error) => tracing::warn!(%error, "the code of an ended attempt could not be redeemed"),
    }
}

fn unseal(gateway: &Gateway, attempt: &AttemptId, sealed: &[u8]) -> Option<AttemptSecrets> {
    match gateway.sealer.open(&attempt_context(attempt), sealed) {
        Ok(bytes) => AttemptSecrets::from_bytes(&bytes),
        Err(error) => {
            tracing::error!(%error, "an attempt's secrets could not be unsealed");
            None
        }
    }
}

/// What became of an answer that came by POST.
pub enum Held {
    /// It waits under this handle.
    Under(AnswerHandle),
    /// Its attempt awaits no more answers.
    Settled(AttemptId),
    /// It names no attempt of ours.
    Unreadable,
}

/// Keeps an answer that came by POST, where no Lax cookie comes along, for the GET that follows it
/// (OAuth 2.0 Form Post Response Mode section 2).
pub async fn hold(gateway: &Gateway, callback: &Callback) -> Result<Held, Internal> {
    let attempt = AttemptId::of(&callback.state);
    let random = gateway.random.as_ref();
    let handle = AnswerHandle::new(random, attempt.partition());
    let sealed = gateway.sealer.seal(random, &ANSWER, &callback.to_bytes());
    let expires_at = gateway.now() + HELD_ANSWER_TTL;
    let store = &gateway.store;
    if store
        .hold_answer(&attempt, handle.digest(), &sealed, expires_at)
        .await?
    {
        return Ok(Held::Under(handle));
    }
    let is_known = store.attempt(&attempt).await?.is_some();
    Ok(if is_known {
        Held::Settled(attempt)
    } else {
        Held::Unreadable
    })
}

/// The answer held under `handle`, unless it has expired.
pub async fn held(gateway: &Gateway, handle: &AnswerHandle) -> Result<Option<Callback>, Internal> {
    let sealed = gateway
        .store
        .held_answer(handle.partition(), handle.digest(), gateway.now())
        .await?;
    let Some(sealed) = sealed else {
        return Ok(None);
    };
    let bytes = gateway.sealer.open(&ANSWER, &sealed).ok();
    Ok(bytes.and_then(|bytes| Callback::from_bytes(&bytes)))
}
