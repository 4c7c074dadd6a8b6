//! What is kept: each record under a key of its own, and what follows from a record alone: how long it
//! lives, when it is due, in which list it stands, what belongs to it.
//!
//! | letter | record | named by |
//! |---|---|---|
//! | `u` | a user | its guid |
//! | `m` | a member | its guid |
//! | `w` | a window with its attempts | its guid |
//! | `a` | which window and member an attempt belongs to | its id |
//! | `f` | what is kept of an attempt that failed, sealed | its support code |
//! | `h` | an authorization response that came by POST, sealed | the digest of its handle |
//! | `j` | a job, with the sealed answers to its newest questions | its guid |
//! | `g` | what a member is pulled with, sealed: its token set, or its credentials | its member's guid |
//! | `x` | a soft-deleted member as it was | its guid |
//! | `l` | whose login a fingerprint is among a user's members of an institution | user, institution, fingerprint |
//! | `y` | which deleted member of a user had an `external_guid` | user, `external_guid` |
//! | `e` | an event | its guid |
//! | `t`, `s` | an SSO token, a session | its digest |
//! | `o` | how often a user's sessions were ended | its guid |
//! | `n` | who holds a name that is unique within a client | client, which kind of name, name |
//! | `k` | a client's API keys | the client |
//! | `i` | a request with an `Idempotency-Key` | client, the key's digest |
//! | `r` | tokens to give back, sealed | their member's guid, their generation |
//! | `b` | a brake of a registration | client, institution, what it is for |
//! | `d` | what operators say of institutions that are not used for now | nothing: there is one |
//! | `z` | what an institution shows of itself | the institution |
//! | `v` | by what each seal key is recognised | nothing: there is one |
//! | `c` | what time a gateway is at | nothing: there is one |
//! | `q` | when a member's consent ends | its member's guid |
//! | `p` | which window and member a completion handle confirms | its digest |
//!
//! The records of one user are in its partition's slot, `n`, `k`, `i` and `b` in their client's, `c`, `d`, `v` and `z` in
//! the store's own. One step touches one slot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use smol_str::{SmolStr, format_smolstr};

use super::due::{Behind, Due, Line};
use super::envelope::Envelope;
use crate::domain::connection_values::ConnectionValues;
use crate::domain::duty::DutyKind;
use crate::domain::endpoint::EndpointId;
use crate::domain::event::{Event, EventKind, JobNews};
use crate::domain::form;
use crate::domain::id::{
    AttemptId, ClientId, EventGuid, InstitutionCode, JobGuid, MemberGuid, OauthStateGuid,
    Partition, UserGuid,
};
use crate::domain::job::{Job, Pulled};
use crate::domain::maintenance::Maintenance;
use crate::domain::member::Member;
use crate::domain::secret::Digest;
use crate::domain::support_code::SupportCode;
use crate::domain::user::User;
use crate::domain::watch::{Change, Shown};
use crate::domain::window::{Binding, Window};

/// Records that one step may touch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// Everything of the users of a partition.
    Partition(Partition),
    /// What spans all of a client.
    Client(ClientId),
    /// What spans the whole store.
    Store,
}

/// The name of a record: its kind's letter, and what names it among its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(SmolStr);

impl Key {
    /// Reads a key as it is written.
    pub fn parse(text: &str) -> Option<Self> {
        let kind = text.chars().next()?;
        KINDS.contains(&kind).then(|| Self(SmolStr::new(text)))
    }

    /// A key that was found where a record waits, of any kind: a newer version may have kinds that this one
    /// does not know. Such a record cannot be read, and can be set aside.
    pub fn found(text: &str) -> Self {
        Self(SmolStr::new(text))
    }

    /// The written form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The letter of its kind.
    pub fn kind(&self) -> char {
        self.0.chars().next().unwrap_or_default()
    }

    /// What names the record among its kind.
    pub fn id(&self) -> &str {
        self.0.get(self.kind().len_utf8()..).unwrap_or_default()
    }

    /// The same, if the record is of that kind.
    pub fn id_of(&self, kind: char) -> Option<&str> {
        (self.kind() == kind).then(|| self.id())
    }
}

/// Declares every kind of record with its letter, the name of its key, and the way to one that was read.
macro_rules! records {
    ($($letter:literal $variant:ident($record:ty) $getter:ident($($part:ident: $type:ty),*) = $name:expr;)*) => {
        /// The letters of all kinds.
        pub const KINDS: &[char] = &[$($letter),*];

        /// One record.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        #[expect(missing_docs, reason = "the table above says what each is")]
        pub enum Record {
            $($variant($record),)*
        }

        $(impl From<$record> for Record {
            fn from(record: $record) -> Self {
                Self::$variant(record)
            }
        })*

        impl Record {
            /// Reads the record of that key.
            pub fn read<'de, D: Deserializer<'de>>(key: &Key, from: D) -> Result<Self, D::Error> {
                let record = match key.kind() {
                    $($letter => <$record>::deserialize(from)?.into(),)*
                    _ => return Err(serde::de::Error::custom("no kind of record")),
                };
                Ok(named(record, key))
            }
        }

        #[expect(missing_docs, reason = "the table above says what each is")]
        impl Key {
            $(pub fn $getter($($part: $type),*) -> Self {
                Self(format_smolstr!("{}{}", $letter, $name))
            })*
        }

        #[expect(missing_docs, reason = "the table above says what each is")]
        impl View {
            $(pub fn $getter(&self, $($part: $type),*) -> Option<&$record> {
                match self.record(&Key::$getter($($part),*))? {
                    Record::$variant(record) => Some(record),
                    _ => None,
                }
            })*
        }
    };
}

records! {
    'u' User(KeptUser) user(guid: UserGuid) = guid.compact();
    'm' Member(Member) member(guid: MemberGuid) = guid.compact();
    'w' Window(KeptWindow) window(guid: OauthStateGuid) = guid.compact();
    'a' Attempt(Whereabouts) attempt(id: &AttemptId) = id;
    'f' Report(KeptReport) report(code: SupportCode) = code;
    'h' Held(HeldResponse) held(handle: &Digest) = handle.to_text();
    'j' Job(KeptJob) job(guid: JobGuid) = guid.compact();
    'g' Access(AccessRecord) access(of: MemberGuid) = of.compact();
    'x' Deleted(DeletedMember) deleted(guid: MemberGuid) = guid.compact();
    'l' Login(LoginOf) login(user: UserGuid, institution: &InstitutionCode, print: &Digest)
        = format_args!("{}/{institution}/{}", user.compact(), print.to_text());
    'y' FormerName(FormerName) former_name(user: UserGuid, name: &str)
        = format_args!("{}/{name}", user.compact());
    'e' Event(KeptEvent) event(guid: EventGuid) = guid.compact();
    't' ApiToken(ApiToken) api_token(digest: &Digest) = digest.to_text();
    's' Session(Session) session(digest: &Digest) = digest.to_text();
    'o' SessionsEnded(SessionsEnded) sessions_ended(user: UserGuid) = user.compact();
    'n' Name(NameOf) name(client: &ClientId, kind: NameKind, name: &str)
        = format_args!("{client}/{}/{name}", kind.as_str());
    'k' ApiKeys(ApiKeys) api_keys(client: &ClientId) = client;
    'i' Request(KeptRequest) request(client: &ClientId, key: &Digest)
        = format_args!("{client}/{}", key.to_text());
    'r' Revocation(Revocation) revocation(member: MemberGuid, generation: u64)
        = format_args!("{}/{generation:016x}", member.compact());
    'b' Brake(Brake) brake(client: &ClientId, institution: &InstitutionCode, of: &str)
        = format_args!("{client}/{institution}/{of}");
    'd' Maintenances(Maintenances) maintenances() = "";
    'z' Watched(Watched) watched(institution: &InstitutionCode) = institution;
    'v' SealKeys(SealKeys) seal_keys() = "";
    'q' Consent(Consent) consent(of: MemberGuid) = of.compact();
    'p' Completion(Completion) completion(handle: &Digest) = handle.to_text();
    'c' LatestTime(LatestTime) latest_time() = "";
}

/// A window is kept without its name.
fn named(mut record: Record, key: &Key) -> Record {
    if let Record::Window(kept) = &mut record
        && let Ok(guid) = OauthStateGuid::from_compact(key.id())
    {
        kept.window.guid = guid;
    }
    record
}

/// A user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptUser {
    /// The user.
    pub user: User,
    /// When its deletion began; nobody sees it from then on, and what is left of it is on its way out.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub deleted_at: Option<Timestamp>,
}

/// A window with the attempts at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptWindow {
    /// The window.
    pub window: Window,
    /// Its attempts, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// How many times it was continued.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub continues: u8,
    /// What waits for the member service's confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
}

/// What an authorization response brought, while it waits for the member service's confirmation: a code, or the tokens
/// that it was exchanged for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Authorization {
    /// The attempt that it answers.
    #[serde(with = "form")]
    pub attempt: AttemptId,
    /// The institution that gave it.
    pub institution: InstitutionCode,
    /// The handle that confirms it, sealed for the page that its browser sees.
    pub handle: Envelope,
    /// Names the duty that gives it back, unless it is confirmed.
    pub generation: u64,
    /// The authorization response, sealed; the attempt has the secrets that go with its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Envelope>,
    /// The token set, sealed as the member's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Envelope>,
    /// What the login may be known by, if the code was exchanged and it is to be compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fingerprints: Vec<Digest>,
}

/// What a completion handle confirms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// The window.
    #[serde(with = "form")]
    pub window: OauthStateGuid,
    /// Its member.
    #[serde(with = "form")]
    pub member: MemberGuid,
    /// Whether it was confirmed.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub is_confirmed: bool,
    /// Until when it may be confirmed.
    #[serde(with = "form")]
    pub expires_at: Timestamp,
}

/// One browser's try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its public name.
    #[serde(with = "form")]
    pub id: AttemptId,
    /// What its browser holds.
    pub binding: Digest,
    /// PKCE verifier and nonce, sealed; forgotten once nothing may be exchanged with them any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Envelope>,
    /// Whether Continue made a newer one in its place.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub is_replaced: bool,
    /// Handles of the authorization responses held for it, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Digest>,
}

impl Attempt {
    /// Whether one of the bindings that a browser shows is this attempt's.
    pub fn is_held_by(&self, browser: &[Binding]) -> bool {
        browser
            .iter()
            .any(|shown| shown.attempt == self.id && shown.digest.matches(&self.binding))
    }
}

/// Where an attempt is found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// Its window.
    #[serde(with = "form")]
    pub window: OauthStateGuid,
    /// Its window's member.
    #[serde(with = "form")]
    pub member: MemberGuid,
    /// That one's institution: its callback path.
    pub institution: InstitutionCode,
    /// Until when the institution's response to it was awaited at first.
    #[serde(with = "form")]
    pub deadline: Timestamp,
}

/// What is kept of an attempt that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptReport {
    /// The tenant.
    pub client: ClientId,
    /// The institution.
    pub institution: InstitutionCode,
    /// The report, sealed for its support code.
    pub sealed: Envelope,
    /// When the attempt ended.
    #[serde(with = "form")]
    pub ended_at: Timestamp,
    /// Until when it may be read.
    #[serde(with = "form")]
    pub expires_at: Timestamp,
}

/// An authorization response that came by POST.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldResponse {
    /// The response, sealed for its handle.
    pub sealed: Envelope,
    /// Until when it may be fetched.
    #[serde(with = "form")]
    pub expires_at: Timestamp,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptJob {
    /// The job.
    pub job: Job,
    /// The answers to its newest questions, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_answers: Option<Envelope>,
}

/// What a member is pulled with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessRecord {
    /// A token set or credentials, sealed.
    pub sealed: Envelope,
    /// What is known of a token set; `None`: credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenState>,
}

impl AccessRecord {
    /// The same, with that known of its token set.
    pub fn with(&self, token: TokenState) -> Self {
        Self {
            sealed: self.sealed.clone(),
            token: Some(token),
        }
    }

    /// Whether this gateway has a use for it: the institution has not refused it, it is of the right person, and it did not
    /// go to another gateway.
    pub fn is_in_use(&self) -> bool {
        let is_alive = |token: &TokenState| {
            let is_usable = token.refused_at.is_none() && token.other_login_at.is_none();
            is_usable && token.frozen_at.is_none()
        };
        self.token.as_ref().is_none_or(is_alive)
    }
}

/// What is known of a member's token set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenState {
    /// The tenant.
    pub client: ClientId,
    /// The institution.
    pub institution: InstitutionCode,
    /// Tells it from those before and after it.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub generation: u64,
    /// Which one a new consent replaced by it, or by the one that it was refreshed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<u64>,
    /// Whether it has a refresh token.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub is_renewable: bool,
    /// When the access token ends, as the institution says or as is assumed; `None`: not known.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub ends_at: Option<Timestamp>,
    /// A refresh that has begun: written before the institution is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<RunningRefresh>,
    /// Whether the refresh token may have been used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
    /// When the institution refused the refresh token. The set is lent no more, and kept for a day in case that
    /// was the institution's fault.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub refused_at: Option<Timestamp>,
    /// How many refreshes in a row the institution did not look at.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub not_asked: u32,
    /// Since when it is known to be of another person than the one who connected: lent to nobody, refreshed no more, and
    /// kept until there is another one.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub other_login_at: Option<Timestamp>,
    /// The thumbprint of the client certificate that the access token may be bound to (RFC 8705 section 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_to: Option<String>,
    /// Since when it is frozen: it was exported, so another gateway may refresh it, and this one must not.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub frozen_at: Option<Timestamp>,
    /// When there is something to do about it, unless it is frozen.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub due_at: Option<Timestamp>,
}

/// A refresh that has begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunningRefresh {
    /// Whose it is: no two refreshes have the same.
    pub fence: Digest,
    /// Until when nobody else refreshes; after that whoever began it is gone, and its outcome unknown.
    #[serde(with = "form")]
    pub until: Timestamp,
}

/// The outcome of a refresh is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Doubt {
    /// How many times the token was refused since.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub refusals: u8,
    /// When it is tried again.
    #[serde(with = "form")]
    pub again_at: Timestamp,
}

/// When a member's consent ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consent {
    /// The tenant.
    pub client: ClientId,
    /// The institution.
    pub institution: InstitutionCode,
    /// When it ends.
    #[serde(with = "form")]
    pub ends_at: Timestamp,
    /// When there is something to tell.
    #[serde(with = "form")]
    pub due_at: Timestamp,
}

/// Tokens to give back to their institution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revocation {
    /// The client that they were issued to.
    pub client: ClientId,
    /// The institution.
    pub institution: InstitutionCode,
    /// The token sets, sealed; none once it was given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<Envelope>,
    /// A code that is redeemed first, so that nobody else can use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<UnusedCode>,
    /// Since when they are to be given back.
    #[serde(with = "form")]
    pub since: Timestamp,
    /// How many times that was tried.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub attempt: u32,
    /// When it is due.
    #[serde(with = "form")]
    pub due_at: Timestamp,
    /// When it was given up.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub dead_at: Option<Timestamp>,
}

/// A code that no member gets tokens for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnusedCode {
    /// The attempt that it was given to.
    #[serde(with = "form")]
    pub attempt: AttemptId,
    /// The authorization response with it, sealed.
    pub response: Envelope,
    /// The attempt's verifier and nonce, sealed.
    pub secrets: Envelope,
    /// What the client gave for the connection.
    #[serde(default, skip_serializing_if = "ConnectionValues::is_empty")]
    pub values: ConnectionValues,
}

/// A brake of a registration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Brake {
    /// The refusals of the last minutes; while it is on, those that put it on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<CountedRefusal>,
    /// Since when it is on.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub on_since: Option<Timestamp>,
    /// While it is on: when the next refresh may be tried.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub probe_at: Option<Timestamp>,
    /// Until when it stays off, because an operator released it.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub off_until: Option<Timestamp>,
}

/// A refusal that counts for a brake.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountedRefusal {
    /// When.
    #[serde(with = "form")]
    pub at: Timestamp,
    /// Whose token.
    #[serde(with = "form")]
    pub member: MemberGuid,
    /// How many refreshes were granted between the refusal before it and this one.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub granted: u32,
}

/// A member that was deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeletedMember {
    /// The member as it was.
    pub member: Member,
    /// When it was deleted.
    #[serde(with = "form")]
    pub deleted_at: Timestamp,
}

/// Whose login it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoginOf {
    /// The member.
    #[serde(with = "form")]
    pub member: MemberGuid,
    /// Whether that one was deleted: then the login is free.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub is_deleted: bool,
}

/// Who had a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FormerName {
    /// The deleted member.
    #[serde(with = "form")]
    pub member: MemberGuid,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptEvent {
    /// What kind of news it is.
    #[serde(with = "form")]
    pub kind: EventKind,
    /// Where it goes.
    #[serde(with = "form")]
    pub endpoint: EndpointId,
    /// The member as the change left it.
    pub member: Box<Member>,
    /// The window, when it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Box<Window>>,
    /// The window's name.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub window_guid: Option<OauthStateGuid>,
    /// The job and what it pulled, when it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<(JobGuid, Pulled)>,
    /// How that job stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_news: Option<JobNews>,
    /// When the change happened.
    #[serde(with = "form")]
    pub happened_at: Timestamp,
    /// How many times it was tried.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub attempt: u32,
    /// When it is due.
    #[serde(with = "form")]
    pub due_at: Timestamp,
    /// When an operator last had it sent again.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub replayed_at: Option<Timestamp>,
    /// When its client took it.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub delivered_at: Option<Timestamp>,
    /// When it was buried: nobody took it, and it is not tried again.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub dead_at: Option<Timestamp>,
    /// Its last tries, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<DeliveryTry>,
}

impl KeptEvent {
    /// Whether it still has to be delivered.
    pub fn is_owed(&self) -> bool {
        self.delivered_at.is_none() && self.dead_at.is_none()
    }

    /// The event of that name.
    pub fn into_event(self, guid: EventGuid) -> Event {
        let window = self.window.zip(self.window_guid);
        Event {
            guid,
            kind: self.kind,
            endpoint: self.endpoint,
            member: *self.member,
            window: window.map(|(window, guid)| Window { guid, ..*window }),
            job: self.job,
            job_news: self.job_news,
            happened_at: self.happened_at,
            owed_since: self.replayed_at.unwrap_or(self.happened_at),
            attempt: self.attempt,
        }
    }
}

/// One try to deliver an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryTry {
    /// When it began.
    #[serde(with = "form")]
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The status of the response; `None`: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The first characters of the response, or why there was none; made safe to show.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub answer: String,
}

/// An SSO token; once spent by the session it begins, it has expired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiToken {
    /// What it begins.
    pub session: Session,
}

/// A session of one user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The user.
    #[serde(with = "form")]
    pub user: UserGuid,
    /// The tenant.
    pub client: ClientId,
    /// How often the user's sessions had been ended when it began.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub ended_before: u32,
    /// When it ends.
    #[serde(with = "form")]
    pub expires_at: Timestamp,
}

/// How often a user's sessions were ended: those of an earlier count are dead.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionsEnded {
    /// How often.
    pub times: u32,
    /// Whether the user is gone: this is kept until no session of it is.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub is_last: bool,
}

/// Names that are unique within a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameKind {
    /// Users' `id`.
    UserId,
    /// Members' `external_guid`.
    ExternalGuid,
}

impl NameKind {
    /// How it is written in keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserId => "id",
            Self::ExternalGuid => "external_guid",
        }
    }
}

/// Who holds a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NameOf {
    /// The compact guid of the user or member.
    pub holder: String,
    /// When it was reserved.
    #[serde(with = "form")]
    pub reserved_at: Timestamp,
    /// Which reservation in a row it was: no two of one name are alike.
    pub reservation: u32,
    /// Whether its holder was written with it.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub is_settled: bool,
}

/// A client's API keys, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiKeys {
    /// The keys.
    pub keys: Vec<KeptApiKey>,
}

/// An API key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptApiKey {
    /// Its readable part.
    pub id: String,
    /// The digest of the whole.
    pub digest: Digest,
    /// When it was created.
    #[serde(with = "form")]
    pub created_at: Timestamp,
    /// When it was retired.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub retired_at: Option<Timestamp>,
}

/// A request with an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptRequest {
    /// Digest of what was asked.
    pub request: Digest,
    /// Who works on it until its response is stored.
    pub holder: Digest,
    /// The response, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_response: Option<Envelope>,
    /// When the key is free again.
    #[serde(with = "form")]
    pub ends_at: Timestamp,
}

/// What operators say of institutions that are not used for now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Maintenances {
    /// By the institution's code.
    pub of: BTreeMap<InstitutionCode, Maintenance>,
}

/// What an institution shows of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// When it is looked at next.
    #[serde(with = "form")]
    pub next_at: Timestamp,
    /// When it was seen last.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub seen_at: Option<Timestamp>,
    /// What was seen then.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub shown: Shown,
    /// What could not be read then, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// The changes of the last time, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ToldChange>,
}

impl Watched {
    /// One that was not seen yet.
    pub fn new(next_at: Timestamp) -> Self {
        Self {
            next_at,
            seen_at: None,
            shown: Shown::default(),
            unread: Vec::new(),
            changes: Vec::new(),
        }
    }
}

/// A change, and when it was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToldChange {
    /// When.
    #[serde(with = "form")]
    pub at: Timestamp,
    /// What.
    pub change: Change,
}

/// The seal keys that a gateway of this store ever had.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SealKeys {
    /// By its id, the digest that tells each from any other key.
    pub keys: BTreeMap<String, Digest>,
}

impl SealKeys {
    /// Whether there are ids that are not among those.
    pub fn has_others_than(&self, keys: &[(String, Digest)]) -> bool {
        let mut ids = self.keys.keys();
        ids.any(|known| keys.iter().all(|(id, _)| id != known))
    }

    /// Which of those ids belong to other keys here.
    pub fn changed(&self, keys: &[(String, Digest)]) -> Vec<String> {
        let differs = |(id, digest): &&(String, Digest)| {
            let known = self.keys.get(id);
            known.is_some_and(|known| !known.matches(digest))
        };
        keys.iter()
            .filter(differs)
            .map(|(id, _)| id.clone())
            .collect()
    }
}

/// What time a gateway was at when it last said so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatestTime {
    /// The time.
    #[serde(with = "form")]
    pub time: Timestamp,
    /// The right time then.
    #[serde(with = "form")]
    pub right: Timestamp,
}

/// How long a deleted member is kept before it is purged (CONTRACT.md 1.4).
pub const SOFT_DELETED: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How long after its end a record is forgotten at the earliest: readers compare with their own clocks.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long it is remembered what an institution showed of itself: longer than the time between two looks.
const WATCHED: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// How long the count of a deleted user's sessions is kept: longer than any session of it.
const LAST_COUNT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Until when a record is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Until a step deletes it.
    Unlimited,
    /// As long as what ended then is kept.
    Retained(Timestamp),
    /// As long as what was delivered then is kept.
    Delivered(Timestamp),
    /// The same, and so long at least.
    RetainedOrFor(Timestamp, Duration),
    /// So long from now on.
    For(Duration),
    /// Until that moment and so much longer.
    Until(Timestamp, Duration),
}

/// A list of keys in the order of a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// A user's members, by creation.
    Members(UserGuid),
    /// A user's soft-deleted members, and the newest windows of deleted ones, by deletion.
    DeletedMembers(UserGuid),
    /// A client's users, by creation.
    Users(ClientId),
    /// Those of them that have an email address, and perhaps some that had it, by creation.
    UsersByEmail(ClientId, String),
    /// Unfinished windows, by deadline.
    Deadlines,
    /// Users whose deletion has begun, by that.
    Deletions,
    /// Records that could not be read when they were due, by when that was seen.
    SetAside,
}

impl List {
    /// How it is written in keys; no record's letter begins one.
    pub fn name(&self) -> String {
        match self {
            Self::Members(user) => format!("U{}", user.compact()),
            Self::DeletedMembers(user) => format!("D{}", user.compact()),
            Self::Users(client) => format!("L{client}"),
            Self::UsersByEmail(client, email) => format!("E{client}/{email}"),
            Self::Deadlines => "W".to_owned(),
            Self::Deletions => "X".to_owned(),
            Self::SetAside => "Z".to_owned(),
        }
    }

    /// Whether those of one moment stand in the order in which they came.
    pub fn is_of_creation(&self) -> bool {
        matches!(
            self,
            Self::Members(_) | Self::Users(_) | Self::UsersByEmail(..)
        )
    }

    /// Whether entries older than the longest time that a record is kept are removed.
    pub fn is_forgetful(&self) -> bool {
        matches!(self, Self::DeletedMembers(_))
    }
}

impl Record {
    /// The keys of the records that belong to this one.
    pub fn links(&self) -> Vec<Key> {
        match self {
            Self::Member(member) => member
                .latest_window
                .map(Key::window)
                .into_iter()
                .chain(member.current_job.map(Key::job))
                .collect(),
            Self::Attempt(at) => vec![Key::window(at.window), Key::member(at.member)],
            Self::Completion(at) => vec![Key::window(at.window), Key::member(at.member)],
            Self::Job(kept) => vec![Key::member(kept.job.member), Key::access(kept.job.member)],
            Self::ApiToken(token) => vec![Key::sessions_ended(token.session.user)],
            Self::Session(session) => vec![Key::sessions_ended(session.user)],
            _ => Vec::new(),
        }
    }

    /// Until when it is kept.
    pub fn life(&self) -> Life {
        match self {
            Self::Window(kept) if kept.window.status.is_finished() => {
                Life::Retained(kept.window.updated_at)
            }
            // Its browser holds the cookie of the outcome page for a day.
            Self::Attempt(at) => Life::RetainedOrFor(at.deadline, DAY),
            Self::Job(kept) if kept.job.status.is_finished() => Life::Retained(kept.job.updated_at),
            Self::Event(KeptEvent {
                dead_at: Some(at), ..
            }) => Life::Retained(*at),
            Self::Event(KeptEvent {
                delivered_at: Some(at),
                ..
            }) => Life::Delivered(*at),
            Self::Revocation(Revocation {
                dead_at: Some(at), ..
            }) => Life::Retained(*at),
            Self::Deleted(_) | Self::FormerName(_) => Life::For(SOFT_DELETED),
            Self::Login(login) if login.is_deleted => Life::For(SOFT_DELETED),
            // An institution that is no longer watched is forgotten by and by.
            Self::Watched(_) => Life::For(WATCHED),
            Self::Report(report) => Life::Until(report.expires_at, Duration::ZERO),
            Self::Held(held) => Life::Until(held.expires_at, DAY),
            Self::Completion(at) => Life::Until(at.expires_at, DAY),
            Self::ApiToken(token) => Life::Until(token.session.expires_at, DAY),
            Self::Session(session) => Life::Until(session.expires_at, DAY),
            Self::SessionsEnded(count) if count.is_last => Life::For(LAST_COUNT),
            Self::Request(request) => Life::Until(request.ends_at, DAY),
            Self::Brake(brake) if brake.on_since.is_none() => Life::For(2 * DAY),
            _ => Life::Unlimited,
        }
    }

    /// When it is due, and in which line it waits.
    pub fn due(&self) -> Option<Due> {
        match self {
            Self::Job(kept) if !kept.job.status.is_finished() => Some(Due {
                line: Line::of_jobs(&kept.job.client, kept.job.ends_when_due()),
                at: kept.job.due_at,
                behind: None,
            }),
            Self::Event(event) if event.is_owed() => Some(Due {
                line: Line::new(DutyKind::Deliver, &event.member.client, event.endpoint),
                at: event.due_at,
                behind: Some(Behind::of(&event.member.guid.compact())),
            }),
            Self::Revocation(owed) if owed.dead_at.is_none() => Some(Due {
                line: Line::new(DutyKind::Revoke, &owed.client, &owed.institution),
                at: owed.due_at,
                behind: None,
            }),
            Self::Consent(consent) => Some(Due {
                line: Line::new(DutyKind::Notify, &consent.client, &consent.institution),
                at: consent.due_at,
                behind: None,
            }),
            Self::Member(member) => Some(Due {
                line: Line::new(DutyKind::Background, &member.client, &member.institution),
                at: member.background_due()?,
                behind: None,
            }),
            Self::Access(AccessRecord {
                token: Some(token), ..
            }) if token.frozen_at.is_none() => Some(Due {
                line: Line::new(DutyKind::Refresh, &token.client, &token.institution),
                at: token.due_at?,
                behind: None,
            }),
            _ => None,
        }
    }

    /// The list it stands in, and where.
    pub fn listed(&self) -> Option<(List, Timestamp)> {
        match self {
            Self::Member(member) => Some((List::Members(member.user), member.created_at)),
            Self::Window(kept) if !kept.window.status.is_finished() => {
                Some((List::Deadlines, kept.window.deadline))
            }
            Self::User(KeptUser {
                deleted_at: Some(at),
                ..
            }) => Some((List::Deletions, *at)),
            _ => None,
        }
    }
}

/// What a step is to read: some keys, and then, level by level, what those lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The keys to begin with.
    pub keys: Vec<Key>,
    /// For each level the letters of the kinds whose links are followed.
    pub follow: &'static [&'static str],
    /// A list whose length is wanted.
    pub count: Option<List>,
    /// Those of the keys whose ids were drawn for this command: they have no record, unless the command was sent
    /// before.
    pub drawn: Vec<Key>,
}

impl Reads {
    /// Those keys.
    pub fn of(keys: impl Into<Vec<Key>>) -> Self {
        Self {
            keys: keys.into(),
            ..Self::default()
        }
    }

    /// And a key that was drawn for this command.
    pub fn and_drawn(mut self, key: Key) -> Self {
        self.keys.push(key.clone());
        self.drawn.push(key);
        self
    }

    /// And what they lead to.
    pub fn then(self, follow: &'static [&'static str]) -> Self {
        Self { follow, ..self }
    }
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct View {
    records: BTreeMap<Key, Arc<Record>>,
    /// The length of the list that was asked for; `None`: unknown, and the step sets [`Changes::room`].
    pub count: Option<u64>,
}

impl View {
    /// Of these records.
    pub fn new(records: impl IntoIterator<Item = (Key, Record)>) -> Self {
        let shared = |(key, record)| (key, Arc::new(record));
        Self {
            records: records.into_iter().map(shared).collect(),
            count: None,
        }
    }

    /// The record of that key, if there is one.
    pub fn record(&self, key: &Key) -> Option<&Record> {
        self.records.get(key).map(|record| &**record)
    }

    /// Adds one that was read.
    pub fn insert(&mut self, key: Key, record: Arc<Record>) {
        self.records.insert(key, record);
    }

    /// Every record.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values().map(|record| &**record)
    }
}

/// What a step changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Records to keep, and, as `None`, to delete; each key once.
    pub records: Vec<(Key, Option<Record>)>,
    /// Entries of lists, beside those that follow from records; `None`: removed.
    pub places: Vec<(List, Key, Option<Timestamp>)>,
    /// A list that must have fewer entries than that before this is written.
    pub room: Option<(List, u64)>,
    /// Entries of lines that stand for nothing any more: the line, the key, and what it was behind.
    pub left: Vec<(Line, Key, Option<Behind>)>,
}

impl Changes {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.places.is_empty() && self.left.is_empty()
    }

    /// Keeps a record in place of what its key had.
    pub fn put(&mut self, key: Key, record: impl Into<Record>) {
        self.set(key, Some(record.into()));
    }

    /// Deletes the record of a key, if there is one.
    pub fn delete(&mut self, key: Key) {
        self.set(key, None);
    }

    /// Keeps a window.
    pub fn put_window(&mut self, kept: KeptWindow) {
        self.put(Key::window(kept.window.guid), kept);
    }

    /// Keeps a member.
    pub fn put_member(&mut self, member: Member) {
        self.put(Key::member(member.guid), member);
    }

    /// Keeps a job.
    pub fn put_job(&mut self, kept: KeptJob) {
        self.put(Key::job(kept.job.guid), kept);
    }

    fn set(&mut self, key: Key, record: Option<Record>) {
        match self.records.iter_mut().find(|(known, _)| *known == key) {
            Some((_, earlier)) => *earlier = record,
            None => self.records.push((key, record)),
        }
    }
}
