//! Seal keys: those that a gateway starts with are the ones that its store knows.

use jiff::Timestamp;

use super::driver::Store;
use super::outcome::{Result, StoreError};
use crate::domain::secret::Digest;
use crate::steps::record::{Key, Reads, SealKeys, Slot};
use crate::steps::seal_key::KnowSealKeys;

impl Store {
    /// Keeps by what each of these seal keys is recognised.
    ///
    /// # Errors
    ///
    /// Also [`StoreError::Unfit`] if the store knows another key under one of the ids; then none is kept.
    pub async fn know_seal_keys(&self, keys: Vec<(String, Digest)>, now: Timestamp) -> Result<()> {
        let _timing = self.timed("know_seal_keys");
        let step = KnowSealKeys { keys };
        refuse(&self.step_that_seldom_writes(&step, now).await?)
    }

    /// Every seal key that a gateway of this store ever had.
    pub async fn seal_keys(&self) -> Result<SealKeys> {
        let _timing = self.timed("seal_keys");
        let view = self
            .look(Slot::Store, Reads::of([Key::seal_keys()]))
            .await?;
        Ok(view.seal_keys().cloned().unwrap_or_default())
    }
}

/// Refuses seal keys of which the store knows others.
///
/// # Errors
///
/// [`StoreError::Unfit`] if it does.
pub fn check_seal_keys(known: &SealKeys, keys: &[(String, Digest)]) -> Result<()> {
    refuse(&known.changed(keys))
}

fn refuse(changed: &[String]) -> Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    let ids = changed.join(", ");
    Err(StoreError::Unfit(format!(
        "seal.keys: what is kept under {ids} was sealed with another key. Remedy: put back the key that {ids} named, \
         and give a new key an id of its own, before it in the list"
    )))
}
