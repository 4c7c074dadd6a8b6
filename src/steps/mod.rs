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
pub mod connection;
pub mod deletion;
pub mod ending;
pub mod event;
pub mod idempotency;
pub mod job;
pub mod link;
pub mod member;
pub mod name;
pub mod record;
pub mod report;
pub mod response;
pub mod retry;
pub mod session;
pub mod user;

use jiff::Timestamp;

pub use api_key::{ApiKeyRecord, KeyAddition};
pub use connection::{Committed, Connection};
pub use deletion::{Deletion, Forget};
pub use ending::Failure;
pub use idempotency::{Idempotence, IdempotentRequest};
pub use job::{Answered, Answering, JobOrder, Lease, Ordered, SealedMeans};
pub use link::{Knock, Opened, Opening, Subject, WindowQuery};
pub use member::{MemberChange, MemberCreation, MemberUpdate, NewCredentials, NewMember};
pub use report::{Recorded, Reported, Standing};
pub use response::{AttemptRecord, Claim, Claimed};
pub use retry::{Retried, Retry};
pub use session::SessionOwner;
pub use user::{PageRequest, Paged, UserChange, UserCreation, UserUpdate};

use record::{Changes, Key, Reads, Slot, View};

/// A step of a store.
pub trait Step {
    /// What it leads to.
    type Outcome;

    /// Where the records are that it touches.
    fn slot(&self) -> Slot;

    /// What it wants to read.
    fn reads(&self) -> Reads;

    /// What it wants to read as well, which only what was read can name.
    fn reads_then(&self, _view: &View) -> Vec<Key> {
        Vec::new()
    }

    /// Decides.
    fn decide(&self, view: &View, now: Timestamp) -> (Self::Outcome, Changes);
}

/// An outcome that changes nothing.
fn unchanged<T>(outcome: T) -> (T, Changes) {
    (outcome, Changes::default())
}
