//! What was seen a moment ago is never believed.

use super::*;
use crate::domain::window::WindowStatus;
use crate::store::MemberCreation;

#[tokio::test]
async fn what_another_gateway_changed_meanwhile_is_found() {
    let server = Server::start().await;
    let (here, elsewhere) = (open(&server).await, open(&server).await);
    let new = keep_member(&here).await;
    let attempt = open_first(&elsewhere, &new, at(10)).await;
    // Here the window was not opened yet when it was seen last.
    let visit = opening(&new, VisitKind::Navigate, &[]);
    let visited = here.open_window(&visit, at(11)).await.expect("answered");
    assert_eq!(opened_name(&visited), "taken");
    let claimed = elsewhere.claim_callback(&claim(&attempt), at(20)).await;
    assert_eq!(claimed_name(&claimed.expect("answered")), "yes");
    // Here it is claimed by nobody, and an end of it would be news.
    let failure = Failure {
        only_in: Some(WindowStatus::Opened),
        ..failure(&new)
    };
    let ended = here.fail_window(&failure, at(21)).await.expect("answered");
    assert_eq!(ended, None, "it is being exchanged");
    committed_subject(elsewhere.commit_connected(&connection(&new), at(30)).await);
    let late = here.claim_callback(&claim(&attempt), at(31)).await;
    assert_eq!(claimed_name(&late.expect("answered")), "settled");
}

#[tokio::test]
async fn what_would_change_nothing_is_not_decided_on_what_was_seen() {
    let server = Server::start().await;
    let (here, elsewhere) = (open(&server).await, open(&server).await);
    let new = keep_member(&here).await;
    open_first(&here, &new, at(10)).await;
    let window = new.window.as_ref().expect("a window");
    let next = new_window(window.guid.partition(), at(900));
    let (user, member) = (new.member.user, new.member.guid);
    let minted = elsewhere
        .mint_window(user, member, &next, &[], at(12))
        .await;
    assert!(minted.expect("kept").is_some());
    // Here the window is open as far as was seen, so that another browser is to be refused.
    let visit = opening(&new, VisitKind::Navigate, &[]);
    let visited = here.open_window(&visit, at(13)).await.expect("answered");
    assert_eq!(opened_name(&visited), "over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_as_many_members_as_it_may_however_many_are_created_at_once() {
    const MOST: u32 = 5;
    let server = Server::start().await;
    let user = a_user(&open(&server).await).await;
    let ask = move |store: std::sync::Arc<Store>| async move {
        let new = NewMember {
            most_members: MOST,
            ..new_member(user, new_window(user.partition(), at(600)))
        };
        let seen = store.user(&client(), user).await.expect("answered");
        assert!(seen.is_some());
        store.create_member(&new, at(0)).await.expect("answered")
    };
    let name = |creation: &MemberCreation| match creation {
        MemberCreation::Created => "created",
        MemberCreation::TooMany => "too many",
        other => panic!("{other:?}"),
    };
    let counts = super::races::race(&server, 40, ask, name).await;
    let expected = [("created", MOST as usize), ("too many", 40 - MOST as usize)];
    assert_eq!(counts, expected.into());
}
