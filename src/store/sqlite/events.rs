//! Events: written with the change they tell of, kept until their client has taken them.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use super::SqliteStore;
use super::values::{Json, Millis};
use crate::domain::event::{Event, EventKind, Notice};
use crate::domain::id::{ClientId, EventGuid, JobGuid, MemberGuid, OauthStateGuid, UserGuid};
use crate::domain::job::Pulled;
use crate::domain::member::Member;
use crate::domain::window::{Ending, ErrorReason, Window, WindowOptions, WindowStatus};
use crate::store::{Queue, Queues, Result};

impl SqliteStore {
    pub(in crate::store) async fn reserve_events(
        &self,
        now: Timestamp,
        hold_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Event>> {
        self.threads
            .write(move |tx| reserve(tx, now, hold_until, limit))
            .await
    }

    pub(in crate::store) async fn finish_event(&self, event: EventGuid) -> Result<()> {
        self.threads
            .write(move |tx| {
                tx.prepare_cached("DELETE FROM events WHERE guid = ?")?
                    .execute(params![event])?;
                Ok(())
            })
            .await
    }

    pub(in crate::store) async fn postpone_event(
        &self,
        event: EventGuid,
        due_at: Timestamp,
    ) -> Result<()> {
        self.threads
            .write(move |tx| {
                tx.prepare_cached(
                    "UPDATE events SET due_at = ? WHERE guid = ? AND dead_at IS NULL",
                )?
                .execute(params![Millis(due_at), event])?;
                Ok(())
            })
            .await
    }

    pub(in crate::store) async fn queues(&self) -> Result<Queues> {
        self.threads
            .read(|tx| {
                let queue = |sql: &str| {
                    tx.prepare_cached(sql)?.query_row([], |row| {
                        let due_at: Option<Millis> = row.get(1)?;
                        Ok(Queue {
                            length: row.get::<_, u32>(0)?.into(),
                            due_at: due_at.map(|Millis(at)| at),
                        })
                    })
                };
                Ok(Queues {
                    events: queue(
                        "SELECT count(*), min(due_at) FROM events WHERE dead_at IS NULL",
                    )?,
                    jobs: queue(
                        "SELECT count(*), min(due_at) FROM jobs WHERE finished_at IS NULL",
                    )?,
                })
            })
            .await
    }

    pub(in crate::store) async fn bury_event(
        &self,
        event: EventGuid,
        now: Timestamp,
    ) -> Result<()> {
        self.threads
            .write(move |tx| {
                tx.prepare_cached(
                    "UPDATE events SET dead_at = ? WHERE guid = ? AND dead_at IS NULL",
                )?
                .execute(params![Millis(now), event])?;
                Ok(())
            })
            .await
    }
}

/// What a change left, for its events to show.
pub(super) struct News<'a> {
    member: &'a Member,
    window: Option<&'a Window>,
    job: Option<(JobGuid, Pulled)>,
}

impl<'a> News<'a> {
    /// About a member.
    pub fn of(member: &'a Member) -> Self {
        Self {
            member,
            window: None,
            job: None,
        }
    }

    /// About a window of the member, too.
    pub fn with_window(self, window: &'a Window) -> Self {
        Self {
            window: Some(window),
            ..self
        }
    }

    /// About an aggregation of the member, too.
    pub fn with_job(self, job: JobGuid, pulled: Pulled) -> Self {
        Self {
            job: Some((job, pulled)),
            ..self
        }
    }
}

/// Keeps an event for each notice, due at once, showing what its kind is about.
pub(super) fn tell(
    tx: &Connection,
    notices: &[Notice],
    news: &News<'_>,
    now: Timestamp,
) -> Result<()> {
    for notice in notices {
        let window = news
            .window
            .filter(|_| notice.kind == EventKind::OauthStateFinished);
        let job = news.job.filter(|_| notice.kind == EventKind::Aggregation);
        let counts = job.map(|(_, pulled)| Counts::of(pulled));
        tx.prepare_cached(
            "INSERT INTO events (guid, kind, member, window, job, transactions_created,
                 transactions_updated, happened_at, attempt, due_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
        )?
        .execute(params![
            notice.guid,
            notice.kind,
            Json(news.member),
            window.map(|window| Json(Shown(window))),
            job.map(|(job, _)| job),
            counts.map(|counts| counts.created),
            counts.map(|counts| counts.updated),
            Millis(now),
            Millis(now),
        ])?;
    }
    Ok(())
}

/// What a job pulled, in SQLite's integers.
#[derive(Clone, Copy)]
struct Counts {
    created: i64,
    updated: i64,
}

impl Counts {
    /// A count that no bank has is kept as the largest there is.
    fn of(pulled: Pulled) -> Self {
        let fit = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Self {
            created: fit(pulled.transactions_created_count),
            updated: fit(pulled.transactions_updated_count),
        }
    }
}

fn reserve(
    tx: &Connection,
    now: Timestamp,
    hold_until: Timestamp,
    limit: usize,
) -> Result<Vec<Event>> {
    let mut due = tx.prepare_cached(
        "SELECT * FROM events WHERE dead_at IS NULL AND due_at <= ? ORDER BY due_at, seq LIMIT ?",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut events: Vec<Event> = due
        .query_map(params![Millis(now), limit], from_row)?
        .collect::<rusqlite::Result<_>>()?;
    for event in &mut events {
        event.attempt += 1;
        tx.prepare_cached("UPDATE events SET attempt = ?, due_at = ? WHERE guid = ?")?
            .execute(params![event.attempt, Millis(hold_until), event.guid])?;
    }
    Ok(events)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Event> {
    let job: Option<JobGuid> = row.get("job")?;
    let job = match job {
        Some(job) => Some((
            job,
            Pulled {
                transactions_created_count: row
                    .get::<_, i64>("transactions_created")?
                    .unsigned_abs(),
                transactions_updated_count: row
                    .get::<_, i64>("transactions_updated")?
                    .unsigned_abs(),
            },
        )),
        None => None,
    };
    Ok(Event {
        guid: row.get("guid")?,
        kind: row.get("kind")?,
        member: row.get::<_, Json<_>>("member")?.0,
        window: row
            .get::<_, Option<Json<Read>>>("window")?
            .map(|Json(Read(window))| window),
        job,
        happened_at: row.get::<_, Millis>("happened_at")?.0,
        attempt: row.get("attempt")?,
    })
}

/// A window as events keep it. The compiler holds it to [`Window`]'s fields.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Window")]
struct WindowForm {
    guid: OauthStateGuid,
    member: MemberGuid,
    user: UserGuid,
    client: ClientId,
    options: WindowOptions,
    #[serde(with = "StatusForm")]
    status: WindowStatus,
    inbound: Option<MemberGuid>,
    created_at: Timestamp,
    updated_at: Timestamp,
    deadline: Timestamp,
    first_retrieved_at: Option<Timestamp>,
    retries: u8,
    detail: Option<String>,
    retry_until: Option<Timestamp>,
    previous: Option<OauthStateGuid>,
}

/// A window's status as events keep it.
#[derive(Serialize, Deserialize)]
#[serde(remote = "WindowStatus", rename_all = "snake_case")]
enum StatusForm {
    Issued,
    Opened,
    Returned,
    Succeeded,
    Errored(ErrorReason, Ending),
}

#[derive(Serialize)]
struct Shown<'a>(#[serde(with = "WindowForm")] &'a Window);

#[derive(Deserialize)]
struct Read(#[serde(with = "WindowForm")] Window);
