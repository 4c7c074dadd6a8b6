//! Events on their way to clients.

use std::time::Duration;

use guichet::domain::event::{Event, EventKind};
use guichet::domain::window::{Ending, WindowOptions};
use guichet::store::{MemberCreation, NewMember, Where};
use tokio::time::timeout;

use super::Bench;
use super::fixtures::{LINK, at, before, new_member};

on_each_store!(
    a_due_event_is_taken_and_held,
    events_are_taken_up_to_the_limit,
    a_finished_event_is_gone,
    a_postponed_event_waits,
    a_buried_event_is_not_tried_again,
    an_event_shows_its_own_moment,
    what_became_of_an_unknown_event_is_no_matter,
    a_look_finds_what_another_process_left,
);

/// An event about a new member, due at moment 5.
async fn an_event(bench: &Bench) {
    let user = bench.user().await;
    let new = NewMember {
        created: bench.a_notice(user.guid.partition(), EventKind::MemberCreated),
        ..new_member(bench.a_member(&user))
    };
    let creation = bench.store.create_member(&new, at(5)).await;
    assert_eq!(creation.expect("answered"), MemberCreation::Created);
}

async fn take(bench: &Bench, second: i64, hold_until: i64) -> Vec<Event> {
    let events = bench
        .store
        .reserve_events(Where::Everywhere, at(second), at(hold_until), 10)
        .await;
    events.expect("answered")
}

async fn a_due_event_is_taken_and_held(bench: Bench) {
    an_event(&bench).await;
    let early = bench
        .store
        .reserve_events(Where::Everywhere, before(at(5)), at(60), 10)
        .await;
    assert_eq!(early.expect("answered"), []);
    let first = take(&bench, 5, 60).await;
    assert_eq!((first.len(), first[0].attempt), (1, 1));
    assert_eq!(take(&bench, 59, 90).await, []);
    let second = take(&bench, 60, 90).await;
    let expected = Event {
        attempt: 2,
        ..first[0].clone()
    };
    assert_eq!(second, [expected], "the same but for the try");
}

async fn events_are_taken_up_to_the_limit(bench: Bench) {
    for _ in 0..5 {
        an_event(&bench).await;
    }
    let mut sizes = Vec::new();
    for _ in 0..4 {
        let events = bench
            .store
            .reserve_events(Where::Everywhere, at(9), at(60), 2)
            .await;
        sizes.push(events.expect("answered").len());
    }
    assert_eq!(sizes, [2, 2, 1, 0]);
}

async fn a_finished_event_is_gone(bench: Bench) {
    an_event(&bench).await;
    let event = take(&bench, 5, 60).await[0].guid;
    for _repeated in 0..2 {
        bench
            .store
            .finish_event(event, at(9))
            .await
            .expect("answered");
    }
    assert_eq!(take(&bench, 9999, 10_000).await, []);
}

async fn a_postponed_event_waits(bench: Bench) {
    an_event(&bench).await;
    let event = take(&bench, 5, 60).await[0].guid;
    bench
        .store
        .postpone_event(event, at(1000), at(9))
        .await
        .expect("answered");
    assert_eq!(take(&bench, 999, 1060).await, []);
    assert_eq!(take(&bench, 1000, 1060).await.len(), 1);
    bench
        .store
        .postpone_event(event, at(1001), at(9))
        .await
        .expect("answered");
    assert_eq!(
        take(&bench, 1001, 1060).await[0].attempt,
        3,
        "earlier than it was held"
    );
}

async fn a_buried_event_is_not_tried_again(bench: Bench) {
    an_event(&bench).await;
    let event = take(&bench, 5, 60).await[0].guid;
    for _repeated in 0..2 {
        bench
            .store
            .bury_event(event, at(6))
            .await
            .expect("answered");
    }
    bench
        .store
        .postpone_event(event, at(7), at(9))
        .await
        .expect("answered");
    assert_eq!(take(&bench, 9999, 10_000).await, []);
}

async fn an_event_shows_its_own_moment(bench: Bench) {
    let visited = bench.failed(WindowOptions::default()).await;
    let linked = &visited.linked;
    let failed = bench.window_now(&visited).await;
    // What happens later is not in it.
    let read = bench
        .store
        .window(linked.user.guid, linked.window, at(3))
        .await;
    assert!(read.expect("answered").is_some());
    let new = bench.a_window(linked.user.guid.partition(), at(99));
    let minted = bench
        .store
        .mint_window(linked.user.guid, linked.member.guid, &new, &[], at(4));
    minted
        .await
        .expect("answered")
        .expect("the member is there");
    let told = bench.told(at(9)).await;
    let [event] = &told[..] else {
        panic!("one event, not {told:?}");
    };
    assert_eq!(event.happened_at, at(2));
    assert_eq!(event.member, linked.member);
    assert_eq!(event.window.as_ref(), Some(&failed));
}

async fn what_became_of_an_unknown_event_is_no_matter(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let partition = linked.user.guid.partition();
    let event = bench.a_notice(partition, EventKind::MemberCreated)[0].guid;
    bench
        .store
        .finish_event(event, at(9))
        .await
        .expect("answered");
    bench
        .store
        .postpone_event(event, at(1), at(9))
        .await
        .expect("answered");
    bench
        .store
        .bury_event(event, at(1))
        .await
        .expect("answered");
    let failure = bench.a_failure(&linked, Ending::Failed);
    bench
        .store
        .fail_window(&failure, at(2))
        .await
        .expect("answered");
    assert_eq!(take(&bench, 9, 60).await.len(), 1, "others are not touched");
}

async fn a_look_finds_what_another_process_left(bench: Bench) {
    an_event(&bench).await;
    let linked = bench.linked(WindowOptions::default()).await;
    // This process has queued nothing itself.
    let bench = bench.reopen().await;
    let look = async |now| {
        let has_overdue = bench.store.look_for_due(now).await;
        // Does not wait: what a look has found is told when it ends.
        let told = timeout(Duration::ZERO, bench.store.events_queued().wait()).await;
        let jobs = timeout(Duration::ZERO, bench.store.jobs_queued().wait()).await;
        assert!(jobs.is_err(), "there are none: {jobs:?}");
        (has_overdue.expect("answered"), told.ok())
    };
    assert_eq!(look(before(at(5))).await, (false, None));
    let (_, within) = look(at(5)).await;
    let taken = bench
        .store
        .reserve_events(within.expect("it is due"), at(5), at(60), 10)
        .await;
    assert_eq!(taken.expect("answered").len(), 1);
    assert_eq!(look(at(59)).await, (false, None), "it is held");
    assert!(matches!(look(at(60)).await, (false, Some(_))));

    assert!(!look(before(at(LINK))).await.0);
    assert!(look(at(LINK)).await.0);
    let overdue = bench.store.overdue_windows(at(LINK), 10).await;
    let overdue: Vec<_> = overdue
        .expect("answered")
        .iter()
        .map(|it| it.guid)
        .collect();
    assert_eq!(overdue, [linked.window]);
}
