//! Things to put into a store, and short ways to where a test begins.

use std::sync::atomic::{AtomicU64, Ordering};

use guichet::domain::client::{Completion, UnboundCallback};
use guichet::domain::data_request::{DataRequest, Product};
use guichet::domain::endpoint::EndpointId;
use guichet::domain::event::{Event, EventKind, Notice};
use guichet::domain::id::{
    AttemptId, ClientId, EventGuid, InstitutionCode, JobGuid, MemberGuid, OauthStateGuid,
    Partition, UserGuid,
};
use guichet::domain::job::{HandOut, Job, JobReport, NewJob};
use guichet::domain::member::{ConnectionStatus, Member, UseCase};
use guichet::domain::random::Random;
use guichet::domain::secret::{AuthorizationState, BindingSecret, Digest, LinkToken};
use guichet::domain::support_code::SupportCode;
use guichet::domain::user::User;
use guichet::domain::window::{
    Binding, Ending, ErrorReason, NewAttempt, NewWindow, OpenPolicy, Window, WindowOptions,
    WindowStatus,
};
use guichet::steps::NewTokens;
use guichet::store::{
    Claim, Claimed, Committed, Connection, Deletion, Failure, KeptReport, Lease, MemberCreation,
    NewMember, NewReport, Opened, Opening, Recorded, Reported, StatusChange, Subject, UserCreation,
    VisitKind,
};
use jiff::{SignedDuration, Timestamp};

use super::Bench;
use super::duties::Duties;

/// How long a fixture's link may be opened, in seconds.
pub const LINK: i64 = 600;

/// How long a fixture's attempt waits for its authorization response, in seconds.
pub const LEG: i64 = 900;

/// The moment `seconds` after the tests' time began.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600).expect("in range") + SignedDuration::from_secs(seconds)
}

/// The moment just before `moment`, as finely as a store tells time.
pub fn before(moment: Timestamp) -> Timestamp {
    moment - SignedDuration::from_millis(1)
}

/// The tests' client, unless they need two.
pub fn client() -> ClientId {
    "acme".parse().expect("a client's name")
}

/// The tests' institution.
pub fn institution() -> InstitutionCode {
    "mx_bank_oauth".parse().expect("an institution's code")
}

/// Randomness that is the same in every run (SplitMix64).
#[derive(Default)]
pub struct Chance(AtomicU64);

impl Random for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let step = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            let mut z = step.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A member with the window of its newest link.
#[derive(Clone)]
pub struct Linked {
    pub user: User,
    pub member: Member,
    pub window: OauthStateGuid,
}

/// A standard member, as it was kept.
#[derive(Clone)]
pub struct Kept {
    pub user: User,
    pub new: NewMember,
}

impl Kept {
    /// Which member.
    pub fn guid(&self) -> MemberGuid {
        self.new.member.guid
    }

    /// Its first job.
    pub fn job(&self) -> JobGuid {
        self.new.job.as_ref().expect("it has one").guid
    }
}

/// A window that a browser opened.
#[derive(Clone)]
pub struct Visited {
    pub linked: Linked,
    pub attempt: NewAttempt,
}

impl Visited {
    /// What the browser that opened it shows.
    pub fn browser(&self) -> Vec<Binding> {
        vec![self.attempt.binding.clone()]
    }
}

/// What to put in.
impl Bench {
    pub fn a_user(&self) -> User {
        User {
            guid: UserGuid::new(&self.chance),
            client: client(),
            id: None,
            email: None,
            metadata: None,
            is_disabled: false,
            created_at: at(0),
        }
    }

    pub fn a_member(&self, user: &User) -> Member {
        Member {
            background: None,
            guid: MemberGuid::new(&self.chance, user.guid.partition()),
            user: user.guid,
            user_id: Some("u-1".to_owned()),
            client: user.client.clone(),
            institution: institution(),
            institution_guid: "INS-68e96dd6-eabd-42d3-9f05-416897f0746c"
                .parse()
                .expect("a guid"),
            name: "MX Bank (Oauth) – «Ü»".to_owned(),
            external_guid: None,
            metadata: Some("{\"a\": [1, 2]}".to_owned()),
            use_cases: vec![UseCase::Pfm, UseCase::MoneyMovement],
            background_aggregation_is_disabled: true,
            is_oauth: true,
            skip_aggregation: false,
            status: ConnectionStatus::Pending,
            status_reason: None,
            consent_expires_at: None,
            revision: 1,
            created_at: at(0),
            aggregated_at: None,
            successfully_aggregated_at: None,
            current_job: None,
            most_recent_job: None,
            latest_window: None,
            fingerprint: None,
            refusals: 0,
            data_request: DataRequest {
                products: vec![Product::TransactionHistory],
                include_transactions: Some(false),
                include_holdings: None,
            },
            callback_payload: Some("cGF5bG9hZA==".parse().expect("Base64")),
        }
    }

    /// A member of an institution without OAuth, CREATED.
    pub fn a_standard_member(&self, user: &User) -> Member {
        Member {
            is_oauth: false,
            status: ConnectionStatus::Created,
            ..self.a_member(user)
        }
    }

    /// A standard member that signs in as `login`, with its credentials and first job, told.
    pub fn a_standard(&self, user: &User, login: &str) -> NewMember {
        let partition = user.guid.partition();
        let job = self.a_job(partition);
        NewMember {
            sealed_credentials: Some(self.an_envelope()),
            tokens: None,
            fingerprints: vec![known_as(login)],
            job: Some(job.clone()),
            created: self.a_notice(partition, EventKind::MemberCreated),
            ..new_member(Member {
                fingerprint: Some(known_as(login)),
                current_job: Some(job.guid),
                most_recent_job: Some(job.guid),
                ..self.a_standard_member(user)
            })
        }
    }

    pub fn a_job(&self, partition: Partition) -> NewJob {
        NewJob {
            is_background: false,
            guid: JobGuid::new(&self.chance, partition),
            data_request: DataRequest {
                products: vec![Product::Statements, Product::Rewards],
                include_transactions: None,
                include_holdings: Some(true),
            },
        }
    }

    pub fn a_window(&self, partition: Partition, deadline: Timestamp) -> NewWindow {
        NewWindow {
            guid: OauthStateGuid::of(&LinkToken::new(&self.chance, partition)),
            options: WindowOptions::default(),
            deadline,
        }
    }

    pub fn an_attempt(&self, partition: Partition, deadline: Timestamp) -> NewAttempt {
        let id = AttemptId::of(&AuthorizationState::new(&self.chance, partition));
        NewAttempt {
            binding: Binding {
                attempt: id.clone(),
                digest: self.a_digest(),
            },
            sealed: id.as_str().as_bytes().to_owned(),
            id,
            deadline,
        }
    }

    pub fn a_digest(&self) -> Digest {
        BindingSecret::new(&self.chance).digest()
    }

    /// Sealed bytes: no two are alike.
    pub fn an_envelope(&self) -> Vec<u8> {
        self.a_digest().to_text().into_bytes()
    }

    /// An endpoint that nothing else goes to.
    pub fn an_endpoint(&self) -> EndpointId {
        let place = self.a_digest().to_text();
        let url = format!("https://hooks.example/{place}");
        EndpointId::of(&url.parse().expect("an address"))
    }

    pub fn a_notice(&self, partition: Partition, kind: EventKind) -> Vec<Notice> {
        vec![Notice {
            guid: EventGuid::new(&self.chance, partition),
            kind,
            endpoint: self.an_endpoint(),
        }]
    }

    pub fn an_opening(&self, linked: &Linked, kind: VisitKind, now: Timestamp) -> Opening {
        Opening {
            closed: Vec::new(),
            window: linked.window,
            member: linked.member.guid,
            kind,
            browser: Vec::new(),
            attempt: self.an_attempt(
                linked.user.guid.partition(),
                now + SignedDuration::from_secs(LEG),
            ),
        }
    }

    pub fn a_claim(&self, visited: &Visited) -> Claim {
        Claim {
            attempt: visited.attempt.id.clone(),
            client: client(),
            institution: institution(),
            browser: visited.browser(),
            completion: Completion::Immediate,
            unbound: UnboundCallback::Burn,
            rebinding: self.a_digest(),
            code: None,
            burnt: self.finished(visited),
        }
    }

    pub fn a_connection(&self, visited: &Visited) -> Connection {
        let partition = visited.linked.user.guid.partition();
        Connection {
            background_due: None,
            window: visited.linked.window,
            only_in: WindowStatus::Returned,
            outbound: visited.linked.member.guid,
            inbound: None,
            fingerprints: Vec::new(),
            tokens: NewTokens::unending(self.an_envelope()),
            revokes_replaced: true,
            job: Some(self.a_job(partition)),
            callback_payload: None,
            deleted: self.a_notice(partition, EventKind::MemberDeleted),
            updated: self.a_notice(partition, EventKind::MemberUpdated),
            finished: self.finished(visited),
        }
    }

    pub fn a_failure(&self, linked: &Linked, ending: Ending) -> Failure {
        Failure {
            window: linked.window,
            reason: ErrorReason::Denied,
            ending,
            only_in: None,
            detail: Some("access_denied: the person said no".to_owned()),
            inbound: None,
            finished: self.a_notice(linked.user.guid.partition(), EventKind::OauthStateFinished),
            report: None,
        }
    }

    /// What is kept of an attempt that failed, for a minute.
    pub fn a_report(&self) -> NewReport {
        NewReport {
            code: SupportCode::from_bytes(&self.an_envelope()),
            report: KeptReport {
                client: client(),
                institution: institution(),
                sealed: self.an_envelope().into(),
                ended_at: at(0),
                expires_at: at(60),
            },
        }
    }

    pub fn finished(&self, visited: &Visited) -> Vec<Notice> {
        let partition = visited.linked.user.guid.partition();
        self.a_notice(partition, EventKind::OauthStateFinished)
    }
}

/// Short ways.
impl Bench {
    /// A user, kept.
    pub async fn user(&self) -> User {
        let user = self.a_user();
        let creation = self.store.create_user(&user).await.expect("kept");
        assert_eq!(creation, UserCreation::Created);
        user
    }

    /// A member of a new user, and its first link, at moment 0, told to nobody.
    pub async fn linked(&self, options: WindowOptions) -> Linked {
        let user = self.user().await;
        self.linked_for(user, options).await
    }

    /// A member of `user`, and its first link, at moment 0, told to nobody.
    pub async fn linked_for(&self, user: User, options: WindowOptions) -> Linked {
        let window = NewWindow {
            options,
            ..self.a_window(user.guid.partition(), at(LINK))
        };
        let mut member = self.a_member(&user);
        member.latest_window = Some(window.guid);
        let linked = Linked {
            window: window.guid,
            member: member.clone(),
            user,
        };
        let new = NewMember {
            window: Some(window),
            ..new_member(member)
        };
        let creation = self.store.create_member(&new, at(0)).await.expect("kept");
        assert_eq!(creation, MemberCreation::Created);
        linked
    }

    /// A standard member of a new user, with credentials and a job, at moment 0.
    pub async fn standard(&self) -> Kept {
        let user = self.user().await;
        let new = self.a_standard(&user, "ada");
        self.keep(&new).await;
        self.told(at(0)).await;
        Kept { user, new }
    }

    /// Keeps a member at moment 0.
    pub async fn keep(&self, new: &NewMember) {
        assert_eq!(self.create(new, at(0)).await, MemberCreation::Created);
    }

    /// What a creation leads to.
    pub async fn create(&self, new: &NewMember, now: Timestamp) -> MemberCreation {
        let creation = self.store.create_member(new, now).await;
        creation.expect("answered")
    }

    /// The user's member as it is.
    pub async fn read(&self, user: &User, member: MemberGuid) -> Option<Member> {
        let member = self.store.member(user.guid, member).await;
        member.expect("answered")
    }

    /// The job as it is.
    pub async fn job(&self, job: JobGuid) -> Option<Job> {
        self.store.job(job).await.expect("answered")
    }

    /// The jobs that are due, taken for a minute.
    pub async fn take(&self, now: Timestamp) -> Vec<Job> {
        let hold_until = now + SignedDuration::from_secs(60);
        let jobs = self.store.jobs_due(now, hold_until, 100).await;
        jobs.expect("answered")
    }

    /// What a job pulls with.
    pub async fn lease(&self, job: JobGuid) -> Lease {
        self.store.lease(job).await.expect("answered")
    }

    /// Records a report of a job under way; the job as it is then.
    pub async fn record(&self, reported: &Reported, now: Timestamp) -> Job {
        match self.store.record_report(reported, now).await {
            Ok(Recorded::Recorded(job)) => *job,
            other => panic!("it was under way: {other:?}"),
        }
    }

    /// Deletes the user's member, telling nobody.
    pub async fn delete(&self, user: &User, member: MemberGuid, now: Timestamp) -> Member {
        let deletion = Deletion {
            only_abandoned_since: None,
            user: user.guid,
            member,
            deleted: Vec::new(),
            finished: Vec::new(),
        };
        let deleted = self.store.delete_member(&deletion, now).await;
        deleted.expect("answered").expect("the member is there")
    }

    /// A member of `user` whose first authorization response was claimed at `now`.
    pub async fn returned_of(&self, user: &User, now: Timestamp) -> Visited {
        let linked = self
            .linked_for(user.clone(), WindowOptions::default())
            .await;
        let visited = self.visit(linked, now).await;
        self.come_back(&visited, now).await;
        visited
    }

    /// A link of policy `single` that a browser opened at moment 1.
    pub async fn visited(&self) -> Visited {
        let linked = self.linked(WindowOptions::default()).await;
        self.visit(linked, at(1)).await
    }

    /// The browser that opens `linked`.
    pub async fn visit(&self, linked: Linked, now: Timestamp) -> Visited {
        let opening = self.an_opening(&linked, VisitKind::Begin, now);
        let opened = self
            .store
            .open_window(&opening, now)
            .await
            .expect("answered");
        assert!(matches!(opened, Opened::Claimed(_)), "{opened:?}");
        Visited {
            linked,
            attempt: opening.attempt,
        }
    }

    /// A visited window whose authorization response was claimed at moment 2.
    pub async fn returned(&self) -> Visited {
        let visited = self.visited().await;
        self.come_back(&visited, at(2)).await;
        visited
    }

    /// The authorization response of `visited` is claimed.
    pub async fn come_back(&self, visited: &Visited, now: Timestamp) {
        let claim = self.a_claim(visited);
        let claimed = self.store.claim_callback(&claim, now).await;
        let claimed = claimed.expect("answered");
        assert!(matches!(claimed, Claimed::Accepted { .. }), "{claimed:?}");
    }

    /// A member connected at moment 3, its job queued, its events told.
    pub async fn connected(&self) -> (Visited, Connection, Subject) {
        let visited = self.returned().await;
        let connection = self.a_connection(&visited);
        let subject = self.connect(&connection, at(3)).await;
        (visited, connection, subject)
    }

    /// What a commit leads to.
    pub async fn commit(&self, connection: &Connection, now: Timestamp) -> Committed {
        let committed = self.store.commit_connected(connection, now).await;
        committed.expect("answered")
    }

    /// A commit that connects a member.
    pub async fn connect(&self, connection: &Connection, now: Timestamp) -> Subject {
        match self.commit(connection, now).await {
            Committed::Connected(subject) => *subject,
            other => panic!("its window was returned: {other:?}"),
        }
    }

    /// A new link of the member, opened by a browser that has come back.
    pub async fn returned_again(&self, linked: &Linked, now: Timestamp) -> Visited {
        let partition = linked.user.guid.partition();
        let new = self.a_window(partition, now + SignedDuration::from_secs(LINK));
        let (user, member) = (linked.user.guid, linked.member.guid);
        let minted = self.store.mint_window(user, member, &new, &[], now).await;
        minted.expect("answered").expect("the member is there");
        let linked = Linked {
            window: new.guid,
            ..linked.clone()
        };
        let visited = self.visit(linked, now).await;
        self.come_back(&visited, now).await;
        visited
    }

    /// A visited window that failed at moment 2.
    pub async fn failed(&self, options: WindowOptions) -> Visited {
        let linked = self.linked(options).await;
        let visited = self.visit(linked, at(1)).await;
        let failure = self.a_failure(&visited.linked, Ending::Failed);
        let failed = self.store.fail_window(&failure, at(2)).await;
        failed.expect("answered").expect("it was unfinished");
        visited
    }

    /// The member as it is.
    pub async fn member_now(&self, linked: &Linked) -> Option<Member> {
        let member = self.store.member(linked.user.guid, linked.member.guid);
        member.await.expect("answered")
    }

    /// The window as it is, read without leaving a trace.
    pub async fn window_now(&self, visited: &Visited) -> Window {
        let record = self.store.attempt(&visited.attempt.id).await;
        record.expect("answered").expect("kept").window
    }

    /// Every event that is due at `now`, and done with.
    pub async fn told(&self, now: Timestamp) -> Vec<Event> {
        let hold_until = now + SignedDuration::from_secs(60);
        let events = self.store.events_due(now, hold_until, 1000).await;
        let events = events.expect("answered");
        for event in &events {
            self.store
                .finish_event(event.guid, at(9))
                .await
                .expect("answered");
        }
        events
    }
}

/// The last that is known of a member that goes: as it was, under its next revision.
pub fn last_of(member: &Member) -> Member {
    Member {
        revision: member.revision + 1,
        ..member.clone()
    }
}

/// What somebody who signs in as `login` is known by.
pub fn known_as(login: &str) -> Digest {
    Digest::of("login", login).with_origin_of(&Digest::of("origin", "one"))
}

/// What the same person is known by under a key that is gone.
pub fn known_elsewhere_as(login: &str) -> Digest {
    Digest::of("login", login).with_origin_of(&Digest::of("origin", "another"))
}

/// A report of a job, told as news of its member and of its status, and due again at moment 500.
pub fn a_report(
    bench: &Bench,
    job: JobGuid,
    report: JobReport,
    status_change: StatusChange,
) -> Reported {
    Reported {
        of: HandOut::default(),
        background_due: None,
        job,
        report,
        due_at: at(500),
        status_change,
        changed: [
            bench.a_notice(job.partition(), EventKind::MemberUpdated),
            bench.a_notice(job.partition(), EventKind::ConnectionStatus),
        ]
        .concat(),
    }
}

/// A report makes it so, early and late.
pub fn stands(status: ConnectionStatus) -> StatusChange {
    StatusChange {
        at_first: Some(status),
        later: Some(status),
        is_refusal: false,
        reason: None,
    }
}

/// That member and nothing with it, told to nobody.
pub fn new_member(member: Member) -> NewMember {
    NewMember {
        member,
        window: None,
        sealed_credentials: None,
        tokens: None,
        fingerprints: Vec::new(),
        job: None,
        created: Vec::new(),
        most_members: 1000,
    }
}

/// The options of a link with that policy.
pub fn opened_by(open_policy: OpenPolicy) -> WindowOptions {
    WindowOptions {
        open_policy,
        ..WindowOptions::default()
    }
}
