//! Many at once, over several connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::duties::Duties;
use super::*;
use crate::domain::window::MULTI_OPENS;
use crate::store::{MemberCreation, MemberUpdate, StoreError};

/// Asks for everything at once, over four connections, and counts the answers.
pub(super) async fn race<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    server: &Server,
    times: usize,
    ask: impl Fn(Arc<Store>) -> F,
    name: impl Fn(&T) -> &'static str,
) -> BTreeMap<&'static str, usize> {
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(Arc::new(open(server).await));
    }
    let mut asking = JoinSet::new();
    for turn in 0..times {
        asking.spawn(ask(Arc::clone(&stores[turn % stores.len()])));
    }
    let mut counts = BTreeMap::new();
    for answer in asking.join_all().await {
        *counts.entry(name(&answer)).or_default() += 1;
    }
    counts
}

async fn opened_by_200(policy: OpenPolicy, kind: VisitKind) -> BTreeMap<&'static str, usize> {
    let server = Server::start().await;
    let store = open(&server).await;
    let user = a_user(&store).await;
    let new = Arc::new(new_member(user, of_policy(user.partition(), policy)));
    store.create_member(&new, at(0)).await.expect("kept");
    let ask = |store: Arc<Store>| {
        let opening = opening(&new, kind, &[]);
        async move { store.open_window(&opening, at(1)).await.expect("answered") }
    };
    race(&server, 200, ask, opened_name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_200_browsers_at_a_link_one_gets_through() {
    let counts = opened_by_200(OpenPolicy::Single, VisitKind::Navigate).await;
    assert_eq!(counts, BTreeMap::from([("claimed", 1), ("taken", 199)]));
    let counts = opened_by_200(OpenPolicy::Interstitial, VisitKind::Begin).await;
    assert_eq!(counts, BTreeMap::from([("claimed", 1), ("taken", 199)]));
    let counts = opened_by_200(OpenPolicy::Interstitial, VisitKind::Navigate).await;
    assert_eq!(counts, BTreeMap::from([("ask first", 200)]));
    let counts = opened_by_200(OpenPolicy::Multi, VisitKind::Navigate).await;
    let opens = usize::from(MULTI_OPENS);
    assert_eq!(
        counts,
        BTreeMap::from([("claimed", opens), ("taken", 200 - opens)])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_100_answers_one_is_claimed_and_one_committed() {
    let server = Server::start().await;
    let store = open(&server).await;
    let new = keep_member(&store).await;
    let attempt = open_first(&store, &new, at(10)).await;
    let claim = Arc::new(claim(&attempt));
    let ask = |store: Arc<Store>| {
        let claim = Arc::clone(&claim);
        async move {
            store
                .claim_callback(&claim, at(20))
                .await
                .expect("answered")
        }
    };
    let counts = race(&server, 100, ask, claimed_name).await;
    assert_eq!(counts, BTreeMap::from([("settled", 99), ("yes", 1)]));

    let commit = |store: Arc<Store>| {
        let mut connection = connection(&new);
        // Each exchange seals its own grant.
        connection.tokens.sealed = connection
            .job
            .as_ref()
            .map_or(Vec::new(), |job| job.guid.compact().into_bytes());
        async move {
            store
                .commit_connected(&connection, at(30))
                .await
                .expect("answered")
        }
    };
    let name = |done: &Committed| match done {
        Committed::Connected(_) => "committed",
        _ => "refused",
    };
    let counts = race(&server, 100, commit, name).await;
    assert_eq!(counts, BTreeMap::from([("committed", 1), ("refused", 99)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_workers_share_what_is_due_without_doubles() {
    let server = Server::start().await;
    let store = Arc::new(open(&server).await);
    let mut jobs = Vec::new();
    for _ in 0..40 {
        let (connection, _) = connect(&store, &keep_member(&store).await).await;
        jobs.push(connection.job.as_ref().expect("a job").guid);
    }
    let mut workers = JoinSet::new();
    for _ in 0..10 {
        let store = open(&server).await;
        workers.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let some = store.jobs_due(at(31), at(91), 3).await.expect("taken");
                assert!(some.len() <= 3);
                if some.is_empty() {
                    return taken;
                }
                taken.extend(some.into_iter().map(|job| job.guid));
            }
        });
    }
    let mut taken: Vec<JobGuid> = workers.join_all().await.into_iter().flatten().collect();
    taken.sort();
    jobs.sort();
    assert_eq!(taken, jobs);

    let events = store.events_due(at(31), at(91), 50).await.expect("taken");
    assert_eq!(events.len(), 50, "at most what was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_50_creations_with_one_login_one_is_kept() {
    let server = Server::start().await;
    let user = a_user(&open(&server).await).await;
    let create = |store: Arc<Store>| {
        let mut new = standard(user, "ada");
        new.member.external_guid = Some(new.member.guid.to_string());
        async move { store.create_member(&new, at(0)).await.expect("answered") }
    };
    let name = |done: &MemberCreation| match done {
        MemberCreation::Created | MemberCreation::Found(_) => "created",
        MemberCreation::Duplicate(_) => "duplicate",
        MemberCreation::ExternalGuidTaken(_) => "taken",
        MemberCreation::NoSuchUser => "nobody's",
        MemberCreation::TooMany => "too many",
    };
    let counts = race(&server, 50, create, name).await;
    assert_eq!(counts, BTreeMap::from([("created", 1), ("duplicate", 49)]));
    let store = open(&server).await;
    assert_eq!(store.members(user).await.expect("read").len(), 1);
    let names: Vec<String> = server
        .query(&["KEYS", &(base_of(&Slot::Client(client())) + "n*")])
        .await;
    assert_eq!(names.len(), 1, "those of the others are free: {names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn however_names_are_changed_each_has_one_holder() {
    let server = Server::start().await;
    let store = Arc::new(open(&server).await);
    let user = a_user(&store).await;
    let mut members = Vec::new();
    for login in ["ada", "bob", "eve"] {
        let new = standard(user, login);
        store.create_member(&new, at(0)).await.expect("kept");
        members.push(new.member);
    }
    let mut renaming = JoinSet::new();
    for worker in 0..6_usize {
        let store = Arc::new(open(&server).await);
        let members = members.clone();
        renaming.spawn(async move {
            for turn in 0..60 {
                let mut wanted = change(&members[(worker + turn / 3) % 3]);
                let name = ["one", "two", "three", "four"].get((worker * 7 + turn * 3) % 5);
                wanted.external_guid = Some(name.map(|name| (*name).to_owned()));
                if turn % 4 == 0 {
                    // Refused, as another member has the login.
                    let taken = known_as(["bob", "eve", "ada"][(worker + turn / 3) % 3]);
                    wanted.credentials = Some(crate::store::NewCredentials {
                        sealed: vec![1],
                        fingerprints: vec![taken],
                        job: None,
                    });
                }
                match store.update_member(&wanted, at(1)).await {
                    Ok(MemberUpdate::NoSuchMember) => panic!("a member is gone"),
                    // A later change overtook this one: as good as never sent.
                    Ok(_) | Err(StoreError::Unavailable(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    renaming.join_all().await;
    let mut used = Vec::new();
    for member in store.members(user).await.expect("read") {
        if let Some(name) = member.external_guid {
            let found = store.member_by_external_guid(&client(), user, &name).await;
            let found = found.expect("read").map(|member| member.guid);
            assert_eq!(found, Some(member.guid), "{name}");
            used.push(name);
        }
    }
    let names = used.len();
    used.sort();
    used.dedup();
    assert_eq!(used.len(), names, "a name with two holders: {used:?}");
}
