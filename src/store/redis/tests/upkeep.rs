//! Keys and their lives, and servers that are refused.

use super::duties::Duties;
use super::*;
use crate::domain::window::{Ending, ErrorReason};
use crate::store::{Failure, StoreError};

#[tokio::test]
async fn every_key_of_a_flow_is_in_its_partition() {
    let server = Server::start().await;
    let store = open(&server).await;
    let user = a_user(&store).await;
    let before: Vec<String> = server.query(&["KEYS", "*"]).await;
    let new = new_member(user, new_window(user.partition(), at(600)));
    store.create_member(&new, at(0)).await.expect("kept");
    connect(&store, &new).await;
    let base = base_of(&Slot::Partition(new.member.guid.partition()));
    let mut keys: Vec<String> = server.query(&["KEYS", "*"]).await;
    keys.retain(|key| !before.contains(key));
    assert!(keys.len() >= 7, "{keys:?}");
    for key in keys {
        assert!(key.starts_with(&base), "{key}");
    }
}

#[tokio::test]
async fn what_is_finished_is_forgotten_in_time_and_nothing_else() {
    let server = Server::start().await;
    let store = open(&server).await;
    let new = keep_member(&store).await;
    let attempt = open_first(&store, &new, at(10)).await;
    let partition = attempt.id.partition();
    let window = new.window.as_ref().expect("a window").guid;
    let life = async |key: Key| {
        let key = key_of(partition, &key);
        server.query::<i64>(&["PTTL", &key]).await
    };
    const FOR_EVER: i64 = -1;
    let window_key = Key::window(window);
    let retention = i64::try_from(RETENTION.as_millis()).expect("small");
    assert_eq!(life(Key::member(new.member.guid)).await, FOR_EVER);
    assert_eq!(life(window_key.clone()).await, FOR_EVER);
    let attempt_life = life(Key::attempt(&attempt.id)).await;
    let until_deadline = 890_000;
    assert!(
        (retention..=retention + until_deadline).contains(&attempt_life),
        "{attempt_life}"
    );

    let failure = Failure {
        window,
        reason: ErrorReason::SessionError,
        ending: Ending::Expired,
        only_in: None,
        detail: None,
        inbound: None,
        finished: vec![notice(window.partition(), EventKind::OauthStateFinished)],
        report: None,
    };
    assert_eq!(
        store.overdue_windows(at(899), 9).await.expect("read"),
        Vec::new()
    );
    let overdue = store.overdue_windows(at(900), 9).await.expect("read");
    assert_eq!((overdue.len(), overdue[0].guid), (1, window));
    let early = store
        .fail_window(&failure, at(899))
        .await
        .expect("answered");
    assert_eq!(early, None, "its deadline was moved meanwhile");
    let ended = store
        .fail_window(&failure, at(900))
        .await
        .expect("answered");
    assert!(ended.is_some());
    assert_eq!(
        store.overdue_windows(at(900), 9).await.expect("read"),
        Vec::new()
    );
    let finished_life = life(window_key).await;
    assert!((retention - 60_000..=retention).contains(&finished_life));

    let event = failure.finished[0].guid;
    assert_eq!(life(Key::event(event)).await, FOR_EVER);
    store.bury_event(event, at(901)).await.expect("buried");
    let buried_life = life(Key::event(event)).await;
    assert!((retention - 60_000..=retention).contains(&buried_life));
    let due = store.events_due(at(2000), at(2001), 9).await;
    assert_eq!(due.expect("read"), Vec::new());
}

#[tokio::test]
async fn scripts_that_were_forgotten_are_given_again() {
    let server = Server::start().await;
    let store = open(&server).await;
    let (connection, _) = connect(&store, &keep_member(&store).await).await;
    let _: () = server.query(&["SCRIPT", "FLUSH"]).await;
    keep_member(&store).await;
    let jobs = store.jobs_due(at(31), at(91), 9).await.expect("taken");
    assert_eq!(jobs.len(), 1);
    assert_eq!(Some(jobs[0].guid), connection.job.map(|job| job.guid));
}

#[tokio::test]
async fn a_server_that_may_lose_data_is_refused() {
    let server = Server::start().await;
    let open_with = async |accept_volatile| {
        let settings = RedisSettings {
            accept_volatile,
            ..settings()
        };
        RedisStore::open(&address(&server.url()), "test:", settings).await
    };
    let _: () = server
        .query(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"])
        .await;
    let refused = open_with(false).await.err();
    assert!(
        matches!(&refused, Some(StoreError::Unfit(text)) if text.contains("volatile-ttl")),
        "{refused:?}"
    );
    let (_, warnings) = open_with(true).await.expect("accepted");
    assert!(warnings.len() == 1 && warnings[0].contains("volatile-ttl"));

    // Where CONFIG is not for us, INFO tells.
    let _: () = server
        .query(&["ACL", "SETUSER", "default", "-config"])
        .await;
    let refused = open_with(false).await.err();
    assert!(
        matches!(&refused, Some(StoreError::Unfit(text)) if text.contains("volatile-ttl")),
        "{refused:?}"
    );
    let _: () = server
        .query(&["ACL", "SETUSER", "default", "resetpass", ">secret"])
        .await;
    let refused = open_with(true).await.err();
    assert!(matches!(refused, Some(StoreError::Unfit(_))), "{refused:?}");
}

#[tokio::test]
async fn a_look_over_everything_is_one_round_trip() {
    let server = Server::start().await;
    let store = open(&server).await;
    keep_member(&store).await;
    let measure = async |looks: i64| {
        let (reads, commands) = ("total_reads_processed", "total_commands_processed");
        let before = (
            server.info("stats", reads).await,
            server.info("stats", commands).await,
        );
        for _ in 0..looks {
            store.look_for_due(at(1)).await.expect("answered");
        }
        let reads = server.info("stats", reads).await - before.0;
        (reads, server.info("stats", commands).await - before.1)
    };
    // What it costs to ask for the figures.
    let asking = measure(0).await;
    let looking = measure(10).await;
    let each = ((looking.0 - asking.0) / 10, (looking.1 - asking.1) / 10);
    assert_eq!(each, (1, 32), "reads from the connection, and commands");
}

#[tokio::test]
async fn overdue_windows_are_read_side_by_side() {
    const WINDOWS: usize = 30;
    let server = Server::start().await;
    let store = open(&server).await;
    for _ in 0..WINDOWS {
        keep_member(&store).await;
    }
    let reads = "total_reads_processed";
    let before = server.info("stats", reads).await;
    let overdue = store.overdue_windows(at(900), 100).await.expect("read");
    let reads = server.info("stats", reads).await - before;
    assert_eq!(overdue.len(), WINDOWS);
    // One after the other they are two trips each.
    assert!(reads < WINDOWS as i64, "{reads}");
}
