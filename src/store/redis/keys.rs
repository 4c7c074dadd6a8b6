//! Every key of the store, version 1.
//!
//! A key is a *base*, whose braces are a cluster's hash tag, and a suffix. All keys of one base are
//! in one slot, so one script may touch any of them.
//!
//! A **partition's** base is `{prefix}1{pNN}`, `NN` as in [`Partition`]'s written form. Guids are
//! written compactly (22 characters), digests as 43.
//!
//! | suffix | type | what |
//! |---|---|---|
//! | `u<user>` | hash | a user |
//! | `U<user>` | sorted set | the user's members, by creation |
//! | `D<user>` | sorted set | the user's deleted members, by deletion, while they or their windows are kept |
//! | `E<user>` | string | how often the user's sessions were ended; older sessions are dead |
//! | `t<digest>`, `s<digest>` | hash | an SSO token, a session |
//! | `m<member>` | hash | a member; a deleted one keeps only whose it was, for its windows |
//! | `x<member>` | hash | a soft-deleted member as it was, and when it was deleted |
//! | `g<member>` | string | the member's sealed grant, or its sealed credentials if it is a standard one |
//! | `w<window>` | hash | a window (fields: `window_record.rs`); its member's older ones by its field `p` |
//! | `a<attempt>` | hash | an attempt; the window's older ones by its field `p` |
//! | `h<digest>` | hash | an answer held for the GET that follows its POST |
//! | `j<job>` | hash | a job |
//! | `q<job>` | string | the sealed answers to the job's newest questions |
//! | `e<event>` | hash | an event, with the member and window as they were |
//! | `dw`, `dj`, `de` | sorted set | unfinished windows by deadline; unfinished jobs, undelivered events by due time |
//!
//! A **client's** base is `{prefix}1{c:CLIENT}`. It holds what must be unique in, or lists, all of a
//! client, and the client's requests. A user or member is bound to it by a reservation that is written
//! first (`reserve.lua`), and given back (`release.lua`) by whoever refuses it, renames or deletes:
//! one further round trip for `create_user`, `delete_user`, `create_member` with an `external_guid`,
//! and the deletion of such a member; three for a change of a name (read, reserve, give back).
//!
//! | suffix | type | what |
//! |---|---|---|
//! | `ids` | hash | users' `id` → user |
//! | `externals` | hash | members' `external_guid` → member |
//! | `users` | sorted set | the client's users, by creation |
//! | `pending` | sorted set | reservations whose second half may still come, by when it no longer may |
//! | `keys` | hash | API key id → its digest, creation and retirement |
//! | `i<digest>` | hash | a request with an `Idempotency-Key`: its digest, whose it is until answered, its end, its sealed answer |
//!
//! The **store's** own base is `{prefix}1{s}`. Its suffix `probe` is a key that is written to see whether
//! anything can be.
//!
//! Keys that end by themselves carry a time to live, which is for forgetting only: every decision
//! compares stored times with the caller's `now`.

use crate::domain::id::{ClientId, Partition};

/// The version of what is written here; another one does not see these keys.
const VERSION: &str = "1";

/// The bases of all keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// Keys that begin with `prefix`. It must not contain braces, which would take the hash tag's
    /// place.
    pub(super) fn new(prefix: &str) -> Option<Self> {
        let prefix = format!("{prefix}{VERSION}");
        (!prefix.contains(['{', '}'])).then_some(Self { prefix })
    }

    /// The base of everything in `partition`.
    pub(super) fn partition(&self, partition: Partition) -> String {
        format!("{}{{p{partition}}}", self.prefix)
    }

    /// The base of what concerns the store itself.
    pub(super) fn store(&self) -> String {
        format!("{}{{s}}", self.prefix)
    }

    /// The base of what spans all of a client.
    pub(super) fn client(&self, client: &ClientId) -> String {
        format!("{}{{c:{client}}}", self.prefix)
    }
}
