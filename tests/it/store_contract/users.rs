//! Users and API keys.

use std::collections::HashSet;
use std::sync::Arc;

use guichet::domain::secret::ApiKey;
use guichet::store::{KeyAddition, PageRequest, UserCreation};

use super::Bench;
use super::fixtures::{at, client};

on_each_store!(
    a_user_is_found_by_guid_and_by_id,
    an_id_is_unique_within_its_client,
    of_racing_users_one_gets_the_id,
    users_are_listed_oldest_first,
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
    for _repeated in 0..2 {
        let creation = bench.store.create_user(&user).await;
        assert_eq!(creation.expect("answered"), UserCreation::Created);
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
            .users(&client(), request)
            .await
            .expect("answered");
        assert_eq!(paged.items, expected, "page {page}");
        assert_eq!(paged.total, 5);
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
