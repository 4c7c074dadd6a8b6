//! Names that are unique within a client, whose two halves live in two slots.

use super::*;
use crate::domain::event::Notice;
use crate::store::redis::users::UniqueName;
use crate::store::{Deletion, MemberCreation, PageRequest, UserCreation};

const FIRST_PAGE: PageRequest = PageRequest {
    page: 1,
    per_page: 10,
};

fn named(id: &str) -> User {
    User {
        id: Some(id.to_owned()),
        ..new_user()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_want_a_name_one_gets_it() {
    let server = Server::start().await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let store = open(&server).await;
        asking.spawn(async move {
            let user = named("person 1");
            (user.guid, store.create_user(&user).await.expect("answered"))
        });
    }
    let answers = asking.join_all().await;
    let winners: Vec<UserGuid> = answers
        .iter()
        .filter(|(_, creation)| *creation == UserCreation::Created)
        .map(|(guid, _)| *guid)
        .collect();
    assert_eq!(winners.len(), 1);
    for (guid, creation) in answers {
        let taken = UserCreation::IdTaken(winners[0]);
        assert!(guid == winners[0] || creation == taken, "{creation:?}");
    }
    let store = open(&server).await;
    let kept = store.users(&client(), FIRST_PAGE).await.expect("read");
    assert_eq!((kept.total, kept.items.len()), (1, 1));
    let found = store.user_by_id(&client(), "person 1").await.expect("read");
    assert_eq!(found.as_ref(), kept.items.first());
}

#[tokio::test]
async fn what_a_crash_left_reserved_is_free_once_it_can_no_longer_be_used() {
    let server = Server::start().await;
    let store = open(&server).await;
    let lost = named("person 1");
    let name = UniqueName {
        index: "ids",
        name: Some("person 1"),
    };
    // The first half of a creation, and then nothing.
    store
        .reserve(&client(), name, &lost.guid.compact(), "", Some(at(0)))
        .await
        .expect("reserved");
    let next = named("person 1");
    let taken = UserCreation::IdTaken(lost.guid);
    assert_eq!(store.create_user(&next).await.expect("answered"), taken);
    let listed = store.users(&client(), FIRST_PAGE).await.expect("read");
    assert_eq!((listed.total, listed.items), (0, Vec::new()));

    // As if its fifteen seconds were over.
    let pending = format!("{}pending", store.keys.client(&client()));
    let _: i64 = server.query(&["DEL", &pending]).await;
    let created = store.create_user(&next).await.expect("answered");
    assert_eq!(created, UserCreation::Created);
    let listed = store.users(&client(), FIRST_PAGE).await.expect("read");
    assert_eq!((listed.total, listed.items), (1, vec![next]));
}

#[tokio::test]
async fn a_user_listed_and_never_written_leaves_the_list() {
    let server = Server::start().await;
    let store = open(&server).await;
    let lost = new_user();
    let none = UniqueName {
        index: "ids",
        name: None,
    };
    store
        .reserve(&client(), none, &lost.guid.compact(), "", Some(at(0)))
        .await
        .expect("reserved");
    let base = store.keys.client(&client());
    let users = format!("{base}users");
    let listed = async || server.query::<i64>(&["ZCARD", &users]).await;

    // While its second half may come, it stays.
    store.users(&client(), FIRST_PAGE).await.expect("read");
    assert_eq!(listed().await, 1);
    let _: i64 = server.query(&["DEL", &format!("{base}pending")]).await;
    store.users(&client(), FIRST_PAGE).await.expect("read");
    assert_eq!(listed().await, 0);
}

#[tokio::test]
async fn what_was_created_in_one_millisecond_stays_in_order() {
    let server = Server::start().await;
    let store = open(&server).await;
    let users: Vec<User> = (0..20).map(|_| new_user()).collect();
    for user in users.iter().chain(&users) {
        store.create_user(user).await.expect("kept");
    }
    let third = PageRequest {
        page: 3,
        per_page: 7,
    };
    let listed = store.users(&client(), third).await.expect("read");
    assert_eq!((listed.total, listed.items), (20, users[14..].to_vec()));

    let user = users[0].guid;
    let mut members = Vec::new();
    for _ in 0..20 {
        let new = new_member(user, new_window(user.partition(), at(600)));
        store.create_member(&new, at(0)).await.expect("kept");
        members.push(new.member);
    }
    assert_eq!(store.members(user).await.expect("read"), members);
}

#[tokio::test]
async fn an_external_guid_goes_with_its_member() {
    let server = Server::start().await;
    let store = open(&server).await;
    let member = async || {
        let user = a_user(&store).await;
        let mut new = new_member(user, new_window(user.partition(), at(600)));
        new.member.external_guid = Some("ext 1".to_owned());
        new
    };
    let (first, second) = (member().await, member().await);
    let create = async |new| store.create_member(new, at(0)).await.expect("answered");
    assert_eq!(create(&first).await, MemberCreation::Created);
    assert_eq!(create(&first).await, MemberCreation::Created, "sent again");
    let taken = MemberCreation::ExternalGuidTaken(first.member.guid);
    assert_eq!(create(&second).await, taken);
    let deletion = Deletion {
        user: first.member.user,
        member: first.member.guid,
        deleted: Vec::<Notice>::new(),
        finished: Vec::new(),
    };
    store.delete_member(&deletion, at(1)).await.expect("done");
    assert_eq!(create(&second).await, MemberCreation::Created);
}
