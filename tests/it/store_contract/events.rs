//! Events on their way to clients.

use std::collections::BTreeSet;
use std::time::Duration;

use guichet::domain::duty::DutyKind;
use guichet::domain::endpoint::EndpointId;
use guichet::domain::event::{Event, EventKind};
use guichet::domain::id::EventGuid;
use guichet::domain::window::{Ending, WindowOptions};
use guichet::steps::record::Key;
use guichet::store::{Ask, Fate, MemberChange, MemberCreation, MemberUpdate, NewMember};
use tokio::time::timeout;

use super::Bench;
use super::duties::Duties;
use super::fixtures::{LINK, Linked, at, before, new_member};

on_each_store!(
    a_due_event_is_taken_and_held,
    events_are_taken_up_to_the_limit,
    a_finished_event_is_gone,
    a_postponed_event_waits,
    a_buried_event_is_not_tried_again,
    an_event_shows_its_own_moment,
    what_became_of_an_unknown_event_is_no_matter,
    a_look_finds_what_another_process_left,
    events_of_a_member_leave_one_after_the_other_at_each_endpoint,
    what_waits_behind_something_unreadable_goes_on,
    an_event_that_was_not_tried_keeps_its_tries,
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
    let events = bench.store.events_due(at(second), at(hold_until), 10).await;
    events.expect("answered")
}

async fn a_due_event_is_taken_and_held(bench: Bench) {
    an_event(&bench).await;
    let early = bench.store.events_due(before(at(5)), at(60), 10).await;
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
        let events = bench.store.events_due(at(9), at(60), 2).await;
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
        let told = timeout(Duration::ZERO, bench.store.queued().wait()).await;
        (has_overdue.expect("answered"), told.unwrap_or_default())
    };
    let nothing = BTreeSet::new();
    assert_eq!(look(before(at(5))).await, (false, nothing.clone()));
    let (_, spots) = look(at(5)).await;
    let asks: Vec<Ask> = spots
        .into_iter()
        .map(|spot| Ask { spot, limit: 10 })
        .collect();
    let reserved = bench
        .store
        .reserve_duties(&asks, (at(5), at(5)), |_| at(60))
        .await;
    let reserved = reserved.expect("answered");
    let [reserved] = &reserved[..] else {
        panic!("one line, not {reserved:?}");
    };
    assert_eq!(reserved.spot.line.client(), "acme");
    assert_eq!((reserved.duties.len(), reserved.may_be_more), (1, false));
    assert_eq!(look(at(59)).await, (false, nothing.clone()), "it is held");
    assert_ne!(look(at(60)).await, (false, nothing));

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

/// Tells `count` events of the member, all at one endpoint.
async fn tell(bench: &Bench, linked: &Linked, endpoint: EndpointId, count: i64) -> Vec<EventGuid> {
    let mut told = Vec::new();
    for nth in 0..count {
        let mut notices = bench.a_notice(linked.member.guid.partition(), EventKind::MemberUpdated);
        notices[0].endpoint = endpoint;
        told.push(notices[0].guid);
        let change = MemberChange {
            metadata: Some(Some(notices[0].guid.to_string())),
            updated: notices,
            ..bench.a_change(&linked.user, linked.member.guid)
        };
        let updated = bench.store.update_member(&change, at(1 + nth)).await;
        assert!(matches!(
            updated.expect("answered"),
            MemberUpdate::Updated(_)
        ));
    }
    told
}

async fn events_of_a_member_leave_one_after_the_other_at_each_endpoint(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let other_member = bench.linked(WindowOptions::default()).await;
    let (one, another) = (bench.an_endpoint(), bench.an_endpoint());
    let chain = tell(&bench, &linked, one, 4).await;
    let elsewhere = tell(&bench, &linked, another, 1).await;
    let beside = tell(&bench, &other_member, one, 1).await;
    let due = async |second| -> BTreeSet<EventGuid> {
        let taken = take(&bench, second, second + 1).await;
        taken.iter().map(|event| event.guid).collect()
    };
    let (store, first) = (
        &bench.store,
        BTreeSet::from([chain[0], elsewhere[0], beside[0]]),
    );
    assert_eq!(due(10).await, first);
    for event in [elsewhere[0], beside[0]] {
        store.finish_event(event, at(10)).await.expect("answered");
    }
    // One that is tried again later keeps its place; nothing overtakes it.
    let later = store.postpone_event(chain[0], at(50), at(11)).await;
    later.expect("answered");
    assert_eq!(due(49).await, BTreeSet::new());
    assert_eq!(due(50).await, BTreeSet::from([chain[0]]));
    let queued = store.queues().await.expect("counted").kinds()[&DutyKind::Deliver];
    assert_eq!(queued.length, 4, "those that wait behind others count");
    store
        .finish_event(chain[0], at(51))
        .await
        .expect("answered");
    assert_eq!(due(51).await, BTreeSet::from([chain[1]]));
    store.bury_event(chain[1], at(52)).await.expect("answered");
    assert_eq!(due(52).await, BTreeSet::from([chain[2]]));
    // One that came meanwhile is the last.
    let newest = tell(&bench, &linked, one, 1).await;
    for event in [chain[2], chain[3], newest[0]] {
        assert_eq!(due(60).await, BTreeSet::from([event]));
        store.finish_event(event, at(60)).await.expect("answered");
    }
    assert_eq!(due(9999).await, BTreeSet::new());
}

async fn what_waits_behind_something_unreadable_goes_on(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let chain = tell(&bench, &linked, bench.an_endpoint(), 2).await;
    bench.spoil(&Key::event(chain[0]));
    assert_eq!(take(&bench, 9, 60).await, [], "set aside");
    let next = take(&bench, 9, 60).await;
    assert_eq!(
        next.iter().map(|event| event.guid).collect::<Vec<_>>(),
        [chain[1]]
    );
}

async fn an_event_that_was_not_tried_keeps_its_tries(bench: Bench) {
    an_event(&bench).await;
    let event = take(&bench, 5, 60).await[0].guid;
    let settled = bench
        .store
        .settle_event(event, Fate::Untried(at(7)), at(7))
        .await;
    settled.expect("answered");
    let again = take(&bench, 7, 60).await;
    assert_eq!((again.len(), again[0].attempt), (1, 1));
}
