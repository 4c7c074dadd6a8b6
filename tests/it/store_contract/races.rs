//! Many at once: exactly one gets through, and what happens is all or nothing.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use guichet::domain::event::EventKind;
use guichet::domain::member::ConnectionStatus;
use guichet::domain::window::{Ending, MULTI_OPENS, OpenPolicy, WindowOptions, WindowStatus};
use guichet::store::{Claim, Claimed, Committed, Deletion, Opened, Opening, VisitKind};
use tokio::task::JoinSet;

use super::Bench;
use super::duties::Duties;
use super::fixtures::{LEG, LINK, Visited, at, before, opened_by};

on_each_store!(
    of_200_browsers_one_gets_through,
    of_200_browsers_five_open_a_multi_link,
    of_100_responses_one_is_exchanged,
    of_100_responses_in_any_browser_one_is_accepted,
    of_racing_continues_the_newest_may_return,
    a_commit_wins_or_loses_against_what_ends_the_window,
    an_opening_wins_or_loses_against_the_sweeper,
    of_racing_mints_one_link_lives,
    of_racing_readings_one_is_the_first,
    no_job_is_given_twice,
    no_event_is_given_twice,
);

/// How often a race between two is run: its winner differs.
const ROUNDS: usize = 20;

async fn of_200_browsers_one_gets_through(bench: Bench) {
    for policy in [OpenPolicy::Single, OpenPolicy::Interstitial] {
        assert_eq!(
            claims_of_200_browsers(&bench, policy).await,
            1,
            "{policy:?}"
        );
    }
}

async fn of_200_browsers_five_open_a_multi_link(bench: Bench) {
    let claims = claims_of_200_browsers(&bench, OpenPolicy::Multi).await;
    assert_eq!(claims, usize::from(MULTI_OPENS));
}

async fn claims_of_200_browsers(bench: &Bench, policy: OpenPolicy) -> usize {
    let linked = bench.linked(opened_by(policy)).await;
    let mut browsers = JoinSet::new();
    for _ in 0..200 {
        let opening = bench.an_opening(&linked, VisitKind::Begin, at(1));
        let store = Arc::clone(&bench.store);
        browsers.spawn(async move { store.open_window(&opening, at(1)).await.expect("answered") });
    }
    let opened = browsers.join_all().await;
    let refused = |opened: &&Opened| matches!(opened, Opened::ClaimedElsewhere(_));
    let claimed = |opened: &&Opened| matches!(opened, Opened::Claimed(_));
    let claims = opened.iter().filter(claimed).count();
    assert_eq!(claims + opened.iter().filter(refused).count(), 200);
    claims
}

async fn of_100_responses_one_is_exchanged(bench: Bench) {
    let visited = bench.visited().await;
    let claims = (0..100).map(|_| bench.a_claim(&visited)).collect();
    let claimed = send_all(&bench, claims).await;
    let yes = claimed
        .iter()
        .filter(|claimed| matches!(claimed, Claimed::Accepted { .. }));
    assert_eq!(yes.count(), 1);
    let settled = claimed
        .iter()
        .filter(|claimed| **claimed == Claimed::Settled);
    assert_eq!(settled.count(), 99);
}

async fn of_100_responses_in_any_browser_one_is_accepted(bench: Bench) {
    let linked = bench.linked(opened_by(OpenPolicy::Multi)).await;
    let mut claims = Vec::new();
    for _ in 0..MULTI_OPENS {
        let visited = bench.visit(linked.clone(), at(1)).await;
        for number in 0..20 {
            let mut claim = bench.a_claim(&visited);
            if number % 2 == 0 {
                claim.browser.clear();
            }
            claims.push(claim);
        }
    }
    let claimed = send_all(&bench, claims).await;
    let settled = claimed
        .iter()
        .filter(|claimed| **claimed == Claimed::Settled);
    assert_eq!(settled.count(), 99);
    let burnt = claimed
        .iter()
        .filter(|claimed| matches!(claimed, Claimed::Burnt(_)));
    assert_eq!(bench.told(at(9)).await.len(), burnt.count());
}

async fn send_all(bench: &Bench, claims: Vec<Claim>) -> Vec<Claimed> {
    let mut answers = JoinSet::new();
    for claim in claims {
        let store = Arc::clone(&bench.store);
        answers.spawn(async move { store.claim_callback(&claim, at(2)).await.expect("answered") });
    }
    answers.join_all().await
}

async fn of_racing_continues_the_newest_may_return(bench: Bench) {
    let visited = bench.visited().await;
    let mut tabs = JoinSet::new();
    for _ in 0..20 {
        let opening = Opening {
            browser: visited.browser(),
            ..bench.an_opening(&visited.linked, VisitKind::Continue, at(2))
        };
        let (store, linked) = (Arc::clone(&bench.store), visited.linked.clone());
        tabs.spawn(async move {
            let opened = store.open_window(&opening, at(2)).await.expect("answered");
            let attempt = opening.attempt;
            matches!(opened, Opened::Claimed(_)).then_some(Visited { linked, attempt })
        });
    }
    let continued: Vec<Visited> = tabs.join_all().await.into_iter().flatten().collect();
    let [continued] = &continued[..] else {
        panic!(
            "the first of them takes the binding from the others: {}",
            continued.len()
        );
    };
    bench.come_back(continued, at(3)).await;
}

async fn a_commit_wins_or_loses_against_what_ends_the_window(bench: Bench) {
    for round in 0..ROUNDS {
        let visited = bench.returned().await;
        let linked = visited.linked.clone();
        let connection = bench.a_connection(&visited);
        let store = Arc::clone(&bench.store);
        let commit = tokio::spawn(async move {
            let committed = store.commit_connected(&connection, at(1 + LEG)).await;
            matches!(committed.expect("answered"), Committed::Connected(_))
        });
        let partition = linked.user.guid.partition();
        let ended = match round % 3 {
            0 => {
                let failure = bench.a_failure(&linked, Ending::Expired);
                let failed = bench.store.fail_window(&failure, at(1 + LEG)).await;
                failed.expect("answered").is_some()
            }
            1 => {
                let new = bench.a_window(partition, at(LINK + LEG));
                let finished = bench.a_notice(partition, EventKind::OauthStateFinished);
                let user = linked.user.guid;
                let member = linked.member.guid;
                let minted = bench
                    .store
                    .mint_window(user, member, &new, &finished, at(1 + LEG))
                    .await;
                minted.expect("answered").expect("the member is there");
                bench.window_now(&visited).await.status != WindowStatus::Succeeded
            }
            _ => {
                let deletion = Deletion {
                    only_abandoned_since: None,
                    user: linked.user.guid,
                    member: linked.member.guid,
                    deleted: Vec::new(),
                    finished: bench.a_notice(partition, EventKind::OauthStateFinished),
                };
                let deleted = bench.store.delete_member(&deletion, at(1 + LEG)).await;
                deleted.expect("answered").expect("the member is there");
                bench.window_now(&visited).await.status != WindowStatus::Succeeded
            }
        };
        let committed = commit.await.expect("it ends");
        assert_ne!(committed, ended, "round {round}: one of the two happened");
        let window = bench.window_now(&visited).await;
        assert_eq!(
            committed,
            window.status == WindowStatus::Succeeded,
            "round {round}"
        );
        if let Some(member) = bench.member_now(&linked).await {
            assert_eq!(committed, member.status == ConnectionStatus::Connected);
            assert_eq!(committed, member.current_job.is_some());
        }
        let told = bench.told(at(9 + LEG)).await;
        let of_window = told
            .iter()
            .filter(|event| event.kind == EventKind::OauthStateFinished);
        assert_eq!(of_window.count(), 1, "round {round}: one end, told once");
        let updates = told
            .iter()
            .filter(|event| event.kind == EventKind::MemberUpdated);
        assert_eq!(updates.count(), usize::from(committed));
    }
}

async fn an_opening_wins_or_loses_against_the_sweeper(bench: Bench) {
    for round in 0..ROUNDS {
        let linked = bench.linked(WindowOptions::default()).await;
        let opening = bench.an_opening(&linked, VisitKind::Navigate, at(LINK));
        let store = Arc::clone(&bench.store);
        let open = tokio::spawn(async move {
            let opened = store.open_window(&opening, before(at(LINK))).await;
            matches!(opened.expect("answered"), Opened::Claimed(_))
        });
        let failure = bench.a_failure(&linked, Ending::Expired);
        let expired = bench.store.fail_window(&failure, at(LINK)).await;
        let expired = expired.expect("answered").is_some();
        let opened = open.await.expect("it ends");
        assert_ne!(opened, expired, "round {round}: one of the two happened");
    }
}

async fn of_racing_mints_one_link_lives(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let partition = linked.user.guid.partition();
    let mut mints = JoinSet::new();
    for _ in 0..30 {
        let new = bench.a_window(partition, at(LINK));
        let finished = bench.a_notice(partition, EventKind::OauthStateFinished);
        let store = Arc::clone(&bench.store);
        let (user, member) = (linked.user.guid, linked.member.guid);
        mints.spawn(async move {
            let minted = store
                .mint_window(user, member, &new, &finished, at(1))
                .await;
            minted
                .expect("answered")
                .expect("the member is there")
                .revision
        });
    }
    let revisions = distinct(mints.join_all().await);
    assert_eq!(revisions, (2..=31).collect(), "each is a change of its own");
    let overdue = bench
        .store
        .overdue_windows(at(LINK), 100)
        .await
        .expect("answered");
    let [alive] = &overdue[..] else {
        panic!("one link lives, not {overdue:?}");
    };
    let member = bench.member_now(&linked).await.expect("kept");
    assert_eq!(member.latest_window, Some(alive.guid));
    assert_eq!(
        bench.told(at(9)).await.len(),
        30,
        "every other one was superseded"
    );
}

async fn of_racing_readings_one_is_the_first(bench: Bench) {
    let linked = bench.failed(WindowOptions::default()).await.linked;
    let mut readers = JoinSet::new();
    for second in 3..53 {
        let store = Arc::clone(&bench.store);
        let (user, guid) = (linked.user.guid, linked.window);
        readers.spawn(async move {
            let window = store.window(user, guid, at(second)).await;
            let window = window.expect("answered").expect("kept");
            window.first_retrieved_at.expect("it was read just now")
        });
    }
    let firsts: HashSet<_> = readers.join_all().await.into_iter().collect();
    assert_eq!(firsts.len(), 1, "{firsts:?}");
}

async fn no_job_is_given_twice(bench: Bench) {
    let mut queued = HashSet::new();
    for _ in 0..40 {
        let (_, connection, _) = bench.connected().await;
        queued.insert(connection.job.expect("one is asked for").guid);
    }
    let mut workers = JoinSet::new();
    for _ in 0..10 {
        let store = Arc::clone(&bench.store);
        workers.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let jobs = store.jobs_due(at(9), at(70), 3).await.expect("answered");
                if jobs.is_empty() {
                    return taken;
                }
                taken.extend(jobs.into_iter().map(|job| job.guid));
            }
        });
    }
    let taken: Vec<_> = workers.join_all().await.concat();
    assert_eq!(distinct(taken), queued);
}

async fn no_event_is_given_twice(bench: Bench) {
    for _ in 0..40 {
        bench.failed(WindowOptions::default()).await;
    }
    let mut workers = JoinSet::new();
    for _ in 0..10 {
        let store = Arc::clone(&bench.store);
        workers.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let events = store.events_due(at(9), at(70), 3).await.expect("answered");
                if events.is_empty() {
                    return taken;
                }
                taken.extend(events.into_iter().map(|event| event.guid));
            }
        });
    }
    let taken: Vec<_> = workers.join_all().await.concat();
    assert_eq!(distinct(taken).len(), 40);
}

/// The values as a set.
///
/// # Panics
///
/// If one is there twice.
fn distinct<T: Eq + Hash>(values: Vec<T>) -> HashSet<T> {
    let count = values.len();
    let set: HashSet<T> = values.into_iter().collect();
    assert_eq!(set.len(), count, "something was given twice");
    set
}
