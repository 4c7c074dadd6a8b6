//! Members that are deleted.

use guichet::domain::event::EventKind;
use guichet::domain::id::UserGuid;
use guichet::domain::window::{Ending, ErrorReason, WindowOptions, WindowStatus};
use guichet::store::{
    Claim, Claimed, Committed, Deletion, Lease, MemberCreation, Opened, Opening, VisitKind,
    WindowQuery,
};

use super::Bench;
use super::duties::Duties;
use super::fixtures::{Linked, at, last_of, new_member};

on_one_store!(
    a_deletion_ends_the_open_window,
    a_deletion_takes_grant_and_job,
    a_deleted_members_windows_stay_readable,
    nothing_comes_of_a_deleted_members_attempt,
    a_member_is_deleted_by_its_user_alone,
    a_deletion_frees_the_external_guid,
);

impl Bench {
    fn a_deletion(&self, linked: &Linked) -> Deletion {
        let partition = linked.user.guid.partition();
        Deletion {
            only_abandoned_since: None,
            user: linked.user.guid,
            member: linked.member.guid,
            deleted: self.a_notice(partition, EventKind::MemberDeleted),
            finished: self.a_notice(partition, EventKind::OauthStateFinished),
        }
    }
}

async fn a_deletion_ends_the_open_window(bench: Bench) {
    let visited = bench.visited().await;
    let deletion = bench.a_deletion(&visited.linked);
    let deleted = bench.store.delete_member(&deletion, at(5)).await;
    // News of its end is newer than all earlier news.
    let member = last_of(&visited.linked.member);
    assert_eq!(deleted.expect("answered").as_ref(), Some(&member));
    assert_eq!(bench.member_now(&visited.linked).await, None);
    let members = bench.store.members(visited.linked.user.guid).await;
    assert_eq!(members.expect("answered"), []);

    let window = bench.window_now(&visited).await;
    let ended = WindowStatus::Errored(ErrorReason::SessionError, Ending::MemberDeleted);
    assert_eq!((window.status, window.updated_at), (ended, at(5)));
    let mut told = bench.told(at(5)).await;
    told.sort_by_key(|event| event.kind == EventKind::MemberDeleted);
    let [finished, gone] = &told[..] else {
        panic!("two events, not {told:?}");
    };
    assert_eq!(finished.guid, deletion.finished[0].guid);
    assert_eq!(finished.window.as_ref(), Some(&window));
    assert_eq!(finished.member, member);
    assert_eq!(gone.guid, deletion.deleted[0].guid);
    assert_eq!((&gone.member, gone.window.as_ref()), (&member, None));

    let again = bench.store.delete_member(&deletion, at(6)).await;
    assert_eq!(again.expect("answered"), None);
    assert_eq!(bench.told(at(6)).await, []);
}

async fn a_deletion_takes_grant_and_job(bench: Bench) {
    let (visited, connection, _) = bench.connected().await;
    let job = connection.job.expect("one is asked for").guid;
    bench.told(at(4)).await;
    let jobs = bench
        .store
        .jobs_due(at(4), at(5), 10)
        .await
        .expect("answered");
    assert_eq!(jobs.len(), 1);
    let before = bench.window_now(&visited).await;
    let deletion = bench.a_deletion(&visited.linked);
    let deleted = bench.store.delete_member(&deletion, at(5)).await;
    assert!(deleted.expect("answered").is_some());
    assert_eq!(
        bench.store.lease(job).await.expect("answered"),
        Lease::Unknown
    );
    assert_eq!(bench.store.job(job).await.expect("answered"), None);
    assert_eq!(
        bench
            .store
            .jobs_due(at(9), at(99), 10)
            .await
            .expect("answered"),
        []
    );
    assert_eq!(bench.window_now(&visited).await, before, "it was finished");
    let told = bench.told(at(9)).await;
    let kinds: Vec<_> = told.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [EventKind::MemberDeleted],
        "no open window, no news of one"
    );
}

async fn a_deleted_members_windows_stay_readable(bench: Bench) {
    let visited = bench.visited().await;
    let linked = &visited.linked;
    let deleted = bench
        .store
        .delete_member(&bench.a_deletion(linked), at(5))
        .await;
    assert!(deleted.expect("answered").is_some());
    let read = async |user: UserGuid| {
        let window = bench.store.window(user, linked.window, at(6)).await;
        window.expect("answered")
    };
    let window = read(linked.user.guid).await.expect("it stays readable");
    assert_eq!(window.first_retrieved_at, Some(at(6)));
    assert_eq!(read(bench.user().await.guid).await, None);
    for member in [None, Some(linked.member.guid)] {
        let query = WindowQuery {
            member,
            auth_status: None,
            limit: 10,
        };
        let listed = bench.store.windows(linked.user.guid, query).await;
        assert_eq!(listed.expect("answered"), std::slice::from_ref(&window));
    }
    let record = bench.store.attempt(&visited.attempt.id).await;
    let record = record.expect("answered").expect("its outcome page works");
    assert_eq!((record.window, record.member), (window, None));
}

async fn nothing_comes_of_a_deleted_members_attempt(bench: Bench) {
    let opened = bench.visited().await;
    let returned = bench.returned().await;
    for visited in [&opened, &returned] {
        let deleted = bench
            .store
            .delete_member(&bench.a_deletion(&visited.linked), at(5))
            .await;
        assert!(deleted.expect("answered").is_some());
        let claim = bench.a_claim(visited);
        let claimed = bench.store.claim_callback(&claim, at(6)).await;
        assert_eq!(claimed.expect("answered"), Claimed::Settled);
        let elsewhere = Claim {
            institution: "other".parse().expect("an institution's code"),
            ..claim
        };
        let claimed = bench.store.claim_callback(&elsewhere, at(6)).await;
        assert_eq!(claimed.expect("answered"), Claimed::Unknown);
        let connection = bench.a_connection(visited);
        assert_eq!(
            bench.commit(&connection, at(7)).await,
            Committed::WindowClosed
        );
        let failure = bench.a_failure(&visited.linked, Ending::Failed);
        let failed = bench.store.fail_window(&failure, at(7)).await;
        assert_eq!(failed.expect("answered"), None);
    }
    let opening = Opening {
        browser: opened.browser(),
        ..bench.an_opening(&opened.linked, VisitKind::Navigate, at(8))
    };
    let over = bench.store.open_window(&opening, at(8)).await;
    let Opened::Finished {
        member,
        own_attempt,
        ..
    } = over.expect("answered")
    else {
        panic!("its window ended with it");
    };
    assert_eq!(
        (member, own_attempt),
        (None, Some(opened.attempt.id.clone()))
    );
}

async fn a_member_is_deleted_by_its_user_alone(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let stranger = bench.user().await;
    let deletion = Deletion {
        user: stranger.guid,
        ..bench.a_deletion(&linked)
    };
    let deleted = bench.store.delete_member(&deletion, at(5)).await;
    assert_eq!(deleted.expect("answered"), None);
    assert_eq!(bench.member_now(&linked).await, Some(linked.member));
    assert_eq!(bench.told(at(9)).await, []);
}

async fn a_deletion_frees_the_external_guid(bench: Bench) {
    let user = bench.user().await;
    let create = async || {
        let mut member = bench.a_member(&user);
        member.external_guid = Some("ext".to_owned());
        let new = new_member(member);
        let creation = bench
            .store
            .create_member(&new, at(0))
            .await
            .expect("answered");
        (new.member, creation)
    };
    let (first, creation) = create().await;
    assert_eq!(creation, MemberCreation::Created);
    let deletion = Deletion {
        only_abandoned_since: None,
        user: user.guid,
        member: first.guid,
        deleted: Vec::new(),
        finished: Vec::new(),
    };
    let deleted = bench.store.delete_member(&deletion, at(1)).await;
    assert_eq!(deleted.expect("answered"), Some(last_of(&first)));
    let (_, creation) = create().await;
    assert_eq!(creation, MemberCreation::Created);
}
