//! The pages people see.
//!
//! A [`Page`] says which page it is and what it needs; [`render`] turns it, with the two [`Parties`] and
//! a [`Locale`], into a complete response ([`Rendered`]). The pages know plain strings and nothing of the
//! flows behind them.
//!
//! Stable hooks for tests and support: `<body data-page="…" data-reason="…">`, and `data-action`
//! on everything that can be pressed: `continue`, `cancel`, `retry`, `return`, `close`, and
//! `institution` for the way to the institution's own site.
//!
//! Every page works without script. The only script goes to the next page by itself, tells the opener how
//! the flow ended, and closes the window after success.

mod assets;
mod brand;
mod locale;
mod rendered;
pub mod sample;
#[cfg(test)]
mod tests;
mod view;
mod words;

use axum::http::StatusCode;
use serde_json::Value;

pub use crate::domain::support_code::SupportCode;
pub use brand::{
    Accent, AccentError, AppBrand, InstitutionBrand, Parties, SupportLink, SupportLinkError,
};
pub use locale::Locale;
pub use rendered::Rendered;
pub use view::{ACTION_FIELD, PROOF_FIELD, render};

/// One page, with exactly what it needs in addition to the names of the parties.
#[derive(Clone, Debug)]
pub enum Page {
    /// Shows a button before anything happens; for links that are sent by mail or message.
    Interstitial {
        /// Starts the authorization.
        form: Form,
        /// Ends the link before anything begins.
        decline: Form,
        /// What the app will be able to see; empty when that is only known at the institution.
        shares: Vec<Share>,
    },
    /// The institution is connected.
    Connected {
        /// Whether the login was connected before, and that connection has been renewed.
        again: bool,
        /// The way back into the app.
        back: Option<Back>,
        /// The message to the opener.
        notify: Option<Notify>,
    },
    /// The person declined at the institution.
    Cancelled(Ending),
    /// The institution could not sign the person in.
    Denied(Ending),
    /// The person has something to do at the institution first.
    Impeded(Ending),
    /// The institution failed.
    ProviderError(Ending),
    /// The gateway failed.
    ServerError(Ending),
    /// The connection to the institution is not set up correctly; only the operator can correct that.
    NotSetUp(Ending),
    /// The login is connected already, and the app wants it only once. Another try would end the same
    /// way, so none is offered.
    Duplicate(Ending),
    /// The person signed in with another login than the one this connection is for. Another try is
    /// a new link.
    OtherLogin(Ending),
    /// The app did not confirm in time that it was this person.
    Unconfirmed(Ending),
    /// The app says that the link was made for somebody else than the person who followed it.
    Misdirected(Ending),
    /// The link has been used, by another browser or to the end.
    Used {
        /// The link's own address, if this may be the browser that used it: the second tab of a double
        /// click gets another page when it asks again.
        check_again: Option<String>,
        /// For support, if another browser ended this browser's attempt.
        support_code: Option<SupportCode>,
    },
    /// The link has been used by this browser, and the connection is not finished.
    Resume {
        /// Starts the authorization again.
        form: Form,
    },
    /// The deadline has passed: nobody followed the link or, if there is an ending, its attempt took too
    /// long or was cut off.
    Expired(Option<Ending>),
    /// A newer link was made for the same member.
    Superseded,
    /// The link is unknown or malformed. It always looks the same: callers give no parties.
    Unknown,
    /// Nothing is at this address.
    NotFound,
    /// For machines that draw previews of links. Names nobody, whatever the parties.
    Preview,
    /// The institution is not used for now.
    Maintenance {
        /// In about how long it is over, if that is known.
        ends_in: Option<EndsIn>,
        /// What is said of it in addition.
        text: Option<String>,
        /// The way back into the app.
        back: Option<Back>,
    },
    /// Something we need is away for a moment and a retry is safe.
    Busy {
        /// Seconds until the browser asks for the same address again, or the script posts the form.
        refresh_s: u8,
        /// The form that has to be posted again, if a GET of the address would not help.
        again: Option<Form>,
    },
    /// The code is being exchanged, and that takes longer than a moment.
    Connecting {
        /// Seconds until the browser asks for the same address again.
        refresh_s: u8,
    },
    /// The person agreed at the institution, and the app has to confirm that it was them.
    PendingConfirmation {
        /// Seconds until the browser asks for the same address again.
        refresh_s: u8,
        /// The way back into the app, which brings the confirmation's handle.
        back: Option<Back>,
        /// The message to the opener, with the handle.
        notify: Option<Notify>,
    },
    /// The person came back from the institution without a provable authorization response.
    NoAnswer {
        /// Starts the authorization again; absent if that was done as often as allowed.
        go_on: Option<Form>,
        /// Ends the attempt.
        cancel: Form,
        /// For support.
        support_code: SupportCode,
    },
    /// The person went on in another tab, whose attempt replaced this one.
    Replaced,
    /// What came back from the institution is malformed or not from it.
    BadReturn {
        /// For support.
        support_code: SupportCode,
    },
    /// The person came back in a browser other than the one that left.
    WrongBrowser {
        /// For support.
        support_code: SupportCode,
    },
}

/// An attempt that ended without a connection.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Starts another attempt; absent when no more are allowed.
    pub retry: Option<Form>,
    /// The way back into the app.
    pub back: Option<Back>,
    /// The message to the opener.
    pub notify: Option<Notify>,
    /// For support.
    pub support_code: SupportCode,
}

/// The way back into the app that the flow started from.
#[derive(Clone, Debug)]
pub struct Back {
    /// Its address, already carrying the outcome.
    pub link: String,
    /// Whether the page's script goes there by itself; the link is there in any case.
    pub by_itself: bool,
}

/// In about how long something is over: a number of the largest unit that tells it well, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndsIn {
    /// So many minutes.
    Minutes(u64),
    /// So many hours.
    Hours(u64),
    /// So many days.
    Days(u64),
}

impl EndsIn {
    /// So many seconds from now on.
    pub fn seconds(seconds: u64) -> Self {
        match seconds.div_ceil(60) {
            minutes @ ..=90 => Self::Minutes(minutes.max(1)),
            minutes @ ..=2880 => Self::Hours(minutes.div_ceil(60)),
            minutes => Self::Days(minutes.div_ceil(24 * 60)),
        }
    }
}

/// A button that posts back to us.
#[derive(Clone, Debug)]
pub struct Form {
    /// Path on our own origin.
    pub action: String,
    /// The fields that are sent: names and values.
    pub fields: Vec<(String, String)>,
}

impl Form {
    /// A button that posts to `action`, without fields.
    pub fn to(action: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            fields: Vec::new(),
        }
    }

    /// Sends a one-time value along as [`PROOF_FIELD`], to be compared with the browser's cookie.
    #[must_use]
    pub fn proven_by(mut self, proof: impl Into<String>) -> Self {
        self.fields.push((PROOF_FIELD.to_owned(), proof.into()));
        self
    }

    /// Says what is chosen, as [`ACTION_FIELD`].
    #[must_use]
    pub fn choosing(mut self, action: &str) -> Self {
        self.fields
            .push((ACTION_FIELD.to_owned(), action.to_owned()));
        self
    }
}

/// A message for the window that opened this one.
#[derive(Clone, Debug)]
pub struct Notify {
    /// What to post.
    pub message: Value,
    /// The exact origins that may receive it, as browsers write them (`https://app.example`). Anything
    /// else, in particular `*`, is left out; if none is left, no message is sent.
    pub origins: Vec<String>,
}

/// Something the app will be able to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// The accounts chosen, with names and numbers.
    Accounts,
    /// Balances.
    Balances,
    /// Transactions.
    Transactions,
    /// Name and contact details.
    Identity,
}

impl Page {
    /// The stable name, in `data-page`.
    pub fn name(&self) -> &'static str {
        match self {
            Page::Interstitial { .. } => "interstitial",
            Page::Connected { .. } => "connected",
            Page::Cancelled(_) => "cancelled",
            Page::Denied(_) => "denied",
            Page::Impeded(_) => "impeded",
            Page::ProviderError(_) => "provider-error",
            Page::ServerError(_) => "server-error",
            Page::NotSetUp(_) => "not-set-up",
            Page::Duplicate(_) => "duplicate",
            Page::OtherLogin(_) => "other-login",
            Page::Unconfirmed(_) => "unconfirmed",
            Page::Misdirected(_) => "misdirected",
            Page::Used { .. } => "used",
            Page::Resume { .. } => "resume",
            Page::Expired(_) => "expired",
            Page::Superseded => "superseded",
            Page::Unknown => "unknown",
            Page::NotFound => "not-found",
            Page::Preview => "preview",
            Page::Maintenance { .. } => "maintenance",
            Page::Busy { .. } => "busy",
            Page::Connecting { .. } => "connecting",
            Page::PendingConfirmation { .. } => "pending-confirmation",
            Page::NoAnswer { .. } => "no-answer",
            Page::Replaced => "replaced",
            Page::BadReturn { .. } => "bad-return",
            Page::WrongBrowser { .. } => "wrong-browser",
        }
    }

    /// The HTTP status it is served with.
    pub fn status(&self) -> StatusCode {
        match self {
            Page::Interstitial { .. }
            | Page::Connected { .. }
            | Page::Cancelled(_)
            | Page::Denied(_)
            | Page::Impeded(_)
            | Page::ProviderError(_)
            | Page::NotSetUp(_)
            | Page::Duplicate(_)
            | Page::OtherLogin(_)
            | Page::Unconfirmed(_)
            | Page::Misdirected(_)
            | Page::Connecting { .. }
            | Page::PendingConfirmation { .. }
            | Page::NoAnswer { .. }
            | Page::Preview => StatusCode::OK,
            Page::ServerError(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Page::Used { .. }
            | Page::Resume { .. }
            | Page::Replaced
            | Page::Expired(_)
            | Page::Superseded => StatusCode::GONE,
            Page::Unknown | Page::NotFound => StatusCode::NOT_FOUND,
            Page::Busy { .. } | Page::Maintenance { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Page::BadReturn { .. } | Page::WrongBrowser { .. } => StatusCode::BAD_REQUEST,
        }
    }

    /// The reason of an ending that is not success, in `data-reason`; the names are those of the
    /// OAuth states in the API.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Page::Cancelled(_) => Some("CANCELLED"),
            Page::Denied(_) => Some("DENIED"),
            Page::Impeded(_) => Some("IMPEDED"),
            Page::ProviderError(_) => Some("PROVIDER_ERROR"),
            Page::ServerError(_) | Page::NotSetUp(_) => Some("SERVER_ERROR"),
            Page::Duplicate(_) | Page::OtherLogin(_) => Some("UNKNOWN_ERROR"),
            Page::Unconfirmed(_)
            | Page::Misdirected(_)
            | Page::Used { .. }
            | Page::Expired(_)
            | Page::Superseded
            | Page::Unknown
            | Page::BadReturn { .. }
            | Page::WrongBrowser { .. } => Some("SESSION_ERROR"),
            Page::Interstitial { .. }
            | Page::Connected { .. }
            | Page::Resume { .. }
            | Page::NotFound
            | Page::Connecting { .. }
            | Page::PendingConfirmation { .. }
            | Page::NoAnswer { .. }
            | Page::Replaced
            | Page::Preview
            | Page::Maintenance { .. }
            | Page::Busy { .. } => None,
        }
    }

    /// What a person can tell support.
    pub(super) fn support_code(&self) -> Option<SupportCode> {
        match self {
            Page::BadReturn { support_code }
            | Page::WrongBrowser { support_code }
            | Page::NoAnswer { support_code, .. } => Some(*support_code),
            Page::Used { support_code, .. } => *support_code,
            _ => self.ending().map(|ending| ending.support_code),
        }
    }

    /// The flow's own way back, if it has one.
    fn back(&self) -> Option<&Back> {
        match self {
            Page::Connected { back, .. }
            | Page::PendingConfirmation { back, .. }
            | Page::Maintenance { back, .. } => back.as_ref(),
            _ => self.ending()?.back.as_ref(),
        }
    }

    /// Whether the only thing left to do is to go back to the app.
    fn is_last(&self) -> bool {
        match self {
            Page::Connected { .. }
            | Page::Cancelled(_)
            | Page::Denied(_)
            | Page::Impeded(_)
            | Page::ProviderError(_)
            | Page::ServerError(_)
            | Page::NotSetUp(_)
            | Page::Duplicate(_)
            | Page::OtherLogin(_)
            | Page::Unconfirmed(_)
            | Page::Misdirected(_)
            | Page::PendingConfirmation { .. }
            | Page::Used { .. }
            | Page::Expired(_)
            | Page::Superseded
            | Page::Maintenance { .. }
            | Page::BadReturn { .. } => true,
            // The first ones lead on; for the last ones, the flow goes on in another browser or tab, or
            // no party is known.
            Page::Interstitial { .. }
            | Page::Resume { .. }
            | Page::Busy { .. }
            | Page::Connecting { .. }
            | Page::NoAnswer { .. }
            | Page::Replaced
            | Page::Preview
            | Page::Unknown
            | Page::NotFound
            | Page::WrongBrowser { .. } => false,
        }
    }

    /// After how many seconds the browser asks for the same address again.
    fn refresh_s(&self) -> Option<u8> {
        match self {
            Page::Busy {
                refresh_s,
                again: None,
            }
            | Page::Connecting { refresh_s }
            | Page::PendingConfirmation { refresh_s, .. } => Some(*refresh_s),
            _ => None,
        }
    }

    /// After how many seconds the script posts the page's form.
    fn post_s(&self) -> Option<u8> {
        match self {
            Page::Busy {
                refresh_s,
                again: Some(_),
            } => Some(*refresh_s),
            _ => None,
        }
    }

    /// Whether the flow goes on in the same window, to a page that may send a message to the opener.
    fn is_on_the_way(&self) -> bool {
        matches!(
            self,
            Page::Busy { .. }
                | Page::Connecting { .. }
                | Page::PendingConfirmation { .. }
                | Page::Maintenance { .. }
                | Page::NoAnswer { .. }
        )
    }

    /// The ending it tells of, when it tells of one.
    fn ending(&self) -> Option<&Ending> {
        match self {
            Page::Cancelled(ending)
            | Page::Denied(ending)
            | Page::Impeded(ending)
            | Page::ProviderError(ending)
            | Page::ServerError(ending)
            | Page::NotSetUp(ending)
            | Page::Duplicate(ending)
            | Page::OtherLogin(ending)
            | Page::Unconfirmed(ending)
            | Page::Misdirected(ending)
            | Page::Expired(Some(ending)) => Some(ending),
            _ => None,
        }
    }
}
