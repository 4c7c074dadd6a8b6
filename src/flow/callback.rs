//! callback: an institution's answer → exactly one exchange, or a named refusal.
//!
//! The order is: issuer, attempt, path, settled, binding, and only then error or code. All but the
//! first are one store step, so a forged answer costs a real flow nothing and reaches no bank.

use std::sync::Arc;

use super::connect;
use super::open::{attempt_context, means};
use super::persistently::persistently;
use super::under_way::PATIENCE;
use super::unproven::Refused;
use super::{Gateway, Internal};
use crate::domain::client::{Client, Registration, UnboundCallback};
use crate::domain::event::EventKind;
use crate::domain::id::{AttemptId, ClientId, InstitutionCode, MemberGuid};
use crate::domain::institution::{Institution, IssuerRule, OAuth, ResponseMode};
use crate::domain::window::{Browser, Ending, ErrorReason};
use crate::log_context;
use crate::metrics;
use crate::oauth::{
    Answer, AttemptSecrets, Authorized, Callback, Granted, Issued, Meaning, NotGranted, Scrubber,
    SetupFault, words,
};
use crate::store::{Claim, Claimed, Failure, Subject};
use crate::telemetry::STRANGERS;

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

    /// Keeps secrets out of what is said in `raw`, an answer that arrived here; `None` where nothing of
    /// it is to be shown.
    pub fn scrubber(&self, raw: &[u8]) -> Option<Scrubber> {
        Scrubber::of_response(means(&self.client, &self.institution).ok(), raw)
    }

    /// What `raw`, an answer that arrived here, says went wrong: for the log, also where it is refused.
    pub fn words(&self, raw: &[u8]) -> Option<String> {
        words(raw, &self.scrubber(raw)?)
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
pub enum Taken {
    /// Its attempt is known: the outcome page tells the browser that began it what happened.
    Known(AttemptId),
    /// It is not provably ours. Nothing was done.
    Refused(Refused),
}

/// An institution's answer arrives in a browser.
///
/// Of any number of deliveries of one answer exactly one is exchanged. The exchange goes on when
/// the browser that delivered it goes away; it is waited for a moment, and no longer, so that the
/// person gets to a page of ours.
pub async fn callback(
    gateway: &Arc<Gateway>,
    door: &Door,
    callback: Callback,
    browser: Browser,
) -> Result<Taken, Internal> {
    let _timing = gateway.metrics.callback.start([]);
    let (oauth, registration) = means(&door.client, &door.institution)?;
    let attempt = AttemptId::of(&callback.state);
    log_context::attempt(&attempt);
    let iss = callback.iss.as_deref();
    if let Err(mismatch) = callback.check_issuer(oauth, registration) {
        return Ok(Taken::Refused(mismatch.into()));
    }
    // A cookie that cannot be read may be the right one: what is unknown burns nothing.
    let part = attempt.cookie_part();
    let is_unknown = browser.unreadable.iter().any(|it| it == part);
    // Without the issuer that a code would need, only its own browser vouches for an error.
    let is_half_proven = iss.is_none() && oauth.iss == IssuerRule::RequiredWithCode;
    let unbound = match is_unknown || is_half_proven {
        true => UnboundCallback::Ignore,
        false => registration.unbound_callback,
    };
    let claim = Claim {
        attempt: attempt.clone(),
        client: door.client.id.clone(),
        institution: door.institution.code.clone(),
        browser: browser.bindings,
        unbound,
        burnt: gateway.notices(
            &door.client,
            &[EventKind::OauthStateFinished],
            attempt.partition(),
        ),
    };
    let said = || door.words(&callback.to_bytes());
    let claimed = gateway.store.claim_callback(&claim, gateway.now()).await?;
    match claimed {
        Claimed::Unknown => return Ok(Taken::Refused(Refused::UnknownState)),
        Claimed::Settled => {
            tracing::info!(target: STRANGERS, words = said(), "authorization response arrived after the end; nothing was done");
        }
        Claimed::Ignored => {
            tracing::warn!(target: STRANGERS, words = said(), "authorization response arrived in another browser; nothing was done");
        }
        Claimed::Yes { subject, sealed } => {
            log_context::subject(&subject.window, &subject.member);
            let running = gateway.under_way.begin(attempt.clone());
            let exchange = exchange(
                gateway.clone(),
                door.clone(),
                attempt.clone(),
                *subject,
                sealed,
                callback,
            );
            gateway.spawn(async move {
                let _running = running;
                if let Err(error) = exchange.await {
                    tracing::error!(%error, "exchange not finished");
                }
            });
            gateway.under_way.wait(&attempt, PATIENCE).await;
        }
        Claimed::Burnt { subject, sealed } => {
            log_context::subject(&subject.window, &subject.member);
            tracing::warn!(
                words = said(),
                "authorization response arrived in another browser; attempt ended"
            );
            let counters = &gateway.metrics.responses_in_another_browser;
            counters.count(metrics::of(&subject.member));
            gateway.wake_worker();
            let burn = burn(
                gateway.clone(),
                door.clone(),
                attempt.clone(),
                sealed,
                callback,
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
    callback: Callback,
) -> Result<(), Internal> {
    let (oauth, registration) = means(&door.client, &door.institution)?;
    let secrets = unseal(&gateway, &attempt, &sealed);
    if let Some((meaning, detail)) = callback.refusal(oauth, registration, secrets.as_ref()) {
        return fail(&gateway, &door, &subject, Fault::of(meaning, detail)).await;
    }
    let Answer::Code(code) = &callback.answer else {
        return Ok(());
    };
    let Some(secrets) = secrets else {
        let detail = "the attempt's secrets could not be decrypted".to_owned();
        let fault = Fault::new(ErrorReason::ServerError, detail);
        return fail(&gateway, &door, &subject, fault).await;
    };
    let authorized = Authorized {
        state: &callback.state,
        code,
        secrets: &secrets,
    };
    match redeem(&gateway, &door, (oauth, registration), &authorized).await {
        Ok(granted) => connect::connect(&gateway, &door, &subject, granted).await,
        Err(failed) => {
            let NotGranted {
                error,
                issued,
                scrubber,
            } = *failed;
            let fault = Fault::of(error.meaning(oauth), error.to_string());
            let ended = fail(&gateway, &door, &subject, fault).await;
            // Nobody waits for this.
            let behind = gateway.clone();
            gateway.spawn(async move {
                connect::give_back(&behind, &door, &issued, &scrubber).await;
            });
            ended
        }
    }
}

/// Redeems a code at the institution's token endpoint.
async fn redeem(
    gateway: &Gateway,
    door: &Door,
    (oauth, registration): (&OAuth, &Registration),
    authorized: &Authorized<'_>,
) -> Result<Granted, Box<NotGranted>> {
    let labels = [door.client.id.as_str(), door.institution.code.as_str()];
    let _timing = gateway.metrics.token_endpoint.start(labels);
    let now = gateway.now();
    gateway
        .oauth
        .exchange(oauth, registration, authorized, now)
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
    /// What the operator has to correct, where that is why.
    pub(super) setup: Option<SetupFault>,
}

impl Fault {
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

    /// The institution answered, or could not, or our own work failed.
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
        setup,
    } = fault;
    if let Some(setup) = setup {
        tell_operator(gateway, door, setup, &detail);
    }
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
        only_in: None,
        detail: Some(detail),
        inbound,
        finished,
    };
    persistently(|| Box::pin(gateway.store.fail_window(&failure, gateway.now()))).await?;
    let [client, institution] = metrics::of(&subject.member);
    let counters = &gateway.metrics.flows_failed;
    counters.count([client, institution, reason.name()]);
    gateway.wake_worker();
    Ok(())
}

/// Says that nobody can connect the institution before the operator has corrected something.
pub(super) fn tell_operator(gateway: &Gateway, door: &Door, setup: SetupFault, detail: &str) {
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
    let (client, institution) = (door.client.id.as_str(), door.institution.code.as_str());
    let counters = &gateway.metrics.institution_not_set_up;
    counters.count([client, institution, setup.name()]);
}

/// Redeems the code and gives back what it yields, so that nobody else can use it either.
async fn burn(
    gateway: Arc<Gateway>,
    door: Door,
    attempt: AttemptId,
    sealed: Vec<u8>,
    callback: Callback,
) {
    let Ok((oauth, registration)) = means(&door.client, &door.institution) else {
        return;
    };
    let Answer::Code(code) = &callback.answer else {
        return;
    };
    if oauth.revocation_endpoint.is_none() {
        return;
    }
    let Some(secrets) = unseal(&gateway, &attempt, &sealed) else {
        return;
    };
    let authorized = Authorized {
        state: &callback.state,
        code,
        secrets: &secrets,
    };
    let redeemed = redeem(&gateway, &door, (oauth, registration), &authorized).await;
    let (issued, scrubber) = match redeemed {
        Ok(granted) => (Issued::from(&granted.grant), granted.scrubber),
        Err(failed) => {
            let error = &failed.error;
            tracing::warn!(%error, "the code of an ended attempt could not be redeemed");
            if let Meaning::NotSetUp(setup) = error.meaning(oauth) {
                tell_operator(&gateway, &door, setup, &error.to_string());
            }
            (failed.issued, failed.scrubber)
        }
    };
    connect::give_back(&gateway, &door, &issued, &scrubber).await;
}

fn unseal(gateway: &Gateway, attempt: &AttemptId, sealed: &[u8]) -> Option<AttemptSecrets> {
    match gateway.sealer.open(&attempt_context(attempt), sealed) {
        Ok(bytes) => AttemptSecrets::from_bytes(&bytes),
        Err(error) => {
            tracing::error!(%error, "an attempt's secrets could not be decrypted");
            None
        }
    }
}
