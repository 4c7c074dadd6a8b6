//! What only Redis has to show: races over several connections, keys and their lives, names in two
//! slots, size, round trips, and a server that goes away. What both stores promise is in `tests/it/store_contract`.

mod away;
#[allow(dead_code, reason = "some are for the tests of both stores")]
#[path = "../../../tests/it/store_contract/duties.rs"]
mod duties;
mod kept;
mod lost;
mod names;
mod races;
mod recent;
mod scripts;
mod server;
mod size;
mod upkeep;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use self::server::Server;
use super::keys::Keys;
use super::{RedisSettings, RedisStore};
use crate::domain::data_request::DataRequest;
use crate::domain::endpoint::EndpointId;
use crate::domain::event::{EventKind, Notice};
use crate::domain::id::{
    AttemptId, ClientId, EventGuid, JobGuid, MemberGuid, OauthStateGuid, Partition, UserGuid,
};
use crate::domain::job::NewJob;
use crate::domain::member::{ConnectionStatus, Member};
use crate::domain::random::Random;
use crate::domain::redis_address::RedisAddress;
use crate::domain::secret::{AuthorizationState, BindingSecret, Digest, LinkToken};
use crate::domain::user::User;
use crate::domain::window::{
    Binding, Ending, ErrorReason, NewAttempt, NewWindow, OpenPolicy, ReferralSource, WindowOptions,
    WindowStatus,
};
use crate::steps::NewTokens;
use crate::steps::record::{Key, Slot};
use crate::store::Store;
use crate::store::{
    Claim, Claimed, Committed, Connection, Failure, MemberChange, NewCode, NewMember, Opened,
    Opening, Retention, Subject, VisitKind,
};

/// Values that never repeat within a test binary (SplitMix64 over a counter).
struct Distinct;

impl Random for Distinct {
    fn fill(&self, bytes: &mut [u8]) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        for chunk in bytes.chunks_mut(8) {
            let mut z = NEXT
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

const RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn settings() -> RedisSettings {
    RedisSettings {
        retention: Retention {
            finished: RETENTION,
            delivered: RETENTION,
        },
        accept_volatile: false,
        acknowledged_by: None,
    }
}

fn address(url: &str) -> RedisAddress {
    url.parse().expect("an address")
}

/// A store of its own on `server`.
async fn open(server: &Server) -> Store {
    let (store, warnings) = RedisStore::open(&address(&server.url()), "test:", settings())
        .await
        .expect("a sound server");
    assert_eq!(warnings, Vec::<String>::new());
    store.into()
}

/// `seconds` after the moment all tests begin at.
fn at(seconds: i64) -> Timestamp {
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    begin + SignedDuration::from_secs(seconds)
}

fn client() -> ClientId {
    "acme".parse().expect("a client's name")
}

fn new_user() -> User {
    User {
        guid: UserGuid::new(&Distinct),
        client: client(),
        id: None,
        email: Some("person@example.com".to_owned()),
        metadata: Some("{\"é\": \"\u{1F3E6}\"}".to_owned()),
        is_disabled: true,
        created_at: at(0),
    }
}

/// A user that is kept.
async fn a_user(store: &Store) -> UserGuid {
    let user = new_user();
    store.create_user(&user).await.expect("kept");
    user.guid
}

fn new_window(partition: Partition, deadline: Timestamp) -> NewWindow {
    NewWindow {
        guid: OauthStateGuid::of(&LinkToken::new(&Distinct, partition)),
        options: WindowOptions::default(),
        deadline,
    }
}

fn of_policy(partition: Partition, policy: OpenPolicy) -> NewWindow {
    let mut window = new_window(partition, at(600));
    window.options.open_policy = policy;
    window.options.referral_source = ReferralSource::App;
    window
}

/// A pending OAuth member of `user` and its first window, which may be opened until 600.
fn new_member(user: UserGuid, window: NewWindow) -> NewMember {
    NewMember {
        member: Member {
            background: None,
            guid: MemberGuid::new(&Distinct, user.partition()),
            user,
            user_id: Some("person 1".to_owned()),
            client: client(),
            institution: "mx_bank_oauth".parse().expect("a code"),
            institution_guid: "INS-68e96dd6-eabd-42d3-9f05-416897f0746c"
                .parse()
                .expect("a guid"),
            name: "MX Bank".to_owned(),
            external_guid: None,
            metadata: None,
            use_cases: Vec::new(),
            background_aggregation_is_disabled: false,
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
            latest_window: Some(window.guid),
            fingerprint: None,
            refusals: 0,
            data_request: DataRequest::default(),
            callback_payload: None,
        },
        window: Some(window),
        sealed_credentials: None,
        tokens: None,
        fingerprints: Vec::new(),
        job: None,
        created: Vec::new(),
        most_members: 1000,
    }
}

fn notice(partition: Partition, kind: EventKind) -> Notice {
    let guid = EventGuid::new(&Distinct, partition);
    let endpoint = format!("https://hooks.example/{guid}");
    Notice {
        guid,
        kind,
        endpoint: EndpointId::of(&endpoint.parse().expect("an address")),
    }
}

fn new_attempt(partition: Partition, deadline: Timestamp) -> NewAttempt {
    let id = AttemptId::of(&AuthorizationState::new(&Distinct, partition));
    NewAttempt {
        binding: Binding {
            attempt: id.clone(),
            digest: BindingSecret::new(&Distinct).digest(),
        },
        id,
        sealed: vec![0, 255, 10, 13, 128],
        deadline,
    }
}

/// A browser with these bindings follows the link of `new`'s window.
fn opening(new: &NewMember, kind: VisitKind, browser: &[Binding]) -> Opening {
    let window = new.window.as_ref().expect("a window").guid;
    Opening {
        closed: Vec::new(),
        window,
        member: new.member.guid,
        kind,
        browser: browser.to_vec(),
        attempt: new_attempt(window.partition(), at(900)),
    }
}

fn claim(attempt: &NewAttempt) -> Claim {
    Claim {
        attempt: attempt.id.clone(),
        client: client(),
        institution: "mx_bank_oauth".parse().expect("a code"),
        browser: vec![attempt.binding.clone()],
        completion: crate::domain::client::Completion::Immediate,
        unbound: crate::domain::client::UnboundCallback::Burn,
        rebinding: Digest::of("binding", "another"),
        code: Some(NewCode {
            response: vec![7],
            generation: 7,
            handle: None,
        }),
        burnt: Vec::new(),
    }
}

/// A standard member that signs in as `login`, with its credentials.
fn standard(user: UserGuid, login: &str) -> NewMember {
    let new = new_member(user, new_window(user.partition(), at(600)));
    NewMember {
        member: Member {
            is_oauth: false,
            status: ConnectionStatus::Created,
            latest_window: None,
            ..new.member
        },
        window: None,
        sealed_credentials: Some(vec![1, 2, 3]),
        tokens: None,
        fingerprints: vec![known_as(login)],
        ..new
    }
}

/// What somebody who signs in as `login` is known by.
fn known_as(login: &str) -> Digest {
    Digest::of("login", login)
}

/// A change of nothing.
fn change(member: &Member) -> MemberChange {
    MemberChange {
        user: member.user,
        member: member.guid,
        name: None,
        external_guid: None,
        metadata: None,
        use_cases: None,
        background_aggregation_is_disabled: None,
        callback_payload: None,
        data_request: None,
        credentials: None,
        updated: Vec::new(),
    }
}

/// A key as the server has it.
fn key_of(partition: Partition, key: &Key) -> String {
    base_of(&Slot::Partition(partition)) + key.as_str()
}

/// What the keys of a slot begin with on the server.
fn base_of(slot: &Slot) -> String {
    Keys::new("test:").expect("a prefix").base(slot)
}

fn new_job(partition: Partition) -> NewJob {
    NewJob {
        is_background: false,
        guid: JobGuid::new(&Distinct, partition),
        data_request: DataRequest::default(),
    }
}

/// The end of a member's window without success, of which nobody is told.
fn failure(new: &NewMember) -> Failure {
    Failure {
        window: new.window.as_ref().expect("a window").guid,
        reason: ErrorReason::Cancelled,
        ending: Ending::Failed,
        only_in: None,
        detail: None,
        inbound: None,
        finished: Vec::new(),
        report: None,
    }
}

fn connection(new: &NewMember) -> Connection {
    let window = new.window.as_ref().expect("a window").guid;
    let partition = window.partition();
    Connection {
        only_in: WindowStatus::Returned,
        background_due: None,
        window,
        outbound: new.member.guid,
        inbound: None,
        fingerprints: Vec::new(),
        tokens: NewTokens::unending(b"sealed \0 grant \xff".to_vec()),
        revokes_replaced: true,
        job: Some(new_job(partition)),
        callback_payload: None,
        deleted: vec![notice(partition, EventKind::MemberDeleted)],
        updated: vec![notice(partition, EventKind::MemberUpdated)],
        finished: vec![notice(partition, EventKind::OauthStateFinished)],
    }
}

/// A member that is kept, with its window.
async fn keep_member(store: &Store) -> NewMember {
    let user = a_user(store).await;
    let new = new_member(user, new_window(user.partition(), at(600)));
    store.create_member(&new, at(0)).await.expect("kept");
    new
}

/// Opens the member's window and gives the attempt that claimed it.
async fn open_first(store: &Store, new: &NewMember, now: Timestamp) -> NewAttempt {
    let opening = opening(new, VisitKind::Navigate, &[]);
    let opened = store.open_window(&opening, now).await.expect("answered");
    assert!(matches!(opened, Opened::Claimed(_)), "{opened:?}");
    opening.attempt
}

/// Brings the member's window to `Returned`.
async fn bring_back(store: &Store, new: &NewMember) -> NewAttempt {
    let attempt = open_first(store, new, at(10)).await;
    let claimed = store
        .claim_callback(&claim(&attempt), at(20))
        .await
        .expect("answered");
    assert!(matches!(claimed, Claimed::Accepted { .. }), "{claimed:?}");
    attempt
}

/// Connects the member.
async fn connect(store: &Store, new: &NewMember) -> (Connection, Subject) {
    bring_back(store, new).await;
    let connection = connection(new);
    let committed = store.commit_connected(&connection, at(30)).await;
    (connection, committed_subject(committed))
}

fn committed_subject(committed: crate::store::Result<Committed>) -> Subject {
    match committed.expect("answered") {
        Committed::Connected(subject) => *subject,
        other => panic!("{other:?}"),
    }
}

fn opened_name(opened: &Opened) -> &'static str {
    match opened {
        Opened::Claimed(_) => "claimed",
        Opened::AskFirst(_) => "ask first",
        Opened::Resumable(_) => "resumable",
        Opened::Closed(_) => "closed",
        Opened::ClaimedElsewhere(_) => "taken",
        Opened::Authorized(_) => "authorized",
        Opened::Exhausted(_) => "exhausted",
        Opened::Finished { .. } => "over",
        Opened::Unknown => "unknown",
    }
}

fn claimed_name(claimed: &Claimed) -> &'static str {
    match claimed {
        Claimed::Accepted { .. } => "yes",
        Claimed::Burnt(_) => "burnt",
        Claimed::Waiting { .. } => "waiting",
        Claimed::Ignored => "ignored",
        Claimed::Settled => "settled",
        Claimed::Unknown => "unknown",
    }
}
