//! What is sealed, wherever it is kept: looked through, and sealed anew.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::driver::Store;
use super::outcome::{Found, Result, StoreError};
use super::sealed_elsewhere::SealedElsewhere;
use crate::domain::secret::Digest;
use crate::steps::record::{Key, Reads};
use crate::steps::sealed::{Reseal, SEALED_KINDS};

impl Store {
    /// Shows every record that may hold envelopes, batch by batch, at most about five hundred at a time. They are not of
    /// one moment: an envelope that moves to another record meanwhile may be left out. What was seen will still be so after
    /// a failover.
    pub async fn each_sealed(
        &self,
        mut see: impl AsyncFnMut(Vec<Found>) -> Result<()>,
    ) -> Result<()> {
        let _timing = self.timed("each_sealed");
        let mut slots = BTreeSet::new();
        let note_and_see = async |batch: Vec<Found>| {
            slots.extend(batch.iter().map(|found| found.slot.clone()));
            see(batch).await
        };
        self.each_batch(&sealed_kinds(), note_and_see).await?;
        for slot in slots {
            // Whatever is read last of a slot, all that was read before is kept as well.
            let nothing = Reads::of([Key::seal_keys()]);
            self.look_lasting(slot, nothing).await?;
        }
        Ok(())
    }

    /// A record that was found, as it is now. `None`: it is gone.
    pub async fn sealed_record(&self, found: &Found) -> Result<Option<Found>> {
        let _timing = self.timed("sealed_record");
        let now = |record| Found {
            slot: found.slot.clone(),
            key: found.key.clone(),
            record,
        };
        let reads = Reads::of([found.key.clone()]);
        match self.look(found.slot.clone(), reads).await {
            Ok(view) => Ok(view.record(&found.key).cloned().map(|it| now(Some(it)))),
            Err(StoreError::Unreadable(_)) => Ok(Some(now(None))),
            Err(error) => Err(error),
        }
    }

    /// Puts new envelopes in the place of those that were found in a record: each as it was, and the new one. `false`: not
    /// all of them were there any more; see [`steps::sealed`](crate::steps::sealed).
    pub async fn reseal(
        &self,
        found: &Found,
        envelopes: Vec<(Vec<u8>, Vec<u8>)>,
        now: Timestamp,
    ) -> Result<bool> {
        let _timing = self.timed("reseal");
        let envelopes = envelopes.into_iter();
        let step = Reseal {
            slot: found.slot.clone(),
            key: found.key.clone(),
            envelopes: envelopes
                .map(|(old, new)| (old.into(), new.into()))
                .collect(),
        };
        self.step(&step, now).await
    }

    /// How many records are sealed under each key that is not among these. Nothing is looked through if no gateway ever
    /// had another key.
    pub async fn sealed_elsewhere(
        &self,
        configured: &[(String, Digest)],
    ) -> Result<BTreeMap<String, u64>> {
        if !self.seal_keys().await?.has_others_than(configured) {
            return Ok(BTreeMap::new());
        }
        let _timing = self.timed("sealed_elsewhere");
        let mut count = SealedElsewhere::than(configured);
        let see = async |batch| {
            count.see(batch);
            Ok(())
        };
        self.each_batch(&sealed_kinds(), see).await?;
        Ok(count.records)
    }
}

fn sealed_kinds() -> Vec<char> {
    SEALED_KINDS.iter().map(|(kind, _)| *kind).collect()
}
