//! The steps of a flow: once, and sent again.

use super::*;
use crate::domain::client::UnboundCallback;
use crate::domain::job::{JobReport, JobStatus, Pulled};
use crate::domain::window::{Ending, ErrorReason, WindowStatus};
use crate::store::{
    Failure, Lease, Recorded, Reported, Retried, Retry, SETTLING, SealedMeans, Standing,
    WindowQuery,
};

#[tokio::test]
async fn a_flow_from_the_link_to_the_data() {
    let server = Server::start().await;
    let store = open(&server).await;
    let new = keep_member(&store).await;
    let window = new.window.as_ref().expect("a window").guid;
    let (connection, subject) = connect(&store, &new).await;

    assert_eq!(subject.window.status, WindowStatus::Succeeded);
    assert_eq!(subject.window.inbound, Some(new.member.guid));
    assert_eq!(subject.window.deadline, at(20) + SETTLING);
    assert_eq!(subject.window.retry_until, Some(at(900)));
    assert_eq!(subject.member.status, ConnectionStatus::Connected);
    assert_eq!(subject.member.revision, 2);
    let job = connection.job.as_ref().expect("a job").guid;
    assert_eq!(subject.member.current_job, Some(job));
    assert_eq!(
        store
            .member(new.member.user, new.member.guid)
            .await
            .expect("read"),
        Some(subject.member.clone())
    );

    let events = store
        .reserve_events(at(30), at(90), 10)
        .await
        .expect("taken");
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    for event in &events {
        assert_eq!((&event.member, event.attempt), (&subject.member, 1));
        let told = (event.kind == EventKind::OauthStateFinished).then_some(&subject.window);
        assert_eq!(event.window.as_ref(), told);
        store.finish_event(event.guid).await.expect("finished");
    }

    assert_eq!(store.lease(job).await.expect("read"), Lease::Over);
    let pushed = store.reserve_jobs(at(31), at(91), 10).await.expect("taken");
    assert_eq!(pushed.len(), 1);
    assert_eq!(
        (
            pushed[0].guid,
            pushed[0].status,
            pushed[0].attempt,
            pushed[0].due_at
        ),
        (job, JobStatus::Pushed, 1, at(91))
    );
    let lease = store.lease(job).await.expect("read");
    let sealed_grant = connection.sealed_grant.clone();
    assert_eq!(
        lease,
        Lease::Granted {
            job: Box::new(pushed[0].clone()),
            sealed: SealedMeans::Grant(sealed_grant),
            sealed_answers: None,
        }
    );

    let told = notice(window.partition(), EventKind::Aggregation);
    let pulled = Pulled {
        transactions_created_count: 9_007_199_254_740_993,
        transactions_updated_count: 2,
    };
    let mut report = Reported {
        job,
        report: JobReport::Succeeded(pulled),
        due_at: at(100),
        standing: Standing::default(),
        changed: vec![
            told,
            notice(window.partition(), EventKind::ConnectionStatus),
        ],
    };
    let recorded = store.record_report(&report, at(40)).await.expect("kept");
    assert!(
        matches!(&recorded, Recorded::Yes(job) if job.status == JobStatus::Succeeded),
        "{recorded:?}"
    );
    report.report = JobReport::Started;
    let repeated = store.record_report(&report, at(41)).await.expect("kept");
    assert!(matches!(repeated, Recorded::Over(_)), "{repeated:?}");
    let events = store
        .reserve_events(at(41), at(90), 10)
        .await
        .expect("taken");
    assert_eq!(events.len(), 1, "a status that stayed was told: {events:?}");
    assert_eq!(
        (events[0].guid, events[0].job),
        (told.guid, Some((job, pulled)))
    );
    assert_eq!(events[0].member.aggregated_at, Some(at(40)));
    assert_eq!(events[0].member.current_job, None);
    assert_eq!(events[0].member.most_recent_job, Some(job));
}

#[tokio::test]
async fn a_step_sent_again_finds_what_the_first_one_did() {
    let server = Server::start().await;
    let store = open(&server).await;
    let new = keep_member(&store).await;
    store.create_member(&new, at(0)).await.expect("again");
    assert_eq!(store.members(new.member.user).await.expect("read").len(), 1);

    let second = new_window(new.member.guid.partition(), at(700));
    let mint = async || {
        let (user, member) = (new.member.user, new.member.guid);
        store.mint_window(user, member, &second, &[], at(5)).await
    };
    let minted = mint().await.expect("kept").expect("a member");
    assert_eq!(mint().await.expect("again"), Some(minted.clone()));
    assert_eq!(
        (minted.latest_window, minted.revision),
        (Some(second.guid), 2)
    );

    let mut opening = opening(&new, Knock::Navigate, &[]);
    opening.window = second.guid;
    for _ in 0..2 {
        let opened = store.open_window(&opening, at(10)).await.expect("answered");
        assert_eq!(opened_name(&opened), "claimed");
    }
    store
        .claim_callback(&claim(&opening.attempt), at(20))
        .await
        .expect("answered");
    let connection = connection(second.guid);
    let first = store.commit_connected(&connection, at(30)).await;
    let again = store.commit_connected(&connection, at(31)).await;
    assert_eq!(committed_subject(first), committed_subject(again));
    let events = store
        .reserve_events(at(40), at(90), 10)
        .await
        .expect("taken");
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn a_finished_window_keeps_no_secrets() {
    let server = Server::start().await;
    let store = open(&server).await;
    let user = a_user(&store).await;
    let new = new_member(user, of_policy(user.partition(), OpenPolicy::Multi));
    store.create_member(&new, at(0)).await.expect("kept");
    let mut attempts = Vec::new();
    for _ in 0..3 {
        attempts.push(open_first(&store, &new, at(10)).await);
    }
    let kept = async || {
        let mut kept = 0;
        for attempt in &attempts {
            let base = store.keys.partition(attempt.id.partition());
            let key = format!("{base}a{}", attempt.id);
            kept += server.query::<i64>(&["HEXISTS", &key, "z"]).await;
        }
        kept
    };
    assert_eq!(kept().await, 3);
    let middle = store.claim_callback(&claim(&attempts[1]), at(20)).await;
    assert_eq!(claimed_name(&middle.expect("answered")), "yes");
    assert_eq!(kept().await, 2);
    let window = new.window.as_ref().expect("a window").guid;
    let committed = store.commit_connected(&connection(window), at(30)).await;
    committed_subject(committed);
    assert_eq!(kept().await, 0);
    let record = store.attempt(&attempts[0].id).await.expect("read");
    let record = record.expect("its outcome can be read");
    assert_eq!(record.window.status, WindowStatus::Succeeded);
    assert!(record.binding.matches(&attempts[0].binding.digest));
}

#[tokio::test]
async fn continue_kills_the_attempt_before_it() {
    let server = Server::start().await;
    let store = open(&server).await;
    let new = keep_member(&store).await;
    let first = open_first(&store, &new, at(10)).await;

    let stranger = new_attempt(new.member.guid.partition(), at(900)).binding;
    let knock = async |knock, browser: &Binding| {
        let opening = opening(&new, knock, std::slice::from_ref(browser));
        let opened = store.open_window(&opening, at(20)).await.expect("answered");
        (opened_name(&opened), opening.attempt)
    };
    assert_eq!(knock(Knock::Navigate, &first.binding).await.0, "resumable");
    assert_eq!(knock(Knock::Navigate, &stranger).await.0, "taken");
    assert_eq!(knock(Knock::Continue, &stranger).await.0, "taken");
    let (continued, second) = knock(Knock::Continue, &first.binding).await;
    assert_eq!(continued, "claimed");
    assert_eq!(knock(Knock::Continue, &first.binding).await.0, "taken");

    let late = store.claim_callback(&claim(&first), at(21)).await;
    assert_eq!(late.expect("answered"), Claimed::Settled);
    let now = store.claim_callback(&claim(&second), at(21)).await;
    assert_eq!(claimed_name(&now.expect("answered")), "yes");
    assert_eq!(knock(Knock::Continue, &second.binding).await.0, "resumable");
}

#[tokio::test]
async fn an_answer_is_checked_in_order() {
    let server = Server::start().await;
    let store = open(&server).await;
    let new = keep_member(&store).await;
    let attempt = open_first(&store, &new, at(10)).await;
    let ask = async |claim: &Claim, now| {
        let claimed = store.claim_callback(claim, now).await.expect("answered");
        claimed_name(&claimed)
    };
    let sound = claim(&attempt);
    let mut elsewhere = sound.clone();
    elsewhere.institution = "other_bank".parse().expect("a code");
    assert_eq!(ask(&elsewhere, at(20)).await, "unknown");
    let mut of_another = sound.clone();
    of_another.client = "other".parse().expect("a name");
    assert_eq!(ask(&of_another, at(20)).await, "unknown");
    assert_eq!(ask(&sound, at(900)).await, "settled");

    let mut unbound = sound.clone();
    // The right name with another's secret, and another name with the right one.
    unbound.browser = vec![
        Binding {
            attempt: attempt.id.clone(),
            digest: BindingSecret::new(&Distinct).digest(),
        },
        Binding {
            attempt: new_attempt(attempt.id.partition(), at(900)).id,
            digest: attempt.binding.digest,
        },
    ];
    unbound.unbound = UnboundCallback::Ignore;
    assert_eq!(ask(&unbound, at(20)).await, "ignored");
    unbound.unbound = UnboundCallback::Burn;
    unbound.burnt = vec![notice(
        attempt.id.partition(),
        EventKind::OauthStateFinished,
    )];
    assert_eq!(ask(&unbound, at(20)).await, "burnt");
    assert_eq!(ask(&sound, at(20)).await, "settled");
    let told = store
        .reserve_events(at(20), at(90), 10)
        .await
        .expect("taken");
    let window = told[0].window.as_ref().expect("a window");
    assert_eq!(
        window.status,
        WindowStatus::Errored(ErrorReason::SessionError, Ending::Unbound)
    );
}

#[tokio::test]
async fn try_again_goes_three_times_and_no_further() {
    let server = Server::start().await;
    let store = open(&server).await;
    let user = a_user(&store).await;
    let mut first = of_policy(user.partition(), OpenPolicy::Single);
    first.options.return_to =
        crate::domain::return_address::ReturnTo::Address("https://a.example/?x=1".to_owned());
    first.options.skip_aggregation = Some(false);
    first.options.ui_locales = Some("fr-CA en".to_owned());
    let new = new_member(user, first.clone());
    store.create_member(&new, at(0)).await.expect("kept");
    let mut failed = open_first(&store, &new, at(10)).await;
    let mut window = first.guid;

    for turn in 1..=4 {
        let retry = Retry {
            failed: failed.id.clone(),
            browser: vec![failed.binding.clone()],
            window: new_window(user.partition(), at(2000)),
            attempt: new_attempt(user.partition(), at(1000)),
        };
        let refused = store.retry_window(&retry, at(20)).await.expect("answered");
        assert_eq!(refused, Retried::Refused, "it has not failed yet");
        let failure = Failure {
            window,
            reason: ErrorReason::Cancelled,
            ending: Ending::Failed,
            only_in: None,
            detail: Some("access_denied: \"no\"".to_owned()),
            inbound: None,
            finished: Vec::new(),
        };
        let ended = store.fail_window(&failure, at(20)).await.expect("answered");
        assert_eq!(ended.expect("ended").detail, failure.detail);
        assert_eq!(
            store.fail_window(&failure, at(20)).await.expect("answered"),
            None
        );

        let mut stranger = retry.clone();
        stranger.browser = vec![retry.attempt.binding.clone()];
        let refused = store
            .retry_window(&stranger, at(20))
            .await
            .expect("answered");
        assert_eq!(refused, Retried::Refused);
        let late = store.retry_window(&retry, at(900)).await.expect("answered");
        assert_eq!(late, Retried::Over, "past the first window's deadline");

        let retried = store.retry_window(&retry, at(899)).await.expect("answered");
        if turn == 4 {
            assert_eq!(retried, Retried::Over);
            break;
        }
        assert_eq!(
            store.retry_window(&retry, at(899)).await.expect("again"),
            retried
        );
        let Retried::Claimed(subject) = retried else {
            panic!("{retried:?}");
        };
        assert_eq!(subject.window.options, first.options);
        assert_eq!(subject.window.retries, turn);
        assert_eq!(subject.window.retry_until, Some(at(900)));
        assert_eq!(subject.window.deadline, at(1000));
        assert_eq!(subject.window.previous, Some(window));
        assert_eq!(subject.window.status, WindowStatus::Opened);
        assert_eq!(subject.member.latest_window, Some(retry.window.guid));
        failed = retry.attempt;
        window = retry.window.guid;
    }
    let all = WindowQuery {
        member: None,
        auth_status: None,
        limit: 10,
    };
    assert_eq!(store.windows(user, all).await.expect("read").len(), 4);
}
