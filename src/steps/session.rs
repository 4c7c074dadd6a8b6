//! SSO tokens, and the sessions they begin.
//!
//! - A token begins one session. A spent token is kept for a day as one that has expired: if the request that made
//!   it arrives a second time, late, it does not make it again.
//! - Each has the number of times that its user's sessions had been ended when it was made. Ending them raises the
//!   user's number, so all earlier sessions and unspent tokens are no longer good.
//! - A session ends some time after its last use. Its end is moved in steps of a thirtieth of that time, so
//!   that most uses write nothing.

use jiff::Timestamp;

use super::record::{ApiToken, Changes, Key, Reads, Session, SessionsEnded, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::id::{ClientId, Partition, UserGuid};
use crate::domain::secret::Digest;

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOwner {
    /// The one user it is for.
    pub user: UserGuid,
    /// The tenant.
    pub client: ClientId,
}

/// An SSO token about to be kept.
#[derive(Clone, Debug)]
pub struct NewApiToken {
    /// Whose sessions it begins.
    pub owner: SessionOwner,
    /// Its digest.
    pub token: Digest,
    /// Until when it may be spent.
    pub expires_at: Timestamp,
}

/// How often the sessions of a user were ended, as read.
fn times_ended(view: &View, user: UserGuid) -> u32 {
    view.sessions_ended(user).map_or(0, |ended| ended.times)
}

/// The session, or that of a token, if it has not ended.
fn good<'a>(view: &View, session: &'a Session, now: Timestamp) -> Option<&'a Session> {
    let is_current = session.ended_before == times_ended(view, session.user);
    (now < session.expires_at && is_current).then_some(session)
}

impl Session {
    fn owner(&self) -> SessionOwner {
        SessionOwner {
            user: self.user,
            client: self.client.clone(),
        }
    }
}

impl Step for NewApiToken {
    type Outcome = ();

    fn slot(&self) -> Slot {
        Slot::Partition(self.owner.user.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::sessions_ended(self.owner.user)]).and_drawn(Key::api_token(&self.token))
    }

    fn decide(&self, view: &View, _now: Timestamp) -> ((), Changes) {
        if view.api_token(&self.token).is_some() {
            return unchanged(());
        }
        let session = Session {
            user: self.owner.user,
            client: self.owner.client.clone(),
            ended_before: times_ended(view, self.owner.user),
            expires_at: self.expires_at,
        };
        let mut changes = Changes::default();
        changes.put(Key::api_token(&self.token), ApiToken { session });
        ((), changes)
    }
}

/// An SSO token is spent for a session.
#[derive(Clone, Debug)]
pub struct Begin {
    /// Where the token's user is.
    pub partition: Partition,
    /// The token.
    pub token: Digest,
    /// The session.
    pub session: Digest,
    /// When that ends unless it is used.
    pub expires_at: Timestamp,
}

impl Step for Begin {
    type Outcome = Option<SessionOwner>;

    fn slot(&self) -> Slot {
        Slot::Partition(self.partition)
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::session(&self.session), Key::api_token(&self.token)]).then(&["o"])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Option<SessionOwner>, Changes) {
        // The same beginning, sent again because the reply was lost.
        if let Some(session) = view.session(&self.session) {
            return unchanged(good(view, session, now).map(Session::owner));
        }
        let token = view.api_token(&self.token);
        let Some(token) = token.filter(|it| it.session.user.partition() == self.partition) else {
            return unchanged(None);
        };
        let Some(spent) = good(view, &token.session, now) else {
            return unchanged(None);
        };
        let owner = spent.owner();
        let begun = Session {
            expires_at: self.expires_at,
            ..spent.clone()
        };
        let spent = Session {
            expires_at: now,
            ..spent.clone()
        };
        let mut changes = Changes::default();
        changes.put(Key::api_token(&self.token), ApiToken { session: spent });
        changes.put(Key::session(&self.session), begun);
        (Some(owner), changes)
    }
}

/// A session is used.
#[derive(Clone, Debug)]
pub struct Touch {
    /// Where the session's user is.
    pub partition: Partition,
    /// The session.
    pub session: Digest,
    /// When it ends unless it is used again.
    pub expires_at: Timestamp,
}

/// How many parts of a session's length its end is moved in.
const PARTS: i64 = 30;

impl Step for Touch {
    type Outcome = Option<SessionOwner>;

    fn slot(&self) -> Slot {
        Slot::Partition(self.partition)
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::session(&self.session)]).then(&["o"])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Option<SessionOwner>, Changes) {
        let session = view.session(&self.session);
        let session = session.filter(|it| it.user.partition() == self.partition);
        let Some(session) = session.and_then(|session| good(view, session, now)) else {
            return unchanged(None);
        };
        let owner = session.owner();
        let length = self.expires_at.as_millisecond() - now.as_millisecond();
        let moved = self.expires_at.as_millisecond() - session.expires_at.as_millisecond();
        if moved < length / PARTS {
            return unchanged(Some(owner));
        }
        let touched = Session {
            expires_at: self.expires_at,
            ..session.clone()
        };
        let mut changes = Changes::default();
        changes.put(Key::session(&self.session), touched);
        (Some(owner), changes)
    }
}

/// All sessions of a user end, and its unspent SSO tokens are forgotten.
#[derive(Clone, Debug)]
pub struct EndAll {
    /// Whose.
    pub user: UserGuid,
}

impl Step for EndAll {
    type Outcome = ();

    fn slot(&self) -> Slot {
        Slot::Partition(self.user.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::sessions_ended(self.user)])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> ((), Changes) {
        let ended = SessionsEnded {
            times: times_ended(view, self.user) + 1,
            is_last: false,
        };
        let mut changes = Changes::default();
        changes.put(Key::sessions_ended(self.user), ended);
        ((), changes)
    }
}
