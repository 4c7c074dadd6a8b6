//! What operators say of institutions, and what these show of themselves.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::driver::{Care, Store};
use super::outcome::Result;
use crate::domain::id::InstitutionCode;
use crate::domain::maintenance::Maintenance;
use crate::steps::record::{Key, Reads, Slot, Watched};
use crate::steps::{BeginLook, Look, News, SetMaintenance, TellShown};

impl Store {
    /// The institutions that are not used for now, as operators say; what is over may be among it.
    pub async fn maintenances(&self) -> Result<BTreeMap<InstitutionCode, Maintenance>> {
        let _timing = self.timed("maintenances");
        let reads = Reads::of([Key::maintenances()]);
        let view = self.look(Slot::Store, reads).await?;
        let said = view.maintenances().cloned();
        Ok(said.unwrap_or_default().of)
    }

    /// Says that an institution is not used for now, or is again. Returns what was said of it before.
    pub async fn set_maintenance(
        &self,
        set: &SetMaintenance,
        now: Timestamp,
    ) -> Result<Option<Maintenance>> {
        let _timing = self.timed("set_maintenance");
        self.step_with(Care::Irreplaceable, set, now).await
    }

    /// Begins to look at an institution, unless another gateway did a while ago; see
    /// [`steps::watch`](crate::steps::watch).
    pub async fn begin_look(&self, begin: &BeginLook, now: Timestamp) -> Result<Look> {
        let _timing = self.timed("begin_look");
        self.step(begin, now).await
    }

    /// Keeps what a look saw; what is new since the one before.
    pub async fn tell_shown(&self, tell: &TellShown, now: Timestamp) -> Result<News> {
        let _timing = self.timed("tell_shown");
        self.step_with(Care::Irreplaceable, tell, now).await
    }

    /// What was seen of these institutions, of those that were looked at.
    pub async fn watched(
        &self,
        institutions: impl IntoIterator<Item = &InstitutionCode>,
    ) -> Result<BTreeMap<InstitutionCode, Watched>> {
        let _timing = self.timed("watched");
        let codes: Vec<&InstitutionCode> = institutions.into_iter().collect();
        let keys: Vec<Key> = codes.iter().map(|code| Key::watched(code)).collect();
        let view = self.look(Slot::Store, Reads::of(keys)).await?;
        let found = codes.into_iter().filter_map(|code| {
            let watched = view.watched(code)?;
            Some((code.clone(), watched.clone()))
        });
        Ok(found.collect())
    }
}
