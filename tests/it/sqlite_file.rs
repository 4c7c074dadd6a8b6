//! The SQLite file itself: made, refused, read when it is damaged, and small.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use guichet::domain::data_request::DataRequest;
use guichet::domain::member::Member;
use guichet::domain::window::WindowOptions;
use guichet::store::sqlite::SqliteStore;
use guichet::store::{Lease, SealedMeans, Store, StoreError};
use rusqlite::Connection;

use crate::store_contract::fixtures::{LINK, at, known_as};
use crate::store_contract::{Bench, RETENTION};

fn a_folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn open(path: &Path) -> Result<Store, StoreError> {
    SqliteStore::open(path, RETENTION).map(Store::from)
}

/// Why the file at `path` is refused.
fn refusal(path: &Path) -> String {
    match open(path) {
        Err(StoreError::Unfit(why)) => {
            assert!(
                why.contains(&path.display().to_string()),
                "{why:?} names the file"
            );
            why
        }
        Err(other) => panic!("refused in words, not by {other:?}"),
        Ok(_) => panic!("it was opened"),
    }
}

/// A database that some program wrote.
fn a_database(folder: &Path, sql: &str) -> PathBuf {
    let path = folder.join("other.sqlite");
    let database = Connection::open(&path).expect("it opens");
    database.execute_batch(sql).expect("sound SQL");
    path
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = a_folder();
    let store = open(&folder.path().join("store.sqlite")).expect("it opens");
    store.probe().await.expect("answered");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
        names.push(entry.file_name().into_string().expect("ASCII"));
    }
    names.sort();
    assert_eq!(
        names,
        ["store.sqlite", "store.sqlite-shm", "store.sqlite-wal"]
    );
}

#[test]
fn a_newer_file_is_refused() {
    let folder = a_folder();
    let path = folder.path().join("store.sqlite");
    drop(open(&path).expect("it opens"));
    let database = Connection::open(&path).expect("it opens");
    database
        .pragma_update(None, "user_version", 99)
        .expect("written");
    drop(database);
    assert!(refusal(&path).contains("layout 99"));
}

/// Writes what the newest file holds into a file of the first layout.
fn put_back(newest: &Path, first: &Path) {
    let database = Connection::open(first).expect("it opens");
    database
        .execute_batch(include_str!("../../src/store/sqlite/schema.sql"))
        .expect("sound SQL");
    for (pragma, value) in [("application_id", 0x4755_4943), ("user_version", 1)] {
        database
            .pragma_update(None, pragma, value)
            .expect("written");
    }
    let newest = newest.display().to_string();
    database
        .execute("ATTACH ? AS newest", [newest])
        .expect("attached");
    let names = |sql: &str| -> Vec<String> {
        let mut sql = database.prepare(sql).expect("sound SQL");
        let names = sql.query_map([], |row| row.get(0)).expect("answered");
        names.collect::<Result<_, _>>().expect("names")
    };
    // Users before windows before attempts: in the order in which they refer to each other.
    for table in names("SELECT name FROM main.sqlite_schema WHERE type = 'table' ORDER BY rowid") {
        let columns = names(&format!("SELECT name FROM pragma_table_info('{table}')")).join(", ");
        database
            .execute_batch(&format!(
                "INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newest.{table}"
            ))
            .expect("the rows fit");
    }
    let news = "'$.fingerprint', '$.refusals', '$.data_request', '$.callback_payload'";
    database
        .execute_batch(&format!(
            "UPDATE events SET member = json_remove(member, {news})"
        ))
        .expect("sound SQL");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_first_layout_is_brought_to_the_newest() {
    let folder = a_folder();
    let (newest, first) = (folder.path().join("newest"), folder.path().join("first"));
    let bench = Bench::sqlite_at(newest.clone()).await;
    let (visited, connection, subject) = bench.connected().await;
    let issued = bench.linked(WindowOptions::default()).await;
    drop(bench);
    put_back(&newest, &first);

    let bench = Bench::sqlite_at(first.clone()).await;
    let as_it_was = |member: Member| Member {
        data_request: DataRequest::default(),
        callback_payload: None,
        ..member
    };
    let member = as_it_was(subject.member);
    assert_eq!(
        bench.member_now(&visited.linked).await.as_ref(),
        Some(&member)
    );
    let pending = as_it_was(issued.member.clone());
    assert_eq!(bench.member_now(&issued).await, Some(pending));
    assert_eq!(bench.window_now(&visited).await, subject.window);
    let told = bench.told(at(9)).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|event| event.member == member));
    let job = connection.job.expect("one was queued").guid;
    let taken = bench.take(at(9)).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(
        (taken[0].guid, &taken[0].data_request),
        (job, &DataRequest::default())
    );
    let Lease::Granted { sealed, .. } = bench.lease(job).await else {
        panic!("it was pushed");
    };
    assert_eq!(sealed, SealedMeans::Grant(connection.sealed_grant));

    // It goes on as any other.
    let again = bench.returned_again(&visited.linked, at(10)).await;
    let connection = guichet::store::Connection {
        fingerprints: vec![known_as("ada")],
        ..bench.a_connection(&again)
    };
    let subject = bench.connect(&connection, at(11)).await;
    assert_eq!(subject.member.fingerprint, Some(known_as("ada")));
    let user = &visited.linked.user;
    let deleted = bench.delete(user, subject.member.guid, at(12)).await;
    drop(bench);
    let bench = Bench::sqlite_at(first).await;
    let kept = bench.store.deleted_member(user.guid, deleted.guid, at(13));
    assert_eq!(kept.await.expect("answered"), Some(deleted));
}

#[test]
fn what_is_not_ours_is_refused() {
    let folder = a_folder();
    let tables = a_database(
        folder.path(),
        "CREATE TABLE t (x); PRAGMA user_version = 1;",
    );
    assert!(refusal(&tables).contains("another program"));
    let bytes = folder.path().join("text");
    std::fs::write(
        &bytes,
        "not a database, but a text of some length".repeat(99),
    )
    .expect("written");
    assert!(refusal(&bytes).contains("not an SQLite database"));
    assert!(refusal(folder.path()).contains("cannot be opened"));
    assert!(refusal(&folder.path().join("missing/store.sqlite")).contains("cannot be created"));

    let database = Connection::open(&tables).expect("it opens");
    let mode: String = database
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .expect("answered");
    assert_eq!(mode, "delete", "nothing was changed");
}

#[tokio::test]
async fn what_cannot_be_read_is_said() {
    let folder = a_folder();
    let path = folder.path().join("store.sqlite");
    let bench = Bench::sqlite_at(path.clone()).await;
    let (visited, connection, _) = bench.connected().await;
    let job = connection.job.expect("one is asked for").guid;
    let damage = |sql: &str| {
        let database = Connection::open(&path).expect("it opens");
        database
            .pragma_update(None, "ignore_check_constraints", true)
            .expect("written");
        database.execute_batch(sql).expect("sound SQL");
    };
    let unreadable = |error: Option<StoreError>| {
        assert!(
            matches!(error, Some(StoreError::Unreadable(_))),
            "{error:?}"
        );
    };
    let linked = &visited.linked;
    for sql in [
        "UPDATE windows SET status = 'lost'",
        "UPDATE windows SET status = 'errored', ending = NULL",
        "UPDATE windows SET status = 'opened', options = '{'",
        "UPDATE windows SET options = NULL, deadline = 9223372036854775807",
    ] {
        damage(sql);
        unreadable(
            bench
                .store
                .window(linked.user.guid, linked.window, at(9))
                .await
                .err(),
        );
        unreadable(bench.store.attempt(&visited.attempt.id).await.err());
    }
    for sql in [
        "UPDATE members SET status = 22",
        "UPDATE members SET status = 6, revision = -1",
        "UPDATE members SET revision = 1, use_cases = '[\"OTHER\"]'",
        "UPDATE members SET use_cases = '[]', fingerprint = 'short'",
        "UPDATE members SET fingerprint = NULL, refusals = 256",
        "UPDATE members SET refusals = 0, data_request = '{'",
        "UPDATE members SET data_request = '{}', callback_payload = 'a b'",
        "UPDATE members SET callback_payload = NULL, institution_guid = 'short'",
    ] {
        damage(sql);
        unreadable(
            bench
                .store
                .member(linked.user.guid, linked.member.guid)
                .await
                .err(),
        );
    }
    for sql in [
        "UPDATE jobs SET challenges = '{'",
        "UPDATE jobs SET challenges = '[]', failure = 'lost'",
        "UPDATE jobs SET failure = NULL, status = 'LOST'",
    ] {
        damage(sql);
        unreadable(bench.store.job(job).await.err());
    }
    damage("UPDATE events SET member = '{}'");
    unreadable(bench.store.reserve_events(at(9), at(60), 10).await.err());
    bench.store.probe().await.expect("the store goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_link_costs_at_most_400_bytes() {
    const LINKS: i64 = 4000;

    let folder = a_folder();
    let path = folder.path().join("store.sqlite");
    let bench = Bench::sqlite_at(path.clone()).await;
    let linked = bench.linked(WindowOptions::default()).await;
    let mint = async |count: i64| {
        let mut mints = tokio::task::JoinSet::new();
        for _ in 0..count {
            let new = bench.a_window(linked.user.guid.partition(), at(LINK));
            let store = Arc::clone(&bench.store);
            let (user, member) = (linked.user.guid, linked.member.guid);
            mints.spawn(async move {
                let minted = store.mint_window(user, member, &new, &[], at(1)).await;
                minted.expect("answered").expect("the member is there");
            });
        }
        mints.join_all().await;
    };
    let size = || {
        let database = Connection::open(&path).expect("it opens");
        let number =
            |pragma: &str| database.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        number("page_count").expect("answered") * number("page_size").expect("answered")
    };
    mint(LINKS).await;
    let before = size();
    mint(LINKS).await;
    let each = (size() - before) / LINKS;
    assert!(each <= 400, "{each} bytes");
}
