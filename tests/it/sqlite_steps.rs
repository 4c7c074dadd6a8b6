//! How steps share the SQLite file: with each other, with other processes, and with the end of the
//! store; and what of theirs is forgotten.

use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use guichet::domain::window::{Ending, WindowOptions};
use guichet::store::sqlite::SqliteStore;
use guichet::store::{
    Failure, Idempotence, IdempotentRequest, PageRequest, SOFT_DELETED, SessionOwner, Store,
    StoreError, UserCreation,
};
use rusqlite::Connection;

use crate::store_contract::duties::Duties;
use crate::store_contract::fixtures::{at, before, client, new_member};
use crate::store_contract::{Bench, RETENTION};

/// Seconds.
const DAY: i64 = 24 * 60 * 60;

fn a_folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn open(path: &Path) -> Result<Store, StoreError> {
    SqliteStore::open(path, RETENTION).map(Store::from)
}

#[test]
fn processes_that_make_the_file_together_all_find_it_ours() {
    for _ in 0..40 {
        let folder = a_folder();
        let path = folder.path().join("store.sqlite");
        let together = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            let opener = || {
                together.wait();
                open(&path).map(drop)
            };
            let openers: Vec<_> = (0..4).map(|_| scope.spawn(opener)).collect();
            for opener in openers {
                let opened = opener.join().expect("no panic");
                assert!(opened.is_ok(), "{:?}", opened.err());
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_take_turns() {
    let folder = a_folder();
    let path = folder.path().join("store.sqlite");
    // Both may find that there is no file yet.
    let opened = std::thread::scope(|scope| {
        let openers: Vec<_> = (0..2).map(|_| scope.spawn(|| open(&path))).collect();
        let joined = openers
            .into_iter()
            .map(|opener| opener.join().expect("no panic"));
        joined.collect::<Result<Vec<_>, _>>()
    });
    let stores: Vec<Arc<Store>> = opened
        .expect("both open")
        .into_iter()
        .map(Arc::new)
        .collect();
    let bench = Bench::sqlite().await;
    let mut steps = tokio::task::JoinSet::new();
    for number in 0..100 {
        let mut user = bench.a_user();
        user.id = Some(format!("u{}", number / 2));
        let store = Arc::clone(&stores[number % 2]);
        steps.spawn(async move { store.create_user(&user).await.expect("answered") });
    }
    let ended = steps.join_all().await;
    let created = ended
        .iter()
        .filter(|creation| **creation == UserCreation::Created);
    assert_eq!(created.count(), 50, "each id was created by one of the two");
    for store in stores {
        let page = PageRequest {
            page: 1,
            per_page: 1,
        };
        assert_eq!(
            store
                .users(&client(), page, at(9_999))
                .await
                .expect("answered")
                .total,
            50
        );
    }
}

#[tokio::test]
async fn reads_do_not_wait_for_a_writer() {
    let folder = a_folder();
    let path = folder.path().join("store.sqlite");
    let store = open(&path).expect("it opens");
    let bench = Bench::sqlite().await;
    let (first, second) = (bench.a_user(), bench.a_user());
    store.create_user(&first).await.expect("kept");
    let other = Connection::open(&path).expect("it opens");
    other
        .execute_batch("BEGIN IMMEDIATE")
        .expect("nobody writes");
    let mut step = pin!(store.create_user(&second));
    assert!(is_pending(&mut step), "it waits for its turn");
    let found = store.user(&client(), first.guid).await;
    assert_eq!(found.expect("answered"), Some(first));
    assert!(is_pending(&mut step), "it waits for its turn");
    other.execute_batch("ROLLBACK").expect("it was begun");
    assert_eq!(step.await.expect("answered"), UserCreation::Created);
}

#[tokio::test]
async fn a_session_that_was_used_a_moment_ago_is_used_without_a_write() {
    let folder = a_folder();
    let path = folder.path().join("store.sqlite");
    let bench = Bench::sqlite_at(path.clone()).await;
    let (user, token, session) = (bench.user().await, bench.a_digest(), bench.a_digest());
    let (store, partition) = (&bench.store, user.guid.partition());
    let owner = SessionOwner {
        user: user.guid,
        client: user.client,
    };
    let put = store.put_api_token(&owner, token, at(600), at(0));
    put.await.expect("kept");
    let begun = store.begin_session(partition, token, session, at(1800), at(0));
    begun.await.expect("answered").expect("begun");

    let other = Connection::open(&path).expect("it opens");
    other
        .execute_batch("BEGIN IMMEDIATE")
        .expect("nobody writes");
    let touched = store.touch_session(partition, session, at(1859), at(59));
    assert_eq!(touched.await.expect("answered"), Some(owner.clone()));
    let mut touched = pin!(store.touch_session(partition, session, at(1860), at(60)));
    for _ in 0..20 {
        assert!(is_pending(&mut touched), "a minute later it is written");
        let read = store.user(&owner.client, owner.user).await;
        assert!(read.expect("answered").is_some());
    }
    other.execute_batch("ROLLBACK").expect("it was begun");
    assert_eq!(touched.await.expect("answered"), Some(owner));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_keeps_the_file_nothing_is_written() {
    let folder = a_folder();
    let path = folder.path().join("store.sqlite");
    let store = Arc::new(open(&path).expect("it opens"));
    let bench = Bench::sqlite().await;
    let other = Connection::open(&path).expect("it opens");
    other
        .execute_batch("BEGIN IMMEDIATE")
        .expect("nobody writes");
    let begun = Instant::now();
    let mut steps = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (store, user) = (Arc::clone(&store), bench.a_user());
        steps.spawn(async move { store.create_user(&user).await });
    }
    for ended in steps.join_all().await {
        assert!(
            matches!(ended, Err(StoreError::Unavailable(_))),
            "{ended:?}"
        );
    }
    // The first waits five seconds; those behind it wait with it and not after it.
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "{:?}",
        begun.elapsed()
    );
    other.execute_batch("ROLLBACK").expect("it was begun");
    store.create_user(&bench.a_user()).await.expect("kept");
    let page = PageRequest {
        page: 1,
        per_page: 1,
    };
    assert_eq!(
        store
            .users(&client(), page, at(9_999))
            .await
            .expect("answered")
            .total,
        1
    );
}

fn is_pending<F: Future>(future: &mut Pin<&mut F>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(future.as_mut().poll(&mut context), Poll::Pending)
}

#[tokio::test]
async fn what_is_queued_is_finished_when_the_store_is_dropped() {
    let folder = a_folder();
    let path = folder.path().join("store.sqlite");
    let store = open(&path).expect("it opens");
    let bench = Bench::sqlite().await;
    let mut members = Vec::new();
    for _ in 0..100 {
        let mut user = bench.a_user();
        user.created_at = at(0);
        store.create_user(&user).await.expect("kept");
        let member = bench.a_member(&user);
        // Its caller goes away; a step that was taken is done all the same.
        let new = new_member(member.clone());
        is_pending(&mut pin!(store.create_member(&new, at(0))));
        members.push(member);
    }
    drop(store);
    let beside = folder.path().join("store.sqlite-wal");
    assert!(!beside.exists(), "the last connection leaves one file");
    let store = open(&path).expect("it opens");
    for member in members {
        let kept = store.member(member.user, member.guid).await;
        assert_eq!(kept.expect("answered"), Some(member));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_fails_alone() {
    let folder = a_folder();
    let path = folder.path().join("store.sqlite");
    let bench = Bench::sqlite_at(path.clone()).await;
    let mut links = Vec::new();
    for _ in 0..60 {
        links.push(bench.linked(WindowOptions::default()).await);
    }
    // Every second window is one that cannot be read: its step fails.
    let database = Connection::open(&path).expect("it opens");
    for linked in links.iter().step_by(2) {
        let key = format!("w{}", linked.window.compact());
        let spoilt = database.execute("UPDATE records SET value = '{' WHERE key = ?", [key]);
        assert_eq!(spoilt.expect("written"), 1);
    }
    let mut steps = tokio::task::JoinSet::new();
    for linked in links {
        let failure = bench.a_failure(&linked, Ending::Failed);
        let store = Arc::clone(&bench.store);
        steps.spawn(async move { end(&store, failure).await });
    }
    let ended = steps.join_all().await;
    assert_eq!(ended.iter().filter(|is_ended| **is_ended).count(), 30);
    assert_eq!(bench.told(at(9)).await.len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn due_work_that_fails_loses_no_other() {
    let folder = a_folder();
    let path = folder.path().join("store.sqlite");
    let bench = Bench::sqlite_at(path.clone()).await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        let (_, connection, _) = bench.connected().await;
        jobs.push(connection.job.expect("one is asked for").guid);
    }
    // Writing the first fails, as it does on a disk that is full.
    let database = Connection::open(&path).expect("it opens");
    let fails = format!(
        "CREATE TRIGGER fails BEFORE UPDATE ON records WHEN NEW.key = 'j{}'
         BEGIN SELECT abs(-9223372036854775807 - 1); END",
        jobs[0].compact()
    );
    database.execute_batch(&fails).expect("made");
    let store = &bench.store;
    let taken = store.jobs_due(at(9), at(600), 10);
    let mut taken: Vec<_> = taken
        .await
        .expect("taken")
        .iter()
        .map(|it| it.guid)
        .collect();
    taken.sort();
    let mut sound = jobs[1..].to_vec();
    sound.sort();
    assert_eq!(taken, sound);
    database.execute_batch("DROP TRIGGER fails").expect("gone");
    let again = store.jobs_due(at(600), at(900), 10);
    let again = again.await.expect("taken");
    assert!(
        again
            .iter()
            .any(|job| job.guid == jobs[0] && job.attempt == 1)
    );
}

async fn end(store: &Store, failure: Failure) -> bool {
    match store.fail_window(&failure, at(2)).await {
        Ok(window) => window.is_some(),
        Err(StoreError::Unreadable(_)) => false,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_was_kept_long_enough_is_forgotten() {
    let bench = Bench::sqlite().await;
    let failed = bench.failed(WindowOptions::default()).await;
    let dead = bench
        .store
        .events_due(at(9), at(60), 10)
        .await
        .expect("answered")[0]
        .guid;
    bench.store.bury_event(dead, at(9)).await.expect("answered");
    let (connected, connection, _) = bench.connected().await;
    let job = connection.job.expect("one is asked for").guid;
    let issued = bench.linked(WindowOptions::default()).await;
    let owner = SessionOwner {
        user: issued.user.guid,
        client: client(),
    };
    let token = bench.a_digest();
    bench
        .store
        .put_api_token(&owner, token, at(50 * DAY), at(0))
        .await
        .expect("kept");

    bench.store.purge(at(2 + 30 * DAY)).await.expect("answered");
    let gone = bench
        .store
        .attempt(&failed.attempt.id)
        .await
        .expect("answered");
    assert!(gone.is_none(), "it ended at moment 2");
    bench.window_now(&connected).await;
    bench.store.purge(at(3 + 30 * DAY)).await.expect("answered");
    let gone = bench
        .store
        .attempt(&connected.attempt.id)
        .await
        .expect("answered");
    assert!(gone.is_none(), "it ended at moment 3");

    let window = bench
        .store
        .window(issued.user.guid, issued.window, at(9))
        .await;
    assert!(window.expect("answered").is_some(), "it has not ended");
    assert!(
        bench.store.job(job).await.expect("answered").is_some(),
        "nor has its job"
    );
    assert_eq!(
        bench.told(at(99)).await.len(),
        2,
        "nobody has taken these events yet"
    );
    let partition = issued.user.guid.partition();
    let session = bench.a_digest();
    let begun = bench
        .store
        .begin_session(partition, token, session, at(51 * DAY), at(9));
    assert_eq!(begun.await.expect("answered"), Some(owner));
}

#[tokio::test]
async fn a_member_that_cannot_be_read_stops_no_sweep() {
    let folder = a_folder();
    let path = folder.path().join("store.sqlite");
    let bench = Bench::sqlite_at(path.clone()).await;
    let failed = bench.failed(WindowOptions::default()).await;
    let spoilt = bench.linked(WindowOptions::default()).await;
    let store = &bench.store;
    let database = Connection::open(&path).expect("it opens");
    let spoil = "UPDATE records SET value = '{' WHERE key = ?";
    let key = format!("m{}", spoilt.member.guid.compact());
    assert_eq!(database.execute(spoil, [key]).expect("written"), 1);

    let cut_off = store.delete_user(&client(), spoilt.user.guid, at(5)).await;
    assert!(
        matches!(cut_off, Err(StoreError::Unreadable(_))),
        "{cut_off:?}"
    );
    for _ in 0..2 {
        let overdue = store.overdue_windows(at(DAY), 10).await.expect("read");
        assert_eq!(overdue, []);
        store.purge(at(2 + 30 * DAY)).await.expect("done");
    }
    let gone = store.attempt(&failed.attempt.id).await.expect("answered");
    assert!(gone.is_none(), "what ended long ago is forgotten");
    let mut expected = [
        format!("u{}", spoilt.user.guid.compact()),
        format!("w{}", spoilt.window.compact()),
    ];
    expected.sort();
    let mut set_aside = store.set_aside_keys().await.expect("read");
    set_aside.sort();
    assert_eq!(set_aside, expected);
}

#[tokio::test]
async fn deleted_members_and_kept_responses_leave_the_file() {
    let folder = a_folder();
    let path = folder.path().join("store.sqlite");
    let bench = Bench::sqlite_at(path.clone()).await;
    let kept = bench.standard().await;
    bench.delete(&kept.user, kept.guid(), at(5)).await;
    let request = IdempotentRequest {
        holder: bench.a_digest(),
        client: client(),
        key: bench.a_digest(),
        request: bench.a_digest(),
        held_until: at(60),
        expires_at: at(DAY),
    };
    let held = IdempotentRequest {
        key: bench.a_digest(),
        held_until: at(DAY),
        ..request.clone()
    };
    for request in [&request, &held] {
        let met = bench.store.begin_idempotent(request, at(0)).await;
        assert_eq!(met.expect("answered"), Idempotence::First);
    }
    let finished = bench.store.finish_idempotent(&request, b"answer", at(1));
    finished.await.expect("answered");

    let database = Connection::open(&path).expect("it opens");
    let count = |kind: &str| -> i64 {
        let sql = "SELECT count(*) FROM records WHERE substr(key, 1, 1) = ?";
        database
            .query_row(sql, [kind], |row| row.get(0))
            .expect("answered")
    };
    assert_eq!(count("g"), 0, "credentials are not kept that long");
    let end = at(5) + SOFT_DELETED;
    for (now, answers, members) in [
        // A day longer than they are good for.
        (before(at(2 * DAY)), 2, 1),
        (at(2 * DAY), 0, 1),
        (before(end), 0, 1),
        (end, 0, 0),
    ] {
        bench.store.purge(now).await.expect("answered");
        assert_eq!(count("i"), answers, "{now}");
        assert_eq!(count("x"), members, "{now}");
    }
}
