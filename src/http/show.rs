//! Turns an outcome of a flow into the page that a person sees.

use std::error::Error;

use axum::http::header::{ACCEPT_LANGUAGE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use url::Url;

use super::app_state::AppState;
use super::fields;
use super::page::{
    Accent, AppBrand, Back, Ending as PageEnding, EndsIn, Form, InstitutionBrand, Locale, Notify,
    Page, Parties, Share, SupportCode, SupportLink, render,
};
use super::refusal::Refusal;
use super::source::Source;
use crate::domain::call::CallName;
use crate::domain::client::{Client, Registration};
use crate::domain::id::{AttemptId, MemberGuid};
use crate::domain::institution::Institution;
use crate::domain::member::Member;
use crate::domain::return_address::ReturnTo;
use crate::domain::secret::CompletionHandle;
use crate::domain::window::{
    Ending, ErrorReason, RETRIES, ReferralSource, Window, WindowOptions, WindowStatus,
};
use crate::flow::maintenance::ClosedInstitution;
use crate::flow::{AttemptRecord, Internal, finish, registration};
use crate::log_context;
use crate::telemetry::STRANGERS;

/// After how many seconds the page `busy` asks again.
const MOMENT_S: u8 = 2;

/// Draws pages for one request.
pub struct Shown<'a> {
    app: &'a AppState,
    accept_language: Option<String>,
    /// The parties that the request's address names.
    parties: Parties,
    /// Their language.
    usual_locale: Option<String>,
}

/// Draws pages for one request about one window.
pub struct About<'a> {
    shown: &'a Shown<'a>,
    parties: Parties,
    locale: &'static Locale,
    client: Option<&'a Client>,
    institution: Option<&'a Institution>,
    /// The app that the flow ends in, if it does not end on a page of ours.
    leaves_to: Option<Url>,
}

/// The button that chooses `action` for an attempt.
fn choice(attempt: &AttemptId, action: &str) -> Form {
    Form::to(format!("/oauth/result/{attempt}")).choosing(action)
}

/// The page for a browser that came back from the institution without an authorization response.
pub fn no_answer(attempt: &AttemptId, record: &AttemptRecord) -> Page {
    let go_on = record.may_continue.then(|| choice(attempt, "continue"));
    Page::NoAnswer {
        go_on,
        cancel: choice(attempt, "cancel"),
        support_code: SupportCode::of(attempt),
    }
}

/// The page for a browser without the attempt's cookie: the attempt is not its own, or the cookie has
/// expired.
pub fn to_a_stranger(attempt: &AttemptId, window: &Window) -> Page {
    match window.status {
        WindowStatus::Errored(_, Ending::Expired | Ending::MemberDeleted) => Page::Expired(None),
        WindowStatus::Errored(_, Ending::Superseded) => Page::Superseded,
        _ => Page::WrongBrowser {
            support_code: SupportCode::of(attempt),
        },
    }
}

impl<'a> Shown<'a> {
    /// For a request with these headers.
    pub fn new(app: &'a AppState, headers: &HeaderMap) -> Self {
        let languages: Vec<&str> = fields::parts(headers, ACCEPT_LANGUAGE.as_str(), b',')
            .filter_map(|language| std::str::from_utf8(language).ok())
            .collect();
        Self {
            app,
            accept_language: (!languages.is_empty()).then(|| languages.join(",")),
            parties: Parties::default(),
            usual_locale: None,
        }
    }

    /// For a request to a registration's redirect URI: every page names its client and institution, and
    /// leads back to the client.
    #[must_use]
    pub fn of_registration(self, at: &registration::CallbackEndpoint) -> Self {
        Self {
            parties: parties(Some(at.client()), Some(at.institution())),
            usual_locale: at.client().locale.clone(),
            ..self
        }
    }

    fn locale(&self, ui_locales: Option<&str>, default: Option<&str>) -> &'static Locale {
        Locale::negotiate(
            ui_locales,
            self.accept_language.as_deref(),
            default.unwrap_or("en"),
        )
    }

    /// A page that belongs to no window.
    pub fn page(&self, page: &Page) -> Response {
        let locale = self.locale(None, self.usual_locale.as_deref());
        render(page, &self.parties, locale).into_response()
    }

    /// A new support code, for a page that belongs to no attempt.
    pub fn support_code(&self) -> SupportCode {
        let drawn: [u8; 8] = crate::domain::random::bytes(self.app.gateway.random.as_ref());
        SupportCode::from_bytes(&drawn)
    }

    /// The one page for links that are unknown or malformed.
    pub fn neutral(&self) -> Response {
        self.page(&Page::Unknown)
    }

    /// For a source with too many unknown links. Nothing was looked up, so the link may be a good one,
    /// and the page asks again by itself.
    pub fn too_many(&self, wait: std::time::Duration) -> Response {
        let wait_s = super::limits::whole_seconds(wait);
        let refresh_s = u8::try_from(wait_s).unwrap_or(u8::MAX).min(60);
        let mut response = self.page(&Page::Busy {
            refresh_s,
            again: None,
        });
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response.headers_mut().insert("retry-after", wait_s.into());
        response
    }

    /// The page for a response that is malformed or not from the institution, in a browser that has no
    /// attempt under way there.
    pub fn bad_return(&self, refusal: &Refusal, source: Source) -> Response {
        let support_code = self.support_code();
        log_context::support_code(&support_code);
        refusal.log(source);
        let page = Page::BadReturn { support_code };
        self.page(&page)
    }

    /// The page `busy`: the browser asks again by itself.
    pub fn busy(&self) -> Response {
        soon(self.page(&Page::Busy {
            refresh_s: MOMENT_S,
            again: None,
        }))
    }

    /// The page `busy` for a response that arrived at that registration by POST while the store is away:
    /// `form` is posted again by itself.
    pub fn post_again(
        &self,
        at: &registration::CallbackEndpoint,
        form: Form,
        cause: &dyn Error,
    ) -> Response {
        store_is_away(cause);
        let page = Page::Busy {
            refresh_s: MOMENT_S,
            again: Some(form),
        };
        let locale = self.locale(None, self.usual_locale.as_deref());
        // The flow is not known yet, and so neither is the app that it ends in.
        let client = at.client();
        let addresses = client
            .return_addresses
            .iter()
            .map(|it| it.as_str().to_owned());
        let schemes = client.return_schemes.iter().map(|it| format!("{it}:"));
        let ways = addresses.chain(schemes);
        let ways = ways.filter_map(|way| Url::parse(&way).ok());
        let rendered = ways.fold(render(&page, &self.parties, locale), |page, way| {
            page.allow_form_action(&way)
        });
        soon(rendered.into_response())
    }

    /// The page for an internal failure; the cause is logged here and not shown.
    pub fn failure(&self, error: Internal) -> Response {
        if let Some(cause) = error.store_is_away() {
            store_is_away(cause);
            return self.busy();
        }
        let support_code = self.support_code();
        tracing::error!(%error, support_code = %support_code, "page failed");
        let ending = PageEnding {
            retry: None,
            back: None,
            notify: None,
            support_code,
        };
        self.page(&Page::ServerError(ending))
    }

    /// The body of a redirect: the same link.
    pub fn link_body(&self, to: &str) -> Html<String> {
        let mut escaped = String::with_capacity(to.len());
        for character in to.chars() {
            match character {
                '&' => escaped.push_str("&amp;"),
                '"' => escaped.push_str("&quot;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                other => escaped.push(other),
            }
        }
        Html(format!(
            "<!doctype html><html lang=\"en\"><title>Continue</title><p><a href=\"{escaped}\">Continue</a></p></html>"
        ))
    }

    /// For pages about `window`, whose member is known unless it was deleted.
    pub fn about(&'a self, window: &Window, member: Option<&Member>) -> About<'a> {
        let gateway = &self.app.gateway;
        let client = gateway.clients.get(&window.client).map(AsRef::as_ref);
        let institution = member
            .and_then(|member| gateway.institutions.get(&member.institution))
            .map(AsRef::as_ref);
        let locale = self.locale(
            window.options.ui_locales.as_deref(),
            client.and_then(|client| client.locale.as_deref()),
        );
        About {
            shown: self,
            parties: parties(client, institution),
            locale,
            client,
            institution,
            leaves_to: leaves_to(&window.options),
        }
    }

    /// For the outcome of an attempt.
    pub async fn about_outcome(&'a self, record: &AttemptRecord) -> Result<About<'a>, Internal> {
        let member = finish::member(&self.app.gateway, record).await?;
        Ok(self.about(&record.window, member.as_ref()))
    }

    /// A page about the window of `attempt`.
    pub async fn of_attempt(&self, attempt: &AttemptId, page: &Page) -> Response {
        match finish::attempt(&self.app.gateway, attempt).await {
            Ok(Some(record)) => self
                .about(&record.window, record.member.as_ref())
                .page(page),
            Ok(None) => self.neutral(),
            Err(error) => self.failure(error),
        }
    }
}

impl About<'_> {
    /// A page about this window.
    pub fn page(&self, page: &Page) -> Response {
        render(page, &self.parties, self.locale).into_response()
    }

    /// A page whose form leads to the institution and, if that asks nothing, directly into the client's
    /// app.
    pub fn leading_to_institution(&self, page: &Page) -> Response {
        let targets = self
            .registration()
            .map(|registration| registration.oauth.addresses(CallName::Authorization));
        targets
            .into_iter()
            .flatten()
            .chain(&self.leaves_to)
            .fold(render(page, &self.parties, self.locale), |page, target| {
                page.allow_form_action(target)
            })
            .into_response()
    }

    /// How the client is registered at the institution.
    fn registration(&self) -> Option<&Registration> {
        let (client, institution) = self.client.zip(self.institution)?;
        client.registration(&institution.code)
    }

    /// What the app will be able to see, if the names of the scopes say so; otherwise empty, and the
    /// institution tells the person.
    pub fn shares(&self) -> Vec<Share> {
        let scopes = self.registration().map(|registration| {
            let own = registration.scopes.as_ref();
            own.unwrap_or(&registration.oauth.scopes)
        });
        let is_asked = |word: &str| {
            let mut scopes = scopes.into_iter().flatten();
            scopes.any(|scope| scope.to_ascii_lowercase().contains(word))
        };
        let shares = [
            (Share::Accounts, &["account"][..]),
            (Share::Balances, &["balance"]),
            (Share::Transactions, &["transaction"]),
            (Share::Identity, &["profile", "identity"]),
        ];
        let asked = shares
            .into_iter()
            .filter(|(_, words)| words.iter().any(|word| is_asked(word)));
        asked.map(|(share, _)| share).collect()
    }

    /// The page for a link whose institution is not used for now.
    pub fn maintenance(&self, closed: &ClosedInstitution, back: Option<String>) -> Response {
        let said = &closed.maintenance;
        let back = back.map(|link| Back {
            link,
            by_itself: false,
        });
        let mut response = self.page(&Page::Maintenance {
            ends_in: said.until.map(|_| EndsIn::seconds(closed.again_s)),
            text: said.text.as_ref().map(|text| text.as_str().to_owned()),
            back,
        });
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, closed.again_s.into());
        response
    }

    /// The page for a link that was declined before anybody went to the institution.
    pub fn declined(&self, window: &Window, back: Option<Back>) -> Page {
        Page::Cancelled(PageEnding {
            retry: None,
            back,
            notify: self.notify(window, window.member),
            support_code: SupportCode::from_bytes(window.guid.to_string().as_bytes()),
        })
    }

    /// The page for how a window ended.
    pub fn outcome(&self, attempt: &AttemptId, record: &AttemptRecord, back: Option<Back>) -> Page {
        let window = &record.window;
        let member = window.inbound.unwrap_or(window.member);
        let notify = self.notify(window, member);
        let (reason, why) = match window.status {
            WindowStatus::Succeeded => {
                return Page::Connected {
                    again: member != window.member,
                    back,
                    notify,
                };
            }
            WindowStatus::Errored(reason, ending) => (reason, ending),
            WindowStatus::Issued
            | WindowStatus::Opened
            | WindowStatus::Authorized
            | WindowStatus::Returned => {
                return Page::Connecting { refresh_s: 2 };
            }
        };
        let ending = PageEnding {
            retry: self.retry(attempt, record),
            back,
            notify,
            support_code: SupportCode::of(attempt),
        };
        match (why, reason) {
            (Ending::NotSetUp, _) => Page::NotSetUp(ending),
            (Ending::Duplicate, _) => Page::Duplicate(ending),
            (Ending::OtherLogin, _) => Page::OtherLogin(ending),
            (Ending::Unconfirmed, _) => Page::Unconfirmed(ending),
            (Ending::Misdirected, _) => Page::Misdirected(ending),
            (Ending::Superseded, _) => Page::Superseded,
            (Ending::MemberDeleted, _) => Page::Expired(None),
            (Ending::Unbound, _) => Page::Used {
                check_again: None,
                support_code: Some(ending.support_code),
            },
            (Ending::Failed | Ending::Expired, reason) => match reason {
                ErrorReason::Cancelled => Page::Cancelled(ending),
                ErrorReason::Denied => Page::Denied(ending),
                ErrorReason::Impeded => Page::Impeded(ending),
                ErrorReason::UnknownError | ErrorReason::ProviderError => {
                    Page::ProviderError(ending)
                }
                ErrorReason::ServerError => Page::ServerError(ending),
                ErrorReason::SessionError => Page::Expired(Some(ending)),
            },
        }
    }

    /// Whether its pages tell an opener how it goes.
    pub fn tells(&self, window: &Window) -> bool {
        let client = self.client;
        window.options.referral_source == ReferralSource::Browser
            && client.is_some_and(|client| !client.message_origins.is_empty())
    }

    /// The page that waits for the member service's confirmation.
    pub fn pending(
        &self,
        window: &Window,
        handle: &CompletionHandle,
        back: Option<Back>,
        refresh_s: u8,
    ) -> Page {
        let notify = self.message(window, "oauthComplete/pending", window.member, |metadata| {
            metadata["completion"] = handle.expose().into();
        });
        Page::PendingConfirmation {
            refresh_s,
            back,
            notify,
        }
    }

    /// "Try again", if it is allowed now; it is checked again when it is pressed.
    fn retry(&self, attempt: &AttemptId, record: &AttemptRecord) -> Option<Form> {
        let window = &record.window;
        let is_newest = record
            .member
            .as_ref()
            .is_some_and(|member| member.latest_window == Some(window.guid));
        let now = self.shown.app.gateway.clock.now();
        let in_time = window.retry_ends().is_some_and(|until| now < until);
        let is_offered = window.options.referral_source == ReferralSource::Browser
            && window.retries < RETRIES
            && is_newest
            && in_time;
        is_offered.then(|| choice(attempt, "retry"))
    }

    /// The message for the window that opened this one (CONTRACT.md 4.1).
    fn notify(&self, window: &Window, member: MemberGuid) -> Option<Notify> {
        let reason = window.status.error_reason();
        let kind = match reason {
            None => "oauthComplete/success",
            Some(_) => "oauthComplete/error",
        };
        self.message(window, kind, member, |metadata| {
            if window.is_of_another() {
                metadata["outbound_member_guid"] = serde_json::json!(window.member);
            }
            if let Some(reason) = reason {
                metadata["error_reason"] = reason.name().into();
            }
        })
    }

    /// A message of that kind about `member`, in BROWSER flows.
    fn message(
        &self,
        window: &Window,
        kind: &str,
        member: MemberGuid,
        add: impl FnOnce(&mut serde_json::Value),
    ) -> Option<Notify> {
        let client = self
            .client
            .filter(|_| window.options.referral_source == ReferralSource::Browser)?;
        let mut metadata = serde_json::json!({"member_guid": member});
        add(&mut metadata);
        let message = serde_json::json!({"mx": true, "type": kind, "metadata": metadata});
        Some(Notify {
            message,
            origins: client.message_origins.clone(),
        })
    }
}

/// Logs it.
fn store_is_away(cause: &dyn Error) {
    tracing::error!(target: STRANGERS, %cause, "the store cannot be reached");
}

/// Tells programs too when to come back.
fn soon(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(u16::from(MOMENT_S)));
    response
}

fn leaves_to(options: &WindowOptions) -> Option<Url> {
    if options.referral_source == ReferralSource::Browser {
        return None;
    }
    match &options.return_to {
        ReturnTo::Page => None,
        ReturnTo::Address(address) => Url::parse(address).ok(),
        ReturnTo::Scheme(scheme) => Url::parse(&format!("{scheme}:")).ok(),
    }
}

fn parties(client: Option<&Client>, institution: Option<&Institution>) -> Parties {
    Parties {
        app: client.map(app),
        institution: institution.map(brand),
    }
}

fn app(client: &Client) -> AppBrand {
    AppBrand {
        name: client.display_name.clone(),
        logo: client
            .logo
            .as_ref()
            .map(|_| format!("/oauth/logos/clients/{}", client.id)),
        accent: client
            .accent
            .as_deref()
            .and_then(|accent| Accent::parse(accent).ok()),
        support: client
            .support
            .as_deref()
            .and_then(|support| SupportLink::parse(support).ok()),
        home: client.home.as_ref().map(|home| home.as_str().to_owned()),
    }
}

fn brand(institution: &Institution) -> InstitutionBrand {
    InstitutionBrand {
        name: institution.name.clone(),
        logo: institution
            .logo
            .as_ref()
            .map(|_| format!("/oauth/logos/institutions/{}", institution.code)),
        url: institution.url.as_ref().map(Url::to_string),
    }
}
