//! Authorization responses.

use guichet::domain::client::UnboundCallback;
use guichet::domain::event::EventKind;
use guichet::domain::secret::Digest;
use guichet::domain::window::{
    Binding, Ending, ErrorReason, NewAttempt, OpenPolicy, WindowOptions, WindowStatus,
};
use guichet::store::{Claim, Claimed, HELD_RESPONSES};

use super::Bench;
use super::fixtures::{LEG, LINK, Visited, at, before, opened_by};

on_one_store!(
    the_bound_browser_claims_once,
    a_wrong_path_is_unknown,
    a_response_in_another_browser_is_burnt,
    a_response_in_another_browser_is_ignored,
    half_a_binding_is_none,
    what_is_settled_is_neither_burnt_nor_ignored,
    a_response_at_the_deadline_is_late,
    of_a_multi_links_attempts_any_one_claims,
    an_unopened_links_successor_settles_it,
    a_held_response_is_given_until_it_expires,
    of_an_attempts_held_responses_the_oldest_gives_way,
    an_attempt_reads_with_its_window,
);

async fn send(bench: &Bench, claim: &Claim, second: i64) -> Claimed {
    let claimed = bench.store.claim_callback(claim, at(second)).await;
    claimed.expect("answered")
}

async fn the_bound_browser_claims_once(bench: Bench) {
    let visited = bench.visited().await;
    let claim = bench.a_claim(&visited);
    let Claimed::Accepted {
        subject, sealed, ..
    } = send(&bench, &claim, 2).await
    else {
        panic!("the browser is bound");
    };
    assert_eq!(sealed, visited.attempt.sealed);
    assert_eq!(subject.member, visited.linked.member);
    assert_eq!(subject.window.status, WindowStatus::Returned);
    assert_eq!(subject.window.updated_at, at(2));
    assert_eq!(bench.window_now(&visited).await, subject.window);
    assert_eq!(send(&bench, &claim, 3).await, Claimed::Settled);
    assert_eq!(bench.told(at(9)).await, [], "nobody is told of answers");
}

async fn a_wrong_path_is_unknown(bench: Bench) {
    let visited = bench.visited().await;
    let right = bench.a_claim(&visited);
    let partition = visited.linked.user.guid.partition();
    let wrong = [
        Claim {
            attempt: bench.an_attempt(partition, at(9)).id,
            ..right.clone()
        },
        Claim {
            client: "other".parse().expect("a client's name"),
            ..right.clone()
        },
        Claim {
            institution: "other".parse().expect("an institution's code"),
            ..right.clone()
        },
    ];
    for mut claim in wrong.clone() {
        assert_eq!(send(&bench, &claim, 2).await, Claimed::Unknown);
        claim.browser.clear();
        assert_eq!(send(&bench, &claim, 2).await, Claimed::Unknown);
    }
    let claimed = send(&bench, &right, 3).await;
    assert!(
        matches!(claimed, Claimed::Accepted { .. }),
        "a forged answer cost it nothing"
    );
    for claim in wrong {
        assert_eq!(
            send(&bench, &claim, 4).await,
            Claimed::Unknown,
            "the path comes first"
        );
    }
    assert_eq!(bench.told(at(9)).await, []);
}

async fn a_response_in_another_browser_is_burnt(bench: Bench) {
    let visited = bench.visited().await;
    let claim = Claim {
        browser: Vec::new(),
        ..bench.a_claim(&visited)
    };
    let Claimed::Burnt(subject) = send(&bench, &claim, 2).await else {
        panic!("no browser is bound");
    };
    let ended = WindowStatus::Errored(ErrorReason::SessionError, Ending::Unbound);
    assert_eq!(subject.window.status, ended);
    assert_eq!(
        subject.member, visited.linked.member,
        "the member stays as it is"
    );
    assert_eq!(bench.window_now(&visited).await, subject.window);
    for browser in [Vec::new(), visited.browser()] {
        let claim = Claim {
            browser,
            ..claim.clone()
        };
        assert_eq!(send(&bench, &claim, 3).await, Claimed::Settled);
    }
    let told = bench.told(at(9)).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].guid, claim.burnt[0].guid);
    assert_eq!(told[0].kind, EventKind::OauthStateFinished);
    assert_eq!(told[0].window.as_ref(), Some(&subject.window));
    assert_eq!(told[0].member, subject.member);
}

async fn a_response_in_another_browser_is_ignored(bench: Bench) {
    let visited = bench.visited().await;
    let before = bench.window_now(&visited).await;
    let bound = Claim {
        unbound: UnboundCallback::Ignore,
        ..bench.a_claim(&visited)
    };
    let unbound = Claim {
        browser: bench.visited().await.browser(),
        ..bound.clone()
    };
    for _delivery in 0..3 {
        assert_eq!(send(&bench, &unbound, 2).await, Claimed::Ignored);
    }
    assert_eq!(bench.window_now(&visited).await, before);
    assert_eq!(bench.told(at(9)).await, []);
    let claimed = send(&bench, &bound, 3).await;
    assert!(matches!(claimed, Claimed::Accepted { .. }), "{claimed:?}");
}

async fn half_a_binding_is_none(bench: Bench) {
    let visited = bench.visited().await;
    let own = &visited.attempt.binding;
    let mut claim = bench.a_claim(&visited);
    claim.unbound = UnboundCallback::Ignore;
    claim.browser = vec![
        Binding {
            digest: bench.a_digest(),
            ..own.clone()
        },
        Binding {
            attempt: bench.an_attempt(own.attempt.partition(), at(900)).id,
            ..own.clone()
        },
    ];
    assert_eq!(send(&bench, &claim, 2).await, Claimed::Ignored);
    claim.browser.push(own.clone());
    let claimed = send(&bench, &claim, 2).await;
    assert!(matches!(claimed, Claimed::Accepted { .. }), "{claimed:?}");
}

async fn what_is_settled_is_neither_burnt_nor_ignored(bench: Bench) {
    let returned = bench.returned().await;
    let failed = bench.failed(WindowOptions::default()).await;
    let (connected, _, _) = bench.connected().await;
    bench.told(at(9)).await;
    for visited in [returned, failed, connected] {
        let before = bench.window_now(&visited).await;
        for unbound in [UnboundCallback::Burn, UnboundCallback::Ignore] {
            let claim = Claim {
                browser: Vec::new(),
                unbound,
                ..bench.a_claim(&visited)
            };
            assert_eq!(send(&bench, &claim, 5).await, Claimed::Settled);
        }
        assert_eq!(bench.window_now(&visited).await, before);
    }
    assert_eq!(bench.told(at(9)).await, []);
}

async fn a_response_at_the_deadline_is_late(bench: Bench) {
    let visited = bench.visited().await;
    let claim = bench.a_claim(&visited);
    assert_eq!(send(&bench, &claim, 1 + LEG).await, Claimed::Settled);
    let unbound = Claim {
        browser: Vec::new(),
        ..claim.clone()
    };
    assert_eq!(send(&bench, &unbound, 1 + LEG).await, Claimed::Settled);
    let claimed = bench
        .store
        .claim_callback(&claim, before(at(1 + LEG)))
        .await;
    let claimed = claimed.expect("answered");
    assert!(matches!(claimed, Claimed::Accepted { .. }), "{claimed:?}");
}

async fn of_a_multi_links_attempts_any_one_claims(bench: Bench) {
    let linked = bench.linked(opened_by(OpenPolicy::Multi)).await;
    let mut visits = Vec::new();
    for second in 1..4 {
        visits.push(bench.visit(linked.clone(), at(second)).await);
    }
    bench.come_back(&visits[1], at(5)).await;
    for visited in &visits {
        let claim = bench.a_claim(visited);
        assert_eq!(send(&bench, &claim, 6).await, Claimed::Settled);
    }
    bench.connect(&bench.a_connection(&visits[1]), at(7)).await;
    let claim = bench.a_claim(&visits[2]);
    assert_eq!(
        send(&bench, &claim, 8).await,
        Claimed::Settled,
        "harmless afterwards"
    );
}

async fn an_unopened_links_successor_settles_it(bench: Bench) {
    let visited = bench.visited().await;
    let linked = &visited.linked;
    let new = bench.a_window(linked.user.guid.partition(), at(LINK));
    let minted = bench
        .store
        .mint_window(linked.user.guid, linked.member.guid, &new, &[], at(2));
    minted
        .await
        .expect("answered")
        .expect("the member is there");
    assert_eq!(
        send(&bench, &bench.a_claim(&visited), 3).await,
        Claimed::Settled
    );
}

async fn a_held_response_is_given_until_it_expires(bench: Bench) {
    let visited = bench.visited().await;
    let partition = visited.linked.user.guid.partition();
    let handle = bench.a_digest();
    let sealed = [0, 1, 2, 255, b'\'', 0];
    let hold = async |attempt: &NewAttempt| {
        let held = bench
            .store
            .hold_response(&attempt.id, handle, &sealed, at(60), at(0))
            .await;
        held.expect("answered")
    };
    let held = async |handle, now| {
        let held = bench.store.held_response(partition, handle, now).await;
        held.expect("answered")
    };
    assert!(
        !hold(&bench.an_attempt(partition, at(9))).await,
        "no such attempt"
    );
    assert_eq!(held(handle, at(3)).await, None);
    assert!(hold(&visited.attempt).await);
    assert!(hold(&visited.attempt).await, "the same, repeated");
    assert_eq!(held(handle, at(3)).await.as_deref(), Some(&sealed[..]));
    assert_eq!(
        held(handle, before(at(60))).await.as_deref(),
        Some(&sealed[..]),
        "more than once"
    );
    assert_eq!(held(handle, at(60)).await, None);
    assert_eq!(held(bench.a_digest(), at(3)).await, None);
}

async fn of_an_attempts_held_responses_the_oldest_gives_way(bench: Bench) {
    let visited = bench.visited().await;
    let partition = visited.linked.user.guid.partition();
    let handles: Vec<Digest> = (0..HELD_RESPONSES + 2).map(|_| bench.a_digest()).collect();
    let hold = async |nth: usize| {
        let end = at(60 + nth as i64);
        let (store, attempt) = (&bench.store, &visited.attempt.id);
        let held = store
            .hold_response(attempt, handles[nth], b"sealed", end, at(0))
            .await;
        assert!(held.expect("answered"), "the attempt awaits an answer");
    };
    let held = async || {
        let mut held = Vec::new();
        for (nth, handle) in handles.iter().enumerate() {
            let answer = bench.store.held_response(partition, *handle, at(3)).await;
            held.extend(answer.expect("answered").map(|_| nth as u32));
        }
        held
    };
    for nth in 0..handles.len() {
        hold(nth).await;
        // Sent again because its answer was lost.
        hold(nth).await;
        let newest = nth as u32;
        let oldest = (newest + 1).saturating_sub(HELD_RESPONSES);
        assert_eq!(held().await, (oldest..=newest).collect::<Vec<_>>());
    }
    assert_eq!(HELD_RESPONSES, 8, "as decided");
}

async fn an_attempt_reads_with_its_window(bench: Bench) {
    let visited = bench.visited().await;
    let record = bench.store.attempt(&visited.attempt.id).await;
    let record = record.expect("answered").expect("kept");
    assert_eq!(record.window.guid, visited.linked.window);
    assert_eq!(record.member.as_ref(), Some(&visited.linked.member));
    assert!(record.binding.matches(&visited.attempt.binding.digest));
    let Visited { attempt, .. } = &visited;
    let unknown = bench.an_attempt(attempt.id.partition(), at(9)).id;
    let record = bench.store.attempt(&unknown).await.expect("answered");
    assert!(record.is_none());
}
