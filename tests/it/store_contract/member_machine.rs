//! The standard member as a state machine: whatever is ordered, reported, answered and changed in
//! whatever order, the invariants hold.

use guichet::domain::challenge::{Challenge, ChallengeKind};
use guichet::domain::event::{EventKind, Notice};
use guichet::domain::id::{CredentialGuid, JobGuid};
use guichet::domain::job::{HandOut, Job, JobFailure, JobReport, JobStatus, Pulled};
use guichet::domain::member::{ConnectionStatus, Member, REFUSALS_THAT_PREVENT};
use guichet::store::{
    Answered, Answering, JobOrder, Lease, MemberChange, MemberUpdate, NewCredentials, Ordered,
    Recorded, Reported, SealedAccess, StatusChange,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::Bench;
use super::duties::Duties;
use super::fixtures::{Kept, at, known_as, stands};

on_one_store!(every_life_of_a_member_keeps_the_invariants);

/// Lives that are tried.
const CASES: u32 = 48;

/// One thing that happens to the member.
#[derive(Clone, Debug)]
enum Step {
    Order,
    Take,
    Start,
    Ask,
    Answer {
        stale_by: u32,
    },
    Succeed,
    Fail {
        failure: JobFailure,
        status: u8,
        is_refusal: bool,
    },
    Change {
        starts_a_job: bool,
    },
    Wait {
        seconds: i64,
    },
}

/// What a failed job may make of a member: nothing that awaits another one.
fn endings() -> impl Strategy<Value = u8> {
    let ends = ConnectionStatus::ALL.iter().filter(|it| !it.awaits_a_job());
    prop::sample::select(ends.map(|it| it.id()).collect::<Vec<_>>())
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let failure = prop::sample::select(JobFailure::ALL);
    let step = prop_oneof![
        4 => Just(Step::Order),
        6 => Just(Step::Take),
        2 => Just(Step::Start),
        5 => Just(Step::Ask),
        6 => prop_oneof![4 => Just(0_u32), 1 => Just(1)]
            .prop_map(|stale_by| Step::Answer { stale_by }),
        2 => Just(Step::Succeed),
        4 => (failure, endings(), any::<bool>()).prop_map(|(failure, status, is_refusal)| {
            Step::Fail { failure, status, is_refusal }
        }),
        2 => any::<bool>().prop_map(|starts_a_job| Step::Change { starts_a_job }),
        1 => (1..100_i64).prop_map(|seconds| Step::Wait { seconds }),
    ];
    prop::collection::vec(step, 1..40)
}

/// A member, its newest job, and what was sealed for it.
struct World<'a> {
    bench: &'a Bench,
    now: Timestamp,
    kept: Kept,
    member: Member,
    job: Job,
    credentials: Vec<u8>,
    answers: Option<Vec<u8>>,
    /// How many news were to be told.
    news: usize,
}

impl World<'_> {
    fn notices(&self) -> Vec<Notice> {
        let partition = self.kept.user.guid.partition();
        self.bench.a_notice(partition, EventKind::MemberUpdated)
    }

    async fn report(&mut self, report: JobReport, status_change: StatusChange) {
        let reported = Reported {
            of: HandOut::default(),
            background_due: None,
            job: self.job.guid,
            report: report.clone(),
            due_at: self.now + SignedDuration::from_secs(30),
            status_change,
            changed: self.notices(),
        };
        let recorded = self.bench.store.record_report(&reported, self.now).await;
        match recorded.expect("answered") {
            Recorded::Recorded(_) => {
                assert!(!self.job.status.is_finished());
                let is_question = matches!(report, JobReport::Challenged(_));
                let is_old = self.job.status == JobStatus::Queued && self.job.round > 0;
                if report != JobReport::Started && !(is_question && is_old) {
                    self.news += 1;
                    self.answers = None;
                }
            }
            Recorded::JobFinished(_) => {
                let unanswered = JobReport::Failed(JobFailure::Unanswered);
                let is_asking = self.job.status == JobStatus::Challenged;
                assert!(self.job.status.is_finished() || report == unanswered && !is_asking);
            }
            Recorded::Outdated(_) => panic!("it named no hand-out"),
            Recorded::Unknown => panic!("jobs stay readable"),
        }
    }

    async fn take(&mut self, step: Step) {
        let (user, member) = (self.kept.user.guid, self.kept.guid());
        let partition = user.partition();
        match step {
            Step::Order => {
                let order = JobOrder {
                    background: None,
                    user,
                    member,
                    job: self.bench.a_job(partition),
                    callback_payload: None,
                    updated: self.notices(),
                };
                let ordered = self.bench.store.order_job(&order, self.now).await;
                let is_fit = self.member.status.may_be_aggregated();
                match ordered.expect("answered") {
                    Ordered::Queued(_) => {
                        assert!(is_fit && self.member.current_job.is_none());
                        self.news += 1;
                        self.follow(order.job.guid).await;
                    }
                    Ordered::UnderWay(_) => assert!(self.member.current_job.is_some()),
                    Ordered::Unfit(_) => assert!(!is_fit),
                    Ordered::NotDue(_) => panic!("somebody asks for it"),
                    Ordered::NoSuchMember => panic!("it is there"),
                }
            }
            Step::Take => {
                let hold_until = self.now + SignedDuration::from_secs(20);
                // A case that failed left its own behind.
                let taken = self.bench.store.jobs_due(self.now, hold_until, 1000);
                let mut taken = taken.await.expect("answered");
                taken.retain(|job| job.member == member);
                assert!(taken.len() <= 1, "one job at a time: {taken:?}");
            }
            Step::Start => {
                self.report(JobReport::Started, StatusChange::default())
                    .await
            }
            Step::Ask => {
                let question = Challenge {
                    guid: CredentialGuid::new(&self.bench.chance, partition),
                    field_name: "Q".to_owned(),
                    label: "What is it?".to_owned(),
                    kind: ChallengeKind::Text,
                };
                let status_change = stands(ConnectionStatus::Challenged);
                self.report(JobReport::Challenged(vec![question]), status_change)
                    .await;
            }
            Step::Answer { stale_by } => {
                let answering = Answering {
                    user,
                    member,
                    job: self.job.guid,
                    round: self.job.round.wrapping_sub(stale_by),
                    sealed_answers: self.bench.an_envelope(),
                    callback_payload: None,
                    updated: self.notices(),
                };
                let answered = self.bench.store.answer_challenges(&answering, self.now);
                let is_asked = stale_by == 0
                    && self.job.status == JobStatus::Challenged
                    && self.member.current_job == Some(self.job.guid)
                    && self.member.status == ConnectionStatus::Challenged;
                match answered.await.expect("answered") {
                    Answered::Resumed(_) => {
                        assert!(is_asked);
                        self.news += 1;
                        self.answers = Some(answering.sealed_answers);
                    }
                    Answered::NotAsked(_) => assert!(!is_asked),
                    Answered::NoSuchMember => panic!("it is there"),
                }
            }
            Step::Succeed => {
                let success = JobReport::Succeeded(Pulled::default());
                self.report(success, stands(ConnectionStatus::Connected))
                    .await;
            }
            Step::Fail {
                failure,
                status,
                is_refusal,
            } => {
                let status = ConnectionStatus::from_id(status).expect("one of 22");
                let status_change = StatusChange {
                    is_refusal,
                    ..stands(status)
                };
                self.report(JobReport::Failed(failure), status_change).await;
            }
            Step::Change { starts_a_job } => {
                let job = starts_a_job.then(|| self.bench.a_job(partition));
                let credentials = NewCredentials {
                    sealed: self.bench.an_envelope(),
                    fingerprints: vec![known_as("ada")],
                    job: job.clone(),
                };
                self.credentials.clone_from(&credentials.sealed);
                let change = MemberChange {
                    user,
                    member,
                    name: None,
                    external_guid: None,
                    metadata: None,
                    use_cases: None,
                    background_aggregation_is_disabled: None,
                    callback_payload: None,
                    data_request: None,
                    credentials: Some(credentials),
                    updated: self.notices(),
                };
                let update = self.bench.store.update_member(&change, self.now).await;
                let update = update.expect("answered");
                assert!(matches!(update, MemberUpdate::Updated(_)), "{update:?}");
                self.news += 1;
                if let Some(job) = job {
                    self.follow(job.guid).await;
                }
            }
            Step::Wait { seconds } => self.now += SignedDuration::from_secs(seconds),
        }
    }

    /// From now on that job is looked at.
    async fn follow(&mut self, job: JobGuid) {
        self.job = self.bench.job(job).await.expect("it was queued just now");
        self.answers = None;
    }

    /// What must hold after every step.
    async fn check(&mut self) {
        let member = self.bench.read(&self.kept.user, self.kept.guid()).await;
        let member = member.expect("kept");
        assert_eq!(self.member.status.then(member.status), Ok(member.status));
        if member != self.member {
            assert!(
                member.revision > self.member.revision,
                "every change is a revision"
            );
        }
        if member.refusals >= REFUSALS_THAT_PREVENT {
            let denied = self.member.status.then(ConnectionStatus::Prevented);
            assert!(denied.is_err() || member.status == ConnectionStatus::Prevented);
        }
        let job = self.bench.job(self.job.guid).await.expect("readable");
        let is_current = member.current_job == Some(self.job.guid);
        assert_eq!(is_current, !job.status.is_finished(), "{job:#?}");
        assert!(is_current || member.current_job.is_none());
        let lease = self.bench.lease(self.job.guid).await;
        assert!(job.round >= self.job.round);
        let is_asking = job.status == JobStatus::Challenged;
        assert_eq!(is_asking, !job.challenges.is_empty(), "{job:#?}");
        assert_eq!(job.status == JobStatus::Failed, job.failure.is_some());
        let expected = match job.status {
            JobStatus::Pushed | JobStatus::Started => Lease::Granted {
                job: Box::new(job.clone()),
                sealed: SealedAccess::Credentials(self.credentials.clone()),
                token: None,
                sealed_answers: self.answers.clone(),
            },
            _ => Lease::NotRunning(Box::new(job.clone())),
        };
        assert_eq!(lease, expected);
        (self.member, self.job) = (member, job);
    }
}

async fn play(bench: &Bench, steps: Vec<Step>) {
    let kept = bench.standard().await;
    let mut world = World {
        bench,
        now: at(1),
        member: kept.new.member.clone(),
        job: bench.job(kept.job()).await.expect("queued"),
        credentials: kept.new.sealed_credentials.clone().expect("there are some"),
        answers: None,
        news: 0,
        kept,
    };
    for step in steps {
        world.take(step).await;
        world.check().await;
    }
    let mut told = bench.told(world.now).await;
    told.retain(|event| event.member.guid == world.kept.guid());
    assert_eq!(told.len(), world.news, "every change is told once");
}

async fn every_life_of_a_member_keeps_the_invariants(bench: Bench) {
    let handle = tokio::runtime::Handle::current();
    let tried = tokio::task::spawn_blocking(move || {
        let config = Config {
            cases: CASES,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config).run(&steps(), |steps| {
            handle.block_on(play(&bench, steps));
            Ok(())
        })
    });
    if let Err(error) = tried.await.expect("the runner catches panics") {
        panic!("{error}");
    }
}
