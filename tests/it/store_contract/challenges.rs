//! What an institution asks during a job, and the answers.

use std::sync::Arc;

use guichet::domain::challenge::{Challenge, ChallengeKind, ImageOption};
use guichet::domain::credential::FieldOption;
use guichet::domain::event::EventKind;
use guichet::domain::id::CredentialGuid;
use guichet::domain::job::{Job, JobFailure, JobReport, JobStatus, Pulled};
use guichet::domain::member::{ConnectionStatus, Member};
use guichet::domain::user::User;
use guichet::store::{Answered, Answering, Lease, Recorded, Reported};
use tokio::task::JoinSet;

use super::Bench;
use super::fixtures::{Kept, a_report, at, stands};

on_one_store!(
    a_question_waits_on_the_job,
    a_question_reported_again_is_the_same_question,
    answers_make_the_job_due_at_once,
    answers_sent_again_are_the_same_answers,
    each_round_has_its_own_answers,
    newer_questions_replace_the_earlier_ones,
    answers_belong_to_the_question,
    a_question_that_nobody_answers_expires,
    one_that_was_answered_just_in_time_goes_on,
    answers_may_bring_a_newer_callback_payload,
    the_end_of_a_job_forgets_questions_and_answers,
    of_racing_answers_one_is_kept,
);

impl Bench {
    /// A question of every kind.
    fn questions(&self) -> Vec<Challenge> {
        let image_data = "iVBORw0KGgo=".to_owned();
        let options = vec![FieldOption {
            label: "The «first»".to_owned(),
            value: "1".to_owned(),
        }];
        let image_options = vec![ImageOption {
            label: "A cat".to_owned(),
            value: "cat".to_owned(),
            data_uri: "data:image/png;base64,iVBORw0KGgo=".to_owned(),
        }];
        let kinds = [
            ChallengeKind::Text,
            ChallengeKind::Options { options },
            ChallengeKind::Token,
            ChallengeKind::ImageData { image_data },
            ChallengeKind::ImageOptions { image_options },
        ];
        kinds.map(|kind| self.a_question(kind)).into()
    }

    fn a_question(&self, kind: ChallengeKind) -> Challenge {
        Challenge {
            guid: CredentialGuid::new(&self.chance, self.a_user().guid.partition()),
            field_name: "Q".to_owned(),
            label: "What is it?".to_owned(),
            kind,
        }
    }

    fn asking(&self, kept: &Kept, questions: &[Challenge]) -> Reported {
        let report = JobReport::Challenged(questions.to_vec());
        a_report(
            self,
            kept.job(),
            report,
            stands(ConnectionStatus::Challenged),
        )
    }

    fn answering(&self, kept: &Kept, round: u32) -> Answering {
        Answering {
            user: kept.user.guid,
            member: kept.guid(),
            job: kept.job(),
            round,
            sealed_answers: self.an_envelope(),
            callback_payload: None,
            updated: self.a_notice(kept.user.guid.partition(), EventKind::MemberUpdated),
        }
    }

    async fn answer(&self, answering: &Answering, second: i64) -> Answered {
        let answered = self.store.answer_challenges(answering, at(second)).await;
        answered.expect("answered")
    }

    /// A standard member whose job asked its first question at moment 10, told.
    async fn asked(&self) -> (Kept, Vec<Challenge>) {
        let kept = self.standard().await;
        assert_eq!(self.take(at(5)).await.len(), 1);
        let questions = self.questions();
        let job = self.record(&self.asking(&kept, &questions), at(10)).await;
        assert_eq!(job.status, JobStatus::Challenged);
        self.told(at(10)).await;
        (kept, questions)
    }

    async fn member_of(&self, kept: &Kept) -> Member {
        self.read(&kept.user, kept.guid()).await.expect("kept")
    }
}

async fn a_question_waits_on_the_job(bench: Bench) {
    let kept = bench.standard().await;
    let pushed = bench.take(at(5)).await.remove(0);
    let questions = bench.questions();
    let asking = bench.asking(&kept, &questions);
    let job = bench.record(&asking, at(10)).await;
    let expected = Job {
        status: JobStatus::Challenged,
        challenges: questions,
        round: 1,
        due_at: at(500),
        updated_at: at(10),
        ..pushed
    };
    assert_eq!(job, expected);
    assert_eq!(bench.job(kept.job()).await, Some(job));
    let member = Member {
        status: ConnectionStatus::Challenged,
        revision: kept.new.member.revision + 1,
        ..kept.new.member.clone()
    };
    assert_eq!(
        bench.member_of(&kept).await,
        member,
        "it is under way still"
    );
    let mut told = bench.told(at(10)).await;
    told.sort_by_key(|event| event.kind == EventKind::ConnectionStatus);
    let kinds: Vec<_> = told.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [EventKind::MemberUpdated, EventKind::ConnectionStatus]
    );
    assert!(told.iter().all(|event| event.member == member));
    assert!(matches!(
        bench.lease(kept.job()).await,
        Lease::NotRunning(_)
    ));
    assert_eq!(bench.take(at(499)).await, [], "nothing is pushed meanwhile");
}

async fn a_question_reported_again_is_the_same_question(bench: Bench) {
    let (kept, questions) = bench.asked().await;
    let before = bench.member_of(&kept).await;
    let job = bench.record(&bench.asking(&kept, &questions), at(11)).await;
    assert_eq!((job.round, &job.challenges), (1, &questions));
    assert_eq!(bench.member_of(&kept).await, before);
    assert_eq!(bench.told(at(11)).await, []);
}

async fn answers_make_the_job_due_at_once(bench: Bench) {
    let (kept, _) = bench.asked().await;
    let before = bench.member_of(&kept).await;
    let asked = bench.job(kept.job()).await.expect("kept");
    let answering = bench.answering(&kept, 1);
    let member = Member {
        status: ConnectionStatus::Resumed,
        revision: before.revision + 1,
        ..before
    };
    let answered = bench.answer(&answering, 20).await;
    assert_eq!(answered, Answered::Resumed(Box::new(member.clone())));
    assert_eq!(bench.member_of(&kept).await, member);
    let told = bench.told(at(20)).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (told[0].guid, &told[0].member),
        (answering.updated[0].guid, &member)
    );

    let queued = Job {
        status: JobStatus::Queued,
        attempt: 0,
        due_at: at(20),
        updated_at: at(20),
        challenges: Vec::new(),
        ..asked
    };
    assert_eq!(bench.job(kept.job()).await.as_ref(), Some(&queued));
    assert!(matches!(
        bench.lease(kept.job()).await,
        Lease::NotRunning(_)
    ));
    let pushed = bench.take(at(20)).await.remove(0);
    assert_eq!((pushed.status, pushed.attempt), (JobStatus::Pushed, 1));
    for report in [None, Some(JobReport::Started)] {
        if let Some(report) = report {
            let report = a_report(&bench, kept.job(), report, stands(member.status));
            bench.record(&report, at(21)).await;
        }
        let Lease::Granted { sealed_answers, .. } = bench.lease(kept.job()).await else {
            panic!("it is under way");
        };
        assert_eq!(sealed_answers.as_ref(), Some(&answering.sealed_answers));
    }
}

async fn answers_sent_again_are_the_same_answers(bench: Bench) {
    let (kept, _) = bench.asked().await;
    let answering = bench.answering(&kept, 1);
    let first = bench.answer(&answering, 20).await;
    assert!(matches!(first, Answered::Resumed(_)), "{first:?}");
    assert_eq!(bench.answer(&answering, 21).await, first);
    assert_eq!(bench.take(at(22)).await.len(), 1);
    assert_eq!(
        bench.answer(&answering, 23).await,
        first,
        "pushed meanwhile"
    );
    let job = bench.job(kept.job()).await.expect("kept");
    assert_eq!((job.status, job.attempt), (JobStatus::Pushed, 1));
    assert_eq!(bench.told(at(23)).await.len(), 1, "told once");
}

async fn each_round_has_its_own_answers(bench: Bench) {
    let (kept, _) = bench.asked().await;
    bench.answer(&bench.answering(&kept, 1), 20).await;
    bench.take(at(20)).await;
    let second = vec![bench.a_question(ChallengeKind::Text)];
    let job = bench.record(&bench.asking(&kept, &second), at(30)).await;
    assert_eq!((job.round, &job.challenges), (2, &second));
    let member = bench.member_of(&kept).await;
    assert_eq!(member.status, ConnectionStatus::Challenged);
    let stale = bench.answering(&kept, 1);
    let answered = bench.answer(&stale, 31).await;
    assert_eq!(answered, Answered::NotAsked(Box::new(member)));

    let answering = bench.answering(&kept, 2);
    let answered = bench.answer(&answering, 32).await;
    assert!(matches!(answered, Answered::Resumed(_)), "{answered:?}");
    let pushed = bench.take(at(32)).await.remove(0);
    assert_eq!((pushed.attempt, pushed.round), (1, 2), "counted anew");
    let Lease::Granted { sealed_answers, .. } = bench.lease(kept.job()).await else {
        panic!("it was pushed");
    };
    assert_eq!(sealed_answers, Some(answering.sealed_answers));
}

async fn newer_questions_replace_the_earlier_ones(bench: Bench) {
    let (kept, _) = bench.asked().await;
    let newer = vec![bench.a_question(ChallengeKind::Token)];
    let asking = Reported {
        due_at: at(900),
        ..bench.asking(&kept, &newer)
    };
    let job = bench.record(&asking, at(20)).await;
    assert_eq!((job.round, job.due_at), (2, at(900)));
    assert_eq!(job.challenges, newer);
    let kinds: Vec<_> = bench.told(at(20)).await.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [EventKind::MemberUpdated], "its status is the same");
    let member = bench.member_of(&kept).await;
    let answered = bench.answer(&bench.answering(&kept, 1), 21).await;
    assert_eq!(answered, Answered::NotAsked(Box::new(member)));
    let answered = bench.answer(&bench.answering(&kept, 2), 22).await;
    assert!(matches!(answered, Answered::Resumed(_)), "{answered:?}");
}

async fn answers_belong_to_the_question(bench: Bench) {
    let unasked = bench.standard().await;
    bench.take(at(1)).await;
    let (kept, _) = bench.asked().await;
    let not_asked = |member: Member| Answered::NotAsked(Box::new(member));
    let early = bench.answer(&bench.answering(&unasked, 0), 20).await;
    assert_eq!(early, not_asked(bench.member_of(&unasked).await));
    let member = bench.member_of(&kept).await;
    for wrong in [
        bench.answering(&kept, 0),
        bench.answering(&kept, 2),
        Answering {
            job: unasked.job(),
            ..bench.answering(&kept, 1)
        },
        Answering {
            job: bench.a_job(kept.user.guid.partition()).guid,
            ..bench.answering(&kept, 1)
        },
    ] {
        assert_eq!(bench.answer(&wrong, 20).await, not_asked(member.clone()));
    }
    let stranger: User = bench.user().await;
    let of_stranger = Answering {
        user: stranger.guid,
        ..bench.answering(&kept, 1)
    };
    assert_eq!(bench.answer(&of_stranger, 20).await, Answered::NoSuchMember);
    assert_eq!(bench.member_of(&kept).await, member);
    let job = bench.job(kept.job()).await.expect("kept");
    assert_eq!(job.status, JobStatus::Challenged);
    assert_eq!(bench.told(at(20)).await, []);

    bench.answer(&bench.answering(&kept, 1), 21).await;
    let other = bench.answer(&bench.answering(&kept, 1), 22).await;
    assert!(
        matches!(other, Answered::NotAsked(_)),
        "answered: {other:?}"
    );
    bench.delete(&kept.user, kept.guid(), at(23)).await;
    let gone = bench.answer(&bench.answering(&kept, 1), 24).await;
    assert_eq!(gone, Answered::NoSuchMember);
}

async fn a_question_that_nobody_answers_expires(bench: Bench) {
    let (kept, questions) = bench.asked().await;
    let due = bench.take(at(500)).await;
    let [due] = &due[..] else {
        panic!("its time is over: {due:?}");
    };
    assert_eq!((due.status, due.attempt), (JobStatus::Challenged, 2));
    assert_eq!((&due.challenges, due.due_at), (&questions, at(560)));

    let failure = JobReport::Failed(JobFailure::Unanswered);
    let status_change = stands(ConnectionStatus::Expired);
    let expiry = a_report(&bench, kept.job(), failure, status_change);
    let job = bench.record(&expiry, at(501)).await;
    assert_eq!(
        (job.status, job.failure),
        (JobStatus::Failed, Some(JobFailure::Unanswered))
    );
    assert_eq!((&job.challenges[..], job.round), (&[][..], 1));
    assert_eq!(bench.job(kept.job()).await.as_ref(), Some(&job));
    let member = bench.member_of(&kept).await;
    assert_eq!(member.status, ConnectionStatus::Expired);
    assert_eq!(
        (member.current_job, member.aggregated_at),
        (None, Some(at(501)))
    );
    let kinds: Vec<_> = bench.told(at(501)).await.iter().map(|it| it.kind).collect();
    assert!(kinds.contains(&EventKind::ConnectionStatus), "{kinds:?}");

    let late = bench.answer(&bench.answering(&kept, 1), 502).await;
    assert_eq!(late, Answered::NotAsked(Box::new(member)));
    let again = bench.store.record_report(&expiry, at(503)).await;
    assert_eq!(
        again.expect("answered"),
        Recorded::JobFinished(Box::new(job))
    );
}

async fn one_that_was_answered_just_in_time_goes_on(bench: Bench) {
    let (kept, _) = bench.asked().await;
    let report = JobReport::Failed(JobFailure::Unanswered);
    let unanswered = a_report(
        &bench,
        kept.job(),
        report,
        stands(ConnectionStatus::Expired),
    );
    let before = bench.answer(&bench.answering(&kept, 1), 499).await;
    for is_pushed in [false, true] {
        if is_pushed {
            assert_eq!(bench.take(at(500)).await.len(), 1);
        }
        let job = bench.job(kept.job()).await.expect("kept");
        let recorded = bench.store.record_report(&unanswered, at(501)).await;
        let over = Recorded::JobFinished(Box::new(job.clone()));
        assert_eq!(recorded.expect("answered"), over);
        assert_eq!(bench.job(kept.job()).await, Some(job));
    }
    let after = bench.member_of(&kept).await;
    assert_eq!(before, Answered::Resumed(Box::new(after)));
}

async fn answers_may_bring_a_newer_callback_payload(bench: Bench) {
    let (kept, _) = bench.asked().await;
    let payload = Some("bmV3ZXI=".parse().expect("Base64"));
    let answering = Answering {
        callback_payload: payload.clone(),
        ..bench.answering(&kept, 1)
    };
    bench.answer(&answering, 20).await;
    assert_eq!(bench.member_of(&kept).await.callback_payload, payload);
}

async fn the_end_of_a_job_forgets_questions_and_answers(bench: Bench) {
    let (kept, _) = bench.asked().await;
    let answering = bench.answering(&kept, 1);
    bench.answer(&answering, 20).await;
    bench.take(at(20)).await;
    let success = JobReport::Succeeded(Pulled::default());
    let status_change = stands(ConnectionStatus::Connected);
    let success = a_report(&bench, kept.job(), success, status_change);
    let job = bench.record(&success, at(30)).await;
    assert_eq!(
        (job.status, &job.challenges[..]),
        (JobStatus::Succeeded, &[][..])
    );
    let member = bench.member_of(&kept).await;
    assert_eq!(member.status, ConnectionStatus::Connected);
    assert!(matches!(
        bench.lease(kept.job()).await,
        Lease::NotRunning(_)
    ));
    let late = bench.answer(&answering, 31).await;
    assert_eq!(late, Answered::NotAsked(Box::new(member)));

    // The institution thought better of it while the question was open.
    let (kept, _) = bench.asked().await;
    let success = JobReport::Succeeded(Pulled::default());
    let success = a_report(&bench, kept.job(), success, status_change);
    let job = bench.record(&success, at(30)).await;
    assert_eq!(
        (job.status, &job.challenges[..]),
        (JobStatus::Succeeded, &[][..])
    );
    let late = bench.answer(&bench.answering(&kept, 1), 31).await;
    assert!(matches!(late, Answered::NotAsked(_)), "{late:?}");
}

async fn of_racing_answers_one_is_kept(bench: Bench) {
    let (kept, _) = bench.asked().await;
    let mut people = JoinSet::new();
    for _ in 0..20 {
        let answering = bench.answering(&kept, 1);
        let store = Arc::clone(&bench.store);
        people.spawn(async move {
            let answered = store.answer_challenges(&answering, at(20)).await;
            match answered.expect("answered") {
                Answered::Resumed(_) => Some(answering.sealed_answers),
                Answered::NotAsked(_) => None,
                Answered::NoSuchMember => panic!("it is there"),
            }
        });
    }
    let kept_answers: Vec<_> = people.join_all().await.into_iter().flatten().collect();
    assert_eq!(kept_answers.len(), 1);
    bench.take(at(20)).await;
    let Lease::Granted { sealed_answers, .. } = bench.lease(kept.job()).await else {
        panic!("it was pushed");
    };
    assert_eq!(sealed_answers.as_ref(), kept_answers.first());
    assert_eq!(bench.told(at(20)).await.len(), 1);
}
