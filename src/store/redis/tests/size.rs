//! How much a link costs: memory and round trips.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_link_costs_at_most_400_bytes() {
    const MINTS: usize = 20_000;
    let server = Server::start().await;
    let store = std::sync::Arc::new(open(&server).await);
    // What is measured is memory; waiting for the disk would only take time.
    let _: () = server.query(&["CONFIG", "SET", "appendfsync", "no"]).await;
    let mint = |store: std::sync::Arc<Store>, members: Vec<NewMember>| async move {
        for new in members {
            let window = new_window(new.member.guid.partition(), at(700));
            let (user, member) = (new.member.user, new.member.guid);
            let minted = store.mint_window(user, member, &window, &[], at(5)).await;
            assert!(minted.expect("kept").is_some());
        }
    };
    let create = |store: std::sync::Arc<Store>| async move {
        let mut members = Vec::new();
        for _ in 0..MINTS / 32 {
            members.push(keep_member(&store).await);
        }
        members
    };
    let mut creating = tokio::task::JoinSet::new();
    for _ in 0..32 {
        creating.spawn(create(std::sync::Arc::clone(&store)));
    }
    let members = creating.join_all().await;
    let before = server.info("memory", "used_memory").await;
    let mut minting = tokio::task::JoinSet::new();
    for share in members {
        minting.spawn(mint(std::sync::Arc::clone(&store), share));
    }
    minting.join_all().await;
    let after = server.info("memory", "used_memory").await;
    let each = (after - before) / MINTS as i64;
    assert!((100..=400).contains(&each), "{each} bytes per pending link");
}

#[tokio::test]
async fn a_step_of_a_flow_is_two_round_trips_and_one_that_changes_nothing_is_one() {
    let server = Server::start().await;
    let store = open(&server).await;
    // What scripts call is counted too, so what is counted is what is sent: by its kind.
    let sent = async || {
        let stats: String = server.query(&["INFO", "commandstats"]).await;
        let calls = |name: &str| -> i64 {
            let line = stats.lines().find_map(|line| line.strip_prefix(name));
            let calls = line.and_then(|line| line.split(['=', ',']).nth(1));
            calls.map_or(0, |calls| calls.parse().expect("a count"))
        };
        calls("cmdstat_evalsha:") + calls("cmdstat_mget:")
    };
    let user = a_user(&store).await;
    let new = new_member(user, new_window(user.partition(), at(600)));
    let mut before = sent().await;
    let mut trips = async || {
        let now = sent().await;
        now - std::mem::replace(&mut before, now)
    };
    store.create_member(&new, at(0)).await.expect("kept");
    assert_eq!(trips().await, 2, "create");
    let attempt = open_first(&store, &new, at(10)).await;
    assert_eq!(trips().await, 2, "open");
    store
        .open_window(&opening(&new, VisitKind::Navigate, &[]), at(11))
        .await
        .expect("asked");
    assert_eq!(trips().await, 1, "another browser");
    store
        .claim_callback(&claim(&attempt), at(20))
        .await
        .expect("asked");
    assert_eq!(trips().await, 2, "claim");
    store
        .commit_connected(&connection(&new), at(30))
        .await
        .expect("asked");
    assert_eq!(trips().await, 2, "commit");
    store.attempt(&attempt.id).await.expect("read");
    assert_eq!(trips().await, 1, "the outcome");
}
