//! The steps: what may follow what, who wins a race, what is told. Each is decided here, once, for every
//! store.
//!
//! ```text
//! (what was read, what is asked, now) ─▶ (what it led to, what changes)
//! ```
//!
//! A step is a pure function: no I/O, no clock, no randomness, no encoding. A store reads what the step
//! wants, lets it decide, and keeps all of what changes or nothing, provided that what was read is still
//! so. One file for each noun, with its law at the head.

pub mod api_key;
pub mod background;
pub mod brake;
pub mod completion;
pub mod connection;
pub mod consent;
pub mod consent_end;
pub mod deletion;
pub mod departure;
pub mod due;
pub mod duty;
pub mod ending;
pub mod envelope;
pub mod event;
pub mod freeze;
pub mod handle;
pub mod idempotency;
pub mod job;
pub mod latest_time;
pub mod link;
pub mod maintenance;
pub mod member;
pub mod name;
pub mod other_login;
pub mod rebind;
pub mod record;
pub mod refresh;
pub mod replay;
pub mod report;
pub mod response;
pub mod retry;
pub mod revocation;
pub mod seal_key;
pub mod sealed;
pub mod session;
pub mod step;
pub mod tokens;
pub mod user;
pub mod watch;

pub use api_key::{ApiKeyRecord, KeyAddition};
pub use background::ArrangeBackground;
pub use brake::{
    AskBrake, AtInstitution, BrakeName, Braked, CountRefusal, Refused, ReleaseBrake, Verdict,
};
pub use completion::{Confirmation, Confirmed, HeldTokens};
pub use connection::{Committed, Connection};
pub use consent::{ConsentTold, TellConsent};
pub use consent_end::{ConsentEnd, NoticeDays};
pub use deletion::{Deletion, Forget};
pub use departure::Obtained;
pub use due::Line;
pub use duty::{Duty, DutyName, Fate, Owed, Settle};
pub use ending::{Failure, NewReport};
pub use freeze::{Freeze, Frozen, Thaw};
pub use handle::NewHandle;
pub use idempotency::{Idempotence, IdempotentRequest};
pub use job::{
    Answered, Answering, BackgroundOrder, JobOrder, Lease, Ordered, PushAgain, SealedAccess,
};
pub use latest_time::TimeTold;
pub use link::{Opened, Opening, Subject, VisitKind, WindowQuery};
pub use maintenance::SetMaintenance;
pub use member::{MemberChange, MemberCreation, MemberUpdate, NewCredentials, NewMember};
pub use other_login::OtherLogin;
pub use rebind::Rebind;
pub use record::{DeliveryTry, KeptReport, TokenState};
pub use refresh::{BeginRefresh, Begun, RefreshOutcome, Restore, SettleRefresh, Settled, Want};
pub use replay::{Replay, Replayed};
pub use report::{Recorded, Reported, StatusChange};
pub use response::{AttemptRecord, Claim, Claimed, NewCode};
pub use retry::{Retried, Retry};
pub use revocation::GiveBack;
pub use session::SessionOwner;
pub use step::Step;
pub use tokens::NewTokens;
pub use user::{PageRequest, Paged, UserChange, UserCreation, UserUpdate};
pub use watch::{BeginLook, Look, News, TellShown};
