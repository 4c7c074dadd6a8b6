//! Records as they are kept: of another layout, of a newer version, and such as nobody can read.

use super::duties::Duties;
use super::*;
use crate::domain::duty::DutyKind;
use crate::steps::record::{List, Slot};
use crate::store::StoreError;

#[tokio::test]
async fn what_an_earlier_version_wrote_is_refused_in_words() {
    let server = Server::start().await;
    let open_as =
        async |prefix: &str| RedisStore::open(&address(&server.url()), prefix, settings()).await;
    let _: () = server.query(&["SET", "test:1{p00}mAAAA", "1"]).await;
    let refused = open_as("test:").await.err();
    assert!(
        matches!(&refused, Some(StoreError::Unfit(text))
            if text.contains("earlier version") && text.contains("store.prefix")),
        "{refused:?}"
    );
    // Under another prefix nobody is in the way, and what is ours is ours.
    for _ in 0..2 {
        assert!(open_as("other:").await.is_ok());
    }
    assert!(open_as("te*t:").await.is_ok(), "a prefix is no pattern");
}

#[tokio::test]
async fn what_a_newer_version_knows_survives_what_this_one_writes() {
    let server = Server::start().await;
    let store = open(&server).await;
    let new = keep_member(&store).await;
    let attempt = open_first(&store, &new, at(10)).await;
    let window = new.window.as_ref().expect("a window").guid;
    let key = key_of(window.partition(), &Key::window(window));
    let kept: String = server.query(&["GET", &key]).await;
    let (head, json) = kept.split_once('\n').expect("two lines");
    let mut fields: serde_json::Value = serde_json::from_str(json).expect("JSON");
    fields["window"]["colour"] = "green".into();
    fields["attempts"][0]["device"] = serde_json::json!({"kind": "phone"});
    fields["newer"] = serde_json::json!([1, 2]);
    let head = format!("by-a-newer1,{}", head.replacen(" 2 ", " 7 ", 1));
    let _: () = server
        .query(&["SET", &key, &format!("{head}\n{fields}")])
        .await;

    let claimed = store.claim_callback(&claim(&attempt), at(20)).await;
    assert_eq!(claimed_name(&claimed.expect("answered")), "yes");
    let kept: String = server.query(&["GET", &key]).await;
    let (head, json) = kept.split_once('\n').expect("two lines");
    assert!(head.contains(" 7 "), "{head}");
    let fields: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(fields["window"]["status"], "returned");
    assert_eq!(fields["window"]["colour"], "green");
    assert_eq!(fields["attempts"][0]["device"]["kind"], "phone");
    assert_eq!(
        fields["attempts"][0]["sealed"],
        serde_json::Value::Null,
        "what was known goes"
    );
    assert_eq!(fields["newer"], serde_json::json!([1, 2]));
}

#[tokio::test]
async fn one_record_that_cannot_be_read_stops_nobody() {
    let server = Server::start().await;
    let store = open(&server).await;
    let mut spoilt = Vec::new();
    let mut sound = Vec::new();
    for number in 0..6 {
        let new = keep_member(&store).await;
        let (connection, _) = connect(&store, &new).await;
        let job = connection.job.as_ref().expect("a job").guid;
        let event = connection.updated[0].guid;
        let partition = new.member.guid.partition();
        if number % 2 == 0 {
            spoilt.push((partition, Key::job(job)));
            spoilt.push((partition, Key::event(event)));
            spoilt.push((partition, Key::event(connection.finished[0].guid)));
        } else {
            sound.push((job, event));
        }
    }
    let open_window = keep_member(&store).await;
    let window = open_window.window.as_ref().expect("a window").guid;
    spoilt.push((window.partition(), Key::window(window)));
    let other = keep_member(&store).await;
    for (partition, key) in &spoilt {
        let _: () = server
            .query(&["SET", &key_of(*partition, key), "nonsense"])
            .await;
    }

    let jobs = store.jobs_due(at(40), at(90), 100).await.expect("taken");
    assert_eq!(jobs.len(), sound.len());
    let events = store.events_due(at(40), at(90), 100).await.expect("taken");
    assert_eq!(events.len(), 2 * sound.len());
    let overdue = store.overdue_windows(at(1000), 100).await.expect("read");
    let overdue: Vec<_> = overdue.iter().map(|window| window.guid).collect();
    assert_eq!(overdue, [other.window.as_ref().expect("a window").guid]);

    let queues = store.queues().await.expect("counted");
    assert_eq!(queues.set_aside, spoilt.len() as u64);
    assert_eq!(
        queues.kinds()[&DutyKind::Aggregate].length,
        sound.len() as u64
    );
    for (partition, key) in spoilt {
        let list = base_of(&Slot::Partition(partition)) + List::SetAside.name().as_str();
        let at: Option<String> = server.query(&["ZSCORE", &list, key.as_str()]).await;
        assert!(at.is_some(), "{} is listed", key.as_str());
    }
}

#[tokio::test]
async fn a_key_of_another_kind_stops_nobody() {
    let server = Server::start().await;
    let store = open(&server).await;
    let new = keep_member(&store).await;
    let (connection, _) = connect(&store, &new).await;
    let job = connection.job.as_ref().expect("a job").guid;
    let open_window = keep_member(&store).await;
    let open_window = open_window.window.as_ref().expect("a window").guid;
    // Of a kind that this version does not know, of one that is never due, and no guid.
    let guid = new.member.guid.compact();
    let foreign = [
        "zNEWER".to_owned(),
        format!("z{guid}"),
        format!("u{guid}"),
        "eabc".to_owned(),
        "jabc".to_owned(),
        "\u{e9}abc".to_owned(),
    ];
    let base = key_of(new.member.guid.partition(), &Key::found(""));
    let windows = key_of(open_window.partition(), &Key::found("W"));
    let lines = format!("{base}Q");
    let _: () = server.query(&["ZADD", &lines, "1", "d:acme/0"]).await;
    for key in &foreign {
        for name in ["Q:a:acme/", "Q:d:acme/0", "W"] {
            let list = format!("{base}{name}");
            let _: () = server.query(&["ZADD", &list, "1", key]).await;
        }
        let _: () = server.query(&["ZADD", &windows, "1", key]).await;
    }

    let jobs = store.jobs_due(at(40), at(90), 100);
    let jobs = jobs.await.expect("taken");
    assert_eq!(jobs.iter().map(|job| job.guid).collect::<Vec<_>>(), [job]);
    let events = store.events_due(at(40), at(90), 100);
    let events = events.await.expect("taken");
    assert_eq!(events.len(), 2);
    let overdue = store.overdue_windows(at(1000), 100).await.expect("read");
    let overdue: Vec<_> = overdue.iter().map(|window| window.guid).collect();
    assert_eq!(overdue, [open_window]);
    let mut set_aside = store.set_aside_keys().await.expect("read");
    set_aside.sort();
    set_aside.dedup();
    let mut expected = foreign.to_vec();
    expected.sort();
    assert_eq!(set_aside, expected);
    for name in ["Q:a:acme/", "Q:d:acme/0", "W"] {
        let list = format!("{base}{name}");
        let left: Vec<String> = server.query(&["ZRANGE", &list, "0", "-1"]).await;
        assert!(!left.iter().any(|key| foreign.contains(key)), "{left:?}");
    }
}

#[tokio::test]
async fn a_member_that_cannot_be_read_stops_no_sweep() {
    let server = Server::start().await;
    let store = open(&server).await;
    let (spoilt, sound) = (keep_member(&store).await, keep_member(&store).await);
    let key = Key::member(spoilt.member.guid);
    let key = key_of(spoilt.member.guid.partition(), &key);
    let _: () = server.query(&["SET", &key, "nonsense"]).await;

    for _ in 0..2 {
        let overdue = store.overdue_windows(at(1000), 100).await.expect("read");
        let overdue: Vec<_> = overdue.iter().map(|window| window.guid).collect();
        assert_eq!(overdue, [sound.window.as_ref().expect("a window").guid]);
    }
    assert_eq!(store.queues().await.expect("counted").set_aside, 1);

    // The deletion of both was cut off, the spoilt one's first.
    for (new, now) in [(&spoilt, at(1000)), (&sound, at(1001))] {
        let deletion = crate::steps::user::UserDeletion {
            client: client(),
            user: new.member.user,
        };
        assert!(store.step(&deletion, now).await.expect("begun").is_some());
    }
    for _ in 0..2 {
        store.purge(at(2000)).await.expect("done");
    }
    let gone = store.member(sound.member.user, sound.member.guid).await;
    assert_eq!(gone.expect("read"), None);
    let set_aside = store.set_aside_keys().await.expect("read");
    let user = Key::user(spoilt.member.user);
    assert!(
        set_aside.iter().any(|key| key == user.as_str()),
        "{set_aside:?}"
    );
    let kept: String = server.query(&["GET", &key]).await;
    assert_eq!(kept, "nonsense", "it is kept for the operator");
}
