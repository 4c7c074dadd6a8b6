//! Answers that are lost: the server has written, and the connection ends before it says so.

use std::sync::atomic::{AtomicBool, AtomicI64};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::duties::Duties;
use super::*;
use crate::domain::duty::DutyKind;
use crate::steps::record::NameKind;
use crate::store::{
    Deletion, MemberCreation, Retried, Retry, StoreError, UserChange, UserCreation,
};

/// Stands between a store and its server, and cuts the line in place of the next answer to a write, or to
/// what takes up what is due.
struct Between {
    port: u16,
    cuts: std::sync::Arc<AtomicBool>,
    cuts_take: std::sync::Arc<AtomicBool>,
    stop: std::sync::Arc<Stop>,
}

/// Where a write has to wait before it reaches the server.
struct Stop {
    /// The how-manieth write from now on.
    write: AtomicI64,
    is_reached: Notify,
    goes_on: Notify,
}

impl Between {
    async fn start(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let [cuts, cuts_take] = [(); 2].map(|()| std::sync::Arc::new(AtomicBool::new(false)));
        let (behind, flags) = (server.port(), [cuts.clone(), cuts_take.clone()]);
        let stop = std::sync::Arc::new(Stop {
            write: AtomicI64::new(0),
            is_reached: Notify::new(),
            goes_on: Notify::new(),
        });
        let stops = stop.clone();
        tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else {
                    return;
                };
                tokio::spawn(pass(client, behind, flags.clone(), stops.clone()));
            }
        });
        Self {
            port,
            cuts,
            cuts_take,
            stop,
        }
    }

    async fn open(&self) -> Store {
        let url = format!("redis://127.0.0.1:{}/", self.port);
        let opened = RedisStore::open(&address(&url), "test:", settings()).await;
        opened.expect("a sound server").0.into()
    }

    /// The next write's answer is lost.
    fn cut_next(&self) {
        self.cuts.store(true, Ordering::SeqCst);
    }

    fn has_cut(&self) -> bool {
        !self.cuts.load(Ordering::SeqCst)
    }
}

/// Passes bytes on. What is asked is told by the hash of its script.
async fn pass(
    mut client: TcpStream,
    behind: u16,
    cuts: [std::sync::Arc<AtomicBool>; 2],
    stop: std::sync::Arc<Stop>,
) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", behind)).await else {
        return;
    };
    let scripts = [include_str!("../apply.lua"), include_str!("../take.lua")];
    let hashes = scripts.map(|script| redis::Script::new(script).get_hash().as_bytes().to_vec());
    let (mut asked, mut answered) = ([0; 65_536], [0; 65_536]);
    let mut is_doomed = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let is_of = |hash: &Vec<u8>| asked[..count].windows(hash.len()).any(|it| it == hash);
                if is_of(&hashes[0]) && stop.write.fetch_sub(1, Ordering::SeqCst) == 1 {
                    stop.is_reached.notify_one();
                    stop.goes_on.notified().await;
                }
                for (hash, cuts) in hashes.iter().zip(&cuts) {
                    if is_of(hash) && cuts.swap(false, Ordering::SeqCst) {
                        is_doomed = true;
                    }
                }
                if server.write_all(&asked[..count]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                // It was done, and nobody hears of it.
                if is_doomed || client.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn every_step_of_a_flow_is_taken_once_though_its_answer_was_lost() {
    let server = Server::start().await;
    let between = Between::start(&server).await;
    let store = between.open().await;
    let mut user = new_user();
    user.id = Some("person 1".to_owned());
    // Younger connections are not replaced at once.
    tokio::time::sleep(Duration::from_millis(1100)).await;

    between.cut_next();
    let created = store.create_user(&user).await.expect("sent again");
    assert_eq!(created, UserCreation::Created);
    assert!(between.has_cut());

    let mut new = new_member(user.guid, new_window(user.guid.partition(), at(600)));
    new.member.external_guid = Some("ext 1".to_owned());
    new.created = vec![notice(user.guid.partition(), EventKind::MemberCreated)];
    between.cut_next();
    let created = store.create_member(&new, at(0)).await.expect("sent again");
    assert_eq!(created, MemberCreation::Created);

    let opening = opening(&new, VisitKind::Navigate, &[]);
    between.cut_next();
    let opened = store
        .open_window(&opening, at(10))
        .await
        .expect("sent again");
    assert_eq!(opened_name(&opened), "claimed");
    assert!(between.has_cut());

    let claim = claim(&opening.attempt);
    between.cut_next();
    let claimed = store
        .claim_callback(&claim, at(20))
        .await
        .expect("sent again");
    let Claimed::Accepted { sealed, .. } = claimed else {
        panic!("{claimed:?}");
    };
    assert_eq!(sealed, opening.attempt.sealed);
    let another = store
        .claim_callback(&claim, at(20))
        .await
        .expect("answered");
    assert_eq!(
        claimed_name(&another),
        "settled",
        "another response is another command"
    );

    let connection = connection(&new);
    between.cut_next();
    let committed = store.commit_connected(&connection, at(30)).await;
    assert_eq!(committed_subject(committed).member.revision, 2);

    between.cut_next();
    let events = store
        .events_due(at(40), at(90), 10)
        .await
        .expect("sent again");
    assert_eq!(events.len(), 3, "each once");
    for event in &events {
        assert_eq!(event.attempt, 1);
        between.cut_next();
        store
            .finish_event(event.guid, at(41))
            .await
            .expect("sent again");
    }
    let queues = store.queues().await.expect("counted");
    assert_eq!(queues.kinds().get(&DutyKind::Deliver), None);
}

#[tokio::test]
async fn what_is_deleted_is_so_though_the_answer_was_lost() {
    let server = Server::start().await;
    let between = Between::start(&server).await;
    let store = between.open().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let new = keep_member(&store).await;
    let deletion = Deletion {
        only_abandoned_since: None,
        user: new.member.user,
        member: new.member.guid,
        deleted: Vec::new(),
        finished: Vec::new(),
    };
    between.cut_next();
    let deleted = store
        .delete_member(&deletion, at(5))
        .await
        .expect("sent again");
    assert_eq!(deleted.map(|member| member.guid), Some(new.member.guid));
    assert!(between.has_cut());
    let again = store
        .delete_member(&deletion, at(6))
        .await
        .expect("answered");
    assert_eq!(again, None, "another deletion is another command");
}

#[tokio::test]
async fn a_step_that_only_deletes_is_taken_once_though_its_answer_was_lost() {
    let server = Server::start().await;
    let between = Between::start(&server).await;
    let store = between.open().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let user = a_user(&store).await;
    let mut new = new_member(user, new_window(user.partition(), at(600)));
    new.member.external_guid = Some("ext 1".to_owned());
    store.create_member(&new, at(0)).await.expect("kept");
    // Its window has ended and nobody is told, so nothing is written.
    let ended = failure(&new);
    store.fail_window(&ended, at(1)).await.expect("answered");
    let deletion = Deletion {
        only_abandoned_since: None,
        user,
        member: new.member.guid,
        deleted: Vec::new(),
        finished: Vec::new(),
    };
    between.cut_next();
    let deleted = store.delete_member(&deletion, at(5)).await;
    let deleted = deleted.expect("sent again");
    assert_eq!(deleted.map(|member| member.guid), Some(new.member.guid));
    assert!(between.has_cut());
    let again = store.delete_member(&deletion, at(6)).await;
    assert_eq!(again.expect("answered"), None);
    let name = Key::name(&client(), NameKind::ExternalGuid, "ext 1");
    let name = base_of(&Slot::Client(client())) + name.as_str();
    let left: i64 = server.query(&["EXISTS", &name]).await;
    assert_eq!(left, 0, "the name was given back");
}

#[tokio::test]
async fn what_is_burnt_or_tried_again_is_so_though_the_answer_was_lost() {
    let server = Server::start().await;
    let between = Between::start(&server).await;
    let store = between.open().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let new = keep_member(&store).await;
    let attempt = open_first(&store, &new, at(10)).await;
    let mut unbound = claim(&attempt);
    unbound.browser.clear();
    between.cut_next();
    let burnt = store
        .claim_callback(&unbound, at(20))
        .await
        .expect("sent again");
    assert!(matches!(burnt, Claimed::Burnt(_)), "{burnt:?}");

    let new = keep_member(&store).await;
    let failed = open_first(&store, &new, at(10)).await;
    let failure = failure(&new);
    between.cut_next();
    let ended = store
        .fail_window(&failure, at(20))
        .await
        .expect("sent again");
    assert!(ended.is_some(), "it was this one that ended it");
    let partition = new.member.guid.partition();
    let retry = Retry {
        failed: failed.id.clone(),
        browser: vec![failed.binding.clone()],
        window: new_window(partition, at(2000)),
        attempt: new_attempt(partition, at(1000)),
    };
    between.cut_next();
    let retried = store
        .retry_window(&retry, at(30))
        .await
        .expect("sent again");
    assert!(matches!(retried, Retried::Claimed(_)), "{retried:?}");
    assert!(between.has_cut());
}

/// Lets a change of a name wait between its reservation and its writing.
async fn stopped<T: Send + 'static>(
    between: &Between,
    change: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    between.stop.write.store(2, Ordering::SeqCst);
    let changing = tokio::spawn(change);
    between.stop.is_reached.notified().await;
    changing
}

#[tokio::test]
async fn a_name_that_went_to_another_is_not_kept_by_who_was_late() {
    let server = Server::start().await;
    let between = Between::start(&server).await;
    let slow = std::sync::Arc::new(between.open().await);
    let quick = open(&server).await;
    // A clock that is ahead of the other finds the reservation over.
    let ahead = at(1000);
    let mut user = new_user();
    user.id = Some("old".to_owned());
    slow.create_user(&user).await.expect("kept");
    let change = UserChange {
        client: client(),
        user: user.guid,
        id: Some(Some("new".to_owned())),
        email: None,
        metadata: None,
        is_disabled: None,
    };
    let store = slow.clone();
    let update = async move { store.update_user(&change, at(1)).await };
    let changing = stopped(&between, update).await;
    let other = User {
        id: Some("new".to_owned()),
        created_at: ahead,
        ..new_user()
    };
    let created = quick.create_user(&other).await.expect("answered");
    assert_eq!(created, UserCreation::Created);
    between.stop.goes_on.notify_one();
    let late = changing.await.expect("no panic");
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    let is_called = async |user: &User| {
        let user = quick.user(&client(), user.guid).await.expect("read");
        user.and_then(|user| user.id)
    };
    assert_eq!(is_called(&user).await.as_deref(), Some("old"));
    assert_eq!(is_called(&other).await.as_deref(), Some("new"));
    let third = User {
        id: Some("old".to_owned()),
        ..new_user()
    };
    let created = quick.create_user(&third).await.expect("answered");
    assert_eq!(created, UserCreation::IdTaken(user.guid));

    let member = keep_member(&slow).await.member;
    let named = |name: &str| MemberChange {
        external_guid: Some(Some(name.to_owned())),
        ..super::change(&member)
    };
    let change = named("old");
    slow.update_member(&change, at(1)).await.expect("done");
    let (store, change) = (slow.clone(), named("new"));
    let update = async move { store.update_member(&change, at(2)).await };
    let changing = stopped(&between, update).await;
    let user = a_user(&quick).await;
    let mut other = new_member(user, new_window(user.partition(), at(600)));
    other.member.external_guid = Some("new".to_owned());
    let created = quick.create_member(&other, ahead).await.expect("answered");
    assert_eq!(created, MemberCreation::Created);
    between.stop.goes_on.notify_one();
    let late = changing.await.expect("no panic");
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    let is_called = async |member: &Member| {
        let found = quick.member(member.user, member.guid).await.expect("read");
        found.and_then(|member| member.external_guid)
    };
    assert_eq!(is_called(&member).await.as_deref(), Some("old"));
    assert_eq!(is_called(&other.member).await.as_deref(), Some("new"));
    let mut third = new_member(user, new_window(user.partition(), at(600)));
    third.member.external_guid = Some("old".to_owned());
    let created = quick.create_member(&third, ahead).await.expect("answered");
    assert_eq!(created, MemberCreation::ExternalGuidTaken(member.guid));
}

#[tokio::test]
async fn what_was_taken_is_due_again_soon_when_nobody_heard_of_it() {
    let server = Server::start().await;
    let between = Between::start(&server).await;
    let store = between.open().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    connect(&store, &keep_member(&store).await).await;
    let take = async |now| {
        let taken = store.jobs_due(at(now), at(now + 600), 10);
        taken.await.map(|jobs| jobs.len())
    };
    between.cuts_take.store(true, Ordering::SeqCst);
    let lost = take(100).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    assert_eq!(
        take(129).await.expect("answered"),
        0,
        "somebody may be at it"
    );
    assert_eq!(take(130).await.expect("answered"), 1);
    // Who pushes it holds it for the whole time.
    assert_eq!(take(729).await.expect("answered"), 0);
    assert_eq!(take(730).await.expect("answered"), 1);
}
