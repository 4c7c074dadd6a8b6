//! Members: created, listed, and given new links.

use std::collections::HashSet;
use std::sync::Arc;

use guichet::domain::event::EventKind;
use guichet::domain::window::{Ending, ErrorReason, WindowOptions, WindowStatus};
use guichet::steps::record::Key;
use guichet::store::{
    Deletion, MemberCreation, NewMember, PageRequest, SessionOwner, Store, StoreError, WindowQuery,
};

use super::Bench;
use super::fixtures::{LINK, at, new_member};

on_each_store!(
    a_member_reads_as_it_was_created,
    an_external_guid_is_unique_within_the_client,
    a_member_needs_a_user_of_the_client,
    of_racing_members_one_gets_the_external_guid,
    members_are_listed_oldest_first,
    a_page_of_members_reads_what_is_on_it,
    the_states_of_one_member_are_found_without_the_others,
    a_new_link_supersedes_the_unfinished_one,
    a_new_link_leaves_a_finished_one_alone,
    a_link_is_minted_once,
    a_link_needs_a_member_of_the_user,
    owners_are_found_without_knowing_the_user,
);

async fn a_member_reads_as_it_was_created(bench: Bench) {
    let user = bench.user().await;
    let member = bench.a_member(&user);
    let partition = user.guid.partition();
    let new = NewMember {
        created: bench.a_notice(partition, EventKind::MemberCreated),
        ..new_member(member.clone())
    };
    let found = MemberCreation::Found(Box::new(member.clone()));
    for expected in [MemberCreation::Created, found] {
        let creation = bench.store.create_member(&new, at(0)).await;
        assert_eq!(creation.expect("answered"), expected);
    }
    let found = bench.store.member(user.guid, member.guid).await;
    assert_eq!(found.expect("answered").as_ref(), Some(&member));
    let stranger = bench.user().await;
    let found = bench.store.member(stranger.guid, member.guid).await;
    assert_eq!(found.expect("answered"), None);

    let told = bench.told(at(0)).await;
    assert_eq!(told.len(), 1, "one creation, one event: {told:?}");
    assert_eq!(told[0].guid, new.created[0].guid);
    assert_eq!(told[0].kind, EventKind::MemberCreated);
    assert_eq!(told[0].member, member);
    assert_eq!(told[0].window, None);
    assert_eq!(told[0].happened_at, at(0));
}

async fn an_external_guid_is_unique_within_the_client(bench: Bench) {
    let user = bench.user().await;
    let mut stranger = bench.a_user();
    stranger.client = "other".parse().expect("a client's name");
    let creation = bench.store.create_user(&stranger).await;
    creation.expect("answered");
    let create = async |client: &str| {
        let user = if client == "acme" { &user } else { &stranger };
        let mut member = bench.a_member(user);
        member.external_guid = Some("ext 1".to_owned());
        member.client = client.parse().expect("a client's name");
        let new = NewMember {
            created: bench.a_notice(user.guid.partition(), EventKind::MemberCreated),
            ..new_member(member)
        };
        let creation = bench.store.create_member(&new, at(0)).await;
        (new.member.guid, creation.expect("answered"))
    };
    let (first, creation) = create("acme").await;
    assert_eq!(creation, MemberCreation::Created);
    let (refused, creation) = create("acme").await;
    assert_eq!(creation, MemberCreation::ExternalGuidTaken(first));
    let found = bench.store.member(user.guid, refused).await;
    assert_eq!(found.expect("answered"), None);
    let (_, creation) = create("other").await;
    assert_eq!(creation, MemberCreation::Created);
    assert_eq!(bench.told(at(0)).await.len(), 2, "a refusal tells nothing");
}

async fn a_member_needs_a_user_of_the_client(bench: Bench) {
    let user = bench.user().await;
    let deleted = bench
        .store
        .delete_user(&user.client, user.guid, at(1))
        .await;
    assert!(deleted.expect("answered").is_some());
    let mut orphan = bench.a_member(&user);
    orphan.external_guid = Some("ext".to_owned());
    let creation = bench.store.create_member(&new_member(orphan), at(2)).await;
    assert_eq!(creation.expect("answered"), MemberCreation::NoSuchUser);
    let mut next = bench.a_member(&bench.user().await);
    next.external_guid = Some("ext".to_owned());
    let creation = bench.store.create_member(&new_member(next), at(3)).await;
    assert_eq!(creation.expect("answered"), MemberCreation::Created, "free");
}

async fn of_racing_members_one_gets_the_external_guid(bench: Bench) {
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut member = bench.a_member(&bench.user().await);
        member.external_guid = Some("ext".to_owned());
        let new = new_member(member);
        let store = Arc::clone(&bench.store);
        racers.spawn(async move {
            let creation = store.create_member(&new, at(0)).await.expect("answered");
            (new.member.guid, creation)
        });
    }
    let (mut created, mut taken) = (Vec::new(), HashSet::new());
    for (guid, creation) in racers.join_all().await {
        match creation {
            MemberCreation::Created => created.push(guid),
            MemberCreation::ExternalGuidTaken(by) => {
                taken.insert(by);
            }
            MemberCreation::Duplicate(of) => panic!("their logins are not known: {of}"),
            MemberCreation::NoSuchUser => panic!("the user is there"),
            MemberCreation::TooMany => panic!("there are few"),
            MemberCreation::Found(found) => panic!("each is new: {found:?}"),
        }
    }
    assert_eq!(created.len(), 1, "{created:?}");
    assert_eq!(taken, HashSet::from([created[0]]));
}

async fn members_are_listed_oldest_first(bench: Bench) {
    let user = bench.user().await;
    let mut members = Vec::new();
    for second in [20, 10, 30] {
        let mut member = bench.a_member(&user);
        member.created_at = at(second);
        let new = new_member(member.clone());
        bench
            .store
            .create_member(&new, at(second))
            .await
            .expect("kept");
        members.push(member);
    }
    bench.linked(WindowOptions::default()).await;
    members.sort_by_key(|member| member.created_at);
    let listed = bench.store.members(user.guid).await;
    assert_eq!(listed.expect("answered"), members);
}

async fn a_page_of_members_reads_what_is_on_it(bench: Bench) {
    let user = bench.user().await;
    let mut members = Vec::new();
    for second in 0..7 {
        let member = bench.a_member(&user);
        let new = new_member(member.clone());
        let created = bench.store.create_member(&new, at(second)).await;
        created.expect("kept");
        members.push(member);
    }
    let per_page = 3;
    let page = async |store: &Store, page| {
        let page = PageRequest { page, per_page };
        store.members_page(user.guid, page).await
    };
    for (number, expected) in members.chunks(3).chain([&[][..]]).enumerate() {
        let paged = page(&bench.store, number as u32 + 1).await;
        let paged = paged.expect("answered");
        assert_eq!((paged.total, &*paged.items), (7, expected), "{number}");
    }

    bench.spoil(&Key::member(members[6].guid));
    let bench = bench.reopen().await;
    for (number, expected) in members.chunks(3).take(2).enumerate() {
        let paged = page(&bench.store, number as u32 + 1).await;
        let paged = paged.expect("the unreadable one is on another page");
        assert_eq!((paged.total, &*paged.items), (7, expected), "{number}");
    }
    let paged = page(&bench.store, 3).await;
    assert!(matches!(paged, Err(StoreError::Unreadable(_))), "{paged:?}");
}

async fn the_states_of_one_member_are_found_without_the_others(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let other = new_member(bench.a_member(&linked.user));
    let created = bench.store.create_member(&other, at(1)).await;
    created.expect("kept");
    let of = |member| WindowQuery {
        member: Some(member),
        auth_status: None,
        limit: 9,
    };
    bench.spoil(&Key::member(other.member.guid));
    let bench = bench.reopen().await;
    let (user, member) = (linked.user.guid, linked.member.guid);
    let windows = bench.store.windows(user, of(member)).await;
    let windows = windows.expect("the unreadable one is another's");
    let guids: Vec<_> = windows.iter().map(|window| window.guid).collect();
    assert_eq!(guids, [linked.window]);
}

async fn a_new_link_supersedes_the_unfinished_one(bench: Bench) {
    let visited = bench.visited().await;
    let linked = &visited.linked;
    let partition = linked.user.guid.partition();
    let new = bench.a_window(partition, at(LINK + 5));
    let superseded = bench.a_notice(partition, EventKind::OauthStateFinished);
    let minted = bench.store.mint_window(
        linked.user.guid,
        linked.member.guid,
        &new,
        &superseded,
        at(5),
    );
    let member = minted
        .await
        .expect("answered")
        .expect("the member is there");
    assert_eq!(member.latest_window, Some(new.guid));
    assert_eq!(member.revision, 2);
    assert_eq!(bench.member_now(linked).await.as_ref(), Some(&member));

    let query = WindowQuery {
        member: Some(linked.member.guid),
        auth_status: None,
        limit: 10,
    };
    let windows = bench
        .store
        .windows(linked.user.guid, query)
        .await
        .expect("answered");
    let [window, earlier] = &windows[..] else {
        panic!("two windows, not {windows:?}");
    };
    assert_eq!(window.guid, new.guid);
    assert_eq!(window.status, WindowStatus::Issued);
    assert_eq!(window.previous, Some(linked.window));
    assert_eq!((window.created_at, window.deadline), (at(5), at(LINK + 5)));
    assert_eq!(window.retries, 0);
    assert_eq!(earlier.guid, linked.window);
    let ended = WindowStatus::Errored(ErrorReason::SessionError, Ending::Superseded);
    assert_eq!(earlier.status, ended);
    assert_eq!(earlier.updated_at, at(5));

    let told = bench.told(at(5)).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].guid, superseded[0].guid);
    assert_eq!(told[0].member, member);
    assert_eq!(told[0].window.as_ref(), Some(earlier));
}

async fn a_new_link_leaves_a_finished_one_alone(bench: Bench) {
    let visited = bench.failed(WindowOptions::default()).await;
    let before = bench.window_now(&visited).await;
    let linked = &visited.linked;
    let partition = linked.user.guid.partition();
    let new = bench.a_window(partition, at(LINK + 5));
    let superseded = bench.a_notice(partition, EventKind::OauthStateFinished);
    bench.told(at(5)).await;
    let minted = bench.store.mint_window(
        linked.user.guid,
        linked.member.guid,
        &new,
        &superseded,
        at(5),
    );
    let member = minted
        .await
        .expect("answered")
        .expect("the member is there");
    assert_eq!(member.latest_window, Some(new.guid));
    assert_eq!(bench.window_now(&visited).await, before);
    assert_eq!(bench.told(at(5)).await, [], "nothing was superseded");
}

async fn a_link_is_minted_once(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let partition = linked.user.guid.partition();
    let new = bench.a_window(partition, at(LINK + 5));
    let superseded = bench.a_notice(partition, EventKind::OauthStateFinished);
    let mint = async || {
        let user = linked.user.guid;
        let minted = bench
            .store
            .mint_window(user, linked.member.guid, &new, &superseded, at(5));
        minted
            .await
            .expect("answered")
            .expect("the member is there")
    };
    let member = mint().await;
    assert_eq!(mint().await, member, "the same, repeated");
    assert_eq!(bench.told(at(5)).await.len(), 1);
    let window = bench.store.window(linked.user.guid, new.guid, at(6)).await;
    let window = window.expect("answered").expect("kept");
    assert_eq!(window.status, WindowStatus::Issued);
    assert_eq!(window.previous, Some(linked.window));
}

async fn a_link_needs_a_member_of_the_user(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let stranger = bench.user().await;
    let new = bench.a_window(linked.user.guid.partition(), at(LINK));
    let minted = bench
        .store
        .mint_window(stranger.guid, linked.member.guid, &new, &[], at(1));
    assert_eq!(minted.await.expect("answered"), None);
    let nobody = bench.a_member(&linked.user).guid;
    let minted = bench
        .store
        .mint_window(linked.user.guid, nobody, &new, &[], at(1));
    assert_eq!(minted.await.expect("answered"), None);
    let window = bench.store.window(linked.user.guid, new.guid, at(1)).await;
    assert_eq!(window.expect("answered"), None);
}

async fn owners_are_found_without_knowing_the_user(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let owner = SessionOwner {
        user: linked.user.guid,
        client: linked.user.client.clone(),
    };
    let of_member = async |guid| bench.store.owner_of_member(guid).await.expect("answered");
    let of_window = async |guid| bench.store.owner_of_window(guid).await.expect("answered");
    assert_eq!(of_member(linked.member.guid).await.as_ref(), Some(&owner));
    assert_eq!(of_window(linked.window).await.as_ref(), Some(&owner));
    assert_eq!(of_member(bench.a_member(&linked.user).guid).await, None);
    let partition = linked.user.guid.partition();
    assert_eq!(
        of_window(bench.a_window(partition, at(LINK)).guid).await,
        None
    );

    let deletion = Deletion {
        only_abandoned_since: None,
        user: linked.user.guid,
        member: linked.member.guid,
        deleted: Vec::new(),
        finished: Vec::new(),
    };
    let deleted = bench.store.delete_member(&deletion, at(1)).await;
    assert!(deleted.expect("answered").is_some());
    assert_eq!(of_member(linked.member.guid).await, None);
    assert_eq!(
        of_window(linked.window).await,
        Some(owner),
        "windows stay readable"
    );
}
