//! Completion handles: found by their digest, and kept for a while after their end.

use jiff::Timestamp;

use super::record::{Changes, Completion, Key};
use crate::domain::secret::Digest;
use crate::domain::window::Window;

/// What a confirmation will be recognised by.
#[derive(Clone, Debug)]
pub struct NewHandle {
    /// The handle's digest.
    pub digest: Digest,
    /// The handle, sealed for its attempt's page.
    pub sealed: Vec<u8>,
    /// Until when it may be used.
    pub until: Timestamp,
}

impl NewHandle {
    /// Keeps what it confirms.
    pub(super) fn keep(&self, window: &Window, changes: &mut Changes) {
        let completion = Completion {
            window: window.guid,
            member: window.member,
            is_confirmed: false,
            expires_at: self.until,
        };
        changes.put(Key::completion(&self.digest), completion);
    }
}
