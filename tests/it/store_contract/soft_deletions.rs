//! Members that are kept for a while after their deletion.

use guichet::domain::event::EventKind;
use guichet::domain::id::MemberGuid;
use guichet::domain::job::{JobReport, Pulled};
use guichet::domain::member::{ConnectionStatus, Member};
use guichet::domain::user::User;
use guichet::domain::window::WindowOptions;
use guichet::store::{
    Deletion, Lease, MemberChange, MemberCreation, MemberUpdate, NewMember, SOFT_DELETED,
};

use super::Bench;
use super::fixtures::{a_report, at, before, known_as, last_of, new_member, stands};

on_one_store!(
    a_pending_member_is_gone_at_once,
    a_connected_member_is_kept_for_a_while,
    a_standard_member_is_kept_for_a_while,
    what_it_was_pulled_with_goes_at_once,
    a_deleted_login_and_name_are_free,
    the_same_created_again_purges_it,
    others_created_purge_nothing,
    a_purge_forgets_what_was_kept_long_enough,
);

impl Bench {
    async fn kept_after(&self, user: &User, member: MemberGuid, now: i64) -> Option<Member> {
        let found = self.store.deleted_member(user.guid, member, at(now)).await;
        found.expect("answered")
    }
}

/// How long a deleted member is kept, in seconds.
fn kept_for() -> i64 {
    i64::try_from(SOFT_DELETED.as_secs()).expect("two weeks")
}

async fn a_pending_member_is_gone_at_once(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let (user, guid) = (&linked.user, linked.member.guid);
    let deleted = bench.delete(user, guid, at(5)).await;
    assert_eq!(deleted, last_of(&linked.member));
    assert_eq!(bench.kept_after(user, guid, 5).await, None);
}

async fn a_connected_member_is_kept_for_a_while(bench: Bench) {
    let (visited, connection, _) = bench.connected().await;
    let (user, guid) = (&visited.linked.user, visited.linked.member.guid);
    let job = connection.job.expect("one is asked for").guid;
    let success = JobReport::Succeeded(Pulled::default());
    let status_change = stands(ConnectionStatus::Connected);
    bench
        .record(&a_report(&bench, job, success, status_change), at(4))
        .await;
    assert_eq!(bench.kept_after(user, guid, 4).await, None, "it is there");
    bench.told(at(4)).await;
    let member = bench.read(user, guid).await.expect("kept");

    let partition = user.guid.partition();
    let deletion = Deletion {
        only_abandoned_since: None,
        user: user.guid,
        member: guid,
        deleted: bench.a_notice(partition, EventKind::MemberDeleted),
        finished: bench.a_notice(partition, EventKind::OauthStateFinished),
    };
    let member = last_of(&member);
    let deleted = bench.store.delete_member(&deletion, at(5)).await;
    assert_eq!(deleted.expect("answered").as_ref(), Some(&member));
    let told = bench.told(at(5)).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].member, member);

    assert_eq!(bench.read(user, guid).await, None);
    let listed = bench.store.members(user.guid).await;
    assert_eq!(listed.expect("answered"), []);
    let owner = bench.store.owner_of_member(guid).await;
    assert_eq!(owner.expect("answered"), None);
    let again = bench.store.delete_member(&deletion, at(6)).await;
    assert_eq!(again.expect("answered"), None);
    let change = MemberChange {
        user: user.guid,
        member: guid,
        name: Some("Mine".to_owned()),
        external_guid: None,
        metadata: None,
        use_cases: None,
        background_aggregation_is_disabled: None,
        callback_payload: None,
        data_request: None,
        credentials: None,
        updated: Vec::new(),
    };
    let update = bench.store.update_member(&change, at(6)).await;
    assert_eq!(update.expect("answered"), MemberUpdate::NoSuchMember);

    let kept = bench.kept_after(user, guid, 4 + kept_for()).await;
    assert_eq!(kept.as_ref(), Some(&member));
    let end = before(at(5 + kept_for()));
    let kept = bench.store.deleted_member(user.guid, guid, end).await;
    assert_eq!(kept.expect("answered"), Some(member));
    assert_eq!(bench.kept_after(user, guid, 5 + kept_for()).await, None);
    let stranger = bench.user().await;
    assert_eq!(bench.kept_after(&stranger, guid, 6).await, None);
}

async fn a_standard_member_is_kept_for_a_while(bench: Bench) {
    let kept = bench.standard().await;
    let deleted = bench.delete(&kept.user, kept.guid(), at(5)).await;
    assert_eq!(deleted, last_of(&kept.new.member));
    let found = bench.kept_after(&kept.user, kept.guid(), 6).await;
    assert_eq!(found, Some(deleted));
}

async fn what_it_was_pulled_with_goes_at_once(bench: Bench) {
    let kept = bench.standard().await;
    bench.take(at(1)).await;
    bench.delete(&kept.user, kept.guid(), at(5)).await;
    assert_eq!(bench.lease(kept.job()).await, Lease::Unknown);
    assert_eq!(bench.job(kept.job()).await, None);
    assert_eq!(bench.take(at(999)).await, []);
}

async fn a_deleted_login_and_name_are_free(bench: Bench) {
    let user = bench.user().await;
    let mut first = bench.a_standard(&user, "ada");
    first.member.external_guid = Some("ext".to_owned());
    bench.keep(&first).await;
    let mut second = bench.a_standard(&user, "ada");
    second.member.external_guid = Some("ext".to_owned());
    let taken = MemberCreation::ExternalGuidTaken(first.member.guid);
    assert_eq!(bench.create(&second, at(1)).await, taken);
    second.member.external_guid = None;
    let duplicate = MemberCreation::Duplicate(first.member.guid);
    assert_eq!(bench.create(&second, at(1)).await, duplicate);
    bench.delete(&user, first.member.guid, at(2)).await;
    second.member.external_guid = Some("ext".to_owned());
    assert_eq!(bench.create(&second, at(3)).await, MemberCreation::Created);
}

async fn the_same_created_again_purges_it(bench: Bench) {
    let user = bench.user().await;
    let mut by_name = bench.a_standard(&user, "ada");
    by_name.member.external_guid = Some("ext".to_owned());
    let by_login = bench.a_standard(&user, "bob");
    for new in [&by_name, &by_login] {
        bench.keep(new).await;
        bench.delete(&user, new.member.guid, at(1)).await;
        let kept = bench.kept_after(&user, new.member.guid, 2).await;
        assert_eq!(kept, Some(last_of(&new.member)));
    }
    let mut named = new_member(bench.a_member(&user));
    named.member.external_guid = Some("ext".to_owned());
    bench.keep(&named).await;
    let kept = bench.kept_after(&user, by_name.member.guid, 3).await;
    assert_eq!(kept, None);
    let kept = bench.kept_after(&user, by_login.member.guid, 3).await;
    assert_eq!(kept, Some(last_of(&by_login.member)), "it is another");

    let mut known = bench.a_standard(&user, "bob under a new key");
    known.fingerprints.push(known_as("bob"));
    bench.keep(&known).await;
    let kept = bench.kept_after(&user, by_login.member.guid, 3).await;
    assert_eq!(kept, None);
}

async fn others_created_purge_nothing(bench: Bench) {
    let user = bench.user().await;
    let mut first = bench.a_standard(&user, "ada");
    first.member.external_guid = Some("ext".to_owned());
    bench.keep(&first).await;
    bench.delete(&user, first.member.guid, at(1)).await;
    let stranger = bench.user().await;
    let mut of_stranger = bench.a_standard(&stranger, "ada");
    of_stranger.member.external_guid = Some("ext".to_owned());
    let mut elsewhere = bench.a_standard(&user, "ada");
    elsewhere.member.institution = "other".parse().expect("an institution's code");
    let unnamed = NewMember {
        fingerprints: Vec::new(),
        ..new_member(bench.a_member(&user))
    };
    for new in [of_stranger, elsewhere, unnamed] {
        bench.keep(&new).await;
    }
    let kept = bench.kept_after(&user, first.member.guid, 2).await;
    assert_eq!(kept, Some(last_of(&first.member)));
}

async fn a_purge_forgets_what_was_kept_long_enough(bench: Bench) {
    let kept = bench.standard().await;
    bench.delete(&kept.user, kept.guid(), at(5)).await;
    let end = at(5 + kept_for());
    bench.store.purge(before(end)).await.expect("answered");
    let found = bench.kept_after(&kept.user, kept.guid(), 6).await;
    assert_eq!(found, Some(last_of(&kept.new.member)));
    bench.store.purge(end).await.expect("answered");
    bench.store.purge(end).await.expect("answered");
    let found = bench
        .store
        .deleted_member(kept.user.guid, kept.new.member.guid, end);
    assert_eq!(found.await.expect("answered"), None);
}
