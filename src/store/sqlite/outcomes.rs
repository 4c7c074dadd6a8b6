//! How windows end by what happened at the institution: in a connection, or without one.

use jiff::Timestamp;
use rusqlite::Connection;

use super::events::{self, News};
use super::{SqliteStore, jobs, members, windows};
use crate::domain::member::{ConnectionStatus, Member};
use crate::domain::secret::Digest;
use crate::domain::window::{Ending, Window, WindowStatus};
use crate::store::{Committed, Connection as NewConnection, Failure, Result, Subject};

impl SqliteStore {
    pub(in crate::store) async fn commit_connected(
        &self,
        connection: &NewConnection,
        now: Timestamp,
    ) -> Result<Committed> {
        let connection = connection.clone();
        self.threads
            .write(move |tx| connect(tx, &connection, now))
            .await
    }

    pub(in crate::store) async fn fail_window(
        &self,
        failure: &Failure,
        now: Timestamp,
    ) -> Result<Option<Window>> {
        let failure = failure.clone();
        self.threads.write(move |tx| fail(tx, &failure, now)).await
    }
}

fn connect(tx: &Connection, connection: &NewConnection, now: Timestamp) -> Result<Committed> {
    let Some(mut window) = windows::load(tx, connection.window)? else {
        return Ok(Committed::Over);
    };
    if window.status != WindowStatus::Returned {
        return repeated(tx, window, connection);
    }
    let own = members::of_unfinished_window(tx, window.member)?;
    let (mut member, outbound) = match named_inbound(tx, connection, &own)? {
        Some(inbound) => (inbound, Some(own)),
        None => (own, None),
    };
    let fingerprints = &connection.fingerprints;
    let place = (member.user, &member.institution);
    if let Some(existing) = members::known_by(tx, place, fingerprints, member.guid)? {
        return Ok(Committed::Duplicate(existing));
    }
    // A login of another origin, such as one known under a key that is gone, tells nothing.
    let is_other_login = |known: Digest| {
        !fingerprints.contains(&known) && fingerprints.iter().any(|it| it.shares_origin(&known))
    };
    if member.fingerprint.is_some_and(is_other_login) {
        return Ok(Committed::OtherLogin);
    }
    window.inbound = Some(member.guid);
    windows::finish(tx, &mut window, WindowStatus::Succeeded, now)?;
    if let Some(mut outbound) = outbound.filter(members::is_unconnected) {
        outbound.revision += 1;
        members::remove(tx, outbound.guid)?;
        events::tell(tx, &connection.deleted, &News::of(&outbound), now)?;
    }
    members::keep_means(tx, member.guid, &connection.sealed_grant)?;
    member.fingerprint = fingerprints.first().copied();
    members::follow(&mut member, ConnectionStatus::Connected);
    // What is under way pulls with the old grant: what becomes of it says nothing about the new one.
    if let Some(old) = member.current_job.take() {
        jobs::replace(tx, old, now)?;
    }
    if let Some(job) = &connection.job {
        jobs::begin(tx, job, &mut member, now)?;
    }
    if let Some(payload) = &connection.callback_payload {
        member.callback_payload = Some(payload.clone());
    }
    members::save_change(tx, &mut member)?;
    let news = News::of(&member).with_window(&window);
    events::tell(tx, &connection.updated, &news, now)?;
    events::tell(tx, &connection.finished, &news, now)?;
    Ok(Committed::Yes(Box::new(Subject { window, member })))
}

/// What a commit finds when the window is no longer `Returned`: perhaps what it did itself, when it
/// is sent again because its answer was lost. No two sealed grants are alike.
fn repeated(tx: &Connection, window: Window, connection: &NewConnection) -> Result<Committed> {
    let inbound = match window.inbound {
        Some(inbound) if window.status == WindowStatus::Succeeded => members::load(tx, inbound)?,
        _ => None,
    };
    let Some(member) = inbound else {
        return Ok(Committed::Over);
    };
    let is_same = members::means_of(tx, member.guid)?.as_ref() == Some(&connection.sealed_grant);
    Ok(if is_same {
        Committed::Yes(Box::new(Subject { window, member }))
    } else {
        Committed::Over
    })
}

/// The other member that is to receive the grant, if it still has the login.
fn named_inbound(
    tx: &Connection,
    connection: &NewConnection,
    own: &Member,
) -> Result<Option<Member>> {
    let Some(named) = connection.inbound.filter(|named| *named != own.guid) else {
        return Ok(None);
    };
    Ok(members::load_of(tx, own.user, named)?.filter(|named| {
        named.institution == own.institution
            && named
                .fingerprint
                .is_some_and(|known| connection.fingerprints.contains(&known))
    }))
}

fn fail(tx: &Connection, failure: &Failure, now: Timestamp) -> Result<Option<Window>> {
    let window = windows::load(tx, failure.window)?;
    let may_end = |status: WindowStatus| {
        !status.is_finished() && failure.only_in.is_none_or(|only| only == status)
    };
    let Some(mut window) = window.filter(|window| may_end(window.status)) else {
        return Ok(None);
    };
    // It was opened, and its deadline moved, since it was seen to be overdue.
    if failure.ending == Ending::Expired && now < window.deadline {
        return Ok(None);
    }
    let member = members::of_unfinished_window(tx, window.member)?;
    window.detail = failure.detail.clone();
    window.inbound = failure.inbound;
    let status = WindowStatus::Errored(failure.reason, failure.ending);
    windows::finish(tx, &mut window, status, now)?;
    let news = News::of(&member).with_window(&window);
    events::tell(tx, &failure.finished, &news, now)?;
    Ok(Some(window))
}
