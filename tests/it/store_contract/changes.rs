//! Changes of members and users.

use std::sync::Arc;

use guichet::domain::challenge::{Challenge, ChallengeKind};
use guichet::domain::data_request::DataRequest;
use guichet::domain::event::EventKind;
use guichet::domain::id::{CredentialGuid, JobGuid, MemberGuid};
use guichet::domain::job::{Job, JobFailure, JobReport, JobStatus, Pulled};
use guichet::domain::member::{ConnectionStatus, Member, UseCase};
use guichet::domain::user::User;
use guichet::domain::window::WindowOptions;
use guichet::store::{
    Answered, Answering, Lease, MemberChange, MemberCreation, MemberUpdate, NewCredentials,
    NewMember, Recorded, SealedAccess, StatusChange,
};
use tokio::task::JoinSet;

use super::duties::Duties;
use super::fixtures::{Kept, a_report, at, before, known_as, new_member, stands};
use super::{Bench, RETENTION};

on_one_store!(
    a_change_sets_what_it_names,
    a_change_leaves_the_rest,
    a_change_needs_a_member_of_the_user,
    an_external_guid_stays_unique,
    a_member_is_found_by_its_external_guid,
    of_racing_changes_one_gets_the_external_guid,
    new_credentials_begin_anew,
    new_credentials_may_wait,
    a_replaced_job_asks_nothing_and_changes_nothing,
    a_replaced_job_is_kept_for_the_retention,
    a_report_never_counts_for_newer_credentials,
    new_credentials_sent_again_are_the_same,
    new_credentials_of_another_members_login_are_refused,
    new_credentials_leave_a_status_they_may_not_follow,
);

impl Bench {
    /// A change of nothing, told.
    pub(super) fn a_change(&self, user: &User, member: MemberGuid) -> MemberChange {
        MemberChange {
            user: user.guid,
            member,
            name: None,
            external_guid: None,
            metadata: None,
            use_cases: None,
            background_aggregation_is_disabled: None,
            callback_payload: None,
            data_request: None,
            credentials: None,
            updated: self.a_notice(user.guid.partition(), EventKind::MemberUpdated),
        }
    }

    pub(super) fn new_credentials(&self, user: &User, login: &str) -> NewCredentials {
        NewCredentials {
            sealed: self.an_envelope(),
            fingerprints: vec![known_as(login)],
            job: Some(self.a_job(user.guid.partition())),
        }
    }

    pub(super) async fn change(&self, change: &MemberChange, second: i64) -> MemberUpdate {
        let update = self.store.update_member(change, at(second)).await;
        update.expect("answered")
    }

    /// The job as it is: failed at that moment because new credentials came.
    async fn is_replaced(&self, job: JobGuid, second: i64) -> Job {
        let ended = self.job(job).await.expect("it stays readable");
        assert_eq!(
            (ended.status, ended.failure),
            (JobStatus::Failed, Some(JobFailure::Replaced))
        );
        assert_eq!(ended.updated_at, at(second));
        assert_eq!(ended.challenges, []);
        assert!(matches!(self.lease(job).await, Lease::NotRunning(_)));
        ended
    }

    async fn rename(&self, user: &User, member: MemberGuid, name: Option<&str>) -> MemberUpdate {
        let change = MemberChange {
            external_guid: Some(name.map(str::to_owned)),
            ..self.a_change(user, member)
        };
        self.change(&change, 5).await
    }

    async fn found(&self, user: &User, name: &str) -> Option<MemberGuid> {
        let found = self
            .store
            .member_by_external_guid(&user.client, user.guid, name);
        found.await.expect("answered").map(|member| member.guid)
    }
}

fn a_question(bench: &Bench, user: &User) -> Challenge {
    Challenge {
        guid: CredentialGuid::new(&bench.chance, user.guid.partition()),
        field_name: "Q".to_owned(),
        label: "What is it?".to_owned(),
        kind: ChallengeKind::Text,
    }
}

async fn a_change_sets_what_it_names(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let data_request = DataRequest {
        include_holdings: Some(true),
        ..DataRequest::default()
    };
    let change = MemberChange {
        name: Some("Mine – «ü»".to_owned()),
        external_guid: Some(Some("ext 1/ü".to_owned())),
        metadata: Some(Some("{}".to_owned())),
        use_cases: Some(vec![UseCase::MoneyMovement]),
        background_aggregation_is_disabled: Some(false),
        callback_payload: Some("bmV3".parse().expect("Base64")),
        data_request: Some(data_request.clone()),
        ..bench.a_change(&linked.user, linked.member.guid)
    };
    let member = Member {
        name: "Mine – «ü»".to_owned(),
        external_guid: Some("ext 1/ü".to_owned()),
        metadata: Some("{}".to_owned()),
        use_cases: vec![UseCase::MoneyMovement],
        background_aggregation_is_disabled: false,
        callback_payload: change.callback_payload.clone(),
        data_request,
        revision: 2,
        ..linked.member.clone()
    };
    for _repeated in 0..2 {
        let update = bench.change(&change, 5).await;
        assert_eq!(update, MemberUpdate::Updated(Box::new(member.clone())));
    }
    assert_eq!(bench.member_now(&linked).await.as_ref(), Some(&member));
    let told = bench.told(at(5)).await;
    let [told] = &told[..] else {
        panic!("one change, one event: {told:?}");
    };
    assert_eq!((told.guid, &told.member), (change.updated[0].guid, &member));

    let change = MemberChange {
        external_guid: Some(None),
        metadata: Some(None),
        updated: Vec::new(),
        ..bench.a_change(&linked.user, linked.member.guid)
    };
    bench.change(&change, 6).await;
    let bare = Member {
        external_guid: None,
        metadata: None,
        revision: 3,
        ..member
    };
    assert_eq!(bench.member_now(&linked).await, Some(bare));
    assert_eq!(bench.told(at(6)).await, [], "silence was asked for");
}

async fn a_change_leaves_the_rest(bench: Bench) {
    let kept = bench.standard().await;
    let change = MemberChange {
        name: Some("Mine".to_owned()),
        ..bench.a_change(&kept.user, kept.guid())
    };
    let member = Member {
        name: "Mine".to_owned(),
        revision: 2,
        ..kept.new.member.clone()
    };
    let update = bench.change(&change, 5).await;
    assert_eq!(update, MemberUpdate::Updated(Box::new(member.clone())));
    assert_eq!(bench.read(&kept.user, kept.guid()).await, Some(member));
    bench.take(at(6)).await;
    let Lease::Granted { sealed, .. } = bench.lease(kept.job()).await else {
        panic!("its job goes on");
    };
    let credentials = kept.new.sealed_credentials.expect("there are some");
    assert_eq!(sealed, SealedAccess::Credentials(credentials));
}

async fn a_change_needs_a_member_of_the_user(bench: Bench) {
    let kept = bench.standard().await;
    let stranger = bench.user().await;
    let nobody = bench.a_standard_member(&kept.user).guid;
    for (user, member) in [(&stranger, kept.guid()), (&kept.user, nobody)] {
        let change = MemberChange {
            name: Some("Mine".to_owned()),
            external_guid: Some(Some("ext".to_owned())),
            credentials: Some(bench.new_credentials(user, "bob")),
            ..bench.a_change(user, member)
        };
        assert_eq!(bench.change(&change, 5).await, MemberUpdate::NoSuchMember);
    }
    let member = bench.read(&kept.user, kept.guid()).await;
    assert_eq!(member.as_ref(), Some(&kept.new.member));
    assert_eq!(bench.told(at(9)).await, []);
    let name = bench.rename(&kept.user, kept.guid(), Some("ext")).await;
    assert!(
        matches!(name, MemberUpdate::Updated(_)),
        "not taken: {name:?}"
    );
}

async fn an_external_guid_stays_unique(bench: Bench) {
    let one = bench.standard().await;
    let two = bench.standard().await;
    let rename = async |kept: &Kept, name| bench.rename(&kept.user, kept.guid(), name).await;
    let is_done = |update: &MemberUpdate| matches!(update, MemberUpdate::Updated(_));
    assert!(is_done(&rename(&one, Some("ext")).await));
    assert!(is_done(&rename(&one, Some("ext")).await), "its own");
    let before = bench.read(&two.user, two.guid()).await;
    bench.told(at(5)).await;
    let taken = MemberUpdate::ExternalGuidTaken(one.guid());
    assert_eq!(rename(&two, Some("ext")).await, taken);
    assert_eq!(bench.read(&two.user, two.guid()).await, before);
    assert_eq!(bench.told(at(5)).await, [], "a refusal tells nothing");

    let mut new = new_member(bench.a_member(&two.user));
    new.member.external_guid = Some("ext".to_owned());
    let creation = bench.create(&new, at(6)).await;
    assert_eq!(creation, MemberCreation::ExternalGuidTaken(one.guid()));
    assert!(is_done(&rename(&one, Some("other")).await));
    assert!(is_done(&rename(&two, Some("ext")).await), "given back");
    assert!(is_done(&rename(&one, None).await));
    assert_eq!(bench.create(&new, at(7)).await, {
        MemberCreation::ExternalGuidTaken(two.guid())
    });
    new.member.external_guid = Some("other".to_owned());
    assert_eq!(bench.create(&new, at(8)).await, MemberCreation::Created);
}

async fn a_member_is_found_by_its_external_guid(bench: Bench) {
    let user = bench.user().await;
    let mut new = new_member(bench.a_member(&user));
    new.member.external_guid = Some("ext 1/ü".to_owned());
    bench.keep(&new).await;
    let guid = new.member.guid;
    assert_eq!(bench.found(&user, "ext 1/ü").await, Some(guid));
    assert_eq!(bench.found(&user, "ext 2").await, None);
    let stranger = bench.user().await;
    assert_eq!(bench.found(&stranger, "ext 1/ü").await, None);
    let elsewhere = User {
        client: "other".parse().expect("a client's name"),
        ..user.clone()
    };
    assert_eq!(bench.found(&elsewhere, "ext 1/ü").await, None);
    bench.rename(&user, guid, Some("ext 2")).await;
    assert_eq!(bench.found(&user, "ext 1/ü").await, None);
    assert_eq!(bench.found(&user, "ext 2").await, Some(guid));
    bench.delete(&user, guid, at(9)).await;
    assert_eq!(bench.found(&user, "ext 2").await, None);
}

async fn of_racing_changes_one_gets_the_external_guid(bench: Bench) {
    let mut racers = JoinSet::new();
    for _ in 0..20 {
        let kept = bench.standard().await;
        let change = MemberChange {
            external_guid: Some(Some("ext".to_owned())),
            ..bench.a_change(&kept.user, kept.guid())
        };
        let store = Arc::clone(&bench.store);
        racers.spawn(async move {
            let update = store.update_member(&change, at(5)).await;
            (kept.guid(), update.expect("answered"))
        });
    }
    let (mut named, mut refused) = (Vec::new(), Vec::new());
    for (guid, update) in racers.join_all().await {
        match update {
            MemberUpdate::Updated(_) => named.push(guid),
            MemberUpdate::ExternalGuidTaken(by) => refused.push(by),
            other => panic!("it is there: {other:?}"),
        }
    }
    assert_eq!((named.len(), refused.len()), (1, 19));
    assert!(refused.iter().all(|by| *by == named[0]));
}

async fn new_credentials_begin_anew(bench: Bench) {
    let kept = bench.standard().await;
    let refused = StatusChange {
        at_first: Some(ConnectionStatus::Denied),
        later: None,
        is_refusal: true,
        reason: None,
    };
    let failed = JobReport::Failed(JobFailure::Denied);
    bench
        .record(&a_report(&bench, kept.job(), failed, refused), at(2))
        .await;
    let denied = bench.read(&kept.user, kept.guid()).await.expect("kept");
    assert_eq!(denied.refusals, 1);
    bench.told(at(2)).await;

    let mut before = denied;
    for (second, login) in [(5, "ada lovelace"), (6, "ada lovelace"), (7, "ada")] {
        let new = bench.new_credentials(&kept.user, login);
        let job = new.job.clone().expect("one is asked for");
        let change = MemberChange {
            credentials: Some(new.clone()),
            ..bench.a_change(&kept.user, kept.guid())
        };
        let member = Member {
            status: ConnectionStatus::Updated,
            fingerprint: Some(known_as(login)),
            refusals: 0,
            revision: before.revision + 1,
            current_job: Some(job.guid),
            most_recent_job: Some(job.guid),
            ..before.clone()
        };
        let update = bench.change(&change, second).await;
        assert_eq!(update, MemberUpdate::Updated(Box::new(member.clone())));
        assert_eq!(
            bench.read(&kept.user, kept.guid()).await.as_ref(),
            Some(&member)
        );
        let told = bench.told(at(second)).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].member, member);

        if let Some(replaced) = before.current_job {
            bench.is_replaced(replaced, second).await;
        }
        let taken = bench.take(at(second)).await;
        assert_eq!(taken.len(), 1, "of theirs alone: {taken:?}");
        assert_eq!(
            (taken[0].guid, &taken[0].data_request),
            (job.guid, &job.data_request)
        );
        let Lease::Granted { sealed, .. } = bench.lease(job.guid).await else {
            panic!("it was pushed");
        };
        assert_eq!(sealed, SealedAccess::Credentials(new.sealed));
        before = member;
    }
}

async fn new_credentials_may_wait(bench: Bench) {
    let kept = bench.standard().await;
    bench.take(at(1)).await;
    let change = MemberChange {
        credentials: Some(NewCredentials {
            job: None,
            ..bench.new_credentials(&kept.user, "ada")
        }),
        ..bench.a_change(&kept.user, kept.guid())
    };
    let MemberUpdate::Updated(member) = bench.change(&change, 5).await else {
        panic!("the member is there");
    };
    assert_eq!(member.status, ConnectionStatus::Updated);
    assert_eq!(
        (member.current_job, member.most_recent_job),
        (None, Some(kept.job()))
    );
    bench.is_replaced(kept.job(), 5).await;
    assert_eq!(bench.take(at(999)).await, []);
}

async fn a_replaced_job_asks_nothing_and_changes_nothing(bench: Bench) {
    let kept = bench.standard().await;
    bench.take(at(1)).await;
    let asked = JobReport::Challenged(vec![a_question(&bench, &kept.user)]);
    let challenged = a_report(
        &bench,
        kept.job(),
        asked.clone(),
        stands(ConnectionStatus::Challenged),
    );
    bench.record(&challenged, at(2)).await;
    let answering = Answering {
        user: kept.user.guid,
        member: kept.guid(),
        job: kept.job(),
        round: 1,
        sealed_answers: bench.an_envelope(),
        callback_payload: None,
        updated: Vec::new(),
    };
    let answered = bench.store.answer_challenges(&answering, at(3)).await;
    assert!(matches!(answered, Ok(Answered::Resumed(_))), "{answered:?}");
    let again = a_report(
        &bench,
        kept.job(),
        JobReport::Challenged(vec![a_question(&bench, &kept.user)]),
        stands(ConnectionStatus::Challenged),
    );
    // Until it is pushed again, a question is the old one, sent again.
    bench.record(&again, at(4)).await;
    let waiting = bench.job(kept.job()).await.expect("it is there");
    assert_eq!((waiting.status, waiting.round), (JobStatus::Queued, 1));
    bench.take(at(4)).await;
    bench.record(&again, at(4)).await;
    let new = bench.new_credentials(&kept.user, "ada");
    let job = new.job.clone().expect("one is asked for").guid;
    let change = MemberChange {
        credentials: Some(new),
        ..bench.a_change(&kept.user, kept.guid())
    };
    let MemberUpdate::Updated(member) = bench.change(&change, 5).await else {
        panic!("the member is there");
    };
    bench.told(at(5)).await;

    let ended = bench.is_replaced(kept.job(), 5).await;
    assert_eq!(ended.round, 2, "what happened to it stays readable");
    for report in [
        JobReport::Started,
        JobReport::Succeeded(Pulled::default()),
        JobReport::Failed(JobFailure::Unanswered),
        JobReport::Failed(JobFailure::Denied),
        asked,
    ] {
        let reported = a_report(
            &bench,
            kept.job(),
            report,
            StatusChange {
                is_refusal: true,
                ..stands(ConnectionStatus::Denied)
            },
        );
        let recorded = bench.store.record_report(&reported, at(6)).await;
        let over = Recorded::JobFinished(Box::new(ended.clone()));
        assert_eq!(recorded.expect("answered"), over);
    }
    let late = Answering {
        round: 2,
        sealed_answers: bench.an_envelope(),
        ..answering
    };
    for answering in [late.clone(), Answering { round: 1, ..late }] {
        let answered = bench.store.answer_challenges(&answering, at(6)).await;
        let not_asked = Answered::NotAsked(member.clone());
        assert_eq!(answered.expect("answered"), not_asked);
    }
    let postponed = bench.store.postpone_job(kept.job(), at(6), at(6)).await;
    postponed.expect("answered");
    assert_eq!(bench.job(kept.job()).await.as_ref(), Some(&ended));
    let now = bench.read(&kept.user, kept.guid()).await;
    assert_eq!(now, Some(*member));
    assert_eq!(bench.told(at(6)).await, []);
    let taken = bench.take(at(999)).await;
    let taken: Vec<_> = taken.iter().map(|job| job.guid).collect();
    assert_eq!(taken, [job], "of theirs alone");
}

async fn a_replaced_job_is_kept_for_the_retention(bench: Bench) {
    let kept = bench.standard().await;
    let change = MemberChange {
        credentials: Some(bench.new_credentials(&kept.user, "ada")),
        ..bench.a_change(&kept.user, kept.guid())
    };
    bench.change(&change, 5).await;
    let retention = i64::try_from(RETENTION.finished.as_secs()).expect("thirty days");
    bench
        .store
        .purge(before(at(5 + retention)))
        .await
        .expect("answered");
    bench.is_replaced(kept.job(), 5).await;
}

async fn a_report_never_counts_for_newer_credentials(bench: Bench) {
    for round in 0..20 {
        let kept = bench.standard().await;
        let refused = StatusChange {
            is_refusal: true,
            ..stands(ConnectionStatus::Denied)
        };
        let failed = JobReport::Failed(JobFailure::Denied);
        let reported = a_report(&bench, kept.job(), failed, refused);
        let store = Arc::clone(&bench.store);
        let report = tokio::spawn(async move { store.record_report(&reported, at(5)).await });
        let new = bench.new_credentials(&kept.user, "ada");
        let job = new.job.clone().expect("one is asked for").guid;
        let change = MemberChange {
            credentials: Some(new),
            ..bench.a_change(&kept.user, kept.guid())
        };
        bench.change(&change, 5).await;
        let recorded = report.await.expect("it ends").expect("answered");
        let failure = match recorded {
            Recorded::Recorded(_) => JobFailure::Denied,
            Recorded::JobFinished(_) => JobFailure::Replaced,
            Recorded::Outdated(_) => panic!("round {round}: it named no hand-out"),
            Recorded::Unknown => panic!("round {round}: it stays readable"),
        };
        let ended = bench.job(kept.job()).await.expect("readable");
        assert_eq!(ended.failure, Some(failure), "round {round}");
        let member = bench.read(&kept.user, kept.guid()).await.expect("kept");
        assert_eq!(
            (member.status, member.refusals, member.current_job),
            (ConnectionStatus::Updated, 0, Some(job)),
            "round {round}"
        );
    }
}

async fn new_credentials_sent_again_are_the_same(bench: Bench) {
    let kept = bench.standard().await;
    let change = MemberChange {
        credentials: Some(bench.new_credentials(&kept.user, "ada")),
        ..bench.a_change(&kept.user, kept.guid())
    };
    let first = bench.change(&change, 5).await;
    assert_eq!(bench.change(&change, 6).await, first);
    assert_eq!(bench.take(at(7)).await.len(), 1);
    assert_eq!(bench.change(&change, 8).await, first, "pushed meanwhile");
    let job = bench.take(at(67)).await.remove(0);
    assert_eq!(job.attempt, 2, "it is the same job");
    assert_eq!(bench.told(at(9)).await.len(), 1, "told once");
}

async fn new_credentials_of_another_members_login_are_refused(bench: Bench) {
    let kept = bench.standard().await;
    let second = bench.a_standard(&kept.user, "bob");
    bench.keep(&second).await;
    bench.told(at(0)).await;
    let mut new = bench.new_credentials(&kept.user, "ada under a new key");
    new.fingerprints.push(known_as("ada"));
    let change = MemberChange {
        name: Some("Mine".to_owned()),
        external_guid: Some(Some("ext".to_owned())),
        credentials: Some(new.clone()),
        ..bench.a_change(&kept.user, second.member.guid)
    };
    let duplicate = MemberUpdate::Duplicate(kept.guid());
    assert_eq!(bench.change(&change, 5).await, duplicate);
    let unchanged = bench.read(&kept.user, second.member.guid).await;
    assert_eq!(unchanged.as_ref(), Some(&second.member));
    let job = new.job.expect("one is asked for").guid;
    assert_eq!(bench.job(job).await, None);
    assert_eq!(bench.take(at(6)).await.len(), 2, "both go on");
    assert_eq!(bench.told(at(6)).await, []);
    let name = bench.rename(&kept.user, kept.guid(), Some("ext")).await;
    assert!(
        matches!(name, MemberUpdate::Updated(_)),
        "not taken: {name:?}"
    );

    // Another user's login is none of this one's.
    let other = bench.standard().await;
    let change = MemberChange {
        credentials: Some(bench.new_credentials(&other.user, "bob")),
        ..bench.a_change(&other.user, other.guid())
    };
    let update = bench.change(&change, 7).await;
    assert!(matches!(update, MemberUpdate::Updated(_)), "{update:?}");
}

async fn new_credentials_leave_a_status_they_may_not_follow(bench: Bench) {
    let user = bench.user().await;
    for status in ConnectionStatus::ALL {
        let mut new = NewMember {
            job: None,
            ..bench.a_standard(&user, status.name())
        };
        (new.member.current_job, new.member.most_recent_job) = (None, None);
        new.member.status = *status;
        bench.keep(&new).await;
        let login = format!("{} anew", status.name());
        let change = MemberChange {
            credentials: Some(bench.new_credentials(&user, &login)),
            ..bench.a_change(&user, new.member.guid)
        };
        let MemberUpdate::Updated(member) = bench.change(&change, 5).await else {
            panic!("the member is there");
        };
        let updated = status.then(ConnectionStatus::Updated).unwrap_or(*status);
        assert_eq!(member.status, updated, "after {status:?}");
        assert_eq!(member.fingerprint, Some(known_as(&login)));
    }
}
