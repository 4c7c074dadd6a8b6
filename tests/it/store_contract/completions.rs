//! What waits for a member service's confirmation.

use guichet::domain::client::{Completion, UnboundCallback};
use guichet::domain::id::{MemberGuid, UserGuid};
use guichet::domain::window::{Ending, ErrorReason, WindowStatus};
use guichet::steps::record::Revocation;
use guichet::store::{
    Ask, Claim, Claimed, Confirmation, Confirmed, Connection, Duty, HeldTokens, NewCode, NewHandle,
};
use jiff::Timestamp;

use super::Bench;
use super::fixtures::{Visited, at, client, institution};

on_each_store!(
    a_code_waits_and_is_given_out_once,
    of_many_confirmations_one_leads_on,
    a_token_set_waits_until_it_is_the_members,
    a_handle_of_another_user_or_member_ends_the_window,
    a_handle_is_unknown_to_another_client_and_when_it_is_late,
    whatever_ends_the_window_gives_back_what_it_held,
    a_response_in_another_browser_moves_the_attempt_there,
    an_error_needs_no_confirmation,
);

/// Until when a confirmation is awaited, in seconds.
const HOLD: i64 = 120;

fn handle(bench: &Bench) -> NewHandle {
    NewHandle {
        digest: bench.a_digest(),
        sealed: b"handle".to_vec(),
        until: at(HOLD),
    }
}

fn code(handle: Option<NewHandle>) -> NewCode {
    NewCode {
        response: b"response".to_vec(),
        generation: 7,
        handle,
    }
}

/// The response to an attempt, in its own browser, where it is to be confirmed.
fn claim(bench: &Bench, visited: &Visited, handle: Option<&NewHandle>) -> Claim {
    Claim {
        completion: Completion::Confirm,
        code: Some(code(handle.cloned())),
        ..bench.a_claim(visited)
    }
}

fn confirmation(bench: &Bench, visited: &Visited, handle: &NewHandle) -> Confirmation {
    Confirmation {
        partition: visited.linked.user.guid.partition(),
        handle: handle.digest,
        client: client(),
        user: Some(visited.linked.user.guid),
        member: Some(visited.linked.member.guid),
        misdirected: bench.finished(visited),
    }
}

async fn confirm(bench: &Bench, confirmation: &Confirmation, now: Timestamp) -> Confirmed {
    let confirmed = bench.store.confirm(confirmation, now).await;
    confirmed.expect("answered")
}

/// A window whose code waits, and its handle.
async fn waiting(bench: &Bench) -> (Visited, NewHandle) {
    let visited = bench.visited().await;
    let handle = handle(bench);
    let claim = claim(bench, &visited, Some(&handle));
    let claimed = bench.store.claim_callback(&claim, at(2)).await;
    let Ok(Claimed::Waiting {
        subject,
        is_rebound,
    }) = claimed
    else {
        panic!("{claimed:?}");
    };
    assert_eq!(subject.window.status, WindowStatus::Authorized);
    assert_eq!(subject.window.deadline, at(HOLD));
    assert!(!is_rebound);
    (visited, handle)
}

/// A window whose token set waits, and its handle.
async fn holding(bench: &Bench) -> (Visited, NewHandle) {
    let visited = bench.visited().await;
    let claimed = bench
        .store
        .claim_callback(&claim(bench, &visited, None), at(2))
        .await;
    assert!(
        matches!(
            claimed,
            Ok(Claimed::Accepted {
                completion: Completion::Confirm,
                ..
            })
        ),
        "{claimed:?}"
    );
    let handle = handle(bench);
    let held = held(bench, &visited, &handle);
    assert_eq!(bench.store.hold_tokens(&held, at(3)).await.ok(), Some(true));
    (visited, handle)
}

fn held(bench: &Bench, visited: &Visited, handle: &NewHandle) -> HeldTokens {
    HeldTokens {
        window: visited.linked.window,
        attempt: visited.attempt.id.clone(),
        institution: institution(),
        sealed: b"tokens".to_vec(),
        fingerprints: vec![bench.a_digest()],
        generation: 7,
        handle: handle.clone(),
    }
}

/// What is owed to be given back, at that time.
async fn owed(bench: &Bench, now: Timestamp) -> Vec<Revocation> {
    let spots = bench.store.spots_due(now).await.expect("answered");
    let asks: Vec<Ask> = spots
        .into_iter()
        .map(|spot| Ask { spot, limit: 100 })
        .collect();
    let taken = bench.store.reserve_duties(&asks, (now, now), |_| {
        now + std::time::Duration::from_secs(60)
    });
    let taken = taken.await.expect("answered");
    let duties = taken.into_iter().flat_map(|reserved| reserved.duties);
    let revocations = duties.filter_map(|duty| match duty {
        Duty::Revoke(owed) => Some(owed.revocation),
        _ => None,
    });
    revocations.collect()
}

async fn a_code_waits_and_is_given_out_once(bench: Bench) {
    let (visited, handle) = waiting(&bench).await;
    let asks = confirmation(&bench, &visited, &handle);
    assert_eq!(
        bench
            .store
            .claim_callback(&claim(&bench, &visited, Some(&handle)), at(3))
            .await
            .ok(),
        Some(Claimed::Settled)
    );
    let Confirmed::Code {
        subject,
        attempt,
        response,
        secrets,
    } = confirm(&bench, &asks, at(4)).await
    else {
        panic!("it waits");
    };
    assert_eq!(attempt, visited.attempt.id);
    assert_eq!(
        (response, secrets),
        (b"response".to_vec(), visited.attempt.sealed.clone())
    );
    assert_eq!(subject.window.status, WindowStatus::Returned);
    let again = confirm(&bench, &asks, at(5)).await;
    assert_eq!(again, Confirmed::Before(Box::new(subject.window)));
    let connection = bench.a_connection(&visited);
    let committed = bench.store.commit_connected(&connection, at(6)).await;
    committed.expect("answered");
    let Confirmed::Before(window) = confirm(&bench, &asks, at(7)).await else {
        panic!("the same handle finds the same");
    };
    assert_eq!(window.status, WindowStatus::Succeeded);
    assert_eq!(owed(&bench, at(9)).await, [], "nothing is given back");
}

async fn of_many_confirmations_one_leads_on(bench: Bench) {
    let (visited, handle) = waiting(&bench).await;
    let asks = confirmation(&bench, &visited, &handle);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (store, asks) = (bench.store.clone(), asks.clone());
        tasks.spawn(async move { store.confirm(&asks, at(4)).await.expect("answered") });
    }
    let confirmed = tasks.join_all().await;
    let leads = |it: &&Confirmed| matches!(it, Confirmed::Code { .. });
    assert_eq!(confirmed.iter().filter(leads).count(), 1);
    let before = |it: &&Confirmed| matches!(it, Confirmed::Before(_));
    assert_eq!(confirmed.iter().filter(before).count(), 19);
}

async fn a_token_set_waits_until_it_is_the_members(bench: Bench) {
    let (visited, handle) = holding(&bench).await;
    let again = held(&bench, &visited, &handle);
    let again = bench.store.hold_tokens(&again, at(3));
    assert_eq!(again.await.ok(), Some(true), "sent again");
    let member = visited.linked.member.guid;
    let user = visited.linked.user.guid;
    let access = bench.store.access(user, &[member]).await.expect("answered");
    assert_eq!(access, [None], "it is nobody's");
    let asks = confirmation(&bench, &visited, &handle);
    let connection = Connection {
        only_in: WindowStatus::Authorized,
        ..bench.a_connection(&visited)
    };
    // A gateway that was cut off after the confirmation: it is sent again, and leads on again.
    for second in [4, 5] {
        let confirmed = confirm(&bench, &asks, at(second)).await;
        let Confirmed::Tokens { sealed, .. } = confirmed else {
            panic!("{confirmed:?}");
        };
        assert_eq!(sealed, b"tokens");
    }
    let committed = bench.store.commit_connected(&connection, at(6)).await;
    committed.expect("answered");
    let confirmed = confirm(&bench, &asks, at(7)).await;
    let Confirmed::Before(window) = confirmed else {
        panic!("{confirmed:?}");
    };
    assert_eq!(window.status, WindowStatus::Succeeded);
    assert_eq!(owed(&bench, at(9)).await, [], "it is the member's");
}

async fn a_handle_of_another_user_or_member_ends_the_window(bench: Bench) {
    type Swap = fn(&Bench, &mut Confirmation);
    let swaps: [Swap; 4] = [
        |_, it| it.user = None,
        |_, it| it.member = None,
        |bench, it| it.user = Some(UserGuid::new(&bench.chance)),
        |bench, it| it.member = Some(MemberGuid::new(&bench.chance, it.partition)),
    ];
    for swap in swaps {
        let (visited, handle) = waiting(&bench).await;
        let asks = confirmation(&bench, &visited, &handle);
        let mut wrong = asks.clone();
        swap(&bench, &mut wrong);
        let Confirmed::Misdirected(subject) = confirm(&bench, &wrong, at(4)).await else {
            panic!("somebody else's");
        };
        let ended = WindowStatus::Errored(ErrorReason::SessionError, Ending::Misdirected);
        assert_eq!(subject.window.status, ended);
        assert_eq!(confirm(&bench, &wrong, at(4)).await, Confirmed::Unknown);
        assert_eq!(confirm(&bench, &asks, at(4)).await, Confirmed::Unknown);
        let owed = owed(&bench, at(9)).await;
        let code = owed[0].code.as_ref().expect("a code");
        assert_eq!(owed.len(), 1);
        assert_eq!(&*code.response, b"response");
        assert_eq!(*code.secrets, visited.attempt.sealed);
    }
}

async fn a_handle_is_unknown_to_another_client_and_when_it_is_late(bench: Bench) {
    let (visited, handle) = waiting(&bench).await;
    let asks = confirmation(&bench, &visited, &handle);
    let foreign = Confirmation {
        client: "other".parse().expect("a client"),
        ..asks.clone()
    };
    assert_eq!(confirm(&bench, &foreign, at(4)).await, Confirmed::Unknown);
    let unknown = Confirmation {
        handle: bench.a_digest(),
        ..asks.clone()
    };
    assert_eq!(confirm(&bench, &unknown, at(4)).await, Confirmed::Unknown);
    assert_eq!(confirm(&bench, &asks, at(HOLD)).await, Confirmed::Unknown);
    let early = bench.a_failure(&visited.linked, Ending::Unconfirmed);
    let ended = bench.store.fail_window(&early, at(HOLD - 1)).await;
    assert_eq!(ended.expect("answered"), None, "it still waits");
    let confirmed = confirm(&bench, &asks, at(HOLD - 1)).await;
    assert!(matches!(confirmed, Confirmed::Code { .. }), "{confirmed:?}");
}

async fn whatever_ends_the_window_gives_back_what_it_held(bench: Bench) {
    for is_late in [true, false] {
        for holds_tokens in [true, false] {
            let (visited, handle) = match holds_tokens {
                true => holding(&bench).await,
                false => waiting(&bench).await,
            };
            if is_late {
                let late = bench.a_failure(&visited.linked, Ending::Unconfirmed);
                let ended = bench.store.fail_window(&late, at(HOLD)).await;
                assert!(ended.expect("answered").is_some());
            } else {
                let (user, member) = (visited.linked.user.guid, visited.linked.member.guid);
                let window = bench.a_window(user.partition(), at(999));
                let superseded = bench.finished(&visited);
                let minted = bench
                    .store
                    .mint_window(user, member, &window, &superseded, at(5));
                assert!(minted.await.expect("answered").is_some());
            }
            let asks = confirmation(&bench, &visited, &handle);
            assert_eq!(confirm(&bench, &asks, at(6)).await, Confirmed::Unknown);
            let owed = owed(&bench, at(HOLD + 9)).await;
            assert_eq!(owed.len(), 1, "{owed:?}");
            assert_eq!(owed[0].code.is_some(), !holds_tokens);
            assert_eq!(owed[0].sealed.len(), usize::from(holds_tokens));
        }
    }
}

async fn a_response_in_another_browser_moves_the_attempt_there(bench: Bench) {
    let visited = bench.visited().await;
    let handle = handle(&bench);
    let rebinding = bench.a_digest();
    let elsewhere = Claim {
        browser: Vec::new(),
        completion: Completion::Immediate,
        unbound: UnboundCallback::Confirm,
        rebinding,
        ..claim(&bench, &visited, Some(&handle))
    };
    let claimed = bench.store.claim_callback(&elsewhere, at(2)).await;
    let claimed = claimed.expect("answered");
    assert!(
        matches!(
            claimed,
            Claimed::Waiting {
                is_rebound: true,
                ..
            }
        ),
        "{claimed:?}"
    );
    let attempt = &visited.attempt.id;
    let record = bench.store.attempt(attempt).await.expect("answered");
    let record = record.expect("it is kept");
    assert!(record.handle.is_some());
    assert_eq!(record.binding, rebinding);
    assert!(
        !record.is_held_by(attempt, &visited.browser()),
        "who began it does not see the handle"
    );
}

async fn an_error_needs_no_confirmation(bench: Bench) {
    for browser in [true, false] {
        let visited = bench.visited().await;
        let claim = Claim {
            browser: match browser {
                true => visited.browser(),
                false => Vec::new(),
            },
            unbound: UnboundCallback::Confirm,
            code: None,
            ..claim(&bench, &visited, None)
        };
        let claimed = bench.store.claim_callback(&claim, at(2)).await;
        let Ok(Claimed::Accepted {
            completion,
            is_rebound,
            ..
        }) = claimed
        else {
            panic!("{claimed:?}");
        };
        assert_eq!((completion, is_rebound), (Completion::Immediate, !browser));
    }
}
