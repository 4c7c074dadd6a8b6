//! Windows as they are read later: by guid, in lists, by sweepers.

use guichet::domain::window::{AuthStatus, Ending, WindowOptions};
use guichet::store::{SETTLING, WindowQuery};

use super::Bench;
use super::fixtures::{LEG, LINK, Linked, at, before};

on_each_store!(
    the_first_reading_of_a_finished_window_is_remembered,
    a_window_is_its_users_alone,
    windows_are_listed_newest_first,
    windows_are_overdue_at_their_deadline,
    what_has_not_been_kept_long_enough_stays,
);

async fn the_first_reading_of_a_finished_window_is_remembered(bench: Bench) {
    let visited = bench.visited().await;
    let (user, guid) = (visited.linked.user.guid, visited.linked.window);
    let read = async |second| {
        let window = bench.store.window(user, guid, at(second)).await;
        window.expect("answered").expect("kept")
    };
    assert_eq!(read(2).await.first_retrieved_at, None, "it is unfinished");
    let failure = bench.a_failure(&visited.linked, Ending::Failed);
    bench
        .store
        .fail_window(&failure, at(3))
        .await
        .expect("answered");
    let everybody = WindowQuery {
        member: None,
        auth_status: None,
        limit: 10,
    };
    let listed = bench
        .store
        .windows(user, everybody)
        .await
        .expect("answered");
    assert_eq!(listed[0].first_retrieved_at, None, "a list is no reading");
    let first = read(4).await;
    assert_eq!(first.first_retrieved_at, Some(at(4)));
    assert_eq!(first.updated_at, at(3), "a reading is no change");
    assert_eq!(read(5).await, first);
}

async fn a_window_is_its_users_alone(bench: Bench) {
    let visited = bench.failed(WindowOptions::default()).await;
    let stranger = bench.user().await;
    let read = bench
        .store
        .window(stranger.guid, visited.linked.window, at(3))
        .await;
    assert_eq!(read.expect("answered"), None);
    assert_eq!(bench.window_now(&visited).await.first_retrieved_at, None);
    let unknown = bench.a_window(stranger.guid.partition(), at(9)).guid;
    let read = bench.store.window(stranger.guid, unknown, at(3)).await;
    assert_eq!(read.expect("answered"), None);
}

async fn windows_are_listed_newest_first(bench: Bench) {
    let (connected, _, _) = bench.connected().await;
    let user = connected.linked.user.clone();
    let partition = user.guid.partition();
    let second = bench
        .linked_for(user.clone(), WindowOptions::default())
        .await;
    let mint = async |linked: &Linked, moment| {
        let new = bench.a_window(partition, at(LINK));
        let minted = bench
            .store
            .mint_window(user.guid, linked.member.guid, &new, &[], moment);
        minted
            .await
            .expect("answered")
            .expect("the member is there");
        new.guid
    };
    let newer = mint(&connected.linked, at(10)).await;
    let newest = mint(&second, at(20)).await;
    bench.linked(WindowOptions::default()).await;

    let list = async |member, auth_status, limit| {
        let query = WindowQuery {
            member,
            auth_status,
            limit,
        };
        let windows = bench
            .store
            .windows(user.guid, query)
            .await
            .expect("answered");
        windows
            .into_iter()
            .map(|window| window.guid)
            .collect::<Vec<_>>()
    };
    let first = connected.linked.window;
    let all = list(None, None, 10).await;
    assert_eq!(all.len(), 4);
    assert_eq!(all[..2], [newest, newer]);
    assert_eq!(list(None, None, 2).await, [newest, newer]);
    assert_eq!(list(None, None, 0).await, []);
    assert_eq!(
        list(Some(connected.linked.member.guid), None, 10).await,
        [newer, first]
    );
    assert_eq!(
        list(None, Some(AuthStatus::Pending), 10).await,
        [newest, newer]
    );
    assert_eq!(list(None, Some(AuthStatus::Success), 10).await, [first]);
    assert_eq!(
        list(None, Some(AuthStatus::Errored), 10).await,
        [second.window]
    );
    let nothing = list(Some(second.member.guid), Some(AuthStatus::Success), 10).await;
    assert_eq!(nothing, []);
}

async fn windows_are_overdue_at_their_deadline(bench: Bench) {
    let link = bench.linked(WindowOptions::default()).await.window;
    let opened = bench.visited().await.linked.window;
    let visited = bench.returned().await;
    let returned = visited.linked.window;
    bench.failed(WindowOptions::default()).await;
    bench.connected().await;
    let overdue = async |moment, limit| {
        let windows = bench
            .store
            .overdue_windows(moment, limit)
            .await
            .expect("answered");
        let mut guids: Vec<_> = windows.into_iter().map(|window| window.guid).collect();
        guids.sort();
        guids
    };
    let claimed_at = bench.window_now(&visited).await.updated_at;
    assert_eq!(overdue(before(claimed_at + SETTLING), 10).await, []);
    assert_eq!(overdue(claimed_at + SETTLING, 10).await, [returned]);
    assert_eq!(overdue(before(at(LINK)), 10).await, [returned]);
    let mut soon = vec![link, returned];
    soon.sort();
    assert_eq!(overdue(at(LINK), 10).await, soon);
    let mut all = vec![link, opened, returned];
    all.sort();
    assert_eq!(overdue(at(1 + LEG), 10).await, all);
    assert_eq!(overdue(at(1 + LEG), 2).await.len(), 2);
}

async fn what_has_not_been_kept_long_enough_stays(bench: Bench) {
    let issued = bench.linked(WindowOptions::default()).await;
    let failed = bench.failed(WindowOptions::default()).await;
    bench
        .store
        .purge(at(2 + 24 * 60 * 60))
        .await
        .expect("answered");
    bench.window_now(&failed).await;
    let window = bench
        .store
        .window(issued.user.guid, issued.window, at(3))
        .await;
    assert!(window.expect("answered").is_some());
}
