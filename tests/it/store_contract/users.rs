//! Users and API keys.

use std::collections::HashSet;
use std::sync::Arc;

use guichet::domain::id::UserGuid;
use guichet::domain::member::Member;
use guichet::domain::secret::ApiKey;
use guichet::domain::user::User;
use guichet::domain::window::{Ending, ErrorReason, WindowOptions, WindowStatus};
use guichet::steps::record::Key;
use guichet::store::{
    Claimed, KeyAddition, Lease, PageRequest, SessionOwner, UserChange, UserCreation, UserUpdate,
};

use super::Bench;
use super::fixtures::{at, client};

on_each_store!(
    a_user_is_found_by_guid_and_by_id,
    an_id_is_unique_within_its_client,
    of_racing_users_one_gets_the_id,
    users_are_listed_oldest_first,
    users_are_found_by_the_email_address_they_have,
    a_search_by_email_reads_whom_it_shows,
    of_racing_changes_of_an_email_address_the_last_is_found,
    a_change_of_a_user_sets_what_it_names,
    an_id_stays_unique,
    of_racing_changes_one_gets_the_id,
    a_users_members_name_its_new_id,
    a_deleted_user_takes_everything_along,
    a_deleted_users_members_go_without_notice,
    a_user_is_its_clients_alone,
    two_keys_of_a_client_are_active_at_most,
    of_racing_keys_two_are_added,
    a_retired_key_opens_nothing,
);

async fn a_user_is_found_by_guid_and_by_id(bench: Bench) {
    let mut user = bench.a_user();
    user.id = Some("partner 1/ü".to_owned());
    user.email = Some("a@example.org".to_owned());
    user.metadata = Some("{\"k\": \"v\"}".to_owned());
    user.is_disabled = true;
    bench.store.create_user(&user).await.expect("kept");

    let found = bench.store.user(&user.client, user.guid).await;
    assert_eq!(found.expect("answered").as_ref(), Some(&user));
    let found = bench.store.user_by_id(&user.client, "partner 1/ü").await;
    assert_eq!(found.expect("answered").as_ref(), Some(&user));

    let other = "other".parse().expect("a client's name");
    assert_eq!(
        bench.store.user(&other, user.guid).await.expect("answered"),
        None
    );
    let found = bench.store.user_by_id(&other, "partner 1/ü").await;
    assert_eq!(found.expect("answered"), None);
    let found = bench.store.user_by_id(&user.client, "partner 2").await;
    assert_eq!(found.expect("answered"), None);
}

async fn an_id_is_unique_within_its_client(bench: Bench) {
    let mut user = bench.a_user();
    user.id = Some("u".to_owned());
    let found = UserCreation::Found(Box::new(user.clone()));
    for expected in [UserCreation::Created, found] {
        let creation = bench.store.create_user(&user).await;
        assert_eq!(creation.expect("answered"), expected);
    }
    let mut second = bench.a_user();
    second.id.clone_from(&user.id);
    let creation = bench.store.create_user(&second).await;
    assert_eq!(
        creation.expect("answered"),
        UserCreation::IdTaken(user.guid)
    );
    let found = bench.store.user(&client(), second.guid).await;
    assert_eq!(found.expect("answered"), None);

    second.client = "other".parse().expect("a client's name");
    let creation = bench.store.create_user(&second).await;
    assert_eq!(creation.expect("answered"), UserCreation::Created);
    // Users without an id do not meet.
    bench.user().await;
    bench.user().await;
}

async fn of_racing_users_one_gets_the_id(bench: Bench) {
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut user = bench.a_user();
        user.id = Some("u".to_owned());
        let store = Arc::clone(&bench.store);
        racers.spawn(async move { (user.guid, store.create_user(&user).await.expect("answered")) });
    }
    let (mut created, mut taken) = (Vec::new(), HashSet::new());
    for (guid, creation) in racers.join_all().await {
        match creation {
            UserCreation::Created => created.push(guid),
            UserCreation::Found(found) => panic!("each is new: {found:?}"),
            UserCreation::IdTaken(by) => {
                taken.insert(by);
            }
        }
    }
    assert_eq!(created.len(), 1, "{created:?}");
    assert_eq!(taken, HashSet::from([created[0]]));
}

async fn users_are_listed_oldest_first(bench: Bench) {
    let mut users = Vec::new();
    for second in [30, 10, 50, 20, 40] {
        let mut user = bench.a_user();
        user.created_at = at(second);
        bench.store.create_user(&user).await.expect("kept");
        users.push(user);
    }
    let mut foreign = bench.a_user();
    foreign.client = "other".parse().expect("a client's name");
    bench.store.create_user(&foreign).await.expect("kept");
    users.sort_by_key(|user| user.created_at);

    for (page, expected) in [
        (1, &users[..2]),
        (2, &users[2..4]),
        (3, &users[4..]),
        (4, &[]),
    ] {
        let request = PageRequest { page, per_page: 2 };
        let paged = bench
            .store
            .users(&client(), request, at(9_999))
            .await
            .expect("answered");
        assert_eq!(paged.items, expected, "page {page}");
        assert_eq!(paged.total, 5);
    }
}

/// The guids on the first page of the users with that email address, and how many there are.
async fn found_by(bench: &Bench, email: &str) -> (Vec<UserGuid>, u64) {
    let page = PageRequest {
        page: 1,
        per_page: 10,
    };
    let paged = bench
        .store
        .users_by_email(&client(), email, page, at(9_999))
        .await
        .expect("answered");
    let guids = paged.items.iter().map(|user| user.guid);
    (guids.collect(), paged.total)
}

async fn users_are_found_by_the_email_address_they_have(bench: Bench) {
    let mut users = Vec::new();
    for (second, email) in [(20, "a"), (10, "a"), (30, "b"), (40, "")] {
        let mut user = bench.a_user();
        user.created_at = at(second);
        user.email = Some(email.to_owned()).filter(|email| !email.is_empty());
        bench.store.create_user(&user).await.expect("kept");
        users.push(user);
    }
    let mut foreign = bench.a_user();
    foreign.client = "other".parse().expect("a client's name");
    foreign.email = Some("a".to_owned());
    bench.store.create_user(&foreign).await.expect("kept");
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|number: usize| users[number].guid);
    assert_eq!(found_by(&bench, "a").await, (vec![second, first], 2));
    assert_eq!(found_by(&bench, "b").await, (vec![third], 1));
    assert_eq!(found_by(&bench, "c").await, (vec![], 0));

    for (user, email) in [(0, Some("b")), (2, None), (3, Some("c"))] {
        let change = UserChange {
            email: Some(email.map(str::to_owned)),
            ..bench.a_user_change(&users[user])
        };
        let update = bench.update(&change).await;
        assert!(matches!(update, UserUpdate::Updated(_)), "{update:?}");
    }
    assert_eq!(found_by(&bench, "a").await, (vec![second], 1));
    assert_eq!(found_by(&bench, "b").await, (vec![first], 1));
    assert_eq!(found_by(&bench, "c").await, (vec![fourth], 1));

    let deleted = bench.store.delete_user(&client(), first, at(50)).await;
    assert!(deleted.expect("done").is_some());
    assert_eq!(found_by(&bench, "b").await, (vec![], 0));
    let change = UserChange {
        email: Some(Some("d".to_owned())),
        ..bench.a_user_change(&users[0])
    };
    assert_eq!(bench.update(&change).await, UserUpdate::NoSuchUser);
    assert_eq!(found_by(&bench, "d").await, (vec![], 0));
}

async fn a_search_by_email_reads_whom_it_shows(bench: Bench) {
    let mut guids = Vec::new();
    for email in ["a", "b"] {
        let mut user = bench.a_user();
        user.email = Some(email.to_owned());
        bench.store.create_user(&user).await.expect("kept");
        guids.push(user.guid);
    }
    bench.spoil(&Key::user(guids[1]));
    let bench = bench.reopen().await;
    assert_eq!(found_by(&bench, "a").await, (vec![guids[0]], 1));
}

async fn of_racing_changes_of_an_email_address_the_last_is_found(bench: Bench) {
    let bench = Arc::new(bench);
    for _ in 0..10 {
        let user = bench.user().await;
        let mut racers = tokio::task::JoinSet::new();
        for email in ["a", "b", "a", "c", "b", "a"] {
            let change = UserChange {
                email: Some(Some(email.to_owned())),
                ..bench.a_user_change(&user)
            };
            let bench = Arc::clone(&bench);
            racers.spawn(async move { bench.update(&change).await });
        }
        racers.join_all().await;
        let user = bench.store.user(&client(), user.guid).await;
        let user = user.expect("answered").expect("there");
        for email in ["a", "b", "c"] {
            let is_found = found_by(&bench, email).await.0.contains(&user.guid);
            assert_eq!(is_found, user.email.as_deref() == Some(email), "{email}");
        }
    }
}

async fn two_keys_of_a_client_are_active_at_most(bench: Bench) {
    let keys: Vec<ApiKey> = (0..3).map(|_| ApiKey::new(&bench.chance)).collect();
    let add = async |key: &ApiKey, second| {
        let (client, store) = (client(), &bench.store);
        let addition = store.add_api_key(&client, key.id(), key.digest(&client), at(second));
        addition.await.expect("answered")
    };
    assert_eq!(add(&keys[0], 0).await, KeyAddition::Added);
    assert_eq!(
        add(&keys[0], 0).await,
        KeyAddition::Added,
        "the same, repeated"
    );
    assert_eq!(add(&keys[1], 1).await, KeyAddition::Added);
    assert_eq!(add(&keys[2], 2).await, KeyAddition::TooMany);
    let acme = client();
    let retired = bench.store.retire_api_key(&acme, keys[0].id(), at(3));
    assert!(retired.await.expect("answered"));
    assert_eq!(add(&keys[2], 4).await, KeyAddition::Added);

    let listed = bench.store.api_keys(&acme).await.expect("answered");
    let listed: Vec<_> = listed
        .iter()
        .map(|key| (key.id.as_str(), key.created_at, key.retired_at))
        .collect();
    let expected = [
        (keys[0].id(), at(0), Some(at(3))),
        (keys[1].id(), at(1), None),
        (keys[2].id(), at(4), None),
    ];
    assert_eq!(listed, expected);
}

async fn of_racing_keys_two_are_added(bench: Bench) {
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let key = ApiKey::new(&bench.chance);
        let store = Arc::clone(&bench.store);
        racers.spawn(async move {
            let digest = key.digest(&client());
            store
                .add_api_key(&client(), key.id(), digest, at(0))
                .await
                .expect("answered")
        });
    }
    let additions = racers.join_all().await;
    let added = additions
        .iter()
        .filter(|addition| **addition == KeyAddition::Added);
    assert_eq!(added.count(), 2);
}

async fn a_retired_key_opens_nothing(bench: Bench) {
    let key = ApiKey::new(&bench.chance);
    let digest = key.digest(&client());
    let found = async || {
        bench
            .store
            .api_key(&client(), key.id())
            .await
            .expect("answered")
    };
    assert!(found().await.is_none());
    bench
        .store
        .add_api_key(&client(), key.id(), digest, at(0))
        .await
        .expect("kept");
    assert!(found().await.is_some_and(|kept| kept.matches(&digest)));
    let other = "other".parse().expect("a client's name");
    let foreign = bench.store.api_key(&other, key.id()).await;
    assert!(foreign.expect("answered").is_none());
    let acme = client();
    let retire = async |client| bench.store.retire_api_key(client, key.id(), at(1)).await;
    assert!(!retire(&other).await.expect("answered"));
    assert!(retire(&acme).await.expect("answered"));
    assert!(found().await.is_none());
    assert!(!retire(&acme).await.expect("answered"), "it is retired");
}

impl Bench {
    fn a_user_change(&self, user: &User) -> UserChange {
        UserChange {
            client: user.client.clone(),
            user: user.guid,
            id: None,
            email: None,
            metadata: None,
            is_disabled: None,
        }
    }

    async fn update(&self, change: &UserChange) -> UserUpdate {
        self.store
            .update_user(change, at(9))
            .await
            .expect("answered")
    }

    async fn call(&self, user: &User, id: Option<&str>) -> UserUpdate {
        let change = UserChange {
            id: Some(id.map(str::to_owned)),
            ..self.a_user_change(user)
        };
        self.update(&change).await
    }

    async fn called(&self, id: &str) -> Option<UserGuid> {
        let found = self.store.user_by_id(&client(), id).await;
        found.expect("answered").map(|user| user.guid)
    }

    async fn delete_user(&self, user: &User, second: i64) -> Option<User> {
        let deleted = self
            .store
            .delete_user(&user.client, user.guid, at(second))
            .await;
        deleted.expect("answered")
    }

    async fn user_now(&self, user: &User) -> Option<User> {
        let found = self.store.user(&user.client, user.guid).await;
        found.expect("answered")
    }
}

async fn a_change_of_a_user_sets_what_it_names(bench: Bench) {
    let user = bench.user().await;
    let change = UserChange {
        id: Some(Some("partner 1/ü".to_owned())),
        email: Some(Some("a@example.org".to_owned())),
        metadata: Some(Some("{}".to_owned())),
        is_disabled: Some(true),
        ..bench.a_user_change(&user)
    };
    let changed = User {
        id: Some("partner 1/ü".to_owned()),
        email: Some("a@example.org".to_owned()),
        metadata: Some("{}".to_owned()),
        is_disabled: true,
        ..user.clone()
    };
    let updated = UserUpdate::Updated(Box::new(changed.clone()));
    for _repeated in 0..2 {
        assert_eq!(bench.update(&change).await, updated);
    }
    assert_eq!(bench.user_now(&user).await.as_ref(), Some(&changed));
    assert_eq!(bench.called("partner 1/ü").await, Some(user.guid));
    assert_eq!(
        bench.update(&bench.a_user_change(&user)).await,
        updated,
        "nothing named"
    );

    let change = UserChange {
        id: Some(None),
        email: Some(None),
        metadata: None,
        is_disabled: Some(false),
        ..bench.a_user_change(&user)
    };
    let bare = User {
        id: None,
        email: None,
        is_disabled: false,
        ..changed
    };
    assert_eq!(
        bench.update(&change).await,
        UserUpdate::Updated(Box::new(bare.clone()))
    );
    assert_eq!(bench.user_now(&user).await, Some(bare));
    assert_eq!(bench.called("partner 1/ü").await, None);
}

async fn an_id_stays_unique(bench: Bench) {
    let (one, two) = (bench.user().await, bench.user().await);
    let is_done = |update: &UserUpdate| matches!(update, UserUpdate::Updated(_));
    assert!(is_done(&bench.call(&one, Some("u")).await));
    assert!(is_done(&bench.call(&one, Some("u")).await), "its own");
    let change = UserChange {
        id: Some(Some("u".to_owned())),
        email: Some(Some("a@example.org".to_owned())),
        ..bench.a_user_change(&two)
    };
    assert_eq!(bench.update(&change).await, UserUpdate::IdTaken(one.guid));
    assert_eq!(
        bench.user_now(&two).await.as_ref(),
        Some(&two),
        "nothing changed"
    );
    let mut third = bench.a_user();
    third.id = Some("u".to_owned());
    let creation = bench.store.create_user(&third).await;
    assert_eq!(creation.expect("answered"), UserCreation::IdTaken(one.guid));
    assert!(is_done(&bench.call(&one, Some("other")).await));
    assert!(is_done(&bench.call(&two, Some("u")).await), "given back");
    assert!(is_done(&bench.call(&one, None).await));
    third.id = Some("other".to_owned());
    let creation = bench.store.create_user(&third).await;
    assert_eq!(creation.expect("answered"), UserCreation::Created);
}

async fn of_racing_changes_one_gets_the_id(bench: Bench) {
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let user = bench.user().await;
        let change = UserChange {
            id: Some(Some("u".to_owned())),
            ..bench.a_user_change(&user)
        };
        let store = Arc::clone(&bench.store);
        racers.spawn(async move { store.update_user(&change, at(9)).await.expect("answered") });
    }
    let (mut named, mut refused) = (Vec::new(), HashSet::new());
    for update in racers.join_all().await {
        match update {
            UserUpdate::Updated(user) => named.push(user.guid),
            UserUpdate::IdTaken(by) => {
                refused.insert(by);
            }
            UserUpdate::NoSuchUser => panic!("it is there"),
        }
    }
    assert_eq!(named.len(), 1, "{named:?}");
    assert_eq!(refused, HashSet::from([named[0]]));
    assert_eq!(bench.called("u").await, Some(named[0]));
}

async fn a_users_members_name_its_new_id(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let kept = bench.a_standard(&linked.user, "ada");
    bench.keep(&kept).await;
    for id in [Some("u-2"), None] {
        bench.call(&linked.user, id).await;
        for before in [&linked.member, &kept.member] {
            let member = bench.read(&linked.user, before.guid).await;
            let expected = Member {
                user_id: id.map(str::to_owned),
                ..before.clone()
            };
            assert_eq!(member, Some(expected));
        }
    }
}

async fn a_deleted_user_takes_everything_along(bench: Bench) {
    let mut user = bench.a_user();
    user.id = Some("u".to_owned());
    bench.store.create_user(&user).await.expect("kept");
    let partition = user.guid.partition();
    let owner = SessionOwner {
        user: user.guid,
        client: user.client.clone(),
    };
    let (spent, unspent, session) = (bench.a_digest(), bench.a_digest(), bench.a_digest());
    for token in [spent, unspent] {
        let put = bench
            .store
            .put_api_token(&owner, token, at(500), at(0))
            .await;
        put.expect("answered");
    }
    let begun = bench
        .store
        .begin_session(partition, spent, session, at(500), at(0));
    assert_eq!(begun.await.expect("answered"), Some(owner));
    let mut new = bench.a_standard(&user, "ada");
    new.member.external_guid = Some("ext".to_owned());
    bench.keep(&new).await;
    let gone = bench.a_standard(&user, "bob");
    bench.keep(&gone).await;
    bench.delete(&user, gone.member.guid, at(1)).await;
    bench.told(at(1)).await;

    assert_eq!(bench.delete_user(&user, 5).await.as_ref(), Some(&user));
    assert_eq!(bench.user_now(&user).await, None);
    assert_eq!(bench.called("u").await, None);
    let page = PageRequest {
        page: 1,
        per_page: 10,
    };
    let listed = bench.store.users(&user.client, page, at(9_999)).await;
    let listed = listed.expect("answered");
    assert_eq!((listed.items, listed.total), (Vec::new(), 0));
    let touched = bench
        .store
        .touch_session(partition, session, at(500), at(6));
    assert_eq!(touched.await.expect("answered"), None);
    let begun = bench
        .store
        .begin_session(partition, unspent, bench.a_digest(), at(500), at(6));
    assert_eq!(begun.await.expect("answered"), None);
    assert_eq!(bench.read(&user, new.member.guid).await, None);
    let members = bench.store.members(user.guid).await;
    assert_eq!(members.expect("answered"), []);
    for member in [new.member.guid, gone.member.guid] {
        let kept = bench.store.deleted_member(user.guid, member, at(6)).await;
        assert_eq!(kept.expect("answered"), None);
        let owner = bench.store.owner_of_member(member).await;
        assert_eq!(owner.expect("answered"), None);
    }
    let job = new.job.expect("one is asked for").guid;
    assert_eq!(bench.lease(job).await, Lease::Unknown);
    assert_eq!(bench.take(at(9)).await, []);
    assert_eq!(bench.delete_user(&user, 6).await, None, "it is gone");

    // What it was called by is free.
    let mut next = bench.a_user();
    next.id = Some("u".to_owned());
    let creation = bench.store.create_user(&next).await;
    assert_eq!(creation.expect("answered"), UserCreation::Created);
    let mut again = bench.a_standard(&next, "ada");
    again.member.external_guid = Some("ext".to_owned());
    bench.keep(&again).await;
}

async fn a_deleted_users_members_go_without_notice(bench: Bench) {
    let visited = bench.visited().await;
    let user = &visited.linked.user;
    assert!(bench.delete_user(user, 5).await.is_some());
    let window = bench.window_now(&visited).await;
    let ended = WindowStatus::Errored(ErrorReason::SessionError, Ending::MemberDeleted);
    assert_eq!((window.status, window.updated_at), (ended, at(5)));
    assert_eq!(bench.member_now(&visited.linked).await, None);
    let claim = bench.a_claim(&visited);
    let claimed = bench.store.claim_callback(&claim, at(6)).await;
    assert_eq!(claimed.expect("answered"), Claimed::Settled);
    let overdue = bench.store.overdue_windows(at(99_999), 10).await;
    assert_eq!(overdue.expect("answered"), []);
    assert_eq!(bench.told(at(9)).await, []);
}

async fn a_user_is_its_clients_alone(bench: Bench) {
    let user = bench.user().await;
    let elsewhere = User {
        client: "other".parse().expect("a client's name"),
        ..user.clone()
    };
    let change = UserChange {
        id: Some(Some("u".to_owned())),
        ..bench.a_user_change(&elsewhere)
    };
    assert_eq!(bench.update(&change).await, UserUpdate::NoSuchUser);
    assert_eq!(bench.delete_user(&elsewhere, 5).await, None);
    assert_eq!(bench.user_now(&user).await.as_ref(), Some(&user));
    let nobody = bench.a_user();
    let change = bench.a_user_change(&nobody);
    assert_eq!(bench.update(&change).await, UserUpdate::NoSuchUser);
    assert_eq!(bench.delete_user(&nobody, 5).await, None);
}
