//! How members, users, jobs and events are written as hashes.
//!
//! A field that has its usual value is left out. Windows have a file of their own.

use redis::Value;

use super::reply::{Fields, Reply, time, unreadable};
use super::window_record::read_window;
use crate::domain::challenge::Challenge;
use crate::domain::data_request::DataRequest;
use crate::domain::event::{Event, EventKind};
use crate::domain::id::{
    EventGuid, InstitutionGuid, JobGuid, MemberGuid, OauthStateGuid, UserGuid,
};
use crate::domain::job::{Job, JobFailure, JobStatus, Pulled};
use crate::domain::member::{ConnectionStatus, Member, UseCase};
use crate::domain::secret::Digest;
use crate::domain::user::User;
use crate::store::Result;

/// A list of fields and values, to be written.
pub(super) type Written = Vec<(&'static str, String)>;

/// Fields that are there only when they have a value.
pub(super) fn present(fields: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Written {
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// What of some fields is to be written, and which are to be taken away: a field that is `None` stays
/// as it is.
pub(super) fn changes(
    fields: impl IntoIterator<Item = (&'static str, Option<Option<String>>)>,
) -> (Written, Vec<String>) {
    let (mut set, mut unset) = (Vec::new(), Vec::new());
    for (name, change) in fields {
        match change {
            None => {}
            Some(Some(value)) => set.push((name, value)),
            Some(None) => unset.push(name.to_owned()),
        }
    }
    (set, unset)
}

/// A field that is there when something is so.
pub(super) fn flag(is_set: bool) -> Option<String> {
    is_set.then(|| "1".to_owned())
}

/// Reads a compact guid of any kind.
macro_rules! guid {
    ($kind:ident) => {
        |text: &str| $kind::from_compact(text).ok()
    };
}

pub(super) use guid;

/// A user's fields.
pub(super) fn write_user(user: &User) -> Written {
    present([
        ("client", Some(user.client.to_string())),
        ("id", user.id.clone()),
        ("email", user.email.clone()),
        ("metadata", user.metadata.clone()),
        ("disabled", flag(user.is_disabled)),
        (
            "created",
            Some(user.created_at.as_millisecond().to_string()),
        ),
    ])
}

/// The user of these fields.
pub(super) fn read_user(guid: UserGuid, fields: &Fields) -> Result<User> {
    Ok(User {
        guid,
        client: fields.parse("client")?,
        id: fields.owned("id"),
        email: fields.owned("email"),
        metadata: fields.owned("metadata"),
        is_disabled: fields.has("disabled"),
        created_at: fields.time("created")?,
    })
}

/// What a member means to do with its data, as letters; `None` for nothing.
pub(super) fn write_use_cases(use_cases: &[UseCase]) -> Option<String> {
    let letters: String = use_cases
        .iter()
        .map(|use_case| match use_case {
            UseCase::Pfm => 'P',
            UseCase::MoneyMovement => 'M',
        })
        .collect();
    (!letters.is_empty()).then_some(letters)
}

/// What jobs are asked for, as JSON; `None` for nothing in particular.
pub(super) fn write_data_request(request: &DataRequest) -> Option<String> {
    (!request.is_empty()).then(|| serde_json::to_string(request).expect("lists of names are JSON"))
}

fn read_data_request(fields: &Fields) -> Result<DataRequest> {
    let request = fields.maybe("request", |json| serde_json::from_str(json).ok())?;
    Ok(request.unwrap_or_default())
}

/// What an institution asks, as JSON.
pub(super) fn write_challenges(challenges: &[Challenge]) -> String {
    serde_json::to_string(challenges).expect("texts are JSON")
}

/// A member's fields.
pub(super) fn write_member(member: &Member) -> Written {
    let millis = |time: jiff::Timestamp| time.as_millisecond().to_string();
    present([
        ("user", Some(member.user.compact())),
        ("user_id", member.user_id.clone()),
        ("client", Some(member.client.to_string())),
        ("institution", Some(member.institution.to_string())),
        ("institution_guid", Some(member.institution_guid.compact())),
        ("name", Some(member.name.clone())),
        ("external_guid", member.external_guid.clone()),
        ("metadata", member.metadata.clone()),
        ("use_cases", write_use_cases(&member.use_cases)),
        (
            "background_off",
            flag(member.background_aggregation_is_disabled),
        ),
        ("oauth", flag(member.is_oauth)),
        ("skip", flag(member.skip_aggregation)),
        ("status", Some(member.status.id().to_string())),
        ("revision", Some(member.revision.to_string())),
        ("created", Some(millis(member.created_at))),
        ("aggregated", member.aggregated_at.map(millis)),
        (
            "aggregated_ok",
            member.successfully_aggregated_at.map(millis),
        ),
        ("job", member.current_job.map(|it| it.compact())),
        ("last_job", member.most_recent_job.map(|it| it.compact())),
        ("window", member.latest_window.map(|it| it.compact())),
        ("print", member.fingerprint.map(|it| it.to_text())),
        (
            "refusals",
            (member.refusals > 0).then(|| member.refusals.to_string()),
        ),
        ("request", write_data_request(&member.data_request)),
        (
            "payload",
            member
                .callback_payload
                .as_ref()
                .map(|it| it.as_str().to_owned()),
        ),
    ])
}

/// The member of these fields.
pub(super) fn read_member(guid: MemberGuid, fields: &Fields) -> Result<Member> {
    let use_cases = fields.get("use_cases").unwrap_or_default().chars();
    let use_cases: Option<Vec<UseCase>> = use_cases
        .map(|letter| match letter {
            'P' => Some(UseCase::Pfm),
            'M' => Some(UseCase::MoneyMovement),
            _ => None,
        })
        .collect();
    Ok(Member {
        guid,
        user: fields.read("user", guid!(UserGuid))?,
        user_id: fields.owned("user_id"),
        client: fields.parse("client")?,
        institution: fields.parse("institution")?,
        institution_guid: fields.read("institution_guid", guid!(InstitutionGuid))?,
        name: fields.text("name")?.to_owned(),
        external_guid: fields.owned("external_guid"),
        metadata: fields.owned("metadata"),
        use_cases: use_cases.ok_or_else(|| unreadable("a member's use cases"))?,
        background_aggregation_is_disabled: fields.has("background_off"),
        is_oauth: fields.has("oauth"),
        skip_aggregation: fields.has("skip"),
        status: fields.read("status", |text| {
            ConnectionStatus::from_id(text.parse().ok()?)
        })?,
        revision: fields.parse("revision")?,
        created_at: fields.time("created")?,
        aggregated_at: fields.maybe("aggregated", time)?,
        successfully_aggregated_at: fields.maybe("aggregated_ok", time)?,
        current_job: fields.maybe("job", guid!(JobGuid))?,
        most_recent_job: fields.maybe("last_job", guid!(JobGuid))?,
        latest_window: fields.maybe("window", guid!(OauthStateGuid))?,
        fingerprint: fields.maybe("print", Digest::from_text)?,
        refusals: fields
            .maybe("refusals", |text| text.parse().ok())?
            .unwrap_or_default(),
        data_request: read_data_request(fields)?,
        callback_payload: fields.maybe("payload", |text| text.parse().ok())?,
    })
}

/// The job of these fields.
pub(super) fn read_job(guid: JobGuid, fields: &Fields) -> Result<Job> {
    Ok(Job {
        guid,
        member: fields.read("member", guid!(MemberGuid))?,
        user: fields.read("user", guid!(UserGuid))?,
        client: fields.parse("client")?,
        institution: fields.parse("institution")?,
        status: fields.read("status", JobStatus::from_name)?,
        attempt: fields.parse("attempt")?,
        due_at: fields.time("due")?,
        created_at: fields.time("created")?,
        updated_at: fields.time("updated")?,
        data_request: read_data_request(fields)?,
        challenges: fields
            .maybe("challenges", |json| serde_json::from_str(json).ok())?
            .unwrap_or_default(),
        round: fields
            .maybe("round", |text| text.parse().ok())?
            .unwrap_or_default(),
        failure: fields.maybe("failure", JobFailure::from_name)?,
    })
}

/// The event of these fields.
pub(super) fn read_event(guid: EventGuid, fields: &Fields) -> Result<Event> {
    let member_fields = Fields::of_snapshot(fields.text("member")?)?;
    let member = read_member(
        fields.read("member_guid", guid!(MemberGuid))?,
        &member_fields,
    )?;
    let window = match fields.maybe("window_guid", guid!(OauthStateGuid))? {
        None => None,
        Some(window) => {
            let window_fields = Fields::of_snapshot(fields.text("window")?)?;
            Some(read_window(window, &window_fields, &member_fields)?)
        }
    };
    let job = match fields.maybe("job", guid!(JobGuid))? {
        None => None,
        Some(job) => Some((
            job,
            Pulled {
                transactions_created_count: fields.parse("created")?,
                transactions_updated_count: fields.parse("updated")?,
            },
        )),
    };
    Ok(Event {
        guid,
        kind: fields.read("kind", EventKind::from_name)?,
        member,
        window,
        job,
        happened_at: fields.time("at")?,
        attempt: fields.parse("tries")?,
    })
}

/// The member of an answer.
pub(super) fn member_of(mut reply: Reply) -> Result<Member> {
    let guid = member_guid(&reply.text()?)?;
    read_member(guid, &reply.fields()?)
}

/// The job of an answer.
pub(super) fn job_of(mut reply: Reply) -> Result<Job> {
    let guid = JobGuid::from_compact(&reply.text()?).map_err(|_| unreadable("a job's guid"))?;
    read_job(guid, &reply.fields()?)
}

/// The event of an answer.
pub(super) fn event_of(mut reply: Reply) -> Result<Event> {
    let guid =
        EventGuid::from_compact(&reply.text()?).map_err(|_| unreadable("an event's guid"))?;
    read_event(guid, &reply.fields()?)
}

/// The parts of a list, each read by `read`.
pub(super) fn each<T>(value: Value, read: impl Fn(Reply) -> Result<T>) -> Result<Vec<T>> {
    let mut reply = Reply::of(value)?;
    let mut items = Vec::new();
    while !reply.is_empty() {
        items.push(read(reply.list()?)?);
    }
    Ok(items)
}

/// Reads a member's compact guid.
pub(super) fn member_guid(text: &str) -> Result<MemberGuid> {
    MemberGuid::from_compact(text).map_err(|_| unreadable("a member's guid"))
}

/// Reads a user's compact guid.
pub(super) fn user_guid(text: &str) -> Result<UserGuid> {
    UserGuid::from_compact(text).map_err(|_| unreadable("a user's guid"))
}
