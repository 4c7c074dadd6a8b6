//! The SQLite file itself: made, refused, read when it is damaged, and small.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use guichet::domain::duty::DutyKind;
use guichet::domain::window::WindowOptions;
use guichet::store::sqlite::SqliteStore;
use guichet::store::{Store, StoreError};
use rusqlite::Connection;

use crate::store_contract::duties::Duties;
use crate::store_contract::fixtures::{LINK, at};
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

#[test]
fn a_file_of_an_earlier_layout_is_refused_with_a_remedy() {
    let folder = a_folder();
    for layout in [1, 2, 3, 4] {
        let path = a_database(
            folder.path(),
            &format!(
                "PRAGMA application_id = 0x47554943; PRAGMA user_version = {layout};
                 CREATE TABLE IF NOT EXISTS users (x);"
            ),
        );
        let why = refusal(&path);
        assert!(why.contains(&format!("layout {layout}")), "{why}");
        assert!(
            why.contains("earlier version") && why.contains("another file"),
            "{why}"
        );
        let examined = SqliteStore::examine(&path, &[], false);
        assert!(
            matches!(examined, Err(StoreError::Unfit(_))),
            "{examined:?}"
        );
        let database = Connection::open(&path).expect("it opens");
        let kept: i64 = database
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .expect("answered");
        assert_eq!(kept, layout, "nothing was changed");
    }
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
async fn what_cannot_be_read_is_said_and_what_is_due_is_set_aside() {
    let folder = a_folder();
    let path = folder.path().join("store.sqlite");
    let bench = Bench::sqlite_at(path.clone()).await;
    let (visited, connection, _) = bench.connected().await;
    let job = connection.job.expect("one is asked for").guid;
    let linked = &visited.linked;
    let sound = records(&path);
    let damage = |kind: &str, from: &str, to: &str| {
        let database = Connection::open(&path).expect("it opens");
        for (key, value) in &sound {
            let value = match key.starts_with(kind) {
                true => value.replace(from, to),
                false => value.clone(),
            };
            database
                .execute("UPDATE records SET value = ? WHERE key = ?", [&value, key])
                .expect("written");
        }
    };
    let unreadable = |error: Option<StoreError>| {
        assert!(
            matches!(error, Some(StoreError::Unreadable(_))),
            "{error:?}"
        );
    };
    for (from, to) in [
        ("succeeded", "lost"),
        ("succeeded", "errored 9 failed"),
        ("succeeded", "errored 1 lost"),
        ("\"deadline\":", "\"deadline\":9223372036854775807,\"was\":"),
        ("{", ""),
    ] {
        damage("w", from, to);
        let store = &bench.store;
        unreadable(
            store
                .window(linked.user.guid, linked.window, at(9))
                .await
                .err(),
        );
        unreadable(store.attempt(&visited.attempt.id).await.err());
    }
    for (from, to) in [
        ("\"status\":6", "\"status\":22"),
        ("\"revision\":", "\"revision\":-1,\"was\":"),
        ("\"PFM\"", "\"OTHER\""),
        ("INS-", "INST-"),
        ("}", ""),
    ] {
        damage("m", from, to);
        let read = bench
            .store
            .member(linked.user.guid, linked.member.guid)
            .await;
        unreadable(read.err());
    }
    for (from, to) in [
        ("QUEUED", "LOST"),
        ("\"attempt\":", "\"attempt\":-1,\"was\":"),
    ] {
        damage("j", from, to);
        unreadable(bench.store.job(job).await.err());
    }
    // One that is due stops nobody.
    damage("e", "member", "memory");
    assert_eq!(bench.told(at(9)).await, []);
    assert_eq!(bench.store.queues().await.expect("counted").set_aside, 2);
    let listed = SqliteStore::examine(&path, &[], false)
        .expect("ours")
        .expect("there");
    assert_eq!(listed.set_aside.len(), 2, "{listed:?}");
    bench.store.probe().await.expect("the store goes on");
}

#[tokio::test]
async fn a_key_of_another_kind_stops_nobody() {
    let folder = a_folder();
    let path = folder.path().join("store.sqlite");
    let bench = Bench::sqlite_at(path.clone()).await;
    let (_, connection, _) = bench.connected().await;
    let job = connection.job.expect("one is asked for").guid;
    let linked = bench.linked(WindowOptions::default()).await;
    let foreign = ["zNEWER", "eabc", "jabc", "\u{e9}abc"];
    let database = Connection::open(&path).expect("it opens");
    for key in foreign {
        for line in ["a:acme/", "d:acme/0"] {
            let sql = "INSERT INTO due (line, key, since, at) VALUES (?, ?, 1, 1)";
            database.execute(sql, [line, key]).expect("written");
        }
        let sql = "INSERT INTO places (list, key, place) VALUES ('W', ?, 1)";
        database.execute(sql, [key]).expect("written");
    }
    let store = &bench.store;
    let jobs = store.jobs_due(at(9), at(60), 100);
    let jobs = jobs.await.expect("taken");
    assert_eq!(jobs.iter().map(|job| job.guid).collect::<Vec<_>>(), [job]);
    assert!(!bench.told(at(9)).await.is_empty());
    let overdue = store.overdue_windows(at(LINK), 100).await.expect("read");
    let overdue: Vec<_> = overdue.iter().map(|window| window.guid).collect();
    assert_eq!(overdue, [linked.window]);
    let mut set_aside = store.set_aside_keys().await.expect("read");
    set_aside.sort();
    assert_eq!(set_aside, ["eabc", "jabc", "zNEWER", "\u{e9}abc"]);
    let queues = store.queues().await.expect("counted");
    assert_eq!(
        queues.kinds()[&DutyKind::Aggregate].length,
        1,
        "what cannot be read has left its queue"
    );
}

/// Every record, by its key.
fn records(path: &Path) -> Vec<(String, String)> {
    let database = Connection::open(path).expect("it opens");
    let mut sql = database
        .prepare("SELECT key, value FROM records")
        .expect("sound SQL");
    let records = sql.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let records = records.expect("answered");
    records.collect::<Result<_, _>>().expect("texts")
}

#[tokio::test]
async fn an_operator_reads_records_with_sqlites_own_tools() {
    let folder = a_folder();
    let path = folder.path().join("store.sqlite");
    let bench = Bench::sqlite_at(path.clone()).await;
    let (visited, ..) = bench.connected().await;
    let database = Connection::open(&path).expect("it opens");
    let ask = |sql: &str| -> (String, String) {
        let response = database.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
        response.expect(sql)
    };
    let member = visited.linked.member.guid.to_string();
    let (guid, client) = ask("SELECT guid, client FROM members");
    assert_eq!((guid, client), (member.clone(), "acme".to_owned()));
    let (of, status) = ask("SELECT member, status FROM windows");
    assert_eq!(of, visited.linked.member.guid.compact());
    assert_eq!(status, "succeeded");
    let (of, _) = ask("SELECT member, kind FROM events LIMIT 1");
    assert_eq!(of, member);

    // No column is empty in every row.
    let events = bench.store.events_due(at(9), at(60), 2);
    let events = events.await.expect("taken");
    let [dead, taken] = [&events[0], &events[1]].map(|event| event.guid);
    bench.store.bury_event(dead, at(9)).await.expect("buried");
    bench.store.finish_event(taken, at(9)).await.expect("done");
    let of_schema = |sql: &str, name: &str| -> Vec<String> {
        let mut asked = database.prepare(sql).expect("sound SQL");
        let names = asked.query_map([name], |row| row.get(0)).expect("answered");
        names.collect::<Result<_, _>>().expect("names")
    };
    let views = of_schema("SELECT name FROM sqlite_schema WHERE type = ?", "view");
    assert_eq!(views, ["members", "windows", "events"]);
    for view in views {
        for column in of_schema("SELECT name FROM pragma_table_info(?)", &view) {
            let count = format!("SELECT count({column}) FROM {view}");
            let filled: i64 = database
                .query_row(&count, [], |row| row.get(0))
                .expect("a number");
            assert!(filled > 0, "{view}.{column}");
        }
    }
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
