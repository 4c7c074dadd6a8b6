//! Windows: their rows, and the steps that mint and read them.

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::events::{self, News};
use super::values::{Json, Millis};
use super::{SqliteStore, members};
use crate::domain::event::Notice;
use crate::domain::id::{MemberGuid, OauthStateGuid, UserGuid};
use crate::domain::member::Member;
use crate::domain::window::{
    AuthStatus, Ending, ErrorReason, NewWindow, Window, WindowOptions, WindowStatus,
};
use crate::store::{Result, SessionOwner, WindowQuery};

impl SqliteStore {
    pub(in crate::store) async fn mint_window(
        &self,
        user: UserGuid,
        member: MemberGuid,
        window: &NewWindow,
        superseded: &[Notice],
        now: Timestamp,
    ) -> Result<Option<Member>> {
        let (window, superseded) = (window.clone(), superseded.to_owned());
        self.threads
            .write(move |tx| {
                let Some(member) = members::load_of(tx, user, member)? else {
                    return Ok(None);
                };
                mint(tx, member, &window, &superseded, now).map(Some)
            })
            .await
    }

    pub(in crate::store) async fn windows(
        &self,
        user: UserGuid,
        query: WindowQuery,
    ) -> Result<Vec<Window>> {
        self.threads.read(move |tx| list(tx, user, query)).await
    }

    pub(in crate::store) async fn owner_of_window(
        &self,
        window: OauthStateGuid,
    ) -> Result<Option<SessionOwner>> {
        let owner = |window: Window| SessionOwner {
            user: window.user,
            client: window.client,
        };
        self.threads
            .read(move |tx| Ok(load(tx, window)?.map(owner)))
            .await
    }

    pub(in crate::store) async fn window(
        &self,
        user: UserGuid,
        window: OauthStateGuid,
        now: Timestamp,
    ) -> Result<Option<Window>> {
        let of_user = move |window: &Window| window.user == user;
        let found = self
            .threads
            .read(move |tx| Ok(load(tx, window)?.filter(of_user)))
            .await?;
        let is_first_reading = found
            .as_ref()
            .is_some_and(|found| found.status.is_finished() && found.first_retrieved_at.is_none());
        if !is_first_reading {
            return Ok(found);
        }
        self.threads
            .write(move |tx| {
                tx.prepare_cached(
                    "UPDATE windows SET first_retrieved_at = ?
                     WHERE guid = ? AND first_retrieved_at IS NULL",
                )?
                .execute(params![Millis(now), window])?;
                Ok(load(tx, window)?.filter(of_user))
            })
            .await
    }

    pub(in crate::store) async fn overdue_windows(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Window>> {
        self.threads
            .read(move |tx| {
                let mut sql = tx.prepare_cached(
                    "SELECT * FROM windows WHERE finished_at IS NULL AND deadline <= ?
                     ORDER BY deadline LIMIT ?",
                )?;
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                let windows = sql.query_map(params![Millis(now), limit], from_row)?;
                Ok(windows.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Window> {
    let options: Option<Json<WindowOptions>> = row.get("options")?;
    Ok(Window {
        guid: row.get("guid")?,
        member: row.get("member")?,
        user: row.get("user")?,
        client: row.get("client")?,
        options: options.map(|Json(options)| options).unwrap_or_default(),
        status: status_from_row(row)?,
        inbound: row.get("inbound")?,
        created_at: row.get::<_, Millis>("created_at")?.0,
        updated_at: row.get::<_, Millis>("updated_at")?.0,
        deadline: row.get::<_, Millis>("deadline")?.0,
        first_retrieved_at: Millis::inner(row.get("first_retrieved_at")?),
        retries: row.get("retries")?,
        detail: row.get("detail")?,
        retry_until: Millis::inner(row.get("retry_until")?),
        previous: row.get("previous")?,
    })
}

fn status_from_row(row: &Row<'_>) -> rusqlite::Result<WindowStatus> {
    let unexpected = |what: &str| {
        rusqlite::Error::FromSqlConversionFailure(0, Type::Text, format!("expected {what}").into())
    };
    match row.get_ref("status")?.as_str()? {
        "issued" => Ok(WindowStatus::Issued),
        "opened" => Ok(WindowStatus::Opened),
        "returned" => Ok(WindowStatus::Returned),
        "succeeded" => Ok(WindowStatus::Succeeded),
        "errored" => {
            let ending = ending_from_name(row.get_ref("ending")?.as_str()?)
                .ok_or_else(|| unexpected("an ending"))?;
            Ok(WindowStatus::Errored(row.get("error_reason")?, ending))
        }
        _ => Err(unexpected("a window's status")),
    }
}

/// A status as its three columns keep it.
fn columns(status: WindowStatus) -> (&'static str, Option<ErrorReason>, Option<&'static str>) {
    match status {
        WindowStatus::Issued => ("issued", None, None),
        WindowStatus::Opened => ("opened", None, None),
        WindowStatus::Returned => ("returned", None, None),
        WindowStatus::Succeeded => ("succeeded", None, None),
        WindowStatus::Errored(reason, ending) => {
            ("errored", Some(reason), Some(ending_name(ending)))
        }
    }
}

const ENDINGS: [Ending; 8] = [
    Ending::Failed,
    Ending::Superseded,
    Ending::Expired,
    Ending::MemberDeleted,
    Ending::Unbound,
    Ending::Duplicate,
    Ending::OtherLogin,
    Ending::NotSetUp,
];

fn ending_name(ending: Ending) -> &'static str {
    match ending {
        Ending::Failed => "failed",
        Ending::Superseded => "superseded",
        Ending::Expired => "expired",
        Ending::MemberDeleted => "member_deleted",
        Ending::Unbound => "unbound",
        Ending::Duplicate => "duplicate",
        Ending::OtherLogin => "other_login",
        Ending::NotSetUp => "not_set_up",
    }
}

fn ending_from_name(name: &str) -> Option<Ending> {
    ENDINGS
        .into_iter()
        .find(|ending| ending_name(*ending) == name)
}

/// The window of that guid, whoever's it is.
pub(super) fn load(tx: &Connection, guid: OauthStateGuid) -> Result<Option<Window>> {
    let mut sql = tx.prepare_cached("SELECT * FROM windows WHERE guid = ?")?;
    Ok(sql.query_row(params![guid], from_row).optional()?)
}

/// The member's one unfinished window, if it has one.
pub(super) fn unfinished_of(tx: &Connection, member: MemberGuid) -> Result<Option<Window>> {
    let mut sql =
        tx.prepare_cached("SELECT * FROM windows WHERE member = ? AND finished_at IS NULL")?;
    Ok(sql.query_row(params![member], from_row).optional()?)
}

/// A window whose link is out.
pub(super) fn issued(
    member: &Member,
    new: &NewWindow,
    previous: Option<OauthStateGuid>,
    now: Timestamp,
) -> Window {
    Window {
        guid: new.guid,
        member: member.guid,
        user: member.user,
        client: member.client.clone(),
        options: new.options.clone(),
        status: WindowStatus::Issued,
        inbound: None,
        created_at: now,
        updated_at: now,
        deadline: new.deadline,
        first_retrieved_at: None,
        retries: 0,
        detail: None,
        retry_until: None,
        previous,
    }
}

/// Keeps an unfinished window for the first time.
pub(super) fn insert(tx: &Connection, window: &Window, member: &Member) -> Result<()> {
    let (status, ..) = columns(window.status);
    let options = (window.options != WindowOptions::default()).then_some(Json(&window.options));
    tx.prepare_cached(
        "INSERT INTO windows (guid, member, user, client, institution, options, status,
             created_at, updated_at, deadline, retries, retry_until, previous)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        window.guid,
        window.member,
        window.user,
        window.client,
        member.institution,
        options,
        status,
        Millis(window.created_at),
        Millis(window.updated_at),
        Millis(window.deadline),
        window.retries,
        window.retry_until.map(Millis),
        window.previous,
    ])?;
    Ok(())
}

/// Keeps a changed window: what can change of it.
pub(super) fn save(tx: &Connection, window: &Window) -> Result<()> {
    let (status, reason, ending) = columns(window.status);
    let is_finished = window.status.is_finished();
    tx.prepare_cached(
        "UPDATE windows SET status = ?, error_reason = ?, ending = ?, inbound = ?, updated_at = ?,
             deadline = ?, finished_at = ?, detail = ?, retry_until = ?
         WHERE guid = ?",
    )?
    .execute(params![
        status,
        reason,
        ending,
        window.inbound,
        Millis(window.updated_at),
        Millis(window.deadline),
        is_finished.then_some(Millis(window.updated_at)),
        window.detail,
        window.retry_until.map(Millis),
        window.guid,
    ])?;
    Ok(())
}

/// Ends a window, and forgets the secrets of its attempts: none of them can be claimed any more.
pub(super) fn finish(
    tx: &Connection,
    window: &mut Window,
    status: WindowStatus,
    now: Timestamp,
) -> Result<()> {
    window.status = status;
    window.updated_at = now;
    save(tx, window)?;
    tx.prepare_cached("UPDATE attempts SET sealed = NULL WHERE window = ?")?
        .execute(params![window.guid])?;
    Ok(())
}

fn mint(
    tx: &Connection,
    mut member: Member,
    new: &NewWindow,
    superseded: &[Notice],
    now: Timestamp,
) -> Result<Member> {
    // The same mint, sent again because its answer was lost.
    if load(tx, new.guid)?.is_some() {
        return Ok(member);
    }
    let earlier = unfinished_of(tx, member.guid)?;
    let window = issued(&member, new, member.latest_window, now);
    member.latest_window = Some(window.guid);
    members::save_change(tx, &mut member)?;
    if let Some(mut earlier) = earlier {
        let status = WindowStatus::Errored(ErrorReason::SessionError, Ending::Superseded);
        finish(tx, &mut earlier, status, now)?;
        let news = News::of(&member).with_window(&earlier);
        events::tell(tx, superseded, &news, now)?;
    }
    insert(tx, &window, &member)?;
    Ok(member)
}

fn list(tx: &Connection, user: UserGuid, query: WindowQuery) -> Result<Vec<Window>> {
    let wanted = |window: &Window| {
        query.member.is_none_or(|member| window.member == member)
            && query
                .auth_status
                .is_none_or(|status: AuthStatus| window.status.auth_status() == status)
    };
    let mut sql = tx.prepare_cached("SELECT * FROM windows WHERE user = ? ORDER BY seq DESC")?;
    let windows = sql.query_map(params![user], from_row)?;
    let found = windows
        .filter(|window| window.as_ref().map_or(true, wanted))
        .take(query.limit);
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
