//! Windows, attempts, and what is forgotten in the end.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use super::driver::{Backend, Care, Store};
use super::outcome::{Place, Result, StoreError};
use crate::domain::event::Notice;
use crate::domain::id::{AttemptId, MemberGuid, OauthStateGuid, Partition, UserGuid};
use crate::domain::member::Member;
use crate::domain::secret::Digest;
use crate::domain::support_code::SupportCode;
use crate::domain::window::{AuthStatus, NewWindow, Window};
use crate::steps::link::{FirstReading, Mint};
use crate::steps::record::{KeptReport, Key, List, Reads, Record, Slot};
use crate::steps::response::Hold;
use crate::steps::{
    AttemptRecord, Claim, Claimed, Committed, Confirmation, Confirmed, Connection, Failure,
    HeldTokens, Obtained, Opened, Opening, Retried, Retry, SessionOwner, WindowQuery,
};

/// How long a user's deletion may take before somebody else goes on with it.
const DELETION: SignedDuration = SignedDuration::from_secs(60);

/// How many overdue windows are read at once.
const SIDE_BY_SIDE: usize = 32;

/// How many deletions are gone on with at a time.
const DELETIONS: usize = 100;

/// The steps of a flow.
impl Store {
    /// Keeps a new window of the member, `Issued`, and ends its unfinished one, if any, as
    /// `Errored(SessionError, Superseded)`. `superseded` is told with that one. `None`: no such
    /// member.
    pub async fn mint_window(
        &self,
        user: UserGuid,
        member: MemberGuid,
        window: &NewWindow,
        superseded: &[Notice],
        now: Timestamp,
    ) -> Result<Option<Member>> {
        let _timing = self.timed("mint_window");
        let mint = Mint {
            user,
            member,
            window: window.clone(),
            superseded: superseded.to_vec(),
        };
        self.step(&mint, now).await
    }

    /// A browser follows a link; see [`steps::link`](crate::steps::link).
    pub async fn open_window(&self, opening: &Opening, now: Timestamp) -> Result<Opened> {
        let _timing = self.timed("open_window");
        // The person goes to the institution, and must be known when it sends them back.
        self.step_with(Care::Leaving, opening, now).await
    }

    /// Keeps what the institution said before the browser leaves; `false`: the attempt has ended. See
    /// [`steps::departure`](crate::steps::departure).
    pub async fn keep_obtained(&self, obtained: &Obtained, now: Timestamp) -> Result<bool> {
        let _timing = self.timed("keep_obtained");
        self.step_with(Care::Leaving, obtained, now).await
    }

    /// An institution's response arrives; see [`steps::response`](crate::steps::response). After `Accepted` the
    /// window's deadline is [`SETTLING`](super::SETTLING) away.
    pub async fn claim_callback(&self, claim: &Claim, now: Timestamp) -> Result<Claimed> {
        let _timing = self.timed("claim_callback");
        self.step_with(Care::Irreplaceable, claim, now).await
    }

    /// Keeps a response that came by POST, sealed, for the GET that follows it, until `expires_at`;
    /// `false` when no attempt of that id awaits one.
    pub async fn hold_response(
        &self,
        attempt: &AttemptId,
        handle: Digest,
        sealed: &[u8],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool> {
        let _timing = self.timed("hold_response");
        let hold = Hold {
            attempt: attempt.clone(),
            handle,
            sealed: sealed.to_owned(),
            expires_at,
        };
        self.step_with(Care::Leaving, &hold, now).await
    }

    /// The response held under that handle, if it has not expired.
    pub async fn held_response(
        &self,
        partition: Partition,
        handle: Digest,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>> {
        let _timing = self.timed("held_response");
        let slot = Slot::Partition(partition);
        let view = self.look(slot, Reads::of([Key::held(&handle)])).await?;
        let held = view.held(&handle).filter(|held| now < held.expires_at);
        Ok(held.map(|held| held.sealed.clone().into()))
    }

    /// The attempt of that id with its window.
    pub async fn attempt(&self, attempt: &AttemptId) -> Result<Option<AttemptRecord>> {
        let _timing = self.timed("attempt");
        let slot = Slot::Partition(attempt.partition());
        let reads = || AttemptRecord::reads(attempt);
        let view = self.look(slot.clone(), reads()).await?;
        let found = AttemptRecord::of(&view, attempt);
        let is_finished = found
            .as_ref()
            .is_some_and(|it| it.window.status.is_finished());
        if !is_finished || !self.acknowledges(&slot).await? {
            return Ok(found);
        }
        // Somebody is about to be told how it ended.
        let view = self.look_lasting(slot, reads()).await?;
        Ok(AttemptRecord::of(&view, attempt))
    }

    /// A token set waits for its confirmation; `false`: its window has ended, and it must be revoked.
    pub async fn hold_tokens(&self, held: &HeldTokens, now: Timestamp) -> Result<bool> {
        let _timing = self.timed("hold_tokens");
        self.step_with(Care::Irreplaceable, held, now).await
    }

    /// A member service confirms an authorization; see [`steps::completion`](crate::steps::completion). After `Code` the
    /// window's deadline is [`SETTLING`](super::SETTLING) away.
    pub async fn confirm(&self, confirmation: &Confirmation, now: Timestamp) -> Result<Confirmed> {
        let _timing = self.timed("confirm");
        self.step_with(Care::Irreplaceable, confirmation, now).await
    }

    /// The member is connected, all or nothing; see [`steps::connection`](crate::steps::connection). The
    /// `external_guid` of a member that a merge removed is given back afterwards.
    pub async fn commit_connected(
        &self,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Committed> {
        let _timing = self.timed("commit_connected");
        let (committed, removed) = self.step_with(Care::Irreplaceable, connection, now).await?;
        if let Some(removed) = removed {
            self.give_back_external(&removed, now).await;
        }
        Ok(committed)
    }

    /// Ends an unfinished window without success; see [`steps::ending`](crate::steps::ending).
    pub async fn fail_window(&self, failure: &Failure, now: Timestamp) -> Result<Option<Window>> {
        let _timing = self.timed("fail_window");
        self.step(failure, now).await
    }

    /// The same, however long the store is away: for an end that nobody would find out a second time.
    pub async fn fail_window_persistently(
        &self,
        failure: &Failure,
        now: Timestamp,
    ) -> Result<Option<Window>> {
        let _timing = self.timed("fail_window_persistently");
        self.step_with(Care::Irreplaceable, failure, now).await
    }

    /// What is kept of the attempt of that support code, if it failed not too long ago. The code does not say where, so
    /// every partition is asked.
    pub async fn report(&self, code: SupportCode, now: Timestamp) -> Result<Option<KeptReport>> {
        let _timing = self.timed("report");
        for partition in Partition::all() {
            let reads = Reads::of([Key::report(code)]);
            let view = self.look(Slot::Partition(partition), reads).await?;
            let kept = view.report(code).filter(|kept| now < kept.expires_at);
            if let Some(kept) = kept {
                return Ok(Some(kept.clone()));
            }
        }
        Ok(None)
    }

    /// "Try again"; see [`steps::retry`](crate::steps::retry).
    pub async fn retry_window(&self, retry: &Retry, now: Timestamp) -> Result<Retried> {
        let _timing = self.timed("retry_window");
        self.step_with(Care::Leaving, retry, now).await
    }
}

/// Readings.
impl Store {
    /// The user's windows, newest first.
    pub async fn windows(&self, user: UserGuid, query: WindowQuery) -> Result<Vec<Window>> {
        let _timing = self.timed("windows");
        let mut heads = self.newest_windows(user, query.member).await?;
        // Only the newest window of a member can be unfinished.
        let is_chain_wanted = query.auth_status != Some(AuthStatus::Pending);
        let mut windows: Vec<Window> = Vec::new();
        // One round for each link of the longest chain, as far as it is wanted.
        let mut rounds = 0;
        while !heads.is_empty() && rounds < query.limit {
            rounds += 1;
            let slot = Slot::Partition(user.partition());
            let view = self.look(slot, Reads::of(heads)).await?;
            let found = view.records().filter_map(|record| match record {
                Record::Window(kept) if kept.window.user == user => Some(&kept.window),
                _ => None,
            });
            let found: Vec<&Window> = found.collect();
            let further = found.iter().filter_map(|window| window.previous);
            heads = further
                .filter(|_| is_chain_wanted)
                .map(Key::window)
                .collect();
            windows.extend(found.into_iter().filter(|it| query.wants(it)).cloned());
        }
        windows.sort_by_key(|window| std::cmp::Reverse(window.created_at));
        windows.truncate(query.limit);
        Ok(windows)
    }

    /// The newest window of each of the user's members, deleted ones included; of that member alone, if it is
    /// named and was not deleted.
    async fn newest_windows(&self, user: UserGuid, of: Option<MemberGuid>) -> Result<Vec<Key>> {
        let named = match of {
            Some(member) => self.member_of(user, member).await?,
            None => None,
        };
        if let Some(member) = named {
            return Ok(member.latest_window.map(Key::window).into_iter().collect());
        }
        let mut newest: Vec<Key> = Vec::new();
        if of.is_none() {
            let members = self.members_of(user).await?;
            newest.extend(
                members
                    .iter()
                    .filter_map(|it| it.latest_window.map(Key::window)),
            );
        }
        let deleted = self.all_places(user, List::DeletedMembers(user)).await?;
        let deleted = deleted.into_iter().map(|place| place.key);
        newest.extend(deleted.filter(|key| key.kind() == 'w'));
        Ok(newest)
    }

    /// The user's window of that guid. Reading a finished one for the first time sets its
    /// `first_retrieved_at`.
    pub async fn window(
        &self,
        user: UserGuid,
        window: OauthStateGuid,
        now: Timestamp,
    ) -> Result<Option<Window>> {
        let _timing = self.timed("window");
        let found = self.any_window(window).await?;
        let Some(found) = found.filter(|found| found.user == user) else {
            return Ok(None);
        };
        if !found.status.is_finished() || found.first_retrieved_at.is_some() {
            return Ok(Some(found));
        }
        self.step(&FirstReading { window }, now).await
    }

    async fn any_window(&self, guid: OauthStateGuid) -> Result<Option<Window>> {
        let slot = Slot::Partition(guid.partition());
        let view = self.look(slot, Reads::of([Key::window(guid)])).await?;
        Ok(view.window(guid).map(|kept| kept.window.clone()))
    }

    /// The window, if its member can be read too.
    async fn window_with_member(&self, guid: OauthStateGuid) -> Result<Option<Window>> {
        let found = self.any_window(guid).await?;
        if let Some(window) = &found {
            let slot = Slot::Partition(guid.partition());
            self.look(slot, Reads::of([Key::member(window.member)]))
                .await?;
        }
        Ok(found)
    }

    /// Whose window it is, whoever asks.
    pub async fn owner_of_window(&self, window: OauthStateGuid) -> Result<Option<SessionOwner>> {
        let _timing = self.timed("owner_of_window");
        let window = self.any_window(window).await?;
        Ok(window.map(|window| SessionOwner {
            user: window.user,
            client: window.client,
        }))
    }

    /// Unfinished windows whose deadline has passed, at most `limit`. One that cannot be read is set
    /// aside, and so is one whose member cannot be read: its event would show that member. Its deadline is then
    /// applied when a browser visits it, once the member can be read again.
    pub async fn overdue_windows(&self, now: Timestamp, limit: usize) -> Result<Vec<Window>> {
        let _timing = self.timed("overdue_windows");
        let places = self.past(List::Deadlines, now, limit).await?;
        let found = stream::iter(places).map(|place| self.overdue_window(place, now));
        let found = found.buffered(SIDE_BY_SIDE);
        found
            .try_filter_map(async |window| Ok(window))
            .try_collect()
            .await
    }

    /// The window at that place, unless it is gone or was set aside.
    async fn overdue_window(&self, place: Place, now: Timestamp) -> Result<Option<Window>> {
        let guid = place.key.id_of('w').map(OauthStateGuid::from_compact);
        let Some(Ok(guid)) = guid else {
            let (key, why) = (place.key.as_str(), "its key is no window's");
            tracing::error!(key, why, "a record cannot be read; set aside");
            self.set_aside(List::Deadlines, place, now).await?;
            return Ok(None);
        };
        match self.window_with_member(guid).await {
            Err(StoreError::Unreadable(why)) => {
                tracing::error!(oauth_state = %guid, why, "a window cannot be read; set aside");
                self.set_aside(List::Deadlines, place, now).await?;
                Ok(None)
            }
            found => found,
        }
    }

    /// Forgets what has been kept long enough, and goes on with deletions that were cut off. A user whose
    /// deletion cannot go on, because of a record that cannot be read, is set aside.
    pub async fn purge(&self, now: Timestamp) -> Result<()> {
        let _timing = self.timed("purge");
        let cut_off = now.checked_sub(DELETION).unwrap_or(Timestamp::MIN);
        for place in self.past(List::Deletions, cut_off, DELETIONS).await? {
            match self.go_on_deleting(&place.key, now).await {
                Ok(()) => {}
                // No other user's deletion would do better.
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                Err(error) => {
                    let (key, why) = (place.key.as_str(), error.to_string());
                    tracing::error!(key, why, "a record cannot be read; set aside");
                    self.set_aside(List::Deletions, place, now).await?;
                }
            }
        }
        match &self.backend {
            Backend::Sqlite(store) => store.forget(now).await,
            // Finished records have a time to live, so nothing has to be purged.
            Backend::Redis(_) => Ok(()),
        }
    }

    /// Goes on with the deletion of the user of that key.
    async fn go_on_deleting(&self, key: &Key, now: Timestamp) -> Result<()> {
        let guid = key.id_of('u').map(UserGuid::from_compact);
        let Some(Ok(guid)) = guid else {
            return Err(StoreError::Unreadable("its key is no user's".to_owned()));
        };
        let slot = Slot::Partition(guid.partition());
        let view = self.look(slot, Reads::of([Key::user(guid)])).await?;
        match view.user(guid) {
            Some(kept) => self.finish_deletion(&kept.user, now).await,
            None => Ok(()),
        }
    }
}

impl WindowQuery {
    fn wants(&self, window: &Window) -> bool {
        self.member.is_none_or(|member| window.member == member)
            && self
                .auth_status
                .is_none_or(|status| window.status.auth_status() == status)
    }
}
