//! SSO tokens and sessions.

use std::sync::Arc;

use guichet::domain::id::Partition;
use guichet::domain::secret::Digest;
use guichet::domain::user::User;
use guichet::store::SessionOwner;

use super::Bench;
use super::fixtures::{at, before};

on_each_store!(
    a_token_begins_one_session,
    a_spent_token_is_not_kept_again,
    a_token_expires,
    of_racing_sessions_one_begins,
    a_session_lasts_while_it_is_touched,
    ending_sessions_forgets_tokens_too,
);

async fn put_token(bench: &Bench, user: &User) -> (SessionOwner, Digest) {
    let owner = SessionOwner {
        user: user.guid,
        client: user.client.clone(),
    };
    let token = bench.a_digest();
    let put = bench.store.put_api_token(&owner, token, at(600), at(0));
    put.await.expect("kept");
    (owner, token)
}

async fn a_token_begins_one_session(bench: Bench) {
    let user = bench.user().await;
    let partition = user.guid.partition();
    let (owner, token) = put_token(&bench, &user).await;
    let (session, second) = (bench.a_digest(), bench.a_digest());
    let begin = async |partition: Partition, session| {
        let begun = bench
            .store
            .begin_session(partition, token, session, at(1800), at(1));
        begun.await.expect("answered")
    };
    let elsewhere = Partition::all().find(|other| *other != partition);
    assert_eq!(begin(elsewhere.expect("there are 16"), session).await, None);
    assert_eq!(begin(partition, session).await.as_ref(), Some(&owner));
    assert_eq!(
        begin(partition, session).await.as_ref(),
        Some(&owner),
        "the same, repeated"
    );
    assert_eq!(begin(partition, second).await, None, "the token is spent");
    let touched = bench
        .store
        .touch_session(partition, second, at(1800), at(2));
    assert_eq!(touched.await.expect("answered"), None);
}

async fn a_spent_token_is_not_kept_again(bench: Bench) {
    let user = bench.user().await;
    let (owner, token) = put_token(&bench, &user).await;
    let begin = async || {
        let (partition, session) = (user.guid.partition(), bench.a_digest());
        let begun = bench
            .store
            .begin_session(partition, token, session, at(1800), at(1));
        begun.await.expect("answered")
    };
    assert!(begin().await.is_some());
    // The request that kept it arrives once more.
    let put = bench.store.put_api_token(&owner, token, at(600), at(0));
    put.await.expect("answered");
    assert_eq!(begin().await, None);
}

async fn a_token_expires(bench: Bench) {
    let user = bench.user().await;
    let partition = user.guid.partition();
    let (owner, token) = put_token(&bench, &user).await;
    let begin = async |now| {
        let session = bench.a_digest();
        let begun = bench
            .store
            .begin_session(partition, token, session, at(1800), now);
        begun.await.expect("answered")
    };
    assert_eq!(begin(at(600)).await, None);
    let (_, token) = put_token(&bench, &user).await;
    let session = bench.a_digest();
    let begun = bench
        .store
        .begin_session(partition, token, session, at(1800), before(at(600)));
    assert_eq!(begun.await.expect("answered"), Some(owner));
}

async fn of_racing_sessions_one_begins(bench: Bench) {
    let user = bench.user().await;
    let (_, token) = put_token(&bench, &user).await;
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (store, session) = (Arc::clone(&bench.store), bench.a_digest());
        let partition = user.guid.partition();
        racers.spawn(async move {
            let begun = store.begin_session(partition, token, session, at(1800), at(1));
            begun.await.expect("answered").is_some()
        });
    }
    let begun = racers.join_all().await;
    assert_eq!(begun.iter().filter(|begun| **begun).count(), 1);
}

async fn a_session_lasts_while_it_is_touched(bench: Bench) {
    let user = bench.user().await;
    let (owner, token) = put_token(&bench, &user).await;
    let (partition, session) = (user.guid.partition(), bench.a_digest());
    let begun = bench
        .store
        .begin_session(partition, token, session, at(1800), at(0));
    begun.await.expect("answered").expect("begun");
    let touch = async |expires_at, now| {
        let touched = bench
            .store
            .touch_session(partition, session, expires_at, now);
        touched.await.expect("answered")
    };
    assert_eq!(
        touch(at(3000), before(at(1800))).await.as_ref(),
        Some(&owner)
    );
    assert_eq!(
        touch(at(4000), before(at(3000))).await.as_ref(),
        Some(&owner)
    );
    assert_eq!(touch(at(9000), at(4000)).await, None);
    assert_eq!(touch(at(9000), at(4001)).await, None);
}

async fn ending_sessions_forgets_tokens_too(bench: Bench) {
    let user = bench.user().await;
    let other = bench.user().await;
    let mut sessions = Vec::new();
    for user in [&user, &user, &other] {
        let (_, token) = put_token(&bench, user).await;
        let session = bench.a_digest();
        let partition = user.guid.partition();
        let begun = bench
            .store
            .begin_session(partition, token, session, at(1800), at(1));
        begun.await.expect("answered").expect("begun");
        sessions.push((partition, session));
    }
    let (_, unspent) = put_token(&bench, &user).await;
    bench
        .store
        .end_sessions(user.guid, at(1))
        .await
        .expect("answered");

    let mut alive = Vec::new();
    for (partition, session) in sessions {
        let touched = bench
            .store
            .touch_session(partition, session, at(1800), at(2));
        alive.push(touched.await.expect("answered").is_some());
    }
    assert_eq!(alive, [false, false, true]);
    let session = bench.a_digest();
    let begun = bench
        .store
        .begin_session(user.guid.partition(), unspent, session, at(9), at(3));
    assert_eq!(begun.await.expect("answered"), None);
    // Ending is not forbidding: the user may come again.
    let (owner, token) = put_token(&bench, &user).await;
    let begun = bench
        .store
        .begin_session(user.guid.partition(), token, session, at(9), at(3));
    assert_eq!(begun.await.expect("answered"), Some(owner));
}
