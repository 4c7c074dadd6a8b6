//! Aggregation jobs, and what is reported of them.

use guichet::domain::event::EventKind;
use guichet::domain::id::JobGuid;
use guichet::domain::job::{HandOut, Job, JobFailure, JobReport, JobStatus, Pulled};
use guichet::domain::member::{ConnectionStatus, Member};
use guichet::store::{Lease, Recorded, Reported, SealedAccess, StatusChange};

use super::Bench;
use super::duties::Duties;
use super::fixtures::{Linked, at, before};

on_each_store!(
    a_due_job_is_taken_and_held,
    jobs_are_taken_up_to_the_limit,
    a_postponed_job_waits,
    a_grant_is_lent_between_push_and_end,
    a_started_job_has_more_time,
    a_success_is_told_with_what_was_pulled,
    a_first_failure_and_a_later_one_differ,
    a_status_that_stays_is_not_told,
    a_finished_job_is_over,
);

/// A connected member's job, taken at moment 10 until moment 70.
async fn pushed(bench: &Bench) -> (Linked, JobGuid) {
    let (visited, connection, _) = bench.connected().await;
    let job = connection.job.expect("one is asked for").guid;
    assert_eq!(
        take(bench, 10, 70)
            .await
            .iter()
            .map(|job| job.guid)
            .collect::<Vec<_>>(),
        [job]
    );
    bench.told(at(10)).await;
    (visited.linked, job)
}

async fn take(bench: &Bench, second: i64, hold_until: i64) -> Vec<Job> {
    let jobs = bench.store.jobs_due(at(second), at(hold_until), 10).await;
    jobs.expect("answered")
}

fn a_report(bench: &Bench, job: JobGuid, report: JobReport) -> Reported {
    Reported {
        of: HandOut::default(),
        background_due: None,
        job,
        report,
        due_at: at(500),
        status_change: StatusChange {
            at_first: Some(ConnectionStatus::Denied),
            later: Some(ConnectionStatus::Impaired),
            is_refusal: false,
            reason: None,
        },
        changed: [
            bench.a_notice(job.partition(), EventKind::MemberUpdated),
            bench.a_notice(job.partition(), EventKind::ConnectionStatus),
        ]
        .concat(),
    }
}

/// What a success makes of a member.
fn connected() -> StatusChange {
    StatusChange {
        at_first: Some(ConnectionStatus::Connected),
        later: Some(ConnectionStatus::Connected),
        is_refusal: false,
        reason: None,
    }
}

async fn record(bench: &Bench, reported: &Reported, second: i64) -> Job {
    match bench
        .store
        .record_report(reported, at(second))
        .await
        .expect("answered")
    {
        Recorded::Recorded(job) => *job,
        other => panic!("it was under way: {other:?}"),
    }
}

async fn a_due_job_is_taken_and_held(bench: Bench) {
    let (visited, connection, _) = bench.connected().await;
    let guid = connection.job.expect("one is asked for").guid;
    let none = bench.store.jobs_due(before(at(3)), at(70), 10).await;
    assert_eq!(none.expect("answered"), [], "it was queued at moment 3");
    let taken = take(&bench, 3, 70).await;
    let [job] = &taken[..] else {
        panic!("one job, not {taken:?}");
    };
    assert_eq!((job.guid, job.member), (guid, visited.linked.member.guid));
    assert_eq!((job.status, job.attempt), (JobStatus::Pushed, 1));
    assert_eq!((job.due_at, job.updated_at), (at(70), at(3)));
    assert_eq!(
        bench.store.job(guid).await.expect("answered").as_ref(),
        Some(job)
    );
    assert_eq!(take(&bench, 69, 99).await, []);
    let again = take(&bench, 70, 99).await;
    assert_eq!((again.len(), again[0].attempt), (1, 2));
    let unknown = JobGuid::new(&bench.chance, guid.partition());
    assert_eq!(bench.store.job(unknown).await.expect("answered"), None);
}

async fn jobs_are_taken_up_to_the_limit(bench: Bench) {
    for _ in 0..5 {
        bench.connected().await;
    }
    let mut sizes = Vec::new();
    for _ in 0..4 {
        let jobs = bench.store.jobs_due(at(9), at(70), 2).await;
        sizes.push(jobs.expect("answered").len());
    }
    assert_eq!(sizes, [2, 2, 1, 0]);
}

async fn a_postponed_job_waits(bench: Bench) {
    let (_, job) = pushed(&bench).await;
    bench
        .store
        .postpone_job(job, at(40), at(12))
        .await
        .expect("answered");
    let postponed = bench.store.job(job).await.expect("answered").expect("kept");
    assert_eq!((postponed.due_at, postponed.updated_at), (at(40), at(12)));
    assert_eq!(take(&bench, 39, 99).await, []);
    assert_eq!(take(&bench, 40, 99).await.len(), 1);

    let failure = a_report(&bench, job, JobReport::Failed(JobFailure::Unavailable));
    let failed = record(&bench, &failure, 41).await;
    let postponed = bench.store.postpone_job(job, at(50), at(42)).await;
    postponed.expect("answered");
    let after = bench.store.job(job).await.expect("answered");
    assert_eq!(after, Some(failed), "a finished job does not change");
    assert_eq!(
        take(&bench, 500, 600).await,
        [],
        "a finished job is not due"
    );
}

async fn a_grant_is_lent_between_push_and_end(bench: Bench) {
    let (_, connection, _) = bench.connected().await;
    let job = connection.job.expect("one is asked for").guid;
    let lease = async |job| bench.store.lease(job).await.expect("answered");
    assert!(
        matches!(lease(job).await, Lease::NotRunning(_)),
        "it was never pushed"
    );
    take(&bench, 10, 70).await;
    for report in [None, Some(JobReport::Started)] {
        if let Some(report) = report {
            record(&bench, &a_report(&bench, job, report), 11).await;
        }
        match lease(job).await {
            Lease::Granted {
                job: of,
                sealed,
                sealed_answers,
                ..
            } => {
                let grant = SealedAccess::TokenSet(connection.tokens.sealed.clone());
                assert_eq!((of.guid, sealed, sealed_answers), (job, grant, None));
            }
            other => panic!("it is under way: {other:?}"),
        }
    }
    let report = JobReport::Succeeded(Pulled::default());
    record(&bench, &a_report(&bench, job, report), 12).await;
    assert!(matches!(lease(job).await, Lease::NotRunning(_)));
    let unknown = JobGuid::new(&bench.chance, job.partition());
    assert_eq!(lease(unknown).await, Lease::Unknown);
}

async fn a_started_job_has_more_time(bench: Bench) {
    let (linked, job) = pushed(&bench).await;
    let member = bench.member_now(&linked).await;
    let started = record(&bench, &a_report(&bench, job, JobReport::Started), 11).await;
    assert_eq!((started.status, started.attempt), (JobStatus::Started, 1));
    assert_eq!((started.due_at, started.updated_at), (at(500), at(11)));
    assert_eq!(
        bench.member_now(&linked).await,
        member,
        "no news of the member"
    );
    assert_eq!(bench.told(at(11)).await, []);
    assert_eq!(take(&bench, 499, 600).await, []);
    let again = take(&bench, 500, 600).await;
    assert_eq!((again[0].status, again[0].attempt), (JobStatus::Started, 2));
}

async fn a_success_is_told_with_what_was_pulled(bench: Bench) {
    let (linked, job) = pushed(&bench).await;
    let before = bench.member_now(&linked).await.expect("kept");
    let pulled = Pulled {
        transactions_created_count: 3_000_000_000,
        transactions_updated_count: 7,
    };
    let mut reported = a_report(&bench, job, JobReport::Succeeded(pulled));
    reported.status_change = connected();
    reported
        .changed
        .extend(bench.a_notice(job.partition(), EventKind::Aggregation));
    let done = record(&bench, &reported, 20).await;
    assert_eq!(
        (done.status, done.updated_at),
        (JobStatus::Succeeded, at(20))
    );
    let member = bench.member_now(&linked).await.expect("kept");
    let expected = Member {
        revision: before.revision + 1,
        aggregated_at: Some(at(20)),
        successfully_aggregated_at: Some(at(20)),
        current_job: None,
        most_recent_job: Some(job),
        ..before
    };
    assert_eq!(member, expected);
    let mut told = bench.told(at(20)).await;
    told.sort_by_key(|event| event.kind == EventKind::Aggregation);
    let [updated, aggregated] = &told[..] else {
        panic!("two events (the status stayed), not {told:?}");
    };
    assert_eq!(
        (updated.kind, updated.job),
        (EventKind::MemberUpdated, None)
    );
    assert_eq!(aggregated.job, Some((job, pulled)));
    assert_eq!((&updated.member, &aggregated.member), (&member, &member));
    assert_eq!(aggregated.window, None);
    assert_eq!(take(&bench, 9999, 10_000).await, []);
}

/// Connects the member again and takes the job of it.
async fn again(bench: &Bench, linked: &Linked, second: i64) -> JobGuid {
    let visited = bench.returned_again(linked, at(second)).await;
    bench
        .connect(&bench.a_connection(&visited), at(second))
        .await;
    bench.told(at(second)).await;
    let jobs = take(bench, second, second + 60).await;
    assert_eq!(jobs.len(), 1);
    jobs[0].guid
}

async fn a_first_failure_and_a_later_one_differ(bench: Bench) {
    let (linked, first) = pushed(&bench).await;
    let failed = JobReport::Failed(JobFailure::Denied);
    let reported = a_report(&bench, first, failed.clone());
    assert_eq!(
        record(&bench, &reported, 20).await.status,
        JobStatus::Failed
    );
    let member = bench.member_now(&linked).await.expect("kept");
    assert_eq!(
        member.status,
        ConnectionStatus::Denied,
        "it never aggregated"
    );
    assert_eq!(
        (member.aggregated_at, member.successfully_aggregated_at),
        (Some(at(20)), None)
    );
    assert_eq!(
        (member.current_job, member.most_recent_job),
        (None, Some(first))
    );
    let kinds: Vec<_> = bench
        .told(at(20))
        .await
        .iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    assert!(kinds.contains(&EventKind::ConnectionStatus));

    let second = again(&bench, &linked, 100).await;
    let success = JobReport::Succeeded(Pulled::default());
    let success = Reported {
        status_change: connected(),
        ..a_report(&bench, second, success)
    };
    record(&bench, &success, 110).await;
    let third = again(&bench, &linked, 200).await;
    record(&bench, &a_report(&bench, third, failed), 210).await;
    let member = bench.member_now(&linked).await.expect("kept");
    assert_eq!(member.status, ConnectionStatus::Impaired);
    assert_eq!(member.aggregated_at, Some(at(210)));
    assert_eq!(member.successfully_aggregated_at, Some(at(110)));
}

async fn a_status_that_stays_is_not_told(bench: Bench) {
    let (linked, job) = pushed(&bench).await;
    let reported = Reported {
        status_change: StatusChange::default(),
        ..a_report(&bench, job, JobReport::Failed(JobFailure::Unavailable))
    };
    record(&bench, &reported, 20).await;
    let member = bench.member_now(&linked).await.expect("kept");
    assert_eq!(member.status, ConnectionStatus::Connected);
    let kinds: Vec<_> = bench
        .told(at(20))
        .await
        .iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(kinds, [EventKind::MemberUpdated]);

    let job = again(&bench, &linked, 100).await;
    let reported = Reported {
        status_change: StatusChange {
            at_first: Some(ConnectionStatus::Connected),
            ..StatusChange::default()
        },
        ..a_report(&bench, job, JobReport::Failed(JobFailure::Unavailable))
    };
    record(&bench, &reported, 120).await;
    let kinds: Vec<_> = bench
        .told(at(120))
        .await
        .iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(kinds, [EventKind::MemberUpdated], "said, but the same");
}

async fn a_finished_job_is_over(bench: Bench) {
    let (linked, job) = pushed(&bench).await;
    let success = a_report(&bench, job, JobReport::Succeeded(Pulled::default()));
    let done = record(&bench, &success, 20).await;
    bench.told(at(20)).await;
    let member = bench.member_now(&linked).await;
    let failure = a_report(&bench, job, JobReport::Failed(JobFailure::Denied));
    for late in [
        &failure,
        &success,
        &a_report(&bench, job, JobReport::Started),
    ] {
        let recorded = bench
            .store
            .record_report(late, at(30))
            .await
            .expect("answered");
        assert_eq!(recorded, Recorded::JobFinished(Box::new(done.clone())));
    }
    assert_eq!(bench.member_now(&linked).await, member);
    assert_eq!(bench.told(at(30)).await, []);
    let unknown = JobGuid::new(&bench.chance, job.partition());
    let started = a_report(&bench, unknown, JobReport::Started);
    let recorded = bench.store.record_report(&started, at(30));
    assert_eq!(recorded.await.expect("answered"), Recorded::Unknown);
}
