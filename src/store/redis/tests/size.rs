//! How much a link costs: memory and round trips.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_link_costs_at_most_400_bytes() {
    const MINTS: usize = 20_000;
    let server = Server::start().await;
    let store = std::sync::Arc::new(open(&server).await);
    // What is measured is memory; waiting for the disk would only take time.
    let _: () = server.query(&["CONFIG", "SET", "appendfsync", "no"]).await;
    let mint = |store: std::sync::Arc<RedisStore>, members: Vec<NewMember>| async move {
        for new in members {
            let window = new_window(new.member.guid.partition(), at(700));
            let (user, member) = (new.member.user, new.member.guid);
            let minted = store.mint_window(user, member, &window, &[], at(5)).await;
            assert!(minted.expect("kept").is_some());
        }
    };
    let create = |store: std::sync::Arc<RedisStore>| async move {
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
async fn a_flow_is_four_round_trips_and_one_script_each() {
    let server = Server::start().await;
    let store = open(&server).await;
    // Commands that scripts call are counted too, so what is counted is scripts called.
    let calls = async || {
        let stats: String = server.query(&["INFO", "commandstats"]).await;
        let calls = |name: &str| -> i64 {
            let line = stats.lines().find_map(|line| line.strip_prefix(name));
            let calls = line.and_then(|line| line.split(['=', ',']).nth(1));
            calls.map_or(0, |calls| calls.parse().expect("a count"))
        };
        (calls("cmdstat_evalsha:"), calls("cmdstat_script|load:"))
    };
    let user = a_user(&store).await;
    let (before, loads) = calls().await;
    let new = new_member(user, new_window(user.partition(), at(600)));
    store.create_member(&new, at(0)).await.expect("kept");
    connect(&store, &new).await;
    assert_eq!(calls().await, (before + 4, loads));
}
