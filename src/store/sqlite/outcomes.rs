//! How windows end by what happened at the institution: in a connection, or without one.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::events::{self, News};
use super::{SqliteStore, jobs, members, windows};
use crate::domain::id::MemberGuid;
use crate::domain::member::ConnectionStatus;
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

/// The member's sealed grant.
pub(super) fn grant_of(tx: &Connection, member: MemberGuid) -> Result<Option<Vec<u8>>> {
    let mut sql = tx.prepare_cached("SELECT sealed FROM grants WHERE member = ?")?;
    let grant = sql.query_row(params![member], |row| row.get("sealed"));
    Ok(grant.optional()?)
}

fn connect(tx: &Connection, connection: &NewConnection, now: Timestamp) -> Result<Committed> {
    let Some(mut window) = windows::load(tx, connection.window)? else {
        return Ok(Committed::Over);
    };
    let Some(mut member) = members::load(tx, window.member)? else {
        return Ok(Committed::Over);
    };
    if window.status != WindowStatus::Returned {
        // The same commit, sent again because its answer was lost: no two sealed grants are alike.
        let is_same = window.status == WindowStatus::Succeeded
            && grant_of(tx, member.guid)?.as_ref() == Some(&connection.sealed_grant);
        return Ok(if is_same {
            Committed::Yes(Box::new(Subject { window, member }))
        } else {
            Committed::Over
        });
    }
    tx.prepare_cached("INSERT OR REPLACE INTO grants (member, sealed) VALUES (?, ?)")?
        .execute(params![member.guid, connection.sealed_grant])?;
    if let (Some(job), None) = (&connection.job, member.current_job) {
        jobs::queue(tx, job, &member, now)?;
        member.current_job = Some(job.guid);
        member.most_recent_job = Some(job.guid);
    }
    member.status = ConnectionStatus::Connected;
    members::save_change(tx, &mut member)?;
    window.inbound = Some(member.guid);
    windows::finish(tx, &mut window, WindowStatus::Succeeded, now)?;
    let news = News::of(&member).with_window(&window);
    events::tell(tx, &connection.updated, &news, now)?;
    events::tell(tx, &connection.finished, &news, now)?;
    Ok(Committed::Yes(Box::new(Subject { window, member })))
}

fn fail(tx: &Connection, failure: &Failure, now: Timestamp) -> Result<Option<Window>> {
    let window = windows::load(tx, failure.window)?;
    let Some(mut window) = window.filter(|window| !window.status.is_finished()) else {
        return Ok(None);
    };
    // It was opened, and its deadline moved, since it was seen to be overdue.
    if failure.ending == Ending::Expired && now < window.deadline {
        return Ok(None);
    }
    let member = members::of_unfinished_window(tx, window.member)?;
    window.detail = failure.detail.clone();
    let status = WindowStatus::Errored(failure.reason, failure.ending);
    windows::finish(tx, &mut window, status, now)?;
    let news = News::of(&member).with_window(&window);
    events::tell(tx, &failure.finished, &news, now)?;
    Ok(Some(window))
}
