//! How much a link costs: memory and round trips.

use std::sync::Arc;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_link_costs_at_most_400_bytes() {
    const MINTS: usize = 20_000;
    let server = Server::start().await;
    let store = Arc::new(open(&server).await);
    // What is measured is memory; waiting for the disk would only take time.
    let _: () = server.query(&["CONFIG", "SET", "appendfsync", "no"]).await;
    let mint = |store: Arc<Store>, members: Vec<NewMember>| async move {
        for new in members {
            let window = new_window(new.member.guid.partition(), at(700));
            let (user, member) = (new.member.user, new.member.guid);
            let minted = store.mint_window(user, member, &window, &[], at(5)).await;
            assert!(minted.expect("kept").is_some());
        }
    };
    let create = |store: Arc<Store>| async move {
        let mut members = Vec::new();
        for _ in 0..MINTS / 32 {
            members.push(keep_member(&store).await);
        }
        members
    };
    let mut creating = tokio::task::JoinSet::new();
    for _ in 0..32 {
        creating.spawn(create(Arc::clone(&store)));
    }
    let members = creating.join_all().await;
    let before = server.info("memory", "used_memory").await;
    let mut minting = tokio::task::JoinSet::new();
    for share in members {
        minting.spawn(mint(Arc::clone(&store), share));
    }
    minting.join_all().await;
    let after = server.info("memory", "used_memory").await;
    let each = (after - before) / MINTS as i64;
    assert!((100..=400).contains(&each), "{each} bytes per pending link");
}

#[tokio::test]
async fn a_step_on_what_was_just_seen_is_one_round_trip_and_at_most_two_elsewhere() {
    let server = Server::start().await;
    let here = Arc::new(open(&server).await);
    let user = a_user(&here).await;
    let of_user = || new_member(user, new_window(user.partition(), at(600)));
    let (mut new, mut attempt) = (of_user(), None);
    let mut before = sent(&server).await;
    let mut trips = async || {
        let now = sent(&server).await;
        now - std::mem::replace(&mut before, now)
    };
    // Here, by one gateway; and then where each step is the first that its gateway sees of it.
    for (is_seen, each) in [(true, 1), (false, 2)] {
        let gateway = async || match is_seen {
            true => Arc::clone(&here),
            false => Arc::new(open(&server).await),
        };
        new = of_user();
        let store = gateway().await;
        trips().await;
        store.create_member(&new, at(0)).await.expect("kept");
        assert_eq!(trips().await, each, "create");
        let store = gateway().await;
        trips().await;
        let opened = open_first(&store, &new, at(10)).await;
        assert_eq!(trips().await, each, "open");
        let store = gateway().await;
        trips().await;
        let claimed = store.claim_callback(&claim(&opened), at(20)).await;
        assert!(matches!(claimed, Ok(Claimed::Accepted { .. })));
        assert_eq!(trips().await, each, "claim");
        let store = gateway().await;
        trips().await;
        let committed = store.commit_connected(&connection(&new), at(30)).await;
        committed_subject(committed);
        assert_eq!(trips().await, each, "commit");
        attempt = Some(opened);
    }
    let (id, other) = (
        attempt.expect("made").id,
        opening(&new, VisitKind::Navigate, &[]),
    );
    here.attempt(&id).await.expect("read");
    assert_eq!(trips().await, 1, "the outcome");
    here.open_window(&other, at(40)).await.expect("asked");
    assert_eq!(trips().await, 1, "what changes nothing is read");
}

/// How many commands and scripts were sent: what scripts call is counted too, so it is told by its kind.
async fn sent(server: &Server) -> i64 {
    let stats: String = server.query(&["INFO", "commandstats"]).await;
    let calls = |name: &str| -> i64 {
        let line = stats.lines().find_map(|line| line.strip_prefix(name));
        let calls = line.and_then(|line| line.split(['=', ',']).nth(1));
        calls.map_or(0, |calls| calls.parse().expect("a count"))
    };
    calls("cmdstat_evalsha:") + calls("cmdstat_mget:")
}
