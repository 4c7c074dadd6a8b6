//! How much is sealed under keys that are not configured, so that nothing opens it.

use std::collections::{BTreeMap, BTreeSet};

use super::outcome::Found;
use crate::domain::secret::Digest;
use crate::seal;
use crate::steps::record::Record;

/// Counts the records that are sealed under other keys than some.
pub(super) struct SealedElsewhere<'a> {
    configured: &'a [(String, Digest)],
    /// How many there are, by the id of their key.
    pub(super) records: BTreeMap<String, u64>,
}

impl<'a> SealedElsewhere<'a> {
    /// Than these.
    pub(super) fn than(configured: &'a [(String, Digest)]) -> Self {
        Self {
            configured,
            records: BTreeMap::new(),
        }
    }

    /// Counts these records.
    pub(super) fn see(&mut self, batch: Vec<Found>) {
        for mut record in batch.into_iter().filter_map(|found| found.record) {
            for id in key_ids(&mut record) {
                if self.configured.iter().all(|(known, _)| *known != id) {
                    *self.records.entry(id).or_default() += 1;
                }
            }
        }
    }
}

/// The ids of the keys that a record is sealed under.
fn key_ids(record: &mut Record) -> BTreeSet<String> {
    let envelopes = record.envelopes().into_iter();
    envelopes
        .filter_map(|(_, envelope)| seal::key_id(envelope).map(str::to_owned))
        .collect()
}
