//! Names that are unique within a client, whose two halves live in two slots.

use super::*;
use crate::domain::event::Notice;
use crate::steps::name::{ListUser, RESERVED};
use crate::steps::record::NameKind;
use crate::store::StoreError;
use crate::store::names::Reservation;
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
    let kept = store
        .users(&client(), FIRST_PAGE, at(9_999))
        .await
        .expect("read");
    assert_eq!((kept.total, kept.items.len()), (1, 1));
    let found = store.user_by_id(&client(), "person 1").await.expect("read");
    assert_eq!(found.as_ref(), kept.items.first());
}

/// The first two of the four steps of a creation, and then nothing.
async fn begin_to_create(store: &Store, user: &User) {
    let id = user.id.as_deref().expect("it has a name");
    let name = Reservation::of(&user.client, NameKind::UserId, id, &user.guid.compact());
    assert_eq!(
        store.reserve(&name, user.created_at).await.expect("asked"),
        None
    );
    let listed = store.step(&ListUser::on(user), user.created_at).await;
    listed.expect("listed");
}

#[tokio::test]
async fn what_a_crash_left_reserved_is_unavailable_and_then_free() {
    let server = Server::start().await;
    let store = open(&server).await;
    let lost = named("person 1");
    begin_to_create(&store, &lost).await;
    let asks_at = |moment| User {
        created_at: moment,
        ..named("person 1")
    };
    let after = at(0) + RESERVED;
    let early = store
        .create_user(&asks_at(after - Duration::from_millis(1)))
        .await;
    assert!(
        matches!(early, Err(StoreError::Unavailable(_))),
        "never a name of nobody: {early:?}"
    );
    let found = store.user_by_id(&client(), "person 1").await;
    assert_eq!(found.expect("read"), None);

    let next = asks_at(after);
    let created = store.create_user(&next).await.expect("answered");
    assert_eq!(created, UserCreation::Created);
    let found = store.user_by_id(&client(), "person 1").await;
    assert_eq!(found.expect("read"), Some(next.clone()));
    // Whoever was late finds out.
    let late = Reservation::of(
        &client(),
        NameKind::UserId,
        "person 1",
        &lost.guid.compact(),
    );
    assert!(!store.settle(&late, after).await.expect("asked"));
}

#[tokio::test]
async fn a_crash_before_a_name_is_settled_leaves_it_to_its_holder() {
    let server = Server::start().await;
    let store = open(&server).await;
    let first = named("person 1");
    begin_to_create(&store, &first).await;
    let new = crate::steps::user::NewUser {
        user: first.clone(),
    };
    store.step(&new, at(0)).await.expect("kept");
    for second in [1, 100_000] {
        let next = User {
            created_at: at(second),
            ..named("person 1")
        };
        let taken = UserCreation::IdTaken(first.guid);
        assert_eq!(store.create_user(&next).await.expect("answered"), taken);
    }
}

#[tokio::test]
async fn a_user_listed_and_never_written_leaves_the_list() {
    let server = Server::start().await;
    let store = open(&server).await;
    begin_to_create(&store, &named("person 1")).await;
    let listed = async || {
        server
            .query::<i64>(&["ZCARD", &(base_of(&Slot::Client(client())) + "Lacme")])
            .await
    };
    let page = async |now| {
        let page = store.users(&client(), FIRST_PAGE, now).await.expect("read");
        (page.total, page.items.len())
    };
    // While it may still be written, it stays.
    assert_eq!(page(at(1)).await, (0, 0));
    assert_eq!(listed().await, 1);
    assert_eq!(page(at(60)).await, (0, 0));
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
    let listed = store
        .users(&client(), third, at(9_999))
        .await
        .expect("read");
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
    let again = create(&first).await;
    assert!(
        matches!(again, MemberCreation::Found(_)),
        "sent again: {again:?}"
    );
    let taken = MemberCreation::ExternalGuidTaken(first.member.guid);
    assert_eq!(create(&second).await, taken);
    let deletion = Deletion {
        only_abandoned_since: None,
        user: first.member.user,
        member: first.member.guid,
        deleted: Vec::<Notice>::new(),
        finished: Vec::new(),
    };
    store.delete_member(&deletion, at(1)).await.expect("done");
    assert_eq!(create(&second).await, MemberCreation::Created);
}
