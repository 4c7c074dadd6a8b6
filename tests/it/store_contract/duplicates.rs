//! Logins that the user already has a member for.

use std::sync::Arc;

use guichet::domain::event::EventKind;
use guichet::domain::job::{JobFailure, JobReport, Pulled};
use guichet::domain::member::{ConnectionStatus, Member};
use guichet::domain::user::User;
use guichet::domain::window::{Ending, ErrorReason, Window, WindowOptions, WindowStatus};
use guichet::steps::NewTokens;
use guichet::store::{
    Committed, Connection, Failure, Lease, MemberCreation, NewMember, SealedAccess, Subject,
    WindowQuery,
};
use tokio::task::JoinSet;

use super::Bench;
use super::fixtures::{Visited, a_report, at, known_as, known_elsewhere_as, last_of, stands};

on_one_store!(
    a_second_standard_member_of_a_login_is_refused,
    of_racing_creations_one_has_the_login,
    a_commit_replaces_the_fingerprint,
    a_second_login_is_a_duplicate,
    a_login_that_is_not_known_is_compared_with_none,
    a_merge_connects_the_member_that_was_there,
    a_merge_repeated_is_the_same_merge,
    a_merge_queues_a_job_in_place_of_one_under_way,
    a_merge_keeps_a_member_that_was_connected,
    a_merge_brings_the_newest_callback_payload,
    a_merge_needs_a_member_of_the_login,
    a_merge_gives_back_the_external_guid,
    another_login_changes_nothing,
    a_login_of_another_origin_is_taken_anew,
    a_duplicate_comes_before_another_login,
    two_users_are_never_joined,
    of_racing_commits_of_a_login_one_is_the_first,
    racing_merges_leave_one_member,
    a_merge_wins_or_loses_against_a_deletion,
    a_refused_duplicate_names_the_member,
);

/// Connects `visited` to whoever signs in as the first of `logins`, or knows it by one of them.
fn signed_in(bench: &Bench, visited: &Visited, logins: &[&str]) -> Connection {
    Connection {
        fingerprints: logins.iter().copied().map(known_as).collect(),
        ..bench.a_connection(visited)
    }
}

impl Bench {
    /// A new member of `user`, connected by `login` at moment 3, told.
    async fn connected_as(&self, user: &User, login: &str) -> (Visited, Connection, Subject) {
        let visited = self.returned_of(user, at(2)).await;
        let connection = signed_in(self, &visited, &[login]);
        let subject = self.connect(&connection, at(3)).await;
        self.told(at(3)).await;
        (visited, connection, subject)
    }

    /// Two members of a user: the first connected as ada, the second about to be.
    async fn a_duplicate(&self) -> ((Visited, Connection, Subject), Visited) {
        let user = self.user().await;
        let first = self.connected_as(&user, "ada").await;
        let second = self.returned_of(&user, at(5)).await;
        (first, second)
    }

    async fn grant_of(&self, connection: &Connection) -> SealedAccess {
        let job = connection.job.as_ref().expect("one is asked for").guid;
        match self.lease(job).await {
            Lease::Granted { sealed, .. } => sealed,
            other => panic!("it was pushed: {other:?}"),
        }
    }
}

/// The connection, of the member that was there.
fn into(inbound: &Member, connection: Connection) -> Connection {
    Connection {
        inbound: Some(inbound.guid),
        ..connection
    }
}

async fn a_second_standard_member_of_a_login_is_refused(bench: Bench) {
    let kept = bench.standard().await;
    let duplicate = MemberCreation::Duplicate(kept.guid());
    let mut second = bench.a_standard(&kept.user, "ada under a new key");
    second.fingerprints.push(known_as("ada"));
    second.member.external_guid = Some("ext".to_owned());
    for new in [bench.a_standard(&kept.user, "ada"), second.clone()] {
        assert_eq!(bench.create(&new, at(5)).await, duplicate);
        assert_eq!(bench.read(&kept.user, new.member.guid).await, None);
        let job = new.job.expect("one is asked for").guid;
        assert_eq!(bench.job(job).await, None);
    }
    assert_eq!(bench.told(at(9)).await, [], "a refusal tells nothing");
    let member = bench.read(&kept.user, kept.guid()).await;
    assert_eq!(member, Some(kept.new.member));

    let mut elsewhere = bench.a_standard(&kept.user, "ada");
    elsewhere.member.institution = "other".parse().expect("an institution's code");
    let unknown = NewMember {
        fingerprints: Vec::new(),
        ..bench.a_standard(&kept.user, "ada")
    };
    let unknown = NewMember {
        member: Member {
            fingerprint: None,
            ..unknown.member.clone()
        },
        ..unknown
    };
    second.fingerprints = vec![known_as("bob")];
    second.member.fingerprint = Some(known_as("bob"));
    for new in [elsewhere, unknown, second] {
        assert_eq!(bench.create(&new, at(6)).await, MemberCreation::Created);
    }
}

async fn of_racing_creations_one_has_the_login(bench: Bench) {
    let user = bench.user().await;
    let mut racers = JoinSet::new();
    for number in 0..20 {
        let mut new = bench.a_standard(&user, "ada");
        new.member.external_guid = Some(format!("ext {number}"));
        let store = Arc::clone(&bench.store);
        racers.spawn(async move {
            let creation = store.create_member(&new, at(0)).await;
            (new.member.guid, creation.expect("answered"))
        });
    }
    let (mut created, mut refused) = (Vec::new(), Vec::new());
    for (guid, creation) in racers.join_all().await {
        match creation {
            MemberCreation::Created => created.push(guid),
            MemberCreation::Duplicate(of) => refused.push(of),
            MemberCreation::ExternalGuidTaken(by) => panic!("each has its own: {by}"),
            MemberCreation::NoSuchUser => panic!("the user is there"),
            MemberCreation::TooMany => panic!("there are few"),
            MemberCreation::Found(found) => panic!("each is new: {found:?}"),
        }
    }
    assert_eq!((created.len(), refused.len()), (1, 19));
    assert!(refused.iter().all(|of| *of == created[0]));
    assert_eq!(bench.take(at(1)).await.len(), 1);
    // The names of those that were refused are free.
    for number in 0..20 {
        let mut new = bench.a_standard(&user, &number.to_string());
        new.member.external_guid = Some(format!("ext {number}"));
        let creation = bench.create(&new, at(2)).await;
        let is_taken = creation == MemberCreation::ExternalGuidTaken(created[0]);
        assert!(
            is_taken || creation == MemberCreation::Created,
            "{creation:?}"
        );
    }
}

async fn a_commit_replaces_the_fingerprint(bench: Bench) {
    let user = bench.user().await;
    let (visited, _, subject) = bench.connected_as(&user, "ada").await;
    assert_eq!(subject.member.fingerprint, Some(known_as("ada")));
    // The seal key was changed meanwhile, then the institution says nothing, then it does again.
    let logins: [(&[&str], Option<&str>); 3] = [
        (&["ada under a new key", "ada"], Some("ada under a new key")),
        (&[], None),
        (&["bob"], Some("bob")),
    ];
    for (second, (logins, known)) in (10..).zip(logins) {
        let again = bench.returned_again(&visited.linked, at(second)).await;
        let connection = signed_in(&bench, &again, logins);
        let member = bench.connect(&connection, at(second)).await.member;
        assert_eq!(member.fingerprint, known.map(known_as));
        assert_eq!(bench.member_now(&visited.linked).await, Some(member));
    }
}

async fn a_second_login_is_a_duplicate(bench: Bench) {
    let ((first, _, subject), second) = bench.a_duplicate().await;
    let connection = signed_in(&bench, &second, &["ada under a new key", "ada"]);
    let window = bench.window_now(&second).await;
    for _repeated in 0..2 {
        let duplicate = Committed::Duplicate(first.linked.member.guid);
        assert_eq!(bench.commit(&connection, at(6)).await, duplicate);
    }
    assert_eq!(bench.window_now(&second).await, window, "returned still");
    let member = bench.member_now(&second.linked).await;
    assert_eq!(member.as_ref(), Some(&second.linked.member));
    assert_eq!(bench.member_now(&first.linked).await, Some(subject.member));
    let job = connection.job.expect("one is asked for").guid;
    assert_eq!(bench.job(job).await, None);
    assert_eq!(bench.told(at(6)).await, []);

    // Once the other is gone, the login is this one's.
    let first = &first.linked;
    bench.delete(&first.user, first.member.guid, at(7)).await;
    let connection = signed_in(&bench, &second, &["ada"]);
    let subject = bench.connect(&connection, at(8)).await;
    assert_eq!(subject.member.guid, second.linked.member.guid);
}

async fn a_login_that_is_not_known_is_compared_with_none(bench: Bench) {
    let ((first, _, before), second) = bench.a_duplicate().await;
    let connection = signed_in(&bench, &second, &[]);
    let subject = bench.connect(&connection, at(6)).await;
    assert_eq!(subject.member.guid, second.linked.member.guid);
    assert_eq!(subject.member.fingerprint, None);
    assert_eq!(bench.member_now(&first.linked).await, Some(before.member));
}

async fn a_merge_connects_the_member_that_was_there(bench: Bench) {
    let ((first, _, before), second) = bench.a_duplicate().await;
    let returned = bench.window_now(&second).await;
    let logins = ["ada under a new key", "ada"];
    let connection = into(&before.member, signed_in(&bench, &second, &logins));
    let subject = bench.connect(&connection, at(6)).await;

    let member = Member {
        fingerprint: Some(known_as("ada under a new key")),
        revision: before.member.revision + 1,
        current_job: connection.job.as_ref().map(|job| job.guid),
        most_recent_job: connection.job.as_ref().map(|job| job.guid),
        ..before.member
    };
    let window = Window {
        status: WindowStatus::Succeeded,
        inbound: Some(member.guid),
        updated_at: at(6),
        ..returned
    };
    assert_eq!((&subject.member, &subject.window), (&member, &window));
    assert_eq!(
        bench.member_now(&first.linked).await.as_ref(),
        Some(&member)
    );
    assert_eq!(bench.window_now(&second).await, window);
    let (user, outbound) = (&second.linked.user, &second.linked.member);
    assert_eq!(bench.read(user, outbound.guid).await, None);
    let listed = bench.store.members(user.guid).await;
    assert_eq!(listed.expect("answered"), std::slice::from_ref(&member));
    let owner = bench.store.owner_of_member(outbound.guid).await;
    assert_eq!(owner.expect("answered"), None);
    let kept = bench.store.deleted_member(user.guid, outbound.guid, at(7));
    assert_eq!(kept.await.expect("answered"), None, "nobody connected it");
    let query = WindowQuery {
        member: Some(outbound.guid),
        auth_status: None,
        limit: 10,
    };
    let windows = bench.store.windows(user.guid, query).await;
    assert_eq!(windows.expect("answered"), std::slice::from_ref(&window));

    bench.take(at(7)).await;
    let grant = SealedAccess::TokenSet(connection.tokens.sealed.clone());
    assert_eq!(bench.grant_of(&connection).await, grant);
    let mut told = bench.told(at(7)).await;
    told.sort_by_key(|event| match event.kind {
        EventKind::MemberDeleted => 0,
        EventKind::MemberUpdated => 1,
        _ => 2,
    });
    let [deleted, updated, finished] = &told[..] else {
        panic!("three events, not {told:?}");
    };
    assert_eq!(deleted.guid, connection.deleted[0].guid);
    assert_eq!(deleted.member, last_of(outbound));
    assert_eq!(deleted.window, None);
    assert_eq!(updated.guid, connection.updated[0].guid);
    assert_eq!((&updated.member, updated.window.as_ref()), (&member, None));
    assert_eq!(finished.guid, connection.finished[0].guid);
    assert_eq!(
        (&finished.member, finished.window.as_ref()),
        (&member, Some(&window))
    );
}

async fn a_merge_repeated_is_the_same_merge(bench: Bench) {
    let ((_, _, before), second) = bench.a_duplicate().await;
    let connection = into(&before.member, signed_in(&bench, &second, &["ada"]));
    let subject = bench.connect(&connection, at(6)).await;
    let again = bench.connect(&connection, at(7)).await;
    assert_eq!(again, subject, "its answer may have been lost");
    assert_eq!(bench.told(at(7)).await.len(), 3);
    let other = Connection {
        tokens: NewTokens::unending(bench.an_envelope()),
        revokes_replaced: true,
        ..connection
    };
    assert_eq!(bench.commit(&other, at(8)).await, Committed::WindowClosed);
}

async fn a_merge_queues_a_job_in_place_of_one_under_way(bench: Bench) {
    let ((first, earlier, before), second) = bench.a_duplicate().await;
    let user = &first.linked.user;
    let third = bench.returned_of(user, at(5)).await;
    let old = earlier.job.expect("one was queued").guid;
    let connection = into(&before.member, signed_in(&bench, &second, &["ada"]));
    let member = bench.connect(&connection, at(6)).await.member;
    let running = connection.job.expect("one is asked for").guid;
    assert_eq!(
        (member.current_job, member.most_recent_job),
        (Some(running), Some(running))
    );
    let old = bench.job(old).await.expect("it stays readable");
    assert_eq!(old.failure, Some(JobFailure::Replaced));

    let success = JobReport::Succeeded(Pulled::default());
    let status_change = stands(ConnectionStatus::Connected);
    bench
        .record(&a_report(&bench, running, success, status_change), at(7))
        .await;
    let connection = into(&before.member, signed_in(&bench, &third, &["ada"]));
    let member = bench.connect(&connection, at(8)).await.member;
    let queued = connection.job.as_ref().map(|job| job.guid);
    assert_eq!(
        (member.current_job, member.most_recent_job),
        (queued, queued)
    );
    let taken = bench.take(at(8)).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(
        (Some(taken[0].guid), taken[0].member),
        (queued, member.guid)
    );
    let grant = SealedAccess::TokenSet(connection.tokens.sealed.clone());
    assert_eq!(bench.grant_of(&connection).await, grant);
}

async fn a_merge_keeps_a_member_that_was_connected(bench: Bench) {
    let user = bench.user().await;
    let (_, _, ada) = bench.connected_as(&user, "ada").await;
    let (visited, of_bob, bob) = bench.connected_as(&user, "bob").await;
    let again = bench.returned_again(&visited.linked, at(5)).await;
    let bob_before = bench.member_now(&visited.linked).await.expect("kept");
    assert_eq!(bob_before.fingerprint, bob.member.fingerprint);
    let connection = into(&ada.member, signed_in(&bench, &again, &["ada"]));
    let subject = bench.connect(&connection, at(6)).await;
    assert_eq!(subject.member.guid, ada.member.guid);
    assert_eq!(subject.window.inbound, Some(ada.member.guid));
    assert_eq!(subject.window.member, bob.member.guid);
    assert_eq!(bench.member_now(&visited.linked).await, Some(bob_before));
    let kinds: Vec<_> = bench.told(at(6)).await.iter().map(|it| it.kind).collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    assert!(!kinds.contains(&EventKind::MemberDeleted), "{kinds:?}");
    bench.take(at(7)).await;
    let grant = SealedAccess::TokenSet(of_bob.tokens.sealed.clone());
    assert_eq!(bench.grant_of(&of_bob).await, grant, "its own, still");
}

async fn a_merge_brings_the_newest_callback_payload(bench: Bench) {
    let ((_, _, before), second) = bench.a_duplicate().await;
    let user = &second.linked.user;
    let earlier = before.member.callback_payload.clone();
    assert!(earlier.is_some());
    let newest = Some("bmV3ZXI=".parse().expect("Base64"));
    let third = bench.returned_of(user, at(5)).await;
    for (visited, sent, expected) in [(&second, None, earlier), (&third, newest.clone(), newest)] {
        let connection = Connection {
            callback_payload: sent,
            ..into(&before.member, signed_in(&bench, visited, &["ada"]))
        };
        let member = bench.connect(&connection, at(6)).await.member;
        assert_eq!(member.callback_payload, expected);
        let read = bench.read(user, member.guid).await;
        assert_eq!(read.as_ref(), Some(&member));
        let mut told = bench.told(at(6)).await;
        told.retain(|event| event.kind != EventKind::MemberDeleted);
        assert_eq!(told.len(), 2);
        assert!(told.iter().all(|event| event.member == member), "{told:?}");
    }
}

async fn a_merge_needs_a_member_of_the_login(bench: Bench) {
    let user = bench.user().await;
    let (_, _, of_bob) = bench.connected_as(&user, "bob").await;
    let (_, _, of_stranger) = bench.connected_as(&bench.user().await, "ada").await;
    let (_, _, deleted) = bench.connected_as(&user, "ada").await;
    bench.delete(&user, deleted.member.guid, at(4)).await;
    let mut elsewhere = bench.a_standard(&user, "ada");
    elsewhere.member.institution = "other".parse().expect("an institution's code");
    bench.keep(&elsewhere).await;
    let unknown = bench.a_member(&user);
    for named in [
        &of_bob.member,
        &of_stranger.member,
        &deleted.member,
        &elsewhere.member,
        &unknown,
    ] {
        let before = bench.read(&user, named.guid).await;
        let visited = bench.returned_of(&user, at(5)).await;
        let connection = into(named, signed_in(&bench, &visited, &["ada"]));
        let committed = bench.commit(&connection, at(6)).await;
        assert_eq!(committed, Committed::Moved, "it is sealed for another");
        assert_eq!(bench.read(&user, named.guid).await, before);
        let own = visited.linked.member.guid;
        let subject = bench
            .connect(&signed_in(&bench, &visited, &["ada"]), at(6))
            .await;
        assert_eq!(subject.window.inbound, Some(own));
        bench.delete(&user, own, at(7)).await;
    }
    // It lost the login to a third one meanwhile.
    let (_, _, third) = bench.connected_as(&user, "ada").await;
    let visited = bench.returned_of(&user, at(8)).await;
    let connection = into(&of_bob.member, signed_in(&bench, &visited, &["ada"]));
    let duplicate = Committed::Duplicate(third.member.guid);
    assert_eq!(bench.commit(&connection, at(9)).await, duplicate);
}

async fn a_merge_gives_back_the_external_guid(bench: Bench) {
    let user = bench.user().await;
    let (_, _, first) = bench.connected_as(&user, "ada").await;
    let mut member = bench.a_member(&user);
    member.external_guid = Some("ext".to_owned());
    let window = bench.a_window(user.guid.partition(), at(600));
    member.latest_window = Some(window.guid);
    let linked = super::fixtures::Linked {
        window: window.guid,
        member: member.clone(),
        user: user.clone(),
    };
    let new = NewMember {
        window: Some(window),
        ..super::fixtures::new_member(member)
    };
    bench.keep(&new).await;
    let visited = bench.visit(linked, at(4)).await;
    bench.come_back(&visited, at(5)).await;
    let connection = into(&first.member, signed_in(&bench, &visited, &["ada"]));
    bench.connect(&connection, at(6)).await;
    let found = bench
        .store
        .member_by_external_guid(&user.client, user.guid, "ext");
    assert_eq!(found.await.expect("answered"), None);
    let mut next = bench.a_standard(&user, "bob");
    next.member.external_guid = Some("ext".to_owned());
    assert_eq!(bench.create(&next, at(7)).await, MemberCreation::Created);
}

async fn another_login_changes_nothing(bench: Bench) {
    let user = bench.user().await;
    let (visited, of_ada, _) = bench.connected_as(&user, "ada").await;
    let again = bench.returned_again(&visited.linked, at(5)).await;
    let before = bench.member_now(&visited.linked).await;
    let window = bench.window_now(&again).await;
    let connection = signed_in(&bench, &again, &["bob", "bob under an older key"]);
    for _repeated in 0..2 {
        assert_eq!(
            bench.commit(&connection, at(6)).await,
            Committed::OtherLogin
        );
    }
    assert_eq!(bench.member_now(&visited.linked).await, before);
    assert_eq!(bench.window_now(&again).await, window, "returned still");
    assert_eq!(bench.told(at(6)).await, []);
    bench.take(at(7)).await;
    let grant = SealedAccess::TokenSet(of_ada.tokens.sealed.clone());
    assert_eq!(bench.grant_of(&of_ada).await, grant);
    let right = signed_in(&bench, &again, &["ada under a new key", "ada"]);
    bench.connect(&right, at(8)).await;
}

async fn a_login_of_another_origin_is_taken_anew(bench: Bench) {
    let user = bench.user().await;
    let (visited, ..) = bench.connected_as(&user, "ada").await;
    let again = bench.returned_again(&visited.linked, at(5)).await;
    let connection = Connection {
        fingerprints: vec![known_elsewhere_as("ada")],
        ..bench.a_connection(&again)
    };
    let subject = bench.connect(&connection, at(6)).await;
    assert_eq!(subject.member.fingerprint, Some(known_elsewhere_as("ada")));
}

async fn a_duplicate_comes_before_another_login(bench: Bench) {
    let user = bench.user().await;
    let (_, _, of_ada) = bench.connected_as(&user, "ada").await;
    let (visited, ..) = bench.connected_as(&user, "bob").await;
    let again = bench.returned_again(&visited.linked, at(5)).await;
    let connection = signed_in(&bench, &again, &["ada"]);
    let duplicate = Committed::Duplicate(of_ada.member.guid);
    assert_eq!(bench.commit(&connection, at(6)).await, duplicate);
}

async fn two_users_are_never_joined(bench: Bench) {
    let (one, two) = (bench.user().await, bench.user().await);
    let (_, _, first) = bench.connected_as(&one, "ada").await;
    let (_, _, second) = bench.connected_as(&two, "ada").await;
    assert_eq!(second.member.user, two.guid);
    assert_ne!(first.member.guid, second.member.guid);
    let visited = bench.returned_of(&two, at(5)).await;
    let connection = into(&first.member, signed_in(&bench, &visited, &["ada"]));
    let duplicate = Committed::Duplicate(second.member.guid);
    assert_eq!(bench.commit(&connection, at(6)).await, duplicate, "its own");
    assert_eq!(
        bench.read(&one, first.member.guid).await,
        Some(first.member)
    );
    let standard = bench.a_standard(&bench.user().await, "ada");
    assert_eq!(
        bench.create(&standard, at(7)).await,
        MemberCreation::Created
    );
}

async fn of_racing_commits_of_a_login_one_is_the_first(bench: Bench) {
    let user = bench.user().await;
    let mut commits = JoinSet::new();
    for _ in 0..15 {
        let visited = bench.returned_of(&user, at(2)).await;
        let connection = signed_in(&bench, &visited, &["ada"]);
        let store = Arc::clone(&bench.store);
        commits.spawn(async move {
            let committed = store.commit_connected(&connection, at(3)).await;
            (visited, committed.expect("answered"))
        });
    }
    let (mut connected, mut duplicates) = (Vec::new(), Vec::new());
    for (visited, committed) in commits.join_all().await {
        match committed {
            Committed::Connected(subject) => connected.push(subject.member.guid),
            Committed::Duplicate(of) => duplicates.push((visited, of)),
            other => panic!("its window was returned: {other:?}"),
        }
    }
    assert_eq!((connected.len(), duplicates.len()), (1, 14));
    for (visited, of) in duplicates {
        assert_eq!(of, connected[0]);
        let window = bench.window_now(&visited).await;
        assert_eq!(window.status, WindowStatus::Returned);
    }
    assert_eq!(bench.take(at(9)).await.len(), 1);
    assert_eq!(bench.told(at(9)).await.len(), 2, "one was connected");
}

async fn racing_merges_leave_one_member(bench: Bench) {
    let user = bench.user().await;
    let mut people = JoinSet::new();
    for _ in 0..15 {
        let visited = bench.returned_of(&user, at(2)).await;
        let mut connection = signed_in(&bench, &visited, &["ada"]);
        let store = Arc::clone(&bench.store);
        people.spawn(async move {
            loop {
                let committed = store.commit_connected(&connection, at(3)).await;
                match committed.expect("answered") {
                    Committed::Connected(subject) => return (visited, *subject),
                    Committed::Duplicate(of) => connection.inbound = Some(of),
                    other => panic!("its window was returned: {other:?}"),
                }
            }
        });
    }
    let merged = people.join_all().await;
    let members = bench.store.members(user.guid).await.expect("answered");
    let [member] = &members[..] else {
        panic!("one member is left, not {members:?}");
    };
    assert_eq!(member.status, ConnectionStatus::Connected);
    assert_eq!(member.fingerprint, Some(known_as("ada")));
    for (visited, subject) in merged {
        assert_eq!(subject.member.guid, member.guid);
        let window = bench.window_now(&visited).await;
        assert_eq!(window.inbound, Some(member.guid));
        assert_eq!(window.status, WindowStatus::Succeeded);
    }
    assert_eq!(bench.take(at(9)).await.len(), 1, "one job is queued");
    let told = bench.told(at(9)).await;
    let count = |kind| told.iter().filter(|event| event.kind == kind).count();
    assert_eq!(count(EventKind::OauthStateFinished), 15);
    assert_eq!(count(EventKind::MemberUpdated), 15);
    assert_eq!(count(EventKind::MemberDeleted), 14);
}

async fn a_merge_wins_or_loses_against_a_deletion(bench: Bench) {
    for round in 0..20 {
        let ((first, _, before), second) = bench.a_duplicate().await;
        let connection = into(&before.member, signed_in(&bench, &second, &["ada"]));
        let own = signed_in(&bench, &second, &["ada"]);
        let store = Arc::clone(&bench.store);
        let merge = tokio::spawn(async move {
            let mut committed = store.commit_connected(&connection, at(6)).await;
            if let Ok(Committed::Moved) = committed {
                committed = store.commit_connected(&own, at(6)).await;
            }
            match committed.expect("answered") {
                Committed::Connected(subject) => subject.member.guid,
                other => panic!("its window was returned: {other:?}"),
            }
        });
        let user = &first.linked.user;
        bench.delete(user, before.member.guid, at(6)).await;
        let receiving = merge.await.expect("it ends");
        let left = bench.store.members(user.guid).await.expect("answered");
        let is_merged = receiving == before.member.guid;
        assert_eq!(
            left.len(),
            usize::from(!is_merged),
            "round {round}: {left:?}"
        );
        assert!(left.iter().all(|member| member.guid == receiving));
        assert_eq!(bench.window_now(&second).await.inbound, Some(receiving));
        let jobs = bench.take(at(9)).await;
        assert_eq!(jobs.len(), usize::from(!is_merged), "round {round}");
    }
}

async fn a_refused_duplicate_names_the_member(bench: Bench) {
    let ((first, _, before), second) = bench.a_duplicate().await;
    let returned = bench.window_now(&second).await;
    let failure = Failure {
        reason: ErrorReason::UnknownError,
        inbound: Some(before.member.guid),
        ..bench.a_failure(&second.linked, Ending::Duplicate)
    };
    let failed = bench.store.fail_window(&failure, at(6)).await;
    let failed = failed.expect("answered").expect("it was unfinished");
    let window = Window {
        status: WindowStatus::Errored(ErrorReason::UnknownError, Ending::Duplicate),
        inbound: Some(before.member.guid),
        detail: failure.detail.clone(),
        updated_at: at(6),
        ..returned
    };
    assert_eq!(failed, window);
    assert_eq!(bench.window_now(&second).await, window);
    assert_eq!(bench.member_now(&first.linked).await, Some(before.member));
    let member = bench.member_now(&second.linked).await;
    assert_eq!(member.as_ref(), Some(&second.linked.member));
    let told = bench.told(at(6)).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].window, Some(window));

    let linked = bench.linked(WindowOptions::default()).await;
    let failure = Failure {
        reason: ErrorReason::UnknownError,
        ..bench.a_failure(&linked, Ending::OtherLogin)
    };
    let failed = bench.store.fail_window(&failure, at(6)).await;
    let failed = failed.expect("answered").expect("it was unfinished");
    let ended = WindowStatus::Errored(ErrorReason::UnknownError, Ending::OtherLogin);
    assert_eq!((failed.status, failed.inbound), (ended, None));
    let read = bench
        .store
        .window(linked.user.guid, linked.window, at(7))
        .await;
    let read = read.expect("answered").expect("kept");
    assert_eq!(read.status, ended);
}
