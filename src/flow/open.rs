//! open: somebody follows a link → the institution, or a page that says why not.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::failure::{FailureCause, fail};
use super::maintenance::{self, Closed};
use super::registration::CallbackEndpoint;
use super::report::Evidence;
use super::{Gateway, Internal, finish, redeem, revoke, seal_contexts};
use crate::domain::id::{AttemptId, MemberGuid, OauthStateGuid};
use crate::domain::secret::{AuthorizationState, BindingSecret, LinkToken};
use crate::domain::window::{
    Binding, Ending, ErrorReason, NewAttempt, RETRY_GRACE, Window, WindowStatus,
};
use crate::log_context;
use crate::metrics;
use crate::oauth::{
    AttemptSecrets, AuthorizationRequest, Issued, Meaning, Prepared, SetupFault, Unprepared,
};
use crate::store::{Obtained, Opened, Opening, StoreError, Subject, VisitKind};

/// A browser that leaves for the institution.
pub struct Departure {
    /// Where to.
    pub to: Way,
    /// What binds this browser to the attempt.
    pub cookie: BindingCookie,
}

/// Where a departure leads.
pub enum Way {
    /// To the institution, with the authorization request (RFC 6749 section 4.1.1).
    Institution(Url),
    /// Nowhere: the authorization request could not be made, so the attempt has ended, and its outcome
    /// page says why.
    Outcome,
    /// Nowhere yet: the store did not reply, so it is not known whether the attempt is kept. If it is,
    /// the cookie identifies this browser when it asks again.
    Unknown(Internal),
}

/// The cookie that a browser gets when it claims a window.
pub struct BindingCookie {
    /// The attempt it binds to; its first characters are part of the cookie's name.
    pub attempt: AttemptId,
    /// Its value.
    pub secret: BindingSecret,
    /// How long the browser keeps it: as long as the attempt may last, and may be tried again after.
    pub max_age: Duration,
}

/// What following a link leads to.
pub enum Arrival {
    /// To the institution.
    Depart(Departure),
    /// A page that names both parties has to be shown first (`interstitial`).
    AskFirst(Box<Subject>),
    /// This browser opened the link before, and may continue.
    Resume(Box<Subject>),
    /// The institution is not used for now; the link stays as it is.
    Closed(Box<ClosedLink>),
    /// Another browser opened the link before.
    Used {
        /// The window.
        window: Box<Window>,
        /// Whether it may still turn out to be this browser's: under `single` the second of two tabs can
        /// be faster than the first one's cookie, and then a reload helps.
        may_be_ours: bool,
    },
    /// It is finished, and this browser is the one that went through it.
    Outcome(AttemptId),
    /// Its deadline passed.
    Expired(Box<Window>),
    /// A newer link was minted.
    Superseded(Box<Window>),
    /// There is no such link.
    Unknown,
}

/// A link whose institution is not used for now.
pub struct ClosedLink {
    /// The window and its member.
    pub subject: Subject,
    /// What is said of the institution.
    pub closed: Closed,
    /// The place in the client's app that an APP flow returns to.
    pub back: Option<String>,
}

/// A browser follows the link of `token` for `member`.
pub async fn open(
    gateway: &Arc<Gateway>,
    member: MemberGuid,
    token: &LinkToken,
    kind: VisitKind,
    browser: Vec<Binding>,
) -> Result<Arrival, Internal> {
    visit(gateway, member, OauthStateGuid::of(token), kind, browser).await
}

/// "Continue", on a page about an attempt: to the institution again, with fresh secrets; the old ones are
/// no longer valid. `None`: the attempt is not this browser's.
pub async fn go_on(
    gateway: &Arc<Gateway>,
    attempt: &AttemptId,
    browser: Vec<Binding>,
) -> Result<Option<Arrival>, Internal> {
    let record = gateway.store.attempt(attempt).await?;
    let Some(record) = record.filter(|record| record.is_held_by(attempt, &browser)) else {
        return Ok(None);
    };
    if !record.is_unanswered() {
        return Ok(Some(Arrival::Outcome(attempt.clone())));
    }
    let Window { guid, member, .. } = record.window;
    let arrival = visit(gateway, member, guid, VisitKind::Continue, browser).await?;
    Ok(Some(arrival))
}

async fn visit(
    gateway: &Arc<Gateway>,
    member: MemberGuid,
    window: OauthStateGuid,
    kind: VisitKind,
    browser: Vec<Binding>,
) -> Result<Arrival, Internal> {
    let _timing = gateway.metrics.open.start([]);
    let now = gateway.now();
    log_context::link(member, window);
    let departing = Departing::new(gateway, window, now + gateway.settings.authorization_ttl);
    let opening = Opening {
        window,
        member,
        kind,
        browser,
        attempt: departing.attempt.clone(),
        closed: match kind {
            // It goes nowhere.
            VisitKind::Look => Vec::new(),
            _ => maintenance::all_closed(gateway),
        },
    };
    let opened = match gateway.store.open_window(&opening, now).await {
        Err(error @ StoreError::Unavailable(_)) if kind != VisitKind::Look => {
            return Ok(Arrival::Depart(departing.into_the_unknown(gateway, error)));
        }
        opened => opened?,
    };
    Ok(match opened {
        Opened::Claimed(subject) => {
            log_context::member(&subject.member);
            log_context::attempt(&departing.attempt.id);
            gateway
                .metrics
                .links_opened
                .count(metrics::of(&subject.member));
            tracing::info!("link opened");
            Arrival::Depart(departing.into_departure(gateway, &subject).await?)
        }
        Opened::AskFirst(subject) => Arrival::AskFirst(subject),
        Opened::Resumable(subject) => Arrival::Resume(subject),
        Opened::Closed(subject) => {
            log_context::member(&subject.member);
            tracing::info!("link followed while the institution is not used");
            Arrival::Closed(Box::new(ClosedLink::of(gateway, *subject)))
        }
        // The running exchange may still succeed.
        Opened::Exhausted(attempt) | Opened::Authorized(attempt) => Arrival::Outcome(attempt),
        Opened::ClaimedElsewhere(subject) => Arrival::Used {
            window: Box::new(subject.window),
            may_be_ours: true,
        },
        Opened::Finished {
            own_attempt: Some(attempt),
            window,
            ..
        } if window.status.is_finished() => Arrival::Outcome(attempt),
        Opened::Finished {
            own_attempt: Some(attempt),
            window,
            ..
        } => {
            super::deadlines::expire(gateway, &window).await?;
            Arrival::Outcome(attempt)
        }
        Opened::Finished { window, .. } => over(gateway, *window).await?,
        Opened::Unknown => Arrival::Unknown,
    })
}

impl ClosedLink {
    /// Of that window, whose institution was not used a moment ago.
    pub(super) fn of(gateway: &Gateway, subject: Subject) -> Self {
        let institution = &subject.member.institution;
        Self {
            closed: maintenance::closed(gateway, institution)
                .unwrap_or_else(|| Closed::just_now(gateway, institution)),
            back: finish::back_with(gateway, &subject.window, Some(ErrorReason::ProviderError)),
            subject,
        }
    }
}

async fn over(gateway: &Gateway, window: Window) -> Result<Arrival, Internal> {
    Ok(match window.status {
        WindowStatus::Errored(_, Ending::Superseded) => Arrival::Superseded(Box::new(window)),
        WindowStatus::Errored(_, Ending::Expired | Ending::MemberDeleted) => {
            Arrival::Expired(Box::new(window))
        }
        WindowStatus::Errored(..) | WindowStatus::Succeeded => Arrival::Used {
            window: Box::new(window),
            may_be_ours: false,
        },
        // Its deadline has passed before the sweeper came: end it now.
        WindowStatus::Issued
        | WindowStatus::Opened
        | WindowStatus::Authorized
        | WindowStatus::Returned => {
            super::deadlines::expire(gateway, &window).await?;
            Arrival::Expired(Box::new(window))
        }
    })
}

/// An attempt with its secrets in clear, before the browser is sent to the institution.
pub(super) struct Departing {
    pub(super) attempt: NewAttempt,
    state: AuthorizationState,
    secrets: AttemptSecrets,
    binding: BindingSecret,
}

impl Departing {
    /// Draws state, PKCE verifier, nonce and binding: four independent values.
    pub(super) fn new(
        gateway: &Gateway,
        window: OauthStateGuid,
        deadline: jiff::Timestamp,
    ) -> Self {
        let random = gateway.random.as_ref();
        let state = AuthorizationState::new(random, window.partition());
        let secrets = AttemptSecrets::new(random);
        let binding = BindingSecret::new(random);
        let id = AttemptId::of(&state);
        let sealed = sealed(gateway, &id, &secrets);
        let attempt = NewAttempt {
            binding: Binding {
                attempt: id.clone(),
                digest: binding.digest(),
            },
            id,
            sealed,
            deadline,
        };
        Self {
            attempt,
            state,
            secrets,
            binding,
        }
    }

    /// The authorization request and the cookie of the claimed window. If the request cannot be made, the
    /// window ends.
    pub(super) async fn into_departure(
        mut self,
        gateway: &Arc<Gateway>,
        subject: &Subject,
    ) -> Result<Departure, Internal> {
        let evidence = Evidence::new(gateway, self.attempt.id.clone());
        let to = match self.request(gateway, subject, &evidence).await {
            Ok((endpoint, prepared)) => self.keep(gateway, &endpoint, subject, prepared).await?,
            Err(cause) => {
                fail(gateway, subject, &evidence, cause).await?;
                Way::Outcome
            }
        };
        Ok(self.with_cookie(gateway, to, subject.window.deadline))
    }

    /// The cookie of a window that may have been claimed: the store did not reply.
    pub(super) fn into_the_unknown(self, gateway: &Gateway, error: StoreError) -> Departure {
        let deadline = self.attempt.deadline;
        self.with_cookie(gateway, Way::Unknown(error.into()), deadline)
    }

    fn with_cookie(self, gateway: &Gateway, to: Way, deadline: jiff::Timestamp) -> Departure {
        let left = deadline.duration_since(gateway.now());
        let cookie = BindingCookie {
            attempt: self.attempt.id,
            secret: self.binding,
            max_age: Duration::try_from(left).unwrap_or_default() + RETRY_GRACE,
        };
        Departure { to, cookie }
    }

    /// Makes the authorization request, which may need the institution.
    async fn request(
        &self,
        gateway: &Arc<Gateway>,
        subject: &Subject,
        evidence: &Evidence,
    ) -> Result<(CallbackEndpoint, Prepared), FailureCause> {
        let Subject { window, member } = subject;
        let endpoint = CallbackEndpoint::of(gateway, &window.client, &member.institution);
        let endpoint = endpoint.map_err(|error| {
            let meaning = Meaning::NotSetUp(SetupFault::Configuration);
            FailureCause::of(meaning, error.to_string())
        })?;
        let at = endpoint.registered().noted(&evidence.calls);
        let request = AuthorizationRequest {
            at,
            state: &self.state,
            secrets: &self.secrets,
            ui_locales: window.options.ui_locales.as_deref(),
            hints: &[],
            values: &window.options.oauth_values,
        };
        let asks = at.oauth.asks_before_departure();
        let call = asks.then(|| redeem::begin(gateway, &endpoint)).transpose();
        let call = call.map_err(|not_called| {
            FailureCause::new(ErrorReason::ProviderError, not_called.to_string())
        })?;
        let prepared = gateway.oauth.prepare(&request, gateway.now()).await;
        if let Some(call) = &call {
            call.tell(!matches!(&prepared, Err(unprepared) if unprepared.error.is_an_outage()));
        }
        match prepared {
            Ok(prepared) => Ok((endpoint, prepared)),
            Err(unprepared) => {
                let Unprepared { error, obtained } = *unprepared;
                let cause = FailureCause::of(error.meaning(at.oauth), error.to_string());
                let values = window.options.oauth_values.with(&obtained);
                let issued = Issued::default().of_connection(&values);
                revoke::give_back(gateway, &endpoint, member.guid, &issued).await;
                Err(cause)
            }
        }
    }

    /// Keeps with the attempt what the institution said meanwhile; only then may the browser leave. If the
    /// attempt has ended, that is given back.
    async fn keep(
        &mut self,
        gateway: &Arc<Gateway>,
        endpoint: &CallbackEndpoint,
        subject: &Subject,
        prepared: Prepared,
    ) -> Result<Way, Internal> {
        let Prepared { address, obtained } = prepared;
        if obtained.is_empty() {
            return Ok(Way::Institution(address));
        }
        let Subject { window, member } = subject;
        let issued = Issued::default().of_connection(&window.options.oauth_values.with(&obtained));
        self.secrets.obtain(obtained);
        let obtained = Obtained {
            window: window.guid,
            attempt: self.attempt.id.clone(),
            sealed: sealed(gateway, &self.attempt.id, &self.secrets),
        };
        match gateway.store.keep_obtained(&obtained, gateway.now()).await {
            Ok(true) => Ok(Way::Institution(address)),
            Ok(false) => {
                revoke::give_back(gateway, endpoint, member.guid, &issued).await;
                Ok(Way::Outcome)
            }
            Err(error @ StoreError::Unavailable(_)) => Ok(Way::Unknown(error.into())),
            Err(error) => Err(error.into()),
        }
    }
}

/// An attempt's secrets, as they are kept.
fn sealed(gateway: &Gateway, attempt: &AttemptId, secrets: &AttemptSecrets) -> Vec<u8> {
    let context = seal_contexts::attempt(attempt);
    let random = gateway.random.as_ref();
    gateway.sealer.seal(random, &context, &secrets.to_bytes())
}
