//! The status that each report of the aggregator leads to.

use std::sync::Arc;

use guichet::domain::event::EventKind;
use guichet::domain::id::JobGuid;
use guichet::domain::job::{JobFailure, JobReport, JobStatus, Pulled};
use guichet::domain::member::{ConnectionStatus, Member, REFUSALS_THAT_PREVENT};
use guichet::domain::user::User;
use guichet::store::{JobOrder, Ordered, Recorded, StatusChange};
use tokio::task::JoinSet;

use super::Bench;
use super::duties::Duties;
use super::fixtures::{a_report, at, stands};

on_one_store!(
    the_third_refusal_prevents_a_standard_member,
    a_success_begins_the_count_anew,
    other_failures_are_not_counted,
    an_oauth_member_is_not_prevented,
    the_standing_differs_before_and_after_the_first_success,
    why_a_job_failed_is_kept,
    a_status_that_may_not_follow_is_not_written,
);

/// A refusal, as a standard member's.
const REFUSED: StatusChange = StatusChange {
    at_first: Some(ConnectionStatus::Denied),
    later: Some(ConnectionStatus::Denied),
    is_refusal: true,
    reason: None,
};

impl Bench {
    /// The member's job under way, or a new one.
    async fn some_job(&self, user: &User, member: &Member, second: i64) -> JobGuid {
        if let Some(job) = member.current_job {
            return job;
        }
        let order = JobOrder {
            background: None,
            user: user.guid,
            member: member.guid,
            job: self.a_job(user.guid.partition()),
            callback_payload: None,
            updated: Vec::new(),
        };
        let ordered = self.store.order_job(&order, at(second)).await;
        let ordered = ordered.expect("answered");
        assert!(matches!(ordered, Ordered::Queued(_)), "{ordered:?}");
        order.job.guid
    }

    /// A job of the member ends so; the member afterwards, and of what kinds the news are.
    async fn end_job(
        &self,
        user: &User,
        member: &Member,
        (report, status_change): (JobReport, StatusChange),
        second: i64,
    ) -> (Member, Vec<EventKind>) {
        let job = self.some_job(user, member, second).await;
        let report = a_report(self, job, report, status_change);
        self.record(&report, at(second)).await;
        let told = self.told(at(second)).await;
        let kinds = told.iter().map(|event| event.kind).collect();
        (self.read(user, member.guid).await.expect("kept"), kinds)
    }
}

fn denied() -> (JobReport, StatusChange) {
    (JobReport::Failed(JobFailure::Denied), REFUSED)
}

fn succeeded() -> (JobReport, StatusChange) {
    let status_change = stands(ConnectionStatus::Connected);
    (JobReport::Succeeded(Pulled::default()), status_change)
}

async fn the_third_refusal_prevents_a_standard_member(bench: Bench) {
    let kept = bench.standard().await;
    let mut member = kept.new.member.clone();
    for count in 1..REFUSALS_THAT_PREVENT {
        let second = 10 * i64::from(count);
        (member, _) = bench.end_job(&kept.user, &member, denied(), second).await;
        assert_eq!(member.status, ConnectionStatus::Denied);
        assert_eq!(member.refusals, count);
    }
    let (member, kinds) = bench.end_job(&kept.user, &member, denied(), 30).await;
    assert_eq!(member.status, ConnectionStatus::Prevented);
    assert_eq!(member.refusals, REFUSALS_THAT_PREVENT);
    assert!(kinds.contains(&EventKind::ConnectionStatus), "{kinds:?}");
}

async fn a_success_begins_the_count_anew(bench: Bench) {
    let kept = bench.standard().await;
    let mut member = kept.new.member.clone();
    let outcomes = [denied(), denied(), succeeded(), denied(), denied()];
    let counts = [1, 2, 0, 1, 2];
    for (second, (outcome, count)) in (10..).zip(outcomes.into_iter().zip(counts)) {
        (member, _) = bench.end_job(&kept.user, &member, outcome, second).await;
        assert_eq!(member.refusals, count);
    }
    assert_eq!(member.status, ConnectionStatus::Denied);
}

async fn other_failures_are_not_counted(bench: Bench) {
    let kept = bench.standard().await;
    let mut member = kept.new.member.clone();
    let failed = |failure, status| (JobReport::Failed(failure), stands(status));
    let outcomes = [
        denied(),
        failed(JobFailure::Impeded, ConnectionStatus::Impeded),
        failed(JobFailure::Failed, ConnectionStatus::Failed),
        denied(),
    ];
    for (second, (outcome, count)) in (10..).zip(outcomes.into_iter().zip([1, 1, 1, 2])) {
        (member, _) = bench.end_job(&kept.user, &member, outcome, second).await;
        assert_eq!(member.refusals, count);
    }
}

async fn an_oauth_member_is_not_prevented(bench: Bench) {
    let (visited, _, subject) = bench.connected().await;
    let mut member = subject.member;
    for second in 10..14 {
        let user = &visited.linked.user;
        (member, _) = bench.end_job(user, &member, denied(), second).await;
        assert_eq!(member.status, ConnectionStatus::Denied);
    }
}

async fn the_standing_differs_before_and_after_the_first_success(bench: Bench) {
    let kept = bench.standard().await;
    let status_change = StatusChange {
        at_first: Some(ConnectionStatus::Failed),
        later: None,
        is_refusal: false,
        reason: None,
    };
    let unavailable = || (JobReport::Failed(JobFailure::Unavailable), status_change);
    let first = &kept.new.member;
    let (member, kinds) = bench.end_job(&kept.user, first, unavailable(), 10).await;
    assert_eq!(member.status, ConnectionStatus::Failed);
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    // The success itself is still one that never succeeded before.
    let success = StatusChange {
        at_first: Some(ConnectionStatus::Connected),
        later: Some(ConnectionStatus::Degraded),
        is_refusal: false,
        reason: None,
    };
    let success = (JobReport::Succeeded(Pulled::default()), success);
    let (member, _) = bench.end_job(&kept.user, &member, success, 20).await;
    assert_eq!(member.status, ConnectionStatus::Connected);
    let (member, kinds) = bench.end_job(&kept.user, &member, unavailable(), 30).await;
    assert_eq!(member.status, ConnectionStatus::Connected);
    assert_eq!(member.successfully_aggregated_at, Some(at(20)));
    assert_eq!(member.aggregated_at, Some(at(30)));
    assert_eq!(kinds, [EventKind::MemberUpdated]);
}

async fn why_a_job_failed_is_kept(bench: Bench) {
    let user = bench.user().await;
    // Unanswered follows only a question: see `challenges`.
    let failures = JobFailure::ALL.iter();
    let failures = failures.filter(|failure| **failure != JobFailure::Unanswered);
    for (number, failure) in failures.enumerate() {
        let new = bench.a_standard(&user, &number.to_string());
        bench.keep(&new).await;
        let job = new.job.expect("one is asked for").guid;
        if *failure == JobFailure::Unanswered {
            // Somebody was asked before.
            let asking = JobReport::Challenged(Vec::new());
            let asking = a_report(&bench, job, asking, StatusChange::default());
            bench.record(&asking, at(8)).await;
        }
        let report = a_report(
            &bench,
            job,
            JobReport::Failed(*failure),
            StatusChange::default(),
        );
        let ended = bench.record(&report, at(9)).await;
        assert_eq!(
            (ended.status, ended.failure),
            (JobStatus::Failed, Some(*failure))
        );
        assert_eq!(bench.job(job).await, Some(ended));
    }
}

/// What a job's end leaves: a status that may not follow is not written, and none that awaits a job.
fn after(from: ConnectionStatus, to: ConnectionStatus) -> ConnectionStatus {
    let kept = match to.awaits_a_job() {
        true => from,
        false => from.then(to).unwrap_or(from),
    };
    match kept.awaits_a_job() {
        true => ConnectionStatus::Failed,
        false => kept,
    }
}

async fn a_status_that_may_not_follow_is_not_written(bench: Bench) {
    let user = bench.user().await;
    let mut reports = JoinSet::new();
    let pairs = ConnectionStatus::ALL
        .iter()
        .flat_map(|from| ConnectionStatus::ALL.iter().map(|to| (*from, *to)));
    for (from, to) in pairs.clone() {
        let mut new = bench.a_standard(&user, &format!("{from:?} {to:?}"));
        new.member.status = from;
        new.created.clear();
        let failed = JobReport::Failed(JobFailure::Failed);
        let job = new.member.current_job.expect("one is asked for");
        let report = a_report(&bench, job, failed, stands(to));
        let store = Arc::clone(&bench.store);
        reports.spawn(async move {
            store.create_member(&new, at(0)).await.expect("kept");
            let recorded = store.record_report(&report, at(9)).await;
            let Recorded::Recorded(ended) = recorded.expect("answered") else {
                panic!("from {from:?} to {to:?} the job ends");
            };
            assert_eq!(ended.status, JobStatus::Failed, "{from:?} to {to:?}");
            let member = Member {
                status: after(from, to),
                revision: 2,
                aggregated_at: Some(at(9)),
                current_job: None,
                ..new.member
            };
            let found = store.member(member.user, member.guid).await;
            let found = found.expect("answered");
            assert_eq!(found, Some(member), "{from:?} to {to:?}");
        });
    }
    reports.join_all().await;
    let changes = pairs.filter(|(from, to)| after(*from, *to) != *from);
    let told = bench.store.events_due(at(9), at(60), 2000).await;
    let told = told.expect("answered");
    let count = |kind| told.iter().filter(|event| event.kind == kind).count();
    assert_eq!(count(EventKind::MemberUpdated), 22 * 22);
    assert_eq!(count(EventKind::ConnectionStatus), changes.count());
}
