//! What the member API adds, where Redis does it in its own way: names in two slots, statuses in
//! Lua, and sealed bytes beside hashes of texts.

use super::*;
use crate::domain::challenge::{Challenge, ChallengeKind};
use crate::domain::job::{JobFailure, JobReport, JobStatus};
use crate::domain::secret::Digest;
use crate::store::redis::users::{Reservation, UniqueName};
use crate::store::{
    Answered, Answering, Deletion, Idempotence, IdempotentRequest, Lease, MemberChange,
    MemberCreation, MemberUpdate, NewCredentials, Recorded, Reported, SOFT_DELETED, SealedMeans,
    Standing, StoreError, UserChange, UserUpdate,
};

/// Bytes that are no text.
const BYTES: &[u8] = b"\0\xff\r\n sealed \x80";

pub(super) fn login(name: &str) -> Digest {
    Digest::of("login", name)
}

/// A standard member of `user` whose login is `name`, its first job queued.
pub(super) fn standard(user: UserGuid, name: &str) -> NewMember {
    let mut new = new_member(user, new_window(user.partition(), at(600)));
    let job = new_job(user.partition());
    new.window = None;
    new.sealed_credentials = Some([BYTES, name.as_bytes()].concat());
    new.fingerprints = vec![login(name)];
    new.member = Member {
        is_oauth: false,
        status: ConnectionStatus::Created,
        latest_window: None,
        fingerprint: Some(login(name)),
        current_job: Some(job.guid),
        most_recent_job: Some(job.guid),
        ..new.member
    };
    new.job = Some(job);
    new
}

pub(super) fn change(member: &Member) -> MemberChange {
    MemberChange {
        user: member.user,
        member: member.guid,
        name: None,
        external_guid: None,
        metadata: None,
        use_cases: None,
        background_aggregation_is_disabled: None,
        callback_payload: None,
        data_request: None,
        credentials: None,
        updated: Vec::new(),
    }
}

fn deletion(member: &Member) -> Deletion {
    Deletion {
        user: member.user,
        member: member.guid,
        deleted: Vec::new(),
        finished: Vec::new(),
    }
}

fn reported(job: JobGuid, report: JobReport, status: ConnectionStatus) -> Reported {
    Reported {
        job,
        report,
        due_at: at(700),
        standing: Standing {
            at_first: Some(status),
            later: Some(status),
            is_refusal: false,
        },
        changed: Vec::new(),
    }
}

async fn create(store: &RedisStore, new: &NewMember) -> MemberCreation {
    store.create_member(new, at(0)).await.expect("answered")
}

async fn update(store: &RedisStore, change: &MemberChange) -> MemberUpdate {
    store.update_member(change, at(1)).await.expect("answered")
}

async fn name_of(server: &Server, store: &RedisStore, index: &str, name: &str) -> Option<String> {
    let key = format!("{}{index}", store.keys.client(&client()));
    server.query(&["HGET", &key, name]).await
}

/// As if whatever was reserved had been reserved long ago.
async fn let_reservations_end(server: &Server, store: &RedisStore) {
    let key = format!("{}pending", store.keys.client(&client()));
    let _: i64 = server.query(&["DEL", &key]).await;
}

#[tokio::test]
async fn the_scripts_write_what_the_table_allows_and_nothing_else() {
    let server = Server::start().await;
    let store = open(&server).await;
    for from in ConnectionStatus::ALL {
        for to in ConnectionStatus::ALL {
            let user = a_user(&store).await;
            let mut new = standard(user, "ada");
            new.member.status = *from;
            assert_eq!(create(&store, &new).await, MemberCreation::Created);
            let job = new.job.as_ref().expect("a job").guid;
            let mut report = reported(job, JobReport::Failed(JobFailure::Unavailable), *to);
            let told = notice(user.partition(), EventKind::ConnectionStatus);
            report.changed = vec![told];
            let recorded = store.record_report(&report, at(40)).await;
            assert!(matches!(recorded, Ok(Recorded::Yes(_))), "{recorded:?}");
            let member = store.member(user, new.member.guid).await.expect("read");
            let member = member.expect("kept");
            let kept = match to.awaits_a_job() {
                true => *from,
                false => from.then(*to).unwrap_or(*from),
            };
            let expected = match kept.awaits_a_job() {
                true => ConnectionStatus::Failed,
                false => kept,
            };
            assert_eq!(member.status, expected, "{from:?} to {to:?}");
            assert_eq!(
                (member.current_job, member.aggregated_at, member.revision),
                (None, Some(at(40)), 2),
                "the rest of the report counts"
            );
            let base = store.keys.partition(user.partition());
            let event = format!("{base}e{}", told.guid.compact());
            let is_told = server.query::<bool>(&["EXISTS", &event]).await;
            assert_eq!(is_told, member.status != *from, "{from:?} to {to:?}");
        }
    }
}

#[test]
fn only_one_call_of_all_scripts_writes_the_status_of_a_member_that_exists() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/redis");
    let mut scripts = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|kind| kind != "lua") {
            continue;
        }
        scripts += 1;
        let code = std::fs::read_to_string(&path).expect("a script");
        let written: Vec<&str> = code
            .split("call(")
            .filter(|call| call.starts_with("'HSET'") && call.contains("'status'"))
            .collect();
        let name = path.file_name().expect("a name").to_string_lossy();
        match name.as_ref() {
            "lib.lua" => {
                // A job's as it begins and as it ends, and a member's in `become`. Jobs alone say
                // when they changed.
                assert_eq!(written.len(), 3, "{written:?}");
                let of_members: Vec<_> = written
                    .iter()
                    .filter(|it| !it.contains("'updated', now"))
                    .collect();
                assert_eq!(of_members.len(), 1, "{of_members:?}");
                assert!(of_members[0].starts_with("'HSET', key, 'status', to)"));
            }
            // The others write jobs.
            _ => {
                for call in written {
                    assert!(call.starts_with("'HSET', key, "), "{name}: {call}");
                    assert!(code.contains("local key = base .. 'j'"), "{name}");
                    assert!(!code.contains("key = base .. 'm' .. guid"), "{name}");
                }
            }
        }
    }
    assert!(scripts > 30, "{scripts}");
}

#[tokio::test]
async fn answers_are_kept_as_bytes_and_as_long_as_they_are_wanted() {
    let server = Server::start().await;
    let store = open(&server).await;
    let user = a_user(&store).await;
    let new = standard(user, "ada");
    create(&store, &new).await;
    let job = new.job.as_ref().expect("a job").guid;
    let push = async || {
        let taken = store.reserve_jobs(at(1), at(2), 9).await.expect("taken");
        assert_eq!(taken.len(), 1);
    };
    let ask = async |round: u32| {
        let question = Challenge {
            guid: crate::domain::id::CredentialGuid::new(&Distinct, user.partition()),
            field_name: "code".to_owned(),
            label: "«Ünlü?» \u{1F3E6} \"\\".to_owned(),
            kind: ChallengeKind::Text,
        };
        let report = JobReport::Challenged(vec![question.clone()]);
        let report = reported(job, report, ConnectionStatus::Challenged);
        for _ in 0..2 {
            let recorded = store.record_report(&report, at(1)).await.expect("kept");
            let Recorded::Yes(job) = recorded else {
                panic!("{recorded:?}");
            };
            assert_eq!((job.status, job.round), (JobStatus::Challenged, round));
            assert_eq!(job.challenges, std::slice::from_ref(&question));
        }
    };
    let answering = |round, answer: &[u8]| Answering {
        user,
        member: new.member.guid,
        job,
        round,
        sealed_answers: answer.to_vec(),
        callback_payload: None,
        updated: Vec::new(),
    };
    let leased = async || match store.lease(job).await.expect("read") {
        Lease::Granted {
            sealed,
            sealed_answers,
            ..
        } => {
            let credentials = new.sealed_credentials.clone().expect("credentials");
            assert_eq!(sealed, SealedMeans::Credentials(credentials));
            sealed_answers
        }
        other => panic!("{other:?}"),
    };
    let base = store.keys.partition(user.partition());
    let key = format!("{base}q{}", job.compact());
    let are_kept = async || server.query::<bool>(&["EXISTS", &key]).await;

    push().await;
    assert_eq!(leased().await, None);
    ask(1).await;
    assert_eq!(store.lease(job).await.expect("read"), Lease::Over);
    let early = store.answer_challenges(&answering(2, BYTES), at(1)).await;
    assert!(matches!(early, Ok(Answered::NotAsked(_))), "{early:?}");
    let first = store.answer_challenges(&answering(1, BYTES), at(1)).await;
    let again = store.answer_challenges(&answering(1, BYTES), at(1)).await;
    let (Ok(Answered::Yes(first)), Ok(Answered::Yes(again))) = (&first, &again) else {
        panic!("{first:?} {again:?}");
    };
    assert_eq!(
        (first.status, first.revision),
        (ConnectionStatus::Resumed, 3)
    );
    assert_eq!(first, again);
    push().await;
    assert_eq!(leased().await.as_deref(), Some(BYTES));

    // Asked again, the earlier answers are forgotten; and the last ones with the job.
    ask(2).await;
    assert!(!are_kept().await);
    let second = store.answer_challenges(&answering(2, b"\xfe"), at(1)).await;
    assert!(matches!(second, Ok(Answered::Yes(_))), "{second:?}");
    assert!(are_kept().await);
    let report = JobReport::Failed(JobFailure::Rejected);
    let report = reported(job, report, ConnectionStatus::Rejected);
    let recorded = store.record_report(&report, at(2)).await.expect("kept");
    let Recorded::Yes(failed) = recorded else {
        panic!("{recorded:?}");
    };
    assert_eq!(failed.failure, Some(JobFailure::Rejected));
    assert_eq!((failed.challenges, failed.round), (Vec::new(), 2));
    assert!(!are_kept().await);
}

#[tokio::test]
async fn a_refused_creation_gives_its_name_back() {
    let server = Server::start().await;
    let store = open(&server).await;
    let user = a_user(&store).await;
    let first = standard(user, "ada");
    create(&store, &first).await;
    let mut second = standard(user, "ada");
    second.member.external_guid = Some("ext 1".to_owned());
    let duplicate = MemberCreation::Duplicate(first.member.guid);
    assert_eq!(create(&store, &second).await, duplicate);
    assert_eq!(name_of(&server, &store, "externals", "ext 1").await, None);
    let keys: Vec<String> = server.query(&["KEYS", "*"]).await;
    let guid = second.member.guid.compact();
    assert!(!keys.iter().any(|key| key.contains(&guid)), "{keys:?}");

    let mut other = standard(a_user(&store).await, "ada");
    other.member.external_guid = Some("ext 1".to_owned());
    assert_eq!(create(&store, &other).await, MemberCreation::Created);
}

#[tokio::test]
async fn a_crash_between_the_name_and_its_bearer_leaves_the_name_free() {
    let server = Server::start().await;
    let store = open(&server).await;
    let user = a_user(&store).await;
    let mut bearer = standard(user, "ada");
    bearer.member.external_guid = Some("old".to_owned());
    create(&store, &bearer).await;
    let mut next = standard(a_user(&store).await, "bob");
    next.member.external_guid = Some("new".to_owned());

    // The first half of a change of the name, and then nothing.
    let name = UniqueName {
        index: "externals",
        name: Some("new"),
    };
    let guid = bearer.member.guid.compact();
    let reservation = store.reserve(&client(), name, &guid, "", None).await;
    assert!(matches!(reservation, Ok(Reservation::Until(_))));
    let taken = MemberCreation::ExternalGuidTaken(bearer.member.guid);
    assert_eq!(create(&store, &next).await, taken);
    let_reservations_end(&server, &store).await;
    assert_eq!(create(&store, &next).await, MemberCreation::Created);
    let found = async |user, name| {
        let found = store.member_by_external_guid(&client(), user, name).await;
        found.expect("read").map(|member| member.guid)
    };
    assert_eq!(found(user, "old").await, Some(bearer.member.guid));
    assert_eq!(found(user, "new").await, None, "another user's");
    assert_eq!(found(next.member.user, "new").await, Some(next.member.guid));

    // A change whose last half was cut off: the old name is still reserved, and nobody bears it.
    let mut renaming = change(&bearer.member);
    renaming.external_guid = Some(Some("newer".to_owned()));
    update(&store, &renaming).await;
    let name = UniqueName {
        index: "externals",
        name: Some("old"),
    };
    let reservation = store.reserve(&client(), name, &guid, "", None).await;
    assert!(matches!(reservation, Ok(Reservation::Until(_))));
    let_reservations_end(&server, &store).await;
    let mut heir = standard(a_user(&store).await, "eve");
    heir.member.external_guid = Some("old".to_owned());
    assert_eq!(create(&store, &heir).await, MemberCreation::Created);
}

#[tokio::test]
async fn a_name_that_changed_goes_back_and_no_other() {
    let server = Server::start().await;
    let store = open(&server).await;
    let user = a_user(&store).await;
    let (first, other) = (standard(user, "ada"), standard(user, "bob"));
    create(&store, &first).await;
    create(&store, &other).await;
    let rename = async |to: Option<&str>| {
        let mut renaming = change(&first.member);
        renaming.external_guid = Some(to.map(str::to_owned));
        match update(&store, &renaming).await {
            MemberUpdate::Updated(member) => member,
            other => panic!("{other:?}"),
        }
    };
    let holder = Some(first.member.guid.compact());
    for (name, before) in [("one", None), ("two", Some("one")), ("two", Some("one"))] {
        let member = rename(Some(name)).await;
        assert_eq!(member.external_guid.as_deref(), Some(name));
        assert_eq!(name_of(&server, &store, "externals", name).await, holder);
        if let Some(before) = before {
            assert_eq!(name_of(&server, &store, "externals", before).await, None);
        }
    }

    // Refused, a new name goes back, and the one it has stays.
    for (name, kept) in [("two", holder.clone()), ("three", None)] {
        let mut refused = change(&first.member);
        refused.external_guid = Some(Some(name.to_owned()));
        refused.credentials = Some(NewCredentials {
            sealed: BYTES.to_vec(),
            fingerprints: other.fingerprints.clone(),
            job: None,
        });
        let duplicate = MemberUpdate::Duplicate(other.member.guid);
        assert_eq!(update(&store, &refused).await, duplicate);
        assert_eq!(name_of(&server, &store, "externals", name).await, kept);
    }

    // An older reservation, still on its way back, takes nothing from a newer one.
    let name = UniqueName {
        index: "externals",
        name: Some("two"),
    };
    let guid = first.member.guid.compact();
    let reserve = async || match store.reserve(&client(), name, &guid, "", None).await {
        Ok(Reservation::Until(until)) => until,
        _ => panic!("taken"),
    };
    let (older, newer) = (reserve().await, reserve().await);
    assert_ne!(older, newer);
    store.release(&client(), name, &guid, &older).await;
    assert_eq!(name_of(&server, &store, "externals", "two").await, holder);

    assert_eq!(rename(None).await.external_guid, None);
    assert_eq!(name_of(&server, &store, "externals", "two").await, None);
}

#[tokio::test]
async fn a_second_half_that_comes_too_late_is_refused() {
    let server = Server::start().await;
    let store = open(&server).await;
    let new = standard(a_user(&store).await, "ada");
    create(&store, &new).await;
    let base = store.keys.partition(new.member.guid.partition());
    let key = format!("{base}m{}", new.member.guid.compact());
    // As if a later change of the name had come first.
    let _: i64 = server
        .query(&["HSET", &key, "named", "99999999999999"])
        .await;
    let mut renaming = change(&new.member);
    renaming.external_guid = Some(Some("ext 1".to_owned()));
    let late = store.update_member(&renaming, at(1)).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    let kept = store.member(new.member.user, new.member.guid).await;
    assert_eq!(kept.expect("read"), Some(new.member));
}

#[tokio::test]
async fn a_user_changes_its_id_and_goes_from_both_slots() {
    let server = Server::start().await;
    let store = open(&server).await;
    let user = User {
        id: Some("one".to_owned()),
        ..new_user()
    };
    store.create_user(&user).await.expect("kept");
    let mut named = standard(user.guid, "ada");
    named.member.external_guid = Some("ext 1".to_owned());
    create(&store, &named).await;
    let gone = standard(user.guid, "bob");
    create(&store, &gone).await;
    let deleted = store.delete_member(&deletion(&gone.member), at(1)).await;
    assert!(deleted.expect("done").is_some());

    let change = UserChange {
        client: client(),
        user: user.guid,
        id: Some(Some("two".to_owned())),
        email: Some(None),
        metadata: None,
        is_disabled: Some(false),
    };
    for _ in 0..2 {
        let updated = store.update_user(&change).await.expect("answered");
        let expected = User {
            id: Some("two".to_owned()),
            email: None,
            is_disabled: false,
            ..user.clone()
        };
        assert_eq!(updated, UserUpdate::Updated(Box::new(expected)));
    }
    assert_eq!(name_of(&server, &store, "ids", "one").await, None);
    let member = store.member(user.guid, named.member.guid).await;
    let member = member.expect("read").expect("kept");
    assert_eq!(member.user_id.as_deref(), Some("two"));

    let deleted = store.delete_user(&client(), user.guid, at(2)).await;
    assert!(deleted.expect("done").is_some());
    let again = store.delete_user(&client(), user.guid, at(2)).await;
    assert_eq!(again.expect("done"), None);
    let left: Vec<String> = server.query(&["KEYS", "*"]).await;
    for key in left {
        let life = server.query::<i64>(&["PTTL", &key]).await;
        // Reservations are few, and swept by the next one.
        assert!(life > 0 || key.ends_with("pending"), "{key} stays for ever");
    }
}

#[tokio::test]
async fn a_deleted_member_is_kept_as_long_as_it_should_be() {
    let server = Server::start().await;
    let store = open(&server).await;
    let user = a_user(&store).await;
    let new = standard(user, "ada");
    create(&store, &new).await;
    let deletion = deletion(&new.member);
    let deleted = store.delete_member(&deletion, at(5)).await.expect("done");
    let last = Member {
        revision: new.member.revision + 1,
        ..new.member.clone()
    };
    assert_eq!(deleted, Some(last));
    let base = store.keys.partition(user.partition());
    let guid = new.member.guid.compact();
    let life = server
        .query::<i64>(&["PTTL", &format!("{base}x{guid}")])
        .await;
    let wanted = i64::try_from(SOFT_DELETED.as_millis()).expect("small");
    assert!((wanted - 60_000..=wanted).contains(&life), "{life}");
    let means = server
        .query::<bool>(&["EXISTS", &format!("{base}g{guid}")])
        .await;
    assert!(!means, "secrets go at once");
    let read = async |now| {
        let kept = store.deleted_member(user, new.member.guid, now).await;
        kept.expect("read")
    };
    assert_eq!(read(at(5)).await, deleted);
    let end = at(5) + SOFT_DELETED;
    assert_eq!(read(end - Duration::from_millis(1)).await, deleted);
    assert_eq!(read(end).await, None);
    assert_eq!(
        create(&store, &standard(user, "bob")).await,
        MemberCreation::Created
    );
    assert_eq!(read(at(6)).await, deleted, "that is another login");
    assert_eq!(
        create(&store, &standard(user, "ada")).await,
        MemberCreation::Created
    );
    assert_eq!(read(at(6)).await, None);
}

#[tokio::test]
async fn an_idempotent_request_lives_in_its_clients_slot_and_ends() {
    let server = Server::start().await;
    let store = open(&server).await;
    let request = IdempotentRequest {
        client: client(),
        key: login("a key"),
        request: login("a request"),
        held_until: at(60),
        expires_at: at(86_400),
    };
    let begin = async |now| {
        store
            .begin_idempotent(&request, now)
            .await
            .expect("answered")
    };
    assert_eq!(begin(at(0)).await, Idempotence::First);
    assert_eq!(begin(at(1)).await, Idempotence::UnderWay);
    let finish = async |answer| {
        let finished = store.finish_idempotent(&request, answer, at(2)).await;
        finished.expect("kept");
    };
    finish(BYTES).await;
    finish(b"another").await;
    store.release_idempotent(&request).await.expect("answered");
    assert_eq!(begin(at(3)).await, Idempotence::Answered(BYTES.to_vec()));
    let keys: Vec<String> = server.query(&["KEYS", "*"]).await;
    let base = store.keys.client(&client());
    assert_eq!(keys, [format!("{base}i{}", request.key.to_text())]);
    let life = server.query::<i64>(&["PTTL", &keys[0]]).await;
    assert!(life > 0, "{life}");
    assert_eq!(begin(at(86_400)).await, Idempotence::First);
}

#[tokio::test]
async fn a_merge_moves_the_grant_and_leaves_the_links_readable() {
    let server = Server::start().await;
    let store = open(&server).await;
    let user = a_user(&store).await;
    let join = async |name: Option<&str>| {
        let mut new = new_member(user, new_window(user.partition(), at(600)));
        new.member.external_guid = name.map(str::to_owned);
        create(&store, &new).await;
        bring_back(&store, &new).await;
        let mut connection = connection(new.window.as_ref().expect("a window").guid);
        connection.fingerprints = vec![login("ada"), login("ada, by an older key")];
        connection
            .sealed_grant
            .extend_from_slice(new.member.guid.compact().as_bytes());
        (new.member, connection)
    };
    let (first, connection) = join(None).await;
    let committed = store.commit_connected(&connection, at(30)).await;
    assert_eq!(
        committed_subject(committed).member.fingerprint,
        Some(login("ada"))
    );

    let (second, mut connection) = join(Some("ext 1")).await;
    let committed = store.commit_connected(&connection, at(31)).await;
    let duplicate = Committed::Duplicate(first.guid);
    assert_eq!(committed.expect("answered"), duplicate);
    connection.inbound = Some(first.guid);
    let done = committed_subject(store.commit_connected(&connection, at(32)).await);
    let again = committed_subject(store.commit_connected(&connection, at(33)).await);
    assert_eq!(done, again);
    assert_eq!(done.member.guid, first.guid);
    assert_eq!(
        (done.window.member, done.window.inbound),
        (second.guid, Some(first.guid))
    );
    assert_eq!(name_of(&server, &store, "externals", "ext 1").await, None);
    assert_eq!(store.members(user).await.expect("read"), [done.member]);
    let base = store.keys.partition(user.partition());
    let get = async |suffix: String| -> Option<Vec<u8>> {
        server.query(&["GET", &format!("{base}{suffix}")]).await
    };
    let kept = get(format!("g{}", first.guid.compact())).await;
    assert_eq!(kept, Some(connection.sealed_grant));
    assert_eq!(get(format!("g{}", second.guid.compact())).await, None);
    let owner = store.owner_of_window(done.window.guid).await.expect("read");
    assert_eq!(owner.expect("kept").user, user);
    let window = store.window(user, done.window.guid, at(40)).await;
    assert!(window.expect("read").is_some());
    let soft = store.deleted_member(user, second.guid, at(40)).await;
    assert_eq!(soft.expect("read"), None, "it never was connected");
}
