//! How windows end: in a connection, or without one.

use guichet::domain::event::EventKind;
use guichet::domain::job::{HandOut, JobFailure, JobReport, JobStatus};
use guichet::domain::member::{ConnectionStatus, Member};
use guichet::domain::window::{
    Ending, ErrorReason, OpenPolicy, Window, WindowOptions, WindowStatus,
};
use guichet::steps::NewTokens;
use guichet::store::{
    Committed, Connection, Failure, Lease, Recorded, Reported, SealedAccess, StatusChange,
};

use super::Bench;
use super::duties::Duties;
use super::fixtures::{LEG, LINK, Visited, at, before, opened_by};

on_one_store!(
    a_commit_changes_everything_at_once,
    a_commit_may_skip_the_job,
    a_second_connection_replaces_the_job,
    a_second_connection_replaces_the_grant,
    a_commit_needs_a_returned_window,
    a_commit_repeated_is_the_same_commit,
    a_failure_ends_the_window_alone,
    what_is_finished_does_not_fail,
    what_was_seen_in_one_status_ends_in_no_other,
    a_window_does_not_expire_before_its_deadline,
);

/// The grant that a due job of the store may be lent.
async fn leased(bench: &Bench, second: i64) -> Option<Vec<u8>> {
    let jobs = bench.store.jobs_due(at(second), at(second + 60), 10).await;
    let job = jobs.expect("answered").pop()?;
    match bench.store.lease(job.guid).await.expect("answered") {
        Lease::Granted {
            sealed: SealedAccess::TokenSet(sealed),
            ..
        } => Some(sealed),
        other => panic!("it was just pushed: {other:?}"),
    }
}

async fn a_commit_changes_everything_at_once(bench: Bench) {
    let visited = bench.returned().await;
    let returned = bench.window_now(&visited).await;
    let connection = bench.a_connection(&visited);
    let subject = bench.connect(&connection, at(3)).await;
    let job = connection.job.as_ref().expect("one is asked for").guid;

    let linked = &visited.linked;
    let member = Member {
        status: ConnectionStatus::Connected,
        revision: 2,
        current_job: Some(job),
        most_recent_job: Some(job),
        ..linked.member.clone()
    };
    assert_eq!(subject.member, member);
    let window = Window {
        status: WindowStatus::Succeeded,
        inbound: Some(member.guid),
        updated_at: at(3),
        ..returned
    };
    assert_eq!(subject.window, window);
    assert_eq!(bench.member_now(linked).await.as_ref(), Some(&member));
    assert_eq!(bench.window_now(&visited).await, window);

    let job = bench
        .store
        .job(job)
        .await
        .expect("answered")
        .expect("queued");
    assert_eq!((job.member, job.user), (member.guid, member.user));
    assert_eq!(
        (job.client, job.institution),
        (member.client.clone(), member.institution.clone())
    );
    assert_eq!((job.status, job.attempt), (JobStatus::Queued, 0));
    assert_eq!(
        (job.due_at, job.created_at, job.updated_at),
        (at(3), at(3), at(3))
    );
    assert_eq!(leased(&bench, 3).await, Some(connection.tokens.sealed));

    let mut told = bench.told(at(3)).await;
    told.sort_by_key(|event| event.kind == EventKind::OauthStateFinished);
    let [updated, finished] = &told[..] else {
        panic!("two events, not {told:?}");
    };
    assert_eq!(updated.guid, connection.updated[0].guid);
    assert_eq!(
        (updated.kind, &updated.member),
        (EventKind::MemberUpdated, &member)
    );
    assert_eq!((updated.window.as_ref(), updated.job), (None, None));
    assert_eq!(finished.guid, connection.finished[0].guid);
    assert_eq!(
        (&finished.member, finished.window.as_ref()),
        (&member, Some(&window))
    );
}

async fn a_commit_may_skip_the_job(bench: Bench) {
    let visited = bench.returned().await;
    let connection = Connection {
        job: None,
        updated: Vec::new(),
        finished: Vec::new(),
        ..bench.a_connection(&visited)
    };
    let subject = bench.connect(&connection, at(3)).await;
    assert_eq!(subject.member.status, ConnectionStatus::Connected);
    assert_eq!(
        (subject.member.current_job, subject.member.most_recent_job),
        (None, None)
    );
    assert_eq!(leased(&bench, 9).await, None);
    assert_eq!(bench.told(at(9)).await, [], "silence was asked for");
}

/// Connects the member of `visited` once more.
async fn connect_again(bench: &Bench, visited: &Visited, second: i64) -> (Connection, Member) {
    let visited = bench.returned_again(&visited.linked, at(second)).await;
    let connection = bench.a_connection(&visited);
    let subject = bench.connect(&connection, at(second)).await;
    (connection, subject.member)
}

async fn a_second_connection_replaces_the_job(bench: Bench) {
    let (visited, connection, first) = bench.connected().await;
    let old = connection.job.expect("one is asked for").guid;
    let (second, member) = connect_again(&bench, &visited, 10).await;
    let new = second.job.expect("one is asked for").guid;
    assert_eq!(
        (member.current_job, member.most_recent_job),
        (Some(new), Some(new))
    );
    assert!(member.revision > first.member.revision);
    let ended = bench.store.job(old).await.expect("answered");
    let ended = ended.expect("it stays readable");
    assert_eq!(
        (ended.status, ended.failure),
        (JobStatus::Failed, Some(JobFailure::Replaced))
    );

    // What is said of the old one says nothing about the new grant.
    let refused = Reported {
        of: HandOut::default(),
        background_due: None,
        job: old,
        report: JobReport::Failed(JobFailure::Denied),
        due_at: at(99),
        status_change: StatusChange {
            at_first: Some(ConnectionStatus::Denied),
            later: Some(ConnectionStatus::Impaired),
            is_refusal: true,
            reason: None,
        },
        changed: Vec::new(),
    };
    let recorded = bench.store.record_report(&refused, at(11)).await;
    assert!(
        matches!(recorded, Ok(Recorded::JobFinished(_))),
        "{recorded:?}"
    );
    assert_eq!(bench.member_now(&visited.linked).await, Some(member));
    let jobs = bench.store.jobs_due(at(12), at(99), 10).await;
    let jobs = jobs.expect("answered");
    assert_eq!(jobs.iter().map(|job| job.guid).collect::<Vec<_>>(), [new]);
}

async fn a_second_connection_replaces_the_grant(bench: Bench) {
    let (visited, first, _) = bench.connected().await;
    assert_eq!(leased(&bench, 3).await, Some(first.tokens.sealed));
    let (second, _) = connect_again(&bench, &visited, 10).await;
    let old = first.job.expect("one is asked for").guid;
    let lease = bench.store.lease(old).await.expect("answered");
    assert!(matches!(lease, Lease::NotRunning(_)));
    assert_eq!(leased(&bench, 10).await, Some(second.tokens.sealed));
}

async fn a_commit_needs_a_returned_window(bench: Bench) {
    let issued = bench.linked(WindowOptions::default()).await;
    let unopened = Visited {
        attempt: bench.an_attempt(issued.user.guid.partition(), at(9)),
        linked: issued,
    };
    let opened = bench.visited().await;
    let failed = bench.failed(WindowOptions::default()).await;
    let superseded = bench.returned().await;
    let linked = &superseded.linked;
    let new = bench.a_window(linked.user.guid.partition(), at(LINK));
    let minted = bench
        .store
        .mint_window(linked.user.guid, linked.member.guid, &new, &[], at(3));
    minted
        .await
        .expect("answered")
        .expect("the member is there");
    let expired = bench.returned().await;
    let failure = bench.a_failure(&expired.linked, Ending::Expired);
    let ended = bench.store.fail_window(&failure, at(1 + LEG)).await;
    ended.expect("answered").expect("it is overdue");
    bench.told(at(1 + LEG)).await;

    for visited in [unopened, opened, failed, superseded, expired] {
        let before = bench.member_now(&visited.linked).await;
        let connection = bench.a_connection(&visited);
        let committed = bench.commit(&connection, at(1 + LEG)).await;
        assert_eq!(committed, Committed::WindowClosed);
        assert_eq!(bench.member_now(&visited.linked).await, before);
        let job = connection.job.expect("one is asked for").guid;
        assert_eq!(bench.store.job(job).await.expect("answered"), None);
    }
    assert_eq!(bench.told(at(1 + LEG)).await, []);
}

async fn a_commit_repeated_is_the_same_commit(bench: Bench) {
    let (visited, connection, subject) = bench.connected().await;
    assert_eq!(
        bench.commit(&connection, at(4)).await,
        Committed::Connected(Box::new(subject)),
        "its answer may have been lost"
    );
    let other = Connection {
        tokens: NewTokens::unending(b"another".to_vec()),
        revokes_replaced: true,
        ..connection.clone()
    };
    assert_eq!(bench.commit(&other, at(5)).await, Committed::WindowClosed);
    let linked = &visited.linked;
    let new = bench.a_window(linked.user.guid.partition(), at(LINK));
    let minted = bench
        .store
        .mint_window(linked.user.guid, linked.member.guid, &new, &[], at(6));
    minted
        .await
        .expect("answered")
        .expect("the member is there");
    let elsewhere = Connection {
        window: new.guid,
        ..connection.clone()
    };
    assert_eq!(
        bench.commit(&elsewhere, at(7)).await,
        Committed::WindowClosed,
        "of that window, it is none"
    );
    assert_eq!(leased(&bench, 8).await, Some(connection.tokens.sealed));
    assert_eq!(bench.told(at(9)).await.len(), 2, "told once");
    assert_eq!(bench.window_now(&visited).await.updated_at, at(3));
}

async fn a_failure_ends_the_window_alone(bench: Bench) {
    let visited = bench.visited().await;
    let opened = bench.window_now(&visited).await;
    let failure = bench.a_failure(&visited.linked, Ending::Failed);
    let failed = bench.store.fail_window(&failure, at(2)).await;
    let failed = failed.expect("answered").expect("it was unfinished");
    let expected = Window {
        status: WindowStatus::Errored(ErrorReason::Denied, Ending::Failed),
        detail: failure.detail.clone(),
        updated_at: at(2),
        ..opened
    };
    assert_eq!(failed, expected);
    assert_eq!(bench.window_now(&visited).await, failed);
    assert_eq!(
        bench.member_now(&visited.linked).await.as_ref(),
        Some(&visited.linked.member)
    );
    let told = bench.told(at(2)).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].window.as_ref(), Some(&failed));
    assert_eq!(told[0].member, visited.linked.member);
}

async fn what_is_finished_does_not_fail(bench: Bench) {
    let failed = bench.failed(WindowOptions::default()).await;
    let (connected, _, _) = bench.connected().await;
    bench.told(at(9)).await;
    for visited in [failed, connected] {
        let before = bench.window_now(&visited).await;
        let failure = bench.a_failure(&visited.linked, Ending::Failed);
        let again = bench.store.fail_window(&failure, at(5)).await;
        assert_eq!(again.expect("answered"), None);
        assert_eq!(bench.window_now(&visited).await, before);
    }
    let mut unknown = bench.linked(WindowOptions::default()).await;
    unknown.window = bench.a_window(unknown.user.guid.partition(), at(LINK)).guid;
    let failure = bench.a_failure(&unknown, Ending::Failed);
    let ended = bench.store.fail_window(&failure, at(5)).await;
    assert_eq!(ended.expect("answered"), None);
    assert_eq!(bench.told(at(9)).await, []);
}

async fn what_was_seen_in_one_status_ends_in_no_other(bench: Bench) {
    let statuses = [
        WindowStatus::Issued,
        WindowStatus::Opened,
        WindowStatus::Returned,
    ];
    let options = WindowOptions::default;
    for status in statuses {
        let linked = match status {
            WindowStatus::Issued => bench.linked(options()).await,
            WindowStatus::Opened => bench.visited().await.linked,
            _ => bench.returned().await.linked,
        };
        let fail = async |seen| {
            let failure = Failure {
                only_in: Some(seen),
                ..bench.a_failure(&linked, Ending::Failed)
            };
            let ended = bench.store.fail_window(&failure, at(5)).await;
            ended.expect("answered").is_some()
        };
        for seen in statuses.into_iter().filter(|seen| *seen != status) {
            assert!(!fail(seen).await, "{seen:?}, and it is {status:?}");
        }
        assert!(fail(status).await, "{status:?}");
    }
}

async fn a_window_does_not_expire_before_its_deadline(bench: Bench) {
    // A sweeper saw the link overdue by its clock; then somebody opened it by another's.
    let linked = bench.linked(opened_by(OpenPolicy::Multi)).await;
    let overdue = bench
        .store
        .overdue_windows(at(LINK), 10)
        .await
        .expect("answered");
    assert_eq!(overdue.len(), 1);
    let visited = bench.visit(linked, before(at(LINK))).await;
    let opened = bench.window_now(&visited).await;
    let failure = bench.a_failure(&visited.linked, Ending::Expired);
    let expired = bench.store.fail_window(&failure, at(LINK)).await;
    assert_eq!(expired.expect("answered"), None);
    assert_eq!(bench.window_now(&visited).await, opened);
    let expired = bench.store.fail_window(&failure, opened.deadline).await;
    assert!(expired.expect("answered").is_some());
}
