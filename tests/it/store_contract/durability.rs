//! What a step reported as done is there after the store was closed at any point, and goes on from there.

use guichet::domain::member::ConnectionStatus;
use guichet::domain::window::{OpenPolicy, WindowOptions, WindowStatus};
use guichet::store::{Claimed, Lease, Opened, SETTLING, SealedAccess, VisitKind};

use super::Bench;
use super::duties::Duties;
use super::fixtures::{LEG, at, opened_by};

on_each_store!(
    a_flow_goes_on_after_every_step,
    what_was_counted_stays_counted,
    a_store_answers,
);

async fn a_flow_goes_on_after_every_step(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let bench = bench.reopen().await;
    let visited = bench.visit(linked.clone(), at(1)).await;
    let bench = bench.reopen().await;
    assert_eq!(
        bench.member_now(&linked).await.as_ref(),
        Some(&linked.member)
    );
    let second = bench.an_opening(&linked, VisitKind::Navigate, at(2));
    let opened = bench
        .store
        .open_window(&second, at(2))
        .await
        .expect("answered");
    assert!(matches!(opened, Opened::ClaimedElsewhere(_)), "{opened:?}");
    let claim = bench.a_claim(&visited);
    let claimed = bench
        .store
        .claim_callback(&claim, at(2))
        .await
        .expect("answered");
    let Claimed::Accepted { sealed, .. } = claimed else {
        panic!("the browser is bound: {claimed:?}");
    };
    assert_eq!(sealed, visited.attempt.sealed);

    let bench = bench.reopen().await;
    let claimed = bench
        .store
        .claim_callback(&claim, at(3))
        .await
        .expect("answered");
    assert_eq!(claimed, Claimed::Settled, "an answer is exchanged once");
    assert_eq!(
        bench.window_now(&visited).await.deadline,
        at(2) + SETTLING,
        "and it will end"
    );
    let connection = bench.a_connection(&visited);
    let committed = bench.connect(&connection, at(3)).await;

    let bench = bench.reopen().await;
    assert_eq!(bench.member_now(&linked).await, Some(committed.member));
    assert_eq!(bench.window_now(&visited).await, committed.window);
    let jobs = bench
        .store
        .jobs_due(at(4), at(60), 10)
        .await
        .expect("answered");
    assert_eq!(jobs.len(), 1);
    let lease = bench.store.lease(jobs[0].guid).await.expect("answered");
    let Lease::Granted { sealed, .. } = lease else {
        panic!("it was pushed: {lease:?}");
    };
    assert_eq!(sealed, SealedAccess::TokenSet(connection.tokens.sealed));
    let taken = bench
        .store
        .events_due(at(4), at(60), 10)
        .await
        .expect("answered");
    assert_eq!(taken.len(), 2);

    let bench = bench.reopen().await;
    assert_eq!(
        bench
            .store
            .jobs_due(at(59), at(99), 10)
            .await
            .expect("answered"),
        []
    );
    let again = bench
        .store
        .events_due(at(60), at(99), 10)
        .await
        .expect("answered");
    assert_eq!(again.len(), 2, "taken is not delivered");
    assert!(again.iter().all(|event| event.attempt == 2));
}

async fn what_was_counted_stays_counted(bench: Bench) {
    let linked = bench.linked(opened_by(OpenPolicy::Multi)).await;
    let mut bench = bench;
    for second in 1..=5 {
        bench.visit(linked.clone(), at(second)).await;
        bench = bench.reopen().await;
    }
    let opening = bench.an_opening(&linked, VisitKind::Navigate, at(9));
    let opened = bench
        .store
        .open_window(&opening, at(9))
        .await
        .expect("answered");
    assert!(matches!(opened, Opened::ClaimedElsewhere(_)), "{opened:?}");
    let member = bench.member_now(&linked).await.expect("kept");
    assert_eq!(
        (member.status, member.revision),
        (ConnectionStatus::Pending, 1)
    );
    let window = bench
        .store
        .window(linked.user.guid, linked.window, at(9))
        .await;
    let window = window.expect("answered").expect("kept");
    assert_eq!(window.status, WindowStatus::Opened);
    assert_eq!(window.deadline, at(5 + LEG));
}

async fn a_store_answers(bench: Bench) {
    bench.store.probe().await.expect("answered");
    let bench = bench.reopen().await;
    bench.store.probe().await.expect("answered");
}
